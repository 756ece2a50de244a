//! Requests as a manifest declares them.
//!
//! Owns their reading and checking: which places may stand where, which methods read and which
//! write, what a write is guarded by. A write must name whom it is about. Sends nothing.

use reqwest::Method;
use serde_json::Value;
use serde_json_path::JsonPath;

use super::jobs::{self, Job};
use super::template::{Place, Template, check};
use crate::document::{Item, Table};
use crate::domain::access::Operation;

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub path: Template,
    /// JSON body with places in its strings.
    pub body: Option<Value>,
    /// Media type of the body.
    pub media_type: &'static str,
    /// What the answer must say besides 2xx: each path gives exactly this value.
    pub success: Vec<(JsonPath, Value)>,
    /// Statuses that say that the account, or what is to be taken, is not there.
    pub not_found: Vec<u16>,
    /// Statuses that say that somebody else changed it meanwhile.
    pub conflict: Vec<u16>,
    /// Sent with `If-Match` (RFC 9110 §13.1.1), the version as it was read.
    pub if_match: bool,
    /// How to learn what became of it, where it is done later (202).
    pub job: Option<Job>,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// One object.
    Read,
    /// A list of them.
    List,
    /// A change.
    Write,
}

/// What is known when one account is read.
pub const ACCOUNT: &[Place] = &[Place::AccountId];

/// What every change says.
pub const CHANGE: &[Place] = &[Place::AccountId, Place::AccountLogin, Place::AccountVersion];

/// What the taking of an entitlement says.
pub const TAKING: &[Place] = &[
    Place::AccountId,
    Place::AccountLogin,
    Place::AccountVersion,
    Place::EntitlementId,
    Place::EntitlementName,
];

/// A write that does not say whom it is about would be about everybody. So would one that names a group
/// alone, where groups say who is in them (`grouped`).
pub fn names_its_object(
    table: &Table<'_>,
    operation: Operation,
    request: &Request,
    grouped: bool,
) -> bool {
    let whose = [Place::AccountId, Place::AccountLogin];
    let nobodys = !whose.iter().any(|place| request.uses(*place));
    if grouped && operation == Operation::RevokeEntitlement && nobodys {
        table.report(
            table.line(),
            "the request names a group alone, and would take it from everybody in it",
            "put `{account.id}` or `{account.login}` into the path or the body",
        );
        return false;
    }
    let mut missing = Vec::new();
    if !request.uses(Place::AccountId) {
        missing.push(Place::AccountId);
    }
    let takes = matches!(
        operation,
        Operation::RevokeEntitlement | Operation::RevokeCredential
    );
    if takes && !request.uses(Place::EntitlementId) {
        missing.push(Place::EntitlementId);
    }
    // A key or grant often has an address of its own, without its owner in it.
    if takes && request.uses(Place::EntitlementId) {
        missing.clear();
    }
    for place in &missing {
        table.report(
            table.line(),
            format!("the request does not name `{}`", place.as_str()),
            "put it into the path or the body",
        );
    }
    missing.is_empty()
}

/// One request, in which only these places may stand.
pub fn read_request(table: &Table<'_>, places: &[Place], of: Use) -> Option<Request> {
    let path = read_path(table, places);
    let method = read_method(table, of == Use::Write);
    let body = match table.json("body") {
        Some(item) => {
            let checked = check(&item.value, places);
            Some(told(table, "body", item.line, checked).map(|()| item.value))
        }
        None => None,
    };
    let media_type = read_media_type(table);
    let success = read_success(table);
    let not_found = match of {
        // In a list nothing is looked for; that it is empty is said by `empty`.
        Use::List => Some(Vec::new()),
        Use::Read | Use::Write => statuses(table, "not_found", &[404, 410], &ABSENT),
    };
    let writes = of == Use::Write;
    let conflict = if writes {
        statuses(table, "conflict", &[412], &ANY)
    } else {
        Some(Vec::new())
    };
    let if_match = writes && table.boolean("if_match").is_some_and(|item| item.value);
    let job = if writes && table.has("job") {
        Some(jobs::read(&table.table("job")?)?)
    } else {
        None
    };
    Some(Request {
        method: method?,
        path: path?,
        body: match body {
            Some(body) => Some(body?),
            None => None,
        },
        media_type: media_type?,
        success: success?,
        not_found: not_found?,
        conflict: conflict?,
        if_match,
        job,
    })
}

/// The path, with its query.
pub fn read_path(table: &Table<'_>, places: &[Place]) -> Option<Template> {
    let item = table.required_string("path")?;
    let template = Template::parse_path(&item.value, places).and_then(|template| {
        if item.value.starts_with('/') && !item.value.contains('#') {
            Ok(template)
        } else {
            Err("it does not begin with `/`, or has a fragment".to_owned())
        }
    });
    told(table, "path", item.line, template)
}

fn read_media_type(table: &Table<'_>) -> Option<&'static str> {
    let Some(item) = table.string("media_type") else {
        return Some("application/json");
    };
    match item.value.as_str() {
        "application/json" => Some("application/json"),
        "application/merge-patch+json" => Some("application/merge-patch+json"),
        "application/json-patch+json" => Some("application/json-patch+json"),
        other => {
            table.report(
                item.line,
                format!("`{other}` is no media type of JSON that is known here"),
                "use application/json, application/merge-patch+json or application/json-patch+json",
            );
            None
        }
    }
}

/// Which statuses may stand in a list of them.
#[derive(Debug)]
pub struct Fitting {
    fits: fn(u16) -> bool,
    /// What the others mean, and what to write.
    otherwise: (&'static str, &'static str),
}

/// Any status: what is made of it does not end in proof.
const ANY: Fitting = Fitting {
    fits: |_| true,
    otherwise: ("", ""),
};

/// Statuses that can say that something is not there. The others are success, or say that the
/// target did not look: to take those for absence would prove anything.
const ABSENT: Fitting = Fitting {
    fits: |status| (400..500).contains(&status) && !matches!(status, 401 | 403 | 407 | 408 | 429),
    otherwise: (
        "does not say that something is not there",
        "use 404, 410, or another 4xx that this target answers for what it does not have; not 401, \
         403, 407, 408 or 429",
    ),
};

/// Statuses that can say that a list holds nothing, or nothing more.
pub const EMPTY: Fitting = Fitting {
    fits: |status| matches!(status, 204 | 400 | 404 | 410 | 416),
    otherwise: (
        "does not say that a list holds nothing more",
        "use 204, 400, 404, 410 or 416",
    ),
};

/// A list of statuses with a usual value.
pub fn statuses(
    table: &Table<'_>,
    key: &str,
    usual: &[u16],
    fitting: &Fitting,
) -> Option<Vec<u16>> {
    let Some(item) = table.json(key) else {
        return Some(usual.to_vec());
    };
    let statuses = serde_json::from_value::<Vec<u16>>(item.value).ok();
    let statuses = statuses.filter(|all| all.iter().all(|status| (200..600).contains(status)));
    let Some(statuses) = statuses else {
        table.report(
            item.line,
            format!("`{key}` is no list of statuses"),
            "write [404]",
        );
        return None;
    };
    let (means, remedy) = fitting.otherwise;
    let wrong = statuses.iter().filter(|status| !(fitting.fits)(**status));
    let wrong: Vec<_> = wrong.collect();
    for status in &wrong {
        let told = format!("`{}.{key}`: status {status} {means}", table.path());
        table.report(item.line, told, remedy);
    }
    wrong.is_empty().then_some(statuses)
}

fn read_method(table: &Table<'_>, writes: bool) -> Option<Method> {
    let allowed: &[Method] = if writes {
        &[Method::DELETE, Method::PATCH, Method::POST, Method::PUT]
    } else {
        &[Method::GET, Method::POST]
    };
    let item = if writes {
        table.required_string("method")?
    } else {
        match table.string("method") {
            Some(item) => item,
            None => return Some(Method::GET),
        }
    };
    let method = allowed.iter().find(|method| method.as_str() == item.value);
    if method.is_none() {
        let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
        table.report(
            item.line,
            format!("the method `{}` does not fit here", item.value),
            format!("use one of: {}", names.join(", ")),
        );
    }
    method.cloned()
}

fn read_success(table: &Table<'_>) -> Option<Vec<(JsonPath, Value)>> {
    let Some(item) = table.json("success") else {
        return Some(Vec::new());
    };
    let Value::Object(conditions) = item.value else {
        table.report(
            item.line,
            "`success` is no table",
            "write success = { \"$.ok\" = true }",
        );
        return None;
    };
    let parse = |(path, value): (String, Value)| {
        let parsed = JsonPath::parse(&path).map_err(|error| error.to_string());
        told(table, "success", item.line, parsed).map(|path| (path, value))
    };
    conditions.into_iter().map(parse).collect()
}

/// A JSONPath that must be there.
pub fn required_path(table: &Table<'_>, key: &str) -> Option<JsonPath> {
    let item = table.required_string(key)?;
    parse_path(table, key, &item)
}

/// `None` only after a problem was reported.
#[allow(clippy::option_option)] // Not there, there but wrong (told), there.
pub fn optional_path(table: &Table<'_>, key: &str) -> Option<Option<JsonPath>> {
    match table.string(key) {
        Some(item) => parse_path(table, key, &item).map(Some),
        None => Some(None),
    }
}

/// A JSONPath with a usual value.
pub fn path_or(table: &Table<'_>, key: &str, usual: &str) -> Option<JsonPath> {
    let item = table.string(key).unwrap_or_else(|| Item {
        value: usual.to_owned(),
        line: table.line(),
    });
    parse_path(table, key, &item)
}

fn parse_path(table: &Table<'_>, key: &str, item: &Item<String>) -> Option<JsonPath> {
    let parsed = JsonPath::parse(&item.value).map_err(|error| error.to_string());
    told(table, key, item.line, parsed)
}

/// The value, or the problem in the document.
pub fn told<T>(table: &Table<'_>, key: &str, line: u32, result: Result<T, String>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(why) => {
            table.report(
                line,
                format!("`{}.{key}`: {why}", table.path()),
                "write it in the form that docs/connectors/rest.md shows",
            );
            None
        }
    }
}
