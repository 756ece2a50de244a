//! What the comparison promises: whatever permits more waits, and a narrowing never permits more.
//!
//! Manifests are drawn from texts that the registry would read; what they permit is asked of a
//! small world of operations, fields, limits and answers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::fixture::CRM;
use super::*;
use crate::document::Document;

const URL: &str = "[scim]\nbase_url = \"https://crm.example/scim\"\n";

fn written(text: &str) -> Written {
    let document = Document::parse("crm.toml", text).expect("syntax");
    let manifest = Manifest::read(&document.root());
    let problems = document.take_problems();
    assert!(problems.is_empty(), "{problems}");
    Written::new(manifest, &document, text)
}

fn crm() -> Written {
    written(&format!("{CRM}{URL}"))
}

/// The one difference that this edit of the text makes.
fn one(from: &str, to: &str) -> Difference {
    let text = format!("{CRM}{URL}");
    assert!(text.contains(from), "{from}");
    let mut found = compare(&crm(), &written(&text.replacen(from, to, 1)));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// What is edited, into what, which field that is, and what it does.
const EDITS: &[(&str, &str, &str, Effect)] = &[
    (
        "\"Customer records\"",
        "\"Customers\"",
        "purpose",
        Effect::Neutral,
    ),
    ("\"sales-it@", "\"support@", "owner", Effect::Widening),
    ("\"iam@", "\"it@", "deputy", Effect::Widening),
    ("2027-03-31", "2027-03-30", "review_by", Effect::Narrowing),
    ("2027-03-31", "2027-04-01", "review_by", Effect::Widening),
    (
        "account_gone",
        "account_powerless",
        "after_removal",
        Effect::Widening,
    ),
    ("\"disable\", ", "", "operations", Effect::Narrowing),
    (
        "\"disable\", ",
        "\"disable\", \"revoke_credential\", ",
        "operations",
        Effect::Widening,
    ),
    (
        "\"members\"",
        "\"members\", \"roles\"",
        "writes",
        Effect::Widening,
    ),
    (
        "\"active\", \"members\"",
        "\"members\"",
        "writes",
        Effect::Narrowing,
    ),
    (
        "end_sessions = \"sessions end",
        "end_sessions = \"they end",
        "without.end_sessions",
        Effect::Neutral,
    ),
    (
        "\"externalId\"",
        "\"userName\"",
        "correlation",
        Effect::Widening,
    ),
    (
        "local:crm/writer",
        "local:erp/writer",
        "credentials.writer.secret",
        Effect::Widening,
    ),
    (
        "max_age_days = 90",
        "max_age_days = 30",
        "credentials.writer.max_age_days",
        Effect::Narrowing,
    ),
    (
        "max_age_days = 90\n",
        "",
        "credentials.writer.max_age_days",
        Effect::Widening,
    ),
    (
        "rotation = \"add\"",
        "rotation = \"choose\"",
        "credentials.writer.rotation",
        Effect::Widening,
    ),
    (
        "timeout_seconds = 5",
        "timeout_seconds = 4",
        "limits.timeout_seconds",
        Effect::Narrowing,
    ),
    (
        "breaker_failures = 2",
        "breaker_failures = 3",
        "limits.breaker_failures",
        Effect::Widening,
    ),
    (
        "breaker_failures = 2",
        "breaker_failures = 2\nbreaker_pause_seconds = 60",
        "limits.breaker_pause_seconds",
        Effect::Narrowing,
    ),
    (
        "accounts_min = 1",
        "accounts_min = 2",
        "expect.accounts_min",
        Effect::Narrowing,
    ),
    (
        "accounts_max = 1000",
        "accounts_max = 1001",
        "expect.accounts_max",
        Effect::Widening,
    ),
    (
        ", \"active\"]\n[fallback]",
        "]\n[fallback]",
        "expect.fields",
        Effect::Widening,
    ),
    (
        "deadline_hours = 24",
        "deadline_hours = 12",
        "fallback.deadline_hours",
        Effect::Narrowing,
    ),
    (
        "and delete",
        "and remove",
        "fallback.steps",
        Effect::Widening,
    ),
    (
        "https://crm.",
        "https://evil.",
        "scim.base_url",
        Effect::Widening,
    ),
    (
        "purpose",
        "privileged = true\npurpose",
        "privileged",
        Effect::Narrowing,
    ),
];

#[test]
fn c4_each_change_is_told_with_what_it_does() {
    for (from, to, what, effect) in EDITS {
        let found = one(from, to);
        assert_eq!(
            (&found.what.as_str(), &found.effect),
            (what, effect),
            "{from} -> {to}"
        );
        assert!(!found.why.is_empty());
    }
}

#[test]
fn a_comment_or_another_order_is_no_other_manifest() {
    let text = format!("# reviewed\n{CRM}{URL}");
    let moved = text.replace("purpose = \"Customer records\"\n", "");
    let moved = moved.replacen("kind =", "purpose = \"Customer records\"\nkind =", 1);
    assert_eq!(written(&text).content.digest, crm().content.digest);
    assert_eq!(written(&moved).content.digest, crm().content.digest);
    assert_ne!(written(&text).content.text, crm().content.text);
}

#[test]
fn c4_what_the_comparison_does_not_know_counts_as_widening() {
    let (was, mut becomes) = (crm(), crm());
    let added = ("burst.most".to_owned(), serde_json::json!(0));
    becomes.rest.extend([added]);
    for (one, other) in [(&was, &becomes), (&becomes, &was)] {
        let found = compare(one, other);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].what.as_str(), found[0].effect),
            ("burst.most", Effect::Widening)
        );
    }
}

#[test]
fn c4_what_is_forced_or_cut_elsewhere_waits_for_approval_both_ways() {
    let with = |more: &str| written(&format!("{CRM}{URL}{more}"));
    for more in [
        "[nhi]\naccounts = \"all\"\n",
        "[upstream]\nconnector = \"idp\"\nentitlement = \"app-crm\"\n",
    ] {
        for found in [compare(&crm(), &with(more)), compare(&with(more), &crm())] {
            assert_eq!(effect(&found), Effect::Widening, "{more}");
        }
    }
}

/// Questions to a manifest; `true` is a permission.
fn permits(manifest: &Manifest) -> Vec<bool> {
    let mut answers = Vec::new();
    for operation in Operation::ALL {
        answers.push(manifest.operations.contains(&operation));
        answers.push(manifest.without.contains_key(&operation));
    }
    for field in ["active", "members", "roles", "*"] {
        answers.push(manifest.writes.contains(field));
    }
    for level in [0, 1, 2, 3, 5, 8, 100] {
        answers.push(u64::from(manifest.limits.concurrency) >= level);
        answers.push(manifest.limits.timeout_seconds >= level);
        answers.push(u64::from(manifest.limits.breaker_failures) >= level);
        answers.push(manifest.limits.breaker_pause_seconds <= level);
        answers
            .push((manifest.expect.accounts_min..=manifest.expect.accounts_max).contains(&level));
        answers.push(manifest.expect.max_data_age_seconds >= level);
        answers.push(manifest.overlap_seconds >= level);
        answers.push(manifest.fallback.deadline_hours >= level);
    }
    for field in ["userName", "active"] {
        answers.push(!manifest.expect.fields.iter().any(|one| one == field));
    }
    answers.push(!manifest.privileged);
    answers.push(manifest.after_removal == Expectation::AccountPowerless);
    answers
}

fn no_more_than(one: &Manifest, other: &Manifest) -> bool {
    let pairs = permits(one).into_iter().zip(permits(other));
    pairs.into_iter().all(|(one, other)| !one || other)
}

fn subset<T: Clone + Ord + std::fmt::Debug + 'static>(
    of: Vec<T>,
) -> impl Strategy<Value = BTreeSet<T>> {
    let most = of.len();
    let some = proptest::sample::subsequence(of, 0..=most);
    some.prop_map(|some| some.into_iter().collect())
}

prop_compose! {
    fn scope()(
        operations in subset(Operation::ALL.to_vec()),
        writes in subset(vec!["active".to_owned(), "members".into(), "roles".into(), "*".into()]),
        without in subset(Operation::ALL.to_vec()),
        fields in subset(vec!["userName".to_owned(), "active".into()]),
        privileged: bool,
        gone: bool,
    ) -> Manifest {
        let mut manifest = crm().manifest;
        manifest.operations = operations;
        manifest.writes = writes;
        manifest.without = without.into_iter().map(|op| (op, "no need".to_owned())).collect();
        manifest.expect.fields = fields.into_iter().collect();
        manifest.privileged = privileged;
        manifest.after_removal = if gone {
            Expectation::AccountGone
        } else {
            Expectation::AccountPowerless
        };
        manifest
    }
}

prop_compose! {
    fn manifest()(
        mut manifest in scope(),
        numbers in proptest::collection::vec(1_u64..9, 8),
        day in 1_i8..=28,
        owner in 0_u8..2,
    ) -> Manifest {
        manifest.limits.concurrency = numbers[0] as u32;
        manifest.limits.timeout_seconds = numbers[1];
        manifest.limits.breaker_failures = numbers[2] as u32;
        manifest.limits.breaker_pause_seconds = numbers[3];
        manifest.expect.accounts_min = numbers[4];
        manifest.expect.accounts_max = numbers[4] + numbers[5];
        manifest.expect.max_data_age_seconds = numbers[6];
        manifest.overlap_seconds = numbers[7];
        manifest.fallback.deadline_hours = numbers[0];
        manifest.review_by = jiff::civil::date(2030, 1, day);
        manifest.owner = format!("owner {owner}");
        manifest
    }
}

fn as_written(manifest: Manifest) -> Written {
    Written { manifest, ..crm() }
}

proptest! {
    #[test]
    fn c4_what_permits_more_waits(was in manifest(), becomes in manifest()) {
        let (was, becomes) = (as_written(was), as_written(becomes));
        let found = compare(&was, &becomes);
        if effect(&found) != Effect::Widening {
            prop_assert!(no_more_than(&becomes.manifest, &was.manifest), "{found:?}");
        }
        prop_assert_eq!(found.is_empty(), was.manifest == becomes.manifest);
    }

    #[test]
    fn c4_a_narrowing_permits_nothing_that_either_does_not(one in manifest(), other in manifest()) {
        let less = narrowed(&one, &other);
        prop_assert!(no_more_than(&less, &one));
        prop_assert!(no_more_than(&less, &other));
        // And so it would bind without anyone's approval.
        let found = compare(&as_written(one.clone()), &as_written(less.clone()));
        prop_assert_ne!(effect(&found), Effect::Widening, "{:?}", found);
        prop_assert_eq!(narrowed(&one, &less), less);
    }
}
