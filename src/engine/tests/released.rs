//! A5, B7: what a person's answer to held news does to the departure that is under way beside it.
//!
//! Owns what a release stops, which event an answer counts for, and who reviews what was removed when a
//! departure is called off while news of it is held. That news is held at all is in `doubts`.

use super::given::{CRM, facts, leaves, melbourne, news, stays};
use super::play::Play;
use super::target::Target;
use super::ward::Ward;
use crate::domain::command::{Command, Wish};
use crate::domain::event::{EventKind, LifecycleEvent, Urgency};
use crate::domain::id::{CommandId, TaskId};
use crate::domain::settlement::AdmissionDecision;
use crate::domain::subject::Identifier;
use crate::domain::time::{Clock, Effective};
use crate::domain::workflow::{End, RunKind};
use crate::store::{CaseFilter, IntakeBatch};

const LATER: &str = "2026-12-20T18:00:00";

fn number(mut event: LifecycleEvent, value: &str) -> LifecycleEvent {
    event.subject.identifiers = vec![Identifier {
        kind: "employee_number".to_owned(),
        value: value.to_owned(),
    }];
    event
}

fn release(task: TaskId) -> Wish {
    Wish::RuleHold {
        task,
        release: true,
        note: "asked".to_owned(),
        meant: None,
    }
}

fn codes(play: &Play) -> Vec<String> {
    let open = play.tasks_open();
    open.iter().map(|task| task.code.clone()).collect()
}

/// A departure under way, and doubtful news of it.
fn held_beside(second: LifecycleEvent) -> (Play, Target, TaskId) {
    let mut target = Target::new();
    let mut play = Play::new(&[(CRM, facts())]);
    play.hear(number(leaves(), "n-1"));
    play.until(RunKind::Removal, "revoke_credentials", &mut target);
    let decision = play.hear(number(second, "n-2"));
    assert!(
        matches!(decision, AdmissionDecision::Open { .. }),
        "{decision:?}"
    );
    assert_eq!(codes(&play), ["CB-HOLD-1"]);
    let task = play.tasks_open()[0].id;
    (play, target, task)
}

#[test]
fn b7_a_release_that_puts_a_departure_off_stops_the_case_under_way() {
    let later = news(EventKind::TerminationChanged, 2, melbourne(LATER));
    let (mut play, mut target, task) = held_beside(later);
    let done = play.effects().len();
    assert!(play.wish("ann", release(task)).accepted);
    play.pass(86_400, &mut target);
    // Nothing more is done until then, and the review tells the case that goes on.
    assert_eq!(play.effects().len(), done);
    assert!(play.cases[0].halted && !play.cases[1].halted);
    assert_eq!(codes(&play), ["CB-CASE-3"]);
    let why = play.tasks_open()[0].why.clone();
    assert!(why.contains(&play.cases[1].row.id.to_string()), "{why}");
    play.pass(30 * 86_400, &mut target);
    assert_eq!(play.cases[1].ended, Some(End::Verified));
    assert_eq!(play.cases[0].ended, None, "the review is a person's");
}

#[test]
fn b7_a_release_of_what_begins_at_once_and_a_drop_stop_nothing() {
    for released in [true, false] {
        let local = if released {
            "2026-11-20T18:00:00"
        } else {
            LATER
        };
        let mut second = news(EventKind::TerminationChanged, 2, melbourne(local));
        second.urgency = Urgency::ForCause;
        let (mut play, mut target, task) = held_beside(second);
        let wish = match release(task) {
            Wish::RuleHold { task, note, .. } => Wish::RuleHold {
                task,
                note,
                release: released,
                meant: None,
            },
            other => other,
        };
        assert!(play.wish("ann", wish).accepted);
        play.pass(3 * 86_400, &mut target);
        assert!(!play.cases[0].halted, "{released}");
        assert_eq!(play.cases[0].ended, Some(End::Verified), "{released}");
    }
}

#[test]
fn a5_an_answer_counts_for_the_event_that_was_read_though_its_doubt_reads_the_same() {
    let far = || {
        news(
            EventKind::WorkerTerminated,
            1,
            melbourne("2024-01-01T09:00:00"),
        )
    };
    let second = || LifecycleEvent {
        kind: EventKind::TerminationChanged,
        id: "second".to_owned(),
        revision: 2,
        ..far()
    };
    let hasty = LifecycleEvent {
        urgency: Urgency::ForCause,
        ..second()
    };
    let wider = LifecycleEvent {
        connectors: vec![CRM.into()],
        ..second()
    };
    let dated = LifecycleEvent {
        effective: melbourne("2024-01-01T08:59:00"),
        ..second()
    };
    for other in [hasty, wider, dated, number(second(), "n-1")] {
        let mut play = Play::new(&[(CRM, facts())]);
        let mut target = Target::new();
        play.hear(far());
        play.rest(&mut target);
        let task = play.tasks_open()[0].id;
        let (read, why) = (play.tasks[&task].meant(), play.tasks[&task].why.clone());
        play.pass(3600, &mut target);
        assert_eq!(play.tasks[&task].meant(), read, "nothing changes by itself");
        play.hear(other);
        play.rest(&mut target);
        assert_eq!(play.tasks[&task].why, why);
        let answer = |play: &mut Play, meant| {
            play.wish(
                "ann",
                Wish::RuleHold {
                    task,
                    release: true,
                    note: "asked".to_owned(),
                    meant: Some(meant),
                },
            )
        };
        let refused = answer(&mut play, read);
        assert_eq!(refused.code.as_deref(), Some("CB-COMMAND-12"));
        let meant = play.tasks[&task].meant();
        assert!(answer(&mut play, meant).accepted);
    }
}

/// A departure that is held, this heard of it, and what each of two people then says at once.
fn answered_after(
    heard: Option<LifecycleEvent>,
    answers: [bool; 2],
) -> (Play, Vec<Option<String>>) {
    let far = melbourne("2024-01-01T09:00:00");
    let mut play = Play::new(&[(CRM, facts())]);
    play.hear(news(EventKind::WorkerTerminated, 1, far));
    play.rest(&mut Target::new());
    let task = play.tasks_open()[0].id;
    let meant = play.tasks[&task].meant();
    if let Some(event) = heard {
        play.hear(event);
        assert_eq!(play.tasks[&task].meant(), meant, "no step was made since");
    }
    let answer = |(who, release)| {
        let note = "asked".to_owned();
        let meant = Some(meant.clone());
        let wish = Wish::RuleHold {
            task,
            release,
            note,
            meant,
        };
        play.wish(who, wish).code
    };
    let codes = ["ann", "bob"]
        .into_iter()
        .zip(answers)
        .map(answer)
        .collect();
    (play, codes)
}

#[test]
fn a5_a_person_does_not_overrule_the_event_that_has_answered_meanwhile() {
    let refused = Some("CB-COMMAND-12".to_owned());
    for release in [true, false] {
        // Called off: whoever lets it go revives nothing.
        let (mut play, codes) = answered_after(Some(stays(2)), [release; 2]);
        assert_eq!(codes, [refused.clone(), refused.clone()], "{release}");
        let mut target = Target::new();
        play.pass(2 * 86_400, &mut target);
        assert_eq!(play.end(RunKind::Case), Some(End::Rescinded), "{release}");
        assert!(play.effects().is_empty(), "{release}");
        // Corrected: whoever drops it loses nothing.
        let right = news(EventKind::TerminationChanged, 2, Effective::Immediately);
        let (mut play, codes) = answered_after(Some(right), [release; 2]);
        assert_eq!(codes, [refused.clone(), refused.clone()], "{release}");
        play.pass(2 * 86_400, &mut target);
        assert_eq!(play.end(RunKind::Case), Some(End::Verified), "{release}");
    }
}

#[test]
fn a5_of_two_people_who_answer_at_once_the_first_counts() {
    let refused = Some("CB-COMMAND-12".to_owned());
    for (answers, codes, end) in [
        ([true, true], [None, None], End::Verified),
        ([true, false], [None, refused.clone()], End::Verified),
        ([false, true], [None, refused], End::Rescinded),
    ] {
        let (mut play, answered) = answered_after(None, answers);
        assert_eq!(answered, codes, "{answers:?}");
        play.pass(2 * 86_400, &mut Target::new());
        assert_eq!(play.end(RunKind::Case), Some(end), "{answers:?}");
    }
}

#[test]
fn b7_called_off_after_held_news_was_dropped_what_was_removed_before_is_reviewed() {
    // Given a departure that was carried out, and doubtful news of it that a person dropped.
    let mut target = Target::new();
    let mut play = Play::begun();
    play.pass(2 * 86_400, &mut target);
    let far = melbourne("2126-01-01T09:00:00");
    play.hear(news(EventKind::TerminationChanged, 2, far));
    let task = play.tasks_open()[0].id;
    let drop = Wish::RuleHold {
        task,
        release: false,
        note: "a slip".to_owned(),
        meant: None,
    };
    assert!(play.wish("ann", drop).accepted);
    play.rest(&mut target);
    assert_eq!(play.cases[1].ended, Some(End::Rescinded));
    assert!(codes(&play).is_empty());
    // When its source calls the departure off, then somebody is told to review what was removed.
    play.hear(stays(3));
    play.rest(&mut target);
    assert_eq!(codes(&play), ["CB-ADMIT-3"]);
    // And where nothing was removed there is nothing to review.
    let mut play = Play::new(&[(CRM, facts())]);
    let far = melbourne("2126-01-01T09:00:00");
    play.hear(news(EventKind::WorkerTerminated, 1, far));
    let task = play.tasks_open()[0].id;
    let drop = Wish::RuleHold {
        task,
        release: false,
        note: "a slip".to_owned(),
        meant: None,
    };
    play.wish("ann", drop);
    play.rest(&mut target);
    play.hear(stays(2));
    assert!(codes(&play).is_empty());
}

#[test]
fn b7_called_off_while_news_is_held_what_was_removed_before_is_reviewed() {
    let mut target = Target::new();
    let mut play = Play::begun();
    play.pass(2 * 86_400, &mut target);
    assert_eq!(play.cases[0].ended, Some(End::Verified));
    play.hear(news(
        EventKind::TerminationChanged,
        2,
        melbourne("2126-01-01T09:00:00"),
    ));
    assert_eq!(codes(&play), ["CB-HOLD-3"]);
    let decision = play.hear(stays(3));
    assert!(
        matches!(decision, AdmissionDecision::Stop { .. }),
        "{decision:?}"
    );
    play.rest(&mut target);
    assert_eq!(codes(&play), ["CB-ADMIT-3"]);
    assert_eq!(play.cases[1].ended, Some(End::Rescinded));
    assert_eq!(play.hear(stays(3)), AdmissionDecision::Ignore);
}

async fn hear(ward: &Ward, event: LifecycleEvent) {
    let batch = IntakeBatch {
        events: vec![super::given::recorded(event, ward.clock.now())],
        ..IntakeBatch::default()
    };
    ward.store.record(&batch).await.expect("recorded");
    ward.admit().await;
}

#[tokio::test]
async fn b7_the_store_stops_the_case_under_way_with_the_release() {
    let ward = Ward::new("", false).await;
    ward.leaver_leaves().await;
    ward.work(600).await;
    let later = ward.clock.now() + jiff::SignedDuration::from_hours(240);
    let later = Effective::At {
        local: later.to_zoned(jiff::tz::TimeZone::UTC).datetime(),
        zone: "UTC".to_owned(),
    };
    let later = news(EventKind::TerminationChanged, 2, later);
    hear(&ward, number(later, "n-other")).await;
    let task = ward.open_tasks().await.remove(0).id;
    let command = Command {
        id: CommandId(task.0),
        by: "ann".to_owned(),
        at: ward.clock.now(),
        wish: release(task),
    };
    ward.store.wish(&command).await.expect("in line");
    ward.engine.obey().await.expect("obeyed");
    ward.work(3600).await;
    let tasks = ward.open_tasks().await;
    let codes: Vec<_> = tasks.iter().map(|task| task.code.as_str()).collect();
    assert_eq!(codes, ["CB-CASE-3"]);
    let cases = ward.store.cases(&CaseFilter::default()).await;
    let cases = cases.expect("read");
    assert!(cases.iter().all(|case| case.ended.is_none()));
    assert!(cases.iter().all(|case| case.row.revision == 2));
}

#[tokio::test]
async fn f1_what_is_told_of_a_departure_under_way_makes_no_second_task_of_one_removal() {
    // Given a removal that a person has, for the target does not do what it says.
    let ward = Ward::new("", false).await;
    ward.target.shown().deaf = true;
    ward.leaver_leaves().await;
    ward.work(6 * 3600).await;
    let removals = async || {
        let tasks = ward.open_tasks().await.into_iter();
        tasks.filter(|task| task.kind == RunKind::Removal).count()
    };
    assert_eq!(removals().await, 1);
    // When the case looks anew, for a name that was missing.
    let mut more = number(
        news(EventKind::TerminationChanged, 2, Effective::Immediately),
        "n-a-1",
    );
    more.subject.identifiers.push(Identifier {
        kind: "username".to_owned(),
        value: "u-77".to_owned(),
    });
    hear(&ward, more).await;
    ward.work(4 * 86_400).await;
    // Then there is still the one task, and the case ends when it does.
    let tasks = ward.open_tasks().await;
    let tasks: Vec<_> = tasks.iter().map(|task| (task.kind, &task.why)).collect();
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    ward.target.shown().deaf = false;
    ward.work(4 * 86_400).await;
    assert!(ward.open_tasks().await.is_empty());
    let cases = ward.store.cases(&CaseFilter::default()).await;
    assert_eq!(cases.expect("read")[0].ended, Some(End::Verified));
}
