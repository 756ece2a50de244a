//! The tamper-evident log on SQLite: a link with each transaction, and the reading of the whole.
//!
//! One connection writes, so this process has one strand; a command line beside it has its own.

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use uuid::Uuid;

use crate::domain::audit::{Entry, Signed, Table, Tip, Verifier, Window};
use crate::domain::id::CaseId;
use crate::store::Stored;
use crate::store::audit::{
    CheckpointRow, Dossier, LinkRow, Notes, OPENING, OpeningRow, SignFn, SignedByFn, Strands,
    Touched, WISHES, WishRow, entry_of, select, tables,
};

use super::funnel::Funnel;
use super::retention;
use super::rows::{chunks, tuples};

/// Entries of one link when a database without a log is taken in.
const ADOPTED_AT_ONCE: usize = 1000;

/// Adds the transaction's link; what it returns goes back to the strands after the commit.
pub(super) async fn write(
    tx: &mut SqliteConnection,
    strands: &Strands,
    notes: &Notes,
) -> Stored<Option<Tip>> {
    if notes.is_empty() || !strands.on() {
        return Ok(None);
    }
    let tip = match strands.take() {
        Some(tip) => tip,
        None => Tip::fresh(
            sqlx::query_scalar("INSERT INTO audit_strands DEFAULT VALUES RETURNING id")
                .fetch_one(&mut *tx)
                .await?,
        ),
    };
    add(tx, tip, notes).await.map(Some)
}

/// Adds one more link to a strand that the caller has in hand.
pub(super) async fn add(tx: &mut SqliteConnection, tip: Tip, notes: &Notes) -> Stored<Tip> {
    let grown = tip.grown(notes.bytes());
    sqlx::query(
        "INSERT INTO audit_links (strand, sequence, previous, entries, hash) VALUES (?,?,?,?,?)",
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

/// The rows of a table as they stand in this transaction, by the ids in one of its columns.
pub(super) async fn rows(
    tx: &mut SqliteConnection,
    table: &Table,
    column: &'static str,
    ids: &[Uuid],
) -> Stored<Vec<Entry>> {
    let mut entries = Vec::new();
    for chunk in chunks(ids) {
        let values = tuples(1, chunk.len());
        let sql = format!("{} AND {column} IN (VALUES {values})", select(table));
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for id in chunk {
            query = query.bind(id);
        }
        for row in query.fetch_all(&mut *tx).await? {
            entries.push(entry_of(table, &row)?);
        }
    }
    Ok(entries)
}

/// Cases and runs that admission changed, as they stand now.
pub(super) async fn touched(
    tx: &mut SqliteConnection,
    notes: &mut Notes,
    touched: &Touched,
) -> Stored<()> {
    notes.add(&rows(tx, &tables::CASES, "id", &touched.cases).await?);
    notes.add(&rows(tx, &tables::RUNS, "case_id", &touched.cases).await?);
    notes.add(&rows(tx, &tables::RUNS, "id", &touched.runs).await?);
    Ok(())
}

/// Takes rows in that were written before there was a log; does nothing where one has begun.
pub(super) async fn adopt(funnel: &Funnel) -> Stored<()> {
    take_in(funnel, tables::ALL, false).await
}

/// Takes the rows of tables in that an older version wrote without the log, where one has begun.
pub(super) async fn adopt_later(funnel: &Funnel, applied: &[i64]) -> Stored<()> {
    let (migration, later) = tables::ADOPTED_LATER;
    if !applied.contains(&tables::BEGUN_WITH) || applied.contains(&migration) {
        return Ok(());
    }
    take_in(funnel, later, true).await
}

async fn take_in(funnel: &Funnel, tables: &[Table], wanted: bool) -> Stored<()> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("adopt").await?;
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
            funnel.strands.give(tip);
            tip = write(&mut tx, &funnel.strands, &notes).await?;
        }
    }
    tx.commit().await?;
    funnel.strands.give(tip);
    Ok(())
}

pub(super) async fn inspect(
    funnel: &Funnel,
    verifier: &mut Verifier,
    signed_by: SignedByFn<'_>,
) -> Stored<()> {
    let mut reader = funnel.reader().await?;
    // One transaction sees one state, whatever is written meanwhile.
    let mut tx = reader.begin().await?;
    for signed in retention::tombstones_in(&mut tx).await? {
        verifier.tombstone(&signed, signed_by);
    }
    verifier.heads(&retention::heads_in(&mut tx).await?, signed_by);
    for signed in checkpoints_in(&mut tx).await? {
        verifier.checkpoint(&signed, signed_by);
    }
    {
        let mut links =
            sqlx::query_as::<_, LinkRow>("SELECT * FROM audit_links WHERE seq > ? ORDER BY seq")
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
}

pub(super) async fn witness(funnel: &Funnel, sign: SignFn<'_>) -> Stored<Option<Signed>> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("witness").await?;
    let last = retention::last_checkpoint(&mut tx).await?;
    let after = last.as_ref().and_then(Signed::read);
    let mut window = Window::after(after.map_or(0, |checkpoint| checkpoint.until));
    {
        let mut links =
            sqlx::query_as::<_, LinkRow>("SELECT * FROM audit_links WHERE seq > ? ORDER BY seq")
                .bind(window.until())
                .fetch(&mut *tx);
        while let Some(link) = links.try_next().await? {
            window.take(&link.link());
        }
    }
    let Some(signed) = sign(&window, last.as_ref()) else {
        return Ok(None);
    };
    sqlx::query("INSERT INTO audit_checkpoints (number, text, signature) VALUES (?,?,?)")
        .bind(signed.number)
        .bind(&signed.text)
        .bind(&signed.signature)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Some(signed))
}

pub(super) async fn dossier(funnel: &Funnel, case: CaseId) -> Stored<Option<Dossier>> {
    let mut reader = funnel.reader().await?;
    let mut tx = reader.begin().await?;
    let opening = sqlx::query_as::<_, OpeningRow>(AssertSqlSafe(OPENING.replace("{case}", "?1")))
        .bind(case.0)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(opening) = opening else {
        return Ok(None);
    };
    let wishes = sqlx::query_as::<_, WishRow>(AssertSqlSafe(WISHES.replace("{case}", "?1")))
        .bind(case.0)
        .fetch_all(&mut *tx)
        .await?;
    let recorded = recorded(&mut tx, case.0, opening.key, &wishes).await?;
    tx.commit().await?;
    opening.dossier(wishes, recorded).map(Some)
}

/// Every recorded row about a case.
async fn recorded(
    tx: &mut SqliteConnection,
    case: Uuid,
    event: Uuid,
    wishes: &[WishRow],
) -> Stored<Vec<Entry>> {
    let runs: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM runs WHERE case_id = ?1 ORDER BY id")
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
    checkpoints_in(&mut *funnel.reader().await?).await
}

pub(super) async fn last(funnel: &Funnel) -> Stored<Option<Signed>> {
    retention::last_checkpoint(&mut *funnel.reader().await?).await
}

pub(super) async fn checkpoints_in(connection: &mut SqliteConnection) -> Stored<Vec<Signed>> {
    let rows =
        sqlx::query_as::<_, CheckpointRow>("SELECT * FROM audit_checkpoints ORDER BY number")
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(CheckpointRow::signed).collect())
}

pub(super) async fn last_in(connection: &mut SqliteConnection) -> Stored<Option<Signed>> {
    let row = sqlx::query_as::<_, CheckpointRow>(
        "SELECT * FROM audit_checkpoints ORDER BY number DESC LIMIT 1",
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(CheckpointRow::signed))
}
