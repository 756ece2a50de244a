//! Which of a target's accounts are the subject's.
//!
//! Owns the correlation rule and its judgement. Accounts match by identifiers that are never
//! reassigned; an e-mail address or display name may only point a person to an account, it never
//! decides. Contradicting identifiers are ambiguous: a person looks, nothing is touched.

use serde::{Deserialize, Serialize};

use super::access::Account;
use super::id::ConnectorName;
use super::outcome::{Failure, FailureClass};
use super::subject::Subject;

/// The kind of an identifier that names one account by its target and the target's own id.
pub const ACCOUNT: &str = "account";

/// One pair of names that should hold the same value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The kind of the subject's identifier, for example `employee_number`.
    pub identifier: String,
    /// The account's attribute; `id` and `login` name the account's own fields.
    pub attribute: String,
    /// True when equality decides; false when it only points (an e-mail address).
    pub decides: bool,
}

/// A connector's rule: any deciding pair that is equal makes a match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The pairs, strongest first.
    pub pairs: Vec<Pair>,
}

/// The subject's accounts among `accounts`, all of them: main, admin and test accounts alike.
///
/// # Errors
/// `ambiguous` when an account matches by one deciding pair and contradicts another, or when no
/// deciding pair matches anything but a pointing one does.
pub fn correlate(
    rule: &Rule,
    subject: &Subject,
    accounts: &[Account],
) -> Result<Vec<Account>, Failure> {
    let mut matched = Vec::new();
    let mut pointed = Vec::new();
    for account in accounts {
        let (mut equal, mut contrary, mut hint) = (None, None, false);
        for pair in &rule.pairs {
            let mine = subject
                .identifiers
                .iter()
                .filter(|i| i.kind == pair.identifier);
            let mine: Vec<_> = mine.map(|i| i.value.as_str()).collect();
            let Some(theirs) = attribute(account, &pair.attribute) else {
                continue;
            };
            if mine.is_empty() || theirs.is_empty() {
                continue;
            }
            let same = mine.iter().any(|value| value.eq_ignore_ascii_case(theirs));
            match (pair.decides, same) {
                (true, true) => equal = equal.or(Some(pair)),
                (true, false) => contrary = contrary.or(Some(pair)),
                (false, same) => hint |= same,
            }
        }
        match (equal, contrary) {
            (Some(equal), Some(contrary)) => {
                return Err(ambiguous(format!(
                    "account {} has the subject's {} but another {}",
                    account.login, equal.identifier, contrary.identifier
                )));
            }
            (Some(_), None) => matched.push(account.clone()),
            (None, _) if hint => pointed.push(account.login.as_str()),
            (None, _) => {}
        }
    }
    if matched.is_empty() && !pointed.is_empty() {
        return Err(ambiguous(format!(
            "only a reassignable identifier points to {}",
            pointed.join(", ")
        )));
    }
    Ok(matched)
}

/// As [`correlate`], and first of all the accounts that the subject names by `target` and the
/// target's own id (identifier [`ACCOUNT`], value `target/id`): these are its own by that alone.
///
/// # Errors
/// As [`correlate`], of the other accounts.
pub fn correlate_at(
    target: &ConnectorName,
    rule: &Rule,
    subject: &Subject,
    accounts: &[Account],
) -> Result<Vec<Account>, Failure> {
    let named = subject.identifiers.iter().filter(|one| one.kind == ACCOUNT);
    let ids: Vec<_> = named
        .filter_map(|one| one.value.split_once('/'))
        .filter_map(|(at, id)| (at == target.as_str()).then_some(id))
        .collect();
    if ids.is_empty() {
        return correlate(rule, subject, accounts);
    }
    let is_named = |account: &&Account| ids.contains(&account.id.as_str());
    let (mut theirs, others): (Vec<_>, Vec<_>) = accounts.iter().partition(is_named);
    let others: Vec<_> = others.into_iter().cloned().collect();
    let more = correlate(rule, subject, &others)?;
    theirs.extend(&more);
    Ok(theirs.into_iter().cloned().collect())
}

pub(super) fn attribute<'a>(account: &'a Account, name: &str) -> Option<&'a str> {
    match name {
        "id" => Some(account.id.as_str()),
        "login" => Some(account.login.as_str()),
        other => account.attributes.get(other).map(String::as_str),
    }
}

fn ambiguous(message: String) -> Failure {
    Failure::new(FailureClass::Ambiguous, "CB-MATCH-1", message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::access::AccountState;
    use super::super::subject::{Identifier, SubjectKind};
    use super::*;

    fn rule() -> Rule {
        let pair = |identifier: &str, attribute: &str, decides| Pair {
            identifier: identifier.into(),
            attribute: attribute.into(),
            decides,
        };
        Rule {
            pairs: vec![
                pair("employee_number", "employeeNumber", true),
                pair("username", "login", true),
                pair("email", "email", false),
            ],
        }
    }

    fn subject() -> Subject {
        let identifier = |kind: &str, value: &str| Identifier {
            kind: kind.into(),
            value: value.into(),
        };
        Subject {
            kind: SubjectKind::Person,
            tenant: "acme".into(),
            id: "E1".into(),
            identifiers: vec![
                identifier("employee_number", "E1"),
                identifier("username", "ada"),
                identifier("email", "ada@acme.example"),
            ],
            display_name: None,
            privileged: false,
        }
    }

    fn account(login: &str, number: Option<&str>, email: &str) -> Account {
        let mut attributes = BTreeMap::from([("email".to_owned(), email.to_owned())]);
        if let Some(number) = number {
            attributes.insert("employeeNumber".into(), number.into());
        }
        Account {
            id: login.into(),
            login: login.into(),
            display_name: None,
            state: AccountState::Enabled,
            attributes,
            entitlements: vec![],
            sessions: None,
            privileged: false,
        }
    }

    #[test]
    fn e5_second_and_admin_accounts_are_found_by_the_rule() {
        let accounts = [
            account("ADA", None, "x@y"),
            account("ada-admin", Some("E1"), "x@y"),
            account("bob", Some("E2"), "x@y"),
        ];
        // `ada-admin` has another login, and the rule lists the login as deciding: a contradiction.
        assert_eq!(
            correlate(&rule(), &subject(), &accounts)
                .expect_err("contradicts")
                .class,
            FailureClass::Ambiguous
        );
        let mut by_number = rule();
        by_number.pairs.remove(1);
        let found = correlate(&by_number, &subject(), &accounts).expect("one");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].login, "ada-admin");
    }

    #[test]
    fn a5_an_account_named_by_its_own_id_is_taken_at_its_target_alone() {
        let accounts = [
            account("bot", None, "x@y"),
            account("bob", Some("E2"), "x@y"),
        ];
        let mut bot = subject();
        bot.identifiers = vec![Identifier {
            kind: ACCOUNT.to_owned(),
            value: "crm/bot".to_owned(),
        }];
        let at = |target: &str| {
            let found = correlate_at(&target.into(), &rule(), &bot, &accounts);
            found.expect("nothing contradicts").len()
        };
        assert_eq!((at("crm"), at("erp")), (1, 0));
    }

    #[test]
    fn a5_an_email_address_alone_never_decides() {
        let accounts = [account("zed", None, "ada@acme.example")];
        let failure = correlate(&rule(), &subject(), &accounts).expect_err("only points");
        assert_eq!(failure.class, FailureClass::Ambiguous);
    }
}
