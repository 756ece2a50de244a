//! A run: one instance of a state machine, with its position and its own data.
//!
//! Owns what is durable about a run. Everything that the next step needs travels with the claim, so
//! that the step path reads nothing. Leases and fencing tokens belong to the store's row, not here:
//! the domain decides as if it were alone.
//!
//! What changes at a step is declared before what stays: rows are written in this order, and a
//! database logs of a row's new version only what lies between the common beginning and end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::access::{Account, Entitlement, EntitlementKey};
use super::doubt::{Ruling, is_held};
use super::drill::Pass;
use super::event::{EventKind, Urgency};
use super::health::CareBody;
use super::id::{
    AccountId, CaseId, ConnectorName, DefinitionDigest, EventKey, RunId, StateName, TaskId,
};
use super::outcome::Failure;
use super::probe::Probed;
use super::review::PutOff;
use super::rotation::RotationBody;
use super::subject::Subject;
use super::task::CloseClaim;
use super::time::{Effective, Timestamp};
use super::verdict::{Expectation, Finding, Verdict};
use super::workflow::{End, RunKind};

mod left;

pub use left::{Containment, Returned, residual_risk};

/// One durable state machine instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Where it stands.
    pub stage: Stage,
    /// Settlements so far; the journal's sequence.
    pub step: u64,
    /// How far the removal is known; `None` for other kinds.
    pub verdict: Option<Verdict>,
    /// Further attempts made, by state, since the last time a person or a timer took it up.
    pub attempts: BTreeMap<StateName, u32>,
    /// The event was called off or put off: no further write.
    pub halted: bool,
    /// A worker was at it when it was halted, whose answer is refused: what it was about to send may have
    /// been sent. Noted by the next step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_flight: bool,
    /// The fallback task that is open for it, if any.
    pub task: Option<TaskId>,
    /// What its kind needs.
    pub body: RunBody,
    /// Its id.
    pub id: RunId,
    /// The case it belongs to; a rotation belongs to none.
    pub case: Option<CaseId>,
    /// The run that waits for this one to end.
    pub parent: Option<RunId>,
    /// The exact definition that it started with.
    pub definition: DefinitionDigest,
    /// What it is about.
    pub kind: RunKind,
    /// The one target that it talks to; a case talks to none.
    pub connector: Option<ConnectorName>,
    /// Lower is sooner. See [`priority`].
    pub priority: i16,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The state's action is to be done at `due`.
    Due {
        /// The state.
        state: StateName,
        /// When; in the past means now.
        due: Timestamp,
    },
    /// Waits until all child runs have ended.
    Gathering {
        /// The state that spawned them.
        state: StateName,
    },
    /// A person has it; the machine looks again at `next_try`.
    WithPerson {
        /// The fallback state.
        state: StateName,
        /// When the machine tries by itself; `None` when only a person can end this.
        next_try: Option<Timestamp>,
        /// How many times it has tried since the task was opened.
        tries: u32,
    },
    /// Over.
    Ended {
        /// How.
        end: End,
        /// When.
        at: Timestamp,
    },
}

impl Stage {
    /// When the engine should look at the run by itself; `None` if something else must happen first.
    pub fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Due { due, .. } => Some(*due),
            Self::WithPerson { next_try, .. } => *next_try,
            Self::Gathering { .. } | Self::Ended { .. } => None,
        }
    }

    /// The state's name, or the end's.
    pub fn name(&self) -> &str {
        match self {
            Self::Due { state, .. }
            | Self::Gathering { state }
            | Self::WithPerson { state, .. } => state.as_str(),
            Self::Ended { end, .. } => end.as_str(),
        }
    }

    /// True when the run is over.
    pub fn ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

/// The data of one run kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunBody {
    /// Of a case.
    Case(CaseBody),
    /// Of a discovery.
    Discovery(DiscoveryBody),
    /// Of a removal.
    Removal(Box<RemovalBody>),
    /// Of a rotation.
    Rotation(Box<RotationBody>),
    /// Of the care of a connector.
    Care(Box<CareBody>),
}

/// What brakes and protections must know of a departure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Tenant and id of who leaves.
    pub subject: String,
    /// The system that told of it.
    pub source: String,
    /// The organisation unit, where the event names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// At once, and contained past the brakes.
    pub for_cause: bool,
    /// An administrator or the like leaves, or access weighs more where it is: attested by two people.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
}

impl Leaving {
    /// True where what is done for this departure is done as hastily as for the other, and closed by as
    /// many people.
    pub fn covers(&self, other: &Self) -> bool {
        self.for_cause >= other.for_cause && self.privileged >= other.privileged
    }
}

/// One case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseBody {
    /// Who leaves.
    pub subject: Subject,
    /// The event that opened it.
    pub event: EventKey,
    /// Its kind; `None` in cases that were opened before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<EventKind>,
    /// The system that told of it (CloudEvents `source`).
    #[serde(default)]
    pub source: String,
    /// When intake recorded that event.
    pub recorded: Timestamp,
    /// When it was told, by the source's own clock: CloudEvents `time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred: Option<Timestamp>,
    /// When access ends, as the source meant it.
    pub effective: Effective,
    /// For cause or planned.
    pub urgency: Urgency,
    /// Limits the case to these connectors; empty means all.
    pub connectors: Vec<ConnectorName>,
    /// `traceparent` of the message that opened it, to be linked from its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Set where no machine can act on the event: the reason for the person who gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_person: Option<Failure>,
    /// The answer to the doubt for which it was held; taken in by its next step, and kept by a case that
    /// it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruling: Option<Ruling>,
    /// A person says it is done; only an attestation can settle that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<CloseClaim>,
    /// How often its discoveries were begun; from the first time on, access may have been touched.
    #[serde(default)]
    pub rounds: u32,
    /// A newer event changed it: its next step begins where its machine does, or with the person who
    /// answers the doubt about it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anew: bool,
    /// Where the departure goes on, once this case was halted; `None`: nowhere, it was called off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_off: Option<PutOff>,
    /// The case that tells that the subject is back, for which this one was halted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<CaseId>,
    /// A discovery or removal of it ended on a person's word, and so the case does not end verified;
    /// known when all of them have ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_word: bool,
    /// The pass of the drill that it belongs to; `None` for all that is real.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Pass>,
}

/// One discovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryBody {
    /// What became of the access upstream, where the target would not obey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Containment>,
    /// The accounts of which removals were begun, as they were then: at the last look their ways in are
    /// tried once more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Account>,
    /// How often removals were begun. From the second search on, only what still gives access counts.
    #[serde(default)]
    pub rounds: u32,
    /// A whole wait has passed since removals were begun last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rested: bool,
    /// Which round of its case it belongs to, from 0: what is told of a case under way begins the next.
    #[serde(default, skip_serializing_if = "super::round::is_first")]
    pub round: u32,
    /// Found, but another round's removal of it is open, which is as hasty and as privileged, and the case
    /// waits for that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<AccountId>,
    /// Accounts that may be the subject's and that no rule decides about, in words for a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclear: Vec<String>,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// A person says it is done; to be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<CloseClaim>,
    /// What the last complete listing found of the subject, and when; for the person who takes over.
    #[serde(default)]
    pub found: Vec<Account>,
    /// When `found` was listed.
    #[serde(default)]
    pub found_at: Option<Timestamp>,
    /// Whom to look for.
    pub subject: Subject,
    /// Their departure.
    #[serde(default)]
    pub leaving: Leaving,
    /// When the subject's access was to end.
    pub owed_since: Timestamp,
    /// The pass of the drill that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Pass>,
    /// What must no longer be seen of its accounts; `None`: what the target's manifest says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
}

/// One removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalBody {
    /// When the last write was sent; only later reads count.
    pub last_write: Option<Timestamp>,
    /// More was sent than what contains: an entitlement was taken away, or the account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stripped: bool,
    /// The latest try of each probe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probed: Vec<Probed>,
    /// When a look last proved absence; `None` while access is known to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_at: Option<Timestamp>,
    /// Every time that access was there again after its absence was proved, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returned: Vec<Returned>,
    /// What the last look proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_finding: Option<Finding>,
    /// What became of the access upstream, where the target would not obey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Containment>,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// A person says it is done; to be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<CloseClaim>,
    /// The entitlements to take away, with where each stands.
    pub items: Vec<Item>,
    /// Who leaves, for people to read.
    pub subject_name: String,
    /// Their departure.
    #[serde(default)]
    pub leaving: Leaving,
    /// When the subject's access was to end.
    pub owed_since: Timestamp,
    /// The account with everything it had when it was last read before the first write.
    pub account: Account,
    /// When that was.
    pub account_as_of: Timestamp,
    /// It was read by itself since, with its entitlements; a listing may show none.
    #[serde(default)]
    pub inspected: bool,
    /// The verifier was shown all of it, as long as it was there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shown: bool,
    /// What must no longer be seen.
    pub expect: Expectation,
    /// The pass of the drill that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Pass>,
}

/// One entitlement of a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Where its removal stands.
    pub status: ItemStatus,
    /// The last try to take it away failed; kept while it is owed again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resisted: bool,
    /// The verifier was shown it once, and so would see it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen: bool,
    /// What it is.
    pub entitlement: Entitlement,
}

/// Where the removal of one entitlement stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// To be done.
    Owed,
    /// The target said yes.
    Accepted,
    /// The target said that it was not there.
    Absent,
    /// It did not work.
    Failed(Failure),
}

impl Run {
    /// No further write; `leased`: a worker is at it.
    pub fn halt(&mut self, leased: bool) {
        self.in_flight |= leased && !self.halted;
        self.halted = true;
    }

    /// A person has it, and the machine tries again at once instead of later. False where it tries nothing, or
    /// is about to.
    pub fn hasten(&mut self, now: Timestamp) -> bool {
        match &mut self.stage {
            Stage::WithPerson {
                next_try: Some(next),
                ..
            } if *next > now => {
                *next = now;
                true
            }
            Stage::WithPerson { .. }
            | Stage::Due { .. }
            | Stage::Gathering { .. }
            | Stage::Ended { .. } => false,
        }
    }

    /// The pass of the drill that it belongs to; `None` for all that is real.
    pub fn drill(&self) -> Option<Pass> {
        match &self.body {
            RunBody::Case(body) => body.drill,
            RunBody::Discovery(body) => body.drill,
            RunBody::Removal(body) => body.drill,
            RunBody::Rotation(_) | RunBody::Care(_) => None,
        }
    }

    /// What brakes and protections must know of the departure that it takes access away for.
    pub fn leaving(&self) -> Option<&Leaving> {
        match &self.body {
            RunBody::Discovery(body) => Some(&body.leaving),
            RunBody::Removal(body) => Some(&body.leaving),
            RunBody::Case(_) | RunBody::Rotation(_) | RunBody::Care(_) => None,
        }
    }
}

impl CaseBody {
    /// True where somebody or something leaves, by an event that makes sense; a doubt about it is for
    /// a person to answer.
    pub fn departs(&self) -> bool {
        let kind = self.kind.is_none_or(|kind| {
            matches!(
                kind,
                EventKind::WorkerTerminated
                    | EventKind::TerminationChanged
                    | EventKind::TerminationCancelled
                    | EventKind::NhiRetired
            )
        });
        kind && (self.for_person.is_none() || is_held(self))
    }

    /// True where `source` told of it, or may have: it was not kept at first.
    pub fn is_told_by(&self, source: &str) -> bool {
        self.source.is_empty() || self.source == source
    }
}

impl RemovalBody {
    /// The items that an operation fits and that are still owed.
    pub fn owed(&self, credentials: bool) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| {
            item.status == ItemStatus::Owed && item.is_credential() == credentials
        })
    }

    /// The item of this entitlement.
    pub fn item_mut(&mut self, key: &EntitlementKey) -> Option<&mut Item> {
        let mut items = self.items.iter_mut();
        items.find(|item| item.entitlement.kind == key.kind && item.entitlement.id == key.id)
    }
}

impl Item {
    /// True for keys, tokens and the like.
    pub fn is_credential(&self) -> bool {
        self.entitlement.is_credential()
    }
}

/// For cause before planned; privileged and non-human before standard. Lower is sooner.
pub fn priority(urgency: Urgency, subject: &Subject) -> i16 {
    let cause = match urgency {
        Urgency::ForCause => 0,
        Urgency::Planned => 20,
    };
    let rank = match (subject.privileged, subject.kind) {
        (true, _) => 0,
        (false, super::subject::SubjectKind::Nhi | super::subject::SubjectKind::Application) => 5,
        (false, super::subject::SubjectKind::Person) => 10,
    };
    cause + rank
}
