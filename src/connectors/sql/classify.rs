//! Failure classes of a database: which SQLSTATE (or SQLite result code) means what.
//!
//! Owns every failure that the sql kind can return, with its code. A lost connection before COMMIT
//! changed nothing; after COMMIT was sent the outcome is unknown. Messages of the database are
//! repeated only where they name objects, not where they could hold values.

use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;

use crate::domain::access::Operation;
use crate::domain::outcome::{Failure, FailureClass};

/// How far the exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Signing in.
    Connect,
    /// Before COMMIT: the database forgets what was done.
    Statement,
    /// COMMIT was sent.
    Commit,
}

/// `dependent_objects_still_exist`.
const DEPENDED_UPON: &str = "2BP01";

/// The code of a role that went while it was being changed.
pub const NO_SUCH_ROLE: &str = "CB-SQL-15";

/// The code of a database that cannot be entered.
pub const NO_WAY_IN: &str = "CB-SQL-17";

/// The class of an error of the driver.
pub fn failure(error: &sqlx::Error, phase: Phase) -> Failure {
    if let sqlx::Error::Database(database) = error {
        if let Some(error) = database.try_downcast_ref::<MySqlDatabaseError>() {
            return mariadb(error.number(), error.message(), phase);
        }
        let code = database.code().unwrap_or_default();
        let postgres = database.try_downcast_ref::<PgDatabaseError>();
        let detail = postgres.and_then(PgDatabaseError::detail);
        return match code.len() {
            5 if code == DEPENDED_UPON => still_depended_upon(database.message(), detail),
            5 => sqlstate(&code, database.message(), phase),
            _ => sqlite(&code, database.message()),
        };
    }
    match (error, phase) {
        (_, Phase::Commit) => lost_commit(),
        (sqlx::Error::Configuration(_), _) => Failure::new(
            FailureClass::Drifted,
            "CB-SQL-5",
            "the driver cannot connect with these settings",
        ),
        (
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::TypeNotFound { .. },
            _,
        ) => drifted(format!("a value has an unexpected type: {error}")),
        _ => Failure::new(
            FailureClass::Unreachable,
            "CB-SQL-1",
            format!("no connection to the database: {error}"),
        ),
    }
}

/// The server's own code of an error, if it is one of the server's: an SQLSTATE, or a number.
pub fn server_code(error: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(database) = error else {
        return None;
    };
    let mariadb = database.try_downcast_ref::<MySqlDatabaseError>();
    match mariadb {
        Some(error) => Some(error.number().to_string()),
        None => database.code().map(std::borrow::Cow::into_owned),
    }
}

/// SQLSTATE, see "Appendix A. PostgreSQL Error Codes".
fn sqlstate(code: &str, message: &str, phase: Phase) -> Failure {
    let told = format!("SQLSTATE {code}: {message}");
    let kept = format!("SQLSTATE {code}");
    let (class, name, message) = match (code, &code[..2]) {
        ("08007" | "40003", _) if phase == Phase::Commit => return lost_commit(),
        ("57P01" | "57P02" | "57P03", _) | (_, "08" | "58") => {
            if phase == Phase::Commit {
                return lost_commit();
            }
            (FailureClass::Unreachable, "CB-SQL-1", told)
        }
        (_, "28") => (FailureClass::AuthFailure, "CB-SQL-2", told),
        ("42501", _) => (FailureClass::Refused, "CB-SQL-3", told),
        ("55P03" | "57014", _) | (_, "53") => (FailureClass::RateLimited, "CB-SQL-4", kept),
        ("40001" | "40P01", _) => (FailureClass::WriteFailure, "CB-SQL-7", kept),
        // undefined_object: for a role, somebody else was faster.
        ("42704", _) => (FailureClass::Drifted, NO_SUCH_ROLE, told),
        (_, "0A" | "3D" | "3F" | "42") => (FailureClass::Drifted, "CB-SQL-5", told),
        (_, "22") if phase == Phase::Statement => (FailureClass::Drifted, "CB-SQL-5", kept),
        _ => (FailureClass::WriteFailure, "CB-SQL-8", kept),
    };
    Failure::new(class, name, message)
}

/// Result codes of SQLite; the low byte is the primary one.
fn sqlite(code: &str, message: &str) -> Failure {
    let primary = code.parse::<u32>().unwrap_or(1) & 0xff;
    let told = format!("SQLite {code}: {message}");
    let (class, name) = match primary {
        5 | 6 => (FailureClass::RateLimited, "CB-SQL-4"),
        3 | 8 | 23 => (FailureClass::Refused, "CB-SQL-3"),
        10 | 13 | 14 => (FailureClass::Unreachable, "CB-SQL-1"),
        19 | 20 => (FailureClass::WriteFailure, "CB-SQL-8"),
        _ => (FailureClass::Drifted, "CB-SQL-5"),
    };
    Failure::new(class, name, told)
}

/// Error numbers of MariaDB, see "MariaDB Error Codes".
fn mariadb(number: u16, message: &str, phase: Phase) -> Failure {
    let told = format!("MariaDB {number}: {message}");
    let kept = format!("MariaDB {number}");
    let (class, name, message) = match number {
        // Access denied, account locked, password expired.
        1045 | 1251 | 1524 | 1698 | 1820 | 1862 | 4151 if phase == Phase::Connect => {
            (FailureClass::AuthFailure, "CB-SQL-2", kept)
        }
        // The same words once signed in: a role that the writer may not administer.
        1045 | 1698 => (FailureClass::Refused, "CB-SQL-3", told),
        // No right to the schema, table, column, routine or statement.
        1044 | 1095 | 1142 | 1143 | 1227 | 1290 | 1370 | 1410 => {
            (FailureClass::Refused, "CB-SQL-3", told)
        }
        1040 | 1203 | 1205 | 1226 | 1969 => (FailureClass::RateLimited, "CB-SQL-4", kept),
        1053 | 1152 | 1158..=1161 | 1927 if phase == Phase::Commit => return lost_commit(),
        1053 | 1152 | 1158..=1161 | 1927 => (FailureClass::Unreachable, "CB-SQL-1", told),
        1213 => (FailureClass::WriteFailure, "CB-SQL-7", kept),
        // No such grant, no such account or role.
        1133 | 1141 | 1147 | 1396 | 1403 | 1959 | 1971 => {
            (FailureClass::Drifted, NO_SUCH_ROLE, told)
        }
        1054 | 1064 | 1109 | 1146 | 1193 | 1305 => (FailureClass::Drifted, "CB-SQL-5", told),
        _ => (FailureClass::WriteFailure, "CB-SQL-8", told),
    };
    Failure::new(class, name, message)
}

/// The credential has no name to sign in with.
pub fn nameless() -> Failure {
    Failure::new(
        FailureClass::AuthFailure,
        "CB-SQL-2",
        "the credential names no database role",
    )
}

fn lost_commit() -> Failure {
    Failure::new(
        FailureClass::UnknownOutcome,
        "CB-SQL-6",
        "COMMIT was sent and no answer came",
    )
}

/// The server says that the credential may not change this.
pub fn may_not(lacking: &[String]) -> Failure {
    let lacking = lacking.join(", ");
    let message = format!("the role has no right to change {lacking}");
    Failure::new(FailureClass::Refused, "CB-SQL-3", message)
}

/// The answer lacks its declared shape.
pub fn drifted(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Drifted, "CB-SQL-5", message)
}

/// The statement touched more rows than it may; it was rolled back.
pub fn too_many_rows(operation: Operation, found: u64, allowed: u64) -> Failure {
    Failure::new(
        FailureClass::Ambiguous,
        "CB-SQL-9",
        format!(
            "`{}` would touch {found} rows, at most {allowed} may; rolled back",
            operation.as_str()
        ),
    )
}

/// More than one row stands for the account.
pub fn several_rows(found: usize) -> Failure {
    Failure::new(
        FailureClass::Ambiguous,
        "CB-SQL-9",
        format!("{found} rows stand for one account"),
    )
}

/// The id now belongs to another login.
pub fn another_login() -> Failure {
    Failure::new(
        FailureClass::Ambiguous,
        "CB-SQL-10",
        "the account's id now shows another login; nothing was changed",
    )
}

/// The statement touched no row although what it should change is there.
pub fn without_effect(operation: Operation) -> Failure {
    Failure::new(
        FailureClass::WriteFailure,
        "CB-SQL-11",
        format!(
            "`{}` touched no row, and what it should change is still there",
            operation.as_str()
        ),
    )
}

/// Objects or grants of others depend on what should go; the server says which (its DETAIL).
fn still_depended_upon(message: &str, detail: Option<&str>) -> Failure {
    let detail = detail
        .unwrap_or("it does not say which")
        .replace('\n', "; ");
    Failure::new(
        FailureClass::WriteFailure,
        "CB-SQL-14",
        format!("{message}: {detail}"),
    )
}

/// The role is not among those that the connector may change.
pub fn out_of_bounds(login: &str, why: &str) -> Failure {
    Failure::new(
        FailureClass::Refused,
        "CB-SQL-13",
        format!("the role {login:?} {why}; nothing was changed"),
    )
}

/// What a change should have taken, or what keeps it from being done, is still there.
pub fn still_there(left: &str, immediate: bool) -> Failure {
    let then = if immediate { "" } else { "; rolled back" };
    Failure::new(
        FailureClass::WriteFailure,
        "CB-SQL-11",
        format!("this is still there: {left}{then}"),
    )
}

/// Sessions are there that should not be.
pub fn sessions_left(sessions: u64) -> Failure {
    Failure::new(
        FailureClass::WriteFailure,
        "CB-SQL-16",
        format!("{sessions} sessions of the role are live, and a session outlives its role"),
    )
}

/// A database that holds something of the role cannot be entered. That the same credential works
/// elsewhere says that it is a right that is missing and not the credential that is wrong.
pub fn no_way_in(database: &str, cause: &Failure) -> Failure {
    let class = match cause.class {
        FailureClass::AuthFailure | FailureClass::Drifted => FailureClass::Refused,
        class => class,
    };
    Failure::new(
        class,
        NO_WAY_IN,
        format!(
            "database {database:?} holds something of the role and cannot be entered: {}",
            cause.message
        ),
    )
}

/// The failure of one database, named.
pub fn within(database: &str, failure: Failure) -> Failure {
    Failure {
        message: format!("in database {database:?}: {}", failure.message),
        ..failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sqlstate_has_its_fate() {
        let class = |code, phase| sqlstate(code, "", phase).class;
        for (code, expected) in [
            ("28P01", FailureClass::AuthFailure),
            ("28000", FailureClass::AuthFailure),
            ("42501", FailureClass::Refused),
            ("08006", FailureClass::Unreachable),
            ("57P01", FailureClass::Unreachable),
            ("53300", FailureClass::RateLimited),
            ("55P03", FailureClass::RateLimited),
            ("40P01", FailureClass::WriteFailure),
            ("23503", FailureClass::WriteFailure),
            ("42703", FailureClass::Drifted),
            ("42P01", FailureClass::Drifted),
            // A kept statement met a column of another type.
            ("0A000", FailureClass::Drifted),
        ] {
            assert_eq!(class(code, Phase::Statement), expected, "{code}");
        }
    }

    #[test]
    fn each_number_of_mariadb_has_its_fate() {
        let class = |number, phase| mariadb(number, "", phase).class;
        for (number, expected) in [
            (1142, FailureClass::Refused),
            (1698, FailureClass::Refused),
            (1205, FailureClass::RateLimited),
            (1396, FailureClass::Drifted),
            (1927, FailureClass::Unreachable),
        ] {
            assert_eq!(class(number, Phase::Statement), expected, "{number}");
        }
        assert_eq!(class(1045, Phase::Connect), FailureClass::AuthFailure);
        assert_eq!(class(1698, Phase::Connect), FailureClass::AuthFailure);
        assert_eq!(class(1927, Phase::Commit), FailureClass::UnknownOutcome);
    }

    #[test]
    fn p9_a_lost_answer_to_commit_is_unknown_and_before_it_is_not() {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(
            failure(&lost(), Phase::Commit).class,
            FailureClass::UnknownOutcome
        );
        assert_eq!(
            failure(&lost(), Phase::Statement).class,
            FailureClass::Unreachable
        );
        assert_eq!(
            sqlstate("57P01", "", Phase::Commit).class,
            FailureClass::UnknownOutcome
        );
    }
}
