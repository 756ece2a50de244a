//! What the trait takes and gives of targets and their connectors: listings, surveys, standings.
//!
//! Owns the shapes that belong to health and inventory. How a survey is judged is the domain's; it
//! comes in as a closure. Does not know how either database keeps them.

use serde::Serialize;

use crate::domain::access::Account;
use crate::domain::health::{Advance, Care, Standing};
use crate::domain::id::{ConnectorName, FencingToken, RunId};
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;

/// How many samples of one connector are kept.
pub const SAMPLES_KEPT: u32 = 1440;

/// Decides what a survey changes, given the standing and the open tasks about the connector.
pub type AdvanceFn<'a> = &'a (dyn Fn(&Standing, &[Care]) -> Advance + Send + Sync);

/// What a listing of one target showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The target.
    pub connector: ConnectorName,
    /// When the listing was begun.
    pub at: Timestamp,
    /// Whose eyes.
    pub credential: CredentialRole,
    /// Whether it is believed to show everything: what it lacks is then gone.
    pub whole: bool,
    /// What it showed.
    pub accounts: Vec<Account>,
}

/// What is known of one target's accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The target.
    pub connector: ConnectorName,
    /// When the last complete listing was begun.
    pub whole_at: Option<Timestamp>,
    /// All accounts as last seen, by id.
    pub accounts: Vec<KnownAccount>,
}

/// One account as last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownAccount {
    /// The account.
    pub account: Account,
    /// When the listing that showed it was begun.
    pub seen: Timestamp,
    /// Whose eyes.
    pub credential: CredentialRole,
    /// Whether that listing was complete.
    pub whole: bool,
}

/// A survey that a worker would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyWanted {
    /// Of which target.
    pub connector: ConnectorName,
    /// How long it may take before another worker may begin anew.
    pub lease_seconds: u64,
}

/// A survey that this worker does, and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyLease {
    /// Of which target.
    pub connector: ConnectorName,
    /// Shown with the result.
    pub token: FencingToken,
    /// How the connector stood when it was leased.
    pub standing: Standing,
}

/// Which ended runs to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunsEnded {
    /// At which target.
    pub connector: ConnectorName,
    /// Ended from then on.
    pub since: Timestamp,
    /// Ended until then.
    pub until: Timestamp,
    /// Only those after this one, in the order of end and id.
    pub after: Option<(Timestamp, RunId)>,
    /// At most so many.
    pub limit: u32,
}
