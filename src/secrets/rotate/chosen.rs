//! Rotation where we choose the value.
//!
//! Owns `create` for the strategies `choose` and `dual_slot`. The value is saved as pending before it is sent, so it
//! can't be lost; a repeat tries it before it sets it again. Never draws a second value for one
//! rotation: after a lost answer either of two could be the one that the target knows.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{Answer, Rotation, current_of};
use crate::connectors::{Credential, MintOrder};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::{RotationFacts, Strategy, Trigger};
use crate::domain::time::{Timestamp, after};
use crate::secrets::{Change, NewSecret, Slot, VaultError};

/// Random bytes in a chosen value.
const RANDOM_BYTES: usize = 32;

/// Satisfies rules that want every class of character, and lets scanners recognise the value.
const PREFIX: &str = "Cb1-";

impl Rotation<'_> {
    /// Draws the value and saves it as pending, unless that has been done.
    /// `slot` is the sign-in name that it is for, where there are several.
    pub(super) async fn choose(
        &self,
        facts: &mut RotationFacts,
        slot: Option<String>,
    ) -> Result<(), Failure> {
        let record = self.record().await?;
        if let Some(pending) = record.as_ref().and_then(|record| record.pending.as_ref())
            && self.is_ours(record.as_ref(), Slot::Pending)
        {
            facts.pending_version = Some(pending.version);
            facts.made.insert(pending.version);
            return Ok(());
        }
        let new = NewSecret {
            value: draw()?,
            username: slot.clone().or_else(|| self.declared.username.clone()),
            remote_ref: slot,
            expires: self
                .declared
                .lasts_seconds
                .map(|lasts| after(self.now, lasts)),
        };
        let base = record.map_or(0, |record| record.version);
        let (label, at) = (self.label(), self.now);
        let version = self
            .change(Change::SavePending {
                base,
                label,
                new,
                at,
            })
            .await?;
        facts.pending_version = Some(version);
        facts.made.insert(version);
        Ok(())
    }

    /// Makes the target know the pending value, unless it does.
    pub(super) async fn create_chosen(&self) -> Result<RotationFacts, Failure> {
        let mut facts = self.body.facts.clone();
        let record = self.record().await?;
        if self.is_ours(record.as_ref(), Slot::Current) {
            return Ok(facts);
        }
        if !self.is_ours(record.as_ref(), Slot::Pending) {
            return Err(self.nothing_of_ours());
        }
        let pending = self.required(Slot::Pending).await?;
        let kept = record.as_ref().and_then(|record| record.pending.as_ref());
        let expires = kept.and_then(|kept| kept.expires);
        facts.pending_version = Some(pending.version);
        let name = self.slot_of(&pending)?;
        if self.ask(&pending).await? == Answer::Accepted {
            // An attempt before may have broken off between the two. The rotator is not needed for it.
            if expires.is_none() {
                self.note_end(&pending, name.as_deref(), None).await?;
            }
            return Ok(facts);
        }
        let expires = self.whole_life(expires).await?;
        let rotator = self.rotator().await?;
        if expires.is_none() {
            let replaced = current_of(record.as_ref()).and_then(|current| current.expires);
            self.gains_time(&rotator, name.as_deref(), replaced).await?;
        }
        let order = MintOrder {
            username: name,
            expires,
            ..self.order(Some(pending.secret))
        };
        let minted = self.connector.mint(&rotator, &order).await?;
        if expires.is_none() {
            let name = order.username.as_deref();
            self.note_end(&rotator, name, minted.expires).await?;
        }
        facts.new_ref = minted.remote_ref.or(pending.remote_ref);
        Ok(facts)
    }

    /// The end to set the value with. It was fixed when the value was drawn, and may have come near or gone by
    /// while the target could not be asked: a value that is dead from the start would end the one that works.
    async fn whole_life(&self, expires: Option<Timestamp>) -> Result<Option<Timestamp>, Failure> {
        let (Some(lasts), Some(end)) = (self.declared.lasts_seconds, expires) else {
            return Ok(expires);
        };
        if end >= after(self.now, lasts / 3) {
            return Ok(expires);
        }
        let (label, expires) = (self.label(), after(self.now, lasts));
        self.change(Change::NoteEnd { label, expires }).await?;
        Ok(Some(expires))
    }

    /// Notes when the target ends the new value, where the manifest does not say how long it lasts.
    async fn note_end(
        &self,
        caller: &Credential,
        name: Option<&str>,
        told: Option<Timestamp>,
    ) -> Result<(), Failure> {
        let end = match told {
            Some(end) => Some(end),
            None => self.end_there(caller, name).await?,
        };
        if let Some(expires) = end {
            let label = self.label();
            self.change(Change::NoteEnd { label, expires }).await?;
        }
        Ok(())
    }

    /// What is replaced because it ends must not be replaced by what ends no later: that would be due again
    /// and again in ever shorter time, be always in time for the alarms, and end all the same.
    async fn gains_time(
        &self,
        rotator: &Credential,
        name: Option<&str>,
        replaced: Option<Timestamp>,
    ) -> Result<(), Failure> {
        let (Trigger::Expiry { .. }, Some(replaced)) = (&self.body.trigger, replaced) else {
            return Ok(());
        };
        match self.end_there(rotator, name).await? {
            Some(end) if end <= replaced => Err(Failure::new(
                FailureClass::Unsupported,
                "CB-SECRETS-33",
                format!(
                    "the target ends every password of this name at {end}, a new one too: move that end \
                     (VALID UNTIL), or declare `lasts_hours`"
                ),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// When the target ends a password of this name. That it does not let `caller` look keeps no password
    /// from use: then no end is known.
    async fn end_there(
        &self,
        caller: &Credential,
        name: Option<&str>,
    ) -> Result<Option<Timestamp>, Failure> {
        match self
            .connector
            .password_end(caller, self.body.role, name)
            .await
        {
            Err(failure) if stays_so(failure.class) => {
                tracing::warn!(
                    connector = %self.body.connector,
                    code = failure.code,
                    "the target does not tell when the password ends"
                );
                Ok(None)
            }
            other => other,
        }
    }
}

/// Whether another try would be answered alike.
fn stays_so(class: FailureClass) -> bool {
    match class {
        FailureClass::PartialSuccess
        | FailureClass::StaleData
        | FailureClass::RateLimited
        | FailureClass::Unreachable
        | FailureClass::UnknownOutcome => false,
        FailureClass::WriteFailure
        | FailureClass::AuthFailure
        | FailureClass::Drifted
        | FailureClass::Ambiguous
        | FailureClass::Refused
        | FailureClass::Unsupported
        | FailureClass::Inherited => true,
    }
}

impl Rotation<'_> {
    /// The sign-in name to set the value for, where there are several: never one that the manifest
    /// does not declare, whatever the vault says.
    fn slot_of(&self, pending: &Credential) -> Result<Option<String>, Failure> {
        match (self.body.strategy, &pending.username) {
            (Strategy::DualSlot, Some(name)) if self.slots()?.contains(&name.as_str()) => {
                Ok(Some(name.clone()))
            }
            (Strategy::DualSlot, _) => Err(self.nothing_of_ours()),
            (Strategy::Add | Strategy::Choose | Strategy::Delegated, _) => Ok(None),
        }
    }
}

/// A value that satisfies the rules that targets have.
pub(super) fn draw() -> Result<SecretString, VaultError> {
    let mut bytes = Zeroizing::new([0_u8; RANDOM_BYTES]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| VaultError::Crypto)?;
    let mut text = Zeroizing::new(String::with_capacity(64));
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
    let value = SecretString::from(text.as_str());
    debug_assert!(value.expose_secret().len() > RANDOM_BYTES);
    Ok(value)
}
