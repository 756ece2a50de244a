//! Perform: one effect in the world, through connector, verifier or vault.
//!
//! Owns the way from an effect to its outcome; what only looks is in `look`. Nothing is decided here
//! and nothing is written to the store but the inventory, which is what a complete listing showed.
//! No transaction is open while this runs.

use std::sync::Arc;

use crate::connectors::{Answered, Change, Credential, Guarded};
use crate::domain::access::{Account, Entitlement, EntitlementKey, Operation};
use crate::domain::approval::Under;
use crate::domain::correlation::{contradicts, somebody_elses};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::Trigger;
use crate::domain::run::{Run, RunBody};
use crate::domain::settlement::Outcome;
use crate::domain::step::Effect;
use crate::domain::verdict::CredentialRole;
use crate::domain::workflow::RotationStep;

use super::drive::removal;
use super::tell::Attempt;
use super::{Engine, tell};

/// What one item of a wave came to.
pub(super) type Item = (EntitlementKey, Result<bool, Failure>);
/// The same, and under which manifest it was let through.
pub(super) type Answer = (Item, Option<Under>);

impl Engine {
    /// Performs any effect but a wave, whose items go through [`Self::perform_item`]. Says also under
    /// which manifest: the connector is taken once, so the effect ends on the guard that it began on.
    pub(super) async fn perform(&self, run: &mut Run, effect: &Effect) -> (Outcome, Option<Under>) {
        let attempt = Attempt::begin(run, tell::action(effect));
        let (done, under) = match self.connector(run) {
            Ok(connector) => {
                let under = connector.mandate().under.clone();
                (self.perform_at(run, &connector, effect).await, under)
            }
            Err(failure) => (Err(failure), None),
        };
        let outcome = done.unwrap_or_else(Outcome::Failed);
        let (came_to, failed) = tell::outcome(&outcome);
        attempt.end(came_to, failed);
        (outcome, under)
    }

    async fn perform_at(
        &self,
        run: &mut Run,
        connector: &Guarded,
        effect: &Effect,
    ) -> Result<Outcome, Failure> {
        match effect {
            Effect::Find { subject } => self.find(run, connector, subject).await,
            Effect::Inspect => self.inspect(run, connector).await,
            Effect::Act { operation } => self.act(run, connector, *operation).await,
            Effect::Observe => self.observe(run, connector).await,
            Effect::CutUpstream => self.cut_upstream(run, connector).await,
            Effect::Probe { probes } => self.probe(run, connector, probes).await,
            Effect::Rotate { step } => self.rotate(run, connector, *step).await,
            Effect::Each { .. } => Err(lost("a wave is performed item by item")),
        }
    }

    /// Takes one entitlement away: `true` if the target said yes, `false` if it was not there.
    pub(super) async fn perform_item(
        &self,
        run: &Run,
        operation: Operation,
        entitlement: &Entitlement,
    ) -> Answer {
        let attempt = Attempt::begin(run, operation.as_str());
        let entitled = Some(entitlement.clone());
        let (answer, under) = match self.connector(run) {
            Ok(connector) => {
                let answer = self.write(run, &connector, operation, entitled).await;
                (answer, connector.mandate().under.clone())
            }
            Err(failure) => (Err(failure), None),
        };
        let answer = answer.map(|answered| answered == Answered::Accepted);
        match &answer {
            Ok(true) => attempt.end("done", None),
            Ok(false) => attempt.end("absent", None),
            Err(failure) => attempt.end("failed", Some(failure.class.as_str())),
        }
        ((entitlement.key(), answer), under)
    }

    async fn inspect(&self, run: &Run, connector: &Guarded) -> Result<Outcome, Failure> {
        let body = removal(run).ok_or_else(|| lost("only removals are inspected"))?;
        let credential = self.credential(connector, CredentialRole::Writer).await?;
        let last = &body.account;
        let reading = connector
            .read_known(&credential, &last.id, Some(last))
            .await?;
        let rule = &connector.manifest().correlation;
        let elses = |account: &Account| match body.last_write {
            None => somebody_elses(rule, last, account),
            Some(_) => contradicts(rule, last, account),
        };
        if let Some(account) = &reading.account
            && let Some(why) = elses(account)
        {
            // Ids are handed out anew after a restore or a move: nothing that is written may rest on this one.
            let words = format!("the account {} {why}, and was {}", account.id, last.login);
            return Err(Failure::new(FailureClass::Ambiguous, "CB-MATCH-3", words));
        }
        match reading.completeness.gap() {
            // Half an account would be half a removal. What is not there at all is for the
            // verifier to judge.
            Some(gap) if reading.account.is_some() => {
                Err(Failure::new(FailureClass::StaleData, "CB-ENGINE-6", gap))
            }
            Some(_) | None => Ok(Outcome::Account(reading.account)),
        }
    }

    async fn act(
        &self,
        run: &Run,
        connector: &Guarded,
        operation: Operation,
    ) -> Result<Outcome, Failure> {
        Ok(match self.write(run, connector, operation, None).await? {
            Answered::Accepted => Outcome::Done,
            Answered::Absent => Outcome::Absent,
        })
    }

    async fn write(
        &self,
        run: &Run,
        connector: &Guarded,
        operation: Operation,
        entitlement: Option<Entitlement>,
    ) -> Result<Answered, Failure> {
        let body = removal(run).ok_or_else(|| lost("only removals write"))?;
        let credential = self.credential(connector, CredentialRole::Writer).await?;
        let change = Change {
            operation,
            account: body.account.id.clone(),
            login: body.account.login.clone(),
            entitlement,
        };
        let last = Some(&body.account);
        connector.write_known(&credential, &change, last).await
    }

    async fn rotate(
        &self,
        run: &Run,
        connector: &Guarded,
        step: RotationStep,
    ) -> Result<Outcome, Failure> {
        let RunBody::Rotation(body) = &run.body else {
            return Err(lost("only rotations rotate"));
        };
        let now = self.clock.now();
        let facts = self.secrets.perform(step, body, connector, now).await?;
        Ok(Outcome::Rotated(facts))
    }

    pub(super) async fn credential(
        &self,
        connector: &Guarded,
        role: CredentialRole,
    ) -> Result<Credential, Failure> {
        self.secrets.credential(connector.manifest(), role).await
    }

    pub(super) fn connector(&self, run: &Run) -> Result<Arc<Guarded>, Failure> {
        let name = run.connector.as_ref();
        let name = name.ok_or_else(|| lost("the run names no connector"))?;
        let serving = self.serving();
        let current = || serving.registry.get(name);
        let guarded = match &run.body {
            // Its file may still be there, and nobody approves that any more.
            RunBody::Rotation(body) if matches!(body.trigger, Trigger::Retired { .. }) => {
                serving.retired.get(name).or_else(current)
            }
            RunBody::Rotation(_) => current().or_else(|| serving.retired.get(name)),
            _ => current(),
        };
        let guarded = guarded.ok_or_else(|| {
            Failure::new(
                FailureClass::Unsupported,
                "CB-ENGINE-7",
                format!("no manifest named {name} is loaded any more"),
            )
        })?;
        // The one place where a fault is put in, from the mark on the run itself.
        Ok(match run.drill() {
            Some(pass) => Arc::new(guarded.rehearsing(pass)),
            None => guarded,
        })
    }
}

pub(super) fn lost(message: &str) -> Failure {
    Failure::new(FailureClass::Unsupported, "CB-ENGINE-8", message)
}
