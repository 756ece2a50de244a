//! How connectors stand, who surveys them, and how they were over time.
//!
//! A survey is leased by one worker and kept under its fencing token; the lease of a worker that is
//! no longer on the list counts for nothing. The standing is one document, read and written in one
//! transaction by surveys and by what workers tell of their calls.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use crate::domain::health::{Advance, Care, Sample, Standing, Standings, Tally};
use crate::domain::id::{ConnectorName, FencingToken, WorkerId};
use crate::domain::time::Timestamp;
use crate::store::audit::{Notes, tables};
use crate::store::row::RunRow;
use crate::store::shape::{RunColumns, json, micros, parsed};
use crate::store::{AdvanceFn, SAMPLES_KEPT, Stored, SurveyLease, SurveyWanted};

use super::funnel::Funnel;
use super::runs::{self, NewRun};
use super::{audit, outbox, tasks};

pub(super) async fn take(
    funnel: &Funnel,
    worker: WorkerId,
    now: Timestamp,
    wanted: &[SurveyWanted],
    at_most: u32,
) -> Stored<Vec<SurveyLease>> {
    if !any_due(funnel, now, wanted).await? {
        return Ok(Vec::new());
    }
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("take_surveys").await?;
    let mut taken = Vec::new();
    for one in wanted {
        if taken.len() >= at_most as usize {
            break;
        }
        let lease_us = i64::try_from(one.lease_seconds.saturating_mul(1_000_000));
        let until = micros(now).saturating_add(lease_us.unwrap_or(i64::MAX));
        let row: Option<(i64, String)> = sqlx::query_as(
            "INSERT INTO connector_health (connector, due_us, owner, until_us, token, body) \
             VALUES (?1, ?2, ?3, ?4, 1, '{}') \
             ON CONFLICT (connector) DO UPDATE SET owner = ?3, until_us = ?4, token = token + 1 \
             WHERE due_us <= ?2 AND (owner IS NULL OR until_us <= ?2 \
               OR owner NOT IN (SELECT id FROM workers)) RETURNING token, body",
        )
        .bind(one.connector.as_str())
        .bind(micros(now))
        .bind(worker.0)
        .bind(until)
        .fetch_optional(&mut *tx)
        .await?;
        if let Some((token, body)) = row {
            taken.push(SurveyLease {
                connector: one.connector.clone(),
                token: FencingToken(token),
                standing: standing_of(&one.connector, &body)?,
            });
        }
    }
    tx.commit().await?;
    Ok(taken)
}

/// Asked first, so that the one writer is not held up at every look.
async fn any_due(funnel: &Funnel, now: Timestamp, wanted: &[SurveyWanted]) -> Stored<bool> {
    let mut reader = funnel.reader().await?;
    let rows: Vec<(String, bool)> = sqlx::query_as(
        "SELECT connector, due_us <= ?1 AND (owner IS NULL OR until_us <= ?1 \
         OR owner NOT IN (SELECT id FROM workers)) FROM connector_health",
    )
    .bind(micros(now))
    .fetch_all(&mut *reader)
    .await?;
    let known: BTreeMap<_, _> = rows.into_iter().collect();
    Ok(wanted
        .iter()
        .any(|one| known.get(one.connector.as_str()).copied().unwrap_or(true)))
}

pub(super) async fn keep(
    funnel: &Funnel,
    lease: &SurveyLease,
    advance: AdvanceFn<'_>,
) -> Stored<Option<Advance>> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("keep_survey").await?;
    let name = lease.connector.as_str();
    let body: Option<String> = sqlx::query_scalar(
        "SELECT body FROM connector_health WHERE connector = ? AND token = ? AND owner IS NOT NULL",
    )
    .bind(name)
    .bind(lease.token.0)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(body) = body else { return Ok(None) };
    let standing = standing_of(&lease.connector, &body)?;
    let open = cared_for(&mut tx, &standing).await?;
    let advance = advance(&standing, &open);
    sqlx::query(
        "UPDATE connector_health SET owner = NULL, until_us = NULL, due_us = ?, body = ? \
         WHERE connector = ?",
    )
    .bind(micros(advance.due))
    .bind(json(&advance.standing)?)
    .bind(name)
    .execute(&mut *tx)
    .await?;
    add_sample(&mut tx, name, &advance.sample).await?;
    for care in &advance.care {
        save_care(&mut tx, care).await?;
    }
    let messages: Vec<_> = advance.messages.iter().collect();
    outbox::insert(&mut tx, &messages).await?;
    let notes = noted(&mut tx, name, &advance).await?;
    let tip = audit::write(&mut tx, &funnel.strands, &notes).await?;
    tx.commit().await?;
    funnel.strands.give(tip);
    Ok(Some(advance))
}

/// What the survey came to, as it stands now.
async fn noted(tx: &mut SqliteConnection, name: &str, advance: &Advance) -> Stored<Notes> {
    let mut notes = Notes::default();
    notes.sample(name, &advance.sample)?;
    let runs: Vec<_> = advance.care.iter().map(|care| care.run.id.0).collect();
    let tasks: Vec<_> = advance.care.iter().map(|care| care.task.id.0).collect();
    notes.add(&audit::rows(tx, &tables::RUNS, "id", &runs).await?);
    notes.add(&audit::rows(tx, &tables::TASKS, "id", &tasks).await?);
    Ok(notes)
}

async fn add_sample(tx: &mut SqliteConnection, name: &str, sample: &Sample) -> Stored<()> {
    sqlx::query(
        "INSERT INTO health_samples (connector, at_us, state, body) VALUES (?,?,?,?) \
         ON CONFLICT (connector, at_us) DO UPDATE SET state = excluded.state, body = excluded.body",
    )
    .bind(name)
    .bind(micros(sample.at))
    .bind(sample.state.as_str())
    .bind(json(sample)?)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "DELETE FROM health_samples WHERE connector = ?1 AND at_us <= (SELECT at_us \
         FROM health_samples WHERE connector = ?1 ORDER BY at_us DESC LIMIT 1 OFFSET ?2)",
    )
    .bind(name)
    .bind(SAMPLES_KEPT)
    .execute(tx)
    .await?;
    Ok(())
}

/// The open tasks about the connector, with their runs.
async fn cared_for(tx: &mut SqliteConnection, standing: &Standing) -> Stored<Vec<Care>> {
    let mut open = Vec::new();
    for id in standing.care.values() {
        let run =
            sqlx::query_as::<_, RunRow>("SELECT id, body FROM runs WHERE id = ? AND ended IS NULL")
                .bind(id.0)
                .fetch_optional(&mut *tx)
                .await?;
        let task = tasks::by_id(tx, id.task()).await?;
        if let (Some(run), Some(task)) = (run, task) {
            let run = run.run()?;
            open.push(Care { run, task });
        }
    }
    Ok(open)
}

async fn save_care(tx: &mut SqliteConnection, care: &Care) -> Stored<()> {
    tasks::save(tx, &[&care.task]).await?;
    let columns = RunColumns::of(&care.run, &[])?;
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM runs WHERE id = ?)")
        .bind(columns.id)
        .fetch_one(&mut *tx)
        .await?;
    if known {
        runs::overrule(tx, &columns, columns.due_us).await?;
    } else {
        runs::insert(tx, &[NewRun::free(&columns)]).await?;
    }
    Ok(())
}

pub(super) async fn note(funnel: &Funnel, tallies: &BTreeMap<ConnectorName, Tally>) -> Stored<()> {
    if tallies.is_empty() {
        return Ok(());
    }
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("note_calls").await?;
    for (connector, tally) in tallies {
        let body: String = sqlx::query_scalar(
            "INSERT INTO connector_health (connector, due_us, token, body) VALUES (?, 0, 0, '{}') \
             ON CONFLICT (connector) DO UPDATE SET token = token RETURNING body",
        )
        .bind(connector.as_str())
        .fetch_one(&mut *tx)
        .await?;
        let mut standing = standing_of(connector, &body)?;
        standing.note(tally);
        sqlx::query("UPDATE connector_health SET body = ? WHERE connector = ?")
            .bind(json(&standing)?)
            .bind(connector.as_str())
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The next look of any worker finds the connector's survey due.
pub(super) async fn hasten(tx: &mut SqliteConnection, connector: &ConnectorName) -> Stored<()> {
    sqlx::query("UPDATE connector_health SET due_us = 0 WHERE connector = ?")
        .bind(connector.as_str())
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn standings(funnel: &Funnel) -> Stored<Standings> {
    let mut reader = funnel.reader().await?;
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT connector, body FROM connector_health")
            .fetch_all(&mut *reader)
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
    let mut reader = funnel.reader().await?;
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT body FROM health_samples WHERE connector = ? AND at_us >= ? \
         ORDER BY at_us DESC LIMIT ?",
    )
    .bind(connector.as_str())
    .bind(micros(since))
    .bind(limit)
    .fetch_all(&mut *reader)
    .await?;
    rows.iter()
        .map(|body| parsed(body, "health_samples", "body", connector))
        .collect()
}

fn standing_of(connector: &ConnectorName, body: &str) -> Stored<Standing> {
    parsed(body, "connector_health", "body", connector)
}
