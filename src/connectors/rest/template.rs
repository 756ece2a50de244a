//! Texts with places for the account and the entitlement.
//!
//! Owns the places, their checking at load and their filling. In a path a value becomes one escaped
//! segment, in a query an escaped value, in a body a JSON string: nothing that a target or an event
//! says can change what the request means.

use serde_json::Value;

use crate::connectors::http::{escape, segment};
use crate::connectors::{Change, unsupported};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;

/// What can be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `{account.id}`
    AccountId,
    /// `{account.login}`
    AccountLogin,
    /// `{entitlement.id}`
    EntitlementId,
    /// `{entitlement.name}`
    EntitlementName,
}

/// A path with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

/// The values of one call.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    account: &'a AccountId,
    change: Option<&'a Change>,
}

impl Place {
    const ALL: [Self; 4] = [
        Self::AccountId,
        Self::AccountLogin,
        Self::EntitlementId,
        Self::EntitlementName,
    ];

    /// As it is written, without brackets.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccountId => "account.id",
            Self::AccountLogin => "account.login",
            Self::EntitlementId => "entitlement.id",
            Self::EntitlementName => "entitlement.name",
        }
    }
}

impl<'a> Values<'a> {
    /// Only an id is known.
    pub fn of_account(account: &'a AccountId) -> Self {
        Self {
            account,
            change: None,
        }
    }

    /// All that a change says.
    pub fn of_change(change: &'a Change) -> Self {
        Self {
            account: &change.account,
            change: Some(change),
        }
    }

    fn get(self, place: Place) -> Result<&'a str, Failure> {
        let entitlement = self.change.and_then(|change| change.entitlement.as_ref());
        let value = match place {
            Place::AccountId => Some(self.account.as_str()),
            Place::AccountLogin => self.change.map(|change| change.login.as_str()),
            Place::EntitlementId => entitlement.map(|e| e.id.as_str()),
            Place::EntitlementName => entitlement.map(|e| e.name.as_str()),
        };
        value.ok_or_else(|| unsupported(&format!("fill in `{}` here", place.as_str())))
    }
}

impl Template {
    /// Parses a text in which only `allowed` places stand.
    ///
    /// # Errors
    /// What is wrong, for the author.
    pub fn parse(text: &str, allowed: &[Place]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let close = rest.find('}').filter(|close| *close > open);
            let close = close.ok_or("a bracket is not closed")?;
            let name = &rest[open + 1..close];
            let place = Place::ALL.into_iter().find(|place| place.as_str() == name);
            let place = place
                .filter(|place| allowed.contains(place))
                .ok_or_else(|| format!("`{{{name}}}` cannot be filled in here"))?;
            parts.push(Part::Text(rest[..open].to_owned()));
            parts.push(Part::Place(place));
            rest = &rest[close + 1..];
        }
        if rest.contains('}') {
            return Err("a bracket is not opened".to_owned());
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }

    /// Adds a query parameter with a fixed value.
    pub fn add_query(&mut self, name: &str, value: &str) {
        let mark = if self.has_query() { '&' } else { '?' };
        let text = format!("{mark}{}={}", escape(name), escape(value));
        self.parts.push(Part::Text(text));
    }

    /// True when a `?` stands in it.
    pub fn has_query(&self) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|part| matches!(part, Part::Text(text) if text.contains('?')))
    }

    /// True when the place stands in it.
    pub fn uses(&self, place: Place) -> bool {
        self.parts.contains(&Part::Place(place))
    }

    /// The last segment of the path that is not a place.
    pub fn last_word(&self) -> Option<String> {
        let mut words = Vec::new();
        for part in &self.parts {
            if let Part::Text(text) = part {
                let path = text.split('?').next().unwrap_or_default();
                words.extend(path.split('/').filter(|word| !word.is_empty()));
                if text.contains('?') {
                    break;
                }
            }
        }
        words.pop().map(ToOwned::to_owned)
    }

    /// Path and query with everything filled in.
    ///
    /// # Errors
    /// `refused` for a value that cannot be a segment.
    pub fn fill(&self, values: Values<'_>) -> Result<String, Failure> {
        let mut path = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Place(place) if path.contains('?') => {
                    path.push_str(&escape(values.get(*place)?));
                }
                Part::Place(place) => path.push_str(&segment(values.get(*place)?)?),
            }
        }
        Ok(path)
    }

    /// The text with its places as written, for comparing fields.
    fn fill_plain(&self, values: Values<'_>) -> Result<String, Failure> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Place(place) => filled.push_str(values.get(*place)?),
            }
        }
        Ok(filled)
    }
}

/// Checks the strings of a body.
///
/// # Errors
/// What is wrong, for the author.
pub fn check(body: &Value, allowed: &[Place]) -> Result<(), String> {
    match body {
        Value::String(text) => Template::parse(text, allowed).map(drop),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, allowed)),
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            if name.contains(['{', '}']) {
                return Err(format!("the name `{name}` cannot be filled in"));
            }
            check(value, allowed)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// True when the place stands in a string of the body.
pub fn body_uses(body: &Value, place: Place) -> bool {
    match body {
        Value::String(text) => {
            Template::parse(text, &Place::ALL).is_ok_and(|template| template.uses(place))
        }
        Value::Array(items) => items.iter().any(|item| body_uses(item, place)),
        Value::Object(members) => members.values().any(|value| body_uses(value, place)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The body with everything filled in.
///
/// # Errors
/// `unsupported` when a place has no value in this call.
pub fn fill_body(body: &Value, values: Values<'_>) -> Result<Value, Failure> {
    Ok(match body {
        Value::String(text) => match Template::parse(text, &Place::ALL) {
            Ok(template) => Value::String(template.fill_plain(values)?),
            Err(why) => return Err(unsupported(&why)),
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| fill_body(item, values));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let filled = members
                .iter()
                .map(|(name, value)| Ok((name.clone(), fill_body(value, values)?)));
            Value::Object(filled.collect::<Result<_, Failure>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => body.clone(),
    })
}
