//! Under which approval a guard lets anything through.
//!
//! Owns the check that comes before all others: was the manifest approved, and is its approval not
//! over? The time is looked at with every call, so an approval ends on time even while no worker can
//! reach the store. Knows no manifest and no store.

use crate::domain::approval::Under;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::Timestamp;

/// What a guard was given to serve under; without limits where nobody governs (trials, tests).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mandate {
    /// What is in force, for the record of each change.
    pub under: Option<Under>,
    /// When the approval ends.
    pub until: Option<Timestamp>,
    /// Why nothing is served.
    pub barred: Option<Failure>,
}

impl Mandate {
    /// Nobody has approved the manifest.
    pub(super) fn unapproved() -> Self {
        Self {
            barred: Some(Failure::new(
                FailureClass::Refused,
                "CB-GUARD-12",
                "nobody has approved what this connector may do: propose and approve its manifest",
            )),
            ..Self::default()
        }
    }

    /// The approval is over.
    pub(super) fn expired(under: Under, until: Timestamp) -> Self {
        Self {
            under: Some(under),
            until: Some(until),
            barred: Some(expired(until)),
        }
    }

    /// # Errors
    /// `refused` when nothing may be served now.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), Failure> {
        if let Some(barred) = &self.barred {
            return Err(barred.clone());
        }
        match self.until {
            Some(until) if now >= until => Err(expired(until)),
            Some(_) | None => Ok(()),
        }
    }
}

fn expired(until: Timestamp) -> Failure {
    Failure::new(
        FailureClass::Refused,
        "CB-GUARD-13",
        format!("the approval of the manifest ended at {until}: review it, and approve it anew"),
    )
}
