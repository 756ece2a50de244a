//! Targets as the tests need them: accounts in memory, and the ways in which a target misbehaves.
//!
//! Owns the truth about who has access. Answers an effect as a connector with its target would,
//! and does what it answers, unless it is told to lie. Draws nothing at random; that is `storm`.

use std::collections::{BTreeMap, BTreeSet};

use super::given::{LEAVER, account, failure, probed};
use crate::domain::access::{Account, AccountState, Entitlement, Operation};
use crate::domain::correlation::{Again, Search};
use crate::domain::id::{AccountId, ConnectorName};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::probe::ProbeFinding;
use crate::domain::run::{Run, RunBody};
use crate::domain::settlement::Outcome;
use crate::domain::step::Effect;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Completeness, CredentialRole, Observation, Sighting};

/// What effects happen to.
pub(super) trait World {
    /// What the effect comes to when it is begun now.
    fn answer(&mut self, run: &Run, effect: &Effect, now: Timestamp) -> Outcome;
}

/// How the verifier's looks are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) credential: CredentialRole,
    pub(super) completeness: Completeness,
    pub(super) data_age_seconds: u64,
    /// How long before the effect the look had been begun.
    pub(super) begun_before_seconds: i64,
    /// Keys without their account would be seen.
    pub(super) shows_orphans: bool,
}

impl Look {
    /// With the verifier's eyes, whole, live, now.
    pub(super) const GOOD: Self = Self {
        credential: CredentialRole::Verifier,
        completeness: Completeness::WHOLE,
        data_age_seconds: 0,
        begun_before_seconds: 0,
        shows_orphans: true,
    };
}

/// One target.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Who has what, with the subject whose account it is.
    pub(super) accounts: BTreeMap<AccountId, (String, Account)>,
    /// Says yes to every write and does nothing.
    pub(super) deaf: bool,
    /// What fails: names of effects (see [`name`]), ids of entitlements, or `*` for all.
    pub(super) fails: BTreeMap<String, Failure>,
    pub(super) look: Look,
    /// Accounts that may be the leaver's.
    pub(super) unclear: Vec<String>,
    /// What tries to get in come to, by probe; else an account that can sign in is let in.
    pub(super) doors: BTreeMap<String, ProbeFinding>,
}

impl Target {
    /// The leaver's account `a-1`, and one of somebody who stays.
    pub(super) fn new() -> Self {
        let of = |subject: &str, id: &str| (id.into(), (subject.to_owned(), account(id)));
        Self {
            accounts: BTreeMap::from([of(LEAVER, "a-1"), of("e-stays", "a-2")]),
            deaf: false,
            fails: BTreeMap::new(),
            look: Look::GOOD,
            unclear: Vec::new(),
            doors: BTreeMap::new(),
        }
    }

    fn door(&self, probe: &str, id: &AccountId) -> ProbeFinding {
        let account = self.accounts.get(id).map(|(_, account)| account);
        let enabled = account.is_some_and(|one| one.state != AccountState::Disabled);
        match (self.doors.get(probe), enabled) {
            (Some(finding), _) => *finding,
            (None, true) => ProbeFinding::LetIn,
            (None, false) => ProbeFinding::Refused,
        }
    }

    /// The planted doors, tried for each account that was removed.
    fn again(&self, run: &Run, now: Timestamp) -> Vec<Again> {
        let RunBody::Discovery(body) = &run.body else {
            return Vec::new();
        };
        let again = body.removed.iter().map(|account| Again {
            account: account.clone(),
            tries: self
                .doors
                .iter()
                .map(|(name, finding)| probed(name, *finding, now))
                .collect(),
        });
        again.collect()
    }

    /// Nobody has anything here any more.
    pub(super) fn empty(mut self) -> Self {
        self.accounts.clear();
        self
    }

    /// From now on this fails.
    pub(super) fn fail(&mut self, what: &str, class: FailureClass) {
        self.fails.insert(what.to_owned(), failure(class));
    }

    /// From now on nothing answers.
    pub(super) fn go_down(&mut self) {
        self.fail("*", FailureClass::Unreachable);
    }

    /// Everything that anybody can do here, one line for each way in.
    pub(super) fn access(&self) -> BTreeSet<String> {
        let mut ways = BTreeSet::new();
        for (id, (_, account)) in &self.accounts {
            ways.insert(format!("{id} exists"));
            if account.state != AccountState::Disabled {
                ways.insert(format!("{id} can sign in"));
            }
            if account.sessions.is_some_and(|count| count > 0) {
                ways.insert(format!("{id} is signed in"));
            }
            let entitlements = account.entitlements.iter();
            ways.extend(entitlements.map(|entitlement| format!("{id} has {}", entitlement.id)));
        }
        ways
    }

    fn seen(&self, id: &AccountId) -> Option<Account> {
        self.accounts.get(id).map(|(_, account)| account.clone())
    }

    /// Takes away; answers what a target that means it would.
    fn act(&mut self, id: &AccountId, operation: Operation) -> Outcome {
        let deaf = self.deaf;
        let Some((_, account)) = self.accounts.get_mut(id) else {
            return Outcome::Absent;
        };
        if deaf {
            return Outcome::Done;
        }
        match operation {
            Operation::Disable => account.state = AccountState::Disabled,
            Operation::EndSessions => account.sessions = Some(0),
            Operation::Delete => {
                self.accounts.remove(id);
            }
            Operation::List
            | Operation::Read
            | Operation::RevokeEntitlement
            | Operation::RevokeCredential => {
                return Outcome::Failed(failure(FailureClass::Unsupported));
            }
        }
        Outcome::Done
    }

    fn revoke(&mut self, id: &AccountId, item: &Entitlement) -> Result<bool, Failure> {
        if let Some(failure) = self.fails.get(item.id.as_str()) {
            return Err(failure.clone());
        }
        let deaf = self.deaf;
        let Some((_, account)) = self.accounts.get_mut(id) else {
            return Ok(false);
        };
        let had = account.entitlements.iter().any(|has| has.is_same(item));
        if !deaf {
            account.entitlements.retain(|has| !has.is_same(item));
        }
        Ok(had)
    }

    fn observe(&self, id: &AccountId, now: Timestamp) -> Observation {
        let before = jiff::SignedDuration::from_secs(self.look.begun_before_seconds);
        Observation {
            at: now.saturating_sub(before).expect("representable"),
            credential: self.look.credential,
            method: "a look".to_owned(),
            completeness: self.look.completeness,
            data_age_seconds: self.look.data_age_seconds,
            shows_orphans: self.look.shows_orphans,
            sighting: match self.seen(id) {
                Some(account) => Sighting::There(Box::new(account)),
                None => Sighting::NotThere,
            },
        }
    }
}

impl World for Target {
    fn answer(&mut self, run: &Run, effect: &Effect, now: Timestamp) -> Outcome {
        let planted = self
            .fails
            .get(name(effect))
            .or(self.fails.get("*"))
            .cloned();
        if let (Some(failure), false) = (&planted, matches!(effect, Effect::Each { .. })) {
            return Outcome::Failed(failure.clone());
        }
        match (effect, &run.body) {
            (Effect::Find { subject }, _) => {
                let accounts = self.accounts.values();
                let named = |of: &String| subject.identifiers.iter().any(|one| one.value == *of);
                let theirs = accounts.filter(|(of, _)| *of == subject.id || named(of));
                Outcome::Accounts(Search {
                    accounts: theirs.map(|(_, account)| account.clone()).collect(),
                    unclear: self.unclear.clone(),
                    gone: Vec::new(),
                    again: self.again(run, now),
                })
            }
            (Effect::Inspect, RunBody::Removal(body)) => {
                Outcome::Account(self.seen(&body.account.id))
            }
            (Effect::Act { operation }, RunBody::Removal(body)) => {
                self.act(&body.account.id, *operation)
            }
            (Effect::Each { items, .. }, RunBody::Removal(body)) => {
                let answer = |item: &Entitlement| {
                    let answer = match &planted {
                        Some(failure) => Err(failure.clone()),
                        None => self.revoke(&body.account.id, item),
                    };
                    (item.key(), answer)
                };
                Outcome::Items(items.iter().map(answer).collect())
            }
            (Effect::Observe, RunBody::Removal(body)) => {
                Outcome::Observed(self.observe(&body.account.id, now))
            }
            (Effect::Probe { probes }, RunBody::Removal(body)) => {
                let tries = probes.iter();
                let tries = tries.map(|name| probed(name, self.door(name, &body.account.id), now));
                Outcome::Probed(tries.collect())
            }
            (Effect::Rotate { .. }, RunBody::Rotation(body)) => {
                Outcome::Rotated(body.facts.clone())
            }
            (effect, body) => panic!("{effect:?} does not fit {body:?}"),
        }
    }
}

/// Several targets, each behind its connector.
impl World for BTreeMap<ConnectorName, Target> {
    fn answer(&mut self, run: &Run, effect: &Effect, now: Timestamp) -> Outcome {
        let connector = run.connector.as_ref().expect("effects go to a connector");
        let target = self.get_mut(connector).expect("the connector has a target");
        target.answer(run, effect, now)
    }
}

/// What the effect is called here.
pub(super) fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Find { .. } => "find",
        Effect::Inspect => "inspect",
        Effect::Act { operation } | Effect::Each { operation, .. } => operation.as_str(),
        Effect::Observe => "observe",
        Effect::CutUpstream => "cut_upstream",
        Effect::Probe { .. } => "probe",
        Effect::Rotate { step } => step.as_str(),
    }
}
