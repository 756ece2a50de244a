//! Cases: their rows, and the reports that operators read.
//!
//! A row is written at admission, changed by later revisions and ended once, after all its runs;
//! the counts in a report are taken from the runs and tasks themselves.

use sqlx::{AssertSqlSafe, SqliteConnection};
use uuid::Uuid;

use crate::domain::event::RecordedEvent;
use crate::domain::id::CaseId;
use crate::domain::run::Run;
use crate::domain::settlement::{CaseRow, ExistingCase};
use crate::domain::step::Parts;
use crate::store::docket::{Opened, names_of};
use crate::store::parts::{PartRow, parts, parts_statement};
use crate::store::row::{ExistingRow, REPORT, ReportRow, RunRow};
use crate::store::shape::{micros, parsed};
use crate::store::{CaseFilter, CaseReport, CaseStory, Stored};

use super::funnel::Funnel;
use super::rows::{chunks, tuples};
use super::{journal, tasks};

pub(super) async fn insert(tx: &mut SqliteConnection, opened: &[Opened]) -> Stored<()> {
    for chunk in chunks(opened) {
        let sql = format!(
            "INSERT INTO cases (id, tenant, subject_key, subject_name, event_key, hr_case, \
             revision, workflow, effective_us, opened_us, priority, run_id) VALUES {}",
            tuples(12, chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for one in chunk {
            let row = &one.case;
            query = query
                .bind(row.id.0)
                .bind(&one.tenant)
                .bind(&row.subject_key)
                .bind(&row.subject_name)
                .bind(row.event.0)
                .bind(&row.hr_case)
                .bind(row.revision.cast_signed())
                .bind(&row.workflow)
                .bind(micros(row.effective))
                .bind(micros(row.opened))
                .bind(row.priority)
                .bind(one.first.run.id.0);
        }
        query.execute(&mut *tx).await?;
    }
    let named = opened.iter().flat_map(|one| {
        let names = names_of(&one.first.run).into_iter();
        names.map(|name| (name, one.case.id.0))
    });
    for chunk in chunks(&named.collect::<Vec<_>>()) {
        let sql = format!(
            "INSERT INTO case_identifiers (name, case_id) VALUES {}",
            tuples(2, chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (name, case) in chunk {
            query = query.bind(name).bind(case);
        }
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

/// The row as it should stand; whoever has a name of the case's subject finds it by that.
pub(super) async fn reschedule(tx: &mut SqliteConnection, row: &CaseRow, run: &Run) -> Stored<()> {
    for name in names_of(run) {
        sqlx::query("INSERT OR IGNORE INTO case_identifiers (name, case_id) VALUES (?, ?)")
            .bind(name)
            .bind(row.id.0)
            .execute(&mut *tx)
            .await?;
    }
    sqlx::query(
        "UPDATE cases SET subject_name = ?, revision = ?, workflow = ?, effective_us = ?, \
         priority = ? WHERE id = ?",
    )
    .bind(&row.subject_name)
    .bind(row.revision.cast_signed())
    .bind(&row.workflow)
    .bind(micros(row.effective))
    .bind(row.priority)
    .bind(row.id.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// Older news of this departure changes nothing from here on.
pub(super) async fn revise(tx: &mut SqliteConnection, case: CaseId, revision: u64) -> Stored<()> {
    sqlx::query("UPDATE cases SET revision = ?1 WHERE id = ?2 AND revision < ?1")
        .bind(revision.cast_signed())
        .bind(case.0)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn halt(tx: &mut SqliteConnection, case: CaseId) -> Stored<()> {
    sqlx::query("UPDATE cases SET halted = 1 WHERE id = ?")
        .bind(case.0)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn parts_of(funnel: &Funnel, case: CaseId) -> Stored<Parts> {
    let mut reader = funnel.reader().await?;
    let rows = sqlx::query_as::<_, PartRow>(AssertSqlSafe(parts_statement("?1")))
        .bind(case.0)
        .fetch_all(&mut *reader)
        .await?;
    parts(case, &rows)
}

pub(super) async fn end(
    tx: &mut SqliteConnection,
    case: Uuid,
    end: &str,
    at_us: i64,
) -> Stored<()> {
    sqlx::query("UPDATE cases SET ended = ?, ended_us = ? WHERE id = ? AND ended IS NULL")
        .bind(end)
        .bind(at_us)
        .bind(case)
        .execute(tx)
        .await?;
    Ok(())
}

/// Cases of these subject keys (JSON list), of these tenants and HR cases (JSON list of pairs), or of
/// subjects with one of these identifiers (JSON list).
pub(super) async fn about(
    tx: &mut SqliteConnection,
    subjects: &str,
    hr_cases: &str,
    names: &str,
) -> Stored<Vec<(String, ExistingCase)>> {
    sqlx::query_as::<_, ExistingRow>(
        "SELECT c.*, r.body FROM cases c JOIN runs r ON r.id = c.run_id WHERE c.id IN ( \
           SELECT id FROM cases WHERE subject_key IN (SELECT value FROM json_each(?1)) \
           UNION SELECT c.id FROM json_each(?2) p JOIN cases c \
             ON c.tenant = p.value ->> 0 AND c.hr_case = p.value ->> 1 \
           UNION SELECT i.case_id FROM json_each(?3) n JOIN case_identifiers i ON i.name = n.value)",
    )
    .bind(subjects)
    .bind(hr_cases)
    .bind(names)
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(ExistingRow::existing)
    .collect()
}

/// The cases of the same subject and HR case as this one.
pub(super) async fn of_departure(
    tx: &mut SqliteConnection,
    case: CaseId,
) -> Stored<Vec<ExistingCase>> {
    let rows = sqlx::query_as::<_, ExistingRow>(
        "SELECT c.*, r.body FROM cases b JOIN cases c ON c.tenant = b.tenant \
           AND c.hr_case = b.hr_case AND c.subject_key = b.subject_key \
         JOIN runs r ON r.id = c.run_id WHERE b.id = ?",
    )
    .bind(case.0)
    .fetch_all(tx)
    .await?;
    let cases = rows.into_iter().map(ExistingRow::existing);
    cases.map(|found| found.map(|(_, case)| case)).collect()
}

pub(super) async fn list(funnel: &Funnel, filter: &CaseFilter) -> Stored<Vec<CaseReport>> {
    let limit = if filter.limit == 0 { 100 } else { filter.limit };
    let sql = format!(
        "{REPORT} WHERE (NOT ?1 OR c.ended IS NULL) AND (?2 IS NULL \
           OR instr(lower(c.subject_key), lower(?2)) > 0 \
           OR instr(lower(c.subject_name), lower(?2)) > 0) \
         AND (?3 IS NULL OR c.event_key = ?3) ORDER BY c.opened_us DESC, c.id DESC LIMIT ?4"
    );
    let mut reader = funnel.reader().await?;
    sqlx::query_as::<_, ReportRow>(AssertSqlSafe(sql))
        .bind(filter.open)
        .bind(filter.subject.as_deref())
        .bind(filter.event.map(|key| key.0))
        .bind(limit)
        .fetch_all(&mut *reader)
        .await?
        .iter()
        .map(ReportRow::report)
        .collect()
}

pub(super) async fn story(funnel: &Funnel, id: CaseId) -> Stored<Option<CaseStory>> {
    let mut reader = funnel.reader().await?;
    let row = sqlx::query_as::<_, ReportRow>(AssertSqlSafe(format!("{REPORT} WHERE c.id = ?")))
        .bind(id.0)
        .fetch_optional(&mut *reader)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let event: String = sqlx::query_scalar("SELECT body FROM events WHERE key = ?")
        .bind(row.event_key())
        .fetch_one(&mut *reader)
        .await?;
    let event: RecordedEvent = parsed(&event, "events", "body", row.event_key())?;
    let runs =
        sqlx::query_as::<_, RunRow>("SELECT id, body FROM runs WHERE case_id = ? ORDER BY rowid")
            .bind(id.0)
            .fetch_all(&mut *reader)
            .await?;
    Ok(Some(CaseStory {
        report: row.report()?,
        origin: event.origin,
        runs: runs.iter().map(RunRow::run).collect::<Stored<_>>()?,
        journal: journal::of_case(&mut reader, id).await?,
        tasks: tasks::of_case(&mut reader, id).await?,
    }))
}
