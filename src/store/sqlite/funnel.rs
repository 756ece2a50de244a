//! The one way into the SQLite file: a single writing connection, and separate ones that read.
//!
//! Owns the connections and their settings. Every writing transaction is begun here, by name and
//! with `BEGIN IMMEDIATE`, so that it never fails half way for want of the write lock.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::{Mutex, MutexGuard};

use crate::store::aside::Aside;
use crate::store::audit::Strands;
use crate::store::{Settings, StoreError, Stored};

/// How long a writer waits for another process that writes.
const BUSY: Duration = Duration::from_secs(10);
/// Statements kept prepared: every statement in each of its chunk sizes.
const STATEMENTS: usize = 512;

/// The connections to one database.
#[derive(Debug)]
pub(super) struct Funnel {
    writer: Mutex<SqliteConnection>,
    /// None in memory, where the writer is all there is.
    readers: Option<SqlitePool>,
    /// Where the log goes on.
    pub(super) strands: Strands,
    /// Rows that no look takes up.
    pub(super) aside: Aside,
}

impl Funnel {
    /// Opens the database (`sqlite:path` or `sqlite::memory:`), creating the file if need be.
    pub(super) async fn open(settings: &Settings) -> Stored<Self> {
        let (url, readers) = (settings.url.as_str(), settings.connections);
        let memory = in_memory(url);
        let mut options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .statement_cache_capacity(STATEMENTS)
            // Statement texts carry no values, but they are long and say nothing to an operator.
            .disable_statement_logging();
        if !memory {
            options = options
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .pragma("wal_autocheckpoint", "4000")
                .pragma("cache_size", "-16384");
        }
        let writer = Mutex::new(options.connect().await?);
        let readers = if memory {
            None
        } else {
            let pool = SqlitePoolOptions::new()
                .max_connections(readers.max(1))
                .test_before_acquire(false)
                .connect_lazy_with(options);
            Some(pool)
        };
        Ok(Self {
            writer,
            readers,
            strands: Strands::new(settings.audited),
            aside: Aside::default(),
        })
    }

    /// The writing connection; others wait.
    pub(super) async fn writer(&self) -> Writer<'_> {
        Writer(self.writer.lock().await)
    }

    /// A connection for reading.
    pub(super) async fn reader(&self) -> Stored<Reader<'_>> {
        match &self.readers {
            Some(pool) => Ok(Reader::Apart(pool.acquire().await?)),
            None => Ok(Reader::Writer(self.writer.lock().await)),
        }
    }
}

/// True when nothing is kept on disk.
pub(super) fn in_memory(url: &str) -> bool {
    url.contains(":memory:")
}

/// The writing connection, held.
pub(super) struct Writer<'a>(MutexGuard<'a, SqliteConnection>);

impl Writer<'_> {
    /// Begins a transaction; dropping it unfinished rolls it back.
    pub(super) async fn begin(&mut self, name: &'static str) -> Stored<Transaction<'_, Sqlite>> {
        tracing::trace!(transaction = name, "begin");
        self.0
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(StoreError::from)
    }

    /// For a statement that is a transaction by itself, and for migrations.
    pub(super) fn alone(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }
}

/// A connection that reads.
pub(super) enum Reader<'a> {
    Apart(PoolConnection<Sqlite>),
    Writer(MutexGuard<'a, SqliteConnection>),
}

impl Deref for Reader<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Apart(connection) => connection,
            Self::Writer(guard) => guard,
        }
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Apart(connection) => connection,
            Self::Writer(guard) => guard,
        }
    }
}
