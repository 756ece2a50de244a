//! Accounts and entitlements as a target shows them.
//!
//! Owns what connectors hand up from a listing or a read, and the operations that Clawback knows.
//! None of the operations grants: there is no create, enable, add or assign here, on purpose.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::id::{AccountId, EntitlementId};

/// Whether the account can sign in, as far as the target tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// Sign-in is possible.
    Enabled,
    /// Sign-in is refused.
    Disabled,
    /// The target has no such notion: the account existing means access.
    NotTold,
}

/// What kind of access an entitlement gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntitlementKind {
    /// Membership of a group.
    Group,
    /// A role.
    Role,
    /// A licence.
    Licence,
    /// A single permission.
    Permission,
    /// API key, personal token, SSH key, OAuth grant: works without the login.
    Credential,
}

impl EntitlementKind {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Role => "role",
            Self::Licence => "licence",
            Self::Permission => "permission",
            Self::Credential => "credential",
        }
    }
}

/// What tells an entitlement from all others of its account: a group and a role may have one id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntitlementKey {
    /// Group, role, credential, …
    pub kind: EntitlementKind,
    /// The target's id.
    pub id: EntitlementId,
}

/// One thing that grants access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entitlement {
    /// The target's id, unique among those of one kind that the account has.
    pub id: EntitlementId,
    /// Group, role, credential, …
    pub kind: EntitlementKind,
    /// For people to read.
    pub name: String,
    /// The parent or rule that it comes from; such access must be removed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited_from: Option<String>,
}

impl Entitlement {
    /// True for keys, tokens and the like.
    pub fn is_credential(&self) -> bool {
        self.kind == EntitlementKind::Credential
    }

    /// True for the same entitlement, as it was read another time.
    pub fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.id == other.id
    }

    /// What tells it from all others of its account.
    pub fn key(&self) -> EntitlementKey {
        EntitlementKey {
            kind: self.kind,
            id: self.id.clone(),
        }
    }
}

/// One login object of a subject in a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The target's immutable id.
    pub id: AccountId,
    /// The name that a person would sign in with.
    pub login: String,
    /// For people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Enabled, disabled or not told.
    pub state: AccountState,
    /// Attributes that the correlation rule may name, for example `employeeNumber` or `email`.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Further values by the attribute's name, or by `login`, where the target shows several: the first one
    /// stands in its place above.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub further: BTreeMap<String, BTreeSet<String>>,
    /// All entitlements in a read; what the listing happened to show in a listing.
    #[serde(default)]
    pub entitlements: Vec<Entitlement>,
    /// Number of live sessions; `None` when the target does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
    /// True for administrators of the target.
    #[serde(default)]
    pub privileged: bool,
}

impl Account {
    /// What stands for an account that is gone and of which something is left: under the login that it
    /// had, where that is known.
    pub fn left_behind(id: &AccountId, login: Option<&str>) -> Self {
        Self {
            id: id.clone(),
            login: login.map_or_else(|| id.to_string(), ToOwned::to_owned),
            display_name: None,
            state: AccountState::NotTold,
            attributes: BTreeMap::new(),
            entitlements: Vec::new(),
            sessions: None,
            further: BTreeMap::new(),
            privileged: false,
        }
    }

    /// Every value of `id`, `login` or an attribute; first the one that stands in its place.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let first = match name {
            "id" => Some(self.id.as_str()),
            "login" => Some(self.login.as_str()),
            other => self.attributes.get(other).map(String::as_str),
        };
        let further = self.further.get(name).into_iter().flatten();
        first.into_iter().chain(further.map(String::as_str))
    }
}

/// What a connector can be asked to do with accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Read all accounts.
    List,
    /// Read one account with all its entitlements.
    Read,
    /// Make sign-in impossible.
    Disable,
    /// End live sessions.
    EndSessions,
    /// Take one entitlement away.
    RevokeEntitlement,
    /// Take one key, token or other credential away.
    RevokeCredential,
    /// Remove the account.
    Delete,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 7] = [
        Self::List,
        Self::Read,
        Self::Disable,
        Self::EndSessions,
        Self::RevokeEntitlement,
        Self::RevokeCredential,
        Self::Delete,
    ];

    /// The name in manifests and journals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read => "read",
            Self::Disable => "disable",
            Self::EndSessions => "end_sessions",
            Self::RevokeEntitlement => "revoke_entitlement",
            Self::RevokeCredential => "revoke_credential",
            Self::Delete => "delete",
        }
    }

    /// The operation with this name.
    pub fn from_name(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == text)
    }

    /// True for what changes the target.
    pub fn writes(self) -> bool {
        !matches!(self, Self::List | Self::Read)
    }

    /// True for what stops access at once and takes nothing that the account is made of: what is for cause
    /// is not kept waiting for it. A key works past a disabled login, so keys are among it.
    pub fn contains(self) -> bool {
        match self {
            Self::Disable | Self::EndSessions | Self::RevokeCredential => true,
            Self::List | Self::Read | Self::RevokeEntitlement | Self::Delete => false,
        }
    }

    /// True for what cannot be had back and takes more than access: a legal hold forbids it.
    pub fn destroys(self) -> bool {
        match self {
            Self::Delete => true,
            Self::List
            | Self::Read
            | Self::Disable
            | Self::EndSessions
            | Self::RevokeEntitlement
            | Self::RevokeCredential => false,
        }
    }
}
