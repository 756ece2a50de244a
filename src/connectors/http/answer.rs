//! What an HTTP answer means.
//!
//! Owns the class of every status (RFC 9110 §15) and the reading of `Retry-After`. A kind handles
//! the statuses that its dialect gives a meaning of their own first, and leaves the rest to this.
//! Words that a target sent are shortened and scrubbed before anyone sees them: of the credential,
//! plain and encoded, and of whatever else looks like a secret: some targets repeat one in an error.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{AGE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use zeroize::Zeroizing;

use super::escape;
use crate::connectors::FORBIDDEN;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::Timestamp;
use crate::telemetry;

/// Longest excerpt of a target's words.
const LONGEST_WORDS: usize = 200;

/// An answer that arrived whole.
#[derive(Debug)]
pub(in crate::connectors) struct HttpAnswer {
    pub(in crate::connectors) status: u16,
    pub(in crate::connectors) headers: HeaderMap,
    pub(in crate::connectors) body: Bytes,
    /// Method and path of the request.
    pub(super) line: String,
    /// Whether the request was to change something.
    pub(super) changes: bool,
    /// What it was signed in with: the secret, the token, the header as sent.
    pub(super) scrub: Vec<SecretString>,
    /// When it had arrived.
    pub(super) received: Timestamp,
}

impl HttpAnswer {
    /// Any 2xx.
    pub(in crate::connectors) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header's value, if it is text.
    pub(in crate::connectors) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `drifted` when it is something else, or was cut off.
    pub(in crate::connectors) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::new(
                FailureClass::Drifted,
                "CB-HTTP-5",
                format!(
                    "the answer to {} is no JSON: {}",
                    self.line,
                    // Position and kind of the fault; the text itself may be personal data.
                    if error.is_eof() {
                        "it ends too early"
                    } else {
                        "it cannot be parsed"
                    }
                ),
            )
        })
    }

    /// The failure that a status other than 2xx means; `words` are the target's own, if it sent any.
    pub(in crate::connectors) fn failure(&self, words: Option<&str>) -> Failure {
        let (class, code) = self.class();
        let mut message = format!("{} was answered {}", self.line, self.status);
        if let Some(words) = words.filter(|words| !words.is_empty()) {
            message = format!("{message}: {}", self.words(words));
        }
        Failure::new(class, code, message).retry_after(self.retry_after_seconds())
    }

    /// A target's words, fit to be stored and shown.
    pub(in crate::connectors) fn words(&self, text: &str) -> String {
        let mut words = text.to_owned();
        for secret in &self.scrub {
            for form in forms(secret.expose_secret()) {
                words = form.masked(&words);
            }
        }
        words.retain(|c| !c.is_control());
        telemetry::scrub(&words)
            .chars()
            .take(LONGEST_WORDS)
            .collect()
    }

    /// Seconds that a cache on the way says the answer is old (RFC 9111 §5.1); what cannot be read
    /// may be any age.
    pub(in crate::connectors) fn age_seconds(&self) -> u64 {
        let age = self.headers.get(AGE).map(|age| age.to_str().ok());
        age.map_or(0, |age| {
            age.and_then(|age| age.trim().parse().ok())
                .unwrap_or(u64::MAX)
        })
    }

    /// Seconds that the target asked to wait (RFC 9110 §10.2.3). A date is counted from the answer's
    /// own `Date`, so that our clock and the target's need not agree; without one, from its arrival.
    pub(in crate::connectors) fn retry_after_seconds(&self) -> Option<u64> {
        let text = self.header(RETRY_AFTER)?.trim();
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(seconds.min(86_400));
        }
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        let until = parser.parse_timestamp(text).ok()?;
        let sent = self
            .header(DATE)
            .and_then(|date| parser.parse_timestamp(date).ok())
            .unwrap_or(self.received);
        u64::try_from(until.duration_since(sent).as_secs())
            .ok()
            .map(|seconds| seconds.min(86_400))
    }

    fn class(&self) -> (FailureClass, &'static str) {
        match self.status {
            300..400 => (FailureClass::Drifted, "CB-HTTP-300"),
            401 => (FailureClass::AuthFailure, "CB-HTTP-401"),
            403 => (FailureClass::AuthFailure, FORBIDDEN),
            405 | 501 => (FailureClass::Unsupported, "CB-HTTP-501"),
            408 | 503 => (FailureClass::Unreachable, "CB-HTTP-503"),
            // Somebody else changed it meanwhile (RFC 9110 §15.5.13).
            412 => (FailureClass::StaleData, "CB-HTTP-412"),
            // RFC 6585 §3: it takes changes to a named version only.
            428 => (FailureClass::Drifted, "CB-HTTP-428"),
            429 => (FailureClass::RateLimited, "CB-HTTP-429"),
            400..500 if self.changes => (FailureClass::WriteFailure, "CB-HTTP-400"),
            // A gateway lost the answer; what is behind it may have carried the change out.
            502 | 504 if self.changes => (FailureClass::UnknownOutcome, "CB-HTTP-502"),
            500..600 if self.changes => (FailureClass::WriteFailure, "CB-HTTP-500"),
            500..600 => (FailureClass::Unreachable, "CB-HTTP-500"),
            _ => (FailureClass::Drifted, "CB-HTTP-400"),
        }
    }
}

/// How a secret may be repeated.
struct Form {
    text: Zeroizing<String>,
    /// Characters of base64 after it that tell of the secret and of what follows it.
    tail: usize,
}

impl Form {
    fn masked(&self, words: &str) -> String {
        let mut parts = words.split(self.text.as_str());
        let mut masked = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let glued = part.chars().take(self.tail);
            let glued = glued.take_while(|c| c.is_ascii_alphanumeric() || "+/-_=".contains(*c));
            masked.push_str("[redacted]");
            masked.push_str(&part[glued.count()..]);
        }
        masked
    }
}

/// How a target may repeat a secret: as it is, as it stands in a path, in base64, in hex. Not every form
/// that there is; what is named as a secret, or begins like one of ours, is masked whatever its form.
fn forms(secret: &str) -> Vec<Form> {
    if secret.is_empty() {
        return Vec::new();
    }
    let mut forms = vec![
        (secret.to_owned(), 0),
        (hex::encode(secret), 0),
        (hex::encode_upper(secret), 0),
    ];
    // Hexadecimal digits of either case name the same octet (RFC 3986 §2.1).
    let escaped = escape(secret);
    if escaped != secret {
        forms.extend([(lower_escapes(&escaped), 0), (escaped, 0)]);
    }
    // What follows the secret changes the last characters.
    let whole = secret.len() / 3 * 4;
    let tail = if secret.len().is_multiple_of(3) { 0 } else { 4 };
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        let mut text = engine.encode(secret);
        text.truncate(whole);
        forms.extend((!text.is_empty()).then_some((text, tail)));
    }
    let form = |(text, tail)| Form {
        text: Zeroizing::new(text),
        tail,
    };
    forms.into_iter().map(form).collect()
}

fn lower_escapes(escaped: &str) -> String {
    let mut parts = escaped.split('%');
    let mut lower = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        lower.extend(["%", &digits.to_ascii_lowercase(), rest]);
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d1_a_secret_that_a_target_repeats_is_masked_plain_and_encoded() {
        let secret = "cn-4711-the-secret";
        let answer = HttpAnswer {
            status: 500,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            line: "GET /Users".to_owned(),
            changes: false,
            scrub: vec![SecretString::from(secret)],
            received: Timestamp::UNIX_EPOCH,
        };
        let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
        for told in [
            secret.to_owned(),
            hex::encode(secret),
            hex::encode_upper(secret),
            encoded.clone(),
            URL_SAFE_NO_PAD.encode(format!("{secret}:x")),
        ] {
            let words = answer.words(&format!("we do not like <{told}>"));
            assert!(words.starts_with("we do not like <[redacted]"), "{words}");
            assert!(!words.contains(&told[..12]), "{words}");
        }
        assert_eq!(answer.words("we like you"), "we like you");
        // Not the end of it either, whether it is padded or something follows it.
        let shorter = &secret[..secret.len() - 1];
        let answer = HttpAnswer {
            scrub: vec![SecretString::from(shorter)],
            ..answer
        };
        for told in [shorter.to_owned(), format!("{shorter}:")] {
            let told = base64::engine::general_purpose::STANDARD.encode(told);
            assert_eq!(answer.words(&format!("<{told}>")), "<[redacted]>");
        }
    }
}
