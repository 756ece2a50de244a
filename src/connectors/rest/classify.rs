//! Failure classes of a declared API, beside those that the transport gives to statuses.
//!
//! Owns what an answer means that arrived whole and well but does not say what the manifest
//! declares. An unexpected shape is `drifted`; a declared refusal is a failed write; a change that
//! was answered with success in words that nobody can read may have been made.

use serde_json::Value;

use super::paging::Collection;
use super::request::Request;
use super::settings::Settings;
use super::words::{Sense, flag};
use crate::connectors::http::HttpAnswer;
use crate::domain::access::Operation;
use crate::domain::outcome::{Failure, FailureClass};

/// An answer that is no failure.
#[derive(Debug)]
pub enum Told {
    /// It succeeded by status and by every declared condition; null without a body.
    Yes(Value),
    /// What the request names is not there.
    NotThere,
}

/// Judges an answer by its words, then by its status, then by what success must say.
///
/// # Errors
/// By status, or by the words of the answer: some APIs say 200 to everything.
pub fn told(
    settings: &Settings,
    request: &Request,
    answer: &HttpAnswer,
    changes: bool,
) -> Result<Told, Failure> {
    let empty = answer.body.trim_ascii().is_empty();
    let (body, fault) = match answer.json() {
        Ok(body) => (body, None),
        Err(_) if empty => (Value::Null, None),
        // An error page in HTML still has its status.
        Err(fault) => (Value::Null, Some(fault)),
    };
    let words = settings.words.text(&body);
    match settings.words.sense(&body) {
        Some((Sense::NotFound, _)) => return Ok(Told::NotThere),
        Some((Sense::Class(class), word)) => {
            return Err(declared(class, answer, words.as_deref().unwrap_or(&word)));
        }
        None => {}
    }
    if request.not_found.contains(&answer.status) {
        return Ok(Told::NotThere);
    }
    if !answer.is_success() {
        return Err(answer.failure(words.as_deref()));
    }
    if changes && (empty || fault.is_some()) {
        // A change needs no words back, and some statuses have none (RFC 9110 §15.3.5).
        let wordless = empty && matches!(answer.status, 204 | 205);
        return if wordless || request.success.is_empty() {
            Ok(Told::Yes(Value::Null))
        } else {
            Err(unreadable(answer))
        };
    }
    if let Some(fault) = fault {
        return Err(fault);
    }
    for (path, expected) in &request.success {
        let found = path.query(&body).exactly_one().ok();
        if !found.is_some_and(|found| same(found, expected)) {
            return Err(without_success(answer, words.as_deref(), changes));
        }
    }
    Ok(Told::Yes(body))
}

/// As [`told`], for a page of a list, where nothing can be "not there".
///
/// # Errors
/// As [`told`]; "not found" by its status.
pub fn page(settings: &Settings, request: &Request, answer: &HttpAnswer) -> Result<Value, Failure> {
    match told(settings, request, answer, false)? {
        Told::Yes(body) => Ok(body),
        Told::NotThere => Err(drifted("a list was answered with \"not found\"")),
    }
}

/// What a refusal of the page past a total that was reached says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// There is no such page, as some servers say instead of showing an empty one.
    End,
    /// Either that, or the target shows no more than so many: 400 is what a bound is answered with.
    Unsure,
}

/// Judges the page past a total that was reached. Words that say something else count before its status.
pub fn past_the_end(settings: &Settings, answer: &HttpAnswer) -> Option<Past> {
    let body = answer.json().unwrap_or(Value::Null);
    match (settings.words.sense(&body), answer.status) {
        (Some((Sense::NotFound, _)), _) => Some(Past::End),
        (Some((Sense::Class(_), _)), _) => None,
        (None, 404 | 410 | 416) => Some(Past::End),
        (None, 400) => Some(Past::Unsure),
        (None, _) => None,
    }
}

/// Whether a list that was asked for is not there at all, by the answer's words or its status.
pub fn is_not_there(settings: &Settings, answer: &HttpAnswer) -> bool {
    let body = answer.json().unwrap_or(Value::Null);
    match settings.words.sense(&body) {
        Some((Sense::NotFound, _)) => true,
        Some((Sense::Class(_), _)) => false,
        None => matches!(answer.status, 404 | 410),
    }
}

/// Whether the status says, as declared, that there is nothing or nothing more. Words that say something
/// else count before that, here too.
pub fn is_empty(settings: &Settings, collection: &Collection, answer: &HttpAnswer) -> bool {
    let body = answer.json().unwrap_or(Value::Null);
    let refused = matches!(settings.words.sense(&body), Some((Sense::Class(_), _)));
    collection.empty.contains(&answer.status) && !refused
}

/// Equal, where yes and no may also come as text.
fn same(found: &Value, expected: &Value) -> bool {
    found == expected || (expected.is_boolean() && flag(found) == flag(expected))
}

fn declared(class: FailureClass, answer: &HttpAnswer, words: &str) -> Failure {
    let words = answer.words(words);
    let (code, message) = if class == FailureClass::AuthFailure {
        let message = format!("the target does not accept the credential: {words}");
        ("CB-REST-1", message)
    } else {
        let message = format!("answered {} with a declared error: {words}", answer.status);
        ("CB-REST-7", message)
    };
    Failure::new(class, code, message).retry_after(answer.retry_after_seconds())
}

fn without_success(answer: &HttpAnswer, words: Option<&str>, changes: bool) -> Failure {
    let class = if changes {
        FailureClass::WriteFailure
    } else {
        FailureClass::Drifted
    };
    let words = words.map(|words| answer.words(words));
    Failure::new(
        class,
        "CB-REST-2",
        format!(
            "answered {} without the declared success{}",
            answer.status,
            words.map_or(String::new(), |words| format!(": {words}"))
        ),
    )
    .retry_after(answer.retry_after_seconds())
}

fn unreadable(answer: &HttpAnswer) -> Failure {
    Failure::new(
        FailureClass::UnknownOutcome,
        "CB-REST-8",
        format!(
            "answered {} without readable words, so the declared success cannot be seen",
            answer.status
        ),
    )
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

/// Somebody else changed it between the look and the change.
pub fn conflict(answer: &HttpAnswer) -> Failure {
    Failure::new(
        FailureClass::StaleData,
        "CB-HTTP-412",
        format!(
            "answered {}: it was changed by someone else meanwhile",
            answer.status
        ),
    )
    .retry_after(answer.retry_after_seconds())
}
