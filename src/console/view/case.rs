//! Cases as they are shown: a line in a list, and the story of one, account by account.
//!
//! Owns the reading of runs and journal into accounts, rungs and steps. A rung counts as reached only
//! by the run's own verdict; the journal tells when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::office::Office;
use super::super::problem::Problem;
use super::super::words;
use super::step::{StepView, proves, step, tries};
use super::{List, TaskLine};
use crate::domain::id::CaseId;
use crate::domain::pause::Pauses;
use crate::domain::probe::Probed;
use crate::domain::run::{ItemStatus, RemovalBody, Run, RunBody, Stage};
use crate::domain::settlement::JournalEntry;
use crate::domain::time::Timestamp;
use crate::domain::verdict::Verdict;
use crate::domain::workflow::{End, OutcomeKey};
use crate::store::{CaseFilter, CaseReport, CaseStory};

/// Which cases to list.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub(in super::super) struct CasesAsked {
    /// Only those that have not ended.
    #[serde(default)]
    pub open: bool,
    /// Only those whose subject's name or id contains this.
    pub subject: Option<String>,
    /// At most so many.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
}

/// One line of a list of cases.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct CaseLine {
    pub id: uuid::Uuid,
    /// For people to read.
    pub subject: String,
    /// Tenant and id.
    pub subject_key: String,
    pub hr_case: String,
    pub revision: u64,
    pub workflow: String,
    /// When access ends.
    pub effective: Timestamp,
    pub opened: Timestamp,
    /// `open`, or how it ended.
    pub state: String,
    pub ended: Option<Timestamp>,
    pub removals: u32,
    /// Proved absent.
    pub verified: u32,
    /// On a person's word.
    pub attested: u32,
    pub open_tasks: u32,
}

/// One case.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct CaseView {
    #[serde(flatten)]
    pub line: CaseLine,
    /// Key of the event that opened it.
    pub event: uuid::Uuid,
    /// Topic, partition and offset of that event.
    pub came_from: String,
    /// Where the case itself stands.
    pub stands: String,
    /// Every account found, with how far its removal is known.
    pub accounts: Vec<AccountView>,
    /// Targets where nothing is being removed, and why.
    pub elsewhere: Vec<TargetView>,
    /// What happened, oldest first.
    pub steps: Vec<StepView>,
    pub tasks: Vec<TaskLine>,
}

/// One account whose access is being removed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct AccountView {
    pub run: uuid::Uuid,
    pub connector: String,
    pub login: String,
    /// The target's own id.
    pub account: String,
    pub privileged: bool,
    /// Where it stands, in words.
    pub stands: String,
    /// How it ended; absent while it has not.
    pub end: Option<String>,
    /// How far the removal is known.
    pub verdict: Option<String>,
    pub rungs: Vec<Rung>,
    /// The task that holds it, while a person has it.
    pub task: Option<uuid::Uuid>,
    /// What was found or failed last, in words.
    pub last: Option<String>,
    /// Entitlements, each with where it stands.
    pub items: Vec<String>,
    /// What the latest tries to get in came to.
    pub probes: Vec<ProbeView>,
}

/// One try to get in with what was the leaver's.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct ProbeView {
    /// Its name in the manifest.
    pub probe: String,
    /// What was tried, in words.
    pub artefact: String,
    pub at: Timestamp,
    /// How, as a protocol's words.
    pub method: String,
    /// What was let in at the same time, or why it was not.
    pub control: String,
    /// `refused`, `let_in`, `could_not_tell` or `nothing_to_try`.
    pub finding: String,
    /// What the target answered.
    pub words: String,
}

/// One rung of the ladder.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct Rung {
    pub name: String,
    pub reached: bool,
    /// When it was reached first, where the journal tells.
    pub at: Option<Timestamp>,
}

/// One target of a case without an account to remove.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct TargetView {
    pub connector: String,
    pub stands: String,
    pub task: Option<uuid::Uuid>,
}

impl CaseLine {
    pub(in super::super) fn of(case: &CaseReport) -> Self {
        Self {
            id: case.row.id.0,
            subject: case.row.subject_name.clone(),
            subject_key: case.row.subject_key.clone(),
            hr_case: case.row.hr_case.clone(),
            revision: case.row.revision,
            workflow: case.row.workflow.clone(),
            effective: case.row.effective,
            opened: case.row.opened,
            state: case.ended.map_or("open", End::as_str).to_owned(),
            ended: case.ended_at,
            removals: case.removals,
            verified: case.verified,
            attested: case.attested,
            open_tasks: case.open_tasks,
        }
    }
}

/// Cases, newest first.
pub(in super::super) async fn cases(
    office: &Office,
    asked: &CasesAsked,
) -> Result<List<CaseLine>, Problem> {
    let limit = asked.limit.unwrap_or(100).min(1000);
    let filter = CaseFilter {
        open: asked.open,
        subject: asked.subject.clone().filter(|text| !text.is_empty()),
        event: None,
        limit: limit + 1,
    };
    let cases = office.store.cases(&filter).await?;
    Ok(List::first(cases.iter().map(CaseLine::of).collect(), limit))
}

/// One case.
pub(in super::super) async fn one_case(office: &Office, id: CaseId) -> Result<CaseView, Problem> {
    let story = office.store.case(id).await?;
    let story = story.ok_or_else(|| Problem::missing("case"))?;
    let (now, pauses) = (office.now(), office.store.pauses().await?);
    let moment = Moment {
        now,
        pauses: &pauses,
    };
    let case = story.runs.iter().find(|run| run.parent.is_none());
    let steps = story.journal.iter().map(|entry| step(&story, entry));
    Ok(CaseView {
        line: CaseLine::of(&story.report),
        event: story.report.row.event.0,
        came_from: format!(
            "{} [{}] at {}",
            story.origin.topic, story.origin.partition, story.origin.offset
        ),
        stands: case.map_or_else(String::new, |run| moment.stands(run)),
        accounts: story
            .runs
            .iter()
            .filter_map(|run| account(&story, run, moment))
            .collect(),
        elsewhere: story
            .runs
            .iter()
            .filter_map(|run| elsewhere(&story, run, moment))
            .collect(),
        steps: steps.collect(),
        tasks: story
            .tasks
            .iter()
            .map(|task| TaskLine::of(task, now))
            .collect(),
    })
}

/// What is true at this moment, besides the story.
#[derive(Debug, Clone, Copy)]
struct Moment<'a> {
    now: Timestamp,
    pauses: &'a Pauses,
}

impl Moment<'_> {
    /// Where a run stands, in words.
    fn stands(self, run: &Run) -> String {
        let now = self.now;
        let paused = run.connector.as_ref();
        let paused = paused.and_then(|connector| self.pauses.at(connector));
        match (&run.stage, paused) {
            (Stage::Due { .. }, Some(pause)) => {
                let signed = &pause.paused;
                format!("owed; paused by {}: {}", signed.by, signed.reason)
            }
            (Stage::Due { state, due }, None) if *due > now => {
                let state = words::spaced(state.as_str());
                format!("{state}, {}", words::from_now(*due, now))
            }
            (Stage::Due { state, .. }, None) => format!("{}, now", words::spaced(state.as_str())),
            (Stage::Gathering { .. }, _) => "waits for its targets".to_owned(),
            (Stage::WithPerson { next_try, .. }, _) => match next_try {
                Some(at) if *at > now => {
                    let at = words::from_now(*at, now);
                    format!("with a person; the machine looks again {at}")
                }
                Some(_) => "with a person; the machine is looking".to_owned(),
                None => "with a person".to_owned(),
            },
            (Stage::Ended { end, .. }, _) => end.as_str().to_owned(),
        }
    }
}

fn elsewhere(story: &CaseStory, run: &Run, moment: Moment<'_>) -> Option<TargetView> {
    let (RunBody::Discovery(body), Some(connector)) = (&run.body, &run.connector) else {
        return None;
    };
    if story.runs.iter().any(|child| child.parent == Some(run.id)) {
        return None;
    }
    let stands = match (&run.stage, &body.last_failure) {
        (
            Stage::Ended {
                end: End::Verified, ..
            },
            _,
        ) => "no account there".to_owned(),
        (Stage::WithPerson { .. }, Some(failure)) => {
            format!("{}: {}", moment.stands(run), failure.message)
        }
        _ => moment.stands(run),
    };
    Some(TargetView {
        connector: connector.to_string(),
        stands,
        task: run.task.map(|task| task.0),
    })
}

fn account(story: &CaseStory, run: &Run, moment: Moment<'_>) -> Option<AccountView> {
    let RunBody::Removal(body) = &run.body else {
        return None;
    };
    let end = match &run.stage {
        Stage::Ended { end, .. } => Some(end.as_str().to_owned()),
        Stage::Due { .. } | Stage::Gathering { .. } | Stage::WithPerson { .. } => None,
    };
    Some(AccountView {
        run: run.id.0,
        connector: run
            .connector
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        login: body.account.login.clone(),
        account: body.account.id.to_string(),
        privileged: body.account.privileged,
        stands: moment.stands(run),
        end,
        verdict: run.verdict.map(|verdict| verdict.as_str().to_owned()),
        rungs: rungs(story, run, body),
        task: run.task.map(|task| task.0),
        last: last(body),
        items: body
            .items
            .iter()
            .map(|item| {
                let status = match &item.status {
                    ItemStatus::Owed => "owed".to_owned(),
                    ItemStatus::Accepted => "the target said yes".to_owned(),
                    ItemStatus::Absent => "was not there".to_owned(),
                    ItemStatus::Failed(failure) => failure.to_string(),
                };
                format!("{}: {status}", item.entitlement.name)
            })
            .collect(),
        probes: body.probed.iter().map(probe).collect(),
    })
}

fn probe(tried: &Probed) -> ProbeView {
    ProbeView {
        probe: tried.probe.clone(),
        artefact: tried.artefact.clone(),
        at: tried.at,
        method: tried.method.clone(),
        control: tried.control.clone(),
        finding: tried.finding.as_str().to_owned(),
        words: tried.words.clone(),
    }
}

fn last(body: &RemovalBody) -> Option<String> {
    use crate::domain::verdict::Finding;
    match (&body.last_failure, &body.last_finding) {
        (Some(failure), _) => Some(failure.to_string()),
        (None, Some(Finding::Present(left))) => Some(format!("still there: {}", left.join(", "))),
        (None, Some(Finding::Inconclusive(why))) => Some(format!("proves nothing: {why}")),
        (None, Some(Finding::Absent) | None) => None,
    }
}

/// The ladder of one removal. Probes are a rung of their own: without one, a later look does not
/// count for it.
fn rungs(story: &CaseStory, run: &Run, body: &RemovalBody) -> Vec<Rung> {
    let entries = || story.journal.iter().filter(|entry| entry.run == run.id);
    let looks = entries().filter(|entry| proves(entry) && tries(entry).is_none());
    let proofs: Vec<_> = looks.collect();
    let probe = entries().find(|entry| proves(entry) && tries(entry).is_some());
    let first_write = entries().find(|entry| {
        entry.outcome == OutcomeKey::Done
            && entry
                .detail
                .as_ref()
                .is_some_and(|detail| detail.get("manifest").is_some())
    });
    let at = |entry: Option<&JournalEntry>| entry.map(|entry| entry.at);
    let verdict = run.verdict.map_or(-1, Verdict::rung);
    let ladder = [
        (Verdict::Requested, Some(body.account_as_of)),
        (Verdict::Accepted, at(first_write)),
        (Verdict::Applied, None),
        (Verdict::ObservedAbsent, at(proofs.first().copied())),
        (Verdict::EffectiveAbsent, at(probe)),
        (Verdict::Reverified, at(proofs.last().copied())),
    ];
    let rungs = ladder.into_iter().map(|(rung, at)| {
        let seen = match rung {
            Verdict::EffectiveAbsent => {
                run.verdict == Some(rung) || probe.is_some() && verdict > rung.rung()
            }
            Verdict::Requested
            | Verdict::Accepted
            | Verdict::Applied
            | Verdict::ObservedAbsent
            | Verdict::Reverified => verdict >= rung.rung(),
        };
        Rung {
            name: rung.as_str().to_owned(),
            reached: seen,
            at: at.filter(|_| seen),
        }
    });
    rungs.collect()
}
