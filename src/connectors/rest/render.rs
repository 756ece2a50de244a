//! A call turned into an HTTP request and the words that the guard judges.
//!
//! Owns which fields a request writes: the dotted names of its body's members, or the last fixed
//! word of its path when it has no body; a deletion of the account writes `*` besides. Judged is
//! what is sent: both come from the same filled template.

use std::collections::BTreeSet;

use serde_json::Value;

use super::request::Request;
use super::settings::Settings;
use super::template::{self, Place, Values};
use crate::connectors::http::{HttpRequest, escape};
use crate::connectors::{RenderedRequest, WHOLE_ACCOUNT};
use crate::domain::access::Operation;
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;

/// What is judged, and what is sent if the judgement is good.
#[derive(Debug)]
pub struct Rendered {
    /// For the guard and the record.
    pub judged: RenderedRequest,
    /// For the wire.
    pub wire: HttpRequest,
}

impl Request {
    /// True when the place stands in the path or the body.
    pub fn uses(&self, place: Place) -> bool {
        let in_body = |body: &Value| template::body_uses(body, place);
        self.path.uses(place) || self.body.as_ref().is_some_and(in_body)
    }

    /// The fields that it writes as `operation`.
    pub fn fields(&self, operation: Operation) -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        match &self.body {
            Some(Value::Object(members)) => {
                for (name, value) in members {
                    collect(name, value, &mut fields);
                }
            }
            // A JSON Patch (RFC 6902): each step names its member by a pointer.
            Some(Value::Array(steps)) => {
                let pointers = steps.iter().filter_map(|step| step.get("path")?.as_str());
                let names = pointers.filter_map(|pointer| pointer.split('/').nth(1));
                fields.extend(names.map(ToOwned::to_owned));
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
        }
        if operation == Operation::Delete {
            fields.insert(WHOLE_ACCOUNT.to_owned());
        }
        if fields.is_empty() {
            fields.extend(self.path.last_word());
        }
        fields
    }
}

/// A change.
///
/// # Errors
/// `refused` for a value that cannot be part of a path.
pub fn write(
    settings: &Settings,
    request: &Request,
    operation: Operation,
    values: Values<'_>,
    account: &AccountId,
) -> Result<Rendered, Failure> {
    let wire = wire(settings, request, Some(values), &[])?;
    Ok(Rendered {
        judged: RenderedRequest {
            operation: Some(operation),
            account: Some(account.clone()),
            writes: request.fields(operation),
            line: wire.line(),
        },
        wire,
    })
}

/// A read of one account or of one page of a list, with what paging adds to the query.
///
/// # Errors
/// `refused` for a value that cannot be part of a path.
pub fn read(
    settings: &Settings,
    request: &Request,
    account: Option<&AccountId>,
    added: &[(&str, &str)],
) -> Result<Rendered, Failure> {
    let wire = wire(settings, request, account.map(Values::of_account), added)?;
    let operation = account.map_or(Operation::List, |_| Operation::Read);
    Ok(judged_read(wire, operation, account))
}

/// The page that the header `Link` of the one before names.
pub fn next_page(settings: &Settings, path: String, account: Option<&AccountId>) -> Rendered {
    let mut wire = HttpRequest::new(reqwest::Method::GET, path);
    wire.headers = settings.headers.clone();
    let operation = account.map_or(Operation::List, |_| Operation::Read);
    judged_read(wire, operation, account)
}

fn judged_read(wire: HttpRequest, operation: Operation, account: Option<&AccountId>) -> Rendered {
    Rendered {
        judged: RenderedRequest {
            operation: Some(operation),
            account: account.cloned(),
            writes: BTreeSet::new(),
            line: wire.line(),
        },
        wire,
    }
}

fn wire(
    settings: &Settings,
    request: &Request,
    values: Option<Values<'_>>,
    added: &[(&str, &str)],
) -> Result<HttpRequest, Failure> {
    let nobody = AccountId(String::new());
    let values = values.unwrap_or_else(|| Values::of_account(&nobody));
    let mut path = request.path.fill(values)?;
    for (name, value) in added {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.extend([escape(name).as_str(), "=", escape(value).as_str()]);
    }
    let mut wire = HttpRequest::new(request.method.clone(), path);
    wire.headers = settings.headers.clone();
    match &request.body {
        Some(body) => {
            let body = template::fill_body(body, values)?;
            Ok(wire.json(request.media_type, &body))
        }
        None => Ok(wire),
    }
}

fn collect(name: &str, value: &Value, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (inner, value) in members {
                collect(&format!("{name}.{inner}"), value, fields);
            }
        }
        _ => {
            fields.insert(name.to_owned());
        }
    }
}
