//! Workers and their leases.
//!
//! One engine process holds a database file, shown by a lock of the operating system that ends with
//! the process; so whoever gets the lock knows that all older leases are dead. Within the process a
//! worker's leases end when it does not renew them.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sqlx::SqliteConnection;

use crate::domain::id::WorkerId;
use crate::domain::time::Timestamp;
use crate::store::shape::micros;
use crate::store::{StoreError, Stored};

use super::funnel::Funnel;

/// The lock beside the database file, while a worker of this process is enlisted.
#[derive(Debug)]
pub(super) struct FileLock {
    path: Option<PathBuf>,
    held: Mutex<Option<File>>,
}

impl FileLock {
    /// For the database at `path`; none for one in memory.
    pub(super) fn beside(path: Option<&Path>) -> Self {
        let path = path.map(|path| {
            let mut name = path.as_os_str().to_owned();
            name.push(".lock");
            PathBuf::from(name)
        });
        Self {
            path,
            held: Mutex::new(None),
        }
    }

    /// True when the lock was taken now, false when it was held already (or none is needed).
    fn take(&self) -> Stored<bool> {
        let Some(path) = &self.path else {
            return Ok(false);
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_some() {
            return Ok(false);
        }
        let away = |error: std::io::Error| StoreError::Unavailable(Box::new(error));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(away)?;
        match file.try_lock() {
            Ok(()) => {
                *held = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path.display().to_string())),
            Err(TryLockError::Error(error)) => Err(away(error)),
        }
    }

    fn give_back(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

pub(super) async fn enlist(
    funnel: &Funnel,
    lock: &FileLock,
    worker: WorkerId,
    now: Timestamp,
    lease_seconds: u64,
) -> Stored<()> {
    let first = lock.take()?;
    let lease_us = i64::try_from(lease_seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000);
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("enlist").await?;
    if first {
        sqlx::query("DELETE FROM workers").execute(&mut *tx).await?;
    }
    sqlx::query(
        "INSERT INTO workers (id, enlisted_us, lease_us, expires_us) VALUES (?,?,?,?) \
         ON CONFLICT (id) DO UPDATE SET lease_us = excluded.lease_us, \
         expires_us = excluded.expires_us",
    )
    .bind(worker.0)
    .bind(micros(now))
    .bind(lease_us)
    .bind(micros(now).saturating_add(lease_us))
    .execute(&mut *tx)
    .await?;
    if first {
        free_orphans(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

pub(super) async fn heartbeat(funnel: &Funnel, worker: WorkerId, now: Timestamp) -> Stored<bool> {
    let mut writer = funnel.writer().await;
    let done = sqlx::query("UPDATE workers SET expires_us = lease_us + ? WHERE id = ?")
        .bind(micros(now))
        .bind(worker.0)
        .execute(writer.alone())
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn discharge(funnel: &Funnel, lock: &FileLock, worker: WorkerId) -> Stored<()> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("discharge").await?;
    sqlx::query("DELETE FROM workers WHERE id = ?")
        .bind(worker.0)
        .execute(&mut *tx)
        .await?;
    // Under a lease `due_us` lies in the past: the runs can be claimed at once.
    sqlx::query("UPDATE runs SET owner = NULL WHERE owner = ?")
        .bind(worker.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query("UPDATE outbox SET owner = NULL WHERE owner = ? AND published_us IS NULL")
        .bind(worker.0)
        .execute(&mut *tx)
        .await?;
    let others: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM workers)")
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    if !others {
        lock.give_back();
    }
    Ok(())
}

pub(super) async fn bury(funnel: &Funnel, by: WorkerId, now: Timestamp) -> Stored<u64> {
    if !any_dead(funnel, by, now).await? {
        return Ok(0);
    }
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("bury").await?;
    sqlx::query("DELETE FROM workers WHERE id <> ? AND expires_us < ?")
        .bind(by.0)
        .bind(micros(now))
        .execute(&mut *tx)
        .await?;
    let freed = free_orphans(&mut tx).await?;
    tx.commit().await?;
    Ok(freed)
}

async fn any_dead(funnel: &Funnel, by: WorkerId, now: Timestamp) -> Stored<bool> {
    let mut reader = funnel.reader().await?;
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM workers WHERE id <> ? AND expires_us < ?) \
         OR EXISTS (SELECT 1 FROM runs WHERE owner IS NOT NULL \
           AND owner NOT IN (SELECT id FROM workers)) \
         OR EXISTS (SELECT 1 FROM outbox WHERE published_us IS NULL AND owner IS NOT NULL \
           AND owner NOT IN (SELECT id FROM workers))",
    )
    .bind(by.0)
    .bind(micros(now))
    .fetch_one(&mut *reader)
    .await?)
}

/// Ends the leases of workers that are no longer on the list. Under a lease `due_us` lies in the past, as in
/// a discharge, and stays: by a clock that is ahead nobody would pick the runs up.
async fn free_orphans(tx: &mut SqliteConnection) -> Stored<u64> {
    sqlx::query(
        "UPDATE outbox SET owner = NULL WHERE published_us IS NULL AND owner IS NOT NULL \
         AND owner NOT IN (SELECT id FROM workers)",
    )
    .execute(&mut *tx)
    .await?;
    let freed = sqlx::query(
        "UPDATE runs SET owner = NULL, token = token + 1 WHERE owner IS NOT NULL \
         AND owner NOT IN (SELECT id FROM workers)",
    )
    .execute(&mut *tx)
    .await?;
    Ok(freed.rows_affected())
}
