//! Proposals and bindings as both databases return them.
//!
//! Owns the reading side of both tables and the pairing of what is open with what is in force. A row
//! that does not fit is an error that names table, column and row. Decides nothing.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domain::approval::{
    Binding, Content, Matter, MatterKind, Proposal, ProposalState, Record, Signed,
};
use crate::domain::id::ProposalId;
use crate::domain::time::Timestamp;

use super::Stored;
use super::shape::{corrupt, instant};

/// One proposal.
#[derive(sqlx::FromRow)]
pub(super) struct ProposalRow {
    id: Uuid,
    matter: String,
    name: String,
    digest: String,
    body: String,
    over: i64,
    until_us: i64,
    proposed_by: String,
    proposed_us: i64,
    proposed_reason: String,
    state: String,
    decided_by: Option<String>,
    decided_us: Option<i64>,
    decided_reason: Option<String>,
}

impl ProposalRow {
    pub(super) fn proposal(self) -> Stored<Proposal> {
        let decided = match (self.decided_by, self.decided_us) {
            (Some(by), Some(us)) => Some(Signed {
                by,
                at: instant(us, "proposals", "decided_us", self.id)?,
                reason: self.decided_reason.unwrap_or_default(),
            }),
            _ => None,
        };
        let state = match (self.state.as_str(), decided) {
            ("open", None) => ProposalState::Open,
            ("approved", Some(signed)) => ProposalState::Approved(signed),
            ("rejected", Some(signed)) => ProposalState::Rejected(signed),
            ("superseded", Some(signed)) => ProposalState::Superseded(signed),
            (other, _) => return Err(corrupt("proposals", "state", self.id, &other)),
        };
        Ok(Proposal {
            id: ProposalId(self.id),
            matter: matter(&self.matter, self.name, "proposals")?,
            content: Content {
                digest: self.digest.as_str().into(),
                text: self.body,
            },
            over: self.over.cast_unsigned(),
            until: instant(self.until_us, "proposals", "until_us", self.id)?,
            proposed: Signed {
                by: self.proposed_by,
                at: instant(self.proposed_us, "proposals", "proposed_us", self.id)?,
                reason: self.proposed_reason,
            },
            state,
        })
    }
}

/// One binding.
#[derive(sqlx::FromRow)]
pub(super) struct BindingRow {
    matter: String,
    name: String,
    number: i64,
    digest: String,
    body: String,
    until_us: i64,
    proposal_id: Option<Uuid>,
    bound_by: String,
    bound_us: i64,
    reason: String,
}

impl BindingRow {
    pub(super) fn binding(self) -> Stored<Binding> {
        let row = format!("{} {} {}", self.matter, self.name, self.number);
        let time = |us: i64, column| {
            Timestamp::from_microsecond(us)
                .map_err(|error| corrupt("bindings", column, &row, &error))
        };
        Ok(Binding {
            number: self.number.cast_unsigned(),
            content: Content {
                digest: self.digest.as_str().into(),
                text: self.body,
            },
            until: time(self.until_us, "until_us")?,
            proposal: self.proposal_id.map(ProposalId),
            bound: Signed {
                by: self.bound_by,
                at: time(self.bound_us, "bound_us")?,
                reason: self.reason,
            },
            matter: matter(&self.matter, self.name, "bindings")?,
        })
    }
}

fn matter(kind: &str, name: String, table: &'static str) -> Stored<Matter> {
    match MatterKind::from_name(kind) {
        Some(kind) => Ok(Matter { kind, name }),
        None => Err(corrupt(table, "matter", &name, &kind)),
    }
}

/// What is open and what is in force, by matter.
pub(super) fn records(
    open: Vec<ProposalRow>,
    bound: Vec<BindingRow>,
) -> Stored<BTreeMap<Matter, Record>> {
    let mut records: BTreeMap<Matter, Record> = BTreeMap::new();
    for row in open {
        let proposal = row.proposal()?;
        let record = records.entry(proposal.matter.clone()).or_default();
        record.open = Some(proposal);
    }
    for row in bound {
        let binding = row.binding()?;
        let record = records.entry(binding.matter.clone()).or_default();
        record.in_force = Some(binding);
    }
    Ok(records)
}
