//! Access that is left, or there again: contained upstream where a target would not obey, returned after it
//! was proved gone.
//!
//! Owns the words for both, which tasks, reports and events repeat.

use serde::{Deserialize, Serialize};

use super::super::id::ConnectorName;
use super::super::outcome::Failure;
use super::super::time::Timestamp;
use super::{Run, RunBody};

/// What became of the access upstream, where the target itself would not obey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Containment {
    /// It was taken away there, and a look has shown that; the account in the target stays as it is.
    Cut {
        /// Where.
        connector: ConnectorName,
        /// What.
        entitlement: String,
        /// Since when.
        since: Timestamp,
    },
    /// It was not.
    Failed(Failure),
}

impl Containment {
    /// The residual risk in words; access to `target` was to end at `owed_since`.
    pub fn words(&self, target: Option<&ConnectorName>, owed_since: Timestamp) -> String {
        let target = target.map_or("the target", ConnectorName::as_str);
        match self {
            Self::Cut {
                connector,
                entitlement,
                since,
            } => format!(
                "residual risk: contained upstream at {connector} ({entitlement}) since {since}, \
                 account still active in {target} since {owed_since}"
            ),
            Self::Failed(failure) => format!(
                "not contained upstream either ({} {}: {}), account active in {target} since \
                 {owed_since}",
                failure.code, failure.class, failure.message
            ),
        }
    }
}

/// The residual risk of a run whose access was contained upstream, or was not.
pub fn residual_risk(run: &Run) -> Option<String> {
    let (containment, owed_since) = match &run.body {
        RunBody::Discovery(body) => (body.upstream.as_ref(), body.owed_since),
        RunBody::Removal(body) => (body.upstream.as_ref(), body.owed_since),
        RunBody::Case(_) | RunBody::Rotation(_) | RunBody::Care(_) => return None,
    };
    Some(containment?.words(run.connector.as_ref(), owed_since))
}

/// Access that was there again after its absence was proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// The last look that proved absence.
    pub absent_at: Timestamp,
    /// The first look that saw access again.
    pub seen_at: Timestamp,
    /// Who feeds the target, as its manifest says: the likely source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely_source: Option<String>,
}

impl std::fmt::Display for Returned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "last seen absent at {}, there again at {}",
            self.absent_at, self.seen_at
        )?;
        match &self.likely_source {
            Some(source) => write!(
                f,
                "; likely brought back by {source}, which feeds the target"
            ),
            None => f.write_str("; the manifest names nothing that feeds the target"),
        }
    }
}
