//! Waiting for work.
//!
//! Within the process a bell is rung; what other processes write (a wish from the command line) is
//! seen by SQLite's own counter of changes, which costs one tiny read every now and then.

use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::{Mutex, Notify};

use crate::store::Stored;

/// How often the file is looked at for changes by other processes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Wakes those that wait for work.
#[derive(Debug)]
pub(super) struct Bell {
    rung: Notify,
    url: Option<String>,
    watcher: Mutex<Option<Watcher>>,
}

/// A connection of its own: the counter tells of changes by others than the connection that asks.
#[derive(Debug)]
struct Watcher {
    connection: SqliteConnection,
    version: i64,
}

impl Bell {
    /// For a file; without one there are no other processes.
    pub(super) fn new(url: Option<String>) -> Self {
        Self {
            rung: Notify::new(),
            url,
            watcher: Mutex::new(None),
        }
    }

    /// Wakes all that wait, and the next that would: nobody misses what was written just before.
    pub(super) fn ring(&self) {
        self.rung.notify_waiters();
        self.rung.notify_one();
    }

    /// Waits for the bell, a change from outside, or `at_most`.
    pub(super) async fn wait(&self, at_most: Duration) {
        tokio::select! {
            () = self.rung.notified() => {}
            () = tokio::time::sleep(at_most) => {}
            () = self.changed_outside() => {}
        }
    }

    /// Returns once the file has changed; never, if it can't be watched.
    async fn changed_outside(&self) {
        let Some(url) = &self.url else {
            return std::future::pending().await;
        };
        // One watcher is enough: a second one that waits relies on its own time limit.
        let Ok(mut watcher) = self.watcher.try_lock() else {
            return std::future::pending().await;
        };
        loop {
            match look(&mut watcher, url).await {
                Ok(true) => return,
                Ok(false) => tokio::time::sleep(LOOK_EVERY).await,
                Err(error) => {
                    tracing::debug!(error = %error, "the database file can't be watched");
                    *watcher = None;
                    return std::future::pending().await;
                }
            }
        }
    }
}

async fn look(watcher: &mut Option<Watcher>, url: &str) -> Stored<bool> {
    let one = match watcher {
        Some(one) => one,
        None => watcher.insert(Watcher {
            connection: SqliteConnectOptions::from_str(url)?
                .disable_statement_logging()
                .connect()
                .await?,
            version: -1,
        }),
    };
    let version: i64 = sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(&mut one.connection)
        .await?;
    let changed = one.version >= 0 && one.version != version;
    one.version = version;
    Ok(changed)
}
