//! Dead letters as operators read them.
//!
//! Written by `intake`, marked as replayed by `outbox` and here as set aside; nothing deletes them.

use sqlx::SqliteConnection;

use crate::domain::approval::Signed;
use crate::domain::id::DeadLetterId;
use crate::store::row::LetterRow;
use crate::store::shape::json;
use crate::store::{DeadLetter, Letters, Stored};

use super::funnel::Funnel;

pub(super) async fn list(funnel: &Funnel, which: Letters, limit: u32) -> Stored<Vec<DeadLetter>> {
    let mut reader = funnel.reader().await?;
    let connection: &mut SqliteConnection = &mut reader;
    sqlx::query_as::<_, LetterRow>(match which {
        Letters::All => {
            "SELECT id, body, replayed_us, aside FROM dead_letters ORDER BY seq DESC LIMIT ?"
        }
        Letters::Waiting => {
            "SELECT id, body, replayed_us, aside FROM dead_letters WHERE replayed_us IS NULL \
                 AND aside IS NULL \
                 ORDER BY seq DESC LIMIT ?"
        }
    })
    .bind(limit)
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(LetterRow::letter)
    .collect()
}

pub(super) async fn one(funnel: &Funnel, id: DeadLetterId) -> Stored<Option<DeadLetter>> {
    let mut reader = funnel.reader().await?;
    sqlx::query_as::<_, LetterRow>(
        "SELECT id, body, replayed_us, aside FROM dead_letters WHERE id = ?",
    )
    .bind(id.0)
    .fetch_optional(&mut *reader)
    .await?
    .map(LetterRow::letter)
    .transpose()
}

pub(super) async fn set_aside(funnel: &Funnel, id: DeadLetterId, by: &Signed) -> Stored<bool> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("set_aside").await?;
    let changed = sqlx::query("UPDATE dead_letters SET aside = ? WHERE id = ?")
        .bind(json(by)?)
        .bind(id.0)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(changed.rows_affected() == 1)
}
