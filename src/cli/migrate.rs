//! `clawback migrate`: bring the database schema up to date.
//!
//! Owns the report of what was applied. Migrations go forward only, and workers refuse a schema that
//! does not fit them, so an upgrade is: stop, migrate, start.

use serde_json::json;

use super::context::Context;
use super::exit::Exit;
use crate::store;

/// Applies what is missing.
pub async fn run(context: &Context) -> anyhow::Result<Exit> {
    let store = store::open(&context.settings()?.store).await?;
    let applied = store.migrate().await?;
    context.output.data(&json!({ "applied": applied }), || {
        if applied.is_empty() {
            "the schema is up to date".to_owned()
        } else {
            format!("applied: {}", applied.join(", "))
        }
    })?;
    Ok(Exit::Done)
}
