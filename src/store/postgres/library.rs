//! What is kept for reference: definitions that cases started with.
//!
//! A definition is never changed, since its digest names its content. Nothing deletes one.

use crate::domain::id::DefinitionDigest;
use crate::domain::time::Timestamp;
use crate::store::shape::micros;
use crate::store::{Stored, StoredDefinition};

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
