//! The end of a retired connector's own access.
//!
//! Owns the condition: two people have stood for the retirement, so what binds is that there is no
//! such connector any more. The access is revoked as the last manifest that bound describes it. What
//! the connector served goes to people by itself, for a run without its connector has nowhere else to go.

use std::sync::Arc;

use super::governance::Governance;
use super::parts::AppError;
use crate::connectors::Registry;
use crate::domain::id::ConnectorName;
use crate::domain::time::Clock;
use crate::secrets::{Revoked, Secrets, Vault};

/// Revokes the own access of a connector whose retirement binds.
///
/// # Errors
/// When the retirement does not bind, or the last manifest cannot be read.
pub async fn retire(
    governance: &Governance,
    vault: Arc<dyn Vault>,
    name: &ConnectorName,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Revoked>, AppError> {
    let past = governance.history(name).await?;
    let retired = past.bindings.last();
    if retired.is_none_or(|binding| !binding.content.text.is_empty()) {
        return Err(AppError::StillServes(name.clone()));
    }
    let mut before = past.bindings.iter().rev();
    let last = before.find(|binding| !binding.content.text.is_empty());
    let Some(last) = last else {
        return Err(AppError::NoConnector(name.clone()));
    };
    let file = [(format!("{name}.toml"), last.content.text.clone())];
    let registry = Registry::load(&file, clock)?;
    let connector = registry
        .get(name)
        .ok_or_else(|| AppError::NoConnector(name.clone()))?;
    Ok(Secrets::new(vault).revoke(&connector).await)
}
