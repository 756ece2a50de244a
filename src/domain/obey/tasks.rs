//! Claiming, closing, confirming and rejecting tasks.
//!
//! Owns who may say what about a task in which state, and how a held event is let go or dropped. A person speaks for themselves only: an
//! attestation bears the name of who gives it, and the second person of privileged access gives
//! theirs in a command of their own. Whether a claim is true is seen at the target, not here.

use super::super::approval::same_person;
use super::super::command::{Answer, Command, Wish};
use super::super::doubt::{Ruling, Voice, is_held};
use super::super::run::{Run, RunBody, Stage};
use super::super::settlement::Obedience;
use super::super::step::{Given, claim as claim_of, set_claim};
use super::super::task::{
    Attestation, Bulk, CloseClaim, Closure, FallbackTask, TaskState, Weight, weigh,
};
use super::super::time::Timestamp;
use super::super::workflow::End;
use super::{answered, no, yes};

/// What a wish makes of a task.
struct Change {
    state: TaskState,
    words: String,
    /// To be checked at the target.
    claim: Option<CloseClaim>,
}

pub(super) fn obey(
    command: &Command,
    task: &FallbackTask,
    run: &Run,
    given: &Given<'_>,
) -> Obedience {
    let meant = command.wish.meant();
    if meant.is_some_and(|meant| *meant != task.meant()) && !task.is_closed() {
        let words = "the task asks something else by now: read it again";
        return answered(command, no("CB-COMMAND-12", words));
    }
    if let (Wish::RetryTask { .. }, false) = (&command.wish, task.is_closed()) {
        return tried(command, task, run.clone(), given.now);
    }
    if let (Wish::RuleHold { release, note, .. }, false) = (&command.wish, task.is_closed()) {
        if let Err(refused) = signed(note, "the note") {
            return answered(command, refused);
        }
        let ruling = Ruling {
            release: *release,
            by: command.by.clone(),
            voice: Some(Voice::Person),
            note: note.clone(),
        };
        return ruled(command, run.clone(), ruling, given.now);
    }
    let change = match change(command, task, given.now) {
        Ok(change) => change,
        Err(refused) => return answered(command, refused),
    };
    let mut task = task.clone();
    task.state = change.state;
    task.remember(given.now, &command.by, change.words);
    if !matches!(command.wish, Wish::RejectTask { .. }) {
        given.estate.people.acted(&mut task, given.now);
    }
    let mut obedience = answered(command, yes("done"));
    if let Some(claim) = change.claim {
        return checked(obedience, task, run.clone(), claim, given);
    }
    if claim_of(&run.body).is_some() {
        // What a person takes back is no longer theirs to have proved or attested.
        let mut run = run.clone();
        set_claim(&mut run.body, None);
        obedience.run = Some(run);
    }
    obedience.task = Some(task);
    obedience
}

/// The machine tries now instead of later; the task stays whose it is.
fn tried(command: &Command, task: &FallbackTask, mut run: Run, now: Timestamp) -> Obedience {
    let Stage::WithPerson {
        next_try: Some(next),
        ..
    } = &mut run.stage
    else {
        let words = "the machine has nothing to try by itself";
        return answered(command, no("CB-COMMAND-9", words));
    };
    *next = now;
    let mut task = task.clone();
    task.remember(
        now,
        &command.by,
        "asked the machine to try again".to_owned(),
    );
    Obedience {
        task: Some(task),
        run: Some(run),
        ..answered(command, yes("the machine tries again"))
    }
}

/// A held event is let go, or dropped, by the next step of its case.
fn ruled(command: &Command, mut run: Run, ruling: Ruling, now: Timestamp) -> Obedience {
    if let (RunBody::Case(body), Stage::WithPerson { next_try, .. }) =
        (&mut run.body, &mut run.stage)
        && is_held(body)
    {
        let answer = yes(if ruling.release {
            "the event is released"
        } else {
            "the event is dropped"
        });
        match &body.ruling {
            None => {}
            Some(given) if repeats(&ruling, given) => return answered(command, answer),
            // The task says so after the next step only. The first answer counts: it may be that of a newer
            // event, of which this one knows nothing.
            Some(given) => {
                let words = format!(
                    "{} has answered it ({}): read it again",
                    given.by, given.note
                );
                return answered(command, no("CB-COMMAND-12", &words));
            }
        }
        let begins = body.effective.instant(body.recorded);
        let later = ruling.release && begins.is_ok_and(|begins| begins > now);
        let puts_off = run.case.filter(|_| later);
        body.ruling = Some(ruling);
        *next_try = Some(now);
        return Obedience {
            run: Some(run),
            puts_off,
            ..answered(command, answer)
        };
    }
    let words = "the task holds no event that could be released or dropped";
    answered(command, no("CB-HOLD-5", words))
}

/// Two people said the same of the same event; what an event says is of the newer one.
fn repeats(ruling: &Ruling, given: &Ruling) -> bool {
    ruling.release == given.release && given.voice == Some(Voice::Person)
}

fn change(command: &Command, task: &FallbackTask, now: Timestamp) -> Result<Change, Answer> {
    if let TaskState::Closed { by, .. } = &task.state {
        let words = format!("the task was closed by {by}");
        return Err(no("CB-COMMAND-3", &words));
    }
    match &command.wish {
        Wish::ClaimTask { .. } => claimed(command, task, now),
        Wish::RejectTask { reason, .. } => {
            signed(reason, "the reason")?;
            Ok(rejected(command, task, reason, now))
        }
        Wish::CloseTask {
            note, attestation, ..
        } => closed(command, task, note, attestation.as_ref(), None, now),
        Wish::CloseInBulk {
            note,
            attestation,
            bulk,
            ..
        } => closed(command, task, note, attestation.as_ref(), Some(bulk), now),
        Wish::ConfirmTask { statement, .. } => confirmed(command, task, statement),
        Wish::RetryTask { .. }
        | Wish::RuleHold { .. }
        | Wish::RotateSecret { .. }
        | Wish::RetireSecret { .. }
        | Wish::Pause { .. }
        | Wish::Resume { .. }
        | Wish::Drill { .. } => Err(no("CB-COMMAND-1", "there is no such task")),
    }
}

fn claimed(command: &Command, task: &FallbackTask, now: Timestamp) -> Result<Change, Answer> {
    match &task.state {
        TaskState::Claimed { by, .. } | TaskState::Checking(CloseClaim { by, .. })
            if !same_person(by, &command.by) =>
        {
            let words = format!("{by} works on it; reject it first");
            Err(no("CB-COMMAND-4", &words))
        }
        TaskState::AwaitingSecondPerson(claim) => Err(waits_for_another(claim)),
        TaskState::Open
        | TaskState::Claimed { .. }
        | TaskState::Checking(_)
        | TaskState::SentBack { .. }
        | TaskState::Closed { .. } => Ok(Change {
            state: TaskState::Claimed {
                by: command.by.clone(),
                at: now,
            },
            words: "claimed".to_owned(),
            claim: None,
        }),
    }
}

/// What somebody says of another's work is told to that person; one's own is just given back.
fn rejected(command: &Command, task: &FallbackTask, reason: &str, now: Timestamp) -> Change {
    let anothers = match &task.state {
        TaskState::Checking(claim) | TaskState::AwaitingSecondPerson(claim) => {
            !same_person(&claim.by, &command.by)
        }
        TaskState::Open
        | TaskState::Claimed { .. }
        | TaskState::SentBack { .. }
        | TaskState::Closed { .. } => false,
    };
    let state = if anothers {
        TaskState::SentBack {
            by: command.by.clone(),
            at: now,
            found: reason.to_owned(),
        }
    } else {
        TaskState::Open
    };
    Change {
        state,
        words: format!("rejected: {reason}"),
        claim: None,
    }
}

fn closed(
    command: &Command,
    task: &FallbackTask,
    note: &str,
    attestation: Option<&Attestation>,
    bulk: Option<&Bulk>,
    now: Timestamp,
) -> Result<Change, Answer> {
    if let TaskState::AwaitingSecondPerson(claim) = &task.state {
        return Err(waits_for_another(claim));
    }
    signed(note, "the note")?;
    if let Some(attestation) = attestation {
        if !same_person(&attestation.by, &command.by) {
            let words = format!(
                "an attestation is given in a command of one's own, and {} gives one of {}",
                command.by, attestation.by
            );
            return Err(no("CB-COMMAND-5", &words));
        }
        signed(&attestation.statement, "the attestation")?;
    }
    if let Some(bulk) = bulk {
        signed(&bulk.reason, "the reason for closing in bulk")?;
    }
    let words = match bulk {
        Some(bulk) => format!(
            "says it is done, with {} tasks at once ({}): {note}",
            bulk.of, bulk.reason
        ),
        None => format!("says it is done: {note}"),
    };
    let claim = CloseClaim {
        by: command.by.clone(),
        at: now,
        note: note.to_owned(),
        attestation: attestation.cloned(),
        second: None,
        bulk: bulk.cloned(),
    };
    Ok(Change {
        state: TaskState::Checking(claim.clone()),
        words,
        claim: Some(claim),
    })
}

fn confirmed(command: &Command, task: &FallbackTask, statement: &str) -> Result<Change, Answer> {
    let TaskState::AwaitingSecondPerson(claim) = &task.state else {
        let words = "nobody has attested anything that waits for a second person";
        return Err(no("CB-COMMAND-6", words));
    };
    if same_person(&claim.by, &command.by) {
        let words = format!("{} attested it; somebody else has to confirm", claim.by);
        return Err(no("CB-COMMAND-5", &words));
    }
    signed(statement, "the statement")?;
    let claim = CloseClaim {
        second: Some(Attestation {
            by: command.by.clone(),
            statement: statement.to_owned(),
        }),
        ..claim.clone()
    };
    Ok(Change {
        state: TaskState::Checking(claim.clone()),
        words: format!("stands for what {} attested: {statement}", claim.by),
        claim: Some(claim),
    })
}

fn waits_for_another(claim: &CloseClaim) -> Answer {
    let words = format!(
        "what {} attested waits for a second person: confirm or reject it",
        claim.by
    );
    no("CB-COMMAND-6", &words)
}

fn signed(text: &str, what: &str) -> Result<(), Answer> {
    if text.trim().is_empty() {
        return Err(no("CB-COMMAND-8", &format!("{what} is empty")));
    }
    Ok(())
}

/// Has a claim looked at: by the run's own check, or by a survey where it is about a connector.
fn checked(
    mut obedience: Obedience,
    task: FallbackTask,
    mut run: Run,
    claim: CloseClaim,
    given: &Given<'_>,
) -> Obedience {
    set_claim(&mut run.body, Some(claim.clone()));
    if let RunBody::Care(body) = &run.body {
        let connector = body.connector.clone();
        if !given.estate.connectors.contains_key(&connector) {
            return retired(obedience, task, run, &claim, given.now);
        }
        obedience.answer = yes("the connector is being surveyed");
        obedience.survey = Some(connector);
    } else {
        if let Stage::WithPerson { next_try, .. } = &mut run.stage {
            *next_try = Some(given.now);
        }
        obedience.answer = yes("the target is being looked at");
    }
    obedience.run = Some(run);
    obedience.task = Some(task);
    obedience
}

/// No manifest names the connector any more, so no survey will ever check the claim: only a
/// statement closes the task, of two people where access is privileged.
fn retired(
    mut obedience: Obedience,
    mut task: FallbackTask,
    mut run: Run,
    claim: &CloseClaim,
    now: Timestamp,
) -> Obedience {
    match weigh(claim, task.privileged) {
        Weight::Nothing => {
            obedience.answer = no(
                "CB-HEALTH-3",
                "no manifest names the connector any more: attest that it is gone",
            );
            return obedience;
        }
        Weight::Half => {
            set_claim(&mut run.body, None);
            task.attest(claim, now);
            task.state = TaskState::AwaitingSecondPerson(claim.clone());
            obedience.answer = yes("it waits for a second person");
        }
        Weight::Whole => {
            task.attest(claim, now);
            task.state = TaskState::Closed {
                how: Closure::Attested,
                by: claim.by.clone(),
                at: now,
            };
            run.step += 1;
            run.task = None;
            run.stage = Stage::Ended {
                end: End::Attested,
                at: now,
            };
        }
    }
    obedience.task = Some(task);
    obedience.run = Some(run);
    obedience
}
