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
