//! What intake records: events, dead letters, their copies, checkpoints.
//!
//! One transaction for a whole batch. A repeat by key does nothing; the same key with another
//! payload is reported and not recorded.

use std::collections::{HashMap, HashSet};

use sqlx::{AssertSqlSafe, SqliteConnection};
use uuid::Uuid;

use crate::domain::event::RecordedEvent;
use crate::store::audit::{Notes, tables};
use crate::store::shape::{json, micros};
use crate::store::{Checkpoint, DeadLetter, IntakeBatch, Receipt, StoreError, Stored};

use super::funnel::Funnel;
use super::rows::{chunks, tuples};
use super::{audit, outbox};

pub(super) async fn record(funnel: &Funnel, batch: &IntakeBatch) -> Stored<Vec<Receipt>> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("record").await?;
    let receipts = events(&mut tx, &batch.events).await?;
    let mut notes = Notes::default();
    for (event, receipt) in batch.events.iter().zip(&receipts) {
        if *receipt == Receipt::New {
            notes.event(event)?;
        }
    }
    for letter in &batch.dead_letters {
        dead_letter(&mut tx, letter).await?;
    }
    let messages: Vec<_> = batch.messages.iter().collect();
    outbox::insert(&mut tx, &messages).await?;
    for checkpoint in &batch.checkpoints {
        save_checkpoint(&mut tx, checkpoint).await?;
    }
    let letters: Vec<_> = batch.dead_letters.iter().map(|one| one.id.0).collect();
    notes.add(&audit::rows(&mut tx, &tables::DEAD_LETTERS, "id", &letters).await?);
    let tip = audit::write(&mut tx, &funnel.strands, &notes).await?;
    tx.commit().await?;
    funnel.strands.give(tip);
    Ok(receipts)
}

async fn events(tx: &mut SqliteConnection, events: &[RecordedEvent]) -> Stored<Vec<Receipt>> {
    let mut new = HashSet::new();
    for chunk in chunks(events) {
        let sql = format!(
            "INSERT INTO events (key, payload_digest, recorded_us, body) VALUES {} \
             ON CONFLICT (key) DO NOTHING RETURNING key",
            tuples(4, chunk.len())
        );
        let mut query = sqlx::query_scalar::<_, Uuid>(AssertSqlSafe(sql));
        for event in chunk {
            query = query
                .bind(event.event.key().0)
                .bind(&event.payload_digest)
                .bind(micros(event.recorded))
                .bind(json(event)?);
        }
        new.extend(query.fetch_all(&mut *tx).await?);
    }
    let mut digests: HashMap<Uuid, String> = HashMap::new();
    for event in events {
        let key = event.event.key().0;
        if new.contains(&key) || digests.contains_key(&key) {
            continue;
        }
        let digest = sqlx::query_scalar(
            "SELECT payload_digest FROM events WHERE key = ?1 \
             UNION ALL SELECT payload_digest FROM dropped_events WHERE key = ?1",
        )
        .bind(key)
        .fetch_one(&mut *tx)
        .await?;
        digests.insert(key, digest);
    }
    Ok(crate::store::intake::receipts(events, &new, digests))
}

async fn dead_letter(tx: &mut SqliteConnection, letter: &DeadLetter) -> Stored<()> {
    sqlx::query(
        "INSERT INTO dead_letters (id, topic, partition, position, body, first_seen_us) \
         VALUES (?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING",
    )
    .bind(letter.id.0)
    .bind(&letter.origin.topic)
    .bind(letter.origin.partition)
    .bind(letter.origin.offset)
    .bind(json(letter)?)
    .bind(micros(letter.first_seen))
    .execute(tx)
    .await?;
    Ok(())
}

async fn save_checkpoint(tx: &mut SqliteConnection, checkpoint: &Checkpoint) -> Stored<()> {
    let kept: Option<i64> = sqlx::query_scalar(
        "SELECT next_offset FROM checkpoints \
         WHERE consumer_group = ? AND topic = ? AND partition = ?",
    )
    .bind(&checkpoint.group)
    .bind(&checkpoint.topic)
    .bind(checkpoint.partition)
    .fetch_optional(&mut *tx)
    .await?;
    if kept < checkpoint.committed {
        return Err(StoreError::WentBack);
    }
    sqlx::query(
        "INSERT INTO checkpoints (consumer_group, topic, partition, next_offset) VALUES (?,?,?,?) \
         ON CONFLICT (consumer_group, topic, partition) \
         DO UPDATE SET next_offset = max(next_offset, excluded.next_offset)",
    )
    .bind(&checkpoint.group)
    .bind(&checkpoint.topic)
    .bind(checkpoint.partition)
    .bind(checkpoint.next_offset)
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn checkpoints(
    funnel: &Funnel,
    group: &str,
    topic: &str,
) -> Stored<Vec<(i32, i64)>> {
    let mut reader = funnel.reader().await?;
    Ok(sqlx::query_as(
        "SELECT partition, next_offset FROM checkpoints \
         WHERE consumer_group = ? AND topic = ? ORDER BY partition",
    )
    .bind(group)
    .bind(topic)
    .fetch_all(&mut *reader)
    .await?)
}
