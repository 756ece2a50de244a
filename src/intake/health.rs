//! How intake is doing, for `/readyz`, metrics and people.
//!
//! Owns figures that the reading thread writes and others read without waiting for it. Ready means
//! that messages can be taken now: polled lately, not held by a store that is away or by a flood, and
//! Kafka in reach (`reach` judges that). Exports nothing itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::time::{Timestamp, after};

use super::reach::{Sign, Trouble, judge};

/// A reader that has not polled for this long is stuck, whatever the reason.
const SILENCE_SECONDS: u64 = 60;
/// Trouble with Kafka is told when it has lasted so long: a restart of brokers is over sooner.
const TROUBLE_SECONDS: u64 = 60;

/// Figures of one intake; shared between its thread and those who ask.
#[derive(Debug, Default)]
pub struct Health {
    figures: Mutex<Figures>,
}

/// What is known at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// When the consumer was last polled.
    pub last_poll: Option<Timestamp>,
    /// When a message last arrived.
    pub last_message: Option<Timestamp>,
    /// Partitions that this process reads, by topic.
    pub assigned: BTreeMap<String, Vec<i32>>,
    /// Messages not yet read, by topic and partition; from librdkafka's statistics.
    pub lag: BTreeMap<(String, i32), i64>,
    /// Why nothing is read at the moment, if so.
    pub held: Option<String>,
    /// What keeps messages from coming, if anything does.
    pub trouble: Option<Trouble>,
    /// Events recorded since start.
    pub recorded: u64,
    /// Repeats since start.
    pub duplicates: u64,
    /// Messages that became dead letters since start, by code.
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// Batches committed since start.
    pub batches: u64,
    /// Messages that the broker deleted before they were read (`CB-INTAKE-16`).
    pub lost: u64,
    /// Assignments at which the store could not be asked for its checkpoints.
    pub unchecked_assignments: u64,
    /// Times that partitions were handed out anew.
    pub rebalances: u64,
    /// Times that a reader that had stopped was made anew.
    pub restarts: u64,
}

impl Figures {
    /// Messages not yet read in all partitions of this process.
    pub fn total_lag(&self) -> i64 {
        self.lag.values().filter(|lag| **lag > 0).sum()
    }

    pub(super) fn note(&mut self, sign: &Sign<'_>, now: Timestamp) {
        self.trouble = judge(self.trouble.take(), sign, now);
    }
}

impl Health {
    /// A copy of all figures.
    pub fn figures(&self) -> Figures {
        self.change(|figures| figures.clone())
    }

    /// Nothing if messages can be taken now, else why not.
    ///
    /// # Errors
    /// The reason, for `/readyz`.
    pub fn ready(&self, now: Timestamp) -> Result<(), String> {
        let figures = self.figures();
        let seconds_since = |at| now.duration_since(at).as_secs();
        match (figures.last_poll, figures.held, figures.trouble) {
            (None, _, _) => Err("intake has not begun to read".to_owned()),
            (Some(at), _, _) if after(at, SILENCE_SECONDS) < now => Err(format!(
                "intake has not polled Kafka for {} s",
                seconds_since(at)
            )),
            (Some(_), Some(why), _) => Err(why),
            (Some(_), None, Some(trouble)) if after(trouble.since, TROUBLE_SECONDS) < now => {
                Err(format!(
                    "Kafka cannot be read for {} s: {}",
                    seconds_since(trouble.since),
                    trouble.why
                ))
            }
            (Some(_), None, _) => Ok(()),
        }
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Figures) -> T) -> T {
        // A panic while counting leaves figures that are at worst one short.
        change(&mut self.figures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_polled_lately_and_not_held() {
        let health = Health::default();
        let at = |seconds| after(Timestamp::UNIX_EPOCH, seconds);
        assert!(health.ready(at(0)).is_err());
        health.change(|f| f.last_poll = Some(at(0)));
        assert_eq!(health.ready(at(60)), Ok(()));
        assert!(health.ready(at(61)).is_err());
        health.change(|f| f.held = Some("the store is away".to_owned()));
        assert_eq!(health.ready(at(1)), Err("the store is away".to_owned()));
    }

    #[test]
    fn h2_a_worker_that_cannot_read_kafka_is_not_ready_though_it_polls() {
        let health = Health::default();
        let at = |seconds| after(Timestamp::UNIX_EPOCH, seconds);
        let down = Sign::Round { reached: false };
        for second in [0, 60, 61] {
            health.change(|figures| {
                figures.last_poll = Some(at(second));
                figures.note(&down, at(second));
            });
            assert_eq!(health.ready(at(second)).is_ok(), second <= 60, "{second}");
        }
        let why = health.ready(at(61)).expect_err("blind");
        assert_eq!(why, "Kafka cannot be read for 61 s: no broker is reached");
        health.change(|figures| figures.note(&Sign::Message, at(61)));
        assert_eq!(health.ready(at(61)), Ok(()));
    }
}
