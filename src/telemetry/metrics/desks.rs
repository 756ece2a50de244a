//! What is counted of desks: calls, copies, and how far the copies lag.
//!
//! Owns these three names only; the page and the rules are its parent's. Labels are the configured
//! desks, a handful of actions and the classes of failure, never a task or a ticket.

use std::sync::LazyLock;

use prometheus::{IntCounterVec, IntGaugeVec};

use super::{ALL, Registrar, set};

static DESKS: LazyLock<Desks> = LazyLock::new(Desks::new);

struct Desks {
    calls: IntCounterVec,
    copies: IntGaugeVec,
    lag: IntGaugeVec,
}

impl Desks {
    fn new() -> Self {
        let r = Registrar(ALL.registry.clone());
        Self {
            calls: r.counter(
                "clawback_desk_calls_total",
                "Calls to desks",
                &["desk", "action", "outcome"],
            ),
            copies: r.gauge(
                "clawback_desk_copies",
                "Copies of tasks that are not finished, and those that lag",
                &["desk", "state"],
            ),
            lag: r.gauge(
                "clawback_desk_lag_seconds",
                "For how long the first copy lags",
                &["desk"],
            ),
        }
    }
}

/// A desk was called; `outcome` is `ok` or the class of failure.
pub fn desk_call(desk: &str, action: &str, outcome: &str) {
    let labels = [desk, action, outcome];
    DESKS.calls.with_label_values(&labels).inc();
}

/// How a desk's copies stand.
pub fn desk_copies(desk: &str, open: u64, troubled: u64, lag_seconds: u64) {
    set(&DESKS.copies, &[desk, "open"], open);
    set(&DESKS.copies, &[desk, "troubled"], troubled);
    set(&DESKS.lag, &[desk], lag_seconds);
}
