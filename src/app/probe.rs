//! What a connector may do, and whether it works: is its target there, does it take our credentials?
//!
//! Owns the manifest as operators are shown it, and `connectors check`: the smallest real work with
//! each credential, all connectors side by side, none waiting for another. Changes nothing at any
//! target; shows references to secrets, never values.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};

use crate::connectors::{Guarded, Manifest, Registry};
use crate::domain::access::Operation;
use crate::domain::id::ConnectorName;
use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;
use crate::secrets::{Secrets, Vault};

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
    vault: Arc<dyn Vault>,
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

/// What every manifest declares, in order of the connectors' names.
pub fn declared(registry: &Registry) -> Vec<Value> {
    registry
        .iter()
        .map(|connector| as_json(connector.manifest()))
        .collect()
}

fn as_json(manifest: &Manifest) -> Value {
    let operations = manifest.operations.iter();
    let operations: Vec<_> = operations.map(|operation| operation.as_str()).collect();
    let allowed =
        Operation::ALL.map(|operation| (operation.as_str(), allowed(manifest, operation)));
    let credentials = manifest.credentials.iter().map(|(role, declared)| {
        let declared = json!({
            "secret": declared.secret,
            "username": declared.username,
            "max_age_seconds": declared.max_age_seconds,
            "rotation": declared.rotation,
        });
        (role.as_str(), declared)
    });
    json!({
        "name": manifest.name,
        "kind": manifest.kind,
        "purpose": manifest.purpose,
        "owner": manifest.owner,
        "deputy": manifest.deputy,
        "review_by": manifest.review_by.to_string(),
        "privileged": manifest.privileged,
        "after_removal": manifest.after_removal,
        "operations": operations,
        "allowed": BTreeMap::from(allowed),
        "writes": manifest.writes,
        "credentials": credentials.collect::<BTreeMap<_, _>>(),
        "desk": manifest.fallback.desk,
    })
}

fn allowed(manifest: &Manifest, operation: Operation) -> String {
    if manifest.operations.contains(&operation) {
        "yes".to_owned()
    } else if let Some(why) = manifest.without.get(&operation) {
        format!("not needed: {why}")
    } else {
        "no: a person does it".to_owned()
    }
}

async fn one(connector: &Guarded, secrets: &Secrets, role: CredentialRole) -> Tried {
    let result = match secrets.credential(connector.manifest(), role).await {
        Ok(credential) => connector.try_credential(&credential).await,
        Err(failure) => Err(failure),
    };
    Tried {
        connector: connector.name().clone(),
        role,
        failure: result.err(),
    }
}

/// Connectors whose review was due before today (UTC).
pub fn overdue(connectors: &Registry, now: Timestamp) -> Vec<String> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let connectors: Vec<_> = connectors.iter().collect();
    let manifests = connectors.iter().map(|connector| connector.manifest());
    let late = manifests.filter(|manifest| manifest.review_by < today);
    let told = late.map(|manifest| {
        let (name, day) = (&manifest.name, manifest.review_by);
        format!(
            "the review of {name} was due by {day}: no approval of its file lasts longer; review it, \
             give it a later `review_by` and have it approved"
        )
    });
    told.collect()
}

/// What manifests leave without a bound: lists that are believed whatever their length, secrets that may
/// become of any age.
pub fn unbounded(connectors: &Registry) -> Vec<String> {
    let mut told = Vec::new();
    for connector in connectors.iter() {
        let manifest = connector.manifest();
        let (name, expect) = (&manifest.name, &manifest.expect);
        if expect.accounts_min <= 1 && expect.change_at_most_percent.is_none() {
            told.push(format!(
                "{name} believes a list of any length: set `expect.accounts_min` near what there is, or \
                 `change_at_most_percent`"
            ));
        }
        let secrets = manifest.credentials.iter();
        let ageless = secrets.filter(|(_, declared)| {
            declared.needs_secret()
                && declared.max_age_seconds.is_none()
                && declared.lasts_seconds.is_none()
        });
        told.extend(ageless.map(|(role, _)| {
            let role = role.as_str();
            format!("the {role} secret of {name} may become of any age: set `max_age_days`")
        }));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::wall;

    #[test]
    fn c3_what_a_manifest_leaves_without_a_bound_is_told() {
        let bounds = "accounts_min = 3";
        let text = include_str!("../demo/manifests/wiki.toml").replace("{path}", "/nowhere");
        assert!(text.contains(bounds));
        let told = |text: &str| {
            let files = [("wiki.toml".to_owned(), text.to_owned())];
            unbounded(&Registry::load(&files, &wall::clock()).expect("is read"))
        };
        assert_eq!(
            told(&text),
            [""; 0],
            "its secrets are rights of the process"
        );
        let told = told(&text.replace(bounds, "accounts_min = 1"));
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("any length"), "{told:?}");
    }

    #[test]
    fn a_review_date_that_is_over_is_told() {
        let text = include_str!("../demo/manifests/wiki.toml");
        let text = text.replace("2099-12-31", "2026-11-20");
        let text = text.replace("{path}", "/nowhere/htpasswd");
        let files = [("wiki.toml".to_owned(), text)];
        let connectors = Registry::load(&files, &wall::clock()).expect("is read");
        let at = |instant: &str| overdue(&connectors, instant.parse().expect("an instant"));
        assert!(at("2026-11-20T23:59:59Z").is_empty(), "its last day");
        let told = at("2026-11-21T00:00:00Z");
        assert!(told[0].contains("wiki was due by 2026-11-20"), "{told:?}");
    }
}
