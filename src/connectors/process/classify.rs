//! Failure classes of a program that speaks for a target.
//!
//! Owns every failure that the process kind can return, with its code. A program that breaks off
//! after it was let write leaves an unknown outcome, whatever it was about to say; before that
//! nothing has happened.

use std::io;
use std::path::Path;

use super::protocol::Failed;
use crate::domain::access::Operation;
use crate::domain::outcome::{Failure, FailureClass};

/// Longest message of a program that is kept.
const MESSAGE_CHARACTERS: usize = 300;

/// The program could not be started.
pub fn not_started(program: &Path, error: &io::Error) -> Failure {
    Failure::new(
        FailureClass::Unreachable,
        "CB-PROCESS-1",
        format!("{} cannot be started: {error}", program.display()),
    )
}

/// Others than its owner could change what would run.
pub fn not_ours(path: &Path) -> Failure {
    Failure::new(
        FailureClass::Refused,
        "CB-PROCESS-2",
        format!("{} can be changed by others than its owner", path.display()),
    )
}

/// The program ended, or its lines did, before it was done.
pub fn broke_off(wrote: bool, how: &str) -> Failure {
    let class = if wrote {
        FailureClass::UnknownOutcome
    } else {
        FailureClass::Unreachable
    };
    Failure::new(
        class,
        "CB-PROCESS-3",
        format!("the program broke off: {how}"),
    )
}

/// The program said something that protocol 1 does not know, or not here.
pub fn misunderstood(wrote: bool, what: &str) -> Failure {
    let class = if wrote {
        FailureClass::UnknownOutcome
    } else {
        FailureClass::Drifted
    };
    Failure::new(class, "CB-PROCESS-4", what.to_owned())
}

/// What the program itself says of its failure. After it was let write, only classes that speak of
/// the change are believed: of anything else it is not known when it happened.
pub fn failed(wrote: bool, told: Failed, mask: impl Fn(&str) -> String) -> Failure {
    let speaks_of_the_change = matches!(
        told.class,
        FailureClass::PartialSuccess
            | FailureClass::WriteFailure
            | FailureClass::RateLimited
            | FailureClass::AuthFailure
            | FailureClass::Refused
            | FailureClass::Unsupported
            | FailureClass::Inherited
            | FailureClass::Ambiguous
    );
    let class = if wrote && !speaks_of_the_change {
        FailureClass::UnknownOutcome
    } else {
        told.class
    };
    let message = mask(&told.message);
    let message: String = message
        .chars()
        .filter(|c| !c.is_control())
        .take(MESSAGE_CHARACTERS)
        .collect();
    Failure::new(class, "CB-PROCESS-5", message).retry_after(told.retry_after_seconds)
}

/// The target shows another login for the id than the change names.
pub fn another_login() -> Failure {
    Failure::new(
        FailureClass::Ambiguous,
        "CB-PROCESS-6",
        "the account has another login now than when it was read",
    )
}

/// "Nothing to change", but a look shows that there is.
pub fn still_there(operation: Operation) -> Failure {
    Failure::new(
        FailureClass::WriteFailure,
        "CB-PROCESS-7",
        format!(
            "the program says that there is nothing to {}, but a look shows that there is",
            operation.as_str()
        ),
    )
}
