//! Seeded chance and a clock that the history moves.
//!
//! Owns the one source of randomness of a history: the same seed plays the same history. The clock
//! stands still until the driver moves it.

use std::sync::Mutex;

use clawback::domain::time::{Chance, Clock, Timestamp, after_ms};

/// SplitMix64: small, and the same on every machine.
#[derive(Debug)]
pub struct Dice(Mutex<u64>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(
            seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03,
        ))
    }

    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().expect("no panic holds it");
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True in `percent` of 100.
    pub fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

impl Chance for Dice {
    fn fraction(&self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn id(&self) -> uuid::Uuid {
        uuid::Uuid::from_u64_pair(self.next(), self.next())
    }
}

/// Time as the driver tells it.
#[derive(Debug)]
pub struct VirtualClock(Mutex<Timestamp>);

impl VirtualClock {
    pub fn new() -> Self {
        Self(Mutex::new("2026-11-20T08:00:00Z".parse().expect("a time")))
    }

    pub fn advance_ms(&self, milliseconds: u64) {
        let mut now = self.0.lock().expect("no panic holds it");
        *now = after_ms(*now, milliseconds);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no panic holds it")
    }
}
