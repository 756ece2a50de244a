//! Why a message was not taken: a stable code and words that say what to fix.
//!
//! Owns the codes `CB-INTAKE-…` of messages. Words name fields and rules, never what a field held:
//! dead letters are listed, logged and sent on, and payloads are about people.

use crate::kafka::Unreadable;

/// What sort of fault it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// Not a CloudEvent 1.0 in either mode.
    NotACloudEvent,
    /// A CloudEvents attribute is missing or invalid.
    Attribute,
    /// The value or its data is not JSON, or there is none.
    NotJson,
    /// Larger than allowed.
    TooLarge,
    /// A type that Clawback does not know.
    UnknownType,
    /// A known type in a version that Clawback does not know.
    UnknownVersion,
    /// A field that the schema does not have, or of the wrong type.
    Field,
    /// The subject is missing or incomplete, or of a kind that does not go with the type.
    Subject,
    /// An identifier of the subject is invalid or contradicts another.
    Identifier,
    /// The revision is missing or not a whole number.
    Revision,
    /// The effective instant is missing, not a local time, or in no known zone.
    Effective,
    /// The urgency is neither of the two.
    Urgency,
    /// A connector's name cannot be one.
    Connector,
    /// The same source and id came before with another payload.
    Conflict,
    /// The store takes everything but this message.
    Refused,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 15] = [
        Self::NotACloudEvent,
        Self::Attribute,
        Self::NotJson,
        Self::TooLarge,
        Self::UnknownType,
        Self::UnknownVersion,
        Self::Field,
        Self::Subject,
        Self::Identifier,
        Self::Revision,
        Self::Effective,
        Self::Urgency,
        Self::Connector,
        Self::Conflict,
        Self::Refused,
    ];

    /// The code with a heading in `docs/errors.md`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotACloudEvent => "CB-INTAKE-1",
            Self::Attribute => "CB-INTAKE-2",
            Self::NotJson => "CB-INTAKE-3",
            Self::TooLarge => "CB-INTAKE-4",
            Self::UnknownType => "CB-INTAKE-5",
            Self::UnknownVersion => "CB-INTAKE-6",
            Self::Field => "CB-INTAKE-7",
            Self::Subject => "CB-INTAKE-8",
            Self::Identifier => "CB-INTAKE-9",
            Self::Revision => "CB-INTAKE-10",
            Self::Effective => "CB-INTAKE-11",
            Self::Urgency => "CB-INTAKE-12",
            Self::Connector => "CB-INTAKE-13",
            Self::Conflict => "CB-INTAKE-14",
            Self::Refused => "CB-INTAKE-15",
        }
    }
}

/// A message that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", .code.as_str())]
pub struct Rejection {
    /// The first fault's code.
    pub code: Code,
    /// All faults, each with what to fix.
    pub reason: String,
}

impl Rejection {
    /// A rejection for one fault.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}

impl From<Unreadable> for Rejection {
    fn from(error: Unreadable) -> Self {
        let code = match &error {
            Unreadable::NotACloudEvent | Unreadable::Format | Unreadable::SpecVersion => {
                Code::NotACloudEvent
            }
            Unreadable::Missing(_) | Unreadable::Attribute(..) => Code::Attribute,
            Unreadable::NotJson(..) | Unreadable::Base64 => Code::NotJson,
        };
        Self::new(code, error.to_string())
    }
}
