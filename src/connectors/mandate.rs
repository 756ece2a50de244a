//! Under which approval a guard lets anything through.
//!
//! Owns the check that comes before all others: was the manifest approved, and is its approval not
//! over? The time is looked at with every call, so an approval ends on time even while no worker can
//! reach the store. Knows no manifest and no store.

use crate::document::Problems;
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
    /// Why no event is served, though the target is looked at: what is in force passed no drill.
    pub undrilled: Option<Failure>,
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

    /// This version cannot read what was approved: as good as not approved, until the file is.
    pub(super) fn unreadable(problems: &Problems) -> Self {
        Self {
            barred: Some(Failure::new(
                FailureClass::Refused,
                "CB-GUARD-18",
                format!(
                    "this version cannot read the manifest in force: propose and approve its file as it \
                     should be; {problems}"
                ),
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
            undrilled: None,
        }
    }

    /// `for_event` says whether the call is part of what an event owes.
    ///
    /// # Errors
    /// `refused` when it may not be served now.
    pub(super) fn check(&self, now: Timestamp, for_event: bool) -> Result<(), Failure> {
        if let Some(barred) = &self.barred {
            return Err(barred.clone());
        }
        match self.until {
            Some(until) if now >= until => return Err(expired(until)),
            Some(_) | None => {}
        }
        match &self.undrilled {
            Some(undrilled) if for_event => Err(undrilled.clone()),
            Some(_) | None => Ok(()),
        }
    }
}

/// Codes of calls that were refused for want of an approval or a drill: what was refused so is taken up
/// again as soon as there is one.
pub const BARRED: [&str; 4] = ["CB-GUARD-12", "CB-GUARD-13", "CB-GUARD-15", "CB-GUARD-18"];

/// What is in force passed no drill, and nobody does without.
pub(super) fn undrilled(canary: bool) -> Failure {
    let remedy = if canary {
        "a drill begins by itself, or with `clawback drill`"
    } else {
        "it declares no canary: two people may do without (`clawback drill override`)"
    };
    Failure::new(
        FailureClass::Refused,
        "CB-GUARD-15",
        format!("the manifest in force has not passed a drill: {remedy}"),
    )
}

fn expired(until: Timestamp) -> Failure {
    Failure::new(
        FailureClass::Refused,
        "CB-GUARD-13",
        format!("the approval of the manifest ended at {until}: review it, and approve it anew"),
    )
}
