//! What is counted of the store: rows that can't be read, and how far its clock and ours are apart.
//!
//! Owns these names only; the page and the rules are its parent's. Labels are tables, never a row.

use std::sync::LazyLock;

use prometheus::{IntCounterVec, IntGaugeVec};

use super::{ALL, Registrar, set};

static STORE: LazyLock<Rows> = LazyLock::new(Rows::new);

struct Rows {
    unreadable: IntCounterVec,
    apart: IntGaugeVec,
}

impl Rows {
    fn new() -> Self {
        let r = Registrar(ALL.registry.clone());
        Self {
            unreadable: r.counter(
                "clawback_rows_unreadable_total",
                "Rows left out because this version can't read them",
                &["table"],
            ),
            apart: r.gauge(
                "clawback_clock_apart_milliseconds",
                "How far this worker's clock and the database's are apart",
                &[],
            ),
        }
    }
}

/// A row was left out of its turn.
pub fn row_unreadable(table: &str) {
    STORE.unreadable.with_label_values(&[table]).inc();
}

/// How far the worker's clock is from the database's, in either direction.
pub fn clock_apart(milliseconds: u64) {
    set(&STORE.apart, &[], milliseconds);
}
