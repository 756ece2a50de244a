//! Texts with places for the account, the entitlement and a job.
//!
//! Owns the places, their checking at load and their filling. In a path a value becomes one escaped
//! segment, in a query an escaped value, in a body a JSON string, or with `:number` a JSON number:
//! nothing that a target or an event says can change what the request means.

use serde_json::Value;

use crate::connectors::http::{escape, segment};
use crate::connectors::{Change, unsupported};
use crate::domain::id::AccountId;
use crate::domain::outcome::{Failure, FailureClass};

/// What can be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `{account.id}`
    AccountId,
    /// `{account.login}`
    AccountLogin,
    /// `{account.version}`
    AccountVersion,
    /// `{entitlement.id}`
    EntitlementId,
    /// `{entitlement.name}`
    EntitlementName,
    /// `{job.id}`
    JobId,
}

/// What stands behind a place that is to become a JSON number.
const NUMBER: &str = ":number";

/// A path with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
    /// Whole, and as a number.
    Number(Place),
}

/// The values of one call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    /// The account's immutable id.
    pub account: Option<&'a AccountId>,
    /// Its login.
    pub login: Option<&'a str>,
    /// Its version as it was read.
    pub version: Option<&'a str>,
    /// The entitlement's id at the target.
    pub entitlement: Option<&'a str>,
    /// Its name.
    pub entitlement_name: Option<&'a str>,
    /// The job that a change became.
    pub job: Option<&'a str>,
}

impl Place {
    const ALL: [Self; 6] = [
        Self::AccountId,
        Self::AccountLogin,
        Self::AccountVersion,
        Self::EntitlementId,
        Self::EntitlementName,
        Self::JobId,
    ];

    /// As it is written, without brackets.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccountId => "account.id",
            Self::AccountLogin => "account.login",
            Self::AccountVersion => "account.version",
            Self::EntitlementId => "entitlement.id",
            Self::EntitlementName => "entitlement.name",
            Self::JobId => "job.id",
        }
    }
}

impl<'a> Values<'a> {
    /// Only an id is known.
    pub fn of_account(account: &'a AccountId) -> Self {
        Self {
            account: Some(account),
            ..Self::default()
        }
    }

    /// All that a change says.
    pub fn of_change(change: &'a Change) -> Self {
        let entitlement = change.entitlement.as_ref();
        Self {
            login: Some(&change.login),
            entitlement: entitlement.map(|one| one.id.as_str()),
            entitlement_name: entitlement.map(|one| one.name.as_str()),
            ..Self::of_account(&change.account)
        }
    }

    fn get(self, place: Place) -> Result<&'a str, Failure> {
        let value = match place {
            Place::AccountId => self.account.map(AccountId::as_str),
            Place::AccountLogin => self.login,
            Place::AccountVersion => self.version,
            Place::EntitlementId => self.entitlement,
            Place::EntitlementName => self.entitlement_name,
            Place::JobId => self.job,
        };
        value.ok_or_else(|| unsupported(&format!("fill in `{}` here", place.as_str())))
    }

    fn number(self, place: Place) -> Result<Value, Failure> {
        let text = self.get(place)?;
        let number = serde_json::from_str::<serde_json::Number>(text).ok();
        let number = number.filter(|number| !number.is_f64());
        number.map(Value::Number).ok_or_else(|| {
            Failure::new(
                FailureClass::Refused,
                "CB-REST-9",
                format!("`{}` is no number, which the request needs", place.as_str()),
            )
        })
    }
}

impl Template {
    /// Parses a path or query in which only `allowed` places stand.
    ///
    /// # Errors
    /// What is wrong, for the author.
    pub fn parse_path(text: &str, allowed: &[Place]) -> Result<Self, String> {
        let template = Self::parse(text, allowed)?;
        let numbered = |part: &Part| matches!(part, Part::Number(_));
        if template.parts.iter().any(numbered) {
            return Err(format!("`{NUMBER}` is for bodies"));
        }
        Ok(template)
    }

    fn parse(text: &str, allowed: &[Place]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let close = rest.find('}').filter(|close| *close > open);
            let close = close.ok_or("a bracket is not closed")?;
            let written = &rest[open + 1..close];
            let name = written.strip_suffix(NUMBER).unwrap_or(written);
            let place = Place::ALL.into_iter().find(|place| place.as_str() == name);
            let place = place
                .filter(|place| allowed.contains(place))
                .ok_or_else(|| format!("`{{{written}}}` cannot be filled in here"))?;
            parts.push(Part::Text(rest[..open].to_owned()));
            parts.push(if written == name {
                Part::Place(place)
            } else if open == 0 && close + 1 == text.len() {
                Part::Number(place)
            } else {
                return Err(format!(
                    "`{{{written}}}` is a number only when it stands alone"
                ));
            });
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
        self.parts.contains(&Part::Place(place)) || self.parts.contains(&Part::Number(place))
    }

    /// True when the place stands in the path itself, before any query.
    pub fn leads_to(&self, place: Place) -> bool {
        let is_query = |part: &&Part| matches!(part, Part::Text(text) if text.contains('?'));
        let mut path = self.parts.iter().take_while(|part| !is_query(part));
        path.any(|part| *part == Part::Place(place))
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

    /// The names in the query.
    pub fn query_names(&self) -> Vec<String> {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            // What is filled in is escaped, and so is part of a name or a value.
            Part::Place(_) | Part::Number(_) => "{}".to_owned(),
        };
        let whole: String = self.parts.iter().map(text).collect();
        let pairs = whole.split_once('?').map_or("", |(_, query)| query);
        let names = pairs.split('&').filter(|pair| !pair.is_empty());
        let names = names.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
        names.map(ToOwned::to_owned).collect()
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
                Part::Place(place) | Part::Number(place) if path.contains('?') => {
                    path.push_str(&escape(values.get(*place)?));
                }
                Part::Place(place) | Part::Number(place) => {
                    path.push_str(&segment(values.get(*place)?)?);
                }
            }
        }
        Ok(path)
    }

    /// The text as a JSON value.
    fn fill_value(&self, values: Values<'_>) -> Result<Value, Failure> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Place(place) => filled.push_str(values.get(*place)?),
                Part::Number(place) => return values.number(*place),
            }
        }
        Ok(Value::String(filled))
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
            Ok(template) => template.fill_value(values)?,
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
