//! What a guard notices of its connector's health.
//!
//! Owns the tally of runs' calls, in memory until a worker tells the store, and the trouble of the last
//! survey, under which reads are not believed. Judges no health; that is `domain::health`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::health::{Tally, Trouble, seconds_between};
use crate::domain::outcome::FailureClass;
use crate::domain::time::{Clock, Timestamp};
use crate::domain::verdict::Completeness;

/// Listings of runs are kept as inventory this often at most.
const KEPT_EVERY_SECONDS: u64 = 30;

/// The vital signs of one connector, as this worker sees them.
#[derive(Debug)]
pub struct Vitals {
    clock: Arc<dyn Clock>,
    /// What calls came to since somebody last asked.
    tally: Mutex<Tally>,
    /// Why reads are not believed at present, if they are not.
    distrust: Mutex<Option<Trouble>>,
    /// When a listing of a run was last kept as inventory.
    kept: Mutex<Option<Timestamp>>,
}

impl Vitals {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            tally: Mutex::default(),
            distrust: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// What calls of runs came to since this was last asked.
    pub fn take_tally(&self) -> Tally {
        std::mem::take(&mut *lock(&self.tally))
    }

    /// From now on reads are believed only as far as this trouble of the last survey allows.
    pub fn set_distrust(&self, trouble: Option<Trouble>) {
        *lock(&self.distrust) = trouble;
    }

    /// What a read has shown, as far as it is believed at present: while the connector is drifted,
    /// nothing that it does not show is thereby absent.
    pub fn believed(&self, seen: Completeness) -> Completeness {
        lock(&self.distrust)
            .as_ref()
            .map_or(seen, |why| why.believed(seen))
    }

    /// Whether a run's listing is worth keeping as inventory. In a mass departure each discovery lists
    /// the same accounts; writing them down each time would cost more than the departures.
    pub fn is_worth_keeping(&self) -> bool {
        let now = self.clock.now();
        let mut kept = lock(&self.kept);
        let fresh = kept.is_some_and(|last| seconds_between(last, now) < KEPT_EVERY_SECONDS);
        if !fresh {
            *kept = Some(now);
        }
        !fresh
    }

    /// A call of a run came to an end.
    pub(super) fn note(&self, writes: bool, failed: Option<FailureClass>) {
        lock(&self.tally).note(self.clock.now(), writes, failed);
    }

    /// An account was deleted.
    pub(super) fn deleted(&self) {
        lock(&self.tally).deleted += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
