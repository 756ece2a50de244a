//! Wishes of operators, as rows that the engine picks up.
//!
//! Owns the commands and their answers. A command is audited like an event and survives a crash;
//! CLI and console write it and wait for the answer. Does not check who may wish what.

use serde::{Deserialize, Serialize};

use super::id::{CommandId, ConnectorName, ContentDigest, TaskId};
use super::task::{Attestation, Bulk};
use super::time::Timestamp;
use super::verdict::CredentialRole;

/// One wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Its id.
    pub id: CommandId,
    /// Who wishes it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What.
    pub wish: Wish,
}

/// What an operator can wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Take a task.
    ClaimTask {
        /// Which.
        task: TaskId,
    },
    /// Say that a task is done.
    CloseTask {
        /// Which.
        task: TaskId,
        /// What was done.
        note: String,
        /// The statement that stands where the target cannot be read, by who wishes this.
        attestation: Option<Attestation>,
    },
    /// Say that one of many tasks is done; each is checked like any other.
    CloseInBulk {
        /// Which.
        task: TaskId,
        /// What was done.
        note: String,
        /// The statement that stands where the target cannot be read, by who wishes this.
        attestation: Option<Attestation>,
        /// Together with which others, and why.
        bulk: Bulk,
    },
    /// Stand, as a second person, for what another has attested.
    ConfirmTask {
        /// Which.
        task: TaskId,
        /// What the second person states.
        statement: String,
        /// What the task asked when the person read it, by its digest; `None` where nobody kept it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        meant: Option<ContentDigest>,
    },
    /// Give a task back: it goes to the queue again, with the reason.
    RejectTask {
        /// Which.
        task: TaskId,
        /// Why.
        reason: String,
    },
    /// Have the machine try again now what a person has.
    RetryTask {
        /// Which.
        task: TaskId,
    },
    /// Answer the doubt for which an event is held.
    RuleHold {
        /// The task that holds it.
        task: TaskId,
        /// True: it is as the event says. False: nothing is to be done for it.
        release: bool,
        /// Why.
        note: String,
        /// What the task asked when the person read it, by its digest; `None` where nobody kept it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        meant: Option<ContentDigest>,
    },
    /// Replace a connector's secret.
    RotateSecret {
        /// Whose.
        connector: ConnectorName,
        /// Which.
        role: CredentialRole,
    },
    /// Stop all work at a target, or at all of them.
    Pause {
        /// At which; none means at all of them.
        connector: Option<ConnectorName>,
        /// Why.
        reason: String,
    },
    /// End a pause.
    Resume {
        /// At which; none means the pause of all of them.
        connector: Option<ConnectorName>,
        /// Why.
        reason: String,
    },
    /// Take away the own access of a connector that was retired.
    RetireSecret {
        /// Whose.
        connector: ConnectorName,
        /// Which.
        role: CredentialRole,
    },
    /// Rehearse a departure at one connector; the drill has the command's id.
    Drill {
        /// Of which.
        connector: ConnectorName,
    },
}

impl Wish {
    /// The task that the wish is about.
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::ClaimTask { task }
            | Self::CloseTask { task, .. }
            | Self::CloseInBulk { task, .. }
            | Self::ConfirmTask { task, .. }
            | Self::RetryTask { task }
            | Self::RejectTask { task, .. }
            | Self::RuleHold { task, .. } => Some(*task),
            Self::RotateSecret { .. }
            | Self::RetireSecret { .. }
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Drill { .. } => None,
        }
    }

    /// What the person had before them, where that is told.
    pub fn meant(&self) -> Option<&ContentDigest> {
        match self {
            Self::ConfirmTask { meant, .. } | Self::RuleHold { meant, .. } => meant.as_ref(),
            _ => None,
        }
    }
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// True when it was carried out, or is on its way.
    pub accepted: bool,
    /// Stable code when it was not (`docs/errors.md`).
    pub code: Option<String>,
    /// In words.
    pub message: String,
}
