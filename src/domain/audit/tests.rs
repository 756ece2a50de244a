//! Any single tampering with a log is found, and where it was done is said.
//!
//! Owns a small log of two tables and drawn histories; the deeds are those of somebody who may write to
//! the database and has no key.

mod spans;
mod tombstones;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::time::Timestamp;

const NOTES: Table = Table {
    code: 1,
    name: "notes",
    table: "notes",
    only: "",
    key: &[Column::Number("id")],
    columns: &[Column::Text("text")],
    rule: Rule::Once,
};
const STATES: Table = Table {
    code: 2,
    name: "states",
    table: "states",
    only: "",
    key: &[Column::Number("id")],
    columns: &[Column::Text("text")],
    rule: Rule::Version,
};
const TABLES: &[Table] = &[NOTES, STATES];

/// A "signature" that only the holder of the key makes, as far as these tests go.
fn seal(key: &str, text: &str) -> String {
    Digest::of(key, text.as_bytes()).to_string()
}

fn signed_by(key: &str, text: &str, signature: &str) -> bool {
    seal(key, text) == signature
}

#[derive(Debug, Clone, Default)]
struct Log {
    links: Vec<Link>,
    checkpoints: Vec<Signed>,
    rows: Vec<(u8, i64, String)>,
    stones: Vec<Signed>,
    heads: BTreeMap<i64, Tip>,
}

impl Log {
    /// `writes`: strand, and the ids of the states that it changes beside one new note.
    fn of(writes: &[(i64, Vec<i64>)], every: usize) -> Self {
        let mut log = Self::default();
        let mut tips = std::collections::BTreeMap::new();
        for (number, (strand, states)) in writes.iter().enumerate() {
            let number = number as i64;
            let mut entries = Entries::default();
            log.write(&mut entries, 1, number);
            for state in states {
                log.write(&mut entries, 2, *state);
            }
            let tip = *tips.entry(*strand).or_insert(Tip::fresh(*strand));
            let grown = tip.grown(entries.bytes());
            tips.insert(*strand, grown);
            log.links.push(Link {
                seq: number + 1,
                strand: *strand,
                sequence: grown.sequence,
                previous: tip.hash,
                entries: entries.bytes().to_vec(),
                hash: grown.hash,
            });
            if (number as usize + 1).is_multiple_of(every) {
                log.sign("k1", None);
            }
        }
        // At least two, the last of them over nothing.
        log.sign("k1", None);
        log.sign("k1", None);
        log
    }

    fn write(&mut self, entries: &mut Entries, table: u8, id: i64) {
        let text = format!("{table} {id} {}", self.links.len());
        self.rows
            .retain(|(one, other, _)| (*one, *other) != (table, id));
        self.rows.push((table, id, text.clone()));
        entries.add(&entry(table, id, &text));
    }

    fn sign(&mut self, key: &str, next: Option<&str>) {
        let before = self.checkpoints.last().cloned();
        self.sign_after_that(before.or_else(|| self.closing()), key, next);
    }

    /// The checkpoint that closed what went.
    fn closing(&self) -> Option<Signed> {
        let newest = self.stones.last();
        newest.and_then(Tombstone::read)?.closing
    }

    fn sign_after_that(&mut self, before: Option<Signed>, key: &str, next: Option<&str>) {
        let after = before.as_ref().and_then(Signed::read);
        let mut window = Window::after(after.map_or(0, |one| one.until));
        let until = window.until();
        for link in self.links.iter().filter(|link| link.seq > until) {
            window.take(link);
        }
        let says = window.close(before.as_ref(), Timestamp::UNIX_EPOCH, key, next);
        let text = says.text();
        self.checkpoints.push(Signed {
            number: says.number,
            signature: seal(key, &text),
            text,
        });
    }

    fn verify(&self, key: Option<&str>) -> Vec<Finding> {
        let verifier = Verifier::new(TABLES, key.map(str::to_owned));
        self.verify_with(verifier).0
    }

    fn verify_with(&self, mut verifier: Verifier) -> (Vec<Finding>, Tally) {
        for signed in &self.stones {
            verifier.tombstone(signed, &signed_by);
        }
        let heads: Vec<_> = self.heads.values().copied().collect();
        verifier.heads(&heads, &signed_by);
        for signed in &self.checkpoints {
            verifier.checkpoint(signed, &signed_by);
        }
        let after = verifier.begins_after();
        let mut links: Vec<_> = self.links.iter().filter(|one| one.seq > after).collect();
        links.sort_by_key(|link| link.seq);
        for link in links {
            verifier.link(link);
        }
        verifier.links_over();
        for (table, id, text) in &self.rows {
            let spec = &TABLES[usize::from(*table) - 1];
            verifier.row(spec, entry(*table, *id, text));
        }
        verifier.finish()
    }
}

fn entry(table: u8, id: i64, text: &str) -> Entry {
    let spec = &TABLES[usize::from(table) - 1];
    spec.entry(&[Cell::Number(Some(id)), Cell::Text(Some(text))])
}

/// What somebody with the database's password can do to one place.
#[derive(Debug, Clone, Copy)]
enum Tampering {
    ChangeRow,
    RemoveRow,
    InsertRow,
    ChangeLink,
    RehashLink,
    RemoveLink,
    InsertLink,
    SwapLinks,
    CutOffLinks,
    ChangeCheckpoint,
    RemoveCheckpoint,
    ForgeCheckpoint,
}

const ALL: [Tampering; 12] = [
    Tampering::ChangeRow,
    Tampering::RemoveRow,
    Tampering::InsertRow,
    Tampering::ChangeLink,
    Tampering::RehashLink,
    Tampering::RemoveLink,
    Tampering::InsertLink,
    Tampering::SwapLinks,
    Tampering::CutOffLinks,
    Tampering::ChangeCheckpoint,
    Tampering::RemoveCheckpoint,
    Tampering::ForgeCheckpoint,
];

/// Does it; returns the table of which a finding must speak, and what must occur in it.
#[allow(clippy::too_many_lines)] // One list, told in order; parts of it mean nothing alone.
fn tamper(log: &mut Log, how: Tampering, place: usize) -> (&'static str, String) {
    let row = place % log.rows.len();
    let link = place % log.links.len();
    let checkpoint = place % log.checkpoints.len();
    let strand_and_link = |link: &Link| format!("strand {} link {}", link.strand, link.sequence);
    match how {
        Tampering::ChangeRow => {
            log.rows[row].2.push('x');
            (
                TABLES[usize::from(log.rows[row].0) - 1].name,
                log.rows[row].1.to_string(),
            )
        }
        Tampering::RemoveRow => {
            let (table, id, _) = log.rows.remove(row);
            (TABLES[usize::from(table) - 1].name, id.to_string())
        }
        Tampering::InsertRow => {
            log.rows.push((1, 99_999, "new".to_owned()));
            ("notes", "99999".to_owned())
        }
        Tampering::ChangeLink => {
            let entries = &mut log.links[link].entries;
            match entries.last_mut() {
                Some(byte) => *byte ^= 1,
                None => entries.push(1),
            }
            ("audit_links", strand_and_link(&log.links[link]))
        }
        Tampering::RehashLink => {
            let link = &mut log.links[link];
            let mut entries = Entries::default();
            entries.add(&entry(1, 99_999, "other"));
            link.entries = entries.bytes().to_vec();
            link.hash = link_hash(link.strand, link.sequence, link.previous, &link.entries);
            ("audit_links", format!("strand {}", link.strand))
        }
        Tampering::RemoveLink => {
            let gone = log.links.remove(link);
            ("audit_links", strand_and_link(&gone))
        }
        Tampering::InsertLink => {
            let model = log.links[link].clone();
            let mut new = Link {
                strand: 77,
                sequence: 1,
                previous: Digest::NONE,
                ..model
            };
            new.hash = link_hash(77, 1, Digest::NONE, &new.entries);
            log.links.insert(link, new);
            ("audit_links", "strand 77 link 1".to_owned())
        }
        Tampering::SwapLinks => {
            let other = (link + 1) % log.links.len();
            let (one, two) = (log.links[link].seq, log.links[other].seq);
            log.links[link].seq = two;
            log.links[other].seq = one;
            ("audit_links", String::new())
        }
        Tampering::CutOffLinks => {
            let cut = log.links.split_off(link);
            ("audit_links", format!("strand {}", cut[0].strand))
        }
        Tampering::ChangeCheckpoint => {
            let text = &mut log.checkpoints[checkpoint].text;
            *text = text.replacen("1970", "1971", 1);
            let number = log.checkpoints[checkpoint].number;
            ("audit_checkpoints", number.to_string())
        }
        Tampering::RemoveCheckpoint => {
            // The last one leaves no gap: that is what noting it elsewhere is for.
            let checkpoint = checkpoint % (log.checkpoints.len() - 1);
            let gone = log.checkpoints.remove(checkpoint);
            ("audit_checkpoints", gone.number.to_string())
        }
        Tampering::ForgeCheckpoint => {
            let says = log.checkpoints[checkpoint].text.replacen("1970", "1971", 1);
            log.checkpoints[checkpoint].signature = seal("k2", &says);
            log.checkpoints[checkpoint].text = says;
            let number = log.checkpoints[checkpoint].number;
            ("audit_checkpoints", number.to_string())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn e6_any_single_tampering_is_found_and_located(
        writes in proptest::collection::vec((1_i64..4, proptest::collection::vec(0_i64..6, 0..3)), 4..40),
        every in 1_usize..7,
        place in any::<usize>(),
    ) {
        let log = Log::of(&writes, every);
        prop_assert_eq!(log.verify(Some("k1")), Vec::new());
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
fn e6_a_change_of_key_is_believed_only_if_the_old_key_signed_it() {
    let mut log = Log::of(&[(1, vec![]), (1, vec![1])], 5);
    log.sign("k1", Some("k2"));
    log.sign("k2", None);
    assert_eq!(log.verify(Some("k1")), []);
    let mut forged = Log::of(&[(1, vec![]), (1, vec![1])], 5);
    forged.sign("k2", None);
    let found = forged.verify(Some("k1"));
    assert!(
        found.iter().all(|one| one.fault == Fault::NotSigned),
        "{found:?}"
    );
    assert!(!found.is_empty());
    // A whole log under another key is not this installation's.
    assert!(!log.verify(Some("k3")).is_empty());
}

#[test]
fn e6_a_checkpoint_noted_elsewhere_shows_that_the_end_is_gone() {
    let mut log = Log::of(&[(1, vec![]), (2, vec![1]), (1, vec![2])], 1);
    let last = log.checkpoints.pop().expect("some");
    let mut verifier = Verifier::new(TABLES, None);
    let all: Vec<_> = log
        .checkpoints
        .iter()
        .map(|one| (one.number, one.digest()))
        .collect();
    verifier.anchored(last.number, last.digest(), &all);
    let (found, _) = verifier.finish();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].fault, found[0].row.as_str()),
        (Fault::CutOff, last.number.to_string().as_str())
    );
}

#[test]
fn values_do_not_flow_into_their_neighbours() {
    let two = |a, b| {
        NOTES
            .entry(&[Cell::Text(Some(a)), Cell::Text(Some(b))])
            .digest
    };
    assert_ne!(two("ab", "c"), two("a", "bc"));
    let none = NOTES
        .entry(&[Cell::Text(Some("a")), Cell::Text(None)])
        .digest;
    assert_ne!(two("a", ""), none);
}

#[test]
fn keys_are_told_in_words() {
    let id = uuid::Uuid::from_u128(7);
    let key = Table {
        key: &[Column::Id("a"), Column::Number("b"), Column::Text("c")],
        ..NOTES
    };
    let entry = key.entry(&[
        Cell::Id(Some(id)),
        Cell::Number(Some(3)),
        Cell::Text(Some("crm")),
    ]);
    assert_eq!(key_in_words(&entry.key), format!("{id} 3 crm"));
}
