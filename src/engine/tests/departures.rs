//! P, A4: a departure is outdated by nothing but news of itself.
//!
//! Owns what admission makes of other cases of the same subject, and of others under the same HR case.
//! Departures that move or are called off are tested in `calling_off`.

use super::given::{CRM, facts, leaves, leaves_of, melbourne, news, stays};
use super::play::Play;
use super::target::Target;
use crate::domain::command::Wish;
use crate::domain::event::{EventKind, LifecycleEvent};
use crate::domain::run::{RunBody, Stage};
use crate::domain::settlement::AdmissionDecision;
use crate::domain::time::Effective;
use crate::domain::workflow::{End, RunKind};

fn at_once(kind: EventKind, revision: u64) -> LifecycleEvent {
    news(kind, revision, Effective::Immediately)
}

fn opens(decision: &AdmissionDecision) -> bool {
    matches!(decision, AdmissionDecision::Open { .. })
}

/// Codes of the open cases that are with a person, in order.
fn codes(play: &Play) -> Vec<String> {
    let mut codes: Vec<_> = play
        .tasks_open()
        .iter()
        .map(|task| task.code.clone())
        .collect();
    codes.sort();
    codes
}

#[test]
fn p_what_else_is_open_about_the_subject_does_not_stand_for_its_departure() {
    let others = [
        EventKind::LegalHoldPlaced,
        EventKind::LegalHoldLifted,
        EventKind::WorkerMoved,
        EventKind::Rehired,
        EventKind::IdentifierRecycled,
        EventKind::ApplicationRetired,
        EventKind::CredentialCompromised,
        EventKind::NhiSilent,
    ];
    // Sources that give no case of their own have the subject's id for it, and count alike.
    for (other, revision) in others.iter().flat_map(|kind| [(*kind, 1), (*kind, 4)]) {
        let mut play = Play::new(&[(CRM, facts())]);
        play.hear(at_once(other, revision));
        let decision = play.hear(at_once(EventKind::WorkerTerminated, 1));
        assert!(opens(&decision), "{other:?} {revision}: {decision:?}");
        // And the other way round: what is news of something else opens a case of its own.
        let again = play.hear(at_once(EventKind::WorkerTerminated, 1));
        assert!(
            matches!(again, AdmissionDecision::Ignore),
            "{other:?}: {again:?}"
        );
    }
}

#[test]
fn p_a_departure_after_a_new_role_is_carried_out() {
    let mut play = Play::new(&[(CRM, facts())]);
    let mut target = Target::new();
    let before = target.access();
    play.hear(at_once(EventKind::WorkerMoved, 4));
    play.rest(&mut target);
    assert!(opens(&play.hear(at_once(EventKind::WorkerTerminated, 5))));
    play.pass(2 * 86_400, &mut target);
    assert_ne!(target.access(), before);
    assert_eq!(codes(&play), ["CB-ADMIT-2"], "the new role is a person's");
}

/// The departure as another source tells it, which counts its revisions for itself.
fn of_security(event: LifecycleEvent) -> LifecycleEvent {
    LifecycleEvent {
        source: "urn:soc".to_owned(),
        ..event
    }
}

#[test]
fn p_what_one_source_tells_does_not_outdate_what_another_does() {
    // One that leaves in a while, by the seventh revision; and at once, by the first of another source.
    let mut play = Play::new(&[(CRM, facts())]);
    let mut target = Target::new();
    let before = target.access();
    let planned = |revision| {
        news(
            EventKind::WorkerTerminated,
            revision,
            melbourne("2026-12-01T18:00:00"),
        )
    };
    play.hear(planned(7));
    let at_once = of_security(at_once(EventKind::WorkerTerminated, 1));
    assert!(opens(&play.hear(at_once.clone())));
    play.pass(2 * 86_400, &mut target);
    assert_ne!(target.access(), before, "today");
    // The other way round: what is under way goes on, and so it does when the other is called off.
    for (later, code) in [(planned(2), 0), (stays(2), 1)] {
        let mut play = Play::new(&[(CRM, facts())]);
        let mut target = Target::new();
        play.hear(at_once.clone());
        play.until(RunKind::Removal, "disable", &mut target);
        play.hear(later);
        let told = codes(&play)
            .iter()
            .filter(|one| *one == "CB-ADMIT-6")
            .count();
        assert_eq!(told, code);
        play.pass(2 * 86_400, &mut target);
        assert_ne!(target.access(), before);
        assert!(!play.cases[0].halted);
        assert_eq!(play.cases[0].ended, Some(End::Verified));
    }
}

#[test]
fn p_a_departure_of_which_nobody_knows_is_called_off_beside_another_that_goes_on() {
    let mut play = Play::new(&[(CRM, facts())]);
    play.hear(news(
        EventKind::WorkerTerminated,
        1,
        melbourne("2026-12-01T18:00:00"),
    ));
    let departure = play.cases[0].row.clone();
    let mut other = stays(2);
    other.hr_case = "hr-9".to_owned();
    play.hear(other.clone());
    let task = play.tasks_open().remove(0);
    assert_eq!((task.code.as_str(), task.priority), ("CB-ADMIT-6", 0));
    assert!(task.why.contains(&departure.id.to_string()), "{}", task.why);
    assert_eq!(play.cases[0].row, departure);
    assert!(!play.cases[0].halted);
    // It is remembered nonetheless: what comes late is outdated.
    let mut late = at_once(EventKind::WorkerTerminated, 1);
    late.id = "late".to_owned();
    late.hr_case = "hr-9".to_owned();
    assert!(matches!(play.hear(late), AdmissionDecision::Ignore));
    // Where nothing goes on, it is filed.
    let mut play = Play::new(&[(CRM, facts())]);
    play.hear(other);
    assert!(codes(&play).is_empty());
}

#[test]
fn p_one_hr_case_for_several_people_loses_none_of_them() {
    let mut play = Play::new(&[(CRM, facts())]);
    play.hear(news(
        EventKind::WorkerTerminated,
        1,
        melbourne("2026-12-01T18:00:00"),
    ));
    let first = play.cases[0].row.clone();
    for number in 2..4 {
        let mut other = leaves_of(&format!("e-{number}0"), number);
        other.hr_case.clone_from(&first.hr_case);
        assert!(opens(&play.hear(other)), "{number}");
    }
    assert_eq!(play.cases.len(), 3);
    assert_eq!(play.cases[0].row, first, "the first is as it was");
}

#[test]
fn a5_a_newer_revision_that_names_somebody_else_is_held() {
    let mut play = Play::new(&[(CRM, facts())]);
    let mut target = Target::new();
    let before = target.access();
    play.hear(news(
        EventKind::WorkerTerminated,
        1,
        melbourne("2026-12-01T18:00:00"),
    ));
    let mut corrected = leaves_of("e-20", 2);
    corrected.hr_case.clone_from(&play.cases[0].row.hr_case);
    corrected.revision = 2;
    assert!(opens(&play.hear(corrected)));
    play.rest(&mut target);
    assert_eq!(codes(&play), ["CB-HOLD-7"]);
    assert_eq!(target.access(), before);
}

#[test]
fn p_a_corrected_zone_is_a_departure_that_begins() {
    let mut play = Play::new(&[(CRM, facts())]);
    let nowhere = Effective::At {
        local: "2026-12-01T18:00:00".parse().expect("a local time"),
        zone: "Mars/Olympus".to_owned(),
    };
    play.hear(news(EventKind::WorkerTerminated, 1, nowhere));
    let decision = play.hear(at_once(EventKind::TerminationChanged, 2));
    assert!(opens(&decision), "{decision:?}");
    // What said no more than the first is known.
    let old = play.hear(at_once(EventKind::WorkerTerminated, 1));
    assert!(matches!(old, AdmissionDecision::Ignore), "{old:?}");
}

#[test]
fn b7_a_departure_that_is_on_again_after_it_was_called_off_too_late_begins() {
    let mut play = Play::new(&[(CRM, facts())]);
    let mut target = Target::new();
    play.hear(leaves());
    play.pass(2 * 86_400, &mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
    play.hear(stays(2));
    assert_eq!(codes(&play), ["CB-ADMIT-3"]);
    let decision = play.hear(at_once(EventKind::WorkerTerminated, 3));
    assert!(opens(&decision), "{decision:?}");
}

#[test]
fn b7_nobody_elses_departure_is_called_off() {
    let mut play = Play::new(&[(CRM, facts())]);
    play.hear(news(
        EventKind::WorkerTerminated,
        1,
        melbourne("2026-12-01T18:00:00"),
    ));
    let mut other = stays(2);
    other.subject.id = "e-20".to_owned();
    play.hear(other);
    assert_eq!(play.cases[0].row.revision, 1);
    let waiting = |run: &&crate::domain::run::Run| matches!(run.stage, Stage::Due { .. });
    assert_eq!(play.runs.values().filter(waiting).count(), 1);
}

#[test]
fn f1_a_close_that_is_taken_back_at_once_leaves_the_case_at_rest() {
    let mut play = Play::new(&[(CRM, facts())]);
    let mut target = Target::new();
    play.hear(at_once(EventKind::Rehired, 1));
    play.rest(&mut target);
    let task = play.task(RunKind::Case).id;
    assert!(play.close(task, "ann", None).accepted);
    let reason = "not yet".to_owned();
    assert!(play.wish("ann", Wish::RejectTask { task, reason }).accepted);
    let run = play.run(RunKind::Case).clone();
    assert_eq!(run.stage.due(), Some(play.now), "it is looked at");
    play.step(run.id, &mut target);
    // Nothing is claimed and nothing can be tried: it waits for a person, and is not looked at again.
    let run = play.run(RunKind::Case);
    assert_eq!(run.stage.due(), None, "{:?}", run.stage);
    assert!(matches!(run.stage, Stage::WithPerson { .. }));
    assert!(matches!(&run.body, RunBody::Case(body) if body.claim.is_none()));
    assert!(play.close(task, "ann", None).accepted, "and can be closed");
}
