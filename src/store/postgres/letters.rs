//! Dead letters as operators read them.
//!
//! Written by `intake`, marked as replayed by `outbox`; nothing deletes them.

use crate::domain::id::DeadLetterId;
use crate::store::row::LetterRow;
use crate::store::{DeadLetter, Letters, Stored};

use super::funnel::Funnel;

pub(super) async fn list(funnel: &Funnel, which: Letters, limit: u32) -> Stored<Vec<DeadLetter>> {
    sqlx::query_as::<_, LetterRow>(match which {
        Letters::All => "SELECT id, body, replayed_us FROM dead_letters ORDER BY seq DESC LIMIT $1",
        Letters::Waiting => {
            "SELECT id, body, replayed_us FROM dead_letters WHERE replayed_us IS NULL \
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
    sqlx::query_as::<_, LetterRow>("SELECT id, body, replayed_us FROM dead_letters WHERE id = $1")
        .bind(id.0)
        .fetch_optional(funnel.readers())
        .await?
        .map(LetterRow::letter)
        .transpose()
}
