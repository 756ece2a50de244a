//! The document that stands for one secret in a KV v2 mount.
//!
//! Owns its shape: whose secret it is, the slots with their values, and the count of changes. It is
//! read strictly: what Clawback did not write is not understood, and left alone. No message quotes it.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::id::ConnectorName;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;
use crate::secrets::VaultError;
use crate::secrets::slots::{Owner, Revealed, SlotRecord, Slots};

/// What the document's first field must say.
const FORMAT: &str = "clawback-secret-1";

/// One secret with all its slots, in clear: the server encrypts it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    format: String,
    connector: ConnectorName,
    role: CredentialRole,
    /// As the manifest writes it: a document that was copied elsewhere is not taken there.
    reference: String,
    /// Counts the changes.
    version: u64,
    #[serde(default)]
    current: Option<Held>,
    #[serde(default)]
    pending: Option<Held>,
    #[serde(default)]
    previous: Option<Held>,
    /// The last rotation that saw the target refuse the previous value, and when.
    #[serde(default)]
    proved: Option<String>,
    #[serde(default)]
    proved_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Held {
    #[serde(flatten)]
    record: SlotRecord,
    value: String,
}

impl Document {
    /// The slots of the document, if it is this owner's.
    ///
    /// # Errors
    /// `Document` when Clawback did not write it, `Foreign` when it is another's.
    pub(super) fn read(owner: &Owner, data: &Value) -> Result<Slots, VaultError> {
        let strange = |message: &str| VaultError::Document {
            reference: owner.reference.clone(),
            message: message.to_owned(),
        };
        // The library's own words may quote a value.
        let document = Self::deserialize(data).map_err(|_| strange("it has another shape"))?;
        if document.format != FORMAT {
            return Err(strange("it is of another format"));
        }
        owner.is(&document.connector, document.role)?;
        if document.reference != owner.reference {
            return Err(strange("it was written for another reference"));
        }
        Ok(Slots {
            version: document.version,
            current: document.current.map(revealed),
            pending: document.pending.map(revealed),
            previous: document.previous.map(revealed),
            proved: document.proved,
            proved_at: document.proved_at,
        })
    }

    /// The document of these slots.
    pub(super) fn write(owner: &Owner, slots: &Slots) -> Value {
        let document = Self {
            format: FORMAT.to_owned(),
            connector: owner.connector.clone(),
            role: owner.role,
            reference: owner.reference.clone(),
            version: slots.version,
            current: slots.current.as_ref().map(held),
            pending: slots.pending.as_ref().map(held),
            previous: slots.previous.as_ref().map(held),
            proved: slots.proved.clone(),
            proved_at: slots.proved_at,
        };
        // Texts, numbers and times only: such a document always has a form in JSON.
        serde_json::to_value(document).unwrap_or_default()
    }
}

fn revealed(held: Held) -> Revealed {
    Revealed {
        record: held.record,
        value: SecretString::from(held.value),
    }
}

fn held(revealed: &Revealed) -> Held {
    Held {
        record: revealed.record.clone(),
        value: revealed.value.expose_secret().to_owned(),
    }
}
