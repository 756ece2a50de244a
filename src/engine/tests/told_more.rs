//! B7: departures of which more is told while their case is under way.
//!
//! Owns that a name, a target or haste that a newer revision adds is acted on at once, that what is
//! doubtful about it waits for a person beside what goes on, and that the file in force today judges no
//! case that began with another.

use std::collections::{BTreeMap, BTreeSet};

use super::given::{self, CRM, account, facts, leaver, leaves, melbourne, news, stays};
use super::play::Play;
use super::target::Target;
use crate::domain::admit::admit;
use crate::domain::event::{EventKind, LifecycleEvent, Urgency};
use crate::domain::id::StateName;
use crate::domain::rotation::Strategy;
use crate::domain::run::{RunBody, Stage};
use crate::domain::settlement::AdmissionDecision;
use crate::domain::step::{Decision, Parts, Woken, decide};
use crate::domain::subject::Identifier;
use crate::domain::task::{Closure, TaskState};
use crate::domain::time::{Effective, Timestamp};
use crate::domain::verdict::CredentialRole;
use crate::domain::workflow::{End, RunKind, Workflow};

/// Revision 2, at once, with this name besides.
fn also(kind: &str, value: &str) -> LifecycleEvent {
    let mut event = news(EventKind::TerminationChanged, 2, Effective::Immediately);
    event.subject.identifiers.push(Identifier {
        kind: kind.to_owned(),
        value: value.to_owned(),
    });
    event
}

/// The leaver has a second account, under a name that revision 1 does not tell.
fn two_accounts() -> Target {
    let mut target = Target::new();
    let other = ("u-77".to_owned(), account("a-3"));
    target.accounts.insert("a-3".into(), other);
    target
}

fn has(target: &Target, id: &str) -> bool {
    target.accounts.contains_key(&id.into())
}

fn codes(play: &Play) -> Vec<String> {
    let open = play.tasks_open();
    open.iter().map(|task| task.code.clone()).collect()
}

#[test]
fn b7_whom_nobody_knew_is_looked_for_again_by_the_name_that_was_missing() {
    let mut target = two_accounts();
    target.accounts.remove(&"a-1".into());
    let mut play = Play::new(&[(CRM, facts())]);
    play.hear(leaves());
    play.rest(&mut target);
    assert_eq!(codes(&play), ["CB-CASE-1"]);
    let task = play.task(RunKind::Case).id;
    play.hear(also("username", "u-77"));
    play.rest(&mut target);
    assert!(!has(&target, "a-3"));
    let closed = |state: &TaskState| {
        matches!(
            state,
            TaskState::Closed {
                how: Closure::Answered,
                ..
            }
        )
    };
    assert!(closed(&play.tasks[&task].state), "{:?}", play.tasks[&task]);
    play.pass(2 * 86_400, &mut target);
    assert_eq!(play.cases.len(), 1);
    assert_eq!(play.cases[0].ended, Some(End::Verified));
}

#[test]
fn b7_a_name_told_during_the_removal_is_acted_on_at_once() {
    for state in ["inspect", "revoke_entitlements", "settle"] {
        let mut target = two_accounts();
        let mut play = Play::begun();
        play.until(RunKind::Removal, state, &mut target);
        assert!(has(&target, "a-3"));
        let decision = play.hear(also("username", "u-77"));
        assert!(
            matches!(decision, AdmissionDecision::Reschedule { .. }),
            "{state}"
        );
        play.rest(&mut target);
        assert!(!has(&target, "a-3"), "{state}");
        play.pass(2 * 86_400, &mut target);
        assert!(!has(&target, "a-1") && has(&target, "a-2"), "{state}");
        assert_eq!(play.cases.len(), 1, "{state}");
        assert_eq!(play.cases[0].ended, Some(End::Verified), "{state}");
        assert!(play.tasks_open().is_empty(), "{state}");
    }
}

#[test]
fn b7_a_wider_reach_and_haste_are_acted_on_and_what_is_known_is_not() {
    let mut target = Target::new();
    let mut play = Play::new(&[(CRM, facts()), ("mail", facts())]);
    let mut first = leaves();
    first.connectors = vec![CRM.into()];
    play.hear(first.clone());
    play.until(RunKind::Removal, "settle", &mut target);
    let at = |play: &Play, name: &str| {
        let runs = play
            .runs
            .values()
            .filter(|run| run.kind == RunKind::Discovery);
        runs.filter(|run| run.connector.as_ref() == Some(&name.into()))
            .count()
    };
    let mut event = news(EventKind::TerminationChanged, 2, Effective::Immediately);
    event.connectors = vec![CRM.into()];
    let decision = play.hear(event.clone());
    assert!(
        matches!(decision, AdmissionDecision::Revise { .. }),
        "{decision:?}"
    );
    event.revision = 3;
    event.connectors.clear();
    play.hear(event.clone());
    play.rest(&mut target);
    assert_eq!((at(&play, CRM), at(&play, "mail")), (2, 1));
    event.revision = 4;
    event.urgency = Urgency::ForCause;
    play.hear(event);
    play.rest(&mut target);
    let haste = play
        .runs
        .values()
        .filter(|run| run.kind == RunKind::Discovery);
    let haste =
        haste.filter(|run| matches!(&run.body, RunBody::Discovery(body) if body.leaving.for_cause));
    assert_eq!(haste.count(), 2);
}

#[test]
fn b7_a_target_that_is_named_and_not_there_is_not_passed_over() {
    let mut play = Play::new(&[(CRM, facts())]);
    let mut event = leaves();
    event.connectors = vec![CRM.into(), "payrol".into()];
    play.hear(event);
    let named = play
        .runs
        .values()
        .filter(|run| run.kind == RunKind::Discovery);
    let mut named: Vec<_> = named.filter_map(|run| run.connector.clone()).collect();
    named.sort();
    assert_eq!(named, [CRM.into(), "payrol".into()]);
}

#[test]
fn a5_what_is_doubtful_of_a_departure_under_way_is_held_beside_it() {
    for called_off in [false, true] {
        let mut target = two_accounts();
        let mut play = Play::new(&[(CRM, facts())]);
        let mut first = leaves();
        first.subject.identifiers = also("employee_number", "n-1").subject.identifiers;
        play.hear(first);
        play.until(RunKind::Removal, "settle", &mut target);
        let mut second = also("employee_number", "n-2");
        second
            .subject
            .identifiers
            .extend(also("username", "u-77").subject.identifiers);
        let decision = play.hear(second);
        assert!(
            matches!(decision, AdmissionDecision::Open { .. }),
            "{decision:?}"
        );
        assert_eq!(codes(&play), ["CB-HOLD-1"]);
        if called_off {
            // Both of it: what was held, and what went on.
            play.hear(stays(3));
            play.rest(&mut target);
            assert_eq!(codes(&play), ["CB-CASE-2"]);
            assert!(play.cases[0].halted);
            assert_eq!(play.cases[1].ended, Some(End::Rescinded));
        } else {
            play.pass(2 * 86_400, &mut target);
            assert_eq!(play.cases[0].ended, Some(End::Verified));
            assert_eq!(play.cases[1].ended, None);
        }
        assert!(has(&target, "a-3"), "nobody has answered the doubt");
    }
}

/// The leaver's file with other names for its states.
fn renamed() -> Workflow {
    let leaver = given::library().by_event(EventKind::WorkerTerminated);
    let mut workflow = (**leaver.expect("is named")).clone();
    let machine = workflow.machines.get_mut(&RunKind::Case).expect("is there");
    let states = std::mem::take(&mut machine.states).into_iter();
    let other = |name: StateName| StateName(format!("other_{name}"));
    machine.states = states.map(|(name, state)| (other(name), state)).collect();
    machine.start = other(machine.start.clone());
    workflow.digest = crate::definitions::digest(&workflow);
    workflow
}

#[test]
fn b1_a_case_is_moved_by_the_file_that_it_began_with() {
    let mut target = Target::new();
    let mut play = Play::new(&[(CRM, facts())]);
    play.hear(news(
        EventKind::WorkerTerminated,
        1,
        melbourne("2026-12-20T18:00:00"),
    ));
    play.rest(&mut target);
    // Doubtful first: it waits for a person, in the state that its own file has for that.
    let far = news(
        EventKind::TerminationChanged,
        2,
        melbourne("2036-12-20T18:00:00"),
    );
    let decision = play.hear_by(far, &renamed());
    assert!(
        matches!(decision, AdmissionDecision::Reschedule { .. }),
        "{decision:?}"
    );
    play.rest(&mut target);
    assert_eq!(codes(&play), ["CB-HOLD-3"]);
    let soon = news(EventKind::TerminationChanged, 3, Effective::Immediately);
    play.hear_by(soon, &renamed());
    play.rest(&mut target);
    assert!(!has(&target, "a-1"));
    // And one that waits is moved, not taken for one that has begun.
    let mut play = Play::new(&[(CRM, facts())]);
    play.hear(news(
        EventKind::WorkerTerminated,
        1,
        melbourne("2026-12-20T18:00:00"),
    ));
    let later = news(
        EventKind::TerminationChanged,
        2,
        melbourne("2026-12-24T18:00:00"),
    );
    play.hear_by(later, &renamed());
    play.rest(&mut target);
    let due: Timestamp = "2026-12-24T07:00:00Z".parse().expect("an instant");
    let run = play.run(RunKind::Case);
    assert!(
        matches!(&run.stage, Stage::Due { due: at, .. } if *at == due),
        "{:?}",
        run.stage
    );
    assert_eq!(play.cases.len(), 1);
    assert_eq!(leaver().key(), play.cases[0].row.subject_key);
}

#[test]
fn p_a_case_that_gathered_nothing_has_proved_nothing() {
    // A file that looks nowhere: the benchmark's, whose removals are begun from outside.
    let text = include_str!("../../../benches/engine/leaver.toml");
    let library = crate::definitions::load(&[("leaver.toml".to_owned(), text.to_owned())]);
    let library = library.expect("is proved");
    let workflow = library
        .by_event(EventKind::WorkerTerminated)
        .expect("is named");
    let play = Play::new(&[(CRM, facts())]);
    let given = play.given(workflow);
    let admission = admit(&given::recorded(leaves(), play.now), &[], &given).expect("consistent");
    let AdmissionDecision::Open { first, .. } = admission.decision else {
        panic!("{:?}", admission.decision);
    };
    for removals in [0, 1] {
        let woken = Woken {
            parts: Some(Parts {
                removals,
                attested: 0,
                empty: Vec::new(),
            }),
            ..Woken::default()
        };
        let decision = decide(first.run.clone(), None, woken, &given).expect("consistent");
        let Decision::Settle(settlement) = decision else {
            panic!("{decision:?}");
        };
        let stage = settlement.run.stage.name();
        assert_eq!(
            stage,
            if removals == 0 {
                "with_person"
            } else {
                "verified"
            }
        );
    }
}

#[test]
fn g1_whoever_is_privileged_takes_two_people_at_every_target() {
    let mut target = Target::new();
    target.deaf = true;
    let mut play = Play::new(&[(CRM, facts())]);
    let mut event = leaves();
    event.subject.privileged = true;
    play.hear(event);
    play.pass(4 * 3600, &mut target);
    assert!(play.task(RunKind::Removal).privileged);
}

#[test]
fn d3_a_compromised_secret_that_no_machine_replaces_is_replaced_by_a_person_and_that_is_proved() {
    let mut half = facts();
    half.rotation.remove(&CredentialRole::Verifier);
    let secrets = [
        CredentialRole::Writer,
        CredentialRole::Verifier,
        CredentialRole::Rotator,
    ];
    half.known_by = secrets.map(|role| (role, BTreeSet::new())).into();
    let mut play = Play::new(&[(CRM, half)]);
    let mut event = news(EventKind::CredentialCompromised, 1, Effective::Immediately);
    event.connectors = vec![CRM.into()];
    event.subject.identifiers.push(Identifier {
        kind: "credential".to_owned(),
        value: format!("{CRM}/writer"),
    });
    play.hear(event.clone());
    let by = |play: &Play| -> BTreeMap<_, _> {
        let wished = play.wished.iter().filter_map(|run| match &run.body {
            RunBody::Rotation(body) => Some((body.role, body.strategy)),
            _ => None,
        });
        wished.collect()
    };
    let expected = BTreeMap::from([
        (CredentialRole::Writer, Strategy::Add),
        (CredentialRole::Verifier, Strategy::Delegated),
        (CredentialRole::Rotator, Strategy::Delegated),
    ]);
    assert_eq!(by(&play), expected);
    assert!(play.cases.is_empty());
    // What is named beside it and not known is asked of a person, and holds nothing up.
    let mut play = Play::new(&[(CRM, facts())]);
    event.connectors.push("payrol".into());
    play.hear(event);
    let task = play.task(RunKind::Case);
    assert_eq!(task.code, "CB-ADMIT-4");
    assert!(
        task.why.contains("payrol") && !task.why.contains(CRM),
        "{}",
        task.why
    );
    assert_eq!(by(&play).len(), 2);
}
