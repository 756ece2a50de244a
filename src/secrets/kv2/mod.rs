//! Vault's KV secrets engine, version 2, as the vault: HashiCorp Vault, OpenBao and their like.
//!
//! Owns one document for each secret, with all its slots, so that every move is one check-and-set
//! write: KV v2 has versions but no labels, so the labels lie inside. A write whose answer was lost is
//! settled by looking at what is there. Sign-in and transport are beside it. Keeps no secret.

mod client;
mod document;
mod settings;
mod token;

use std::sync::Arc;

use async_trait::async_trait;

use self::client::{Client, Kept, Write};
use self::document::Document;
use super::slots::{Change, Owner, Revealed, SecretRecord, Slot, Slots};
use super::{Vault, VaultError};
use crate::domain::time::Clock;

pub(super) use settings::source;
pub use settings::{ServerSettings, SignIn};

/// Rounds of read and check-and-set write, before others are said to be in the way.
const ROUNDS: u32 = 5;

/// A KV v2 mount.
#[derive(Debug)]
pub struct Kv2Vault {
    client: Client,
}

impl Kv2Vault {
    /// Over this server. `secret` is the token, or the secret id of the AppRole. Asks nothing yet.
    ///
    /// # Errors
    /// When the authority's file cannot be read, or no client can be made.
    pub fn new(
        settings: &ServerSettings,
        secret: secrecy::SecretString,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VaultError> {
        Ok(Self {
            client: Client::new(settings, secret, clock)?,
        })
    }

    async fn look(&self, owner: &Owner) -> Result<(Kept, Option<Slots>), VaultError> {
        let kept = self.client.read(name(owner)?).await?;
        let slots = match &kept.data {
            Some(data) => Some(Document::read(owner, data)?),
            None => None,
        };
        Ok((kept, slots))
    }
}

#[async_trait]
impl Vault for Kv2Vault {
    async fn record(&self, owner: &Owner) -> Result<Option<SecretRecord>, VaultError> {
        let (_, slots) = self.look(owner).await?;
        Ok(slots.map(|slots| slots.record(owner)))
    }

    async fn reveal(&self, owner: &Owner, slot: Slot) -> Result<Option<Revealed>, VaultError> {
        let (_, slots) = self.look(owner).await?;
        Ok(slots.and_then(|slots| slots.slot(slot).cloned()))
    }

    async fn change(&self, owner: &Owner, change: Change) -> Result<u64, VaultError> {
        let mut expected = None;
        let mut lost = None;
        for _ in 0..ROUNDS {
            let (kept, slots) = match self.look(owner).await {
                Ok(seen) => seen,
                // What was sent before may have arrived: that must not be forgotten.
                Err(error) => return Err(lost.unwrap_or(error)),
            };
            if let Some((version, document)) = &expected
                && kept.version == *version
                && kept.data.as_ref() == Some(document)
            {
                return Ok(slots.map_or(0, |slots| slots.version));
            }
            let mut slots = slots.unwrap_or_default();
            let before = slots.version;
            let version = slots.apply(owner, &change)?;
            if version == before {
                return Ok(version);
            }
            let document = Document::write(owner, &slots);
            match self
                .client
                .write(name(owner)?, kept.version, &document)
                .await
            {
                Ok(Write::Done) => return Ok(version),
                // Somebody was faster, or our own write arrived although its answer did not.
                Ok(Write::Conflict) => {}
                Err(error @ VaultError::Away { sent: true, .. }) => lost = Some(error),
                Err(error) => return Err(lost.unwrap_or(error)),
            }
            expected = Some((kept.version + 1, document));
        }
        Err(lost.unwrap_or_else(|| VaultError::Contended {
            reference: owner.reference.clone(),
        }))
    }

    async fn remove(&self, owner: &Owner) -> Result<bool, VaultError> {
        let (_, slots) = self.look(owner).await?;
        if slots.is_none() {
            return Ok(false);
        }
        self.client.delete(name(owner)?).await?;
        Ok(true)
    }

    async fn probe(&self, owner: &Owner) -> Result<(), VaultError> {
        // A write of what is there would cost a version of the document's history each time; what
        // the token may do is told without one.
        let (_, _) = self.look(owner).await?;
        self.client.may_write(name(owner)?).await
    }
}

/// The name in a reference of the form `kv:<name>`.
fn name(owner: &Owner) -> Result<&str, VaultError> {
    let found = owner.reference.strip_prefix("kv:");
    let plain = |name: &&str| {
        let mut parts = name.split('/');
        parts.all(|part| !matches!(part, "" | "." | ".."))
    };
    found.filter(plain).ok_or_else(|| VaultError::Reference {
        reference: owner.reference.clone(),
        form: "kv:<name>",
    })
}

#[cfg(test)]
mod tests;
