//! The log of cases as OCSF events for a SIEM: one for each change, look and try.
//!
//! Owns which class and activity of the schema stands for what, and which of its attributes are filled;
//! `validate` checks both against the published schema. What the schema has no place for is `unmapped`.

use serde_json::{Value, json};

use super::AppError;
use super::evidence::action_of;
use super::report::stories;
use crate::domain::access::{Account, Operation};
use crate::domain::run::RunBody;
use crate::domain::settlement::JournalEntry;
use crate::domain::time::Timestamp;
use crate::domain::workflow::{Action, OutcomeKey};
use crate::store::{CaseStory, Store};

/// The version of the OCSF schema that the events follow.
const VERSION: &str = "1.8.0";
/// Class, its name, activity, its name.
type Kind = (u32, &'static str, u32, &'static str);

const DISABLED: Kind = (3001, "Account Change", 5, "Disable");
const DELETED: Kind = (3001, "Account Change", 6, "Delete");
const LOGGED_OFF: Kind = (3002, "Authentication", 2, "Logoff");
const REVOKED: Kind = (3005, "User Access Management", 2, "Revoke Privileges");
// What a look or a try found is none of the changes above: the classes' own "Other".
const LOOKED: Kind = (3001, "Account Change", 99, "Absence observed");
const TRIED: Kind = (3002, "Authentication", 99, "Ways in tried");

/// The events of cases whose access was to end from `from` on and before `to`, by time.
///
/// # Errors
/// When the store fails.
pub async fn events(
    store: &dyn Store,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Value>, AppError> {
    let mut events = Vec::new();
    for (story, workflow) in stories(store, from, to).await?.0 {
        for entry in &story.journal {
            let action = action_of(workflow.as_ref(), &story, entry);
            events.extend(event(&story, entry, action));
        }
    }
    events.sort_by_key(|event| event["time"].as_i64());
    Ok(events)
}

/// None for what changes and shows nothing.
fn kind(action: Option<&Action>, outcome: OutcomeKey) -> Option<Kind> {
    if outcome == OutcomeKey::NotNeeded {
        return None;
    }
    match action? {
        Action::Act(operation) | Action::Each { operation, .. } => match operation {
            Operation::Disable => Some(DISABLED),
            Operation::Delete => Some(DELETED),
            Operation::EndSessions => Some(LOGGED_OFF),
            Operation::RevokeEntitlement | Operation::RevokeCredential => Some(REVOKED),
            Operation::List | Operation::Read => None,
        },
        Action::Verify { .. } => Some(LOOKED),
        Action::Probe => Some(TRIED),
        Action::AwaitEffective
        | Action::Discover
        | Action::FindAccounts
        | Action::RemoveAccounts
        | Action::Inspect
        | Action::Wait { .. }
        | Action::CutUpstream
        | Action::Rotate(_)
        | Action::Overlap
        | Action::Gather
        | Action::Fallback(_)
        | Action::End(_) => None,
    }
}

/// The caption of a status: that a look proves nothing is neither success nor failure.
fn status(outcome: OutcomeKey) -> (u32, &'static str) {
    match outcome {
        OutcomeKey::Done | OutcomeKey::Absent => (1, "Success"),
        OutcomeKey::Inconclusive => (0, "Unknown"),
        OutcomeKey::Found
        | OutcomeKey::Present
        | OutcomeKey::NotNeeded
        | OutcomeKey::Attested
        | OutcomeKey::Failed(_) => (2, "Failure"),
    }
}

fn event(story: &CaseStory, entry: &JournalEntry, action: Option<&Action>) -> Option<Value> {
    let run = story.runs.iter().find(|run| run.id == entry.run)?;
    let RunBody::Removal(body) = &run.body else {
        return None;
    };
    let (class_uid, class_name, activity_id, activity) = kind(action, entry.outcome)?;
    let target = run.connector.as_ref().map_or("", |name| name.as_str());
    let (status_id, status) = status(entry.outcome);
    let case = &story.report.row;
    let mut event = json!({
        "metadata": metadata(story, entry),
        "category_uid": 3,
        "category_name": "Identity & Access Management",
        "class_uid": class_uid,
        "class_name": class_name,
        "activity_id": activity_id,
        "activity_name": activity,
        "type_uid": class_uid * 100 + activity_id,
        "type_name": format!("{class_name}: {activity}"),
        "time": entry.at.as_millisecond(),
        "severity_id": 1,
        "severity": "Informational",
        "status_id": status_id,
        "status": status,
        "status_detail": entry.outcome,
        "actor": { "app_name": "Clawback" },
        "user": { "name": body.account.login, "uid": body.account.id },
        "unmapped": {
            "target": target,
            "case": case.id,
            "hr_case": case.hr_case,
            "state": entry.state,
            "observation": entry.detail.as_ref().and_then(|detail| detail.get("observation")),
            "probes": entry.detail.as_ref().and_then(|detail| detail.get("probes")),
            "finding": entry.detail.as_ref().and_then(|detail| detail.get("finding")),
        },
    });
    if let Some(failure) = &entry.failure {
        event["status_code"] = json!(failure.code);
    }
    match class_uid {
        3002 => event["service"] = json!({ "name": target }),
        3005 => {
            event["privileges"] = privileges(&body.account, entry)?;
            event["resources"] = json!([{ "name": target }]);
        }
        _ => {}
    }
    Some(event)
}

fn metadata(story: &CaseStory, entry: &JournalEntry) -> Value {
    json!({
        "version": VERSION,
        "uid": format!("{}/{}/{}", entry.run, entry.sequence, entry.place),
        "correlation_uid": story.report.row.id,
        "product": {
            "name": "Clawback",
            "vendor_name": "Clawback",
            "version": env!("CARGO_PKG_VERSION"),
        },
    })
}

/// The one that the line is about; of a line about all of them, all that the account was found with. A
/// revocation of nothing is no event.
fn privileges(account: &Account, entry: &JournalEntry) -> Option<Value> {
    if let Some(item) = &entry.item {
        return Some(json!([item]));
    }
    let all: Vec<_> = account.entitlements.iter().map(|one| &one.id).collect();
    (!all.is_empty()).then(|| json!(all))
}

#[cfg(test)]
mod validate;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::access::{Entitlement, EntitlementKind};
    use crate::domain::outcome::{Failure, FailureClass};
    use crate::domain::verdict::Verdict;
    use crate::store::given::{a_removal, due, step};
    use crate::store::{Settings, open};

    /// Everything that a removal does.
    fn actions() -> Vec<Action> {
        let acts = [
            Operation::List,
            Operation::Read,
            Operation::Disable,
            Operation::EndSessions,
            Operation::Delete,
        ];
        let each = [Operation::RevokeEntitlement, Operation::RevokeCredential];
        let each = each.map(|operation| Action::Each {
            operation,
            side_by_side: true,
        });
        let rung = Verdict::ObservedAbsent;
        let acts = acts.into_iter().map(Action::Act).chain(each);
        acts.chain([Action::Verify { rung }, Action::Probe, Action::Inspect])
            .collect()
    }

    async fn a_story() -> CaseStory {
        let store = open(&Settings::at("sqlite::memory:"))
            .await
            .expect("opened");
        store.migrate().await.expect("migrated");
        let removal = a_removal(&store, "ada").await;
        let case = removal.run.case.expect("a case");
        let story = store.case(case).await.expect("read");
        let mut story = story.expect("there");
        for run in &mut story.runs {
            if let RunBody::Removal(body) = &mut run.body {
                body.account.entitlements = vec![Entitlement {
                    id: "r-1".into(),
                    name: "reader".to_owned(),
                    kind: EntitlementKind::Role,
                    inherited_from: None,
                }];
                story.journal = step(run, due("begin", 0)).journal;
                story.journal[0].run = run.id;
            }
        }
        story
    }

    #[tokio::test]
    async fn e6_every_event_is_one_of_the_published_schema() {
        let story = a_story().await;
        let line = story
            .runs
            .iter()
            .find(|run| matches!(run.body, RunBody::Removal(_)));
        let mut line = story
            .journal
            .iter()
            .find(|one| Some(one.run) == line.map(|run| run.id))
            .expect("a line")
            .clone();
        let failed = Failure::new(FailureClass::Unreachable, "CB-TEST-1", "no answer");
        let outcomes = [
            OutcomeKey::Done,
            OutcomeKey::Absent,
            OutcomeKey::Present,
            OutcomeKey::Inconclusive,
            OutcomeKey::NotNeeded,
            OutcomeKey::Failed(FailureClass::Unreachable),
        ];
        let mut kinds = BTreeSet::new();
        for action in actions() {
            for outcome in outcomes {
                for item in [None, Some("r-1".into())] {
                    line.outcome = outcome;
                    line.item = item;
                    let fails = matches!(outcome, OutcomeKey::Failed(_));
                    line.failure = fails.then(|| failed.clone());
                    let Some(event) = event(&story, &line, Some(&action)) else {
                        continue;
                    };
                    assert_eq!(validate::problems(&event), [""; 0], "{action:?}: {event:#}");
                    kinds.insert(event["type_uid"].as_u64().expect("a number"));
                }
            }
        }
        let all = [300_105, 300_106, 300_199, 300_202, 300_299, 300_502];
        assert_eq!(kinds, all.into_iter().collect());
    }

    #[tokio::test]
    async fn e6_an_event_that_is_not_of_the_schema_is_noticed() {
        let story = a_story().await;
        let line = &story.journal[0];
        let good = event(&story, line, Some(&Action::Act(Operation::EndSessions)));
        let good = good.expect("an event");
        assert_eq!(validate::problems(&good), [""; 0]);
        let planted = [
            ("user", Value::Null),
            ("activity_id", json!(42)),
            ("activity_name", json!("Disable")),
            ("service", json!({})),
            ("privileges", json!(["r-1"])),
            ("time", json!("now")),
            ("status_code", Value::Null),
            ("type_uid", json!(1)),
            ("class_uid", json!(9999)),
        ];
        for (name, value) in planted {
            let mut bad = good.clone();
            bad[name] = value;
            assert!(!validate::problems(&bad).is_empty(), "{name}");
        }
        let mut without = good;
        without.as_object_mut().expect("fields").remove("metadata");
        assert!(!validate::problems(&without).is_empty());
    }
}
