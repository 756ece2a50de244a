//! Rows as both databases return them, and how each becomes a term of the domain.
//!
//! Owns the reading side of every table: the structs are private to the store, and a row that does
//! not fit is an error that names table, column and row. Column names are the same in both schemas.

use std::collections::HashMap;

use uuid::Uuid;

use crate::domain::approval::Signed;
use crate::domain::event::RecordedEvent;
use crate::domain::id::{
    CaseId, ConnectorName, EntitlementId, EventKey, FencingToken, MessageId, RunId, StateName,
};
use crate::domain::pause::{Pause, Pauses};
use crate::domain::run::Run;
use crate::domain::settlement::{CaseRow, ExistingCase, JournalEntry, OutboxMessage};
use crate::domain::task::FallbackTask;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;
use crate::domain::workflow::{End, OutcomeKey};

use super::shape::{corrupt, instant, micros, parsed, readable, run_of};
use super::{CaseReport, Claimed, Counts, DeadLetter, Inventory, KnownAccount, Stored};

/// A run as it is handed to a worker.
#[derive(sqlx::FromRow)]
pub(super) struct LeasedRow {
    pub id: Uuid,
    pub token: i64,
    pub open_children: i32,
    pub task_id: Option<Uuid>,
    pub body: String,
}

/// Tasks that are not closed, by their ids; `None` for one that can't be read.
pub(super) type OpenTasks = HashMap<Uuid, Option<FallbackTask>>;

impl LeasedRow {
    /// With its task, if that is open. `None` for a run of which either can't be read: it stays
    /// leased, owed and visible, and keeps none of the others from their work.
    pub(super) fn claimed(self, open: &mut OpenTasks) -> Option<Claimed> {
        let task = match self.task_id.and_then(|id| open.remove(&id)) {
            Some(read) => Some(read?),
            None => None,
        };
        Some(Claimed {
            run: readable(self.id, &self.body)?,
            token: FencingToken(self.token),
            open_children: self.open_children.cast_unsigned(),
            task,
        })
    }
}

/// A run as it stands.
#[derive(sqlx::FromRow)]
pub(super) struct RunRow {
    pub id: Uuid,
    pub body: String,
}

impl RunRow {
    pub(super) fn run(&self) -> Stored<Run> {
        run_of(self.id, &self.body)
    }
}

/// A run that is halted, and whether a worker is at it.
#[derive(sqlx::FromRow)]
pub(super) struct HaltedRow {
    #[sqlx(flatten)]
    pub run: RunRow,
    pub leased: bool,
}

/// One account as last seen.
#[derive(sqlx::FromRow)]
pub(super) struct KnownRow {
    account: String,
    seen_us: i64,
    credential: String,
    whole: bool,
    body: String,
}

impl KnownRow {
    /// What is known of one target: its rows, and when it was last listed completely.
    pub(super) fn inventory(
        connector: &ConnectorName,
        whole_us: Option<i64>,
        rows: &[Self],
    ) -> Stored<Option<Inventory>> {
        if whole_us.is_none() && rows.is_empty() {
            return Ok(None);
        }
        let whole_at = whole_us.map(|at| {
            Timestamp::from_microsecond(at)
                .map_err(|error| corrupt("inventories", "at_us", connector, &error))
        });
        Ok(Some(Inventory {
            connector: connector.clone(),
            whole_at: whole_at.transpose()?,
            accounts: rows.iter().map(Self::known).collect::<Stored<_>>()?,
        }))
    }

    fn known(&self) -> Stored<KnownAccount> {
        let wrong = |column, message: &dyn std::fmt::Display| {
            corrupt("known_accounts", column, &self.account, message)
        };
        Ok(KnownAccount {
            account: parsed(&self.body, "known_accounts", "body", &self.account)?,
            seen: Timestamp::from_microsecond(self.seen_us)
                .map_err(|error| wrong("seen_us", &error))?,
            credential: CredentialRole::from_name(&self.credential)
                .ok_or_else(|| wrong("credential", &"no such role"))?,
            whole: self.whole,
        })
    }
}

/// An event in line for admission.
#[derive(sqlx::FromRow)]
pub(super) struct EventRow {
    pub seq: i64,
    pub body: String,
}

impl EventRow {
    pub(super) fn event(&self) -> Stored<(i64, RecordedEvent)> {
        Ok((self.seq, parsed(&self.body, "events", "body", self.seq)?))
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct MessageRow {
    id: Uuid,
    topic: String,
    key: Vec<u8>,
    headers: String,
    payload: Vec<u8>,
    created_us: i64,
}

impl MessageRow {
    pub(super) fn message(self) -> Stored<OutboxMessage> {
        Ok(OutboxMessage {
            id: MessageId(self.id),
            topic: self.topic,
            key: self.key,
            headers: parsed(&self.headers, "outbox", "headers", self.id)?,
            payload: self.payload,
            created: instant(self.created_us, "outbox", "created_us", self.id)?,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct JournalRow {
    run_id: Uuid,
    sequence: i64,
    place: i32,
    at_us: i64,
    state: String,
    item: Option<String>,
    outcome: String,
    failure: Option<String>,
    detail: Option<String>,
}

impl JournalRow {
    pub(super) fn entry(self) -> Stored<JournalEntry> {
        let row = self.run_id;
        let outcome = OutcomeKey::from_name(&self.outcome)
            .ok_or_else(|| corrupt("journal", "outcome", row, &"not an outcome"))?;
        Ok(JournalEntry {
            run: RunId(row),
            sequence: self.sequence.cast_unsigned(),
            place: self.place.cast_unsigned(),
            at: instant(self.at_us, "journal", "at_us", row)?,
            state: StateName(self.state),
            item: self.item.map(EntitlementId),
            outcome,
            failure: self
                .failure
                .map(|text| parsed(&text, "journal", "failure", row))
                .transpose()?,
            detail: self
                .detail
                .map(|text| parsed(&text, "journal", "detail", row))
                .transpose()?,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct TaskRow {
    pub id: Uuid,
    body: String,
}

impl TaskRow {
    pub(super) fn task(&self) -> Stored<FallbackTask> {
        parsed(&self.body, "tasks", "body", self.id)
    }

    /// One of many, beside its id.
    pub(super) fn open(&self) -> (Uuid, Option<FallbackTask>) {
        let task = self.task().inspect_err(|error| {
            tracing::error!(task = %self.id, error = %error, "a task can't be read; its run waits");
        });
        (self.id, task.ok())
    }
}

/// A pause that is in force.
#[derive(sqlx::FromRow)]
pub(super) struct PauseRow {
    number: i64,
    connector: String,
    paused_by: String,
    paused_us: i64,
    reason: String,
    escalation: Option<String>,
}

impl PauseRow {
    pub(super) fn all(rows: Vec<Self>) -> Stored<Pauses> {
        let pause = |row: Self| {
            let at = Timestamp::from_microsecond(row.paused_us)
                .map_err(|error| corrupt("pauses", "paused_us", row.number, &error))?;
            let told = row.escalation.as_deref();
            let told = told.map(|told| parsed(told, "pauses", "escalation", row.number));
            Ok(Pause {
                number: row.number.cast_unsigned(),
                connector: (!row.connector.is_empty()).then_some(ConnectorName(row.connector)),
                paused: Signed {
                    by: row.paused_by,
                    at,
                    reason: row.reason,
                },
                escalation: told.transpose()?.unwrap_or_default(),
            })
        };
        Ok(Pauses(rows.into_iter().map(pause).collect::<Stored<_>>()?))
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct LetterRow {
    id: Uuid,
    body: String,
    replayed_us: Option<i64>,
    aside: Option<String>,
}

impl LetterRow {
    pub(super) fn letter(self) -> Stored<DeadLetter> {
        let mut letter: DeadLetter = parsed(&self.body, "dead_letters", "body", self.id)?;
        letter.replayed = self
            .replayed_us
            .map(|at| instant(at, "dead_letters", "replayed_us", self.id))
            .transpose()?;
        let aside = self.aside.as_deref();
        letter.aside = aside
            .map(|text| parsed(text, "dead_letters", "aside", self.id))
            .transpose()?;
        Ok(letter)
    }
}

#[derive(sqlx::FromRow)]
struct CaseColumns {
    id: Uuid,
    subject_key: String,
    subject_name: String,
    event_key: Uuid,
    hr_case: String,
    revision: i64,
    workflow: String,
    effective_us: i64,
    opened_us: i64,
    priority: i16,
    ended: Option<String>,
    ended_us: Option<i64>,
}

impl CaseColumns {
    fn row(&self) -> Stored<CaseRow> {
        Ok(CaseRow {
            id: CaseId(self.id),
            subject_key: self.subject_key.clone(),
            subject_name: self.subject_name.clone(),
            event: EventKey(self.event_key),
            hr_case: self.hr_case.clone(),
            revision: self.revision.cast_unsigned(),
            workflow: self.workflow.clone(),
            effective: instant(self.effective_us, "cases", "effective_us", self.id)?,
            opened: instant(self.opened_us, "cases", "opened_us", self.id)?,
            priority: self.priority,
        })
    }

    fn end(&self) -> Stored<Option<End>> {
        self.ended
            .as_deref()
            .map(|name| {
                End::from_name(name)
                    .ok_or_else(|| corrupt("cases", "ended", self.id, &"not an end"))
            })
            .transpose()
    }
}

/// A case that an event may be about, with its run.
#[derive(sqlx::FromRow)]
pub(super) struct ExistingRow {
    #[sqlx(flatten)]
    case: CaseColumns,
    tenant: String,
    halted: bool,
    run_id: Uuid,
    body: String,
}

impl ExistingRow {
    /// The tenant, and the case.
    pub(super) fn existing(self) -> Stored<(String, ExistingCase)> {
        let existing = ExistingCase {
            row: self.case.row()?,
            run: run_of(self.run_id, &self.body)?,
            ended: self.case.end()?,
            halted: self.halted,
        };
        Ok((self.tenant, existing))
    }
}

/// A line of a list of cases.
#[derive(sqlx::FromRow)]
pub(super) struct ReportRow {
    #[sqlx(flatten)]
    case: CaseColumns,
    removals: i64,
    verified: i64,
    attested: i64,
    open_tasks: i64,
}

impl ReportRow {
    pub(super) fn event_key(&self) -> Uuid {
        self.case.event_key
    }

    pub(super) fn report(&self) -> Stored<CaseReport> {
        let ended_at = self
            .case
            .ended_us
            .map(|at| instant(at, "cases", "ended_us", self.case.id))
            .transpose()?;
        // One that ended before its parts were asked has `verified` in its row for good.
        let ended = match self.case.end()? {
            Some(End::Verified) if self.attested > 0 => Some(End::Attested),
            ended => ended,
        };
        Ok(CaseReport {
            row: self.case.row()?,
            ended,
            ended_at,
            removals: self.removals as u32,
            verified: self.verified as u32,
            attested: self.attested as u32,
            open_tasks: self.open_tasks as u32,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct CountsRow {
    events_recorded: i64,
    events_waiting: i64,
    cases: i64,
    cases_open: i64,
    removals: i64,
    removals_open: i64,
    removals_verified: i64,
    removals_attested: i64,
    runs_with_open_task: i64,
    removals_in_tasks: i64,
    runs_active: i64,
    runs_due: i64,
    tasks_open: i64,
    tasks_overdue: i64,
    rotations_completed: i64,
    rotations_open: i64,
    dead_letters: i64,
    letters_waiting: i64,
    outbox_waiting: i64,
    oldest_us: Option<i64>,
    oldest_task_us: Option<i64>,
}

impl CountsRow {
    pub(super) fn counts(&self, now: Timestamp) -> Counts {
        let whole = i64::cast_unsigned;
        let age = |at: i64| whole((micros(now) - at).max(0)) / 1_000_000;
        Counts {
            events_recorded: whole(self.events_recorded),
            events_waiting: whole(self.events_waiting),
            cases: whole(self.cases),
            cases_open: whole(self.cases_open),
            removals: whole(self.removals),
            removals_open: whole(self.removals_open),
            removals_verified: whole(self.removals_verified),
            removals_attested: whole(self.removals_attested),
            runs_with_open_task: whole(self.runs_with_open_task),
            removals_in_tasks: whole(self.removals_in_tasks),
            runs_active: whole(self.runs_active),
            runs_due: whole(self.runs_due),
            tasks_open: whole(self.tasks_open),
            tasks_overdue: whole(self.tasks_overdue),
            rotations_completed: whole(self.rotations_completed),
            rotations_open: whole(self.rotations_open),
            dead_letters: whole(self.dead_letters),
            letters_waiting: whole(self.letters_waiting),
            outbox_waiting: whole(self.outbox_waiting),
            oldest_event_seconds: self.oldest_us.map(age),
            oldest_task_seconds: self.oldest_task_us.map(age),
        }
    }
}

/// One statement for all figures; `?1` or `$1` is now, in microseconds.
///
/// A leased run is active; so is one that is due, even if a person has its task: the machine is
/// about to try again.
pub(super) fn counts_statement(now: &str) -> String {
    format!(
        "SELECT \
        (SELECT count(*) FROM events) AS events_recorded, \
        (SELECT count(*) FROM events WHERE admitted_us IS NULL) AS events_waiting, \
        (SELECT count(*) FROM cases) AS cases, \
        (SELECT count(*) FROM cases WHERE ended IS NULL) AS cases_open, \
        (SELECT count(*) FROM tasks t JOIN runs r ON r.id = t.run_id WHERE t.state <> 'closed' \
           AND r.ended IS NULL AND r.kind IN ('discovery', 'removal')) AS runs_with_open_task, \
        (SELECT count(*) FROM tasks t JOIN runs r ON r.id = t.run_id WHERE t.state <> 'closed' \
           AND r.ended IS NULL AND r.kind = 'removal') AS removals_in_tasks, \
        (SELECT count(*) FROM tasks WHERE state <> 'closed') AS tasks_open, \
        (SELECT count(*) FROM tasks WHERE state <> 'closed' AND deadline_us < {now}) \
          AS tasks_overdue, \
        (SELECT count(*) FROM dead_letters) AS dead_letters, \
        (SELECT count(*) FROM dead_letters WHERE replayed_us IS NULL AND aside IS NULL) \
          AS letters_waiting, \
        (SELECT count(*) FROM outbox WHERE published_us IS NULL) AS outbox_waiting, \
        (SELECT min(recorded_us) FROM events WHERE admitted_us IS NULL) AS oldest_us, \
        (SELECT min(opened_us) FROM tasks WHERE state <> 'closed') AS oldest_task_us, \
        r.* FROM (SELECT \
          count(*) FILTER (WHERE kind = 'removal') AS removals, \
          count(*) FILTER (WHERE kind = 'removal' AND ended IS NULL) AS removals_open, \
          count(*) FILTER (WHERE kind = 'removal' AND ended = 'verified') AS removals_verified, \
          count(*) FILTER (WHERE kind = 'removal' AND ended = 'attested') AS removals_attested, \
          count(*) FILTER (WHERE ended IS NULL AND (owner IS NOT NULL OR due_us <= {now})) \
            AS runs_active, \
          count(*) FILTER (WHERE ended IS NULL AND owner IS NULL AND due_us <= {now}) AS runs_due, \
          count(*) FILTER (WHERE kind = 'rotation' AND ended = 'rotated') AS rotations_completed, \
          count(*) FILTER (WHERE kind = 'rotation' AND ended IS NULL) AS rotations_open \
          FROM runs) r"
    )
}

/// A case with its figures; the same text on both databases, to be followed by `WHERE`.
pub(super) const REPORT: &str = "SELECT c.*, \
    (SELECT count(*) FROM runs r WHERE r.case_id = c.id AND r.kind = 'removal') AS removals, \
    (SELECT count(*) FROM runs r WHERE r.case_id = c.id AND r.kind = 'removal' \
       AND r.ended = 'verified') AS verified, \
    (SELECT count(*) FROM runs r WHERE r.case_id = c.id AND r.kind IN ('discovery', 'removal') \
       AND r.ended = 'attested') AS attested, \
    (SELECT count(*) FROM tasks t WHERE t.case_id = c.id AND t.state <> 'closed') AS open_tasks \
    FROM cases c";
