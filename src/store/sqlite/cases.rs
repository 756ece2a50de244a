//! Cases: their rows, and the reports that operators read.
//!
//! A row is written at admission, changed by later revisions and ended once, after all its runs;
//! the counts in a report are taken from the runs and tasks themselves.

use sqlx::{AssertSqlSafe, SqliteConnection};
use uuid::Uuid;

use crate::domain::event::RecordedEvent;
use crate::domain::id::{CaseId, EventKey};
use crate::domain::settlement::{CaseRow, ExistingCase};
use crate::domain::workflow::End;
use crate::store::docket::Opened;
use crate::store::shape::{corrupt, instant, micros, parsed, run_of};
use crate::store::{CaseFilter, CaseReport, CaseStory, Stored};

use super::funnel::Funnel;
use super::rows::{chunks, tuples};
use super::runs::BodyRow;
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
    Ok(())
}

pub(super) async fn reschedule(tx: &mut SqliteConnection, row: &CaseRow) -> Stored<()> {
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

pub(super) async fn halt(tx: &mut SqliteConnection, case: CaseId) -> Stored<()> {
    sqlx::query("UPDATE cases SET halted = 1 WHERE id = ?")
        .bind(case.0)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn removals_of(funnel: &Funnel, case: CaseId) -> Stored<u32> {
    let mut reader = funnel.reader().await?;
    Ok(
        sqlx::query_scalar("SELECT count(*) FROM runs WHERE case_id = ? AND kind = 'removal'")
            .bind(case.0)
            .fetch_one(&mut *reader)
            .await?,
    )
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

#[derive(sqlx::FromRow)]
struct CaseSqlRow {
    id: Uuid,
    subject_key: String,
    subject_name: String,
    event_key: Uuid,
    hr_case: String,
    revision: i64,
    workflow: String,
    effective_us: i64,
    opened_us: i64,
    priority: i16,
    ended: Option<String>,
    ended_us: Option<i64>,
}

impl CaseSqlRow {
    fn row(&self) -> Stored<CaseRow> {
        Ok(CaseRow {
            id: CaseId(self.id),
            subject_key: self.subject_key.clone(),
            subject_name: self.subject_name.clone(),
            event: EventKey(self.event_key),
            hr_case: self.hr_case.clone(),
            revision: self.revision.cast_unsigned(),
            workflow: self.workflow.clone(),
            effective: instant(self.effective_us, "cases", "effective_us", self.id)?,
            opened: instant(self.opened_us, "cases", "opened_us", self.id)?,
            priority: self.priority,
        })
    }

    fn end(&self) -> Stored<Option<End>> {
        self.ended
            .as_deref()
            .map(|name| {
                End::from_name(name)
                    .ok_or_else(|| corrupt("cases", "ended", self.id, &"not an end"))
            })
            .transpose()
    }
}

#[derive(sqlx::FromRow)]
struct ExistingRow {
    #[sqlx(flatten)]
    case: CaseSqlRow,
    tenant: String,
    halted: bool,
    run_id: Uuid,
    body: String,
}

/// Cases of these subject keys (JSON list) or of these tenants and HR cases (JSON list of pairs).
pub(super) async fn about(
    tx: &mut SqliteConnection,
    subjects: &str,
    hr_cases: &str,
) -> Stored<Vec<(String, ExistingCase)>> {
    sqlx::query_as::<_, ExistingRow>(
        "SELECT c.*, r.body FROM cases c JOIN runs r ON r.id = c.run_id WHERE c.id IN ( \
           SELECT id FROM cases WHERE subject_key IN (SELECT value FROM json_each(?1)) \
           UNION SELECT c.id FROM json_each(?2) p JOIN cases c \
             ON c.tenant = p.value ->> 0 AND c.hr_case = p.value ->> 1)",
    )
    .bind(subjects)
    .bind(hr_cases)
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(|found| {
        let existing = ExistingCase {
            row: found.case.row()?,
            run: run_of(found.run_id, &found.body)?,
            ended: found.case.end()?,
            halted: found.halted,
        };
        Ok((found.tenant, existing))
    })
    .collect()
}

#[derive(sqlx::FromRow)]
struct ReportRow {
    #[sqlx(flatten)]
    case: CaseSqlRow,
    removals: u32,
    verified: u32,
    attested: u32,
    open_tasks: u32,
}

impl ReportRow {
    fn report(&self) -> Stored<CaseReport> {
        let ended_at = self
            .case
            .ended_us
            .map(|at| instant(at, "cases", "ended_us", self.case.id))
            .transpose()?;
        Ok(CaseReport {
            row: self.case.row()?,
            ended: self.case.end()?,
            ended_at,
            removals: self.removals,
            verified: self.verified,
            attested: self.attested,
            open_tasks: self.open_tasks,
        })
    }
}

const REPORT: &str = "SELECT c.*, \
    (SELECT count(*) FROM runs r WHERE r.case_id = c.id AND r.kind = 'removal') AS removals, \
    (SELECT count(*) FROM runs r WHERE r.case_id = c.id AND r.kind = 'removal' \
       AND r.ended = 'verified') AS verified, \
    (SELECT count(*) FROM runs r WHERE r.case_id = c.id AND r.kind = 'removal' \
       AND r.ended = 'attested') AS attested, \
    (SELECT count(*) FROM tasks t WHERE t.case_id = c.id AND t.state <> 'closed') AS open_tasks \
    FROM cases c";

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
        .bind(row.case.event_key)
        .fetch_one(&mut *reader)
        .await?;
    let event: RecordedEvent = parsed(&event, "events", "body", row.case.event_key)?;
    let runs =
        sqlx::query_as::<_, BodyRow>("SELECT id, body FROM runs WHERE case_id = ? ORDER BY rowid")
            .bind(id.0)
            .fetch_all(&mut *reader)
            .await?;
    Ok(Some(CaseStory {
        report: row.report()?,
        origin: event.origin,
        runs: runs.iter().map(BodyRow::run).collect::<Stored<_>>()?,
        journal: journal::of_case(&mut reader, id).await?,
        tasks: tasks::of_case(&mut reader, id).await?,
    }))
}
