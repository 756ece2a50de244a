//! The outbox: messages written with the state that they tell of, published later.
//!
//! A worker takes the oldest messages whose keys nobody else is publishing. Takers follow each other
//! (a lock that is tried, never waited for), since two at once could split one key between them.

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::domain::id::{DeadLetterId, MessageId, WorkerId};
use crate::domain::settlement::OutboxMessage;
use crate::domain::time::Timestamp;
use crate::store::Stored;
use crate::store::row::MessageRow;
use crate::store::shape::{json, micros};

use super::batch::{Batch, Columns};
use super::funnel::{Funnel, within};
use super::gate;

/// Adds the part that writes these messages, each with the run that it tells of; `join` limits them
/// to runs whose settlement was taken.
pub(super) fn write(
    batch: &mut Batch,
    messages: &[(Uuid, &OutboxMessage)],
    join: &str,
) -> Stored<()> {
    if messages.is_empty() {
        return Ok(());
    }
    let headers = messages
        .iter()
        .map(|(_, m)| json(&m.headers))
        .collect::<Stored<Vec<_>>>()?;
    let all = || messages.iter().map(|(_, message)| message);
    let mut columns = Columns::new(batch);
    columns
        .add(
            "run_id",
            "uuid",
            messages.iter().map(|(run, _)| *run).collect::<Vec<_>>(),
        )?
        .add("id", "uuid", all().map(|m| m.id.0).collect::<Vec<_>>())?
        .add(
            "topic",
            "text",
            all().map(|m| m.topic.clone()).collect::<Vec<_>>(),
        )?
        .add(
            "key",
            "bytea",
            all().map(|m| m.key.clone()).collect::<Vec<_>>(),
        )?
        .add("headers", "text", headers)?
        .add(
            "payload",
            "bytea",
            all().map(|m| m.payload.clone()).collect::<Vec<_>>(),
        )?
        .add(
            "created_us",
            "bigint",
            all().map(|m| micros(m.created)).collect::<Vec<_>>(),
        )?
        .add(
            "place",
            "integer",
            (0..messages.len() as i32).collect::<Vec<_>>(),
        )?;
    let rows = columns.rows("x");
    let join = join.replace("{by}", "x.run_id");
    batch.part(
        "messages",
        &format!(
            "INSERT INTO outbox (id, topic, key, headers, payload, created_us) \
             SELECT x.id, x.topic, x.key, x.headers, x.payload, x.created_us FROM {rows} {join} \
             ORDER BY x.place ON CONFLICT (id) DO NOTHING"
        ),
    );
    Ok(())
}

pub(super) async fn take(
    funnel: &Funnel,
    worker: WorkerId,
    limit: u32,
    without: &[String],
) -> Stored<Vec<OutboxMessage>> {
    let waiting: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM outbox WHERE published_us IS NULL)")
            .fetch_one(funnel.readers())
            .await?;
    if !waiting {
        return Ok(Vec::new());
    }
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("take_messages").await?;
        let taken = within(try_take(&mut lane, worker, limit, without)).await;
        if let Some(taken) = lane.done(taken, &mut tries) {
            return taken;
        }
    }
}

async fn try_take(
    connection: &mut PgConnection,
    worker: WorkerId,
    limit: u32,
    without: &[String],
) -> Stored<Vec<OutboxMessage>> {
    let mut tx = connection.begin().await?;
    if !gate::enter(&mut tx, gate::OUTBOX).await? {
        tx.rollback().await?;
        return Ok(Vec::new());
    }
    let rows = sqlx::query_as::<_, MessageRow>(
        "WITH o AS ( \
           SELECT o.seq FROM outbox o WHERE o.published_us IS NULL \
             AND (o.owner IS NULL OR o.owner = $1) AND o.topic <> ALL ($3) \
             AND NOT EXISTS (SELECT 1 FROM outbox b WHERE b.topic = o.topic AND b.key = o.key \
               AND b.published_us IS NULL AND b.owner IS NOT NULL AND b.owner <> $1) \
           ORDER BY o.seq LIMIT $2), \
         u AS (UPDATE outbox SET owner = $1 FROM o WHERE outbox.seq = ANY (ARRAY[o.seq]) \
           RETURNING outbox.seq, id, topic, key, headers, payload, created_us) \
         SELECT id, topic, key, headers, payload, created_us FROM u ORDER BY seq",
    )
    .bind(worker.0)
    .bind(i64::from(limit))
    .bind(without)
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    rows.into_iter().map(MessageRow::message).collect()
}

pub(super) async fn published(funnel: &Funnel, ids: &[MessageId], now: Timestamp) -> Stored<()> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    sqlx::query(
        "UPDATE outbox SET published_us = $1, owner = NULL \
         WHERE published_us IS NULL AND id = ANY($2)",
    )
    .bind(micros(now))
    .bind(ids)
    .execute(funnel.readers())
    .await?;
    Ok(())
}

pub(super) async fn post(
    funnel: &Funnel,
    message: &OutboxMessage,
    replayed: Option<DeadLetterId>,
) -> Stored<()> {
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("post").await?;
        let posted = within(try_post(&mut lane, message, replayed)).await;
        if let Some(posted) = lane.done(posted, &mut tries) {
            return posted;
        }
    }
}

async fn try_post(
    connection: &mut PgConnection,
    message: &OutboxMessage,
    replayed: Option<DeadLetterId>,
) -> Stored<()> {
    let mut batch = Batch::default();
    write(&mut batch, &[(Uuid::nil(), message)], "")?;
    let letter = batch.value("uuid", replayed.map(|id| id.0))?;
    let now = batch.value("bigint", micros(message.created))?;
    batch.part(
        "letter",
        &format!("UPDATE dead_letters SET replayed_us = {now} WHERE id = {letter}"),
    );
    batch.fetch::<(i32,)>(connection, gate::TELL).await?;
    Ok(())
}
