//! What this rotation made, where a person's own secret stands in its place.
//!
//! Owns that none of it opens the target beside the person's: what is pending, what was promoted and pushed
//! out again (the vault has one place for an old value), and what bears the label. Also tells whether the
//! values that were replaced are all accounted for. Takes nothing away that is in use or somebody else's.

use secrecy::ExposeSecret;

use super::proof::still_accepted;
use super::trial::may_pass;
use super::{Rotation, current_of};
use crate::connectors::{Credential, KnownSecret};
use crate::domain::outcome::Failure;
use crate::domain::rotation::Strategy;
use crate::secrets::{Change, SecretRecord, Slot};

impl Rotation<'_> {
    /// Takes away what is ours, beside the value in use, which is not. Says whether what was promoted, and is
    /// not kept, is gone.
    pub(super) async fn clear_ours(
        &self,
        record: Option<&SecretRecord>,
        current: &Credential,
    ) -> Result<bool, Failure> {
        let pending = if self.is_ours(record, Slot::Pending) {
            self.in_slot(Slot::Pending).await?
        } else {
            None
        };
        let gone = match self.body.strategy {
            Strategy::Add => self.clear_minted(current, pending.as_ref()).await?,
            Strategy::DualSlot => self.clear_name(record, pending.as_ref()).await?,
            // The target knows one value at a time, and takes the one in use.
            Strategy::Choose => true,
            Strategy::Delegated => return Ok(false),
        };
        if let Some(pending) = pending {
            if !is_same(&pending, current) && self.opens(&pending).await? {
                return Err(still_accepted());
            }
            // What began to refuse everybody in between says nothing of it.
            self.connector.try_credential(current).await?;
            let label = self.label();
            self.change(Change::DropPending { label }).await?;
        }
        Ok(gone)
    }

    /// True where the value in use took the place of one that nobody can try, and that is not known to be
    /// gone: somebody put several in, and the vault keeps the oldest.
    pub(super) fn has_passed_over(&self, record: Option<&SecretRecord>, gone: bool) -> bool {
        let Some(current) = current_of(record) else {
            return false;
        };
        if self.body.facts.started_version == Some(current.version) {
            return false;
        }
        let previous = record.and_then(|record| record.previous.as_ref());
        current.replaces.is_some_and(|version| {
            let kept = previous.is_some_and(|previous| previous.version == version);
            let ours_and_gone = gone && self.body.facts.made.contains(&version);
            !(kept || ours_and_gone)
        })
    }

    async fn clear_minted(
        &self,
        current: &Credential,
        pending: Option<&Credential>,
    ) -> Result<bool, Failure> {
        let facts = &self.body.facts;
        let ours = |known: &KnownSecret| {
            let named = facts.new_ref.as_ref() == Some(&known.remote_ref);
            let made = known.label == facts.label || named;
            (made || pending.is_some_and(|pending| known.is_of(pending))) && !known.is_of(current)
        };
        let (rotator, listed) = match self.list_ours().await {
            Ok(found) => found,
            // Nothing is known to have been made, and the rotator may be why a person did it.
            Err(failure) if pending.is_none() && facts.made.is_empty() && !may_pass(&failure) => {
                tracing::warn!(
                    connector = %self.body.connector,
                    code = failure.code,
                    "whether a rotation left a secret behind could not be looked up"
                );
                return Ok(false);
            }
            Err(failure) => return Err(failure),
        };
        let doomed: Vec<_> = listed.iter().filter(|known| ours(known)).collect();
        for known in &doomed {
            self.retire_one(&rotator, &known.remote_ref).await?;
        }
        if !doomed.is_empty() && self.listed(&rotator).await?.iter().any(ours) {
            return Err(still_accepted());
        }
        Ok(facts.new_ref.is_some() || !doomed.is_empty())
    }

    async fn list_ours(&self) -> Result<(Credential, Vec<KnownSecret>), Failure> {
        let rotator = self.rotator().await?;
        let listed = self.listed(&rotator).await?;
        Ok((rotator, listed))
    }

    /// Closes the name that ours was set for, unless that is the one in use, where it is known to open.
    async fn clear_name(
        &self,
        record: Option<&SecretRecord>,
        pending: Option<&Credential>,
    ) -> Result<bool, Failure> {
        if let Some(pending) = pending {
            if let (true, Some(name)) = (self.opens(pending).await?, &pending.username) {
                self.close_slot(name).await?;
            }
            return Ok(false);
        }
        let replaced = current_of(record).and_then(|current| current.replaces);
        let promoted = replaced.is_some_and(|version| self.body.facts.made.contains(&version));
        match &self.body.facts.new_ref {
            Some(name) if promoted => self.close_slot(name).await.map(|()| true),
            Some(_) | None => Ok(false),
        }
    }
}

/// The same value, for the same name.
pub(super) fn is_same(one: &Credential, other: &Credential) -> bool {
    one.username == other.username && one.secret.expose_secret() == other.secret.expose_secret()
}
