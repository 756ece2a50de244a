//! Gates that one transaction at a time goes through, and the bell that wakes workers.
//!
//! Owns the numbers of the advisory locks and the name of the notification channel. A gate is tried
//! and never waited for: a worker that is stopped inside must not stop the others.

use sqlx::PgConnection;

use crate::store::Stored;

/// The name space of Clawback's gates ("CLAW").
pub(super) const SPACE: i32 = 0x434c_4157;
/// Admission: events of one case must be decided one after the other.
pub(super) const ADMISSION: i32 = 1;
/// Wishes: those about one task must be carried out in their order.
pub(super) const WISHES: i32 = 2;
/// The outbox: one key must not be split between two publishers.
pub(super) const OUTBOX: i32 = 3;

/// Checkpoints of the log: their windows follow each other.
pub(super) const AUDIT: i32 = 4;

/// The channel on which workers are woken.
pub(super) const CHANNEL: &str = "clawback_work";
/// Ends a statement that leaves something to do.
pub(super) const TELL: &str = "SELECT 1 FROM pg_notify('clawback_work', '')";

/// True when this transaction is inside, until it ends; false when another one is.
pub(super) async fn enter(tx: &mut PgConnection, gate: i32) -> Stored<bool> {
    Ok(
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1, $2)")
            .bind(SPACE)
            .bind(gate)
            .fetch_one(tx)
            .await?,
    )
}
