//! Runs: how they are born, claimed, given back, and read.
//!
//! A claim counts the fencing token up; from then on only a write that shows this token counts.
//! `SKIP LOCKED` keeps claims of several workers out of each other's way.

use std::fmt::Write;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::domain::id::{ConnectorName, FencingToken, RunId, WorkerId};
use crate::domain::run::Run;
use crate::domain::settlement::JournalEntry;
use crate::domain::time::Timestamp;
use crate::store::audit::{Notes, Strands};
use crate::store::plan::Birth;
use crate::store::row::{LeasedRow, RunRow};
use crate::store::shape::{BEHIND, BEHIND_US, RunColumns, micros, micros_up};
use crate::store::{Claimed, Keep, Stored};

use super::batch::{Batch, Columns};
use super::funnel::{Funnel, within};
use super::{audit, journal, tasks};

/// A run to insert, and what only the store knows about it.
pub(super) struct NewRun<'a> {
    /// The run whose settlement asks for it.
    pub by: Uuid,
    pub columns: &'a RunColumns,
    pub owner: Option<Uuid>,
    pub token: i64,
    pub open_children: i32,
}

impl<'a> NewRun<'a> {
    pub(super) fn born(by: Uuid, birth: &'a Birth, worker: WorkerId) -> Self {
        Self {
            by,
            columns: &birth.columns,
            owner: birth.leased.then_some(worker.0),
            token: birth.token(),
            open_children: birth.open_children.cast_signed(),
        }
    }

    pub(super) fn free(by: Uuid, columns: &'a RunColumns) -> Self {
        Self {
            by,
            columns,
            owner: None,
            token: 0,
            open_children: 0,
        }
    }
}

const COLUMNS: &str = "id, case_id, parent_id, kind, connector, priority, stage, state, due_us, \
    owner, token, step, open_children, task_id, verdict, ended, ended_us, proof_sequence, \
    closed_state, rotation_role, body";

/// Adds the rows of these runs under the name `c`, for `write` and for counting the new ones.
pub(super) fn rows(batch: &mut Batch, runs: &[NewRun<'_>]) -> Stored<()> {
    fn each<T>(runs: &[NewRun<'_>], f: impl Fn(&RunColumns) -> T) -> Vec<T> {
        runs.iter().map(|run| f(run.columns)).collect()
    }
    let mut columns = Columns::new(batch);
    columns
        .add(
            "by",
            "uuid",
            runs.iter().map(|run| run.by).collect::<Vec<_>>(),
        )?
        .add("id", "uuid", each(runs, |c| c.id))?
        .add("case_id", "uuid", each(runs, |c| c.case_id))?
        .add("parent_id", "uuid", each(runs, |c| c.parent_id))?
        .add("kind", "text", each(runs, |c| c.kind))?
        .add("connector", "text", each(runs, |c| c.connector.clone()))?
        .add("priority", "smallint", each(runs, |c| c.priority))?
        .add("stage", "text", each(runs, |c| c.stage))?
        .add("state", "text", each(runs, |c| c.state.clone()))?
        .add("due_us", "bigint", each(runs, |c| c.due_us))?
        .add(
            "owner",
            "uuid",
            runs.iter().map(|run| run.owner).collect::<Vec<_>>(),
        )?
        .add(
            "token",
            "bigint",
            runs.iter().map(|run| run.token).collect::<Vec<_>>(),
        )?
        .add("step", "bigint", each(runs, |c| c.step))?
        .add(
            "open_children",
            "integer",
            runs.iter().map(|r| r.open_children).collect::<Vec<_>>(),
        )?
        .add("task_id", "uuid", each(runs, |c| c.task_id))?
        .add("verdict", "smallint", each(runs, |c| c.verdict))?
        .add("ended", "text", each(runs, |c| c.ended))?
        .add("ended_us", "bigint", each(runs, |c| c.ended_us))?
        .add("proof_sequence", "bigint", each(runs, |c| c.proof_sequence))?
        .add("closed_state", "text", each(runs, |c| c.closed_state))?
        .add("rotation_role", "text", each(runs, |c| c.rotation_role))?
        .add("body", "text", each(runs, |c| c.body.clone()))?;
    let rows = columns.rows("x");
    batch.part("c", &format!("SELECT * FROM {rows}"));
    Ok(())
}

/// Adds the part `born`, which inserts what is in `c` and did not exist. Of rotations those that are
/// `wished` step behind the one that holds their place.
pub(super) fn write(batch: &mut Batch, join: &str, wished: bool) {
    let mut join = join.replace("{by}", "c.by");
    if wished {
        let _ = write!(
            join,
            " LEFT JOIN LATERAL (SELECT true AS held FROM runs o WHERE o.connector = c.connector \
             AND o.rotation_role = split_part(c.rotation_role, '{BEHIND}', 1)) ahead \
             ON c.rotation_role LIKE '%{BEHIND}'"
        );
    }
    let columns = COLUMNS.split(", ").map(|name| match name.trim() {
        "due_us" if wished => {
            format!("CASE WHEN ahead.held THEN c.due_us + {BEHIND_US} ELSE c.due_us END")
        }
        "rotation_role" if wished => format!(
            "CASE WHEN ahead.held THEN c.rotation_role \
             ELSE split_part(c.rotation_role, '{BEHIND}', 1) END"
        ),
        name => format!("c.{name}"),
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    batch.part(
        "born",
        &format!(
            "INSERT INTO runs ({COLUMNS}) SELECT {columns} FROM c {join} \
             ON CONFLICT DO NOTHING RETURNING id"
        ),
    );
}

/// Inserts one free run; false if it exists, or no place is left for a rotation of its secret.
pub(super) async fn insert(tx: &mut PgConnection, columns: &RunColumns) -> Stored<bool> {
    let mut batch = Batch::default();
    rows(&mut batch, &[NewRun::free(columns.id, columns)])?;
    write(&mut batch, "", columns.rotation_role.is_some());
    let new = batch.fetch::<(Uuid,)>(tx, "SELECT id FROM born").await?;
    Ok(!new.is_empty())
}

/// Overwrites a run whatever lease it is under, and ends that lease: admission and wishes come
/// before the worker, whose next write is then refused. The caller holds the row's lock. A run that
/// gathers stays awake if its last child has woken it.
pub(super) async fn overrule(
    tx: &mut PgConnection,
    columns: &RunColumns,
    due_us: Option<i64>,
) -> Stored<()> {
    let c = columns;
    sqlx::query(
        "UPDATE runs SET stage = $2, state = $3, owner = NULL, token = token + 1, \
         due_us = CASE WHEN $2 = 'gathering' THEN coalesce($4, due_us) ELSE $4 END, \
         task_id = $5, verdict = $6, ended = $7, ended_us = $8, proof_sequence = $9, \
         closed_state = $10, rotation_role = $11, body = $12, priority = $13, step = $14 \
         WHERE id = $1",
    )
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
    .bind(c.priority)
    .bind(c.step)
    .execute(tx)
    .await?;
    Ok(())
}

/// Leased rows with their open tasks.
pub(super) async fn handed(tx: &mut PgConnection, rows: Vec<LeasedRow>) -> Stored<Vec<Claimed>> {
    let wanted: Vec<Uuid> = rows.iter().filter_map(|row| row.task_id).collect();
    let mut open = tasks::open_by_id(tx, &wanted).await?;
    let rows = rows.into_iter();
    Ok(rows.filter_map(|row| row.claimed(&mut open)).collect())
}

/// Priorities are visited one by one (`rung`), so that runs which are due far ahead are never looked
/// at, however many there are. Of one connector no more are taken than there is room for, so that a
/// target that hangs never fills a worker's hands; what is due behind them is seen by the next claim,
/// which leaves that connector out.
const CLAIM: &str = "WITH RECURSIVE rung (priority) AS ( \
      (SELECT priority FROM runs WHERE owner IS NULL AND due_us IS NOT NULL \
        ORDER BY priority LIMIT 1) \
      UNION ALL \
      SELECT (SELECT r.priority FROM runs r WHERE r.owner IS NULL AND r.due_us IS NOT NULL \
        AND r.priority > rung.priority ORDER BY r.priority LIMIT 1) \
      FROM rung WHERE rung.priority IS NOT NULL), \
    picked AS MATERIALIZED ( \
      SELECT due.* FROM rung CROSS JOIN LATERAL ( \
        SELECT r.id, r.connector, r.priority, r.due_us FROM runs r \
        WHERE r.owner IS NULL AND r.due_us IS NOT NULL \
          AND r.priority = rung.priority AND r.due_us <= $2 \
          AND (r.connector IS NULL OR (r.connector = ANY($4)) = $8) \
        ORDER BY r.due_us LIMIT $3 FOR UPDATE SKIP LOCKED) due \
      LIMIT $3), \
    numbered AS (SELECT id, connector, \
      row_number() OVER (PARTITION BY connector ORDER BY priority, due_us) AS nth FROM picked), \
    taken AS MATERIALIZED (SELECT id FROM numbered \
      LEFT JOIN UNNEST($5::text[], $6::bigint[]) AS room (name, runs) ON room.name = connector \
      WHERE connector IS NULL OR nth <= COALESCE(room.runs, $7)) \
    UPDATE runs SET owner = $1, token = token + 1 FROM taken WHERE runs.id = ANY (ARRAY[taken.id]) \
    RETURNING runs.id, token, open_children, task_id, body";

pub(super) async fn claim(funnel: &Funnel, now: Timestamp, keep: &Keep) -> Stored<Vec<Claimed>> {
    if keep.at_most == 0 {
        return Ok(Vec::new());
    }
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("claim").await?;
        let claimed = within(try_claim(&mut lane, now, keep)).await;
        if let Some(claimed) = lane.done(claimed, &mut tries) {
            return claimed;
        }
    }
}

async fn try_claim(
    connection: &mut PgConnection,
    now: Timestamp,
    keep: &Keep,
) -> Stored<Vec<Claimed>> {
    let rooms = keep.room.iter();
    let (names, rooms): (Vec<&str>, Vec<i64>) = rooms
        .map(|(name, runs)| (name.as_str(), i64::from(*runs)))
        .unzip();
    // Where others have no share, those that have room are named, and else those that have none: what
    // there is no room for is never picked, or it would stand before what there is room for.
    let none_for_others = keep.share == 0;
    let named = names.iter().zip(&rooms);
    let named = named.filter(|(_, runs)| (**runs > 0) == none_for_others);
    let named: Vec<&str> = named.map(|(name, _)| *name).collect();
    let rows = sqlx::query_as::<_, LeasedRow>(CLAIM)
        .bind(keep.worker.0)
        .bind(micros(now))
        .bind(i64::from(keep.at_most))
        .bind(named)
        .bind(names)
        .bind(rooms)
        .bind(i64::from(keep.share))
        .bind(none_for_others)
        .fetch_all(&mut *connection)
        .await?;
    let mut claimed = handed(connection, rows).await?;
    claimed.sort_by_key(|claimed| {
        (
            claimed.run.priority,
            claimed.run.stage.due(),
            claimed.run.id,
        )
    });
    Ok(claimed)
}

pub(super) async fn release(
    funnel: &Funnel,
    worker: WorkerId,
    runs: &[(RunId, FencingToken)],
) -> Stored<()> {
    let (ids, tokens): (Vec<Uuid>, Vec<i64>) =
        runs.iter().map(|(id, token)| (id.0, token.0)).unzip();
    let mut own = funnel.own("release").await?;
    let released = sqlx::query(
        "UPDATE runs SET owner = NULL FROM UNNEST($2::uuid[], $3::bigint[]) AS u (id, token) \
         WHERE runs.id = ANY (ARRAY[u.id]) AND runs.token - u.token = 0 \
         AND runs.owner IS NOT DISTINCT FROM $1",
    )
    .bind(worker.0)
    .bind(ids)
    .bind(tokens)
    .execute(&mut *own);
    let released = within(async { Ok(released.await?) }).await;
    own.ended(released).map(drop)
}

pub(super) async fn put_back(
    funnel: &Funnel,
    worker: WorkerId,
    (run, token): (RunId, FencingToken),
    until: Timestamp,
) -> Stored<()> {
    let mut own = funnel.own("put_back").await?;
    let back = sqlx::query(
        "UPDATE runs SET owner = NULL, due_us = greatest(due_us, $4) \
         WHERE id = $2 AND token = $3 AND owner = $1",
    )
    .bind(worker.0)
    .bind(run.0)
    .bind(token.0)
    .bind(micros_up(until))
    .execute(&mut *own);
    let back = within(async { Ok(back.await?) }).await;
    own.ended(back).map(drop)
}

pub(super) async fn start(funnel: &Funnel, run: &Run) -> Stored<bool> {
    let columns = RunColumns::wished(run)?;
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("start").await?;
        let started = within(try_start(&mut lane, &funnel.strands, &columns)).await;
        if let Some(started) = lane.done(started, &mut tries) {
            return started;
        }
    }
}

async fn try_start(
    connection: &mut PgConnection,
    strands: &Strands,
    columns: &RunColumns,
) -> Stored<bool> {
    let mut tx = connection.begin().await?;
    let new = insert(&mut tx, columns).await?;
    let mut notes = Notes::default();
    if new {
        notes.run(columns);
    }
    let tip = audit::write(&mut tx, strands, &notes).await?;
    tx.commit().await?;
    strands.give(tip);
    Ok(new)
}

pub(super) async fn advance_rotations(funnel: &Funnel, now: Timestamp) -> Stored<u64> {
    let moved = sqlx::query(AssertSqlSafe(format!(
        "UPDATE runs SET due_us = $1, rotation_role = split_part(rotation_role, '{BEHIND}', 1) \
         WHERE rotation_role LIKE '%{BEHIND}' AND NOT EXISTS (SELECT 1 FROM runs o \
         WHERE o.connector = runs.connector \
         AND o.rotation_role = split_part(runs.rotation_role, '{BEHIND}', 1))"
    )))
    .bind(micros_up(now))
    .execute(funnel.readers())
    .await?;
    Ok(moved.rows_affected())
}

pub(super) async fn rotations(
    funnel: &Funnel,
    connector: Option<&ConnectorName>,
) -> Stored<Vec<Run>> {
    let rows = sqlx::query_as::<_, RunRow>(
        "SELECT id, body FROM runs WHERE kind = 'rotation' AND ($1::text IS NULL OR connector = $1) \
         ORDER BY id DESC",
    )
    .bind(connector.map(ConnectorName::as_str))
    .fetch_all(funnel.readers())
    .await?;
    if connector.is_some() {
        return rows.iter().map(RunRow::run).collect();
    }
    funnel.aside.runs(&rows)
}

pub(super) async fn run(funnel: &Funnel, id: RunId) -> Stored<Option<(Run, Vec<JournalEntry>)>> {
    let row = sqlx::query_as::<_, RunRow>("SELECT id, body FROM runs WHERE id = $1")
        .bind(id.0)
        .fetch_optional(funnel.readers())
        .await?;
    let Some(row) = row else { return Ok(None) };
    let journal = journal::of_run(funnel.readers(), id).await?;
    Ok(Some((row.run()?, journal)))
}
