//! Names filled into the requests for secrets, and values read from their answers.
//!
//! Owns the filling of declared paths and bodies, and the forms in which targets write ids and instants.
//! Sends nothing.

use serde_json::Value;

use super::{HttpRequest, Removal, lacks};
use crate::connectors::http::segment;
use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;

/// When a secret ends: an instant (RFC 3339) or Unix seconds, of which 0 means never (RFC 7591 §3.2.1).
///
/// # Errors
/// `drifted` when it is neither: an end that cannot be read would come unannounced.
pub(super) fn instant(value: &Value) -> Result<Option<Timestamp>, Failure> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => match number.as_i64() {
            Some(0) => Ok(None),
            Some(second) => Timestamp::from_second(second)
                .map(Some)
                .map_err(|_| lacks("a readable end of the new secret")),
            None => Err(lacks("a readable end of the new secret")),
        },
        Value::String(text) => text
            .parse()
            .map(Some)
            .map_err(|_| lacks("a readable end of the new secret")),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(lacks("a readable end of the new secret"))
        }
    }
}

/// Text or a number as text: ids come as either.
pub(super) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

pub(super) fn fill(template: &Value, words: &[(&str, &str)]) -> Value {
    match template {
        Value::String(text) => {
            let filled = words
                .iter()
                .fold(text.clone(), |text, (name, word)| text.replace(name, word));
            Value::String(filled)
        }
        Value::Array(items) => items.iter().map(|item| fill(item, words)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), fill(value, words)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
    }
}

pub(super) fn fill_path(template: &str, words: &[(&str, &str)]) -> Result<String, Failure> {
    let mut path = template.to_owned();
    for (name, word) in words {
        if path.contains(name) {
            path = path.replace(name, &segment(word)?);
        }
    }
    Ok(path)
}

pub(super) fn render(removal: &Removal, words: &[(&str, &str)]) -> Result<HttpRequest, Failure> {
    let request = HttpRequest::new(removal.method.clone(), fill_path(&removal.path, words)?);
    Ok(match &removal.body {
        Some(body) => request.json("application/json", &fill(body, words)),
        None => request,
    })
}

pub(super) fn mentions(template: &Value, name: &str) -> bool {
    match template {
        Value::String(text) => text.contains(name),
        Value::Array(items) => items.iter().any(|item| mentions(item, name)),
        Value::Object(fields) => fields.values().any(|value| mentions(value, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn d5_the_end_that_a_target_tells_is_read_or_refused() {
        let at = |text: &str| Some(text.parse().expect("an instant"));
        for (told, expected) in [
            (json!("2027-01-31T00:00:00Z"), at("2027-01-31T00:00:00Z")),
            (json!(1_801_353_600), at("2027-01-31T00:00:00Z")),
            (json!(0), None),
            (json!(null), None),
        ] {
            assert_eq!(instant(&told), Ok(expected), "{told}");
        }
        for told in [json!("next year"), json!(1.5), json!({}), json!(true)] {
            assert_eq!(instant(&told).expect_err("no instant").code, "CB-HTTP-7");
        }
    }
}
