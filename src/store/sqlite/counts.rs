//! Figures over the whole store, in one statement.
//!
//! Read for metrics, health and `dev --once`; never on the path of a step.

use crate::domain::time::Timestamp;
use crate::store::shape::micros;
use crate::store::{Counts, Stored};

use super::funnel::Funnel;

#[derive(sqlx::FromRow)]
struct CountsRow {
    events_recorded: i64,
    events_waiting: i64,
    cases: i64,
    cases_open: i64,
    removals: i64,
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
    outbox_waiting: i64,
    oldest_us: Option<i64>,
}

/// A leased run is active; so is one that is due, even if a person has its task: the machine is
/// about to try again.
const COUNTS: &str = "SELECT \
    (SELECT count(*) FROM events) AS events_recorded, \
    (SELECT count(*) FROM events WHERE admitted_us IS NULL) AS events_waiting, \
    (SELECT count(*) FROM cases) AS cases, \
    (SELECT count(*) FROM cases WHERE ended IS NULL) AS cases_open, \
    (SELECT count(*) FROM tasks t JOIN runs r ON r.id = t.run_id WHERE t.state <> 'closed' \
       AND r.ended IS NULL AND r.kind IN ('discovery', 'removal')) AS runs_with_open_task, \
    (SELECT count(*) FROM tasks t JOIN runs r ON r.id = t.run_id WHERE t.state <> 'closed' \
       AND r.ended IS NULL AND r.kind = 'removal') AS removals_in_tasks, \
    (SELECT count(*) FROM tasks WHERE state <> 'closed') AS tasks_open, \
    (SELECT count(*) FROM tasks WHERE state <> 'closed' AND deadline_us < ?1) AS tasks_overdue, \
    (SELECT count(*) FROM dead_letters) AS dead_letters, \
    (SELECT count(*) FROM outbox WHERE published_us IS NULL) AS outbox_waiting, \
    (SELECT min(recorded_us) FROM events WHERE admitted_us IS NULL) AS oldest_us, \
    r.* FROM (SELECT \
      count(*) FILTER (WHERE kind = 'removal') AS removals, \
      count(*) FILTER (WHERE kind = 'removal' AND ended = 'verified') AS removals_verified, \
      count(*) FILTER (WHERE kind = 'removal' AND ended = 'attested') AS removals_attested, \
      count(*) FILTER (WHERE ended IS NULL AND (owner IS NOT NULL OR due_us <= ?1)) AS runs_active, \
      count(*) FILTER (WHERE ended IS NULL AND owner IS NULL AND due_us <= ?1) AS runs_due, \
      count(*) FILTER (WHERE kind = 'rotation' AND ended = 'rotated') AS rotations_completed, \
      count(*) FILTER (WHERE kind = 'rotation' AND ended IS NULL) AS rotations_open \
      FROM runs) r";

pub(super) async fn counts(funnel: &Funnel, now: Timestamp) -> Stored<Counts> {
    let mut reader = funnel.reader().await?;
    let row = sqlx::query_as::<_, CountsRow>(COUNTS)
        .bind(micros(now))
        .fetch_one(&mut *reader)
        .await?;
    let whole = i64::cast_unsigned;
    Ok(Counts {
        events_recorded: whole(row.events_recorded),
        events_waiting: whole(row.events_waiting),
        cases: whole(row.cases),
        cases_open: whole(row.cases_open),
        removals: whole(row.removals),
        removals_verified: whole(row.removals_verified),
        removals_attested: whole(row.removals_attested),
        runs_with_open_task: whole(row.runs_with_open_task),
        removals_in_tasks: whole(row.removals_in_tasks),
        runs_active: whole(row.runs_active),
        runs_due: whole(row.runs_due),
        tasks_open: whole(row.tasks_open),
        tasks_overdue: whole(row.tasks_overdue),
        rotations_completed: whole(row.rotations_completed),
        rotations_open: whole(row.rotations_open),
        dead_letters: whole(row.dead_letters),
        outbox_waiting: whole(row.outbox_waiting),
        oldest_event_seconds: row
            .oldest_us
            .map(|at| whole((micros(now) - at).max(0)) / 1_000_000),
    })
}
