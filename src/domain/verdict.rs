//! How far a removal is known, and what one look at the target proves.
//!
//! Owns the ladder and the judgement of observations. Only a read may lift a removal above
//! `accepted`; a read that was incomplete, stale or cut by permission proves nothing and is
//! inconclusive, never "gone". Does not read anything itself; that is `verification`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::access::{Account, AccountState, Entitlement, EntitlementKind};
use super::estate::Upstream;
use super::time::Timestamp;

/// The rungs, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Owed; nothing sent yet.
    Requested,
    /// The target answered 2xx or the like.
    Accepted,
    /// Read back with the writing credential.
    Applied,
    /// A complete, fresh read with the verifier credential no longer shows it.
    ObservedAbsent,
    /// Probes with the leaver's own artefacts fail.
    EffectiveAbsent,
    /// Still absent after the settle time.
    Reverified,
}

impl Verdict {
    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Accepted => "accepted",
            Self::Applied => "applied",
            Self::ObservedAbsent => "observed_absent",
            Self::EffectiveAbsent => "effective_absent",
            Self::Reverified => "reverified",
        }
    }

    /// The number in the store; constraints compare it.
    pub fn rung(self) -> i16 {
        match self {
            Self::Requested => 0,
            Self::Accepted => 1,
            Self::Applied => 2,
            Self::ObservedAbsent => 3,
            Self::EffectiveAbsent => 4,
            Self::Reverified => 5,
        }
    }

    /// The verdict with this number.
    pub fn from_rung(rung: i16) -> Option<Self> {
        [
            Self::Requested,
            Self::Accepted,
            Self::Applied,
            Self::ObservedAbsent,
            Self::EffectiveAbsent,
            Self::Reverified,
        ]
        .into_iter()
        .find(|verdict| verdict.rung() == rung)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which of a connector's credentials is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialRole {
    /// Changes the target.
    Writer,
    /// Only reads, and is not the writer's: evidence comes by another path.
    Verifier,
    /// Mints and retires the other two; used by rotation alone.
    Rotator,
}

impl CredentialRole {
    /// The name in manifests and vaults.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Verifier => "verifier",
            Self::Rotator => "rotator",
        }
    }

    /// The role with this name.
    pub fn from_name(text: &str) -> Option<Self> {
        [Self::Writer, Self::Verifier, Self::Rotator]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

/// Whether a read saw all that it should have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// Every page was read and the target's own total agrees.
    pub pages_closed: bool,
    /// Every declared field was in the answer.
    pub fields_present: bool,
    /// The number of accounts lies in the declared band (no band declared: at least one account,
    /// so that an empty answer never proves anything).
    pub count_in_band: bool,
    /// Part of the answer was withheld for lack of permission.
    pub permission_cut: bool,
}

impl Completeness {
    /// Saw everything.
    pub const WHOLE: Self = Self {
        pages_closed: true,
        fields_present: true,
        count_in_band: true,
        permission_cut: false,
    };

    /// The first reason why the read was not whole.
    pub fn gap(self) -> Option<&'static str> {
        if self.permission_cut {
            Some("part of the answer was withheld for lack of permission")
        } else if !self.pages_closed {
            Some("not all pages were read")
        } else if !self.fields_present {
            Some("declared fields are missing from the answer")
        } else if !self.count_in_band {
            Some("the number of accounts is outside its band")
        } else {
            None
        }
    }
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sighting {
    /// The target shows no such account.
    NotThere,
    /// The target shows this.
    There(Box<Account>),
}

/// One look at one account: what was seen, how, when and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// When the read was begun; what changed later is not covered.
    pub at: Timestamp,
    /// Whose eyes.
    pub credential: CredentialRole,
    /// How, for an auditor: `GET /Users/{id} and complete listing`.
    pub method: String,
    /// Whether it saw everything.
    pub completeness: Completeness,
    /// Age of the data in seconds where the target serves a copy; 0 for a live read.
    pub data_age_seconds: u64,
    /// It would show keys and tokens that are left without their account, or there can be none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shows_orphans: bool,
    /// What it saw.
    pub sighting: Sighting,
}

/// What must no longer be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// The account itself.
    AccountGone,
    /// Any power of the account: it stays, disabled, without entitlement and session.
    AccountPowerless,
    /// Any way in with the account: it stays with what it was given, disabled, without session, key
    /// and token.
    NoWayIn,
}

/// What an observation proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The access is gone.
    Absent,
    /// This is still there, in words for a person.
    Present(Vec<String>),
    /// The look proves nothing, and why.
    Inconclusive(String),
}

/// Judges one observation. Access that is seen is present whatever the quality of the look; access
/// that is not seen is absent only if the look was made with the verifier credential after
/// `not_before`, was complete, and showed data younger than `max_age_seconds`.
pub fn judge(
    observation: &Observation,
    expectation: Expectation,
    not_before: Timestamp,
    max_age_seconds: u64,
) -> Finding {
    if let Sighting::There(account) = &observation.sighting {
        let left = residue(account, expectation);
        if !left.is_empty() {
            return Finding::Present(left);
        }
    }
    let gap = doubt(observation, not_before, max_age_seconds);
    gap.map_or(Finding::Absent, Finding::Inconclusive)
}

/// As [`judge`], of the one entitlement upstream that gives access elsewhere.
pub fn judge_entitlement(
    observation: &Observation,
    upstream: &Upstream,
    not_before: Timestamp,
    max_age_seconds: u64,
) -> Finding {
    if let Sighting::There(account) = &observation.sighting {
        let mut has = account.entitlements.iter();
        if has.any(|one| upstream.is(one)) {
            let (login, what) = (&account.login, &upstream.entitlement);
            return Finding::Present(vec![format!("{login} still has {what}")]);
        }
    }
    let gap = doubt(observation, not_before, max_age_seconds);
    gap.map_or(Finding::Absent, Finding::Inconclusive)
}

/// Why a look that showed nothing proves nothing, if so.
fn doubt(observation: &Observation, not_before: Timestamp, max_age_seconds: u64) -> Option<String> {
    if observation.credential != CredentialRole::Verifier {
        return Some("not read with the verifier credential".to_owned());
    }
    if observation.at < not_before {
        return Some("read before the last change".to_owned());
    }
    if observation.data_age_seconds > max_age_seconds {
        return Some(format!(
            "the data are {} s old, at most {max_age_seconds} s count as fresh",
            observation.data_age_seconds
        ));
    }
    observation.completeness.gap().map(ToOwned::to_owned)
}

/// What of `account` should not be there, in words for a person.
pub fn residue(account: &Account, expectation: Expectation) -> Vec<String> {
    let mut left = Vec::new();
    match expectation {
        Expectation::AccountGone => left.push(format!("account {} is there", account.login)),
        Expectation::AccountPowerless | Expectation::NoWayIn => match account.state {
            AccountState::Disabled => {}
            AccountState::Enabled => left.push(format!("account {} can sign in", account.login)),
            AccountState::NotTold => left.push(format!(
                "account {} is there and its state is not told",
                account.login
            )),
        },
    }
    let entitlements = account.entitlements.iter();
    for entitlement in entitlements.filter(|one| counts(one, expectation)) {
        let origin = entitlement
            .inherited_from
            .as_ref()
            .map_or(String::new(), |parent| format!(", inherited from {parent}"));
        left.push(format!(
            "{:?} {}{origin}",
            entitlement.kind, entitlement.name
        ));
    }
    if let Some(sessions) = account.sessions.filter(|count| *count > 0) {
        let noun = if sessions == 1 { "session" } else { "sessions" };
        left.push(format!("{sessions} live {noun}"));
    }
    left
}

/// Whether an entitlement that is left is access that should not be.
fn counts(entitlement: &Entitlement, expectation: Expectation) -> bool {
    match expectation {
        Expectation::AccountGone | Expectation::AccountPowerless => true,
        Expectation::NoWayIn => entitlement.kind == EntitlementKind::Credential,
    }
}
