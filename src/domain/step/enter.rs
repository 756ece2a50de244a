//! Moving from state to state.
//!
//! Owns the transition for every outcome (`outcome`) and what happens on arrival (`enter`). States
//! without an effect are passed through at once; a state with one becomes due. Retries are counted
//! here and wait as a due time, never in memory.

use std::collections::BTreeMap;

use super::super::access::{Entitlement, Operation};
use super::super::id::StateName;
use super::super::outcome::Failure;
use super::super::retry::RetryPolicy;
use super::super::rotation::Trigger;
use super::super::run::{Item, ItemStatus, RunBody, Stage};
use super::super::time::{Timestamp, after};
use super::super::verdict::CredentialRole;
use super::super::workflow::{Action, Next, OutcomeKey};
use super::{Inconsistent, Step, claim, rotation_run, set_failure, unsupported};

/// The longest wait of a drill, in seconds.
const LONGEST_DRILLED: u64 = 3600;

impl Step<'_> {
    /// The run's state `state` came to `key`: go where the definition says.
    pub(super) fn outcome(
        &mut self,
        state: &StateName,
        key: OutcomeKey,
        failure: Option<&Failure>,
    ) -> Result<(), Inconsistent> {
        let next = self.state(state)?.next(key).cloned().ok_or_else(|| {
            self.broken(format!("`{state}` handles no outcome `{}`", key.as_str()))
        })?;
        match next {
            Next::Go(name) => self.enter(&name),
            Next::Retry { policy, from, then } => self.retry(state, policy, &from, &then, failure),
            Next::Rotate { policy, from, then } => {
                self.wish_rotation(state)?;
                self.retry(state, policy, &from, &then, failure)
            }
        }
    }

    fn retry(
        &mut self,
        state: &StateName,
        policy: RetryPolicy,
        from: &StateName,
        then: &StateName,
        failure: Option<&Failure>,
    ) -> Result<(), Inconsistent> {
        // A person waits for the answer to a claim: tell what was found instead of trying long.
        if claim(&self.run().body).is_some() {
            let fallback = self.fallback_state()?;
            return self.enter(&fallback);
        }
        let made = self.run().attempts.get(state).copied().unwrap_or(0);
        let asked = failure.and_then(|failure| failure.retry_after_seconds);
        let Some(due) = policy.next(made, self.given.now, asked, self.given.fraction) else {
            return self.enter(then);
        };
        self.run_mut().attempts.insert(state.clone(), made + 1);
        if let RunBody::Removal(body) = &mut self.run_mut().body {
            for item in &mut body.items {
                if let ItemStatus::Failed(failure) = &item.status
                    && failure.class != super::FailureClass::Inherited
                {
                    item.status = ItemStatus::Owed;
                }
            }
        }
        self.run_mut().stage = Stage::Due {
            state: from.clone(),
            due,
        };
        Ok(())
    }

    /// Asks for a fresh secret for the credential that `state` signs in with.
    fn wish_rotation(&mut self, state: &StateName) -> Result<(), Inconsistent> {
        let role = match self.state(state)?.action {
            Action::FindAccounts | Action::Verify { .. } | Action::Probe => {
                CredentialRole::Verifier
            }
            _ => CredentialRole::Writer,
        };
        let Some(connector) = self.run().connector.clone() else {
            return Ok(());
        };
        let cause = format!("{}/{}", self.run().id, self.run().step);
        self.out.rotations.extend(rotation_run(
            self.given,
            &connector,
            role,
            Trigger::AuthFailure,
            &cause,
        ));
        Ok(())
    }

    /// The run arrives at `name`.
    pub(super) fn enter(&mut self, name: &StateName) -> Result<(), Inconsistent> {
        let now = self.given.now;
        match &self.state(name)?.action {
            Action::AwaitEffective => match self.effective_due()? {
                Some(due) => self.rest(name, due),
                None => self.outcome(name, OutcomeKey::Done, None),
            },
            Action::Wait { seconds } => self.rest(name, after(now, self.wait(*seconds))),
            Action::Overlap => {
                let seconds = self.overlap();
                self.rest(name, after(now, seconds))
            }
            Action::Discover | Action::RemoveAccounts => self.spawn(name),
            Action::Gather => {
                self.run_mut().stage = Stage::Gathering {
                    state: name.clone(),
                };
                Ok(())
            }
            Action::Act(operation) => self.arrive_at_act(name, *operation),
            Action::Each { operation, .. } => self.arrive_at_each(name, *operation),
            Action::CutUpstream => self.arrive_at_upstream(name),
            Action::Probe => self.arrive_at_probe(name),
            Action::FindAccounts | Action::Inspect | Action::Verify { .. } | Action::Rotate(_) => {
                self.rest(name, now)
            }
            Action::Fallback(fallback) => self.with_person(name, fallback),
            Action::End(end) => {
                self.end(*end);
                Ok(())
            }
        }
    }

    /// How long old and new live side by side; where there is no new one, there is nothing to wait for.
    fn overlap(&self) -> u64 {
        if matches!(&self.run().body, RunBody::Rotation(body)
            if matches!(body.trigger, Trigger::Retired { .. }))
        {
            return 0;
        }
        self.facts().map_or(0, |facts| facts.overlap_seconds)
    }

    /// A search that left something for a person to decide does not keep that person waiting, and a
    /// drill sees after an hour what a departure sees after a day: its canary comes back by nobody.
    fn wait(&self, seconds: u64) -> u64 {
        let seconds = match self.run().drill() {
            Some(_) => seconds.min(LONGEST_DRILLED),
            None => seconds,
        };
        match &self.run().body {
            RunBody::Discovery(body) if !body.unclear.is_empty() => 0,
            RunBody::Discovery(_)
            | RunBody::Case(_)
            | RunBody::Removal(_)
            | RunBody::Rotation(_)
            | RunBody::Care(_) => seconds,
        }
    }

    #[allow(clippy::unnecessary_wraps)] // One arm among others that can fail.
    pub(super) fn rest(&mut self, name: &StateName, due: Timestamp) -> Result<(), Inconsistent> {
        self.run_mut().stage = Stage::Due {
            state: name.clone(),
            due,
        };
        Ok(())
    }

    fn arrive_at_act(
        &mut self,
        name: &StateName,
        operation: Operation,
    ) -> Result<(), Inconsistent> {
        match self.offered(operation) {
            Offer::Yes => self.rest(name, self.given.now),
            Offer::NotNeeded(why) => self.skip(name, &why),
            Offer::No => self.fail(name, unsupported(operation)),
        }
    }

    fn arrive_at_each(
        &mut self,
        name: &StateName,
        operation: Operation,
    ) -> Result<(), Inconsistent> {
        let RunBody::Removal(body) = &self.run().body else {
            return Err(self.broken(format!("`{name}` needs the body of a removal")));
        };
        let credentials = operation == Operation::RevokeCredential;
        if body.owed(credentials).next().is_some() {
            return match self.offered(operation) {
                Offer::Yes => self.rest(name, self.given.now),
                // The manifest says that there is no such thing, and yet it was read.
                Offer::NotNeeded(_) | Offer::No => self.fail(name, unsupported(operation)),
            };
        }
        let inherited = body.items.iter().find_map(|item| match &item.status {
            ItemStatus::Failed(failure) if item.is_credential() == credentials => {
                Some(failure.clone())
            }
            _ => None,
        });
        match inherited {
            Some(failure) => self.fail(name, failure),
            None if !body.inspected => {
                self.skip(name, "nobody has read what the account has of this kind")
            }
            None => self.skip(name, "the account has nothing of this kind"),
        }
    }

    fn arrive_at_probe(&mut self, name: &StateName) -> Result<(), Inconsistent> {
        let declared = self.facts().is_some_and(|facts| !facts.probes.is_empty());
        if declared {
            self.rest(name, self.given.now)
        } else {
            self.skip(name, "the manifest declares no probe")
        }
    }

    pub(super) fn skip(&mut self, name: &StateName, why: &str) -> Result<(), Inconsistent> {
        self.note(name, None, OutcomeKey::NotNeeded, None, Some(why.into()));
        self.outcome(name, OutcomeKey::NotNeeded, None)
    }

    /// The state failed: journal, memory for the person, and on.
    pub(super) fn fail(&mut self, name: &StateName, failure: Failure) -> Result<(), Inconsistent> {
        self.fail_with(name, failure, None)
    }

    /// The same with what else is known of it.
    pub(super) fn fail_with(
        &mut self,
        name: &StateName,
        failure: Failure,
        detail: Option<serde_json::Value>,
    ) -> Result<(), Inconsistent> {
        let key = OutcomeKey::Failed(failure.class);
        self.note(name, None, key, Some(failure.clone()), detail);
        set_failure(&mut self.run_mut().body, Some(failure.clone()));
        self.outcome(name, key, Some(&failure))
    }

    fn offered(&self, operation: Operation) -> Offer {
        let Some(facts) = self.facts() else {
            return Offer::No;
        };
        if facts.operations.contains(&operation) {
            return Offer::Yes;
        }
        match facts.without.get(&operation) {
            Some(why) => Offer::NotNeeded(why.clone()),
            None => Offer::No,
        }
    }

    /// When the effective instant is, if it is still ahead.
    pub(super) fn effective_due(&self) -> Result<Option<Timestamp>, Inconsistent> {
        let RunBody::Case(body) = &self.run().body else {
            return Err(self.broken("only a case has an effective instant".to_owned()));
        };
        // A zone that has left the database since admission must not stop the case: act now.
        let instant = body.effective.instant(body.recorded).ok();
        Ok(instant.filter(|instant| *instant > self.given.now))
    }

    /// Items as a fresh read shows them: all owed again, except what must be removed elsewhere. `kept`
    /// are those that the read says nothing about.
    pub(super) fn owe(
        &mut self,
        entitlements: &[Entitlement],
        role: CredentialRole,
        kept: Vec<Item>,
    ) {
        use super::super::outcome::FailureClass;
        let RunBody::Removal(body) = &mut self.run_mut().body else {
            return;
        };
        let seen = |one: &Entitlement| {
            let before = body.items.iter();
            role == CredentialRole::Verifier
                || before
                    .filter(|item| item.seen)
                    .any(|item| item.entitlement.is_same(one))
        };
        let named = entitlements.iter().map(|e| (e.key(), e));
        let unique: BTreeMap<_, _> = named.collect();
        let mut items: Vec<_> = unique
            .into_values()
            .map(|entitlement| Item {
                status: match &entitlement.inherited_from {
                    None => ItemStatus::Owed,
                    Some(parent) => ItemStatus::Failed(Failure::new(
                        FailureClass::Inherited,
                        "CB-ENGINE-3",
                        format!(
                            "{} comes from {parent} and must be removed there",
                            entitlement.name
                        ),
                    )),
                },
                resisted: false,
                seen: seen(entitlement),
                entitlement: entitlement.clone(),
            })
            .collect();
        items.extend(kept);
        body.items = items;
    }
}

enum Offer {
    Yes,
    NotNeeded(String),
    No,
}
