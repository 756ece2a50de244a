//! Figures over the whole store, in one statement.
//!
//! Read for metrics, health and `dev --once`; never on the path of a step.

use sqlx::AssertSqlSafe;

use crate::domain::time::Timestamp;
use crate::store::row::{CountsRow, counts_statement};
use crate::store::shape::micros;
use crate::store::{Counts, Stored};

use super::funnel::Funnel;

pub(super) async fn counts(funnel: &Funnel, now: Timestamp) -> Stored<Counts> {
    let mut reader = funnel.reader().await?;
    let row = sqlx::query_as::<_, CountsRow>(AssertSqlSafe(counts_statement("?1")))
        .bind(micros(now))
        .fetch_one(&mut *reader)
        .await?;
    Ok(row.counts(now))
}
