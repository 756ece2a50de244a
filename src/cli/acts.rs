//! What is noted of what people do on the command line.
//!
//! Owns the words: the same for the same deed as those of console and API, so that `users acts` and the
//! console's page tell one story. Writes nothing itself.

use crate::app::{AppError, users};
use crate::domain::command::{Answer, Wish};
use crate::domain::id::ConnectorName;
use crate::domain::time::Timestamp;
use crate::domain::user::Act;
use crate::domain::verdict::CredentialRole;

/// What a wish has come to that no worker has answered yet.
pub const WAITS: &str = "waits in line";

/// What was done, and about what.
pub type Done = (&'static str, String);

/// The act as it is kept.
pub fn act(at: Timestamp, by: &str, (what, about): Done, came_to: &str) -> Act {
    Act {
        at,
        by: by.to_owned(),
        from: users::HERE.to_owned(),
        what: what.to_owned(),
        about,
        came_to: came_to.to_owned(),
    }
}

/// What is done by wishing this.
pub fn of(wish: &Wish) -> Done {
    match wish {
        Wish::ClaimTask { task } => ("claim_task", task.to_string()),
        Wish::CloseTask { task, .. } | Wish::CloseInBulk { task, .. } => {
            ("close_task", task.to_string())
        }
        Wish::ConfirmTask { task, .. } => ("confirm_task", task.to_string()),
        Wish::RejectTask { task, .. } => ("reject_task", task.to_string()),
        Wish::RetryTask { task } => ("retry_task", task.to_string()),
        Wish::RuleHold { task, release, .. } => {
            let what = if *release {
                "release_event"
            } else {
                "drop_event"
            };
            (what, task.to_string())
        }
        Wish::RotateSecret { connector, role } => ("rotate_secret", secret(connector, *role)),
        Wish::RetireSecret { connector, role } => ("retire_secret", secret(connector, *role)),
        Wish::Pause { connector, .. } => ("pause", whole(connector.as_ref())),
        Wish::Resume { connector, .. } => ("resume", whole(connector.as_ref())),
        Wish::Drill { connector } => ("drill", connector.to_string()),
    }
}

/// One of a connector's secrets.
pub fn secret(connector: &ConnectorName, role: CredentialRole) -> String {
    format!("{connector} {}", role.as_str())
}

fn whole(connector: Option<&ConnectorName>) -> String {
    connector.map_or_else(|| "all connectors".to_owned(), ToString::to_string)
}

/// What a worker's answer says.
pub fn came_to(answer: &Answer) -> String {
    let message = &answer.message;
    match (answer.accepted, message.as_str()) {
        (true, "done") => message.clone(),
        (true, _) => format!("done: {message}"),
        (false, _) => {
            let code = answer.code.as_deref().unwrap_or_default();
            format!("refused: {code} {message}")
        }
    }
}

/// What a decision for which two people are needed has come to. What failed otherwise is no act.
pub fn ruled<T>(ruled: &Result<T, AppError>, done: &str) -> Option<String> {
    match ruled {
        Ok(_) => Some(done.to_owned()),
        Err(error @ (AppError::Disapproved(_) | AppError::NotHeld)) => {
            Some(format!("refused: {error}"))
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_answers_is_noted_as_the_console_does() {
        let answer = |accepted, code: Option<&str>, message: &str| Answer {
            accepted,
            code: code.map(str::to_owned),
            message: message.to_owned(),
        };
        assert_eq!(came_to(&answer(true, None, "done")), "done");
        assert_eq!(came_to(&answer(true, None, "paused")), "done: paused");
        let refused = answer(false, Some("CB-COMMAND-4"), "not now");
        assert_eq!(came_to(&refused), "refused: CB-COMMAND-4 not now");
        let pause = Wish::Pause {
            connector: None,
            reason: "so".to_owned(),
        };
        assert_eq!(of(&pause), ("pause", "all connectors".to_owned()));
    }

    #[test]
    fn a_refused_decision_is_an_act_and_a_store_that_is_away_is_none() {
        let held: Result<(), _> = Err(AppError::NotHeld);
        assert!(ruled(&held, "approved").is_some_and(|words| words.starts_with("refused: CB-")));
        let unknown: Result<(), _> = Err(AppError::NoConnector("crm".into()));
        assert_eq!(ruled(&unknown, "approved"), None);
        assert_eq!(ruled(&Ok(()), "approved").as_deref(), Some("approved"));
    }
}
