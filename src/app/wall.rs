//! The real clock and the real chance, for the whole program.
//!
//! Owns the only reads of the machine's clock and of random ids. The clock never goes back, not even
//! when the machine's does: a settlement is never older than the claim that it follows.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use uuid::Uuid;

use crate::domain::time::{Chance, Clock, Timestamp};

/// The machine's clock, cut to microseconds as the databases keep them.
#[derive(Debug)]
pub struct WallClock {
    /// The latest answer, in microseconds since 1970.
    latest: AtomicI64,
}

/// The machine's random numbers.
#[derive(Debug, Clone, Copy)]
pub struct RealChance;

/// The clock of this program; make one and share it.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(WallClock {
        latest: AtomicI64::new(i64::MIN),
    })
}

/// The chance of this program.
pub fn chance() -> Arc<dyn Chance> {
    Arc::new(RealChance)
}

impl WallClock {
    /// The answer to a reading of the machine's clock.
    fn at_least(&self, microseconds: i64) -> Timestamp {
        let before = self.latest.fetch_max(microseconds, Ordering::SeqCst);
        Timestamp::from_microsecond(before.max(microseconds)).unwrap_or(Timestamp::MAX)
    }
}

impl Clock for WallClock {
    // The one place: everything else is handed this clock.
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> Timestamp {
        self.at_least(Timestamp::now().as_microsecond())
    }
}

impl Chance for RealChance {
    fn fraction(&self) -> f64 {
        rand::random::<f64>()
    }

    // The one place: everything else is handed this chance.
    #[allow(clippy::disallowed_methods)]
    fn id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_whose_clock_is_set_back_does_not_take_time_back() {
        let clock = WallClock {
            latest: AtomicI64::new(i64::MIN),
        };
        assert_eq!(clock.at_least(2_000_000).as_second(), 2);
        assert_eq!(clock.at_least(1_000_000).as_second(), 2);
        assert_eq!(clock.at_least(3_000_000).as_second(), 3);
    }

    #[test]
    fn fractions_are_below_one_and_ids_differ() {
        let chance = chance();
        assert!((0.0..1.0).contains(&chance.fraction()));
        assert_ne!(chance.id(), chance.id());
    }
}
