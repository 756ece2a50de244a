//! A target of the simulation: ground truth, and every way to get at it wrongly.
//!
//! Owns the truth of one target, the faults that its answers suffer, and how often each fault
//! fired. Implements the connectors' trait, so the real guard, engine and verification are on top.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use clawback::connectors::{
    Answered, Call, Change, Connector, Knock, KnownSecret, Listing, MintOrder, Minted, Reading,
    SignIn,
};
use clawback::domain::access::{Account, AccountState, Entitlement, EntitlementKind, Operation};
use clawback::domain::id::{AccountId, EntitlementId};
use clawback::domain::outcome::{Failure, FailureClass};
use clawback::domain::time::{Clock, Timestamp, after};
use clawback::domain::verdict::{Completeness, CredentialRole};
use secrecy::{ExposeSecret, SecretString};

use crate::dice::{Dice, VirtualClock};

/// What an answer can suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    RequestLost,
    AnswerLost,
    NoEffect,
    HalfPage,
    StaleReplica,
    TooMany,
    RenamedField,
    ExpiredSecret,
    Down,
    HiddenNotFound,
    Resurrected,
    ReturnedAfterProof,
    CachedSession,
    ProbeUntold,
}

/// One account as it truly is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct True {
    pub login: String,
    pub number: String,
    pub email: String,
    pub enabled: bool,
    pub groups: BTreeSet<String>,
    pub keys: BTreeSet<String>,
    pub sessions: u64,
    /// When something outside brought it back.
    pub resurrected: Option<Timestamp>,
}

impl True {
    /// True when it gives any access.
    pub fn powerful(&self) -> bool {
        self.enabled || !self.groups.is_empty() || !self.keys.is_empty() || self.sessions > 0
    }
}

#[derive(Debug, Default)]
pub struct Truth {
    pub accounts: BTreeMap<String, True>,
    /// Valid tokens: value, role, label.
    pub tokens: BTreeMap<String, (CredentialRole, String)>,
    pub down_until: Option<Timestamp>,
    pub deaf: BTreeSet<String>,
    pub fired: BTreeMap<Fault, u64>,
    pub minted: u64,
    /// Sessions that a cache honours after they were ended: by login, from when until when.
    pub cached: BTreeMap<String, (Timestamp, Timestamp)>,
    /// Accounts that a write has named.
    touched: BTreeSet<String>,
    past: Vec<(Timestamp, BTreeMap<String, True>)>,
}

#[derive(Debug)]
pub struct Target {
    pub truth: Mutex<Truth>,
    pub dice: Arc<Dice>,
    pub clock: Arc<VirtualClock>,
    /// Chance in percent that a call suffers a fault.
    pub trouble: u64,
    /// The planted lie: writes do nothing, and the verifier is told that what they named is gone.
    pub lies_to_verifier: bool,
    /// Another planted lie: probes are not told of sessions in caches.
    pub hides_sessions: bool,
}

impl Target {
    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().expect("no panic holds it")
    }

    fn fire(&self, fault: Fault) {
        *self.truth().fired.entry(fault).or_default() += 1;
    }

    fn struck(&self, fault: Fault, share: u64) -> bool {
        let struck = self.dice.percent(self.trouble) && self.dice.percent(share);
        if struck {
            self.fire(fault);
        }
        struck
    }

    /// What every request goes through: the network, the token, the limit.
    fn enter(&self, call: &Call<'_>, role: CredentialRole) -> Result<(), Failure> {
        let now = self.clock.now();
        if self.truth().down_until.is_some_and(|until| now < until) {
            self.fire(Fault::Down);
            return Err(failure(FailureClass::Unreachable, "down"));
        }
        if self.struck(Fault::RequestLost, 15) {
            return Err(failure(FailureClass::Unreachable, "request lost"));
        }
        if self.struck(Fault::TooMany, 15) {
            return Err(failure(FailureClass::RateLimited, "429").retry_after(Some(30)));
        }
        let token = call.credential.secret.expose_secret();
        let known = self.truth().tokens.get(token).map(|(role, _)| *role);
        match known {
            Some(found) if found == role || role == CredentialRole::Verifier => Ok(()),
            Some(_) | None => Err(failure(FailureClass::AuthFailure, "401")),
        }
    }

    fn remember(truth: &mut Truth, now: Timestamp) {
        if truth.past.len() > 8 {
            truth.past.remove(0);
        }
        let accounts = truth.accounts.clone();
        truth.past.push((now, accounts));
    }

    /// What a read sees: the truth, or an honest copy of an older one.
    fn seen(&self) -> (BTreeMap<String, True>, u64) {
        let now = self.clock.now();
        if self.struck(Fault::StaleReplica, 15) {
            let truth = self.truth();
            if let Some((at, accounts)) = truth.past.first() {
                let age = now.duration_since(*at).as_secs().unsigned_abs() + 3600;
                return (accounts.clone(), age);
            }
        }
        (self.truth().accounts.clone(), 0)
    }

    fn apply(truth: &mut Truth, change: &Change) -> Answered {
        let id = change.account.as_str();
        let Some(account) = truth.accounts.get_mut(id) else {
            return Answered::Absent;
        };
        let item = change
            .entitlement
            .as_ref()
            .map(|e| e.id.as_str().to_owned());
        let changed = match (change.operation, item) {
            (Operation::Disable, _) => std::mem::replace(&mut account.enabled, false),
            (Operation::EndSessions, _) => std::mem::replace(&mut account.sessions, 0) > 0,
            (Operation::RevokeEntitlement, Some(group)) => account.groups.remove(&group),
            (Operation::RevokeCredential, Some(key)) => account.keys.remove(&key),
            (Operation::Delete, _) => truth.accounts.remove(id).is_some(),
            (Operation::RevokeEntitlement | Operation::RevokeCredential, None)
            | (Operation::List | Operation::Read, _) => false,
        };
        if changed {
            Answered::Accepted
        } else {
            Answered::Absent
        }
    }

    /// What ends sessions may leave one in a cache downstream, for a while.
    fn cache_session(&self, change: &Change, now: Timestamp) {
        let ends = matches!(change.operation, Operation::EndSessions | Operation::Delete);
        let account = self.truth().accounts.get(change.account.as_str()).cloned();
        if let Some(account) = account.filter(|account| ends && account.sessions > 0)
            && self.struck(Fault::CachedSession, 40)
        {
            // A session that nobody is told of lasts longer than any wait of a case.
            let more = if self.hides_sessions { 4 * 86_400 } else { 0 };
            let until = after(now, 60 + self.dice.below(9000) + more);
            self.truth().cached.insert(account.login, (now, until));
        }
    }

    /// Another system brings the account back, with all it had.
    pub fn resurrect(&self, id: &str, as_it_was: &True) {
        let now = self.clock.now();
        let gone = !self.truth().accounts.get(id).is_some_and(True::powerful);
        if gone {
            self.fire(Fault::ReturnedAfterProof);
        }
        let account = True {
            resurrected: Some(now),
            ..as_it_was.clone()
        };
        self.truth().accounts.insert(id.to_owned(), account);
        self.fire(Fault::Resurrected);
    }
}

fn failure(class: FailureClass, message: &str) -> Failure {
    Failure::new(class, "CB-SIM", message)
}

fn shown(id: &str, account: &True) -> Account {
    let entitlement = |kind, name: &String| Entitlement {
        id: EntitlementId(name.clone()),
        kind,
        name: name.clone(),
        inherited_from: None,
    };
    let groups = account
        .groups
        .iter()
        .map(|g| entitlement(EntitlementKind::Group, g));
    let keys = account
        .keys
        .iter()
        .map(|k| entitlement(EntitlementKind::Credential, k));
    Account {
        id: AccountId(id.to_owned()),
        login: account.login.clone(),
        display_name: None,
        state: if account.enabled {
            AccountState::Enabled
        } else {
            AccountState::Disabled
        },
        attributes: BTreeMap::from([
            ("number".to_owned(), account.number.clone()),
            ("email".to_owned(), account.email.clone()),
        ]),
        entitlements: groups.chain(keys).collect(),
        sessions: Some(account.sessions),
        further: BTreeMap::new(),
        privileged: false,
    }
}

#[async_trait]
impl Connector for Target {
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure> {
        self.enter(call, CredentialRole::Verifier)?;
        if self.struck(Fault::RenamedField, 10) {
            return Err(failure(FailureClass::Drifted, "`login` is gone"));
        }
        let (seen, data_age_seconds) = self.seen();
        let mut accounts: Vec<_> = seen
            .iter()
            .map(|(id, account)| shown(id, account))
            .collect();
        let mut completeness = Completeness::WHOLE;
        if self.struck(Fault::HalfPage, 20) {
            accounts.truncate(accounts.len() / 2);
            completeness.pages_closed = false;
        }
        if self.lies_to_verifier {
            let touched = self.truth().touched.clone();
            accounts.retain(|account| !touched.contains(account.id.as_str()));
        }
        completeness.count_in_band = !accounts.is_empty();
        Ok(Listing {
            accounts,
            completeness,
            data_age_seconds,
            method: "simulated listing".to_owned(),
        })
    }

    /// Keys end with their account.
    fn shows_orphans(&self) -> bool {
        true
    }

    async fn read(&self, call: &Call<'_>, account: &AccountId) -> Result<Reading, Failure> {
        self.enter(call, CredentialRole::Verifier)?;
        let (seen, data_age_seconds) = self.seen();
        let mut found = seen
            .get(account.as_str())
            .map(|a| shown(account.as_str(), a));
        if found.is_some() && self.struck(Fault::HiddenNotFound, 15) {
            found = None;
        }
        let touched = self.truth().touched.contains(account.as_str());
        if self.lies_to_verifier && touched && call.credential.role == CredentialRole::Verifier {
            found = None;
        }
        Ok(Reading {
            account: found,
            completeness: Completeness::WHOLE,
            data_age_seconds,
            method: "simulated read".to_owned(),
        })
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        self.enter(call, CredentialRole::Writer)?;
        let now = self.clock.now();
        self.truth()
            .touched
            .insert(change.account.as_str().to_owned());
        let deaf = self.lies_to_verifier || self.truth().deaf.contains(change.account.as_str());
        if deaf || self.struck(Fault::NoEffect, 20) {
            self.fire(Fault::NoEffect);
            return Ok(Answered::Accepted);
        }
        self.cache_session(change, now);
        let answered = {
            let mut truth = self.truth();
            Self::remember(&mut truth, now);
            Self::apply(&mut truth, change)
        };
        if self.struck(Fault::AnswerLost, 25) {
            return Err(failure(FailureClass::UnknownOutcome, "answer lost"));
        }
        Ok(answered)
    }

    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure> {
        self.enter(call, call.credential.role)
    }

    async fn sign_in(&self, call: &Call<'_>, order: &SignIn) -> Result<Knock, Failure> {
        self.enter(call, CredentialRole::Verifier)?;
        let knock = |entered, code: &str, sessions| Knock {
            entered,
            code: code.to_owned(),
            words: format!("answered {code}"),
            sessions,
        };
        if order.account.is_none() {
            return Ok(knock(true, "0", None));
        }
        if self.struck(Fault::ProbeUntold, 30) {
            return Ok(knock(false, "53300", None));
        }
        let now = self.clock.now();
        let truth = self.truth();
        let mut accounts = truth.accounts.values();
        let account = accounts.find(|account| account.login == order.name);
        let given = order.secret.as_ref().map(|s| s.expose_secret().to_owned());
        let right = given == Some(format!("password-of-{}", order.name));
        let enabled = account.is_some_and(|account| account.enabled);
        let live = account.map_or(0, |account| account.sessions);
        let cached = truth.cached.get(&order.name);
        let cached = cached.is_some_and(|(_, until)| now < *until) && !self.hides_sessions;
        if self.lies_to_verifier {
            return Ok(knock(false, "28P01", Some(0)));
        }
        let code = if enabled && right { "0" } else { "28P01" };
        Ok(knock(
            enabled && right,
            code,
            Some(live + u64::from(cached)),
        ))
    }

    async fn mint(&self, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
        self.enter(call, CredentialRole::Rotator)?;
        let value = {
            let mut truth = self.truth();
            truth.minted += 1;
            let value = format!("token-{}", truth.minted);
            truth
                .tokens
                .insert(value.clone(), (order.role, order.label.clone()));
            value
        };
        if self.struck(Fault::AnswerLost, 25) {
            return Err(failure(FailureClass::UnknownOutcome, "answer lost"));
        }
        Ok(Minted {
            remote_ref: Some(value.clone()),
            secret: SecretString::from(value),
            expires: None,
        })
    }

    async fn minted(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        self.enter(call, CredentialRole::Rotator)?;
        let truth = self.truth();
        let of_role = truth.tokens.iter().filter(|(_, (of, _))| *of == role);
        Ok(of_role
            .map(|(value, (_, label))| KnownSecret::by_id(value.clone(), label.clone()))
            .collect())
    }

    async fn retire(
        &self,
        call: &Call<'_>,
        _role: CredentialRole,
        remote_ref: &str,
    ) -> Result<(), Failure> {
        self.enter(call, CredentialRole::Rotator)?;
        self.truth().tokens.remove(remote_ref);
        if self.struck(Fault::AnswerLost, 25) {
            return Err(failure(FailureClass::UnknownOutcome, "answer lost"));
        }
        Ok(())
    }
}
