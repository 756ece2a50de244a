//! The suite over SQLite, in memory and in a file, and what only SQLite does.
//!
//! Owns how a store for a check is made. PostgreSQL has the same in `tests/integration/store.rs`.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::domain::id::StateName;
use crate::domain::run::Stage;
use crate::domain::workflow::RunKind;

use super::conformance::given::{a_case, a_removal, at, fenced, handed_over, keep, worker};
use super::conformance::{self, Home};
use super::{Settings, Store, StoreError, open};

async fn migrated(url: &str) -> Arc<dyn Store> {
    let store = open(&Settings::at(url)).await.expect("opened");
    store.migrate().await.expect("migrated");
    store
}

mod in_memory {
    use super::{Home, conformance, migrated};

    async fn fresh(_name: &str) -> Home {
        Home {
            store: migrated("sqlite::memory:").await,
            keeps: Box::new(()),
        }
    }

    conformance::suite!(fresh);
}

mod in_a_file {
    use super::{Home, conformance, migrated};

    async fn fresh(name: &str) -> Home {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(format!("{name}.db"));
        Home {
            store: migrated(&format!("sqlite:{}", path.display())).await,
            keeps: Box::new(folder),
        }
    }

    conformance::suite!(fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_engine_holds_a_file_and_the_next_one_takes_all_leases_over_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("clawback.db").display());
    let first = migrated(&url).await;
    let second = migrated(&url).await;
    first
        .enlist(worker(1), at(0), 3600)
        .await
        .expect("enlisted");
    let case = a_case(&first, "c").await;

    let refused = second.enlist(worker(2), at(0), 3600).await;
    assert!(matches!(refused, Err(StoreError::Locked(_))), "{refused:?}");
    // A command line that shares the file can read, and wish.
    assert!(second.run(case.run.id).await.expect("read").is_some());

    // The first process dies without a word; its lease would last an hour.
    drop(first);
    second
        .enlist(worker(2), at(1), 3600)
        .await
        .expect("enlisted");
    let taken = second.claim(at(1), &keep(2, 5)).await.expect("claimed");
    assert_eq!(taken.len(), 1);
    assert!(taken[0].token > case.token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_another_process_wakes_a_worker() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("clawback.db").display());
    let engine = migrated(&url).await;
    let shell = migrated(&url).await;
    engine.woken(Duration::from_millis(300)).await;
    let waits = engine.woken(Duration::from_secs(60));
    let home = async {
        // Its own bell is not heard in the other store: only the file can tell.
        a_case(&shell, "c").await;
    };
    let both = async { tokio::join!(waits, home) };
    let done = tokio::time::timeout(Duration::from_secs(30), both).await;
    assert!(done.is_ok(), "nobody was woken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_be_read_keeps_no_other_run_from_its_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("clawback.db").display());
    let store = migrated(&url).await;
    let removal = a_removal(&store, "unreadable").await;
    let mut settlement = handed_over(&removal.run);
    settlement.run.stage = Stage::WithPerson {
        state: StateName::from("fallback"),
        next_try: Some(at(1)),
        tries: 0,
    };
    let batch = [fenced(&removal, settlement)];
    let settled = store.settle(at(0), &keep(1, 1), &batch).await;
    assert_eq!(settled.expect("settled").accepted, [true]);
    a_case(&store, "sound").await;
    let options = SqliteConnectOptions::from_str(&url).expect("an address");
    let mut beside = options.connect().await.expect("connected");
    let broken = sqlx::query("UPDATE tasks SET body = '{}'").execute(&mut beside);
    assert_eq!(broken.await.expect("broken").rows_affected(), 1);

    store.discharge(worker(1)).await.expect("discharged");
    let claimed = store.claim(at(2), &keep(2, 5)).await.expect("claimed");
    let claimed: Vec<_> = claimed.iter().map(|one| one.run.kind).collect();
    assert_eq!(
        claimed,
        [RunKind::Case],
        "only what can be read is handed out"
    );
}

/// A store in a file, with somebody who writes past it.
macro_rules! unreadable {
    ($($check:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $check() {
            let folder = tempfile::tempdir().expect("a folder");
            let url = format!("sqlite:{}", folder.path().join("clawback.db").display());
            let store = migrated(&url).await;
            let options = SqliteConnectOptions::from_str(&url).expect("an address");
            let beside = async |sql: &'static str| {
                let mut beside = options.clone().connect().await.expect("connected");
                let broken = sqlx::query(sql).execute(&mut beside).await;
                assert_eq!(broken.expect("broken").rows_affected(), 1, "{sql}");
            };
            conformance::unreadable::$check(&store, beside).await;
        })*
    };
}

unreadable!(
    a3_an_event_keeps_no_other_event_waiting,
    b9_a_legal_hold_is_in_force_though_a_removal_cannot_be_read,
    c8_a_run_keeps_no_other_that_was_barred_asleep,
    d2_a_rotation_keeps_no_other_from_being_known,
    f2_a_task_keeps_no_other_task_from_its_desk,
    f2_one_task_or_case_that_cannot_be_read_hides_no_other_from_people,
    f4_a_wish_about_what_cannot_be_read_keeps_no_other_wish_waiting,
    f4_a_wish_keeps_no_other_wish_waiting,
    f5_a_task_keeps_no_other_task_from_being_told,
);

#[tokio::test]
async fn a_database_without_schema_is_refused() {
    let store = open(&Settings::at("sqlite::memory:"))
        .await
        .expect("opened");
    let refused = store.ping().await;
    assert!(matches!(refused, Err(StoreError::Schema(_))), "{refused:?}");
    assert!(!store.migrate().await.expect("migrated").is_empty());
    store.ping().await.expect("fits");
}
