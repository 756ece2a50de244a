//! What the domain must know of the connectors to plan: their declared abilities, no connection.
//!
//! Owns the facts that `connectors` derives from approved manifests and hands to `decide` and
//! `settle`. A case goes to every connector here that its event does not exclude.

use std::collections::{BTreeMap, BTreeSet};

use super::access::{Entitlement, Operation};
use super::brake::Brakes;
use super::doubt::Trust;
use super::drill::Terms;
use super::escalation::People;
use super::id::{ConnectorName, DefinitionDigest, EntitlementId, StateName};
use super::probe::ProbeFacts;
use super::rotation::Strategy;
use super::verdict::{CredentialRole, Expectation};

/// All connectors, by name.
#[derive(Debug, Clone, Default)]
pub struct Estate {
    /// By name.
    pub connectors: BTreeMap<ConnectorName, ConnectorFacts>,
    /// The definition that rotations run on, and its first state; without one no secret is
    /// replaced by the machine. Set by the engine from the workflow files, not by connectors.
    pub rotation: Option<(DefinitionDigest, StateName)>,
    /// When people work and who is told of what is overdue. Set by the engine likewise.
    pub people: People,
    /// Subjects, by tenant and id, that nobody touches without approval. Set likewise.
    pub protected: BTreeSet<String>,
    /// How many may leave or lose access within a time. Set likewise.
    pub brakes: Brakes,
    /// Connectors whose retirement binds, as their last manifest said. No case goes there; what is left
    /// to do is to end their own access. Set by the engine.
    pub retired: BTreeMap<ConnectorName, ConnectorFacts>,
    /// How far events are trusted. Set by the engine from its settings.
    pub trust: Trust,
}

/// What one manifest declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorFacts {
    /// What it can do.
    pub operations: BTreeSet<Operation>,
    /// What the target has no need of, and why (a list without sessions has no sessions to end).
    pub without: BTreeMap<Operation, String>,
    /// What must no longer be seen after a removal.
    pub expect: Expectation,
    /// Oldest data in seconds that can prove absence.
    pub max_data_age_seconds: u64,
    /// A target where access weighs more: contained first, attested by two people.
    pub privileged: bool,
    /// The tries to get in that must be refused before a removal is verified.
    pub probes: Vec<ProbeFacts>,
    /// Who brings accounts back here, as the manifest says: a connector's name, or words.
    pub fed_by: Option<String>,
    /// How each credential is replaced; a role that is missing cannot be rotated by the machine.
    pub rotation: BTreeMap<CredentialRole, Strategy>,
    /// Who answers for the connector: its owner and deputy, as people are named.
    pub keepers: BTreeSet<String>,
    /// Who could read each secret, as people are named; a role that has none is not listed.
    pub known_by: BTreeMap<CredentialRole, BTreeSet<String>>,
    /// How long old and new secret live side by side.
    pub overlap_seconds: u64,
    /// Who answers for the connector.
    pub owner: String,
    /// Who answers when the owner does not.
    pub deputy: String,
    /// Logins of accounts for emergencies, which nobody touches without approval.
    pub break_glass: BTreeSet<String>,
    /// What only administrators of the target have; the last one who has it is not touched without
    /// approval.
    pub administrators: BTreeSet<EntitlementId>,
    /// Where access is cut when the target itself will not obey.
    pub upstream: Option<Upstream>,
    /// What a person does when the machine cannot.
    pub fallback: Instructions,
    /// What it declares for drills.
    pub drill: Option<Terms>,
}

/// What elsewhere gives access to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The connector of the identity provider, directory or gate.
    pub connector: ConnectorName,
    /// The id or the name of the entitlement there.
    pub entitlement: String,
}

impl Upstream {
    /// True for the entitlement that is meant.
    pub fn is(&self, entitlement: &Entitlement) -> bool {
        entitlement.id.as_str() == self.entitlement || entitlement.name == self.entitlement
    }
}

/// A manifest's fallback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instructions {
    /// The desk that gets a copy of tasks.
    pub desk: String,
    /// What to do, step by step; may name what is known in braces ([`super::instructions`]).
    pub steps: Vec<String>,
    /// Hours from opening to deadline.
    pub deadline_hours: u64,
    /// Named desks that are told after owner and deputy that a task is overdue.
    pub escalate_to: Vec<String>,
}
