//! What the store on PostgreSQL owes a worker when something hangs, and when a machine's clock is wrong.
//!
//! Owns the connections that hold things up; every wait for them has an end. What holds whatever
//! happens is the suite's, in `store`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clawback::domain::user::User;
use clawback::store::CaseFilter;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::store::Database;
use crate::store::conformance::given::{a_case, at, due, fenced, keep, step, worker};

#[tokio::test(flavor = "multi_thread")]
async fn b3_a_worker_whose_clock_is_ahead_takes_over_from_nobody() {
    let database = Database::create("ahead").await;
    let first = database.migrated().await;
    let second = database.open().await;
    // Its lease is over, and it holds its lock: stopped, and not dead.
    let stopped = first.enlist(worker(1), at(0), 0).await;
    stopped.expect("enlisted");
    let case = a_case(&first, "c").await;
    for number in [3, 4] {
        let enlisted = first.enlist(worker(number), at(0), 3600).await;
        enlisted.expect("enlisted");
    }
    assert_eq!(second.bury(worker(2), at(0)).await.expect("buried"), 1);
    let late = [fenced(&case, step(&case.run, due("late", 0)))];
    let late = first.settle(at(0), &keep(1, 5), &late).await;
    assert_eq!(late.expect("settled").accepted, [false]);

    let taken = first.claim(at(0), &keep(3, 5)).await.expect("claimed");
    assert_eq!(taken.len(), 1);
    // Eleven days ahead.
    let buried = second.bury(worker(2), at(1_000_000)).await;
    assert_eq!(buried.expect("looked"), 0, "its lock proves that it lives");
    // Eleven days behind, it keeps its own lease.
    let behind = first.heartbeat(worker(3), at(0)).await;
    assert!(behind.expect("beat"));
    assert_eq!(second.bury(worker(2), at(0)).await.expect("looked"), 0);
    let clock = first.clock().await.expect("read").expect("there is one");
    let again = first.clock().await.expect("read").expect("there is one");
    assert!(clock <= again && clock > at(0), "{clock} and {again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_settlement_that_hangs_is_given_up_and_repeated() {
    let database = Database::create("hangs").await;
    let store = database.migrated().await;
    let enlisted = store.enlist(worker(1), at(0), 3600).await;
    enlisted.expect("enlisted");
    let case = a_case(&store, "c").await;
    let mut beside = database.connect().await;
    let mut held = beside.begin().await.expect("begun");
    sqlx::query("SELECT 1 FROM runs FOR UPDATE")
        .execute(&mut *held)
        .await
        .expect("locked");
    let batch = [fenced(&case, step(&case.run, due("next", 0)))];
    let now = at(0);
    let keep = keep(1, 5);
    let hangs = tokio::time::timeout(Duration::from_secs(60), store.settle(now, &keep, &batch));
    let given_up = hangs.await.expect("it is given up");
    assert!(given_up.is_err_and(|error| error.is_passing()));
    held.rollback().await.expect("let go");
    let settled = store.settle(now, &keep, &batch).await.expect("settled");
    assert_eq!(settled.accepted, [true], "whether or not it was in already");
    let (_, journal) = store.run(case.run.id).await.expect("read").expect("there");
    assert_eq!(journal.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn b3_what_operators_ask_holds_up_nothing_of_a_workers_own() {
    let database = Database::create("operators").await;
    let store = database.migrated().await;
    let enlisted = store.enlist(worker(1), at(0), 3600).await;
    enlisted.expect("enlisted");
    let mut beside = database.connect().await;
    let mut held = beside.begin().await.expect("begun");
    sqlx::query("LOCK TABLE cases IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *held)
        .await
        .expect("locked");
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        asking.spawn(async move { store.cases(&CaseFilter::default()).await.is_ok() });
    }
    let mut watcher = database.connect().await;
    crate::parts::until("all who read for operators are held up", async || {
        let waiting = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock'",
        );
        matches!(waiting.fetch_one(&mut watcher).await, Ok(count) if count >= 4)
    })
    .await;
    let own = async {
        assert!(store.heartbeat(worker(1), at(1)).await.expect("beat"));
        store.pauses().await.expect("read");
        store.know_pauses(worker(1), 1).await.expect("said");
        store.ping().await.expect("fits");
    };
    let own = tokio::time::timeout(Duration::from_secs(5), own).await;
    assert!(own.is_ok(), "a worker waits behind operators");
    held.rollback().await.expect("let go");
    while let Some(answered) = asking.join_next().await {
        assert!(answered.expect("no panic"));
    }
}

/// Stands before the server. Connections that were there when it was told so are silent for good: what is
/// sent on them is taken and goes nowhere, as where a firewall has forgotten them.
struct Swallowing {
    port: u16,
    links: Arc<AtomicU64>,
    silent: Arc<AtomicU64>,
    _serving: JoinSet<()>,
}

impl Swallowing {
    async fn before(server: (String, u16)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (links, silent) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let mut serving = JoinSet::new();
        let (made, hushed) = (links.clone(), silent.clone());
        serving.spawn(async move {
            let mut links = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let number = made.fetch_add(1, Ordering::SeqCst) + 1;
                let there = TcpStream::connect((server.0.as_str(), server.1)).await;
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = there.expect("a server").into_split();
                links.spawn(carry(from_client, to_server, number, hushed.clone()));
                links.spawn(carry(from_server, to_client, number, hushed.clone()));
            }
        });
        Self {
            port,
            links,
            silent,
            _serving: serving,
        }
    }

    fn silence(&self) -> u64 {
        let links = self.links.load(Ordering::SeqCst);
        self.silent.store(links, Ordering::SeqCst);
        links
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: u64,
    silent: Arc<AtomicU64>,
) {
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let swallowed = number <= silent.load(Ordering::SeqCst);
        if !swallowed && to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
        display_name: name.to_owned(),
        roles: BTreeSet::new(),
        password: None,
        provider: None,
        subject: None,
        disabled: None,
        enabled: None,
        failures: 0,
        locked_until: None,
        created: at(0),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_connections_that_fall_silent_hold_up_nothing_for_good() {
    let database = Database::create("silent").await;
    database.migrated().await;
    let proxy = Swallowing::before(database.place()).await;
    let store = database.open_by(proxy.port).await;
    let filter = CaseFilter::default();
    let (one, other) = (user("one"), user("other"));
    // Connections to every end that a worker or the console may have.
    let used = tokio::join!(
        store.cases(&filter),
        store.users(),
        store.add_user(&one),
        store.ping(),
        store.witness(&|_, _| None),
    );
    used.0.expect("listed");
    used.1.expect("listed");
    assert!(used.2.expect("added"));
    used.3.expect("fits");
    used.4.expect("nothing to sign");
    assert!(proxy.silence() >= 3, "several connections lie idle");

    let given_up = tokio::time::timeout(Duration::from_secs(120), async {
        tokio::join!(store.cases(&filter), store.add_user(&other), store.ping())
    });
    let (cases, added, pinged) = given_up.await.expect("they are given up");
    for ended in [cases.map(drop), added.map(drop), pinged] {
        assert!(
            ended.is_err_and(|error| error.is_passing()),
            "the store is away"
        );
    }
    // What comes next takes connections of its own.
    assert!(store.cases(&filter).await.expect("listed").is_empty());
    assert!(store.add_user(&other).await.expect("added"));
    assert_eq!(store.users().await.expect("listed").len(), 2);
    store.ping().await.expect("fits");
}

/// How PostgreSQL goes about a statement, with a table that is worth no scan.
async fn plan(connection: &mut PgConnection, sql: &str) -> String {
    let explained = sqlx::query_scalar::<_, String>(AssertSqlSafe(format!("EXPLAIN {sql}")));
    let lines = explained.fetch_all(connection).await.expect("explained");
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_removals_under_way_and_legal_holds_are_looked_up() {
    let database = Database::create("indexes").await;
    database.migrated().await;
    let mut connection = database.connect().await;
    let fill = "INSERT INTO runs (id, case_id, token, step, open_children, priority, kind, \
           connector, stage, state, due_us, ended, ended_us, body) \
         SELECT gen_random_uuid(), gen_random_uuid(), 1, 1, 0, 30, 'removal', 'crm', 'ended', \
           'done', NULL, 'halted', 0, '' FROM generate_series(1, 20000); \
         INSERT INTO events (key, payload_digest, recorded_us, body, admitted_us) \
         SELECT gen_random_uuid(), '', 0, repeat('y', 1000), 0 FROM generate_series(1, 20000); \
         ANALYZE";
    // What a removal needs beside it is another test's.
    let free = "DO $$ DECLARE one record; BEGIN \
        FOR one IN SELECT conrelid::regclass AS place, conname FROM pg_constraint \
          WHERE contype = 'f' AND conrelid IN ('runs'::regclass, 'events'::regclass) LOOP \
          EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.place, one.conname); END LOOP; END $$; \
        ALTER TABLE runs DISABLE TRIGGER USER; ALTER TABLE events DISABLE TRIGGER USER";
    let fill = format!("{free}; {fill}");
    let filled = sqlx::raw_sql(AssertSqlSafe(fill));
    filled.execute(&mut connection).await.expect("filled");
    let removals = "SELECT id, body FROM runs \
        WHERE connector = 'crm' AND kind = 'removal' AND ended IS NULL";
    let removals = plan(&mut connection, removals).await;
    assert!(removals.contains("runs_removals_under_way"), "{removals}");
    let holds =
        "SELECT key, body FROM events WHERE body LIKE '%clawback.legal-hold.%' ORDER BY seq";
    let holds = plan(&mut connection, holds).await;
    assert!(holds.contains("events_legal_holds"), "{holds}");
}
