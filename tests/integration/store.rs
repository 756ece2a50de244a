//! The store on PostgreSQL: the conformance suite, and what only several processes show.
//!
//! Each check gets a database of its own on the server that `scripts/test` provides, and drops it.
//! The suite's files are the ones that the unit tests run over SQLite.

use std::sync::Arc;
use std::time::Duration;

use clawback::domain;
use clawback::store::{
    ActFilter, CaseFilter, Checkpoint, Claimed, CopiesWanted, CopyLease, Counts, DeadLetter,
    Dropping, Examination, Fenced, IntakeBatch, Inventory, Keep, KnownAccount, Letters, Listed,
    NextVisit, Receipt, RunsEnded, SAMPLES_KEPT, Settings, Settled, Store, StoreError,
    StoredDefinition, SurveyLease, SurveyWanted, TaskFilter, audit, open,
};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::parts::{part, until};

#[path = "../../src/store/conformance/mod.rs"]
pub mod conformance;

use conformance::Home;
use conformance::given::{
    a_case, a_removal, at, due, ended, event, fenced, keep, proved, recorded, step, worker,
};
use domain::settlement::Settlement;
use domain::workflow::End;

/// A database that goes when the check is over.
pub struct Database {
    server: PgConnectOptions,
    name: String,
}

impl Database {
    pub async fn create(name: &str) -> Self {
        let server: PgConnectOptions = part("CLAWBACK_TEST_POSTGRES")
            .parse()
            .expect("the address of a server");
        // PostgreSQL cuts names at 63 characters.
        let mut name = format!("store_{}_{name}", std::process::id());
        name.truncate(60);
        let database = Self { server, name };
        database.on_server("CREATE DATABASE").await;
        database
    }

    async fn on_server(&self, verb: &str) {
        let mut connection = self.server.connect().await.expect("connected");
        let force = if verb.starts_with("DROP") {
            " WITH (FORCE)"
        } else {
            ""
        };
        sqlx::query(AssertSqlSafe(format!("{verb} \"{}\"{force}", self.name)))
            .execute(&mut connection)
            .await
            .expect("done");
    }

    pub async fn connect(&self) -> PgConnection {
        let options = self.server.clone().database(&self.name);
        options.connect().await.expect("connected")
    }

    /// A store, as another process would open it.
    pub async fn open(&self) -> Arc<dyn Store> {
        let url = self.server.clone().database(&self.name).to_url_lossy();
        open(&Settings::at(url.to_string())).await.expect("opened")
    }

    /// A store that comes to the server by way of another port.
    pub async fn open_by(&self, port: u16) -> Arc<dyn Store> {
        let by = self.server.clone().host("127.0.0.1").port(port);
        let url = by.database(&self.name).to_url_lossy();
        open(&Settings::at(url.to_string())).await.expect("opened")
    }

    /// Where the server listens.
    pub fn place(&self) -> (String, u16) {
        (self.server.get_host().to_owned(), self.server.get_port())
    }

    pub async fn migrated(&self) -> Arc<dyn Store> {
        let store = self.open().await;
        store.migrate().await.expect("migrated");
        store
    }

    /// Ends all other connections to this database, as a restart of the server would.
    async fn cut(&self) {
        let mut connection = self.connect().await;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&mut connection)
        .await
        .expect("cut");
        connection.close().await.expect("closed");
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let database = Self {
            server: self.server.clone(),
            name: std::mem::take(&mut self.name),
        };
        if database.name.is_empty() {
            return;
        }
        // A drop can't wait in the test's own runtime.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(database.on_server("DROP DATABASE"));
            std::mem::forget(database);
        });
        assert!(
            dropping.join().is_ok() || std::thread::panicking(),
            "the database could not be dropped"
        );
    }
}

async fn fresh(name: &str) -> Home {
    let database = Database::create(name).await;
    Home {
        store: database.migrated().await,
        keeps: Box::new(database),
    }
}

conformance::suite!(fresh);

/// A store, with somebody who writes past it.
macro_rules! unreadable {
    ($($check:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $check() {
            let database = Database::create(stringify!($check)).await;
            let store = database.migrated().await;
            let beside = async |sql: &'static str| {
                let mut beside = database.connect().await;
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

/// Calls until it answers with more than nothing; gives up after a bound.
async fn until_freed(store: &Arc<dyn Store>, by: u64, second: u64) -> u64 {
    for _ in 0..500 {
        let freed = store.bury(worker(by), at(second)).await.expect("buried");
        if freed > 0 {
            return freed;
        }
        store.woken(Duration::from_millis(10)).await;
    }
    0
}

#[tokio::test(flavor = "multi_thread")]
async fn b3_a_killed_worker_is_noticed_long_before_its_lease_is_over() {
    let database = Database::create("killed").await;
    let first = database.migrated().await;
    let second = database.open().await;
    first
        .enlist(worker(1), at(0), 3600)
        .await
        .expect("enlisted");
    second
        .enlist(worker(2), at(0), 3600)
        .await
        .expect("enlisted");
    let case = a_case(&first, "c").await;
    assert_eq!(second.bury(worker(2), at(1)).await.expect("buried"), 0);

    // Dropped without a word, as by kill -9: the server sees the connection go.
    drop(first);
    assert_eq!(until_freed(&second, 2, 1).await, 1);
    let taken = second.claim(at(1), &keep(2, 5)).await.expect("claimed");
    assert_eq!(taken[0].run.id, case.run.id);
    assert!(taken[0].token > case.token);
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_lost_connection_is_back_pressure_and_loses_nothing() {
    let database = Database::create("cut").await;
    let store = database.migrated().await;
    store
        .enlist(worker(1), at(0), 3600)
        .await
        .expect("enlisted");
    let case = a_case(&store, "c").await;
    let batch = [fenced(&case, step(&case.run, due("next", 0)))];
    database.cut().await;

    let mut failed = 0;
    let settled = loop {
        match store.settle(at(0), &keep(1, 5), &batch).await {
            Ok(settled) => break settled,
            Err(error) => assert!(error.is_passing(), "{error:?}"),
        }
        failed += 1;
        assert!(failed < 20, "it does not come back");
    };
    assert!(failed > 0, "the cut was not felt");
    assert_eq!(settled.accepted, [true]);
    let (_, journal) = store.run(case.run.id).await.expect("read").expect("there");
    assert_eq!(journal.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn b3_a_worker_that_lost_an_answer_starts_anew_and_strands_nothing() {
    let database = Database::create("doubt").await;
    let store = database.migrated().await;
    store
        .enlist(worker(1), at(0), 3600)
        .await
        .expect("enlisted");
    let case = a_case(&store, "c").await;
    assert!(store.heartbeat(worker(1), at(1)).await.expect("beat"));
    database.cut().await;
    let lost = store.claim(at(1), &keep(1, 5)).await;
    assert!(lost.is_err_and(|error| error.is_passing()));

    // What that claim may have leased nobody knows: the worker gives everything back.
    assert!(!store.heartbeat(worker(1), at(2)).await.expect("beat"));
    store
        .enlist(worker(3), at(2), 3600)
        .await
        .expect("enlisted");
    let again = store.claim(at(2), &keep(3, 5)).await.expect("claimed");
    assert_eq!(again[0].run.id, case.run.id);
    assert!(store.heartbeat(worker(3), at(3)).await.expect("beat"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_wakes_workers_of_other_processes() {
    let database = Database::create("wake").await;
    let intake = database.migrated().await;
    let engine = database.open().await;
    // The first wait opens the ear; what it rings for is heard before the check begins.
    engine.woken(Duration::from_secs(5)).await;
    let waits = engine.woken(Duration::from_secs(60));
    let both = async { tokio::join!(waits, recorded(&intake, vec![event("1", "c", 1)])) };
    let done = tokio::time::timeout(Duration::from_secs(30), both).await;
    assert!(done.is_ok(), "nobody was woken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_step_stays_on_its_page() {
    let database = Database::create("hot").await;
    let store = database.migrated().await;
    let mut case = a_case(&store, "c").await;
    for _ in 0..20 {
        let next = step(&case.run, due("next", 0));
        case.run = next.run.clone();
        let settled = store
            .settle(at(0), &keep(1, 5), &[fenced(&case, next)])
            .await;
        assert_eq!(settled.expect("settled").accepted, [true]);
    }
    let mut connection = database.connect().await;
    // The counters come from the backends themselves, some time after the fact.
    let mut counted = (0_i64, 0_i64);
    for _ in 0..500 {
        counted = sqlx::query_as(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'runs'",
        )
        .fetch_one(&mut connection)
        .await
        .expect("read");
        if counted.0 >= 20 {
            break;
        }
        store.woken(Duration::from_millis(20)).await;
    }
    // One that finds its page full and an old snapshot in use goes to another page.
    assert!(
        counted.0 == 20 && counted.1 >= 18,
        "updates, and those that touched no index: {counted:?}"
    );
}

/// A case with one removal, from its event to its end, and what a worker asks besides.
async fn a_life(store: &Arc<dyn Store>, name: &str) {
    let removal = a_removal(store, name).await;
    let proof = [fenced(&removal, proved(&removal.run))];
    let settled = store.settle(at(0), &keep(1, 1), &proof).await;
    let case = settled.expect("settled").kept.remove(0);
    let end = Settlement {
        case_ended: case.run.case.map(|id| (id, End::Verified, at(0))),
        ..step(&case.run, ended(End::Verified))
    };
    let settled = store
        .settle(at(0), &keep(1, 1), &[fenced(&case, end)])
        .await;
    assert_eq!(settled.expect("settled").accepted, [true]);
    let claimed = store.claim(at(0), &keep(1, 5)).await;
    assert_eq!(claimed.expect("claimed"), []);
    assert_eq!(store.bury(worker(1), at(0)).await.expect("buried"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_planned_on_empty_tables_only_look_up_when_these_are_full() {
    const ROWS: i64 = 5000;
    let database = Database::create("plans").await;
    let store = database.migrated().await;
    // Every statement is planned now, and the plan kept.
    a_life(&store, "first").await;
    let mut connection = database.connect().await;
    let fill = format!(
        "SET enable_seqscan = off; \
         INSERT INTO cases (id, tenant, subject_key, subject_name, event_key, hr_case, revision, \
           workflow, effective_us, opened_us, priority, run_id, ended, ended_us) \
         SELECT gen_random_uuid(), 'acme', 'acme/p' || g, '', gen_random_uuid(), 'p' || g, 1, \
           'leaver', 0, 0, 30, gen_random_uuid(), 'verified', 0 FROM generate_series(1, {ROWS}) g; \
         INSERT INTO runs (id, case_id, token, step, open_children, priority, kind, stage, state, \
           ended, ended_us, body) \
         SELECT gen_random_uuid(), gen_random_uuid(), 1, 1, 0, 30, 'case', 'ended', 'done', \
           'verified', 0, '' FROM generate_series(1, {ROWS}) g; \
         INSERT INTO events (key, payload_digest, recorded_us, body, admitted_us) \
         SELECT gen_random_uuid(), '', 0, '', 0 FROM generate_series(1, {ROWS}) g"
    );
    let filled = sqlx::raw_sql(AssertSqlSafe(fill));
    filled.execute(&mut connection).await.expect("filled");
    a_life(&store, "second").await;

    // A backend counts what it read at the latest when it goes.
    drop(store);
    let others = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    until("the store's connections are gone", async || {
        let left = sqlx::query_scalar(others).fetch_one(&mut connection).await;
        matches!(left, Ok(0_i64))
    })
    .await;
    let read: Vec<(String, i64)> = sqlx::query_as(
        "SELECT t.relname::text, (t.seq_tup_read + sum(i.idx_tup_read))::bigint \
         FROM pg_stat_user_tables t JOIN pg_stat_user_indexes i USING (relid) \
         GROUP BY t.relid, t.relname, t.seq_tup_read",
    )
    .fetch_all(&mut connection)
    .await
    .expect("read");
    let told = |name| read.iter().any(|(table, rows)| table == name && *rows > 0);
    assert!(
        told("runs") && told("cases"),
        "nothing was counted: {read:?}"
    );
    let scanned: Vec<_> = read.iter().filter(|(_, rows)| *rows > ROWS / 10).collect();
    assert!(scanned.is_empty(), "rows read for two cases: {scanned:?}");
}
