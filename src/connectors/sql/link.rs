//! One open connection to either database, with the few verbs that the kind needs.
//!
//! Owns what differs between PostgreSQL and SQLite: how a transaction begins, how a value finds its
//! type, how a row becomes text. Types are taken from the database, so that `:account` can stand
//! for a number, a UUID or text without a cast in the manifest.

use sqlx::mysql::{MySql, MySqlArguments, MySqlConnection, MySqlRow};
use sqlx::postgres::{PgArguments, PgConnection, PgTypeInfo, PgTypeKind};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{
    Arguments, AssertSqlSafe, Column, Connection, Either, Encode, Executor, Postgres, Row as _,
    SqlSafeStr, Sqlite, Statement as _, Type, TypeInfo, ValueRef,
};

use super::classify::{self, Phase};
use super::place::Place;
use super::render::{Bound, Row};
use crate::domain::outcome::Failure;

/// An open connection.
#[derive(Debug)]
pub enum Link {
    /// To a PostgreSQL server.
    Postgres(PgConnection),
    /// To a MariaDB server.
    Mariadb(Box<MySqlConnection>),
    /// To a SQLite file.
    Sqlite(SqliteConnection),
}

impl Link {
    /// True when the other side still answers.
    pub async fn answers(&mut self) -> bool {
        match self {
            Self::Postgres(link) => link.ping().await.is_ok(),
            Self::Mariadb(link) => link.ping().await.is_ok(),
            Self::Sqlite(link) => link.ping().await.is_ok(),
        }
    }

    /// Says good-bye; that it is not heard is no loss.
    pub async fn close(self) {
        let said = match self {
            Self::Postgres(link) => link.close().await,
            Self::Mariadb(link) => link.close().await,
            Self::Sqlite(link) => link.close().await,
        };
        if let Err(error) = said {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a connection was not closed well"
            );
        }
    }

    /// Begins a snapshot in which nothing can be written. An independent reader would rather be
    /// refused than silently see a part: row-level security then is an error, not a filter.
    pub async fn begin_reading(&mut self, place: &Place, independent: bool) -> Result<(), Failure> {
        let text = match self {
            Self::Postgres(_) => format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}{}",
                bounds(place),
                if independent {
                    "; SET LOCAL row_security = off"
                } else {
                    ""
                }
            ),
            Self::Mariadb(_) => format!("{}; START TRANSACTION READ ONLY", mariadb_bounds(place)),
            Self::Sqlite(_) => "BEGIN DEFERRED".to_owned(),
        };
        self.run(text, Phase::Statement).await
    }

    /// Begins a transaction in which a row that another one changed meanwhile is an error.
    pub async fn begin_writing(&mut self, place: &Place) -> Result<(), Failure> {
        let text = match self {
            Self::Postgres(_) => {
                format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {}", bounds(place))
            }
            // What changes accounts there commits by itself.
            Self::Mariadb(_) => mariadb_bounds(place),
            Self::Sqlite(_) => "BEGIN IMMEDIATE".to_owned(),
        };
        self.run(text, Phase::Statement).await
    }

    /// Makes the transaction's work last.
    pub async fn commit(&mut self) -> Result<(), Failure> {
        self.run("COMMIT".to_owned(), Phase::Commit).await
    }

    /// Undoes the transaction's work.
    pub async fn roll_back(&mut self) -> Result<(), Failure> {
        self.run("ROLLBACK".to_owned(), Phase::Statement).await
    }

    /// Keeps the next statement out of the server's log and statistics, where the role may do so.
    pub async fn hush(&mut self) -> Result<(), Failure> {
        for setting in [
            "log_statement = 'none'",
            "pg_stat_statements.track_utility = off",
        ] {
            self.run("SAVEPOINT hush".to_owned(), Phase::Statement)
                .await?;
            let set = format!("SET LOCAL {setting}");
            if self.run(set, Phase::Statement).await.is_err() {
                let back = "ROLLBACK TO SAVEPOINT hush".to_owned();
                self.run(back, Phase::Statement).await?;
            }
        }
        Ok(())
    }

    /// Runs text that takes no values and gives no rows.
    pub async fn run(&mut self, text: String, phase: Phase) -> Result<(), Failure> {
        let query = sqlx::raw_sql(AssertSqlSafe(text));
        let result = match self {
            Self::Postgres(link) => query.execute(link).await.map(drop),
            Self::Mariadb(link) => query.execute(&mut **link).await.map(drop),
            Self::Sqlite(link) => query.execute(link).await.map(drop),
        };
        result.map_err(|error| classify::failure(&error, phase))
    }

    /// The rows of a reading statement.
    pub async fn fetch(&mut self, bound: &Bound) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Postgres(link) => {
                // As JSON, every type of the database comes as text in one known form.
                let text = format!("SELECT row_to_json(q)::text AS q FROM ({}) AS q", bound.sql);
                let (statement, values) = prepare(link, &text, &bound.values).await?;
                let rows = statement.query_with(values).fetch_all(link).await;
                let rows = rows.map_err(|error| classify::failure(&error, Phase::Statement))?;
                let row = |row: &sqlx::postgres::PgRow| {
                    let text: String = row
                        .try_get(0)
                        .map_err(|error| classify::failure(&error, Phase::Statement))?;
                    from_json(&text)
                };
                rows.iter().map(row).collect()
            }
            Self::Mariadb(link) => {
                let rows = mariadb_query(bound).fetch_all(&mut **link).await;
                let rows = rows.map_err(|error| classify::failure(&error, Phase::Statement))?;
                rows.iter().map(from_mariadb).collect()
            }
            Self::Sqlite(link) => fetch_sqlite(link, bound).await,
        }
    }

    /// The number of rows that a writing statement touched.
    pub async fn execute(&mut self, bound: &Bound) -> Result<u64, Failure> {
        match self {
            Self::Postgres(link) => {
                let (statement, values) = prepare(link, &bound.sql, &bound.values).await?;
                let done = statement.query_with(values).execute(link).await;
                done.map(|done| done.rows_affected())
            }
            Self::Mariadb(_) => {
                return Err(classify::drifted("a row of MariaDB is never written"));
            }
            Self::Sqlite(link) => {
                let done = sqlite_query(bound, Numbers::AsText).execute(link).await;
                done.map(|done| done.rows_affected())
            }
        }
        .map_err(|error| classify::failure(&error, Phase::Statement))
    }

    /// How far a replica lags behind its primary; a replica that cannot tell is infinitely old.
    pub async fn lag_seconds(&mut self) -> Result<u64, Failure> {
        if !matches!(self, Self::Postgres(_)) {
            return Ok(0);
        }
        let question = Bound::plain(
            "SELECT CASE WHEN pg_is_in_recovery() THEN COALESCE(ceil(extract(epoch FROM \
             clock_timestamp() - pg_last_xact_replay_timestamp()))::bigint, \
             9223372036854775807) ELSE 0 END AS seconds",
        );
        let rows = self.fetch(&question).await?;
        let row = rows.first().and_then(|row| row.get("seconds"));
        Ok(row
            .and_then(Option::as_deref)
            .and_then(|seconds| seconds.parse::<i64>().ok())
            .map_or(u64::MAX, |seconds| u64::try_from(seconds).unwrap_or(0)))
    }
}

/// Time limits of one transaction. LOCAL, so that a pooler between us and the server keeps nothing.
fn bounds(place: &Place) -> String {
    let statement = place.statement_timeout.as_millis();
    let lock = place.lock_timeout.as_millis();
    format!(
        "SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = {lock}; \
         SET LOCAL idle_in_transaction_session_timeout = {statement}"
    )
}

/// The same for a MariaDB session. Without modes, backslashes escape as `QUOTE` writes them.
fn mariadb_bounds(place: &Place) -> String {
    let statement = place.statement_timeout.as_secs();
    let lock = place.lock_timeout.as_secs();
    format!(
        "SET SESSION sql_mode = '', max_statement_time = {statement}, \
         lock_wait_timeout = {lock}, innodb_lock_wait_timeout = {lock}"
    )
}

/// Lets the server infer the type of each place, and turns the values into those types.
async fn prepare(
    link: &mut PgConnection,
    text: &str,
    values: &[String],
) -> Result<(sqlx::postgres::PgStatement, PgArguments), Failure> {
    let statement = link
        .prepare(AssertSqlSafe(text.to_owned()).into_sql_str())
        .await
        .map_err(|error| classify::failure(&error, Phase::Statement))?;
    let mut arguments = PgArguments::default();
    if let Some(Either::Left(types)) = statement.parameters() {
        for (info, value) in types.iter().zip(values) {
            let typed = Typed::new(info, value)?;
            arguments
                .add(typed)
                .map_err(|error| classify::drifted(format!("a value cannot be bound: {error}")))?;
        }
    }
    Ok((statement, arguments))
}

/// A value in the binary form of the type that the server inferred.
struct Typed {
    info: PgTypeInfo,
    bytes: Vec<u8>,
}

impl Typed {
    fn new(info: &PgTypeInfo, value: &str) -> Result<Self, Failure> {
        let shape = || classify::drifted(format!("an id is no value of type {}", info.name()));
        let bytes = match base(info).name() {
            "INT2" => value
                .parse::<i16>()
                .map_err(|_| shape())?
                .to_be_bytes()
                .into(),
            "INT4" => value
                .parse::<i32>()
                .map_err(|_| shape())?
                .to_be_bytes()
                .into(),
            "INT8" => value
                .parse::<i64>()
                .map_err(|_| shape())?
                .to_be_bytes()
                .into(),
            "UUID" => {
                let uuid: uuid::Uuid = value.parse().map_err(|_| shape())?;
                uuid.as_bytes().to_vec()
            }
            name if is_text(base(info), name) => value.as_bytes().to_vec(),
            other => {
                return Err(classify::drifted(format!(
                    "a parameter has type {other}; cast it, as in CAST(:account AS text)"
                )));
            }
        };
        Ok(Self {
            info: info.clone(),
            bytes,
        })
    }
}

fn base(info: &PgTypeInfo) -> &PgTypeInfo {
    match info.kind() {
        PgTypeKind::Domain(inner) => base(inner),
        _ => info,
    }
}

fn is_text(info: &PgTypeInfo, name: &str) -> bool {
    matches!(info.kind(), PgTypeKind::Enum(_))
        || matches!(name, "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN")
        || name.eq_ignore_ascii_case("citext")
}

impl Type<Postgres> for Typed {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Typed {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        buffer.extend_from_slice(&self.bytes);
        Ok(sqlx::encode::IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.info.clone())
    }
}

fn from_json(text: &str) -> Result<Row, Failure> {
    use serde_json::Value;
    let object: serde_json::Map<String, Value> =
        serde_json::from_str(text).map_err(|_| classify::drifted("a row is no record"))?;
    let value = |(name, value): (String, Value)| {
        let text = match value {
            Value::Null => None,
            Value::Bool(flag) => Some(flag.to_string()),
            Value::String(text) => Some(text),
            // A number with a fraction may have lost digits on the way; an id must not.
            Value::Number(number) if number.is_f64() => {
                return Err(classify::drifted(format!(
                    "the column `{name}` is no whole number; cast it to text"
                )));
            }
            Value::Number(number) => Some(number.to_string()),
            Value::Array(_) | Value::Object(_) => {
                return Err(classify::drifted(format!(
                    "the column `{name}` is a list or a record; cast it to text"
                )));
            }
        };
        Ok((name, text))
    };
    object.into_iter().map(value).collect()
}

/// How a value that is a whole number is bound. SQLite turns neither into the other where it compares with
/// what has no type of its own (a column declared without one, or an expression): there 7 is not '7'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    AsText,
    AsIntegers,
}

/// The rows of a reading statement, if they do not depend on how a number is bound: rows that only the
/// other way shows are access that would be overlooked.
async fn fetch_sqlite(link: &mut SqliteConnection, bound: &Bound) -> Result<Vec<Row>, Failure> {
    let rows = sqlite_rows(link, bound, Numbers::AsText).await?;
    if !bound.values.iter().any(|value| whole(value).is_some()) {
        return Ok(rows);
    }
    // Without an order of their own, rows may come in another one.
    let sorted = |rows: &[Row]| {
        let mut rows = rows.to_vec();
        rows.sort();
        rows
    };
    let others = sqlite_rows(link, bound, Numbers::AsIntegers).await?;
    if sorted(&rows) != sorted(&others) {
        return Err(classify::drifted(
            "a statement finds other rows for an id as a number than for the same id as text, because it \
             compares it with a column or an expression without a type; write CAST(:account AS INTEGER), \
             or CAST(:account AS TEXT) where the ids are text",
        ));
    }
    Ok(rows)
}

async fn sqlite_rows(
    link: &mut SqliteConnection,
    bound: &Bound,
    numbers: Numbers,
) -> Result<Vec<Row>, Failure> {
    let rows = sqlite_query(bound, numbers).fetch_all(link).await;
    let rows = rows.map_err(|error| classify::failure(&error, Phase::Statement))?;
    rows.iter().map(from_sqlite).collect()
}

fn sqlite_query(
    bound: &Bound,
    numbers: Numbers,
) -> sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments> {
    let query = sqlx::query(AssertSqlSafe(bound.sql.clone()));
    let values = bound.values.iter();
    values.fold(query, |query, value| match (numbers, whole(value)) {
        (Numbers::AsIntegers, Some(number)) => query.bind(number),
        (Numbers::AsIntegers, None) | (Numbers::AsText, _) => query.bind(value.clone()),
    })
}

/// The number that a text is, in the one form in which it is written back alike.
fn whole(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn mariadb_query(bound: &Bound) -> sqlx::query::Query<'static, MySql, MySqlArguments> {
    let query = sqlx::query(AssertSqlSafe(bound.sql.clone()));
    let values = bound.values.iter().cloned();
    values.fold(query, sqlx::query::Query::bind)
}

/// Every column of our reads comes as text.
fn from_mariadb(row: &MySqlRow) -> Result<Row, Failure> {
    let mut read = Row::new();
    for (i, column) in row.columns().iter().enumerate() {
        let value: Option<String> = row
            .try_get_unchecked(i)
            .map_err(|error| classify::failure(&error, Phase::Statement))?;
        read.insert(column.name().to_owned(), value);
    }
    Ok(read)
}

fn from_sqlite(row: &SqliteRow) -> Result<Row, Failure> {
    let failed = |error: sqlx::Error| classify::failure(&error, Phase::Statement);
    let mut read = Row::new();
    for (i, column) in row.columns().iter().enumerate() {
        let raw = row.try_get_raw(i).map_err(failed)?;
        let info = raw.type_info();
        let value = if raw.is_null() {
            None
        } else if matches!(info.name(), "INTEGER" | "BOOLEAN") {
            let number: i64 = row.try_get_unchecked(i).map_err(failed)?;
            Some(number.to_string())
        } else if matches!(info.name(), "TEXT" | "DATETIME" | "DATE" | "TIME") {
            Some(row.try_get_unchecked(i).map_err(failed)?)
        } else {
            return Err(classify::drifted(format!(
                "the column `{}` has type {}; cast it to text",
                column.name(),
                info.name()
            )));
        };
        read.insert(column.name().to_owned(), value);
    }
    Ok(read)
}
