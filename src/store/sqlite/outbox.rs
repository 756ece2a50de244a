//! The outbox: messages written with the state that they tell of, published later.
//!
//! A worker takes the oldest messages whose keys nobody else is publishing, so that the order of
//! one key holds; those of a worker that died are freed with its leases.

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::domain::id::{DeadLetterId, MessageId, WorkerId};
use crate::domain::settlement::OutboxMessage;
use crate::domain::time::Timestamp;
use crate::store::Stored;
use crate::store::row::MessageRow;
use crate::store::shape::{json, micros};

use super::funnel::Funnel;
use super::rows::{chunks, numbered, tuples};

pub(super) async fn insert(tx: &mut SqliteConnection, messages: &[&OutboxMessage]) -> Stored<()> {
    for chunk in chunks(messages) {
        let sql = format!(
            "INSERT INTO outbox (id, topic, key, headers, payload, created_us) VALUES {} \
             ON CONFLICT (id) DO NOTHING",
            tuples(6, chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for message in chunk {
            query = query
                .bind(message.id.0)
                .bind(&message.topic)
                .bind(&message.key)
                .bind(json(&message.headers)?)
                .bind(&message.payload)
                .bind(micros(message.created));
        }
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

pub(super) async fn take(
    funnel: &Funnel,
    worker: WorkerId,
    limit: u32,
    without: &[String],
) -> Stored<Vec<OutboxMessage>> {
    if !waiting(funnel).await? {
        return Ok(Vec::new());
    }
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("take_messages").await?;
    let mut rows = sqlx::query_as::<_, (i64,)>(
        "UPDATE outbox SET owner = ?1 WHERE seq IN ( \
           SELECT o.seq FROM outbox o WHERE o.published_us IS NULL \
             AND (o.owner IS NULL OR o.owner = ?1) \
             AND o.topic NOT IN (SELECT value FROM json_each(?3)) \
             AND NOT EXISTS (SELECT 1 FROM outbox b WHERE b.topic = o.topic AND b.key = o.key \
               AND b.published_us IS NULL AND b.owner IS NOT NULL AND b.owner <> ?1) \
           ORDER BY o.seq LIMIT ?2) RETURNING seq",
    )
    .bind(worker.0)
    .bind(limit)
    .bind(json(&without)?)
    .fetch_all(&mut *tx)
    .await?;
    rows.sort_unstable();
    let mut messages = Vec::with_capacity(rows.len());
    for chunk in chunks(&rows) {
        let sql = format!(
            "SELECT id, topic, key, headers, payload, created_us FROM outbox \
             WHERE seq IN (VALUES {}) ORDER BY seq",
            tuples(1, chunk.len())
        );
        let mut query = sqlx::query_as::<_, MessageRow>(AssertSqlSafe(sql));
        for (seq,) in chunk {
            query = query.bind(seq);
        }
        for row in query.fetch_all(&mut *tx).await? {
            messages.push(row.message()?);
        }
    }
    tx.commit().await?;
    Ok(messages)
}

async fn waiting(funnel: &Funnel) -> Stored<bool> {
    let mut reader = funnel.reader().await?;
    Ok(
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM outbox WHERE published_us IS NULL)")
            .fetch_one(&mut *reader)
            .await?,
    )
}

pub(super) async fn published(funnel: &Funnel, ids: &[MessageId], now: Timestamp) -> Stored<()> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("published").await?;
    for chunk in chunks(ids) {
        let sql = format!(
            "UPDATE outbox SET published_us = ?1, owner = NULL \
             WHERE published_us IS NULL AND id IN (VALUES {})",
            numbered(2, 1, chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(micros(now));
        for id in chunk {
            query = query.bind(id.0);
        }
        query.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

pub(super) async fn post(
    funnel: &Funnel,
    message: &OutboxMessage,
    replayed: Option<DeadLetterId>,
) -> Stored<()> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("post").await?;
    insert(&mut tx, &[message]).await?;
    if let Some(letter) = replayed {
        sqlx::query("UPDATE dead_letters SET replayed_us = ? WHERE id = ?")
            .bind(micros(message.created))
            .bind(letter.0)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}
