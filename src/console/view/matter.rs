//! What takes two people besides manifests: each proposal that waits, and what is in force.
//!
//! Owns their shape. Manifests are left out: they are compared with files and have a view of their own.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::office::Office;
use super::super::problem::Problem;
use crate::domain::approval::{Binding, MatterKind, Proposal};
use crate::domain::id::ProposalId;
use crate::domain::time::Timestamp;

/// One thing that two people decide.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct MatterView {
    /// The proposal that waits; absent where this is what is in force.
    pub proposal: Option<uuid::Uuid>,
    /// `drill_override` and the like.
    pub kind: String,
    /// Which of its kind.
    pub name: String,
    /// `waits`, `in force` or `over`.
    pub state: String,
    /// What is to bind, or binds, word for word.
    pub text: String,
    /// SHA-256 that names it.
    pub digest: String,
    /// Who proposes it, or made it bind.
    pub by: String,
    pub at: Timestamp,
    pub reason: String,
    /// When it ceases to bind.
    pub until: Timestamp,
}

fn waiting(proposal: &Proposal) -> MatterView {
    MatterView {
        proposal: Some(proposal.id.0),
        kind: proposal.matter.kind.as_str().to_owned(),
        name: proposal.matter.name.clone(),
        state: "waits".to_owned(),
        text: proposal.content.text.clone(),
        digest: proposal.content.digest.to_string(),
        by: proposal.proposed.by.clone(),
        at: proposal.proposed.at,
        reason: proposal.proposed.reason.clone(),
        until: proposal.until,
    }
}

fn bound(binding: &Binding, now: Timestamp) -> MatterView {
    let state = if binding.has_lapsed(now) {
        "over"
    } else {
        "in force"
    };
    MatterView {
        proposal: None,
        kind: binding.matter.kind.as_str().to_owned(),
        name: binding.matter.name.clone(),
        state: state.to_owned(),
        text: binding.content.text.clone(),
        digest: binding.content.digest.to_string(),
        by: binding.bound.by.clone(),
        at: binding.bound.at,
        reason: binding.bound.reason.clone(),
        until: binding.until,
    }
}

fn kinds() -> impl Iterator<Item = MatterKind> {
    let all = MatterKind::ALL.into_iter();
    all.filter(|kind| *kind != MatterKind::Manifest)
}

/// What waits, then what is in force or was.
pub(in super::super) async fn matters(office: &Office) -> Result<Vec<MatterView>, Problem> {
    let (now, mut open, mut in_force) = (office.now(), Vec::new(), Vec::new());
    for kind in kinds() {
        for record in office.store.records(kind).await?.into_values() {
            open.extend(record.open.as_ref().map(waiting));
            in_force.extend(record.in_force.as_ref().map(|one| bound(one, now)));
        }
    }
    open.append(&mut in_force);
    Ok(open)
}

/// The proposal with this id, if it waits.
pub(in super::super) async fn proposal(
    office: &Office,
    id: ProposalId,
) -> Result<Proposal, Problem> {
    for kind in kinds() {
        let records = office.store.records(kind).await?;
        let mut open = records.into_values().filter_map(|record| record.open);
        if let Some(found) = open.find(|one| one.id == id) {
            return Ok(found);
        }
    }
    Err(Problem::missing("proposal"))
}
