//! What can go wrong with the vault, and what it means for a run.
//!
//! Owns the codes `CB-SECRETS-…` of the vault itself and their failure class. No variant can carry
//! a secret value. Display never repeats its source.

use std::path::PathBuf;

use crate::domain::id::ConnectorName;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::verdict::CredentialRole;

/// A vault operation did not happen; the vault is as it was.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Nothing is kept under the reference, or not in that slot.
    #[error("the vault holds no {slot} secret under {reference}")]
    Missing {
        /// As the manifest writes it.
        reference: String,
        /// `current`, `pending` or `previous`.
        slot: &'static str,
    },
    /// The file can't be read, written or locked.
    #[error("the vault file {path} can't be {deed}")]
    Io {
        /// The file.
        path: PathBuf,
        /// `read`, `written` or `locked`.
        deed: &'static str,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a vault of a version that this program knows.
    #[error("the vault file {path} can't be understood: {message}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong; quotes nothing from the file.
        message: String,
    },
    /// The entry was sealed with another key.
    #[error("the {slot} secret under {reference} does not open: it was sealed with another key")]
    OtherKey {
        /// As the manifest writes it.
        reference: String,
        /// `current`, `pending` or `previous`.
        slot: &'static str,
    },
    /// The entry was sealed for another place, or was changed.
    #[error("the {slot} secret under {reference} does not open: {message}")]
    Sealed {
        /// As the manifest writes it.
        reference: String,
        /// `current`, `pending` or `previous`.
        slot: &'static str,
        /// Which of the causes, as far as it can be told.
        message: String,
    },
    /// The reference belongs to another connector or role.
    #[error("the secret under {reference} belongs to {connector}'s {role}")]
    Foreign {
        /// As the manifest writes it.
        reference: String,
        /// Whose it is.
        connector: ConnectorName,
        /// Which of its credentials.
        role: &'static str,
    },
    /// Somebody else changed the secret since it was read.
    #[error(
        "the secret under {reference} was changed meanwhile (version {found}, expected {expected})"
    )]
    Overtaken {
        /// As the manifest writes it.
        reference: String,
        /// What the caller had read.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A pending secret of another rotation is in the way, or none of this one is there.
    #[error("the pending secret under {reference} is not of the rotation {label}")]
    NotPending {
        /// As the manifest writes it.
        reference: String,
        /// The rotation's label.
        label: String,
    },
    /// The key can't be used.
    #[error("the vault key can't be used: {0}")]
    Key(String),
    /// The reference is not one that this vault resolves.
    #[error("`{reference}` is not a reference into this vault (`{form}`)")]
    Reference {
        /// As the manifest writes it.
        reference: String,
        /// How one looks.
        form: &'static str,
    },
    /// A secret that can't be one.
    #[error("the secret for {reference} is empty")]
    Empty {
        /// As the manifest writes it.
        reference: String,
    },
    /// The write was under way when the process stopped or a thread of it died.
    #[error("the write to the vault did not come to its end")]
    BrokenOff,
    /// The vault's server did not answer, or not as a vault does.
    #[error("the vault does not answer {request}: {message}")]
    Away {
        /// Method and path.
        request: String,
        /// What happened; quotes no value.
        message: String,
        /// True when a change was sent and may have been made.
        sent: bool,
    },
    /// Others change the secret all the time.
    #[error("the secret under {reference} is changed by others all the time")]
    Contended {
        /// As the manifest writes it.
        reference: String,
    },
    /// The vault's server is sealed: it has no key to open its storage with.
    #[error("the vault is sealed")]
    Closed,
    /// The vault refuses the sign-in, or the policy of the token lacks something.
    #[error("the vault forbids {request}: {message}")]
    Forbidden {
        /// Method and path.
        request: String,
        /// The vault's words.
        message: String,
    },
    /// What lies under the reference was not written by Clawback.
    #[error("what the vault keeps under {reference} is no secret of Clawback: {message}")]
    Document {
        /// As the manifest writes it.
        reference: String,
        /// What is wrong; quotes no value.
        message: String,
    },
    /// The cryptographic library or its random source failed.
    #[error("the cryptographic library failed")]
    Crypto,
}

impl VaultError {
    /// The heading in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "CB-SECRETS-1",
            Self::Io { .. } => "CB-SECRETS-2",
            Self::Format { .. } => "CB-SECRETS-3",
            Self::Sealed { .. } | Self::OtherKey { .. } => "CB-SECRETS-4",
            Self::Foreign { .. } => "CB-SECRETS-5",
            Self::Overtaken { .. } | Self::Contended { .. } => "CB-SECRETS-6",
            Self::NotPending { .. } => "CB-SECRETS-7",
            Self::Key(_) => "CB-SECRETS-8",
            Self::Reference { .. } => "CB-SECRETS-9",
            Self::Empty { .. } => "CB-SECRETS-10",
            Self::Crypto => "CB-SECRETS-11",
            Self::BrokenOff => "CB-SECRETS-12",
            Self::Away { .. } => "CB-SECRETS-17",
            Self::Closed => "CB-SECRETS-18",
            Self::Forbidden { .. } => "CB-SECRETS-19",
            Self::Document { .. } => "CB-SECRETS-20",
        }
    }

    /// What it means for a run: a missing secret is an `auth_failure`, for a rotation may mint one;
    /// what may pass by itself is `unreachable` or `stale_data`; the rest needs a person.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Missing { .. } => FailureClass::AuthFailure,
            Self::Io { .. } | Self::Crypto | Self::Closed | Self::Away { sent: false, .. } => {
                FailureClass::Unreachable
            }
            Self::BrokenOff | Self::Away { sent: true, .. } => FailureClass::UnknownOutcome,
            Self::Overtaken { .. } | Self::Contended { .. } | Self::NotPending { .. } => {
                FailureClass::StaleData
            }
            Self::Format { .. }
            | Self::Sealed { .. }
            | Self::OtherKey { .. }
            | Self::Forbidden { .. }
            | Self::Document { .. }
            | Self::Foreign { .. }
            | Self::Key(_)
            | Self::Empty { .. } => FailureClass::Refused,
            Self::Reference { .. } => FailureClass::Unsupported,
        }
    }

    pub(super) fn missing(reference: &str, slot: super::Slot) -> Self {
        Self::Missing {
            reference: reference.to_owned(),
            slot: slot.as_str(),
        }
    }

    pub(super) fn foreign(
        reference: &str,
        connector: &ConnectorName,
        role: CredentialRole,
    ) -> Self {
        Self::Foreign {
            reference: reference.to_owned(),
            connector: connector.clone(),
            role: role.as_str(),
        }
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        // The system's own words help the person who repairs it; they name a file, no secret.
        let message = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self::new(error.class(), error.code(), message)
    }
}
