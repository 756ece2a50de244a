//! One secret: its slots and the moves between them.
//!
//! Owns what `put`, `save pending`, `promote`, `forget` and `drop` mean for the slots `current`,
//! `pending` and `previous` of one entry: never more than one of each, each move idempotent by the
//! rotation's label. Values are sealed to their slot, so a move seals anew. Touches no file.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::seal::{SealError, Sealed, associated_data};
use super::{VaultError, VaultKey};
use crate::domain::id::ConnectorName;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;

/// Which of a secret's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The one that calls use.
    Current,
    /// Made by a rotation that has not promoted it.
    Pending,
    /// Replaced, and not yet shown to be rejected.
    Previous,
}

impl Slot {
    /// The name in messages and in the seal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Pending => "pending",
            Self::Previous => "previous",
        }
    }
}

/// Whose secret, and under which reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// As the manifest writes it: `local:crm/writer`.
    pub reference: String,
    /// The connector.
    pub connector: ConnectorName,
    /// Which of its credentials.
    pub role: CredentialRole,
}

/// What is known of a value without the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// Never used twice within a secret.
    pub version: u64,
    /// When the value was made.
    pub created: Timestamp,
    /// The rotation that made it; `None` for one that an operator put in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The target's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_ref: Option<String>,
    /// Sign-in name that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// A value on its way into the vault.
#[derive(Debug, Clone)]
pub struct NewSecret {
    /// The value.
    pub value: SecretString,
    /// Sign-in name that goes with it; where none is given, a rotation keeps the current one.
    pub username: Option<String>,
    /// The target's id of it.
    pub remote_ref: Option<String>,
}

/// A value on its way out.
#[derive(Debug, Clone)]
pub struct Revealed {
    /// What is known of it.
    pub record: SlotRecord,
    /// The value.
    pub value: SecretString,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Held {
    #[serde(flatten)]
    record: SlotRecord,
    sealed: Sealed,
}

/// One secret as it lies in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) connector: ConnectorName,
    pub(super) role: CredentialRole,
    /// Counts the changes; what a caller decided on an older one is refused.
    pub(super) version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<Held>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<Held>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Held>,
    /// The last rotation that saw the target refuse the previous value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proved: Option<String>,
}

impl Entry {
    pub(super) fn new(owner: &Owner) -> Self {
        Self {
            connector: owner.connector.clone(),
            role: owner.role,
            version: 0,
            current: None,
            pending: None,
            previous: None,
            proved: None,
        }
    }

    /// One connector's path can't reach another's secret.
    pub(super) fn check(&self, owner: &Owner) -> Result<(), VaultError> {
        if self.connector == owner.connector && self.role == owner.role {
            Ok(())
        } else {
            Err(VaultError::foreign(
                &owner.reference,
                &self.connector,
                self.role,
            ))
        }
    }

    pub(super) fn record(&self, slot: Slot) -> Option<SlotRecord> {
        self.slot(slot).map(|held| held.record.clone())
    }

    fn slot(&self, slot: Slot) -> Option<&Held> {
        match slot {
            Slot::Current => self.current.as_ref(),
            Slot::Pending => self.pending.as_ref(),
            Slot::Previous => self.previous.as_ref(),
        }
    }

    /// The value in `slot`, if there is one.
    pub(super) fn reveal(
        &self,
        owner: &Owner,
        slot: Slot,
        key: &VaultKey,
    ) -> Result<Option<Revealed>, VaultError> {
        let Some(held) = self.slot(slot) else {
            return Ok(None);
        };
        let value = held
            .sealed
            .open(key, &place(owner, slot, &held.record))
            .map_err(|error| explain(error, owner, slot))?;
        Ok(Some(Revealed {
            record: held.record.clone(),
            value,
        }))
    }

    /// An operator's own value becomes current. The one it replaces is kept as previous, so that
    /// it can be taken away at the target and shown to be refused; an older previous one stays.
    pub(super) fn put(
        &mut self,
        owner: &Owner,
        new: NewSecret,
        now: Timestamp,
        key: &VaultKey,
    ) -> Result<u64, VaultError> {
        let fresh = self.fresh(owner, Slot::Current, None, new, now, key)?;
        if self.previous.is_none() {
            self.previous = self.moved(owner, Slot::Current, Slot::Previous, key)?;
        }
        self.current = Some(fresh);
        self.version += 1;
        Ok(self.version)
    }

    /// Saves a rotation's new value. Refused when the entry changed since `base` was read: what
    /// was decided on the older state (nothing pending, mint one) no longer holds.
    pub(super) fn save_pending(
        &mut self,
        owner: &Owner,
        base: u64,
        label: &str,
        mut new: NewSecret,
        now: Timestamp,
        key: &VaultKey,
    ) -> Result<u64, VaultError> {
        if base != self.version {
            return Err(VaultError::Overtaken {
                reference: owner.reference.clone(),
                expected: base,
                found: self.version,
            });
        }
        if self.pending.is_some() {
            return Err(VaultError::NotPending {
                reference: owner.reference.clone(),
                label: label.to_owned(),
            });
        }
        if new.username.is_none() {
            new.username = self
                .current
                .as_ref()
                .and_then(|held| held.record.username.clone());
        }
        let label = Some(label.to_owned());
        self.pending = Some(self.fresh(owner, Slot::Pending, label, new, now, key)?);
        self.version += 1;
        Ok(self.version)
    }

    /// Pending becomes current, current becomes previous; nothing if that has been done already.
    /// `replaced` is the target's id of what is replaced, where the vault did not know it.
    pub(super) fn promote(
        &mut self,
        owner: &Owner,
        label: &str,
        replaced: Option<&str>,
        key: &VaultKey,
    ) -> Result<u64, VaultError> {
        let labelled = |held: &Option<Held>| {
            held.as_ref()
                .is_some_and(|held| held.record.label.as_deref() == Some(label))
        };
        if !labelled(&self.pending) {
            if labelled(&self.current) {
                return Ok(self.version);
            }
            return Err(VaultError::NotPending {
                reference: owner.reference.clone(),
                label: label.to_owned(),
            });
        }
        let previous = self.replaced(owner, replaced, key)?;
        let current = self.moved(owner, Slot::Pending, Slot::Current, key)?;
        // Without a current one there is nothing to follow; an older leftover stays known.
        self.previous = previous.or(self.previous.take());
        self.current = current;
        self.pending = None;
        self.version += 1;
        Ok(self.version)
    }

    /// Forgets the previous value, if it is still this version of it, and remembers the rotation
    /// that saw it refused, if it was its own.
    pub(super) fn forget_previous(&mut self, version: Option<u64>, proved: Option<&str>) {
        let previous = self.previous.as_ref().map(|held| held.record.version);
        if previous == version {
            self.previous = None;
            self.proved = proved.map(str::to_owned);
            self.version += 1;
        }
    }

    /// Back to the previous value, if it is still this version of it; the current one is dropped.
    pub(super) fn restore_previous(
        &mut self,
        owner: &Owner,
        version: u64,
        key: &VaultKey,
    ) -> Result<(), VaultError> {
        if self
            .previous
            .as_ref()
            .is_some_and(|held| held.record.version == version)
        {
            self.current = self.moved(owner, Slot::Previous, Slot::Current, key)?;
            self.previous = None;
            self.version += 1;
        }
        Ok(())
    }

    /// Drops the pending value of this rotation, if it is there.
    pub(super) fn drop_pending(&mut self, label: &str) {
        if self
            .pending
            .as_ref()
            .is_some_and(|held| held.record.label.as_deref() == Some(label))
        {
            self.pending = None;
            self.version += 1;
        }
    }

    /// Seals every value with another key.
    pub(super) fn rekey(
        &mut self,
        owner: &Owner,
        old: &VaultKey,
        new: &VaultKey,
    ) -> Result<(), VaultError> {
        for slot in [Slot::Current, Slot::Pending, Slot::Previous] {
            let Some(revealed) = self.reveal(owner, slot, old)? else {
                continue;
            };
            let held = held(owner, slot, revealed.record, &revealed.value, new)?;
            match slot {
                Slot::Current => self.current = Some(held),
                Slot::Pending => self.pending = Some(held),
                Slot::Previous => self.previous = Some(held),
            }
        }
        Ok(())
    }

    fn fresh(
        &self,
        owner: &Owner,
        slot: Slot,
        label: Option<String>,
        new: NewSecret,
        now: Timestamp,
        key: &VaultKey,
    ) -> Result<Held, VaultError> {
        use secrecy::ExposeSecret;
        if new.value.expose_secret().is_empty() {
            return Err(VaultError::Empty {
                reference: owner.reference.clone(),
            });
        }
        let record = SlotRecord {
            version: self.version + 1,
            created: now,
            label,
            remote_ref: new.remote_ref,
            username: new.username,
        };
        held(owner, slot, record, &new.value, key)
    }

    fn replaced(
        &self,
        owner: &Owner,
        remote_ref: Option<&str>,
        key: &VaultKey,
    ) -> Result<Option<Held>, VaultError> {
        let Some(mut revealed) = self.reveal(owner, Slot::Current, key)? else {
            return Ok(None);
        };
        if revealed.record.remote_ref.is_none() {
            revealed.record.remote_ref = remote_ref.map(str::to_owned);
        }
        held(owner, Slot::Previous, revealed.record, &revealed.value, key).map(Some)
    }

    fn moved(
        &self,
        owner: &Owner,
        from: Slot,
        to: Slot,
        key: &VaultKey,
    ) -> Result<Option<Held>, VaultError> {
        let Some(revealed) = self.reveal(owner, from, key)? else {
            return Ok(None);
        };
        held(owner, to, revealed.record, &revealed.value, key).map(Some)
    }
}

fn held(
    owner: &Owner,
    slot: Slot,
    record: SlotRecord,
    value: &SecretString,
    key: &VaultKey,
) -> Result<Held, VaultError> {
    let sealed = Sealed::seal(key, &place(owner, slot, &record), value)
        .map_err(|error| explain(error, owner, slot))?;
    Ok(Held { record, sealed })
}

/// Everything that must not be changed beside the value: a pending secret that is turned to
/// another connector or sign-in name would be sent to the wrong place.
fn place(owner: &Owner, slot: Slot, record: &SlotRecord) -> Vec<u8> {
    associated_data(&[
        owner.connector.as_str(),
        owner.role.as_str(),
        slot.as_str(),
        &record.version.to_string(),
        &owner.reference,
        &record.created.to_string(),
        record.label.as_deref().unwrap_or_default(),
        record.remote_ref.as_deref().unwrap_or_default(),
        record.username.as_deref().unwrap_or_default(),
    ])
}

fn explain(error: SealError, owner: &Owner, slot: Slot) -> VaultError {
    let message = match error {
        SealError::OtherKey => "it was sealed with another key",
        SealError::Damaged => "it was changed, or moved here from elsewhere",
        SealError::Library => return VaultError::Crypto,
    };
    VaultError::Sealed {
        reference: owner.reference.clone(),
        slot: slot.as_str(),
        message: message.to_owned(),
    }
}
