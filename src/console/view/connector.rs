//! Connectors as they are shown: how each stands, why, and how it was over time.
//!
//! Owns their shape. The state is judged for this moment, since what a survey found grows stale by
//! itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::backing::ConnectorFact;
use super::super::office::Office;
use super::super::problem::Problem;
use super::List;
use crate::domain::drill::Drill;
use crate::domain::health::{Sample, Standing};
use crate::domain::id::ConnectorName;
use crate::domain::pause::{Pause, Pauses};
use crate::domain::time::Timestamp;

/// Samples that a page plots.
const PLOTTED: u32 = 240;
/// Drills among which the last of each connector is looked for.
const DRILLS: u32 = 1000;
/// Drills that a connector's page tells.
const TOLD: u32 = 10;

/// One connector.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct ConnectorLine {
    pub name: String,
    pub kind: String,
    pub purpose: String,
    pub owner: String,
    pub deputy: String,
    pub privileged: bool,
    /// When the approval is to be looked at again.
    pub review_by: String,
    /// `healthy`, `failing`, `stale`, `drifted` or `unknown`, at this moment.
    pub state: String,
    pub reason: String,
    pub since: Option<Timestamp>,
    pub surveyed: Option<Timestamp>,
    pub read: Option<Timestamp>,
    pub write: Option<Timestamp>,
    pub accounts: Option<u64>,
    pub refresh_seconds: u64,
    /// Who paused it, and why; absent where nobody did.
    pub paused: Option<PausedView>,
    /// The newest drill; absent where there was none.
    pub drilled: Option<DrillLine>,
}

/// A pause that is in force.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct PausedView {
    pub by: String,
    pub since: Timestamp,
    pub reason: String,
    /// True where all connectors are paused.
    pub everywhere: bool,
}

impl PausedView {
    pub(in super::super) fn of(pause: &Pause) -> Self {
        Self {
            by: pause.paused.by.clone(),
            since: pause.paused.at,
            reason: pause.paused.reason.clone(),
            everywhere: pause.connector.is_none(),
        }
    }
}

/// One rehearsal of a departure.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct DrillLine {
    pub id: uuid::Uuid,
    pub begun: Timestamp,
    /// Who wished it; `clawback` for the schedule.
    pub by: String,
    /// Absent while it is under way.
    pub ended: Option<Timestamp>,
    /// `under way`, `passed` or `failed`.
    pub state: String,
    /// What it does now, or what was found, in words.
    pub words: String,
    /// Logins of the canary's accounts.
    pub accounts: Vec<String>,
}

/// One connector with its past.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct ConnectorView {
    #[serde(flatten)]
    pub line: ConnectorLine,
    /// What it may do.
    pub operations: Vec<String>,
    /// Of a hundred accounts, how many showed each field at the last good survey.
    pub fields: BTreeMap<String, u64>,
    /// Surveys, newest first.
    pub samples: Vec<SampleView>,
    /// Drills, newest first.
    pub drills: Vec<DrillLine>,
}

/// What one survey showed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct SampleView {
    pub at: Timestamp,
    pub took_milliseconds: u64,
    pub state: String,
    pub reason: String,
    pub accounts: Option<u64>,
    pub change: Option<i64>,
    /// Calls of runs that worked, since the sample before.
    pub calls: u64,
    /// Calls that did not.
    pub failures: u64,
}

fn drill(drill: &Drill) -> DrillLine {
    let ended = drill.ended();
    DrillLine {
        id: drill.id.0,
        begun: drill.begun,
        by: drill.by.clone(),
        ended: ended.map(|(at, _)| at),
        state: match ended {
            None => "under way",
            Some((_, true)) => "passed",
            Some((_, false)) => "failed",
        }
        .to_owned(),
        words: drill.words(),
        accounts: drill.accounts.clone(),
    }
}

fn line(
    fact: &ConnectorFact,
    (standing, drilled): (&Standing, Option<&Drill>),
    pauses: &Pauses,
    now: Timestamp,
) -> ConnectorLine {
    let (state, reason) = standing.judged(&fact.bounds, now);
    ConnectorLine {
        name: fact.name.clone(),
        kind: fact.kind.clone(),
        purpose: fact.purpose.clone(),
        owner: fact.owner.clone(),
        deputy: fact.deputy.clone(),
        privileged: fact.privileged,
        review_by: fact.review_by.clone(),
        state: state.as_str().to_owned(),
        reason,
        since: standing.since,
        surveyed: standing.surveyed,
        read: standing.read,
        write: standing.write,
        accounts: standing.accounts,
        refresh_seconds: fact.bounds.refresh_seconds,
        paused: pauses
            .at(&ConnectorName(fact.name.clone()))
            .map(PausedView::of),
        drilled: drilled.map(drill),
    }
}

/// All connectors, by name.
pub(in super::super) async fn connectors(office: &Office) -> Result<List<ConnectorLine>, Problem> {
    let standings = office.store.standings().await?;
    let (unknown, now) = (Standing::default(), office.now());
    let drills = office.store.drills(None, DRILLS).await?;
    let pauses = office.store.pauses().await?;
    let facts = office.backing.connectors();
    let items = facts.iter().map(|fact| {
        let name = ConnectorName(fact.name.clone());
        let standing = standings.get(&name).unwrap_or(&unknown);
        let drilled = drills.iter().find(|drill| drill.connector == name);
        line(fact, (standing, drilled), &pauses, now)
    });
    Ok(List::whole(items.collect()))
}

/// One connector.
pub(in super::super) async fn one_connector(
    office: &Office,
    name: &str,
) -> Result<ConnectorView, Problem> {
    let facts = office.backing.connectors();
    let fact = facts.iter().find(|fact| fact.name == name);
    let fact = fact.ok_or_else(|| Problem::missing("connector"))?;
    let name = ConnectorName(name.to_owned());
    let standing = office.store.standings().await?.remove(&name);
    let since = Timestamp::UNIX_EPOCH;
    let samples = office.store.samples(&name, since, PLOTTED).await?;
    let drills = office.store.drills(Some(&name), TOLD).await?;
    let pauses = office.store.pauses().await?;
    let standing = standing.unwrap_or_default();
    let fields = samples.iter().find(|sample| !sample.fields.is_empty());
    Ok(ConnectorView {
        line: line(fact, (&standing, drills.first()), &pauses, office.now()),
        operations: fact
            .operations
            .iter()
            .map(|name| (*name).to_owned())
            .collect(),
        fields: fields
            .map(|sample| sample.fields.clone())
            .unwrap_or_default(),
        samples: samples.iter().map(sample).collect(),
        drills: drills.iter().map(drill).collect(),
    })
}

fn sample(sample: &Sample) -> SampleView {
    SampleView {
        at: sample.at,
        took_milliseconds: sample.took_milliseconds,
        state: sample.state.as_str().to_owned(),
        reason: sample.reason.clone(),
        accounts: sample.accounts,
        change: sample.change,
        calls: sample.calls.reads + sample.calls.writes,
        failures: sample.calls.failures.values().sum(),
    }
}
