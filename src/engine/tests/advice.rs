//! F1: a task says what to do also where no manifest does.
//!
//! Owns the kinds of news that no workflow acts on, subjects that nobody knows, doubts, and targets that
//! nobody has declared, each from the event to the steps of its task.

use super::given;
use super::ward::{Ward, approved, text};
use crate::domain::event::{EventKind, LifecycleEvent};
use crate::domain::subject::Identifier;
use crate::domain::task::FallbackTask;
use crate::domain::time::{Clock, Effective};
use crate::engine::Settings;
use crate::store::IntakeBatch;

async fn tasks_of(event: LifecycleEvent) -> Vec<FallbackTask> {
    let ward = Ward::of(approved(&text("", false)), Settings::default()).await;
    let batch = IntakeBatch {
        events: vec![given::recorded(event, ward.clock.now())],
        ..IntakeBatch::default()
    };
    ward.store.record(&batch).await.expect("recorded");
    ward.work(600).await;
    ward.open_tasks().await
}

#[tokio::test]
async fn f1_news_that_no_workflow_acts_on_say_what_a_person_does() {
    for (kind, part) in [
        (EventKind::Rehired, "restored by those who may grant it"),
        (EventKind::WorkerMoved, "the new role keeps"),
        (EventKind::ApplicationRetired, "connectors retire"),
        (EventKind::LegalHoldPlaced, "may be destroyed"),
        (EventKind::LegalHoldLifted, "may be destroyed now"),
    ] {
        let tasks = tasks_of(given::news(kind, 1, Effective::Immediately)).await;
        let [task] = tasks.as_slice() else {
            panic!("{kind:?}: {tasks:?}");
        };
        let steps = task.steps.join("\n");
        for part in [part, "e-1", "--attest"] {
            assert!(steps.contains(part), "{kind:?} lacks {part}: {steps}");
        }
    }
}

#[tokio::test]
async fn f1_a_subject_that_nobody_knows_and_a_target_that_nobody_declares_have_steps() {
    let kind = EventKind::WorkerTerminated;
    let mut stranger = given::news(kind, 1, Effective::Immediately);
    stranger.subject.identifiers = vec![Identifier {
        kind: "employee_number".to_owned(),
        value: "nobody-has-this".to_owned(),
    }];
    let mut elsewhere = given::news(kind, 1, Effective::Immediately);
    elsewhere.connectors = vec!["museum".into()];
    let mut doubtful = given::news(kind, 1, Effective::Immediately);
    doubtful.effective = Effective::At {
        local: "2999-01-01T00:00:00".parse().expect("a time"),
        zone: "UTC".to_owned(),
    };
    for (event, code, part) in [
        (stranger, "CB-CASE-1", "nobody-has-this"),
        (elsewhere, "CB-ENGINE-7", "no manifest of this name"),
        (doubtful, "CB-HOLD-3", "cases release"),
    ] {
        let tasks = tasks_of(event).await;
        let told = tasks
            .iter()
            .find(|task| task.steps.join("\n").contains(part));
        assert!(
            told.is_some_and(|task| task.code == code),
            "{code}: {tasks:?}"
        );
    }
}
