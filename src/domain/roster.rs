//! The accounts of one target, found by what searches ask for.
//!
//! Owns an index over what a correlation rule compares, so that a search among a hundred thousand
//! accounts walks through the few that may be meant: in a mass departure thousands search the same
//! listing. Decides nothing: what the index hands out is judged by `correlation`, which would say the
//! same of all accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::access::Account;
use super::correlation::{Rule, Search, correlate_among, folded, named_at, same_name};
use super::id::{AccountId, ConnectorName};
use super::subject::Subject;
use super::time::Timestamp;

/// Accounts in the order in which they were listed, and where each is found.
#[derive(Debug, Default)]
pub struct Roster {
    rule: Rule,
    accounts: Vec<Account>,
    /// What an account is asked for by, as a hash, with its place; in order. Two that share a hash are both
    /// handed out.
    places: Vec<(u64, usize)>,
    /// Accounts were listed, and none of them with anything that decides whose it is.
    anonymous: bool,
}

impl Roster {
    /// An index for searches by `rule`.
    pub fn new(rule: Rule, accounts: Vec<Account>) -> Self {
        let mut places = Vec::with_capacity(accounts.len() * (rule.pairs.len() + 2));
        let compared: BTreeSet<_> = rule.pairs.iter().map(|pair| &*pair.attribute).collect();
        for (place, account) in accounts.iter().enumerate() {
            places.push((by_id(account.id.as_str()), place));
            let names = compared.iter().copied().filter(|name| *name != "login");
            for name in names.chain(["login"]) {
                let values = account.values(name);
                places.extend(values.map(|value| (by_name(name, value), place)));
            }
        }
        places.sort_unstable();
        // Two forms of one name lead to their account once.
        places.dedup();
        let names = || rule.pairs.iter().filter(|pair| pair.decides);
        let tells = |account: &Account| {
            let mut told = names().flat_map(|pair| account.values(&pair.attribute));
            told.any(|value| !value.is_empty())
        };
        let decides = names().next().is_some();
        let anonymous = decides && !accounts.is_empty() && !accounts.iter().any(tells);
        Self {
            anonymous,
            rule,
            accounts,
            places,
        }
    }

    /// All of them, as they were listed.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Why what is not found among them proves nothing, as a survey would say too: no account of many shows
    /// what decides whose it is.
    pub fn anonymous(&self) -> Option<String> {
        let deciding = self.rule.pairs.iter().filter(|pair| pair.decides);
        let names: Vec<_> = deciding.map(|pair| pair.attribute.as_str()).collect();
        let names = names.join(", ");
        self.anonymous
            .then(|| format!("no account shows what decides whose it is: {names}"))
    }

    /// The account with this id.
    pub fn get(&self, id: &AccountId) -> Option<&Account> {
        let mut places = self.at(by_id(id.as_str()));
        places.find(|account| account.id == *id)
    }

    /// Every account under this login, however it is written.
    fn by_login<'a>(&'a self, login: &'a str) -> impl Iterator<Item = &'a Account> {
        let places = self.at(by_name("login", login));
        places.filter(move |account| account.values("login").any(|one| same_name(one, login)))
    }

    /// Every other account under one of the logins of `own`, once.
    pub fn namesakes<'a>(&'a self, own: &'a Account) -> Vec<&'a Account> {
        let mut found: BTreeMap<&AccountId, &Account> = BTreeMap::new();
        for login in own.values("login") {
            let named = self.by_login(login).filter(|one| one.id != own.id);
            found.extend(named.map(|one| (&one.id, one)));
        }
        found.into_values().collect()
    }

    /// The accounts that a search for `subject` at `target` may be about, as they were listed.
    pub fn candidates(&self, target: &ConnectorName, subject: &Subject) -> Vec<&Account> {
        let mut keys: Vec<u64> = named_at(target, subject).map(by_id).collect();
        for pair in &self.rule.pairs {
            let of_kind = subject.identifiers.iter();
            for mine in of_kind.filter(|one| one.kind == pair.identifier) {
                let forms = pair.forms(&mine.value);
                keys.extend(forms.map(|form| by_name(&pair.attribute, &form)));
            }
        }
        let places: BTreeSet<usize> = keys
            .into_iter()
            .flat_map(|key| self.places_of(key))
            .collect();
        places
            .into_iter()
            .map(|place| &self.accounts[place])
            .collect()
    }

    /// What the accounts say of the subject: as [`correlate_at`](super::correlation::correlate_at) says of
    /// all of them.
    pub fn search(&self, target: &ConnectorName, subject: &Subject) -> Search {
        correlate_among(
            target,
            &self.rule,
            subject,
            &self.candidates(target, subject),
        )
    }

    fn at(&self, key: u64) -> impl Iterator<Item = &Account> {
        self.places_of(key).map(|place| &self.accounts[place])
    }

    fn places_of(&self, key: u64) -> impl Iterator<Item = usize> {
        let first = self.places.partition_point(|(other, _)| *other < key);
        let same = self.places[first..].iter();
        same.take_while(move |(other, _)| *other == key)
            .map(|(_, place)| *place)
    }
}

/// Accounts as they were last seen, each with when.
#[derive(Debug)]
pub struct LastSeen {
    roster: Roster,
    seen: BTreeMap<AccountId, Timestamp>,
}

impl LastSeen {
    /// An index for searches by `rule`.
    pub fn new(rule: Rule, known: Vec<(Account, Timestamp)>) -> Self {
        let ids = known
            .iter()
            .map(|(account, seen)| (account.id.clone(), *seen));
        Self {
            seen: ids.collect(),
            roster: Roster::new(
                rule,
                known.into_iter().map(|(account, _)| account).collect(),
            ),
        }
    }

    /// What all of them say of the subject.
    pub fn search(&self, target: &ConnectorName, subject: &Subject) -> Search {
        self.roster.search(target, subject)
    }

    /// Those of which each, by itself, is the subject's.
    pub fn each_of(&self, target: &ConnectorName, subject: &Subject) -> Vec<(&Account, Timestamp)> {
        let rule = &self.roster.rule;
        let candidates = self.roster.candidates(target, subject).into_iter();
        let theirs = candidates.filter(|account| {
            let alone = correlate_among(target, rule, subject, &[*account]);
            !alone.accounts.is_empty()
        });
        theirs
            .filter_map(|account| Some((account, *self.seen.get(&account.id)?)))
            .collect()
    }

    /// When the account was seen.
    pub fn seen(&self, id: &AccountId) -> Option<Timestamp> {
        self.seen.get(id).copied()
    }
}

fn by_id(id: &str) -> u64 {
    hashed("", id)
}

/// Names that [`same_name`] takes for one have one key.
fn by_name(attribute: &str, value: &str) -> u64 {
    hashed(attribute, &folded(value))
}

fn hashed(attribute: &str, value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (attribute, value).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::access::AccountState;
    use super::super::correlation::{ACCOUNT, Pair, correlate_at};
    use super::super::subject::{Identifier, SubjectKind};
    use super::*;

    const NAMES: &str = "[ aAbBsS\u{df}\u{3a3}\u{3c2}\u{fc}\u{308}uU]{0,3}";

    fn rule() -> Rule {
        let pair = |identifier: &str, attribute: &str, decides, contradicts| Pair {
            identifier: identifier.into(),
            attribute: attribute.into(),
            decides,
            also: vec!["{}b".into(), "a{}".into()],
            contradicts,
        };
        Rule {
            pairs: vec![
                pair("number", "number", true, true),
                pair("username", "login", true, false),
                pair("id", "id", true, true),
                pair("email", "email", false, true),
            ],
        }
    }

    fn account() -> impl Strategy<Value = Account> {
        let texts = (
            NAMES,
            NAMES,
            prop::option::of(NAMES),
            prop::option::of(NAMES),
            prop::collection::btree_set(NAMES, 0..3),
            prop::sample::select(vec!["login", "number"]),
        );
        texts.prop_map(|(id, login, number, email, values, several)| {
            let named = [("number", number), ("email", email)].into_iter();
            let given = named.filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Account {
                login,
                state: AccountState::Enabled,
                attributes: given.collect(),
                further: [(several.to_owned(), values)].into(),
                ..Account::left_behind(&id.as_str().into(), None)
            }
        })
    }

    fn subject() -> impl Strategy<Value = Subject> {
        let kinds = prop::sample::select(vec!["number", "username", "id", "email", ACCOUNT]);
        let identifier = (kinds, NAMES).prop_map(|(kind, value)| Identifier {
            kind: kind.to_owned(),
            value: if kind == ACCOUNT {
                format!("crm/{value}")
            } else {
                value
            },
        });
        prop::collection::vec(identifier, 0..5).prop_map(|identifiers| Subject {
            kind: SubjectKind::Person,
            tenant: "acme".into(),
            id: "E1".into(),
            identifiers,
            display_name: None,
            privileged: false,
        })
    }

    proptest! {
        #[test]
        fn e5_a_search_by_the_index_finds_what_a_walk_through_all_finds(
            accounts in prop::collection::vec(account(), 0..12),
            subject in subject(),
        ) {
            let roster = Roster::new(rule(), accounts.clone());
            let target = "crm".into();
            let walked = correlate_at(&target, &rule(), &subject, &accounts);
            prop_assert_eq!(roster.search(&target, &subject), walked);
            for account in &accounts {
                let first = accounts.iter().find(|other| other.id == account.id);
                prop_assert_eq!(roster.get(&account.id), first);
                let alike: Vec<_> = roster.by_login(&account.login).collect();
                let walked = accounts.iter().filter(|other| {
                    other.values("login").any(|one| same_name(one, &account.login))
                });
                prop_assert_eq!(alike, walked.collect::<Vec<_>>());
            }
        }
    }
}
