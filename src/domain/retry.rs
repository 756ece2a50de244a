//! How long to wait before the next attempt.
//!
//! Owns the back-off: exponential, with positive jitter on top of what the target asked for, so
//! that a herd spreads out and nobody comes back too early. The wait is stored as a due time;
//! nothing sleeps in a worker.

use serde::{Deserialize, Serialize};

use super::time::{Timestamp, after_ms};

/// No target may ask for a longer wait: some send milliseconds, or an instant, where seconds are due.
const LONGEST_ASKED_SECONDS: u64 = 86_400;

/// A bounded series of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// How many further attempts after the first; beyond it the failure is lasting.
    pub attempts: u32,
    /// Wait before the second attempt.
    pub first_seconds: u64,
    /// The wait doubles up to this.
    pub at_most_seconds: u64,
}

impl RetryPolicy {
    /// When to try again, or `None` once `made` further attempts have used up the policy.
    /// `fraction` in 0..1 spreads the wait by up to a quarter, always upward.
    pub fn next(
        &self,
        made: u32,
        now: Timestamp,
        retry_after_seconds: Option<u64>,
        fraction: f64,
    ) -> Option<Timestamp> {
        if made >= self.attempts {
            return None;
        }
        let doubled = self.first_seconds.saturating_mul(1_u64 << made.min(32));
        let seconds = doubled
            .min(self.at_most_seconds)
            .max(retry_after_seconds.unwrap_or(0).min(LONGEST_ASKED_SECONDS));
        let milliseconds = seconds.saturating_mul(1000);
        let jitter = (milliseconds.max(200) as f64 * 0.25 * fraction.clamp(0.0, 1.0)) as u64;
        Some(after_ms(now, milliseconds.saturating_add(jitter)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_keep_retry_after_and_end() {
        let policy = RetryPolicy {
            attempts: 3,
            first_seconds: 2,
            at_most_seconds: 5,
        };
        let now = Timestamp::UNIX_EPOCH;
        let wait = |made, asked, fraction| {
            policy
                .next(made, now, asked, fraction)
                .map(jiff::Timestamp::as_millisecond)
        };
        assert_eq!(wait(0, None, 0.0), Some(2000));
        assert_eq!(wait(1, None, 0.0), Some(4000));
        assert_eq!(wait(2, None, 0.0), Some(5000));
        assert_eq!(wait(3, None, 0.0), None);
        assert_eq!(wait(0, Some(60), 0.0), Some(60_000));
        assert_eq!(wait(0, Some(60), 0.5), Some(67_500));
        let epoch = Some(1_760_000_000);
        assert_eq!(wait(0, epoch, 0.0), Some(86_400_000));
    }
}
