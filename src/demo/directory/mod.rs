//! The simulated company directory: a SCIM 2.0 server on loopback.
//!
//! Owns the server's state and the accounts that it starts with. It is held to RFC 7643 and RFC
//! 7644 and is no more lenient than they are. The token of its connector's writer can have expired
//! at the start: the rotator mints another.

mod discovery;
mod error;
mod filter;
mod patch;
mod resources;
mod routes;
mod schema;
mod selection;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use serde_json::{Map, Value, json};

use crate::domain::access::EntitlementKind;
use crate::domain::id::AccountId;
use crate::domain::time::{Chance, Clock};
use crate::domain::verdict::{CredentialRole, Expectation};

use super::company::{Access, Company, Person};
use super::seed::Seed;
use super::tokens::Tokens;
use super::truth::{AccountTruth, TargetTruth};
use resources::Resources;
use schema::Kind;

/// What the requests share.
pub(super) type Shared = Arc<Directory>;

/// One directory.
#[derive(Debug)]
pub(super) struct Directory {
    base: String,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    resources: Resources,
    tokens: Tokens,
    /// The subject of each account, which no client sees.
    owners: BTreeMap<String, String>,
    ids: Seed,
}

impl Directory {
    /// A directory with the company's accounts; `base` begins every location in its answers.
    pub(super) fn new(
        base: &str,
        company: &Company,
        seed: u64,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
    ) -> Shared {
        let directory = Self {
            base: base.to_owned(),
            clock,
            chance,
            state: Mutex::new(State {
                resources: Resources::new(base.to_owned()),
                tokens: Tokens::new("dir"),
                owners: BTreeMap::new(),
                ids: Seed::new(seed, "directory ids"),
            }),
        };
        for (person, access) in company.staff() {
            directory.onboard(person, access);
        }
        Arc::new(directory)
    }

    /// Its routes.
    pub(super) fn router(self: Arc<Self>) -> Router {
        routes::router(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in a handler leaves whole resources behind: each change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a token for the connector: its id and its value.
    pub(super) fn issue(&self, role: CredentialRole, label: &str) -> (String, String) {
        let mut state = self.state();
        let token = state.tokens.issue(role, label, &*self.chance);
        (token.id.clone(), token.value.clone())
    }

    /// From now on the tokens of this role are refused.
    pub(super) fn expire(&self, role: CredentialRole) {
        self.state().tokens.expire(role);
    }

    /// Gives a person their accounts, as the company's own onboarding does.
    pub(super) fn onboard(&self, person: &Person, access: &Access) {
        let Some(wanted) = &access.directory else {
            return;
        };
        let user = json!({
            "userName": person.username,
            "externalId": person.number,
            "displayName": person.display_name(),
            "title": person.title,
            "userType": format!("{:?}", person.employment),
            "active": true,
            "emails": [{"value": person.email, "type": "work", "primary": true}],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                "employeeNumber": person.number,
                "department": person.department,
            },
        });
        let id = self.add_user(&person.number, user);
        for group in &wanted.groups {
            self.add_member(group, &id);
        }
        if let Some(login) = &wanted.second_login {
            let user = json!({
                "userName": login,
                "externalId": person.number,
                "displayName": format!("{} (administration)", person.display_name()),
                "userType": "Administrator",
                "active": true,
            });
            let id = self.add_user(&person.number, user);
            self.add_member("Directory Admins", &id);
        }
    }

    fn add_user(&self, owner: &str, user: Value) -> String {
        let mut state = self.state();
        let id = state.ids.uuid();
        let user = owned(user);
        if let Err(error) = state
            .resources
            .create(Kind::User, &id, user, self.clock.now())
        {
            tracing::warn!(
                detail = error.detail,
                "the directory did not take an account"
            );
        }
        state.owners.insert(id.clone(), owner.to_owned());
        id
    }

    fn add_member(&self, group: &str, user: &str) {
        let mut state = self.state();
        let known = state
            .resources
            .of(Kind::Group)
            .iter()
            .find_map(|(id, stored)| {
                let named = stored.attributes.get("displayName")? == group;
                named.then(|| (id.clone(), stored.attributes.clone()))
            });
        let now = self.clock.now();
        let added = if let Some((id, mut attributes)) = known {
            let members = attributes.entry("members").or_insert_with(|| json!([]));
            if let Some(members) = members.as_array_mut() {
                members.push(json!({"value": user}));
            }
            state.resources.update(Kind::Group, &id, attributes, now)
        } else {
            let id = state.ids.uuid();
            let attributes = json!({"displayName": group, "members": [{"value": user}]});
            state
                .resources
                .create(Kind::Group, &id, owned(attributes), now)
        };
        if let Err(error) = added {
            tracing::warn!(detail = error.detail, "the directory did not take a member");
        }
    }

    /// What is really there.
    pub(super) fn truth(&self) -> TargetTruth {
        let state = self.state();
        let mut accounts = BTreeMap::new();
        for (id, stored) in state.resources.of(Kind::User) {
            let account = AccountTruth {
                login: stored.attributes["userName"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                subject: state.owners.get(id).cloned(),
                can_sign_in: stored.attributes.get("active") == Some(&Value::Bool(true)),
                entitlements: BTreeSet::new(),
                sessions: 0,
            };
            accounts.insert(AccountId(id.clone()), account);
        }
        for (group, stored) in state.resources.of(Kind::Group) {
            for member in resources::members(&stored.attributes) {
                if let Some(account) = accounts.get_mut(&AccountId::from(member)) {
                    account
                        .entitlements
                        .insert((EntitlementKind::Group, group.clone()));
                }
            }
        }
        TargetTruth {
            after_removal: Expectation::AccountGone,
            accounts,
            secrets: state.tokens.truth(),
        }
    }
}

fn owned(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
