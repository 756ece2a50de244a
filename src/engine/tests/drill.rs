//! C8: drills as the engine leads them, with store, guard and the workflow that serves events.
//!
//! Owns the promises about what a drill does and what it leaves alone. What it asks of its passes is
//! tested in `domain::drill`, the gate in `govern`.

use super::ward::Ward;
use crate::domain::command::{Command, Wish};
use crate::domain::drill::{Drill, Pass, Stage};
use crate::domain::health::State;
use crate::domain::id::{CaseId, CommandId, DrillId};
use crate::domain::outcome::FailureClass;
use crate::domain::run::Run;
use crate::domain::task::{Closure, FallbackTask, TaskState};
use crate::domain::time::Clock;
use crate::domain::workflow::End;
use crate::store::{CaseFilter, CaseStory, TaskFilter};

/// The canary is the account `a-2`.
const DRILL: &str = "[drill]\nmade_by = \"the nightly job\"\n[drill.canary]\n\
                     employee_number = \"n-a-2\"";
/// More minutes than a drill needs, retries and settle time included.
const A_LONG_TIME: u32 = 600;

async fn wished(ward: &Ward) -> DrillId {
    let id = CommandId(uuid::Uuid::from_u128(0xd_0001 + u128::from(minute(ward))));
    let command = Command {
        id,
        by: "ada".to_owned(),
        at: ward.clock.now(),
        wish: Wish::Drill {
            connector: "crm".into(),
        },
    };
    ward.store.wish(&command).await.expect("in line");
    ward.engine.obey().await.expect("obeyed");
    let answer = ward.store.answer(id).await.expect("read").expect("given");
    assert!(answer.accepted, "{answer:?}");
    DrillId(id.0)
}

fn minute(ward: &Ward) -> u32 {
    let since = ward.clock.now().duration_since(super::given::dawn());
    u32::try_from(since.as_secs() / 60).expect("small")
}

async fn drill(ward: &Ward, id: DrillId) -> Drill {
    ward.store.drill(id).await.expect("read").expect("kept")
}

/// What a worker does in a minute; `leads` says whether it looks at drills.
async fn a_minute(ward: &Ward, leads: bool) {
    if leads {
        ward.engine.lead_drills(ward.worker).await.expect("led");
    }
    ward.work(0).await;
}

async fn until(ward: &Ward, id: DrillId, holds: impl Fn(&Drill) -> bool) -> Drill {
    for _ in 0..A_LONG_TIME {
        let now = drill(ward, id).await;
        if holds(&now) {
            return now;
        }
        a_minute(ward, true).await;
    }
    panic!("{:?}", drill(ward, id).await)
}

async fn ended(ward: &Ward, id: DrillId) -> Drill {
    until(ward, id, |drill| drill.ended().is_some()).await
}

async fn stories(ward: &Ward) -> Vec<CaseStory> {
    let mut stories = Vec::new();
    for report in ward
        .store
        .cases(&CaseFilter::default())
        .await
        .expect("read")
    {
        let story = ward.store.case(report.row.id).await.expect("read");
        stories.push(story.expect("kept"));
    }
    stories
}

async fn story_of(ward: &Ward, holds: impl Fn(&Run) -> bool) -> CaseStory {
    let all = stories(ward).await;
    let found = all.into_iter().find(|story| story.runs.iter().any(&holds));
    found.expect("there is such a case")
}

fn failed_by_drill(story: &CaseStory) -> bool {
    let mut failures = story.journal.iter().filter_map(|one| one.failure.as_ref());
    failures.any(|failure| failure.code == "CB-DRILL-1")
}

fn there(ward: &Ward, id: &str) -> bool {
    let shown = ward.target.shown();
    shown.accounts.iter().any(|one| one.id.as_str() == id)
}

async fn all_tasks(ward: &Ward) -> Vec<FallbackTask> {
    let filter = TaskFilter {
        closed: true,
        ..TaskFilter::default()
    };
    ward.store.tasks(&filter).await.expect("read")
}

#[tokio::test]
async fn c8_a_drill_proves_removal_and_fallback_and_leaves_nobody_work() {
    let ward = Ward::new(DRILL, false).await;
    let id = wished(&ward).await;
    let drill = ended(&ward, id).await;
    assert!(matches!(drill.ended(), Some((_, true))), "{drill:?}");
    assert!(drill.manifest.is_some() && drill.passes.len() == 2);
    assert_eq!(drill.accounts, ["login-a-2"]);
    let gone: Vec<_> = ["a-1", "a-2", "a-3", "a-4", "a-5"]
        .into_iter()
        .filter(|id| !there(&ward, id))
        .collect();
    assert_eq!(gone, ["a-2"]);

    // One task, marked, closed by the drill itself; the other pass needed none.
    let tasks = all_tasks(&ward).await;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    assert!(tasks[0].drill && tasks[0].code == "CB-DRILL-1");
    let TaskState::Closed { how, by, .. } = &tasks[0].state else {
        panic!("{:?}", tasks[0].state)
    };
    assert_eq!((*how, by.as_str()), (Closure::Superseded, "clawback"));
    let ends: Vec<_> = stories(&ward)
        .await
        .iter()
        .map(|one| one.report.ended)
        .collect();
    assert_eq!(ends.len(), 2);
    assert!(ends.contains(&Some(End::Verified)) && ends.contains(&Some(End::Halted)));
    // Nobody who acts on news of cases and tasks hears of it.
    let told = ward
        .store
        .take_messages(ward.worker, ward.clock.now(), 10, &[]);
    assert!(told.await.expect("read").is_empty());
}

#[tokio::test]
async fn c8_what_a_drill_makes_fail_is_no_figure_of_the_connectors() {
    let ward = Ward::new(DRILL, false).await;
    ward.survey_after(0).await.expect("due");
    let id = wished(&ward).await;
    ended(&ward, id).await;
    ward.engine.tell_calls().await.expect("told");
    let standing = ward.standing().await;
    assert!(standing.calls.failures.is_empty(), "{:?}", standing.calls);
    assert!(standing.calls.reads > 0, "the well pass is real");
    assert_eq!(standing.deleted, 1, "so the next count is believed");
    let next = ward.survey_after(60).await.expect("due");
    assert_eq!(next.sample.state, State::Healthy, "{:?}", next.sample);
}

#[tokio::test]
async fn c8_a_drills_fault_never_reaches_another_run() {
    // The departure comes at every stage of the failing pass, and outlasts it.
    for offset in [0, 1, 2, 5, 13, 40] {
        let ward = Ward::new(DRILL, false).await;
        let id = wished(&ward).await;
        let in_failing = |drill: &Drill| {
            matches!(
                drill.stage,
                Stage::Passing {
                    pass: Pass::Failing,
                    ..
                }
            )
        };
        until(&ward, id, in_failing).await;
        for _ in 0..offset {
            a_minute(&ward, false).await;
        }
        ward.leaver_leaves().await;
        // Nobody leads the drill on, so its fault stays where it is.
        for _ in 0..26 * 60 {
            a_minute(&ward, false).await;
        }
        let drilled = story_of(&ward, |run| run.drill() == Some(Pass::Failing)).await;
        assert!(failed_by_drill(&drilled), "the fault has fired");
        assert!(drilled.report.ended.is_none(), "and is still there");
        let real = story_of(&ward, |run| run.drill().is_none()).await;
        assert_eq!(real.report.ended, Some(End::Verified), "after {offset} min");
        assert!(real.tasks.is_empty() && !failed_by_drill(&real));
        let mut failures = real.journal.iter().filter_map(|one| one.failure.as_ref());
        assert!(failures.all(|failure| failure.class != FailureClass::Unreachable));
        assert!(!there(&ward, "a-1") && there(&ward, "a-2"));
    }
}

#[tokio::test]
async fn c8_a_drill_cuts_nothing_upstream() {
    let upstream = "[upstream]\nconnector = \"sso\"\nentitlement = \"crm\"\n";
    let ward = Ward::new(&format!("{upstream}{DRILL}"), false).await;
    let id = wished(&ward).await;
    let drill = ended(&ward, id).await;
    assert!(matches!(drill.ended(), Some((_, true))), "{drill:?}");
    for story in stories(&ward).await {
        let mut states = story.journal.iter().map(|one| one.state.as_str());
        assert!(states.all(|state| state != "cut_upstream"));
    }
    // What is real is cut where it comes from: here there is no such connector to do it.
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.leaver_leaves().await;
    for _ in 0..60 {
        a_minute(&ward, false).await;
    }
    let real = story_of(&ward, |run| run.drill().is_none()).await;
    let mut states = real.journal.iter().map(|one| one.state.as_str());
    assert!(states.any(|state| state == "cut_upstream"));
}

#[tokio::test]
async fn c8_without_a_canary_a_drill_fails_and_its_owner_is_asked() {
    let ward = Ward::new(DRILL, false).await;
    ward.survey_after(0).await.expect("due");
    ward.target
        .shown()
        .accounts
        .retain(|one| one.id.as_str() != "a-2");
    let id = wished(&ward).await;
    let drill = ended(&ward, id).await;
    assert!(matches!(drill.ended(), Some((_, false))));
    assert!(drill.words().contains("no canary"), "{}", drill.words());
    assert!(stories(&ward).await.is_empty(), "nothing was rehearsed");

    // The end of a drill makes the survey due, which opens the task.
    let kept = ward.survey_after(0).await.expect("due");
    assert_eq!(kept.sample.state, State::Undrilled, "{:?}", kept.sample);
    let tasks = ward.open_tasks().await;
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].code, "CB-HEALTH-4");
    assert!(tasks[0].why.contains("no canary"), "{}", tasks[0].why);

    // Its owner makes it anew, and the next drill closes what the last one opened.
    let anew = super::ward::numbered(&["a-2"]);
    ward.target.shown().accounts.extend(anew);
    ward.clock.advance(60);
    let id = wished(&ward).await;
    let drill = ended(&ward, id).await;
    assert!(matches!(drill.ended(), Some((_, true))), "{drill:?}");
    let kept = ward.survey_after(0).await.expect("due");
    assert_eq!(kept.sample.state, State::Healthy, "{:?}", kept.sample);
    assert!(ward.open_tasks().await.is_empty());
}

#[tokio::test]
async fn c8_a_target_that_lies_fails_the_well_pass_and_its_case_is_closed() {
    let ward = Ward::new(DRILL, false).await;
    let id = wished(&ward).await;
    let in_well = |drill: &Drill| {
        matches!(
            drill.stage,
            Stage::Passing {
                pass: Pass::Well,
                ..
            }
        )
    };
    until(&ward, id, in_well).await;
    ward.target.shown().fails = Some(FailureClass::Refused);
    let drill = ended(&ward, id).await;
    assert!(matches!(drill.ended(), Some((_, false))));
    assert!(
        drill.words().contains("a person was needed"),
        "{}",
        drill.words()
    );
    assert!(
        ward.open_tasks().await.is_empty(),
        "nobody gets work from it"
    );
    let open = stories(&ward).await;
    let open = open.iter().filter(|one| one.report.ended.is_none());
    assert_eq!(open.count(), 0);
}

#[tokio::test]
async fn c8_a_canary_that_is_made_anew_is_no_access_that_came_back() {
    let ward = Ward::new(DRILL, false).await;
    ward.survey_after(0).await.expect("due");
    let id = wished(&ward).await;
    ended(&ward, id).await;
    // The connector goes stale, and the canary is there again when it is back.
    ward.survey_after(120).await.expect("due");
    let anew = super::ward::numbered(&["a-2"]);
    ward.target.shown().accounts.extend(anew);
    let before = stories(&ward).await.len();
    for _ in 0..3 {
        ward.survey_after(120).await;
        ward.work(0).await;
    }
    assert_eq!(stories(&ward).await.len(), before, "no case was opened");
    assert!(there(&ward, "a-2"));
}

#[tokio::test]
async fn c8_drills_begin_by_the_schedule_and_one_at_a_time() {
    let ward = Ward::new(&DRILL.replace("made_by", "every_days = 2\nmade_by"), false).await;
    assert_eq!(ward.engine.sweep_drills().await.expect("swept"), 1);
    assert_eq!(ward.engine.sweep_drills().await.expect("swept"), 0);
    let first = ward.store.drills(None, 10).await.expect("read");
    assert_eq!((first.len(), first[0].by.as_str()), (1, "clawback"));
    assert!(matches!(
        ended(&ward, first[0].id).await.ended(),
        Some((_, true))
    ));
    ward.clock.advance(86_400);
    assert_eq!(ward.engine.sweep_drills().await.expect("swept"), 0);
    ward.clock.advance(86_400);
    assert_eq!(ward.engine.sweep_drills().await.expect("swept"), 1);
}

#[tokio::test]
async fn g4_no_drill_begins_while_its_target_is_paused() {
    let ward = Ward::new(&DRILL.replace("made_by", "every_days = 2\nmade_by"), false).await;
    ward.paused(Some("crm"), true).await;
    assert_eq!(ward.engine.sweep_drills().await.expect("swept"), 0);
    ward.paused(Some("crm"), false).await;
    assert_eq!(ward.engine.sweep_drills().await.expect("swept"), 1);
}

#[tokio::test]
async fn c8_a_wish_for_a_drill_without_a_declared_canary_is_refused() {
    let ward = Ward::new("", false).await;
    let id = CommandId(uuid::Uuid::from_u128(1));
    let command = Command {
        id,
        by: "ada".to_owned(),
        at: ward.clock.now(),
        wish: Wish::Drill {
            connector: "crm".into(),
        },
    };
    ward.store.wish(&command).await.expect("in line");
    ward.engine.obey().await.expect("obeyed");
    let answer = ward.store.answer(id).await.expect("read").expect("given");
    assert_eq!(answer.code.as_deref(), Some("CB-DRILL-3"));
    let none: Option<CaseId> = stories(&ward).await.first().map(|one| one.report.row.id);
    assert_eq!(none, None);
}
