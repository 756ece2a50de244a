//! Stores that fail, for the tests of the rooms that use one.
//!
//! Owns a store in a file, and what is done to it past the store: each in a word of its own, because no
//! other room has SQL. What the store itself makes of such rows is `conformance::unreadable`.

use std::str::FromStr;
use std::sync::Arc;

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::{Settings, Store, open};

/// A sound one.
pub(crate) async fn in_memory() -> Arc<dyn Store> {
    migrated("sqlite::memory:").await
}

async fn migrated(url: &str) -> Arc<dyn Store> {
    let store = open(&Settings::at(url)).await.expect("opened");
    store.migrate().await.expect("migrated");
    store
}

/// A store, and somebody who writes past it.
pub(crate) struct Ailing {
    pub(crate) store: Arc<dyn Store>,
    options: SqliteConnectOptions,
    _folder: tempfile::TempDir,
}

impl Ailing {
    /// Nothing is wrong with it yet.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("clawback.db").display());
        Self {
            store: migrated(&url).await,
            options: SqliteConnectOptions::from_str(&url).expect("an address"),
            _folder: folder,
        }
    }

    /// No inventory can be read.
    pub(crate) async fn forgets_accounts(&self) {
        self.beside("UPDATE known_accounts SET body = '?' || body")
            .await;
    }

    /// They can be read again.
    pub(crate) async fn knows_accounts_again(&self) {
        self.beside("UPDATE known_accounts SET body = substr(body, 2) WHERE body LIKE '?%'")
            .await;
    }

    /// No listing is taken in.
    pub(crate) async fn refuses_listings(&self) {
        self.beside(
            "CREATE TRIGGER refused BEFORE INSERT ON known_accounts \
             BEGIN SELECT RAISE(ABORT, 'planted'); END",
        )
        .await;
    }

    async fn beside(&self, sql: &'static str) {
        let mut beside = self.options.clone().connect().await.expect("connected");
        sqlx::query(sql).execute(&mut beside).await.expect("done");
    }
}
