//! Leaves a dead target alone for a while.
//!
//! Owns the count of lost calls and the pause after too many of them. One probe is let through when
//! the pause is over, and the pause starts anew at that moment: a probe that is cancelled can
//! therefore never leave the breaker waiting for it.

use std::sync::{Mutex, PoisonError};

use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::{Timestamp, after};

#[derive(Debug)]
pub(in crate::connectors) struct Breaker {
    failures_to_open: u32,
    pause_seconds: u64,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Calls pass; so many in a row were lost.
    Closed { lost: u32 },
    /// Nothing passes until then, and then one probe.
    Open { until: Timestamp },
}

impl Breaker {
    pub(in crate::connectors) fn new(failures_to_open: u32, pause_seconds: u64) -> Self {
        Self {
            failures_to_open,
            pause_seconds,
            state: Mutex::new(State::Closed { lost: 0 }),
        }
    }

    /// Whether a call would pass now.
    pub(in crate::connectors) fn peek(&self, now: Timestamp) -> Result<(), Failure> {
        match *self.lock() {
            State::Open { until } if now < until => Err(open(now, until)),
            State::Open { .. } | State::Closed { .. } => Ok(()),
        }
    }

    /// Lets a call pass, or the one probe.
    pub(in crate::connectors) fn admit(&self, now: Timestamp) -> Result<(), Failure> {
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => Ok(()),
            State::Open { until } if now < until => Err(open(now, until)),
            State::Open { .. } => {
                *state = State::Open {
                    until: after(now, self.pause_seconds),
                };
                Ok(())
            }
        }
    }

    /// What a call came to; `None` is a success.
    pub(in crate::connectors) fn note(&self, class: Option<FailureClass>, now: Timestamp) {
        let mut state = self.lock();
        match class {
            Some(FailureClass::Unreachable | FailureClass::UnknownOutcome) => {
                let lost = match *state {
                    State::Closed { lost } => lost.saturating_add(1),
                    State::Open { .. } => self.failures_to_open,
                };
                *state = if lost >= self.failures_to_open {
                    State::Open {
                        until: after(now, self.pause_seconds),
                    }
                } else {
                    State::Closed { lost }
                };
            }
            // Nothing was learned about the target: perhaps nothing was sent.
            Some(FailureClass::Refused | FailureClass::Unsupported | FailureClass::RateLimited) => {
            }
            Some(_) | None => *state = State::Closed { lost: 0 },
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(now: Timestamp, until: Timestamp) -> Failure {
    let milliseconds = until.duration_since(now).as_millis().max(0);
    let seconds = u64::try_from(milliseconds).unwrap_or(0).div_ceil(1000);
    Failure::new(
        FailureClass::Unreachable,
        "CB-GUARD-7",
        "the breaker is open: too many calls in a row were lost",
    )
    .retry_after(Some(seconds.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Option<FailureClass> = Some(FailureClass::Unreachable);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    #[test]
    fn b4_a_dead_target_is_left_alone_and_probed_by_one_call() {
        let breaker = Breaker::new(2, 30);
        breaker.note(LOST, at(0));
        assert!(breaker.admit(at(0)).is_ok());
        breaker.note(Some(FailureClass::UnknownOutcome), at(1));
        let failure = breaker.admit(at(11)).expect_err("open");
        assert_eq!(failure.class, FailureClass::Unreachable);
        assert_eq!(failure.retry_after_seconds, Some(20));

        assert!(breaker.admit(at(31)).is_ok(), "one probe");
        assert!(breaker.admit(at(31)).is_err(), "and only one");
        // The probe was cancelled and never noted: the next one comes after another pause.
        assert!(breaker.admit(at(61)).is_ok());
        breaker.note(LOST, at(62));
        assert!(breaker.peek(at(91)).is_err());
        assert!(breaker.admit(at(92)).is_ok());
        breaker.note(None, at(92));
        assert!(breaker.admit(at(92)).is_ok());
    }

    #[test]
    fn an_answer_of_any_kind_starts_the_count_anew() {
        let breaker = Breaker::new(2, 30);
        breaker.note(LOST, at(0));
        breaker.note(Some(FailureClass::AuthFailure), at(0));
        breaker.note(LOST, at(0));
        assert!(breaker.peek(at(0)).is_ok());
        breaker.note(Some(FailureClass::Refused), at(0));
        breaker.note(LOST, at(0));
        assert!(breaker.peek(at(0)).is_err());
    }
}
