//! Failure classes of a declared API, beside those that the transport gives to statuses.
//!
//! Owns what an answer means that arrived whole and well but does not say what the manifest
//! declares. An unexpected shape is `drifted`; a declared refusal is a failed write.

use serde_json::Value;

use super::request::Request;
use super::settings::Settings;
use crate::connectors::http::HttpAnswer;
use crate::domain::access::Operation;
use crate::domain::outcome::{Failure, FailureClass};

/// The JSON of an answer that succeeded by status and by every declared condition.
///
/// # Errors
/// By status, or by the words of the answer: some APIs say 200 to everything.
pub fn accepted(
    settings: &Settings,
    request: &Request,
    answer: &HttpAnswer,
    changes: bool,
) -> Result<Value, Failure> {
    let body = if answer.body.is_empty() {
        Value::Null
    } else {
        match answer.json() {
            Ok(body) => body,
            // An error page in HTML still has its status; a change needs no JSON back.
            Err(_) if !answer.is_success() => Value::Null,
            Err(_) if changes && request.success.is_empty() => Value::Null,
            Err(failure) => return Err(failure),
        }
    };
    let words = settings.error.as_ref().and_then(|path| {
        let found = path.query(&body).first()?;
        Some(
            found
                .as_str()
                .map_or_else(|| found.to_string(), ToOwned::to_owned),
        )
    });
    if let Some(words) = &words
        && settings.auth_errors.contains(words)
    {
        return Err(Failure::new(
            FailureClass::AuthFailure,
            "CB-REST-1",
            format!(
                "the target does not accept the credential: {}",
                answer.words(words)
            ),
        ));
    }
    if !answer.is_success() {
        return Err(answer.failure(words.as_deref()));
    }
    for (path, expected) in &request.success {
        if path.query(&body).exactly_one().ok() != Some(expected) {
            let class = if changes {
                FailureClass::WriteFailure
            } else {
                FailureClass::Drifted
            };
            let words = words.as_deref().map(|words| answer.words(words));
            return Err(Failure::new(
                class,
                "CB-REST-2",
                format!(
                    "answered {} without the declared success{}",
                    answer.status,
                    words.map_or(String::new(), |words| format!(": {words}"))
                ),
            )
            .retry_after(answer.retry_after_seconds()));
        }
    }
    Ok(body)
}

/// The answer lacks its declared shape.
pub fn drifted(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Drifted, "CB-REST-3", message)
}

/// The id now belongs to another login.
pub fn another_login() -> Failure {
    Failure::new(
        FailureClass::Ambiguous,
        "CB-REST-4",
        "the account's id now shows another login; nothing was sent",
    )
}

/// "Not found", and yet the target shows what should be taken.
pub fn still_there(operation: Operation) -> Failure {
    Failure::new(
        FailureClass::WriteFailure,
        "CB-REST-5",
        format!(
            "`{}` was answered \"not found\", but what it should change is there",
            operation.as_str()
        ),
    )
}

/// The next page is at another host, or outside the declared address.
pub fn stray_link() -> Failure {
    Failure::new(
        FailureClass::Drifted,
        "CB-REST-6",
        "the link to the next page leads away from the declared address",
    )
}
