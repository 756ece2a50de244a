//! Requests that change something, and what they write.
//!
//! Owns the bodies of PATCH (RFC 7644 §3.5.2), and the reading of a finished request back into the
//! fields that it writes. The guard judges that reading, not the intention: a body that says more
//! than it should is refused.

use std::collections::BTreeSet;

use http::header::{HeaderValue, IF_MATCH};
use reqwest::Method;
use serde_json::{Value, json};

use super::super::http::HttpRequest;
use super::super::manifest::WHOLE_ACCOUNT;
use super::resource::{field, text};

const MEDIA_TYPE: &str = "application/scim+json";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A PATCH with one operation.
pub(super) fn patch(path: &str, operation: &Value) -> HttpRequest {
    let body = json!({ "schemas": [PATCH_OP], "Operations": [operation] });
    HttpRequest::new(Method::PATCH, path).json(MEDIA_TYPE, &body)
}

/// A PUT of a whole resource.
pub(super) fn put(path: &str, body: &Value) -> HttpRequest {
    HttpRequest::new(Method::PUT, path).json(MEDIA_TYPE, body)
}

/// Lets the request count only if the resource is still at this version; false if there is none.
pub(super) fn only_at(request: &mut HttpRequest, etag: Option<&str>) -> bool {
    let version = etag.and_then(|etag| HeaderValue::from_str(etag).ok());
    let known = version.is_some();
    if let Some(version) = version {
        request.headers.insert(IF_MATCH, version);
    }
    known
}

/// The path filter that picks one element of a multi-valued attribute. The value is a JSON string
/// (RFC 7644 §3.4.2.2), so that a quote in it cannot end the filter.
pub(super) fn element(attribute: &str, value: &str) -> String {
    format!("{attribute}[value eq {}]", Value::from(value))
}

/// The fields that a finished request writes. A PUT writes what differs from the resource as it was
/// read; the version in `If-Match` keeps the rest as it is.
pub(super) fn written(request: &HttpRequest, as_read: Option<&Value>) -> BTreeSet<String> {
    let body = request
        .body
        .as_ref()
        .and_then(|(_, content)| serde_json::from_slice::<Value>(content).ok())
        .unwrap_or(Value::Null);
    match request.method.as_str() {
        "DELETE" => [WHOLE_ACCOUNT.to_owned()].into(),
        "PATCH" => field(&body, "Operations")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .flat_map(patched)
            .collect(),
        _ => replaced(&body, as_read),
    }
}

fn patched(operation: &Value) -> Vec<String> {
    match text(operation, "path") {
        Some(path) => {
            // `members[value eq "x"].display` and `name.familyName` both begin with the attribute.
            let end = path.find(['[', '.']).unwrap_or(path.len());
            vec![path[..end].to_owned()]
        }
        // Without a path the keys of the value are what is written.
        None => field(operation, "value")
            .and_then(Value::as_object)
            .map_or_else(
                || vec![WHOLE_ACCOUNT.to_owned()],
                |value| value.keys().cloned().collect(),
            ),
    }
}

fn replaced(body: &Value, as_read: Option<&Value>) -> BTreeSet<String> {
    let fields = |value: Option<&Value>| {
        value
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let (new, old) = (fields(Some(body)), fields(as_read));
    new.keys()
        .chain(old.keys())
        .filter(|key| new.get(*key) != old.get(*key))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(request: &HttpRequest, as_read: Option<&Value>) -> Vec<String> {
        written(request, as_read).into_iter().collect()
    }

    #[test]
    fn c3_what_is_judged_is_what_the_rendered_body_says() {
        let member = json!({ "op": "remove", "path": element("members", "2819\"c") });
        assert_eq!(member["path"], "members[value eq \"2819\\\"c\"]");
        assert_eq!(fields(&patch("/Groups/1", &member), None), ["members"]);
        let bare = json!({ "op": "replace", "value": { "active": false, "title": "x" } });
        assert_eq!(fields(&patch("/Users/1", &bare), None), ["active", "title"]);
        let unclear = json!({ "op": "remove", "value": [] });
        assert_eq!(fields(&patch("/Users/1", &unclear), None), ["*"]);

        let read = json!({ "id": "1", "active": true, "title": "x", "roles": [1] });
        let mut sent = read.clone();
        sent["active"] = json!(false);
        let request = put("/Users/1", &sent);
        assert_eq!(fields(&request, Some(&read)), ["active"]);
        let shorter = json!({ "id": "1", "active": false, "title": "x" });
        let request = put("/Users/1", &shorter);
        assert_eq!(fields(&request, Some(&read)), ["active", "roles"]);
    }
}
