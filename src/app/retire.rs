//! What is owed of a retired connector's own access.
//!
//! Owns the condition: two people have stood for the retirement, so what binds is that there is no
//! such connector any more. Which secrets its last manifest declared, and how far the end of each has
//! come. The ending itself is the workers'. What the connector served goes to people by itself, for a
//! run without its connector has nowhere else to go.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::governance::Governance;
use super::parts::AppError;
use crate::connectors::Registry;
use crate::domain::id::ConnectorName;
use crate::domain::rotation::Trigger;
use crate::domain::run::{Run, RunBody};
use crate::domain::time::Clock;
use crate::domain::verdict::CredentialRole;
use crate::store::Store;

/// The credentials that a connector whose retirement binds signed in with; those without a secret
/// are not among them.
///
/// # Errors
/// When the retirement does not bind, or the last manifest cannot be read.
pub async fn owed(
    governance: &Governance,
    name: &ConnectorName,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<CredentialRole>, AppError> {
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
    let (registry, problems) = Registry::of_retired(&file, |_| None, clock);
    problems.or(Some(()))?;
    let connector = registry.get(name);
    let connector = connector.ok_or_else(|| AppError::NoConnector(name.clone()))?;
    let declared = connector.manifest().credentials.iter();
    let declared = declared.filter(|(_, declared)| declared.needs_secret());
    Ok(declared.map(|(role, _)| *role).collect())
}

/// The run of each credential that says most about it: one that goes on, else the latest.
///
/// # Errors
/// When the store fails.
pub async fn runs(
    store: &dyn Store,
    name: &ConnectorName,
) -> Result<BTreeMap<CredentialRole, Run>, AppError> {
    let mut runs: BTreeMap<CredentialRole, Run> = BTreeMap::new();
    // Newest first.
    for run in store.rotations(Some(name)).await? {
        let RunBody::Rotation(body) = &run.body else {
            continue;
        };
        let ending = matches!(body.trigger, Trigger::Retired { .. });
        let (role, open) = (body.role, !run.stage.ended());
        if open || (ending && !runs.contains_key(&role)) {
            runs.insert(role, run);
        }
    }
    Ok(runs)
}
