//! Answers turned into accounts and entitlements, by the declared JSONPath expressions.
//!
//! Owns the reading of values and the fields that must be there. A list is named itself, not its
//! items, so that a renamed list is `drifted` and not taken for an empty one. Yes and no may come as
//! text. Takes over declared values only: what else an answer carries is dropped here.

use secrecy::SecretString;
use serde_json::Value;
use serde_json_path::JsonPath;
use sha2::{Digest, Sha256};

use super::account::{AccountShape, Meaning};
use super::classify;
use super::paging::ListPlace;
use super::settings::Entitlements;
use super::words::{flag, plain, says_something};
use crate::domain::access::{Account, AccountState, Entitlement};
use crate::domain::id::{AccountId, EntitlementId};
use crate::domain::outcome::Failure;

/// What the answer shows of one account.
#[derive(Debug)]
pub enum Shown {
    /// It is there.
    Account(Box<Account>),
    /// It is there in name only: softly deleted.
    Gone {
        /// Its id.
        id: AccountId,
        /// Sessions that its record shows still; one that tells none any more has none.
        sessions: u64,
    },
}

/// The list at `place`.
///
/// # Errors
/// `drifted` when it is not there, unless empty ones are left out, or no list.
pub fn items<'v>(place: &ListPlace, value: &'v Value, what: &str) -> Result<&'v [Value], Failure> {
    if place.omitted && leaves_out(place, value) {
        return Ok(&[]);
    }
    let found = place.path.query(value).at_most_one().ok();
    let found = found.flatten();
    found
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .ok_or_else(|| classify::drifted(format!("the answer holds no list of {what}")))
}

/// True for an answer in which nothing stands in the list's place.
pub fn leaves_out(place: &ListPlace, value: &Value) -> bool {
    let found = place.path.query(value).at_most_one();
    value.is_object() && matches!(found, Ok(None | Some(Value::Null)))
}

/// A number at `path`.
///
/// # Errors
/// `drifted` when it is not there or no whole number.
pub fn number(path: &JsonPath, value: &Value, what: &str) -> Result<u64, Failure> {
    let found = path.query(value).exactly_one().ok();
    let text = found.and_then(plain);
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| classify::drifted(format!("the answer holds no {what}")))
}

/// One account, without entitlements.
///
/// # Errors
/// `drifted` when a declared part is missing or of another type.
pub fn account(shape: &AccountShape, value: &Value) -> Result<Shown, Failure> {
    let id = AccountId(required(&shape.id, value, "id")?);
    let left = shape.gone.as_ref().map(|path| path.query(value));
    if left.is_some_and(|found| found.iter().any(|value| says_something(value))) {
        return gone(shape, value, id);
    }
    let mut state = AccountState::NotTold;
    if let Some(path) = &shape.state {
        let told = required(path, value, "state")?;
        match meaning(shape, &told) {
            Some(Meaning::State(known)) => state = *known,
            Some(Meaning::Gone) => return gone(shape, value, id),
            None => return Err(classify::drifted("the state has an undeclared value")),
        }
    }
    let login = required(&shape.login, value, "login")?;
    let mut attributes = std::collections::BTreeMap::new();
    for (name, path) in &shape.attributes {
        if let Some(text) = optional(path, value, name)? {
            attributes.insert(name.clone(), text);
        }
    }
    let sessions = match &shape.sessions {
        Some(path) => Some(number(path, value, "number of sessions")?),
        None => None,
    };
    let privileged = match &shape.privileged {
        Some(path) => {
            let found = path.query(value).exactly_one().ok();
            found
                .and_then(flag)
                .ok_or_else(|| classify::drifted("`privileged` is no yes or no"))?
        }
        None => false,
    };
    let display_name = match &shape.display_name {
        Some(path) => optional(path, value, "display name")?,
        None => None,
    };
    Ok(Shown::Account(Box::new(Account {
        id,
        login,
        display_name,
        state,
        attributes,
        entitlements: Vec::new(),
        sessions,
        further: std::collections::BTreeMap::new(),
        privileged,
    })))
}

/// What is deleted softly need not show what it no longer has; what it shows must be readable.
fn gone(shape: &AccountShape, value: &Value, id: AccountId) -> Result<Shown, Failure> {
    let sessions = match &shape.sessions {
        Some(path) if path.query(value).iter().any(|told| !told.is_null()) => {
            number(path, value, "number of sessions")?
        }
        Some(_) | None => 0,
    };
    Ok(Shown::Gone { id, sessions })
}

/// The meaning of a state; yes and no are spelled in several ways.
fn meaning<'s>(shape: &'s AccountShape, told: &str) -> Option<&'s Meaning> {
    let lower = told.to_ascii_lowercase();
    let known = shape.states.get(told);
    known.or_else(|| {
        matches!(lower.as_str(), "true" | "false")
            .then(|| shape.states.get(&lower))
            .flatten()
    })
}

/// An entitlement, and its real id where only a digest of that is kept.
#[derive(Debug)]
pub struct Held {
    /// As it is kept and shown.
    pub entitlement: Entitlement,
    /// The id that the target knows.
    pub secret: Option<SecretString>,
}

/// The entitlements in a list.
///
/// # Errors
/// `drifted` when one lacks its id.
pub fn entitlements(shape: &Entitlements, items: &[Value]) -> Result<Vec<Held>, Failure> {
    items.iter().map(|item| entitlement(shape, item)).collect()
}

fn entitlement(shape: &Entitlements, item: &Value) -> Result<Held, Failure> {
    let real = entitlement_id(shape, item)?;
    let name = match &shape.name {
        Some(path) => optional(path, item, "name of an entitlement")?,
        None => None,
    };
    // A place that says no or nothing stands beside access that is held directly.
    let inherited_from = match &shape.inherited_from {
        Some(path) if path.query(item).iter().any(|found| says_something(found)) => {
            optional(path, item, "origin of an entitlement")?
        }
        Some(_) | None => None,
    };
    let (id, secret) = if shape.secret_id {
        let digest = hex::encode(Sha256::digest(real.as_bytes()));
        (format!("sha256:{digest}"), Some(SecretString::from(real)))
    } else {
        (real, None)
    };
    Ok(Held {
        entitlement: Entitlement {
            id: EntitlementId(id.clone()),
            kind: shape.kind,
            name: name.unwrap_or(id),
            inherited_from,
        },
        secret,
    })
}

/// The id of an entitlement as the target knows it.
///
/// # Errors
/// `drifted` when there is none.
pub fn entitlement_id(shape: &Entitlements, item: &Value) -> Result<String, Failure> {
    required(&shape.id, item, "id of an entitlement")
}

/// One value as text, if it is there and plain.
pub fn text(path: &JsonPath, value: &Value) -> Option<String> {
    path.query(value).at_most_one().ok()?.and_then(plain)
}

/// How many of the declared fields `value` lacks.
pub fn missing<'f>(fields: &'f [String], value: &Value) -> Vec<&'f str> {
    let lacks = |field: &&String| {
        let mut parts = field.split('.');
        let found = parts.try_fold(value, |value, part| value.get(part));
        found.is_none_or(Value::is_null)
    };
    fields.iter().filter(lacks).map(String::as_str).collect()
}

/// One value as text that must be there, such as an id: one that cannot be read may be anybody's.
///
/// # Errors
/// `drifted` when it is missing, empty or not plain.
pub fn required(path: &JsonPath, value: &Value, what: &str) -> Result<String, Failure> {
    match optional(path, value, what)? {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(classify::drifted(format!("the {what} is missing"))),
    }
}

fn optional(path: &JsonPath, value: &Value, what: &str) -> Result<Option<String>, Failure> {
    let found = path
        .query(value)
        .at_most_one()
        .map_err(|_| classify::drifted(format!("the {what} stands there more than once")))?;
    match found {
        None | Some(Value::Null) => Ok(None),
        Some(value) => plain(value)
            .map(Some)
            .ok_or_else(|| classify::drifted(format!("the {what} is no plain value"))),
    }
}
