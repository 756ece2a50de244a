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
    failures: Mutex<HashMap<String, Window>>,
}

/// What one address did since its window began.
#[derive(Debug, Clone, Copy)]
struct Window {
    since: Timestamp,
    failed: u32,
    turned_away: bool,
}

impl Window {
    fn lasts(&self, now: Timestamp) -> bool {
        seconds_between(self.since, now) < WINDOW_SECONDS
    }
}

impl Throttle {
    /// True when this address has failed too often lately.
    pub(super) fn is_shut(&self, address: &str, now: Timestamp) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let window = failures.get(address);
        window.is_some_and(|window| window.failed >= AT_MOST && window.lasts(now))
    }

    /// This address has failed.
    pub(super) fn failed(&self, address: &str, now: Timestamp) {
        self.window(address, now, |window| {
            window.failed = window.failed.saturating_add(1);
        });
    }

    /// This address was turned away unheard; true for the first time in its window.
    pub(super) fn turned_away(&self, address: &str, now: Timestamp) -> bool {
        self.window(address, now, |window| {
            !std::mem::replace(&mut window.turned_away, true)
        })
    }

    fn window<T>(&self, address: &str, now: Timestamp, change: impl FnOnce(&mut Window) -> T) -> T {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED {
            failures.retain(|_, window| window.lasts(now));
        }
        if failures.len() >= REMEMBERED {
            let oldest = failures.iter().min_by_key(|(_, window)| window.since);
            if let Some(oldest) = oldest.map(|(address, _)| address.clone()) {
                failures.remove(&oldest);
            }
        }
        let new = Window {
            since: now,
            failed: 0,
            turned_away: false,
        };
        let window = failures.entry(address.to_owned()).or_insert(new);
        if !window.lasts(now) {
            *window = new;
        }
        change(window)
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

    #[test]
    fn h1_the_first_that_is_turned_away_in_a_window_is_told_apart() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let throttle = Throttle::default();
        throttle.failed("a", at(0));
        assert!(throttle.turned_away("a", at(1)));
        assert!(!throttle.turned_away("a", at(299)));
        assert!(throttle.turned_away("b", at(299)), "others are others");
        assert!(throttle.turned_away("a", at(300)), "a new window");
        assert!(!throttle.turned_away("a", at(301)));
    }
}
