//! Evidence of one case: gathered from the store, signed, shown, and checked with a public key alone.
//!
//! Owns the file (`docs/evidence.md`) and what stands in it. Evidence of absence is always an
//! observation, never a target's answer to a write; what only a person said is shown as attested. Judges
//! nothing anew: verdicts are those that the store holds.

mod bundle;
mod envelope;
mod facts;
mod page;
mod returns;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::{AppError, audit};
use crate::config::Settings;
use crate::definitions::{self, RestoreError};
use crate::domain::audit::{Fault, Finding, key_in_words};
use crate::domain::id::CaseId;
use crate::domain::time::{Clock, Timestamp};
use crate::domain::workflow::Workflow;
use crate::secrets::Vault;
use crate::store::{CaseStory, Store};

pub use bundle::bundle;
pub use envelope::{Envelope, EvidenceError, PAYLOAD_TYPE, key_id};
pub use facts::{NOTHING_YET, Proof, Target, targets};
pub use page::{is_page, page};
pub use returns::{Return, placed, returned, returns, told_by};

/// A case with everything that is known of it.
#[derive(Debug)]
pub struct Gathered {
    /// Its story.
    pub story: CaseStory,
    /// What is recorded beside it.
    pub dossier: crate::store::Dossier,
    /// The definition that it began with.
    pub workflow: Option<Workflow>,
    /// What was there again later, of any case of its subject.
    pub returns: Vec<Return>,
}

/// Reads everything about a case; `None` when there is no such case.
///
/// # Errors
/// When the store fails.
pub async fn gather(store: &dyn Store, case: CaseId) -> Result<Option<Gathered>, AppError> {
    let (Some(story), Some(dossier)) = (store.case(case).await?, store.dossier(case).await?) else {
        return Ok(None);
    };
    let workflow = workflow_of(store, &story).await?;
    let returns = returns(store, &story.report.row.subject_key).await?;
    Ok(Some(Gathered {
        story,
        dossier,
        workflow,
        returns,
    }))
}

/// The definition that a case's runs began with; one that this version cannot read is left out, and the
/// evidence then tells states without what they did.
///
/// # Errors
/// When the store fails, or has another definition in the place of that one.
pub async fn workflow_of(
    store: &dyn Store,
    story: &CaseStory,
) -> Result<Option<Workflow>, AppError> {
    let Some(run) = story.runs.first() else {
        return Ok(None);
    };
    let Some(stored) = store.definition(&run.definition).await? else {
        return Ok(None);
    };
    match definitions::restore(&stored.json, &run.definition) {
        Ok(workflow) => Ok(Some(workflow)),
        Err(RestoreError::Form(_)) => Ok(None),
        Err(changed @ RestoreError::Changed { .. }) => Err(changed.into()),
    }
}

/// The signed evidence of a case. A checkpoint is made first, so that the log's signature covers
/// everything in it.
///
/// # Errors
/// When store or vault fails, or what is stored about the case is not what was written.
pub async fn export(
    store: &dyn Store,
    vault: &dyn Vault,
    settings: &Settings,
    clock: &dyn Clock,
    case: CaseId,
) -> Result<Option<Envelope>, AppError> {
    let Some(gathered) = gather(store, case).await? else {
        return Ok(None);
    };
    // A signature must not bless what somebody else wrote into the tables.
    let verified = audit::verify(store, None, None).await?;
    let about: Vec<_> = verified
        .findings
        .iter()
        .filter(|one| concerns(one, &gathered))
        .collect();
    if let Some(first) = about.first() {
        return Err(AppError::Tampered {
            case,
            count: about.len(),
            first: first.to_string(),
        });
    }
    audit::checkpoint(store, vault, settings, clock, 0).await?;
    let checkpoint = store.last_checkpoint().await?;
    let now = clock.now();
    let signer = audit::signer(store, vault, settings, now).await?;
    let payload = bundle(&gathered, checkpoint.as_ref(), now);
    Ok(Some(Envelope::sign(&payload, &signer)))
}

/// True for a finding about the log itself, about a row of this case, or about one that may have been of
/// this case: what is gone, or says that it is another case's, tells no more whose it was.
fn concerns(finding: &Finding, of: &Gathered) -> bool {
    let log = finding.table.starts_with("audit_");
    let gone = match finding.fault {
        Fault::Removed | Fault::Moved | Fault::CutOff | Fault::TooMuch => true,
        Fault::Changed | Fault::Inserted | Fault::NotSigned => false,
    };
    let of_some_case = matches!(finding.table, "runs" | "journal" | "tasks" | "commands");
    let rows = of.dossier.recorded.iter();
    let mut rows = rows.map(|entry| key_in_words(&entry.key));
    log || gone || of_some_case || rows.any(|row| finding.row.starts_with(&row))
}

/// Seconds between two instants, for reports; negative when `until` comes first.
pub(super) fn seconds(from: Timestamp, until: Timestamp) -> Value {
    Value::from(until.duration_since(from).as_millis() as f64 / 1000.0)
}

/// What the state of a journal's line does.
pub(super) fn action_of<'a>(
    workflow: Option<&'a Workflow>,
    story: &CaseStory,
    entry: &crate::domain::settlement::JournalEntry,
) -> Option<&'a crate::domain::workflow::Action> {
    let run = story.runs.iter().find(|run| run.id == entry.run)?;
    facts::action(workflow, run.kind, entry)
}
