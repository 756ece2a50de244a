//! Failure classes of a directory: which result code (RFC 4511 appendix A) means what.
//!
//! Owns every failure that the ldap kind can return, with its code. A connection lost after a change
//! was handed over leaves the outcome unknown. A directory's words are shortened, and left out
//! where they could hold a value that was sent.

use ldap3::{LdapError, LdapResult};

use crate::domain::access::Operation;
use crate::domain::outcome::{Failure, FailureClass};

/// Longest excerpt of a directory's words.
const LONGEST_WORDS: usize = 200;

/// What Active Directory says after `data` when it refuses to sign somebody in.
const REFUSALS: [(&str, &str); 9] = [
    ("525", "there is no such user"),
    ("52e", "wrong password"),
    ("530", "not at this time"),
    ("531", "not from this machine"),
    ("532", "the password has expired"),
    ("533", "the account is disabled"),
    ("701", "the account has expired"),
    ("773", "the password must be changed first"),
    ("775", "the account is locked out"),
];

/// How far the exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connecting and signing in.
    Bind,
    /// Searching.
    Read,
    /// Changing something.
    Write,
}

/// The class of an error of the library: no result code came.
pub fn lost(error: &LdapError, phase: Phase) -> Failure {
    match (error, phase) {
        (LdapError::LdapResult { result }, _) => refused(result, phase),
        // The connection had ended before the request was handed over.
        (LdapError::OpSend { .. }, Phase::Write) => unreachable(error),
        (_, Phase::Write) => Failure::new(
            FailureClass::UnknownOutcome,
            "CB-LDAP-6",
            "the change was sent and no answer came",
        ),
        (LdapError::FilterParsing, _) => drifted("the filter cannot be sent"),
        (_, Phase::Bind | Phase::Read) => unreachable(error),
    }
}

fn unreachable(error: &LdapError) -> Failure {
    Failure::new(
        FailureClass::Unreachable,
        "CB-LDAP-1",
        format!(
            "no connection to the directory: {}",
            words(&error.to_string())
        ),
    )
}

/// The class of a result other than success.
pub fn refused(result: &LdapResult, phase: Phase) -> Failure {
    let told = told(result);
    let (class, code) = class(result, phase);
    Failure::new(class, code, told)
}

/// The same, without the directory's words: the request held a secret.
pub fn refused_silently(result: &LdapResult) -> Failure {
    let (class, code) = class(result, Phase::Write);
    Failure::new(class, code, format!("LDAP result {}", result.rc))
}

fn class(result: &LdapResult, phase: Phase) -> (FailureClass, &'static str) {
    // Active Directory answers operationsError where nobody is signed in (ERROR 0x4DC).
    let unbound = result.rc == 1 && result.text.contains("000004DC");
    match (result.rc, phase) {
        (48 | 49, _) | (53, Phase::Bind) => (FailureClass::AuthFailure, "CB-LDAP-2"),
        (_, _) if unbound => (FailureClass::AuthFailure, "CB-LDAP-2"),
        (50, _) => (FailureClass::Refused, "CB-LDAP-3"),
        (51, _) | (3 | 4 | 11, Phase::Write) => (FailureClass::RateLimited, "CB-LDAP-4"),
        (52, _) | (1 | 80, Phase::Bind | Phase::Read) => (FailureClass::Unreachable, "CB-LDAP-1"),
        (_, Phase::Bind | Phase::Read) => (FailureClass::Drifted, "CB-LDAP-5"),
        (122, Phase::Write) => (FailureClass::Ambiguous, "CB-LDAP-10"),
        (10 | 18 | 53 | 66, Phase::Write) => (FailureClass::Unsupported, "CB-LDAP-9"),
        (2 | 7 | 8 | 12 | 13 | 17 | 21 | 34, Phase::Write) => (FailureClass::Drifted, "CB-LDAP-5"),
        (_, Phase::Write) => (FailureClass::WriteFailure, "CB-LDAP-8"),
    }
}

fn told(result: &LdapResult) -> String {
    let data = result.text.split("data ").nth(1).unwrap_or_default();
    let data = data.split([',', ' ']).next().unwrap_or_default();
    let known = REFUSALS.iter().find(|(code, _)| *code == data);
    match (result.rc, known) {
        (49, Some((code, meaning))) => format!("LDAP result 49, data {code}: {meaning}"),
        (rc, _) if result.text.is_empty() => format!("LDAP result {rc}"),
        (rc, _) => format!("LDAP result {rc}: {}", words(&result.text)),
    }
}

fn words(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(LONGEST_WORDS).collect()
}

/// The credential cannot even be tried.
pub fn no_credential(what: &str) -> Failure {
    Failure::new(FailureClass::AuthFailure, "CB-LDAP-2", what)
}

/// The answer, or the directory itself, is not as declared.
pub fn drifted(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Drifted, "CB-LDAP-5", message)
}

/// Somebody else changed the entry between the look and the change.
pub fn came_first() -> Failure {
    Failure::new(
        FailureClass::WriteFailure,
        "CB-LDAP-7",
        "the entry was changed by someone else meanwhile; nothing was changed",
    )
}

/// More than one entry has the id.
pub fn several(found: usize) -> Failure {
    Failure::new(
        FailureClass::Ambiguous,
        "CB-LDAP-10",
        format!("{found} entries have one id"),
    )
}

/// The id now belongs to another login.
pub fn another_login() -> Failure {
    Failure::new(
        FailureClass::Ambiguous,
        "CB-LDAP-10",
        "the account's id now shows another login; nothing was changed",
    )
}

/// The directory says that there is nothing to change, and there is.
pub fn without_effect(operation: Operation) -> Failure {
    Failure::new(
        FailureClass::WriteFailure,
        "CB-LDAP-11",
        format!(
            "`{}` was answered \"not there\", and what it should change is there",
            operation.as_str()
        ),
    )
}

/// The group's class does not let its last member leave.
pub fn last_member(group: &str) -> Failure {
    Failure::new(
        FailureClass::Unsupported,
        "CB-LDAP-12",
        format!("the account is the last member of {group}, which may not be empty"),
    )
}

/// Nobody can be without a primary group.
pub fn primary_group() -> Failure {
    Failure::new(
        FailureClass::Unsupported,
        "CB-LDAP-12",
        "the primary group cannot be left, and the manifest names no group to `park` in",
    )
}

/// The search did not show everything, so nothing can be based on it.
pub fn incomplete(why: &str) -> Failure {
    Failure::new(FailureClass::StaleData, "CB-LDAP-13", why)
}

/// The entitlement is none that this connector knows how to take.
pub fn foreign(what: &str) -> Failure {
    Failure::new(FailureClass::Unsupported, "CB-LDAP-14", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(rc: u32, text: &str) -> LdapResult {
        LdapResult {
            rc,
            matched: String::new(),
            text: text.to_owned(),
            refs: Vec::new(),
            ctrls: Vec::new(),
        }
    }

    #[test]
    fn each_result_code_has_its_fate() {
        use FailureClass::{
            Ambiguous, AuthFailure, Drifted, RateLimited, Refused, Unreachable, Unsupported,
            WriteFailure,
        };
        for (rc, phase, expected) in [
            (49, Phase::Bind, AuthFailure),
            (53, Phase::Bind, AuthFailure),
            (13, Phase::Bind, Drifted),
            (50, Phase::Read, Refused),
            (32, Phase::Read, Drifted),
            (12, Phase::Read, Drifted),
            (52, Phase::Read, Unreachable),
            (50, Phase::Write, Refused),
            (51, Phase::Write, RateLimited),
            (52, Phase::Write, Unreachable),
            (10, Phase::Write, Unsupported),
            (53, Phase::Write, Unsupported),
            (66, Phase::Write, Unsupported),
            (17, Phase::Write, Drifted),
            (21, Phase::Write, Drifted),
            (16, Phase::Write, WriteFailure),
            (19, Phase::Write, WriteFailure),
            (65, Phase::Write, WriteFailure),
            (80, Phase::Write, WriteFailure),
            (122, Phase::Write, Ambiguous),
        ] {
            let found = refused(&result(rc, ""), phase).class;
            assert_eq!(found, expected, "{rc} while {phase:?}");
        }
    }

    #[test]
    fn what_active_directory_says_about_a_refused_sign_in_is_put_in_words() {
        for (data, meaning) in REFUSALS {
            let text = format!(
                "80090308: LdapErr: DSID-0C09, AcceptSecurityContext error, data {data}, v4563\0"
            );
            let failure = refused(&result(49, &text), Phase::Bind);
            assert_eq!(failure.class, FailureClass::AuthFailure, "{data}");
            assert!(failure.message.ends_with(meaning), "{}", failure.message);
        }
        let unbound = "000004DC: LdapErr: DSID-0C09, comment: a bind must be completed";
        let failure = refused(&result(1, unbound), Phase::Read);
        assert_eq!(failure.class, FailureClass::AuthFailure);
    }

    #[test]
    fn p9_a_lost_answer_to_a_change_is_unknown_and_to_a_search_it_is_not() {
        let lost_with = |phase| {
            let source = std::io::ErrorKind::ConnectionReset.into();
            lost(&LdapError::Io { source }, phase).class
        };
        assert_eq!(lost_with(Phase::Write), FailureClass::UnknownOutcome);
        assert_eq!(lost_with(Phase::Read), FailureClass::Unreachable);
        assert_eq!(lost_with(Phase::Bind), FailureClass::Unreachable);
    }

    #[test]
    fn a_refusal_of_a_secret_repeats_no_words() {
        let failure = refused_silently(&result(19, "password hunter2 is too short"));
        assert_eq!(failure.message, "LDAP result 19");
    }
}
