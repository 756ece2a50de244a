//! Runs that cannot go on for a fault of the program or of what it reads.
//!
//! Owns for how long each is left alone: longer each time, so that those that never will go on cost
//! next to nothing, and no longer than minutes, so that a corrected version takes them up soon. What is
//! counted is this worker's; another begins at the shortest pause.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::id::RunId;
use crate::domain::time::{Timestamp, after};

/// The first pause.
const FIRST_SECONDS: u64 = 2;
/// No pause is longer.
const LONGEST_SECONDS: u64 = 300;

/// How often in a row each could not go on, and until when it was left alone.
#[derive(Debug, Default)]
pub(super) struct Stalled(Mutex<HashMap<RunId, (u32, Timestamp)>>);

impl Stalled {
    /// Until when a run is left alone that could not go on now. A `passing` reason, such as a store that is
    /// away, does not count.
    pub(super) fn until(&self, run: RunId, passing: bool, now: Timestamp) -> Timestamp {
        if passing {
            return after(now, FIRST_SECONDS);
        }
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that another worker has seen to, or that is over.
        runs.retain(|_, (_, until)| after(*until, LONGEST_SECONDS) > now);
        let (times, until) = runs.entry(run).or_insert((0, now));
        let pause = FIRST_SECONDS << (*times).min(8);
        *times += 1;
        *until = after(now, pause.min(LONGEST_SECONDS));
        *until
    }

    /// It went on.
    pub(super) fn goes_on(&self, run: RunId) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.remove(&run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b4_a_run_that_cannot_go_on_is_tried_later_each_time_and_soon_where_it_passes() {
        let stalled = Stalled::default();
        let run = RunId(uuid::Uuid::from_u128(1));
        let mut now = Timestamp::UNIX_EPOCH;
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let until = stalled.until(run, false, now);
            pauses.push(until.duration_since(now).as_secs());
            now = until;
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(stalled.until(run, true, now), after(now, 2));
        stalled.goes_on(run);
        assert_eq!(stalled.until(run, false, now), after(now, 2));
    }
}
