//! Which of a target's accounts are the subject's.
//!
//! Owns the correlation rule and its judgement. Accounts match by identifiers that are never
//! reassigned; an e-mail address or display name may only point a person to an account, it never
//! decides. Contradicting identifiers are unclear: a person looks, that account is not touched.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::access::Account;
use super::id::{AccountId, ConnectorName};
use super::outcome::{Failure, FailureClass};
use super::probe::Probed;
use super::subject::Subject;
use super::time::Timestamp;

mod limits;
mod names;

pub use limits::{blind, contradicts, somebody_elses};
pub(super) use names::ever_folded;
pub use names::{folded, same_name};

use names::is_plainly;

/// The kind of an identifier that names one account by its target and the target's own id.
pub const ACCOUNT: &str = "account";

/// Why a person gets a case of whose subject no target shows an account.
pub fn nobody_knows() -> Failure {
    Failure::new(
        FailureClass::Ambiguous,
        "CB-CASE-1",
        "no connector shows an account of this subject: check its identifiers",
    )
}

/// One pair of names that should hold the same value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The kind of the subject's identifier, for example `employee_number`.
    pub identifier: String,
    /// The account's attribute; `id` and `login` name the account's own fields.
    pub attribute: String,
    /// True when equality decides; false when it only points (an e-mail address).
    pub decides: bool,
    /// What else the attribute may hold for an account of the same subject, with `{}` for the
    /// identifier's value: `adm-{}`, `{}-test`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// True when another value says that the account is somebody else's; false for an attribute
    /// whose other values say nothing (the login of a test account, an owner).
    #[serde(default = "yes")]
    pub contradicts: bool,
}

/// A connector's rule: any deciding pair that is equal makes a match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The pairs, strongest first.
    pub pairs: Vec<Pair>,
}

/// What a listing says of the subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// The subject's accounts, all of them: main, admin and test accounts alike.
    pub accounts: Vec<Account>,
    /// Accounts that may be the subject's and that no rule decides about, each with why.
    pub unclear: Vec<String>,
    /// Accounts that the inventory still showed and that a read did not.
    pub gone: Vec<Gone>,
    /// Ways in of accounts that were removed before, tried once more.
    pub again: Vec<Again>,
}

/// Tries of the ways in of an account whose removal has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// The account, as it was before its removal.
    pub account: Account,
    /// What each try came to.
    pub tries: Vec<Probed>,
}

/// An account that was gone at the target though the inventory still showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The account.
    pub account: AccountId,
    /// Its login as last seen.
    pub login: String,
    /// When the inventory had seen it last.
    pub last_seen: Timestamp,
    /// When it was read and not there.
    pub read_at: Timestamp,
    /// How, for an auditor.
    pub method: String,
}

impl Search {
    /// True when there is nothing of the subject, and nothing that may be.
    pub fn shows_nothing(&self) -> bool {
        self.accounts.is_empty() && self.unclear.is_empty()
    }

    /// The accounts, where nothing is left that a person must look at first.
    ///
    /// # Errors
    /// `ambiguous` when no account is surely the subject's, and some may be.
    pub fn decided(self) -> Result<Vec<Account>, Failure> {
        if self.accounts.is_empty() && !self.unclear.is_empty() {
            return Err(ambiguous(&self.unclear));
        }
        Ok(self.accounts)
    }
}

/// What `accounts` says of the subject. An account that matches by one deciding pair and contradicts
/// another is unclear, and so is one to which only a pointing pair leads and which no deciding pair
/// gives to somebody else, or that has the name only when letters count as others (`ß` as `ss`) beside one
/// that has it as it is. What is unclear is never touched, and keeps nothing that is clear back.
fn correlate(rule: &Rule, subject: &Subject, accounts: &[&Account]) -> Search {
    let mut found = Search::default();
    let (mut pointed, mut others) = (Vec::new(), Vec::new());
    let mut alike = Vec::new();
    for &account in accounts {
        let seen = compare(rule, subject, account);
        match (seen.equal, seen.contrary) {
            (Some(equal), Some(contrary)) => found.unclear.push(format!(
                "account {} has the subject's {} but another {}",
                account.login, equal.identifier, contrary.identifier
            )),
            (Some(_), None) if seen.plain => found.accounts.push(account.clone()),
            (Some(_), None) => alike.push(account),
            (None, contrary) if seen.pointed => {
                let whose = if contrary.is_some() {
                    &mut others
                } else {
                    &mut pointed
                };
                whose.push(account.login.as_str());
            }
            (None, _) => {}
        }
    }
    if found.accounts.is_empty() {
        found.accounts.extend(alike.into_iter().cloned());
    } else {
        // A target that has both tells them apart, and so do people there.
        let unclear = alike.iter().map(|account| {
            let login = &account.login;
            format!("account {login} is only written like the subject's, which is there too")
        });
        found.unclear.extend(unclear);
    }
    if found.accounts.is_empty() && found.unclear.is_empty() {
        // The only trace there is: a reused address looks just like this, so a person decides.
        pointed.append(&mut others);
    }
    if !pointed.is_empty() {
        let logins = pointed.join(", ");
        let why = format!("only a reassignable identifier points to {logins}");
        found.unclear.push(why);
    }
    found
}

/// What one account's attributes say.
struct Compared<'a> {
    equal: Option<&'a Pair>,
    /// Without taking letters for others.
    plain: bool,
    contrary: Option<&'a Pair>,
    pointed: bool,
}

fn compare<'a>(rule: &'a Rule, subject: &Subject, account: &Account) -> Compared<'a> {
    let mut seen = Compared {
        equal: None,
        plain: false,
        contrary: None,
        pointed: false,
    };
    for pair in &rule.pairs {
        let of_kind = subject.identifiers.iter();
        let mine = of_kind.filter(|i| i.kind == pair.identifier);
        let mine: Vec<_> = mine.map(|i| i.value.as_str()).collect();
        let theirs = account.values(&pair.attribute);
        let theirs: Vec<_> = theirs.filter(|value| !value.is_empty()).collect();
        if mine.is_empty() || theirs.is_empty() {
            continue;
        }
        // One of several values is enough: an account goes by each of them.
        let holds = |form: fn(&str, &str) -> bool| {
            let mut theirs = theirs.iter();
            theirs.any(|theirs| mine.iter().any(|value| pair.holds(value, theirs, form)))
        };
        let same = holds(same_name);
        seen.plain |= pair.decides && same && holds(is_plainly);
        match (pair.decides, same) {
            (true, true) => seen.equal = seen.equal.or(Some(pair)),
            (true, false) if pair.contradicts => seen.contrary = seen.contrary.or(Some(pair)),
            (true, false) => {}
            (false, same) => seen.pointed |= same,
        }
    }
    seen
}

impl Pair {
    /// Whether an attribute with the value `theirs` is one of somebody identified by `mine`.
    fn holds(&self, mine: &str, theirs: &str, same: fn(&str, &str) -> bool) -> bool {
        self.forms(mine).any(|form| same(&form, theirs))
    }

    /// What the attribute may hold for somebody identified by `mine`.
    pub(super) fn forms<'a>(&'a self, mine: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
        let others = self.also.iter().map(|form| form.replace("{}", mine));
        std::iter::once(Cow::from(mine)).chain(others.map(Cow::from))
    }
}

fn yes() -> bool {
    true
}

/// What `accounts` says of the subject: by the rule, and first of all the accounts that the subject names
/// by `target` and the target's own id (identifier [`ACCOUNT`], value `target/id`): these are its own by
/// that alone.
pub fn correlate_at(
    target: &ConnectorName,
    rule: &Rule,
    subject: &Subject,
    accounts: &[Account],
) -> Search {
    let all: Vec<&Account> = accounts.iter().collect();
    correlate_among(target, rule, subject, &all)
}

/// The same of accounts that were picked out.
pub(super) fn correlate_among(
    target: &ConnectorName,
    rule: &Rule,
    subject: &Subject,
    accounts: &[&Account],
) -> Search {
    let ids: Vec<_> = named_at(target, subject).collect();
    if ids.is_empty() {
        return correlate(rule, subject, accounts);
    }
    let is_named = |account: &&Account| ids.contains(&account.id.as_str());
    let (theirs, others): (Vec<_>, Vec<_>) = accounts.iter().copied().partition(is_named);
    let mut found = correlate(rule, subject, &others);
    found.accounts.extend(theirs.into_iter().cloned());
    found
}

/// The ids of the accounts that the subject names at this target.
pub(super) fn named_at<'a>(
    target: &ConnectorName,
    subject: &'a Subject,
) -> impl Iterator<Item = &'a str> {
    accounts_named(subject).filter_map(move |(at, id)| (at == target.as_str()).then_some(id))
}

/// The accounts that the subject is told by: target and id.
pub fn accounts_named(subject: &Subject) -> impl Iterator<Item = (&str, &str)> {
    let named = subject.identifiers.iter().filter(|one| one.kind == ACCOUNT);
    named.filter_map(|one| one.value.split_once('/'))
}

pub(super) fn attribute<'a>(account: &'a Account, name: &str) -> Option<&'a str> {
    account.values(name).next()
}

/// The failure of a search that a person must decide.
pub(in crate::domain) fn ambiguous(unclear: &[String]) -> Failure {
    Failure::new(FailureClass::Ambiguous, "CB-MATCH-1", unclear.join("; "))
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
            also: Vec::new(),
            contradicts: true,
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
            state: AccountState::Enabled,
            attributes,
            ..Account::left_behind(&login.into(), None)
        }
    }

    fn correlate(rule: &Rule, subject: &Subject, accounts: &[Account]) -> Search {
        correlate_at(&"crm".into(), rule, subject, accounts)
    }

    fn logins(found: &Search) -> Vec<&str> {
        let accounts = found.accounts.iter();
        accounts.map(|account| account.login.as_str()).collect()
    }

    #[test]
    fn e5_each_of_several_values_is_compared() {
        for (name, one) in [
            ("employeeNumber", account("ada", Some("E7"), "")),
            ("login", account("countess", Some("E1"), "")),
        ] {
            let alone = correlate(&rule(), &subject(), std::slice::from_ref(&one));
            assert!(
                alone.accounts.is_empty() && !alone.unclear.is_empty(),
                "{name}"
            );
            let values = ["E8", "E1", "ADA"].map(ToOwned::to_owned);
            let further = [(name.to_owned(), values.into())].into();
            let found = correlate(&rule(), &subject(), &[Account { further, ..one }]);
            assert!(found.unclear.is_empty(), "{name}: {found:?}");
            assert_eq!(found.accounts.len(), 1, "{name}");
        }
    }

    #[test]
    fn e5_an_account_that_contradicts_is_left_to_a_person_and_keeps_no_other_back() {
        let accounts = [
            account("ADA", None, "x@y"),
            account("ada-admin", Some("E1"), "x@y"),
            account("bob", Some("E2"), "x@y"),
        ];
        // Its other login contradicts.
        let found = correlate(&rule(), &subject(), &accounts);
        assert_eq!(logins(&found), ["ADA"]);
        assert!(found.unclear[0].contains("ada-admin"));
        let mut by_number = rule();
        by_number.pairs.remove(1);
        let found = correlate(&by_number, &subject(), &accounts);
        assert_eq!(logins(&found), ["ada-admin"]);
    }

    #[test]
    fn e5_second_admin_and_test_accounts_are_found_by_the_forms_of_a_name() {
        let mut rule = rule();
        rule.pairs[1].also = vec!["adm-{}".into(), "{}-test".into()];
        let accounts = [
            account("ada", Some("E1"), "x@y"),
            account("adm-ADA", Some("E1"), "x@y"),
            account("ada-test", None, "x@y"),
            account("ada-tester", None, "x@y"),
            account("adm-bob", Some("E2"), "x@y"),
        ];
        let found = correlate(&rule, &subject(), &accounts);
        assert_eq!(logins(&found), ["ada", "adm-ADA", "ada-test"]);
        assert_eq!(found.unclear, Vec::<String>::new());
    }

    #[test]
    fn a5_of_two_names_that_are_written_alike_the_very_one_is_taken() {
        let mut weiss = subject();
        weiss.identifiers.truncate(2);
        "weiss".clone_into(&mut weiss.identifiers[1].value);
        let sharp = account("WEIß", None, "x@y");
        let found = correlate(&rule(), &weiss, std::slice::from_ref(&sharp));
        assert_eq!(logins(&found), ["WEIß"]);
        let both = [sharp, account("Weiss", None, "x@y")];
        let found = correlate(&rule(), &weiss, &both);
        assert_eq!(logins(&found), ["Weiss"]);
        assert!(found.unclear[0].contains("WEIß"), "{:?}", found.unclear);
    }

    #[test]
    fn e5_an_account_with_a_declared_owner_is_the_owners_whatever_its_login() {
        let mut rule = rule();
        rule.pairs[1].contradicts = false;
        rule.pairs.push(Pair {
            identifier: "employee_number".into(),
            attribute: "owner".into(),
            decides: true,
            also: Vec::new(),
            contradicts: true,
        });
        let mut robot = account("build-robot", None, "x@y");
        robot.attributes.insert("owner".into(), "E1".into());
        let mut other = account("deploy-robot", None, "x@y");
        other.attributes.insert("owner".into(), "E2".into());
        let found = correlate(&rule, &subject(), &[robot, other]);
        assert_eq!(logins(&found), ["build-robot"]);
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
            assert!(found.unclear.is_empty(), "nothing contradicts");
            found.accounts.len()
        };
        assert_eq!((at("crm"), at("erp")), (1, 0));
    }

    #[test]
    fn a5_an_email_address_alone_never_decides() {
        let accounts = [account("zed", None, "ada@acme.example")];
        let found = correlate(&rule(), &subject(), &accounts);
        let failure = found.decided().expect_err("only points");
        assert_eq!(failure.class, FailureClass::Ambiguous);
    }

    #[test]
    fn a5_an_address_that_was_given_to_somebody_else_holds_nothing_up() {
        let accounts = [
            account("ada", Some("E1"), "ada@acme.example"),
            account("zed", Some("E9"), "ada@acme.example"),
            account("ad4", None, "ada@acme.example"),
        ];
        let mut by_number = rule();
        by_number.pairs.remove(1);
        let found = correlate(&by_number, &subject(), &accounts);
        assert_eq!(logins(&found), ["ada"]);
        // Nobody's number: it may be a second account of hers.
        assert!(found.unclear[0].ends_with("ad4"), "{:?}", found.unclear);
        // Alone, the reused address is all there is to go by.
        let found = correlate(&by_number, &subject(), &accounts[1..2]);
        assert!(found.decided().is_err());
    }
}
