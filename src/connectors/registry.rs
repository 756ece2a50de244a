//! Which connectors there are.
//!
//! Owns the table of kinds (a new kind is one folder and one line here) and the loading of all
//! manifests with all their problems at once. A directory in which one manifest is wrong is refused
//! whole: a connector that silently is not there would leave its target out of every case.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::contract::Connector;
use super::guard::Guarded;
use super::manifest::Manifest;
use crate::document::{Document, Problems, Table};
use crate::domain::access::Operation;
use crate::domain::estate::Estate;
use crate::domain::id::ConnectorName;
use crate::domain::time::Clock;

/// One protocol.
struct Kind {
    /// As in `kind = "…"`; also the name of the kind's own table.
    name: &'static str,
    /// What the kind can do at all.
    can: &'static [Operation],
    /// Reads the kind's own table and makes the connector. Reports problems into the table and then
    /// returns `None`; calls `finish` on the table.
    build: Build,
}

type Build = fn(&Manifest, &Table<'_>, &Arc<dyn Clock>) -> Option<Arc<dyn Connector>>;

const KINDS: &[Kind] = &[
    Kind {
        name: "file",
        can: super::file::CAN,
        build: super::file::build,
    },
    Kind {
        name: "ldap",
        can: super::ldap::CAN,
        build: super::ldap::build,
    },
    Kind {
        name: "process",
        can: super::process::CAN,
        build: super::process::build,
    },
    Kind {
        name: "rest",
        can: super::rest::CAN,
        build: super::rest::build,
    },
    Kind {
        name: "scim",
        can: super::scim::CAN,
        build: super::scim::build,
    },
    Kind {
        name: "sql",
        can: super::sql::CAN,
        build: super::sql::build,
    },
];

/// All connectors by name, each behind its guard.
#[derive(Debug, Default)]
pub struct Registry {
    connectors: BTreeMap<ConnectorName, Arc<Guarded>>,
}

impl Registry {
    /// Reads manifests, given as file name and text.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(files: &[(String, String)], clock: &Arc<dyn Clock>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut parts = Vec::new();
        let mut names = BTreeMap::new();
        for (file, text) in files {
            let document = match Document::parse(file, text) {
                Ok(document) => document,
                Err(syntax) => {
                    problems.extend(syntax);
                    continue;
                }
            };
            let root = document.root();
            let manifest = Manifest::read(&root);
            check_name(&root, file, &manifest, &mut names);
            let connector = build(&root, &manifest, clock);
            root.finish();
            let found = document.take_problems();
            if let (Some(connector), true) = (connector, found.is_empty()) {
                parts.push((manifest, connector));
            }
            problems.extend(found);
        }
        problems.or(Some(()))?;
        Ok(Self::assemble(parts, clock))
    }

    /// Puts ready connectors behind their guards.
    pub fn assemble(parts: Vec<(Manifest, Arc<dyn Connector>)>, clock: &Arc<dyn Clock>) -> Self {
        let connectors = parts
            .into_iter()
            .map(|(manifest, connector)| {
                let name = manifest.name.clone();
                let guarded = Guarded::new(manifest, connector, Arc::clone(clock));
                (name, Arc::new(guarded))
            })
            .collect();
        Self { connectors }
    }

    /// The connector with this name.
    pub fn get(&self, name: &ConnectorName) -> Option<Arc<Guarded>> {
        self.connectors.get(name).cloned()
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &ConnectorName> {
        self.connectors.keys()
    }

    /// All connectors, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Guarded>> {
        self.connectors.values()
    }

    /// What the planner must know of them.
    pub fn estate(&self) -> Estate {
        let facts = |(name, guarded): (&ConnectorName, &Arc<Guarded>)| {
            (name.clone(), guarded.manifest().facts())
        };
        Estate {
            connectors: self.connectors.iter().map(facts).collect(),
            rotation: None,
        }
    }
}

/// The file is called as its connector, so that two files never claim one name.
fn check_name(
    root: &Table<'_>,
    file: &str,
    manifest: &Manifest,
    names: &mut BTreeMap<ConnectorName, String>,
) {
    let Some(item) = root.string("name") else {
        return;
    };
    let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str());
    if stem != Some(item.value.as_str()) {
        root.report(
            item.line,
            format!("`name` is `{}`", item.value),
            format!("call the file {}.toml", item.value),
        );
    }
    if let Some(other) = names.insert(manifest.name.clone(), file.to_owned()) {
        root.report(
            item.line,
            format!("{other} has the same `name`"),
            "give each connector a name of its own",
        );
    }
}

fn build(
    root: &Table<'_>,
    manifest: &Manifest,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn Connector>> {
    let written = root.string("kind")?;
    let Some(kind) = KINDS.iter().find(|kind| kind.name == written.value) else {
        let known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        root.report(
            written.line,
            format!("unknown kind `{}`", written.value),
            format!("use one of: {}", known.join(", ")),
        );
        return None;
    };
    let listed = root.strings("operations");
    for operation in &manifest.operations {
        if !kind.can.contains(operation) {
            let item = listed.iter().find(|item| item.value == operation.as_str());
            root.report(
                item.map_or(root.line(), |item| item.line),
                format!("kind {} cannot {}", kind.name, operation.as_str()),
                "remove the operation; a person does it through the fallback",
            );
        }
    }
    let table = root.required_table(kind.name)?;
    (kind.build)(manifest, &table, clock)
}

#[cfg(test)]
mod tests;
