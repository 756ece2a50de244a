//! What takes two people: proposals, and the bindings that came of them.
//!
//! Rulings follow each other, as all writing does here: each reads what is open and in force, and
//! writes what was decided in the same transaction.

use std::collections::BTreeMap;

use sqlx::{Connection, SqliteConnection};

use crate::domain::approval::{
    Binding, Disapproval, Matter, MatterKind, Past, Proposal, Record, Ruling,
};
use crate::store::audit::{Notes, tables};
use crate::store::paper::{BindingRow, ProposalRow, records};
use crate::store::shape::micros;
use crate::store::{RuleFn, Stored};

use super::audit;
use super::funnel::Funnel;

pub(super) async fn rule(
    funnel: &Funnel,
    matter: &Matter,
    decide: RuleFn<'_>,
) -> Stored<Result<Ruling, Disapproval>> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("rule").await?;
    let ruling = match decide(&record(&mut tx, matter).await?) {
        Ok(ruling) => ruling,
        Err(disapproval) => {
            tx.rollback().await?;
            return Ok(Err(disapproval));
        }
    };
    // The old one makes room before the new one comes; what binds refers to what was approved.
    if let Some(decided) = &ruling.decided {
        close(&mut tx, decided).await?;
    }
    if let Some(opened) = &ruling.opened {
        open(&mut tx, opened).await?;
    }
    if let Some(bound) = &ruling.bound {
        bind(&mut tx, bound).await?;
    }
    let notes = noted(&mut tx, &ruling).await?;
    let tip = audit::write(&mut tx, &funnel.strands, &notes).await?;
    tx.commit().await?;
    funnel.strands.give(tip);
    Ok(Ok(ruling))
}

/// What was ruled, as it stands now.
async fn noted(tx: &mut SqliteConnection, ruling: &Ruling) -> Stored<Notes> {
    let mut notes = Notes::default();
    let opened: Vec<_> = ruling.opened.iter().map(|one| one.id.0).collect();
    let decided: Vec<_> = ruling.decided.iter().map(|one| one.id.0).collect();
    notes.add(&audit::rows(tx, &tables::PROPOSALS, "id", &opened).await?);
    notes.add(&audit::rows(tx, &tables::DECISIONS, "id", &decided).await?);
    if let Some(bound) = &ruling.bound {
        notes.binding(bound);
    }
    Ok(notes)
}

async fn record(tx: &mut SqliteConnection, matter: &Matter) -> Stored<Record> {
    let open = sqlx::query_as::<_, ProposalRow>(
        "SELECT * FROM proposals WHERE matter = ? AND name = ? AND state = 'open'",
    )
    .bind(matter.kind.as_str())
    .bind(&matter.name)
    .fetch_optional(&mut *tx)
    .await?;
    let in_force = sqlx::query_as::<_, BindingRow>(
        "SELECT * FROM bindings WHERE matter = ? AND name = ? ORDER BY number DESC LIMIT 1",
    )
    .bind(matter.kind.as_str())
    .bind(&matter.name)
    .fetch_optional(tx)
    .await?;
    Ok(Record {
        open: open.map(ProposalRow::proposal).transpose()?,
        in_force: in_force.map(BindingRow::binding).transpose()?,
    })
}

async fn close(tx: &mut SqliteConnection, proposal: &Proposal) -> Stored<()> {
    let signed = proposal.state.signed();
    sqlx::query(
        "UPDATE proposals SET state = ?, decided_by = ?, decided_us = ?, decided_reason = ? \
         WHERE id = ?",
    )
    .bind(proposal.state.as_str())
    .bind(signed.map(|signed| &signed.by))
    .bind(signed.map(|signed| micros(signed.at)))
    .bind(signed.map(|signed| &signed.reason))
    .bind(proposal.id.0)
    .execute(tx)
    .await?;
    Ok(())
}

async fn open(tx: &mut SqliteConnection, proposal: &Proposal) -> Stored<()> {
    sqlx::query(
        "INSERT INTO proposals (id, matter, name, digest, body, over, until_us, proposed_by, \
         proposed_us, proposed_reason, state) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
    )
    .bind(proposal.id.0)
    .bind(proposal.matter.kind.as_str())
    .bind(&proposal.matter.name)
    .bind(proposal.content.digest.as_str())
    .bind(&proposal.content.text)
    .bind(proposal.over.cast_signed())
    .bind(micros(proposal.until))
    .bind(&proposal.proposed.by)
    .bind(micros(proposal.proposed.at))
    .bind(&proposal.proposed.reason)
    .bind(proposal.state.as_str())
    .execute(tx)
    .await?;
    Ok(())
}

async fn bind(tx: &mut SqliteConnection, binding: &Binding) -> Stored<()> {
    sqlx::query(
        "INSERT INTO bindings (matter, name, number, digest, body, until_us, proposal_id, bound_by, \
         bound_us, reason) VALUES (?,?,?,?,?,?,?,?,?,?)",
    )
    .bind(binding.matter.kind.as_str())
    .bind(&binding.matter.name)
    .bind(binding.number.cast_signed())
    .bind(binding.content.digest.as_str())
    .bind(&binding.content.text)
    .bind(micros(binding.until))
    .bind(binding.proposal.map(|id| id.0))
    .bind(&binding.bound.by)
    .bind(micros(binding.bound.at))
    .bind(&binding.bound.reason)
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn all(funnel: &Funnel, kind: MatterKind) -> Stored<BTreeMap<Matter, Record>> {
    let mut reader = funnel.reader().await?;
    // One transaction sees one state: a proposal that is just being approved is open or binds.
    let mut tx = reader.begin().await?;
    let open = sqlx::query_as("SELECT * FROM proposals WHERE matter = ? AND state = 'open'")
        .bind(kind.as_str())
        .fetch_all(&mut *tx)
        .await?;
    let bound = sqlx::query_as(
        "SELECT * FROM bindings b WHERE matter = ? AND number = (SELECT max(number) FROM bindings \
         WHERE matter = b.matter AND name = b.name)",
    )
    .bind(kind.as_str())
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    records(open, bound)
}

pub(super) async fn past(funnel: &Funnel, matter: &Matter) -> Stored<Past> {
    let mut reader = funnel.reader().await?;
    let proposals = sqlx::query_as::<_, ProposalRow>(
        "SELECT * FROM proposals WHERE matter = ? AND name = ? ORDER BY proposed_us, id",
    )
    .bind(matter.kind.as_str())
    .bind(&matter.name)
    .fetch_all(&mut *reader)
    .await?;
    let bindings = sqlx::query_as::<_, BindingRow>(
        "SELECT * FROM bindings WHERE matter = ? AND name = ? ORDER BY number",
    )
    .bind(matter.kind.as_str())
    .bind(&matter.name)
    .fetch_all(&mut *reader)
    .await?;
    let proposals = proposals.into_iter().map(ProposalRow::proposal);
    let bindings = bindings.into_iter().map(BindingRow::binding);
    Ok(Past {
        proposals: proposals.collect::<Stored<_>>()?,
        bindings: bindings.collect::<Stored<_>>()?,
    })
}
