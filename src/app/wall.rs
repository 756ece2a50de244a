//! The real clock and the real chance, for the whole program.
//!
//! Owns the only reads of the machine's clock and of random ids. The clock does not go back when the
//! machine's does, so that a settlement is never older than the claim that it follows; but for one that
//! was wrong from the start, which goes back once the database's agrees with the machine's: until then
//! nothing was begun by it. It is held against the time that has really passed: a machine that is set forward is not believed at once, so
//! that no departure begins before its time because of a slip that is soon put right; and not at all
//! while the database's clock goes on as if nothing had been.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use crate::domain::time::{Chance, Clock, Timestamp};

/// A reading that is farther than this, in microseconds, from what it should be has jumped.
const JUMP_US: i64 = 5_000_000;
/// A jump that stays for so long is the truth: the machine slept, or was wrong before.
const STAYS_US: i64 = 30_000_000;
/// What another clock said longer ago contradicts nothing any more.
const HEARD_US: i64 = 300_000_000;

/// The machine's clock, cut to microseconds as the databases keep them.
#[derive(Debug)]
pub struct WallClock {
    /// From here on time passes that is only counted.
    begun: Instant,
    seen: Mutex<Option<Seen>>,
}

/// What was read and answered so far; all in microseconds.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The latest reading that was believed, since 1970, and when it was taken.
    reading: (i64, i64),
    /// Since when readings have been elsewhere.
    jumped: Option<i64>,
    /// The latest answer, since 1970, and when it was given.
    answer: (i64, i64),
    /// What another clock said last, since 1970, and when that was.
    heard: Option<(i64, i64)>,
    /// It is told already that readings are not believed, though they stay elsewhere.
    denied: bool,
}

impl Seen {
    /// What the other clock says now, if it was heard lately.
    fn there(&self, passed: i64) -> Option<i64> {
        let heard = self.heard.filter(|(_, at)| passed - at < HEARD_US);
        heard.map(|(there, at)| there + (passed - at))
    }

    /// True when the other clock agrees with the time that was counted and not with this reading.
    fn contradicts(&self, reading: i64, counted: i64, passed: i64) -> bool {
        self.there(passed).is_some_and(|there| {
            let agrees = |time: i64| (time - there).abs() <= JUMP_US;
            agrees(counted) && !agrees(reading)
        })
    }
}

/// The machine's random numbers.
#[derive(Debug, Clone, Copy)]
pub struct RealChance;

/// The clock of this program; make one and share it.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(WallClock::new())
}

/// The chance of this program.
pub fn chance() -> Arc<dyn Chance> {
    Arc::new(RealChance)
}

impl WallClock {
    // Counts what passes between two readings, and nothing else.
    #[allow(clippy::disallowed_methods)]
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            seen: Mutex::new(None),
        }
    }

    /// The answer to a reading of the machine's clock `passed` microseconds after the begin.
    fn answer(&self, reading: i64, passed: i64) -> Timestamp {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.get_or_insert(Seen {
            reading: (reading, passed),
            jumped: None,
            answer: (reading, passed),
            heard: None,
            denied: false,
        });
        let counted = known.reading.0 + (passed - known.reading.1);
        let off = reading - counted;
        let stays = |since: i64| passed - since >= STAYS_US;
        let stays = known.jumped.is_some_and(stays);
        let denied = stays && known.contradicts(reading, counted, passed);
        if denied && !known.denied {
            tracing::error!(
                seconds = off / 1_000_000,
                "the machine's clock stays where it jumped, and the database's says otherwise: not believed"
            );
        }
        known.denied = denied;
        let time = if off.abs() <= JUMP_US || (stays && !denied) {
            if known.jumped.take().is_some() && off.abs() > JUMP_US {
                tracing::error!(
                    seconds = off / 1_000_000,
                    "the machine's clock jumped and stays there: it is believed"
                );
            }
            known.reading = (reading, passed);
            reading
        } else {
            if known.jumped.is_none() {
                tracing::error!(
                    seconds = off / 1_000_000,
                    "the machine's clock jumped: it is believed if it stays there"
                );
            }
            known.jumped.get_or_insert(passed);
            counted
        };
        // Behind the latest answer time goes on at half its pace, until the machine has caught up.
        let (latest, at) = known.answer;
        let was_wrong = known.there(passed).is_some_and(|there| {
            (time - there).abs() <= JUMP_US && latest + (passed - at) - there > JUMP_US
        });
        if was_wrong {
            tracing::warn!(
                seconds = (latest - time) / 1_000_000,
                "the clock was ahead, as the database's says: it goes back"
            );
        }
        let time = if time >= latest || was_wrong {
            time
        } else {
            latest + (passed - at).max(0) / 2
        };
        known.answer = (time, passed);
        Timestamp::from_microsecond(time).unwrap_or(Timestamp::MAX)
    }
}

impl WallClock {
    /// What another clock said `passed` microseconds after the begin.
    fn hear(&self, there: i64, passed: i64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.as_mut() {
            seen.heard = Some((there, passed));
        }
    }

    fn passed(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl Clock for WallClock {
    // The one place: everything else is handed this clock.
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> Timestamp {
        self.answer(Timestamp::now().as_microsecond(), self.passed())
    }

    #[allow(clippy::disallowed_methods)]
    fn reading(&self) -> Timestamp {
        Timestamp::now()
    }

    fn heed(&self, there: Timestamp) {
        self.hear(there.as_microsecond(), self.passed());
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

    /// The answers to readings, both in seconds; each reading with what has passed by then.
    fn answers<const N: usize>(readings: [(i64, i64); N]) -> [i64; N] {
        let clock = WallClock::new();
        readings.map(|(reading, passed)| {
            let answer = clock.answer(reading * 1_000_000, passed * 1_000_000);
            answer.as_second()
        })
    }

    #[test]
    fn a_machine_whose_clock_is_set_back_does_not_take_time_back() {
        assert_eq!(answers([(102, 0), (101, 0), (103, 1)]), [102, 102, 103]);
        // Nor does time stand still for as long as it was set back.
        let set_back = [(1000, 0), (400, 0), (420, 20), (460, 60), (480, 80)];
        assert_eq!(answers(set_back), [1000, 1000, 1020, 1040, 1050]);
    }

    #[test]
    fn b7_a_machine_whose_clock_slips_forward_begins_nothing_before_its_time() {
        let slipped = [(100, 0), (86_500, 1), (86_510, 11), (120, 20), (121, 21)];
        assert_eq!(answers(slipped), [100, 101, 111, 120, 121]);
    }

    #[test]
    fn a_machine_that_slept_is_believed_when_its_clock_stays() {
        let slept = [(100, 0), (5000, 1), (5029, 30), (5030, 31), (5031, 32)];
        assert_eq!(answers(slept), [100, 101, 130, 5030, 5031]);
    }

    #[test]
    fn b7_a_jump_that_the_databases_clock_contradicts_costs_no_idle_time() {
        let second = 1_000_000;
        let clock = WallClock::new();
        let answer = |reading: i64, passed: i64| {
            let answer = clock.answer(reading * second, passed * second);
            answer.as_second()
        };
        let heed = |there: i64, passed: i64| clock.hear(there * second, passed * second);
        // Given a machine that is set forward by a day, for minutes, while the database's clock goes on.
        assert_eq!(answer(100, 0), 100);
        for passed in (10..=600).step_by(10) {
            heed(100 + passed, passed);
            assert_eq!(answer(86_500 + passed, passed), 100 + passed);
        }
        // When it is put right, then nothing has to be waited for.
        assert_eq!(answer(701, 601), 701);
        // A machine that slept is believed: the database's clock says so, too.
        assert_eq!(answer(5000, 602), 702);
        heed(5031, 633);
        assert_eq!(answer(5032, 634), 5032);
        // And one is believed that nobody has contradicted for long.
        assert_eq!(answer(90_000, 635), 5033);
        assert_eq!(
            answer(90_030, 665),
            5063,
            "what was said before still counts"
        );
        assert_eq!(answer(90_400, 1035), 90_400);
    }

    #[test]
    fn b7_a_clock_that_was_ahead_from_the_start_is_right_without_a_new_start() {
        let second = 1_000_000;
        let clock = WallClock::new();
        let answer = |reading: i64, passed: i64| {
            let answer = clock.answer(reading * second, passed * second);
            answer.as_second()
        };
        // Given a machine that is a day ahead when the worker starts, and the database says so.
        assert_eq!(answer(86_500, 0), 86_500);
        clock.hear(110 * second, 10 * second);
        assert_eq!(answer(86_510, 10), 86_510);
        // When it is put right and stays there, then so is the clock.
        assert_eq!(answer(120, 20), 86_520);
        clock.hear(130 * second, 30 * second);
        assert_eq!(answer(151, 51), 151);
        assert_eq!(answer(152, 52), 152);
    }

    #[test]
    fn fractions_are_below_one_and_ids_differ() {
        let chance = chance();
        assert!((0.0..1.0).contains(&chance.fraction()));
        assert_ne!(chance.id(), chance.id());
    }
}
