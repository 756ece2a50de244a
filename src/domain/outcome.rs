//! What one attempted action came to.
//!
//! Owns the failure classes, which decide the fate of a run and of which every connector assigns
//! exactly one, next to its protocol. `Done` means that the target said yes, not that access is gone.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an action did not succeed; the engine matches on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Some of it worked; what remains is read again and retried.
    PartialSuccess,
    /// The target's data are too old or incomplete to act on.
    StaleData,
    /// The target refused or failed the write.
    WriteFailure,
    /// The connector's own credential was not accepted.
    AuthFailure,
    /// The target asks to slow down.
    RateLimited,
    /// No connection, or the target is down.
    Unreachable,
    /// The answer lacks its declared shape.
    Drifted,
    /// Sent, but no answer: it may or may not have happened.
    UnknownOutcome,
    /// Not exactly one account matches.
    Ambiguous,
    /// Outside the approved scopes; nothing was sent.
    Refused,
    /// The target or the connector cannot do this.
    Unsupported,
    /// The access comes from a rule or a parent and must be removed there.
    Inherited,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 12] = [
        Self::PartialSuccess,
        Self::StaleData,
        Self::WriteFailure,
        Self::AuthFailure,
        Self::RateLimited,
        Self::Unreachable,
        Self::Drifted,
        Self::UnknownOutcome,
        Self::Ambiguous,
        Self::Refused,
        Self::Unsupported,
        Self::Inherited,
    ];

    /// The name in workflow files and journals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PartialSuccess => "partial_success",
            Self::StaleData => "stale_data",
            Self::WriteFailure => "write_failure",
            Self::AuthFailure => "auth_failure",
            Self::RateLimited => "rate_limited",
            Self::Unreachable => "unreachable",
            Self::Drifted => "drifted",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Ambiguous => "ambiguous",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
            Self::Inherited => "inherited",
        }
    }

    /// The class with this name.
    pub fn from_name(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed action: its class, a stable code, and words for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code} {class}: {message}")]
pub struct Failure {
    /// Decides the fate.
    pub class: FailureClass,
    /// Heading in `docs/errors.md`, for example `CB-SCIM-401`.
    pub code: String,
    /// For a person; holds no secret and no payload.
    pub message: String,
    /// Seconds that the target asked to wait, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
}

/// The text without U+0000, which PostgreSQL keeps in no text, and which a target may answer with.
pub fn storable(text: String) -> String {
    if text.contains('\0') {
        return text.replace('\0', "\u{fffd}");
    }
    text
}

impl Failure {
    /// A failure without a wish to wait.
    pub fn new(class: FailureClass, code: &str, message: impl Into<String>) -> Self {
        Self {
            class,
            code: code.to_owned(),
            message: storable(message.into()),
            retry_after_seconds: None,
        }
    }

    /// The same failure with the seconds that the target asked to wait.
    #[must_use]
    pub fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.retry_after_seconds = seconds;
        self
    }
}
