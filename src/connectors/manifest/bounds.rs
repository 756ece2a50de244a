//! The bounds in a manifest: how hard a target may be pressed, and what a healthy answer looks like.
//!
//! Owns the tables `[limits]` and `[expect]`, their defaults and their reading. Enforces neither:
//! limits bind in the guard, expectations where a listing is judged.

use crate::document::Table;

use super::number;

/// How hard the target may be pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls under way at once.
    pub concurrency: u32,
    /// Requests started in one second; a burst of one second's worth is let through.
    pub requests_per_second: u32,
    /// Longest wait for one call, and for one answer of a paged one.
    pub timeout_seconds: u64,
    /// Longest wait for a whole listing, and for a look of many requests.
    pub listing_timeout_seconds: u64,
    /// Lost calls in a row that open the breaker.
    pub breaker_failures: u32,
    /// How long it stays open before one call may probe.
    pub breaker_pause_seconds: u64,
}

/// What a healthy answer looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// Fewer accounts than this are not believed.
    pub accounts_min: u64,
    /// More accounts than this are not believed.
    pub accounts_max: u64,
    /// Fields that every account must show, in the target's words.
    pub fields: Vec<String>,
    /// Oldest data that can prove absence.
    pub max_data_age_seconds: u64,
    /// The oldest that the last good survey may become; the target is surveyed at half of it.
    pub refresh_seconds: u64,
    /// By how much the number of accounts may differ from the last good one, in percent; what
    /// Clawback deleted itself does not count. `None`: by any.
    pub change_at_most_percent: Option<u64>,
}

impl Expect {
    /// What speaks against so many accounts, with the numbers; `None` when they are believed.
    pub fn miscount(&self, listed: usize) -> Option<String> {
        let count = listed as u64;
        let told =
            |expected| format!("{count} accounts were listed, the manifest expects {expected}");
        if count < self.accounts_min {
            Some(told(format!("at least {}", self.accounts_min)))
        } else if count > self.accounts_max {
            Some(told(format!("at most {}", self.accounts_max)))
        } else {
            None
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 4,
            requests_per_second: 20,
            timeout_seconds: 10,
            listing_timeout_seconds: 300,
            breaker_failures: 5,
            breaker_pause_seconds: 30,
        }
    }
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            accounts_min: 1,
            accounts_max: u64::MAX,
            fields: Vec::new(),
            max_data_age_seconds: 300,
            refresh_seconds: 3600,
            change_at_most_percent: None,
        }
    }
}

pub(super) fn read_limits(root: &Table<'_>) -> Limits {
    let mut limits = Limits::default();
    let Some(table) = root.table("limits") else {
        return limits;
    };
    let small = |key, into: &mut u32, most| {
        if let Some(value) = number(&table, key, 1..=most) {
            *into = u32::try_from(value).unwrap_or(u32::MAX);
        }
    };
    small("concurrency", &mut limits.concurrency, 10_000);
    small(
        "requests_per_second",
        &mut limits.requests_per_second,
        1_000_000,
    );
    small("breaker_failures", &mut limits.breaker_failures, 1000);
    let seconds = |key, into: &mut u64| {
        if let Some(value) = number(&table, key, 1..=3600) {
            *into = value;
        }
    };
    seconds("timeout_seconds", &mut limits.timeout_seconds);
    seconds(
        "listing_timeout_seconds",
        &mut limits.listing_timeout_seconds,
    );
    seconds("breaker_pause_seconds", &mut limits.breaker_pause_seconds);
    table.finish();
    limits
}

pub(super) fn read_expect(root: &Table<'_>) -> Expect {
    let mut expect = Expect::default();
    let Some(table) = root.table("expect") else {
        return expect;
    };
    let count = |key, into: &mut u64| {
        if let Some(value) = number(&table, key, 0..=i64::MAX) {
            *into = value;
        }
    };
    count("accounts_min", &mut expect.accounts_min);
    count("accounts_max", &mut expect.accounts_max);
    count("max_data_age_seconds", &mut expect.max_data_age_seconds);
    if let Some(seconds) = number(&table, "refresh_seconds", 2..=30 * 86_400) {
        expect.refresh_seconds = seconds;
    }
    expect.change_at_most_percent = number(&table, "change_at_most_percent", 1..=100);
    if expect.accounts_min > expect.accounts_max || expect.accounts_min == 0 {
        table.report(
            table.line(),
            format!(
                "no number of accounts is from {} to {} and proves something",
                expect.accounts_min, expect.accounts_max
            ),
            "let `accounts_min` be at least 1 and at most `accounts_max`",
        );
    }
    expect.fields = table
        .strings("fields")
        .into_iter()
        .map(|item| item.value)
        .collect();
    table.finish();
    expect
}
