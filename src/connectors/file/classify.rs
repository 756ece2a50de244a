//! Failure classes of a control list: which errno means what.
//!
//! Owns every failure that the file kind can return, with its code. A missing file is never an
//! empty list: a mount may be away. Missing rights are the credential of a file (`auth_failure`).

use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::domain::outcome::{Failure, FailureClass};

/// The class of an error that a read met.
pub fn reading(path: &Path, error: &io::Error) -> Failure {
    let errno = Errno::from_io_error(error);
    let shown = path.display();
    match errno {
        Some(Errno::NOENT | Errno::NOTDIR) => Failure::new(
            FailureClass::Unreachable,
            "CB-FILE-1",
            format!("{shown} is not there"),
        ),
        Some(Errno::ACCESS | Errno::PERM) => rights(path),
        Some(Errno::LOOP) => not_plain(path, "a symbolic link"),
        _ => Failure::new(
            FailureClass::Unreachable,
            "CB-FILE-1",
            format!("{shown} cannot be read: {error}"),
        ),
    }
}

/// The class of an error that a write met before the new list took its place.
pub fn writing(path: &Path, error: &io::Error) -> Failure {
    match Errno::from_io_error(error) {
        Some(Errno::ACCESS | Errno::PERM) => rights(path),
        _ => Failure::new(
            FailureClass::WriteFailure,
            "CB-FILE-2",
            format!("{} cannot be replaced: {error}", path.display()),
        ),
    }
}

/// The new list took its place, but the directory could not be made durable.
pub fn not_durable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        FailureClass::UnknownOutcome,
        "CB-FILE-3",
        format!(
            "{} was replaced, but its directory could not be synchronised: {error}",
            path.display()
        ),
    )
}

/// The process may not do this to the file.
pub fn rights(path: &Path) -> Failure {
    Failure::new(
        FailureClass::AuthFailure,
        "CB-FILE-4",
        format!("no right to open or replace {}", path.display()),
    )
}

/// The path leads to something other than one plain file at exactly that place.
pub fn not_plain(path: &Path, found: &str) -> Failure {
    Failure::new(
        FailureClass::Refused,
        "CB-FILE-5",
        format!("{} is or goes through {found}", path.display()),
    )
}

/// A line is not written as the manifest declares. The content is not repeated: it may hold a hash.
pub fn unparsable(path: &Path, line: usize, why: &str) -> Failure {
    Failure::new(
        FailureClass::Drifted,
        "CB-FILE-6",
        format!("{} line {line}: {why}", path.display()),
    )
}

/// More lines name the account than the manifest allows.
pub fn too_many_lines(path: &Path, found: usize, allowed: usize) -> Failure {
    Failure::new(
        FailureClass::Ambiguous,
        "CB-FILE-7",
        format!(
            "{found} lines of {} name the account, at most {allowed} may",
            path.display()
        ),
    )
}

/// The change would leave no entry, or would take more than it names.
pub fn would_overreach(path: &Path, why: &str) -> Failure {
    Failure::new(
        FailureClass::Refused,
        "CB-FILE-8",
        format!("the new {} would {why}", path.display()),
    )
}

/// Others kept changing or locking the list.
pub fn contended(path: &Path) -> Failure {
    Failure::new(
        FailureClass::WriteFailure,
        "CB-FILE-9",
        format!(
            "{} kept changing or was locked by another program",
            path.display()
        ),
    )
}

/// The id that the change names and the login that it asserts differ.
pub fn another_login(path: &Path) -> Failure {
    Failure::new(
        FailureClass::Ambiguous,
        "CB-FILE-10",
        format!(
            "in {} an account's id is its login, and the change names two different ones",
            path.display()
        ),
    )
}

/// The blocking part died; what it did is not known.
pub fn died(path: &Path) -> Failure {
    Failure::new(
        FailureClass::UnknownOutcome,
        "CB-FILE-3",
        format!("the change of {} broke off", path.display()),
    )
}
