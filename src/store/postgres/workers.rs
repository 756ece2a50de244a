//! Workers and their leases.
//!
//! An enlisted worker's own connection holds an advisory lock; the server lets go of it the moment
//! the process dies, so others notice at once and not only when the lease runs out. A worker that
//! can't know what its last commit leased to it says so here and is buried by its own heartbeat.
//! When a lease is over is told by the database's clock alone: machines' clocks differ.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::domain::id::WorkerId;
use crate::domain::time::Timestamp;
use crate::store::shape::{instant, micros};
use crate::store::{StoreError, Stored};

use super::funnel::{Funnel, within};

/// How long a heartbeat may take before its connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connections that hold the locks of this process's workers.
#[derive(Debug, Default)]
pub(super) struct Roster {
    held: Mutex<HashMap<WorkerId, PgConnection>>,
    /// Workers that lost the answer to a commit which may have leased runs to them.
    doubtful: Mutex<HashSet<WorkerId>>,
}

impl Roster {
    /// Notes the worker if the answer to a leasing call was lost: runs may be leased to it that it
    /// does not know of, and nobody would ever work on them.
    pub(super) fn watch<T>(&self, worker: WorkerId, result: &Stored<T>) {
        if matches!(result, Err(StoreError::Unavailable(_))) {
            self.doubtful
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(worker);
        }
    }

    /// Takes the connection out while it is used: one heartbeat never waits for another worker's, and
    /// one that is cancelled leaves no half-read connection.
    fn take(&self, worker: WorkerId) -> Option<PgConnection> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&worker)
    }

    fn put(&self, worker: WorkerId, connection: PgConnection) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(worker, connection);
    }

    fn is_doubtful(&self, worker: WorkerId) -> bool {
        self.doubtful
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&worker)
    }

    fn forget(&self, worker: WorkerId) {
        self.doubtful
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&worker);
    }
}

/// The worker's place among PostgreSQL's advisory locks: both halves of its id.
fn lock_key(worker: WorkerId) -> i64 {
    let (high, low) = worker.0.as_u64_pair();
    (high ^ low).cast_signed()
}

/// Opens the worker's own connection with its lock.
async fn hold(funnel: &Funnel, worker: WorkerId) -> Stored<PgConnection> {
    let mut connection = funnel.connect().await?;
    let got: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(lock_key(worker))
        .fetch_one(&mut connection)
        .await?;
    if !got {
        // The server has not noticed yet that an older connection of this worker is gone; until it
        // does, that one speaks for the worker, and the lease does in any case.
        tracing::debug!(%worker, "the worker's lock is still held by its lost connection");
    }
    Ok(connection)
}

pub(super) async fn enlist(
    funnel: &Funnel,
    roster: &Roster,
    worker: WorkerId,
    now: Timestamp,
    lease_seconds: u64,
) -> Stored<()> {
    let lease_us = i64::try_from(lease_seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000);
    within(async {
        // The lock before the row: a row without a lock is a dead worker.
        let mut connection = hold(funnel, worker).await?;
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO workers (id, lock_key, enlisted_us, lease_us, expires_us) \
             VALUES ($1, $2, $3, $4, $4 + {CLOCK}) ON CONFLICT (id) DO UPDATE SET \
             lease_us = excluded.lease_us, expires_us = excluded.expires_us",
        )))
        .bind(worker.0)
        .bind(lock_key(worker))
        .bind(micros(now))
        .bind(lease_us)
        .execute(&mut connection)
        .await?;
        roster.put(worker, connection);
        Ok(())
    })
    .await
}

pub(super) async fn heartbeat(funnel: &Funnel, roster: &Roster, worker: WorkerId) -> Stored<bool> {
    if roster.is_doubtful(worker) {
        discharge(funnel, roster, worker).await?;
        return Ok(false);
    }
    let beat = async {
        let mut connection = match roster.take(worker) {
            Some(connection) => connection,
            None => hold(funnel, worker).await?,
        };
        let done = sqlx::query(AssertSqlSafe(format!(
            "UPDATE workers SET expires_us = lease_us + {CLOCK} WHERE id = $1"
        )))
        .bind(worker.0)
        .execute(&mut connection)
        .await?;
        let alive = done.rows_affected() == 1;
        if alive {
            roster.put(worker, connection);
        }
        Ok(alive)
    };
    match tokio::time::timeout(PATIENCE, beat).await {
        Ok(alive) => alive,
        Err(late) => Err(StoreError::Unavailable(Box::new(late))),
    }
}

/// By the clock on the wall: a transaction's own time is that of its begin.
pub(super) async fn clock(funnel: &Funnel) -> Stored<Timestamp> {
    let mut own = funnel.own("clock").await?;
    let read = sqlx::query_scalar::<_, i64>(AssertSqlSafe(format!("SELECT {CLOCK}")));
    let read = within(async { Ok(read.fetch_one(&mut *own).await?) }).await;
    instant(own.ended(read)?, "the database", "clock", uuid::Uuid::nil())
}

pub(super) async fn discharge(funnel: &Funnel, roster: &Roster, worker: WorkerId) -> Stored<()> {
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("discharge").await?;
        let discharged = within(try_discharge(&mut lane, worker)).await;
        if let Some(discharged) = lane.done(discharged, &mut tries) {
            discharged?;
            break;
        }
    }
    roster.forget(worker);
    if let Some(connection) = roster.take(worker) {
        // The lock goes with the connection; that it can't say good-bye changes nothing.
        let _ = tokio::time::timeout(PATIENCE, connection.close()).await;
    }
    Ok(())
}

async fn try_discharge(connection: &mut PgConnection, worker: WorkerId) -> Stored<()> {
    let mut tx = connection.begin().await?;
    sqlx::query("DELETE FROM workers WHERE id = $1")
        .bind(worker.0)
        .execute(&mut *tx)
        .await?;
    // Under a lease `due_us` lies in the past: the runs can be claimed at once. The token counts up,
    // so that a settlement which is still on its way comes too late.
    sqlx::query("UPDATE runs SET owner = NULL, token = token + 1 WHERE owner = $1")
        .bind(worker.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query("UPDATE outbox SET owner = NULL WHERE owner = $1 AND published_us IS NULL")
        .bind(worker.0)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

pub(super) async fn bury(funnel: &Funnel, by: WorkerId) -> Stored<u64> {
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("bury").await?;
        let buried = within(try_bury(&mut lane, by)).await;
        if let Some(buried) = lane.done(buried, &mut tries) {
            return buried;
        }
    }
}

/// The database's clock, in microseconds since 1970.
pub(super) const CLOCK: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
/// A worker is dead when its lease is over or nobody holds its lock. The lock that is tried here is
/// let go at the end of the transaction.
const DEAD: &str = "id <> $1 AND (expires_us < $CLOCK OR pg_try_advisory_xact_lock(lock_key))";
const ANY_DEAD: &str = "SELECT EXISTS (SELECT 1 FROM workers WHERE $DEAD) \
    OR EXISTS (SELECT 1 FROM runs WHERE owner IS NOT NULL \
      AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = runs.owner)) \
    OR EXISTS (SELECT 1 FROM outbox WHERE published_us IS NULL AND owner IS NOT NULL \
      AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = outbox.owner))";

async fn try_bury(connection: &mut PgConnection, by: WorkerId) -> Stored<u64> {
    let dead = DEAD.replace("$CLOCK", CLOCK);
    let any: bool = sqlx::query_scalar(AssertSqlSafe(ANY_DEAD.replace("$DEAD", &dead)))
        .bind(by.0)
        .fetch_one(&mut *connection)
        .await?;
    if !any {
        return Ok(0);
    }
    let mut tx = connection.begin().await?;
    sqlx::query(AssertSqlSafe(format!("DELETE FROM workers WHERE {dead}")))
        .bind(by.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "UPDATE outbox SET owner = NULL WHERE published_us IS NULL AND owner IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = outbox.owner)",
    )
    .execute(&mut *tx)
    .await?;
    // As in a discharge: `due_us` lies in the past, and this machine's clock may lie in the future.
    let freed = sqlx::query(
        "UPDATE runs SET owner = NULL, token = token + 1 WHERE owner IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = runs.owner)",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(freed.rows_affected())
}
