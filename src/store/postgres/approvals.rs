//! What takes two people: proposals, and the bindings that came of them.
//!
//! Rulings about one matter follow each other: each waits for the lock of its matter, reads what is
//! open and in force, and writes what was decided in the same transaction.

use std::collections::BTreeMap;

use sqlx::{Connection, PgConnection};

use crate::domain::approval::{
    Binding, Disapproval, Matter, MatterKind, Past, Proposal, Record, Ruling,
};
use crate::store::audit::{Notes, Strands, tables};
use crate::store::paper::{BindingRow, ProposalRow, records};
use crate::store::shape::micros;
use crate::store::{RuleFn, Stored};

use super::audit;
use super::funnel::{Funnel, within};

pub(super) async fn rule(
    funnel: &Funnel,
    matter: &Matter,
    decide: RuleFn<'_>,
) -> Stored<Result<Ruling, Disapproval>> {
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("rule").await?;
        let ruled = within(try_rule(&mut lane, &funnel.strands, matter, decide)).await;
        if let Some(ruled) = lane.done(ruled, &mut tries) {
            return ruled;
        }
    }
}

async fn try_rule(
    connection: &mut PgConnection,
    strands: &Strands,
    matter: &Matter,
    decide: RuleFn<'_>,
) -> Stored<Result<Ruling, Disapproval>> {
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1 || '/' || $2, 0))")
        .bind(matter.kind.as_str())
        .bind(&matter.name)
        .execute(&mut *tx)
        .await?;
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
    let tip = audit::write(&mut tx, strands, &notes).await?;
    tx.commit().await?;
    strands.give(tip);
    Ok(Ok(ruling))
}

/// What was ruled, as it stands now.
async fn noted(tx: &mut PgConnection, ruling: &Ruling) -> Stored<Notes> {
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

async fn record(tx: &mut PgConnection, matter: &Matter) -> Stored<Record> {
    let open = sqlx::query_as::<_, ProposalRow>(
        "SELECT * FROM proposals WHERE matter = $1 AND name = $2 AND state = 'open'",
    )
    .bind(matter.kind.as_str())
    .bind(&matter.name)
    .fetch_optional(&mut *tx)
    .await?;
    let in_force = sqlx::query_as::<_, BindingRow>(
        "SELECT * FROM bindings WHERE matter = $1 AND name = $2 ORDER BY number DESC LIMIT 1",
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

async fn close(tx: &mut PgConnection, proposal: &Proposal) -> Stored<()> {
    let signed = proposal.state.signed();
    sqlx::query(
        "UPDATE proposals SET state = $1, decided_by = $2, decided_us = $3, decided_reason = $4 \
         WHERE id = $5",
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

async fn open(tx: &mut PgConnection, proposal: &Proposal) -> Stored<()> {
    sqlx::query(
        "INSERT INTO proposals (id, matter, name, digest, body, over, until_us, proposed_by, \
         proposed_us, proposed_reason, state) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)",
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

async fn bind(tx: &mut PgConnection, binding: &Binding) -> Stored<()> {
    sqlx::query(
        "INSERT INTO bindings (matter, name, number, digest, body, until_us, proposal_id, bound_by, \
         bound_us, reason) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)",
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
    let mut own = funnel.own("records").await?;
    let records = within(all_in(&mut own, kind)).await;
    own.ended(records)
}

async fn all_in(
    connection: &mut PgConnection,
    kind: MatterKind,
) -> Stored<BTreeMap<Matter, Record>> {
    // One statement sees one state: a proposal that is just being approved is open or binds.
    let mut reader = connection.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *reader)
        .await?;
    let open = sqlx::query_as("SELECT * FROM proposals WHERE matter = $1 AND state = 'open'")
        .bind(kind.as_str())
        .fetch_all(&mut *reader)
        .await?;
    let bound = sqlx::query_as(
        "SELECT DISTINCT ON (name) * FROM bindings WHERE matter = $1 ORDER BY name, number DESC",
    )
    .bind(kind.as_str())
    .fetch_all(&mut *reader)
    .await?;
    reader.commit().await?;
    records(open, bound)
}

pub(super) async fn past(funnel: &Funnel, matter: &Matter) -> Stored<Past> {
    let proposals = sqlx::query_as::<_, ProposalRow>(
        "SELECT * FROM proposals WHERE matter = $1 AND name = $2 ORDER BY proposed_us, id",
    )
    .bind(matter.kind.as_str())
    .bind(&matter.name)
    .fetch_all(funnel.readers())
    .await?;
    let bindings = sqlx::query_as::<_, BindingRow>(
        "SELECT * FROM bindings WHERE matter = $1 AND name = $2 ORDER BY number",
    )
    .bind(matter.kind.as_str())
    .bind(&matter.name)
    .fetch_all(funnel.readers())
    .await?;
    let proposals = proposals.into_iter().map(ProposalRow::proposal);
    let bindings = bindings.into_iter().map(BindingRow::binding);
    Ok(Past {
        proposals: proposals.collect::<Stored<_>>()?,
        bindings: bindings.collect::<Stored<_>>()?,
    })
}
