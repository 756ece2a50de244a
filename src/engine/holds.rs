//! Holds: what a removal must not begin without approval by two people.
//!
//! Owns the look before the first write, at the target or upstream of it: protected subjects and
//! accounts, last administrators, brakes.
//! What is approved is read only where something would be held, so the usual step reads nothing. The
//! judgements are the domain's. Approves nothing.

use std::collections::BTreeSet;

use crate::domain::access::Operation;
use crate::domain::approval::Matter;
use crate::domain::brake;
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::domain::protect::{self, Hold};
use crate::domain::run::{Leaving, RemovalBody, Run, RunBody};
use crate::domain::step::Effect;
use crate::domain::verdict::CredentialRole;

use super::{Engine, EngineError, Serving};

impl Engine {
    /// Why this effect must wait for two people; `None` when it may begin. A removal that has begun to
    /// write goes on: it was let through.
    pub(super) async fn held(
        &self,
        run: &Run,
        effect: &Effect,
    ) -> Result<Option<Failure>, EngineError> {
        let Some(leaving) = run.leaving().filter(|_| writes(effect)) else {
            return Ok(None);
        };
        let serving = self.serving();
        let mut holds: Vec<_> = protect::subject(run, leaving, &serving.estate)
            .into_iter()
            .collect();
        if let RunBody::Removal(body) = &run.body {
            if body.last_write.is_some() {
                return Ok(None);
            }
            holds.extend(protect::account(run, body, &serving.estate));
        }
        for hold in holds {
            if !self.is_approved(&hold.matter).await? {
                return Ok(Some(hold.failure));
            }
        }
        if let RunBody::Removal(body) = &run.body
            && let Some(hold) = self.last_administrator(run, body, &serving).await?
            && !self.is_approved(&hold.matter).await?
        {
            return Ok(Some(hold.failure));
        }
        self.braked(run, leaving, &serving).await
    }

    /// Two people have approved it, and that is not over.
    async fn is_approved(&self, matter: &Matter) -> Result<bool, EngineError> {
        let past = self.store.past(matter).await?;
        let now = self.clock.now();
        let last = past.bindings.last();
        Ok(last.is_some_and(|bound| !bound.has_lapsed(now) && !bound.content.text.is_empty()))
    }

    /// Asks the target who else administers it. Where it does not tell, nobody is known to.
    async fn last_administrator(
        &self,
        run: &Run,
        body: &RemovalBody,
        serving: &Serving,
    ) -> Result<Option<Hold>, EngineError> {
        if !protect::administers(run, body, &serving.estate) {
            return Ok(None);
        }
        let Some(connector) = run.connector.as_ref() else {
            return Ok(None);
        };
        let guarded = serving.registry.get(connector);
        let listed = match &guarded {
            Some(guarded) => {
                let role = CredentialRole::Verifier;
                match self.secrets.credential(guarded.manifest(), role).await {
                    Ok(credential) => guarded.list(&credential).await.ok(),
                    Err(_) => None,
                }
            }
            None => None,
        };
        let listed = listed.filter(|listing| listing.completeness.gap().is_none());
        // Read after the listing: a removal that began meanwhile is seen, and each of two sees the other.
        let leaving = self.store.removals_under_way(connector).await?;
        let leaving: BTreeSet<AccountId> = leaving.into_iter().collect();
        let accounts = listed.as_ref().map(|listing| listing.accounts.as_slice());
        Ok(protect::last_administrator(
            run,
            body,
            &serving.estate,
            accounts,
            &leaving,
        ))
    }

    async fn braked(
        &self,
        run: &Run,
        leaving: &Leaving,
        serving: &Serving,
    ) -> Result<Option<Failure>, EngineError> {
        let mut asks = serving.estate.brakes.asks(run, leaving);
        // Each refusal names one brake, which is lifted or not; so this ends.
        while !asks.is_empty() {
            let Some(stop) = self.store.permit(&asks, self.clock.now()).await? else {
                return Ok(None);
            };
            let Some(ask) = asks.iter_mut().find(|ask| ask.brake == stop.brake) else {
                return Ok(None);
            };
            if ask.lifted || !self.is_approved(&brake::matter(&ask.brake)).await? {
                return Ok(Some(brake::held(ask, &stop)));
            }
            ask.lifted = true;
        }
        Ok(None)
    }
}

fn writes(effect: &Effect) -> bool {
    match effect {
        Effect::Act { operation } | Effect::Each { operation, .. } => Operation::writes(*operation),
        Effect::CutUpstream => true,
        Effect::Find { .. }
        | Effect::Inspect
        | Effect::Observe
        | Effect::Probe { .. }
        | Effect::Rotate { .. } => false,
    }
}
