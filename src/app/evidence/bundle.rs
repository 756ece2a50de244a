//! The payload: one JSON document that tells a case from its trigger to what is left of it.
//!
//! Owns its fields (`docs/schemas/clawback.evidence.v1.json`). Every list is in the order of time.

use serde_json::{Value, json};

use super::facts::{NOTHING_YET, Proof, action, look, shows_absence, targets, verb};
use super::{Gathered, Return, Target, seconds};
use crate::domain::audit::{Entry, Signed, key_in_words};
use crate::domain::run::RunBody;
use crate::domain::settlement::JournalEntry;
use crate::domain::task::{FallbackTask, TaskState};
use crate::domain::time::Timestamp;
use crate::domain::workflow::{End, OutcomeKey};
use crate::store::audit::tables;

/// What a payload's first field says.
const FORMAT: &str = "clawback-evidence-1";

/// The payload for a case, as of `now`.
pub fn bundle(of: &Gathered, checkpoint: Option<&Signed>, now: Timestamp) -> Value {
    let targets = targets(&of.story, of.workflow.as_ref(), &of.returns);
    json!({
        "format": FORMAT,
        "exported_at": now,
        "exported_by": format!("clawback {}", env!("CARGO_PKG_VERSION")),
        "case": case(of),
        "trigger": trigger(of),
        "policy": policy(of),
        "targets": targets.iter().map(told).collect::<Vec<_>>(),
        "changes": changes(of),
        "observations": observations(of),
        "tries": tries(of),
        "people": people(of),
        "residual": residual(of, &targets),
        "timing": timing(of, &targets),
        "log": log(of, checkpoint),
    })
}

fn case(of: &Gathered) -> Value {
    let report = &of.story.report;
    let row = &report.row;
    json!({
        "id": row.id,
        "subject_key": row.subject_key,
        "subject_name": row.subject_name,
        "hr_case": row.hr_case,
        "revision": row.revision,
        "effective": row.effective,
        "opened": row.opened,
        "state": report.ended.map_or("open", End::as_str),
        "ended": report.ended_at,
        "removals": report.removals,
        "removals_verified": report.verified,
        "removals_attested": report.attested,
    })
}

fn trigger(of: &Gathered) -> Value {
    let recorded = &of.dossier.event;
    let event = &recorded.event;
    json!({
        "source": event.source,
        "id": event.id,
        "type": event.kind,
        "occurred": event.occurred,
        "subject": event.subject,
        "effective": event.effective,
        "urgency": event.urgency,
        "reason": event.reason,
        "topic": recorded.origin.topic,
        "partition": recorded.origin.partition,
        "offset": recorded.origin.offset,
        "recorded": recorded.recorded,
        "payload_digest": recorded.payload_digest,
    })
}

/// What was decided about the event, by which workflow, and under which manifests it was carried out.
fn policy(of: &Gathered) -> Value {
    let mut manifests = std::collections::BTreeMap::new();
    for entry in &of.story.journal {
        let run = of.story.runs.iter().find(|run| run.id == entry.run);
        let name = run.and_then(|run| run.connector.as_ref());
        let digest = entry
            .detail
            .as_ref()
            .and_then(|detail| detail["manifest"].as_str());
        if let (Some(name), Some(digest)) = (name, digest) {
            let digests: &mut Vec<String> = manifests.entry(name.to_string()).or_default();
            if !digests.iter().any(|known| known == digest) {
                digests.push(digest.to_owned());
            }
        }
    }
    let definition = of.story.runs.first().map(|run| run.definition.to_string());
    json!({
        "decision": of.dossier.decision,
        "reason": of.dossier.reason,
        "decided": of.dossier.admitted,
        "workflow": of.story.report.row.workflow,
        "workflow_version": of.workflow.as_ref().map(|workflow| workflow.version),
        "workflow_digest": definition,
        "manifests": manifests,
    })
}

fn told(target: &Target) -> Value {
    json!({
        "run": target.run,
        "connector": target.connector,
        "login": target.login,
        "account": target.account,
        "access_before": target.access,
        "contained": target.contained,
        "removed": target.removed,
        "proof": target.proof.as_str(),
        "proved_by": target.proved_by,
        "verdict": target.verdict,
        "end": target.end,
        "open": target.open,
        "returned": target.returned.as_ref().map(Return::told),
    })
}

/// Everything that was sent to a target or decided about a run, and what it came to. The answer to a write
/// says that the target took it, never that access is gone.
fn changes(of: &Gathered) -> Vec<Value> {
    let mut changes = Vec::new();
    for entry in &of.story.journal {
        let Some(run) = of.story.runs.iter().find(|run| run.id == entry.run) else {
            continue;
        };
        let action = verb(action(of.workflow.as_ref(), run.kind, entry));
        if action == "observe" {
            continue;
        }
        let login = match &run.body {
            RunBody::Removal(body) => Some(&body.account.login),
            RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
                None
            }
        };
        changes.push(json!({
            "at": entry.at,
            "run": entry.run,
            "kind": run.kind,
            "connector": run.connector,
            "login": login,
            "state": entry.state,
            "action": action,
            "item": entry.item,
            "outcome": entry.outcome,
            "failure": entry.failure,
        }));
    }
    changes
}

fn observations(of: &Gathered) -> Vec<Value> {
    let looks = of.story.journal.iter().filter(|entry| {
        let found = matches!(
            entry.outcome,
            OutcomeKey::Present | OutcomeKey::Inconclusive
        );
        probes(entry).is_none() && (found || shows_absence(entry))
    });
    let looks = looks.map(|entry| {
        let run = of.story.runs.iter().find(|run| run.id == entry.run);
        let mut told = look(entry);
        told["run"] = json!(entry.run);
        told["connector"] = json!(run.and_then(|run| run.connector.as_ref()));
        told["outcome"] = json!(entry.outcome);
        told
    });
    looks.collect()
}

/// Tries of the leaver's ways in: when, how, with what, beside which control, and what they came to.
fn tries(of: &Gathered) -> Vec<Value> {
    let mut all = Vec::new();
    for entry in &of.story.journal {
        let run = of.story.runs.iter().find(|run| run.id == entry.run);
        for one in probes(entry).into_iter().flatten() {
            all.push(json!({
                "at": one["at"],
                "run": entry.run,
                "connector": run.and_then(|run| run.connector.as_ref()),
                "probe": one["probe"],
                "artefact": one["artefact"],
                "method": one["method"],
                "control": one["control"],
                "finding": one["finding"],
                "answer": one["words"],
            }));
        }
    }
    all
}

/// The tries of a line of the journal, if it tells of any.
fn probes(entry: &JournalEntry) -> Option<&Vec<Value>> {
    let detail = entry.detail.as_ref()?;
    detail.get("probes")?.as_array()
}

/// What people did: in tasks, and by wishes.
fn people(of: &Gathered) -> Vec<Value> {
    let notes = of.story.tasks.iter().flat_map(task_notes);
    let wishes = of.dossier.wishes.iter().map(|(command, answer)| {
        let told = json!({
            "at": command.at,
            "by": command.by,
            "act": "wish",
            "wish": command.wish,
            "answer": answer,
        });
        (command.at, told)
    });
    let mut acts: Vec<_> = notes.chain(wishes).collect();
    acts.sort_by_key(|(at, _)| *at);
    acts.into_iter().map(|(_, told)| told).collect()
}

fn task_notes(task: &FallbackTask) -> Vec<(Timestamp, Value)> {
    let mut notes: Vec<_> = task
        .history
        .iter()
        .map(|note| {
            let told = json!({
                "at": note.at,
                "by": note.by,
                "act": "task",
                "task": task.id,
                "connector": task.connector,
                "text": note.text,
            });
            (note.at, told)
        })
        .collect();
    if let TaskState::Closed { how, by, at } = &task.state {
        let told = json!({
            "at": at,
            "by": by,
            "act": "task_closed",
            "task": task.id,
            "connector": task.connector,
            "how": how.as_str(),
        });
        notes.push((*at, told));
    }
    notes
}

/// What is neither proved nor attested, or was there again and is not gone since. An open case that has
/// looked nowhere yet has proved nothing.
fn residual(of: &Gathered, targets: &[Target]) -> Vec<Value> {
    if targets.is_empty() && of.story.report.ended.is_none() {
        return vec![json!({
            "connector": "",
            "login": "",
            "account": "",
            "access_before": Value::Null,
            "why": NOTHING_YET,
        })];
    }
    let left = targets
        .iter()
        .filter(|target| target.proof == Proof::None || target.is_back());
    left.map(|target| {
        json!({
            "connector": target.connector,
            "login": target.login,
            "account": target.account,
            "access_before": target.access,
            "why": target.open,
        })
    })
    .collect()
}

/// Against the instant at which access was to end, and against the deadlines of tasks.
fn timing(of: &Gathered, targets: &[Target]) -> Value {
    let row = &of.story.report.row;
    // News that came late cannot be acted on before it came.
    let due = row.effective.max(row.opened);
    let all = |pick: fn(&Target) -> Option<Timestamp>| {
        let instants: Option<Vec<_>> = targets.iter().map(pick).collect();
        instants.and_then(|instants| instants.into_iter().max())
    };
    let contained = all(|target| target.contained);
    let removed = all(|target| target.removed);
    let tasks = of.story.tasks.iter().map(|task| {
        let closed = match &task.state {
            TaskState::Closed { at, .. } => Some(*at),
            TaskState::Open
            | TaskState::Claimed { .. }
            | TaskState::Checking(_)
            | TaskState::SentBack { .. }
            | TaskState::AwaitingSecondPerson(_) => None,
        };
        json!({
            "task": task.id,
            "connector": task.connector,
            "opened": task.opened,
            "deadline": task.deadline,
            "closed": closed,
            "in_time": closed.map(|at| at <= task.deadline),
        })
    });
    json!({
        "effective": row.effective,
        "known": row.opened,
        "all_contained": contained,
        "all_removed": removed,
        "seconds_to_containment": contained.map(|at| seconds(due, at)),
        "seconds_to_removal": removed.map(|at| seconds(due, at)),
        "tasks": tasks.collect::<Vec<_>>(),
    })
}

/// Where all this stands in the log: the digests under which links cover the rows, and the newest
/// checkpoint, which is signed.
fn log(of: &Gathered, checkpoint: Option<&Signed>) -> Value {
    json!({
        "checkpoint": checkpoint,
        "checkpoint_digest": checkpoint.map(Signed::digest),
        "recorded": of.dossier.recorded.iter().map(recorded).collect::<Vec<_>>(),
    })
}

fn recorded(entry: &Entry) -> Value {
    let table = tables::ALL.iter().find(|table| table.code == entry.table);
    json!({
        "table": table.map_or("", |table| table.name),
        "row": key_in_words(&entry.key),
        "digest": entry.digest,
    })
}
