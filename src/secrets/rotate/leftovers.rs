//! What an abandoned rotation or an operator left in the slots.
//!
//! Owns the clearing of `pending` and `previous` before a new rotation begins. A pending secret that
//! works where the current one does not is the way back in, and is promoted, as is one that the target
//! takes away from nobody; a previous one that still works is retired, and forgotten only once the
//! target refuses it. Nothing is dropped that may be the only working secret.

use super::{Answer, Rotation};
use crate::connectors::Credential;
use crate::domain::outcome::Failure;
use crate::domain::rotation::{RotationFacts, Strategy};
use crate::secrets::{Change, SecretRecord, Slot};

impl Rotation<'_> {
    /// Makes room for a new pending secret.
    pub(super) async fn clear_leftovers(
        &self,
        record: Option<&SecretRecord>,
    ) -> Result<(), Failure> {
        if self.is_ours(record, Slot::Pending) {
            return Ok(());
        }
        if let Some(label) = record
            .and_then(|record| record.pending.as_ref())
            .and_then(|pending| pending.label.clone())
            && let Some(pending) = self.in_slot(Slot::Pending).await?
        {
            self.clear_pending(&pending, &label).await?;
        }
        if let Some(previous) = self.in_slot(Slot::Previous).await? {
            self.clear_previous(&previous).await?;
        }
        Ok(())
    }

    /// Where somebody else is to replace the secret, the vault has one place for what they replace: an
    /// older value there that is refused beside one that works makes room. What cannot be asked now, or
    /// works still, stays; then the proof says what it lacks.
    pub(super) async fn make_room(
        &self,
        record: Option<&SecretRecord>,
        facts: &RotationFacts,
    ) -> Result<(), Failure> {
        let current = record.and_then(|record| record.current.as_ref());
        if facts.started_version.is_some() || current.is_some_and(|held| self.is_outrun(held)) {
            // Somebody has begun: what is kept there may be what they replaced.
            return Ok(());
        }
        let Some(previous) = self.in_slot(Slot::Previous).await? else {
            return Ok(());
        };
        let version = previous.version;
        if self.was_refused() && current.and_then(|held| held.replaces) != Some(version) {
            // The one that was refused may have been replaced already, and is not kept: with this one
            // gone nothing would tell that it was never tried.
            return Ok(());
        }
        if matches!(self.ask(&previous).await, Ok(Answer::Refused))
            && matches!(self.works(Slot::Current).await, Ok(true))
            && matches!(self.opens_as_declared(&previous).await, Ok(false))
        {
            self.change(Change::ForgetLeftover { version }).await?;
        }
        Ok(())
    }

    async fn clear_pending(&self, pending: &Credential, label: &str) -> Result<(), Failure> {
        let label = label.to_owned();
        let fixed = self.is_fixed(pending).await?;
        if self.opens(pending).await?
            && (self.body.strategy == Strategy::Choose
                || fixed
                || !self.works(Slot::Current).await?)
        {
            // It is the only one that works, or (where the target knows one at a time, or keeps each
            // in its place) the one that was set last: what it still honours beside it is about to
            // lapse.
            let replaced = None;
            self.change(Change::Promote { label, replaced }).await?;
            return Ok(());
        }
        if let (false, Some(remote_ref)) = (fixed, &pending.remote_ref) {
            self.retire_listed(remote_ref).await?;
        }
        self.change(Change::DropPending { label }).await?;
        Ok(())
    }

    /// Whether the target lists it where nothing is taken away.
    async fn is_fixed(&self, held: &Credential) -> Result<bool, Failure> {
        let found = match self.body.strategy {
            Strategy::Add => self.listed_as(held).await?,
            Strategy::Choose | Strategy::DualSlot | Strategy::Delegated => None,
        };
        Ok(found.is_some_and(|known| known.fixed))
    }

    async fn clear_previous(&self, previous: &Credential) -> Result<(), Failure> {
        let version = previous.version;
        if self.opens(previous).await? {
            if !self.works(Slot::Current).await? {
                // The old one works and the new one does not: back to the last one that works.
                self.change(Change::RestorePrevious { version }).await?;
                return Ok(());
            }
            let current = self.required(Slot::Current).await?;
            let remote_ref = match (&previous.remote_ref, self.body.strategy) {
                (None, Strategy::Add) => {
                    let listed = self.listed_as(previous).await?;
                    listed.map(|known| known.remote_ref)
                }
                (told, _) => told.clone(),
            };
            if let Some(remote_ref) = remote_ref
                && current.remote_ref.as_ref() != Some(&remote_ref)
            {
                self.retire_listed(&remote_ref).await?;
            }
            if self.opens(previous).await? {
                return Err(super::proof::still_accepted());
            }
        } else if !self.works(Slot::Current).await? {
            // A target that refuses everybody says nothing of this one: it stays until it is known.
            return Ok(());
        } else if self.opens_as_declared(previous).await? {
            return Err(super::proof::still_accepted());
        }
        if self.body.facts.started_version == Some(version) {
            // What this rotation began with, pushed aside by a person: it is seen refused once more when the
            // new one takes over, and stands for itself until then.
            return Ok(());
        }
        self.change(Change::ForgetLeftover { version }).await?;
        Ok(())
    }

    async fn works(&self, slot: Slot) -> Result<bool, Failure> {
        match self.in_slot(slot).await? {
            Some(credential) => self.opens(&credential).await,
            None => Ok(false),
        }
    }

    /// Retires what the target still lists.
    async fn retire_listed(&self, remote_ref: &str) -> Result<(), Failure> {
        match self.body.strategy {
            Strategy::Add => {}
            Strategy::DualSlot => return self.close_slot(remote_ref).await,
            Strategy::Choose | Strategy::Delegated => return Ok(()),
        }
        let rotator = self.rotator().await?;
        let listed = self.listed(&rotator).await?;
        if listed.iter().any(|known| known.remote_ref == remote_ref) {
            self.retire_one(&rotator, remote_ref).await?;
        }
        Ok(())
    }
}
