//! Answers turned into accounts and entitlements, by the declared JSONPath expressions.
//!
//! Owns the reading of values and the fields that must be there. A list is named itself, not its
//! items, so that a renamed list is `drifted` and not taken for an empty one.

use serde_json::Value;
use serde_json_path::JsonPath;

use super::classify;
use super::settings::{AccountShape, Entitlements, Meaning};
use crate::domain::access::{Account, AccountState, Entitlement};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;

/// What the answer shows of one account.
#[derive(Debug)]
pub enum Shown {
    /// It is there.
    Account(Box<Account>),
    /// It is there in name only: softly deleted.
    Gone(AccountId),
}

/// The list at `path`.
///
/// # Errors
/// `drifted` when it is not there or no list.
pub fn items<'v>(path: &JsonPath, value: &'v Value, what: &str) -> Result<&'v [Value], Failure> {
    let found = path.query(value).exactly_one().ok();
    found
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .ok_or_else(|| classify::drifted(format!("the answer holds no list of {what}")))
}

/// A number at `path`.
///
/// # Errors
/// `drifted` when it is not there or no whole number.
pub fn number(path: &JsonPath, value: &Value, what: &str) -> Result<u64, Failure> {
    let found = path.query(value).exactly_one().ok();
    found
        .and_then(Value::as_u64)
        .ok_or_else(|| classify::drifted(format!("the answer holds no {what}")))
}

/// One account, without entitlements.
///
/// # Errors
/// `drifted` when a declared part is missing or of another type.
pub fn account(shape: &AccountShape, value: &Value) -> Result<Shown, Failure> {
    let id = AccountId(required(&shape.id, value, "id")?);
    let mut state = AccountState::NotTold;
    if let Some(path) = &shape.state {
        let told = required(path, value, "state")?;
        match shape.states.get(&told) {
            Some(Meaning::State(known)) => state = *known,
            Some(Meaning::Gone) => return Ok(Shown::Gone(id)),
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
            let flag = found.and_then(Value::as_bool);
            flag.ok_or_else(|| classify::drifted("`privileged` is no yes or no"))?
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
        privileged,
    })))
}

/// The entitlements in a list.
///
/// # Errors
/// `drifted` when one lacks its id.
pub fn entitlements(shape: &Entitlements, items: &[Value]) -> Result<Vec<Entitlement>, Failure> {
    let read = |item: &Value| {
        let id = required(&shape.id, item, "id of an entitlement")?;
        let name = match &shape.name {
            Some(path) => optional(path, item, "name of an entitlement")?,
            None => None,
        };
        let inherited_from = match &shape.inherited_from {
            Some(path) => optional(path, item, "origin of an entitlement")?,
            None => None,
        };
        Ok(Entitlement {
            id: id.as_str().into(),
            kind: shape.kind,
            name: name.unwrap_or(id),
            inherited_from,
        })
    };
    items.iter().map(read).collect()
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

fn required(path: &JsonPath, value: &Value, what: &str) -> Result<String, Failure> {
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
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Bool(flag)) => Ok(Some(flag.to_string())),
        Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
        Some(Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(classify::drifted(format!("the {what} is no plain value")))
        }
    }
}
