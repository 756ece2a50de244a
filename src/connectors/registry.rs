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
use super::manifest::{Manifest, upstream};
use super::probe::check_listed;
use super::written::{Draft, Written};
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

/// Reads manifests, given as file name and text.
///
/// # Errors
/// Every problem of every file.
pub fn drafts(files: &[(String, String)], clock: &Arc<dyn Clock>) -> Result<Vec<Draft>, Problems> {
    let mut problems = Problems::default();
    let mut drafts = Vec::new();
    let mut names = BTreeMap::new();
    for (file, text) in files {
        match read_among(file, text, clock, &mut names) {
            Ok(draft) => drafts.push(draft),
            Err(found) => problems.extend(found),
        }
    }
    // A file that could not be read would be missed for what it may well be.
    if problems.is_empty() {
        let known = drafts.iter().map(|draft| &draft.written.manifest.name);
        let known = known.collect();
        for (file, text) in files {
            problems.extend(upstream::check(file, text, &known));
        }
    }
    problems.or(Some(drafts))
}

/// Every problem of each manifest by itself, where others could not be read: what one says of another
/// cannot be judged then.
pub fn problems(files: &[(String, String)], clock: &Arc<dyn Clock>) -> Problems {
    let mut problems = Problems::default();
    let mut names = BTreeMap::new();
    for (file, text) in files {
        if let Err(found) = read_among(file, text, clock, &mut names) {
            problems.extend(found);
        }
    }
    problems
}

/// Reads one manifest.
///
/// # Errors
/// Every problem of it.
pub(super) fn read(file: &str, text: &str, clock: &Arc<dyn Clock>) -> Result<Draft, Problems> {
    read_among(file, text, clock, &mut BTreeMap::new())
}

fn read_among(
    file: &str,
    text: &str,
    clock: &Arc<dyn Clock>,
    names: &mut BTreeMap<ConnectorName, String>,
) -> Result<Draft, Problems> {
    let document = Document::parse(file, text)?;
    let root = document.root();
    let manifest = Manifest::read(&root);
    check_name(&root, file, &manifest, names);
    let connector = build(&root, &manifest, clock);
    root.finish();
    let found = document.take_problems();
    found.or(connector.map(|connector| Draft {
        written: Arc::new(Written::new(manifest, &document, text)),
        connector,
    }))
}

impl Draft {
    /// The connector behind a guard of its own manifest, under no approval.
    pub(super) fn guarded(&self, clock: &Arc<dyn Clock>) -> Guarded {
        self.guarded_within(self.written.manifest.clone(), clock)
    }

    /// The connector behind the guard of a manifest that permits no more than its own.
    pub(super) fn guarded_within(&self, manifest: Manifest, clock: &Arc<dyn Clock>) -> Guarded {
        Guarded::new(manifest, self.connector.clone(), clock.clone())
    }
}

impl Registry {
    /// Reads manifests, given as file name and text, and takes them as they are.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(files: &[(String, String)], clock: &Arc<dyn Clock>) -> Result<Self, Problems> {
        let drafts = drafts(files, clock)?;
        let guarded = drafts.iter().map(|draft| {
            let name = draft.written.manifest.name.clone();
            (name, Arc::new(draft.guarded(clock)))
        });
        Ok(Self::of(guarded))
    }

    /// Connectors that are behind their guards already.
    pub(super) fn of(connectors: impl Iterator<Item = (ConnectorName, Arc<Guarded>)>) -> Self {
        Self {
            connectors: connectors.collect(),
        }
    }

    /// The last manifests of connectors that were retired, each by itself: what one names or what is
    /// wrong with another does not matter any more. Those that cannot be read are left out, and told.
    /// Each goes on with the brakes and the pause of the guard that was there `before`.
    pub fn of_retired(
        files: &[(String, String)],
        before: impl Fn(&ConnectorName) -> Option<Arc<Guarded>>,
        clock: &Arc<dyn Clock>,
    ) -> (Self, Problems) {
        let mut registry = Self::default();
        let mut problems = Problems::default();
        for (file, text) in files {
            match read(file, text, clock) {
                Ok(draft) => {
                    let mut guarded = draft.guarded(clock);
                    let name = guarded.name().clone();
                    if let Some(before) = before(&name) {
                        guarded.inherit(&before);
                    }
                    registry.connectors.insert(name, Arc::new(guarded));
                }
                Err(found) => problems.extend(found),
            }
        }
        (registry, problems)
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
            let mut facts = guarded.manifest().facts();
            if guarded.mandate().barred.is_some() {
                // Still owed and found by every case, but nothing is begun for it.
                facts.rotation.clear();
            }
            (name.clone(), facts)
        };
        Estate {
            connectors: self.connectors.iter().map(facts).collect(),
            ..Estate::default()
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
    let mut credentials = manifest.credentials.values();
    if kind.name != "sql" && credentials.any(|one| one.lasts_seconds.is_some()) {
        root.report(
            root.line(),
            format!("`lasts_hours` is not for kind {}", kind.name),
            "leave it out; where the target itself ends a secret, its answer tells when",
        );
    }
    if ["scim", "ldap", "file"].contains(&kind.name) {
        check_listed(root, &manifest.probes);
    }
    let table = root.required_table(kind.name)?;
    (kind.build)(manifest, &table, clock)
}

#[cfg(test)]
mod tests;
