//! Drills and examinations: where they stand, and what they let serve.
//!
//! Owns the statements; whether a drill passed is decided in `domain::drill`. A drill is led on under a
//! lease and a token, like a run.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::domain::audit::Tip;
use crate::domain::drill::Drill;
use crate::domain::id::{ConnectorName, ContentDigest, DrillId, FencingToken, WorkerId};
use crate::domain::run::Stage;
use crate::domain::time::Timestamp;
use crate::store::audit::{Notes, Strands, tables};
use crate::store::row::RunRow;
use crate::store::shape::{RunColumns, json, micros, micros_up, parsed};
use crate::store::{DrillLease, Drills, Examination, Stored};

use super::funnel::{Funnel, within};
use super::{PostgresStore, audit, health, runs};

/// Runs that are woken in one transaction.
const WOKEN_AT_ONCE: usize = 200;

/// What has passed a drill, or does without: the newest binding, or one that it follows without an
/// approval of its own.
const DRILLED: &str = "\
    SELECT b.name FROM bindings b WHERE b.matter = 'manifest' \
    AND b.number = (SELECT max(number) FROM bindings WHERE matter = 'manifest' AND name = b.name) \
    AND EXISTS (SELECT 1 FROM bindings c WHERE c.matter = 'manifest' AND c.name = b.name \
      AND c.number >= (SELECT max(number) FROM bindings \
        WHERE matter = 'manifest' AND name = b.name AND proposal_id IS NOT NULL) \
      AND (EXISTS (SELECT 1 FROM drills d WHERE d.connector = c.name AND d.manifest = c.digest \
          AND d.passed IS TRUE) \
        OR EXISTS (SELECT 1 FROM bindings o WHERE o.matter = 'drill_override' AND o.name = c.name \
          AND o.digest = c.digest AND o.until_us > $1 AND o.number = (SELECT max(number) \
            FROM bindings WHERE matter = 'drill_override' AND name = c.name))))";

pub(super) async fn insert(tx: &mut PgConnection, drill: &Drill) -> Stored<bool> {
    let done = sqlx::query(
        "INSERT INTO drills (id, connector, begun_us, due_us, token, body) VALUES ($1, $2, $3, $4, 0, $5) \
         ON CONFLICT DO NOTHING",
    )
    .bind(drill.id.0)
    .bind(drill.connector.as_str())
    .bind(micros(drill.begun))
    .bind(micros(drill.begun))
    .bind(json(drill)?)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The link for a drill that was written.
async fn noted(
    tx: &mut PgConnection,
    strands: &Strands,
    drill: &Drill,
    written: bool,
) -> Stored<Option<Tip>> {
    let mut notes = Notes::default();
    if written {
        notes.add(&audit::rows(tx, &tables::DRILLS, "id", &[drill.id.0]).await?);
    }
    audit::write(tx, strands, &notes).await
}

#[async_trait]
impl Drills for PostgresStore {
    async fn begin_drill(&self, drill: &Drill) -> Stored<bool> {
        let mut reader = self.funnel.reader("begin_drill").await?;
        let done = within(async {
            let mut tx = reader.begin().await?;
            let begun = insert(&mut tx, drill).await?;
            let tip = noted(&mut tx, &self.funnel.strands, drill, begun).await?;
            tx.commit().await?;
            self.funnel.strands.give(tip);
            Ok(begun)
        });
        let done = done.await;
        reader.ended(done)
    }

    async fn take_drills(
        &self,
        worker: WorkerId,
        now: Timestamp,
        lease_seconds: u64,
        at_most: u32,
    ) -> Stored<Vec<DrillLease>> {
        let lease_us = i64::try_from(lease_seconds.saturating_mul(1_000_000));
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "WITH due AS MATERIALIZED (SELECT d.id FROM drills d WHERE d.due_us <= $1 \
               AND (d.owner IS NULL OR d.until_us <= $1 \
                 OR NOT EXISTS (SELECT 1 FROM workers WHERE workers.id = d.owner)) \
               ORDER BY d.due_us LIMIT $4 FOR UPDATE OF d SKIP LOCKED) \
             UPDATE drills SET owner = $2, until_us = $3, token = token + 1 \
             FROM due WHERE drills.id = due.id RETURNING drills.token, drills.body",
        )
        .bind(micros(now))
        .bind(worker.0)
        .bind(micros(now).saturating_add(lease_us.unwrap_or(i64::MAX)))
        .bind(i64::from(at_most))
        .fetch_all(self.funnel.readers())
        .await?;
        rows.into_iter()
            .map(|(token, body)| {
                Ok(DrillLease {
                    drill: parsed(&body, "drills", "body", token)?,
                    token: FencingToken(token),
                })
            })
            .collect()
    }

    async fn keep_drill(&self, lease: &DrillLease, drill: &Drill, due: Timestamp) -> Stored<bool> {
        let ended = drill.ended();
        let mut reader = self.funnel.reader("keep_drill").await?;
        let done = within(async {
            let mut tx = reader.begin().await?;
            let done = sqlx::query(
                "UPDATE drills SET owner = NULL, until_us = NULL, manifest = $3, due_us = $4, \
                 ended_us = $5, passed = $6, body = $7 \
                 WHERE id = $1 AND token = $2 AND owner IS NOT NULL AND ended_us IS NULL",
            )
            .bind(drill.id.0)
            .bind(lease.token.0)
            .bind(drill.manifest.as_ref().map(ContentDigest::as_str))
            .bind(ended.is_none().then(|| micros_up(due)))
            .bind(ended.map(|(at, _)| micros(at)))
            .bind(ended.map(|(_, passed)| passed))
            .bind(json(drill)?)
            .execute(&mut *tx)
            .await?;
            if ended.is_some() {
                health::hasten(&mut tx, &drill.connector).await?;
            }
            let kept = done.rows_affected() > 0;
            let tip = noted(&mut tx, &self.funnel.strands, drill, kept).await?;
            tx.commit().await?;
            self.funnel.strands.give(tip);
            Ok(kept)
        });
        let done = done.await;
        reader.ended(done)
    }

    async fn drill(&self, id: DrillId) -> Stored<Option<Drill>> {
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM drills WHERE id = $1")
            .bind(id.0)
            .fetch_optional(self.funnel.readers())
            .await?;
        body.map(|body| parsed(&body, "drills", "body", id))
            .transpose()
    }

    async fn drills(&self, connector: Option<&ConnectorName>, limit: u32) -> Stored<Vec<Drill>> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM drills WHERE $1::text IS NULL OR connector = $1 \
             ORDER BY begun_us DESC, id DESC LIMIT $2",
        )
        .bind(connector.map(ConnectorName::as_str))
        .bind(i64::from(limit))
        .fetch_all(self.funnel.readers())
        .await?;
        rows.iter()
            .map(|body| parsed(body, "drills", "body", "of a list"))
            .collect()
    }

    async fn drilled(&self, now: Timestamp) -> Stored<BTreeSet<ConnectorName>> {
        let names: Vec<String> = sqlx::query_scalar(DRILLED)
            .bind(micros(now))
            .fetch_all(self.funnel.readers())
            .await?;
        Ok(names.into_iter().map(ConnectorName).collect())
    }

    async fn wake_barred(
        &self,
        connector: &ConnectorName,
        codes: &[&str],
        now: Timestamp,
    ) -> Stored<u64> {
        let mut tries = 0;
        let barred = loop {
            let mut lane = self.funnel.lane("barred").await?;
            let listed = within(try_list(&mut lane, connector, codes)).await;
            if let Some(listed) = lane.done(listed, &mut tries) {
                break listed?;
            }
        };
        let mut all = 0;
        for part in barred.chunks(WOKEN_AT_ONCE) {
            let mut tries = 0;
            all += loop {
                let mut lane = self.funnel.lane("wake_barred").await?;
                let woken = within(try_wake(&mut lane, &self.funnel, part, now)).await;
                if let Some(woken) = lane.done(woken, &mut tries) {
                    break woken?;
                }
            };
        }
        Ok(all)
    }

    async fn note_examination(&self, examination: &Examination) -> Stored<()> {
        let mut reader = self.funnel.reader("note_examination").await?;
        let done = within(async {
            let mut tx = reader.begin().await?;
            let done = sqlx::query(
                "INSERT INTO examinations (connector, at_us, manifest, passed, body) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            )
            .bind(examination.connector.as_str())
            .bind(micros(examination.at))
            .bind(examination.manifest.as_str())
            .bind(examination.passed)
            .bind(json(examination)?)
            .execute(&mut *tx)
            .await?;
            let mut notes = Notes::default();
            if done.rows_affected() > 0 {
                notes.examination(examination)?;
            }
            let tip = audit::write(&mut tx, &self.funnel.strands, &notes).await?;
            tx.commit().await?;
            self.funnel.strands.give(tip);
            Ok(())
        });
        let done = done.await;
        reader.ended(done)
    }

    async fn examinations(
        &self,
        connector: &ConnectorName,
        limit: u32,
    ) -> Stored<Vec<Examination>> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM examinations WHERE connector = $1 ORDER BY at_us DESC LIMIT $2",
        )
        .bind(connector.as_str())
        .bind(i64::from(limit))
        .fetch_all(self.funnel.readers())
        .await?;
        rows.iter()
            .map(|body| parsed(body, "examinations", "body", connector))
            .collect()
    }
}

/// The runs whose open task has one of these codes. Who owns the connector is not asked any longer for what
/// has come.
async fn try_list(
    connection: &mut PgConnection,
    connector: &ConnectorName,
    codes: &[&str],
) -> Stored<Vec<Uuid>> {
    sqlx::query(
        "UPDATE connector_health SET due_us = 0 WHERE connector = $1 \
         AND replace(body, '\\u0000', '\\ufffd')::json ->> 'undrilled' IS NOT NULL",
    )
    .bind(connector.as_str())
    .execute(&mut *connection)
    .await?;
    Ok(sqlx::query_scalar(
        "SELECT run_id FROM tasks WHERE state <> 'closed' AND connector = $1 \
         AND (replace(body, '\\u0000', '\\ufffd')::json ->> 'code') = ANY ($2)",
    )
    .bind(connector.as_str())
    .bind(codes)
    .fetch_all(connection)
    .await?)
}

/// Each run is read and locked again: the list was made without a lock.
async fn try_wake(
    connection: &mut PgConnection,
    funnel: &Funnel,
    barred: &[Uuid],
    now: Timestamp,
) -> Stored<u64> {
    let mut tx = connection.begin().await?;
    let mut woken = Vec::new();
    for id in barred {
        let row = sqlx::query_as::<_, RunRow>(
            "SELECT id, body FROM runs WHERE id = $1 AND stage = 'with_person' \
             AND ended IS NULL AND owner IS NULL AND due_us > $2 FOR UPDATE SKIP LOCKED",
        )
        .bind(id)
        .bind(micros(now))
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { continue };
        let Some(mut run) = funnel.aside.read("runs", id, row.run())? else {
            continue;
        };
        if let Stage::WithPerson { next_try, .. } = &mut run.stage {
            *next_try = Some(now);
        }
        let columns = RunColumns::of(&run, &[])?;
        runs::overrule(&mut tx, &columns, columns.due_us).await?;
        woken.push(*id);
    }
    let mut notes = Notes::default();
    notes.add(&audit::rows(&mut tx, &tables::RUNS, "id", &woken).await?);
    let tip = audit::write(&mut tx, &funnel.strands, &notes).await?;
    tx.commit().await?;
    funnel.strands.give(tip);
    Ok(woken.len() as u64)
}
