//! Wishes of operators, as rows that the engine picks up.
//!
//! Owns the commands and their answers. A command is audited like an event and survives a crash;
//! CLI and console write it and wait for the answer. Does not check who may wish what.

use serde::{Deserialize, Serialize};

use super::id::{CommandId, ConnectorName, TaskId};
use super::task::Attestation;
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
        /// The statement that stands where the target cannot be read.
        attestation: Option<Attestation>,
    },
    /// Give a task back: it goes to the queue again, with the reason.
    RejectTask {
        /// Which.
        task: TaskId,
        /// Why.
        reason: String,
    },
    /// Answer the doubt for which an event is held.
    RuleHold {
        /// The task that holds it.
        task: TaskId,
        /// True: it is as the event says. False: nothing is to be done for it.
        release: bool,
        /// Why.
        note: String,
    },
    /// Replace a connector's secret.
    RotateSecret {
        /// Whose.
        connector: ConnectorName,
        /// Which.
        role: CredentialRole,
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
            | Self::RejectTask { task, .. }
            | Self::RuleHold { task, .. } => Some(*task),
            Self::RotateSecret { .. } | Self::RetireSecret { .. } | Self::Drill { .. } => None,
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
