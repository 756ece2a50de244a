//! Fallback tasks: what a person gets when the machine cannot remove or cannot prove.
//!
//! Owns the task, its states and what a close is: a claim, checked against the target where that can
//! be read, sent back with what was found, or else an attestation. Does not deliver to desks.

use serde::{Deserialize, Serialize};

use super::access::Entitlement;
use super::id::{CaseId, ConnectorName, RunId, TaskId};
use super::outcome::FailureClass;
use super::time::Timestamp;
use super::workflow::RunKind;

/// A work order for a person. Exactly one for one run, because its id derives from the run's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackTask {
    /// Its id.
    pub id: TaskId,
    /// The run that waits for it.
    pub run: RunId,
    /// What that run is about.
    pub kind: RunKind,
    /// The case, unless it is about a connector's own secret.
    pub case: Option<CaseId>,
    /// The target.
    pub connector: Option<ConnectorName>,
    /// Who leaves, for people to read.
    pub subject: String,
    /// The account in the target: login and immutable id, when known.
    pub account: Option<String>,
    /// True when a second person must attest.
    pub privileged: bool,
    /// True for the task of a drill, which nobody has to work on: the drill looks at it and closes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drill: bool,
    /// Lower is sooner.
    pub priority: i16,
    /// Access as last known.
    pub access: Vec<Entitlement>,
    /// How old that knowledge is; `None` when nothing was ever read.
    pub access_as_of: Option<Timestamp>,
    /// Why the machine failed: class, code and words.
    pub class: Option<FailureClass>,
    /// Stable code from `docs/errors.md`.
    pub code: String,
    /// Why the machine failed, in words.
    pub why: String,
    /// What to do, from the connector's manifest.
    pub steps: Vec<String>,
    /// The desk that gets a copy.
    pub desk: String,
    /// When it was opened first.
    pub opened: Timestamp,
    /// When it should be done.
    pub deadline: Timestamp,
    /// Where it stands.
    pub state: TaskState,
    /// What happened to it, oldest first: claims, sent back with what was found, tries of the machine.
    pub history: Vec<TaskNote>,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum TaskState {
    /// Nobody has it.
    Open,
    /// Someone works on it.
    Claimed {
        /// Who.
        by: String,
        /// Since when.
        at: Timestamp,
    },
    /// Someone says it is done; the machine checks.
    Checking(CloseClaim),
    /// Done.
    Closed {
        /// How it is known.
        how: Closure,
        /// Who closed it; `clawback` when the machine got there first.
        by: String,
        /// When.
        at: Timestamp,
    },
}

impl TaskState {
    /// The name in tables and filters.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Claimed { .. } => "claimed",
            Self::Checking(_) => "checking",
            Self::Closed { .. } => "closed",
        }
    }
}

/// How it is known that the work of a closed task is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closure {
    /// A person closed it and the target was read: gone.
    Proved,
    /// The machine got there first, with proof.
    ProvedByMachine,
    /// A person's signed word; the target could not be read. Never reported as verified.
    Attested,
    /// A person answered what was asked; nothing was to be done at a target.
    Answered,
    /// The case was halted; its own review task carries on what this one asked for.
    Superseded,
}

impl Closure {
    /// The name in tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::ProvedByMachine => "proved_by_machine",
            Self::Attested => "attested",
            Self::Answered => "answered",
            Self::Superseded => "superseded",
        }
    }
}

/// A person's claim that the work is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseClaim {
    /// Who says so.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What was done, in their words.
    pub note: String,
    /// The statement that stands where the target cannot be read.
    pub attestation: Option<Attestation>,
}

/// A person's signed statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// Who attests; for privileged access someone other than who claims the close.
    pub by: String,
    /// What they state.
    pub statement: String,
}

/// One line of a task's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNote {
    /// When.
    pub at: Timestamp,
    /// Who; `clawback` for the machine.
    pub by: String,
    /// What.
    pub text: String,
}
