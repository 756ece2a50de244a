//! What is told of drills: how the last one ended, and the age of the last one that passed.
//!
//! Owns these two names only; the page and the rules are its parent's. Judges no drill.

use std::sync::LazyLock;

use prometheus::IntGaugeVec;

use super::{ALL, Registrar, set};

static DRILLS: LazyLock<Drills> = LazyLock::new(Drills::new);

struct Drills {
    passed: IntGaugeVec,
    age: IntGaugeVec,
}

impl Drills {
    fn new() -> Self {
        let r = Registrar(ALL.registry.clone());
        Self {
            passed: r.gauge(
                "clawback_drill_passed",
                "1 where the last drill passed, 0 where it failed",
                &["connector"],
            ),
            age: r.gauge(
                "clawback_drill_age_seconds",
                "Age of the last drill that passed",
                &["connector"],
            ),
        }
    }
}

pub(super) fn gauges() -> [&'static IntGaugeVec; 2] {
    [&DRILLS.passed, &DRILLS.age]
}

/// How the last drill ended, and how old the last one is that passed.
pub fn drill(connector: &str, passed: bool, age_seconds: Option<u64>) {
    set(&DRILLS.passed, &[connector], u64::from(passed));
    if let Some(age) = age_seconds {
        set(&DRILLS.age, &[connector], age);
    }
}
