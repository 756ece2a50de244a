//! Who loses access.
//!
//! Owns the subject and its identifiers. A subject is matched to accounts by identifiers that the
//! connector's correlation rule names; an e-mail address alone never decides (addresses are reused).

use serde::{Deserialize, Serialize};

/// The kind of identifier that names the unit a subject belongs to, and many others with it.
pub const UNIT: &str = "organisation_unit";

/// What kind of subject leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// An employee, contractor or other human.
    Person,
    /// A non-human identity: service account, API client, bot, agent.
    Nhi,
    /// A whole application with all access in it.
    Application,
}

/// One name of a subject in one name space.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identifier {
    /// The name space: `employee_number`, `username`, `upn`, `email`, `iss_sub`, …
    pub kind: String,
    /// The name in it.
    pub value: String,
}

/// The person, non-human identity or application of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Person, NHI or application.
    pub kind: SubjectKind,
    /// The organisation it belongs to.
    pub tenant: String,
    /// The source's own immutable id of the subject within the tenant.
    pub id: String,
    /// All the names under which it may have accounts, the id under kind `id` included by the mapper.
    pub identifiers: Vec<Identifier>,
    /// For people to read; absent when the source gave none.
    pub display_name: Option<String>,
    /// True for administrators and the like: contained first, attested by two people.
    pub privileged: bool,
}

impl Subject {
    /// The identifier of this kind, if the event gave one.
    pub fn identifier(&self, kind: &str) -> Option<&str> {
        self.identifiers
            .iter()
            .find(|i| i.kind == kind)
            .map(|i| i.value.as_str())
    }

    /// For people to read: the display name, else the id.
    pub fn name(&self) -> &str {
        self.display_name.as_deref().unwrap_or(&self.id)
    }

    /// A key that is the same for all events about this subject.
    pub fn key(&self) -> String {
        format!("{}/{}", self.tenant, self.id)
    }
}
