//! A5: doubtful events are held for a person, with the reason, and go on by a person's answer.
//!
//! Owns the doubts about whole events. That accounts are matched by immutable ids is tested in
//! `domain::correlation`.

use super::given::{leaves, leaves_of, news, stays};
use super::play::Play;
use super::target::Target;
use crate::domain::command::Wish;
use crate::domain::doubt::Trust;
use crate::domain::event::{EventKind, LifecycleEvent};
use crate::domain::subject::Identifier;
use crate::domain::task::{Closure, TaskState};
use crate::domain::time::{Effective, after};
use crate::domain::workflow::{End, RunKind};

fn known_as(mut event: LifecycleEvent, kind: &str, value: &str) -> LifecycleEvent {
    event.subject.identifiers.push(Identifier {
        kind: kind.to_owned(),
        value: value.to_owned(),
    });
    event
}

fn in_days(days: i64) -> Effective {
    let now = super::given::dawn().to_zoned(jiff::tz::TimeZone::UTC);
    let then = now
        .checked_add(jiff::Span::new().days(days))
        .expect("a date");
    Effective::At {
        local: then.datetime(),
        zone: "UTC".to_owned(),
    }
}

/// The event is heard alone, over one target.
fn heard(event: LifecycleEvent) -> (Play, Target) {
    let mut play = Play::new(&[(super::given::CRM, super::given::facts())]);
    play.hear(event);
    let mut target = Target::new();
    play.rest(&mut target);
    (play, target)
}

fn rule(play: &mut Play, release: bool) -> bool {
    let wish = Wish::RuleHold {
        task: play.task(RunKind::Case).id,
        release,
        note: "asked".to_owned(),
        meant: None,
    };
    play.wish("ann", wish).accepted
}

#[test]
fn a5_a_hold_is_answered_with_a_reason() {
    let (mut play, _) = heard(news(EventKind::WorkerTerminated, 1, in_days(-400)));
    let task = play.task(RunKind::Case).clone();
    let wish = Wish::RuleHold {
        task: task.id,
        release: false,
        note: " ".to_owned(),
        meant: None,
    };
    assert_eq!(play.wish("ann", wish).code.as_deref(), Some("CB-COMMAND-8"));
    assert_eq!(*play.task(RunKind::Case), task);
}

#[test]
fn a5_an_instant_that_is_absurdly_far_off_is_held() {
    for (days, held) in [(-365, false), (-367, true), (730, false), (733, true)] {
        let (play, _) = heard(news(EventKind::WorkerTerminated, 1, in_days(days)));
        let code = play.tasks_open().first().map(|task| task.code.clone());
        assert_eq!(code.as_deref(), held.then_some("CB-HOLD-3"), "{days}");
    }
}

#[test]
fn a5_news_that_is_too_old_is_held() {
    for (limit, held) in [(None, false), (Some(30), true), (Some(31), false)] {
        let mut play = Play::new(&[(super::given::CRM, super::given::facts())]);
        play.estate.trust = Trust {
            event_age_days: limit,
            ..Trust::default()
        };
        let mut event = leaves();
        event.occurred = Some(super::given::dawn());
        play.now = after(play.now, 31 * 86_400);
        play.hear(event);
        play.rest(&mut Target::new());
        let code = play.tasks_open().first().map(|task| task.code.clone());
        assert_eq!(code.as_deref(), held.then_some("CB-HOLD-4"), "{limit:?}");
    }
}

#[test]
fn a5_an_answer_holds_for_the_doubt_that_was_read_and_for_no_other() {
    let (mut play, mut target) = heard(news(EventKind::WorkerTerminated, 1, in_days(-400)));
    let task = play.task(RunKind::Case);
    let (task, read) = (task.id, task.meant());
    let answer = |play: &mut Play, meant| {
        let note = "asked".to_owned();
        let release = true;
        let wish = Wish::RuleHold {
            task,
            release,
            note,
            meant: Some(meant),
        };
        play.wish("ann", wish).code
    };
    // Meanwhile the year is put right, and something else is wrong.
    let other = known_as(leaves_of("e-9", 9), "employee_number", "x-1");
    play.hear(other);
    let again = known_as(
        news(EventKind::TerminationChanged, 2, Effective::Immediately),
        "employee_number",
        "x-1",
    );
    play.hear(again);
    play.rest(&mut target);
    let now = play.tasks[&task].clone();
    assert_eq!(now.code, "CB-HOLD-2");
    assert_eq!(answer(&mut play, read).as_deref(), Some("CB-COMMAND-12"));
    assert!(!play.tasks[&task].is_closed());
    assert_eq!(answer(&mut play, now.meant()), None);
    play.rest(&mut target);
    assert!(play.tasks[&task].is_closed());
}

#[test]
fn a5_the_same_person_under_two_records_is_held_and_nothing_is_touched() {
    for (kind, held) in [
        ("employee_number", true),
        ("username", true),
        ("email", false),
        ("organisation_unit", false),
    ] {
        let (mut play, mut target) = heard(known_as(leaves_of("e-9", 9), kind, "x-1"));
        target.accounts = Target::new().accounts;
        let before = target.access();
        play.hear(known_as(leaves(), kind, "X-1"));
        play.rest(&mut target);
        let codes: Vec<_> = play
            .tasks_open()
            .iter()
            .map(|one| one.code.clone())
            .collect();
        assert_eq!(
            codes.contains(&"CB-HOLD-2".to_owned()),
            held,
            "{kind} {codes:?}"
        );
        assert_eq!(target.access() == before, held, "{kind}");
    }
}

#[test]
fn a5_an_identifier_that_contradicts_what_is_known_is_held() {
    for (kind, held) in [
        ("employee_number", true),
        ("username", false),
        ("organisation_unit", false),
    ] {
        let (mut play, mut target) = heard(known_as(leaves(), kind, "n-1"));
        let mut second = known_as(leaves(), kind, "n-2");
        second.id = "second".to_owned();
        second.hr_case = "hr-2".to_owned();
        play.hear(second);
        play.rest(&mut target);
        let open = play.tasks_open();
        let codes: Vec<_> = open.iter().map(|task| task.code.as_str()).collect();
        assert_eq!(codes.contains(&"CB-HOLD-1"), held, "{kind} {codes:?}");
    }
}

#[test]
fn a5_a_person_releases_what_was_held_and_it_goes_its_way() {
    let (mut play, mut target) = heard(news(EventKind::WorkerTerminated, 1, in_days(-400)));
    let before = target.access();
    play.pass(86_400, &mut target);
    assert_eq!(target.access(), before, "nothing is done without an answer");
    assert!(rule(&mut play, true));
    play.rest(&mut target);
    let task = play.task(RunKind::Case);
    let closed = matches!(
        &task.state,
        TaskState::Closed { how: Closure::Answered, by, .. } if by == "ann"
    );
    assert!(closed, "{task:?}");
    play.pass(2 * 86_400, &mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
    assert_ne!(target.access(), before);
}

#[test]
fn a5_a_person_drops_what_was_held_and_nothing_is_done() {
    let (mut play, mut target) = heard(news(EventKind::WorkerTerminated, 1, in_days(-400)));
    let before = target.access();
    assert!(rule(&mut play, false));
    play.pass(86_400, &mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Rescinded));
    assert!(play.tasks_open().is_empty());
    assert_eq!(target.access(), before);
}

#[test]
fn a5_a_source_that_corrects_itself_needs_no_answer() {
    let (mut play, mut target) = heard(news(EventKind::WorkerTerminated, 1, in_days(-400)));
    play.hear(news(EventKind::TerminationChanged, 2, in_days(-401)));
    play.rest(&mut target);
    assert_eq!(play.tasks_open().len(), 1, "no less doubtful");
    play.hear(news(EventKind::TerminationChanged, 3, in_days(1)));
    play.rest(&mut target);
    assert!(play.tasks_open().is_empty());
    assert_eq!(play.end(RunKind::Case), None, "it waits for its day");
    play.pass(3 * 86_400, &mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
}

#[test]
fn a5_what_is_called_off_while_it_is_held_ends_with_nothing_done() {
    let (mut play, mut target) = heard(news(EventKind::WorkerTerminated, 1, in_days(-400)));
    let before = target.access();
    play.hear(stays(2));
    play.pass(86_400, &mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Rescinded));
    assert!(play.tasks_open().is_empty());
    assert_eq!(target.access(), before);
}

#[test]
fn a5_only_what_is_held_can_be_released() {
    let (mut play, mut target) = heard(news(EventKind::WorkerMoved, 1, Effective::Immediately));
    assert!(!rule(&mut play, true));
    play.rest(&mut target);
    assert_eq!(play.tasks_open().len(), 1);
}
