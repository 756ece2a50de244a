//! Accounts whose removal has ended, read out of the runs' documents.
//!
//! The index on ended runs of a connector bounds what is read; of each document only two words are
//! taken, in the database.

use async_trait::async_trait;

use crate::domain::id::ConnectorName;
use crate::domain::time::Timestamp;
use crate::store::Stored;
use crate::store::departed::{DepartedAccount, Departures, Row, last_of_each};
use crate::store::shape::micros;

use super::PostgresStore;

#[async_trait]
impl Departures for PostgresStore {
    async fn departed(
        &self,
        connector: &ConnectorName,
        since: Timestamp,
    ) -> Stored<Vec<DepartedAccount>> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, body::jsonb #>> '{body,removal,account,id}', \
             body::jsonb #>> '{body,removal,account,login}', ended_us FROM runs \
             WHERE connector = $1 AND connector IS NOT NULL AND ended IS NOT NULL \
             AND kind = 'removal' AND ended IN ('verified', 'attested') AND ended_us >= $2 \
             ORDER BY ended_us, id",
        )
        .bind(connector.as_str())
        .bind(micros(since))
        .fetch_all(self.funnel.pool())
        .await?;
        last_of_each(rows)
    }
}
