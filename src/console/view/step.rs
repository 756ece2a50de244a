//! One thing that happened in a case, as it is told: what was done, found, proved, or went wrong.
//!
//! Owns the words for a line of the journal. Only a read that showed absence, or a try to get in that
//! was refused, is told as proof.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::words;
use crate::domain::outcome::Failure;
use crate::domain::probe::Probed;
use crate::domain::run::RunBody;
use crate::domain::settlement::JournalEntry;
use crate::domain::time::Timestamp;
use crate::domain::workflow::OutcomeKey;
use crate::store::CaseStory;

/// One thing that happened.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct StepView {
    pub at: Timestamp,
    pub connector: Option<String>,
    pub login: Option<String>,
    /// The state that the run was in.
    pub state: String,
    /// The entitlement, where it is about one.
    pub item: Option<String>,
    pub outcome: String,
    /// True for a look that proved absence.
    pub proof: bool,
    /// True where it did not work.
    pub failed: bool,
    /// True where it went to a person, or a person spoke.
    pub by_person: bool,
    /// Failure, finding or accounts, in words.
    pub words: String,
}

/// True for a look or a try that proved absence.
pub(super) fn proves(entry: &JournalEntry) -> bool {
    let finding = entry.detail.as_ref().map(|detail| &detail["finding"]);
    finding.is_some_and(|finding| finding == "absent")
}

/// The tries to get in of which the entry tells; `None` where it is about something else.
pub(super) fn tries(entry: &JournalEntry) -> Option<Vec<Probed>> {
    let told = entry.detail.as_ref()?.get("probes")?;
    serde_json::from_value(told.clone()).ok()
}

pub(super) fn step(story: &CaseStory, entry: &JournalEntry) -> StepView {
    let run = story.runs.iter().find(|run| run.id == entry.run);
    let login = run.and_then(|run| match &run.body {
        RunBody::Removal(body) => Some(body.account.login.clone()),
        RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_) => None,
    });
    StepView {
        at: entry.at,
        connector: run
            .and_then(|run| run.connector.as_ref())
            .map(ToString::to_string),
        login,
        state: entry.state.to_string(),
        item: entry.item.as_ref().map(ToString::to_string),
        outcome: entry.outcome.as_str().to_owned(),
        proof: proves(entry),
        failed: entry.failure.is_some(),
        by_person: with_person(entry),
        words: told(entry),
    }
}

/// True for the state in which a run waits for its task.
fn with_person(entry: &JournalEntry) -> bool {
    entry.state.as_str() == "with_person" || entry.outcome == OutcomeKey::Attested
}

fn told(entry: &JournalEntry) -> String {
    if let Some(Failure { code, message, .. }) = &entry.failure {
        return format!("{code} {message}");
    }
    if let Some(tries) = tries(entry) {
        let told: Vec<_> = tries.iter().map(Probed::told).collect();
        return told.join("; ");
    }
    if entry.outcome == OutcomeKey::NotNeeded && entry.state.as_str().contains("probe") {
        return "no way in is declared to be tried".to_owned();
    }
    if with_person(entry) && entry.outcome == OutcomeKey::Done {
        return "a person has a task for it".to_owned();
    }
    let detail = entry.detail.as_ref();
    let finding = detail.map(|detail| &detail["finding"]);
    let listed = |value: &serde_json::Value| {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let items: Vec<_> = items.iter().filter_map(|item| item.as_str()).collect();
        items.join(", ")
    };
    let method = detail.and_then(|detail| detail["observation"]["method"].as_str());
    match finding {
        Some(finding) if finding == "absent" => {
            format!("gone, seen with {}", method.unwrap_or("a complete read"))
        }
        Some(finding) if finding.get("present").is_some() => {
            format!("still there: {}", listed(&finding["present"]))
        }
        Some(finding) if finding.get("inconclusive").is_some() => {
            let why = finding["inconclusive"].as_str().unwrap_or_default();
            format!("the look proves nothing: {why}")
        }
        _ => match detail.map(|detail| listed(&detail["accounts"])) {
            Some(accounts) if !accounts.is_empty() => format!("found {accounts}"),
            Some(_) | None => words::outcome(entry.outcome.as_str()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{RunId, StateName};

    fn entry(detail: serde_json::Value) -> JournalEntry {
        JournalEntry {
            run: RunId(uuid::Uuid::nil()),
            sequence: 1,
            place: 0,
            at: Timestamp::UNIX_EPOCH,
            state: StateName("try".to_owned()),
            item: None,
            outcome: OutcomeKey::Absent,
            failure: None,
            detail: Some(detail),
        }
    }

    #[test]
    fn h1_a_try_to_get_in_is_told_as_what_was_tried() {
        let tried = serde_json::json!({
            "finding": "absent",
            "probes": [{
                "probe": "login", "artefact": "the name ada", "at": "1970-01-01T00:00:00Z",
                "method": "POST /login", "control": "the canary was let in",
                "finding": "refused", "words": "401",
            }],
        });
        let words = told(&entry(tried.clone()));
        assert_eq!(words, "probe login refused the name ada: 401");
        assert!(proves(&entry(tried.clone())) && tries(&entry(tried)).is_some());
        let look = serde_json::json!({ "finding": "absent" });
        assert!(tries(&entry(look)).is_none());
    }
}
