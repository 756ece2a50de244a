//! Overdue tasks, pauses, and brakes.
//!
//! A task whose run is leased is left to its worker, which holds a copy of it, and is found again by
//! the next look.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use crate::domain::brake::{self, Ask, Stop};
use crate::domain::id::{AccountId, ConnectorName, WorkerId};
use crate::domain::pause::{Pause, PauseChange, Pauses};
use crate::domain::task::FallbackTask;
use crate::domain::time::Timestamp;
use crate::store::Stored;
use crate::store::audit::Notes;
use crate::store::people::{EscalateFn, Paused, People, RemindFn, account_of};
use crate::store::row::{PauseRow, RunRow, TaskRow};
use crate::store::shape::{json, micros};

use super::funnel::Funnel;
use super::{SqliteStore, audit, desks, outbox, tasks};

#[async_trait]
impl People for SqliteStore {
    async fn escalate(
        &self,
        limit: u32,
        now: Timestamp,
        decide: EscalateFn<'_>,
    ) -> Stored<Vec<FallbackTask>> {
        if !any_due(&self.funnel, now).await? {
            return Ok(Vec::new());
        }
        let mut writer = self.funnel.writer().await;
        let mut tx = writer.begin("escalate").await?;
        let rows = sqlx::query_as::<_, TaskRow>(
            "SELECT t.id, t.body FROM tasks t JOIN runs r ON r.id = t.run_id \
             WHERE t.chase_us <= ? AND r.owner IS NULL ORDER BY t.chase_us LIMIT ?",
        )
        .bind(micros(now))
        .bind(limit + self.funnel.aside.count("tasks"))
        .fetch_all(&mut *tx)
        .await?;
        let read = self.funnel.aside.tasks(&rows)?;
        let escalated: Vec<_> = read.iter().filter_map(decide).collect();
        let changed: Vec<_> = escalated.iter().map(|one| &one.task).collect();
        tasks::save(&mut tx, &changed).await?;
        for one in &escalated {
            if let Some(desk) = &one.copy_at {
                desks::begin(&mut tx, one.task.id, desk, one.task.state.as_str()).await?;
            }
        }
        let messages = escalated.iter().filter_map(|one| one.message.as_ref());
        outbox::insert(&mut tx, &messages.collect::<Vec<_>>()).await?;
        let mut notes = Notes::default();
        for task in changed {
            notes.task(task)?;
        }
        let tip = audit::write(&mut tx, &self.funnel.strands, &notes).await?;
        tx.commit().await?;
        self.funnel.strands.give(tip);
        Ok(escalated.into_iter().map(|one| one.task).collect())
    }

    async fn pauses(&self) -> Stored<Pauses> {
        let mut reader = self.funnel.reader().await?;
        let rows = sqlx::query_as::<_, PauseRow>(IN_FORCE)
            .fetch_all(&mut *reader)
            .await?;
        PauseRow::all(rows)
    }

    async fn remind(&self, decide: RemindFn<'_>) -> Stored<Vec<Pause>> {
        // A look before the transaction, which others would wait for.
        if self
            .pauses()
            .await?
            .0
            .iter()
            .all(|one| decide(one).is_none())
        {
            return Ok(Vec::new());
        }
        let mut writer = self.funnel.writer().await;
        let mut tx = writer.begin("remind").await?;
        let rows = sqlx::query_as::<_, PauseRow>(IN_FORCE)
            .fetch_all(&mut *tx)
            .await?;
        let pauses = PauseRow::all(rows)?.0;
        let reminded: Vec<_> = pauses.iter().filter_map(decide).collect();
        let mut notes = Notes::default();
        for one in &reminded {
            sqlx::query("UPDATE pauses SET escalation = ? WHERE number = ?")
                .bind(json(&one.pause.escalation)?)
                .bind(one.pause.number.cast_signed())
                .execute(&mut *tx)
                .await?;
            notes.reminder(&one.pause)?;
        }
        let messages = reminded.iter().filter_map(|one| one.message.as_ref());
        outbox::insert(&mut tx, &messages.collect::<Vec<_>>()).await?;
        let tip = audit::write(&mut tx, &self.funnel.strands, &notes).await?;
        tx.commit().await?;
        self.funnel.strands.give(tip);
        Ok(reminded.into_iter().map(|one| one.pause).collect())
    }

    async fn know_pauses(&self, worker: WorkerId, up_to: u64) -> Stored<()> {
        let mut writer = self.funnel.writer().await;
        sqlx::query("UPDATE workers SET pauses_known = ? WHERE id = ?")
            .bind(up_to.cast_signed())
            .bind(worker.0)
            .execute(writer.alone())
            .await?;
        Ok(())
    }

    async fn unaware_of(&self, pause: u64, now: Timestamp) -> Stored<u64> {
        let mut reader = self.funnel.reader().await?;
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM workers WHERE pauses_known < ? AND expires_us >= ?",
        )
        .bind(pause.cast_signed())
        .bind(micros(now))
        .fetch_one(&mut *reader)
        .await?;
        Ok(count.cast_unsigned())
    }

    async fn due_at(&self, connectors: &[ConnectorName], now: Timestamp) -> Stored<Vec<Paused>> {
        let mut reader = self.funnel.reader().await?;
        let mut paused = Vec::new();
        for connector in connectors {
            let runs: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM runs WHERE owner IS NULL AND due_us <= ? AND connector = ?",
            )
            .bind(micros(now))
            .bind(connector.as_str())
            .fetch_one(&mut *reader)
            .await?;
            if runs > 0 {
                paused.push(Paused {
                    connector: connector.clone(),
                    runs: runs.cast_unsigned(),
                });
            }
        }
        Ok(paused)
    }

    async fn permit(&self, asks: &[Ask], now: Timestamp) -> Stored<Option<Stop>> {
        let mut writer = self.funnel.writer().await;
        let mut tx = writer.begin("permit").await?;
        let mut begins = Vec::new();
        for (place, ask) in asks.iter().enumerate() {
            if brake::is_first(asks, place) {
                clear_permits(&mut tx, ask, now).await?;
            }
            match one_permit(&mut tx, ask, now).await? {
                Permit::Passed => {}
                Permit::Begins => begins.push(ask),
                Permit::Stopped(stop) => {
                    tx.rollback().await?;
                    return Ok(Some(stop));
                }
            }
        }
        // Not before all of one name are judged: the first would let the next pass.
        for ask in begins {
            sqlx::query(
                "INSERT INTO permits (brake, holder, at_us) VALUES (?,?,?) \
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

    async fn removals_under_way(&self, connector: &ConnectorName) -> Stored<Vec<AccountId>> {
        let mut reader = self.funnel.reader().await?;
        let rows = sqlx::query_as::<_, RunRow>(
            "SELECT id, body FROM runs WHERE connector = ? AND kind = 'removal' AND ended IS NULL",
        )
        .bind(connector.as_str())
        .fetch_all(&mut *reader)
        .await?;
        let mut accounts = Vec::new();
        for row in &rows {
            accounts.extend(account_of(row.run()?));
        }
        Ok(accounts)
    }
}

/// What one brake says.
enum Permit {
    /// It counts already.
    Passed,
    /// It may, and is to be counted.
    Begins,
    Stopped(Stop),
}

async fn clear_permits(tx: &mut SqliteConnection, ask: &Ask, now: Timestamp) -> Stored<()> {
    sqlx::query("DELETE FROM permits WHERE brake = ? AND at_us <= ?")
        .bind(&ask.brake)
        .bind(micros(brake::since(&ask.limit, now)))
        .execute(tx)
        .await?;
    Ok(())
}

async fn one_permit(tx: &mut SqliteConnection, ask: &Ask, now: Timestamp) -> Stored<Permit> {
    let (begun, passed): (i64, bool) = sqlx::query_as(
        "SELECT count(*), coalesce(max(holder = ?2), 0) FROM permits WHERE brake = ?1 AND at_us > ?3",
    )
    .bind(&ask.brake)
    .bind(&ask.holder)
    .bind(micros(brake::since(&ask.limit, now)))
    .fetch_one(&mut *tx)
    .await?;
    if passed {
        return Ok(Permit::Passed);
    }
    let population = match &ask.known_at {
        Some(connector) => {
            let known: i64 =
                sqlx::query_scalar("SELECT count(*) FROM known_accounts WHERE connector = ?")
                    .bind(connector.as_str())
                    .fetch_one(&mut *tx)
                    .await?;
            (known > 0).then_some(known.cast_unsigned())
        }
        None => ask.population,
    };
    if let Err(stop) = brake::judge(ask, begun.cast_unsigned(), population) {
        return Ok(Permit::Stopped(stop));
    }
    Ok(Permit::Begins)
}

/// A look before the transaction: a quiet worker costs one small read.
async fn any_due(funnel: &Funnel, now: Timestamp) -> Stored<bool> {
    let mut reader = funnel.reader().await?;
    Ok(
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tasks WHERE chase_us <= ?)")
            .bind(micros(now))
            .fetch_one(&mut *reader)
            .await?,
    )
}

/// Begins or ends a pause, with the wish that asks for it.
pub(super) async fn change(
    tx: &mut SqliteConnection,
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
        .fetch_optional(tx)
        .await?;
    if let Some(number) = number {
        notes.pause(number, change);
    }
    Ok(())
}

/// Nothing where one is in force already.
const BEGIN: &str = "INSERT INTO pauses (connector, paused_by, paused_us, reason) \
    VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING RETURNING number";
/// Nothing where none is in force.
const END: &str = "UPDATE pauses SET resumed_by = ?2, resumed_us = ?3, resumed_reason = ?4 \
    WHERE connector = ?1 AND resumed_us IS NULL RETURNING number";
/// The pauses in force.
const IN_FORCE: &str = "SELECT number, connector, paused_by, paused_us, reason, escalation \
    FROM pauses WHERE resumed_us IS NULL ORDER BY number";
