//! What SCIM's errors mean (RFC 7644 §3.12).
//!
//! Owns the failures of the dialect: the `scimType` of an error body, a change without effect, a
//! shape that is not the declared one. Leaves bare HTTP statuses to the transport.

use serde_json::Value;

use super::super::http::HttpAnswer;
use super::resource::{field, text};
use crate::domain::outcome::{Failure, FailureClass};

/// The failure that an answer other than 2xx means.
pub(super) fn failure(answer: &HttpAnswer) -> Failure {
    let body = answer.json().unwrap_or(Value::Null);
    let kind = text(&body, "scimType").unwrap_or_default();
    let detail = text(&body, "detail").unwrap_or_default();
    let words = match (kind, detail) {
        ("", detail) => detail.to_owned(),
        (kind, "") => kind.to_owned(),
        (kind, detail) => format!("{kind}: {detail}"),
    };
    let mut failure = answer.failure(Some(&words));
    if kind.eq_ignore_ascii_case("mutability") {
        // Read-only there, whatever we send: a rule or another system decides.
        failure.class = FailureClass::Unsupported;
        "CB-SCIM-7".clone_into(&mut failure.code);
    }
    failure
}

/// True when an answer to PATCH says that PATCH itself is not known (RFC 7644 §3.5.2 makes it
/// optional). A bare 404 is the resource's; servers that have no such route say so in SCIM's words.
pub(super) fn no_patch(answer: &HttpAnswer) -> bool {
    match answer.status {
        405 | 501 => true,
        404 => answer
            .json()
            .is_ok_and(|body| field(&body, "scimType").is_some_and(Value::is_string)),
        _ => false,
    }
}

/// `drifted`: the answer lacks its shape.
pub(super) fn drifted(what: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Drifted, "CB-SCIM-2", what)
}

/// `ambiguous`: the id shows another user than the one that was read before.
pub(super) fn another_login() -> Failure {
    Failure::new(
        FailureClass::Ambiguous,
        "CB-SCIM-1",
        "the id shows a user with another userName than before",
    )
}

/// `write_failure`: answered 2xx, and what was to go is still there.
pub(super) fn without_effect(what: &str) -> Failure {
    Failure::new(
        FailureClass::WriteFailure,
        "CB-SCIM-4",
        format!("{what} was answered with success and had no effect"),
    )
}

/// `unsupported`: the target has no way that leaves everything else alone.
pub(super) fn no_safe_way(what: &str) -> Failure {
    Failure::new(
        FailureClass::Unsupported,
        "CB-SCIM-5",
        format!(
            "{what}: without PATCH, and without versions that the target is said to check, no change is safe"
        ),
    )
}

/// `stale_data`: somebody else changed it in between, or a later page was withheld.
pub(super) fn stale(what: &str) -> Failure {
    Failure::new(FailureClass::StaleData, "CB-SCIM-6", what)
}
