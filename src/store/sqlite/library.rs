//! What is kept for reference: definitions that cases started with, and inventories of targets.
//!
//! A definition is never changed, since its digest names its content; an inventory is replaced by a
//! newer complete listing only.

use crate::domain::id::{ConnectorName, DefinitionDigest};
use crate::domain::time::Timestamp;
use crate::store::shape::{corrupt, json, micros, parsed};
use crate::store::{Inventory, Stored, StoredDefinition};

use super::funnel::Funnel;

pub(super) async fn save_definition(
    funnel: &Funnel,
    definition: &StoredDefinition,
    now: Timestamp,
) -> Stored<()> {
    let mut writer = funnel.writer().await;
    sqlx::query(
        "INSERT INTO definitions (digest, name, version, body, saved_us) VALUES (?,?,?,?,?) \
         ON CONFLICT (digest) DO NOTHING",
    )
    .bind(definition.digest.as_str())
    .bind(&definition.name)
    .bind(definition.version)
    .bind(&definition.json)
    .bind(micros(now))
    .execute(writer.alone())
    .await?;
    Ok(())
}

pub(super) async fn definition(
    funnel: &Funnel,
    digest: &DefinitionDigest,
) -> Stored<Option<StoredDefinition>> {
    let mut reader = funnel.reader().await?;
    let row: Option<(String, u32, String)> =
        sqlx::query_as("SELECT name, version, body FROM definitions WHERE digest = ?")
            .bind(digest.as_str())
            .fetch_optional(&mut *reader)
            .await?;
    Ok(row.map(|(name, version, json)| StoredDefinition {
        digest: digest.clone(),
        name,
        version,
        json,
    }))
}

pub(super) async fn save_inventory(funnel: &Funnel, inventory: &Inventory) -> Stored<()> {
    let mut writer = funnel.writer().await;
    sqlx::query(
        "INSERT INTO inventories (connector, at_us, accounts) VALUES (?,?,?) \
         ON CONFLICT (connector) DO UPDATE SET at_us = excluded.at_us, \
         accounts = excluded.accounts WHERE excluded.at_us >= inventories.at_us",
    )
    .bind(inventory.connector.as_str())
    .bind(micros(inventory.at))
    .bind(json(&inventory.accounts)?)
    .execute(writer.alone())
    .await?;
    Ok(())
}

pub(super) async fn inventory(
    funnel: &Funnel,
    connector: &ConnectorName,
) -> Stored<Option<Inventory>> {
    let mut reader = funnel.reader().await?;
    let row: Option<(i64, String)> =
        sqlx::query_as("SELECT at_us, accounts FROM inventories WHERE connector = ?")
            .bind(connector.as_str())
            .fetch_optional(&mut *reader)
            .await?;
    row.map(|(at, accounts)| {
        Ok(Inventory {
            connector: connector.clone(),
            at: Timestamp::from_microsecond(at)
                .map_err(|error| corrupt("inventories", "at_us", connector, &error))?,
            accounts: parsed(&accounts, "inventories", "accounts", connector)?,
        })
    })
    .transpose()
}
