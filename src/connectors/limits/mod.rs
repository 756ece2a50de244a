//! How hard a target is pressed, and when it is left alone.
//!
//! Owns one connector's concurrency, token bucket and breaker, so that a slow or dead target costs
//! nobody but itself (requirement B4). Waits here are short and bounded; whatever needs longer goes
//! back to the engine as a failure with `retry_after`, because real waiting is durable.

mod breaker;
mod limiter;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::Clock;

pub(super) use breaker::Breaker;
pub(super) use limiter::Limiter;

/// Most items of one list; whoever sends more floods, and is not read on.
pub(super) const MOST_ITEMS: u64 = 1_000_000;
/// Most bytes of one list, all its pages together.
pub(super) const MOST_BYTES: usize = 256 << 20;

/// The brakes of one connector.
#[derive(Debug)]
pub(super) struct Brakes {
    slots: Semaphore,
    wait_for_slot: Duration,
    pub(super) limiter: Limiter,
    breaker: Breaker,
    clock: Arc<dyn Clock>,
}

impl Brakes {
    pub(super) fn new(limits: &super::manifest::Limits, clock: Arc<dyn Clock>) -> Self {
        Self {
            slots: Semaphore::new(limits.concurrency as usize),
            wait_for_slot: Duration::from_secs(limits.timeout_seconds),
            limiter: Limiter::new(limits.requests_per_second, Arc::clone(&clock)),
            breaker: Breaker::new(limits.breaker_failures, limits.breaker_pause_seconds),
            clock,
        }
    }

    /// A place for one call.
    ///
    /// # Errors
    /// `unreachable` while the breaker is open, `rate_limited` when no place became free in time.
    pub(super) async fn enter(&self) -> Result<SemaphorePermit<'_>, Failure> {
        // Looked at first, so that calls to a dead target do not queue up only to be turned away.
        self.breaker.peek(self.clock.now())?;
        let slot = tokio::time::timeout(self.wait_for_slot, self.slots.acquire()).await;
        let Ok(Ok(slot)) = slot else {
            return Err(Failure::new(
                FailureClass::RateLimited,
                "CB-GUARD-8",
                "every call that the target may have at once is under way",
            )
            .retry_after(Some(1)));
        };
        self.breaker.admit(self.clock.now())?;
        Ok(slot)
    }

    /// Whether the target is left alone at the moment.
    pub(super) fn is_open(&self) -> bool {
        self.breaker.peek(self.clock.now()).is_err()
    }

    /// Tells the breaker how a call ended.
    pub(super) fn note(&self, class: Option<FailureClass>) {
        self.breaker.note(class, self.clock.now());
    }
}
