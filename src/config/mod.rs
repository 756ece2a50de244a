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

use crate::connectors::{self, Registry};
use crate::definitions::{self, Library};
use crate::desks as desk_settings;
use crate::document::Problems;
use crate::domain::time::Clock;

pub use environment::variable;
pub use places::{Places, manifest_file};
use settings::Rest;
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
    /// Reads and checks everything. What is wrong with `clawback.toml` hides nothing of the files in the
    /// folders that it names, as far as it can be read which these are.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(file: &Path, clock: &Arc<dyn Clock>) -> Result<Self, Problems> {
        match Settings::load(file) {
            Ok(settings) => Self::complete(settings, clock),
            Err(mut problems) => {
                if let Some(rest) = Settings::rest(file, &problems) {
                    problems.extend(beyond(&rest, clock));
                }
                Err(problems.sorted())
            }
        }
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

/// Whether the file, be it right or not, wants lines of JSON.
pub fn tells_json(file: &Path) -> bool {
    Settings::rest(file, &Problems::default()).is_some_and(|rest| rest.telemetry.is_json())
}

/// The problems of manifests and workflow files, where `clawback.toml` has some of its own.
fn beyond(rest: &Rest, clock: &Arc<dyn Clock>) -> Problems {
    let mut problems = Problems::default();
    if let Some(folder) = &rest.connectors {
        let read = directory::read(&folder.path, (&rest.file, folder.line));
        let (_, found) = manifests_in(read, rest.desks.as_ref(), clock);
        problems.extend(found);
    }
    if let Some(folder) = &rest.workflows {
        let (files, unread) = directory::read(&folder.path, (&rest.file, folder.line));
        problems.extend(unread);
        keep(definitions::load(&files), &mut problems);
    }
    problems
}

/// The connectors that the settings name.
///
/// # Errors
/// Every problem of every manifest, and every desk in them that the settings do not name.
pub fn connectors(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Registry, Problems> {
    let (registry, problems) = manifests_in(read_manifests(settings), Some(&settings.desks), clock);
    problems.or(registry)
}

/// The connectors of a folder's files, as far as they are right, and every problem of them.
fn manifests_in(
    (files, unread): (Vec<(String, String)>, Problems),
    desks: Option<&desk_settings::Settings>,
    clock: &Arc<dyn Clock>,
) -> (Option<Registry>, Problems) {
    let mut problems = desks.map_or_else(Problems::default, |known| desks::unknown(&files, known));
    let registry = if unread.is_empty() {
        keep(Registry::load(&files, clock), &mut problems)
    } else {
        problems.extend(connectors::problems(&files, clock));
        None
    };
    problems.extend(unread);
    (registry, problems)
}

/// The manifests of the folder that the settings name, as file name and text.
///
/// # Errors
/// What of it cannot be read, and every desk in them that the settings do not name.
pub fn manifests(settings: &Settings) -> Result<Vec<(String, String)>, Problems> {
    let (files, mut problems) = read_manifests(settings);
    problems.extend(desks::unknown(&files, &settings.desks));
    problems.or(Some(files))
}

fn read_manifests(settings: &Settings) -> (Vec<(String, String)>, Problems) {
    let file = settings.file.display().to_string();
    let folder = &settings.connectors;
    directory::read(&folder.path, (&file, folder.line))
}

/// The workflows that the settings name, and the built-in ones.
///
/// # Errors
/// Every problem of every workflow file.
pub fn workflows(settings: &Settings) -> Result<Library, Problems> {
    let file = settings.file.display().to_string();
    let (files, mut problems) = match &settings.workflows {
        Some(folder) => directory::read(&folder.path, (&file, folder.line)),
        None => (Vec::new(), Problems::default()),
    };
    let library = keep(definitions::load(&files), &mut problems);
    problems.or(library)
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

#[cfg(test)]
mod tests;
