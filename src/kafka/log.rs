//! librdkafka's log and errors, one line of a kind at a time.
//!
//! While brokers are away librdkafka reports the same thing several times a second for each of
//! them. Owns the throttle that lets the first line of a kind through and then counts, and the
//! client context that both consumer and producer log by. Decides nothing about retries.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::domain::time::{Clock, Timestamp, after};

/// A line of one kind is written at most this often.
const QUIET_SECONDS: u64 = 30;
/// Kinds that are remembered; beyond it the oldest are forgotten and may speak again.
const KINDS: usize = 256;

/// Lets the first line of a kind through, then one in each quiet time with the number left out.
#[derive(Debug)]
pub struct Throttle {
    clock: Arc<dyn Clock>,
    seen: Mutex<BTreeMap<String, (Timestamp, u64)>>,
}

impl Throttle {
    /// A throttle in which nothing has been said yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            seen: Mutex::default(),
        }
    }

    /// `Some(left out since the last one)` if a line of this kind may be written now.
    pub fn admit(&self, kind: &str) -> Option<u64> {
        let now = self.clock.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((until, left_out)) = seen.get_mut(kind) {
            if now < *until {
                *left_out += 1;
                return None;
            }
            let before = *left_out;
            (*until, *left_out) = (after(now, QUIET_SECONDS), 0);
            return Some(before);
        }
        if seen.len() >= KINDS
            && let Some(oldest) = seen
                .iter()
                .min_by_key(|(_, (until, _))| *until)
                .map(|(kind, _)| kind.clone())
        {
            seen.remove(&oldest);
        }
        seen.insert(kind.to_owned(), (after(now, QUIET_SECONDS), 0));
        Some(0)
    }
}

/// A client context that writes librdkafka's lines through a [`Throttle`].
#[derive(Debug)]
pub struct QuietClient {
    throttle: Throttle,
}

impl QuietClient {
    /// A context with a throttle of its own.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            throttle: Throttle::new(clock),
        }
    }

    /// The throttle, for lines about the same client that others write.
    pub fn throttle(&self) -> &Throttle {
        &self.throttle
    }
}

impl ClientContext for QuietClient {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        let Some(left_out) = self.throttle.admit(facility) else {
            return;
        };
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(target: "librdkafka", facility, left_out, "{line}");
            }
            RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", facility, left_out, "{line}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, left_out, "{line}");
            }
            RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", facility, left_out, "{line}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let kind = error
            .rdkafka_error_code()
            .map_or_else(|| "error".to_owned(), |code| format!("{code:?}"));
        if let Some(left_out) = self.throttle.admit(&kind) {
            tracing::warn!(target: "librdkafka", kind, left_out, "{reason}");
        }
    }

    fn stats_raw(&self, _: &[u8]) {
        // Only the consumer asks for statistics, and it has a context of its own.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Hands(Mutex<Timestamp>);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            *self.0.lock().expect("one thread")
        }
    }

    #[test]
    fn a_flood_of_one_kind_becomes_a_line_and_a_number() {
        let hands = Arc::new(Hands(Mutex::new(Timestamp::UNIX_EPOCH)));
        let throttle = Throttle::new(hands.clone());
        assert_eq!(throttle.admit("AllBrokersDown"), Some(0));
        for _ in 0..500 {
            assert_eq!(throttle.admit("AllBrokersDown"), None);
        }
        assert_eq!(throttle.admit("Authentication"), Some(0));
        *hands.0.lock().expect("one thread") = after(Timestamp::UNIX_EPOCH, QUIET_SECONDS);
        assert_eq!(throttle.admit("AllBrokersDown"), Some(500));
        for kind in 0..10 * KINDS {
            throttle.admit(&kind.to_string());
        }
        assert_eq!(throttle.seen.lock().expect("one thread").len(), KINDS);
    }
}
