//! Accounts of targets as last seen, each with its age.
//!
//! A listing refreshes what it shows; only a complete one takes away what it does not show. One that
//! was begun before the last complete listing is late, and changes nothing more. A listing is taken in by
//! parts, between which others write; the last part takes away.

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::domain::access::Account;
use crate::domain::id::ConnectorName;
use crate::domain::run::Run;
use crate::store::row::{KnownRow, RunRow};
use crate::store::shape::{json, micros};
use crate::store::{Inventory, Listed, RunsEnded, Stored};

use super::funnel::Funnel;
use super::rows::{chunks, tuples};

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
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("save_inventory").await?;
    let (name, at) = (listed.connector.as_str(), micros(listed.at));
    if whole_at(&mut tx, name)
        .await?
        .is_some_and(|whole| whole > at)
    {
        return Ok(Part::Late);
    }
    for chunk in chunks(part) {
        let sql = format!(
            "INSERT INTO known_accounts (connector, account, seen_us, credential, whole, body) \
             VALUES {} ON CONFLICT (connector, account) DO UPDATE SET seen_us = excluded.seen_us, \
             credential = excluded.credential, whole = excluded.whole, body = excluded.body \
             WHERE excluded.seen_us >= known_accounts.seen_us",
            tuples(6, chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for account in chunk {
            query = query
                .bind(name)
                .bind(account.id.as_str())
                .bind(at)
                .bind(listed.credential.as_str())
                .bind(listed.whole)
                .bind(json(account)?);
        }
        query.execute(&mut *tx).await?;
    }
    if listed.whole && last {
        sqlx::query("DELETE FROM known_accounts WHERE connector = ? AND seen_us < ?")
            .bind(name)
            .bind(at)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO inventories (connector, at_us) VALUES (?,?) \
             ON CONFLICT (connector) DO UPDATE SET at_us = excluded.at_us",
        )
        .bind(name)
        .bind(at)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(Part::In)
}

async fn whole_at(connection: &mut SqliteConnection, name: &str) -> Stored<Option<i64>> {
    Ok(
        sqlx::query_scalar("SELECT at_us FROM inventories WHERE connector = ?")
            .bind(name)
            .fetch_optional(connection)
            .await?,
    )
}

pub(super) async fn read(funnel: &Funnel, connector: &ConnectorName) -> Stored<Option<Inventory>> {
    let mut reader = funnel.reader().await?;
    let at = whole_at(&mut reader, connector.as_str()).await?;
    let rows = sqlx::query_as::<_, KnownRow>(
        "SELECT account, seen_us, credential, whole, body FROM known_accounts \
         WHERE connector = ? ORDER BY account",
    )
    .bind(connector.as_str())
    .fetch_all(&mut *reader)
    .await?;
    KnownRow::inventory(connector, at, &rows)
}

pub(super) async fn runs_ended(funnel: &Funnel, which: &RunsEnded) -> Stored<Vec<Run>> {
    let mut reader = funnel.reader().await?;
    let after = which.after.map(|(at, run)| (micros(at), run.0));
    sqlx::query_as::<_, RunRow>(
        "SELECT id, body FROM runs WHERE connector = ?1 AND connector IS NOT NULL \
         AND ended IS NOT NULL AND (kind = 'removal' AND ended IN ('verified', 'attested') \
           OR kind = 'discovery' AND (ended = 'attested' OR ended = 'verified' \
             AND NOT EXISTS (SELECT 1 FROM runs AS r WHERE r.case_id = runs.case_id \
               AND r.kind = 'removal' AND r.parent_id = runs.id))) \
         AND ended_us >= ?2 AND ended_us <= ?3 \
         AND (?4 IS NULL OR (ended_us, id) > (?4, ?5)) ORDER BY ended_us, id LIMIT ?6",
    )
    .bind(which.connector.as_str())
    .bind(micros(which.since))
    .bind(micros(which.until))
    .bind(after.map(|(at, _)| at))
    .bind(after.map(|(_, run)| run))
    .bind(which.limit)
    .fetch_all(&mut *reader)
    .await?
    .iter()
    .map(RunRow::run)
    .collect()
}
