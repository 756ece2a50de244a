//! Whether each part of the program can do its work, as `/readyz` says it.
//!
//! Owns this name only; what a part is and when it is well is said by the console's checks. Written when
//! the page is made, so that it is as true as the page is new.

use std::sync::LazyLock;

use prometheus::IntGaugeVec;

use super::{ALL, Registrar, set};

static READY: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    Registrar(ALL.registry.clone()).gauge(
        "clawback_part_ready",
        "1 while this part of the program can do its work, as /readyz says",
        &["part"],
    )
});

/// Whether this part can do its work.
pub fn part_ready(part: &str, ready: bool) {
    set(&READY, &[part], u64::from(ready));
}
