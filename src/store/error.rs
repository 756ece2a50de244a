//! What can go wrong in the store.
//!
//! Owns the distinction that callers branch on: away (wait and try again) or wrong (a bug, a
//! corrupt row, a broken promise: stop). Display never repeats its source.

/// A store operation did not happen; nothing of it was committed unless `Unavailable` says unknown.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer. A commit may or may not have happened; every method is
    /// idempotent or fenced, so the caller repeats it.
    #[error("CB-STORE-1: the database is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored row is not what this version can read.
    #[error("CB-STORE-2: {table}.{column} of row {row} is inconsistent: {message}")]
    Corrupt {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Primary key.
        row: String,
        /// What was expected.
        message: String,
    },
    /// A constraint refused the write: a removal without proof, a second task, a lost child.
    #[error("CB-STORE-3: the promise was about to be broken: {constraint}")]
    Broken {
        /// The constraint's name.
        constraint: String,
        /// The database's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The schema is older or newer than this program.
    #[error("CB-STORE-4: the database schema does not fit: {0}")]
    Schema(String),
    /// Anything else the database said.
    #[error("CB-STORE-5: the database refused a statement")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another engine holds this SQLite file.
    #[error("CB-STORE-6: another worker has the database file {0} open")]
    Locked(String),
    /// Where a partition was left is not known any more, though it had been committed: the database has
    /// gone back, as in a failover to a replica that had not heard the last commits.
    #[error("CB-STORE-7: the database has lost what was recorded last")]
    WentBack,
}

impl StoreError {
    /// True when the same call may work later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
