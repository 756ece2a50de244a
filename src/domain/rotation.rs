//! The replacement of a connector's own secret.
//!
//! Owns what a rotation run remembers and the sweep that decides which secrets are due, with
//! reasons, the gravest first. The position of the run is the journal: a state is committed before its step is sent,
//! so a crash always comes back to a step that looks before it acts. Holds no secret values.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::id::ConnectorName;
use super::outcome::Failure;
use super::run::{Run, RunBody, Stage};
use super::task::CloseClaim;
use super::time::{Timestamp, after};
use super::verdict::CredentialRole;
use super::workflow::End;

/// How long the word of two people holds that a secret that is due need not be replaced. Without it the
/// next sweep would hand them the same task again; for ever, it would be an exception that nobody ends.
const WORD_SECONDS: u64 = 30 * 86_400;

/// How a target lets a secret be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The target mints, and several secrets coexist.
    Add,
    /// We choose the value; the target knows one at a time.
    Choose,
    /// We choose the value for the one of two sign-in names that rests.
    DualSlot,
    /// Someone else rotates: read the vault again.
    Delegated,
}

/// How the labels begin of all that is made for this credential, and for no other at the same target.
pub fn own_labels(connector: &ConnectorName, role: CredentialRole) -> String {
    format!("clawback:{connector}:{}:", role.as_str())
}

/// Why a secret is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Older than the manifest allows.
    Age {
        /// Its age.
        seconds: u64,
    },
    /// The target no longer accepts it.
    AuthFailure,
    /// An operator asked for it.
    Demand {
        /// Who.
        by: String,
    },
    /// An event says that others know it.
    Compromised,
    /// The record of the identity that signs in with it has stopped updating.
    Silent,
    /// It ends by itself soon.
    Expiry {
        /// How long it is good for; 0 when it has ended.
        seconds_left: u64,
    },
    /// Somebody who answers for the connector, or could read the secret, leaves.
    Leaver {
        /// Who, as events name people.
        subject: String,
    },
    /// The connector is retired: nothing takes the secret's place.
    Retired {
        /// Who asked for it.
        by: String,
    },
}

impl Trigger {
    /// The name in tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Age { .. } => "age",
            Self::AuthFailure => "auth_failure",
            Self::Demand { .. } => "demand",
            Self::Compromised => "compromised",
            Self::Silent => "silent",
            Self::Expiry { .. } => "expiry",
            Self::Leaver { .. } => "leaver",
            Self::Retired { .. } => "retired",
        }
    }

    /// True where the secret must be replaced (or end) although its manifest declares no way: then a
    /// person does it, and the machine sees the old one refused.
    pub fn wants_a_person(&self) -> bool {
        match self {
            Self::Age { .. }
            | Self::Compromised
            | Self::Expiry { .. }
            | Self::Leaver { .. }
            | Self::Retired { .. } => true,
            // What falls silent and cannot be rotated goes to a person by an event of its own.
            Self::AuthFailure | Self::Demand { .. } | Self::Silent => false,
        }
    }

    /// True where it says something of the secret that the replacement under way may not have heard: that
    /// one may have made its new value before. So another follows it. The others are found again.
    pub fn waits_its_turn(&self) -> bool {
        match self {
            Self::Demand { .. } | Self::Compromised | Self::Silent | Self::Leaver { .. } => true,
            Self::Age { .. } | Self::AuthFailure | Self::Expiry { .. } | Self::Retired { .. } => {
                false
            }
        }
    }

    /// True where a secret that was made then, and ends then, is not the one that was found to be due:
    /// somebody has replaced it before the first look.
    pub fn is_outrun(
        &self,
        created: Timestamp,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        match self {
            Self::Age { seconds } => age(created, now) < *seconds,
            Self::Expiry { seconds_left } => {
                expires.is_none_or(|end| left(end, now) > *seconds_left)
            }
            Self::AuthFailure
            | Self::Demand { .. }
            | Self::Compromised
            | Self::Silent
            | Self::Leaver { .. }
            | Self::Retired { .. } => false,
        }
    }
}

/// What a rotation run remembers between steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationBody {
    /// Whose secret.
    pub connector: ConnectorName,
    /// Which of its secrets.
    pub role: CredentialRole,
    /// How.
    pub strategy: Strategy,
    /// Why.
    pub trigger: Trigger,
    /// Facts gathered so far.
    pub facts: RotationFacts,
    /// When the pending secret was promoted.
    pub promoted_at: Option<Timestamp>,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// A person says it is done; to be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<CloseClaim>,
}

/// What the steps learn; each step returns the whole, the engine stores it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationFacts {
    /// Ids of secrets that the target knew before ours was created (strategy `Add`).
    pub known: Vec<String>,
    /// True once `known` was noted. Where the target keeps no labels it is not noted anew: by then it would
    /// hold what this rotation made and lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub noted: bool,
    /// Vault versions of all that this rotation saved as pending.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub made: BTreeSet<u64>,
    /// The label under which we create: names this rotation, so that an orphan is recognised. It begins
    /// with [`own_labels`]; those that began before that only with `clawback:`.
    pub label: String,
    /// Vault version of the current secret when the rotation began; `None` if there was none.
    #[serde(default)]
    pub started_version: Option<u64>,
    /// Vault version of the pending secret.
    pub pending_version: Option<u64>,
    /// The target's id of the new secret.
    pub new_ref: Option<String>,
    /// The target's id of the old secret.
    pub previous_ref: Option<String>,
    /// True when there was no previous secret, or it is shown to be rejected.
    pub previous_rejected: bool,
    /// True when there was nothing to replace: who was refused had held a secret that had been
    /// replaced already, and the current one is accepted.
    #[serde(default)]
    pub needless: bool,
    /// Of a retirement: the target was seen to accept the secret before it was taken away, so that it
    /// refuses it later means something.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen_accepted: bool,
}

/// What the sweep looks at: one secret of one connector. No value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretAge {
    /// Whose.
    pub connector: ConnectorName,
    /// Which.
    pub role: CredentialRole,
    /// When the current value was created.
    pub created: Timestamp,
    /// The oldest it may become, from the manifest; `None` means no limit.
    pub max_age_seconds: Option<u64>,
    /// When the target stops taking it, where that is known.
    pub expires: Option<Timestamp>,
    /// How long before that it is replaced.
    pub renew_before_seconds: u64,
    /// True while a rotation of it is under way.
    pub rotating: bool,
    /// When people last stood for it that this value need not be replaced.
    pub attested: Option<Timestamp>,
}

/// What rotations say of the secrets that the sweep looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotations {
    /// Of these one is under way.
    pub open: BTreeSet<(ConnectorName, CredentialRole)>,
    /// Of these the last one of age or expiry ended on people's word: which version it began with, and when.
    pub attested: BTreeMap<(ConnectorName, CredentialRole), (Option<u64>, Timestamp)>,
}

impl Rotations {
    /// Of these runs.
    pub fn of<'r>(runs: impl IntoIterator<Item = &'r Run>) -> Self {
        let mut rotations = Self::default();
        for run in runs {
            let RunBody::Rotation(body) = &run.body else {
                continue;
            };
            let secret = (body.connector.clone(), body.role);
            match &run.stage {
                Stage::Ended { end, at } => {
                    let swept =
                        matches!(body.trigger, Trigger::Age { .. } | Trigger::Expiry { .. });
                    if *end == End::Attested && swept {
                        let word = (body.facts.started_version, *at);
                        let kept = rotations.attested.entry(secret).or_insert(word);
                        if kept.1 < *at {
                            *kept = word;
                        }
                    }
                }
                Stage::Due { .. } | Stage::Gathering { .. } | Stage::WithPerson { .. } => {
                    rotations.open.insert(secret);
                }
            }
        }
        rotations
    }

    /// When people stood for it that this version of the secret need not be replaced.
    pub fn attested(
        &self,
        connector: &ConnectorName,
        role: CredentialRole,
        version: u64,
    ) -> Option<Timestamp> {
        let (of, at) = self.attested.get(&(connector.clone(), role))?;
        (*of == Some(version)).then_some(*at)
    }
}

/// Which secrets are due now, and why: first what ends soonest, then the oldest. One that ends soon is
/// due for that, whatever its age.
pub fn sweep(
    secrets: &[SecretAge],
    now: Timestamp,
) -> Vec<(ConnectorName, CredentialRole, Trigger)> {
    let mut due: Vec<_> = secrets
        .iter()
        .filter(|secret| !secret.rotating)
        .filter(|secret| {
            secret
                .attested
                .is_none_or(|at| after(at, WORD_SECONDS) <= now)
        })
        .filter_map(|secret| {
            let trigger = ending(secret, now).or_else(|| aged(secret, now))?;
            Some((secret.connector.clone(), secret.role, trigger))
        })
        .collect();
    due.sort_by_key(|(_, _, trigger)| match trigger {
        Trigger::Expiry { seconds_left } => (false, *seconds_left),
        Trigger::Age { seconds } => (true, u64::MAX - seconds),
        Trigger::AuthFailure
        | Trigger::Demand { .. }
        | Trigger::Compromised
        | Trigger::Silent
        | Trigger::Leaver { .. }
        | Trigger::Retired { .. } => (true, u64::MAX),
    });
    due
}

fn ending(secret: &SecretAge, now: Timestamp) -> Option<Trigger> {
    let seconds_left = left(secret.expires?, now);
    (seconds_left <= secret.renew_ahead()).then_some(Trigger::Expiry { seconds_left })
}

impl SecretAge {
    /// How long before its end it is replaced: at most a third of its life, or one that lives for hours
    /// would be due as soon as it is made.
    pub fn renew_ahead(&self) -> u64 {
        let life = self
            .expires
            .map(|end| end.duration_since(self.created).as_secs());
        let third = life.map(|life| u64::try_from(life).unwrap_or(0) / 3);
        self.renew_before_seconds.min(third.unwrap_or(u64::MAX))
    }
}

fn aged(secret: &SecretAge, now: Timestamp) -> Option<Trigger> {
    let seconds = age(secret.created, now);
    (seconds >= secret.max_age_seconds?).then_some(Trigger::Age { seconds })
}

fn age(created: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(created).as_secs()).unwrap_or(0)
}

fn left(end: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(end.duration_since(now).as_secs()).unwrap_or(0)
}
