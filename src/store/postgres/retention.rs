//! Letting closed periods go on PostgreSQL: everything in one transaction.
//!
//! The log is locked against writers while it is cut, so what is counted is what goes. Which rows go and
//! what stands for them is `store::retention`.

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::domain::audit::{Signed, Tip};
use crate::domain::id::CaseId;
use crate::domain::legal::LegalHolds;
use crate::store::audit::{CheckpointRow, entry_of, select, tables};
use crate::store::retention::{
    Counted, Dropping, ENDED, EndedRow, EventRow, HEADS, HOLDS, HeadRow, LOOSE, OPENERS, Retention,
    STAYING, SealFn, deletions, filled, free, going, holds_of, loose, noted, told,
};
use crate::store::shape::micros;
use crate::store::{Stored, audit::Strands};

use super::funnel::{WHOLE_LOG, within, within_for};
use super::{PostgresStore, audit, gate};

#[async_trait]
impl Retention for PostgresStore {
    async fn drop_period(&self, wanted: &Dropping, seal: SealFn<'_>) -> Stored<Option<Signed>> {
        let mut reader = self.funnel.reader("drop_period").await?;
        let done = within_for(WHOLE_LOG, async {
            let mut tx = reader.begin().await?;
            if !gate::enter(&mut tx, gate::AUDIT).await? {
                return Ok(None);
            }
            super::funnel::takes_its_time(&mut tx).await?;
            sqlx::query("SET LOCAL lock_timeout = '5s'")
                .execute(&mut *tx)
                .await?;
            sqlx::query("LOCK TABLE audit_links IN SHARE ROW EXCLUSIVE MODE")
                .execute(&mut *tx)
                .await?;
            if tombstones_in(&mut tx).await?.last() != wanted.follows.as_ref() {
                return Ok(None);
            }
            let stone = wanted.epitaph.clone().after(wanted.follows.as_ref());
            let (number, cut) = (stone.number, micros(stone.cut));
            let cases = released(&mut tx, wanted, number, cut).await?;
            let counted = counted(&mut tx, wanted, stone.until, number, cases).await?;
            let (stone, follow) = told(wanted, counted);
            let (until, through) = (stone.until, stone.through());
            let Some(signed) = seal(stone) else {
                return Ok(None);
            };
            insert(&mut tx, &signed, until, through).await?;
            for sql in deletions(number, cut, until, through) {
                sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await?;
            }
            let tip = linked(&mut tx, &self.funnel.strands, number, follow).await?;
            tx.commit().await?;
            self.funnel.strands.give(tip);
            Ok(Some(signed))
        });
        let done = done.await;
        reader.ended(done)
    }

    async fn tombstones(&self) -> Stored<Vec<Signed>> {
        let mut reader = self.funnel.reader("tombstones").await?;
        let stones = within(tombstones_in(&mut reader)).await;
        reader.ended(stones)
    }

    async fn legal_holds(&self, case: CaseId) -> Stored<LegalHolds> {
        let mut own = self.funnel.own("legal_holds").await?;
        let rows = sqlx::query_as::<_, EventRow>(
            "SELECT e.key, e.body FROM cases mine \
             JOIN cases c ON c.subject_key = mine.subject_key JOIN events e ON e.key = c.event_key \
             WHERE mine.id = $1 AND e.body LIKE '%clawback.legal-hold.%'",
        )
        .bind(case.0)
        .fetch_all(&mut *own);
        let rows = within(async { Ok(rows.await?) }).await;
        holds_of(&own.ended(rows)?)
    }
}

/// Names the cases and events that go; returns how many cases.
async fn released(
    tx: &mut PgConnection,
    wanted: &Dropping,
    number: i64,
    cut: i64,
) -> Stored<usize> {
    let ended = sqlx::query_as::<_, EndedRow>(AssertSqlSafe(filled(ENDED, number, cut)))
        .fetch_all(&mut *tx)
        .await?;
    let holds = sqlx::query_as::<_, EventRow>(HOLDS)
        .fetch_all(&mut *tx)
        .await?;
    let cases: Vec<_> = free(ended, &holds, wanted.cases)?
        .iter()
        .map(|row| row.id)
        .collect();
    sqlx::query("INSERT INTO dropped_cases (id, tombstone) SELECT unnest($1::uuid[]), $2")
        .bind(&cases)
        .bind(number)
        .execute(&mut *tx)
        .await?;
    sqlx::query(AssertSqlSafe(filled(OPENERS, number, cut)))
        .execute(&mut *tx)
        .await?;
    let rows = sqlx::query_as::<_, EventRow>(AssertSqlSafe(filled(LOOSE, number, cut)))
        .fetch_all(&mut *tx)
        .await?;
    let staying = sqlx::query_as(AssertSqlSafe(filled(STAYING, number, cut)))
        .fetch_all(&mut *tx)
        .await?;
    let (keys, digests): (Vec<_>, Vec<_>) = loose(&rows, staying)?.into_iter().unzip();
    sqlx::query(
        "INSERT INTO dropped_events (key, payload_digest, tombstone) \
         SELECT x.key, x.digest, $3 FROM unnest($1::uuid[], $2::text[]) AS x (key, digest)",
    )
    .bind(&keys)
    .bind(&digests)
    .bind(number)
    .execute(&mut *tx)
    .await?;
    Ok(cases.len())
}

async fn counted(
    tx: &mut PgConnection,
    wanted: &Dropping,
    until: i64,
    number: i64,
    cases: usize,
) -> Stored<Counted> {
    let mut rows = Vec::new();
    for (table, which) in going(number, micros(wanted.epitaph.cut)) {
        let sql = format!("{} AND {which}", select(table));
        let found = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *tx).await?;
        for row in &found {
            rows.push(entry_of(table, row)?);
        }
    }
    sqlx::query(
        "UPDATE audit_strands SET kept_sequence = last.sequence, kept_hash = last.hash FROM \
         (SELECT DISTINCT ON (strand) strand, sequence, hash FROM audit_links WHERE seq <= $1 \
          ORDER BY strand, sequence DESC) AS last WHERE audit_strands.id = last.strand",
    )
    .bind(until)
    .execute(&mut *tx)
    .await?;
    let links = sqlx::query_scalar("SELECT count(*) FROM audit_links WHERE seq <= $1")
        .bind(until)
        .fetch_one(&mut *tx)
        .await?;
    let since = sqlx::query_scalar("SELECT entries FROM audit_links WHERE seq > $1 ORDER BY seq")
        .bind(wanted.standing.seen)
        .fetch_all(&mut *tx)
        .await?;
    let seen = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM audit_links")
        .fetch_one(&mut *tx)
        .await?;
    let through = wanted.epitaph.closing.as_ref().map_or(0, |one| one.number);
    let mut checkpoints = audit::checkpoints_in(&mut *tx).await?;
    let after = last_checkpoint(&mut *tx).await?;
    checkpoints.retain(|one| one.number <= through);
    Ok(Counted {
        rows,
        cases,
        links,
        checkpoints,
        since,
        seen,
        after: after.map_or(0, |one| one.number),
        heads: heads_in(&mut *tx).await?,
    })
}

async fn insert(tx: &mut PgConnection, signed: &Signed, until: i64, through: i64) -> Stored<()> {
    sqlx::query(
        "INSERT INTO audit_tombstones (number, through, until, text, signature) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(signed.number)
    .bind(through)
    .bind(until)
    .bind(&signed.text)
    .bind(&signed.signature)
    .execute(tx)
    .await?;
    Ok(())
}

/// The links over the tombstone, the cases under it, what stays and what went.
async fn linked(
    tx: &mut PgConnection,
    strands: &Strands,
    number: i64,
    mut follow: Vec<crate::domain::audit::Entry>,
) -> Stored<Option<Tip>> {
    let of = [
        (&tables::TOMBSTONES, "number"),
        (&tables::DROPPED_CASES, "tombstone"),
    ];
    for (table, column) in of {
        let sql = format!("{} AND {column} = $1", select(table));
        let found = sqlx::query(AssertSqlSafe(sql)).bind(number);
        for row in &found.fetch_all(&mut *tx).await? {
            follow.push(entry_of(table, row)?);
        }
    }
    let mut tip = None;
    for notes in noted(&follow) {
        tip = match tip {
            Some(tip) => Some(audit::add(&mut *tx, tip, &notes).await?),
            None => audit::write(&mut *tx, strands, &notes).await?,
        };
    }
    Ok(tip)
}

pub(super) async fn tombstones_in(connection: &mut PgConnection) -> Stored<Vec<Signed>> {
    let rows = sqlx::query_as::<_, CheckpointRow>(
        "SELECT number, text, signature FROM audit_tombstones ORDER BY number",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(CheckpointRow::signed).collect())
}

pub(super) async fn heads_in(connection: &mut PgConnection) -> Stored<Vec<Tip>> {
    let rows = sqlx::query_as::<_, HeadRow>(HEADS)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(HeadRow::tip).collect())
}

/// The newest checkpoint; where all went, the one that closed the newest tombstone's period.
pub(super) async fn last_checkpoint(connection: &mut PgConnection) -> Stored<Option<Signed>> {
    use crate::domain::audit::Tombstone;
    if let Some(last) = audit::last_in(&mut *connection).await? {
        return Ok(Some(last));
    }
    let stones = tombstones_in(connection).await?;
    Ok(stones
        .last()
        .and_then(Tombstone::read)
        .and_then(|one| one.closing))
}
