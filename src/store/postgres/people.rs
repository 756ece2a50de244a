//! Overdue tasks, pauses, and brakes.
//!
//! A task is escalated under the lock of its run, as a settlement would write it; a run that is
//! leased is left to its worker and found again by the next look.

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::domain::brake::{self, Ask, Stop};
use crate::domain::id::{AccountId, ConnectorName, WorkerId};
use crate::domain::pause::{Pause, PauseChange, Pauses};
use crate::domain::task::FallbackTask;
use crate::domain::time::Timestamp;
use crate::store::Stored;
use crate::store::audit::{Notes, Strands};
use crate::store::people::{EscalateFn, Paused, People, RemindFn, account_of};
use crate::store::row::{PauseRow, RunRow, TaskRow};
use crate::store::shape::{json, micros};

use super::batch::Batch;
use super::funnel::{Funnel, within};
use super::{PostgresStore, audit, desks, outbox, tasks, workers};

#[async_trait]
impl People for PostgresStore {
    async fn escalate(
        &self,
        limit: u32,
        now: Timestamp,
        decide: EscalateFn<'_>,
    ) -> Stored<Vec<FallbackTask>> {
        let mut tries = 0;
        loop {
            let mut lane = self.funnel.lane("escalate").await?;
            let escalated = within(try_escalate(&mut lane, &self.funnel, limit, now, decide)).await;
            if let Some(escalated) = lane.done(escalated, &mut tries) {
                return escalated;
            }
        }
    }

    async fn pauses(&self) -> Stored<Pauses> {
        let mut own = self.funnel.own("pauses").await?;
        let rows = sqlx::query_as::<_, PauseRow>(IN_FORCE).fetch_all(&mut *own);
        let rows = within(async { Ok(rows.await?) }).await;
        PauseRow::all(own.ended(rows)?)
    }

    async fn remind(&self, decide: RemindFn<'_>) -> Stored<Vec<Pause>> {
        // A look before the transaction: a quiet worker costs one small read.
        if self
            .pauses()
            .await?
            .0
            .iter()
            .all(|one| decide(one).is_none())
        {
            return Ok(Vec::new());
        }
        let mut tries = 0;
        loop {
            let mut lane = self.funnel.lane("remind").await?;
            let reminded = within(try_remind(&mut lane, &self.funnel.strands, decide)).await;
            if let Some(reminded) = lane.done(reminded, &mut tries) {
                return reminded;
            }
        }
    }

    async fn know_pauses(&self, worker: WorkerId, up_to: u64) -> Stored<()> {
        let mut own = self.funnel.own("know_pauses").await?;
        let known = sqlx::query("UPDATE workers SET pauses_known = $1 WHERE id = $2")
            .bind(up_to.cast_signed())
            .bind(worker.0)
            .execute(&mut *own);
        let known = within(async { Ok(known.await?) }).await;
        own.ended(known).map(drop)
    }

    async fn unaware_of(&self, pause: u64, _now: Timestamp) -> Stored<u64> {
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT count(*) FROM workers WHERE pauses_known < $1 AND expires_us >= {}",
            workers::CLOCK
        )))
        .bind(pause.cast_signed())
        .fetch_one(self.funnel.readers())
        .await?;
        Ok(count.cast_unsigned())
    }

    async fn due_at(&self, connectors: &[ConnectorName], now: Timestamp) -> Stored<Vec<Paused>> {
        let names: Vec<&str> = connectors.iter().map(ConnectorName::as_str).collect();
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT connector, count(*) FROM runs WHERE owner IS NULL AND due_us <= $1 \
             AND connector = ANY($2) GROUP BY connector ORDER BY connector",
        )
        .bind(micros(now))
        .bind(names)
        .fetch_all(self.funnel.readers())
        .await?;
        let paused = rows.into_iter().map(|(connector, runs)| Paused {
            connector: ConnectorName(connector),
            runs: runs.cast_unsigned(),
        });
        Ok(paused.collect())
    }

    async fn permit(&self, asks: &[Ask], now: Timestamp) -> Stored<Option<Stop>> {
        let mut tries = 0;
        loop {
            let mut lane = self.funnel.lane("permit").await?;
            let stopped = within(try_permit(&mut lane, asks, now)).await;
            if let Some(stopped) = lane.done(stopped, &mut tries) {
                return stopped;
            }
        }
    }

    async fn removals_under_way(&self, connector: &ConnectorName) -> Stored<Vec<AccountId>> {
        let mut own = self.funnel.own("removals_under_way").await?;
        let rows = sqlx::query_as::<_, RunRow>(
            "SELECT id, body FROM runs WHERE connector = $1 AND kind = 'removal' AND ended IS NULL",
        )
        .bind(connector.as_str())
        .fetch_all(&mut *own);
        let rows = within(async { Ok(rows.await?) }).await;
        let rows = own.ended(rows)?;
        let mut accounts = Vec::new();
        for row in &rows {
            accounts.extend(account_of(row.run()?));
        }
        Ok(accounts)
    }
}

async fn try_permit(
    connection: &mut PgConnection,
    asks: &[Ask],
    now: Timestamp,
) -> Stored<Option<Stop>> {
    let mut tx = connection.begin().await?;
    let mut begins = Vec::new();
    for (place, ask) in asks.iter().enumerate() {
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('brake/' || $1, 0))")
            .bind(&ask.brake)
            .execute(&mut *tx)
            .await?;
        let since = micros(brake::since(&ask.limit, now));
        if brake::is_first(asks, place) {
            sqlx::query("DELETE FROM permits WHERE brake = $1 AND at_us <= $2")
                .bind(&ask.brake)
                .bind(since)
                .execute(&mut *tx)
                .await?;
        }
        let (begun, passed): (i64, bool) = sqlx::query_as(
            "SELECT count(*), coalesce(bool_or(holder = $2), FALSE) FROM permits \
             WHERE brake = $1 AND at_us > $3",
        )
        .bind(&ask.brake)
        .bind(&ask.holder)
        .bind(since)
        .fetch_one(&mut *tx)
        .await?;
        if passed {
            continue;
        }
        let population = match &ask.known_at {
            Some(connector) => {
                let known: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM known_accounts WHERE connector = $1")
                        .bind(connector.as_str())
                        .fetch_one(&mut *tx)
                        .await?;
                (known > 0).then_some(known.cast_unsigned())
            }
            None => ask.population,
        };
        if let Err(stop) = brake::judge(ask, begun.cast_unsigned(), population) {
            tx.rollback().await?;
            return Ok(Some(stop));
        }
        begins.push(ask);
    }
    // Not before all of one name are judged: the first would let the next pass.
    for ask in begins {
        sqlx::query(
            "INSERT INTO permits (brake, holder, at_us) VALUES ($1, $2, $3) \
             ON CONFLICT (brake, holder) DO UPDATE SET at_us = excluded.at_us",
        )
        .bind(&ask.brake)
        .bind(&ask.holder)
        .bind(micros(now))
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(None)
}

async fn try_escalate(
    connection: &mut PgConnection,
    funnel: &Funnel,
    limit: u32,
    now: Timestamp,
    decide: EscalateFn<'_>,
) -> Stored<Vec<FallbackTask>> {
    let mut tx = connection.begin().await?;
    // Those of leased runs are left out before they are counted: a run that cannot be read stays leased,
    // and enough of them would take the place of all others.
    let due: Vec<Uuid> = sqlx::query_scalar(
        "SELECT t.id FROM tasks t WHERE t.chase_us <= $1 AND EXISTS (SELECT 1 FROM runs r \
           WHERE r.id = ANY (ARRAY[t.run_id]) AND r.owner IS NULL) \
         ORDER BY t.chase_us LIMIT $2",
    )
    .bind(micros(now))
    .bind(i64::from(limit) + i64::from(funnel.aside.count("tasks")))
    .fetch_all(&mut *tx)
    .await?;
    if due.is_empty() {
        tx.rollback().await?;
        return Ok(Vec::new());
    }
    // The run first, then its task: the order in which a settlement writes them.
    let free: Vec<Uuid> = sqlx::query_scalar(
        "SELECT t.id FROM UNNEST($1::uuid[]) AS due (id) JOIN tasks t ON t.id = ANY (ARRAY[due.id]) \
         JOIN runs r ON r.id = ANY (ARRAY[t.run_id]) WHERE r.owner IS NULL \
         FOR UPDATE OF r SKIP LOCKED",
    )
    .bind(&due)
    .fetch_all(&mut *tx)
    .await?;
    let rows = sqlx::query_as::<_, TaskRow>(
        "SELECT id, body FROM tasks WHERE id = ANY($1) AND chase_us <= $2 ORDER BY chase_us FOR UPDATE",
    )
    .bind(&free)
    .bind(micros(now))
    .fetch_all(&mut *tx)
    .await?;
    let read = funnel.aside.tasks(&rows)?;
    let escalated: Vec<_> = read.iter().filter_map(decide).collect();
    let changed: Vec<_> = escalated.iter().map(|one| &one.task).collect();
    let messages: Vec<_> = escalated
        .iter()
        .filter_map(|one| Some((one.task.run.0, one.message.as_ref()?)))
        .collect();
    let mut batch = Batch::default();
    batch.part("nothing", "SELECT 1");
    tasks::write(&mut batch, &changed, "")?;
    outbox::write(&mut batch, &messages, "")?;
    batch.fetch::<(i32,)>(&mut tx, "SELECT 1").await?;
    for one in &escalated {
        if let Some(desk) = &one.copy_at {
            desks::begin(&mut tx, one.task.id, desk, one.task.state.as_str()).await?;
        }
    }
    let mut notes = Notes::default();
    for task in changed {
        notes.task(task)?;
    }
    let tip = audit::write(&mut tx, &funnel.strands, &notes).await?;
    tx.commit().await?;
    funnel.strands.give(tip);
    Ok(escalated.into_iter().map(|one| one.task).collect())
}

async fn try_remind(
    connection: &mut PgConnection,
    strands: &Strands,
    decide: RemindFn<'_>,
) -> Stored<Vec<Pause>> {
    let mut tx = connection.begin().await?;
    // Whoever comes second sees what the first has told.
    let rows = sqlx::query_as::<_, PauseRow>(AssertSqlSafe(format!("{IN_FORCE} FOR UPDATE")))
        .fetch_all(&mut *tx)
        .await?;
    let pauses = PauseRow::all(rows)?.0;
    let reminded: Vec<_> = pauses.iter().filter_map(decide).collect();
    let mut notes = Notes::default();
    for one in &reminded {
        sqlx::query("UPDATE pauses SET escalation = $1 WHERE number = $2")
            .bind(json(&one.pause.escalation)?)
            .bind(one.pause.number.cast_signed())
            .execute(&mut *tx)
            .await?;
        notes.reminder(&one.pause)?;
    }
    let messages = reminded.iter().filter_map(|one| one.message.as_ref());
    // They are no run's, so no run's lock orders them.
    let messages: Vec<_> = messages.map(|message| (Uuid::nil(), message)).collect();
    let mut batch = Batch::default();
    batch.part("nothing", "SELECT 1");
    outbox::write(&mut batch, &messages, "")?;
    batch.fetch::<(i32,)>(&mut tx, "SELECT 1").await?;
    let tip = audit::write(&mut tx, strands, &notes).await?;
    tx.commit().await?;
    strands.give(tip);
    Ok(reminded.into_iter().map(|one| one.pause).collect())
}

/// Begins or ends a pause, with the wish that asks for it.
pub(super) async fn change(
    tx: &mut PgConnection,
    change: &PauseChange,
    notes: &mut Notes,
) -> Stored<()> {
    let (sql, connector, signed) = match change {
        PauseChange::Begin { connector, signed } => (BEGIN, connector, signed),
        PauseChange::End { connector, signed } => (END, connector, signed),
    };
    let number: Option<i64> = sqlx::query_scalar(sql)
        .bind(connector.as_ref().map_or("", ConnectorName::as_str))
        .bind(&signed.by)
        .bind(micros(signed.at))
        .bind(&signed.reason)
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(number) = number {
        notes.pause(number, change);
    }
    // Every worker hears of it with the commit.
    sqlx::query(super::gate::TELL).execute(tx).await?;
    Ok(())
}

/// Nothing where one is in force already.
const BEGIN: &str = "INSERT INTO pauses (connector, paused_by, paused_us, reason) \
    VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING number";
/// Nothing where none is in force.
const END: &str = "UPDATE pauses SET resumed_by = $2, resumed_us = $3, resumed_reason = $4 \
    WHERE connector = $1 AND resumed_us IS NULL RETURNING number";
/// The pauses in force.
const IN_FORCE: &str = "SELECT number, connector, paused_by, paused_us, reason, escalation \
    FROM pauses WHERE resumed_us IS NULL ORDER BY number";
