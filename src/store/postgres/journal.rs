//! The append-only journal.
//!
//! Written with the state that it explains, never changed. Plain and not partitioned: its primary
//! key must hold over all time, and evidence outlives any window that would be dropped.

use sqlx::PgConnection;

use crate::domain::id::{CaseId, RunId};
use crate::domain::settlement::JournalEntry;
use crate::store::Stored;
use crate::store::row::JournalRow;
use crate::store::shape::{json, micros};

use super::batch::{Batch, Columns};
use super::readers::Readers;

/// Adds the part that writes these lines; `join` limits them to runs whose settlement was taken.
#[allow(clippy::too_many_lines)] // One list, told in order; parts of it mean nothing alone.
pub(super) fn write(batch: &mut Batch, entries: &[&JournalEntry], join: &str) -> Stored<()> {
    fn each<T>(entries: &[&JournalEntry], f: impl Fn(&JournalEntry) -> T) -> Vec<T> {
        entries.iter().map(|entry| f(entry)).collect()
    }
    if entries.is_empty() {
        return Ok(());
    }
    let all = entries;
    let failures = each(all, |entry| entry.failure.as_ref().map(json).transpose());
    let failures = failures.into_iter().collect::<Stored<Vec<_>>>()?;
    let details = each(all, |entry| entry.detail.as_ref().map(json).transpose());
    let details = details.into_iter().collect::<Stored<Vec<_>>>()?;
    let items = each(all, |entry| entry.item.as_ref().map(|item| item.0.clone()));
    let mut columns = Columns::new(batch);
    columns
        .add("run_id", "uuid", each(all, |entry| entry.run.0))?
        .add(
            "sequence",
            "bigint",
            each(all, |entry| entry.sequence.cast_signed()),
        )?
        .add("at_us", "bigint", each(all, |entry| micros(entry.at)))?
        .add(
            "place",
            "integer",
            each(all, |entry| entry.place.cast_signed()),
        )?
        .add("state", "text", each(all, |entry| entry.state.0.clone()))?
        .add("item", "text", items)?
        .add("outcome", "text", each(all, |entry| entry.outcome.as_str()))?
        .add("failure", "text", failures)?
        .add("detail", "text", details)?;
    let rows = columns.rows("x");
    let join = join.replace("{by}", "x.run_id");
    batch.part(
        "lines",
        &format!(
            "INSERT INTO journal (run_id, sequence, at_us, place, state, item, outcome, failure, \
             detail) SELECT x.* FROM {rows} {join}"
        ),
    );
    Ok(())
}

/// The lines of one run, in order.
pub(super) async fn of_run(readers: Readers<'_>, run: RunId) -> Stored<Vec<JournalEntry>> {
    sqlx::query_as::<_, JournalRow>(
        "SELECT * FROM journal WHERE run_id = $1 ORDER BY sequence, place",
    )
    .bind(run.0)
    .fetch_all(readers)
    .await?
    .into_iter()
    .map(JournalRow::entry)
    .collect()
}

/// The lines of all runs of one case, in order of time.
pub(super) async fn of_case(reader: &mut PgConnection, case: CaseId) -> Stored<Vec<JournalEntry>> {
    sqlx::query_as::<_, JournalRow>(
        "SELECT j.* FROM runs r JOIN journal j ON j.run_id = r.id WHERE r.case_id = $1 \
         ORDER BY j.at_us, j.run_id, j.sequence, j.place",
    )
    .bind(case.0)
    .fetch_all(reader)
    .await?
    .into_iter()
    .map(JournalRow::entry)
    .collect()
}
