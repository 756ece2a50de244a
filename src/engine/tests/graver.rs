//! B5, F3, B7: haste or privilege that is told while a removal is open is not kept waiting by that removal.
//!
//! Owns what becomes of an account that an earlier round of its case has in hand: what is known by then
//! decides how it is removed and who may say so, and both removals end. What else a round finds is in
//! `told_more` and `released`.

use super::given::{self, attested, news};
use super::ward::Ward;
use crate::domain::command::{Command, Wish};
use crate::domain::event::{EventKind, LifecycleEvent, Urgency};
use crate::domain::id::{CommandId, TaskId};
use crate::domain::outcome::FailureClass;
use crate::domain::subject::Identifier;
use crate::domain::task::{FallbackTask, TaskState};
use crate::domain::time::{Clock, Effective};
use crate::domain::workflow::{End, RunKind};
use crate::store::{CaseFilter, IntakeBatch};

const DAY: u64 = 86_400;

/// A departure whose removal a person has, and which the machine tries once a day.
async fn stuck() -> Ward {
    let ward = Ward::new("", false).await;
    ward.target.shown().deaf = true;
    ward.leaver_leaves().await;
    ward.work(4 * DAY).await;
    assert_eq!(removals(&ward).await.len(), 1);
    ward
}

/// A newer revision of it, with what this adds.
async fn told(ward: &Ward, revision: u64, change: impl Fn(&mut LifecycleEvent)) {
    let kind = EventKind::TerminationChanged;
    let mut event = news(kind, revision, Effective::Immediately);
    event.subject.identifiers = vec![Identifier {
        kind: "employee_number".to_owned(),
        value: "n-a-1".to_owned(),
    }];
    change(&mut event);
    let batch = IntakeBatch {
        events: vec![given::recorded(event, ward.clock.now())],
        ..IntakeBatch::default()
    };
    ward.store.record(&batch).await.expect("recorded");
    ward.admit().await;
}

/// The open tasks of removals.
async fn removals(ward: &Ward) -> Vec<FallbackTask> {
    let mut tasks = ward.open_tasks().await;
    tasks.retain(|task| task.kind == RunKind::Removal);
    tasks
}

async fn ended(ward: &Ward) -> Option<End> {
    let cases = ward.store.cases(&CaseFilter::default()).await;
    let cases = cases.expect("read");
    assert_eq!(cases.len(), 1);
    cases[0].ended
}

async fn wish(ward: &Ward, number: u128, by: &str, wish: Wish) {
    let command = Command {
        id: CommandId(uuid::Uuid::from_u128(number)),
        by: by.to_owned(),
        at: ward.clock.now(),
        wish,
    };
    ward.store.wish(&command).await.expect("in line");
    ward.engine.obey().await.expect("obeyed");
    ward.work(60).await;
}

fn says_so(task: TaskId, by: &str) -> Wish {
    Wish::CloseTask {
        task,
        note: "taken away".to_owned(),
        attestation: Some(attested(by)),
    }
}

fn is_there(ward: &Ward) -> bool {
    let shown = ward.target.shown();
    shown.accounts.iter().any(|one| one.id.as_str() == "a-1")
}

#[tokio::test]
async fn b5_haste_that_is_told_later_does_not_wait_for_the_removal_that_is_open() {
    let ward = stuck().await;
    ward.target.shown().deaf = false;
    ward.work(60).await;
    assert!(is_there(&ward), "its next try is hours away");
    // When the departure turns out to be for cause, then access goes at once.
    told(&ward, 2, |event| event.urgency = Urgency::ForCause).await;
    ward.work(60).await;
    assert!(!is_there(&ward));
    // And both removals come to their end, and the case with them.
    ward.work(4 * DAY).await;
    assert!(ward.open_tasks().await.is_empty());
    assert_eq!(ward.ended().await.len(), 2);
    assert_eq!(ended(&ward).await, Some(End::Verified));
}

#[tokio::test]
async fn f1_rounds_that_are_as_hasty_share_one_removal() {
    let ward = stuck().await;
    told(&ward, 2, |event| event.urgency = Urgency::ForCause).await;
    ward.work(4 * DAY).await;
    // The second has a task of its own, and a name that is told after it begins no third removal.
    assert_eq!(removals(&ward).await.len(), 2);
    told(&ward, 3, |event| {
        event.urgency = Urgency::ForCause;
        event.subject.identifiers.push(Identifier {
            kind: "username".to_owned(),
            value: "u-77".to_owned(),
        });
    })
    .await;
    ward.work(4 * DAY).await;
    assert_eq!(removals(&ward).await.len(), 2);
    ward.target.shown().deaf = false;
    ward.work(4 * DAY).await;
    assert!(ward.open_tasks().await.is_empty());
    assert_eq!(ended(&ward).await, Some(End::Verified));
}

#[tokio::test]
async fn f3_one_person_does_not_close_what_is_known_to_be_privileged_by_then() {
    let ward = stuck().await;
    told(&ward, 2, |event| event.subject.privileged = true).await;
    ward.work(DAY).await;
    let mut tasks = removals(&ward).await;
    tasks.sort_by_key(|task| task.privileged);
    let privileged: Vec<_> = tasks.iter().map(|task| task.privileged).collect();
    assert_eq!(privileged, [false, true]);
    // When the target cannot be looked at, and one person says of both that it is done.
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    for (number, task) in tasks.iter().enumerate() {
        wish(&ward, 100 + number as u128, "ann", says_so(task.id, "ann")).await;
    }
    // Then what is privileged waits for a second one, and the case with it.
    let open = removals(&ward).await;
    let [waits] = open.as_slice() else {
        panic!("{open:?}");
    };
    assert_eq!(waits.id, tasks[1].id);
    assert!(matches!(waits.state, TaskState::AwaitingSecondPerson(_)));
    assert_eq!(ended(&ward).await, None);
    let confirm = Wish::ConfirmTask {
        task: waits.id,
        statement: "I saw it gone".to_owned(),
        meant: None,
    };
    wish(&ward, 200, "bob", confirm).await;
    assert!(removals(&ward).await.is_empty());
}
