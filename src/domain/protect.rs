//! Whom and what nobody touches without approval by two people.
//!
//! Owns the judgement before the first write of a removal: a protected subject, a break-glass account,
//! the last administrator of a target. What holds names the matter that two people decide; approved,
//! the removal goes on. Pure: the listing and who else is leaving come in as arguments.

use std::collections::BTreeSet;

use super::access::{Account, AccountState};
use super::approval::{Matter, MatterKind};
use super::estate::Estate;
use super::id::{AccountId, CaseId, RunId};
use super::outcome::{Failure, FailureClass};
use super::run::{RemovalBody, Run};

/// The subject is protected.
pub const SUBJECT: &str = "CB-PROTECT-1";
/// The account is for emergencies.
pub const BREAK_GLASS: &str = "CB-PROTECT-2";
/// Nobody else is known to administer the target.
pub const LAST_ADMINISTRATOR: &str = "CB-PROTECT-3";

/// All of them.
pub const CODES: [&str; 3] = [SUBJECT, BREAK_GLASS, LAST_ADMINISTRATOR];

/// What holds a removal, and what two people decide to let it go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Why it is held.
    pub failure: Failure,
    /// What is decided.
    pub matter: Matter,
}

/// What names of subjects and accounts hold.
pub fn by_name(run: &Run, body: &RemovalBody, estate: &Estate) -> Vec<Hold> {
    let mut holds = Vec::new();
    let subject = &body.leaving.subject;
    if let Some(case) = run.case
        && estate.protected.contains(subject)
    {
        let words = format!("{subject} is a protected subject");
        holds.push(hold(SUBJECT, &words, of_case(case)));
    }
    let facts = run.connector.as_ref();
    let facts = facts.and_then(|name| estate.connectors.get(name));
    if facts.is_some_and(|facts| facts.break_glass.contains(&body.account.login)) {
        let words = format!("{} is a break-glass account", body.account.login);
        holds.push(hold(BREAK_GLASS, &words, of_removal(run.id)));
    }
    holds
}

/// True where the account has something that only administrators of its target have.
pub fn administers(run: &Run, body: &RemovalBody, estate: &Estate) -> bool {
    !powers(run, body, estate).is_empty()
}

/// Holds the last of those who have such a power. `listed` is a complete listing, or none where there
/// was none to be had: then nobody is known to remain. Who is leaving does not remain, and neither
/// does who cannot sign in.
pub fn last_administrator(
    run: &Run,
    body: &RemovalBody,
    estate: &Estate,
    listed: Option<&[Account]>,
    leaving: &BTreeSet<AccountId>,
) -> Option<Hold> {
    let remains = |account: &&Account| {
        account.id != body.account.id
            && account.state != AccountState::Disabled
            && !leaving.contains(&account.id)
    };
    let remaining: Vec<_> = listed.unwrap_or_default().iter().filter(remains).collect();
    let has = |account: &Account, power: &str| {
        let mut entitlements = account.entitlements.iter();
        entitlements.any(|one| one.id.as_str() == power)
    };
    let alone = powers(run, body, estate)
        .into_iter()
        .find(|power| !remaining.iter().any(|account| has(account, power)))?;
    let words = format!(
        "{} may be the last administrator: nobody else who remains is seen with {alone}",
        body.account.login
    );
    Some(hold(LAST_ADMINISTRATOR, &words, of_removal(run.id)))
}

/// The entitlements of administrators that the account has.
fn powers(run: &Run, body: &RemovalBody, estate: &Estate) -> Vec<String> {
    let facts = run.connector.as_ref();
    let Some(facts) = facts.and_then(|name| estate.connectors.get(name)) else {
        return Vec::new();
    };
    let held = body.account.entitlements.iter();
    held.filter(|one| facts.administrators.contains(&one.id))
        .map(|one| one.id.to_string())
        .collect()
}

/// What is decided about a whole departure.
fn of_case(case: CaseId) -> Matter {
    matter(format!("case/{case}"))
}

/// What is decided about one account.
fn of_removal(run: RunId) -> Matter {
    matter(format!("removal/{run}"))
}

/// What is decided about the run of a task with this code.
pub fn matter_of(code: &str, run: &Run) -> Option<Matter> {
    match code {
        SUBJECT => run.case.map(of_case),
        BREAK_GLASS | LAST_ADMINISTRATOR => Some(of_removal(run.id)),
        _ => None,
    }
}

fn matter(name: String) -> Matter {
    Matter {
        kind: MatterKind::Protected,
        name,
    }
}

fn hold(code: &str, words: &str, matter: Matter) -> Hold {
    let message = format!("{words}: two people approve it first (`clawback approvals propose`)");
    Hold {
        failure: Failure::new(FailureClass::Refused, code, message),
        matter,
    }
}
