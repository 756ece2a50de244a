//! A clock that stands still and a chance that counts, for the tests of the simulated targets.
//!
//! Owns nothing that runs outside tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::time::{Chance, Clock, Timestamp};

#[derive(Debug)]
struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Chance for Counter {
    fn fraction(&self) -> f64 {
        0.5
    }

    fn id(&self) -> uuid::Uuid {
        uuid::Uuid::from_u64_pair(1, self.0.fetch_add(1, Ordering::Relaxed))
    }
}

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(StandingClock)
}

pub(super) fn chance() -> Arc<dyn Chance> {
    Arc::new(Counter::default())
}
