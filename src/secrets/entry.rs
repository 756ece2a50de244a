//! One secret as it lies in the local vault's file: each value sealed to its place.
//!
//! Owns the form at rest, and the way between it and the slots in clear. A value is sealed to its
//! slot, so a secret that moved is sealed anew. Decides no move; that is `slots`.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::seal::{SealError, Sealed, associated_data};
use super::slots::{Owner, Revealed, SecretRecord, Slot, SlotRecord, Slots};
use super::{VaultError, VaultKey};
use crate::domain::id::ConnectorName;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;

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
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<Held>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<Held>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Held>,
    /// The last rotation that saw the target refuse the previous value, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proved: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proved_at: Option<Timestamp>,
}

impl Entry {
    /// Seals what is in clear.
    pub(super) fn seal(owner: &Owner, slots: &Slots, key: &VaultKey) -> Result<Self, VaultError> {
        let held = |slot| {
            let one = slots.slot(slot);
            one.map(|one| held(owner, slot, &one.record, &one.value, key))
                .transpose()
        };
        Ok(Self {
            connector: owner.connector.clone(),
            role: owner.role,
            version: slots.version,
            current: held(Slot::Current)?,
            pending: held(Slot::Pending)?,
            previous: held(Slot::Previous)?,
            proved: slots.proved.clone(),
            proved_at: slots.proved_at,
        })
    }

    /// All values in clear.
    pub(super) fn open(&self, owner: &Owner, key: &VaultKey) -> Result<Slots, VaultError> {
        Ok(Slots {
            version: self.version,
            current: self.reveal(owner, Slot::Current, key)?,
            pending: self.reveal(owner, Slot::Pending, key)?,
            previous: self.reveal(owner, Slot::Previous, key)?,
            proved: self.proved.clone(),
            proved_at: self.proved_at,
        })
    }

    /// One connector's path can't reach another's secret.
    pub(super) fn check(&self, owner: &Owner) -> Result<(), VaultError> {
        owner.is(&self.connector, self.role)
    }

    /// Everything but the values.
    pub(super) fn record(&self, owner: &Owner) -> SecretRecord {
        let record = |slot| self.slot(slot).map(|held| held.record.clone());
        SecretRecord {
            reference: owner.reference.clone(),
            connector: self.connector.clone(),
            role: self.role,
            version: self.version,
            current: record(Slot::Current),
            pending: record(Slot::Pending),
            previous: record(Slot::Previous),
            proved: self.proved.clone(),
            proved_at: self.proved_at,
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

    fn slot(&self, slot: Slot) -> Option<&Held> {
        match slot {
            Slot::Current => self.current.as_ref(),
            Slot::Pending => self.pending.as_ref(),
            Slot::Previous => self.previous.as_ref(),
        }
    }
}

fn held(
    owner: &Owner,
    slot: Slot,
    record: &SlotRecord,
    value: &SecretString,
    key: &VaultKey,
) -> Result<Held, VaultError> {
    let sealed = Sealed::seal(key, &place(owner, slot, record), value)
        .map_err(|error| explain(error, owner, slot))?;
    Ok(Held {
        record: record.clone(),
        sealed,
    })
}

/// Everything that must not be changed beside the value: a pending secret that is turned to
/// another connector or sign-in name would be sent to the wrong place.
fn place(owner: &Owner, slot: Slot, record: &SlotRecord) -> Vec<u8> {
    let (version, created) = (record.version.to_string(), record.created.to_string());
    let expires = record.expires.map(|at| at.to_string());
    let replaces = record.replaces.map(|version| format!("replaces {version}"));
    let mut parts = vec![
        owner.connector.as_str(),
        owner.role.as_str(),
        slot.as_str(),
        &version,
        &owner.reference,
        &created,
        record.label.as_deref().unwrap_or_default(),
        record.remote_ref.as_deref().unwrap_or_default(),
        record.username.as_deref().unwrap_or_default(),
    ];
    // Not there in files that were written before they were known.
    parts.extend(expires.as_deref());
    parts.extend(replaces.as_deref());
    associated_data(&parts)
}

fn explain(error: SealError, owner: &Owner, slot: Slot) -> VaultError {
    let message = match error {
        SealError::OtherKey => {
            return VaultError::OtherKey {
                reference: owner.reference.clone(),
                slot: slot.as_str(),
            };
        }
        SealError::Damaged => "it was changed, or moved here from elsewhere",
        SealError::Library => return VaultError::Crypto,
    };
    VaultError::Sealed {
        reference: owner.reference.clone(),
        slot: slot.as_str(),
        message: message.to_owned(),
    }
}
