//! The floor's tables and statements on SQLite.
//!
//! Owns the one writing connection, set up as the product's: WAL, full sync, `BEGIN IMMEDIATE`. Rows
//! go in many to a statement, in a handful of lengths, so that all statements stay prepared.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::str::FromStr;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use uuid::Uuid;

use super::{DIGEST, Write};
use crate::database::Sizes;

const TABLES: &str = "
    CREATE TABLE events (key BLOB PRIMARY KEY, body TEXT NOT NULL, admitted INTEGER NOT NULL);
    CREATE TABLE cases (id BLOB PRIMARY KEY, event BLOB NOT NULL, ended TEXT);
    CREATE TABLE runs (id BLOB PRIMARY KEY, owner BLOB NOT NULL, token INTEGER NOT NULL,
      step INTEGER NOT NULL, open_children INTEGER NOT NULL, stage TEXT NOT NULL,
      state TEXT NOT NULL, body TEXT NOT NULL);
    CREATE TABLE journal (run_id BLOB NOT NULL, sequence INTEGER NOT NULL, place INTEGER NOT NULL,
      at_us INTEGER NOT NULL, state TEXT NOT NULL, item TEXT, outcome TEXT NOT NULL, detail TEXT,
      PRIMARY KEY (run_id, sequence, place)) WITHOUT ROWID;
    CREATE TABLE links (seq INTEGER PRIMARY KEY, strand INTEGER NOT NULL, sequence INTEGER NOT NULL,
      previous BLOB NOT NULL, entries BLOB NOT NULL, hash BLOB NOT NULL);";

const RECORD: &str = "INSERT INTO events VALUES {rows}";
const MARK: &str = "UPDATE events SET admitted = 1 WHERE key IN (VALUES {rows})";
const OPEN: &str = "INSERT INTO cases VALUES {rows}";
const BORN: &str = "INSERT INTO runs VALUES {rows}";
const MOVE: &str = "WITH u (id, owner, token, step, stage, state, body) AS (VALUES {rows}) \
    UPDATE runs SET step = u.step, stage = u.stage, state = u.state, body = u.body FROM u \
    WHERE runs.id = u.id AND runs.owner = u.owner AND runs.token = u.token \
      AND runs.step = u.step - 1";
const LINE: &str = "INSERT INTO journal VALUES {rows}";
const DOWN: &str = "WITH u (id, ended) AS (VALUES {rows}) \
    UPDATE runs SET open_children = open_children - u.ended FROM u WHERE runs.id = u.id";
const LINK: &str =
    "INSERT INTO links (strand, sequence, previous, entries, hash) VALUES (1, 1, ?, ?, ?)";
const END: &str = "UPDATE cases SET ended = 'verified' WHERE id IN (VALUES {rows})";

/// A value of a row.
enum Value<'a> {
    Id(Uuid),
    Number(i64),
    Text(&'a str),
    Nothing,
}

/// The one writing connection.
pub struct Ledger {
    connection: SqliteConnection,
    owner: Uuid,
    sizes: Sizes,
}

/// A batch as rows.
#[derive(Default)]
struct Rows<'a> {
    events: Vec<Vec<Value<'a>>>,
    admitted: Vec<Vec<Value<'a>>>,
    cases: Vec<Vec<Value<'a>>>,
    born: Vec<Vec<Value<'a>>>,
    moved: Vec<Vec<Value<'a>>>,
    lines: Vec<Vec<Value<'a>>>,
    parents: HashMap<Uuid, i64>,
    ended: Vec<Vec<Value<'a>>>,
}

impl Ledger {
    pub async fn open(url: &str, sizes: Sizes) -> Result<Self, String> {
        let options = SqliteConnectOptions::from_str(url).map_err(|error| error.to_string())?;
        let options = options
            .create_if_missing(true)
            .statement_cache_capacity(512)
            .disable_statement_logging()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", "4000")
            .pragma("cache_size", "-16384");
        let connection = options.connect().await;
        let mut connection = connection.map_err(|error| error.to_string())?;
        let done = sqlx::raw_sql(TABLES).execute(&mut connection).await;
        done.map_err(|error| error.to_string())?;
        Ok(Self {
            connection,
            owner: Uuid::now_v7(),
            sizes,
        })
    }

    /// Commits a batch; returns how many runs moved.
    pub async fn commit(&mut self, writes: &[Write]) -> Result<u64, sqlx::Error> {
        let mut rows = Rows::default();
        for write in writes {
            rows.add(write, self.owner, &self.sizes);
        }
        let parents = rows.parents.iter();
        let parents: Vec<_> = parents
            .map(|(run, ended)| vec![Value::Id(*run), Value::Number(*ended)])
            .collect();
        let mut tx = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        write(&mut tx, RECORD, &rows.events).await?;
        write(&mut tx, MARK, &rows.admitted).await?;
        write(&mut tx, OPEN, &rows.cases).await?;
        write(&mut tx, BORN, &rows.born).await?;
        let moved = write(&mut tx, MOVE, &rows.moved).await?;
        write(&mut tx, LINE, &rows.lines).await?;
        write(&mut tx, DOWN, &parents).await?;
        write(&mut tx, END, &rows.ended).await?;
        sqlx::query(LINK)
            .bind(DIGEST)
            .bind(self.sizes.link(rows.lines.len()))
            .bind(DIGEST)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(moved)
    }
}

/// Runs a statement over rows, in chunks of 256, 128, …, 1; returns how many rows it touched.
async fn write(
    tx: &mut SqliteConnection,
    sql: &str,
    mut rows: &[Vec<Value<'_>>],
) -> Result<u64, sqlx::Error> {
    let mut touched = 0;
    while let Some(first) = rows.first() {
        let (chunk, later) = rows.split_at((1 << rows.len().ilog2()).min(256));
        rows = later;
        let mut places = String::new();
        for row in 0..chunk.len() {
            let comma = if row == 0 { "" } else { "," };
            let _ = write!(places, "{comma}(?{})", ",?".repeat(first.len() - 1));
        }
        let mut query = sqlx::query(AssertSqlSafe(sql.replace("{rows}", &places)));
        for value in chunk.iter().flatten() {
            query = match value {
                Value::Id(id) => query.bind(*id),
                Value::Number(number) => query.bind(*number),
                Value::Text(text) => query.bind(*text),
                Value::Nothing => query.bind(None::<&str>),
            };
        }
        touched += query.execute(&mut *tx).await?.rows_affected();
    }
    Ok(touched)
}

impl<'a> Rows<'a> {
    #[allow(clippy::too_many_lines)] // One arm for each kind of write; parts of it mean nothing alone.
    fn add(&mut self, write: &Write, owner: Uuid, sizes: &'a Sizes) {
        use Value::{Id, Nothing, Number, Text};
        let moved = |run: Uuid, step: i64, stage: &'static str, body: &'a str| {
            let (stage, state) = (Text(stage), Text("look_again"));
            vec![
                Id(run),
                Id(owner),
                Number(1),
                Number(step),
                stage,
                state,
                Text(body),
            ]
        };
        match write {
            Write::Record { event } => {
                self.events
                    .push(vec![Id(*event), Text(&sizes.event), Number(0)]);
            }
            Write::Open { event, case, runs } => {
                self.admitted.push(vec![Id(*event)]);
                self.cases.push(vec![Id(*case), Id(*event), Nothing]);
                for (place, (run, waits)) in runs.iter().enumerate() {
                    let body = if place == 0 {
                        &sizes.case
                    } else {
                        &sizes.removal
                    };
                    let (stage, state) = (Text("due"), Text("revoke_entitlements"));
                    let (waits, body) = (Number(i64::from(*waits)), Text(body));
                    let (token, step) = (Number(1), Number(0));
                    self.born.push(vec![
                        Id(*run),
                        Id(owner),
                        token,
                        step,
                        waits,
                        stage,
                        state,
                        body,
                    ]);
                }
            }
            Write::Step {
                run,
                step,
                revoke,
                lines,
                parent,
            } => {
                let stage = if parent.is_some() { "ended" } else { "due" };
                self.moved.push(moved(*run, *step, stage, &sizes.removal));
                if let Some(parent) = parent {
                    *self.parents.entry(*parent).or_default() += 1;
                }
                let now = clawback::domain::time::Timestamp::now().as_microsecond();
                for place in 0..*lines {
                    let detail = Text(sizes.detail.as_str());
                    let (state, item, outcome, detail) = match (*revoke, place) {
                        (true, _) => ("revoke_entitlements", Text("group:1"), "done", Nothing),
                        (false, 0) => ("verify", Nothing, "absent", detail),
                        (false, _) => ("probe", Nothing, "not_needed", detail),
                    };
                    let (sequence, place) = (Number(*step), Number(place as i64));
                    let (state, outcome) = (Text(state), Text(outcome));
                    self.lines.push(vec![
                        Id(*run),
                        sequence,
                        place,
                        Number(now),
                        state,
                        item,
                        outcome,
                        detail,
                    ]);
                }
            }
            Write::End { run, case } => {
                self.moved.push(moved(*run, 1, "ended", &sizes.case));
                self.ended.push(vec![Id(*case)]);
            }
        }
    }
}
