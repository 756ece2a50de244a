//! Admission: recorded events become cases and runs, in one transaction for a batch.
//!
//! One batch at a time goes through the gate: events of one case must be decided one after the
//! other, and two batches side by side could each hold half of them. Runs that an event may overrule
//! are locked before they are read, so a worker's settlement comes before the decision or is refused.

use sqlx::{Connection, PgConnection};

use crate::domain::audit::Tip;
use crate::domain::doubt::names_ever;
use crate::domain::event::RecordedEvent;
use crate::domain::id::{CaseId, WorkerId};
use crate::domain::settlement::{ExistingCase, Settlement};
use crate::domain::time::Timestamp;
use crate::store::aside::Aside;
use crate::store::audit::{Notes, Strands, Touched};
use crate::store::docket::{Change, Docket, Opened, Rulings};
use crate::store::plan::{Opening, Share};
use crate::store::row::{EventRow, HaltedRow, RunRow};
use crate::store::shape::{RunColumns, micros, micros_up};
use crate::store::{AdmitFn, Admitted, Claimed, Keep, Stored};

use super::batch::{Batch, Columns};
use super::funnel::{Funnel, within};
use super::runs::{self, NewRun};
use super::{audit, cases, gate, journal, outbox, tasks};

pub(super) async fn admit(
    funnel: &Funnel,
    limit: u32,
    now: Timestamp,
    keep: &Keep,
    decide: AdmitFn<'_>,
) -> Stored<Admitted> {
    let mut tries = 0;
    let mut at_once = limit;
    loop {
        let mut lane = funnel.lane("admit").await?;
        let mut tried = Vec::new();
        let admitted = within(try_admit(
            &mut lane, funnel, at_once, now, keep, decide, &mut tried,
        ))
        .await;
        match lane.done(admitted, &mut tries) {
            None => {}
            Some(Ok(admitted)) => return Ok(admitted),
            Some(Err(error)) => at_once = funnel.aside.narrowed(&tried, error)?.unwrap_or(limit),
        }
    }
}

async fn try_admit(
    connection: &mut PgConnection,
    funnel: &Funnel,
    limit: u32,
    now: Timestamp,
    keep: &Keep,
    decide: AdmitFn<'_>,
    tried: &mut Vec<i64>,
) -> Stored<Admitted> {
    let strands = &funnel.strands;
    let mut tx = connection.begin().await?;
    let events = oldest(&mut tx, limit, &funnel.aside).await?;
    tried.extend(events.iter().map(|(seq, _)| *seq));
    if events.is_empty() {
        tx.rollback().await?;
        return Ok(Admitted::default());
    }
    let count = events.len() as u32;
    let docket = Docket::new(existing(&mut tx, &events).await?);
    let rulings = docket.decide(events, decide);
    let mut share = Share::new(keep);
    let touched = Touched::by(&rulings);
    // What is looked up again after the changes is not known before them.
    let link = (touched.is_empty() && rulings.changes.is_empty()).then_some(strands);
    let mut notes = Notes::default();
    let opened = open(
        &mut tx,
        &rulings,
        (now, keep.worker),
        &mut share,
        &mut notes,
        link,
    );
    let (mut kept, mut tip) = opened.await?;
    if link.is_none() {
        for change in &rulings.changes {
            apply(&mut tx, change, now, &funnel.aside, &mut notes).await?;
        }
        audit::touched(&mut tx, &mut notes, &touched).await?;
        tip = audit::write(&mut tx, strands, &notes).await?;
    }
    tx.commit().await?;
    strands.give(tip);
    kept.retain(|claimed| rulings.keeps(&claimed.run));
    Ok(Admitted {
        events: count,
        kept,
    })
}

/// What waits, if this transaction is the one inside the gate, which it enters only if anything does: an
/// idle worker keeps nobody out. An event that another one admitted while
/// this one came to the gate is looked at again when its row is locked, and is none of these.
async fn oldest(
    tx: &mut PgConnection,
    limit: u32,
    aside: &Aside,
) -> Stored<Vec<(i64, RecordedEvent)>> {
    let rows = sqlx::query_as::<_, EventRow>(
        "SELECT seq, body FROM events WHERE (SELECT CASE \
           WHEN EXISTS (SELECT 1 FROM events WHERE admitted_us IS NULL) \
           THEN pg_try_advisory_xact_lock($2, $3) END) \
         AND admitted_us IS NULL ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED",
    )
    .bind(i64::from(limit) + i64::from(aside.count("events")))
    .bind(gate::SPACE)
    .bind(gate::ADMISSION)
    .fetch_all(tx)
    .await?;
    aside.events(&rows, limit)
}

/// The cases that these events may be about, each with its run and its tenant.
async fn existing(
    tx: &mut PgConnection,
    events: &[(i64, RecordedEvent)],
) -> Stored<Vec<(String, ExistingCase)>> {
    let subjects = events.iter().map(|(_, one)| one.event.subject.key());
    let tenants = events
        .iter()
        .map(|(_, one)| one.event.subject.tenant.clone());
    let hr_cases = events.iter().map(|(_, one)| one.event.hr_case.clone());
    cases::about(
        tx,
        subjects.collect(),
        tenants.collect(),
        hr_cases.collect(),
        events
            .iter()
            .flat_map(|(_, one)| names_ever(&one.event.subject))
            .collect(),
    )
    .await
}

/// Writes all opened cases with what they begin with, and the rulings, in one statement; the link too,
/// if nothing is to be added to it.
async fn open(
    tx: &mut PgConnection,
    rulings: &Rulings,
    (now, worker): (Timestamp, WorkerId),
    share: &mut Share<'_>,
    notes: &mut Notes,
    link: Option<&Strands>,
) -> Stored<(Vec<Claimed>, Option<Tip>)> {
    let opened = &rulings.opened;
    let mut openings = Vec::with_capacity(opened.len());
    let mut rotations = Vec::new();
    for one in opened {
        openings.push(Opening::of(&one.first, now, share)?);
        for rotation in &one.first.rotations {
            rotations.push(RunColumns::wished(rotation)?);
        }
    }
    notes.opened(rulings, &openings, micros(now))?;
    let mut new = Vec::new();
    for opening in &openings {
        let by = opening.run.columns.id;
        new.push(NewRun::born(by, &opening.run, worker));
        let born = opening.children.iter();
        new.extend(born.map(|child| NewRun::born(by, child, worker)));
    }
    new.extend(rotations.iter().map(|run| NewRun::free(run.id, run)));
    let mut batch = Batch::default();
    mark(&mut batch, rulings, now)?;
    if !opened.is_empty() {
        cases::write(&mut batch, opened)?;
        runs::rows(&mut batch, &new)?;
        runs::write(&mut batch, "", !rotations.is_empty());
        let firsts: Vec<&Settlement> = opened.iter().map(|one| &*one.first).collect();
        tell(&mut batch, &firsts)?;
    }
    let tip = match link {
        Some(strands) => audit::begin(tx, strands).await?,
        None => None,
    };
    let grown = match tip {
        Some(tip) => Some(audit::part(&mut batch, tip, notes, &[])?),
        None => None,
    };
    batch.fetch::<(i32,)>(tx, "SELECT 1").await?;
    let firsts = openings.iter().zip(opened);
    let kept = firsts.flat_map(|(opening, one)| kept(opening, one));
    Ok((kept.collect(), grown))
}

fn kept<'a>(opening: &'a Opening, opened: &'a Opened) -> impl Iterator<Item = Claimed> + 'a {
    let task = opened.first.task.as_ref();
    let case = opening.run.leased.then(|| opening.run.claimed(task));
    let born = opening.children.iter().filter(|child| child.leased);
    case.into_iter()
        .chain(born.map(|child| child.claimed(None)))
}

/// What settlements say besides the runs themselves.
fn tell(batch: &mut Batch, settlements: &[&Settlement]) -> Stored<()> {
    let lines: Vec<_> = settlements.iter().flat_map(|one| &one.journal).collect();
    journal::write(batch, &lines, "")?;
    let changed: Vec<_> = settlements
        .iter()
        .filter_map(|one| one.task.as_ref())
        .collect();
    tasks::write(batch, &changed, "")?;
    let messages: Vec<_> = settlements
        .iter()
        .flat_map(|one| one.messages.iter().map(|message| (one.run.id.0, message)))
        .collect();
    outbox::write(batch, &messages, "")
}

fn mark(batch: &mut Batch, rulings: &Rulings, now: Timestamp) -> Stored<()> {
    let now = batch.value("bigint", micros(now))?;
    let all = &rulings.rulings;
    let rows = {
        let mut columns = Columns::new(batch);
        columns
            .add(
                "seq",
                "bigint",
                all.iter().map(|one| one.seq).collect::<Vec<_>>(),
            )?
            .add(
                "decision",
                "text",
                all.iter().map(|one| one.decision).collect::<Vec<_>>(),
            )?
            .add(
                "reason",
                "text",
                all.iter().map(|one| one.reason.clone()).collect::<Vec<_>>(),
            )?;
        columns.rows("x")
    };
    batch.part(
        "marked",
        &format!(
            "UPDATE events SET admitted_us = {now}, decision = x.decision, reason = x.reason \
             FROM {rows} WHERE events.seq = ANY (ARRAY[x.seq])"
        ),
    );
    Ok(())
}

async fn apply(
    tx: &mut PgConnection,
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
            let mut batch = Batch::default();
            batch.part("nothing", "SELECT 1");
            tell(&mut batch, &[settlement])?;
            batch.fetch::<(i32,)>(&mut *tx, "SELECT 1").await?;
            if let Some((case, end, at)) = &settlement.case_ended {
                cases::end(tx, *case, end.as_str(), micros(*at)).await?;
            }
            Ok(())
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
                runs::insert(tx, &RunColumns::wished(rotation)?).await?;
            }
            Ok(())
        }
    }
}

/// What a person has of the subject's open departures is due at once, whoever is at it: a try that began
/// before sees what was, and its answer is refused. What a try does first only reads.
async fn look_again(
    tx: &mut PgConnection,
    subject: &str,
    now: Timestamp,
    aside: &Aside,
    notes: &mut Notes,
) -> Stored<()> {
    let rows = sqlx::query_as::<_, RunRow>(
        "SELECT r.id, r.body FROM runs r JOIN cases c ON c.id = r.case_id \
         WHERE c.subject_key = $1 AND c.ended IS NULL AND r.ended IS NULL \
         AND r.kind IN ('discovery', 'removal') AND r.stage = 'with_person' ORDER BY r.id FOR UPDATE OF r",
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

/// Every open run of the case learns that it must not write again, and is looked at at once. A child
/// that a settlement adds meanwhile is impossible: its parent's row is locked here first, or the
/// settlement has committed and the child is seen on the second look.
pub(super) async fn halt(tx: &mut PgConnection, case: CaseId, now: Timestamp) -> Stored<()> {
    cases::halt(tx, case).await?;
    let mut done = std::collections::HashSet::new();
    loop {
        let rows = sqlx::query_as::<_, HaltedRow>(
            "SELECT id, body, owner IS NOT NULL AS leased FROM runs WHERE case_id = $1 AND ended IS NULL ORDER BY id FOR UPDATE",
        )
        .bind(case.0)
        .fetch_all(&mut *tx)
        .await?;
        let new: Vec<_> = rows.iter().filter(|row| done.insert(row.run.id)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for row in new {
            let mut run = row.run.run()?;
            run.halt(row.leased);
            let columns = RunColumns::of(&run, &[])?;
            runs::overrule(tx, &columns, Some(micros_up(now))).await?;
        }
    }
}
