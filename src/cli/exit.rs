//! How a command ends.
//!
//! Owns the exit codes (documented in `docs/cli.md`) and the one place that tells an error: its
//! chain once, to standard error. A program reads the code, a person the words.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::output::visible;
use crate::app::{AppError, scrub};
use crate::document::Problems;
use crate::domain::approval::Disapproval;
use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;
use crate::store::StoreError;

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It did not work; nothing more specific is known.
    Failed = 1,
    /// The arguments are wrong. Most of these are found by the reading of arguments itself.
    Usage = 2,
    /// Files have problems, which were told.
    Problems = 3,
    /// There is no such thing.
    NotFound = 4,
    /// Refused: it conflicts with how things stand.
    Refused = 5,
    /// The database or another part does not answer; try again.
    Unavailable = 6,
    /// In line, but no worker has answered yet.
    Unanswered = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command stops, where that has an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// There is no such thing.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// An argument that cannot be meant.
    #[error("{code}: {message}")]
    Usage {
        /// Heading in `docs/errors.md`.
        code: &'static str,
        /// In words.
        message: String,
    },
    /// Refused by the engine or by what is asked.
    #[error("{code}: {message}")]
    Refused {
        /// Heading in `docs/errors.md`.
        code: String,
        /// In words.
        message: String,
    },
    /// A wish is in line and nobody has answered.
    #[error(
        "no worker has answered within {seconds} s; the wish is in line and will be carried out when \
         a worker runs (`clawback run`)"
    )]
    Unanswered {
        /// How long was waited.
        seconds: u64,
    },
}

/// Tells an error and finds its code.
pub fn report(error: &anyhow::Error) -> Exit {
    use std::io::Write as _;
    // If standard error is closed there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{}", visible(&words(error)));
    code(error)
}

/// The same as lines of JSON, as the log's are: for a worker whose lines a program reads.
pub fn report_json(error: &anyhow::Error, now: Timestamp) -> Exit {
    use std::io::Write as _;
    for line in json_lines(error, now) {
        // As above.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    code(error)
}

fn json_lines(error: &anyhow::Error, now: Timestamp) -> Vec<String> {
    let line = |message: String, place: Value| {
        let mut line = json!({
            "timestamp": now, "level": "ERROR", "message": message, "target": "clawback",
        });
        if let (Some(line), Value::Object(place)) = (line.as_object_mut(), place) {
            line.extend(place);
        }
        line.to_string()
    };
    match error.downcast_ref::<Problems>() {
        Some(problems) => {
            let problems = problems.0.iter();
            let told = problems.map(|one| {
                let place = json!({ "file": one.file, "line": one.line, "remedy": one.remedy });
                line(one.message.clone(), place)
            });
            told.collect()
        }
        None => vec![line(words(error), Value::Null)],
    }
}

fn words(error: &anyhow::Error) -> String {
    if let Some(problems) = error.downcast_ref::<Problems>() {
        return problems.to_string();
    }
    let chain: Vec<_> = error.chain().map(ToString::to_string).collect();
    // Whose words they are is not known here: a library's may repeat what it was given.
    scrub(&format!("clawback: {}", chain.join(": "))).into_owned()
}

pub(super) fn code(error: &anyhow::Error) -> Exit {
    if error.is::<Problems>() {
        return Exit::Problems;
    }
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::NotFound { .. } => Exit::NotFound,
            Stop::Usage { .. } => Exit::Usage,
            Stop::Refused { code, .. } => refused(code),
            Stop::Unanswered { .. } => Exit::Unanswered,
        };
    }
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failed(failure);
    }
    match error.downcast_ref::<AppError>() {
        Some(AppError::Disapproved(Disapproval::Unsigned(_)) | AppError::UserName(_)) => {
            return Exit::Usage;
        }
        Some(
            AppError::Disapproved(_)
            | AppError::NotHeld
            | AppError::StillServes(_)
            | AppError::UserTaken(_)
            | AppError::NoRole(_),
        ) => return Exit::Refused,
        Some(AppError::NoConnector(_) | AppError::NoUser(_)) => return Exit::NotFound,
        Some(AppError::Config(_)) => return Exit::Problems,
        Some(_) | None => {}
    }
    let stored = match error.downcast_ref::<AppError>() {
        Some(AppError::Store(stored)) => Some(stored),
        Some(_) | None => error.downcast_ref::<StoreError>(),
    };
    match stored {
        Some(StoreError::Unavailable(_)) => Exit::Unavailable,
        Some(StoreError::Locked(_) | StoreError::Schema(_) | StoreError::Broken { .. }) => {
            Exit::Refused
        }
        Some(StoreError::Corrupt { .. } | StoreError::Refused(_) | StoreError::WentBack) | None => {
            Exit::Failed
        }
    }
}

/// A worker refuses under one code what has exit codes of its own here.
fn refused(code: &str) -> Exit {
    match code {
        "CB-COMMAND-1" | "CB-COMMAND-7" | "CB-DRILL-2" => Exit::NotFound,
        "CB-COMMAND-8" | "CB-COMMAND-11" => Exit::Usage,
        _ => Exit::Refused,
    }
}

/// A secret that no manifest declares has a name that is wrong, and nothing else.
fn failed(failure: &Failure) -> Exit {
    match failure.code.as_str() {
        "CB-SECRETS-13" | "CB-PROBE-6" => Exit::NotFound,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::document::Problem;

    #[test]
    fn errors_find_their_code_through_context() {
        let away = StoreError::Unavailable("gone".into());
        let error = Err::<(), _>(away).context("listing tasks").expect_err("is");
        assert_eq!(code(&error), Exit::Unavailable);
        assert_eq!(
            words(&error),
            "clawback: listing tasks: CB-STORE-1: the database is unavailable: gone"
        );
        assert_eq!(code(&Problems::default().into()), Exit::Problems);
        assert_eq!(code(&anyhow::anyhow!("other")), Exit::Failed);
        let away = AppError::Store(StoreError::Unavailable("gone".into()));
        assert_eq!(code(&away.into()), Exit::Unavailable);
        let alone = AppError::Disapproved(Disapproval::SamePerson("ada".to_owned()));
        assert_eq!(code(&alone.into()), Exit::Refused);
    }

    #[test]
    fn d1_what_looks_like_a_secret_is_masked_in_an_error_too() {
        let error = anyhow::anyhow!("sasl.password=hunter2hunter2").context("opening");
        assert_eq!(words(&error), "clawback: opening: sasl.password=[redacted]");
    }

    #[test]
    fn h2_a_worker_that_ends_says_why_in_lines_of_json() {
        let read = |error: &anyhow::Error| -> Vec<Value> {
            let lines = json_lines(error, Timestamp::UNIX_EPOCH).into_iter();
            let parsed = lines.map(|line| serde_json::from_str(&line).expect("JSON"));
            parsed.collect()
        };
        let error = anyhow::anyhow!("password=hunter2hunter2 two\nlines").context("opening");
        let told = read(&error);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0]["level"], "ERROR");
        assert_eq!(
            told[0]["message"],
            "clawback: opening: password=[redacted] two\nlines"
        );
        let problem = |line| Problem {
            file: "clawback.toml".to_owned(),
            line,
            message: "wrong".to_owned(),
            remedy: "mend it".to_owned(),
        };
        let told = read(&Problems(vec![problem(2), problem(5)]).into());
        assert_eq!(told.len(), 2, "a line for each");
        assert_eq!(
            (&told[1]["line"], &told[1]["remedy"]),
            (&json!(5), &json!("mend it"))
        );
    }

    #[test]
    fn what_is_refused_ends_as_the_manual_says() {
        let refused = |code: &str| {
            anyhow::Error::from(Stop::Refused {
                code: code.to_owned(),
                message: String::new(),
            })
        };
        for (error, exit) in [
            (refused("CB-COMMAND-1"), Exit::NotFound),
            (refused("CB-COMMAND-7"), Exit::NotFound),
            (refused("CB-DRILL-2"), Exit::NotFound),
            (refused("CB-COMMAND-8"), Exit::Usage),
            (refused("CB-COMMAND-11"), Exit::Usage),
            (refused("CB-COMMAND-3"), Exit::Refused),
            (AppError::NotHeld.into(), Exit::Refused),
            (AppError::UserName("a b".to_owned()).into(), Exit::Usage),
            (
                AppError::Disapproved(Disapproval::Unsigned("the reason")).into(),
                Exit::Usage,
            ),
            (AppError::NoConnector("crm".into()).into(), Exit::NotFound),
        ] {
            assert_eq!(code(&error), exit, "{error:?}");
        }
        let manual = include_str!("../../docs/cli.md");
        for number in 0..=Exit::Unanswered as u8 {
            assert!(manual.contains(&format!("\n| {number} | ")), "{number}");
        }
    }
}
