//! The floor's tables and its one statement on PostgreSQL.
//!
//! Owns a connection set up as the product's are. All rows of a batch go in as arrays, in one
//! statement that is prepared once and commits by itself.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection, PgPool};
use uuid::Uuid;

use super::{DIGEST, Write};
use crate::database::Sizes;

const TABLES: &str = "
    CREATE TABLE events (key UUID PRIMARY KEY, body TEXT NOT NULL, admitted BOOLEAN NOT NULL)
      WITH (fillfactor = 70);
    CREATE TABLE cases (id UUID PRIMARY KEY, event UUID NOT NULL, ended TEXT)
      WITH (fillfactor = 70);
    CREATE TABLE runs (id UUID PRIMARY KEY, owner UUID NOT NULL, token BIGINT NOT NULL,
      step BIGINT NOT NULL, open_children INTEGER NOT NULL, stage TEXT NOT NULL,
      state TEXT NOT NULL, body TEXT NOT NULL)
      WITH (fillfactor = 70, toast_tuple_target = 8160);
    CREATE TABLE journal (run_id UUID NOT NULL, sequence BIGINT NOT NULL, place INTEGER NOT NULL,
      at_us BIGINT NOT NULL, state TEXT NOT NULL, item TEXT, outcome TEXT NOT NULL, detail TEXT,
      PRIMARY KEY (run_id, sequence, place));
    CREATE TABLE links (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, strand BIGINT NOT NULL,
      sequence BIGINT NOT NULL, previous BYTEA NOT NULL, entries BYTEA NOT NULL, hash BYTEA NOT NULL);
    ALTER TABLE links ALTER COLUMN entries SET STORAGE EXTERNAL;";

const STATEMENT: &str = "WITH \
    recorded AS (INSERT INTO events SELECT key, $2, FALSE FROM UNNEST($1::uuid[]) AS x (key)), \
    marked AS (UPDATE events SET admitted = TRUE FROM UNNEST($3::uuid[]) AS x (key) \
      WHERE events.key = x.key), \
    opened AS (INSERT INTO cases SELECT id, event, NULL \
      FROM UNNEST($4::uuid[], $3::uuid[]) AS x (id, event)), \
    born AS (INSERT INTO runs SELECT id, $5::uuid, 1, 0, waits, 'due', 'revoke_entitlements', \
        CASE WHEN own THEN $6 ELSE $7 END \
      FROM UNNEST($8::uuid[], $9::integer[], $10::boolean[]) AS x (id, waits, own)), \
    moved AS (UPDATE runs SET step = x.step, stage = x.stage, state = x.state, \
        body = CASE WHEN x.own THEN $6 ELSE $7 END \
      FROM UNNEST($11::uuid[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], \
        $16::boolean[]) AS x (id, token, step, stage, state, own) \
      WHERE runs.id = x.id AND runs.owner = $5 AND runs.token = x.token \
        AND runs.step = x.step - 1 \
      RETURNING runs.id), \
    lines AS (INSERT INTO journal SELECT x.*, CASE WHEN x.item IS NULL THEN $17 END \
      FROM UNNEST($18::uuid[], $19::bigint[], $20::integer[], $21::bigint[], $22::text[], \
        $23::text[], $24::text[]) AS x (run_id, sequence, place, at_us, state, item, outcome) \
      JOIN moved ON moved.id = x.run_id), \
    down AS (UPDATE runs SET open_children = open_children - x.ended FROM ( \
        SELECT id, count(*)::integer AS ended FROM UNNEST($25::uuid[]) AS p (id) GROUP BY id) x \
      WHERE runs.id = x.id), \
    ended AS (UPDATE cases SET ended = 'verified' FROM UNNEST($26::uuid[]) AS x (id) \
      WHERE cases.id = x.id), \
    linked AS (INSERT INTO links (strand, sequence, previous, entries, hash) \
      VALUES (1, 1, $27, $28, $27)) \
    SELECT count(*) FROM moved";

/// A connection with the floor's tables.
pub struct Ledger {
    connection: PgConnection,
    owner: Uuid,
    sizes: Sizes,
}

/// A batch as columns.
#[derive(Default)]
struct Rows {
    events: Vec<Uuid>,
    admitted: Vec<Uuid>,
    cases: Vec<Uuid>,
    born: (Vec<Uuid>, Vec<i32>, Vec<bool>),
    moved: Vec<Uuid>,
    steps: Vec<i64>,
    stages: Vec<&'static str>,
    states: Vec<&'static str>,
    own: Vec<bool>,
    lines: Vec<Uuid>,
    sequences: Vec<i64>,
    places: Vec<i32>,
    line_states: Vec<&'static str>,
    items: Vec<Option<&'static str>>,
    outcomes: Vec<&'static str>,
    parents: Vec<Uuid>,
    ended: Vec<Uuid>,
}

impl Ledger {
    pub async fn open(url: &str, pool: &PgPool, sizes: Sizes) -> Result<Self, String> {
        let done = sqlx::raw_sql(TABLES).execute(pool).await;
        done.map_err(|error| error.to_string())?;
        let options = PgConnectOptions::from_str(url).map_err(|error| error.to_string())?;
        let options = options.disable_statement_logging().options([
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("jit", "off"),
        ]);
        let connection = options.connect().await;
        Ok(Self {
            connection: connection.map_err(|error| error.to_string())?,
            owner: Uuid::now_v7(),
            sizes,
        })
    }

    /// Commits a batch; returns how many runs moved.
    pub async fn commit(&mut self, writes: &[Write]) -> Result<u64, sqlx::Error> {
        let mut rows = Rows::default();
        for write in writes {
            rows.add(write);
        }
        let now = clawback::domain::time::Timestamp::now().as_microsecond();
        let moved: i64 = sqlx::query_scalar(STATEMENT)
            .bind(&rows.events)
            .bind(&self.sizes.event)
            .bind(&rows.admitted)
            .bind(&rows.cases)
            .bind(self.owner)
            .bind(&self.sizes.case)
            .bind(&self.sizes.removal)
            .bind(&rows.born.0)
            .bind(&rows.born.1)
            .bind(&rows.born.2)
            .bind(&rows.moved)
            .bind(vec![1_i64; rows.moved.len()])
            .bind(&rows.steps)
            .bind(&rows.stages)
            .bind(&rows.states)
            .bind(&rows.own)
            .bind(&self.sizes.detail)
            .bind(&rows.lines)
            .bind(&rows.sequences)
            .bind(&rows.places)
            .bind(vec![now; rows.lines.len()])
            .bind(&rows.line_states)
            .bind(&rows.items)
            .bind(&rows.outcomes)
            .bind(&rows.parents)
            .bind(&rows.ended)
            .bind(DIGEST)
            .bind(self.sizes.link(rows.lines.len()))
            .fetch_one(&mut self.connection)
            .await?;
        Ok(moved.unsigned_abs())
    }
}

impl Rows {
    fn add(&mut self, write: &Write) {
        match write {
            Write::Record { event } => self.events.push(*event),
            Write::Open { event, case, runs } => {
                self.admitted.push(*event);
                self.cases.push(*case);
                for (place, (run, waits)) in runs.iter().enumerate() {
                    self.born.0.push(*run);
                    self.born.1.push(*waits);
                    self.born.2.push(place == 0);
                }
            }
            Write::Step {
                run,
                step,
                revoke,
                lines,
                parent,
            } => {
                let over = parent.is_some();
                self.step(*run, *step, if over { "ended" } else { "due" }, false);
                self.parents.extend(parent);
                for place in 0..*lines {
                    self.lines.push(*run);
                    self.sequences.push(*step);
                    self.places.push(place as i32);
                    let (state, outcome) = match (*revoke, place) {
                        (true, _) => ("revoke_entitlements", "done"),
                        (false, 0) => ("verify", "absent"),
                        (false, _) => ("probe", "not_needed"),
                    };
                    self.line_states.push(state);
                    self.outcomes.push(outcome);
                    self.items.push(revoke.then_some("group:1"));
                }
            }
            Write::End { run, case } => {
                self.step(*run, 1, "ended", true);
                self.ended.push(*case);
            }
        }
    }

    fn step(&mut self, run: Uuid, step: i64, stage: &'static str, own: bool) {
        self.moved.push(run);
        self.steps.push(step);
        self.stages.push(stage);
        self.states.push(if stage == "ended" {
            "verified"
        } else {
            "look_again"
        });
        self.own.push(own);
    }
}
