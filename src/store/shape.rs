//! How the terms of the domain lie in rows: the columns of a run, times as microseconds, JSON.
//!
//! Owns what both databases share about shape, and the errors for rows that do not fit. Names no
//! database. Bodies hold the whole value; columns beside them are what queries and constraints need.

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::domain::run::{Run, RunBody, Stage};
use crate::domain::settlement::JournalEntry;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;
use crate::domain::workflow::{End, RunKind};

use super::{StoreError, Stored};

/// Room for the text of most runs: it is written anew at every step, and not moved while it grows.
const TEXT: usize = 1536;

/// The columns of one run.
#[derive(Debug, Clone)]
pub(super) struct RunColumns {
    pub id: Uuid,
    pub case_id: Option<Uuid>,
    pub parent_id: Option<Uuid>,
    pub kind: &'static str,
    pub connector: Option<String>,
    pub priority: i16,
    pub stage: &'static str,
    pub state: String,
    pub due_us: Option<i64>,
    pub step: i64,
    pub task_id: Option<Uuid>,
    pub verdict: Option<i16>,
    pub ended: Option<&'static str>,
    pub ended_us: Option<i64>,
    pub proof_sequence: Option<i64>,
    pub closed_state: Option<&'static str>,
    pub rotation_role: Option<&'static str>,
    pub body: String,
}

impl RunColumns {
    /// The columns of `run` as it stands after the step that wrote `journal`.
    pub(super) fn of(run: &Run, journal: &[JournalEntry]) -> Stored<Self> {
        let (ended, ended_us) = match &run.stage {
            Stage::Ended { end, at } => (Some(*end), Some(micros(*at))),
            Stage::Due { .. } | Stage::Gathering { .. } | Stage::WithPerson { .. } => (None, None),
        };
        let removal = run.kind == RunKind::Removal;
        // A verdict without a line that says what proved it counts for nothing.
        let proved = removal && ended == Some(End::Verified);
        let proof = journal.iter().map(|entry| entry.sequence).max();
        Ok(Self {
            id: run.id.0,
            case_id: run.case.map(|id| id.0),
            parent_id: run.parent.map(|id| id.0),
            kind: run.kind.as_str(),
            connector: run.connector.as_ref().map(|name| name.0.clone()),
            priority: run.priority,
            stage: stage_name(&run.stage),
            state: run.stage.name().to_owned(),
            due_us: run.stage.due().map(micros_up),
            step: run.step.cast_signed(),
            task_id: run.task.map(|id| id.0),
            verdict: run.verdict.map(crate::domain::verdict::Verdict::rung),
            ended: ended.map(End::as_str),
            ended_us,
            proof_sequence: proof.filter(|_| proved).map(u64::cast_signed),
            closed_state: (removal && ended == Some(End::Attested)).then_some("closed"),
            rotation_role: match &run.body {
                RunBody::Rotation(body) if ended.is_none() => Some(body.role.as_str()),
                RunBody::Rotation(_)
                | RunBody::Case(_)
                | RunBody::Discovery(_)
                | RunBody::Removal(_)
                | RunBody::Care(_) => None,
            },
            body: text_of(run)?,
        })
    }

    /// The columns of a rotation that is asked for: it takes its secret's place or, where another holds
    /// that and the reason allows it, the one behind.
    pub(super) fn wished(run: &Run) -> Stored<Self> {
        let mut columns = Self::of(run, &[])?;
        if let RunBody::Rotation(body) = &run.body
            && body.trigger.waits_its_turn()
        {
            columns.rotation_role = Some(match body.role {
                CredentialRole::Writer => "writer next",
                CredentialRole::Verifier => "verifier next",
                CredentialRole::Rotator => "rotator next",
            });
        }
        Ok(columns)
    }

    /// True while the run waits for its children.
    pub(super) fn gathers(&self) -> bool {
        self.stage == GATHERING
    }
}

/// Ends the name of the place behind that of a secret's rotation. A run that holds it is due when the
/// sweep has moved it up, and without that only after so many years.
pub(super) const BEHIND: &str = " next";
/// How much later, in microseconds.
pub(super) const BEHIND_US: i64 = 10 * 365 * 86_400 * 1_000_000;

/// The stage of a run that waits for its children.
pub(super) const GATHERING: &str = "gathering";

fn stage_name(stage: &Stage) -> &'static str {
    match stage {
        Stage::Due { .. } => "due",
        Stage::Gathering { .. } => GATHERING,
        Stage::WithPerson { .. } => "with_person",
        Stage::Ended { .. } => "ended",
    }
}

/// Microseconds since 1970; what is finer is cut off.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// Microseconds since 1970, rounded up: a due time never comes early.
pub(super) fn micros_up(at: Timestamp) -> i64 {
    let whole = at.as_microsecond();
    whole + i64::from(at.as_nanosecond() > i128::from(whole) * 1000)
}

/// The instant of a column.
pub(super) fn instant(
    micros: i64,
    table: &'static str,
    column: &'static str,
    row: Uuid,
) -> Stored<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|error| corrupt(table, column, row, &error))
}

/// A value as JSON text.
pub(super) fn json<T: Serialize>(value: &T) -> Stored<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Refused(Box::new(error)))
}

/// A run as JSON text.
fn text_of(run: &Run) -> Stored<String> {
    let refused = |error| StoreError::Refused(error);
    let mut text = Vec::with_capacity(TEXT);
    serde_json::to_writer(&mut text, run).map_err(|error| refused(error.into()))?;
    String::from_utf8(text).map_err(|error| refused(error.into()))
}

/// The value of a JSON column.
pub(super) fn parsed<T: DeserializeOwned>(
    text: &str,
    table: &'static str,
    column: &'static str,
    row: impl std::fmt::Display,
) -> Stored<T> {
    serde_json::from_str(text).map_err(|error| corrupt(table, column, row, &error))
}

/// The run of a row.
pub(super) fn run_of(id: Uuid, body: &str) -> Stored<Run> {
    parsed(body, "runs", "body", id)
}

/// The run of a leased row. One that can't be read stays leased, owed and visible; it must not keep
/// the others that came with it from their work.
pub(super) fn readable(id: Uuid, body: &str) -> Option<Run> {
    run_of(id, body)
        .inspect_err(|error| tracing::error!(run = %id, error = %error, "a run can't be read"))
        .ok()
}

/// A row that does not fit.
pub(super) fn corrupt(
    table: &'static str,
    column: &'static str,
    row: impl std::fmt::Display,
    message: &dyn std::fmt::Display,
) -> StoreError {
    StoreError::Corrupt {
        table,
        column,
        row: row.to_string(),
        message: message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_due_time_is_rounded_up_and_never_comes_early() {
        let at = Timestamp::new(1, 1).expect("valid");
        assert_eq!(micros(at), 1_000_000);
        assert_eq!(micros_up(at), 1_000_001);
        let whole = Timestamp::from_microsecond(7).expect("valid");
        assert_eq!(micros_up(whole), 7);
    }
}
