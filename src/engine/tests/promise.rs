//! P: every case ends in proof or in a person's hands, whatever comes back.
//!
//! Owns the property over random histories of the built-in workflows, the proof that those histories
//! reach everything, and the planted violations that show that the watch would notice.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::given::{self, news};
use super::play::{Deed, Play};
use super::storm::{Dice, Storm, connectors, rage, throw};
use super::target::{Target, name};
use super::watch::Watch;
use crate::domain::event::EventKind;
use crate::domain::outcome::FailureClass;
use crate::domain::run::Stage;
use crate::domain::settlement::{AdmissionDecision, JournalEntry, Outcome};
use crate::domain::step::Effect;
use crate::domain::time::Effective;
use crate::domain::verdict::Verdict;
use crate::domain::workflow::{End, OutcomeKey, RunKind};

/// A random history of one departure from three targets; returns it with what is wrong in it.
fn history(rolls: &[u32]) -> (Play, Vec<String>) {
    let (what, mut who) = Dice::pair(rolls);
    let mut play = Play::new(&connectors());
    play.hear(given::leaves());
    let found = rage(
        &mut play,
        &mut Storm::new(what),
        &mut who,
        &mut Watch::default(),
    );
    (play, found)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    // `Play` panics where the core answers `Inconsistent`, so that is part of the property.
    #[test]
    fn p_every_history_is_owed_proved_or_in_a_persons_hands(
        rolls in prop::collection::vec(any::<u32>(), 100..1600),
    ) {
        let (_, found) = history(&rolls);
        prop_assert_eq!(found, Vec::<String>::new());
    }
}

#[test]
fn p_the_random_histories_reach_every_end_every_failure_and_every_effect() {
    let (mut ends, mut classes, mut effects) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut keys, mut sent_back) = (BTreeSet::new(), 0);
    for seed in 0..60 {
        let (play, found) = history(&throw(seed, 1600));
        assert_eq!(found, Vec::<String>::new(), "seed {seed}");
        for run in play.runs.values() {
            if let Stage::Ended { end, .. } = run.stage {
                ends.insert((run.kind.as_str(), end.as_str()));
            }
        }
        classes.extend(play.journal.iter().filter_map(JournalEntry::class));
        keys.extend(play.journal.iter().map(|entry| entry.outcome));
        effects.extend(play.effects().into_iter().map(name));
        let told = play.tasks.values().flat_map(|task| &task.history);
        sent_back += told
            .filter(|note| note.text.starts_with("sent back"))
            .count();
    }
    for kind in RunKind::ALL {
        assert!(
            ends.contains(&(kind.as_str(), "attested")) || kind == RunKind::Case,
            "{ends:?}"
        );
    }
    for end in [
        ("case", "verified"),
        ("discovery", "verified"),
        ("removal", "verified"),
        ("rotation", "rotated"),
    ] {
        assert!(ends.contains(&end), "{end:?} is not in {ends:?}");
    }
    assert_eq!(classes.len(), FailureClass::ALL.len(), "{classes:?}");
    for key in [
        OutcomeKey::Present,
        OutcomeKey::Absent,
        OutcomeKey::Inconclusive,
    ] {
        assert!(keys.contains(&key), "{keys:?}");
    }
    assert_eq!(effects.len(), 15, "{effects:?}");
    assert!(sent_back > 0);
}

/// A healthy departure, up to and with its last look.
fn proved() -> (Play, Deed) {
    let mut play = Play::begun();
    play.pass(7200, &mut Target::new());
    let deeds = play.deeds.iter();
    let mut removal = deeds.filter(|deed| deed.before.kind == RunKind::Removal);
    let last = removal.next_back().expect("the removal ended").clone();
    (play, last)
}

#[test]
fn p_a_healthy_departure_ends_verified_by_two_looks() {
    let (mut play, last) = proved();
    assert_eq!(Watch::default().see(&play, &last), Vec::<String>::new());
    // And the case by a last search, a day later.
    play.pass(86_400, &mut Target::new().empty());
    for kind in [RunKind::Removal, RunKind::Discovery, RunKind::Case] {
        assert_eq!(play.end(kind), Some(End::Verified));
    }
    assert_eq!(
        play.run(RunKind::Removal).verdict,
        Some(Verdict::Reverified)
    );
    let looks = play.effects().into_iter();
    assert_eq!(
        looks.filter(|effect| **effect == Effect::Observe).count(),
        2
    );
    assert!(play.tasks.is_empty());
}

#[test]
fn p_the_watch_notices_every_planted_violation() {
    let (play, last) = proved();
    let look: fn(&mut Deed) -> &mut crate::domain::verdict::Observation =
        |deed| match &mut deed.performed {
            Some((_, Outcome::Observed(look), _)) => look,
            other => panic!("{other:?} is no look"),
        };
    let looks: [fn(&mut crate::domain::verdict::Observation); 4] = [
        |look| look.completeness.pages_closed = false,
        |look| look.credential = crate::domain::verdict::CredentialRole::Writer,
        |look| look.data_age_seconds = 301,
        |look| {
            let account = Box::new(given::account("a-1"));
            look.sighting = crate::domain::verdict::Sighting::There(account);
        },
    ];
    for plant in looks {
        let mut deed = last.clone();
        plant(look(&mut deed));
        assert_eq!(Watch::default().see(&play, &deed).len(), 1, "{deed:?}");
    }
    let others: [fn(&mut Deed); 4] = [
        |deed| deed.performed = None,
        |deed| deed.settlement.run.verdict = Some(Verdict::Accepted),
        |deed| deed.settlement.run.step += 1,
        |deed| deed.before.halted = true,
    ];
    for plant in others {
        let mut deed = last.clone();
        plant(&mut deed);
        assert!(!Watch::default().see(&play, &deed).is_empty(), "{deed:?}");
    }
    // A look from before the last write, which the watch must have seen itself.
    let mut watch = Watch::default();
    for deed in &play.deeds {
        watch.see(&play, deed);
    }
    let mut early = last;
    look(&mut early).at = given::dawn();
    early.settlement.run.step += 1;
    early.before.step += 1;
    for entry in &mut early.settlement.journal {
        entry.sequence += 1;
    }
    assert_eq!(watch.see(&play, &early).len(), 1);
}

#[test]
fn p_a_leaver_whom_nobody_knows_is_a_persons_business() {
    let mut empty = Target::new();
    empty.accounts.clear();
    let mut play = Play::begun();
    play.pass(86_400, &mut empty);
    assert_eq!(play.end(RunKind::Discovery), Some(End::Verified));
    assert_eq!(play.run(RunKind::Case).stage.name(), "with_person");
    assert_eq!(play.task(RunKind::Case).code, "CB-CASE-1");
}

#[test]
fn p_an_event_that_no_machine_can_act_on_is_a_persons_business() {
    for kind in [
        EventKind::Rehired,
        EventKind::WorkerMoved,
        EventKind::ApplicationRetired,
        EventKind::LegalHoldPlaced,
        EventKind::LegalHoldLifted,
        EventKind::CredentialCompromised,
    ] {
        let mut play = Play::new(&connectors());
        let decision = play.hear(news(kind, 1, Effective::Immediately));
        assert!(
            matches!(decision, AdmissionDecision::Open { .. }),
            "{kind:?}"
        );
        play.pass(864_000, &mut Target::new());
        assert!(
            play.task(RunKind::Case).code.starts_with("CB-ADMIT"),
            "{kind:?}"
        );
        assert_eq!(play.effects(), Vec::<&Effect>::new(), "{kind:?}");
    }
}

#[test]
fn p_an_instant_in_no_known_zone_is_a_persons_business() {
    let mut play = Play::new(&connectors());
    let effective = Effective::At {
        local: "2026-12-01T18:00:00".parse().expect("a local time"),
        zone: "Mars/Olympus".to_owned(),
    };
    play.hear(news(EventKind::WorkerTerminated, 1, effective));
    assert_eq!(play.task(RunKind::Case).code, "CB-ADMIT-1");
    assert_eq!(play.end(RunKind::Case), None);
}
