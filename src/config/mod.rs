//! The configuration of one program, checked whole before anything starts.
//!
//! Owns the composition: `clawback.toml`, the manifests and the workflow files, read in one go, so
//! that every problem of every file is told at once with file and line. The environment is read here
//! and nowhere else. Starts nothing, opens no connection.

mod desks;
mod directory;
mod environment;
mod places;
mod prompt;
mod settings;

use std::path::Path;
use std::sync::Arc;

use crate::connectors::Registry;
use crate::definitions::{self, Library};
use crate::document::Problems;
use crate::domain::time::Clock;

pub use environment::variable;
pub use places::{Places, manifest_file};
pub use settings::{DEFAULT_FILE, Folder, Settings};

/// Everything that a worker is started with.
#[derive(Debug)]
pub struct Config {
    /// What `clawback.toml` says.
    pub settings: Settings,
    /// The connectors that the manifests declare.
    pub connectors: Registry,
    /// The workflows, proved.
    pub workflows: Library,
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(file: &Path, clock: &Arc<dyn Clock>) -> Result<Self, Problems> {
        let settings = Settings::load(file)?;
        Self::complete(settings, clock)
    }

    /// Reads and checks what the settings name.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn complete(settings: Settings, clock: &Arc<dyn Clock>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let connectors = keep(connectors(&settings, clock), &mut problems);
        let workflows = keep(workflows(&settings), &mut problems);
        problems.or(connectors
            .zip(workflows)
            .map(|(connectors, workflows)| Self {
                settings,
                connectors,
                workflows,
            }))
    }
}

/// The connectors that the settings name.
///
/// # Errors
/// Every problem of every manifest.
pub fn connectors(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Registry, Problems> {
    Registry::load(&manifests(settings)?, clock)
}

/// The manifests of the folder that the settings name, as file name and text.
///
/// # Errors
/// What of it cannot be read, and every desk in them that the settings do not name.
pub fn manifests(settings: &Settings) -> Result<Vec<(String, String)>, Problems> {
    let file = settings.file.display().to_string();
    let folder = &settings.connectors;
    let files = directory::read(&folder.path, (&file, folder.line))?;
    desks::unknown(&files, &settings.desks).or(Some(files))
}

/// The workflows that the settings name, and the built-in ones.
///
/// # Errors
/// Every problem of every workflow file.
pub fn workflows(settings: &Settings) -> Result<Library, Problems> {
    let file = settings.file.display().to_string();
    let files = match &settings.workflows {
        Some(folder) => directory::read(&folder.path, (&file, folder.line))?,
        None => Vec::new(),
    };
    definitions::load(&files)
}

fn keep<T>(result: Result<T, Problems>, problems: &mut Problems) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(found) => {
            problems.extend(found);
            None
        }
    }
}
