//! What a call is for.
//!
//! Owns the purposes, their names in metrics and how long a call for each may take. Which requests fit a
//! purpose is judged by the guard.

use crate::connectors::contract::Change;
use crate::connectors::manifest::Limits;
use crate::domain::id::AccountId;

/// What a call is for; requests outside it are refused.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose<'a> {
    List,
    Survey,
    Read(&'a AccountId),
    Change(&'a Change),
    /// A change of an account that nobody has, to see whether the credential may make one.
    TryChange(&'a Change),
    Try,
    /// A list of accounts, to see whether a new secret shows them.
    TryList,
    /// A try to get in as this account; `None` is its control, which names no account.
    Probe(Option<&'a AccountId>),
    ListSecrets,
    ChangeSecret,
}

impl Purpose<'_> {
    /// True for calls that are part of what an event owes; surveys and rotations are not.
    pub(super) fn is_of_event(self) -> bool {
        match self {
            Self::List | Self::Read(_) | Self::Change(_) | Self::Probe(_) => true,
            Self::Survey
            | Self::Try
            | Self::TryList
            | Self::TryChange(_)
            | Self::ListSecrets
            | Self::ChangeSecret => false,
        }
    }

    /// How long such a call may take in seconds. One that looks at an account may need as many requests as
    /// a listing, where each of them has a time of its own (`timed`): too many of them are no silence.
    pub(super) fn seconds(self, limits: &Limits, timed: bool) -> u64 {
        match self {
            Self::List | Self::Survey | Self::TryList => limits.listing_timeout_seconds,
            Self::Read(_) | Self::Change(_) | Self::TryChange(_) if timed => {
                limits.listing_timeout_seconds.max(limits.timeout_seconds)
            }
            Self::Read(_)
            | Self::Change(_)
            | Self::TryChange(_)
            | Self::Try
            | Self::Probe(_)
            | Self::ListSecrets
            | Self::ChangeSecret => limits.timeout_seconds,
        }
    }

    /// The name in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Survey => "survey",
            Self::Read(_) => "read",
            Self::Change(change) => change.operation.as_str(),
            Self::Try => "try_credential",
            Self::TryList => "try_list",
            Self::TryChange(_) => "try_write",
            Self::Probe(_) => "probe",
            Self::ListSecrets => "list_secrets",
            Self::ChangeSecret => "change_secret",
        }
    }
}
