//! What needs a person now, first; and the figures behind it.
//!
//! Owns the order of urgency: what somebody has paused, overdue tasks, then open ones, proposals that
//! wait, connectors that are not well, secrets past their age, letters nobody has looked at, a log that
//! is not whole. A part that does not answer is told as such and does not hide the others.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::office::Office;
use super::super::problem::Problem;
use super::super::words;
use super::{TasksAsked, connectors, letters, matters, secrets, tasks, verified};
use crate::domain::time::Timestamp;
use crate::store::Letters;

/// Lines of each kind; the rest is on the kind's own page.
const SHOWN: usize = 8;
/// Dead letters looked through for those that wait.
const LETTERS: u32 = 100;

/// The overview.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct OverviewView {
    /// What needs a person now, most urgent first.
    pub urgent: Vec<Urgent>,
    /// How many more there are of each kind than are shown.
    pub more: u64,
    pub figures: Figures,
    /// Parts that did not answer, in words.
    pub unknown: Vec<String>,
    pub at: Timestamp,
}

/// One thing that needs a person.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct Urgent {
    /// `pause`, `overdue task`, `task`, `approval`, `connector`, `secret`, `dead letter` or `log`.
    pub kind: String,
    /// What it is, in words.
    pub what: String,
    /// Why, in words.
    pub why: String,
    /// Where in the console it is looked after.
    pub path: String,
    /// Since when, or by when.
    pub at: Option<Timestamp>,
    /// True where a bound is passed.
    pub late: bool,
}

/// Figures over everything.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct Figures {
    pub cases: u64,
    pub cases_open: u64,
    pub removals: u64,
    pub removals_open: u64,
    pub removals_verified: u64,
    pub removals_attested: u64,
    pub removals_in_tasks: u64,
    pub tasks_open: u64,
    pub tasks_overdue: u64,
    pub runs_due: u64,
    pub dead_letters: u64,
    pub events_waiting: u64,
    pub outbox_waiting: u64,
}

/// What needs a person now.
pub(in super::super) async fn overview(office: &Office) -> Result<OverviewView, Problem> {
    let now = office.now();
    let counts = office.store.counts(now).await?;
    let (mut urgent, mut more, mut unknown) = (Vec::new(), 0, Vec::new());
    let parts = [
        of_pauses(office).await,
        of_tasks(office).await,
        of_approvals(office).await,
        of_connectors(office).await,
        of_secrets(office).await,
        of_letters(office).await,
        of_log(office).await,
    ];
    for part in parts {
        match part {
            Ok(mut found) => {
                more += found.len().saturating_sub(SHOWN) as u64;
                found.truncate(SHOWN);
                urgent.extend(found);
            }
            Err(problem) => unknown.push(problem.detail),
        }
    }
    // Stable: each kind keeps its own order behind what is late.
    urgent.sort_by_key(|one| !one.late);
    Ok(OverviewView {
        urgent,
        more,
        unknown,
        at: now,
        figures: Figures {
            cases: counts.cases,
            cases_open: counts.cases_open,
            removals: counts.removals,
            removals_open: counts.removals_open,
            removals_verified: counts.removals_verified,
            removals_attested: counts.removals_attested,
            removals_in_tasks: counts.removals_in_tasks,
            tasks_open: counts.tasks_open,
            tasks_overdue: counts.tasks_overdue,
            runs_due: counts.runs_due,
            dead_letters: counts.dead_letters,
            events_waiting: counts.events_waiting,
            outbox_waiting: counts.outbox_waiting,
        },
    })
}

/// What is stopped stays owed, so nobody may forget that it is.
async fn of_pauses(office: &Office) -> Result<Vec<Urgent>, Problem> {
    let pauses = office.store.pauses().await?.0.into_iter();
    Ok(pauses
        .map(|pause| Urgent {
            kind: "pause".to_owned(),
            what: match &pause.connector {
                Some(connector) => format!("work at {connector} is paused"),
                None => "all work is paused".to_owned(),
            },
            why: match &pause.escalation.to {
                Some(to) => format!(
                    "by {}: {}; nobody has ended it, told {} times, last to {} ({})",
                    pause.paused.by,
                    pause.paused.reason,
                    pause.escalation.times,
                    to.name,
                    to.role.as_str()
                ),
                None => format!("by {}: {}", pause.paused.by, pause.paused.reason),
            },
            path: match &pause.connector {
                Some(connector) => format!("/connectors/{connector}"),
                None => "/connectors".to_owned(),
            },
            at: Some(pause.paused.at),
            late: !pause.escalation.is_none(),
        })
        .collect())
}

async fn of_tasks(office: &Office) -> Result<Vec<Urgent>, Problem> {
    let asked = TasksAsked {
        limit: Some(1000),
        ..TasksAsked::default()
    };
    let tasks = tasks(office, &asked).await?.items.into_iter();
    let tasks = tasks.filter(|task| {
        let waits = ["open", "sent_back", "awaiting_second_person"];
        task.overdue || waits.contains(&task.state.as_str())
    });
    Ok(tasks
        .map(|task| Urgent {
            kind: if task.overdue { "overdue task" } else { "task" }.to_owned(),
            what: match (&task.account, &task.connector) {
                (Some(account), Some(connector)) => format!("{account} at {connector}"),
                (None, Some(connector)) => format!("{} at {connector}", task.subject),
                _ => task.subject.clone(),
            },
            why: task.why.clone(),
            path: format!("/tasks/{}", task.id),
            at: Some(task.deadline),
            late: task.overdue,
        })
        .collect())
}

async fn of_approvals(office: &Office) -> Result<Vec<Urgent>, Problem> {
    let governed = office.backing.governed().await?.into_iter();
    let waiting = governed.filter(|one| one.wants_person);
    let matters = matters(office).await?.into_iter();
    let matters = matters.filter(|one| one.proposal.is_some());
    let matters = matters.map(|one| Urgent {
        kind: "approval".to_owned(),
        what: format!("{} {}", words::spaced(&one.kind), one.name),
        why: format!("{} proposes: {}", one.by, one.reason),
        path: "/approvals".to_owned(),
        at: Some(one.at),
        late: false,
    });
    Ok(waiting
        .map(|one| Urgent {
            kind: "approval".to_owned(),
            what: format!("manifest of {}", one.connector),
            why: match &one.proposal {
                Some(proposal) => format!("{} proposes: {}", proposal.by, proposal.reason),
                None => one.standing.clone(),
            },
            path: format!("/approvals/{}", one.connector),
            at: one.proposal.map(|proposal| proposal.at),
            late: false,
        })
        .chain(matters)
        .collect())
}

async fn of_connectors(office: &Office) -> Result<Vec<Urgent>, Problem> {
    let connectors = connectors(office).await?.items.into_iter();
    let unwell = connectors.filter(|one| one.state != "healthy" && one.state != "unknown");
    Ok(unwell
        .map(|one| Urgent {
            kind: "connector".to_owned(),
            what: format!("{} is {}", one.name, one.state),
            why: one.reason,
            path: format!("/connectors/{}", one.name),
            at: one.since,
            late: false,
        })
        .collect())
}

async fn of_secrets(office: &Office) -> Result<Vec<Urgent>, Problem> {
    let secrets = secrets(office).await?.items.into_iter();
    let told = ["unreadable", "missing", "ended", "ends soon", "too old"];
    let told = secrets.filter(|one| told.contains(&one.state.as_str()));
    Ok(told
        .map(|one| Urgent {
            kind: "secret".to_owned(),
            what: format!("{} secret of {}", one.fact.role, one.fact.connector),
            why: match (one.fact.unreadable, one.fact.age_seconds) {
                (Some(why), _) => format!("{}: {why}", one.state),
                (None, Some(seconds)) => format!("{}, {} old", one.state, words::age(seconds)),
                (None, None) => "the vault has none".to_owned(),
            },
            path: "/secrets".to_owned(),
            at: None,
            late: false,
        })
        .collect())
}

async fn of_log(office: &Office) -> Result<Vec<Urgent>, Problem> {
    let broken = verified(office).await?.filter(|last| !last.whole);
    let broken = broken.into_iter().map(|last| Urgent {
        kind: "log".to_owned(),
        what: "the log is not whole".to_owned(),
        why: last.words,
        path: "/audit".to_owned(),
        at: Some(last.at),
        late: true,
    });
    Ok(broken.collect())
}

async fn of_letters(office: &Office) -> Result<Vec<Urgent>, Problem> {
    let waiting = letters(office, Letters::Waiting, LETTERS).await?.items;
    Ok(waiting
        .into_iter()
        .map(|one| Urgent {
            kind: "dead letter".to_owned(),
            what: format!("{} [{}] at {}", one.topic, one.partition, one.offset),
            why: format!("{} {}", one.code, one.reason),
            path: format!("/dead-letters/{}", one.id),
            at: Some(one.first_seen),
            late: false,
        })
        .collect())
}
