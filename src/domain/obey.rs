//! What an operator's wish comes to.
//!
//! Owns the rules of pausing, of rehearsing and of asking for a rotation; those of tasks are in `obey::tasks`. A
//! close only makes the run due with the claim on it: the machine then looks at the target, as always.

use super::approval::Signed;
use super::command::{Answer, Command, Wish};
use super::drill::Drill;
use super::id::{ConnectorName, DrillId};
use super::pause::PauseChange;
use super::rotation::Trigger;
use super::run::Run;
use super::settlement::Obedience;
use super::step::{Given, rotation_run};
use super::task::FallbackTask;
use super::verdict::CredentialRole;

mod tasks;

/// Decides one command, given the task and the free run that it is about.
pub fn obey(
    command: &Command,
    task: Option<&FallbackTask>,
    run: Option<&Run>,
    given: &Given<'_>,
) -> Obedience {
    // Whose word it is stands in the record, and tells one person from a second one.
    if command.by.trim().is_empty() {
        return answered(
            command,
            no("CB-COMMAND-11", "nobody is named who wishes it"),
        );
    }
    match &command.wish {
        Wish::RotateSecret { connector, role } => rotate(command, connector, *role, given),
        Wish::RetireSecret { connector, role } => retire(command, connector, *role, given),
        Wish::Pause { connector, reason } => pause(command, connector.as_ref(), reason, given),
        Wish::Resume { connector, reason } => resume(command, connector.as_ref(), reason),
        Wish::Drill { connector } => rehearse(command, connector, given),
        Wish::ClaimTask { .. }
        | Wish::CloseTask { .. }
        | Wish::CloseInBulk { .. }
        | Wish::ConfirmTask { .. }
        | Wish::RetryTask { .. }
        | Wish::RejectTask { .. }
        | Wish::RuleHold { .. } => match (task, run) {
            (Some(task), Some(run)) => tasks::obey(command, task, run, given),
            _ => answered(command, no("CB-COMMAND-1", "there is no such task")),
        },
    }
}

fn rotate(
    command: &Command,
    connector: &ConnectorName,
    role: CredentialRole,
    given: &Given<'_>,
) -> Obedience {
    let trigger = Trigger::Demand {
        by: command.by.clone(),
    };
    let cause = command.id.to_string();
    let rotation = rotation_run(given, connector, role, trigger, &cause);
    let answer = match &rotation {
        Some(run) => yes(&format!(
            "rotation {} is under way, or follows the one that is",
            run.id
        )),
        None if !given.estate.connectors.contains_key(connector) => no(
            "CB-COMMAND-7",
            &format!("there is no connector {connector}"),
        ),
        None => no(
            "CB-COMMAND-2",
            &format!(
                "no manifest declares how the {} secret of {connector} is replaced",
                role.as_str()
            ),
        ),
    };
    Obedience {
        rotation,
        ..answered(command, answer)
    }
}

/// The access of a retired connector, never of one that serves.
fn retire(
    command: &Command,
    connector: &ConnectorName,
    role: CredentialRole,
    given: &Given<'_>,
) -> Obedience {
    let trigger = Trigger::Retired {
        by: command.by.clone(),
    };
    let cause = command.id.to_string();
    let rotation = rotation_run(given, connector, role, trigger, &cause);
    let answer = match &rotation {
        Some(_) => yes("the access is being taken away unless its secret is being replaced"),
        None => no(
            "CB-COMMAND-10",
            &format!("{connector} is not retired, as far as the workers have seen"),
        ),
    };
    Obedience {
        rotation,
        ..answered(command, answer)
    }
}

fn rehearse(command: &Command, connector: &ConnectorName, given: &Given<'_>) -> Obedience {
    let facts = given.estate.connectors.get(connector);
    let refused = match facts.map(|facts| facts.drill.is_some()) {
        None => no("CB-DRILL-2", &format!("there is no connector {connector}")),
        Some(false) => no(
            "CB-DRILL-3",
            &format!("the manifest of {connector} declares no canary"),
        ),
        Some(true) => {
            let id = DrillId(command.id.0);
            let drill = Drill::new(id, connector.clone(), &command.by, given.now);
            return Obedience {
                drill: Some(drill),
                ..answered(
                    command,
                    yes("the drill is under way unless one already was"),
                )
            };
        }
    };
    answered(command, refused)
}

fn pause(
    command: &Command,
    connector: Option<&ConnectorName>,
    reason: &str,
    given: &Given<'_>,
) -> Obedience {
    if let Some(name) = connector
        && !given.estate.connectors.contains_key(name)
    {
        let words = format!("there is no connector {name}");
        return answered(command, no("CB-COMMAND-7", &words));
    }
    if reason.trim().is_empty() {
        return answered(command, no("CB-COMMAND-8", "the reason is empty"));
    }
    let change = PauseChange::Begin {
        connector: connector.cloned(),
        signed: signed(command, reason),
    };
    Obedience {
        pause: Some(change),
        ..answered(command, yes("paused"))
    }
}

/// A pause ends even at a connector that is there no more.
fn resume(command: &Command, connector: Option<&ConnectorName>, reason: &str) -> Obedience {
    if reason.trim().is_empty() {
        return answered(command, no("CB-COMMAND-8", "the reason is empty"));
    }
    let change = PauseChange::End {
        connector: connector.cloned(),
        signed: signed(command, reason),
    };
    Obedience {
        pause: Some(change),
        ..answered(command, yes("resumed"))
    }
}

fn signed(command: &Command, reason: &str) -> Signed {
    Signed {
        by: command.by.clone(),
        at: command.at,
        reason: reason.to_owned(),
    }
}

/// An answer that changes nothing.
fn answered(command: &Command, answer: Answer) -> Obedience {
    Obedience {
        command: command.id,
        answer,
        task: None,
        run: None,
        rotation: None,
        survey: None,
        pause: None,
        drill: None,
        puts_off: None,
    }
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
