//! A period that went under a tombstone is no finding; anything more or less than that is one.
//!
//! Owns the letting go of a part of the small log, and the deeds of forgers with and without the key.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::audit::{Epitaph, LEAST_RETAINED_DAYS, Rolls, Tombstone, gone, heads_digest};

const DAY: i64 = 86_400;

fn days(count: i64) -> Timestamp {
    Timestamp::from_second(count * DAY).expect("a valid instant")
}

fn sealed(key: &str, stone: &Tombstone) -> Signed {
    let text = stone.text();
    Signed {
        number: stone.number,
        signature: seal(key, &text),
        text,
    }
}

impl Log {
    /// Lets go what the checkpoint at this place closed, and the rows of these notes.
    fn let_go(&mut self, place: usize, goes: &[i64]) {
        let closing = self.checkpoints[place].clone();
        let epitaph = Epitaph {
            at: days(400),
            by: "ada".to_owned(),
            reason: "old".to_owned(),
            retain_days: LEAST_RETAINED_DAYS,
            cut: days(1),
            closing: Some(closing),
        };
        let mut stone = epitaph.after(self.stones.last());
        let until = stone.until;
        let mut newest = BTreeMap::new();
        for link in &self.links {
            for entry in Entries::read(&link.entries).expect("reads") {
                newest.insert((entry.table, entry.key.clone()), (link.seq, entry));
            }
        }
        let going =
            |one: &Entry| one.table == 1 && goes.iter().any(|id| entry(1, *id, "").key == one.key);
        let mut late = Rolls::default();
        let mut follow = Entries::default();
        for (seq, one) in newest.values() {
            if going(one) && *seq > until {
                late.key(one);
                follow.add(&Entry {
                    digest: gone(stone.number),
                    ..one.clone()
                });
            } else if !going(one) && *seq <= until {
                follow.add(one);
            }
        }
        for link in self.links.iter().filter(|link| link.seq <= until) {
            let tip = Tip {
                strand: link.strand,
                sequence: link.sequence,
                hash: link.hash,
            };
            self.heads.insert(link.strand, tip);
        }
        let heads: Vec<_> = self.heads.values().copied().collect();
        let went = self.checkpoints.drain(..=place).collect::<Vec<_>>();
        stone.bury(&went);
        stone.links = self.links.iter().filter(|one| one.seq <= until).count() as u64;
        stone.heads = heads_digest(&heads);
        (stone.late, stone.late_root) = (late.count(), late.root());
        stone.seen = self.links.last().map_or(until, |link| link.seq);
        stone.after = self
            .checkpoints
            .last()
            .map_or(stone.through(), |one| one.number);
        stone.key = "k1".to_owned();
        self.links.retain(|link| link.seq > until);
        self.rows
            .retain(|(table, id, _)| !(*table == 1 && goes.contains(id)));
        self.add_link(60 + stone.number, stone.seen + 1, &follow);
        self.stones.push(sealed("k1", &stone));
        self.sign("k1", None);
    }

    fn add_link(&mut self, strand: i64, seq: i64, entries: &Entries) {
        let grown = Tip::fresh(strand).grown(entries.bytes());
        self.links.push(Link {
            seq,
            strand,
            sequence: 1,
            previous: Digest::NONE,
            entries: entries.bytes().to_vec(),
            hash: grown.hash,
        });
    }

    fn reforged(&self, key: &str, change: impl Fn(&mut Tombstone)) -> Vec<Finding> {
        let mut copy = self.clone();
        let mut stone = Tombstone::read(&copy.stones[0]).expect("reads");
        change(&mut stone);
        copy.stones[0] = sealed(key, &stone);
        copy.verify(Some("k1"))
    }
}

/// What a forger does to a tombstone.
type Change = fn(&mut Tombstone);

fn drawn() -> Log {
    let writes = [
        (1, vec![0]),
        (2, vec![1]),
        (1, vec![0, 2]),
        (2, vec![]),
        (1, vec![1]),
        (3, vec![]),
    ];
    Log::of(&writes, 2)
}

fn told(found: &[Finding], fault: Fault, table: &str) {
    let right = found
        .iter()
        .any(|one| one.fault == fault && one.table == table);
    assert!(right, "wanted {fault:?} of {table}, found {found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn e6_after_a_period_went_any_single_tampering_is_found_and_located(
        writes in proptest::collection::vec((1_i64..4, proptest::collection::vec(0_i64..6, 0..3)), 6..40),
        every in 1_usize..5,
        first in 0_usize..3,
        second in 0_usize..2,
        goes in proptest::collection::vec(0_i64..40, 0..6),
        place in any::<usize>(),
    ) {
        let mut log = Log::of(&writes, every);
        let first = first.min(log.checkpoints.len() - 3);
        log.let_go(first, &goes);
        prop_assume!(log.links.len() > 1);
        prop_assert_eq!(log.verify(Some("k1")), Vec::new());
        let mut twice = log.clone();
        twice.let_go(second, &[]);
        prop_assert_eq!(twice.verify(Some("k1")), Vec::new());
        for how in ALL {
            let mut copy = log.clone();
            let (table, row) = tamper(&mut copy, how, place);
            let found = copy.verify(Some("k1"));
            let located = found.iter().any(|one| one.table == table && one.row.contains(&row));
            prop_assert!(located, "{how:?}: wanted {table} {row}, found {found:?}");
        }
    }
}

#[test]
fn e6_no_field_of_a_tombstone_can_be_changed_without_the_key() {
    let mut log = drawn();
    log.let_go(0, &[0]);
    assert_eq!(log.verify(Some("k1")), []);
    let says: serde_json::Value = serde_json::from_str(&log.stones[0].text).expect("JSON");
    let fields = says.as_object().expect("fields");
    assert!(fields.len() > 20, "{fields:?}");
    for name in fields.keys() {
        let mut other = says.clone();
        other[name] = match &says[name] {
            serde_json::Value::Number(number) => (number.as_i64().unwrap_or(0) + 1).into(),
            serde_json::Value::String(text) => {
                text.replacen('0', "1", 1).replace("ada", "bob").into()
            }
            _ => serde_json::Value::Null,
        };
        let mut copy = log.clone();
        copy.stones[0].text = other.to_string();
        let found = copy.verify(Some("k1"));
        let seen = found.iter().any(|one| one.table == "audit_tombstones");
        assert!(
            seen || other == says,
            "{name} was changed unseen: {found:?}"
        );
    }
}

#[test]
fn e6_a_forged_tombstone_is_found() {
    let mut log = drawn();
    log.let_go(0, &[0]);
    // By another key, whoever it names.
    let forged = log.reforged("k2", |stone| stone.key = "k2".to_owned());
    told(&forged, Fault::NotSigned, "audit_tombstones");
    told(
        &log.reforged("k2", |_| ()),
        Fault::NotSigned,
        "audit_tombstones",
    );
    // In the place of links that no tombstone let go.
    let mut cut = drawn();
    let model = log.stones[0].clone();
    cut.let_go(1, &[]);
    cut.stones[0] = model;
    assert!(!cut.verify(Some("k1")).is_empty());
    // Without a tombstone.
    let mut bare = log.clone();
    bare.stones.clear();
    told(
        &bare.verify(Some("k1")),
        Fault::Removed,
        "audit_checkpoints",
    );
    told(&bare.verify(Some("k1")), Fault::Inserted, "audit_strands");
}

#[test]
fn e6_a_tombstone_that_covers_too_much_is_found_even_with_the_key() {
    let mut log = drawn();
    log.let_go(0, &[0]);
    let more: [(&str, Change); 4] = [
        ("a later cut", |stone| stone.cut = days(300)),
        ("a shorter retention", |stone| stone.retain_days = 7),
        ("further links", |stone| stone.until += 1),
        ("an earlier cut than what it closes", |stone| {
            stone.cut = days(-9);
        }),
    ];
    for (name, change) in more {
        let found = log.reforged("k1", change);
        let seen = found.iter().any(|one| one.fault == Fault::TooMuch);
        assert!(seen, "{name}: {found:?}");
    }
}

#[test]
fn e6_a_row_goes_only_if_its_tombstone_counted_it() {
    let mut log = drawn();
    // A note that a kept link covers goes under the first tombstone: said, and counted.
    log.let_go(0, &[5]);
    assert_eq!(log.verify(Some("k1")), []);
    let back = |log: &Log| {
        let mut copy = log.clone();
        copy.rows.push((1, 5, "1 5 5".to_owned()));
        copy.verify(Some("k1"))
    };
    told(&back(&log), Fault::Inserted, "notes");
    // Whoever can write links says the same of another row, and takes it away.
    let mut forged = log.clone();
    let mut entries = Entries::default();
    entries.add(&Entry {
        digest: gone(1),
        ..entry(1, 4, "")
    });
    let seq = forged.links.last().expect("some").seq + 1;
    forged.add_link(90, seq, &entries);
    forged.rows.retain(|(table, id, _)| (*table, *id) != (1, 4));
    told(
        &forged.verify(Some("k1")),
        Fault::Changed,
        "audit_tombstones",
    );
}

#[test]
fn e6_a_part_that_begins_behind_a_drop_is_whole() {
    let mut log = drawn();
    log.let_go(0, &[5]);
    for number in 0..4 {
        let seq = log.links.last().expect("some").seq + 1;
        log.add_link(70 + number, seq, &Entries::default());
        log.sign("k1", None);
    }
    let seqs: Vec<_> = log.links.iter().map(|link| link.seq).collect();
    for from in seqs {
        let span = Span::between(&log.checkpoints, Some(Mark::Link(from)), None);
        let verifier = Verifier::new(TABLES, Some("k1".to_owned())).only(span);
        assert_eq!(log.verify_with(verifier).0, [], "from {from}");
    }
}

#[test]
fn e6_keys_that_changed_in_a_period_that_went_are_still_known() {
    let mut log = drawn();
    log.sign("k1", Some("k2"));
    let change = log.checkpoints.len() - 1;
    log.sign("k2", None);
    let mut late = log.clone();
    // The change goes: the closing checkpoint is the one after it.
    late.let_go(change + 1, &[]);
    let mut stone = Tombstone::read(&late.stones[0]).expect("reads");
    assert_eq!(stone.changes.len(), 1);
    stone.key = "k2".to_owned();
    late.stones[0] = sealed("k2", &stone);
    late.checkpoints.clear();
    late.sign_after_that(stone.closing.clone(), "k2", None);
    assert_eq!(late.verify(Some("k1")), []);
    // The old key signs nothing any more.
    stone.key = "k1".to_owned();
    late.stones[0] = sealed("k1", &stone);
    told(
        &late.verify(Some("k1")),
        Fault::NotSigned,
        "audit_tombstones",
    );
}

#[test]
fn a_checkpoint_that_went_can_no_longer_be_compared_and_is_no_finding() {
    let mut log = drawn();
    let noted: Vec<_> = log
        .checkpoints
        .iter()
        .map(|one| (one.number, one.digest()))
        .collect();
    log.let_go(1, &[]);
    let anchored = |number: i64, digest: Digest| {
        let mut verifier = Verifier::new(TABLES, None);
        verifier.tombstone(&log.stones[0], &signed_by);
        let all: Vec<_> = log
            .checkpoints
            .iter()
            .map(|one| (one.number, one.digest()))
            .collect();
        verifier.anchored(number, digest, &all);
        verifier.finish().0.len()
    };
    let before = anchored(noted[2].0, noted[2].1);
    assert_eq!(anchored(noted[0].0, noted[0].1), before);
    assert_eq!(anchored(noted[1].0, noted[1].1), before);
    assert_eq!(
        anchored(noted[1].0, noted[0].1),
        before + 1,
        "the closing one is known"
    );
    assert_eq!(anchored(99, noted[0].1), before + 1);
}
