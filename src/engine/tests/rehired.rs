//! B7: whoever is back loses nothing more, and a person is told which departures ended for it.
//!
//! Owns what a rehiring does to the departures of its subject that are under way, and what it leaves
//! alone. What it does to access that is there again after a departure had ended is in `in_hand`.

use super::given::{attested, leaves, melbourne, news};
use super::play::Play;
use super::target::Target;
use crate::domain::command::Wish;
use crate::domain::event::{EventKind, LifecycleEvent};
use crate::domain::id::CaseId;
use crate::domain::settlement::AdmissionDecision;
use crate::domain::subject::Identifier;
use crate::domain::task::FallbackTask;
use crate::domain::time::{Effective, Timestamp};
use crate::domain::workflow::{End, RunKind};

/// What the departure says.
const LEAVES: &str = "2026-12-01T18:00:00";

fn back() -> LifecycleEvent {
    let mut event = news(EventKind::Rehired, 1, Effective::Immediately);
    event.hr_case = "hr-back".to_owned();
    event
}

fn back_since(local: &str) -> LifecycleEvent {
    LifecycleEvent {
        effective: melbourne(local),
        ..back()
    }
}

fn at(event: LifecycleEvent, told: &str) -> LifecycleEvent {
    let told: Timestamp = told.parse().expect("an instant");
    LifecycleEvent {
        occurred: Some(told),
        ..event
    }
}

fn number(mut event: LifecycleEvent, value: &str) -> LifecycleEvent {
    event.subject.identifiers = vec![Identifier {
        kind: "employee_number".to_owned(),
        value: value.to_owned(),
    }];
    event
}

fn scheduled() -> LifecycleEvent {
    news(EventKind::WorkerTerminated, 1, melbourne(LEAVES))
}

/// The task of this case.
fn task(play: &Play, case: CaseId) -> &FallbackTask {
    &play.tasks[&case.run().task()]
}

/// The departure, and the rehiring heard of a day later.
fn heard(departure: LifecycleEvent, back: LifecycleEvent) -> (Play, Target, AdmissionDecision) {
    let mut target = Target::new();
    let mut play = Play::new(&[(super::given::CRM, super::given::facts())]);
    play.hear(departure);
    play.pass(86_400, &mut target);
    let decision = play.hear(back);
    (play, target, decision)
}

/// Whether the departure is carried out in the end.
fn carried_out(play: &mut Play, target: &mut Target) -> bool {
    let before = target.access();
    play.pass(30 * 86_400, target);
    target.access() != before
}

#[test]
fn b7_a_time_that_is_yet_to_come_puts_no_news_last() {
    let ahead = at(scheduled(), "2099-01-01T00:00:00Z");
    let now = super::given::dawn().to_string();
    let (mut play, mut target, _) = heard(ahead, at(back(), &now));
    assert!(!carried_out(&mut play, &mut target));
    assert_eq!(play.cases[0].ended, Some(End::Rescinded));
}

#[test]
fn b7_a_scheduled_departure_ends_when_its_subject_is_back() {
    let (mut play, mut target, decision) = heard(scheduled(), back());
    assert!(matches!(decision, AdmissionDecision::Stop { .. }));
    let departure = play.cases[0].row.id;
    assert!(!carried_out(&mut play, &mut target));
    assert_eq!(play.cases[0].ended, Some(End::Rescinded));
    // The journal of the one names the news, the task of the other the case.
    let mut lines = play.journal.iter();
    let line = lines.find(|line| line.run == departure.run() && line.detail.is_some());
    let detail = line
        .expect("a line")
        .detail
        .as_ref()
        .map(ToString::to_string);
    assert!(
        detail
            .expect("a reason")
            .contains("clawback.worker.rehired.v1/1")
    );
    let task = task(&play, play.cases[1].row.id);
    assert_eq!(task.code, "CB-ADMIT-2");
    let told = format!("case {departure} had not begun, and is ended");
    assert!(task.why.contains(&told), "{}", task.why);
}

#[test]
fn b7_a_departure_that_has_begun_stops_before_its_next_write_when_its_subject_is_back() {
    for state in ["disable", "revoke_entitlements", "settle"] {
        let mut target = Target::new();
        let mut play = Play::begun();
        play.until(RunKind::Removal, state, &mut target);
        let (done, stopped) = (play.effects().len(), play.cases[0].row.id);
        let revision = play.cases[0].row.revision;
        play.hear(LifecycleEvent {
            revision: 9,
            ..back()
        });
        play.pass(30 * 86_400, &mut target);
        assert_eq!(play.effects().len(), done, "{state}");
        assert_eq!(play.cases[0].row.revision, revision, "another HR case's");
        let review = task(&play, stopped);
        assert_eq!(review.code, "CB-CASE-5", "{state}");
        let back = play.cases[1].row.id;
        assert!(review.why.contains(&back.to_string()), "{}", review.why);
        if state == "settle" {
            let steps = review.steps.join("\n");
            assert!(steps.contains("disable done; end_sessions done"), "{steps}");
        }
        let told = format!("case {stopped} is stopped before its next write");
        assert!(task(&play, back).why.contains(&told));
        // The review is closed like any other.
        let review = review.id;
        play.close(review, "ann", Some(attested("ann")));
        play.rest(&mut target);
        assert_eq!(play.cases[0].ended, Some(End::Halted), "{state}");
    }
}

#[test]
fn b7_a_departure_that_was_put_off_does_not_go_on_when_its_subject_is_back() {
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Removal, "revoke_credentials", &mut target);
    play.hear(news(
        EventKind::TerminationChanged,
        2,
        melbourne("2026-12-20T18:00:00"),
    ));
    play.pass(3600, &mut target);
    assert_eq!(task(&play, play.cases[0].row.id).code, "CB-CASE-3");
    play.hear(back());
    assert!(!carried_out(&mut play, &mut target));
    assert_eq!(play.cases[1].ended, Some(End::Rescinded));
    let review = task(&play, play.cases[0].row.id);
    assert_eq!(review.code, "CB-CASE-5", "{}", review.why);
}

#[test]
fn b7_a_held_departure_is_dropped_when_its_subject_is_back() {
    let held = news(
        EventKind::WorkerTerminated,
        1,
        melbourne("2126-01-01T09:00:00"),
    );
    let (mut play, mut target, _) = heard(held, back());
    let asked = task(&play, play.cases[0].row.id).id;
    assert!(!carried_out(&mut play, &mut target));
    assert_eq!(play.cases[0].ended, Some(End::Rescinded));
    assert!(play.tasks[&asked].is_closed());
}

#[test]
fn b7_a_rehiring_that_is_older_than_the_departure_stops_nothing() {
    // Told again, or late: its source says when it was told.
    let departure = at(scheduled(), "2026-11-20T07:00:00Z");
    for (told, stops) in [
        ("2026-01-10T07:00:00Z", false),
        ("2026-11-25T07:00:00Z", true),
    ] {
        let event = at(back_since("2026-01-10T09:00:00"), told);
        let (mut play, mut target, decision) = heard(departure.clone(), event);
        let stopped = matches!(decision, AdmissionDecision::Stop { .. });
        assert_eq!(stopped, stops, "{told}");
        assert_eq!(task(&play, play.cases[1].row.id).code, "CB-ADMIT-2");
        assert_eq!(carried_out(&mut play, &mut target), !stops, "{told}");
    }
}

#[test]
fn b7_where_the_order_cannot_be_told_a_person_is_told_loudly_and_nothing_stops() {
    for event in [
        // Back for long when the departure was heard of, and no source says when.
        back_since("2026-01-10T09:00:00"),
        // Back after the departure: it has to happen first.
        back_since("2027-02-01T09:00:00"),
    ] {
        let (mut play, mut target, decision) = heard(scheduled(), event);
        assert!(matches!(decision, AdmissionDecision::Open { .. }));
        let told = task(&play, play.cases[1].row.id);
        assert_eq!((told.code.as_str(), told.priority), ("CB-ADMIT-5", 0));
        let departure = play.cases[0].row.id.to_string();
        assert!(told.why.contains(&departure), "{}", told.why);
        assert!(carried_out(&mut play, &mut target));
    }
}

#[test]
fn b7_a_rehiring_of_whom_it_is_not_certain_is_loud_and_stops_nothing() {
    let departure = number(scheduled(), "n-1");
    let (mut play, mut target, decision) = heard(departure, number(back(), "n-2"));
    assert!(matches!(decision, AdmissionDecision::Open { .. }));
    let told = task(&play, play.cases[1].row.id);
    assert_eq!(told.code, "CB-ADMIT-5");
    assert!(told.why.contains("n-2"), "{}", told.why);
    assert!(carried_out(&mut play, &mut target));
}

/// The same person, or somebody else, under this record.
fn record(mut event: LifecycleEvent, id: &str, kind: &str) -> LifecycleEvent {
    event.subject.id = id.to_owned();
    event.subject.identifiers = vec![Identifier {
        kind: kind.to_owned(),
        value: "lea".to_owned(),
    }];
    event
}

#[test]
fn b7_a_rehiring_under_another_record_is_loud_about_the_departure_that_shares_its_name() {
    for (kind, code) in [("username", "CB-ADMIT-5"), ("email", "CB-ADMIT-2")] {
        for departure in [scheduled(), leaves()] {
            let event = record(back(), "e-77", kind);
            let mut target = Target::new();
            let mut play = Play::new(&[(super::given::CRM, super::given::facts())]);
            play.hear(record(departure, super::given::LEAVER, kind));
            play.rest(&mut target);
            let decision = play.hear(event);
            // Nothing stops: perhaps it is somebody else who got the name.
            assert!(matches!(decision, AdmissionDecision::Open { .. }), "{kind}");
            let told = task(&play, play.cases[1].row.id);
            assert_eq!(told.code, code);
            let named = told.why.contains(&play.cases[0].row.id.to_string());
            let loud = code == "CB-ADMIT-5";
            assert_eq!((told.priority == 0, named), (loud, loud), "{}", told.why);
            play.pass(30 * 86_400, &mut target);
            assert_eq!(play.cases[0].ended, Some(End::Verified));
        }
    }
}

#[test]
fn b7_a_rehiring_under_another_record_leaves_departures_alone_that_are_over() {
    let mut target = Target::new();
    let mut play = Play::new(&[(super::given::CRM, super::given::facts())]);
    play.hear(record(leaves(), super::given::LEAVER, "username"));
    play.pass(30 * 86_400, &mut target);
    assert_eq!(play.cases[0].ended, Some(End::Verified));
    play.hear(record(back(), "e-77", "username"));
    assert_eq!(task(&play, play.cases[1].row.id).code, "CB-ADMIT-2");
}

#[test]
fn a3_a_departure_told_before_the_rehiring_and_heard_of_after_it_is_held() {
    let told = |event, day: u32| at(event, &format!("2026-11-{day}T07:00:00Z"));
    for (day, held) in [(20, true), (26, false)] {
        let mut target = Target::new();
        let mut play = Play::new(&[(super::given::CRM, super::given::facts())]);
        play.hear(told(back(), 25));
        play.hear(told(leaves(), day));
        play.rest(&mut target);
        assert_eq!(!play.effects().is_empty(), !held, "{day}");
        let mut codes = play.tasks_open().into_iter().map(|task| task.code.clone());
        assert_eq!(codes.any(|code| code == "CB-HOLD-8"), held, "{day}");
    }
}

#[test]
fn b7_a_departure_told_after_the_rehiring_is_carried_out() {
    let mut target = Target::new();
    let mut play = Play::new(&[(super::given::CRM, super::given::facts())]);
    play.hear(back());
    play.pass(3600, &mut target);
    let decision = play.hear(leaves());
    assert!(matches!(decision, AdmissionDecision::Open { .. }));
    assert!(carried_out(&mut play, &mut target));
}

/// Left in one year, back in the next, and told to leave anew under the same HR case by revision 1 again,
/// each told on such a day; answers the play and how many cases there were before the last event.
fn left_again(back_told: Option<u32>, told: Option<u32>) -> (Play, Target, usize) {
    let day = |event: LifecycleEvent, day: Option<u32>| match day {
        Some(day) => at(event, &format!("2026-11-{day}T07:00:00Z")),
        None => event,
    };
    let mut target = Target::new();
    let mut play = Play::new(&[(super::given::CRM, super::given::facts())]);
    play.hear(leaves());
    play.pass(3 * 86_400, &mut target);
    assert_eq!(play.cases[0].ended, Some(End::Verified));
    play.hear(day(back(), back_told));
    play.pass(86_400, &mut target);
    let again = Target::new().accounts;
    target.accounts.extend(again);
    let mut event = day(leaves(), told);
    event.id = "leaves-again".to_owned();
    let before = play.cases.len();
    play.hear(event.clone());
    // Told once more, it is one departure.
    event.id = "leaves-again/2".to_owned();
    play.hear(event);
    (play, target, before)
}

#[test]
fn b7_the_next_departure_under_an_old_revision_is_carried_out_when_it_was_told_after_the_rehiring()
{
    let (mut play, mut target, before) = left_again(Some(28), Some(30));
    assert_eq!(play.cases.len(), before + 1);
    assert!(carried_out(&mut play, &mut target));
    assert_eq!(play.cases[before].ended, Some(End::Verified));
}

#[test]
fn b7_an_old_revision_after_a_rehiring_is_a_persons_where_nothing_says_which_was_told_first() {
    for (back, told) in [(None, None), (Some(28), None), (Some(28), Some(28))] {
        let (mut play, mut target, before) = left_again(back, told);
        assert_eq!(play.cases.len(), before + 1, "{back:?} {told:?}");
        let held = play.cases[before].row.id;
        assert_eq!(task(&play, held).code, "CB-HOLD-9");
        assert!(!carried_out(&mut play, &mut target));
        // And when a person lets it go on, it does.
        let wish = Wish::RuleHold {
            task: held.run().task(),
            release: true,
            note: "she left again".to_owned(),
            meant: None,
        };
        play.wish("ann", wish);
        assert!(carried_out(&mut play, &mut target), "{back:?} {told:?}");
    }
    // What was told before the rehiring is old news, as ever.
    let (play, _, before) = left_again(Some(30), Some(28));
    assert_eq!(play.cases.len(), before);
}
