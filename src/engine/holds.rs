//! Holds: what a removal must not begin without approval by two people, and what it must not do at all.
//!
//! Owns the look before the first write, at the target or upstream of it: protected subjects and
//! accounts, last administrators, brakes; the brakes once more before what is for cause takes more than
//! contains it; and the look before every deletion: legal holds.
//! What is approved is read only where something would be held, so the usual step reads nothing. The
//! judgements are the domain's. Approves nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::access::Operation;
use crate::domain::approval::Matter;
use crate::domain::brake::{self, Ask, Stop};
use crate::domain::id::AccountId;
use crate::domain::legal;
use crate::domain::outcome::Failure;
use crate::domain::protect::{self, Hold};
use crate::domain::run::{Leaving, RemovalBody, Run, RunBody};
use crate::domain::settlement::{Outcome, Settlement};
use crate::domain::step::Effect;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{CredentialRole, Expectation, Finding, judge};

use super::{Engine, EngineError, Serving};
use crate::store::StoreError;

/// A store that is away is asked so often for legal holds before a task says that one may be in force.
const LOOKS: u32 = 40;

/// And at such intervals.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

impl Engine {
    /// What keeps this effect from being sent; `None` when it may begin.
    pub(super) async fn held(
        &self,
        run: &Run,
        effect: &Effect,
    ) -> Result<Option<Outcome>, EngineError> {
        // However far the removal has come, and whatever was approved.
        if destroys(effect)
            && let Some(forbidden) = self.forbidden(run).await?
        {
            return Ok(Some(forbidden));
        }
        let Some(leaving) = run.leaving().filter(|_| writes(effect)) else {
            return Ok(None);
        };
        let held = self.unapproved(run, leaving, contains(effect)).await?;
        // What was asked in between may have listed the target for minutes: a hold may have come.
        if held.is_none() && destroys(effect) {
            return self.forbidden(run).await;
        }
        Ok(held.map(Outcome::Held))
    }

    /// The legal hold under which the run's subject stands, and what access there is meanwhile.
    async fn forbidden(&self, run: &Run) -> Result<Option<Outcome>, EngineError> {
        let matters = self.matters(run).await?;
        if matters.is_empty() {
            return Ok(None);
        }
        let access = self.access_left(run).await;
        let failure = legal::forbidden(&matters, &access);
        Ok(Some(Outcome::Forbidden { failure, access }))
    }

    /// The legal holds in force under which the run's subject stands, by name.
    async fn matters(&self, run: &Run) -> Result<Vec<String>, EngineError> {
        let Some(case) = run.case else {
            return Ok(Vec::new());
        };
        let holds = self.store.legal_holds(case).await?;
        Ok(holds.in_force().map(|one| one.name.clone()).collect())
    }

    /// What a person is asked must not destroy either, whatever the manifest's steps say; and a removal
    /// that ends as proved under a hold is told to whoever reads its task.
    ///
    /// What was done is committed whatever becomes of this look: a store that is away is waited for, and
    /// holds that cannot be read count as one that is in force.
    pub(super) async fn warn(&self, settlement: &mut Settlement) {
        let Some(task) = &mut settlement.task else {
            return;
        };
        let matters = match self.matters_at_last(&settlement.run).await {
            Ok(matters) => matters,
            Err(error) => {
                tracing::error!(
                    run = %task.run, task = %task.id, error = &error as &dyn std::error::Error,
                    "whether a legal hold is in force cannot be told; a task says that one may be"
                );
                vec!["that cannot be read".to_owned()]
            }
        };
        let expect = match &settlement.run.body {
            RunBody::Removal(body) => Some(body.expect),
            RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
                None
            }
        };
        if !task.is_closed() {
            legal::warn(task, &matters);
        } else if expect == Some(Expectation::AccountGone)
            && !matters.is_empty()
            && task.attestations.is_empty()
        {
            let words = legal::gone(&matters);
            tracing::error!(code = legal::GONE, run = %task.run, task = %task.id, "{words}");
            task.remember(self.clock.now(), "clawback", words);
        }
    }

    async fn matters_at_last(&self, run: &Run) -> Result<Vec<String>, EngineError> {
        let mut tries = 0;
        loop {
            match self.matters(run).await {
                Err(EngineError::Store(away)) if away.is_passing() && tries < LOOKS => {
                    tries += 1;
                    tokio::time::sleep(BETWEEN_LOOKS).await;
                }
                told => return told,
            }
        }
    }

    /// Looks what an account that stays can still do. A target that cannot be read proves nothing.
    async fn access_left(&self, run: &Run) -> Finding {
        let looked = match self.connector(run) {
            Ok(connector) => {
                let oldest = connector.manifest().expect.max_data_age_seconds;
                let looked = self.observe(run, &connector).await;
                looked.map(|outcome| (outcome, oldest))
            }
            Err(failure) => Err(failure),
        };
        match (looked, &run.body) {
            (Ok((Outcome::Observed(seen), oldest)), RunBody::Removal(body)) => {
                let not_before = body.last_write.unwrap_or(Timestamp::MIN);
                judge(&seen, Expectation::AccountPowerless, not_before, oldest)
            }
            (Ok(_), _) => Finding::Inconclusive("there is no account to look at".to_owned()),
            (Err(failure), _) => Finding::Inconclusive(failure.to_string()),
        }
    }

    /// Why a removal must wait for two people. One that has begun to write goes on: it was let through.
    /// For cause it was let through to contain, so the brakes are asked before it takes more.
    async fn unapproved(
        &self,
        run: &Run,
        leaving: &Leaving,
        contains: bool,
    ) -> Result<Option<Failure>, EngineError> {
        let serving = self.serving();
        let mut holds: Vec<_> = protect::subject(run, leaving, &serving.estate)
            .into_iter()
            .collect();
        if let RunBody::Removal(body) = &run.body {
            if body.last_write.is_some() {
                let was_asked = !leaving.for_cause || body.stripped;
                return if was_asked {
                    Ok(None)
                } else {
                    self.braked(run, leaving, contains, &serving).await
                };
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
        self.braked(run, leaving, contains, &serving).await
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
        let (leaving, listed) = match self.store.removals_under_way(connector).await {
            Ok(leaving) => (leaving, listed),
            // Who else is leaving cannot be told, and so not who stays.
            Err(StoreError::Corrupt { .. }) => (Vec::new(), None),
            Err(error) => return Err(error.into()),
        };
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
        contains: bool,
        serving: &Serving,
    ) -> Result<Option<Failure>, EngineError> {
        let mut asks = serving.estate.brakes.asks(run, leaving, contains);
        // Each refusal names one brake, which is lifted or not; so this ends.
        while !asks.is_empty() {
            let Some(stop) = self.store.permit(&asks, self.clock.now()).await? else {
                return Ok(None);
            };
            let holds = |ask: &&mut Ask| ask.brake == stop.brake && !ask.lifted;
            let mut held: Vec<_> = asks.iter_mut().filter(holds).collect();
            let Some(ask) = held.iter().find(|ask| stopped_by(ask, &stop)) else {
                return Ok(None);
            };
            if !self.is_approved(&brake::matter(&ask.brake)).await? {
                return Ok(Some(brake::held(ask, &stop)));
            }
            // Who lifts a brake lifts all that have its name.
            for ask in &mut held {
                ask.lifted = true;
            }
        }
        Ok(None)
    }
}

/// Of one name that which looks back as far: it is the one that was told.
fn stopped_by(ask: &Ask, stop: &Stop) -> bool {
    ask.limit.window_seconds == stop.window_seconds
}

fn destroys(effect: &Effect) -> bool {
    match effect {
        Effect::Act { operation } | Effect::Each { operation, .. } => operation.destroys(),
        // Upstream one entitlement is taken away, and no account.
        Effect::CutUpstream
        | Effect::Find { .. }
        | Effect::Inspect
        | Effect::Observe
        | Effect::Probe { .. }
        | Effect::Rotate { .. } => false,
    }
}

/// It stops access and takes no more: also a cut upstream, which is made where the target does not obey.
fn contains(effect: &Effect) -> bool {
    match effect {
        Effect::Act { operation } | Effect::Each { operation, .. } => operation.contains(),
        Effect::CutUpstream => true,
        Effect::Find { .. }
        | Effect::Inspect
        | Effect::Observe
        | Effect::Probe { .. }
        | Effect::Rotate { .. } => false,
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
