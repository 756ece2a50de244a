//! The tamper-evident log on PostgreSQL: a link with each transaction, and the reading of the whole.
//!
//! Each transaction under way has a strand of its own, so batches commit side by side as without a log.
//! A checkpoint waits for the transactions under way once, so that no link comes into a closed window.

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::domain::audit::{Entry, Signed, Table, Tip, Verifier, Window};
use crate::domain::id::CaseId;
use crate::store::audit::{
    CheckpointRow, Dossier, LinkRow, Notes, OPENING, OpeningRow, SignFn, SignedByFn, Strands,
    Touched, WISHES, WishRow, entry_of, select, tables,
};
use crate::store::{StoreError, Stored};

use super::batch::Batch;
use super::funnel::{Funnel, READING, SIGNING, WHOLE_LOG, within, within_for};
use super::{gate, retention};

/// Entries of one link when a database without a log is taken in.
const ADOPTED_AT_ONCE: usize = 1000;

/// Adds the transaction's link; what it returns goes back to the strands after the commit.
pub(super) async fn write(
    tx: &mut PgConnection,
    strands: &Strands,
    notes: &Notes,
) -> Stored<Option<Tip>> {
    if notes.is_empty() || !strands.on() {
        return Ok(None);
    }
    let tip = match strands.take() {
        Some(tip) => tip,
        None => fresh(&mut *tx).await?,
    };
    add(tx, tip, notes).await.map(Some)
}

/// Adds one more link to a strand that the caller has in hand.
pub(super) async fn add(tx: &mut PgConnection, tip: Tip, notes: &Notes) -> Stored<Tip> {
    let grown = tip.grown(notes.bytes());
    sqlx::query(
        "INSERT INTO audit_links (strand, sequence, previous, entries, hash) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(grown.strand)
    .bind(grown.sequence)
    .bind(&tip.hash.0[..])
    .bind(notes.bytes())
    .bind(&grown.hash.0[..])
    .execute(tx)
    .await?;
    Ok(grown)
}

/// The strand that a statement with a part of its own for the link goes on with; `None` where nothing
/// is recorded.
pub(super) async fn begin(connection: &mut PgConnection, strands: &Strands) -> Stored<Option<Tip>> {
    if !strands.on() {
        return Ok(None);
    }
    match strands.take() {
        Some(tip) => Ok(Some(tip)),
        None => Ok(Some(fresh(connection).await?)),
    }
}

async fn fresh(connection: &mut PgConnection) -> Stored<Tip> {
    let strand = sqlx::query_scalar("INSERT INTO audit_strands DEFAULT VALUES RETURNING id")
        .fetch_one(connection)
        .await?;
    Ok(Tip::fresh(strand))
}

/// Adds the link to a statement, under the condition that each of the named parts, if any are named, came
/// to as many rows as `whole` says; otherwise the statement is refused (`not_whole`). The link's number is drawn after
/// those parts hold their rows' locks, so later numbers are later versions.
pub(super) fn part(
    batch: &mut Batch,
    tip: Tip,
    notes: &Notes,
    whole: &[(&'static str, usize)],
) -> Stored<Tip> {
    let grown = tip.grown(notes.bytes());
    let strand = batch.value("bigint", grown.strand)?;
    let sequence = batch.value("bigint", grown.sequence)?;
    let previous = batch.value("bytea", tip.hash.0.to_vec())?;
    let entries = batch.value("bytea", notes.bytes().to_vec())?;
    let hash = batch.value("bytea", grown.hash.0.to_vec())?;
    let mut counts = Vec::new();
    let mut conditions = Vec::new();
    for (name, count) in whole {
        let count = batch.value("bigint", *count as i64)?;
        counts.push(format!("(SELECT count(*) AS rows FROM {name}) AS n_{name}"));
        conditions.push(format!("n_{name}.rows = {count}"));
    }
    let (number, from) = match conditions.as_slice() {
        [] => (sequence, String::new()),
        all => (
            format!("CASE WHEN {} THEN {sequence} END", all.join(" AND ")),
            format!("FROM {}", counts.join(", ")),
        ),
    };
    batch.part(
        "linked",
        &format!(
            "INSERT INTO audit_links (strand, sequence, previous, entries, hash) \
             SELECT {strand}, {number}, {previous}, {entries}, {hash} {from}"
        ),
    );
    Ok(grown)
}

/// True when a statement was refused because less was taken than its link would cover: the link has no
/// place in its strand then.
pub(super) fn not_whole(error: &StoreError) -> bool {
    is_null_in(error, "audit_links")
}

/// True when a statement was refused because it left out a value in this table.
pub(super) fn is_null_in(error: &StoreError, table: &str) -> bool {
    let StoreError::Refused(source) = error else {
        return false;
    };
    let said = source.downcast_ref::<sqlx::Error>();
    let said = said.and_then(sqlx::Error::as_database_error);
    // Not null violation.
    said.is_some_and(|said| {
        said.code().is_some_and(|code| code == "23502") && said.table() == Some(table)
    })
}

/// The rows of a table as they stand in this transaction, by the ids in one of its columns.
pub(super) async fn rows(
    tx: &mut PgConnection,
    table: &Table,
    column: &'static str,
    ids: &[Uuid],
) -> Stored<Vec<Entry>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("{} AND {column} = ANY ($1)", select(table));
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(ids)
        .fetch_all(tx)
        .await?;
    rows.iter().map(|row| entry_of(table, row)).collect()
}

/// Cases and runs that admission changed, as they stand now.
pub(super) async fn touched(
    tx: &mut PgConnection,
    notes: &mut Notes,
    touched: &Touched,
) -> Stored<()> {
    notes.add(&rows(tx, &tables::CASES, "id", &touched.cases).await?);
    notes.add(&rows(tx, &tables::RUNS, "case_id", &touched.cases).await?);
    notes.add(&rows(tx, &tables::RUNS, "id", &touched.runs).await?);
    Ok(())
}

/// Takes rows in that were written before there was a log; does nothing where one has begun.
pub(super) async fn adopt(connection: &mut PgConnection, strands: &Strands) -> Stored<()> {
    take_in(connection, strands, tables::ALL, false).await
}

/// Takes the rows of tables in that an older version wrote without the log, where one has begun.
pub(super) async fn adopt_later(
    connection: &mut PgConnection,
    strands: &Strands,
    applied: &[i64],
) -> Stored<()> {
    let (migration, later) = tables::ADOPTED_LATER;
    if !applied.contains(&tables::BEGUN_WITH) || applied.contains(&migration) {
        return Ok(());
    }
    take_in(connection, strands, later, true).await
}

async fn take_in(
    connection: &mut PgConnection,
    strands: &Strands,
    tables: &[Table],
    wanted: bool,
) -> Stored<()> {
    let mut tx = connection.begin().await?;
    sqlx::query("LOCK TABLE audit_links IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *tx)
        .await?;
    let begun: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM audit_links)")
        .fetch_one(&mut *tx)
        .await?;
    if begun != wanted {
        return Ok(());
    }
    let mut tip = None;
    for table in tables {
        let all = sqlx::query(AssertSqlSafe(select(table)))
            .fetch_all(&mut *tx)
            .await?;
        for part in all.chunks(ADOPTED_AT_ONCE) {
            let entries: Stored<Vec<_>> = part.iter().map(|row| entry_of(table, row)).collect();
            let mut notes = Notes::default();
            notes.add(&entries?);
            strands.give(tip);
            tip = write(&mut tx, strands, &notes).await?;
        }
    }
    tx.commit().await?;
    strands.give(tip);
    Ok(())
}

pub(super) async fn inspect(
    funnel: &Funnel,
    verifier: &mut Verifier,
    signed_by: SignedByFn<'_>,
) -> Stored<()> {
    let mut reader = funnel.reader("inspect").await?;
    let done = within_for(WHOLE_LOG, async {
        // One transaction sees one state, whatever is written meanwhile.
        let mut tx = reader
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        super::funnel::takes_its_time(&mut tx).await?;
        for signed in retention::tombstones_in(&mut tx).await? {
            verifier.tombstone(&signed, signed_by);
        }
        verifier.heads(&retention::heads_in(&mut tx).await?, signed_by);
        for signed in checkpoints_in(&mut tx).await? {
            verifier.checkpoint(&signed, signed_by);
        }
        {
            let mut links = sqlx::query_as::<_, LinkRow>(
                "SELECT * FROM audit_links WHERE seq > $1 ORDER BY seq",
            )
            .bind(verifier.begins_after())
            .fetch(&mut *tx);
            while let Some(link) = links.try_next().await? {
                verifier.link(&link.link());
            }
        }
        verifier.links_over();
        for table in tables::ALL {
            let mut rows = sqlx::query(AssertSqlSafe(select(table))).fetch(&mut *tx);
            while let Some(row) = rows.try_next().await? {
                verifier.row(table, entry_of(table, &row)?);
            }
        }
        tx.commit().await?;
        Ok(())
    });
    let done = done.await;
    reader.ended(done)
}

pub(super) async fn witness(funnel: &Funnel, sign: SignFn<'_>) -> Stored<Option<Signed>> {
    let mut reader = funnel.reader("witness").await?;
    let done = within_for(SIGNING, async {
        let until = settled_until(&mut reader).await?;
        let mut tx = reader.begin().await?;
        if !gate::enter(&mut tx, gate::AUDIT).await? {
            return Ok(None);
        }
        super::funnel::takes_its_time(&mut tx).await?;
        let last = retention::last_checkpoint(&mut tx).await?;
        let after = last.as_ref().and_then(Signed::read);
        let mut window = Window::after(after.map_or(0, |checkpoint| checkpoint.until));
        {
            let mut links = sqlx::query_as::<_, LinkRow>(
                "SELECT * FROM audit_links WHERE seq > $1 AND seq <= $2 ORDER BY seq",
            )
            .bind(window.until())
            .bind(until)
            .fetch(&mut *tx);
            while let Some(link) = links.try_next().await? {
                window.take(&link.link());
            }
        }
        let Some(signed) = sign(&window, last.as_ref()) else {
            return Ok(None);
        };
        sqlx::query("INSERT INTO audit_checkpoints (number, text, signature) VALUES ($1, $2, $3)")
            .bind(signed.number)
            .bind(&signed.text)
            .bind(&signed.signature)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Some(signed))
    });
    let done = done.await;
    reader.ended(done)
}

/// The last link such that none before it is still under way. The lock waits for the transactions that
/// are writing links, and holds up new ones for no longer than that.
async fn settled_until(connection: &mut PgConnection) -> Stored<i64> {
    let mut tx = connection.begin().await?;
    sqlx::query("SET LOCAL lock_timeout = '200ms'")
        .execute(&mut *tx)
        .await?;
    sqlx::query("LOCK TABLE audit_links IN SHARE MODE")
        .execute(&mut *tx)
        .await?;
    let until = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM audit_links")
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(until)
}

pub(super) async fn dossier(funnel: &Funnel, case: CaseId) -> Stored<Option<Dossier>> {
    let mut reader = funnel.reader("dossier").await?;
    let done = within_for(READING, async {
        let mut tx = reader.begin().await?;
        let opening =
            sqlx::query_as::<_, OpeningRow>(AssertSqlSafe(OPENING.replace("{case}", "$1")))
                .bind(case.0)
                .fetch_optional(&mut *tx)
                .await?;
        let Some(opening) = opening else {
            return Ok(None);
        };
        let wishes = sqlx::query_as::<_, WishRow>(AssertSqlSafe(WISHES.replace("{case}", "$1")))
            .bind(case.0)
            .fetch_all(&mut *tx)
            .await?;
        let recorded = recorded(&mut tx, case.0, opening.key, &wishes).await?;
        tx.commit().await?;
        opening.dossier(wishes, recorded).map(Some)
    });
    let done = done.await;
    reader.ended(done)
}

/// Every recorded row about a case.
async fn recorded(
    tx: &mut PgConnection,
    case: Uuid,
    event: Uuid,
    wishes: &[WishRow],
) -> Stored<Vec<Entry>> {
    let runs: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM runs WHERE case_id = $1 ORDER BY id")
        .bind(case)
        .fetch_all(&mut *tx)
        .await?;
    let wishes: Vec<Uuid> = wishes.iter().map(|wish| wish.id).collect();
    let mut all = rows(tx, &tables::EVENTS, "key", &[event]).await?;
    all.extend(rows(tx, &tables::ADMISSIONS, "key", &[event]).await?);
    for table in [&tables::CASES, &tables::CASE_ENDS] {
        all.extend(rows(tx, table, "id", &[case]).await?);
    }
    for table in [&tables::RUNS, &tables::TASKS] {
        all.extend(rows(tx, table, "case_id", &[case]).await?);
    }
    all.extend(rows(tx, &tables::JOURNAL, "run_id", &runs).await?);
    for table in [&tables::COMMANDS, &tables::ANSWERS] {
        all.extend(rows(tx, table, "id", &wishes).await?);
    }
    Ok(all)
}

pub(super) async fn checkpoints(funnel: &Funnel) -> Stored<Vec<Signed>> {
    let mut reader = funnel.reader("checkpoints").await?;
    let signed = within_for(READING, checkpoints_in(&mut reader)).await;
    reader.ended(signed)
}

pub(super) async fn last(funnel: &Funnel) -> Stored<Option<Signed>> {
    let mut reader = funnel.reader("last_checkpoint").await?;
    let last = within(retention::last_checkpoint(&mut reader)).await;
    reader.ended(last)
}

pub(super) async fn checkpoints_in(connection: &mut PgConnection) -> Stored<Vec<Signed>> {
    let rows =
        sqlx::query_as::<_, CheckpointRow>("SELECT * FROM audit_checkpoints ORDER BY number")
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(CheckpointRow::signed).collect())
}

pub(super) async fn last_in(connection: &mut PgConnection) -> Stored<Option<Signed>> {
    let row = sqlx::query_as::<_, CheckpointRow>(
        "SELECT * FROM audit_checkpoints ORDER BY number DESC LIMIT 1",
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(CheckpointRow::signed))
}
