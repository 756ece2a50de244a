//! A bound on how many messages may become dead letters in a while.
//!
//! Owns the sliding window. A source that sends nothing but rubbish would fill the database and
//! hide the leavers among it; at the bound reading holds until the window has moved on, and says
//! so. Does not know messages.

use std::collections::VecDeque;

use crate::domain::time::{Timestamp, after};

/// Dead letters of the last while.
#[derive(Debug)]
pub(super) struct Flood {
    most: usize,
    window_seconds: u64,
    seen: VecDeque<Timestamp>,
}

impl Flood {
    pub(super) fn new(most: u32, window_seconds: u64) -> Self {
        Self {
            most: most as usize,
            window_seconds,
            seen: VecDeque::new(),
        }
    }

    /// Counts `letters` at `now`; the time until which to hold, if the bound is reached.
    pub(super) fn count(&mut self, letters: usize, now: Timestamp) -> Option<Timestamp> {
        let horizon = self.window_seconds;
        while self
            .seen
            .front()
            .is_some_and(|first| after(*first, horizon) <= now)
        {
            self.seen.pop_front();
        }
        self.seen.extend(std::iter::repeat_n(now, letters));
        // Go on when the oldest that keeps the window full has left it.
        let surplus = self.seen.len().checked_sub(self.most)?;
        self.seen.get(surplus).map(|at| after(*at, horizon))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a4_a_flood_stops_at_a_bound_and_goes_on_when_the_window_has_moved() {
        let at = |seconds| after(Timestamp::UNIX_EPOCH, seconds);
        let mut flood = Flood::new(3, 60);
        assert_eq!(flood.count(2, at(0)), None);
        assert_eq!(flood.count(1, at(10)), Some(at(60)));
        assert_eq!(flood.count(0, at(60)), None);
        assert_eq!(flood.count(4, at(61)), Some(at(121)));
        assert_eq!(flood.count(0, at(121)), None);
    }
}
