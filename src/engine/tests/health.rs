//! C5, C6, C9: connectors surveyed, judged and cared for.
//!
//! Owns the promises as the engine keeps them with store and guard. The judgement alone is tested in
//! `domain::health`, the leases in the store's conformance suite.

use std::sync::Arc;

use super::super::crew::{Crew, Shares};
use super::super::worker::Pulse;
use super::given::{attested, library};
use super::ward::{Ward, numbered};
use crate::domain::command::{Command, Wish};
use crate::domain::estate::Estate;
use crate::domain::health::{State, orphans};
use crate::domain::id::CommandId;
use crate::domain::obey::obey;
use crate::domain::outcome::FailureClass;
use crate::domain::run::Stage;
use crate::domain::step::Given;
use crate::domain::task::{Closure, TaskState};
use crate::domain::time::Clock;
use crate::domain::verdict::Completeness;
use crate::domain::workflow::{End, RunKind};
use crate::engine::Settings;
use crate::store::{CaseFilter, TaskFilter};

/// A departure has come to its end by then, settle times included.
const A_LONG_TIME: u64 = 30 * 3600;

#[tokio::test]
async fn c5_a_survey_keeps_inventory_sample_and_standing() {
    let ward = Ward::new("", false).await;
    let kept = ward.survey_after(0).await.expect("due at once");
    assert_eq!(kept.sample.state, State::Healthy);
    assert_eq!(kept.sample.accounts, Some(5));
    assert_eq!(kept.sample.fields["employeeNumber"], 100);
    let known = ward.store.inventory(&"crm".into()).await.expect("read");
    let known = known.expect("listed");
    assert_eq!(known.accounts.len(), 5);
    assert!(known.accounts.iter().all(|one| one.whole));
    // The next is due at half of the interval, and not before.
    assert!(ward.survey_after(29).await.is_none());
    let next = ward.survey_after(1).await.expect("due");
    assert_eq!(next.sample.change, Some(0));
    let series = ward
        .store
        .samples(&"crm".into(), super::given::dawn(), 10)
        .await;
    assert_eq!(series.expect("read").len(), 2);
}

#[tokio::test]
async fn c5_an_incomplete_survey_takes_nothing_away() {
    let ward = Ward::new("", false).await;
    ward.survey_after(0).await.expect("due");
    {
        let mut shown = ward.target.shown();
        shown.accounts = numbered(&["a-1", "a-9"]);
        shown.completeness = Completeness {
            pages_closed: false,
            ..Completeness::WHOLE
        };
    }
    let kept = ward.survey_after(30).await.expect("due");
    assert_eq!(kept.sample.state, State::Failing);
    let known = ward.store.inventory(&"crm".into()).await.expect("read");
    let known = known.expect("listed");
    let seen = |id: &str| {
        let one = known
            .accounts
            .iter()
            .find(|one| one.account.id.as_str() == id);
        one.map(|one| (one.seen == ward.clock.now(), one.whole))
    };
    assert_eq!(known.accounts.len(), 6);
    assert_eq!(seen("a-1"), Some((true, false)), "refreshed, and said so");
    assert_eq!(seen("a-2"), Some((false, true)), "known as before");
    assert_eq!(seen("a-9"), Some((true, false)), "new");
}

#[tokio::test]
async fn c5_a_stale_connector_is_one_persons_task_until_it_is_well() {
    let ward = Ward::new("", false).await;
    ward.survey_after(0).await.expect("due");
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    let failing = ward.survey_after(30).await.expect("due");
    assert_eq!(failing.sample.state, State::Failing);
    assert!(ward.open_tasks().await.is_empty(), "young enough");
    for _ in 0..3 {
        let stale = ward.survey_after(60).await.expect("due");
        assert_eq!(stale.sample.state, State::Stale, "{:?}", stale.sample);
    }
    let tasks = ward.open_tasks().await;
    assert_eq!(tasks.len(), 1);
    let task = &tasks[0];
    assert_eq!(
        (task.kind, task.code.as_str()),
        (RunKind::Care, "CB-HEALTH-1")
    );
    let hours = task.deadline.duration_since(task.opened).as_hours();
    assert_eq!((task.priority, hours), (20, 48));
    // When it answers again the machine closes what it opened, and says why.
    ward.target.shown().fails = None;
    let back = ward.survey_after(60).await.expect("due");
    assert_eq!(back.sample.state, State::Healthy);
    assert!(ward.open_tasks().await.is_empty());
    let closed = ward.store.task(task.id).await.expect("read").expect("kept");
    let how = match &closed.state {
        TaskState::Closed { how, .. } => *how,
        other => panic!("{other:?}"),
    };
    assert_eq!(how, Closure::ProvedByMachine);
    let told = closed.history.last().expect("a note");
    assert!(told.text.contains("surveyed in full"), "{}", told.text);
}

#[tokio::test]
async fn c5_a_stale_privileged_connector_escalates_at_once() {
    let ward = Ward::new("", true).await;
    ward.target.shown().fails = Some(FailureClass::AuthFailure);
    ward.survey_after(0).await.expect("due");
    ward.survey_after(61).await.expect("due");
    let tasks = ward.open_tasks().await;
    let task = tasks.first().expect("opened");
    let seconds = task.deadline.duration_since(task.opened).as_secs();
    assert_eq!((task.priority, seconds), (0, 3600));
    assert!(task.privileged);
}

#[tokio::test]
async fn c5_a_change_of_state_is_told_once() {
    let ward = Ward::new("", false).await;
    let types = |kept: &crate::domain::health::Advance| -> Vec<String> {
        let events = kept.messages.iter();
        let events = events.map(|one| serde_json::from_slice(&one.payload).expect("JSON"));
        events
            .map(|event: serde_json::Value| event["type"].as_str().expect("a type").to_owned())
            .collect()
    };
    let health = ["clawback.connector.health.v1"];
    let first = ward.survey_after(0).await.expect("due");
    assert_eq!(types(&first), health);
    let same = ward.survey_after(30).await.expect("due");
    assert!(types(&same).is_empty());
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    let failing = ward.survey_after(30).await.expect("due");
    assert_eq!(types(&failing), health);
    // They are in the outbox, in order.
    let taken = ward
        .store
        .take_messages(ward.worker, ward.clock.now(), 10, &[])
        .await;
    assert_eq!(taken.expect("read").len(), 2);
}

#[tokio::test]
async fn c5_a_close_is_checked_by_the_next_survey() {
    let ward = Ward::new("", false).await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.survey_after(0).await.expect("due");
    ward.survey_after(61).await.expect("due");
    let task = ward.open_tasks().await.remove(0);
    let close = |number| Command {
        id: CommandId(uuid::Uuid::from_u128(number)),
        by: "ann".to_owned(),
        at: ward.clock.now(),
        wish: Wish::CloseTask {
            task: task.id,
            note: "restarted it".to_owned(),
            attestation: None,
        },
    };
    // Too soon: it is sent back with what was found.
    ward.store.wish(&close(1)).await.expect("in line");
    ward.engine.obey().await.expect("obeyed");
    let checked = ward.survey_after(0).await;
    assert!(checked.is_some(), "a claim makes the survey due");
    let back = ward.open_tasks().await.remove(0);
    assert_eq!(back.state.as_str(), "sent_back");
    let told = &back.history.last().expect("a note").text;
    assert!(told.contains("sent back"), "{told}");
    // True now: it is closed as theirs.
    ward.target.shown().fails = None;
    ward.store.wish(&close(2)).await.expect("in line");
    ward.engine.obey().await.expect("obeyed");
    ward.survey_after(0).await.expect("due");
    let closed = ward.store.task(task.id).await.expect("read").expect("kept");
    assert!(
        matches!(&closed.state, TaskState::Closed { how: Closure::Proved, by, .. } if by == "ann"),
        "{:?}",
        closed.state
    );
}

#[tokio::test]
async fn c6_a_changed_shape_or_count_drifts_and_proves_nothing() {
    let ward = Ward::new("change_at_most_percent = 20", false).await;
    ward.survey_after(0).await.expect("due");
    // Given a departure whose account is gone, and a target that has lost half of its accounts.
    ward.target.shown().accounts = numbered(&["a-2"]);
    let drifted = ward.survey_after(30).await.expect("due");
    assert_eq!(drifted.sample.state, State::Drifted, "{:?}", drifted.sample);
    assert_eq!(ward.open_tasks().await[0].code, "CB-HEALTH-2");
    let known = ward.store.inventory(&"crm".into()).await.expect("read");
    assert_eq!(
        known.expect("listed").accounts.len(),
        5,
        "nothing is forgotten"
    );
    // Then a departure is not over because its account is not shown.
    ward.leaver_leaves().await;
    ward.work(600).await;
    let cases = ward
        .store
        .cases(&CaseFilter::default())
        .await
        .expect("read");
    assert_eq!(cases[0].ended, None);
    // And what is shown as before is believed again.
    ward.target.shown().accounts = numbered(&["a-2", "a-3", "a-4", "a-5"]);
    let well = ward.survey_after(30).await.expect("due");
    assert_eq!(well.sample.state, State::Healthy, "{:?}", well.sample);
}

#[tokio::test]
async fn c6_a_field_that_is_gone_drifts() {
    let ward = Ward::new("", false).await;
    ward.target.shown().accounts.iter_mut().for_each(|one| {
        one.attributes.insert("title".to_owned(), "x".to_owned());
    });
    ward.survey_after(0).await.expect("due");
    ward.target.shown().accounts.iter_mut().for_each(|one| {
        one.attributes.remove("title");
    });
    let drifted = ward.survey_after(30).await.expect("due");
    assert_eq!(drifted.sample.state, State::Drifted);
    assert!(
        drifted.sample.reason.contains("title"),
        "{}",
        drifted.sample.reason
    );
}

#[tokio::test]
async fn c5_a_worker_knows_whom_to_distrust_before_it_begins_anything() {
    // Given a target that has drifted before another worker's eyes.
    let ward = Ward::new("", false).await;
    ward.target.shown().accounts.iter_mut().for_each(|one| {
        one.attributes.insert("title".to_owned(), "x".to_owned());
    });
    ward.survey_after(0).await.expect("due");
    ward.target.shown().accounts.iter_mut().for_each(|one| {
        one.attributes.remove("title");
    });
    let drifted = ward.survey_after(30).await.expect("due");
    assert_eq!(drifted.sample.state, State::Drifted);
    // When a worker starts and has compared the clocks.
    let manifest = super::ward::manifest("", false);
    let parts = (manifest, None);
    let newcomer = Ward::kept_in(ward.store.clone(), parts, Settings::default(), None).await;
    let registry = newcomer.engine.serving().registry.clone();
    let crew = Crew::new(newcomer.worker, 1, Shares::new(&registry, 1));
    crew.hold_off(true);
    let whole = Completeness::WHOLE;
    let target = registry.get(&"crm".into()).expect("served");
    assert_eq!(target.vitals().believed(whole), whole);
    let pulse = Pulse::default();
    let compared = newcomer.engine.compare_clocks(&crew, &pulse);
    compared.await.expect("compared");
    // Then it may begin, and believes nothing that the target leaves out.
    assert!(!crew.holds_off());
    assert_ne!(target.vitals().believed(whole), whole);
}

#[tokio::test]
async fn c6_what_clawback_deletes_itself_is_no_sudden_change() {
    let ward = Ward::new("change_at_most_percent = 1", false).await;
    ward.target.shown().accounts = numbered(&["a-1", "a-2", "a-3", "a-4"]);
    ward.survey_after(0).await.expect("due");
    ward.leaver_leaves().await;
    ward.work(600).await;
    assert_eq!(ward.target.shown().accounts.len(), 3);
    ward.engine.tell_calls().await.expect("told");
    assert_eq!(ward.standing().await.deleted, 1);
    let kept = ward.survey_after(0).await.expect("due");
    assert_eq!(kept.sample.change, Some(-1));
    assert_eq!(kept.sample.state, State::Healthy, "{:?}", kept.sample);
    assert!(kept.sample.write.is_some(), "the run's write is told");
}

#[tokio::test]
async fn c9_orphans_are_told_and_left_alone() {
    let ward = Ward::new("", false).await;
    ward.survey_after(0).await.expect("due");
    ward.leaver_leaves().await;
    ward.work(A_LONG_TIME).await;
    let ended = ward.ended().await;
    assert_eq!(ended.len(), 1, "the departure came to its end");
    // Given an account that was made anew after its removal, and one that nothing ties to anybody.
    ward.target.shown().accounts.extend(numbered(&["a-1"]));
    let mut untied = super::given::account("bot");
    untied.attributes.clear();
    ward.target.shown().accounts.push(untied);
    ward.survey_after(60).await.expect("due");
    let known = ward.store.inventory(&"crm".into()).await.expect("read");
    let known = known.expect("listed");
    let accounts = known.accounts.iter().map(|one| (&one.account, one.seen));
    let manifest = super::ward::manifest("", false);
    let found = orphans(&manifest.correlation, accounts, &ended);
    let ids: Vec<_> = found.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["a-1", "bot"]);
    let present = ward.target.shown().accounts.len();
    assert_eq!(present, 6, "nothing was taken away for it");
}

#[tokio::test]
async fn b4_a_hanging_survey_delays_no_removal() {
    let ward = Ward::new("", false).await;
    ward.target.shown().hangs = Some(Arc::default());
    let lease = ward.leased().await.remove(0);
    let engine = ward.engine.clone();
    let mut hanging = tokio::task::JoinSet::new();
    hanging.spawn(async move { engine.survey(&lease).await });
    while ward.target.shown().hanging == 0 {
        tokio::task::yield_now().await;
    }
    // Nobody else begins the same survey, and the departure goes its way meanwhile.
    assert!(ward.leased().await.is_empty());
    ward.target.shown().hangs = None;
    ward.leaver_leaves().await;
    ward.work(600).await;
    assert_eq!(ward.target.shown().accounts.len(), 4);
    let closed = TaskFilter {
        closed: true,
        ..TaskFilter::default()
    };
    assert!(ward.store.tasks(&closed).await.expect("read").is_empty());
    drop(hanging);
}

#[tokio::test]
async fn c6_a_drifted_target_proves_no_removal() {
    // Given a removal that was done and waits for its second look.
    let ward = Ward::new("change_at_most_percent = 20", false).await;
    ward.survey_after(0).await.expect("due");
    ward.leaver_leaves().await;
    ward.work(0).await;
    assert_eq!(ward.target.shown().accounts.len(), 4);
    // When most of the others are not shown any more, and the time of that look has come.
    ward.target.shown().accounts = numbered(&["a-2"]);
    let drifted = ward.survey_after(30).await.expect("due");
    assert_eq!(drifted.sample.state, State::Drifted);
    ward.work(3 * 3600).await;
    assert!(ward.ended().await.is_empty(), "it proves nothing");
    // Then it is proved when the target is believed again.
    ward.target.shown().accounts = numbered(&["a-2", "a-3", "a-4", "a-5"]);
    let well = ward.survey_after(0).await.expect("due");
    assert_eq!(well.sample.state, State::Healthy, "{:?}", well.sample);
    ward.work(2 * A_LONG_TIME).await;
    assert_eq!(ward.ended().await[0].stage.name(), "verified");
}

#[tokio::test]
async fn c5_the_task_of_a_retired_connector_needs_an_attestation() {
    let ward = Ward::new("", false).await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.survey_after(0).await.expect("due");
    ward.survey_after(61).await.expect("due");
    let task = ward.open_tasks().await.remove(0);
    let (run, _) = ward.store.run(task.run).await.expect("read").expect("kept");
    let nothing = Estate::default();
    let given = Given {
        workflow: library().rotation(),
        estate: &nothing,
        now: ward.clock.now(),
        fraction: 0.0,
        status_topic: None,
        under: None,
    };
    let close = |attestation| {
        let command = Command {
            id: CommandId(uuid::Uuid::from_u128(1)),
            by: "ann".to_owned(),
            at: ward.clock.now(),
            wish: Wish::CloseTask {
                task: task.id,
                note: "retired".to_owned(),
                attestation,
            },
        };
        obey(&command, Some(&task), Some(&run), &given)
    };
    let bare = close(None);
    assert_eq!(bare.answer.code.as_deref(), Some("CB-HEALTH-3"));
    assert_eq!((bare.task, bare.run), (None, None));
    let told = close(Some(attested("ann")));
    assert!(told.answer.accepted);
    let closed = told.task.expect("changed").state;
    assert!(
        matches!(
            closed,
            TaskState::Closed {
                how: Closure::Attested,
                ..
            }
        ),
        "{closed:?}"
    );
    let stage = told.run.expect("changed").stage;
    assert!(
        matches!(
            stage,
            Stage::Ended {
                end: End::Attested,
                ..
            }
        ),
        "{stage:?}"
    );
}
