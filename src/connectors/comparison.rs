//! What one manifest permits that another does not.
//!
//! Owns the comparison, field by field, in words for the person who approves, and the narrowing of
//! one manifest by another. It lists what it knows to permit less or to change nothing; everything
//! else counts as widening: what is added, what was never compared, what nobody can tell. The
//! patterns name every field, so a new one does not compile before it is compared. Pure.

mod credentials;

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::Serialize;

use super::manifest::{Expect, Limits, Manifest};
use super::written::Written;
use crate::domain::access::Operation;
use crate::domain::verdict::Expectation;

/// What a change does to what is permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing.
    Neutral,
    /// It permits less.
    Narrowing,
    /// It permits more, or nobody can tell.
    Widening,
}

impl Effect {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Narrowing => "narrowing",
            Self::Widening => "widening",
        }
    }
}

/// One change between two manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The field, as a path in the file.
    pub what: String,
    /// What it was; none if it was not there.
    pub was: Option<String>,
    /// What it becomes; none if it goes.
    pub becomes: Option<String>,
    /// What that does.
    pub effect: Effect,
    /// Why.
    pub why: &'static str,
}

/// What the whole of some changes does: the worst of them.
pub fn effect(differences: &[Difference]) -> Effect {
    let effects = differences.iter().map(|difference| difference.effect);
    effects.max().unwrap_or(Effect::Neutral)
}

const UNTOLD: &str = "what follows from it cannot be told";
const ANSWERS: &str = "who answers for the connector is part of what was approved";

/// Everything that `becomes` changes.
pub fn compare(was: &Written, becomes: &Written) -> Vec<Difference> {
    let mut found = Found::default();
    manifests(&was.manifest, &becomes.manifest, &mut found);
    for path in was.rest.keys().chain(becomes.rest.keys()) {
        let (one, other) = (was.rest.get(path), becomes.rest.get(path));
        let seen = found.0.iter().any(|difference| difference.what == *path);
        if one != other && !seen {
            let told = |value: Option<&serde_json::Value>| value.map(ToString::to_string);
            found.note(path, told(one), told(other), Effect::Widening, UNTOLD);
        }
    }
    found.0
}

/// `approved` without what `by` takes away. Never permits what `approved` does not, and of what can
/// be intersected (operations, fields, limits, bands, ages) nothing that `by` does not. Of all else
/// it keeps what was approved.
pub fn narrowed(approved: &Manifest, by: &Manifest) -> Manifest {
    let mut less = approved.clone();
    less.review_by = less.review_by.min(by.review_by);
    less.privileged |= by.privileged;
    if by.after_removal == Expectation::AccountGone {
        less.after_removal = Expectation::AccountGone;
    }
    less.operations.retain(|one| by.operations.contains(one));
    less.writes.retain(|one| by.writes.contains(one));
    less.without.retain(|one, _| by.without.contains_key(one));
    for (role, declared) in &mut less.credentials {
        let other = by.credentials.get(role);
        let other = other.and_then(|other| other.max_age_seconds);
        let ages = [declared.max_age_seconds, other];
        declared.max_age_seconds = ages.into_iter().flatten().min();
    }
    less.overlap_seconds = less.overlap_seconds.min(by.overlap_seconds);
    less.limits = pressed_less(&less.limits, &by.limits);
    let (expect, other) = (&mut less.expect, &by.expect);
    expect.accounts_min = expect.accounts_min.max(other.accounts_min);
    expect.accounts_max = expect.accounts_max.min(other.accounts_max);
    expect.max_data_age_seconds = expect.max_data_age_seconds.min(other.max_data_age_seconds);
    expect.refresh_seconds = expect.refresh_seconds.min(other.refresh_seconds);
    let changes = [expect.change_at_most_percent, other.change_at_most_percent];
    expect.change_at_most_percent = changes.into_iter().flatten().min();
    for field in &other.fields {
        if !expect.fields.contains(field) {
            expect.fields.push(field.clone());
        }
    }
    less.break_glass.extend(by.break_glass.iter().cloned());
    less.administrators
        .extend(by.administrators.iter().cloned());
    let hours = by.fallback.deadline_hours;
    less.fallback.deadline_hours = less.fallback.deadline_hours.min(hours);
    less
}

fn pressed_less(one: &Limits, other: &Limits) -> Limits {
    Limits {
        concurrency: one.concurrency.min(other.concurrency),
        requests_per_second: one.requests_per_second.min(other.requests_per_second),
        timeout_seconds: one.timeout_seconds.min(other.timeout_seconds),
        listing_timeout_seconds: one
            .listing_timeout_seconds
            .min(other.listing_timeout_seconds),
        breaker_failures: one.breaker_failures.min(other.breaker_failures),
        breaker_pause_seconds: one.breaker_pause_seconds.max(other.breaker_pause_seconds),
    }
}

/// Changes found so far.
#[derive(Default)]
struct Found(Vec<Difference>);

/// A number whose greatest value means that there is no limit.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Count(u64);

impl Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == u64::MAX {
            return f.write_str("no limit");
        }
        self.0.fmt(f)
    }
}

/// Which of two values permits less.
#[derive(Clone, Copy)]
enum Less {
    Smaller,
    Greater,
}

impl Found {
    fn note(
        &mut self,
        what: &str,
        was: Option<String>,
        becomes: Option<String>,
        effect: Effect,
        why: &'static str,
    ) {
        self.0.push(Difference {
            what: what.to_owned(),
            was,
            becomes,
            effect,
            why,
        });
    }

    /// A value whose change has one effect, whichever way it goes.
    fn value<T: PartialEq>(
        &mut self,
        what: &str,
        (was, becomes): (&T, &T),
        told: impl Fn(&T) -> String,
        (effect, why): (Effect, &'static str),
    ) {
        if was != becomes {
            self.note(what, Some(told(was)), Some(told(becomes)), effect, why);
        }
    }

    /// A value in an order of which one end permits less.
    fn bound<T: Ord + Display>(
        &mut self,
        what: &str,
        (was, becomes): (T, T),
        less: Less,
        (narrower, wider): (&'static str, &'static str),
    ) {
        if was == becomes {
            return;
        }
        let narrows = match less {
            Less::Smaller => becomes < was,
            Less::Greater => becomes > was,
        };
        let (effect, why) = if narrows {
            (Effect::Narrowing, narrower)
        } else {
            (Effect::Widening, wider)
        };
        let (was, becomes) = (Some(was.to_string()), Some(becomes.to_string()));
        self.note(what, was, becomes, effect, why);
    }

    /// Members that come and go; coming and going each have one effect.
    fn members<'a>(
        &mut self,
        what: &str,
        was: impl Iterator<Item = &'a str> + Clone,
        becomes: impl Iterator<Item = &'a str> + Clone,
        (coming, comes): (Effect, &'static str),
        (going, goes): (Effect, &'static str),
    ) {
        for one in becomes
            .clone()
            .filter(|one| !was.clone().any(|other| other == *one))
        {
            self.note(what, None, Some(one.to_owned()), coming, comes);
        }
        for one in was.filter(|one| !becomes.clone().any(|other| other == *one)) {
            self.note(what, Some(one.to_owned()), None, going, goes);
        }
    }
}

#[allow(clippy::too_many_lines)] // One list, told in order; parts of it mean nothing alone.
fn manifests(was: &Manifest, becomes: &Manifest, found: &mut Found) {
    let Manifest {
        name,
        kind,
        purpose,
        owner,
        deputy,
        review_by,
        privileged,
        after_removal,
        operations,
        writes,
        without,
        correlation,
        credentials,
        overlap_seconds,
        probes,
        fed_by,
        limits,
        expect,
        break_glass,
        administrators,
        fallback,
        // Part of what was written besides: every change of it widens.
        drill: _,
        nhi: _,
        upstream: _,
        // Of the text; what it says is compared.
        digest: _,
    } = becomes;
    let untold = (Effect::Widening, UNTOLD);
    found.value("name", (&was.name, name), ToString::to_string, untold);
    found.value("kind", (&was.kind, kind), Clone::clone, untold);
    let words = (Effect::Neutral, "words for people");
    found.value("purpose", (&was.purpose, purpose), Clone::clone, words);
    let answers = (Effect::Widening, ANSWERS);
    found.value("owner", (&was.owner, owner), Clone::clone, answers);
    found.value("deputy", (&was.deputy, deputy), Clone::clone, answers);
    let review = ("the approval ends sooner", "the approval would last longer");
    found.bound(
        "review_by",
        (was.review_by, *review_by),
        Less::Smaller,
        review,
    );
    let contained = (
        "its access is contained first and attested by two people",
        "its access would no longer be contained first and attested by two people",
    );
    let privileged = (was.privileged, *privileged);
    found.bound("privileged", privileged, Less::Greater, contained);
    let proof = if *after_removal == Expectation::AccountGone {
        (Effect::Narrowing, "more is needed for proof")
    } else {
        (Effect::Widening, "less would be enough for proof")
    };
    let expectation = (&was.after_removal, after_removal);
    found.value("after_removal", expectation, |one| told(*one), proof);
    let permitted = (Effect::Widening, "it would be permitted");
    let forbidden = (Effect::Narrowing, "it is no longer permitted");
    let (one, other) = (was.operations.iter(), operations.iter());
    let (one, other) = (one.map(|op| op.as_str()), other.map(|op| op.as_str()));
    found.members("operations", one, other, permitted, forbidden);
    let (one, other) = (was.writes.iter(), writes.iter());
    let (one, other) = (one.map(String::as_str), other.map(String::as_str));
    found.members("writes", one, other, permitted, forbidden);
    compare_without(&was.without, without, found);
    ways_in::correlation(&was.correlation, correlation, found);
    ways_in::probes(&was.probes, probes, found);
    let fed_by = (&was.fed_by, fed_by);
    let told = |by: &Option<String>| by.clone().unwrap_or_default();
    found.value("fed_by", fed_by, told, words);
    credentials::compare(&was.credentials, credentials, found);
    let overlap = (
        "an old secret goes sooner",
        "an old secret would live longer",
    );
    let seconds = (was.overlap_seconds, *overlap_seconds);
    found.bound("rotation.overlap_seconds", seconds, Less::Smaller, overlap);
    compare_limits(&was.limits, limits, found);
    compare_expect(&was.expect, expect, found);
    fallback::compare(was, (fallback, break_glass, administrators), found);
}

fn told(expectation: Expectation) -> String {
    match expectation {
        Expectation::AccountGone => "account_gone".to_owned(),
        Expectation::AccountPowerless => "account_powerless".to_owned(),
        Expectation::NoWayIn => "no_way_in".to_owned(),
    }
}

fn compare_without(
    was: &BTreeMap<Operation, String>,
    becomes: &BTreeMap<Operation, String>,
    found: &mut Found,
) {
    let (one, other) = (was.keys(), becomes.keys());
    found.members(
        "without",
        one.map(|op| op.as_str()),
        other.map(|op| op.as_str()),
        (
            Effect::Widening,
            "the step would be left out instead of owed",
        ),
        (
            Effect::Narrowing,
            "the step is owed, by a person if need be",
        ),
    );
    for (operation, reason) in becomes {
        if let Some(before) = was.get(operation) {
            let what = format!("without.{}", operation.as_str());
            let words = (Effect::Neutral, "words for people");
            found.value(&what, (before, reason), Clone::clone, words);
        }
    }
}

fn compare_limits(was: &Limits, becomes: &Limits, found: &mut Found) {
    let Limits {
        concurrency,
        requests_per_second,
        timeout_seconds,
        listing_timeout_seconds,
        breaker_failures,
        breaker_pause_seconds,
    } = *becomes;
    let pressed = (
        "the target is pressed less",
        "the target would be pressed more",
    );
    let mut limit = |field: &str, values: (u64, u64), less| {
        found.bound(&format!("limits.{field}"), values, less, pressed);
    };
    let wide = |one: u32, other: u32| (u64::from(one), u64::from(other));
    let less = Less::Smaller;
    limit("concurrency", wide(was.concurrency, concurrency), less);
    let rate = wide(was.requests_per_second, requests_per_second);
    limit("requests_per_second", rate, less);
    limit(
        "timeout_seconds",
        (was.timeout_seconds, timeout_seconds),
        less,
    );
    let listing = (was.listing_timeout_seconds, listing_timeout_seconds);
    limit("listing_timeout_seconds", listing, less);
    let failures = wide(was.breaker_failures, breaker_failures);
    limit("breaker_failures", failures, less);
    let pause = (was.breaker_pause_seconds, breaker_pause_seconds);
    limit("breaker_pause_seconds", pause, Less::Greater);
}

fn compare_expect(was: &Expect, becomes: &Expect, found: &mut Found) {
    let Expect {
        accounts_min,
        accounts_max,
        fields,
        max_data_age_seconds,
        refresh_seconds,
        change_at_most_percent,
    } = becomes;
    let believed = (
        "fewer answers are believed",
        "more answers would be believed",
    );
    let least = (was.accounts_min, *accounts_min);
    found.bound("expect.accounts_min", least, Less::Greater, believed);
    let most = (Count(was.accounts_max), Count(*accounts_max));
    found.bound("expect.accounts_max", most, Less::Smaller, believed);
    let (one, other) = (was.fields.iter(), fields.iter());
    found.members(
        "expect.fields",
        one.map(String::as_str),
        other.map(String::as_str),
        (Effect::Narrowing, "fewer answers are believed"),
        (Effect::Widening, "more answers would be believed"),
    );
    let age = (was.max_data_age_seconds, *max_data_age_seconds);
    found.bound("expect.max_data_age_seconds", age, Less::Smaller, believed);
    let refresh = (was.refresh_seconds, *refresh_seconds);
    found.bound("expect.refresh_seconds", refresh, Less::Smaller, believed);
    let most = |share: Option<u64>| Count(share.unwrap_or(u64::MAX));
    let change = (
        most(was.change_at_most_percent),
        most(*change_at_most_percent),
    );
    found.bound(
        "expect.change_at_most_percent",
        change,
        Less::Smaller,
        believed,
    );
}

mod fallback;

mod ways_in;

#[cfg(test)]
mod tests;
