//! Whom and what nobody touches without approval by two people.
//!
//! Owns the judgement before the first write of a removal: a protected subject, a break-glass account,
//! the last administrator of a target. What holds names the matter that two people decide; approved,
//! the removal goes on. Pure: the listing and who else is leaving come in as arguments.

use std::collections::BTreeSet;

use super::access::{Account, AccountState, Entitlement};
use super::approval::{Matter, MatterKind};
use super::correlation::same_name;
use super::estate::{ConnectorFacts, Estate};
use super::id::{AccountId, CaseId, EntitlementId, RunId};
use super::outcome::{Failure, FailureClass};
use super::run::{Leaving, RemovalBody, Run};

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

/// Holds the departure of a protected subject.
pub fn subject(run: &Run, leaving: &Leaving, estate: &Estate) -> Option<Hold> {
    let case = run.case?;
    let subject = &leaving.subject;
    let words = format!("{subject} is a protected subject");
    let protected = estate.protected.contains(subject);
    protected.then(|| hold(SUBJECT, &words, of_case(case)))
}

/// Holds the removal of an account for emergencies.
pub fn account(run: &Run, body: &RemovalBody, estate: &Estate) -> Option<Hold> {
    let facts = estate.connectors.get(run.connector.as_ref()?)?;
    let login = &body.account.login;
    let words = format!("{login} is a break-glass account");
    let kept = is_break_glass(facts, &body.account);
    kept.then(|| hold(BREAK_GLASS, &words, of_removal(run.id)))
}

/// True where what is cut is something that only administrators have.
pub fn is_upstream_administrator(
    facts: &ConnectorFacts,
    account: &Account,
    cut: &dyn Fn(&Entitlement) -> bool,
) -> bool {
    let mut powers = account.entitlements.iter().filter(|one| cut(one));
    powers.any(|power| facts.administrators.contains(&power.id))
}

/// What an upstream keeps from being cut by the machine: an account for emergencies, and the last one
/// there that has what only administrators have. Nobody approves it: who wants it does it by hand.
///
/// # Errors
/// When the account is one of these.
pub fn upstream(
    facts: &ConnectorFacts,
    account: &Account,
    listed: &[Account],
    cut: &dyn Fn(&Entitlement) -> bool,
) -> Result<(), Failure> {
    let login = &account.login;
    let refuse = |code: &str, words: &str| {
        let words = format!("{login} {words}: cut upstream by hand, or not at all");
        Err(Failure::new(FailureClass::Refused, code, words))
    };
    if is_break_glass(facts, account) {
        return refuse(BREAK_GLASS, "is a break-glass account there");
    }
    let mut powers = account.entitlements.iter().filter(|one| cut(one));
    let is_last = powers.any(|power| {
        facts.administrators.contains(&power.id)
            && !listed.iter().any(|other| {
                other.id != account.id
                    && other.state != AccountState::Disabled
                    && other.entitlements.iter().any(|one| one.id == power.id)
            })
    });
    if is_last {
        return refuse(LAST_ADMINISTRATOR, "may be the last administrator there");
    }
    Ok(())
}

/// Names are compared as accounts are matched: whoever is found by a name is kept by it.
pub fn is_break_glass(facts: &ConnectorFacts, account: &Account) -> bool {
    let mut logins = account.values("login");
    logins.any(|login| facts.break_glass.iter().any(|one| same_name(one, login)))
}

/// What makes an account an administrator's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Power {
    /// It has this, which the manifest says only administrators have.
    Entitlement(EntitlementId),
    /// The target itself shows it as privileged.
    Shown,
}

/// True where the account has something that only administrators of its target have, or may have, or is
/// shown as privileged there.
pub fn administers(run: &Run, body: &RemovalBody, estate: &Estate) -> bool {
    let unread = !body.inspected && body.items.is_empty();
    !powers(&declared(run, estate), &body.account, unread).is_empty()
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
    let unread = !body.inspected && body.items.is_empty();
    let words = is_last(
        &declared(run, estate),
        &body.account,
        unread,
        listed,
        leaving,
    )?;
    Some(hold(LAST_ADMINISTRATOR, &words, of_removal(run.id)))
}

/// Why this account may be the last of those who have some power of administrators: these entitlements,
/// or being shown as privileged. Of one that is `unread` nobody knows its entitlements.
pub fn is_last(
    administrators: &BTreeSet<EntitlementId>,
    account: &Account,
    unread: bool,
    listed: Option<&[Account]>,
    leaving: &BTreeSet<AccountId>,
) -> Option<String> {
    let powers = powers(administrators, account, unread);
    if powers.is_empty() {
        return None;
    }
    let remains = |other: &&Account| {
        other.id != account.id
            && other.state != AccountState::Disabled
            && !leaving.contains(&other.id)
    };
    let remaining: Vec<_> = listed.unwrap_or_default().iter().filter(remains).collect();
    let has = |account: &Account, power: &Power| {
        let mut entitlements = account.entitlements.iter();
        match power {
            Power::Entitlement(id) => entitlements.any(|one| one.id == *id),
            // Lists of some targets tell one of both.
            Power::Shown => {
                account.privileged || entitlements.any(|one| administrators.contains(&one.id))
            }
        }
    };
    let alone = powers
        .into_iter()
        .find(|power| !remaining.iter().any(|account| has(account, power)))?;
    let seen = match alone {
        Power::Entitlement(id) => format!("with {id}"),
        Power::Shown => "as privileged".to_owned(),
    };
    Some(format!(
        "{} may be the last administrator: nobody else who remains is seen {seen}",
        account.login
    ))
}

/// The powers of administrators that the account has. Of one that was never read by itself nobody knows
/// its entitlements, so it may have all of them.
fn powers(administrators: &BTreeSet<EntitlementId>, account: &Account, unread: bool) -> Vec<Power> {
    let has = |id: &&EntitlementId| {
        let mut entitlements = account.entitlements.iter();
        unread || entitlements.any(|one| one.id == **id)
    };
    let held = administrators.iter().filter(has).cloned();
    let shown = account.privileged.then_some(Power::Shown);
    held.map(Power::Entitlement).chain(shown).collect()
}

/// The entitlements that only administrators of the run's target have, as its manifest says.
fn declared(run: &Run, estate: &Estate) -> BTreeSet<EntitlementId> {
    let facts = run.connector.as_ref();
    let facts = facts.and_then(|name| estate.connectors.get(name));
    facts
        .map(|facts| facts.administrators.clone())
        .unwrap_or_default()
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
