//! How often one address may fail to sign in.
//!
//! Owns a bounded memory of failures by address, for this process alone: it slows somebody who tries
//! one password on many names. A name's own lock is durable and stands in the store.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::health::seconds_between;
use crate::domain::time::Timestamp;

/// Failures of one address within the window.
const AT_MOST: u32 = 20;
/// The window in seconds.
const WINDOW_SECONDS: u64 = 300;
/// Addresses remembered; beyond that the oldest windows are dropped first.
const REMEMBERED: usize = 10_000;

/// Failures by address.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: Mutex<HashMap<String, (u32, Timestamp)>>,
}

impl Throttle {
    /// True when this address has failed too often lately.
    pub(super) fn is_shut(&self, address: &str, now: Timestamp) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(address).is_some_and(|(count, since)| {
            *count >= AT_MOST && seconds_between(*since, now) < WINDOW_SECONDS
        })
    }

    /// This address has failed.
    pub(super) fn failed(&self, address: &str, now: Timestamp) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED {
            failures.retain(|_, (_, since)| seconds_between(*since, now) < WINDOW_SECONDS);
        }
        if failures.len() >= REMEMBERED {
            let oldest = failures.iter().min_by_key(|(_, (_, since))| *since);
            if let Some(oldest) = oldest.map(|(address, _)| address.clone()) {
                failures.remove(&oldest);
            }
        }
        let entry = failures.entry(address.to_owned()).or_insert((0, now));
        if seconds_between(entry.1, now) >= WINDOW_SECONDS {
            *entry = (0, now);
        }
        entry.0 = entry.0.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_an_address_that_fails_too_often_waits() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let throttle = Throttle::default();
        for _ in 0..AT_MOST {
            assert!(!throttle.is_shut("a", at(0)));
            throttle.failed("a", at(0));
        }
        assert!(throttle.is_shut("a", at(299)));
        assert!(!throttle.is_shut("b", at(0)), "others go on");
        assert!(!throttle.is_shut("a", at(300)));
        throttle.failed("a", at(300));
        assert!(!throttle.is_shut("a", at(300)), "it begins anew");
    }
}
