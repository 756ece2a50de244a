//! The `[credentials]` of a manifest.
//!
//! Owns the rules that make proof independent and rotation safe: the verifier is not the writer,
//! each role has a secret of its own, and what the machine is to rotate has a rotator. Knows
//! references only; whether a reference resolves is for `secrets`.

use std::collections::BTreeMap;

use crate::document::{Item, Table};
use crate::domain::rotation::Strategy;
use crate::domain::verdict::CredentialRole;

use super::manifest::CredentialDeclaration;

const ROLES: [CredentialRole; 3] = [
    CredentialRole::Writer,
    CredentialRole::Verifier,
    CredentialRole::Rotator,
];

/// How long before its known end a secret is replaced, unless the manifest says otherwise.
const RENEW_BEFORE_DAYS: u64 = 14;

/// Reads `[credentials.*]`; `writes` says whether a writer is needed.
pub(super) fn read(
    root: &Table<'_>,
    writes: bool,
) -> BTreeMap<CredentialRole, CredentialDeclaration> {
    let mut declared = BTreeMap::new();
    let Some(table) = root.required_table("credentials") else {
        return declared;
    };
    let mut secrets: Vec<Item<String>> = Vec::new();
    for role in ROLES {
        let needed = match role {
            CredentialRole::Verifier => true,
            CredentialRole::Writer => writes,
            CredentialRole::Rotator => false,
        };
        let Some(entry) = (if needed {
            table.required_table(role.as_str())
        } else {
            table.table(role.as_str())
        }) else {
            continue;
        };
        if let Some(secret) = entry.string("secret") {
            if secrets.iter().any(|other| other.value == secret.value) {
                entry.report(
                    secret.line,
                    format!(
                        "the {} shares the secret `{}` with another role",
                        role.as_str(),
                        secret.value
                    ),
                    "give each role a credential of its own: evidence must come by another path",
                );
            }
            secrets.push(secret);
        }
        if let Some(one) = read_one(&entry, role) {
            declared.insert(role, one);
        }
    }
    let rotator = declared.contains_key(&CredentialRole::Rotator);
    for (role, one) in &declared {
        let by_machine = matches!(
            one.rotation,
            Some(Strategy::Add | Strategy::Choose | Strategy::DualSlot)
        );
        if by_machine && *role != CredentialRole::Rotator && !rotator {
            table.report(
                table.line(),
                format!("the {} is to be rotated without a rotator", role.as_str()),
                "add [credentials.rotator] or remove its `rotation`",
            );
        }
    }
    table.finish();
    declared
}

fn read_one(entry: &Table<'_>, role: CredentialRole) -> Option<CredentialDeclaration> {
    let secret = entry.required_string("secret").and_then(|item| {
        let reference = item
            .value
            .split_once(':')
            .is_some_and(|(scheme, name)| !name.is_empty() && scheme.chars().all(is_scheme));
        if !reference {
            // The value itself is kept out of the message: it may be a secret put here by mistake.
            entry.report(
                item.line,
                format!("`{}.secret` is not a reference", entry.path()),
                "write where the secret lies, for example \"local:crm/writer\"; never the value",
            );
        }
        reference.then_some(item.value)
    });
    let username = entry.string("username").map(|item| item.value);
    let max_age_seconds = entry
        .integer("max_age_days", 1..=3650)
        .map(|item| item.value.unsigned_abs() * 86_400);
    let renew_before_seconds = entry
        .integer("renew_before_days", 1..=365)
        .map_or(RENEW_BEFORE_DAYS, |item| item.value.unsigned_abs())
        * 86_400;
    let lasts = entry.integer("lasts_hours", 1..=8_760);
    let known_by = entry.strings("known_by").into_iter();
    let known_by = known_by.map(|item| item.value).collect();
    let rotation = entry
        .string("rotation")
        .and_then(|item| read_strategy(entry, role, &item));
    if let (Some(item), false) = (&lasts, is_chosen(rotation)) {
        entry.report(
            item.line,
            "`lasts_hours` without a rotation that sets the value",
            "use it with `choose` or `dual_slot`; with `add`, the target tells when a secret ends",
        );
    }
    let alternate = entry.string("alternate_username");
    if let Some(problem) = doubtful_alternate(rotation, username.as_deref(), alternate.as_ref()) {
        let line = alternate.as_ref().map_or(entry.line(), |item| item.line);
        entry.report(
            line,
            problem,
            "`dual_slot` takes turns between `username` and `alternate_username`, two different names",
        );
    }
    entry.finish();
    Some(CredentialDeclaration {
        secret: secret?,
        username,
        alternate: alternate.map(|item| item.value),
        max_age_seconds,
        rotation,
        renew_before_seconds,
        lasts_seconds: lasts.map(|item| item.value.unsigned_abs() * 3600),
        known_by,
    })
}

/// Where we choose the value, we can have it end.
fn is_chosen(rotation: Option<Strategy>) -> bool {
    matches!(rotation, Some(Strategy::Choose | Strategy::DualSlot))
}

fn doubtful_alternate(
    rotation: Option<Strategy>,
    username: Option<&str>,
    alternate: Option<&Item<String>>,
) -> Option<&'static str> {
    match (rotation == Some(Strategy::DualSlot), alternate) {
        (true, None) => Some("`dual_slot` without `alternate_username`"),
        (true, Some(other)) if username.is_none_or(|name| name == other.value) => {
            Some("the two sign-in names are not two")
        }
        (false, Some(_)) => Some("`alternate_username` without `rotation = \"dual_slot\"`"),
        (true, Some(_)) | (false, None) => None,
    }
}

fn read_strategy(entry: &Table<'_>, role: CredentialRole, item: &Item<String>) -> Option<Strategy> {
    let strategy = match item.value.as_str() {
        "add" => Strategy::Add,
        "choose" => Strategy::Choose,
        "dual_slot" => Strategy::DualSlot,
        "delegated" => Strategy::Delegated,
        other => {
            entry.report(
                item.line,
                format!("`rotation` is `{other}`"),
                "use add, choose, dual_slot or delegated; leave it out if the machine cannot rotate it",
            );
            return None;
        }
    };
    if role == CredentialRole::Rotator && strategy != Strategy::Delegated {
        entry.report(
            item.line,
            "the rotator would rotate itself",
            "use `delegated` or leave it out: a failure would lock out the last way back",
        );
        return None;
    }
    Some(strategy)
}

fn is_scheme(c: char) -> bool {
    c.is_ascii_lowercase() || c == '_'
}
