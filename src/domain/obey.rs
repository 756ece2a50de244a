//! What an operator's wish comes to.
//!
//! Owns the rules of claiming, closing and rejecting tasks and of asking for a rotation. A close
//! only makes the run due with the claim on it: the machine then looks at the target, as always.

use super::command::{Answer, Command, Wish};
use super::doubt::{Ruling, is_held};
use super::drill::Drill;
use super::id::{ConnectorName, DrillId};
use super::rotation::Trigger;
use super::run::{Run, RunBody, Stage};
use super::settlement::Obedience;
use super::step::{Given, claim as claim_of, rotation_run, set_claim};
use super::task::{Attestation, CloseClaim, Closure, FallbackTask, TaskNote, TaskState};
use super::time::Timestamp;
use super::verdict::CredentialRole;
use super::workflow::End;

/// Decides one command, given the task and the free run that it is about.
#[allow(clippy::too_many_lines)] // One list, told in order; parts of it mean nothing alone.
pub fn obey(
    command: &Command,
    task: Option<&FallbackTask>,
    run: Option<&Run>,
    given: &Given<'_>,
) -> Obedience {
    let mut obedience = Obedience {
        command: command.id,
        answer: yes("done"),
        task: None,
        run: None,
        rotation: None,
        survey: None,
        drill: None,
    };
    if let Wish::Drill { connector } = &command.wish {
        return rehearse(obedience, command, connector, given);
    }
    if let Wish::RetireSecret { connector, role } = &command.wish {
        return retire(obedience, command, (connector, *role), given);
    }
    if let Wish::RotateSecret { connector, role } = &command.wish {
        let trigger = Trigger::Demand {
            by: command.by.clone(),
        };
        let cause = command.id.to_string();
        obedience.rotation = rotation_run(given, connector, *role, trigger, &cause);
        obedience.answer = match &obedience.rotation {
            Some(run) => yes(&format!(
                "rotation {} is under way unless one already was",
                run.id
            )),
            None => no(
                "CB-COMMAND-2",
                &format!(
                    "no manifest declares how the {} secret of {connector} is replaced",
                    role.as_str()
                ),
            ),
        };
        return obedience;
    }
    let (Some(task), Some(run)) = (task, run) else {
        obedience.answer = no("CB-COMMAND-1", "there is no such task");
        return obedience;
    };
    if let TaskState::Closed { by, .. } = &task.state {
        obedience.answer = no("CB-COMMAND-3", &format!("the task was closed by {by}"));
        return obedience;
    }
    if let Wish::RuleHold { release, note, .. } = &command.wish {
        let ruling = Ruling {
            release: *release,
            by: command.by.clone(),
            note: note.clone(),
        };
        return ruled(obedience, run.clone(), ruling, given.now);
    }
    let mut task = task.clone();
    let (state, words, claim) = match &command.wish {
        Wish::ClaimTask { .. } => {
            if let TaskState::Claimed { by, .. } | TaskState::Checking(CloseClaim { by, .. }) =
                &task.state
                && *by != command.by
            {
                obedience.answer = no(
                    "CB-COMMAND-4",
                    &format!("{by} works on it; reject it first"),
                );
                return obedience;
            }
            let state = TaskState::Claimed {
                by: command.by.clone(),
                at: given.now,
            };
            (state, "claimed".to_owned(), None)
        }
        Wish::RejectTask { reason, .. } => (TaskState::Open, format!("rejected: {reason}"), None),
        Wish::CloseTask {
            note, attestation, ..
        } => {
            if let Some(answer) = attestation_missing(&task, &command.by, attestation.as_ref()) {
                obedience.answer = answer;
                return obedience;
            }
            let claim = CloseClaim {
                by: command.by.clone(),
                at: given.now,
                note: note.clone(),
                attestation: attestation.clone(),
            };
            (
                TaskState::Checking(claim.clone()),
                format!("says it is done: {note}"),
                Some(claim),
            )
        }
        Wish::RotateSecret { .. }
        | Wish::RetireSecret { .. }
        | Wish::Drill { .. }
        | Wish::RuleHold { .. } => return obedience,
    };
    task.state = state;
    task.history.push(TaskNote {
        at: given.now,
        by: command.by.clone(),
        text: words,
    });
    if let Some(claim) = claim {
        let mut run = run.clone();
        set_claim(&mut run.body, Some(claim));
        if let RunBody::Care(body) = &run.body {
            let connector = body.connector.clone();
            if !given.estate.connectors.contains_key(&connector) {
                return retired(obedience, task, run, given.now);
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
    } else if claim_of(&run.body).is_some() {
        // What a person takes back is no longer theirs to have proved or attested.
        let mut run = run.clone();
        set_claim(&mut run.body, None);
        obedience.run = Some(run);
    }
    obedience.task = Some(task);
    obedience
}

/// The access of a retired connector, never of one that serves.
fn retire(
    mut obedience: Obedience,
    command: &Command,
    (connector, role): (&ConnectorName, CredentialRole),
    given: &Given<'_>,
) -> Obedience {
    let trigger = Trigger::Retired {
        by: command.by.clone(),
    };
    let cause = command.id.to_string();
    obedience.rotation = rotation_run(given, connector, role, trigger, &cause);
    obedience.answer = match &obedience.rotation {
        Some(_) => yes("the access is being taken away unless its secret is being replaced"),
        None => no(
            "CB-COMMAND-6",
            &format!("{connector} is not retired, as far as the workers have seen"),
        ),
    };
    obedience
}

fn rehearse(
    mut obedience: Obedience,
    command: &Command,
    connector: &ConnectorName,
    given: &Given<'_>,
) -> Obedience {
    let facts = given.estate.connectors.get(connector);
    obedience.answer = match facts.map(|facts| facts.drill.is_some()) {
        None => no("CB-DRILL-2", &format!("there is no connector {connector}")),
        Some(false) => no(
            "CB-DRILL-3",
            &format!("the manifest of {connector} declares no canary"),
        ),
        Some(true) => {
            let id = DrillId(command.id.0);
            let drill = Drill::new(id, connector.clone(), &command.by, given.now);
            obedience.drill = Some(drill);
            yes("the drill is under way unless one already was")
        }
    };
    obedience
}

/// A held event is let go, or dropped, by the next step of its case.
fn ruled(mut obedience: Obedience, mut run: Run, ruling: Ruling, now: Timestamp) -> Obedience {
    if let (RunBody::Case(body), Stage::WithPerson { next_try, .. }) =
        (&mut run.body, &mut run.stage)
        && is_held(body)
    {
        obedience.answer = yes(if ruling.release {
            "the event is released"
        } else {
            "the event is dropped"
        });
        body.ruling = Some(ruling);
        *next_try = Some(now);
        obedience.run = Some(run);
        return obedience;
    }
    obedience.answer = no(
        "CB-HOLD-5",
        "the task holds no event that could be released or dropped",
    );
    obedience
}

/// No manifest names the connector any more, so no survey will ever check the claim: only a
/// statement closes the task.
fn retired(
    mut obedience: Obedience,
    mut task: FallbackTask,
    mut run: Run,
    now: Timestamp,
) -> Obedience {
    let claim = claim_of(&run.body).cloned();
    let Some((claim, attested)) = claim
        .as_ref()
        .and_then(|claim| Some((claim, claim.attestation.as_ref()?)))
    else {
        obedience.answer = no(
            "CB-HEALTH-3",
            "no manifest names the connector any more: attest that it is gone",
        );
        return obedience;
    };
    task.history.push(TaskNote {
        at: now,
        by: claim.by.clone(),
        text: format!("{} attests: {}", attested.by, attested.statement),
    });
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
    obedience.task = Some(task);
    obedience.run = Some(run);
    obedience
}

/// Where nothing can be checked, or access is privileged, a bare "done" is not enough.
fn attestation_missing(
    task: &FallbackTask,
    by: &str,
    attestation: Option<&Attestation>,
) -> Option<Answer> {
    let attested = attestation?;
    (task.privileged && attested.by == by).then(|| {
        no(
            "CB-COMMAND-5",
            "access is privileged: a second person must attest",
        )
    })
}

fn yes(message: &str) -> Answer {
    Answer {
        accepted: true,
        code: None,
        message: message.to_owned(),
    }
}

fn no(code: &str, message: &str) -> Answer {
    Answer {
        accepted: false,
        code: Some(code.to_owned()),
        message: message.to_owned(),
    }
}
