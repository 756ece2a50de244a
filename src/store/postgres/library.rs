//! What is kept for reference: definitions that cases started with.
//!
//! A definition is never changed, since its digest names its content. Nothing deletes one.

use crate::domain::id::DefinitionDigest;
use crate::domain::time::Timestamp;
use crate::store::shape::micros;
use crate::store::{Stored, StoredDefinition};

use super::funnel::{Funnel, within};

pub(super) async fn save_definition(
    funnel: &Funnel,
    definition: &StoredDefinition,
    now: Timestamp,
) -> Stored<()> {
    let mut own = funnel.own("save_definition").await?;
    let saved = sqlx::query(
        "INSERT INTO definitions (digest, name, version, body, saved_us) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (digest) DO NOTHING",
    )
    .bind(definition.digest.as_str())
    .bind(&definition.name)
    .bind(definition.version.cast_signed())
    .bind(&definition.json)
    .bind(micros(now))
    .execute(&mut *own);
    let saved = within(async { Ok(saved.await?) }).await;
    own.ended(saved).map(drop)
}

pub(super) async fn definition(
    funnel: &Funnel,
    digest: &DefinitionDigest,
) -> Stored<Option<StoredDefinition>> {
    let mut own = funnel.own("definition").await?;
    let row = sqlx::query_as("SELECT name, version, body FROM definitions WHERE digest = $1")
        .bind(digest.as_str())
        .fetch_optional(&mut *own);
    let row = within(async { Ok(row.await?) }).await;
    let row: Option<(String, i32, String)> = own.ended(row)?;
    Ok(row.map(|(name, version, json)| StoredDefinition {
        digest: digest.clone(),
        name,
        version: version.cast_unsigned(),
        json,
    }))
}
