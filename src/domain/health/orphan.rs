//! Accounts without a subject.
//!
//! Owns what counts as an orphan. Clawback knows subjects by their departures only, so it can say two
//! things: an account that nothing ties to anybody, and an account of somebody whose removal had
//! ended. Orphans are told to a person, never removed by themselves.

use serde::Serialize;

use super::super::access::Account;
use super::super::correlation::Rule;
use super::super::id::{AccountId, RunId};
use super::super::run::{Run, RunBody, Stage};
use super::super::time::Timestamp;
use super::super::verdict::residue;

/// One account without a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// The target's id.
    pub id: AccountId,
    /// The name to sign in with.
    pub login: String,
    /// When it was last seen.
    pub seen: Timestamp,
    /// Why nobody stands behind it.
    pub why: String,
    /// The removal that had ended, where there was one.
    pub removal: Option<RunId>,
}

/// The orphans among `accounts` (each with when it was last seen), given the removals at this
/// target that have ended.
pub fn orphans<'a>(
    rule: &Rule,
    accounts: impl Iterator<Item = (&'a Account, Timestamp)>,
    ended: &[Run],
) -> Vec<Orphan> {
    let mut found = Vec::new();
    for (account, seen) in accounts {
        let left = ended.iter().find(|run| has_left(run, account, seen));
        let why = match left {
            Some(run) => format!("its removal had ended {}", run.stage.name()),
            None if is_untied(rule, account) => "no deciding attribute has a value".to_owned(),
            None => continue,
        };
        found.push(Orphan {
            id: account.id.clone(),
            login: account.login.clone(),
            seen,
            why,
            removal: left.map(|run| run.id),
        });
    }
    found
}

/// The account belongs to a removal that had ended before it was seen, and shows what should be gone.
fn has_left(run: &Run, account: &Account, seen: Timestamp) -> bool {
    let (RunBody::Removal(body), Stage::Ended { at, .. }) = (&run.body, &run.stage) else {
        return false;
    };
    body.account.id == account.id && *at < seen && !residue(account, body.expect).is_empty()
}

/// No deciding attribute can ever match a subject.
fn is_untied(rule: &Rule, account: &Account) -> bool {
    let mut deciding = rule.pairs.iter().filter(|pair| pair.decides);
    !deciding.any(|pair| {
        account
            .values(&pair.attribute)
            .any(|value| !value.is_empty())
    })
}
