//! `clawback.toml`: one table for each room that has settings.
//!
//! Owns the order of the tables and the meaning of relative paths (relative to the file, not to
//! where the program was started). Each room reads its own table; this file only hands it over.
//! All problems at once.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::{environment, prompt};
use crate::document::{Document, Problem, Problems, Table};
use crate::secrets::{self, KeySource, Place, VaultError};
use crate::{console, desks, engine, intake, store, telemetry};

/// The file's name where none is given.
pub const DEFAULT_FILE: &str = "clawback.toml";

/// What `clawback.toml` says; folders are named, not yet read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file.
    pub file: PathBuf,
    /// `[store]`.
    pub store: store::Settings,
    /// `[vault]`.
    pub vault: secrets::Settings,
    /// `[audit]`.
    pub audit: store::AuditSettings,
    /// `[telemetry]`.
    pub telemetry: telemetry::Settings,
    /// `[console]`.
    pub console: console::Settings,
    /// `[connectors]`.
    pub connectors: Folder,
    /// Whether a manifest binds only when two people stand for it.
    pub governed: bool,
    /// `[desks]`.
    pub desks: desks::Settings,
    /// Whether a manifest in force serves events only after a drill.
    pub drilled: bool,
    /// `[engine]`, and within it `[tasks]`, `[protected]` and `[brakes]`.
    pub engine: engine::Settings,
    /// `[kafka]`; none means that this process reads and publishes nothing.
    pub kafka: Option<intake::Settings>,
    /// `[workflows]`; none means that only the built-in workflows are used.
    pub workflows: Option<Folder>,
}

/// A folder and the line that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// The line in `clawback.toml`.
    pub line: u32,
}

/// What can be read of a file that has problems, for the sake of the other files.
#[derive(Debug)]
pub(super) struct Rest {
    /// The file.
    pub file: String,
    /// The folder of the manifests; `None` where it is not known.
    pub connectors: Option<Folder>,
    /// The folder of the workflow files; `None` where there is none, or it is not known.
    pub workflows: Option<Folder>,
    /// The desks; `None` where their tables may be cut short.
    pub desks: Option<desks::Settings>,
    /// How the program tells about itself.
    pub telemetry: telemetry::Settings,
}

impl Settings {
    /// What of a file that has these `problems` says where the other files are. A line with a problem
    /// names no folder: whatever is found there is not what was meant.
    pub(super) fn rest(file: &Path, problems: &Problems) -> Option<Rest> {
        let text = std::fs::read_to_string(file).ok()?;
        let name = file.display().to_string();
        let (text, _) = environment::fill(&name, &text, &environment::variable);
        let (document, syntax) = Document::parse_in_part(&name, &text);
        let root = document.root();
        let beside = file.parent().unwrap_or(Path::new(""));
        let is_right = |folder: &Folder| problems.0.iter().all(|one| one.line != folder.line);
        let named = |key: &str| {
            let found = root.table(key).and_then(|table| directory(&table, beside));
            found.filter(is_right)
        };
        let is_whole = syntax.is_empty();
        let connectors = if root.has("connectors") || !is_whole {
            named("connectors")
        } else {
            Some(connectors(&root, beside).0)
        };
        Some(Rest {
            connectors,
            workflows: named("workflows"),
            telemetry: room(&root, "telemetry", telemetry::Settings::read).unwrap_or_default(),
            desks: is_whole.then(|| room(&root, "desks", desks::read).unwrap_or_default()),
            file: name,
        })
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn load(file: &Path) -> Result<Self, Problems> {
        match std::fs::read_to_string(file) {
            Ok(text) => Self::read(file, &text, &environment::variable),
            Err(error) => Err(Problems(vec![Problem {
                file: file.display().to_string(),
                line: 1,
                message: format!("cannot read the file: {error}"),
                remedy: "name another with --config, or begin with deploy/clawback.sample.toml"
                    .to_owned(),
            }])),
        }
    }

    /// Reads its text.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn read(
        file: &Path,
        text: &str,
        look_up: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let name = file.display().to_string();
        let (text, mut problems) = environment::fill(&name, text, look_up);
        let document = match Document::parse(&name, &text) {
            Ok(document) => document,
            Err(syntax) => {
                problems.extend(syntax);
                return problems.or(None);
            }
        };
        let settings = compose(file, &document.root());
        problems.extend(document.take_problems());
        problems.or(Some(settings))
    }

    /// The vault's key, token or secret id, from where the settings say that it is.
    ///
    /// # Errors
    /// When it is not there, others may read its file, or there is no terminal to ask at.
    pub fn vault_secret(source: &KeySource) -> Result<SecretString, VaultError> {
        match source {
            KeySource::File(path) => secrets::read_private(path),
            KeySource::Environment(name) => match environment::variable(name) {
                Some(text) => Ok(SecretString::from(text.trim())),
                None => Err(VaultError::Key(format!(
                    "the environment variable `{name}` is not set"
                ))),
            },
            KeySource::Prompt => prompt::ask("the vault's key (it is not shown): ")
                .map_err(|error| VaultError::Key(format!("it can't be asked for: {error}"))),
        }
    }
}

fn compose(file: &Path, root: &Table<'_>) -> Settings {
    let beside = file.parent().unwrap_or(Path::new(""));
    let mut store = room(root, "store", store::Settings::read).unwrap_or_default();
    store.url = store_beside(&store.url, beside);
    let mut vault = room(root, "vault", secrets::Settings::read).unwrap_or_default();
    let key = match &mut vault.place {
        Place::Local { path, key } => {
            *path = beside.join(&path);
            key
        }
        Place::Server(server) => {
            server.ca_file = server.ca_file.as_ref().map(|path| beside.join(path));
            server.sign_in.source_mut()
        }
    };
    if let KeySource::File(path) = key {
        *path = beside.join(&path);
    }
    let (connectors, governed, drilled) = connectors(root, beside);
    let workflows = folder(root, "workflows", beside);
    let mut engine = room(root, "engine", engine::Settings::read).unwrap_or_default();
    engine.people = room(root, "tasks", engine::read_people).unwrap_or_default();
    engine.protected = room(root, "protected", engine::read_protected).unwrap_or_default();
    engine.brakes = room(root, "brakes", engine::read_brakes).unwrap_or_default();
    let desks = room(root, "desks", desks::read).unwrap_or_default();
    let kafka = room(root, "kafka", intake::Settings::read);
    let audit = room(root, "audit", store::AuditSettings::read).unwrap_or_default();
    let telemetry = room(root, "telemetry", telemetry::Settings::read).unwrap_or_default();
    let console = room(root, "console", console::Settings::read).unwrap_or_default();
    root.finish();
    Settings {
        file: file.to_owned(),
        store,
        vault,
        audit,
        telemetry,
        console,
        connectors,
        governed,
        desks,
        drilled,
        engine,
        kafka,
        workflows,
    }
}

fn room<T>(root: &Table<'_>, name: &str, read: impl Fn(&Table<'_>) -> T) -> Option<T> {
    root.table(name).map(|table| read(&table))
}

/// The folder of the manifests, whether they need two people, and whether they need a drill.
fn connectors(root: &Table<'_>, beside: &Path) -> (Folder, bool, bool) {
    let (mut named, mut governed, mut drilled) = (None, None, None);
    if let Some(table) = root.table("connectors") {
        named = directory(&table, beside);
        governed = table.boolean("governed");
        drilled = table.boolean("drilled");
        table.finish();
    }
    let usual = || Folder {
        path: beside.join("connectors"),
        line: 1,
    };
    let governed = governed.is_none_or(|item| item.value);
    let drilled = drilled.is_none_or(|item| item.value);
    (named.unwrap_or_else(usual), governed, drilled)
}

fn folder(root: &Table<'_>, name: &str, beside: &Path) -> Option<Folder> {
    let table = root.table(name)?;
    let folder = directory(&table, beside);
    table.finish();
    folder
}

fn directory(table: &Table<'_>, beside: &Path) -> Option<Folder> {
    let directory = table.required_string("directory")?;
    Some(Folder {
        path: beside.join(directory.value),
        line: directory.line,
    })
}

/// A relative SQLite file lies beside the configuration.
fn store_beside(url: &str, beside: &Path) -> String {
    let Some(rest) = url.strip_prefix("sqlite:") else {
        return url.to_owned();
    };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.starts_with('/') || path.starts_with(':') || beside == Path::new("") {
        return url.to_owned();
    }
    format!("sqlite:{}", beside.join(path).display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, Problems> {
        let nothing = |_: &str| None;
        Settings::read(Path::new("/etc/clawback/clawback.toml"), text, &nothing)
    }

    #[test]
    fn an_empty_file_means_defaults_beside_it() {
        let settings = read("").expect("is right");
        assert_eq!(settings.store.url, "sqlite:/etc/clawback/clawback.db");
        let local = |folder: &Path, key| Place::Local {
            path: folder.join("clawback.vault"),
            key,
        };
        let folder = Path::new("/etc/clawback");
        let key = KeySource::File(folder.join("clawback.vault.key"));
        assert_eq!(settings.vault.place, local(folder, key));
        assert_eq!(
            settings.connectors.path,
            Path::new("/etc/clawback/connectors")
        );
        assert_eq!(settings.workflows, None);
        assert!(
            settings.governed,
            "manifests take two people unless told otherwise"
        );
    }

    #[test]
    fn c4_trials_can_do_without_approvals() {
        let text = "[connectors]\ndirectory = \"c\"\ngoverned = false\n";
        assert!(!read(text).expect("is right").governed);
        let text = "[connectors]\ndirectory = \"c\"\ndrilled = false\n";
        let trial = read(text).expect("is right");
        assert!(trial.governed && !trial.drilled);
    }

    #[test]
    fn absolute_paths_and_memory_stay_as_they_are() {
        let text = "[store]\nurl = \"sqlite::memory:\"\n[vault]\npath = \"/v\"\nkey_env = \"K\"\n\
                    [workflows]\ndirectory = \"/w\"\n";
        let settings = read(text).expect("is right");
        assert_eq!(settings.store.url, "sqlite::memory:");
        let place = Place::Local {
            path: "/v".into(),
            key: KeySource::Environment("K".to_owned()),
        };
        assert_eq!(settings.vault.place, place);
        let folder = settings.workflows.expect("is named");
        assert_eq!((folder.path.as_path(), folder.line), (Path::new("/w"), 7));
    }

    #[test]
    fn the_sample_is_right() {
        let sample = include_str!("../../deploy/clawback.sample.toml");
        let settings = read(sample).expect("is right");
        assert!(settings.workflows.is_some());
    }

    #[test]
    fn h3_problems_of_all_rooms_are_told_at_once() {
        let text = "[store]\nurl = \"mysql://x\"\n[vault]\nkey = \"00\"\n[workflow]\nx = 1\n\
                    [connectors]\n[vault.more]\n";
        let problems = read(text).expect_err("is wrong");
        let lines: Vec<_> = problems.0.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [2, 4, 5, 7, 8], "{problems}");
    }
}
