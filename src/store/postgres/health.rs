//! How connectors stand, who surveys them, and how they were over time.
//!
//! A survey is leased by one worker and kept under its fencing token; the lease of a worker that is
//! no longer on the list counts for nothing. The standing is one document, changed under its row's
//! lock by surveys and by what workers tell of their calls.

use std::collections::BTreeMap;

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::domain::health::{Advance, Care, Sample, Standing, Standings, Tally};
use crate::domain::id::{ConnectorName, FencingToken, WorkerId};
use crate::domain::time::Timestamp;
use crate::store::audit::{Notes, Strands, tables};
use crate::store::row::RunRow;
use crate::store::shape::{RunColumns, json, micros, parsed};
use crate::store::{AdvanceFn, SAMPLES_KEPT, Stored, SurveyLease, SurveyWanted};

use super::batch::Batch;
use super::funnel::{Funnel, within};
use super::{audit, outbox, runs, tasks};

pub(super) async fn take(
    funnel: &Funnel,
    worker: WorkerId,
    now: Timestamp,
    wanted: &[SurveyWanted],
    at_most: u32,
) -> Stored<Vec<SurveyLease>> {
    let names: Vec<&str> = wanted.iter().map(|one| one.connector.as_str()).collect();
    let leases: Vec<i64> = wanted
        .iter()
        .map(|one| i64::try_from(one.lease_seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX))
        .collect();
    sqlx::query(
        "INSERT INTO connector_health (connector, due_us, token, body) \
         SELECT w.name, $2, 0, '{}' FROM UNNEST($1::text[]) AS w (name) \
         WHERE NOT EXISTS (SELECT 1 FROM connector_health h WHERE h.connector = w.name) \
         ON CONFLICT DO NOTHING",
    )
    .bind(&names)
    .bind(micros(now))
    .execute(funnel.readers())
    .await?;
    let rows: Vec<(String, i64, String)> = sqlx::query_as(
        "WITH due AS MATERIALIZED (SELECT h.connector, w.lease FROM connector_health h \
           JOIN UNNEST($1::text[], $2::bigint[]) AS w (name, lease) ON w.name = h.connector \
           WHERE h.due_us <= $4 AND (h.owner IS NULL OR h.until_us <= $4 \
             OR NOT EXISTS (SELECT 1 FROM workers WHERE workers.id = h.owner)) \
           ORDER BY h.due_us LIMIT $5 FOR UPDATE OF h SKIP LOCKED) \
         UPDATE connector_health h SET owner = $3, until_us = $4 + due.lease, token = token + 1 \
         FROM due WHERE h.connector = due.connector RETURNING h.connector, h.token, h.body",
    )
    .bind(&names)
    .bind(leases)
    .bind(worker.0)
    .bind(micros(now))
    .bind(i64::from(at_most))
    .fetch_all(funnel.readers())
    .await?;
    rows.into_iter()
        .map(|(name, token, body)| {
            let connector = ConnectorName(name);
            Ok(SurveyLease {
                standing: standing_of(&connector, &body)?,
                connector,
                token: FencingToken(token),
            })
        })
        .collect()
}

pub(super) async fn keep(
    funnel: &Funnel,
    lease: &SurveyLease,
    advance: AdvanceFn<'_>,
) -> Stored<Option<Advance>> {
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("keep_survey").await?;
        let kept = within(try_keep(&mut lane, &funnel.strands, lease, advance)).await;
        if let Some(kept) = lane.done(kept, &mut tries) {
            return kept;
        }
    }
}

async fn try_keep(
    connection: &mut PgConnection,
    strands: &Strands,
    lease: &SurveyLease,
    advance: AdvanceFn<'_>,
) -> Stored<Option<Advance>> {
    let mut tx = connection.begin().await?;
    let name = lease.connector.as_str();
    let body: Option<String> = sqlx::query_scalar(
        "SELECT body FROM connector_health \
         WHERE connector = $1 AND token = $2 AND owner IS NOT NULL FOR UPDATE",
    )
    .bind(name)
    .bind(lease.token.0)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(body) = body else {
        tx.rollback().await?;
        return Ok(None);
    };
    let standing = standing_of(&lease.connector, &body)?;
    let open = cared_for(&mut tx, &standing).await?;
    let advance = advance(&standing, &open);
    sqlx::query(
        "UPDATE connector_health SET owner = NULL, until_us = NULL, due_us = $2, body = $3 \
         WHERE connector = $1",
    )
    .bind(name)
    .bind(micros(advance.due))
    .bind(json(&advance.standing)?)
    .execute(&mut *tx)
    .await?;
    add_sample(&mut tx, name, &advance.sample).await?;
    for care in &advance.care {
        save_care(&mut tx, care).await?;
    }
    if !advance.messages.is_empty() {
        let mut batch = Batch::default();
        let messages: Vec<_> = advance.messages.iter().map(|m| (Uuid::nil(), m)).collect();
        outbox::write(&mut batch, &messages, "")?;
        batch.fetch::<(i32,)>(&mut tx, "SELECT 1").await?;
    }
    let notes = noted(&mut tx, name, &advance).await?;
    let tip = audit::write(&mut tx, strands, &notes).await?;
    tx.commit().await?;
    strands.give(tip);
    Ok(Some(advance))
}

/// What the survey came to, as it stands now.
async fn noted(tx: &mut PgConnection, name: &str, advance: &Advance) -> Stored<Notes> {
    let mut notes = Notes::default();
    notes.sample(name, &advance.sample)?;
    let runs: Vec<_> = advance.care.iter().map(|care| care.run.id.0).collect();
    let tasks: Vec<_> = advance.care.iter().map(|care| care.task.id.0).collect();
    notes.add(&audit::rows(tx, &tables::RUNS, "id", &runs).await?);
    notes.add(&audit::rows(tx, &tables::TASKS, "id", &tasks).await?);
    Ok(notes)
}

async fn add_sample(tx: &mut PgConnection, name: &str, sample: &Sample) -> Stored<()> {
    sqlx::query(
        "INSERT INTO health_samples (connector, at_us, state, body) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (connector, at_us) DO UPDATE SET state = excluded.state, body = excluded.body",
    )
    .bind(name)
    .bind(micros(sample.at))
    .bind(sample.state.as_str())
    .bind(json(sample)?)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "DELETE FROM health_samples WHERE connector = $1 AND at_us <= (SELECT at_us \
         FROM health_samples WHERE connector = $1 ORDER BY at_us DESC LIMIT 1 OFFSET $2)",
    )
    .bind(name)
    .bind(i64::from(SAMPLES_KEPT))
    .execute(tx)
    .await?;
    Ok(())
}

/// The open tasks about the connector, with their runs; the run first, as everywhere, and locked.
async fn cared_for(tx: &mut PgConnection, standing: &Standing) -> Stored<Vec<Care>> {
    let mut open = Vec::new();
    for id in standing.care.values() {
        let run = sqlx::query_as::<_, RunRow>(
            "SELECT id, body FROM runs WHERE id = $1 AND ended IS NULL FOR UPDATE",
        )
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(run) = run else { continue };
        if let Some(task) = tasks::locked(tx, id.task()).await? {
            let run = run.run()?;
            open.push(Care { run, task });
        }
    }
    Ok(open)
}

async fn save_care(tx: &mut PgConnection, care: &Care) -> Stored<()> {
    let columns = RunColumns::of(&care.run, &[])?;
    if !runs::insert(tx, &columns).await? {
        runs::overrule(tx, &columns, columns.due_us).await?;
    }
    let mut batch = Batch::default();
    tasks::write(&mut batch, &[&care.task], "")?;
    batch.fetch::<(i32,)>(tx, "SELECT 1").await?;
    Ok(())
}

pub(super) async fn note(funnel: &Funnel, tallies: &BTreeMap<ConnectorName, Tally>) -> Stored<()> {
    if tallies.is_empty() {
        return Ok(());
    }
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("note_calls").await?;
        let noted = within(try_note(&mut lane, tallies)).await;
        if let Some(noted) = lane.done(noted, &mut tries) {
            return noted;
        }
    }
}

async fn try_note(
    connection: &mut PgConnection,
    tallies: &BTreeMap<ConnectorName, Tally>,
) -> Stored<()> {
    let mut tx = connection.begin().await?;
    // In the order of names, as every worker goes.
    for (connector, tally) in tallies {
        let body: String = sqlx::query_scalar(
            "INSERT INTO connector_health AS h (connector, due_us, token, body) \
             VALUES ($1, 0, 0, '{}') \
             ON CONFLICT (connector) DO UPDATE SET token = h.token RETURNING body",
        )
        .bind(connector.as_str())
        .fetch_one(&mut *tx)
        .await?;
        let mut standing = standing_of(connector, &body)?;
        standing.note(tally);
        sqlx::query("UPDATE connector_health SET body = $2 WHERE connector = $1")
            .bind(connector.as_str())
            .bind(json(&standing)?)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The next look of any worker finds the connector's survey due.
pub(super) async fn hasten(tx: &mut PgConnection, connector: &ConnectorName) -> Stored<()> {
    sqlx::query("UPDATE connector_health SET due_us = 0 WHERE connector = $1")
        .bind(connector.as_str())
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn standings(funnel: &Funnel) -> Stored<Standings> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT connector, body FROM connector_health")
            .fetch_all(funnel.readers())
            .await?;
    rows.into_iter()
        .map(|(name, body)| {
            let name = ConnectorName(name);
            let standing = standing_of(&name, &body)?;
            Ok((name, standing))
        })
        .collect()
}

pub(super) async fn samples(
    funnel: &Funnel,
    connector: &ConnectorName,
    since: Timestamp,
    limit: u32,
) -> Stored<Vec<Sample>> {
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT body FROM health_samples WHERE connector = $1 AND at_us >= $2 \
         ORDER BY at_us DESC LIMIT $3",
    )
    .bind(connector.as_str())
    .bind(micros(since))
    .bind(i64::from(limit))
    .fetch_all(funnel.readers())
    .await?;
    rows.iter()
        .map(|body| parsed(body, "health_samples", "body", connector))
        .collect()
}

fn standing_of(connector: &ConnectorName, body: &str) -> Stored<Standing> {
    parsed(body, "connector_health", "body", connector)
}
