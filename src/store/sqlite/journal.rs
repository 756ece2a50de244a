//! The append-only journal.
//!
//! Written with the state that it explains, never changed. A repeated settlement is refused before it
//! gets here, so a second line in the same place would be a bug, and the primary key says so.

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::domain::id::{CaseId, EntitlementId, RunId};
use crate::domain::settlement::JournalEntry;
use crate::store::Stored;
use crate::store::row::JournalRow;
use crate::store::shape::{json, micros};

use super::rows::{chunks, tuples};

pub(super) async fn insert(tx: &mut SqliteConnection, entries: &[&JournalEntry]) -> Stored<()> {
    for chunk in chunks(entries) {
        let sql = format!(
            "INSERT INTO journal (run_id, sequence, place, at_us, state, item, outcome, failure, \
             detail) VALUES {}",
            tuples(9, chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for entry in chunk {
            query = query
                .bind(entry.run.0)
                .bind(entry.sequence.cast_signed())
                .bind(entry.place)
                .bind(micros(entry.at))
                .bind(entry.state.as_str())
                .bind(entry.item.as_ref().map(EntitlementId::as_str))
                .bind(entry.outcome.as_str())
                .bind(entry.failure.as_ref().map(json).transpose()?)
                .bind(entry.detail.as_ref().map(json).transpose()?);
        }
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

pub(super) async fn of_run(reader: &mut SqliteConnection, run: RunId) -> Stored<Vec<JournalEntry>> {
    sqlx::query_as::<_, JournalRow>(
        "SELECT * FROM journal WHERE run_id = ? ORDER BY sequence, place",
    )
    .bind(run.0)
    .fetch_all(reader)
    .await?
    .into_iter()
    .map(JournalRow::entry)
    .collect()
}

pub(super) async fn of_case(
    reader: &mut SqliteConnection,
    case: CaseId,
) -> Stored<Vec<JournalEntry>> {
    sqlx::query_as::<_, JournalRow>(
        "SELECT j.* FROM runs r JOIN journal j ON j.run_id = r.id WHERE r.case_id = ? \
         ORDER BY j.at_us, j.run_id, j.sequence, j.place",
    )
    .bind(case.0)
    .fetch_all(reader)
    .await?
    .into_iter()
    .map(JournalRow::entry)
    .collect()
}
