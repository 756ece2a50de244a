//! A fresh database for each measurement.
//!
//! Owns where databases lie and their removal. On PostgreSQL each is a database of its own on the
//! server that `scripts/bench` started; on SQLite a file in a folder of its own, on the disk that
//! the build lies on.

use std::str::FromStr;
use std::sync::Arc;

use clawback::store::{self, Store};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{PgPool, SqlitePool};

use crate::machine::{self, Spent};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    Sqlite,
}

/// One database and what it takes to look into it.
#[derive(Debug)]
pub enum Database {
    Postgres {
        url: String,
        pool: PgPool,
        postmaster: i32,
    },
    Sqlite {
        url: String,
        pool: SqlitePool,
        _folder: tempfile::TempDir,
    },
}

impl Database {
    /// An empty database. `name` keeps those of one run apart.
    pub async fn fresh(kind: Kind, name: &str) -> Result<Self, String> {
        match kind {
            Kind::Postgres => postgres(name).await,
            Kind::Sqlite => sqlite(),
        }
        .map_err(|error| error.to_string())
    }

    /// The product's store on it, with its schema; without the tamper-evident log where that is to be
    /// measured.
    pub async fn store(&self, logged: bool) -> Result<Arc<dyn Store>, String> {
        let (Self::Postgres { url, .. } | Self::Sqlite { url, .. }) = self;
        let settings = store::Settings {
            audited: logged,
            ..store::Settings::at(url)
        };
        let store = store::open(&settings).await;
        let store = store.map_err(|error| error.to_string())?;
        store.migrate().await.map_err(|error| error.to_string())?;
        Ok(store)
    }

    /// What was spent up to now, by this process and by the server.
    pub async fn spent(&self) -> Result<Spent, String> {
        let mut spent = Spent {
            cpu_seconds: machine::own_cpu(),
            ..Spent::default()
        };
        match self {
            Self::Postgres {
                pool, postmaster, ..
            } => {
                // The next transaction id: only transactions that write take one.
                let (commits, wal): (f64, f64) = sqlx::query_as(
                    "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::float8, \
                     pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8",
                )
                .fetch_one(pool)
                .await
                .map_err(|error| error.to_string())?;
                spent.commits = commits;
                spent.log_bytes = wal;
                spent.cpu_seconds += machine::server_cpu(*postmaster);
            }
            Self::Sqlite { .. } => spent.log_bytes = machine::written_bytes(),
        }
        Ok(spent)
    }

    /// Average sizes of what the engine wrote, for the floor to write the same.
    pub async fn sizes(&self) -> Result<Sizes, String> {
        let sql = "SELECT \
            (SELECT CAST(avg(length(body)) AS BIGINT) FROM events), \
            (SELECT CAST(avg(length(body)) AS BIGINT) FROM runs WHERE kind = 'case'), \
            (SELECT CAST(avg(length(body)) AS BIGINT) FROM runs WHERE kind = 'removal'), \
            (SELECT CAST(avg(length(detail)) AS BIGINT) FROM journal WHERE detail IS NOT NULL), \
            (SELECT count(*) FROM journal), \
            (SELECT CAST(sum(length(entries)) AS BIGINT) FROM audit_links)";
        let row: Result<(i64, i64, i64, i64, i64, i64), _> = match self {
            Self::Postgres { pool, .. } => sqlx::query_as(sql).fetch_one(pool).await,
            Self::Sqlite { pool, .. } => sqlx::query_as(sql).fetch_one(pool).await,
        };
        let row = row.map_err(|error| error.to_string())?;
        let text = |length: i64| "x".repeat(length as usize);
        Ok(Sizes {
            event: text(row.0),
            case: text(row.1),
            removal: text(row.2),
            detail: text(row.3),
            journal_lines: row.4 as u64,
            link: row.5 / row.4.max(1),
        })
    }

    /// Brings the server to rest, so that one measurement does not pay for the one before it.
    pub async fn settle_down(&self) -> Result<(), String> {
        if let Self::Postgres { pool, .. } = self {
            let done = sqlx::query("CHECKPOINT").execute(pool).await;
            done.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Texts as long as the engine's, and how many journal lines it wrote.
#[derive(Debug, Clone)]
pub struct Sizes {
    pub event: String,
    pub case: String,
    pub removal: String,
    pub detail: String,
    pub journal_lines: u64,
    /// Bytes of the tamper-evident log for each journal line.
    pub link: i64,
}

impl Sizes {
    /// What the log's link over so many journal lines, and the rows that come with them, is long.
    pub fn link(&self, lines: usize) -> Vec<u8> {
        vec![7; lines * usize::try_from(self.link).unwrap_or_default()]
    }
}

async fn postgres(name: &str) -> Result<Database, Box<dyn std::error::Error>> {
    let server = std::env::var("CLAWBACK_BENCH_POSTGRES");
    let server = server.map_err(|_| "CLAWBACK_BENCH_POSTGRES is not set: use scripts/bench")?;
    let postmaster = std::env::var("CLAWBACK_BENCH_POSTGRES_PID")?.parse()?;
    let admin = PgPool::connect(&server).await?;
    let name = format!("bench_{}_{name}", std::process::id());
    for sql in [
        format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&admin)
            .await?;
    }
    admin.close().await;
    let (base, _) = server
        .rsplit_once('/')
        .ok_or("an address without a database")?;
    let url = format!("{base}/{name}");
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(PgConnectOptions::from_str(&url)?)
        .await?;
    Ok(Database::Postgres {
        url,
        pool,
        postmaster,
    })
}

fn sqlite() -> Result<Database, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    let options = SqliteConnectOptions::from_str(&url)?.create_if_missing(true);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(options);
    Ok(Database::Sqlite {
        url,
        pool,
        _folder: folder,
    })
}
