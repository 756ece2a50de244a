//! The simulated CRM: a REST application with shapes of its own, and the one that lies.
//!
//! Owns members with roles, personal keys and sessions, and the lies: for some members a write
//! answers 200, shows the wanted state, and does nothing; for a few of them for ever. Reads are
//! always true. Accounts are suspended here, never deleted by offboarding: customers hang on them.

mod routes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use serde_json::{Value, json};

use crate::domain::access::EntitlementKind;
use crate::domain::id::AccountId;
use crate::domain::time::Chance;
use crate::domain::verdict::{CredentialRole, Expectation};

use super::company::{Access, Company, Honesty, Person};
use super::seed::Seed;
use super::tokens::Tokens;
use super::truth::{AccountTruth, TargetTruth};

/// What the requests share.
pub(super) type Shared = Arc<Crm>;

/// One CRM.
#[derive(Debug)]
pub(super) struct Crm {
    chance: Arc<dyn Chance>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    members: BTreeMap<String, Member>,
    keys: Tokens,
    ids: Seed,
    /// Writes that answered yes and did nothing.
    lies: u64,
}

/// One member: an account.
#[derive(Debug, Clone)]
struct Member {
    owner: String,
    handle: String,
    name: String,
    mail: String,
    staff_number: Option<String>,
    suspended: bool,
    roles: Vec<String>,
    /// Id and label.
    keys: Vec<(String, String)>,
    sessions: u64,
    honesty: Honesty,
}

impl Member {
    /// What an administrator does by hand, and looks that it stays so.
    fn offboard(&mut self) {
        self.suspended = true;
        self.roles.clear();
        self.keys.clear();
        self.sessions = 0;
        self.honesty = Honesty::Honest;
    }

    fn shown(&self, id: &str) -> Value {
        json!({
            "id": id,
            "handle": self.handle,
            "profile": {"name": self.name, "mail": self.mail, "staff_no": self.staff_number},
            "status": if self.suspended { "suspended" } else { "active" },
            "roles": self.roles.iter().map(|r| json!({"id": r, "title": title(r)})).collect::<Vec<_>>(),
            "keys": self.keys.iter().map(|(id, label)| json!({"id": id, "label": label})).collect::<Vec<_>>(),
            "sessions": {"open": self.sessions},
            "administrator": self.roles.iter().any(|role| role == "admin"),
        })
    }
}

fn title(role: &str) -> String {
    let mut letters = role.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

impl Crm {
    /// A CRM with the company's accounts.
    pub(super) fn new(company: &Company, seed: u64, chance: Arc<dyn Chance>) -> Shared {
        let crm = Self {
            chance,
            state: Mutex::new(State {
                members: BTreeMap::new(),
                keys: Tokens::new("crm"),
                ids: Seed::new(seed, "crm ids"),
                lies: 0,
            }),
        };
        for (person, access) in company.staff() {
            crm.onboard(person, access);
        }
        Arc::new(crm)
    }

    /// Its routes.
    pub(super) fn router(self: Arc<Self>) -> Router {
        routes::router(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in a handler leaves whole members behind: each change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an API key for the connector: its id and its value.
    pub(super) fn issue(&self, role: CredentialRole, label: &str) -> (String, String) {
        let mut state = self.state();
        let key = state.keys.issue(role, label, &*self.chance);
        (key.id.clone(), key.value.clone())
    }

    /// How many writes answered yes and did nothing.
    pub(super) fn lies_told(&self) -> u64 {
        self.state().lies
    }

    /// Gives a person their account, as the company's own onboarding does.
    pub(super) fn onboard(&self, person: &Person, access: &Access) {
        let Some(wanted) = &access.crm else {
            return;
        };
        let mut state = self.state();
        let id = format!("mem_{}", &state.ids.uuid()[..8]);
        let keys = wanted
            .keys
            .iter()
            .map(|label| (format!("key_{}", &state.ids.uuid()[..8]), label.clone()))
            .collect();
        let member = Member {
            owner: person.number.clone(),
            handle: person.username.clone(),
            name: person.display_name(),
            mail: person.email.clone(),
            staff_number: wanted.staff_number_known.then(|| person.number.clone()),
            suspended: false,
            roles: wanted.roles.clone(),
            keys,
            sessions: wanted.sessions,
            honesty: wanted.honesty,
        };
        state.members.insert(id, member);
    }

    /// Does one write, or lies about it: the member as the answer shows it.
    fn change(&self, id: &str, change: impl FnOnce(&mut Member) -> bool) -> Changed {
        let mut state = self.state();
        let Some(member) = state.members.get_mut(id) else {
            return Changed::NoSuchMember;
        };
        let mut wanted = member.clone();
        if !change(&mut wanted) {
            return Changed::NothingThere;
        }
        let shown = wanted.shown(id);
        let lies = match &mut member.honesty {
            Honesty::Honest | Honesty::LiesFirst(0) => false,
            Honesty::LiesFirst(left) => {
                *left -= 1;
                true
            }
            Honesty::Lies => true,
        };
        if lies {
            state.lies += 1;
        } else {
            *member = wanted;
        }
        Changed::Yes(shown)
    }

    /// What is really there.
    pub(super) fn truth(&self) -> TargetTruth {
        let state = self.state();
        let accounts = state.members.iter().map(|(id, member)| {
            let roles = member.roles.iter();
            let roles = roles.map(|role| (EntitlementKind::Role, role.clone()));
            let keys = member.keys.iter();
            let keys = keys.map(|(key, _)| (EntitlementKind::Credential, key.clone()));
            let account = AccountTruth {
                login: member.handle.clone(),
                subject: Some(member.owner.clone()),
                can_sign_in: !member.suspended,
                entitlements: roles.chain(keys).collect(),
                sessions: member.sessions,
            };
            (AccountId(id.clone()), account)
        });
        TargetTruth {
            after_removal: Expectation::AccountPowerless,
            accounts: accounts.collect(),
            secrets: state.keys.truth(),
        }
    }
}

/// What a write came to.
enum Changed {
    /// The answer is yes, with the member as the client wanted it.
    Yes(Value),
    NoSuchMember,
    NothingThere,
}

#[cfg(test)]
mod tests;
