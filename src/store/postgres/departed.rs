//! Accounts whose removal has ended, read out of the runs' documents.
//!
//! The index on ended runs of a connector bounds what is read; of each document only two words are
//! taken, in the database. It refuses a whole document for one U+0000 in it, which is replaced.

use async_trait::async_trait;

use crate::domain::id::ConnectorName;
use crate::domain::settlement::ExistingCase;
use crate::domain::time::Timestamp;
use crate::store::Stored;
use crate::store::departed::{DepartedAccount, Departures, Row, last_of_each};
use crate::store::row::ExistingRow;
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
            "SELECT id, replace(body, '\\u0000', '\\ufffd')::jsonb #>> '{body,removal,account,id}', \
             replace(body, '\\u0000', '\\ufffd')::jsonb #>> '{body,removal,account,login}', ended_us FROM runs \
             WHERE connector = $1 AND connector IS NOT NULL AND ended IS NOT NULL \
             AND kind = 'removal' AND ended IN ('verified', 'attested') AND ended_us >= $2 \
             ORDER BY ended_us, id",
        )
        .bind(connector.as_str())
        .bind(micros(since))
        .fetch_all(self.funnel.readers())
        .await?;
        last_of_each(rows)
    }

    async fn cases_of(&self, subject_key: &str) -> Stored<Vec<ExistingCase>> {
        let rows = sqlx::query_as::<_, ExistingRow>(
            "SELECT c.*, r.body FROM cases c JOIN runs r ON r.id = c.run_id \
             WHERE c.subject_key = $1 ORDER BY c.opened_us, c.id",
        )
        .bind(subject_key)
        .fetch_all(self.funnel.readers())
        .await?;
        let cases = rows.into_iter().map(ExistingRow::existing);
        cases.map(|case| case.map(|(_, case)| case)).collect()
    }
}
