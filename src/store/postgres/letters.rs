//! Dead letters as operators read them.
//!
//! Written by `intake`, marked as replayed by `outbox` and here as set aside; nothing deletes them.

use crate::domain::approval::Signed;
use crate::domain::id::DeadLetterId;
use crate::store::row::LetterRow;
use crate::store::shape::json;
use crate::store::{DeadLetter, Letters, Stored};

use super::funnel::Funnel;

pub(super) async fn list(funnel: &Funnel, which: Letters, limit: u32) -> Stored<Vec<DeadLetter>> {
    sqlx::query_as::<_, LetterRow>(match which {
        Letters::All => {
            "SELECT id, body, replayed_us, aside FROM dead_letters ORDER BY seq DESC LIMIT $1"
        }
        Letters::Waiting => {
            "SELECT id, body, replayed_us, aside FROM dead_letters WHERE replayed_us IS NULL \
                 AND aside IS NULL \
                 ORDER BY seq DESC LIMIT $1"
        }
    })
    .bind(i64::from(limit))
    .fetch_all(funnel.readers())
    .await?
    .into_iter()
    .map(LetterRow::letter)
    .collect()
}

pub(super) async fn one(funnel: &Funnel, id: DeadLetterId) -> Stored<Option<DeadLetter>> {
    sqlx::query_as::<_, LetterRow>(
        "SELECT id, body, replayed_us, aside FROM dead_letters WHERE id = $1",
    )
    .bind(id.0)
    .fetch_optional(funnel.readers())
    .await?
    .map(LetterRow::letter)
    .transpose()
}

pub(super) async fn set_aside(funnel: &Funnel, id: DeadLetterId, by: &Signed) -> Stored<bool> {
    let changed = sqlx::query("UPDATE dead_letters SET aside = $1 WHERE id = $2")
        .bind(json(by)?)
        .bind(id.0)
        .execute(funnel.readers())
        .await?;
    Ok(changed.rows_affected() == 1)
}
