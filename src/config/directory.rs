//! Folders of TOML files: manifests and workflow files.
//!
//! Owns reading them in a fixed order and saying what could not be read. A folder that cannot be
//! read is a problem, never an empty folder: a connector that silently is not there would leave its
//! target out of every case.

use std::path::Path;

use crate::document::{Problem, Problems};

/// Every `*.toml` in a folder that can be read, as name and text, sorted by name; and what of it cannot
/// be. The folder is blamed at `place`, the file and line that name it.
pub fn read(folder: &Path, place: (&str, u32)) -> (Vec<(String, String)>, Problems) {
    let blame = |file: &str, line: u32, what: String| Problem {
        file: file.to_owned(),
        line,
        message: what,
        remedy: "correct the path or the permissions".to_owned(),
    };
    let mut problems = Problems::default();
    let mut files = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let what = format!("cannot read the folder {}: {error}", folder.display());
            problems.0.push(blame(place.0, place.1, what));
            return (files, problems);
        }
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                let what = format!("cannot read the folder {}: {error}", folder.display());
                problems.0.push(blame(place.0, place.1, what));
                continue;
            }
        };
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => files.push((name, text)),
            Err(error) => {
                let what = format!("cannot read the file: {error}");
                problems.0.push(blame(&name, 1, what));
            }
        }
    }
    files.sort();
    (files, problems)
}
