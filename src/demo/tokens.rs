//! The tokens with which connectors sign in to a simulated HTTP target.
//!
//! Owns who may do what: a writer changes accounts, a verifier only reads them, a rotator manages
//! tokens and nothing else. Several tokens of one role live side by side; an expired one stays
//! listed and is refused. Values come from the caller's chance.

use crate::domain::time::Chance;
use crate::domain::verdict::CredentialRole;

use super::truth::SecretTruth;

/// One token of a connector.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) role: CredentialRole,
    pub(super) value: String,
    pub(super) expired: bool,
    /// Requests that it has opened the door for.
    pub(super) used: u64,
}

/// All tokens of one target.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    prefix: &'static str,
    list: Vec<Token>,
    issued: u64,
}

impl Tokens {
    /// No tokens yet; ids and values begin with `prefix`.
    pub(super) fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            ..Self::default()
        }
    }

    /// Makes a token.
    pub(super) fn issue(
        &mut self,
        role: CredentialRole,
        label: &str,
        chance: &dyn Chance,
    ) -> &Token {
        self.issued += 1;
        let (prefix, number) = (self.prefix, self.issued);
        let value = format!("{}{}", chance.id().simple(), chance.id().simple());
        self.list.push(Token {
            id: format!("{prefix}t{number}"),
            label: label.to_owned(),
            role,
            value: format!("{prefix}_{value}"),
            expired: false,
            used: 0,
        });
        &self.list[self.list.len() - 1]
    }

    /// From now on every token of this role is refused.
    pub(super) fn expire(&mut self, role: CredentialRole) {
        for token in self.list.iter_mut().filter(|token| token.role == role) {
            token.expired = true;
        }
    }

    /// Whose token this is, if it is one and still good.
    pub(super) fn admit(&mut self, value: &str) -> Option<CredentialRole> {
        let token = self
            .list
            .iter_mut()
            .find(|token| token.value == value && !token.expired)?;
        token.used += 1;
        Some(token.role)
    }

    /// All tokens, oldest first.
    pub(super) fn all(&self) -> &[Token] {
        &self.list
    }

    /// Takes a token away; false when there was none.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let before = self.list.len();
        self.list.retain(|token| token.id != id);
        self.list.len() < before
    }

    /// The ground truth about them.
    pub(super) fn truth(&self) -> Vec<SecretTruth> {
        self.list
            .iter()
            .map(|token| SecretTruth {
                role: token.role,
                remote_ref: token.id.clone(),
                label: token.label.clone(),
                works: !token.expired,
                used: token.used,
            })
            .collect()
    }
}

/// The role with this name, as the targets' own interfaces spell it.
pub(super) fn role_named(name: &str) -> Option<CredentialRole> {
    [
        CredentialRole::Writer,
        CredentialRole::Verifier,
        CredentialRole::Rotator,
    ]
    .into_iter()
    .find(|role| role.as_str() == name)
}
