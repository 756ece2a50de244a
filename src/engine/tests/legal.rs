//! B9: a legal hold forbids what destroys, and permits and still requires what cuts access.
//!
//! Owns whole histories over one scripted target. Which matters are in force is tested with the domain,
//! that both stores tell of them in the store's conformance suite.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::given;
use super::upstream::{gated, groups};
use super::ward::{Ward, approved, manifest, text};
use crate::domain::access::AccountState;
use crate::domain::command::{Command, Wish};
use crate::domain::event::EventKind;
use crate::domain::id::CommandId;
use crate::domain::legal;
use crate::domain::outcome::FailureClass;
use crate::domain::protect;
use crate::domain::run::Stage;
use crate::domain::task::{FallbackTask, TaskState};
use crate::domain::time::{Clock, Effective};
use crate::domain::workflow::{End, RunKind};
use crate::engine::Settings;
use crate::store::{IntakeBatch, Keep};

const HOUR: u64 = 3600;
const PLACED: EventKind = EventKind::LegalHoldPlaced;
const LIFTED: EventKind = EventKind::LegalHoldLifted;

/// A target that can do everything.
async fn able() -> Ward {
    let mut text = text("", false).replace(
        "\"delete\"]",
        "\"disable\", \"end_sessions\", \"revoke_entitlement\", \"revoke_credential\", \"delete\"]",
    );
    text = text.replace("writes = [\"*\"]", "writes = [\"active\", \"*\"]");
    for without in [
        "disable = \"deletion does it\"\n",
        "end_sessions = \"there are none\"\n",
        "revoke_entitlement = \"deletion does it\"\n",
        "revoke_credential = \"deletion does it\"\n",
    ] {
        assert!(text.contains(without), "{text}");
        text = text.replace(without, "");
    }
    Ward::of(approved(&text), Settings::default()).await
}

/// News of a matter about the leaver.
async fn told(ward: &Ward, kind: EventKind, matter: &str, revision: u64) {
    let mut event = given::news(kind, revision, Effective::Immediately);
    event.id = format!("{matter}/{}", event.id);
    event.hr_case = matter.to_owned();
    let batch = IntakeBatch {
        events: vec![given::recorded(event, ward.clock.now())],
        ..IntakeBatch::default()
    };
    ward.store.record(&batch).await.expect("recorded");
}

/// The tasks of removals that a hold has stopped.
async fn forbidden(ward: &Ward) -> Vec<FallbackTask> {
    let tasks = ward.open_tasks().await;
    let stopped = tasks.into_iter().filter(|task| task.code == legal::HELD);
    stopped.collect()
}

/// Disabled and stripped, but there, and its removal in a person's hands.
async fn is_cut_off_and_kept(ward: &Ward, matter: &str) -> FallbackTask {
    {
        let shown = ward.target.shown();
        let mut accounts = shown.accounts.iter();
        let account = accounts.find(|one| one.id.as_str() == "a-1");
        let account = account.expect("it is not deleted");
        assert_eq!(account.state, AccountState::Disabled);
        assert_eq!((account.entitlements.len(), account.sessions), (0, Some(0)));
    }
    assert!(ward.ended().await.is_empty(), "nothing is proved");
    let mut tasks = forbidden(ward).await;
    assert_eq!(tasks.len(), 1, "{:?}", ward.open_tasks().await);
    let task = tasks.remove(0);
    for part in [matter, "its access is cut;", "when the hold is lifted"] {
        assert!(task.why.contains(part), "{}", task.why);
    }
    task
}

/// Deleted, and proved so.
async fn is_gone(ward: &Ward) {
    let shown = ward.target.shown().accounts.len();
    assert_eq!(shown, 4);
    let ended = ward.ended().await;
    let ends: Vec<_> = ended.iter().map(|run| &run.stage).collect();
    let [Stage::Ended { end, .. }] = ends.as_slice() else {
        panic!("{ends:?}");
    };
    assert_eq!(*end, End::Verified);
    assert!(forbidden(ward).await.is_empty());
}

/// Does what is due, step by step, until a run stands before its deletion.
async fn until_deletion(ward: &Ward) {
    let none = Keep {
        worker: ward.worker,
        at_most: 0,
        share: u32::MAX,
        room: BTreeMap::new(),
    };
    let keep = Keep {
        at_most: 1,
        ..none.clone()
    };
    for _ in 0..100 {
        ward.engine.admit(&none).await.expect("admitted");
        let now = ward.clock.now();
        let claimed = ward.store.claim(now, &keep).await.expect("claimed");
        let [one] = claimed.as_slice() else {
            ward.clock.advance(60);
            continue;
        };
        let stands = one.run.stage.name() == "delete";
        if !stands {
            let settlement = ward.engine.step(one).await.expect("consistent");
            let settled = ward.store.settle(now, &none, &[settlement]).await;
            assert_eq!(settled.expect("settled").accepted, [true]);
        }
        let given = [(one.run.id, one.token)];
        let released = ward.store.release(ward.worker, &given).await;
        released.expect("free");
        if stands {
            return;
        }
    }
    panic!("nothing was about to be deleted");
}

#[tokio::test]
async fn b9_an_account_under_legal_hold_is_cut_off_and_not_deleted_until_it_is_lifted() {
    // Given a hold, and a departure after it.
    let ward = able().await;
    told(&ward, PLACED, "LH-77", 1).await;
    ward.work(60).await;
    ward.leaver_leaves().await;
    // When the machine has tried for half a day.
    ward.work(12 * HOUR).await;
    // Then access is cut, the account is kept, and a person has the task; nobody can approve it.
    let task = is_cut_off_and_kept(&ward, "LH-77").await;
    let run = ward.store.run(task.run).await.expect("read");
    let (run, _) = run.expect("kept");
    assert_eq!(protect::matter_of(&task.code, &run), None);
    // When the hold is lifted, then the machine goes on by itself, and proves it.
    told(&ward, LIFTED, "LH-77", 2).await;
    ward.work(26 * HOUR).await;
    is_gone(&ward).await;
}

#[tokio::test]
async fn b9_a_hold_that_comes_while_a_target_is_listed_before_a_deletion_forbids_it() {
    // Given an account that administers, so that who else does is looked up before it is deleted.
    let mut manifest = manifest("", false);
    manifest.administrators.insert("r-sales".into());
    let ward = Ward::of(manifest, Settings::default()).await;
    ward.leaver_leaves().await;
    until_deletion(&ward).await;
    // When a hold comes during that listing.
    let ends = Arc::new(Notify::new());
    ward.target.shown().hangs = Some(ends.clone());
    let comes = async {
        while ward.target.shown().hanging == 0 {
            tokio::task::yield_now().await;
        }
        told(&ward, PLACED, "LH-77", 1).await;
        ward.admit().await;
        ward.target.shown().hangs = None;
        ends.notify_one();
    };
    tokio::join!(ward.work_now(), comes);
    ward.work(HOUR).await;
    // Then it is not deleted.
    assert_eq!(ward.target.shown().accounts.len(), 5);
    assert_eq!(forbidden(&ward).await.len(), 1);
}

#[tokio::test]
async fn b9_a_hold_that_comes_after_the_removal_has_begun_forbids_its_deletion() {
    // Given a removal that has written, and is about to delete.
    let ward = able().await;
    ward.leaver_leaves().await;
    until_deletion(&ward).await;
    // When a hold comes.
    told(&ward, PLACED, "LH-77", 1).await;
    ward.work(2 * HOUR).await;
    // Then it is not deleted; not either while another matter is in force.
    is_cut_off_and_kept(&ward, "LH-77").await;
    told(&ward, PLACED, "LH-90", 1).await;
    told(&ward, LIFTED, "LH-77", 2).await;
    ward.work(26 * HOUR).await;
    let task = is_cut_off_and_kept(&ward, "LH-90").await;
    assert!(!task.why.contains("LH-77"), "{}", task.why);
    told(&ward, LIFTED, "LH-90", 2).await;
    ward.work(30 * HOUR).await;
    is_gone(&ward).await;
}

#[tokio::test]
async fn b9_a_claim_closes_nothing_while_the_account_is_kept() {
    let ward = able().await;
    told(&ward, PLACED, "LH-77", 1).await;
    ward.leaver_leaves().await;
    ward.work(HOUR).await;
    let task = is_cut_off_and_kept(&ward, "LH-77").await;
    let close = Command {
        id: CommandId(uuid::Uuid::from_u128(1 << 64)),
        by: "ann".to_owned(),
        at: ward.clock.now(),
        wish: Wish::CloseTask {
            task: task.id,
            note: "I saw to it".to_owned(),
            attestation: Some(given::attested("ann")),
        },
    };
    ward.store.wish(&close).await.expect("in line");
    ward.engine.obey().await.expect("obeyed");
    ward.work(60).await;
    let task = is_cut_off_and_kept(&ward, "LH-77").await;
    assert!(matches!(task.state, TaskState::SentBack { .. }));
}

#[tokio::test]
async fn b9_where_only_deletion_would_cut_access_it_is_cut_upstream() {
    let ward = gated().await;
    told(&ward, PLACED, "LH-77", 1).await;
    ward.leaver_leaves_from(&["crm"]).await;
    ward.work(2 * HOUR).await;
    // Nothing is deleted, and the group that gives access to the target is gone.
    assert_eq!(ward.target.shown().accounts.len(), 5);
    assert_eq!(groups(&ward, 0), ["k-api", "r-sales"]);
    let task = forbidden(&ward).await.remove(0);
    for part in [
        "LH-77",
        "its access is not cut yet: account login-a-1 can sign in",
        "residual risk: contained upstream at idp (g-staff) since",
    ] {
        assert!(task.why.contains(part), "{}", task.why);
    }
}

#[tokio::test]
async fn b9_what_a_person_is_asked_deletes_nothing_while_data_are_held() {
    // Given a target that does not answer, so that a person has the removal.
    let ward = able().await;
    ward.leaver_leaves().await;
    until_deletion(&ward).await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.work(12 * HOUR).await;
    let asked = async || {
        let mut tasks = ward.open_tasks().await;
        tasks.retain(|task| task.kind == RunKind::Removal);
        assert_eq!(tasks.len(), 1, "{tasks:?}");
        tasks.remove(0)
    };
    let before = asked().await;
    assert!(
        !before.steps[0].contains("LEGAL HOLD"),
        "{:?}",
        before.steps
    );
    // When holds come, then its first step forbids to delete, and names each once.
    for matter in ["LH-77", "LH-90"] {
        told(&ward, PLACED, matter, 1).await;
        ward.work(26 * HOUR).await;
    }
    let held = asked().await;
    let first = &held.steps[0];
    assert!(
        first.starts_with("LEGAL HOLD LH-77, LH-90: delete nothing"),
        "{first}"
    );
    assert_eq!(held.steps[1..], before.steps);
    // When they are lifted, it is as before.
    for matter in ["LH-77", "LH-90"] {
        told(&ward, LIFTED, matter, 2).await;
    }
    ward.work(26 * HOUR).await;
    assert_eq!(asked().await.steps, before.steps);
}

#[tokio::test]
async fn b9_news_of_a_hold_does_not_wait_for_the_next_try_of_what_a_person_has() {
    // Given a removal of which a person has the task for days, so that the machine tries it once a day.
    let ward = able().await;
    ward.leaver_leaves().await;
    until_deletion(&ward).await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.work(4 * 24 * HOUR).await;
    let first_step = async || {
        let mut tasks = ward.open_tasks().await;
        tasks.retain(|task| task.kind == RunKind::Removal);
        tasks.remove(0).steps.remove(0)
    };
    assert!(!first_step().await.contains("LEGAL HOLD"));
    // When a hold comes, then the task says so within the hour.
    told(&ward, PLACED, "LH-77", 1).await;
    ward.work(HOUR).await;
    assert!(first_step().await.contains("LEGAL HOLD LH-77"));
    // And when it is lifted after days, the machine goes on.
    ward.target.shown().fails = None;
    ward.work(4 * 24 * HOUR).await;
    is_cut_off_and_kept(&ward, "LH-77").await;
    told(&ward, LIFTED, "LH-77", 2).await;
    ward.work(60).await;
    assert_eq!(ward.target.shown().accounts.len(), 4);
}

#[tokio::test]
async fn b9_an_account_that_is_gone_under_a_hold_is_told() {
    let ward = able().await;
    told(&ward, PLACED, "LH-77", 1).await;
    ward.leaver_leaves().await;
    ward.work(HOUR).await;
    let task = is_cut_off_and_kept(&ward, "LH-77").await;
    // Somebody deletes it all the same.
    ward.target
        .shown()
        .accounts
        .retain(|one| one.id.as_str() != "a-1");
    ward.work(30 * HOUR).await;
    let task = ward.store.task(task.id).await.expect("read").expect("kept");
    assert!(task.is_closed());
    let told = task
        .history
        .iter()
        .any(|line| line.text.contains(legal::GONE));
    assert!(told, "{:?}", task.history);
}
