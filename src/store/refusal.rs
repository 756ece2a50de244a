//! What a database error means: away, a promise about to be broken, or something else.
//!
//! Owns the mapping from SQLSTATE and SQLite result codes to [`StoreError`]; both databases go
//! through it, so a caller sees the same error whichever is behind the trait.

use sqlx::error::DatabaseError;

use super::StoreError;

/// SQLite does not name the unique constraint that refused a row, only its columns.
const UNIQUE_IN_SQLITE: [(&str, &str); 8] = [
    ("events.key", "promise_event_once"),
    ("tasks.run_id", "promise_one_task_per_run"),
    ("cases.event_key", "promise_one_case_per_event"),
    ("runs.connector, runs.rotation_role", "promise_one_rotation"),
    ("journal.run_id, journal.sequence", "promise_journal_once"),
    ("runs.id", "runs_pkey"),
    ("proposals.matter", "promise_one_open_proposal"),
    ("bindings.matter", "promise_bound_once"),
];

/// The only foreign key in the SQLite schema; SQLite does not name it either.
const FOREIGN_KEY_IN_SQLITE: &str = "promise_attested_by_closed_task";

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let constraint = match &error {
            sqlx::Error::Database(said) => match judge(said.as_ref()) {
                Judgement::Away => return Self::Unavailable(Box::new(error)),
                Judgement::Broken(constraint) => constraint,
                Judgement::Refused => return Self::Refused(Box::new(error)),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => return Self::Unavailable(Box::new(error)),
            _ => return Self::Refused(Box::new(error)),
        };
        Self::Broken {
            constraint,
            source: Box::new(error),
        }
    }
}

enum Judgement {
    Away,
    Broken(String),
    Refused,
}

fn judge(said: &dyn DatabaseError) -> Judgement {
    let code = said.code().unwrap_or_default();
    let away = if code.len() == 5 {
        postgres_is_away(&code)
    } else {
        sqlite_is_away(&code)
    };
    if away {
        return Judgement::Away;
    }
    match constraint(said) {
        Some(name) if name.starts_with("promise_") => Judgement::Broken(name),
        Some(_) | None => Judgement::Refused,
    }
}

/// Connection lost or refused (08), out of resources (53), stopped or recovering (57P01 to 57P05),
/// cancelled (57014), cut off while idle (25P03), read-only after a failover (25006), not locked in
/// time (55P03), collision with another transaction (40001, 40P01).
fn postgres_is_away(code: &str) -> bool {
    code.starts_with("08")
        || code.starts_with("53")
        || code.starts_with("57P")
        || matches!(
            code,
            "57014" | "25P03" | "25006" | "55P03" | "40001" | "40P01"
        )
}

/// True when PostgreSQL broke off a transaction that collided with another; nothing was committed.
pub(super) fn collided(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else {
        return false;
    };
    source
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error)
        .and_then(DatabaseError::code)
        .is_some_and(|code| matches!(code.as_ref(), "40001" | "40P01"))
}

/// BUSY, LOCKED, IOERR, FULL and CANTOPEN; the low byte is the primary result code.
fn sqlite_is_away(code: &str) -> bool {
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14))
}

fn constraint(said: &dyn DatabaseError) -> Option<String> {
    if let Some(name) = said.constraint() {
        return Some(name.to_owned());
    }
    let message = said.message();
    if message.starts_with("FOREIGN KEY constraint failed") {
        return Some(FOREIGN_KEY_IN_SQLITE.to_owned());
    }
    if let Some(columns) = message.strip_prefix("UNIQUE constraint failed: ") {
        return UNIQUE_IN_SQLITE
            .iter()
            .find(|(prefix, _)| columns.starts_with(prefix))
            .map(|(_, name)| (*name).to_owned());
    }
    let text = message
        .strip_prefix("CHECK constraint failed: ")
        .unwrap_or(message);
    text.starts_with("promise_").then(|| text.to_owned())
}
