//! The last step: the target refuses what was replaced.
//!
//! Owns what counts as that proof: the old value is tried and refused while the new one is accepted,
//! for a target that refuses everybody proves nothing, and neither does a denied request. Also checks the word
//! of a person who says that they replaced the secret by hand. Takes nothing away; that is `retire`, and `overtaken`.

use super::overtaken::is_same;
use super::{Rotation, current_of};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::{RotationFacts, Strategy, Trigger};
use crate::secrets::{Change, SecretRecord, Slot};

impl Rotation<'_> {
    /// Shows that the previous secret is rejected, then forgets it.
    pub(super) async fn prove_rejected(&self) -> Result<RotationFacts, Failure> {
        let mut facts = self.body.facts.clone();
        let record = self.record().await?;
        let proved = |record: &SecretRecord| record.proved.as_ref() == Some(&facts.label);
        if record.as_ref().is_some_and(proved) {
            facts.previous_rejected = true;
            return Ok(facts);
        }
        let ours = self.is_ours(record.as_ref(), Slot::Current);
        if !ours && !self.was_replaced(record.as_ref()) {
            return Err(not_replaced());
        }
        let current = self.required(Slot::Current).await?;
        self.connector.try_credential(&current).await?;
        // A person's stands in the place of what this rotation made, which may open the target still.
        let gone = !ours && self.clear_ours(record.as_ref(), &current).await?;
        let previous = self.in_slot(Slot::Previous).await?;
        if let Some(previous) = &previous {
            if self.opens(previous).await? || self.opens_as_declared(previous).await? {
                return Err(still_accepted());
            }
            // Once more: what began to refuse everybody in between proves nothing of the old one.
            self.connector.try_credential(&current).await?;
        }
        if !ours && self.has_passed_over(record.as_ref(), gone) {
            return Err(not_kept());
        }
        match &previous {
            // What ours replaced, if anything, is what promotion put aside.
            _ if ours => {}
            Some(previous) if self.replaced(record.as_ref()) == Some(previous.version) => {}
            // Nothing was replaced since, or what had been before was seen refused.
            None if self.was_refused() && self.stands(record.as_ref()) => {}
            None if self.body.strategy != Strategy::Delegated => return Err(not_replaced()),
            Some(_) | None => return Err(not_kept()),
        }
        let version = previous.map(|previous| previous.version);
        let (proved, at) = (self.label(), self.now);
        self.change(Change::ForgetPrevious {
            version,
            proved,
            at,
        })
        .await?;
        facts.previous_rejected = true;
        Ok(facts)
    }

    /// Where somebody put another value in since the rotation began, promotion puts that one aside, and the
    /// one that was in use at first would never be tried again: so it is tried before.
    pub(super) async fn see_what_was_pushed_aside(&self) -> Result<(), Failure> {
        let record = self.record().await?;
        let Some(started) = self.body.facts.started_version else {
            return Ok(());
        };
        let stays = current(record.as_ref()).is_none_or(|version| version == started);
        if stays || self.is_ours(record.as_ref(), Slot::Current) {
            return Ok(());
        }
        // Of what was ours, `create` has taken away what the target lists.
        let passed_over = self.has_passed_over(record.as_ref(), true);
        let kept = record.and_then(|record| record.previous);
        if passed_over || kept.is_none_or(|kept| kept.version != started) {
            // Where the target knows one value at a time, the new one has ended it.
            return match self.body.strategy {
                Strategy::Add => Err(not_kept()),
                Strategy::Choose | Strategy::DualSlot | Strategy::Delegated => Ok(()),
            };
        }
        let pushed = self.required(Slot::Previous).await?;
        let by = self.required(Slot::Current).await?;
        if is_same(&pushed, &by) {
            return Ok(());
        }
        if self.opens(&pushed).await? || self.opens_as_declared(&pushed).await? {
            return Err(still_accepted());
        }
        Ok(())
    }

    /// Where nobody is declared to make the new one, a person is told at once.
    pub(super) async fn made_elsewhere(&self) -> Result<RotationFacts, Failure> {
        let record = self.record().await?;
        if self.declared.rotation.is_none() && !self.was_replaced(record.as_ref()) {
            return Err(for_person());
        }
        Ok(self.body.facts.clone())
    }

    /// The value that a person has replaced. The one that is kept may be an older one, which the target
    /// had not refused by then, and which says nothing of it.
    fn replaced(&self, record: Option<&SecretRecord>) -> Option<u64> {
        let current = record.and_then(|record| record.current.as_ref())?;
        let started = self.body.facts.started_version;
        let begun = started.filter(|started| *started != current.version);
        begun.or(current.replaces)
    }

    /// True where the target itself has refused the value that was in use, and a person sees to it: that
    /// refusal is why this began.
    pub(super) fn was_refused(&self) -> bool {
        self.body.strategy == Strategy::Delegated && self.body.trigger == Trigger::AuthFailure
    }

    /// True while the value in use is the one that was at the first look, or the first there ever was.
    fn stands(&self, record: Option<&SecretRecord>) -> bool {
        let started = self.body.facts.started_version;
        started.is_none() || started == current(record)
    }

    /// Whether somebody else put a new value in since the rotation began.
    fn was_replaced(&self, record: Option<&SecretRecord>) -> bool {
        let version = current(record);
        let other = version.is_some() && version != self.body.facts.started_version;
        // The one who rotates may have been faster than our first look. A secret that was refused
        // and is accepted now (the caller has tried it) has been replaced or set right.
        other || self.was_refused()
    }
}

/// The version of the value in use.
fn current(record: Option<&SecretRecord>) -> Option<u64> {
    current_of(record).map(|current| current.version)
}

fn for_person() -> Failure {
    Failure::new(
        FailureClass::Unsupported,
        "CB-SECRETS-28",
        "the secret is to be replaced, and its manifest declares no way in which the machine could",
    )
}

fn not_kept() -> Failure {
    Failure::new(
        FailureClass::Unsupported,
        "CB-SECRETS-29",
        "the vault does not keep the value that was replaced, so nobody can show that the target refuses it",
    )
}

fn not_replaced() -> Failure {
    Failure::new(
        FailureClass::StaleData,
        "CB-SECRETS-15",
        "nothing shows that the secret was replaced: the vault still holds the old one",
    )
}

pub(super) fn still_accepted() -> Failure {
    Failure::new(
        FailureClass::WriteFailure,
        "CB-SECRETS-16",
        "the target still accepts the previous secret",
    )
}
