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
    let row = sqlx::query_as::<_, CountsRow>(AssertSqlSafe(counts_statement("$1::bigint")))
        .bind(micros(now))
        .fetch_one(funnel.readers())
        .await?;
    Ok(row.counts(now))
}
