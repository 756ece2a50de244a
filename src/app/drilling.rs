//! Doing without a drill: two people for it, and never for ever.
//!
//! Owns the operators' side of the override: it names exactly the manifest in force, so another one
//! needs another override. Begins no drill; that is a wish that a worker carries out.

use std::sync::Arc;

use crate::connectors::matter as manifest_of;
use crate::domain::approval::{
    self, Content, Disapproval, Matter, MatterKind, Record, Ruling, Signed,
};
use crate::domain::id::{ConnectorName, ContentDigest};
use crate::domain::time::Timestamp;
use crate::store::Store;

use super::AppError;

/// What an override says; its digest names what it is about.
const TEXT: &str = "serves events although it has passed no drill";

/// Overrides, for one command.
#[derive(Debug)]
pub struct Drilling {
    store: Arc<dyn Store>,
}

impl Drilling {
    /// Over this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Proposes that the manifest in force serves without a drill until then.
    ///
    /// # Errors
    /// When the store fails, nothing is in force, or it is so already.
    pub async fn propose(
        &self,
        connector: &ConnectorName,
        until: Timestamp,
        signed: &Signed,
    ) -> Result<Ruling, AppError> {
        let digest = self.in_force(connector).await?;
        let matter = matter(connector);
        self.rule(&matter, |record| {
            let content = Content {
                digest: digest.clone(),
                text: TEXT.to_owned(),
            };
            approval::propose(record, &matter, content, until, signed.clone())
        })
        .await
    }

    /// Approves what somebody else proposed, if it is about what is in force now.
    ///
    /// # Errors
    /// When the store fails, or it is refused.
    pub async fn approve(
        &self,
        connector: &ConnectorName,
        signed: &Signed,
    ) -> Result<Ruling, AppError> {
        let digest = self.in_force(connector).await?;
        let matter = matter(connector);
        self.rule(&matter, |record| {
            approval::approve(record, &matter, &digest, signed.clone())
        })
        .await
    }

    /// Turns it down, or takes it back.
    ///
    /// # Errors
    /// When the store fails, or nothing is proposed.
    pub async fn reject(
        &self,
        connector: &ConnectorName,
        signed: &Signed,
    ) -> Result<Ruling, AppError> {
        let matter = matter(connector);
        let ruled = self
            .rule(&matter, |record| {
                approval::reject(record, &matter, signed.clone())
            })
            .await;
        if let Err(AppError::Disapproved(Disapproval::NothingOpen(_))) = &ruled {
            // A name that nobody knows has nothing that could be proposed.
            self.in_force(connector).await?;
        }
        ruled
    }

    async fn in_force(&self, connector: &ConnectorName) -> Result<ContentDigest, AppError> {
        let mut records = self.store.records(MatterKind::Manifest).await?;
        let record = records.remove(&manifest_of(connector)).unwrap_or_default();
        let bound = record.in_force.filter(|one| !one.content.text.is_empty());
        let bound = bound.ok_or_else(|| AppError::NoConnector(connector.clone()))?;
        Ok(bound.content.digest)
    }

    async fn rule(
        &self,
        matter: &Matter,
        decide: impl Fn(&Record) -> Result<Ruling, Disapproval> + Send + Sync,
    ) -> Result<Ruling, AppError> {
        Ok(self.store.rule(matter, &decide).await??)
    }
}

fn matter(connector: &ConnectorName) -> Matter {
    Matter {
        kind: MatterKind::DrillOverride,
        name: connector.to_string(),
    }
}
