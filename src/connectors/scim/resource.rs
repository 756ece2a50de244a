//! SCIM resources as the domain's terms.
//!
//! Owns the reading of users and of group members, forgiving in what the standard leaves open:
//! attribute names are compared without regard to case (RFC 7643 §2.1), booleans may come as
//! strings, multi-valued attributes may hold bare strings. Unforgiving where a field was declared,
//! and where access may be shown in a way that it cannot read.

use std::borrow::Cow;
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

/// The elements of a multi-valued attribute; none where it is missing or null (RFC 7643 §2.5).
///
/// # Errors
/// `drifted` when something else than a list stands there: it may be what we look for.
pub(super) fn elements<'v>(object: &'v Value, name: &str) -> Result<&'v [Value], Failure> {
    match field(object, name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(elements)) => Ok(elements),
        Some(_) => Err(drifted(format!("`{name}` is no list"))),
    }
}

/// The `value` of an element of the attribute `name`, or the element itself where it is bare.
///
/// # Errors
/// `drifted` when there is none: the element may be the one that we look for.
pub(super) fn value_of<'v>(name: &str, element: &'v Value) -> Result<Cow<'v, str>, Failure> {
    let value = plain(element).or_else(|| plain(field(element, "value")?));
    // Roles without a value are known by their name. What a person or a group is called is no id.
    let named = VALUED.iter().any(|(attribute, _, _)| *attribute == name);
    let display = || plain(field(element, "display").filter(|_| named)?);
    value
        .or_else(display)
        .ok_or_else(|| drifted(format!("an element of `{name}` shows no readable `value`")))
}

/// Text that says something, or a number as text.
fn plain(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// A user as an account.
///
/// # Errors
/// `drifted` when the id, the userName or a declared attribute is missing, or an attribute cannot be
/// read.
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
        attributes: attributes(user)?,
        entitlements: entitlements(user)?,
        sessions: None,
        further: BTreeMap::new(),
        privileged: false,
    })
}

/// What a correlation rule may name: simple attributes, those of schema extensions by their last
/// name (`employeeNumber`), and the primary e-mail address.
fn attributes(user: &Value) -> Result<BTreeMap<String, String>, Failure> {
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
    let emails = elements(user, "emails")?;
    let primary = emails
        .iter()
        .find(|email| field(email, "primary").and_then(flag) == Some(true))
        .or(emails.first());
    // An element without an address is none, whoever else it names.
    if let Some(Ok(address)) = primary.map(|email| value_of("emails", email)) {
        attributes.insert("email".to_owned(), address.into_owned());
    }
    Ok(attributes)
}

/// What the user resource itself shows. Groups are shown too, but asked at the groups before a
/// reading counts: many servers do not fill them in, or late.
fn entitlements(user: &Value) -> Result<Vec<Entitlement>, Failure> {
    let mut found = Vec::new();
    for (name, prefix, kind) in VALUED {
        for element in elements(user, name)? {
            let value = value_of(name, element)?;
            let id = valued_id(prefix, &value);
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
                name: label(element, &value, kind),
                inherited_from: None,
            });
        }
    }
    for element in elements(user, "groups")? {
        let id = value_of("groups", element)?;
        if !is_indirect(element) {
            found.push(membership(&id, text(element, "display")));
        }
    }
    Ok(found)
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
///
/// # Errors
/// `drifted` when any member cannot be read: it may be the user.
pub(super) fn has_member(group: &Value, user: &str) -> Result<bool, Failure> {
    let mut found = false;
    for member in elements(group, "members")? {
        found |= value_of("members", member)? == user;
    }
    Ok(found)
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
