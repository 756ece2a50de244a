//! Accounts of targets as last seen, each with its age.
//!
//! A listing refreshes what it shows; only a complete one takes away what it does not show. One that
//! was begun before the last complete listing is late, and changes nothing more. A listing is taken in by
//! parts, so that a large target needs no more patience than a small one; parts of listings of one
//! target follow each other by the lock on its line, and the last part takes away.

use sqlx::{Connection, PgConnection};

use crate::domain::access::Account;
use crate::domain::id::ConnectorName;
use crate::domain::run::Run;
use crate::store::row::{KnownRow, RunRow};
use crate::store::shape::{json, micros};
use crate::store::{Inventory, Listed, RunsEnded, Stored};

use super::funnel::{Funnel, within};

/// Before any complete listing.
const NEVER: i64 = i64::MIN;

/// Accounts that are written in one transaction.
const PART: usize = 5000;

pub(super) async fn save(funnel: &Funnel, listed: &Listed) -> Stored<()> {
    let mut rest = listed.accounts.as_slice();
    loop {
        let (part, later) = rest.split_at(rest.len().min(PART));
        let late = save_part(funnel, listed, part, later.is_empty()).await? == Part::Late;
        if late || later.is_empty() {
            return Ok(());
        }
        rest = later;
    }
}

/// What became of a part of a listing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    In,
    /// A complete listing that was begun later is in already.
    Late,
}

async fn save_part(funnel: &Funnel, listed: &Listed, part: &[Account], last: bool) -> Stored<Part> {
    let ids: Vec<&str> = part.iter().map(|one| one.id.as_str()).collect();
    let bodies = part.iter().map(json).collect::<Stored<Vec<_>>>()?;
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("save_inventory").await?;
        let saved = within(try_save(&mut lane, listed, (&ids, &bodies), last)).await;
        if let Some(saved) = lane.done(saved, &mut tries) {
            return saved;
        }
    }
}

async fn try_save(
    connection: &mut PgConnection,
    listed: &Listed,
    (ids, bodies): (&[&str], &[String]),
    last: bool,
) -> Stored<Part> {
    let mut tx = connection.begin().await?;
    let (name, at) = (listed.connector.as_str(), micros(listed.at));
    sqlx::query(
        "INSERT INTO inventories (connector, at_us) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(name)
    .bind(NEVER)
    .execute(&mut *tx)
    .await?;
    let whole_at: i64 =
        sqlx::query_scalar("SELECT at_us FROM inventories WHERE connector = $1 FOR UPDATE")
            .bind(name)
            .fetch_one(&mut *tx)
            .await?;
    if whole_at > at {
        tx.rollback().await?;
        return Ok(Part::Late);
    }
    sqlx::query(
        "INSERT INTO known_accounts AS k (connector, account, seen_us, credential, whole, body) \
         SELECT DISTINCT ON (a.account) $1, a.account, $2, $3, $4, a.body \
         FROM UNNEST($5::text[], $6::text[]) AS a (account, body) \
         ON CONFLICT (connector, account) DO UPDATE SET seen_us = excluded.seen_us, \
         credential = excluded.credential, whole = excluded.whole, body = excluded.body \
         WHERE excluded.seen_us >= k.seen_us",
    )
    .bind(name)
    .bind(at)
    .bind(listed.credential.as_str())
    .bind(listed.whole)
    .bind(ids)
    .bind(bodies)
    .execute(&mut *tx)
    .await?;
    if listed.whole && last {
        sqlx::query("DELETE FROM known_accounts WHERE connector = $1 AND seen_us < $2")
            .bind(name)
            .bind(at)
            .execute(&mut *tx)
            .await?;
        sqlx::query("UPDATE inventories SET at_us = $2 WHERE connector = $1")
            .bind(name)
            .bind(at)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(Part::In)
}

pub(super) async fn read(funnel: &Funnel, connector: &ConnectorName) -> Stored<Option<Inventory>> {
    let at: Option<i64> =
        sqlx::query_scalar("SELECT at_us FROM inventories WHERE connector = $1 AND at_us <> $2")
            .bind(connector.as_str())
            .bind(NEVER)
            .fetch_optional(funnel.readers())
            .await?;
    let rows = sqlx::query_as::<_, KnownRow>(
        "SELECT account, seen_us, credential, whole, body FROM known_accounts \
         WHERE connector = $1 ORDER BY account COLLATE \"C\"",
    )
    .bind(connector.as_str())
    .fetch_all(funnel.readers())
    .await?;
    KnownRow::inventory(connector, at, &rows)
}

pub(super) async fn runs_ended(funnel: &Funnel, which: &RunsEnded) -> Stored<Vec<Run>> {
    let after = which.after.map(|(at, run)| (micros(at), run.0));
    sqlx::query_as::<_, RunRow>(
        "SELECT id, body FROM runs WHERE connector = $1 AND connector IS NOT NULL \
         AND ended IS NOT NULL AND (kind = 'removal' AND ended IN ('verified', 'attested') \
           OR kind = 'discovery' AND (ended = 'attested' OR ended = 'verified' \
             AND NOT EXISTS (SELECT 1 FROM runs AS r WHERE r.case_id = runs.case_id \
               AND r.kind = 'removal' AND r.parent_id = runs.id))) \
         AND ended_us >= $2 AND ended_us <= $3 \
         AND ($4::bigint IS NULL OR (ended_us, id) > ($4::bigint, $5::uuid)) \
         ORDER BY ended_us, id LIMIT $6",
    )
    .bind(which.connector.as_str())
    .bind(micros(which.since))
    .bind(micros(which.until))
    .bind(after.map(|(at, _)| at))
    .bind(after.map(|(_, run)| run))
    .bind(i64::from(which.limit))
    .fetch_all(funnel.readers())
    .await?
    .iter()
    .map(RunRow::run)
    .collect()
}
