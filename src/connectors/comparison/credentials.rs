//! What a manifest says of its credentials that another does not.
//!
//! Owns the comparison of one part: another sign-in widens, an earlier replacement narrows. Compares
//! references, never values.

use std::collections::BTreeMap;

use super::{Count, Effect, Found, Less, UNTOLD};
use crate::connectors::manifest::CredentialDeclaration;
use crate::domain::verdict::CredentialRole;

/// Notes every change.
pub(super) fn compare(
    was: &BTreeMap<CredentialRole, CredentialDeclaration>,
    becomes: &BTreeMap<CredentialRole, CredentialDeclaration>,
    found: &mut Found,
) {
    let untold = (Effect::Widening, UNTOLD);
    let (one, other) = (was.keys(), becomes.keys());
    let (one, other) = (
        one.map(|role| role.as_str()),
        other.map(|role| role.as_str()),
    );
    found.members("credentials", one, other, untold, untold);
    for (role, declared) in becomes {
        let Some(before) = was.get(role) else {
            continue;
        };
        let CredentialDeclaration {
            secret,
            username,
            alternate,
            max_age_seconds,
            rotation,
            renew_before_seconds,
            lasts_seconds,
            known_by,
        } = declared;
        let path = |field: &str| format!("credentials.{}.{field}", role.as_str());
        let other = (Effect::Widening, "it would sign in as somebody else");
        found.value(
            &path("secret"),
            (&before.secret, secret),
            Clone::clone,
            other,
        );
        let named = |name: &Option<String>| name.clone().unwrap_or_default();
        found.value(
            &path("username"),
            (&before.username, username),
            named,
            other,
        );
        found.value(
            &path("alternate_username"),
            (&before.alternate, alternate),
            named,
            other,
        );
        let how = |strategy: &Option<_>| strategy.map_or_else(String::new, |s| format!("{s:?}"));
        found.value(&path("rotation"), (&before.rotation, rotation), how, untold);
        let days = |age: Option<u64>| Count(age.map_or(u64::MAX, |seconds| seconds / 86_400));
        let age = (days(before.max_age_seconds), days(*max_age_seconds));
        let ages = ("it is replaced sooner", "it would be replaced later");
        found.bound(&path("max_age_days"), age, Less::Smaller, ages);
        let hours = |lasts: Option<u64>| Count(lasts.map_or(u64::MAX, |seconds| seconds / 3600));
        let lasts = (hours(before.lasts_seconds), hours(*lasts_seconds));
        let ends = ("it ends sooner", "it would end later");
        found.bound(&path("lasts_hours"), lasts, Less::Smaller, ends);
        let ahead = |seconds: u64| Count(seconds / 86_400);
        let ahead = (
            ahead(before.renew_before_seconds),
            ahead(*renew_before_seconds),
        );
        found.bound(&path("renew_before_days"), ahead, Less::Greater, ages);
        found.members(
            &path("known_by"),
            before.known_by.iter().map(String::as_str),
            known_by.iter().map(String::as_str),
            (Effect::Narrowing, "it is replaced when they leave"),
            (
                Effect::Widening,
                "it would no longer be replaced when they leave",
            ),
        );
    }
}
