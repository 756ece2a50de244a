//! The append-only journal.
//!
//! Written with the state that it explains, never changed. Plain and not partitioned: its primary
//! key must hold over all time, and evidence outlives any window that would be dropped.

use sqlx::{PgConnection, PgPool};

use crate::domain::id::{CaseId, EntitlementId, RunId};
use crate::domain::settlement::JournalEntry;
use crate::store::Stored;
use crate::store::row::JournalRow;
use crate::store::shape::{json, micros};

use super::batch::{Batch, Columns};

/// Adds the part that writes these lines; `join` limits them to runs whose settlement was taken.
pub(super) fn write(batch: &mut Batch, entries: &[&JournalEntry], join: &str) -> Stored<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let each = |f: fn(&JournalEntry) -> Option<String>| -> Vec<Option<String>> {
        entries.iter().map(|entry| f(entry)).collect()
    };
    let failures = entries
        .iter()
        .map(|entry| entry.failure.as_ref().map(json).transpose());
    let failures = failures.collect::<Stored<Vec<_>>>()?;
    let details = entries
        .iter()
        .map(|entry| entry.detail.as_ref().map(json).transpose());
    let details = details.collect::<Stored<Vec<_>>>()?;
    let items = each(|entry| {
        entry
            .item
            .as_ref()
            .map(|item: &EntitlementId| item.0.clone())
    });
    let states: Vec<String> = entries.iter().map(|entry| entry.state.0.clone()).collect();
    let mut columns = Columns::new(batch);
    columns
        .add(
            "run_id",
            "uuid",
            entries.iter().map(|e| e.run.0).collect::<Vec<_>>(),
        )?
        .add(
            "sequence",
            "bigint",
            entries
                .iter()
                .map(|e| e.sequence.cast_signed())
                .collect::<Vec<_>>(),
        )?
        .add(
            "at_us",
            "bigint",
            entries.iter().map(|e| micros(e.at)).collect::<Vec<_>>(),
        )?
        .add(
            "place",
            "integer",
            entries
                .iter()
                .map(|e| e.place.cast_signed())
                .collect::<Vec<_>>(),
        )?
        .add("state", "text", states)?
        .add("item", "text", items)?
        .add(
            "outcome",
            "text",
            entries
                .iter()
                .map(|e| e.outcome.as_str())
                .collect::<Vec<_>>(),
        )?
        .add("failure", "text", failures)?
        .add("detail", "text", details)?;
    let rows = columns.rows("x");
    let join = join.replace("{by}", "x.run_id");
    batch.part(
        "lines",
        &format!(
            "INSERT INTO journal (run_id, sequence, at_us, place, state, item, outcome, failure, \
             detail) SELECT x.* FROM {rows} {join} ON CONFLICT DO NOTHING"
        ),
    );
    Ok(())
}

/// The lines of one run, in order.
pub(super) async fn of_run(pool: &PgPool, run: RunId) -> Stored<Vec<JournalEntry>> {
    sqlx::query_as::<_, JournalRow>(
        "SELECT * FROM journal WHERE run_id = $1 ORDER BY sequence, place",
    )
    .bind(run.0)
    .fetch_all(pool)
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
