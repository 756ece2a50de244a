//! Rotation between two sign-in names of one credential, of which one rests (`dual_slot`).
//!
//! Owns which name is the idle one and how it is closed when it becomes idle. The new value is set
//! for the idle name, so the one in use is never touched until the other was seen to work. Sets no
//! value itself; that is `chosen`.

use super::Rotation;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::RotationFacts;
use crate::secrets::Slot;

impl Rotation<'_> {
    /// The two names that the manifest declares.
    pub(super) fn slots(&self) -> Result<[&str; 2], Failure> {
        let declared = self.declared;
        match (&declared.username, &declared.alternate) {
            (Some(one), Some(other)) => Ok([one, other]),
            _ => Err(Failure::new(
                FailureClass::Unsupported,
                "CB-SECRETS-21",
                "the manifest does not declare two sign-in names to alternate between",
            )),
        }
    }

    /// Draws a value for the name that is not in use, unless that has been done.
    pub(super) async fn choose_slot(&self, facts: &mut RotationFacts) -> Result<(), Failure> {
        let [one, other] = self.slots()?;
        let current = self.in_slot(Slot::Current).await?;
        let used = current.and_then(|current| current.username);
        let idle = if used.as_deref() == Some(one) {
            other
        } else {
            one
        };
        facts.previous_ref = used;
        self.choose(facts, Some(idle.to_owned())).await
    }

    /// Closes the name that was in use before.
    pub(super) async fn retire_slot(&self) -> Result<RotationFacts, Failure> {
        let mut facts = self.body.facts.clone();
        let record = self.record().await?;
        if !self.is_ours(record.as_ref(), Slot::Current) {
            return Err(self.nothing_of_ours());
        }
        if let Some(previous) = record.and_then(|record| record.previous)
            && let Some(name) = previous.remote_ref
        {
            facts.previous_ref = Some(name.clone());
            self.close_slot(&name).await?;
        }
        Ok(facts)
    }

    /// Closes a name, unless it is the one in use.
    pub(super) async fn close_slot(&self, name: &str) -> Result<(), Failure> {
        let current = self.required(Slot::Current).await?;
        if current.username.as_deref() == Some(name) || !self.slots()?.contains(&name) {
            return Ok(());
        }
        self.retire_one(&self.rotator().await?, name).await
    }
}
