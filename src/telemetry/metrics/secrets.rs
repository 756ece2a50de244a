//! What is told of the connectors' own secrets: their age, how long they are good for, and by how much
//! they are overdue.
//!
//! Owns these names only; the page and the rules are its parent's. Judges no secret.

use std::sync::LazyLock;

use prometheus::IntGaugeVec;

use super::{ALL, Registrar, set};

static SECRETS: LazyLock<Secrets> = LazyLock::new(Secrets::new);

struct Secrets {
    expires: IntGaugeVec,
    overdue: IntGaugeVec,
    unreadable: IntGaugeVec,
}

impl Secrets {
    fn new() -> Self {
        let r = Registrar(ALL.registry.clone());
        let labels = &["connector", "role"];
        Self {
            expires: r.gauge(
                "clawback_secret_expires_in_seconds",
                "How long the target still takes the current secret, 0 once it has ended",
                labels,
            ),
            overdue: r.gauge(
                "clawback_secret_overdue_seconds",
                "How long ago the current secret should have been replaced",
                labels,
            ),
            unreadable: r.gauge(
                "clawback_secret_unreadable",
                "1 while the vault does not tell of the secret, whose age is then not known",
                labels,
            ),
        }
    }
}

pub(super) fn gauges() -> [&'static IntGaugeVec; 2] {
    [&SECRETS.expires, &SECRETS.overdue]
}

/// The time of one secret, in seconds; `left` where its end is known.
#[derive(Debug, Clone, Copy)]
pub struct SecretTime<'a> {
    /// Whose.
    pub connector: &'a str,
    /// Which.
    pub role: &'a str,
    /// How old it is.
    pub age: u64,
    /// How long it is good for.
    pub left: Option<u64>,
    /// By how much it is overdue.
    pub overdue: u64,
}

/// The times of all secrets. What is not among them has no series any more: a retired connector's secret
/// must not go on ending.
pub fn secrets<'a>(all: impl Iterator<Item = SecretTime<'a>>) {
    ALL.secret_age.reset();
    SECRETS.expires.reset();
    SECRETS.overdue.reset();
    for one in all {
        let labels = &[one.connector, one.role];
        set(&ALL.secret_age, labels, one.age);
        set(&SECRETS.overdue, labels, one.overdue);
        if let Some(left) = one.left {
            set(&SECRETS.expires, labels, left);
        }
    }
}

/// The secrets of which the vault does not tell, by connector and role.
pub fn unreadable_secrets<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) {
    SECRETS.unreadable.reset();
    for (connector, role) in all {
        set(&SECRETS.unreadable, &[connector, role], 1);
    }
}
