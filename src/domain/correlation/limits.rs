//! What a correlation rule cannot say of a subject, and what it can say of an account that is nobody's here.
//!
//! Owns the searches that could not have found anybody, and the accounts that have a name which was
//! somebody else's. Both are judged by what decides; what is missing says nothing.

use std::collections::BTreeSet;

use super::super::access::Account;
use super::super::id::ConnectorName;
use super::super::outcome::{Failure, FailureClass};
use super::super::subject::{Subject, SubjectKind};
use super::names::is_plainly;
use super::{ACCOUNT, Rule, named_at, same_name};

/// Why a search that found nothing says nothing: the subject is told by no identifier that the rule decides
/// by, and by no account of this target, so no account there could have been theirs. An identity that is no
/// person and that is told by its accounts is where these are.
pub fn blind(target: &ConnectorName, rule: &Rule, subject: &Subject) -> Option<Failure> {
    let told = |kind: &str| {
        let mut all = subject.identifiers.iter();
        all.any(|one| one.kind == kind && !one.value.is_empty())
    };
    let elsewhere = subject.kind != SubjectKind::Person && told(ACCOUNT);
    let deciding = || rule.pairs.iter().filter(|pair| pair.decides);
    let compared = deciding().any(|pair| told(&pair.identifier));
    if compared || elsewhere || named_at(target, subject).next().is_some() {
        return None;
    }
    let kinds: BTreeSet<_> = deciding().map(|pair| pair.identifier.as_str()).collect();
    let kinds: Vec<_> = kinds.into_iter().collect();
    Some(Failure::new(
        FailureClass::Ambiguous,
        "CB-MATCH-2",
        format!(
            "the search could not have found the subject: accounts of {target} are told apart by {}, and the \
             event tells none of that",
            kinds.join(", ")
        ),
    ))
}

/// Why `other`, which has the login of `own` by now, is somebody else's: it is written differently where a
/// target tells the two apart, or another value stands in what decides. What is missing says nothing, and what
/// is the same in one thing that decides is the same.
pub fn somebody_elses(rule: &Rule, own: &Account, other: &Account) -> Option<String> {
    match by_what_decides(rule, own, other) {
        Some(Decided::Same) => None,
        Some(Decided::Differs(attribute)) => Some(format!("has another {attribute}")),
        None => (!meets(own, other, "login", is_plainly)).then(|| format!("is {}", other.login)),
    }
}

/// Why an account that was written to is somebody else's by now: another value stands in what decides. Its
/// login tells nothing, since a write may have changed it.
pub fn contradicts(rule: &Rule, own: &Account, other: &Account) -> Option<String> {
    match by_what_decides(rule, own, other) {
        Some(Decided::Differs(attribute)) => Some(format!("has another {attribute}")),
        Some(Decided::Same) | None => None,
    }
}

/// What two accounts have in what decides, besides id and login.
enum Decided<'a> {
    Same,
    Differs(&'a str),
}

fn by_what_decides<'a>(rule: &'a Rule, own: &Account, other: &Account) -> Option<Decided<'a>> {
    let deciding = rule.pairs.iter().filter(|pair| pair.decides);
    let told = deciding.filter(|pair| !["id", "login"].contains(&&*pair.attribute));
    let told: Vec<_> = told
        .filter_map(|pair| {
            let told = |one: &Account| one.values(&pair.attribute).any(|value| !value.is_empty());
            let both = told(own) && told(other);
            both.then(|| (pair, meets(own, other, &pair.attribute, same_name)))
        })
        .collect();
    if told.iter().any(|(_, same)| *same) {
        return Some(Decided::Same);
    }
    // A form of a name is another text of the same subject.
    let mut differs = told
        .iter()
        .filter(|(pair, _)| pair.contradicts && pair.also.is_empty());
    differs
        .next()
        .map(|(pair, _)| Decided::Differs(&pair.attribute))
}

/// True when one value of the one account is one of the other's.
fn meets(own: &Account, other: &Account, name: &str, same: fn(&str, &str) -> bool) -> bool {
    let mut own = own.values(name).filter(|value| !value.is_empty());
    own.any(|own| other.values(name).any(|other| same(own, other)))
}
