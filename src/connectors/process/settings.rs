//! The `[process]` table of a manifest: which program speaks for the target.
//!
//! Owns its checks at load; every fault is reported with its line. Starts nothing: whether the
//! program is there is seen with each call. The program's own options are handed on unread.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::connectors::Manifest;
use crate::document::{Item, Table};
use crate::domain::id::ConnectorName;

/// How the program is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The connector, as the program is told.
    pub connector: ConnectorName,
    /// The program, an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it is started.
    pub directory: PathBuf,
    /// Its whole environment; nothing is inherited.
    pub environment: BTreeMap<String, String>,
    /// What it is told of the target with each call; holds no secret.
    pub options: serde_json::Value,
    /// Most bytes that it may say in one call.
    pub max_output_bytes: u64,
    /// Attributes that every account must have.
    pub fields: Vec<String>,
}

impl Settings {
    /// Reads the table; problems go into the document.
    pub fn read(table: &Table<'_>, manifest: &Manifest) -> Option<Self> {
        let command = table.strings("command");
        let program = command.first().and_then(|item| program(table, item));
        if command.is_empty() {
            table.report(
                table.line(),
                "`command` is missing",
                "name the program by its absolute path, then its arguments",
            );
        }
        let directory = match table.string("directory") {
            Some(item) => absolute(&item).or_else(|| {
                table.report(
                    item.line,
                    "`directory` is not an absolute path",
                    "write the whole path from `/`, without `..`",
                );
                None
            }),
            None => Some(PathBuf::from("/")),
        };
        let options = table.json("options");
        if let Some(item) = &options
            && !item.value.is_object()
        {
            table.report(
                item.line,
                "`options` is no table",
                "write [process.options]",
            );
        }
        let max_output_bytes = table
            .integer("max_output_bytes", 1024..=1 << 32)
            .map_or(64 << 20, |item| item.value.unsigned_abs());
        let environment = environment(table);
        table.finish();
        Some(Self {
            connector: manifest.name.clone(),
            program: program?,
            arguments: command.into_iter().skip(1).map(|item| item.value).collect(),
            directory: directory?,
            environment: environment?,
            options: options.map_or_else(|| serde_json::json!({}), |item| item.value),
            max_output_bytes,
            fields: manifest.expect.fields.clone(),
        })
    }
}

fn program(table: &Table<'_>, item: &Item<String>) -> Option<PathBuf> {
    let path = absolute(item).filter(|path| path.file_name().is_some());
    if path.is_none() {
        table.report(
            item.line,
            format!("`command` begins with `{}`", item.value),
            "name the program by its absolute path: no search path is looked through",
        );
    }
    path
}

fn absolute(item: &Item<String>) -> Option<PathBuf> {
    let path = Path::new(&item.value);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    (path.is_absolute() && plain).then(|| path.to_owned())
}

/// What the program finds in its environment: what the manifest names, and a neutral locale.
fn environment(table: &Table<'_>) -> Option<BTreeMap<String, String>> {
    let mut all = BTreeMap::from([("LC_ALL".to_owned(), "C.UTF-8".to_owned())]);
    let Some(named) = table.table("environment") else {
        return Some(all);
    };
    let mut sound = true;
    for key in named.keys() {
        let letters = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        // The loader's own variables change which code runs, past the path that was approved.
        if !key.value.chars().all(letters) || key.value.starts_with("LD_") {
            sound = false;
            named.report(
                key.line,
                format!("`{}` may not be set", key.value),
                "use upper-case letters, digits and `_`, and no variable of the loader (LD_…)",
            );
            continue;
        }
        match named.string(&key.value) {
            Some(item) => {
                all.insert(key.value, item.value);
            }
            None => sound = false,
        }
    }
    named.finish();
    sound.then_some(all)
}
