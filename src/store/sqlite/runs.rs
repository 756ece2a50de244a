//! Runs: how they are born, claimed, given back, and read.
//!
//! A claim counts the fencing token up; from then on only a write that shows this token counts.
//! What settles a run is in `settle`.

use std::collections::HashSet;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};
use uuid::Uuid;

use crate::domain::id::{ConnectorName, FencingToken, RunId, WorkerId};
use crate::domain::run::Run;
use crate::domain::settlement::JournalEntry;
use crate::domain::time::Timestamp;
use crate::store::audit::Notes;
use crate::store::plan::Birth;
use crate::store::row::{LeasedRow, RunRow};
use crate::store::shape::{BEHIND, BEHIND_US, RunColumns, json, micros, micros_up};
use crate::store::{Claimed, Keep, Stored};

use super::funnel::Funnel;
use super::rows::{chunks, numbered, tuples};
use super::{audit, journal, tasks};

/// A run to insert, and what only the store knows about it.
pub(super) struct NewRun<'a> {
    pub columns: &'a RunColumns,
    pub owner: Option<Uuid>,
    pub token: i64,
    pub open_children: u32,
}

impl<'a> NewRun<'a> {
    pub(super) fn born(birth: &'a Birth, worker: WorkerId) -> Self {
        Self {
            columns: &birth.columns,
            owner: birth.leased.then_some(worker.0),
            token: birth.token(),
            open_children: birth.open_children,
        }
    }

    pub(super) fn free(columns: &'a RunColumns) -> Self {
        Self {
            columns,
            owner: None,
            token: 0,
            open_children: 0,
        }
    }
}

const COLUMNS: &str = "id, case_id, parent_id, kind, connector, priority, stage, state, due_us, \
    owner, token, step, open_children, task_id, verdict, ended, ended_us, proof_sequence, closed_state, \
    rotation_role, body";

/// Inserts runs that do not exist yet; returns the ids of those that did not.
pub(super) async fn insert(
    tx: &mut SqliteConnection,
    runs: &[NewRun<'_>],
) -> Stored<HashSet<Uuid>> {
    let mut new = HashSet::new();
    for chunk in chunks(runs) {
        let sql = format!(
            "INSERT INTO runs ({COLUMNS}) VALUES {} ON CONFLICT DO NOTHING RETURNING id",
            tuples(21, chunk.len())
        );
        let mut query = sqlx::query_scalar::<_, Uuid>(AssertSqlSafe(sql));
        for run in chunk {
            let c = run.columns;
            query = query
                .bind(c.id)
                .bind(c.case_id)
                .bind(c.parent_id)
                .bind(c.kind)
                .bind(&c.connector)
                .bind(c.priority)
                .bind(c.stage)
                .bind(&c.state)
                .bind(c.due_us)
                .bind(run.owner)
                .bind(run.token)
                .bind(c.step)
                .bind(run.open_children)
                .bind(c.task_id)
                .bind(c.verdict)
                .bind(c.ended)
                .bind(c.ended_us)
                .bind(c.proof_sequence)
                .bind(c.closed_state)
                .bind(c.rotation_role)
                .bind(&c.body);
        }
        new.extend(query.fetch_all(&mut *tx).await?);
    }
    Ok(new)
}

/// Overwrites a run whatever lease it is under, and ends that lease: admission and wishes come
/// before the worker, whose next write is then refused. A run that gathers stays awake if its last
/// child has woken it.
pub(super) async fn overrule(
    tx: &mut SqliteConnection,
    columns: &RunColumns,
    due_us: Option<i64>,
) -> Stored<()> {
    bound(
        sqlx::query(
            "UPDATE runs SET stage = ?2, state = ?3, owner = NULL, token = token + 1, \
             due_us = CASE WHEN ?2 = 'gathering' THEN coalesce(?4, due_us) ELSE ?4 END, \
             task_id = ?5, verdict = ?6, ended = ?7, ended_us = ?8, proof_sequence = ?9, \
             closed_state = ?10, rotation_role = ?11, body = ?12, priority = ?13, step = ?14 \
             WHERE id = ?1",
        ),
        columns,
        due_us,
    )
    .bind(columns.priority)
    .bind(columns.step)
    .execute(tx)
    .await?;
    Ok(())
}

fn bound<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    c: &'q RunColumns,
    due_us: Option<i64>,
) -> Query<'q, Sqlite, SqliteArguments> {
    query
        .bind(c.id)
        .bind(c.stage)
        .bind(&c.state)
        .bind(due_us)
        .bind(c.task_id)
        .bind(c.verdict)
        .bind(c.ended)
        .bind(c.ended_us)
        .bind(c.proof_sequence)
        .bind(c.closed_state)
        .bind(c.rotation_role)
        .bind(&c.body)
}

/// Leased rows with their open tasks.
pub(super) async fn handed(
    tx: &mut SqliteConnection,
    rows: Vec<LeasedRow>,
) -> Stored<Vec<Claimed>> {
    let wanted: Vec<Uuid> = rows.iter().filter_map(|row| row.task_id).collect();
    let mut open = tasks::open_by_id(tx, &wanted).await?;
    let rows = rows.into_iter();
    Ok(rows.filter_map(|row| row.claimed(&mut open)).collect())
}

pub(super) async fn claim(funnel: &Funnel, now: Timestamp, keep: &Keep) -> Stored<Vec<Claimed>> {
    if keep.at_most == 0 || !any_due(funnel, now).await? {
        return Ok(Vec::new());
    }
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("claim").await?;
    // Where others have no share (`?5`), those that have room are named, and else those that have none:
    // what there is no room for is never picked, or it would stand before what there is room for.
    let rows = sqlx::query_as::<_, LeasedRow>(
        "UPDATE runs SET owner = ?1, token = token + 1 WHERE id IN ( \
           SELECT numbered.id FROM (SELECT id, connector, row_number() \
               OVER (PARTITION BY connector ORDER BY priority, due_us) AS nth \
             FROM (SELECT id, connector, priority, due_us FROM runs \
               WHERE owner IS NULL AND due_us IS NOT NULL AND due_us <= ?2 \
               AND (connector IS NULL \
                 OR (connector IN (SELECT key FROM json_each(?4) \
                   WHERE (value > 0) = (?5 = 0))) = (?5 = 0)) \
               ORDER BY priority, due_us LIMIT ?3)) AS numbered \
           LEFT JOIN json_each(?4) AS room ON room.key = numbered.connector \
           WHERE numbered.connector IS NULL OR numbered.nth <= COALESCE(room.value, ?5)) \
         RETURNING id, token, open_children, task_id, body",
    )
    .bind(keep.worker.0)
    .bind(micros(now))
    .bind(keep.at_most)
    .bind(json(&keep.room)?)
    .bind(keep.share)
    .fetch_all(&mut *tx)
    .await?;
    let mut claimed = handed(&mut tx, rows).await?;
    tx.commit().await?;
    claimed.sort_by_key(|claimed| {
        (
            claimed.run.priority,
            claimed.run.stage.due(),
            claimed.run.id,
        )
    });
    Ok(claimed)
}

/// A look before the write lock is taken: an idle worker costs no write transaction.
async fn any_due(funnel: &Funnel, now: Timestamp) -> Stored<bool> {
    let mut reader = funnel.reader().await?;
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM runs \
         WHERE owner IS NULL AND due_us IS NOT NULL AND due_us <= ?)",
    )
    .bind(micros(now))
    .fetch_one(&mut *reader)
    .await?)
}

pub(super) async fn release(
    funnel: &Funnel,
    worker: WorkerId,
    runs: &[(RunId, FencingToken)],
) -> Stored<()> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("release").await?;
    for chunk in chunks(runs) {
        let sql = format!(
            "UPDATE runs SET owner = NULL WHERE owner = ?1 AND (id, token) IN (VALUES {})",
            numbered(2, 2, chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(worker.0);
        for (id, token) in chunk {
            query = query.bind(id.0).bind(token.0);
        }
        query.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

pub(super) async fn put_back(
    funnel: &Funnel,
    worker: WorkerId,
    (run, token): (RunId, FencingToken),
    until: Timestamp,
) -> Stored<()> {
    let mut writer = funnel.writer().await;
    sqlx::query(
        "UPDATE runs SET owner = NULL, due_us = max(due_us, ?4) \
         WHERE id = ?2 AND token = ?3 AND owner = ?1",
    )
    .bind(worker.0)
    .bind(run.0)
    .bind(token.0)
    .bind(micros_up(until))
    .execute(writer.alone())
    .await?;
    Ok(())
}

pub(super) async fn start(funnel: &Funnel, run: &Run) -> Stored<bool> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("start").await?;
    let columns = placed(&mut tx, RunColumns::wished(run)?).await?;
    let new = insert(&mut tx, &[NewRun::free(&columns)]).await?;
    let mut notes = Notes::default();
    if !new.is_empty() {
        notes.run(&columns);
    }
    let tip = audit::write(&mut tx, &funnel.strands, &notes).await?;
    tx.commit().await?;
    funnel.strands.give(tip);
    Ok(!new.is_empty())
}

/// Where a rotation that is wished goes: to its secret's place, or behind the one that holds it.
pub(super) async fn placed(
    tx: &mut SqliteConnection,
    mut columns: RunColumns,
) -> Stored<RunColumns> {
    let wished = columns.rotation_role;
    if let Some(place) = wished.and_then(|role| role.strip_suffix(BEHIND)) {
        let held: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM runs WHERE connector = ? AND rotation_role = ?)",
        )
        .bind(&columns.connector)
        .bind(place)
        .fetch_one(tx)
        .await?;
        if held {
            columns.due_us = columns.due_us.map(|due| due + BEHIND_US);
        } else {
            columns.rotation_role = Some(place);
        }
    }
    Ok(columns)
}

pub(super) async fn advance_rotations(funnel: &Funnel, now: Timestamp) -> Stored<u64> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("advance_rotations").await?;
    let place = format!(
        "substr(runs.rotation_role, 1, length(runs.rotation_role) - {})",
        BEHIND.len()
    );
    let moved = sqlx::query(AssertSqlSafe(format!(
        "UPDATE runs SET due_us = ?1, rotation_role = {place} \
         WHERE rotation_role LIKE '%{BEHIND}' AND NOT EXISTS (SELECT 1 FROM runs o \
         WHERE o.connector = runs.connector AND o.rotation_role = {place})"
    )))
    .bind(micros_up(now))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(moved.rows_affected())
}

pub(super) async fn rotations(
    funnel: &Funnel,
    connector: Option<&ConnectorName>,
) -> Stored<Vec<Run>> {
    let mut reader = funnel.reader().await?;
    let rows = sqlx::query_as::<_, RunRow>(
        "SELECT id, body FROM runs WHERE kind = 'rotation' AND (?1 IS NULL OR connector = ?1) \
         ORDER BY rowid DESC",
    )
    .bind(connector.map(ConnectorName::as_str))
    .fetch_all(&mut *reader)
    .await?;
    if connector.is_some() {
        return rows.iter().map(RunRow::run).collect();
    }
    funnel.aside.runs(&rows)
}

pub(super) async fn run(funnel: &Funnel, id: RunId) -> Stored<Option<(Run, Vec<JournalEntry>)>> {
    let mut reader = funnel.reader().await?;
    let row = sqlx::query_as::<_, RunRow>("SELECT id, body FROM runs WHERE id = ?")
        .bind(id.0)
        .fetch_optional(&mut *reader)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let journal = journal::of_run(&mut reader, id).await?;
    Ok(Some((row.run()?, journal)))
}
