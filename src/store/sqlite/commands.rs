//! Wishes of operators, in line until a worker carries them out.
//!
//! Wishes about no task come first. One about a task whose run is leased stays in line: the worker that
//! holds the run comes before it.

use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::domain::command::{Answer, Command};
use crate::domain::id::{CaseId, CommandId};
use crate::domain::review::released;
use crate::domain::run::Run;
use crate::domain::settlement::Obedience;
use crate::domain::task::FallbackTask;
use crate::domain::time::Timestamp;
use crate::store::audit::{Notes, Touched, tables};
use crate::store::shape::{RunColumns, json, micros, micros_up, parsed, run_of};
use crate::store::{ObeyFn, Stored};

use super::funnel::Funnel;
use super::runs::{self, NewRun};
use super::{admission, audit, cases, drills, health, people, tasks};

pub(super) async fn wish(funnel: &Funnel, command: &Command) -> Stored<()> {
    let task = command.wish.task().map(|id| id.0);
    let body = json(command)?;
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("wish").await?;
    let new = sqlx::query(
        "INSERT INTO commands (id, task_id, body) VALUES (?,?,?) ON CONFLICT (id) DO NOTHING",
    )
    .bind(command.id.0)
    .bind(task)
    .bind(&body)
    .execute(&mut *tx)
    .await?;
    let mut notes = Notes::default();
    if new.rows_affected() > 0 {
        notes.command(command.id.0, task, &body);
    }
    let tip = audit::write(&mut tx, &funnel.strands, &notes).await?;
    tx.commit().await?;
    funnel.strands.give(tip);
    Ok(())
}

pub(super) async fn answer(funnel: &Funnel, id: CommandId) -> Stored<Option<Answer>> {
    let mut reader = funnel.reader().await?;
    let text: Option<Option<String>> =
        sqlx::query_scalar("SELECT answer FROM commands WHERE id = ?")
            .bind(id.0)
            .fetch_optional(&mut *reader)
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
    loop {
        // Without the one that was set aside, if any.
        if let Some(obeyed) = try_obey(funnel, which, limit, now, decide).await? {
            return Ok(obeyed);
        }
    }
}

/// Wishes about no task first, a pause above all: thousands about tasks may have come before it, in one
/// command. Each kind is in the order of its arrival, and nothing of one depends on the other.
pub(super) const WAITING: &str = "SELECT id, body FROM ( \
      SELECT * FROM (SELECT 0 AS turn, seq, id, body FROM commands \
        WHERE answer IS NULL AND task_id IS NULL ORDER BY seq LIMIT ?1) AS estate \
      UNION ALL \
      SELECT * FROM (SELECT 1 AS turn, c.seq, c.id, c.body FROM commands c \
        LEFT JOIN tasks t ON t.id = c.task_id LEFT JOIN runs r ON r.id = t.run_id \
        WHERE c.answer IS NULL AND c.task_id IS NOT NULL AND r.owner IS NULL \
        ORDER BY c.seq LIMIT ?1) AS about_tasks \
    ) AS waiting ORDER BY turn, seq LIMIT ?1";

/// Pauses and their ends alone. In a JSON string a quotation mark has a backslash before it, so no text
/// that somebody wrote reads like this.
pub(super) const PAUSES: &str = "SELECT id, body FROM commands WHERE answer IS NULL AND task_id IS NULL \
    AND (body LIKE '%\"wish\":{\"pause\":%' OR body LIKE '%\"wish\":{\"resume\":%') \
    ORDER BY seq LIMIT ?1";

async fn try_obey(
    funnel: &Funnel,
    which: &'static str,
    limit: u32,
    now: Timestamp,
    decide: ObeyFn<'_>,
) -> Stored<Option<u32>> {
    if !waiting(funnel).await? {
        return Ok(Some(0));
    }
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("obey").await?;
    let rows = sqlx::query_as::<_, (Uuid, String)>(which)
        .bind(limit + funnel.aside.count("commands"))
        .fetch_all(&mut *tx)
        .await?;
    let mut count = 0;
    let mut notes = Notes::default();
    for (id, body) in rows {
        if count == limit || funnel.aside.knows("commands", id) {
            continue;
        }
        let wish = wished(&mut tx, id, &body).await;
        let Some((command, task, run)) = funnel.aside.read("commands", id, wish)? else {
            continue;
        };
        let obedience = decide(&command, task.as_ref(), run.as_ref());
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

/// A wish with the task and the run that it is about, which are read here and not before: an earlier
/// wish of the batch may have changed both.
async fn wished(
    tx: &mut SqliteConnection,
    id: Uuid,
    body: &str,
) -> Stored<(Command, Option<FallbackTask>, Option<Run>)> {
    let command: Command = parsed(body, "commands", "body", id)?;
    let task = match command.wish.task() {
        Some(id) => tasks::by_id(tx, id).await?,
        None => None,
    };
    let run = match &task {
        Some(task) => one_run(tx, task.run.0).await?,
        None => None,
    };
    Ok((command, task, run))
}

async fn waiting(funnel: &Funnel) -> Stored<bool> {
    let mut reader = funnel.reader().await?;
    Ok(
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM commands WHERE answer IS NULL)")
            .fetch_one(&mut *reader)
            .await?,
    )
}

async fn one_run(tx: &mut SqliteConnection, id: Uuid) -> Stored<Option<Run>> {
    let body: Option<String> = sqlx::query_scalar("SELECT body FROM runs WHERE id = ?")
        .bind(id)
        .fetch_optional(tx)
        .await?;
    body.map(|body| run_of(id, &body)).transpose()
}

/// What a wish changed, as it stands now.
async fn note(tx: &mut SqliteConnection, obedience: &Obedience, notes: &mut Notes) -> Stored<()> {
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
    tx: &mut SqliteConnection,
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
    tx: &mut SqliteConnection,
    obedience: &Obedience,
    now: Timestamp,
    notes: &mut Notes,
) -> Stored<()> {
    let changed: Vec<_> = obedience.task.iter().collect();
    tasks::save(tx, &changed).await?;
    if let Some(run) = &obedience.run {
        let columns = RunColumns::of(run, &[])?;
        runs::overrule(tx, &columns, columns.due_us).await?;
    }
    if let Some(rotation) = &obedience.rotation {
        let columns = runs::placed(tx, RunColumns::wished(rotation)?).await?;
        runs::insert(tx, &[NewRun::free(&columns)]).await?;
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
    sqlx::query("UPDATE commands SET answer = ?, answered_us = ? WHERE id = ? AND answer IS NULL")
        .bind(json(&obedience.answer)?)
        .bind(micros(now))
        .bind(obedience.command.0)
        .execute(tx)
        .await?;
    Ok(())
}
