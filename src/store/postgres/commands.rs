//! Wishes of operators, in line until a worker carries them out.
//!
//! Wishes about no task come first. One about a task whose run is leased stays in line: the worker that
//! holds the run comes before it.
//! Workers follow each other through a gate, so wishes about one task keep their order.

use std::collections::HashSet;

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::domain::command::{Answer, Command};
use crate::domain::id::{CaseId, CommandId, RunId, TaskId};
use crate::domain::review::released;
use crate::domain::run::Run;
use crate::domain::settlement::Obedience;
use crate::domain::time::Timestamp;
use crate::store::audit::{Notes, Touched, tables};
use crate::store::row::RunRow;
use crate::store::shape::{RunColumns, json, micros, micros_up, parsed};
use crate::store::{ObeyFn, Stored};

use super::batch::Batch;
use super::funnel::{Funnel, within};
use super::{admission, audit, cases, drills, gate, health, people, runs, tasks};

pub(super) async fn wish(funnel: &Funnel, command: &Command) -> Stored<()> {
    let task = command.wish.task().map(|id| id.0);
    let body = json(command)?;
    let mut reader = funnel.reader("wish").await?;
    let done = within(async {
        let mut tx = reader.begin().await?;
        let new: Option<Uuid> = sqlx::query_scalar(
            "INSERT INTO commands (id, task_id, body) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO NOTHING RETURNING id",
        )
        .bind(command.id.0)
        .bind(task)
        .bind(&body)
        .fetch_optional(&mut *tx)
        .await?;
        let mut notes = Notes::default();
        if new.is_some() {
            notes.command(command.id.0, task, &body);
        }
        let tip = audit::write(&mut tx, &funnel.strands, &notes).await?;
        sqlx::query(gate::TELL).execute(&mut *tx).await?;
        tx.commit().await?;
        funnel.strands.give(tip);
        Ok(())
    });
    let done = done.await;
    reader.ended(done)
}

pub(super) async fn answer(funnel: &Funnel, id: CommandId) -> Stored<Option<Answer>> {
    let text: Option<Option<String>> =
        sqlx::query_scalar("SELECT answer FROM commands WHERE id = $1")
            .bind(id.0)
            .fetch_optional(funnel.readers())
            .await?;
    text.flatten()
        .map(|text| parsed(&text, "commands", "answer", id))
        .transpose()
}

pub(super) async fn obey(
    funnel: &Funnel,
    which: &'static str,
    limit: u32,
    now: Timestamp,
    decide: ObeyFn<'_>,
) -> Stored<u32> {
    let mut tries = 0;
    loop {
        let mut lane = funnel.lane("obey").await?;
        let obeyed = within(try_obey(&mut lane, funnel, which, limit, now, decide)).await;
        match lane.done(obeyed, &mut tries) {
            Some(Ok(Some(obeyed))) => return Ok(obeyed),
            Some(Err(error)) => return Err(error),
            // Without the one that was set aside.
            Some(Ok(None)) | None => {}
        }
    }
}

/// Wishes about no task first, a pause above all: thousands about tasks may have come before it, in one
/// command. Each kind is in the order of its arrival, and nothing of one depends on the other.
pub(super) const WAITING: &str = "SELECT id, body FROM ( \
      SELECT * FROM (SELECT 0 AS turn, seq, id, body FROM commands \
        WHERE answer IS NULL AND task_id IS NULL ORDER BY seq LIMIT $1) AS estate \
      UNION ALL \
      SELECT * FROM (SELECT 1 AS turn, c.seq, c.id, c.body FROM commands c \
        LEFT JOIN tasks t ON t.id = c.task_id LEFT JOIN runs r ON r.id = t.run_id \
        WHERE c.answer IS NULL AND c.task_id IS NOT NULL AND r.owner IS NULL \
        ORDER BY c.seq LIMIT $1) AS about_tasks \
    ) AS waiting ORDER BY turn, seq LIMIT $1";

/// Pauses and their ends alone. In a JSON string a quotation mark has a backslash before it, so no text
/// that somebody wrote reads like this.
pub(super) const PAUSES: &str = "SELECT id, body FROM commands WHERE answer IS NULL AND task_id IS NULL \
    AND (body LIKE '%\"wish\":{\"pause\":%' OR body LIKE '%\"wish\":{\"resume\":%') \
    ORDER BY seq LIMIT $1";

async fn try_obey(
    connection: &mut PgConnection,
    funnel: &Funnel,
    which: &'static str,
    limit: u32,
    now: Timestamp,
    decide: ObeyFn<'_>,
) -> Stored<Option<u32>> {
    let waiting: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM commands WHERE answer IS NULL)")
            .fetch_one(&mut *connection)
            .await?;
    if !waiting {
        return Ok(Some(0));
    }
    let mut tx = connection.begin().await?;
    if !gate::enter(&mut tx, gate::WISHES).await? {
        tx.rollback().await?;
        return Ok(Some(0));
    }
    let rows = sqlx::query_as::<_, (Uuid, String)>(which)
        .bind(i64::from(limit) + i64::from(funnel.aside.count("commands")))
        .fetch_all(&mut *tx)
        .await?;
    let mut count = 0;
    let mut notes = Notes::default();
    let mut leased = HashSet::new();
    for (id, body) in rows {
        if count == limit || funnel.aside.knows("commands", id) {
            continue;
        }
        let wish = wished(&mut tx, id, &body, &leased).await;
        let (task, run, command) = match funnel.aside.read("commands", id, wish)? {
            None => continue,
            Some((command, Found::Nothing)) => (None, None, command),
            Some((command, Found::Free(task, run))) => (Some(task), Some(run), command),
            Some((command, Found::Leased)) => {
                leased.extend(command.wish.task());
                continue;
            }
        };
        let obedience = decide(&command, task.as_deref(), run.as_deref());
        if let Err(error) = carry_out(&mut tx, &obedience, now, &mut notes).await {
            // Something beside it cannot be read. Nothing of the batch is kept; the next leaves it out.
            tx.rollback().await?;
            funnel.aside.read::<()>("commands", id, Err(error))?;
            return Ok(None);
        }
        note(&mut tx, &obedience, &mut notes).await?;
        count += 1;
    }
    let tip = audit::write(&mut tx, &funnel.strands, &notes).await?;
    tx.commit().await?;
    funnel.strands.give(tip);
    Ok(Some(count))
}

/// A wish and what it is about, which is read here and not before: an earlier wish of the batch may
/// have changed both. Wishes about one task keep their order.
async fn wished(
    tx: &mut PgConnection,
    id: Uuid,
    body: &str,
    leased: &HashSet<TaskId>,
) -> Stored<(Command, Found)> {
    let command: Command = parsed(body, "commands", "body", id)?;
    let found = match command.wish.task() {
        None => Found::Nothing,
        Some(task) if leased.contains(&task) => Found::Leased,
        Some(task) => look(tx, task).await?,
    };
    Ok((command, found))
}

/// What a wish is about.
enum Found {
    Nothing,
    Free(Box<crate::domain::task::FallbackTask>, Box<Run>),
    /// A worker has taken the run since the wishes were listed, or is just taking it.
    Leased,
}

/// The run first, then its task: the same order in which a settlement writes them. Both stay locked.
async fn look(tx: &mut PgConnection, id: TaskId) -> Stored<Found> {
    let owner: Option<Uuid> = sqlx::query_scalar("SELECT run_id FROM tasks WHERE id = $1")
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(owner) = owner.map(RunId) else {
        return Ok(Found::Nothing);
    };
    let row = sqlx::query_as::<_, RunRow>(
        "SELECT id, body FROM runs WHERE id = $1 AND owner IS NULL FOR UPDATE SKIP LOCKED",
    )
    .bind(owner.0)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else {
        return Ok(Found::Leased);
    };
    match tasks::locked(tx, id).await? {
        Some(task) => Ok(Found::Free(Box::new(task), Box::new(row.run()?))),
        None => Ok(Found::Nothing),
    }
}

/// What a wish changed, as it stands now.
async fn note(tx: &mut PgConnection, obedience: &Obedience, notes: &mut Notes) -> Stored<()> {
    let task: Vec<_> = obedience.task.iter().map(|task| task.id.0).collect();
    let runs = obedience.run.iter().chain(&obedience.rotation);
    let runs: Vec<_> = runs.map(|run| run.id.0).collect();
    notes.add(&audit::rows(tx, &tables::TASKS, "id", &task).await?);
    notes.add(&audit::rows(tx, &tables::RUNS, "id", &runs).await?);
    let drill: Vec<_> = obedience.drill.iter().map(|drill| drill.id.0).collect();
    notes.add(&audit::rows(tx, &tables::DRILLS, "id", &drill).await?);
    let answer = [obedience.command.0];
    notes.add(&audit::rows(tx, &tables::ANSWERS, "id", &answer).await?);
    Ok(())
}

/// Stops what is under way of a departure that goes on in this case later.
async fn put_off(
    tx: &mut PgConnection,
    case: CaseId,
    now: Timestamp,
    notes: &mut Notes,
) -> Stored<()> {
    let existing = cases::of_departure(tx, case).await?;
    let own = existing.iter().find(|one| one.row.id == case);
    let revision = own.map_or(0, |own| own.row.revision);
    let mut touched = Touched::default();
    for run in released(case, &existing) {
        let Some(stopped) = run.case else { continue };
        cases::revise(tx, stopped, revision).await?;
        admission::halt(tx, stopped, now).await?;
        let columns = RunColumns::of(&run, &[])?;
        runs::overrule(tx, &columns, Some(micros_up(now))).await?;
        touched.cases.push(stopped.0);
    }
    audit::touched(tx, notes, &touched).await
}

async fn carry_out(
    tx: &mut PgConnection,
    obedience: &Obedience,
    now: Timestamp,
    notes: &mut Notes,
) -> Stored<()> {
    if let Some(task) = &obedience.task {
        let mut batch = Batch::default();
        tasks::write(&mut batch, &[task], "")?;
        batch.fetch::<(i32,)>(&mut *tx, "SELECT 1").await?;
    }
    if let Some(run) = &obedience.run {
        let columns = RunColumns::of(run, &[])?;
        runs::overrule(tx, &columns, columns.due_us).await?;
    }
    if let Some(rotation) = &obedience.rotation {
        runs::insert(tx, &RunColumns::wished(rotation)?).await?;
    }
    if let Some(case) = obedience.puts_off {
        put_off(tx, case, now, notes).await?;
    }
    if let Some(connector) = &obedience.survey {
        health::hasten(tx, connector).await?;
    }
    if let Some(change) = &obedience.pause {
        people::change(tx, change, notes).await?;
    }
    if let Some(drill) = &obedience.drill {
        drills::insert(tx, drill).await?;
    }
    sqlx::query(
        "UPDATE commands SET answer = $1, answered_us = $2 WHERE id = $3 AND answer IS NULL",
    )
    .bind(json(&obedience.answer)?)
    .bind(micros(now))
    .bind(obedience.command.0)
    .execute(tx)
    .await?;
    Ok(())
}
