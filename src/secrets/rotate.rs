//! The six steps of a rotation.
//!
//! Owns the order of acts within a step. Each step may begin after any other attempt at it broke
//! off anywhere, so each looks first: at the vault, by the rotation's label, and at the target.
//! A time-out is never a rejection. Until `promote` the old secret stays current; nothing that is
//! current is ever retired. Does not wait and does not decide what follows a failure.

mod chosen;
mod ending;
mod leftovers;
mod minted;
mod overtaken;
mod proof;
mod slot;
mod trial;

use chosen::draw;
use overtaken::is_same;
use secrecy::SecretString;

use super::{Change, Owner, SecretRecord, Secrets, Slot, SlotRecord};
use crate::connectors::{Credential, CredentialDeclaration, FORBIDDEN, Guarded, MintOrder};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::{RotationBody, RotationFacts, Strategy, Trigger};
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;
use crate::domain::workflow::RotationStep;

/// Within this time a refusal of a secret that a rotation made begins no other rotation.
const REST_SECONDS: i64 = 3600;

/// One rotation at one step.
pub(super) struct Rotation<'a> {
    pub(super) secrets: &'a Secrets,
    pub(super) owner: Owner,
    pub(super) declared: &'a CredentialDeclaration,
    pub(super) body: &'a RotationBody,
    pub(super) connector: &'a Guarded,
    pub(super) now: Timestamp,
}

/// What the target says to a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Accepted,
    Refused,
    /// The request was denied: to this secret, or to everybody by something before the target.
    Denied,
}

impl Rotation<'_> {
    pub(super) async fn perform(&self, step: RotationStep) -> Result<RotationFacts, Failure> {
        if self.body.facts.needless {
            return Ok(self.body.facts.clone());
        }
        let facts = match (step, self.body.strategy) {
            _ if self.is_ending() => self.end(step).await,
            (RotationStep::Prepare, _) => self.prepare().await,
            (RotationStep::Create, Strategy::Add) => self.create_minted().await,
            (RotationStep::Create, Strategy::Choose | Strategy::DualSlot) => {
                self.create_chosen().await
            }
            (RotationStep::Test, _) => self.test().await,
            (
                RotationStep::Promote,
                Strategy::Add | Strategy::Choose | Strategy::DualSlot,
            ) => self.promote().await,
            (RotationStep::Retire, Strategy::Add) => self.retire().await,
            (RotationStep::Retire, Strategy::DualSlot) => self.retire_slot().await,
            // The target knows one secret at a time: to set the new one was to end the old one.
            (RotationStep::Retire, Strategy::Choose)
            // Whoever rotates it makes the new one and retires the old one.
            | (RotationStep::Promote | RotationStep::Retire, Strategy::Delegated) => {
                Ok(self.body.facts.clone())
            }
            (RotationStep::Create, Strategy::Delegated) => self.made_elsewhere().await,
            (RotationStep::ProveRejected, _) => self.prove_rejected().await,
        }?;
        tracing::info!(
            connector = %self.body.connector,
            role = self.body.role.as_str(),
            step = step.as_str(),
            rotation = facts.label,
            "rotation step done"
        );
        Ok(facts)
    }

    /// Notes where the rotation starts from, and clears away what an abandoned one left behind.
    async fn prepare(&self) -> Result<RotationFacts, Failure> {
        let mut facts = self.body.facts.clone();
        let record = self.record().await?;
        if self.is_ours(record.as_ref(), Slot::Current) {
            // Taken up again from the start after the new one was promoted.
            return Ok(facts);
        }
        if self.was_just_replaced(record.as_ref()).await? {
            facts.needless = true;
            facts.previous_rejected = true;
            return Ok(facts);
        }
        match self.body.strategy {
            Strategy::Delegated => self.make_room(record.as_ref(), &facts).await?,
            Strategy::Add | Strategy::Choose | Strategy::DualSlot => {
                self.clear_leftovers(record.as_ref()).await?;
            }
        }
        if facts.started_version.is_none() {
            // Where a person does it, what was there at the first look counts, whatever they do meanwhile.
            let record = match self.body.strategy {
                Strategy::Delegated => record,
                Strategy::Add | Strategy::Choose | Strategy::DualSlot => self.record().await?,
            };
            let current = record.as_ref().and_then(|record| record.current.as_ref());
            facts.started_version = match current {
                Some(outrunner) if self.is_outrun(outrunner) => outrunner.replaces,
                _ => current.map(|current| current.version),
            };
        }
        match self.body.strategy {
            Strategy::Delegated => {}
            Strategy::Add => self.note_known(&mut facts).await?,
            Strategy::Choose => self.choose(&mut facts, None).await?,
            Strategy::DualSlot => self.choose_slot(&mut facts).await?,
        }
        Ok(facts)
    }

    /// True where somebody has replaced by hand what was found to be due, before this run looked first.
    fn is_outrun(&self, current: &SlotRecord) -> bool {
        let trigger = &self.body.trigger;
        self.body.strategy == Strategy::Delegated
            && trigger.is_outrun(current.created, current.expires, self.now)
    }

    /// Bounds what refusals can bring about. A secret that a rotation made a short while ago, and
    /// that is accepted, needs no other: who was refused had held the one before. One that is refused
    /// again so soon is not cured by a third, so that goes to a person.
    async fn was_just_replaced(&self, record: Option<&SecretRecord>) -> Result<bool, Failure> {
        let current = record.and_then(|record| record.current.as_ref());
        let fresh = current.is_some_and(|current| {
            let seconds = self.now.duration_since(current.created).as_secs();
            current.label.is_some() && seconds < REST_SECONDS
        });
        if !fresh || self.body.trigger != Trigger::AuthFailure {
            return Ok(false);
        }
        let begun = record.is_some_and(|record| record.pending.is_some());
        if begun || self.body.strategy == Strategy::Delegated {
            return Ok(false);
        }
        if self.opens(&self.required(Slot::Current).await?).await? {
            return Ok(true);
        }
        Err(Failure::new(
            FailureClass::Refused,
            "CB-SECRETS-22",
            "a secret that was replaced within the last hour is refused again",
        ))
    }

    /// Does real work with the new secret.
    async fn test(&self) -> Result<RotationFacts, Failure> {
        let record = self.record().await?;
        let slot = match self.body.strategy {
            Strategy::Delegated => Slot::Current,
            _ if self.is_ours(record.as_ref(), Slot::Pending) => Slot::Pending,
            _ if self.is_ours(record.as_ref(), Slot::Current) => Slot::Current,
            Strategy::Add | Strategy::Choose | Strategy::DualSlot => {
                return Err(self.nothing_of_ours());
            }
        };
        let credential = self.required(slot).await?;
        self.connector.try_credential(&credential).await?;
        // Where the target knows one secret at a time, the old one is dead already: nothing is gained by
        // keeping it, and the new one is the same credential in all but its value.
        if self.body.strategy != Strategy::Choose {
            self.try_powers(&credential).await?;
        }
        Ok(self.body.facts.clone())
    }

    /// The new one becomes current; from here on calls use it.
    async fn promote(&self) -> Result<RotationFacts, Failure> {
        self.see_what_was_pushed_aside().await?;
        let (label, replaced) = (self.label(), self.body.facts.previous_ref.clone());
        self.change(Change::Promote { label, replaced }).await?;
        Ok(self.body.facts.clone())
    }

    fn label(&self) -> String {
        self.body.facts.label.clone()
    }

    async fn change(&self, change: Change) -> Result<u64, Failure> {
        Ok(self.secrets.vault().change(&self.owner, change).await?)
    }

    async fn record(&self) -> Result<Option<SecretRecord>, Failure> {
        Ok(self.secrets.vault().record(&self.owner).await?)
    }

    async fn version(&self) -> Result<u64, Failure> {
        Ok(self.record().await?.map_or(0, |record| record.version))
    }

    fn is_ours(&self, record: Option<&SecretRecord>, slot: Slot) -> bool {
        let held = record.and_then(|record| match slot {
            Slot::Current => record.current.as_ref(),
            Slot::Pending => record.pending.as_ref(),
            Slot::Previous => record.previous.as_ref(),
        });
        held.is_some_and(|held| held.label.as_ref() == Some(&self.body.facts.label))
    }

    async fn in_slot(&self, slot: Slot) -> Result<Option<Credential>, Failure> {
        self.secrets.in_slot(&self.owner, self.declared, slot).await
    }

    async fn required(&self, slot: Slot) -> Result<Credential, Failure> {
        self.in_slot(slot)
            .await?
            .ok_or_else(|| super::VaultError::missing(&self.owner.reference, slot).into())
    }

    async fn rotator(&self) -> Result<Credential, Failure> {
        self.secrets
            .credential(self.connector.manifest(), CredentialRole::Rotator)
            .await
    }

    /// Tells acceptance from refusal; everything else is neither, and an error.
    async fn ask(&self, credential: &Credential) -> Result<Answer, Failure> {
        match self.connector.try_credential(credential).await {
            Ok(()) => Ok(Answer::Accepted),
            Err(failure) if failure.code == FORBIDDEN => Ok(Answer::Denied),
            Err(failure) if failure.class == FailureClass::AuthFailure => Ok(Answer::Refused),
            Err(failure) => Err(failure),
        }
    }

    /// Whether the target accepts it, where something is taken away or forgotten if it does not: then a
    /// denied request counts for neither.
    async fn opens(&self, credential: &Credential) -> Result<bool, Failure> {
        match self.ask(credential).await? {
            Answer::Accepted => Ok(true),
            Answer::Refused => Ok(false),
            Answer::Denied => Err(Failure::new(
                FailureClass::StaleData,
                "CB-SECRETS-31",
                "the target denies the request (403), which tells neither that it accepts the secret nor \
                 that it refuses it",
            )),
        }
    }

    /// Whether the target accepts a value under the name that is declared now, where it has another of its
    /// own: the account that it belongs to may have been renamed. Two names that take turns are none of that.
    async fn opens_as_declared(&self, held: &Credential) -> Result<bool, Failure> {
        let named = &self.declared.username;
        if named.is_none() || *named == held.username || self.declared.alternate.is_some() {
            return Ok(false);
        }
        let renamed = Credential {
            username: named.clone(),
            ..held.clone()
        };
        match self.in_slot(Slot::Current).await? {
            Some(current) if is_same(&renamed, &current) => Ok(false),
            Some(_) | None => self.opens(&renamed).await,
        }
    }

    /// The order for the secret that this rotation makes.
    fn order(&self, chosen: Option<SecretString>) -> MintOrder {
        MintOrder {
            role: self.body.role,
            label: self.label(),
            username: None,
            chosen,
            expires: None,
        }
    }

    fn nothing_of_ours(&self) -> Failure {
        super::VaultError::NotPending {
            reference: self.owner.reference.clone(),
            label: self.label(),
        }
        .into()
    }
}

/// What is kept of the value in use.
fn current_of(record: Option<&SecretRecord>) -> Option<&SlotRecord> {
    record.and_then(|record| record.current.as_ref())
}

#[cfg(test)]
mod tests;
