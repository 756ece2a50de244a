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
    sqlx::query(
        "INSERT INTO definitions (digest, name, version, body, saved_us) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (digest) DO NOTHING",
    )
    .bind(definition.digest.as_str())
    .bind(&definition.name)
    .bind(definition.version.cast_signed())
    .bind(&definition.json)
    .bind(micros(now))
    .execute(funnel.pool())
    .await?;
    Ok(())
}

pub(super) async fn definition(
    funnel: &Funnel,
    digest: &DefinitionDigest,
) -> Stored<Option<StoredDefinition>> {
    let row: Option<(String, i32, String)> =
        sqlx::query_as("SELECT name, version, body FROM definitions WHERE digest = $1")
            .bind(digest.as_str())
            .fetch_optional(funnel.pool())
            .await?;
    Ok(row.map(|(name, version, json)| StoredDefinition {
        digest: digest.clone(),
        name,
        version: version.cast_unsigned(),
        json,
    }))
}

pub(super) async fn save_inventory(funnel: &Funnel, inventory: &Inventory) -> Stored<()> {
    sqlx::query(
        "INSERT INTO inventories (connector, at_us, accounts) VALUES ($1, $2, $3) \
         ON CONFLICT (connector) DO UPDATE SET at_us = excluded.at_us, \
         accounts = excluded.accounts WHERE excluded.at_us >= inventories.at_us",
    )
    .bind(inventory.connector.as_str())
    .bind(micros(inventory.at))
    .bind(json(&inventory.accounts)?)
    .execute(funnel.pool())
    .await?;
    Ok(())
}

pub(super) async fn inventory(
    funnel: &Funnel,
    connector: &ConnectorName,
) -> Stored<Option<Inventory>> {
    let row: Option<(i64, String)> =
        sqlx::query_as("SELECT at_us, accounts FROM inventories WHERE connector = $1")
            .bind(connector.as_str())
            .fetch_optional(funnel.pool())
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
