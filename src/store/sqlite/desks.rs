//! Copies of tasks at desks: leased, kept under a fencing token, found by comparing.
//!
//! What a desk says by itself lies beside the copy, so that it is not lost while a worker has the
//! copy in hand.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::domain::desk::{DeskCopy, Heard, news};
use crate::domain::id::{DeskName, FencingToken, TaskId};
use crate::store::shape::{instant, json, micros, parsed};
use crate::store::{CopiesWanted, CopyLease, DeskFigures, Desks, NextVisit, Stored};

use super::funnel::Funnel;
use super::{SqliteStore, tasks};

/// Rows made for new tasks in one look.
const NEW_AT_ONCE: i64 = 500;

/// A copy whose ticket is due, or whose task has moved on.
const DUE: &str = "c.desk = ?1 AND c.finished = 0 AND c.hold_us <= ?2 \
     AND (t.state <> c.task_state OR c.due_us <= ?2) AND (c.owner IS NULL OR c.until_us <= ?2 \
     OR c.owner NOT IN (SELECT id FROM workers))";

const NEW: &str = "t.desk = ?1 AND t.desk <> 'built-in' AND t.state <> 'closed' AND NOT EXISTS \
     (SELECT 1 FROM desk_copies c WHERE c.task_id = t.id AND c.desk = ?1 AND c.finished = 0)";

#[async_trait]
impl Desks for SqliteStore {
    async fn take_copies(&self, want: &CopiesWanted) -> Stored<Vec<CopyLease>> {
        if !any(&self.funnel, want).await? {
            return Ok(Vec::new());
        }
        let mut writer = self.funnel.writer().await;
        let mut tx = writer.begin("take_copies").await?;
        make_rows(&mut tx, want).await?;
        let rows: Vec<(Uuid,)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT c.task_id FROM desk_copies c JOIN tasks t ON t.id = c.task_id WHERE {DUE} \
             ORDER BY t.priority, c.due_us, c.task_id LIMIT ?3"
        )))
        .bind(want.desk.as_str())
        .bind(micros(want.now))
        .bind(want.at_most)
        .fetch_all(&mut *tx)
        .await?;
        let lease_us = i64::try_from(want.lease_seconds.saturating_mul(1_000_000));
        let until = micros(want.now).saturating_add(lease_us.unwrap_or(i64::MAX));
        let mut leases = Vec::new();
        for (id,) in rows {
            let (token, heard, body): (i64, Option<String>, String) = sqlx::query_as(
                "UPDATE desk_copies SET owner = ?, until_us = ?, token = token + 1 \
                 WHERE task_id = ? AND desk = ? RETURNING token, heard, body",
            )
            .bind(want.worker.0)
            .bind(until)
            .bind(id)
            .bind(want.desk.as_str())
            .fetch_one(&mut *tx)
            .await?;
            let task = tasks::by_id(&mut tx, TaskId(id)).await;
            let lease = task.and_then(|task| {
                let token = FencingToken(token);
                let copy = copy_of(id, &body, heard.as_deref())?;
                Ok(task.map(|task| CopyLease { token, task, copy }))
            });
            // It stays leased, and so out of the way, until the lease is over.
            let lease = self.funnel.aside.read("desk_copies", id, lease)?;
            leases.extend(lease.flatten());
        }
        tx.commit().await?;
        Ok(leases)
    }

    async fn keep_copy(
        &self,
        lease: &CopyLease,
        copy: &DeskCopy,
        next: Option<NextVisit>,
    ) -> Stored<bool> {
        let mut writer = self.funnel.writer().await;
        let heard = lease.copy.heard.as_ref().map(json).transpose()?;
        let hold = next.filter(|next| next.troubled.is_some());
        let query = sqlx::query(
            "UPDATE desk_copies SET body = ?4, finished = ?5, \
             due_us = CASE WHEN ?6 IS NULL THEN due_us WHEN heard IS NOT ?9 THEN 0 ELSE ?6 END, \
             hold_us = CASE WHEN ?6 IS NULL THEN hold_us ELSE ?7 END, \
             troubled = CASE WHEN ?6 IS NULL THEN troubled ELSE CASE WHEN ?8 IS NOT NULL THEN coalesce(troubled, ?8) END END, \
             task_state = ?10, \
             owner = CASE WHEN ?6 IS NULL THEN owner END, \
             until_us = CASE WHEN ?6 IS NULL THEN until_us END \
             WHERE task_id = ?1 AND desk = ?2 AND token = ?3 AND owner IS NOT NULL",
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
        let done = query.execute(writer.alone()).await?;
        Ok(done.rows_affected() == 1)
    }

    async fn desk_said(
        &self,
        desk: &DeskName,
        task: TaskId,
        heard: &Heard,
    ) -> Stored<Option<bool>> {
        let mut writer = self.funnel.writer().await;
        let mut tx = writer.begin("desk_said").await?;
        let known: Option<(Option<String>,)> =
            sqlx::query_as("SELECT heard FROM desk_copies WHERE task_id = ? AND desk = ?")
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
            "UPDATE desk_copies SET heard = ?, due_us = 0, hold_us = 0 WHERE task_id = ? AND desk = ?",
        )
        .bind(json(&heard)?)
        .bind(task.0)
        .bind(desk.as_str())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(true))
    }

    async fn copies_of(&self, task: TaskId) -> Stored<Vec<DeskCopy>> {
        let mut reader = self.funnel.reader().await?;
        let rows: Vec<(String, Option<String>)> =
            sqlx::query_as("SELECT body, heard FROM desk_copies WHERE task_id = ? ORDER BY desk")
                .bind(task.0)
                .fetch_all(&mut *reader)
                .await?;
        let rows = rows.iter();
        rows.map(|(body, heard)| copy_of(task.0, body, heard.as_deref()))
            .collect()
    }

    async fn desk_figures(&self) -> Stored<Vec<DeskFigures>> {
        let mut reader = self.funnel.reader().await?;
        let rows: Vec<(String, i64, i64, Option<i64>)> = sqlx::query_as(
            "SELECT desk, count(*), count(troubled), min(troubled) FROM desk_copies \
             WHERE finished = 0 GROUP BY desk ORDER BY desk",
        )
        .fetch_all(&mut *reader)
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

/// Asked first, so that the one writer is not held up at every look.
async fn any(funnel: &Funnel, want: &CopiesWanted) -> Stored<bool> {
    if want.at_most == 0 {
        return Ok(false);
    }
    let mut reader = funnel.reader().await?;
    let any: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT EXISTS (SELECT 1 FROM tasks t WHERE {NEW}) OR EXISTS \
         (SELECT 1 FROM desk_copies c JOIN tasks t ON t.id = c.task_id WHERE {DUE})"
    )))
    .bind(want.desk.as_str())
    .bind(micros(want.now))
    .fetch_one(&mut *reader)
    .await?;
    Ok(any)
}

async fn make_rows(tx: &mut SqliteConnection, want: &CopiesWanted) -> Stored<()> {
    let new: Vec<(Uuid, String)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT t.id, t.state FROM tasks t WHERE {NEW} ORDER BY t.priority, t.id LIMIT ?2"
    )))
    .bind(want.desk.as_str())
    .bind(NEW_AT_ONCE)
    .fetch_all(&mut *tx)
    .await?;
    for (id, state) in new {
        begin(tx, TaskId(id), &want.desk, &state).await?;
    }
    Ok(())
}

/// A row for the copy of a task at this desk; one that is under way stays as it is.
pub(super) async fn begin(
    tx: &mut SqliteConnection,
    task: TaskId,
    desk: &DeskName,
    state: &str,
) -> Stored<()> {
    let copy = DeskCopy::new(task, desk.clone());
    sqlx::query(
        // The copy of a task that is open again is taken up again; it knows that it was finished.
        "INSERT INTO desk_copies (task_id, desk, due_us, hold_us, task_state, finished, token, \
         body) VALUES (?,?,0,0,?,0,0,?) \
         ON CONFLICT (task_id, desk) DO UPDATE SET finished = 0, due_us = 0 WHERE finished",
    )
    .bind(task.0)
    .bind(desk.as_str())
    .bind(state)
    .bind(json(&copy)?)
    .execute(tx)
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
