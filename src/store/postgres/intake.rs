//! What intake records: events, dead letters, their copies, checkpoints.
//!
//! One statement, and so one transaction, for a whole batch. A repeat by key does nothing; the same
//! key with another payload is reported and not recorded.

use std::collections::{HashMap, HashSet};

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::store::audit::{Notes, Strands, tables};
use crate::store::shape::{json, micros};
use crate::store::{IntakeBatch, Receipt, StoreError, Stored};

use super::batch::{Batch, Columns};
use super::funnel::{Funnel, within};
use super::{audit, gate, outbox};

pub(super) async fn record(funnel: &Funnel, intake: &IntakeBatch) -> Stored<Vec<Receipt>> {
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("record").await?;
        let recorded = within(try_record(&mut lane, &funnel.strands, intake)).await;
        if let Some(recorded) = lane.done(recorded, &mut tries) {
            return recorded.map_err(went_back);
        }
    }
}

/// A checkpoint is null only where the database has less than its reader had committed.
fn went_back(error: StoreError) -> StoreError {
    if audit::is_null_in(&error, "checkpoints") {
        StoreError::WentBack
    } else {
        error
    }
}

async fn try_record(
    connection: &mut PgConnection,
    strands: &Strands,
    intake: &IntakeBatch,
) -> Stored<Vec<Receipt>> {
    let new = match at_once(connection, strands, intake).await? {
        Some(new) => new,
        None => in_turn(connection, strands, intake).await?,
    };
    let old: Vec<Uuid> = intake
        .events
        .iter()
        .map(|event| event.event.key().0)
        .filter(|key| !new.contains(key))
        .collect();
    let digests: HashMap<Uuid, String> = if old.is_empty() {
        HashMap::new()
    } else {
        sqlx::query_as::<_, (Uuid, String)>(
            "SELECT key, payload_digest FROM events WHERE key = ANY($1) \
             UNION ALL SELECT key, payload_digest FROM dropped_events WHERE key = ANY($1)",
        )
        .bind(old)
        .fetch_all(connection)
        .await?
        .into_iter()
        .collect()
    };
    Ok(crate::store::intake::receipts(
        &intake.events,
        &new,
        digests,
    ))
}

/// One statement, which commits by itself, link and all; `None` when something was there already, for then
/// the link would cover more than was written, or when it must be read back to be covered.
async fn at_once(
    connection: &mut PgConnection,
    strands: &Strands,
    intake: &IntakeBatch,
) -> Stored<Option<HashSet<Uuid>>> {
    if !intake.dead_letters.is_empty() {
        return Ok(None);
    }
    let mut all: HashSet<_> = intake.events.iter().map(|one| one.event.key().0).collect();
    let whole = [("new", all.len())];
    let mut notes = Notes::default();
    for event in &intake.events {
        // The first of two with one key is the one that is recorded.
        if all.remove(&event.event.key().0) {
            notes.event(event)?;
        }
    }
    let mut batch = statement(intake)?;
    let tip = audit::begin(connection, strands).await?;
    let grown = match tip.filter(|_| !notes.is_empty()) {
        Some(tip) => Some(audit::part(&mut batch, tip, &notes, &whole)?),
        None => tip,
    };
    match batch.fetch(connection, NEW).await {
        Err(error) if audit::not_whole(&error) => {
            strands.give(tip);
            Ok(None)
        }
        recorded => {
            let new = keys(recorded?);
            strands.give(grown);
            Ok(Some(new))
        }
    }
}

async fn in_turn(
    connection: &mut PgConnection,
    strands: &Strands,
    intake: &IntakeBatch,
) -> Stored<HashSet<Uuid>> {
    let mut tx = connection.begin().await?;
    let new = keys(statement(intake)?.fetch(&mut tx, NEW).await?);
    let notes = noted(&mut tx, intake, &new).await?;
    let tip = audit::write(&mut tx, strands, &notes).await?;
    tx.commit().await?;
    strands.give(tip);
    Ok(new)
}

/// The keys of the events that were new.
const NEW: &str = "SELECT key FROM new WHERE (SELECT count(*) FROM bell) >= 0";

fn keys(rows: Vec<(Uuid,)>) -> HashSet<Uuid> {
    rows.into_iter().map(|(key,)| key).collect()
}

fn statement(intake: &IntakeBatch) -> Stored<Batch> {
    let mut batch = Batch::default();
    events(&mut batch, intake)?;
    dead_letters(&mut batch, intake)?;
    let messages: Vec<_> = intake.messages.iter().map(|m| (Uuid::nil(), m)).collect();
    outbox::write(&mut batch, &messages, "")?;
    checkpoints_of(&mut batch, intake)?;
    // Workers are woken in the same transaction, and only when there is something to admit.
    batch.part(
        "bell",
        &format!(
            "SELECT pg_notify('{}', '') FROM (SELECT 1 FROM new LIMIT 1) AS one",
            gate::CHANNEL
        ),
    );
    Ok(batch)
}

/// What was new.
async fn noted(tx: &mut PgConnection, intake: &IntakeBatch, new: &HashSet<Uuid>) -> Stored<Notes> {
    let mut notes = Notes::default();
    let mut left = new.clone();
    for event in &intake.events {
        // The first of two with one key is the one that was recorded.
        if left.remove(&event.event.key().0) {
            notes.event(event)?;
        }
    }
    let letters: Vec<_> = intake.dead_letters.iter().map(|one| one.id.0).collect();
    notes.add(&audit::rows(tx, &tables::DEAD_LETTERS, "id", &letters).await?);
    Ok(notes)
}

fn events(batch: &mut Batch, intake: &IntakeBatch) -> Stored<()> {
    let events = &intake.events;
    let bodies = events.iter().map(json).collect::<Stored<Vec<_>>>()?;
    let digests = events.iter().map(|event| event.payload_digest.clone());
    let rows = {
        let mut columns = Columns::new(batch);
        columns
            .add(
                "key",
                "uuid",
                events.iter().map(|e| e.event.key().0).collect::<Vec<_>>(),
            )?
            .add("digest", "text", digests.collect::<Vec<_>>())?
            .add(
                "at",
                "bigint",
                events
                    .iter()
                    .map(|e| micros(e.recorded))
                    .collect::<Vec<_>>(),
            )?
            .add("body", "text", bodies)?
            .add(
                "place",
                "integer",
                (0..events.len() as i32).collect::<Vec<_>>(),
            )?;
        columns.rows("x")
    };
    batch.part(
        "new",
        &format!(
            "INSERT INTO events (key, payload_digest, recorded_us, body) \
             SELECT x.key, x.digest, x.at, x.body FROM {rows} WHERE NOT EXISTS \
             (SELECT 1 FROM dropped_events d WHERE d.key = ANY (ARRAY[x.key])) ORDER BY x.place \
             ON CONFLICT (key) DO NOTHING RETURNING key"
        ),
    );
    Ok(())
}

fn dead_letters(batch: &mut Batch, intake: &IntakeBatch) -> Stored<()> {
    let letters = &intake.dead_letters;
    if letters.is_empty() {
        return Ok(());
    }
    let bodies = letters.iter().map(json).collect::<Stored<Vec<_>>>()?;
    let rows = {
        let mut columns = Columns::new(batch);
        columns
            .add(
                "id",
                "uuid",
                letters.iter().map(|l| l.id.0).collect::<Vec<_>>(),
            )?
            .add(
                "topic",
                "text",
                letters
                    .iter()
                    .map(|l| l.origin.topic.clone())
                    .collect::<Vec<_>>(),
            )?
            .add(
                "part",
                "integer",
                letters
                    .iter()
                    .map(|l| l.origin.partition)
                    .collect::<Vec<_>>(),
            )?
            .add(
                "position",
                "bigint",
                letters.iter().map(|l| l.origin.offset).collect::<Vec<_>>(),
            )?
            .add("body", "text", bodies)?
            .add(
                "at",
                "bigint",
                letters
                    .iter()
                    .map(|l| micros(l.first_seen))
                    .collect::<Vec<_>>(),
            )?
            .add(
                "place",
                "integer",
                (0..letters.len() as i32).collect::<Vec<_>>(),
            )?;
        columns.rows("x")
    };
    batch.part(
        "letters",
        &format!(
            "INSERT INTO dead_letters (id, topic, partition, position, body, first_seen_us) \
             SELECT x.id, x.topic, x.part, x.position, x.body, x.at FROM {rows} ORDER BY x.place \
             ON CONFLICT (id) DO NOTHING"
        ),
    );
    Ok(())
}

fn checkpoints_of(batch: &mut Batch, intake: &IntakeBatch) -> Stored<()> {
    // The last word for each partition counts; one statement can't write a row twice.
    let mut last = HashMap::new();
    for one in &intake.checkpoints {
        let (next, committed) = last
            .entry((&one.group, &one.topic, one.partition))
            .or_insert((one.next_offset, one.committed));
        *next = one.next_offset.max(*next);
        *committed = one.committed.max(*committed);
    }
    if last.is_empty() {
        return Ok(());
    }
    let mut last: Vec<_> = last.into_iter().collect();
    last.sort_unstable();
    let rows = {
        let mut columns = Columns::new(batch);
        columns
            .add(
                "g",
                "text",
                last.iter().map(|one| one.0.0.clone()).collect::<Vec<_>>(),
            )?
            .add(
                "topic",
                "text",
                last.iter().map(|one| one.0.1.clone()).collect::<Vec<_>>(),
            )?
            .add(
                "part",
                "integer",
                last.iter().map(|one| one.0.2).collect::<Vec<_>>(),
            )?
            .add(
                "next",
                "bigint",
                last.iter().map(|one| one.1.0).collect::<Vec<_>>(),
            )?
            .add(
                "had",
                "bigint",
                last.iter().map(|one| one.1.1).collect::<Vec<_>>(),
            )?;
        columns.rows("x")
    };
    batch.part(
        "places",
        &format!(
            "INSERT INTO checkpoints (consumer_group, topic, partition, next_offset) \
             SELECT x.g, x.topic, x.part, CASE WHEN x.had IS NULL OR (SELECT k.next_offset \
               FROM checkpoints k WHERE k.consumer_group = x.g AND k.topic = x.topic \
               AND k.partition = x.part) >= x.had THEN x.next END \
             FROM {rows} ON CONFLICT (consumer_group, topic, partition) \
             DO UPDATE SET next_offset = greatest(checkpoints.next_offset, excluded.next_offset)"
        ),
    );
    Ok(())
}

pub(super) async fn checkpoints(
    funnel: &Funnel,
    group: &str,
    topic: &str,
) -> Stored<Vec<(i32, i64)>> {
    Ok(sqlx::query_as(
        "SELECT partition, next_offset FROM checkpoints \
         WHERE consumer_group = $1 AND topic = $2 ORDER BY partition",
    )
    .bind(group)
    .bind(topic)
    .fetch_all(funnel.readers())
    .await?)
}
