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

use super::{Answer, Rotation};
use crate::connectors::{Credential, MintOrder};
use crate::domain::outcome::Failure;
use crate::domain::rotation::RotationFacts;
use crate::domain::rotation::Strategy;
use crate::domain::time::after;
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
            username: slot.clone(),
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
        let kept = record.and_then(|record| record.pending);
        facts.pending_version = Some(pending.version);
        if self.ask(&pending).await? == Answer::Accepted {
            return Ok(facts);
        }
        let order = MintOrder {
            username: self.slot_of(&pending)?,
            expires: kept.and_then(|kept| kept.expires),
            ..self.order(Some(pending.secret))
        };
        let minted = self.connector.mint(&self.rotator().await?, &order).await?;
        facts.new_ref = minted.remote_ref.or(pending.remote_ref);
        Ok(facts)
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
