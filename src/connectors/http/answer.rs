//! What an HTTP answer means.
//!
//! Owns the class of every status (RFC 9110 §15) and the reading of `Retry-After`. A kind handles
//! the statuses that its dialect gives a meaning of their own first, and leaves the rest to this.
//! Words that a target sent are shortened and scrubbed of the credential before anyone sees them.

use bytes::Bytes;
use http::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::domain::outcome::{Failure, FailureClass};

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
    /// The credential that it was sent with.
    pub(super) scrub: SecretString,
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
        let secret = self.scrub.expose_secret();
        let scrubbed = if secret.is_empty() {
            text.to_owned()
        } else {
            text.replace(secret, "[redacted]")
        };
        let plain = scrubbed.chars().filter(|c| !c.is_control());
        plain.take(LONGEST_WORDS).collect()
    }

    /// Seconds that the target asked to wait (RFC 9110 §10.2.3). A date is counted from the answer's
    /// own `Date`, so that our clock and the target's need not agree.
    pub(in crate::connectors) fn retry_after_seconds(&self) -> Option<u64> {
        let text = self.header(RETRY_AFTER)?.trim();
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(seconds.min(86_400));
        }
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        let until = parser.parse_timestamp(text).ok()?;
        let sent = parser.parse_timestamp(self.header(DATE)?).ok()?;
        u64::try_from(until.duration_since(sent).as_secs())
            .ok()
            .map(|seconds| seconds.min(86_400))
    }

    fn class(&self) -> (FailureClass, &'static str) {
        match self.status {
            300..400 => (FailureClass::Drifted, "CB-HTTP-300"),
            401 => (FailureClass::AuthFailure, "CB-HTTP-401"),
            403 => (FailureClass::AuthFailure, "CB-HTTP-403"),
            405 | 501 => (FailureClass::Unsupported, "CB-HTTP-501"),
            408 | 503 => (FailureClass::Unreachable, "CB-HTTP-503"),
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
