//! Where in the files a key stands, for words about what it names.
//!
//! Owns the lines of `clawback.toml` and the manifests by file and dotted key. The settings themselves keep
//! no lines; who tells of one afterwards (a secret that the vault lacks) asks here. Keeps no value, and what
//! cannot be read now has no line.

use std::collections::BTreeMap;

use super::{Settings, directory, environment};
use crate::document::Document;
use crate::domain::id::ConnectorName;

/// Lines by file and key.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<String, BTreeMap<String, u32>>);

impl Places {
    /// Of the files that these settings came from and name.
    pub fn read(settings: &Settings) -> Self {
        let mut places = Self::default();
        let file = settings.file.display().to_string();
        if let Ok(text) = std::fs::read_to_string(&settings.file) {
            let (text, _) = environment::fill(&file, &text, &environment::variable);
            places.note(&file, &text);
        }
        let folder = &settings.connectors;
        let (manifests, _) = directory::read(&folder.path, (&file, folder.line));
        for (file, text) in manifests {
            places.note(&file, &text);
        }
        places
    }

    fn note(&mut self, file: &str, text: &str) {
        if let Ok(document) = Document::parse(file, text) {
            self.0.insert(file.to_owned(), document.lines());
        }
    }

    /// The line of a key; `None` where it is not written.
    pub fn line(&self, file: &str, key: &str) -> Option<u32> {
        self.0.get(file)?.get(key).copied()
    }
}

/// The file in which a connector's manifest lies.
pub fn manifest_file(settings: &Settings, connector: &ConnectorName) -> String {
    let path = settings.connectors.path.join(format!("{connector}.toml"));
    path.display().to_string()
}
