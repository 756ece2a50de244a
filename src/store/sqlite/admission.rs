//! Admission: recorded events become cases and runs, in one transaction for a batch.
//!
//! The single writing connection makes batches follow each other, so no two of them see an event or
//! a case at the same time.

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::domain::doubt::names_ever;
use crate::domain::event::RecordedEvent;
use crate::domain::id::{CaseId, WorkerId};
use crate::domain::run::Run;
use crate::domain::settlement::{ExistingCase, Settlement};
use crate::domain::time::Timestamp;
use crate::store::aside::Aside;
use crate::store::audit::{Notes, Touched};
use crate::store::docket::{Change, Docket, Rulings};
use crate::store::plan::{Opening, Share};
use crate::store::row::{EventRow, HaltedRow, RunRow};
use crate::store::shape::{RunColumns, json, micros, micros_up};
use crate::store::{AdmitFn, Admitted, Claimed, Keep, Stored};

use super::funnel::Funnel;
use super::rows::{chunks, numbered};
use super::runs::{self, NewRun};
use super::{audit, cases, journal, outbox, tasks};

pub(super) async fn admit(
    funnel: &Funnel,
    limit: u32,
    now: Timestamp,
    keep: &Keep,
    decide: AdmitFn<'_>,
) -> Stored<Admitted> {
    if !waiting(funnel).await? {
        return Ok(Admitted::default());
    }
    let mut at_once = limit;
    loop {
        let mut tried = Vec::new();
        match try_admit(funnel, at_once, now, keep, decide, &mut tried).await {
            Ok(admitted) => return Ok(admitted),
            Err(error) => at_once = funnel.aside.narrowed(&tried, error)?.unwrap_or(limit),
        }
    }
}

async fn try_admit(
    funnel: &Funnel,
    limit: u32,
    now: Timestamp,
    keep: &Keep,
    decide: AdmitFn<'_>,
    tried: &mut Vec<i64>,
) -> Stored<Admitted> {
    let mut writer = funnel.writer().await;
    let mut tx = writer.begin("admit").await?;
    let events = oldest(&mut tx, limit, &funnel.aside).await?;
    tried.extend(events.iter().map(|(seq, _)| *seq));
    let count = events.len();
    let docket = Docket::new(existing(&mut tx, &events).await?);
    let rulings = docket.decide(events, decide);
    let mut share = Share::new(keep);
    let mut notes = Notes::default();
    let mut kept = open(&mut tx, &rulings, now, keep.worker, &mut share, &mut notes).await?;
    for change in &rulings.changes {
        apply(&mut tx, change, now, &funnel.aside, &mut notes).await?;
    }
    mark(&mut tx, &rulings, now).await?;
    audit::touched(&mut tx, &mut notes, &Touched::by(&rulings)).await?;
    let tip = audit::write(&mut tx, &funnel.strands, &notes).await?;
    tx.commit().await?;
    funnel.strands.give(tip);
    kept.retain(|claimed| rulings.keeps(&claimed.run));
    Ok(Admitted {
        events: count as u32,
        kept,
    })
}

async fn waiting(funnel: &Funnel) -> Stored<bool> {
    let mut reader = funnel.reader().await?;
    Ok(
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM events WHERE admitted_us IS NULL)")
            .fetch_one(&mut *reader)
            .await?,
    )
}

async fn oldest(
    tx: &mut SqliteConnection,
    limit: u32,
    aside: &Aside,
) -> Stored<Vec<(i64, RecordedEvent)>> {
    let rows = sqlx::query_as::<_, EventRow>(
        "SELECT seq, body FROM events WHERE admitted_us IS NULL ORDER BY seq LIMIT ?",
    )
    .bind(limit + aside.count("events"))
    .fetch_all(tx)
    .await?;
    aside.events(&rows, limit)
}

/// The cases that these events may be about, each with its run and its tenant.
async fn existing(
    tx: &mut SqliteConnection,
    events: &[(i64, RecordedEvent)],
) -> Stored<Vec<(String, ExistingCase)>> {
    let subjects: Vec<String> = events
        .iter()
        .map(|(_, event)| event.event.subject.key())
        .collect();
    let hr_cases: Vec<(&str, &str)> = events
        .iter()
        .map(|(_, event)| {
            let subject = &event.event.subject;
            (subject.tenant.as_str(), event.event.hr_case.as_str())
        })
        .collect();
    let names = events
        .iter()
        .flat_map(|(_, one)| names_ever(&one.event.subject));
    let names: Vec<String> = names.collect();
    cases::about(tx, &json(&subjects)?, &json(&hr_cases)?, &json(&names)?).await
}

async fn open(
    tx: &mut SqliteConnection,
    rulings: &Rulings,
    now: Timestamp,
    worker: WorkerId,
    share: &mut Share<'_>,
    notes: &mut Notes,
) -> Stored<Vec<Claimed>> {
    let opened = &rulings.opened;
    cases::insert(tx, opened).await?;
    let mut openings = Vec::with_capacity(opened.len());
    for one in opened {
        openings.push(Opening::of(&one.first, now, share)?);
    }
    let mut rows = Vec::new();
    for opening in &openings {
        rows.push(NewRun::born(&opening.run, worker));
        let born = opening.children.iter();
        rows.extend(born.map(|child| NewRun::born(child, worker)));
    }
    runs::insert(tx, &rows).await?;
    notes.opened(rulings, &openings, micros(now))?;
    let rotations = opened.iter().flat_map(|one| &one.first.rotations);
    for rotation in rotations {
        start(tx, rotation).await?;
    }
    let firsts: Vec<&Settlement> = opened.iter().map(|one| &*one.first).collect();
    tell(tx, &firsts).await?;
    Ok(openings
        .iter()
        .zip(opened)
        .flat_map(|(opening, one)| {
            let task = one.first.task.as_ref();
            let case = opening.run.leased.then(|| opening.run.claimed(task));
            let born = opening.children.iter().filter(|child| child.leased);
            case.into_iter()
                .chain(born.map(|child| child.claimed(None)))
        })
        .collect())
}

/// What settlements say besides the runs themselves.
async fn tell(tx: &mut SqliteConnection, settlements: &[&Settlement]) -> Stored<()> {
    let lines: Vec<_> = settlements.iter().flat_map(|one| &one.journal).collect();
    journal::insert(tx, &lines).await?;
    let changed: Vec<_> = settlements
        .iter()
        .filter_map(|one| one.task.as_ref())
        .collect();
    tasks::save(tx, &changed).await?;
    let messages: Vec<_> = settlements.iter().flat_map(|one| &one.messages).collect();
    outbox::insert(tx, &messages).await?;
    for (case, end, at) in settlements.iter().filter_map(|one| one.case_ended.as_ref()) {
        cases::end(tx, case.0, end.as_str(), micros(*at)).await?;
    }
    Ok(())
}

async fn start(tx: &mut SqliteConnection, rotation: &Run) -> Stored<()> {
    let columns = runs::placed(tx, RunColumns::wished(rotation)?).await?;
    runs::insert(tx, &[NewRun::free(&columns)]).await?;
    Ok(())
}

async fn apply(
    tx: &mut SqliteConnection,
    change: &Change,
    now: Timestamp,
    aside: &Aside,
    notes: &mut Notes,
) -> Stored<()> {
    match change {
        Change::Reschedule(case, run) => {
            cases::reschedule(tx, case, run).await?;
            let columns = RunColumns::of(run, &[])?;
            runs::overrule(tx, &columns, columns.due_us).await
        }
        Change::Rescind(settlement, case, revision) => {
            cases::revise(tx, *case, *revision).await?;
            let columns = RunColumns::of(&settlement.run, &settlement.journal)?;
            runs::overrule(tx, &columns, columns.due_us).await?;
            notes.said(settlement)?;
            tell(tx, &[settlement]).await
        }
        Change::Halt(case, revision) => {
            cases::revise(tx, *case, *revision).await?;
            halt(tx, *case, now).await
        }
        Change::Review(run) => {
            let columns = RunColumns::of(run, &[])?;
            runs::overrule(tx, &columns, Some(micros_up(now))).await
        }
        Change::Revise(case, revision) => cases::revise(tx, *case, *revision).await,
        Change::LookAgain(subject) => look_again(tx, subject, now, aside, notes).await,
        Change::Rotate(rotations) => {
            for rotation in rotations {
                start(tx, rotation).await?;
            }
            Ok(())
        }
    }
}

/// What a person has of the subject's open departures is due at once, whoever is at it: a try that began
/// before sees what was, and its answer is refused. What a try does first only reads.
async fn look_again(
    tx: &mut SqliteConnection,
    subject: &str,
    now: Timestamp,
    aside: &Aside,
    notes: &mut Notes,
) -> Stored<()> {
    let rows = sqlx::query_as::<_, RunRow>(
        "SELECT r.id, r.body FROM runs r JOIN cases c ON c.id = r.case_id \
         WHERE c.subject_key = ? AND c.ended IS NULL AND r.ended IS NULL \
         AND r.kind IN ('discovery', 'removal') AND r.stage = 'with_person'",
    )
    .bind(subject)
    .fetch_all(&mut *tx)
    .await?;
    let mut touched = Touched::default();
    for row in rows {
        // The hold is in force whether its tasks can be read or not.
        let read = aside.read("runs", row.id, row.run())?;
        if let Some(mut run) = read
            && run.hasten(now)
        {
            touched.runs.push(run.id.0);
            let columns = RunColumns::of(&run, &[])?;
            runs::overrule(tx, &columns, Some(micros_up(now))).await?;
        }
    }
    audit::touched(tx, notes, &touched).await
}

/// Every open run of the case learns that it must not write again, and is looked at at once.
pub(super) async fn halt(tx: &mut SqliteConnection, case: CaseId, now: Timestamp) -> Stored<()> {
    cases::halt(tx, case).await?;
    let rows = sqlx::query_as::<_, HaltedRow>(
        "SELECT id, body, owner IS NOT NULL AS leased FROM runs WHERE case_id = ? AND ended IS NULL",
    )
    .bind(case.0)
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let mut run = row.run.run()?;
        run.halt(row.leased);
        let columns = RunColumns::of(&run, &[])?;
        runs::overrule(tx, &columns, Some(micros_up(now))).await?;
    }
    Ok(())
}

async fn mark(tx: &mut SqliteConnection, rulings: &Rulings, now: Timestamp) -> Stored<()> {
    for chunk in chunks(&rulings.rulings) {
        let sql = format!(
            "WITH u (seq, decision, reason) AS (VALUES {}) \
             UPDATE events SET admitted_us = ?1, decision = u.decision, reason = u.reason \
             FROM u WHERE events.seq = u.seq",
            numbered(2, 3, chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(micros(now));
        for ruling in chunk {
            query = query
                .bind(ruling.seq)
                .bind(ruling.decision)
                .bind(&ruling.reason);
        }
        query.execute(&mut *tx).await?;
    }
    Ok(())
}
