//! Requests and lists as a manifest declares them.
//!
//! Owns their reading and checking: which places may stand where, which methods read and which
//! write, how a list is cut into pages. A write must name whom it is about. Sends nothing.

use reqwest::Method;
use serde_json::Value;
use serde_json_path::JsonPath;

use super::template::{Place, Template, check};
use crate::document::{Item, Table};
use crate::domain::access::Operation;

/// A request that is answered with a list, page by page.
#[derive(Debug, Clone)]
pub struct Collection {
    /// The first page's request, without what paging adds.
    pub request: Request,
    /// Where the answer holds the list itself.
    pub items: JsonPath,
    /// Where it holds the number of all items.
    pub total: Option<JsonPath>,
    /// How to get the next page.
    pub paging: Paging,
}

/// How a list is cut into pages.
#[derive(Debug, Clone)]
pub enum Paging {
    /// It is not.
    Whole,
    /// By page number.
    Page {
        /// Query parameter of the number.
        parameter: String,
        /// Number of the first page.
        first: u64,
    },
    /// By number of items to skip.
    Offset {
        /// Query parameter of the number.
        parameter: String,
    },
    /// By a mark in the answer.
    Cursor {
        /// Query parameter of the mark.
        parameter: String,
        /// Where the answer holds it; absent, null or empty on the last page.
        next: JsonPath,
    },
    /// By the header `Link` with `rel="next"` (RFC 8288).
    Link,
}

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
}

/// Most pages of one list; an API that never ends its list is not read for ever.
pub const MOST_PAGES: usize = 10_000;

/// What is known when one account is read.
pub const ACCOUNT: &[Place] = &[Place::AccountId];

/// What every change says.
pub const CHANGE: &[Place] = &[Place::AccountId, Place::AccountLogin];

/// What the taking of an entitlement says.
pub const TAKING: &[Place] = &[
    Place::AccountId,
    Place::AccountLogin,
    Place::EntitlementId,
    Place::EntitlementName,
];

/// A list and its pages.
pub fn read_collection(table: &Table<'_>, places: &[Place]) -> Option<Collection> {
    let request = read_request(table, places, false);
    let items = required_path(table, "items");
    let total = optional_path(table, "total");
    let paging = read_paging(table);
    let size = table.integer("size", 1..=100_000);
    let size_parameter = table.string("size_parameter");
    let mut request = request?;
    match (size, size_parameter) {
        (Some(size), Some(parameter)) => {
            request
                .path
                .add_query(&parameter.value, &size.value.to_string());
        }
        (None, None) => {}
        (Some(Item { line, .. }), None) | (None, Some(Item { line, .. })) => {
            table.report(
                line,
                "`size` and `size_parameter` go together",
                "add the other one",
            );
            return None;
        }
    }
    Some(Collection {
        request,
        items: items?,
        total: total?,
        paging: paging?,
    })
}

fn read_paging(table: &Table<'_>) -> Option<Paging> {
    let parameter = |key: &str, usual: &str| {
        table
            .string(key)
            .map_or_else(|| usual.to_owned(), |item| item.value)
    };
    let style = table.string("paging");
    let (name, line) = style.map_or(("none".to_owned(), table.line()), |s| (s.value, s.line));
    match name.as_str() {
        "none" => Some(Paging::Whole),
        "page" => Some(Paging::Page {
            parameter: parameter("page_parameter", "page"),
            first: table
                .integer("first_page", 0..=1)
                .map_or(1, |item| item.value.unsigned_abs()),
        }),
        "offset" => Some(Paging::Offset {
            parameter: parameter("offset_parameter", "offset"),
        }),
        "cursor" => Some(Paging::Cursor {
            parameter: parameter("cursor_parameter", "cursor"),
            next: required_path(table, "cursor")?,
        }),
        "link" => Some(Paging::Link),
        other => {
            table.report(
                line,
                format!("`{other}` is no kind of paging"),
                "use none, page, offset, cursor or link",
            );
            None
        }
    }
}

/// A write that does not say whom it is about would be about everybody.
pub fn names_its_object(table: &Table<'_>, operation: Operation, request: &Request) -> bool {
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
pub fn read_request(table: &Table<'_>, places: &[Place], writes: bool) -> Option<Request> {
    let path = table.required_string("path").and_then(|item| {
        let template = Template::parse(&item.value, places).and_then(|template| {
            if item.value.starts_with('/') && !item.value.contains('#') {
                Ok(template)
            } else {
                Err("it does not begin with `/`, or has a fragment".to_owned())
            }
        });
        told(table, "path", item.line, template)
    });
    let method = read_method(table, writes);
    let body = match table.json("body") {
        Some(item) => {
            let checked = check(&item.value, places);
            Some(told(table, "body", item.line, checked).map(|()| item.value))
        }
        None => None,
    };
    let media_type = match table
        .string("media_type")
        .as_ref()
        .map(|i| i.value.as_str())
    {
        None | Some("application/json") => Some("application/json"),
        Some("application/merge-patch+json") => Some("application/merge-patch+json"),
        Some("application/json-patch+json") => Some("application/json-patch+json"),
        Some(other) => {
            table.report(
                table.line(),
                format!("`{other}` is no media type of JSON that is known here"),
                "use application/json, application/merge-patch+json or application/json-patch+json",
            );
            None
        }
    };
    let success = read_success(table);
    let mut not_found = Vec::new();
    let usual = [404, 410];
    match table.json("not_found") {
        None => not_found.extend(usual),
        Some(item) => match serde_json::from_value::<Vec<u16>>(item.value) {
            Ok(statuses) => not_found.extend(statuses),
            Err(_) => table.report(
                item.line,
                "`not_found` is no list of statuses",
                "write [404]",
            ),
        },
    }
    Some(Request {
        method: method?,
        path: path?,
        body: match body {
            Some(body) => Some(body?),
            None => None,
        },
        media_type: media_type?,
        success: success?,
        not_found,
    })
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

fn told<T>(table: &Table<'_>, key: &str, line: u32, result: Result<T, String>) -> Option<T> {
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
