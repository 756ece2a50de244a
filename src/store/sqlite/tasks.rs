//! Fallback tasks: written whole with the run that they belong to, read by operators.
//!
//! That a run has one task at most is a constraint; that an attested removal has a closed one, too.

use sqlx::{AssertSqlSafe, SqliteConnection};
use uuid::Uuid;

use crate::domain::id::{CaseId, ConnectorName, TaskId};
use crate::domain::task::FallbackTask;
use crate::store::people::Beside;
use crate::store::row::{OpenTasks, TaskRow};
use crate::store::shape::{json, micros};
use crate::store::{Stored, TaskFilter};

use super::funnel::Funnel;
use super::rows::{chunks, tuples};

pub(super) async fn save(tx: &mut SqliteConnection, tasks: &[&FallbackTask]) -> Stored<()> {
    for chunk in chunks(tasks) {
        let sql = format!(
            "INSERT INTO tasks (id, run_id, case_id, connector, priority, opened_us, deadline_us, \
             state, chase_us, privileged, how, attested_by, confirmed_by, body) VALUES {} \
             ON CONFLICT (id) DO UPDATE SET priority = excluded.priority, \
             deadline_us = excluded.deadline_us, state = excluded.state, \
             chase_us = excluded.chase_us, privileged = excluded.privileged, how = excluded.how, \
             attested_by = excluded.attested_by, confirmed_by = excluded.confirmed_by, \
             body = excluded.body",
            tuples(14, chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for task in chunk {
            let beside = Beside::of(task);
            query = query
                .bind(task.id.0)
                .bind(task.run.0)
                .bind(task.case.map(|id| id.0))
                .bind(task.connector.as_ref().map(ConnectorName::as_str))
                .bind(task.priority)
                .bind(micros(task.opened))
                .bind(micros(task.deadline))
                .bind(task.state.as_str())
                .bind(beside.chase_us)
                .bind(beside.privileged)
                .bind(beside.how)
                .bind(beside.attested_by)
                .bind(beside.confirmed_by)
                .bind(json(task)?);
        }
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

/// The tasks among these that are not closed.
pub(super) async fn open_by_id(tx: &mut SqliteConnection, ids: &[Uuid]) -> Stored<OpenTasks> {
    let mut open = OpenTasks::new();
    for chunk in chunks(ids) {
        let sql = format!(
            "SELECT id, body FROM tasks WHERE state <> 'closed' AND id IN (VALUES {})",
            tuples(1, chunk.len())
        );
        let mut query = sqlx::query_as::<_, TaskRow>(AssertSqlSafe(sql));
        for id in chunk {
            query = query.bind(id);
        }
        let rows = query.fetch_all(&mut *tx).await?;
        open.extend(rows.iter().map(TaskRow::open));
    }
    Ok(open)
}

/// One that cannot be read is left out, and told: it hides no other.
pub(super) async fn list(funnel: &Funnel, filter: &TaskFilter) -> Stored<Vec<FallbackTask>> {
    let limit = if filter.limit == 0 {
        1000
    } else {
        filter.limit
    };
    let mut reader = funnel.reader().await?;
    let rows = sqlx::query_as::<_, TaskRow>(
        "SELECT id, body FROM tasks WHERE (?1 OR state <> 'closed' OR ?3 IS NOT NULL) \
         AND (?2 IS NULL OR connector = ?2) AND (?3 IS NULL OR state = ?3) \
         ORDER BY priority, deadline_us, id LIMIT ?4",
    )
    .bind(filter.closed)
    .bind(filter.connector.as_ref().map(ConnectorName::as_str))
    .bind(filter.state.as_deref())
    .bind(limit)
    .fetch_all(&mut *reader)
    .await?;
    let read = rows
        .iter()
        .map(|row| funnel.aside.read("tasks", row.id, row.task()));
    read.filter_map(Result::transpose).collect()
}

pub(super) async fn one(funnel: &Funnel, id: TaskId) -> Stored<Option<FallbackTask>> {
    let mut reader = funnel.reader().await?;
    by_id(&mut reader, id).await
}

pub(super) async fn by_id(
    connection: &mut SqliteConnection,
    id: TaskId,
) -> Stored<Option<FallbackTask>> {
    sqlx::query_as::<_, TaskRow>("SELECT id, body FROM tasks WHERE id = ?")
        .bind(id.0)
        .fetch_optional(connection)
        .await?
        .map(|row| row.task())
        .transpose()
}

pub(super) async fn of_case(
    reader: &mut SqliteConnection,
    case: CaseId,
) -> Stored<Vec<FallbackTask>> {
    sqlx::query_as::<_, TaskRow>(
        "SELECT id, body FROM tasks WHERE case_id = ? ORDER BY opened_us, id",
    )
    .bind(case.0)
    .fetch_all(reader)
    .await?
    .iter()
    .map(TaskRow::task)
    .collect()
}
