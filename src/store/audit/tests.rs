//! Tampering with a SQLite file past its constraints, each deed on a copy of its own.
//!
//! PostgreSQL has the same in `tests/integration/audit.rs`, from the same list.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::store::conformance::tampering::{self, Dialect, Tampering};
use crate::store::conformance::{Home, adoption};
use crate::store::{Settings, Store, open};

async fn opened(path: &Path) -> Arc<dyn Store> {
    let url = format!("sqlite:{}", path.display());
    open(&Settings::at(url)).await.expect("opened")
}

/// Runs a statement as somebody does who first takes the constraints away.
async fn forced(path: &Path, sql: &str) -> u64 {
    let url = format!("sqlite:{}", path.display());
    let options = SqliteConnectOptions::from_str(&url).expect("an address");
    let mut connection = options
        .foreign_keys(false)
        .connect()
        .await
        .expect("connected");
    let triggers: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            .fetch_all(&mut connection)
            .await
            .expect("read");
    for trigger in triggers {
        let drop = format!("DROP TRIGGER {trigger}");
        sqlx::query(AssertSqlSafe(drop))
            .execute(&mut connection)
            .await
            .expect("dropped");
    }
    sqlx::query("PRAGMA ignore_check_constraints = 1")
        .execute(&mut connection)
        .await
        .expect("ignored");
    let sql = sql.to_owned();
    let done = sqlx::query(AssertSqlSafe(sql.clone()))
        .execute(&mut connection)
        .await;
    let rows = done
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .rows_affected();
    connection.close().await.expect("closed");
    rows
}

async fn looked_at(original: &Path, place: &Path, deed: &Tampering) -> Option<String> {
    std::fs::copy(original, place).expect("copied");
    let rows = forced(place, &deed.sql).await;
    if rows == 0 {
        return Some(format!("{} ({}): changed nothing", deed.name, deed.sql));
    }
    let home = Home {
        store: opened(place).await,
        keeps: Box::new(()),
    };
    tampering::judged(deed, &tampering::findings(&home).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_every_tampering_with_every_table_is_found_and_located() {
    let folder = tempfile::tempdir().expect("a folder");
    let original = folder.path().join("original.db");
    let store = opened(&original).await;
    store.migrate().await.expect("migrated");
    let home = Home {
        store,
        keeps: Box::new(()),
    };
    tampering::everything_after_a_drop(&home).await;
    assert_eq!(tampering::findings(&home).await, []);
    drop(home);
    // What is in the write-ahead log comes into the file, so that a copy of it is whole.
    forced(&original, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    let mut missed = Vec::new();
    for (number, deed) in tampering::all(Dialect::Sqlite).iter().enumerate() {
        let place = folder.path().join(format!("{number}.db"));
        missed.extend(looked_at(&original, &place, deed).await);
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test]
async fn rows_from_before_the_log_are_taken_in_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("old.db");
    let settings = Settings {
        audited: false,
        ..Settings::at(format!("sqlite:{}", path.display()))
    };
    let store = open(&settings).await.expect("opened");
    store.migrate().await.expect("migrated");
    crate::store::conformance::given::a_case(&store, "old").await;
    drop(store);
    let home = Home {
        store: opened(&path).await,
        keeps: Box::new(()),
    };
    assert!(!tampering::findings(&home).await.is_empty());
    for _ in 0..2 {
        home.store.migrate().await.expect("migrated");
        assert_eq!(tampering::findings(&home).await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_an_upgrade_takes_in_what_was_written_without_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("old.db");
    let url = format!("sqlite:{}", path.display());
    let options = SqliteConnectOptions::from_str(&url).expect("an address");
    let mut old = options
        .create_if_missing(true)
        .connect()
        .await
        .expect("made");
    let all = adoption::older(sqlx::migrate!("migrations/sqlite"));
    all.run(&mut old).await.expect("migrated");
    let home = Home {
        store: opened(&path).await,
        keeps: Box::new(()),
    };
    let run = async |sql: String| {
        let done = sqlx::query(AssertSqlSafe(sql.clone()))
            .execute(&mut old)
            .await;
        assert_eq!(done.expect("done").rows_affected(), 1, "{sql}");
    };
    let dialect = Dialect::Sqlite;
    adoption::e6_an_upgrade_takes_in_what_was_written_without_the_log(&home, dialect, run).await;
}

/// Nothing goes but under a tombstone, whatever the program may be made to do.
#[tokio::test]
async fn p_rows_of_the_log_and_of_cases_stay_unless_a_tombstone_stands_for_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kept.db");
    let store = opened(&path).await;
    store.migrate().await.expect("migrated");
    crate::store::conformance::given::a_removal(&store, "kept").await;
    let home = Home {
        store,
        keeps: Box::new(()),
    };
    crate::store::conformance::retention::witnessed(&home).await;
    let url = format!("sqlite:{}", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url)
        .await
        .expect("connected");
    let deeds = [
        ("DELETE FROM audit_links", "promise_audit_kept"),
        ("DELETE FROM audit_checkpoints", "promise_audit_kept"),
        ("DELETE FROM runs", "promise_run_kept"),
        ("DELETE FROM journal", "promise_journal_kept"),
        (
            "INSERT INTO dropped_cases SELECT id, 1 FROM cases",
            "promise_open_case_kept",
        ),
    ];
    for (sql, promise) in deeds {
        let refused = sqlx::query(sql).execute(&mut connection).await;
        let refused = refused.expect_err(sql).to_string();
        assert!(refused.contains(promise), "{sql}: {refused}");
    }
    connection.close().await.expect("closed");
    assert_eq!(tampering::findings(&home).await, []);
}
