//! Does a connector work: is its target there, and does it take our credentials?
//!
//! Owns `connectors check`: the smallest real work with each credential, all connectors side by side,
//! none waiting for another. Changes nothing at any target.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;

use crate::connectors::{Guarded, Registry};
use crate::domain::id::ConnectorName;
use crate::domain::outcome::Failure;
use crate::domain::verdict::CredentialRole;
use crate::secrets::{LocalVault, Secrets};

/// What came of trying one credential.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    /// Which connector.
    pub connector: ConnectorName,
    /// Which of its credentials.
    pub role: CredentialRole,
    /// Why it does not work; `None` when it does.
    pub failure: Option<Failure>,
}

/// Tries every credential of these connectors, or of all when none is named.
pub async fn connectors(
    registry: &Registry,
    vault: Arc<LocalVault>,
    only: Option<&ConnectorName>,
) -> Vec<Tried> {
    let secrets = &Secrets::new(vault);
    let chosen = registry
        .iter()
        .filter(|connector| only.is_none_or(|name| name == connector.name()));
    let tried = chosen.flat_map(|connector| {
        let roles = connector.manifest().credentials.keys();
        roles.map(move |role| one(connector, secrets, *role))
    });
    join_all(tried).await
}

async fn one(connector: &Guarded, secrets: &Secrets, role: CredentialRole) -> Tried {
    let result = match secrets.credential(connector.manifest(), role) {
        Ok(credential) => connector.try_credential(&credential).await,
        Err(failure) => Err(failure),
    };
    Tried {
        connector: connector.name().clone(),
        role,
        failure: result.err(),
    }
}
