//! What is told no more: partitions that are somebody else's, connectors that have left.
//!
//! Owns the taking away of gauges, which would otherwise stand for ever at what they last were. Counters
//! and histograms stay: what has happened has happened.

use std::collections::HashMap;

use prometheus::IntGaugeVec;
use prometheus::core::Collector as _;

use super::{ALL, drills, pauses, secrets};

/// A partition is no longer read by this process.
pub fn kafka_given_up(topic: &str, partition: i32) {
    let partition = partition.to_string();
    // It may never have been told.
    let _ = ALL
        .kafka_lag
        .remove_label_values(&[topic, partition.as_str()]);
}

/// A connector has left: no gauge tells of it any more.
pub fn connector_gone(connector: &str) {
    let own = [
        &ALL.breaker_open,
        &ALL.connector_state,
        &ALL.connector_survey_age,
        &ALL.connector_read_age,
        &ALL.connector_write_age,
        &ALL.connector_accounts,
        &ALL.connector_nhis,
        &ALL.connector_nhis_silent,
        &ALL.manifest_waiting,
        &ALL.manifest_barred,
        &ALL.secret_age,
    ];
    let others = drills::gauges().into_iter().chain(pauses::gauges());
    for gauge in own.into_iter().chain(others).chain(secrets::gauges()) {
        forget(gauge, connector);
    }
}

/// Takes away every series of this connector, whatever its other labels are.
fn forget(gauge: &IntGaugeVec, connector: &str) {
    for family in gauge.collect() {
        for metric in family.get_metric() {
            let labels = metric.get_label().iter();
            let labels: HashMap<_, _> = labels.map(|one| (one.name(), one.value())).collect();
            if labels.get("connector") == Some(&connector) {
                // Gone already if somebody else was quicker.
                let _ = gauge.remove(&labels);
            }
        }
    }
}
