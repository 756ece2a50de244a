//! Spaces a connector's requests out in time.
//!
//! Owns a token bucket that holds one second's worth. A request that finds it empty reserves the
//! next token and waits for it, but only up to a bound; beyond it the reservation is given back and
//! the caller gets `rate_limited` with the seconds to wait durably.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::{Clock, Timestamp};

/// Longest wait inside a call.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(in crate::connectors) struct Limiter {
    per_second: f64,
    clock: Arc<dyn Clock>,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Below zero when tokens of the future are reserved.
    tokens: f64,
    filled: Timestamp,
}

impl Limiter {
    pub(in crate::connectors) fn new(per_second: u32, clock: Arc<dyn Clock>) -> Self {
        let filled = clock.now();
        Self {
            per_second: f64::from(per_second.max(1)),
            clock,
            bucket: Mutex::new(Bucket {
                tokens: f64::from(per_second.max(1)),
                filled,
            }),
        }
    }

    /// Waits until one more request may start.
    pub(in crate::connectors) async fn turn(&self) -> Result<(), Failure> {
        let wait = self.reserve()?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    fn reserve(&self) -> Result<Duration, Failure> {
        let now = self.clock.now();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.duration_since(bucket.filled).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + passed * self.per_second).min(self.per_second);
        bucket.filled = bucket.filled.max(now);
        let owed = 1.0 - bucket.tokens;
        let wait = Duration::from_secs_f64((owed / self.per_second).max(0.0));
        if wait > LONGEST_WAIT {
            return Err(Failure::new(
                FailureClass::RateLimited,
                "CB-GUARD-9",
                "the connector's own rate is used up",
            )
            .retry_after(Some(wait.as_secs() + 1)));
        }
        bucket.tokens -= 1.0;
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::Moved;
    use super::*;

    #[test]
    fn requests_are_spaced_out_and_a_long_queue_is_sent_back() {
        let clock = Moved::new();
        let limiter = Limiter::new(2, clock.clone());
        let waits: Vec<_> = (0..6)
            .map(|_| limiter.reserve().expect("short").as_millis())
            .collect();
        assert_eq!(waits, [0, 0, 500, 1000, 1500, 2000]);
        let failure = limiter.reserve().expect_err("too long");
        assert_eq!(failure.class, FailureClass::RateLimited);
        assert_eq!(failure.retry_after_seconds, Some(3));

        clock.advance(10);
        assert_eq!(limiter.reserve().expect("filled again").as_millis(), 0);
        assert_eq!(limiter.reserve().expect("one burst").as_millis(), 0);
        assert_eq!(limiter.reserve().expect("no more").as_millis(), 500);
    }
}
