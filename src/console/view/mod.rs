//! What pages and API show: one shape for both, read from the store for this moment.
//!
//! Owns the choice of what is shown of cases, tasks, connectors and the rest, and its JSON. Holds no
//! markup, changes nothing, and has no secret to show.

mod audit;
mod case;
mod connector;
mod matter;
mod overview;
mod paper;
mod step;
mod task;

pub(super) use audit::{AuditView, LOG, ReportAsked, WHOLE, audit, report, verified};
pub(super) use case::{AccountView, CaseLine, CaseView, CasesAsked, Rung, cases, one_case};
pub(super) use connector::{
    ConnectorLine, ConnectorView, PausedView, SampleView, connectors, one_connector,
};
pub(super) use matter::{MatterView, matters, proposal};
pub(super) use overview::{Figures, OverviewView, Urgent, overview};
pub(super) use paper::{
    ActLine, ActsAsked, ApprovalView, LetterLine, LetterView, SecretLine, acts, approval, letter,
    letters, secrets,
};
pub(super) use step::StepView;
pub(super) use task::{
    DOUBT, EXCEPTION, SHOWN, STATES, TaskLine, TaskView, TasksAsked, TicketView, one_task, tasks,
};

use schemars::JsonSchema;
use serde::Serialize;

/// A list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct List<T> {
    /// What is in it, in the order that the path describes.
    pub items: Vec<T>,
}
