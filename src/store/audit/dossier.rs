//! What the log and the tables hold about one case beside its story.
//!
//! Owns the shape of a dossier and how its rows are read. Draws no conclusion; that is who writes the
//! evidence.

use uuid::Uuid;

use crate::domain::audit::Entry;
use crate::domain::command::{Answer, Command};
use crate::domain::event::RecordedEvent;
use crate::domain::time::Timestamp;
use crate::store::Stored;
use crate::store::shape::{instant, parsed};

/// About one case.
#[derive(Debug, Clone)]
pub struct Dossier {
    /// The event that opened it.
    pub event: RecordedEvent,
    /// What admission made of that event.
    pub decision: String,
    /// Why.
    pub reason: String,
    /// When.
    pub admitted: Timestamp,
    /// What people wished about its tasks, and what became of it, oldest first.
    pub wishes: Vec<(Command, Option<Answer>)>,
    /// Table code, key and digest of each row about the case, as the log covers them.
    pub recorded: Vec<Entry>,
}

/// The event's row.
#[derive(sqlx::FromRow)]
pub(in crate::store) struct OpeningRow {
    pub key: Uuid,
    body: String,
    decision: Option<String>,
    reason: Option<String>,
    admitted_us: Option<i64>,
}

/// A wish's row.
#[derive(sqlx::FromRow)]
pub(in crate::store) struct WishRow {
    pub id: Uuid,
    body: String,
    answer: Option<String>,
}

impl OpeningRow {
    /// The dossier that begins with this event.
    pub(in crate::store) fn dossier(
        self,
        wishes: Vec<WishRow>,
        recorded: Vec<Entry>,
    ) -> Stored<Dossier> {
        let key = self.key;
        let wishes = wishes.into_iter().map(|row| {
            let command = parsed(&row.body, "commands", "body", row.id)?;
            let answer = row
                .answer
                .map(|text| parsed(&text, "commands", "answer", row.id));
            Ok((command, answer.transpose()?))
        });
        let event: RecordedEvent = parsed(&self.body, "events", "body", key)?;
        let admitted = self.admitted_us;
        let admitted = admitted
            .map(|at| instant(at, "events", "admitted_us", key))
            .transpose()?;
        Ok(Dossier {
            admitted: admitted.unwrap_or(event.recorded),
            event,
            decision: self.decision.unwrap_or_default(),
            reason: self.reason.unwrap_or_default(),
            wishes: wishes.collect::<Stored<_>>()?,
            recorded,
        })
    }
}

/// The event that opened a case; `{case}` is its id.
pub(in crate::store) const OPENING: &str = "SELECT e.key, e.body, e.decision, e.reason, \
    e.admitted_us FROM events e JOIN cases c ON c.event_key = e.key WHERE c.id = {case}";
/// Wishes about a case's tasks.
pub(in crate::store) const WISHES: &str = "SELECT id, body, answer FROM commands \
    WHERE task_id IN (SELECT id FROM tasks WHERE case_id = {case}) ORDER BY seq";
