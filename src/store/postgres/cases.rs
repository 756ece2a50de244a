//! Cases: their rows, and the reports that operators read.
//!
//! A row is written at admission, changed by later revisions and ended once, after all its runs;
//! the counts in a report are taken from the runs and tasks themselves.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
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

use super::batch::{Batch, Columns};
use super::funnel::{Funnel, READING, within, within_for};
use super::{journal, tasks};

/// Adds the part that writes the rows of opened cases; one that was called off before it was heard
/// of is written as ended.
pub(super) fn write(batch: &mut Batch, opened: &[Opened]) -> Stored<()> {
    fn each<T>(opened: &[Opened], f: impl Fn(&CaseRow) -> T) -> Vec<T> {
        opened.iter().map(|one| f(&one.case)).collect()
    }
    let ended = opened.iter().map(|one| one.first.case_ended);
    let ended: Vec<_> = ended
        .map(|one| one.map(|(_, end, _)| end.as_str()))
        .collect();
    let ended_us = opened.iter().map(|one| one.first.case_ended);
    let ended_us: Vec<_> = ended_us
        .map(|one| one.map(|(_, _, at)| micros(at)))
        .collect();
    let tenants = opened
        .iter()
        .map(|one| one.tenant.clone())
        .collect::<Vec<_>>();
    let runs = opened
        .iter()
        .map(|one| one.first.run.id.0)
        .collect::<Vec<_>>();
    let mut columns = Columns::new(batch);
    columns
        .add("id", "uuid", each(opened, |c| c.id.0))?
        .add("tenant", "text", tenants)?
        .add(
            "subject_key",
            "text",
            each(opened, |c| c.subject_key.clone()),
        )?
        .add(
            "subject_name",
            "text",
            each(opened, |c| c.subject_name.clone()),
        )?
        .add("event_key", "uuid", each(opened, |c| c.event.0))?
        .add("hr_case", "text", each(opened, |c| c.hr_case.clone()))?
        .add(
            "revision",
            "bigint",
            each(opened, |c| c.revision.cast_signed()),
        )?
        .add("workflow", "text", each(opened, |c| c.workflow.clone()))?
        .add(
            "effective_us",
            "bigint",
            each(opened, |c| micros(c.effective)),
        )?
        .add("opened_us", "bigint", each(opened, |c| micros(c.opened)))?
        .add("priority", "smallint", each(opened, |c| c.priority))?
        .add("run_id", "uuid", runs)?
        .add("ended", "text", ended)?
        .add("ended_us", "bigint", ended_us)?;
    let rows = columns.rows("x");
    batch.part(
        "opened",
        &format!(
            "INSERT INTO cases (id, tenant, subject_key, subject_name, event_key, hr_case, \
             revision, workflow, effective_us, opened_us, priority, run_id, ended, ended_us) \
             SELECT x.* FROM {rows}"
        ),
    );
    write_names(batch, opened)
}

/// By these other events find the cases.
fn write_names(batch: &mut Batch, opened: &[Opened]) -> Stored<()> {
    let named = opened.iter().flat_map(|one| {
        let names = names_of(&one.first.run).into_iter();
        names.map(|name| (name, one.case.id.0))
    });
    let (names, of): (Vec<_>, Vec<_>) = named.unzip();
    let mut columns = Columns::new(batch);
    columns
        .add("name", "text", names)?
        .add("case_id", "uuid", of)?;
    let rows = columns.rows("n");
    batch.part(
        "named",
        &format!("INSERT INTO case_identifiers (name, case_id) SELECT n.* FROM {rows}"),
    );
    Ok(())
}

/// The row as it should stand; whoever has a name of the case's subject finds it by that.
pub(super) async fn reschedule(tx: &mut PgConnection, row: &CaseRow, run: &Run) -> Stored<()> {
    sqlx::query(
        "INSERT INTO case_identifiers (name, case_id) SELECT n, $2 FROM unnest($1::text[]) n \
         ON CONFLICT DO NOTHING",
    )
    .bind(names_of(run).into_iter().collect::<Vec<_>>())
    .bind(row.id.0)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "UPDATE cases SET subject_name = $1, revision = $2, workflow = $3, effective_us = $4, \
         priority = $5 WHERE id = $6",
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
pub(super) async fn revise(tx: &mut PgConnection, case: CaseId, revision: u64) -> Stored<()> {
    sqlx::query("UPDATE cases SET revision = $1 WHERE id = $2 AND revision < $1")
        .bind(revision.cast_signed())
        .bind(case.0)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn halt(tx: &mut PgConnection, case: CaseId) -> Stored<()> {
    sqlx::query("UPDATE cases SET halted = TRUE WHERE id = $1")
        .bind(case.0)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn end(tx: &mut PgConnection, case: CaseId, end: &str, at_us: i64) -> Stored<()> {
    sqlx::query("UPDATE cases SET ended = $1, ended_us = $2 WHERE id = $3 AND ended IS NULL")
        .bind(end)
        .bind(at_us)
        .bind(case.0)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn parts_of(funnel: &Funnel, case: CaseId) -> Stored<Parts> {
    let mut own = funnel.own("parts_of").await?;
    let rows = sqlx::query_as::<_, PartRow>(AssertSqlSafe(parts_statement("$1")))
        .bind(case.0)
        .fetch_all(&mut *own);
    let rows = within(async { Ok(rows.await?) }).await;
    parts(case, &own.ended(rows)?)
}

/// Cases of these subject keys, of these tenants and HR cases, or of subjects with one of these
/// identifiers; their runs are locked, and read when they are. `OFFSET 0`
/// keeps each pair a look-up of its own: an `ANY` for each column would be served by the tenant alone,
/// which is all of them.
///
/// A statement that waits for a lock reads the locked row as it is by then, and whatever it joins to it as
/// it was before: a run that has ended beside a case that has not. So what is locked is read by a second
/// statement, which costs its way only where there is anything.
pub(super) async fn about(
    tx: &mut PgConnection,
    subjects: Vec<String>,
    tenants: Vec<String>,
    hr_cases: Vec<String>,
    names: Vec<String>,
) -> Stored<Vec<(String, ExistingCase)>> {
    let locked: Vec<Uuid> = sqlx::query_scalar(
        "SELECT r.id FROM ( \
           SELECT id FROM cases WHERE subject_key = ANY ($1) \
           UNION SELECT c.id FROM UNNEST($2::text[], $3::text[]) AS p (tenant, hr_case), \
             LATERAL (SELECT id FROM cases WHERE tenant = p.tenant AND hr_case = p.hr_case OFFSET 0) c \
           UNION SELECT case_id FROM case_identifiers WHERE name = ANY ($4) \
         ) k JOIN cases c ON c.id = ANY (ARRAY[k.id]) JOIN runs r ON r.id = ANY (ARRAY[c.run_id]) \
         ORDER BY r.id FOR UPDATE OF r",
    )
    .bind(subjects)
    .bind(tenants)
    .bind(hr_cases)
    .bind(names)
    .fetch_all(&mut *tx)
    .await?;
    existing(tx, locked).await
}

/// The cases of the same subject and HR case as this one; their runs are locked likewise.
pub(super) async fn of_departure(tx: &mut PgConnection, case: CaseId) -> Stored<Vec<ExistingCase>> {
    let locked: Vec<Uuid> = sqlx::query_scalar(
        "SELECT r.id FROM cases b JOIN cases c ON c.tenant = b.tenant AND c.hr_case = b.hr_case \
           AND c.subject_key = b.subject_key \
         JOIN runs r ON r.id = c.run_id WHERE b.id = $1 ORDER BY r.id FOR UPDATE OF r",
    )
    .bind(case.0)
    .fetch_all(&mut *tx)
    .await?;
    let cases = existing(tx, locked).await?;
    Ok(cases.into_iter().map(|(_, case)| case).collect())
}

/// The cases of these runs, each with its tenant.
async fn existing(tx: &mut PgConnection, locked: Vec<Uuid>) -> Stored<Vec<(String, ExistingCase)>> {
    if locked.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as::<_, ExistingRow>(
        "SELECT c.*, r.body FROM UNNEST($1::uuid[]) AS k (id) \
         JOIN runs r ON r.id = ANY (ARRAY[k.id]) JOIN cases c ON c.id = ANY (ARRAY[r.case_id])",
    )
    .bind(locked)
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(ExistingRow::existing)
    .collect()
}

pub(super) async fn list(funnel: &Funnel, filter: &CaseFilter) -> Stored<Vec<CaseReport>> {
    let limit = if filter.limit == 0 { 100 } else { filter.limit };
    let sql = format!(
        "{REPORT} WHERE (NOT $1 OR c.ended IS NULL) AND ($2::text IS NULL \
           OR position(lower($2) IN lower(c.subject_key)) > 0 \
           OR position(lower($2) IN lower(c.subject_name)) > 0) \
         AND ($3::uuid IS NULL OR c.event_key = $3) ORDER BY c.opened_us DESC, c.id DESC LIMIT $4"
    );
    sqlx::query_as::<_, ReportRow>(AssertSqlSafe(sql))
        .bind(filter.open)
        .bind(filter.subject.as_deref())
        .bind(filter.event.map(|key| key.0))
        .bind(i64::from(limit))
        .fetch_all(funnel.readers())
        .await?
        .iter()
        .map(ReportRow::report)
        .collect()
}

pub(super) async fn story(funnel: &Funnel, id: CaseId) -> Stored<Option<CaseStory>> {
    let mut reader = funnel.reader("story").await?;
    let done = within_for(READING, async {
        // One moment for all parts, so that no line of the journal is ahead of its run.
        let mut tx = reader
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        let row =
            sqlx::query_as::<_, ReportRow>(AssertSqlSafe(format!("{REPORT} WHERE c.id = $1")))
                .bind(id.0)
                .fetch_optional(&mut *tx)
                .await?;
        let Some(row) = row else { return Ok(None) };
        let event: String = sqlx::query_scalar("SELECT body FROM events WHERE key = $1")
            .bind(row.event_key())
            .fetch_one(&mut *tx)
            .await?;
        let event: RecordedEvent = parsed(&event, "events", "body", row.event_key())?;
        let runs = sqlx::query_as::<_, RunRow>(
            "SELECT id, body FROM runs WHERE case_id = $1 \
             ORDER BY array_position(ARRAY['case', 'discovery', 'removal'], kind), id",
        )
        .bind(id.0)
        .fetch_all(&mut *tx)
        .await?;
        let story = CaseStory {
            report: row.report()?,
            origin: event.origin,
            runs: runs.iter().map(RunRow::run).collect::<Stored<_>>()?,
            journal: journal::of_case(&mut tx, id).await?,
            tasks: tasks::of_case(&mut tx, id).await?,
        };
        tx.commit().await?;
        Ok(Some(story))
    });
    let done = done.await;
    reader.ended(done)
}
