//! Fallback tasks: written whole with the run that they belong to, read by operators.
//!
//! That a run has one task at most is a constraint; that an attested removal has a closed one, too.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::id::{CaseId, ConnectorName, TaskId};
use crate::domain::task::FallbackTask;
use crate::store::people::Beside;
use crate::store::row::{OpenTasks, TaskRow};
use crate::store::shape::{json, micros};
use crate::store::{Stored, TaskFilter};

use super::batch::{Batch, Columns};
use super::funnel::Funnel;
use super::readers::Readers;

/// Adds the part that writes these tasks; `join` limits them to runs whose settlement was taken.
pub(super) fn write(batch: &mut Batch, tasks: &[&FallbackTask], join: &str) -> Stored<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let bodies = tasks.iter().map(json).collect::<Stored<Vec<_>>>()?;
    let beside: Vec<_> = tasks.iter().map(|task| Beside::of(task)).collect();
    let connectors = tasks
        .iter()
        .map(|t| t.connector.as_ref().map(|name| name.0.clone()));
    let mut columns = Columns::new(batch);
    columns
        .add(
            "id",
            "uuid",
            tasks.iter().map(|t| t.id.0).collect::<Vec<_>>(),
        )?
        .add(
            "run_id",
            "uuid",
            tasks.iter().map(|t| t.run.0).collect::<Vec<_>>(),
        )?
        .add(
            "case_id",
            "uuid",
            tasks
                .iter()
                .map(|t| t.case.map(|id| id.0))
                .collect::<Vec<_>>(),
        )?
        .add("connector", "text", connectors.collect::<Vec<_>>())?
        .add(
            "priority",
            "smallint",
            tasks.iter().map(|t| t.priority).collect::<Vec<_>>(),
        )?
        .add(
            "opened_us",
            "bigint",
            tasks.iter().map(|t| micros(t.opened)).collect::<Vec<_>>(),
        )?
        .add(
            "deadline_us",
            "bigint",
            tasks.iter().map(|t| micros(t.deadline)).collect::<Vec<_>>(),
        )?
        .add(
            "state",
            "text",
            tasks.iter().map(|t| t.state.as_str()).collect::<Vec<_>>(),
        )?;
    add_beside(&mut columns, &beside)?;
    columns.add("body", "text", bodies)?;
    let rows = columns.rows("x");
    let join = join.replace("{by}", "x.run_id");
    batch.part(
        "orders",
        &format!(
            "INSERT INTO tasks (id, run_id, case_id, connector, priority, opened_us, deadline_us, \
             state, chase_us, privileged, how, attested_by, confirmed_by, body) \
             SELECT x.* FROM {rows} {join} ON CONFLICT (id) DO UPDATE SET \
             priority = excluded.priority, deadline_us = excluded.deadline_us, \
             state = excluded.state, chase_us = excluded.chase_us, \
             privileged = excluded.privileged, how = excluded.how, \
             attested_by = excluded.attested_by, confirmed_by = excluded.confirmed_by, \
             body = excluded.body"
        ),
    );
    Ok(())
}

fn add_beside(columns: &mut Columns<'_>, beside: &[Beside]) -> Stored<()> {
    columns
        .add(
            "chase_us",
            "bigint",
            beside.iter().map(|b| b.chase_us).collect::<Vec<_>>(),
        )?
        .add(
            "privileged",
            "boolean",
            beside.iter().map(|b| b.privileged).collect::<Vec<_>>(),
        )?
        .add(
            "how",
            "text",
            beside.iter().map(|b| b.how).collect::<Vec<_>>(),
        )?
        .add(
            "attested_by",
            "text",
            beside
                .iter()
                .map(|b| b.attested_by.clone())
                .collect::<Vec<_>>(),
        )?
        .add(
            "confirmed_by",
            "text",
            beside
                .iter()
                .map(|b| b.confirmed_by.clone())
                .collect::<Vec<_>>(),
        )?;
    Ok(())
}

/// The tasks among these that are not closed.
pub(super) async fn open_by_id(tx: &mut PgConnection, ids: &[Uuid]) -> Stored<OpenTasks> {
    if ids.is_empty() {
        return Ok(OpenTasks::new());
    }
    let rows = sqlx::query_as::<_, TaskRow>(
        "SELECT id, body FROM tasks WHERE state <> 'closed' AND id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    Ok(rows.iter().map(TaskRow::open).collect())
}

/// One that cannot be read is left out, and told: it hides no other.
pub(super) async fn list(funnel: &Funnel, filter: &TaskFilter) -> Stored<Vec<FallbackTask>> {
    let limit = if filter.limit == 0 {
        1000
    } else {
        filter.limit
    };
    let rows = sqlx::query_as::<_, TaskRow>(
        "SELECT id, body FROM tasks WHERE ($1 OR state <> 'closed' OR $3::text IS NOT NULL) \
         AND ($2::text IS NULL OR connector = $2) AND ($3::text IS NULL OR state = $3) \
         ORDER BY priority, deadline_us, id LIMIT $4",
    )
    .bind(filter.closed)
    .bind(filter.connector.as_ref().map(ConnectorName::as_str))
    .bind(filter.state.as_deref())
    .bind(i64::from(limit))
    .fetch_all(funnel.readers())
    .await?;
    let read = rows
        .iter()
        .map(|row| funnel.aside.read("tasks", row.id, row.task()));
    read.filter_map(Result::transpose).collect()
}

pub(super) async fn one(readers: Readers<'_>, id: TaskId) -> Stored<Option<FallbackTask>> {
    sqlx::query_as::<_, TaskRow>("SELECT id, body FROM tasks WHERE id = $1")
        .bind(id.0)
        .fetch_optional(readers)
        .await?
        .map(|row| row.task())
        .transpose()
}

/// One task, its row locked until the transaction ends.
pub(super) async fn locked(tx: &mut PgConnection, id: TaskId) -> Stored<Option<FallbackTask>> {
    sqlx::query_as::<_, TaskRow>("SELECT id, body FROM tasks WHERE id = $1 FOR UPDATE")
        .bind(id.0)
        .fetch_optional(tx)
        .await?
        .map(|row| row.task())
        .transpose()
}

pub(super) async fn of_case(reader: &mut PgConnection, case: CaseId) -> Stored<Vec<FallbackTask>> {
    sqlx::query_as::<_, TaskRow>(
        "SELECT id, body FROM tasks WHERE case_id = $1 ORDER BY opened_us, id",
    )
    .bind(case.0)
    .fetch_all(reader)
    .await?
    .iter()
    .map(TaskRow::task)
    .collect()
}
