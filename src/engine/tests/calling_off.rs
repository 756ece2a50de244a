//! B7: departures that move, are called off in time, or are called off too late.
//!
//! Owns what admission and halted runs do with later news of a case. That a halt ends the leases of
//! all runs of a case is the store's promise, and tested there.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::given::{self, CRM, LEAVER, attested, facts, melbourne, news, stays};
use super::play::Play;
use super::storm::{Dice, Storm, connectors, rage};
use super::target::{Target, name};
use super::watch::Watch;
use crate::domain::access::AccountState;
use crate::domain::event::{EventKind, LifecycleEvent};
use crate::domain::run::Stage;
use crate::domain::settlement::AdmissionDecision;
use crate::domain::step::{Decision, Effect};
use crate::domain::task::{Closure, TaskState};
use crate::domain::time::{Timestamp, after};
use crate::domain::workflow::{End, RunKind};

fn leaves_at(revision: u64, local: &str) -> LifecycleEvent {
    news(EventKind::WorkerTerminated, revision, melbourne(local))
}

fn moves_to(revision: u64, local: &str) -> LifecycleEvent {
    news(EventKind::TerminationChanged, revision, melbourne(local))
}

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn quiet() -> Play {
    Play::new(&[(CRM, facts())])
}

#[test]
fn b7_a_changed_date_moves_a_waiting_case() {
    for (moved, expected) in [
        ("2026-12-03T18:00:00", "2026-12-03T07:00:00Z"),
        ("2026-11-28T18:00:00", "2026-11-28T07:00:00Z"),
    ] {
        let mut play = quiet();
        play.hear(leaves_at(1, "2026-12-01T18:00:00"));
        let case = play.run(RunKind::Case).id;
        let decision = play.hear(moves_to(2, moved));
        assert!(matches!(decision, AdmissionDecision::Reschedule { .. }));
        assert_eq!(play.runs.len(), 1);
        assert_eq!(play.run(RunKind::Case).id, case);
        assert_eq!(play.run(RunKind::Case).stage.due(), Some(instant(expected)));
        assert_eq!((play.cases.len(), play.cases[0].row.revision), (1, 2));
        // It begins then and not before.
        let mut target = Target::new();
        play.until(RunKind::Removal, "settle", &mut target);
        let first = play.deeds.iter().find_map(|deed| deed.performed.as_ref());
        let (_, _, begun) = first.expect("something was done");
        assert_eq!(*begun, instant(expected));
    }
}

#[test]
fn b7_a_date_moved_into_the_past_means_now() {
    let mut play = quiet();
    play.hear(leaves_at(1, "2026-12-01T18:00:00"));
    play.hear(moves_to(2, "2026-11-01T18:00:00"));
    assert_eq!(play.run(RunKind::Case).stage.due(), Some(play.now));
    play.rest(&mut Target::new());
    assert!(!play.effects().is_empty());
}

#[test]
fn b7_a_cancellation_before_acting_ends_the_case_and_nothing_is_touched() {
    let mut target = Target::new();
    let before = target.access();
    let mut play = quiet();
    play.hear(leaves_at(1, "2026-12-01T18:00:00"));
    play.pass(86_400, &mut target);
    let decision = play.hear(stays(2));
    assert!(matches!(decision, AdmissionDecision::Rescind { .. }));
    play.pass(30 * 86_400, &mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Rescinded));
    assert_eq!(play.effects(), Vec::<&Effect>::new());
    assert_eq!(target.access(), before);
}

#[test]
fn b7_older_and_repeated_revisions_are_ignored() {
    let mut play = quiet();
    play.hear(leaves_at(2, "2026-12-01T18:00:00"));
    let before = play.runs.clone();
    for event in [
        leaves_at(1, "2026-11-28T18:00:00"),
        moves_to(2, "2026-11-28T18:00:00"),
        stays(2),
        stays(1),
    ] {
        assert_eq!(play.hear(event), AdmissionDecision::Ignore);
    }
    assert_eq!(play.runs, before);
}

/// A case that was called off while its removal stood before `state`.
fn called_off_at(state: &str, target: &mut Target) -> Play {
    let mut play = Play::begun();
    play.until(RunKind::Removal, state, target);
    let decision = play.hear(stays(2));
    assert!(matches!(decision, AdmissionDecision::Halt { .. }));
    play
}

#[test]
fn b7_a_case_that_has_acted_stops_and_says_what_was_done() {
    // Given a removal that has disabled the account and ended its sessions.
    let mut target = Target::new();
    let mut play = called_off_at("revoke_credentials", &mut target);
    let (done, left) = (play.effects().len(), target.access());
    // When all that may go on has gone on for a month.
    play.pass(30 * 86_400, &mut target);
    // Then nothing more was done, and a person has the case with the reason.
    assert_eq!(play.effects().len(), done);
    assert_eq!(target.access(), left);
    for kind in [RunKind::Removal, RunKind::Discovery] {
        assert_eq!(play.end(kind), Some(End::Halted));
    }
    assert_eq!(play.end(RunKind::Case), None);
    let task = play.task(RunKind::Case);
    assert_eq!(
        (task.code.as_str(), &task.state),
        ("CB-CASE-2", &TaskState::Open)
    );
    // The journal says what was done, the removal what was there before.
    let removal = play.run(RunKind::Removal).id;
    let lines = play.journal.iter().filter(|line| line.run == removal);
    let told: Vec<_> = lines
        .map(|l| (l.state.as_str(), l.outcome.as_str()))
        .collect();
    let expected = [
        ("inspect", "found"),
        ("disable", "done"),
        ("end_sessions", "done"),
    ];
    assert_eq!(told, expected);
    let account = &play.removal().account;
    assert_eq!(account.state, AccountState::Enabled);
    assert_eq!((account.sessions, account.entitlements.len()), (Some(2), 3));
}

#[test]
fn b7_a_review_is_closed_by_a_persons_word_and_the_case_ends_halted() {
    let mut target = Target::new();
    let mut play = called_off_at("revoke_credentials", &mut target);
    play.pass(60, &mut target);
    let review = play.task(RunKind::Case).id;
    // Without an attestation there is nothing that could be checked.
    play.close(review, "ann", None);
    play.rest(&mut target);
    assert_eq!(play.end(RunKind::Case), None);
    assert_eq!(play.tasks[&review].state.as_str(), "sent_back");
    play.close(review, "ann", Some(attested("ann")));
    play.rest(&mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Halted));
    assert!(matches!(
        play.tasks[&review].state,
        TaskState::Closed {
            how: Closure::Attested,
            ..
        }
    ));
}

#[test]
fn b7_a_case_that_a_person_has_already_tells_that_it_was_called_off() {
    // Given a case that is with a person because nobody knows the leaver.
    let mut empty = Target::new();
    empty.accounts.clear();
    let mut play = Play::begun();
    play.pass(86_400, &mut empty);
    assert_eq!(play.task(RunKind::Case).code, "CB-CASE-1");
    play.hear(stays(2));
    play.rest(&mut empty);
    let task = play.task(RunKind::Case);
    assert_eq!(task.code, "CB-CASE-2");
    assert!(task.why.contains("called off"), "{}", task.why);
    play.close(task.id, "ann", Some(attested("ann")));
    play.rest(&mut empty);
    assert_eq!(play.end(RunKind::Case), Some(End::Halted));
}

#[test]
fn b7_a_review_waits_for_the_children_and_is_not_looked_at_in_between_without_end() {
    // Given a review that was closed before the removal had heard of the halt.
    let mut target = Target::new();
    let mut play = called_off_at("revoke_credentials", &mut target);
    let case = play.run(RunKind::Case).id;
    play.step(case, &mut target);
    play.close(case.task(), "ann", Some(attested("ann")));
    assert!(play.open_children(case) > 0);
    // Then looking at it again is put off, and nothing ends before its children.
    play.step(case, &mut target);
    assert!(play.runs[&case].stage.due() > Some(play.now));
    play.pass(60, &mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Halted));
}

#[test]
fn b7_tasks_of_halted_removals_go_over_into_the_review() {
    let mut target = Target::new();
    target.deaf = true;
    let mut play = called_off_at("with_person", &mut target);
    play.pass(60, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Halted));
    assert!(matches!(
        play.task(RunKind::Removal).state,
        TaskState::Closed {
            how: Closure::Superseded,
            ..
        }
    ));
    assert_eq!(play.task(RunKind::Case).state, TaskState::Open);
}

#[test]
fn b7_a_departure_called_off_after_its_case_had_ended_is_a_persons_business() {
    let mut target = Target::new();
    let mut play = Play::begun();
    play.pass(2 * 86_400, &mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
    play.hear(stays(2));
    let codes: Vec<_> = play.tasks.values().map(|task| task.code.as_str()).collect();
    assert_eq!(codes, ["CB-ADMIT-3"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn b7_from_a_halted_run_nothing_is_performed(
        before in prop::collection::vec(any::<u32>(), 20..600),
        after in prop::collection::vec(any::<u32>(), 200..600),
    ) {
        // Given a departure that has come anywhere.
        let (what, mut who) = Dice::pair(&before);
        let mut play = Play::new(&connectors());
        play.hear(given::leaves());
        let mut watch = Watch::default();
        rage(&mut play, &mut Storm::new(what), &mut who, &mut watch);
        let at_work = matches!(play.run(RunKind::Case).stage, Stage::Gathering { .. });
        // When it is called off.
        play.hear(stays(2));
        let (begun, case) = (play.deeds.len(), play.run(RunKind::Case).id);
        for run in play.runs.values().filter(|run| run.halted) {
            let performs = matches!(play.decision(run.id), Decision::Perform { .. });
            prop_assert!(!performs, "{:?}", run.stage);
        }
        // Then nothing is performed for it, whatever people say and however long it takes.
        let (what, mut who) = Dice::pair(&after);
        let found = rage(&mut play, &mut Storm::new(what), &mut who, &mut watch);
        prop_assert_eq!(found, Vec::<String>::new());
        let of_case = |deed: &&super::play::Deed| deed.before.case.is_some();
        let later = play.deeds[begun..].iter().filter(of_case);
        let performed: Vec<_> = later.filter_map(|deed| deed.performed.as_ref()).collect();
        prop_assert!(performed.is_empty(), "{:?}", performed);
        if at_work {
            let mut target = Target::new();
            play.pass(60, &mut target);
            prop_assert_eq!(play.tasks[&case.task()].code.as_str(), "CB-CASE-2");
        }
    }
}

/// What is still going to happen: when which access ends, and what people have.
fn outlook(events: &[LifecycleEvent]) -> BTreeSet<String> {
    let mut play = quiet();
    for event in events {
        play.now = after(play.now, 60);
        play.hear(event.clone());
    }
    let open = play.cases.iter().filter(|case| case.ended.is_none());
    let cases = open.map(|case| {
        let run = &play.runs[&case.row.id.run()];
        format!("{:?} due {:?}", run.stage.name(), run.stage.due())
    });
    let tasks = play.tasks.values().map(|task| task.code.clone());
    cases.chain(tasks).collect()
}

fn orders(events: &[LifecycleEvent]) -> Vec<Vec<LifecycleEvent>> {
    if events.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in 0..events.len() {
        let mut rest = events.to_vec();
        let event = rest.remove(first);
        for mut order in orders(&rest) {
            order.insert(0, event.clone());
            all.push(order);
        }
    }
    all
}

/// Every order of arrival comes to what the order of revisions comes to.
fn any_order(events: &[LifecycleEvent]) {
    let expected = outlook(events);
    for order in orders(events) {
        let revisions: Vec<_> = order.iter().map(|event| event.revision).collect();
        assert_eq!(outlook(&order), expected, "arrived as {revisions:?}");
    }
}

#[test]
fn b7_moves_come_to_the_same_in_any_order_of_arrival() {
    any_order(&[
        leaves_at(1, "2026-12-01T18:00:00"),
        moves_to(2, "2026-12-05T18:00:00"),
        moves_to(3, "2026-11-29T18:00:00"),
        moves_to(4, "2026-12-03T18:00:00"),
    ]);
}

#[test]
fn b7_a_departure_that_is_on_again_comes_to_the_same_in_any_order_of_arrival() {
    any_order(&[
        leaves_at(1, "2026-12-01T18:00:00"),
        stays(2),
        leaves_at(3, "2026-12-05T18:00:00"),
    ]);
}

#[test]
fn b7_a_departure_called_off_twice_comes_to_the_same_in_any_order_of_arrival() {
    any_order(&[leaves_at(1, "2026-12-01T18:00:00"), stays(2), stays(3)]);
}

#[test]
fn b7_late_news_of_a_departure_that_was_called_off_is_ignored_in_any_order_of_arrival() {
    any_order(&[
        leaves_at(1, "2026-12-01T18:00:00"),
        moves_to(2, "2026-12-05T18:00:00"),
        stays(3),
    ]);
}

#[test]
fn b7_a_departure_that_is_on_again_after_a_halt_is_not_lost() {
    let mut target = Target::new();
    let mut play = called_off_at("revoke_credentials", &mut target);
    play.pass(60, &mut target);
    play.hear(news(
        EventKind::WorkerTerminated,
        3,
        crate::domain::time::Effective::Immediately,
    ));
    play.pass(7200, &mut target);
    let left = target.accounts.values().filter(|(of, _)| of == LEAVER);
    assert_eq!(
        left.count(),
        0,
        "{:?}",
        play.effects().last().map(|e| name(e))
    );
}
