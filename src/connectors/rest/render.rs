//! A call turned into an HTTP request and the words that the guard judges.
//!
//! Owns which fields a request writes: the dotted names of its body's members, or the last fixed word of
//! its path where no body names any, and the names in its query; a deletion of the account writes `*`
//! besides. Judged is what is sent: both come from the same filled template.

use std::collections::BTreeSet;

use http::header::{HeaderValue, IF_MATCH};
use secrecy::SecretString;
use serde_json::Value;

use super::classify;
use super::request::Request;
use super::settings::Settings;
use super::template::{self, Place, Values};
use crate::connectors::http::{Hidden, HttpRequest, escape};
use crate::connectors::{Change, RenderedRequest, WHOLE_ACCOUNT};
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

    /// True when the account stands in the path itself: with it goes what is beneath.
    pub fn leads_through_the_account(&self) -> bool {
        let beneath = [Place::AccountId, Place::AccountLogin];
        beneath.iter().any(|place| self.path.leads_to(*place))
    }

    /// The fields that it writes as `operation`.
    pub fn fields(&self, operation: Operation) -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        let mut named = true;
        match &self.body {
            Some(Value::Object(members)) => {
                for (name, value) in members {
                    collect(name, value, &mut fields);
                }
            }
            // A JSON Patch (RFC 6902): each step names its members by pointers.
            Some(Value::Array(steps)) => {
                let pointers = steps
                    .iter()
                    .flat_map(|step| [step.get("path"), step.get("from")]);
                let names = pointers.flatten().filter_map(|pointer| member(pointer));
                fields.extend(names.map(ToOwned::to_owned));
                // Another list may hold anything beside what looks like a step.
                named = steps.iter().all(|step| step.get("op").is_some());
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
        }
        // What the query names says nothing of what a body without names writes.
        named &= !fields.is_empty();
        fields.extend(self.path.query_names());
        match self.path.last_word() {
            _ if operation == Operation::Delete => {
                fields.insert(WHOLE_ACCOUNT.to_owned());
            }
            Some(word) if !named => {
                fields.insert(word);
            }
            // Nothing says what the body writes, and the guard lets nothing through that writes no field.
            None if !named && self.body.is_some() => fields.clear(),
            Some(_) | None => {}
        }
        fields
    }

    /// True for a JSON Patch of which a step names no member: it may write the whole account.
    pub fn patches_the_whole(&self) -> bool {
        let is_patch = self.media_type == "application/json-patch+json";
        match &self.body {
            Some(Value::Array(steps)) => steps.iter().any(|step| {
                let places = [step.get("path"), step.get("from")];
                let says = is_patch || step.get("op").is_some();
                let named = places.iter().flatten().all(|place| member(place).is_some());
                says && !(named && places[0].is_some())
            }),
            Some(_) => is_patch,
            None => false,
        }
    }
}

/// The version of an account, as the target compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// As it stands in the answer.
    pub text: String,
    /// Whether it is an entity tag already (RFC 9110 §8.8.3), or a bare value.
    pub tag: bool,
}

/// A change. `secret` is the real id of an entitlement that is kept by a digest only.
///
/// # Errors
/// `refused` for a value that cannot be part of the request, `drifted` when it takes a version and
/// the account shows none.
pub fn write(
    settings: &Settings,
    request: &Request,
    change: &Change,
    version: Option<&Version>,
    secret: Option<&SecretString>,
) -> Result<Rendered, Failure> {
    use secrecy::ExposeSecret as _;
    let shown = Values {
        version: version.map(|version| version.text.as_str()),
        ..Values::of_change(change)
    };
    let needs_version = request.if_match || request.uses(Place::AccountVersion);
    if needs_version && version.is_none() {
        return Err(classify::drifted("the account shows no version"));
    }
    let real = match secret {
        Some(secret) => Values {
            entitlement: Some(secret.expose_secret()),
            ..shown
        },
        None => shown,
    };
    let mut wire = wire(settings, request, real, &[])?;
    if let Some(secret) = secret {
        wire.hidden = Some(Hidden {
            shown: request.path.fill(shown)?,
            secret: secret.clone(),
        });
    }
    if let (true, Some(version)) = (request.if_match, version) {
        wire.headers.insert(IF_MATCH, tag(version)?);
    }
    Ok(Rendered {
        judged: RenderedRequest {
            operation: Some(change.operation),
            account: Some(change.account.clone()),
            writes: request.fields(change.operation),
            line: wire.line(),
        },
        wire,
    })
}

fn tag(version: &Version) -> Result<HeaderValue, Failure> {
    let text = if version.tag {
        version.text.clone()
    } else {
        format!("\"{}\"", version.text)
    };
    let value = HeaderValue::from_str(&text).ok();
    // A quote inside would end the tag and begin another.
    let plain = version.tag || !version.text.contains('"');
    value
        .filter(|_| plain)
        .ok_or_else(|| classify::drifted("the account's version cannot be sent"))
}

/// A read of one account or of one page of a list, with what paging adds to the query.
///
/// # Errors
/// `refused` for a value that cannot be part of a path.
pub fn read(
    settings: &Settings,
    request: &Request,
    values: Values<'_>,
    added: &[(&str, &str)],
) -> Result<Rendered, Failure> {
    let wire = wire(settings, request, values, added)?;
    Ok(judged_read(wire, values.account))
}

/// A read at a place that the target named; `hidden` where a secret may stand in it.
pub fn at_path(
    settings: &Settings,
    path: String,
    hidden: Option<Hidden>,
    account: Option<&AccountId>,
) -> Rendered {
    let mut wire = HttpRequest::new(reqwest::Method::GET, path);
    wire.hidden = hidden;
    wire.headers = settings.headers.clone();
    judged_read(wire, account)
}

fn judged_read(wire: HttpRequest, account: Option<&AccountId>) -> Rendered {
    Rendered {
        judged: RenderedRequest {
            operation: Some(account.map_or(Operation::List, |_| Operation::Read)),
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
    values: Values<'_>,
    added: &[(&str, &str)],
) -> Result<HttpRequest, Failure> {
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

/// The member of the account that a JSON Pointer (RFC 6901) leads to or into.
fn member(pointer: &Value) -> Option<&str> {
    let first = pointer.as_str()?.strip_prefix('/')?.split('/').next()?;
    (!first.is_empty()).then_some(first)
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
