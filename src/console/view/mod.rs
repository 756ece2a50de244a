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
    DOUBT, EXCEPTION, STATES, TaskLine, TaskView, TasksAsked, TicketView, one_task, tasks,
};

use schemars::JsonSchema;
use serde::Serialize;

use super::words;

/// A list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct List<T> {
    /// What is in it, in the order that the path describes.
    pub items: Vec<T>,
    /// True where there are more than are in it: ask for more, or for fewer by a filter.
    pub more: bool,
}

impl<T> List<T> {
    /// All that there are.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Self { items, more: false }
    }

    /// The first of these; one more than `limit` was looked for.
    pub(super) fn first(mut items: Vec<T>, limit: u32) -> Self {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        Self { items, more }
    }

    /// How many are in it, as the first of more where there are.
    pub(super) fn counted(&self, one: &str, many: &str) -> String {
        let count = words::count(self.items.len() as u64, one, many);
        if self.more {
            format!("The first {count}")
        } else {
            count
        }
    }
}
