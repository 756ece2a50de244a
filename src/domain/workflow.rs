//! A workflow as checked: machines of states, with a next step for every outcome.
//!
//! Owns the vocabulary of workflow files. A value of [`Workflow`] has been proved by
//! `definitions`: states reachable, outcomes handled, cycles bounded, every end verified or through
//! a person. Does not parse; does not run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::access::Operation;
use super::event::EventKind;
use super::id::{DefinitionDigest, StateName, WorkflowName};
use super::outcome::FailureClass;
use super::retry::RetryPolicy;
use super::verdict::{Expectation, Verdict};

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// One event: waits for its instant, fans out, settles when its removals have.
    Case,
    /// Find the subject's accounts in one target.
    Discovery,
    /// Remove one account's access.
    Removal,
    /// Replace one of a connector's own secrets.
    Rotation,
    /// Hold the task about a connector that is not well; surveys move it, no workflow does.
    Care,
}

impl RunKind {
    /// Every kind that a workflow file can describe.
    pub const ALL: [Self; 4] = [Self::Case, Self::Discovery, Self::Removal, Self::Rotation];

    /// The name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Case => "case",
            Self::Discovery => "discovery",
            Self::Removal => "removal",
            Self::Rotation => "rotation",
            Self::Care => "care",
        }
    }

    /// The kind with this name.
    pub fn from_name(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One step in the replacement of a connector's own secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotationStep {
    /// Note what exists at the target; choose and save the pending value where we choose it.
    Prepare,
    /// Make the target know the new secret, and save it as pending. Looks first whether an
    /// attempt before a crash had already worked.
    Create,
    /// Do real work with the pending secret, on every declared read.
    Test,
    /// Pending becomes current, current becomes previous.
    Promote,
    /// Take the previous secret away at the target.
    Retire,
    /// Show that the target refuses the previous secret.
    ProveRejected,
}

impl RotationStep {
    /// Every step, in order.
    pub const ALL: [Self; 6] = [
        Self::Prepare,
        Self::Create,
        Self::Test,
        Self::Promote,
        Self::Retire,
        Self::ProveRejected,
    ];

    /// The action's name in workflow files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare_secret",
            Self::Create => "create_secret",
            Self::Test => "test_secret",
            Self::Promote => "promote_secret",
            Self::Retire => "retire_secret",
            Self::ProveRejected => "prove_rejected",
        }
    }
}

/// What a state does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Case: wait until the effective instant.
    AwaitEffective,
    /// Case: one discovery for each connector, side by side; done when all have ended.
    Discover,
    /// Discovery: find the subject's accounts by the connector's correlation rule.
    FindAccounts,
    /// Discovery: one removal for each account found; done when all have ended.
    RemoveAccounts,
    /// Removal: read the account with everything it has.
    Inspect,
    /// Removal: one operation on the account as a whole (disable, end sessions, delete).
    Act(Operation),
    /// Removal: one operation on each entitlement that it fits (revoke entitlement or credential).
    Each {
        /// `RevokeEntitlement` or `RevokeCredential`.
        operation: Operation,
        /// All at once, or one after the other.
        side_by_side: bool,
    },
    /// Removal: look with the verifier credential; absence lifts the verdict to this rung.
    Verify {
        /// `ObservedAbsent` or `Reverified`.
        rung: Verdict,
    },
    /// Removal: try the leaver's ways in, as the manifest declares; all must be refused.
    Probe,
    /// Wait durably.
    Wait {
        /// How long.
        seconds: u64,
    },
    /// Discovery, removal: take away upstream what gives access to the target that will not obey.
    CutUpstream,
    /// Rotation: one step.
    Rotate(RotationStep),
    /// Rotation: wait for the connector's overlap.
    Overlap,
    /// Wait for child runs that were admitted together with this run.
    Gather,
    /// Any: open the fallback task and hold it until proof or attestation.
    Fallback(Fallback),
    /// The run is over.
    End(End),
}

/// How a run waits for a person while the machine keeps trying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// Where the machine takes up again by itself, and how often it does.
    pub resume: Option<StateName>,
    /// Seconds between the machine's own tries; doubles up to a day.
    pub keep_trying_seconds: u64,
    /// The state that checks a person's claim; without one only an attestation closes the task.
    pub check: Option<StateName>,
}

/// How a run ends. There is no other way to end one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Absence was proved (a removal), or every child run has ended well (a case, a discovery).
    Verified,
    /// A person closed the fallback task, and the machine could not check it.
    Attested,
    /// The event was called off before anything was done.
    Rescinded,
    /// The event was called off after something was done; a person reviews it.
    Halted,
    /// Rotation: the new secret works and the old one is shown to be rejected.
    Rotated,
}

impl End {
    /// Every end.
    pub const ALL: [Self; 5] = [
        Self::Verified,
        Self::Attested,
        Self::Rescinded,
        Self::Halted,
        Self::Rotated,
    ];

    /// The name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Attested => "attested",
            Self::Rescinded => "rescinded",
            Self::Halted => "halted",
            Self::Rotated => "rotated",
        }
    }

    /// The end with this name.
    pub fn from_name(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|end| end.as_str() == text)
    }
}

/// What an action can come to, as workflow files name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutcomeKey {
    /// Did what it should (for a write: the target said yes).
    Done,
    /// Proved that there is nothing (left) to remove.
    Absent,
    /// Accounts were found, or the account is there.
    Found,
    /// The verifier still sees access.
    Present,
    /// The look proves nothing.
    Inconclusive,
    /// The manifest states that the target has no such thing.
    NotNeeded,
    /// A person attested.
    Attested,
    /// A failure of this class.
    Failed(FailureClass),
}

impl OutcomeKey {
    /// The name in files and journals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Absent => "absent",
            Self::Found => "found",
            Self::Present => "present",
            Self::Inconclusive => "inconclusive",
            Self::NotNeeded => "not_needed",
            Self::Attested => "attested",
            Self::Failed(class) => class.as_str(),
        }
    }

    /// The outcome with this name.
    pub fn from_name(text: &str) -> Option<Self> {
        [
            Self::Done,
            Self::Absent,
            Self::Found,
            Self::Present,
            Self::Inconclusive,
            Self::NotNeeded,
            Self::Attested,
        ]
        .into_iter()
        .find(|key| key.as_str() == text)
        .or_else(|| FailureClass::from_name(text).map(Self::Failed))
    }
}

impl Serialize for OutcomeKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for OutcomeKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_name(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an outcome")))
    }
}

impl Action {
    /// The outcomes other than failures that a state with this action must handle.
    pub fn outcomes(&self) -> &'static [OutcomeKey] {
        match self {
            // Absent: no connector found any account. A leaver whom nobody knows is a person's business.
            Self::Discover => &[OutcomeKey::Done, OutcomeKey::Absent],
            Self::AwaitEffective
            | Self::RemoveAccounts
            | Self::Wait { .. }
            | Self::Overlap
            | Self::Gather
            | Self::Rotate(_) => &[OutcomeKey::Done],
            Self::FindAccounts | Self::Inspect => &[OutcomeKey::Found, OutcomeKey::Absent],
            Self::Act(_) | Self::Each { .. } | Self::CutUpstream => {
                &[OutcomeKey::Done, OutcomeKey::Absent, OutcomeKey::NotNeeded]
            }
            Self::Verify { .. } => &[
                OutcomeKey::Absent,
                OutcomeKey::Present,
                OutcomeKey::Inconclusive,
            ],
            // Absent: refused everywhere. Present: let in. Not needed: nothing is declared or kept.
            Self::Probe => &[
                OutcomeKey::Absent,
                OutcomeKey::Present,
                OutcomeKey::Inconclusive,
                OutcomeKey::NotNeeded,
            ],
            Self::Fallback(_) => &[OutcomeKey::Attested],
            Self::End(_) => &[],
        }
    }

    /// True when the action goes to a connector or vault, and so can fail in every class.
    pub fn can_fail(&self) -> bool {
        matches!(
            self,
            Self::FindAccounts
                | Self::Inspect
                | Self::Act(_)
                | Self::Each { .. }
                | Self::Verify { .. }
                | Self::CutUpstream
                | Self::Probe
                | Self::Rotate(_)
        )
    }
}

/// Where a run goes after an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// To this state. Such edges form no cycle.
    Go(StateName),
    /// Back to `from` after a wait, as often as the policy allows; then to `then`.
    Retry {
        /// How often and how long.
        policy: RetryPolicy,
        /// The state to take up again: this one or an earlier one.
        from: StateName,
        /// Where a lasting failure goes.
        then: StateName,
    },
    /// Ask for a rotation of the connector's credential, then as `Retry`.
    Rotate {
        /// How often and how long.
        policy: RetryPolicy,
        /// The state to take up again.
        from: StateName,
        /// Where a lasting failure goes.
        then: StateName,
    },
}

/// One state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What it does.
    pub action: Action,
    /// Where each outcome leads; complete for the action.
    pub on: BTreeMap<OutcomeKey, Next>,
}

impl State {
    /// Where this outcome leads. `None` cannot happen in a proved workflow.
    pub fn next(&self, outcome: OutcomeKey) -> Option<&Next> {
        self.on.get(&outcome)
    }
}

/// The states of one run kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Where a run begins.
    pub start: StateName,
    /// By name.
    pub states: BTreeMap<StateName, State>,
    /// Removal: what must no longer be seen after it; `None`: what the target's manifest says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
}

/// One workflow file, proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    /// The file's own name for it.
    pub name: WorkflowName,
    /// The author's version, counted up by hand.
    pub version: u32,
    /// What exactly it says.
    pub digest: DefinitionDigest,
    /// Events that open a case with it.
    pub opens_on: Vec<EventKind>,
    /// Its machines.
    pub machines: BTreeMap<RunKind, Machine>,
}

impl Workflow {
    /// The state of this name in the machine of this kind.
    pub fn state(&self, kind: RunKind, name: &StateName) -> Option<&State> {
        self.machines.get(&kind)?.states.get(name)
    }
}
