//! The tamper-evident log in the database: which rows are recorded, and the writers' strands.
//!
//! Owns the trait, and what both databases share: each transaction that writes a recorded row adds one
//! link over all of them before it commits. Hashing and judgement are `domain::audit`; keys and
//! signatures are the caller's. To record one more table, add it to `tables` and write what it holds
//! where its rows are written; the conformance suite checks every store after every check.

mod dossier;
mod notes;
mod settings;
mod strands;
pub mod tables;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use sqlx::{ColumnIndex, Database, Decode, Row, Type};
use uuid::Uuid;

use crate::domain::audit::{Cell, Column, Entry, Signed, Table, Verifier, Window};

use crate::domain::id::CaseId;

use super::Stored;

pub use dossier::Dossier;
pub use settings::AuditSettings;

pub(super) use dossier::{OPENING, OpeningRow, WISHES, WishRow};

pub(super) use notes::{Notes, Touched};
pub(super) use strands::Strands;

/// Signs the checkpoint that closes this window after that checkpoint, or leaves it open.
pub type SignFn<'a> = &'a (dyn Fn(&Window, Option<&Signed>) -> Option<Signed> + Send + Sync);

/// Says whether a signature (hex) over a text is by this public key (hex).
pub type SignedByFn<'a> = &'a (dyn Fn(&str, &str, &str) -> bool + Send + Sync);

/// The log as a whole. Its links are written by the other methods of a store, with what they write.
#[async_trait]
pub trait Audit {
    /// Hands everything as of one moment to the verifier: checkpoints, links, recorded rows.
    async fn inspect(&self, verifier: &mut Verifier, signed_by: SignedByFn<'_>) -> Stored<()>;
    /// Closes the window of links since the last checkpoint with what `sign` makes of it; one caller
    /// at a time, and nothing when another is at it.
    async fn witness(&self, sign: SignFn<'_>) -> Stored<Option<Signed>>;
    /// All checkpoints, oldest first.
    async fn checkpoints_signed(&self) -> Stored<Vec<Signed>>;
    /// What is recorded about one case beside its story.
    async fn dossier(&self, case: CaseId) -> Stored<Option<Dossier>>;
    /// The newest one.
    async fn last_checkpoint(&self) -> Stored<Option<Signed>>;
}

/// `SELECT` over the recorded columns of a table, key first; the same text on both databases.
pub(super) fn select(table: &Table) -> String {
    let columns = table
        .key
        .iter()
        .chain(table.columns)
        .map(|column| match column {
            Column::Text(name) | Column::Id(name) => (*name).to_owned(),
            Column::Number(name) => format!("CAST({name} AS BIGINT)"),
            Column::Flag(name) => format!("CAST(CAST({name} AS INTEGER) AS BIGINT)"),
        });
    let columns: Vec<_> = columns.collect();
    let only = if table.only.is_empty() {
        "1 = 1"
    } else {
        table.only
    };
    format!(
        "SELECT {} FROM {} WHERE {only}",
        columns.join(", "),
        table.table
    )
}

enum Value {
    Text(Option<String>),
    Number(Option<i64>),
    Id(Option<Uuid>),
}

/// The entry of a row that `select` returned.
pub(super) fn entry_of<R: Row>(table: &Table, row: &R) -> Stored<Entry>
where
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Uuid: Decode<'r, R::Database> + Type<R::Database>,
    R::Database: Database,
{
    let mut values = Vec::with_capacity(table.key.len() + table.columns.len());
    for (place, column) in table.key.iter().chain(table.columns).enumerate() {
        values.push(match column {
            Column::Text(_) => Value::Text(row.try_get(place)?),
            Column::Number(_) | Column::Flag(_) => Value::Number(row.try_get(place)?),
            Column::Id(_) => Value::Id(row.try_get(place)?),
        });
    }
    let cells: Vec<_> = values
        .iter()
        .map(|value| match value {
            Value::Text(text) => Cell::Text(text.as_deref()),
            Value::Number(number) => Cell::Number(*number),
            Value::Id(id) => Cell::Id(*id),
        })
        .collect();
    Ok(table.entry(&cells))
}

/// One link as stored.
#[derive(sqlx::FromRow)]
pub(super) struct LinkRow {
    pub seq: i64,
    strand: i64,
    sequence: i64,
    previous: Vec<u8>,
    entries: Vec<u8>,
    hash: Vec<u8>,
}

impl LinkRow {
    /// A digest of another length is no digest, and so not the one that was written.
    pub(super) fn link(self) -> crate::domain::audit::Link {
        use crate::domain::audit::{Digest, Link};
        let digest = |bytes: &[u8]| Digest::from_slice(bytes).unwrap_or(Digest::NONE);
        Link {
            seq: self.seq,
            strand: self.strand,
            sequence: self.sequence,
            previous: digest(&self.previous),
            hash: digest(&self.hash),
            entries: self.entries,
        }
    }
}

/// One checkpoint as stored.
#[derive(sqlx::FromRow)]
pub(super) struct CheckpointRow {
    number: i64,
    text: String,
    signature: String,
}

impl CheckpointRow {
    pub(super) fn signed(self) -> Signed {
        Signed {
            number: self.number,
            text: self.text,
            signature: self.signature,
        }
    }
}
