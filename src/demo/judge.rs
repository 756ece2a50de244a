//! Compares what was reported with what is really there.
//!
//! Owns the demonstration's verdict on the promise: nothing is both verified and present, what is
//! left of a leaver is in somebody's hands, nobody gained access, nobody else lost any, and every
//! connector can still sign in. Looks only at the ground truth, never at a connector's answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::id::{AccountId, ConnectorName};
use crate::domain::verdict::CredentialRole;

use super::truth::{AccountTruth, GroundTruth, TargetTruth};

/// What the program says of its own work.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Subjects whose access should be gone by now, by the source's id.
    pub due: BTreeSet<String>,
    /// Removals that it calls verified.
    pub verified: Vec<(ConnectorName, AccountId)>,
    /// What is still worked at, is with a person, or was attested by one.
    pub in_hands: Vec<InHands>,
}

/// One open task, one run under way, or one attestation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InHands {
    /// Whose access, by the source's id.
    pub subject: String,
    /// In which target; `None` covers the whole case.
    pub connector: Option<ConnectorName>,
    /// Which account; `None` covers all of the subject's accounts in the target.
    pub account: Option<AccountId>,
}

/// One way in which the promise was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Called verified, and still there.
    VerifiedButPresent {
        /// The target.
        connector: ConnectorName,
        /// The account.
        account: AccountId,
        /// What is there, in words.
        left: Vec<String>,
    },
    /// Still there, and nobody has it.
    LeftBehind {
        /// Whose.
        subject: String,
        /// The target.
        connector: ConnectorName,
        /// The account.
        account: AccountId,
        /// What is there, in words.
        left: Vec<String>,
    },
    /// There was less access before.
    AccessAdded {
        /// The target.
        connector: ConnectorName,
        /// The account.
        account: AccountId,
        /// What came.
        what: String,
    },
    /// Lost by somebody who is not leaving.
    AccessLost {
        /// The target.
        connector: ConnectorName,
        /// The account.
        account: AccountId,
        /// What went.
        what: String,
    },
    /// No secret of this role works any more, or more than two do.
    Secrets {
        /// Whose.
        connector: ConnectorName,
        /// Which.
        role: CredentialRole,
        /// How many work.
        working: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VerifiedButPresent {
                connector,
                account,
                left,
            } => write!(
                f,
                "{connector} {account} was called verified, but is there: {}",
                left.join(", ")
            ),
            Self::LeftBehind {
                subject,
                connector,
                account,
                left,
            } => write!(
                f,
                "{connector} {account} of {subject} is there and nobody has it: {}",
                left.join(", ")
            ),
            Self::AccessAdded {
                connector,
                account,
                what,
            } => {
                write!(f, "{connector} {account} gained {what}")
            }
            Self::AccessLost {
                connector,
                account,
                what,
            } => {
                write!(f, "{connector} {account} is not leaving and lost {what}")
            }
            Self::Secrets {
                connector,
                role,
                working,
            } => {
                write!(
                    f,
                    "{connector} has {working} working secrets as {}",
                    role.as_str()
                )
            }
        }
    }
}

/// Every way in which the promise was broken between `before` and `after`; empty is what is wanted.
pub fn judge(before: &GroundTruth, after: &GroundTruth, report: &Report) -> Vec<Violation> {
    let mut found = Vec::new();
    for (connector, account) in &report.verified {
        let target = after.targets.get(connector);
        let there = target.and_then(|t| Some((t, t.accounts.get(account)?)));
        let left = there.map_or(Vec::new(), |(t, a)| a.residue(t.after_removal));
        if !left.is_empty() {
            found.push(Violation::VerifiedButPresent {
                connector: connector.clone(),
                account: account.clone(),
                left,
            });
        }
    }
    for subject in &report.due {
        left_behind(after, report, subject, &mut found);
    }
    for (connector, now) in &after.targets {
        let nothing = TargetTruth {
            after_removal: now.after_removal,
            accounts: BTreeMap::new(),
            secrets: Vec::new(),
        };
        let then = before.targets.get(connector).unwrap_or(&nothing);
        changed(connector, then, now, report, &mut found);
        secrets(connector, then, now, &mut found);
    }
    found
}

fn left_behind(after: &GroundTruth, report: &Report, subject: &str, found: &mut Vec<Violation>) {
    for (connector, id, account) in after.accounts_of(subject) {
        let left = account.residue(after.targets[connector].after_removal);
        let has_it = |hands: &InHands| {
            hands.subject == subject
                && hands.connector.as_ref().is_none_or(|c| c == connector)
                && hands.account.as_ref().is_none_or(|a| a == id)
        };
        if !left.is_empty() && !report.in_hands.iter().any(has_it) {
            found.push(Violation::LeftBehind {
                subject: subject.to_owned(),
                connector: connector.clone(),
                account: id.clone(),
                left,
            });
        }
    }
}

fn changed(
    connector: &ConnectorName,
    then: &TargetTruth,
    now: &TargetTruth,
    report: &Report,
    found: &mut Vec<Violation>,
) {
    for (id, account) in &now.accounts {
        let before = then.accounts.get(id);
        for what in gained(before, account) {
            found.push(Violation::AccessAdded {
                connector: connector.clone(),
                account: id.clone(),
                what,
            });
        }
    }
    let staying = then.accounts.iter().filter(|(_, account)| {
        let subject = account.subject.as_ref();
        subject.is_none_or(|subject| !report.due.contains(subject))
    });
    for (id, account) in staying {
        for what in gained(now.accounts.get(id), account) {
            found.push(Violation::AccessLost {
                connector: connector.clone(),
                account: id.clone(),
                what,
            });
        }
    }
}

/// What `more` has that `less` has not. Sessions come and go with their owners and are not access
/// that somebody gave.
fn gained(less: Option<&AccountTruth>, more: &AccountTruth) -> Vec<String> {
    let Some(less) = less else {
        return vec!["the account".to_owned()];
    };
    let mut gained = Vec::new();
    if more.can_sign_in && !less.can_sign_in {
        gained.push("sign-in".to_owned());
    }
    let new = more.entitlements.difference(&less.entitlements);
    gained.extend(new.map(|(kind, id)| format!("{kind:?} {id}")));
    gained
}

fn secrets(
    connector: &ConnectorName,
    then: &TargetTruth,
    now: &TargetTruth,
    found: &mut Vec<Violation>,
) {
    let roles: BTreeSet<_> = then.secrets.iter().map(|secret| secret.role).collect();
    for role in roles {
        let working = |target: &TargetTruth| {
            let secrets = target.secrets.iter();
            secrets.filter(|s| s.role == role && s.works).count()
        };
        let working = working(now);
        if !(1..=2).contains(&working) {
            found.push(Violation::Secrets {
                connector: connector.clone(),
                role,
                working,
            });
        }
    }
}

#[cfg(test)]
mod tests;
