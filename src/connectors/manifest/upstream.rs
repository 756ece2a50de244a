//! The table `[upstream]` of a manifest: what elsewhere gives access to this target.
//!
//! Owns its reading, and the check over all manifests that the other connector is there. When it is
//! cut is said by the workflow, what may be written there by the other connector's own manifest.

use std::collections::BTreeSet;

use crate::document::{Document, Problems, Table};
use crate::domain::estate::Upstream;
use crate::domain::id::ConnectorName;

use super::text;

/// Reads `[upstream]`.
pub(super) fn read(root: &Table<'_>, name: Option<&ConnectorName>) -> Option<Upstream> {
    let table = root.table("upstream")?;
    let connector = text(&table, "connector");
    let entitlement = text(&table, "entitlement");
    table.finish();
    let connector = connector?;
    if name.is_some_and(|name| name.as_str() == connector.value) {
        table.report(
            connector.line,
            "a connector is its own upstream",
            "name the connector of the identity provider, directory or gate before this target",
        );
    }
    Some(Upstream {
        connector: ConnectorName(connector.value),
        entitlement: entitlement?.value,
    })
}

/// Every `[upstream]` names a connector among `known`.
pub(in crate::connectors) fn check(
    file: &str,
    text: &str,
    known: &BTreeSet<&ConnectorName>,
) -> Problems {
    let Ok(document) = Document::parse(file, text) else {
        return Problems::default();
    };
    let root = document.root();
    if let Some(named) = root
        .table("upstream")
        .and_then(|table| table.string("connector"))
        && !known.contains(&ConnectorName(named.value.clone()))
    {
        document.report(
            named.line,
            format!(
                "`upstream.connector` names `{}`, and there is no such manifest",
                named.value
            ),
            "correct the name, or add the manifest",
        );
    }
    document.take_problems()
}
