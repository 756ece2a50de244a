//! What a target's own words mean, as the manifest declares it.
//!
//! Owns `error`, `auth_errors` and the tables `errors`. Some APIs say 200 to everything and tell in
//! the body what went wrong; others give one status to ten causes. Words are looked at whatever the
//! status; what no declaration knows is left to the status and to `success`.

use serde_json::Value;
use serde_json_path::JsonPath;

use super::request::{optional_path, required_path};
use crate::document::Table;
use crate::domain::outcome::FailureClass;

/// The declared meanings, in order.
#[derive(Debug, Clone)]
pub struct Words {
    /// Where an error answer carries its words.
    error: Option<JsonPath>,
    declared: Vec<Declared>,
}

#[derive(Debug, Clone)]
struct Declared {
    path: JsonPath,
    /// Without any, whatever says something is meant.
    values: Vec<String>,
    sense: Sense,
}

/// What words mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sense {
    /// What the request names is not there.
    NotFound,
    /// A failure of this class.
    Class(FailureClass),
}

impl Words {
    /// Reads the keys from the kind's table.
    pub fn read(table: &Table<'_>) -> Option<Self> {
        let error = optional_path(table, "error")?;
        let mut declared = Vec::new();
        let auth = table.strings("auth_errors");
        match (&error, auth.first()) {
            (None, Some(first)) => {
                table.report(
                    first.line,
                    "`auth_errors` without `error`",
                    "say with `error` where an error answer has its words",
                );
                return None;
            }
            (Some(path), Some(_)) => declared.push(Declared {
                path: path.clone(),
                values: auth.into_iter().map(|item| item.value).collect(),
                sense: Sense::Class(FailureClass::AuthFailure),
            }),
            (_, None) => {}
        }
        let tables = table.tables("errors");
        let read: Vec<_> = tables.iter().map(read_one).collect();
        declared.extend(read.into_iter().collect::<Option<Vec<_>>>()?);
        Some(Self { error, declared })
    }

    /// The target's words about what went wrong.
    pub fn text(&self, body: &Value) -> Option<String> {
        let found = self.error.as_ref()?.query(body).first()?;
        found
            .as_str()
            .map(ToOwned::to_owned)
            .or_else(|| says_something(found).then(|| found.to_string()))
    }

    /// The declared meaning of an answer, with the word that has it.
    pub fn sense(&self, body: &Value) -> Option<(Sense, String)> {
        self.declared.iter().find_map(|declared| {
            let found = declared.path.query(body);
            let word = found.iter().find_map(|value| declared.known(value))?;
            Some((declared.sense, word))
        })
    }
}

impl Declared {
    fn known(&self, value: &Value) -> Option<String> {
        if self.values.is_empty() {
            return says_something(value).then(|| plain(value).unwrap_or_default());
        }
        plain(value).filter(|word| self.values.contains(word))
    }
}

fn read_one(table: &Table<'_>) -> Option<Declared> {
    let path = required_path(table, "path");
    let values = table.strings("values");
    let sense = table.required_string("means").and_then(|item| {
        let class = FailureClass::from_name(&item.value);
        match (item.value.as_str(), class) {
            ("not_found", _) => Some(Sense::NotFound),
            // `refused` says that nothing was sent, and `ambiguous` that several accounts match.
            (_, Some(class))
                if !matches!(class, FailureClass::Refused | FailureClass::Ambiguous) =>
            {
                Some(Sense::Class(class))
            }
            (other, _) => {
                table.report(
                    item.line,
                    format!("`{other}` is nothing that an answer can mean"),
                    "use not_found, or a failure class such as auth_failure, rate_limited, \
                     unreachable, write_failure, stale_data, unsupported or inherited",
                );
                None
            }
        }
    });
    // Any error at all would otherwise be absence, a refused credential among them.
    if values.is_empty() && sense == Some(Sense::NotFound) {
        table.report(
            table.line(),
            format!(
                "`{}` takes whatever stands there for \"not found\"",
                table.path()
            ),
            "list in `values` the target's words for what is not there",
        );
    }
    table.finish();
    Some(Declared {
        path: path?,
        values: values.into_iter().map(|item| item.value).collect(),
        sense: sense?,
    })
}

/// Text, a number or a flag, as text.
pub fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Number(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Yes or no, also as text or as 1 and 0.
pub fn flag(value: &Value) -> Option<bool> {
    let text = plain(value)?.to_ascii_lowercase();
    match text.as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// False for null, no, nothing and emptiness.
pub fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::String(text) => !text.is_empty() && flag(value) != Some(false),
        Value::Bool(_) | Value::Number(_) => flag(value) != Some(false),
    }
}
