//! What is told of pauses: whether a connector is paused, what waits there, and that nobody has ended one.
//!
//! Owns these names only; the page and the rules are its parent's. Ends no pause.

use std::sync::LazyLock;

use prometheus::{IntCounterVec, IntGaugeVec};

use super::{ALL, Registrar, set};

static PAUSES: LazyLock<Pauses> = LazyLock::new(Pauses::new);

struct Pauses {
    paused: IntGaugeVec,
    runs: IntGaugeVec,
    escalated: IntCounterVec,
}

impl Pauses {
    fn new() -> Self {
        let r = Registrar(ALL.registry.clone());
        Self {
            paused: r.gauge(
                "clawback_connector_paused",
                "1 while an operator has paused the connector",
                &["connector"],
            ),
            runs: r.gauge(
                "clawback_connector_paused_runs",
                "Runs that are due and wait because the connector is paused",
                &["connector"],
            ),
            escalated: r.counter(
                "clawback_pauses_escalated_total",
                "Times that somebody was told of a pause that nobody has ended, by connector and role",
                &["connector", "to"],
            ),
        }
    }
}

pub(super) fn gauges() -> [&'static IntGaugeVec; 2] {
    [&PAUSES.paused, &PAUSES.runs]
}

/// Whether a connector is paused, and how many due runs wait for it.
pub fn paused(connector: &str, is_paused: bool, runs: u64) {
    set(&PAUSES.paused, &[connector], u64::from(is_paused));
    set(&PAUSES.runs, &[connector], runs);
}

/// Somebody was told of a pause that nobody has ended: `owner`, `deputy` or `desk`. `all` for the pause of
/// all connectors.
pub fn pause_escalated(connector: &str, to: &str) {
    PAUSES.escalated.with_label_values(&[connector, to]).inc();
}
