//! What happened at each target, worked out from a case's runs, journal and tasks.
//!
//! Owns how containment, removal and proof are told apart: containment is when the target first said that
//! the account is disabled, or a look first showed no access; removal counts as proved only by an
//! observation, and as attested only by a person's statement.

use serde_json::{Value, json};

use super::returns::{Return, returned};
use crate::domain::access::Operation;
use crate::domain::run::{ItemStatus, RemovalBody, Run, RunBody, Stage};
use crate::domain::settlement::JournalEntry;
use crate::domain::task::{FallbackTask, TaskState};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Finding;
use crate::domain::workflow::{Action, End, OutcomeKey, RunKind, Workflow};
use crate::store::CaseStory;

/// Why nothing is proved of an open case that knows of no account and no target that is owed.
pub const NOTHING_YET: &str = "the case is open, and no access is known yet";

/// How the end of access is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A complete, fresh look with the verifier credential showed none.
    Observed,
    /// A person's word, where the machine cannot look.
    Attested,
    /// Not at all: it is still owed.
    None,
}

impl Proof {
    /// In files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Attested => "attested",
            Self::None => "none",
        }
    }
}

/// One account of the subject, or a target in which nobody could look.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its run.
    pub run: String,
    /// The connector.
    pub connector: String,
    /// Login, empty where no account is known.
    pub login: String,
    /// The target's immutable id of the account.
    pub account: String,
    /// What the account could do when it was last read before the first write, and when that was.
    pub access: Value,
    /// When the target first cut access off.
    pub contained: Option<Timestamp>,
    /// When a look first showed that the access is gone, or a person attested it.
    pub removed: Option<Timestamp>,
    /// How that is known.
    pub proof: Proof,
    /// The look or the statement itself.
    pub proved_by: Value,
    /// How far the removal is known.
    pub verdict: String,
    /// How the run ended; `open` while it has not.
    pub end: String,
    /// What may still be there, and why; empty when the end is proved or attested, and nothing came back.
    pub open: String,
    /// The case that takes back what was there again after this.
    pub returned: Option<Return>,
    /// How its task was closed, and by whom; with all who signed where it was attested.
    pub task_closed: String,
    /// With how many others at once, and why; empty where the task was closed by itself.
    pub closed_at_once: String,
}

impl Target {
    /// True while access that was there again is not known to be gone again.
    pub fn is_back(&self) -> bool {
        self.returned.as_ref().is_some_and(Return::is_owed)
    }
}

/// What a state of a run does, where its definition can still be read.
pub(super) fn action<'a>(
    workflow: Option<&'a Workflow>,
    kind: RunKind,
    entry: &JournalEntry,
) -> Option<&'a Action> {
    let machine = workflow?.machines.get(&kind)?;
    machine.states.get(&entry.state).map(|state| &state.action)
}

/// What the action does, for people and programs.
pub(super) fn verb(action: Option<&Action>) -> &'static str {
    match action {
        Some(Action::Act(operation) | Action::Each { operation, .. }) => operation.as_str(),
        Some(Action::Verify { .. }) => "observe",
        Some(Action::Probe) => "probe",
        Some(Action::FindAccounts) => "find_accounts",
        Some(Action::Inspect) => "inspect",
        Some(Action::Fallback(_)) => "hand_to_person",
        Some(Action::Rotate(step)) => step.as_str(),
        Some(Action::CutUpstream) => "cut_upstream",
        Some(
            Action::AwaitEffective
            | Action::Discover
            | Action::RemoveAccounts
            | Action::Wait { .. }
            | Action::Overlap
            | Action::Gather
            | Action::End(_),
        )
        | None => "",
    }
}

/// Every removal of a case, every discovery that ended without looking, and the case itself where it ended
/// on a person's word.
pub fn targets(story: &CaseStory, workflow: Option<&Workflow>, returns: &[Return]) -> Vec<Target> {
    let runs = story.runs.iter().filter(|run| match run.kind {
        RunKind::Removal => true,
        RunKind::Discovery => !looked(run),
        RunKind::Case => attested_itself(story, run),
        RunKind::Rotation | RunKind::Care => false,
    });
    let runs = runs.map(|run| {
        let mut target = target(story, workflow, run);
        target.returned = returned(returns, run.id).cloned();
        let back = target.returned.as_ref().filter(|back| back.is_owed());
        if let (Some(back), true) = (back, target.open.is_empty()) {
            target.open = back.words();
        }
        target
    });
    let mut targets: Vec<_> = runs.collect();
    targets.sort_by(|a, b| (&a.connector, &a.login).cmp(&(&b.connector, &b.login)));
    targets
}

/// True when a person's word stands for the whole case, and not for parts of it.
fn attested_itself(story: &CaseStory, run: &Run) -> bool {
    let ended = matches!(
        &run.stage,
        Stage::Ended {
            end: End::Attested,
            ..
        }
    );
    ended && story.tasks.iter().any(|task| task.run == run.id)
}

/// True when a discovery listed its target itself.
fn looked(run: &Run) -> bool {
    matches!(
        &run.stage,
        Stage::Ended {
            end: End::Verified,
            ..
        } | Stage::Gathering { .. }
    )
}

fn target(story: &CaseStory, workflow: Option<&Workflow>, run: &Run) -> Target {
    let journal: Vec<_> = story
        .journal
        .iter()
        .filter(|entry| entry.run == run.id)
        .collect();
    // A case may have had several, one after the other.
    let tasks = story.tasks.iter().filter(|task| task.run == run.id);
    let task = tasks.max_by_key(|task| task.opened);
    let removal = match &run.body {
        RunBody::Removal(body) => Some(&**body),
        RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_) => None,
    };
    let (proof, removed, proved_by) = proof(run, &journal, task);
    Target {
        run: run.id.to_string(),
        connector: run
            .connector
            .as_ref()
            .map_or(String::new(), ToString::to_string),
        login: removal.map_or(String::new(), |body| body.account.login.clone()),
        account: removal.map_or(String::new(), |body| body.account.id.to_string()),
        access: removal.map_or(Value::Null, access),
        contained: contained(workflow, &journal).or(removed.filter(|_| proof == Proof::Observed)),
        removed,
        proof,
        proved_by,
        verdict: run
            .verdict
            .map_or("", |verdict| verdict.as_str())
            .to_owned(),
        end: match &run.stage {
            Stage::Ended { end, .. } => end.as_str().to_owned(),
            Stage::Due { .. } | Stage::Gathering { .. } | Stage::WithPerson { .. } => {
                "open".to_owned()
            }
        },
        open: open(run, proof, task),
        returned: None,
        task_closed: task.map_or(String::new(), closed),
        closed_at_once: task.map_or(String::new(), at_once),
    }
}

fn access(body: &RemovalBody) -> Value {
    let items = body.items.iter().map(|item| {
        let status = match &item.status {
            ItemStatus::Owed => "owed",
            ItemStatus::Accepted => "accepted",
            ItemStatus::Absent => "absent",
            ItemStatus::Failed(_) => "failed",
        };
        json!({
            "id": item.entitlement.id,
            "kind": item.entitlement.kind,
            "name": item.entitlement.name,
            "status": status,
        })
    });
    json!({
        "as_of": body.account_as_of,
        "state": body.account.state,
        "privileged": body.account.privileged,
        "entitlements": items.collect::<Vec<_>>(),
    })
}

/// When the target first said that the account can no longer be used.
fn contained(workflow: Option<&Workflow>, journal: &[&JournalEntry]) -> Option<Timestamp> {
    let cut = journal.iter().find(|entry| {
        let disables = matches!(
            action(workflow, RunKind::Removal, entry),
            Some(Action::Act(Operation::Disable | Operation::Delete))
        );
        disables && entry.outcome == OutcomeKey::Done
    });
    cut.map(|entry| entry.at)
}

/// How and since when the end of access is known, and the look or statement itself.
fn proof(
    run: &Run,
    journal: &[&JournalEntry],
    task: Option<&FallbackTask>,
) -> (Proof, Option<Timestamp>, Value) {
    match &run.stage {
        Stage::Ended {
            end: End::Attested, ..
        } => {
            let (at, by) = task.map_or((None, Value::Null), attested);
            (Proof::Attested, at, by)
        }
        Stage::Ended {
            end: End::Verified, ..
        } => {
            let looks: Vec<_> = journal
                .iter()
                .filter(|entry| shows_absence(entry))
                .collect();
            let Some(last) = looks.last() else {
                return (Proof::None, None, Value::Null);
            };
            // The first look after which no other saw it again.
            let again = journal
                .iter()
                .rposition(|entry| entry.outcome == OutcomeKey::Present);
            let after = again.map_or(0, |place| place + 1);
            let first = journal[after..]
                .iter()
                .find(|entry| shows_absence(entry))
                .unwrap_or(last);
            (Proof::Observed, Some(first.at), look(last))
        }
        Stage::Ended { .. }
        | Stage::Due { .. }
        | Stage::Gathering { .. }
        | Stage::WithPerson { .. } => (Proof::None, None, Value::Null),
    }
}

/// True for a look that proved absence; an "absent" that a target answered to a write is none.
pub(super) fn shows_absence(entry: &JournalEntry) -> bool {
    let detail = entry.detail.as_ref();
    // That tries were refused is told by itself: only a look is a look.
    let detail = detail.filter(|detail| detail["observation"].is_object());
    let finding = detail.and_then(|detail| detail.get("finding"));
    let finding = finding.and_then(|value| serde_json::from_value::<Finding>(value.clone()).ok());
    finding == Some(Finding::Absent)
}

/// A look as evidence tells it.
pub(super) fn look(entry: &JournalEntry) -> Value {
    let detail = entry.detail.as_ref();
    let observation = detail.map_or(&Value::Null, |detail| &detail["observation"]);
    json!({
        "recorded": entry.at,
        "read_begun": observation["at"],
        "method": observation["method"],
        "credential": observation["credential"],
        "data_age_seconds": observation["data_age_seconds"],
        "completeness": observation["completeness"],
        "finding": detail.map_or(&Value::Null, |detail| &detail["finding"]),
        "manifest": detail.map_or(&Value::Null, |detail| &detail["manifest"]),
    })
}

/// How a task was closed, and by whom.
fn closed(task: &FallbackTask) -> String {
    let TaskState::Closed { how, by, .. } = &task.state else {
        return String::new();
    };
    let signed: Vec<_> = task
        .attestations
        .iter()
        .map(|one| one.by.as_str())
        .collect();
    let who = if signed.is_empty() {
        by.clone()
    } else {
        signed.join(" and ")
    };
    format!("{} by {who}", how.as_str())
}

/// That it was closed together with others, and why.
fn at_once(task: &FallbackTask) -> String {
    let bulk = task.bulk.as_ref().filter(|_| task.is_closed());
    bulk.map_or(String::new(), |bulk| {
        format!("one of {} at once: {}", bulk.of, bulk.reason)
    })
}

fn attested(task: &FallbackTask) -> (Option<Timestamp>, Value) {
    let TaskState::Closed { how, by, at } = &task.state else {
        return (None, Value::Null);
    };
    let notes: Vec<_> = task
        .history
        .iter()
        .map(|note| {
            json!({
                "at": note.at, "by": note.by, "text": note.text,
            })
        })
        .collect();
    (
        Some(*at),
        json!({
            "how": how.as_str(), "by": by, "at": at,
            "signed": task.attestations, "bulk": task.bulk, "history": notes,
        }),
    )
}

/// What may still be there, and why.
fn open(run: &Run, proof: Proof, task: Option<&FallbackTask>) -> String {
    if proof != Proof::None {
        return String::new();
    }
    let failure = match &run.body {
        RunBody::Removal(body) => body.last_failure.as_ref(),
        RunBody::Discovery(body) => body.last_failure.as_ref(),
        RunBody::Case(_) | RunBody::Rotation(_) | RunBody::Care(_) => None,
    };
    match (&run.stage, task, failure) {
        (Stage::Ended { end, .. }, _, Some(failure)) => {
            format!("ended {}; {failure}", end.as_str())
        }
        (Stage::Ended { end, .. }, ..) => format!("ended {}", end.as_str()),
        (_, Some(task), _) if !matches!(task.state, TaskState::Closed { .. }) => {
            format!(
                "with a person ({}): {} {}",
                task.state.as_str(),
                task.code,
                task.why
            )
        }
        (_, _, Some(failure)) => failure.to_string(),
        (stage, ..) => format!("under way: {}", stage.name()),
    }
}
