//! Copies of tasks at desks: leased, kept under a fencing token, found by comparing.
//!
//! What a desk says by itself lies beside the copy, so that it is not lost while a worker has the
//! copy in hand. Off the path of a step, so single statements go to the readers.

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::domain::desk::{DeskCopy, Heard, news};
use crate::domain::id::{DeskName, FencingToken, TaskId};
use crate::store::shape::{instant, json, micros, parsed};
use crate::store::{CopiesWanted, CopyLease, DeskFigures, Desks, NextVisit, Stored};

use super::PostgresStore;
use super::funnel::within;

/// Rows made for new tasks in one look.
const NEW_AT_ONCE: i64 = 500;

#[async_trait]
impl Desks for PostgresStore {
    async fn take_copies(&self, want: &CopiesWanted) -> Stored<Vec<CopyLease>> {
        if want.at_most == 0 {
            return Ok(Vec::new());
        }
        self.make_rows(want).await?;
        let lease_us = i64::try_from(want.lease_seconds.saturating_mul(1_000_000));
        let rows: Vec<(Uuid, i64, Option<String>, String, String)> = sqlx::query_as(
            "WITH due AS MATERIALIZED (SELECT c.task_id, c.desk, t.body FROM desk_copies c \
               JOIN tasks t ON t.id = c.task_id \
               WHERE c.desk = $1 AND NOT c.finished AND c.hold_us <= $2 \
                 AND (t.state <> c.task_state OR c.due_us <= $2) AND (c.owner IS NULL OR c.until_us <= $2 \
                 OR NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = c.owner)) \
               ORDER BY t.priority, c.due_us, c.task_id LIMIT $3 FOR UPDATE OF c SKIP LOCKED) \
             UPDATE desk_copies c SET owner = $4, until_us = $2 + $5, token = token + 1 \
             FROM due WHERE c.task_id = due.task_id AND c.desk = due.desk \
             RETURNING c.task_id, c.token, c.heard, c.body, due.body",
        )
        .bind(want.desk.as_str())
        .bind(micros(want.now))
        .bind(i64::from(want.at_most))
        .bind(want.worker.0)
        .bind(lease_us.unwrap_or(i64::MAX / 4))
        .fetch_all(self.funnel.readers())
        .await?;
        let mut leases = Vec::with_capacity(rows.len());
        for (id, token, heard, body, task) in rows {
            let lease = parsed(&task, "tasks", "body", id).and_then(|task| {
                let token = FencingToken(token);
                let copy = copy_of(id, &body, heard.as_deref())?;
                Ok(CopyLease { token, task, copy })
            });
            // It stays leased, and so out of the way, until the lease is over.
            leases.extend(self.funnel.aside.read("desk_copies", id, lease)?);
        }
        Ok(leases)
    }

    async fn keep_copy(
        &self,
        lease: &CopyLease,
        copy: &DeskCopy,
        next: Option<NextVisit>,
    ) -> Stored<bool> {
        let heard = lease.copy.heard.as_ref().map(json).transpose()?;
        let hold = next.filter(|next| next.troubled.is_some());
        let query = sqlx::query(
            "UPDATE desk_copies SET body = $4, finished = $5, due_us = CASE WHEN $6 IS NULL \
             THEN due_us WHEN heard IS DISTINCT FROM $9 THEN 0 ELSE $6 END, \
             hold_us = CASE WHEN $6 IS NULL THEN hold_us ELSE $7 END, \
             troubled = CASE WHEN $6 IS NULL THEN troubled \
               WHEN $8::bigint IS NOT NULL THEN coalesce(troubled, $8) END, task_state = $10, \
             owner = CASE WHEN $6 IS NULL THEN owner END, \
             until_us = CASE WHEN $6 IS NULL THEN until_us END \
             WHERE task_id = $1 AND desk = $2 AND token = $3 AND owner IS NOT NULL",
        )
        .bind(copy.task.0)
        .bind(copy.desk.as_str())
        .bind(lease.token.0)
        .bind(json(copy)?)
        .bind(copy.finished)
        .bind(next.map(|next| micros(next.due)))
        .bind(hold.map_or(0, |next| micros(next.due)))
        .bind(next.and_then(|next| next.troubled).map(micros))
        .bind(heard)
        .bind(lease.task.state.as_str());
        let done = query.execute(self.funnel.readers()).await?;
        Ok(done.rows_affected() == 1)
    }

    async fn desk_said(
        &self,
        desk: &DeskName,
        task: TaskId,
        heard: &Heard,
    ) -> Stored<Option<bool>> {
        let mut reader = self.funnel.reader("desk_said").await?;
        let done = within(async {
            let mut tx = reader.begin().await?;
            let known: Option<(Option<String>,)> = sqlx::query_as(
                "SELECT heard FROM desk_copies WHERE task_id = $1 AND desk = $2 FOR UPDATE",
            )
            .bind(task.0)
            .bind(desk.as_str())
            .fetch_optional(&mut *tx)
            .await?;
            let Some((known,)) = known else {
                return Ok(None);
            };
            let known = heard_of(task.0, known.as_deref())?;
            let Some(heard) = news(known.as_ref(), heard) else {
                return Ok(Some(false));
            };
            sqlx::query(
                "UPDATE desk_copies SET heard = $3, due_us = 0, hold_us = 0 \
                 WHERE task_id = $1 AND desk = $2",
            )
            .bind(task.0)
            .bind(desk.as_str())
            .bind(json(&heard)?)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(Some(true))
        });
        let done = done.await;
        reader.ended(done)
    }

    async fn copies_of(&self, task: TaskId) -> Stored<Vec<DeskCopy>> {
        let rows: Vec<(String, Option<String>)> =
            sqlx::query_as("SELECT body, heard FROM desk_copies WHERE task_id = $1 ORDER BY desk")
                .bind(task.0)
                .fetch_all(self.funnel.readers())
                .await?;
        let rows = rows.iter();
        rows.map(|(body, heard)| copy_of(task.0, body, heard.as_deref()))
            .collect()
    }

    async fn desk_figures(&self) -> Stored<Vec<DeskFigures>> {
        let rows: Vec<(String, i64, i64, Option<i64>)> = sqlx::query_as(
            "SELECT desk, count(*), count(troubled), min(troubled) FROM desk_copies \
             WHERE NOT finished GROUP BY desk ORDER BY desk",
        )
        .fetch_all(self.funnel.readers())
        .await?;
        let rows = rows.into_iter();
        rows.map(|(desk, open, troubled, since)| {
            let since = since.map(|us| instant(us, "desk_copies", "troubled", Uuid::nil()));
            Ok(DeskFigures {
                desk: DeskName(desk),
                open: open.unsigned_abs(),
                troubled: troubled.unsigned_abs(),
                since: since.transpose()?,
            })
        })
        .collect()
    }
}

impl PostgresStore {
    /// Rows for open tasks that have none at this desk.
    async fn make_rows(&self, want: &CopiesWanted) -> Stored<()> {
        let new: Vec<(Uuid, String)> = sqlx::query_as(
            "SELECT t.id, t.state FROM tasks t WHERE t.desk = $1 AND t.desk <> 'built-in' \
             AND t.state <> 'closed' AND NOT EXISTS (SELECT 1 FROM desk_copies c \
               WHERE c.task_id = t.id AND c.desk = $1 AND NOT c.finished) ORDER BY t.priority, t.id LIMIT $2",
        )
        .bind(want.desk.as_str())
        .bind(NEW_AT_ONCE)
        .fetch_all(self.funnel.readers())
        .await?;
        let mut reader = self.funnel.reader("make_rows").await?;
        let made = within(async {
            for (id, state) in new {
                begin(&mut reader, TaskId(id), &want.desk, &state).await?;
            }
            Ok(())
        });
        let made = made.await;
        reader.ended(made)
    }
}

/// A row for the copy of a task at this desk; one that is under way stays as it is.
pub(super) async fn begin(
    connection: &mut PgConnection,
    task: TaskId,
    desk: &DeskName,
    state: &str,
) -> Stored<()> {
    let copy = DeskCopy::new(task, desk.clone());
    sqlx::query(
        // The copy of a task that is open again is taken up again; it knows that it was finished.
        "INSERT INTO desk_copies AS c (task_id, desk, due_us, hold_us, task_state, finished, \
         token, body) VALUES ($1, $2, 0, 0, $3, FALSE, 0, $4) \
         ON CONFLICT (task_id, desk) DO UPDATE SET finished = FALSE, due_us = 0 \
         WHERE c.finished",
    )
    .bind(task.0)
    .bind(desk.as_str())
    .bind(state)
    .bind(json(&copy)?)
    .execute(connection)
    .await?;
    Ok(())
}

fn heard_of(task: Uuid, heard: Option<&str>) -> Stored<Option<Heard>> {
    heard
        .map(|text| parsed(text, "desk_copies", "heard", task))
        .transpose()
}

fn copy_of(task: Uuid, body: &str, heard: Option<&str>) -> Stored<DeskCopy> {
    let mut copy: DeskCopy = parsed(body, "desk_copies", "body", task)?;
    copy.heard = heard_of(task, heard)?;
    Ok(copy)
}
