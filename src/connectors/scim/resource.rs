//! SCIM resources as the domain's terms.
//!
//! Owns the reading of users and of group members, forgiving in what the standard leaves open:
//! attribute names are compared without regard to case (RFC 7643 §2.1), booleans may come as
//! strings, multi-valued attributes may hold bare strings. Unforgiving where a field was declared.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::classify::drifted;
use crate::domain::access::{Account, AccountState, Entitlement, EntitlementKind};
use crate::domain::id::EntitlementId;
use crate::domain::outcome::Failure;

/// How the ids of group memberships begin.
pub(super) const GROUP: &str = "group:";

/// The multi-valued attributes of a user that are access: name, id prefix and kind.
pub(super) const VALUED: [(&str, &str, EntitlementKind); 3] = [
    ("roles", "role:", EntitlementKind::Role),
    ("entitlements", "entitlement:", EntitlementKind::Permission),
    (
        "x509Certificates",
        "certificate:",
        EntitlementKind::Credential,
    ),
];

/// An attribute of an object.
pub(super) fn field<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    let object = object.as_object()?;
    object.get(name).or_else(|| {
        let mut fields = object.iter();
        fields
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

/// An attribute that is text.
pub(super) fn text<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    field(object, name)?.as_str()
}

/// A boolean, also as a string.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The elements of a multi-valued attribute.
pub(super) fn elements<'v>(object: &'v Value, name: &str) -> &'v [Value] {
    field(object, name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The `value` of an element, or the element itself where it is bare.
pub(super) fn value_of(element: &Value) -> Option<&str> {
    element
        .as_str()
        .or_else(|| text(element, "value"))
        .or_else(|| text(element, "display"))
        .filter(|value| !value.is_empty())
}

/// A user as an account.
///
/// # Errors
/// `drifted` when the id, the userName or a declared attribute is missing.
pub(super) fn account(user: &Value, declared: &[String]) -> Result<Account, Failure> {
    for name in declared {
        if field(user, name).is_none_or(Value::is_null) {
            return Err(drifted(format!("a user lacks the declared field `{name}`")));
        }
    }
    let needed = |name: &str| {
        text(user, name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| drifted(format!("a user lacks `{name}`")))
    };
    let state = match field(user, "active") {
        None | Some(Value::Null) => AccountState::NotTold,
        Some(value) => match flag(value) {
            Some(true) => AccountState::Enabled,
            Some(false) => AccountState::Disabled,
            None => return Err(drifted("`active` is neither true nor false")),
        },
    };
    let formatted = field(user, "name").and_then(|name| text(name, "formatted"));
    Ok(Account {
        id: needed("id")?.into(),
        login: needed("userName")?.to_owned(),
        display_name: text(user, "displayName")
            .or(formatted)
            .map(ToOwned::to_owned),
        state,
        attributes: attributes(user),
        entitlements: entitlements(user),
        sessions: None,
        privileged: false,
    })
}

/// What a correlation rule may name: simple attributes, those of schema extensions by their last
/// name (`employeeNumber`), and the primary e-mail address.
fn attributes(user: &Value) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    let mut take = |object: &Value| {
        for (key, value) in object.as_object().into_iter().flatten() {
            let simple = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
            };
            attributes.entry(key.clone()).or_insert(simple);
        }
    };
    take(user);
    for (key, value) in user.as_object().into_iter().flatten() {
        if key.to_ascii_lowercase().starts_with("urn:") {
            take(value);
        }
    }
    let emails = elements(user, "emails");
    let primary = emails
        .iter()
        .find(|email| field(email, "primary").and_then(flag) == Some(true))
        .or(emails.first());
    if let Some(address) = primary.and_then(value_of) {
        attributes.insert("email".to_owned(), address.to_owned());
    }
    attributes
}

/// What the user resource itself shows. Groups are shown too, but asked at the groups before a
/// reading counts: many servers do not fill them in, or late.
fn entitlements(user: &Value) -> Vec<Entitlement> {
    let mut found = Vec::new();
    for (name, prefix, kind) in VALUED {
        for element in elements(user, name) {
            let Some(value) = value_of(element) else {
                continue;
            };
            let id = valued_id(prefix, value);
            let licence = text(element, "type").is_some_and(is_licence);
            if found.iter().any(|one: &Entitlement| one.id == id) {
                continue;
            }
            found.push(Entitlement {
                id,
                kind: if licence {
                    EntitlementKind::Licence
                } else {
                    kind
                },
                name: label(element, value, kind),
                inherited_from: None,
            });
        }
    }
    for element in elements(user, "groups") {
        if let (Some(id), false) = (value_of(element), is_indirect(element)) {
            found.push(membership(id, text(element, "display")));
        }
    }
    found
}

/// Membership of one group.
pub(super) fn membership(id: &str, name: Option<&str>) -> Entitlement {
    Entitlement {
        id: EntitlementId(format!("{GROUP}{id}")),
        kind: EntitlementKind::Group,
        name: name.unwrap_or(id).to_owned(),
        inherited_from: None,
    }
}

/// The id of a value; a certificate is long, and known by its digest.
pub(super) fn valued_id(prefix: &str, value: &str) -> EntitlementId {
    if prefix == "certificate:" {
        let digest = hex::encode(Sha256::digest(value.as_bytes()));
        return EntitlementId(format!("{prefix}{digest}"));
    }
    EntitlementId(format!("{prefix}{value}"))
}

/// `type` of a user's `groups` element (RFC 7643 §4.1.2).
pub(super) fn is_indirect(element: &Value) -> bool {
    text(element, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("indirect"))
}

/// True when the group names the user as a member.
pub(super) fn has_member(group: &Value, user: &str) -> bool {
    elements(group, "members")
        .iter()
        .any(|member| value_of(member) == Some(user))
}

fn is_licence(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    kind.contains("licence") || kind.contains("license")
}

fn label(element: &Value, value: &str, kind: EntitlementKind) -> String {
    let display = text(element, "display").filter(|display| !display.is_empty());
    match (display, kind) {
        (Some(display), _) => display.to_owned(),
        (None, EntitlementKind::Credential) => "certificate".to_owned(),
        (None, _) => value.to_owned(),
    }
}
