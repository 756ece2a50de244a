//! Settling: many runs move in one statement, each under its own fencing token.
//!
//! One round trip and one commit for a whole batch, however many runs it holds. A run whose lease
//! has moved on is refused and changes nothing: every other part of the statement joins the runs
//! that moved. Children are born leased and parents come back leased.

use std::collections::{BTreeMap, HashSet};

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::domain::audit::Tip;
use crate::domain::id::{FencingToken, WorkerId};
use crate::domain::settlement::Settlement;
use crate::domain::time::Timestamp;
use crate::store::audit::{Notes, Strands};
use crate::store::plan::{self, Move, Plan, Share, parts};
use crate::store::row::LeasedRow;
use crate::store::shape::micros;
use crate::store::{Claimed, Fenced, Keep, Settled, StoreError, Stored};

use super::batch::{Batch, Columns};
use super::funnel::{Funnel, within};
use super::runs::{self, NewRun};
use super::{audit, journal, outbox, tasks};

/// Joins a row to the run whose settlement asks for it, if that was taken.
const TAKEN: &str = "JOIN moved m ON m.id = {by}";

type Part<'a> = Vec<(FencingToken, &'a Settlement)>;

pub(super) async fn settle(
    funnel: &Funnel,
    now: Timestamp,
    keep: &Keep,
    batch: &[Fenced],
) -> Stored<Settled> {
    if batch.is_empty() {
        return Ok(Settled::default());
    }
    let parts = parts(batch.iter().map(|one| (one.token, &*one.settlement)));
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("settle").await?;
        let settled = within(try_settle(&mut lane, &funnel.strands, now, keep, &parts)).await;
        let Some(settled) = lane.done(settled, &mut tries) else {
            continue;
        };
        let (accepted, kept) = settled?;
        let mut answered = HashSet::new();
        let accepted = batch
            .iter()
            .map(|one| one.settlement.run.id.0)
            // A second settlement of one run in a batch is not the one that was taken.
            .map(|id| accepted.contains(&id) && answered.insert(id))
            .collect();
        return Ok(Settled { accepted, kept });
    }
}

/// One part is one statement and commits by itself, link and all; several share a transaction, and so
/// does a part of which something was refused: its link covers what was taken, known only afterwards.
async fn try_settle(
    connection: &mut PgConnection,
    strands: &Strands,
    now: Timestamp,
    keep: &Keep,
    parts: &[Part<'_>],
) -> Stored<(HashSet<Uuid>, Vec<Claimed>)> {
    if let [part] = parts {
        let mut share = Share::new(keep);
        let tip = audit::begin(connection, strands).await?;
        let mut log = Log::Within(tip);
        match settle_part(connection, now, keep.worker, part, &mut share, &mut log).await {
            // Something of it is not to be taken, or was taken before: each row is looked at then.
            Err(StoreError::Refused(_)) if tip.is_some() => strands.give(tip),
            settled => {
                if settled.is_ok() {
                    strands.give(log.tip());
                }
                return settled;
            }
        }
    }
    let mut share = Share::new(keep);
    let mut tx = connection.begin().await?;
    let mut accepted = HashSet::new();
    let mut kept = Vec::new();
    let mut log = Log::After(Notes::default());
    for part in parts {
        let (took, holds) =
            settle_part(&mut tx, now, keep.worker, part, &mut share, &mut log).await?;
        accepted.extend(took);
        kept.extend(holds);
    }
    let tip = match &log {
        Log::After(notes) => audit::write(&mut tx, strands, notes).await?,
        Log::Within(_) => None,
    };
    tx.commit().await?;
    strands.give(tip);
    Ok((accepted, kept))
}

/// Where the link of a batch is written.
enum Log {
    /// By the same statement, on this strand; by none where nothing is recorded.
    Within(Option<Tip>),
    /// By a later one, over what the parts came to.
    After(Notes),
}

impl Log {
    fn tip(&self) -> Option<Tip> {
        match self {
            Self::Within(tip) => *tip,
            Self::After(_) => None,
        }
    }
}

/// What the statement returns: runs that moved (0), parents that came back (1), children that were
/// born (2), runs that moved and came back at once (3). One that is taken as a whole returns only what
/// came back.
#[derive(sqlx::FromRow)]
struct ResultRow {
    tag: i16,
    id: Uuid,
    token: i64,
    open_children: i32,
    task_id: Option<Uuid>,
    body: Option<String>,
}

async fn settle_part(
    connection: &mut PgConnection,
    now: Timestamp,
    worker: WorkerId,
    part: &Part<'_>,
    share: &mut Share<'_>,
    log: &mut Log,
) -> Stored<(HashSet<Uuid>, Vec<Claimed>)> {
    let mut plan = Plan::of(part.iter().copied(), now, share)?;
    // Rows are locked in one order by everybody, so two batches rarely wait for each other crosswise.
    plan.moves.sort_by_key(|one| one.columns.id);
    let whole = matches!(log, Log::Within(Some(_)));
    let (mut batch, select) = statement(&plan, now, worker, whole)?;
    if let Log::Within(Some(tip)) = log {
        *tip = linked(&mut batch, &plan, *tip)?;
    }
    let rows: Vec<ResultRow> = batch.fetch(&mut *connection, &select).await?;
    let mut accepted = HashSet::new();
    let mut kept = Vec::new();
    let mut parents = Vec::new();
    let mut born = HashSet::new();
    if whole {
        accepted.extend(plan.moves.iter().map(|one| one.columns.id));
        born.extend(plan.births.iter().map(|birth| birth.columns.id));
    }
    for row in rows {
        match (row.tag, row.body) {
            (1, Some(body)) => parents.push(LeasedRow {
                id: row.id,
                token: row.token,
                open_children: row.open_children,
                task_id: row.task_id,
                body,
            }),
            (2, _) => {
                born.insert(row.id);
            }
            _ => {
                accepted.insert(row.id);
                if row.tag == 3 {
                    kept.extend(back(part, row.id, row.token));
                }
            }
        }
    }
    if let Log::After(notes) = log {
        notes.plan(&plan, &|id| accepted.contains(&id), &|id| {
            born.contains(&id)
        })?;
    }
    let births = plan.births.iter();
    let births = births.filter(|birth| birth.leased && born.contains(&birth.columns.id));
    kept.extend(births.map(|birth| birth.claimed(None)));
    kept.extend(runs::handed(&mut *connection, parents).await?);
    accepted.extend(already_in(connection, worker, &plan, &accepted).await?);
    Ok((accepted, kept))
}

/// The part that writes the link over everything that the plan asks for. Where less was taken, it
/// refuses the statement as a whole: a link covers what was written, no more and no less.
fn linked(batch: &mut Batch, plan: &Plan<'_>, tip: Tip) -> Stored<Tip> {
    let mut notes = Notes::default();
    notes.plan(plan, &|_| true, &|_| true)?;
    let born = plan.births.len() + plan.rotations.len();
    let mut whole = vec![("moved", plan.moves.len())];
    if born > 0 {
        whole.push(("born", born));
    }
    if !plan.ends.is_empty() {
        whole.push(("ended", plan.ends.len()));
    }
    audit::part(batch, tip, &notes, &whole)
}

/// A run that gathers, but whose children had all ended.
fn back(part: &Part<'_>, id: Uuid, token: i64) -> Option<Claimed> {
    let (_, settlement) = part.iter().find(|(_, one)| one.run.id.0 == id)?;
    Some(Claimed {
        run: settlement.run.clone(),
        token: FencingToken(token),
        open_children: 0,
        task: settlement.task.clone().filter(plan::open),
    })
}

/// Settlements that an earlier attempt had committed, though its answer was lost.
async fn already_in(
    connection: &mut PgConnection,
    worker: WorkerId,
    plan: &Plan<'_>,
    accepted: &HashSet<Uuid>,
) -> Stored<Vec<Uuid>> {
    let refused = plan.moves.iter();
    let refused: Vec<_> = refused
        .filter(|one| !accepted.contains(&one.columns.id))
        .collect();
    if refused.is_empty() {
        return Ok(Vec::new());
    }
    let found = sqlx::query_scalar(
        "SELECT runs.id FROM UNNEST($2::uuid[], $3::bigint[], $4::bigint[]) AS u (id, token, step) \
         JOIN runs ON runs.id = ANY (ARRAY[u.id]) AND runs.token - u.token = 0 \
         AND runs.step - u.step = 0 \
         WHERE runs.owner IS NULL OR runs.owner = $1",
    )
    .bind(worker.0)
    .bind(refused.iter().map(|one| one.columns.id).collect::<Vec<_>>())
    .bind(refused.iter().map(|one| one.token).collect::<Vec<_>>())
    .bind(
        refused
            .iter()
            .map(|one| one.columns.step)
            .collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await?;
    Ok(found)
}

/// The statement for one part. Parts of it that would write nothing are left out. One that is taken as a
/// whole or refused needs no looking at what was taken.
fn statement(
    plan: &Plan<'_>,
    now: Timestamp,
    worker: WorkerId,
    whole: bool,
) -> Stored<(Batch, String)> {
    let taken = if whole { "" } else { TAKEN };
    let mut batch = Batch::default();
    let worker_value = batch.value("uuid", worker.0)?;
    let now_value = batch.value("bigint", micros(now))?;
    let mut select = String::from(
        "SELECT CASE WHEN back THEN 3 ELSE 0 END::smallint AS tag, id, token, 0 AS open_children, \
         NULL::uuid AS task_id, NULL::text AS body FROM moved",
    );
    if whole {
        select.push_str(" WHERE back");
    }
    let children = plan.births.iter().map(|birth| {
        let by = birth.columns.parent_id.unwrap_or_default();
        NewRun::born(by, birth, worker)
    });
    let rotations = plan.rotations.iter();
    let rotations = rotations.map(|(by, columns)| NewRun::free(*by, columns));
    let new: Vec<_> = children.chain(rotations).collect();
    if !new.is_empty() {
        runs::rows(&mut batch, &new)?;
        // Children that an earlier attempt had begun are counted already.
        batch.whole(
            "fresh",
            "SELECT c.parent_id, count(*)::integer AS born FROM c WHERE c.parent_id IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = ANY (ARRAY[c.id])) \
             GROUP BY c.parent_id",
        );
    }
    moves(&mut batch, plan, !new.is_empty(), &worker_value, &now_value)?;
    if !new.is_empty() {
        runs::write(&mut batch, taken, !plan.rotations.is_empty());
        if !whole {
            select.push_str(" UNION ALL SELECT 2::smallint, id, 0, 0, NULL, NULL FROM born");
        }
    }
    journal::write(&mut batch, &plan.journal, taken)?;
    tasks::write(&mut batch, &plan.tasks, taken)?;
    outbox::write(&mut batch, &plan.messages, taken)?;
    ends(&mut batch, plan, taken)?;
    if !plan.parents.is_empty() {
        parents(&mut batch, plan, (&worker_value, &now_value), whole)?;
        select.push_str(
            " UNION ALL SELECT 1::smallint, id, token, open_children, task_id, body FROM woken \
             WHERE body IS NOT NULL",
        );
    }
    Ok((batch, select))
}

/// The part `moved`. `due_us` stays as it is under a lease, so that a plain step touches no index.
/// Runs are looked up one by one, in the order given, and so locked in it: see `Funnel::open`.
#[allow(clippy::too_many_lines)] // One list, told in order; parts of it mean nothing alone.
fn moves(
    batch: &mut Batch,
    plan: &Plan<'_>,
    has_children: bool,
    worker: &str,
    now: &str,
) -> Stored<()> {
    fn each<T>(plan: &Plan<'_>, f: impl Fn(&Move) -> T) -> Vec<T> {
        plan.moves.iter().map(f).collect()
    }
    let rows = {
        let mut columns = Columns::new(batch);
        columns
            .add("id", "uuid", each(plan, |m| m.columns.id))?
            .add("token", "bigint", each(plan, |m| m.token))?
            .add("step", "bigint", each(plan, |m| m.columns.step))?
            .add("holds", "boolean", each(plan, |m| m.holds))?
            .add("may_keep", "boolean", each(plan, |m| m.may_keep))?
            .add("stage", "text", each(plan, |m| m.columns.stage))?
            .add("state", "text", each(plan, |m| m.columns.state.clone()))?
            .add("due_us", "bigint", each(plan, |m| m.columns.due_us))?
            .add("task_id", "uuid", each(plan, |m| m.columns.task_id))?
            .add("verdict", "smallint", each(plan, |m| m.columns.verdict))?
            .add("ended", "text", each(plan, |m| m.columns.ended))?
            .add("ended_us", "bigint", each(plan, |m| m.columns.ended_us))?
            .add("proof", "bigint", each(plan, |m| m.columns.proof_sequence))?
            .add("closed", "text", each(plan, |m| m.columns.closed_state))?
            .add("role", "text", each(plan, |m| m.columns.rotation_role))?
            .add("body", "text", each(plan, |m| m.columns.body.clone()))?;
        columns.rows("u")
    };
    let (born, join) = if has_children {
        (
            "coalesce(f.born, 0)",
            "LEFT JOIN fresh f ON f.parent_id = u.id",
        )
    } else {
        ("0", "")
    };
    let empty = format!("runs.open_children + {born} = 0");
    batch.part(
        "moved",
        &format!(
            "UPDATE runs SET stage = u.stage, state = u.state, step = u.step, \
               due_us = CASE WHEN u.holds THEN runs.due_us \
                 WHEN u.stage = 'gathering' AND {empty} THEN {now} ELSE u.due_us END, \
               owner = CASE WHEN u.holds OR (u.may_keep AND {empty}) THEN runs.owner END, \
               token = runs.token + CASE WHEN u.may_keep AND {empty} THEN 1 ELSE 0 END, \
               open_children = runs.open_children + {born}, task_id = u.task_id, \
               verdict = u.verdict, ended = u.ended, ended_us = u.ended_us, \
               proof_sequence = u.proof, closed_state = u.closed, rotation_role = u.role, \
               body = u.body \
             FROM {rows} {join} \
             WHERE runs.id = ANY (ARRAY[u.id]) AND runs.owner IS NOT DISTINCT FROM {worker} \
               AND runs.token - u.token = 0 AND u.step - runs.step = 1 \
             RETURNING runs.id, runs.token, runs.parent_id, runs.ended IS NOT NULL AS over, \
               runs.stage = 'gathering' AND runs.owner IS NOT NULL AS back"
        ),
    );
    Ok(())
}

/// The part `ended`: rows of cases that are over.
fn ends(batch: &mut Batch, plan: &Plan<'_>, join: &str) -> Stored<()> {
    let ends = &plan.ends;
    if ends.is_empty() {
        return Ok(());
    }
    let rows = {
        let mut columns = Columns::new(batch);
        columns
            .add(
                "by",
                "uuid",
                ends.iter().map(|one| one.0).collect::<Vec<_>>(),
            )?
            .add(
                "id",
                "uuid",
                ends.iter().map(|one| one.1).collect::<Vec<_>>(),
            )?
            .add(
                "ended",
                "text",
                ends.iter().map(|one| one.2).collect::<Vec<_>>(),
            )?
            .add(
                "ended_us",
                "bigint",
                ends.iter().map(|one| one.3).collect::<Vec<_>>(),
            )?;
        columns.rows("x")
    };
    let join = join.replace("{by}", "x.by");
    batch.part(
        "ended",
        &format!(
            "UPDATE cases SET ended = x.ended, ended_us = x.ended_us FROM {rows} \
             {join} WHERE cases.id = ANY (ARRAY[x.id]) AND cases.ended IS NULL \
             RETURNING cases.id"
        ),
    );
    Ok(())
}

/// The part `woken`: open children are counted down; a free parent at zero becomes due, and this
/// worker's if it has room. The rows are locked first, in order; so the last of several children
/// that end at the same moment sees the others' counts, and exactly one of them wakes the parent.
fn parents(
    batch: &mut Batch,
    plan: &Plan<'_>,
    (worker, now): (&str, &str),
    whole: bool,
) -> Stored<()> {
    let rows = {
        let mut columns = Columns::new(batch);
        columns
            .add(
                "id",
                "uuid",
                plan.parents.keys().copied().collect::<Vec<_>>(),
            )?
            .add(
                "room",
                "boolean",
                plan.parents.values().copied().collect::<Vec<_>>(),
            )?
            .add("ended", "integer", ended_children(plan))?;
        columns.rows("d")
    };
    let down = if whole {
        rows
    } else {
        batch.part(
            "down",
            &format!(
                "SELECT d.id, d.room, count(*)::integer AS ended FROM {rows} \
                 JOIN moved m ON m.parent_id = d.id AND m.over GROUP BY d.id, d.room"
            ),
        );
        "down d".to_owned()
    };
    batch.part(
        "locked",
        &format!(
            "SELECT p.id, p.owner IS NULL AS free, d.room, d.ended FROM {down} \
             JOIN runs p ON p.id = ANY (ARRAY[d.id]) ORDER BY p.id FOR UPDATE OF p"
        ),
    );
    let wakes = "l.free AND p.stage = 'gathering' AND p.open_children = l.ended";
    batch.part(
        "woken",
        &format!(
            "UPDATE runs p SET open_children = p.open_children - l.ended, \
               due_us = CASE WHEN {wakes} THEN {now} ELSE p.due_us END, \
               owner = CASE WHEN {wakes} AND l.room THEN {worker} ELSE p.owner END, \
               token = p.token + CASE WHEN {wakes} AND l.room THEN 1 ELSE 0 END \
             FROM locked l WHERE p.id = ANY (ARRAY[l.id]) \
             RETURNING p.id, p.token, p.open_children, p.task_id, \
               CASE WHEN l.free AND p.owner IS NOT NULL THEN p.body END AS body"
        ),
    );
    Ok(())
}

/// How many children of each parent the plan ends, in the order of the parents.
fn ended_children(plan: &Plan<'_>) -> Vec<i32> {
    let mut counts: BTreeMap<Uuid, i32> = plan.parents.keys().map(|id| (*id, 0)).collect();
    let ended = plan.moves.iter().filter(|one| one.columns.ended.is_some());
    for parent in ended.filter_map(|one| one.columns.parent_id) {
        *counts.entry(parent).or_default() += 1;
    }
    counts.into_values().collect()
}
