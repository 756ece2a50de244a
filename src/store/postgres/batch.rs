//! One statement for a whole batch: arrays go in, and each table's part is a `WITH` query.
//!
//! Owns the growing text and its arguments. The text depends only on which parts a batch has, not on
//! how many rows, so every one of them is prepared once and its plan kept.

use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Arguments, AssertSqlSafe, Encode, FromRow, Postgres, Type};

use crate::store::{StoreError, Stored};

/// A statement under construction.
#[derive(Default)]
pub(super) struct Batch {
    parts: Vec<String>,
    arguments: PgArguments,
    count: usize,
}

impl Batch {
    /// Adds a value; returns its `$n::type`.
    pub(super) fn value<T>(&mut self, sql_type: &str, value: T) -> Stored<String>
    where
        T: for<'q> Encode<'q, Postgres> + Type<Postgres>,
    {
        self.arguments.add(value).map_err(StoreError::Refused)?;
        self.count += 1;
        Ok(format!("${}::{sql_type}", self.count))
    }

    /// Adds a `WITH` part.
    pub(super) fn part(&mut self, name: &str, text: &str) {
        self.parts.push(format!("{name} AS ({text})"));
    }

    /// Adds a `WITH` part that is worked out once, however often it is looked into.
    pub(super) fn whole(&mut self, name: &str, text: &str) {
        self.parts.push(format!("{name} AS MATERIALIZED ({text})"));
    }

    /// Runs the statement that ends with `select`.
    pub(super) async fn fetch<R>(self, tx: &mut PgConnection, select: &str) -> Stored<Vec<R>>
    where
        R: for<'r> FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let text = format!("WITH {} {select}", self.parts.join(", "));
        Ok(sqlx::query_as_with(AssertSqlSafe(text), self.arguments)
            .fetch_all(tx)
            .await?)
    }
}

/// Rows as columns: `(SELECT UNNEST($1::uuid[]) AS run_id, UNNEST($2::text[]) AS state) AS j`.
///
/// Among what is selected, arrays are taken apart side by side, row by row. Behind `FROM` each of them
/// would first be copied into a store of its own, of 16 KB at least.
pub(super) struct Columns<'b> {
    batch: &'b mut Batch,
    values: Vec<String>,
    names: Vec<&'static str>,
}

impl<'b> Columns<'b> {
    pub(super) fn new(batch: &'b mut Batch) -> Self {
        Self {
            batch,
            values: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Adds a column of this element type.
    pub(super) fn add<T>(
        &mut self,
        name: &'static str,
        element: &str,
        values: Vec<T>,
    ) -> Stored<&mut Self>
    where
        Vec<T>: for<'q> Encode<'q, Postgres> + Type<Postgres>,
    {
        let value = self.batch.value(&format!("{element}[]"), values)?;
        self.values.push(value);
        self.names.push(name);
        Ok(self)
    }

    /// The rows under this name.
    pub(super) fn rows(&self, alias: &str) -> String {
        let columns = self.values.iter().zip(&self.names);
        let columns: Vec<_> = columns
            .map(|(value, name)| format!("UNNEST({value}) AS {name}"))
            .collect();
        format!("(SELECT {}) AS {alias}", columns.join(", "))
    }
}
