//! Rotation where the target mints and several secrets coexist.
//!
//! Owns `create` and `retire` for the strategy `add`. A minted value is shown once: the vault is
//! shown to be writable before it is asked for, and what can't be saved is retired again. An id that
//! bears our label and is not saved is the orphan of a lost answer; where the target takes none away
//! but still shows it, it is taken up. Retires nothing that is current.

use std::collections::BTreeSet;

use secrecy::SecretString;

use super::{Answer, Rotation};
use crate::connectors::{Credential, KnownSecret};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::RotationFacts;
use crate::secrets::{Change, NewSecret, Slot};

impl Rotation<'_> {
    /// Notes the ids that the target knows, and which of them is the one to be replaced.
    pub(super) async fn note_known(&self, facts: &mut RotationFacts) -> Result<(), Failure> {
        let listed = self.listed(&self.rotator().await?).await?;
        // Taken up again from the start: what this rotation has saved by now was not there before it.
        let record = self.record().await?;
        let saved = if self.is_ours(record.as_ref(), Slot::Pending) {
            self.in_slot(Slot::Pending).await?
        } else {
            None
        };
        let is_saved = |known: &KnownSecret| saved.as_ref().is_some_and(|one| known.is_of(one));
        let others: Vec<_> = listed
            .iter()
            .filter(|known| known.label != facts.label && !is_saved(known))
            .collect();
        let ids: Vec<_> = others.iter().map(|one| one.remote_ref.clone()).collect();
        let current = self.in_slot(Slot::Current).await?;
        if facts.noted && !has_labels(&listed) {
            let previous = self.in_slot(Slot::Previous).await?;
            see_no_strangers(facts, &others, current.iter().chain(&previous))?;
        } else {
            facts.known.clone_from(&ids);
        }
        facts.noted = true;
        let Some(current) = current else {
            return Ok(());
        };
        let listed_as = listed.iter().find(|known| known.is_of(&current));
        facts.previous_ref = match (&current.remote_ref, ids.as_slice()) {
            (Some(remote_ref), _) => Some(remote_ref.clone()),
            // An operator put it in without its id.
            (None, _) if listed_as.is_some() => listed_as.map(|known| known.remote_ref.clone()),
            // If it works and is the only one, it is that one.
            (None, [only]) if self.ask(&current).await? == Answer::Accepted => Some(only.clone()),
            (None, _) => None,
        };
        Ok(())
    }

    /// Has the new secret minted and saves it as pending, unless that has been done.
    pub(super) async fn create_minted(&self) -> Result<RotationFacts, Failure> {
        let mut facts = self.body.facts.clone();
        let record = self.record().await?;
        if self.is_ours(record.as_ref(), Slot::Current) {
            return Ok(facts);
        }
        let rotator = self.rotator().await?;
        if self.is_ours(record.as_ref(), Slot::Pending)
            && let Some(pending) = self.in_slot(Slot::Pending).await?
        {
            if self.still_good(&rotator, &pending).await? {
                facts.pending_version = Some(pending.version);
                facts.made.insert(pending.version);
                facts.new_ref = pending.remote_ref;
                return Ok(facts);
            }
            let label = self.label();
            self.change(Change::DropPending { label }).await?;
        }
        // Read before anything is asked of the target: whoever is faster than us wins the save.
        let base = self.version().await?;
        let listed = self.listed(&rotator).await?;
        if let Some((orphan, value)) = self.clear_orphans(&rotator, &listed).await? {
            return self.take_up(base, orphan, value).await;
        }
        self.clear_ended(&rotator, &listed).await?;
        self.secrets.vault().probe(&self.owner).await?;
        let order = self.order(None);
        let minted = self.connector.mint(&rotator, &order).await?;
        let new = NewSecret {
            value: minted.secret,
            username: self.declared.username.clone(),
            remote_ref: minted.remote_ref.clone(),
            expires: minted.expires,
        };
        match self.save_pending(base, new).await {
            Ok(version) => {
                facts.pending_version = Some(version);
                facts.made.insert(version);
                facts.new_ref = minted.remote_ref;
                Ok(facts)
            }
            Err(failure) => {
                // Nobody knows its value any more. If this fails too, it is an orphan by its label,
                // and the next attempt takes it away, or up where it still stands.
                if let Some(remote_ref) = &minted.remote_ref
                    && let Err(second) = self.retire_one(&rotator, remote_ref).await
                {
                    tracing::warn!(
                        connector = %self.body.connector,
                        class = second.class.as_str(),
                        "a minted secret could be neither saved nor retired yet"
                    );
                }
                Err(failure)
            }
        }
    }

    /// Takes away what an attempt before has left, but for the one to be taken up.
    async fn clear_orphans<'l>(
        &self,
        rotator: &Credential,
        listed: &'l [KnownSecret],
    ) -> Result<Option<(&'l KnownSecret, &'l SecretString)>, Failure> {
        // What somebody put in meanwhile is in use, though nobody had heard of it when this began.
        let current = self.in_slot(Slot::Current).await?;
        let previous = self.in_slot(Slot::Previous).await?;
        let kept = || current.iter().chain(&previous);
        for orphan in listed.iter().filter(|known| self.is_orphan(known, listed)) {
            if kept().any(|credential| orphan.is_of(credential)) {
                continue;
            }
            if let (true, Some(value)) = (orphan.fixed, &orphan.shown) {
                return Ok(Some((orphan, value)));
            }
            let labelled = orphan.label == self.body.facts.label;
            if !labelled && self.may_be_in_use(listed, kept()) {
                return Err(anybodys(&orphan.remote_ref));
            }
            self.retire_one(rotator, &orphan.remote_ref).await?;
        }
        Ok(None)
    }

    /// Saves as pending what an attempt before had made, and whose answer it lost.
    async fn take_up(
        &self,
        base: u64,
        orphan: &KnownSecret,
        value: &SecretString,
    ) -> Result<RotationFacts, Failure> {
        let mut facts = self.body.facts.clone();
        let new = NewSecret {
            value: value.clone(),
            username: self.declared.username.clone(),
            remote_ref: Some(orphan.remote_ref.clone()),
            expires: None,
        };
        let version = self.save_pending(base, new).await?;
        facts.pending_version = Some(version);
        facts.made.insert(version);
        facts.new_ref = Some(orphan.remote_ref.clone());
        Ok(facts)
    }

    async fn save_pending(&self, base: u64, new: NewSecret) -> Result<u64, Failure> {
        let (label, at) = (self.label(), self.now);
        self.change(Change::SavePending {
            base,
            label,
            new,
            at,
        })
        .await
    }

    /// Makes room: one that ended by itself and still stands there opens nothing for anybody. That it is
    /// refused means something only while the current one is accepted.
    async fn clear_ended(
        &self,
        rotator: &Credential,
        listed: &[KnownSecret],
    ) -> Result<(), Failure> {
        let Some(current) = self.in_slot(Slot::Current).await? else {
            return Ok(());
        };
        for known in listed {
            let Some(value) = &known.shown else {
                continue;
            };
            if known.fixed || known.is_of(&current) {
                continue;
            }
            let shown = Credential {
                secret: value.clone(),
                ..current.clone()
            };
            if self.ask(&shown).await? == Answer::Refused
                && self.ask(&current).await? == Answer::Accepted
            {
                self.retire_one(rotator, &known.remote_ref).await?;
            }
        }
        Ok(())
    }

    /// Whether the saved pending secret can go on to its test. Refused and unknown to the target, it
    /// is gone; refused but listed, it may not have reached every node of the target yet.
    async fn still_good(
        &self,
        rotator: &Credential,
        pending: &Credential,
    ) -> Result<bool, Failure> {
        if self.ask(pending).await? == Answer::Accepted {
            return Ok(true);
        }
        let listed = self.listed(rotator).await?;
        Ok(listed
            .iter()
            .any(|known| Some(&known.remote_ref) == pending.remote_ref.as_ref()))
    }

    /// Takes the previous secret away at the target, and any other that this rotation made.
    pub(super) async fn retire(&self) -> Result<RotationFacts, Failure> {
        let mut facts = self.body.facts.clone();
        let record = self.record().await?;
        if !self.is_ours(record.as_ref(), Slot::Current) {
            return Err(self.nothing_of_ours());
        }
        let current = self.required(Slot::Current).await?;
        let replaced = record.and_then(|record| record.previous);
        if let Some(remote_ref) = replaced.and_then(|previous| previous.remote_ref) {
            facts.previous_ref = Some(remote_ref);
        }
        let rotator = self.rotator().await?;
        let mut doomed = BTreeSet::new();
        let listed = self.listed(&rotator).await?;
        for known in &listed {
            let replaced = facts.previous_ref.as_ref() == Some(&known.remote_ref);
            // Without the current one's id an own label does not tell an orphan from it.
            let orphan = self.is_orphan(known, &listed) && current.remote_ref.is_some();
            if (replaced || orphan) && current.remote_ref.as_ref() != Some(&known.remote_ref) {
                doomed.insert(known.remote_ref.clone());
            }
        }
        for remote_ref in doomed {
            self.retire_one(&rotator, &remote_ref).await?;
        }
        Ok(facts)
    }

    /// Whether an attempt of this rotation made it: it bears our label, or, where the target keeps no
    /// labels, it was not there when the rotation began. Where others bear one, ours would too: what bears
    /// none is somebody else's.
    fn is_orphan(&self, one: &KnownSecret, listed: &[KnownSecret]) -> bool {
        let facts = &self.body.facts;
        let known = facts.known.contains(&one.remote_ref);
        one.label == facts.label || (!has_labels(listed) && !known)
    }

    /// True while one that somebody put in since this began is in use, and the target's list does not tell
    /// which it is: then what has no label may be that one.
    fn may_be_in_use<'c>(
        &self,
        listed: &[KnownSecret],
        mut kept: impl Iterator<Item = &'c Credential>,
    ) -> bool {
        let started = self.body.facts.started_version;
        kept.any(|one| {
            let later = started.is_none_or(|started| one.version > started);
            later && !listed.iter().any(|known| known.is_of(one))
        })
    }

    pub(super) async fn listed(&self, rotator: &Credential) -> Result<Vec<KnownSecret>, Failure> {
        self.connector.minted(rotator, self.body.role).await
    }

    /// How the target lists a secret that the vault keeps, if it does.
    pub(super) async fn listed_as(
        &self,
        credential: &Credential,
    ) -> Result<Option<KnownSecret>, Failure> {
        let listed = self.listed(&self.rotator().await?).await?;
        Ok(listed.into_iter().find(|known| known.is_of(credential)))
    }

    pub(super) async fn retire_one(
        &self,
        rotator: &Credential,
        remote_ref: &str,
    ) -> Result<(), Failure> {
        self.connector
            .retire(rotator, self.body.role, remote_ref)
            .await
    }
}

fn has_labels(listed: &[KnownSecret]) -> bool {
    listed.iter().any(|known| !known.label.is_empty())
}

/// Where the target keeps no labels, what came since this began is ours, whose answer was lost, or anybody's.
/// To take it for one that was there would leave it behind, and another with each try.
fn see_no_strangers<'c>(
    facts: &RotationFacts,
    others: &[&KnownSecret],
    kept: impl Iterator<Item = &'c Credential> + Clone,
) -> Result<(), Failure> {
    let strange = others.iter().find(|known| {
        let ours = facts.new_ref.as_ref() == Some(&known.remote_ref);
        // One that stands where none is taken away is taken up by `create`.
        let told = ours || known.fixed || facts.known.contains(&known.remote_ref);
        !told && !kept.clone().any(|one| known.is_of(one))
    });
    strange.map_or(Ok(()), |known| Err(anybodys(&known.remote_ref)))
}

fn anybodys(remote_ref: &str) -> Failure {
    Failure::new(
        FailureClass::Unsupported,
        "CB-SECRETS-32",
        format!(
            "the target keeps no labels and shows {remote_ref}, which this rotation may have made and lost, or \
             somebody may use: name the one in use (`secrets set --remote-ref`), or take it away"
        ),
    )
}
