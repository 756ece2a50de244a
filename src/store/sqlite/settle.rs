//! Settling: many runs move in one transaction, each under its own fencing token.
//!
//! A run whose lease has moved on is refused and changes nothing; the others go through. Children
//! are born leased and parents come back leased, so that a running case needs no further claim.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::{AssertSqlSafe, SqliteConnection};
use uuid::Uuid;

use crate::domain::id::{FencingToken, WorkerId};
use crate::domain::settlement::Settlement;
use crate::domain::time::Timestamp;
use crate::store::audit::Notes;
use crate::store::plan::{Plan, Share, parts};
use crate::store::row::LeasedRow;
use crate::store::shape::micros;
use crate::store::{Claimed, Fenced, Keep, Settled, Stored};

use super::funnel::Funnel;
use super::rows::{chunks, numbered, tuples};
use super::runs::{self, NewRun};
use super::{audit, cases, journal, outbox, tasks};

pub(super) async fn settle(
    funnel: &Funnel,
    now: Timestamp,
    keep: &Keep,
    batch: &[Fenced],
) -> Stored<Settled> {
    if batch.is_empty() {
        return Ok(Settled::default());
    }
    let mut share = Share::new(keep);
    let mut accepted = HashSet::new();
    let mut kept = Vec::new();
    let mut notes = Notes::default();
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("settle").await?;
    let all = batch.iter().map(|one| (one.token, &*one.settlement));
    for part in parts(all) {
        let plan = Plan::of(part.iter().copied(), now, &mut share)?;
        let write = Write {
            now: micros(now),
            worker: keep.worker,
            plan: &plan,
            settlements: &part,
        };
        let (took, holds) = write.all(&mut tx, &mut notes).await?;
        accepted.extend(write.already_in(&mut tx, &took).await?);
        accepted.extend(took);
        kept.extend(holds);
    }
    let tip = audit::write(&mut tx, &funnel.strands, &notes).await?;
    tx.commit().await?;
    funnel.strands.give(tip);
    let mut answered = HashSet::new();
    let accepted = batch
        .iter()
        .map(|one| one.settlement.run.id.0)
        // A second settlement of one run in a batch is not the one that was taken.
        .map(|id| accepted.contains(&id) && answered.insert(id))
        .collect();
    Ok(Settled { accepted, kept })
}

/// One part of a batch on its way into the transaction.
struct Write<'a> {
    now: i64,
    worker: WorkerId,
    plan: &'a Plan<'a>,
    settlements: &'a [(FencingToken, &'a Settlement)],
}

impl Write<'_> {
    async fn all(
        &self,
        tx: &mut SqliteConnection,
        notes: &mut Notes,
    ) -> Stored<(HashSet<Uuid>, Vec<Claimed>)> {
        let plan = self.plan;
        let existing = self.existing_children(tx).await?;
        let (accepted, mut kept) = self.moves(tx, &existing).await?;
        let taken = |id: &Uuid| accepted.contains(id);

        let lines = plan.journal.iter().copied();
        let lines: Vec<_> = lines.filter(|entry| taken(&entry.run.0)).collect();
        journal::insert(tx, &lines).await?;
        let (mut born, holds) = self.births(tx, &accepted).await?;
        kept.extend(holds);
        let changed = plan.tasks.iter().copied();
        let changed: Vec<_> = changed.filter(|task| taken(&task.run.0)).collect();
        tasks::save(tx, &changed).await?;
        let messages = plan.messages.iter().filter(|(run, _)| taken(run));
        let messages: Vec<_> = messages.map(|(_, message)| *message).collect();
        outbox::insert(tx, &messages).await?;
        let rotations = plan.rotations.iter().filter(|(run, _)| taken(run));
        for (_, run) in rotations {
            let run = runs::placed(tx, run.clone()).await?;
            born.extend(runs::insert(tx, &[NewRun::free(&run)]).await?);
        }
        notes.plan(plan, &|id| accepted.contains(&id), &|id| born.contains(&id))?;
        kept.extend(self.parents(tx, &accepted).await?);
        for (run, case, end, at) in &plan.ends {
            if taken(run) {
                cases::end(tx, *case, end, *at).await?;
            }
        }
        Ok((accepted, kept))
    }

    /// Children that an earlier attempt had begun already; they are counted already.
    async fn existing_children(&self, tx: &mut SqliteConnection) -> Stored<HashSet<Uuid>> {
        let mut existing = HashSet::new();
        for chunk in chunks(&self.plan.births) {
            let sql = format!(
                "SELECT id FROM runs WHERE id IN (VALUES {})",
                tuples(1, chunk.len())
            );
            let mut query = sqlx::query_scalar::<_, Uuid>(AssertSqlSafe(sql));
            for birth in chunk {
                query = query.bind(birth.columns.id);
            }
            existing.extend(query.fetch_all(&mut *tx).await?);
        }
        Ok(existing)
    }

    async fn moves(
        &self,
        tx: &mut SqliteConnection,
        existing: &HashSet<Uuid>,
    ) -> Stored<(HashSet<Uuid>, Vec<Claimed>)> {
        let mut born: HashMap<Uuid, u32> = HashMap::new();
        for birth in &self.plan.births {
            if let Some(parent) = birth.columns.parent_id
                && !existing.contains(&birth.columns.id)
            {
                *born.entry(parent).or_default() += 1;
            }
        }
        let mut accepted = HashSet::new();
        let mut kept = Vec::new();
        for chunk in chunks(&self.plan.moves) {
            let sql = MOVE.replace("{rows}", &numbered(3, 17, chunk.len()));
            let mut query = sqlx::query_as::<_, MovedRow>(AssertSqlSafe(sql))
                .bind(self.worker.0)
                .bind(self.now);
            for one in chunk {
                let c = &one.columns;
                query = query
                    .bind(c.id)
                    .bind(one.token)
                    .bind(c.step)
                    .bind(one.holds)
                    .bind(one.may_keep)
                    .bind(born.get(&c.id).copied().unwrap_or(0))
                    .bind(c.stage)
                    .bind(&c.state)
                    .bind(c.due_us)
                    .bind(c.task_id)
                    .bind(c.verdict)
                    .bind(c.ended)
                    .bind(c.ended_us)
                    .bind(c.proof_sequence)
                    .bind(c.closed_state)
                    .bind(c.rotation_role)
                    .bind(&c.body);
            }
            for row in query.fetch_all(&mut *tx).await? {
                accepted.insert(row.id);
                if row.back {
                    kept.extend(self.back(&row));
                }
            }
        }
        Ok((accepted, kept))
    }

    /// Settlements that an earlier attempt had committed, though its answer was lost.
    async fn already_in(
        &self,
        tx: &mut SqliteConnection,
        accepted: &HashSet<Uuid>,
    ) -> Stored<Vec<Uuid>> {
        let refused = self.plan.moves.iter();
        let refused: Vec<_> = refused
            .filter(|one| !accepted.contains(&one.columns.id))
            .collect();
        let mut found = Vec::new();
        for chunk in chunks(&refused) {
            let sql = format!(
                "WITH u (id, token, step) AS (VALUES {}) \
                 SELECT runs.id FROM u CROSS JOIN runs ON runs.id = u.id AND runs.token = u.token \
                 AND runs.step = u.step WHERE runs.owner IS NULL OR runs.owner = ?1",
                numbered(2, 3, chunk.len())
            );
            let mut query = sqlx::query_scalar::<_, Uuid>(AssertSqlSafe(sql)).bind(self.worker.0);
            for one in chunk {
                query = query
                    .bind(one.columns.id)
                    .bind(one.token)
                    .bind(one.columns.step);
            }
            found.extend(query.fetch_all(&mut *tx).await?);
        }
        Ok(found)
    }

    /// A run that gathers, but whose children had all ended.
    fn back(&self, row: &MovedRow) -> Option<Claimed> {
        let (_, settlement) = self
            .settlements
            .iter()
            .find(|(_, settlement)| settlement.run.id.0 == row.id)?;
        Some(Claimed {
            run: settlement.run.clone(),
            token: FencingToken(row.token),
            open_children: 0,
            task: settlement.task.clone().filter(crate::store::plan::open),
        })
    }

    async fn births(
        &self,
        tx: &mut SqliteConnection,
        accepted: &HashSet<Uuid>,
    ) -> Stored<(HashSet<Uuid>, Vec<Claimed>)> {
        let births: Vec<_> = self
            .plan
            .births
            .iter()
            .filter(|birth| {
                birth
                    .columns
                    .parent_id
                    .is_some_and(|parent| accepted.contains(&parent))
            })
            .collect();
        let rows: Vec<_> = births
            .iter()
            .map(|birth| NewRun::born(birth, self.worker))
            .collect();
        let new = runs::insert(tx, &rows).await?;
        let held = births
            .into_iter()
            .filter(|birth| birth.leased && new.contains(&birth.columns.id))
            .map(|birth| birth.claimed(None))
            .collect();
        Ok((new, held))
    }

    /// Counts the open children of parents down; those that come to zero become due, and this
    /// worker's if it has room.
    async fn parents(
        &self,
        tx: &mut SqliteConnection,
        accepted: &HashSet<Uuid>,
    ) -> Stored<Vec<Claimed>> {
        let mut ended: BTreeMap<Uuid, u32> = BTreeMap::new();
        for one in &self.plan.moves {
            if let (Some(parent), Some(_)) = (one.columns.parent_id, one.columns.ended)
                && accepted.contains(&one.columns.id)
            {
                *ended.entry(parent).or_default() += 1;
            }
        }
        let rows: Vec<(Uuid, u32)> = ended.into_iter().collect();
        let mut woken = Vec::new();
        for chunk in chunks(&rows) {
            // Leased parents first: they only count. Then the others, some of which wake up.
            let sql = COUNT_DOWN_LEASED.replace("{rows}", &tuples(2, chunk.len()));
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (parent, count) in chunk {
                query = query.bind(parent).bind(count);
            }
            let leased = query.execute(&mut *tx).await?.rows_affected();
            if leased == chunk.len() as u64 {
                continue;
            }
            let sql = COUNT_DOWN_FREE.replace("{rows}", &numbered(3, 3, chunk.len()));
            let mut query = sqlx::query_as::<_, LeasedRow>(AssertSqlSafe(sql))
                .bind(self.worker.0)
                .bind(self.now);
            for (parent, count) in chunk {
                let room = self.plan.parents.get(parent).copied().unwrap_or(false);
                query = query.bind(parent).bind(count).bind(room);
            }
            woken.extend(query.fetch_all(&mut *tx).await?);
        }
        woken.retain(|row| row.token > 0);
        runs::handed(tx, woken).await
    }
}

#[derive(sqlx::FromRow)]
struct MovedRow {
    id: Uuid,
    token: i64,
    back: bool,
}

/// `due_us` stays as it is under a lease, so that a plain step touches no index.
const MOVE: &str = "WITH u (id, token, step, holds, may_keep, born, stage, state, due_us, task_id, \
      verdict, ended, ended_us, proof_sequence, closed_state, rotation_role, body) AS (VALUES {rows}) \
    UPDATE runs SET \
      stage = u.stage, state = u.state, step = u.step, \
      due_us = CASE WHEN u.holds THEN runs.due_us \
        WHEN u.stage = 'gathering' AND runs.open_children + u.born = 0 THEN ?2 ELSE u.due_us END, \
      owner = CASE WHEN u.holds OR (u.may_keep AND runs.open_children + u.born = 0) \
        THEN runs.owner END, \
      token = runs.token + (u.may_keep AND runs.open_children + u.born = 0), \
      open_children = runs.open_children + u.born, task_id = u.task_id, verdict = u.verdict, \
      ended = u.ended, ended_us = u.ended_us, proof_sequence = u.proof_sequence, \
      closed_state = u.closed_state, rotation_role = u.rotation_role, body = u.body \
    FROM u WHERE runs.id = u.id AND runs.owner = ?1 AND runs.token = u.token \
      AND runs.step = u.step - 1 \
    RETURNING id, token, stage = 'gathering' AND owner IS NOT NULL AS back";

const COUNT_DOWN_LEASED: &str = "WITH u (id, ended) AS (VALUES {rows}) \
    UPDATE runs SET open_children = open_children - u.ended \
    FROM u WHERE runs.id = u.id AND runs.owner IS NOT NULL";

/// A row that comes back with an owner is this worker's from now on; a token of 0 marks the others.
const COUNT_DOWN_FREE: &str = "WITH u (id, ended, room) AS (VALUES {rows}) \
    UPDATE runs SET open_children = open_children - u.ended, \
      due_us = CASE WHEN open_children = u.ended AND stage = 'gathering' THEN ?2 ELSE due_us END, \
      owner = CASE WHEN open_children = u.ended AND stage = 'gathering' AND u.room THEN ?1 END, \
      token = token + (open_children = u.ended AND stage = 'gathering' AND u.room) \
    FROM u WHERE runs.id = u.id AND runs.owner IS NULL \
    RETURNING id, CASE WHEN owner IS NULL THEN 0 ELSE token END AS token, open_children, task_id, \
      body";
