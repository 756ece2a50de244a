//! What is really there in the simulated targets, whatever anybody reports.
//!
//! Owns the picture that the judge compares reports with: accounts with the subject that they
//! belong to, what each can still do, and the connectors' own secrets. It is taken from the
//! targets' memory and files, never through a connector.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::access::EntitlementKind;
use crate::domain::id::{AccountId, ConnectorName};
use crate::domain::verdict::{CredentialRole, Expectation};

/// All targets at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroundTruth {
    /// By the connector that reaches them.
    pub targets: BTreeMap<ConnectorName, TargetTruth>,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTruth {
    /// What must no longer be there of a leaver.
    pub after_removal: Expectation,
    /// Its accounts.
    pub accounts: BTreeMap<AccountId, AccountTruth>,
    /// The secrets by which its connector signs in; empty where the protocol has none.
    pub secrets: Vec<SecretTruth>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountTruth {
    /// Its login.
    pub login: String,
    /// The subject that it belongs to, by the source's id; `None` for an orphan.
    pub subject: Option<String>,
    /// Whether its owner can sign in with it.
    pub can_sign_in: bool,
    /// Groups, roles, keys: kind and id.
    pub entitlements: BTreeSet<(EntitlementKind, String)>,
    /// Live sessions.
    pub sessions: u64,
}

/// One secret of a connector at its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretTruth {
    /// Which of the connector's credentials.
    pub role: CredentialRole,
    /// The target's id of it.
    pub remote_ref: String,
    /// The label under which it was made.
    pub label: String,
    /// Whether the target accepts it.
    pub works: bool,
    /// How many requests it was accepted for.
    pub used: u64,
}

impl AccountTruth {
    /// What is still there of an account that should be gone or powerless, in words.
    pub fn residue(&self, expectation: Expectation) -> Vec<String> {
        let mut left = Vec::new();
        match expectation {
            Expectation::AccountGone => left.push("the account".to_owned()),
            Expectation::AccountPowerless | Expectation::NoWayIn if self.can_sign_in => {
                left.push("sign-in".to_owned());
            }
            Expectation::AccountPowerless | Expectation::NoWayIn => {}
        }
        let entitlements = self.entitlements.iter();
        let entitlements = entitlements.filter(|(kind, _)| {
            expectation != Expectation::NoWayIn || *kind == EntitlementKind::Credential
        });
        left.extend(entitlements.map(|(kind, id)| format!("{kind:?} {id}")));
        if self.sessions > 0 {
            left.push(format!("{} sessions", self.sessions));
        }
        left
    }
}

impl GroundTruth {
    /// The accounts of one subject, over all targets.
    pub fn accounts_of<'a>(
        &'a self,
        subject: &'a str,
    ) -> impl Iterator<Item = (&'a ConnectorName, &'a AccountId, &'a AccountTruth)> {
        self.targets.iter().flat_map(move |(connector, target)| {
            target
                .accounts
                .iter()
                .filter(move |(_, account)| account.subject.as_deref() == Some(subject))
                .map(move |(id, account)| (connector, id, account))
        })
    }
}
