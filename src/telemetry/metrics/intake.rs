//! What is counted of the reading from Kafka: what was deleted unread, and whether reading is held.
//!
//! Owns these two names only; the page and the rules are its parent's. Labels are configured topics.

use std::sync::LazyLock;

use prometheus::{IntCounterVec, IntGaugeVec};

use super::{ALL, Registrar, set};

static INTAKE: LazyLock<Intake> = LazyLock::new(Intake::new);

struct Intake {
    lost: IntCounterVec,
    held: IntGaugeVec,
}

impl Intake {
    fn new() -> Self {
        let r = Registrar(ALL.registry.clone());
        Self {
            lost: r.counter(
                "clawback_events_lost_total",
                "Events that were deleted from their topic before they were read",
                &["topic"],
            ),
            held: r.gauge(
                "clawback_intake_held",
                "1 while nothing is read: the store is away, or unreadable messages flood in",
                &[],
            ),
        }
    }
}

/// So many events were deleted before they were read.
pub fn events_lost(topic: &str, count: u64) {
    INTAKE.lost.with_label_values(&[topic]).inc_by(count);
}

/// Whether reading is held.
pub fn intake_held(held: bool) {
    set(&INTAKE.held, &[], u64::from(held));
}
