//! All workflows that a program runs: built in or from files, each proved, together complete.
//!
//! Owns loading, the digest that pins a running case to the exact definition that it began with,
//! and the way back from the store. A file replaces the built-in workflow of the same name. Does not
//! read the file system.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::pace;
use super::places::Places;
use super::proof;
use super::read;
use super::rehearsal::{self, Rehearsal};
use crate::document::{Document, Problem, Problems};
use crate::domain::event::EventKind;
use crate::domain::id::{DefinitionDigest, WorkflowName};
use crate::domain::workflow::{RunKind, Workflow};

/// The workflows that the program carries: file name and text.
pub const BUILT_IN: [(&str, &str); 3] = [
    (
        "workflows/leaver.toml",
        include_str!("../../workflows/leaver.toml"),
    ),
    (
        "workflows/rotate_secret.toml",
        include_str!("../../workflows/rotate_secret.toml"),
    ),
    (
        "workflows/silent_nhi.toml",
        include_str!("../../workflows/silent_nhi.toml"),
    ),
];

/// Proved workflows; every kind of event is opened by exactly one of them.
#[derive(Debug, Clone)]
pub struct Library {
    workflows: BTreeMap<WorkflowName, Arc<Workflow>>,
    rotation: Arc<Workflow>,
}

/// A definition from the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is not in the form that this program writes.
    #[error("CB-DEFINITION-1: a stored definition cannot be read")]
    Form(#[source] serde_json::Error),
    /// It is not the one that was asked for: changed, or another in its place.
    #[error("CB-DEFINITION-2: a stored definition was changed: its digest is {found}, not {kept}")]
    Changed {
        /// The digest that was asked for.
        kept: DefinitionDigest,
        /// The digest that it has.
        found: DefinitionDigest,
    },
}

/// One file that was read and proved on its own.
#[derive(Debug)]
pub struct Checked {
    /// The file as the caller named it.
    pub file: String,
    /// What it says.
    pub workflow: Workflow,
    /// Its tests, all passed.
    pub rehearsals: Vec<Rehearsal>,
    places: Places,
}

/// Reads, proves and tests one file.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn check(file: &str, text: &str) -> Result<Checked, Problems> {
    let document = Document::parse(file, text)?;
    let draft = read::draft(&document.root());
    let mut problems = document.take_problems();
    let Some(mut draft) = draft else {
        return problems.or(None);
    };
    // A part that could not be read is missing from the draft; proofs would complain about that too.
    if problems.is_empty() {
        problems.extend(proof::check(file, &draft.workflow, &draft.places));
        problems.extend(rehearsal::walk_all(
            file,
            &draft.workflow,
            &draft.rehearsals,
        ));
    } else {
        problems.extend(proof::names(file, &draft.workflow, &draft.places));
    }
    draft.workflow.digest = digest(&draft.workflow);
    problems.or(Some(Checked {
        file: file.to_owned(),
        workflow: draft.workflow,
        rehearsals: draft.rehearsals,
        places: draft.places,
    }))
}

/// Loads these files and the built-in workflows that they do not replace.
///
/// # Errors
/// Everything that is wrong with any file, or with all of them together, at once.
pub fn load(files: &[(String, String)]) -> Result<Library, Problems> {
    let mut problems = Problems::default();
    let mut checked: Vec<Checked> = Vec::new();
    for (file, text) in files {
        match check(file, text) {
            Ok(one) => {
                if let Some(other) = find(&checked, &one.workflow.name) {
                    problems.0.push(problem(
                        file,
                        1,
                        format!("`{}` is also in {}", one.workflow.name, other.file),
                        "give each workflow its own name",
                    ));
                }
                checked.push(one);
            }
            Err(found) => problems.extend(found),
        }
    }
    for (file, text) in BUILT_IN {
        match check(file, text) {
            Ok(one) if find(&checked, &one.workflow.name).is_none() => checked.push(one),
            Ok(_) => {}
            Err(found) => problems.extend(found),
        }
    }
    // A file that could not be loaded would be missed below for what it may well have.
    if problems.is_empty() {
        problems.extend(one_for_each_event(&checked));
        problems.extend(one_rotation(&checked));
    }
    let workflows: BTreeMap<_, _> = checked
        .into_iter()
        .map(|one| (one.workflow.name.clone(), Arc::new(one.workflow)))
        .collect();
    problems.or(Library::of(workflows))
}

/// The workflows that the program carries, and no others.
///
/// # Errors
/// Never in a program that passed its tests.
pub fn built_in() -> Result<Library, Problems> {
    load(&[])
}

/// The workflow with the digest `kept`, which was kept as this JSON (see [`canonical`]). What the JSON
/// says of its own digest proves nothing: whoever can swap the text can write that too.
///
/// # Errors
/// When it is in another form, or not the one that was asked for.
pub fn restore(json: &str, kept: &DefinitionDigest) -> Result<Workflow, RestoreError> {
    let workflow: Workflow = serde_json::from_str(json).map_err(RestoreError::Form)?;
    let names = [digest(&workflow), workflow.digest.clone()];
    match names.into_iter().find(|name| name != kept) {
        None => Ok(workflow),
        Some(found) => Err(RestoreError::Changed {
            kept: kept.clone(),
            found,
        }),
    }
}

/// The workflow as JSON with sorted keys: what is kept in the store.
pub fn canonical(workflow: &Workflow) -> String {
    let value = serde_json::to_value(workflow).expect("maps of a workflow have text keys");
    let mut text = String::new();
    write_sorted(&value, &mut text);
    text
}

/// SHA-256 over the canonical form with an empty digest.
pub fn digest(workflow: &Workflow) -> DefinitionDigest {
    let mut bare = workflow.clone();
    bare.digest = DefinitionDigest(String::new());
    DefinitionDigest(hex::encode(Sha256::digest(canonical(&bare))))
}

impl Library {
    fn of(workflows: BTreeMap<WorkflowName, Arc<Workflow>>) -> Option<Self> {
        let rotation = workflows
            .values()
            .find(|workflow| workflow.machines.contains_key(&RunKind::Rotation))?
            .clone();
        Some(Self {
            workflows,
            rotation,
        })
    }

    /// The workflow that an event of this kind opens a case with.
    pub fn by_event(&self, kind: EventKind) -> Option<&Arc<Workflow>> {
        self.all()
            .find(|workflow| workflow.opens_on.contains(&kind))
    }

    /// The workflow of this name.
    pub fn by_name(&self, name: &WorkflowName) -> Option<&Arc<Workflow>> {
        self.workflows.get(name)
    }

    /// The workflow that replaces secrets.
    pub fn rotation(&self) -> &Arc<Workflow> {
        &self.rotation
    }

    /// The workflow with this digest; older ones are in the store.
    pub fn get(&self, digest: &DefinitionDigest) -> Option<&Arc<Workflow>> {
        self.all().find(|workflow| &workflow.digest == digest)
    }

    /// All, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Workflow>> {
        self.workflows.values()
    }

    /// The same workflows with every wait divided by `by`, rounded up to whole seconds. Proofs do
    /// not depend on time, so they hold; the digests differ. For demonstrations only.
    #[must_use]
    pub fn at_pace(self, by: u64) -> Self {
        let quicken = |workflow: &Arc<Workflow>| {
            let mut quick = pace::divide(workflow, by.max(1));
            quick.digest = digest(&quick);
            Arc::new(quick)
        };
        Self {
            rotation: quicken(&self.rotation),
            workflows: self
                .workflows
                .iter()
                .map(|(name, workflow)| (name.clone(), quicken(workflow)))
                .collect(),
        }
    }
}

fn find<'a>(checked: &'a [Checked], name: &WorkflowName) -> Option<&'a Checked> {
    checked.iter().find(|one| &one.workflow.name == name)
}

fn problem(file: &str, line: u32, message: String, remedy: &str) -> Problem {
    Problem {
        file: file.to_owned(),
        line,
        message,
        remedy: remedy.to_owned(),
    }
}

/// An event that two workflows want, or none, would be dealt with by accident or not at all.
fn one_for_each_event(checked: &[Checked]) -> Problems {
    let mut problems = Problems::default();
    for kind in EventKind::ALL {
        let mut openers = checked
            .iter()
            .filter(|one| one.workflow.opens_on.contains(&kind));
        match (openers.next(), openers.next()) {
            (Some(first), Some(second)) => problems.0.push(problem(
                &second.file,
                second.places.of_event(kind),
                format!("`{}` opens {} already", kind.as_str(), first.workflow.name),
                "name each kind of event in one workflow",
            )),
            (Some(_), None) => {}
            (None, _) => problems.0.push(problem(
                checked.first().map_or("", |one| one.file.as_str()),
                1,
                format!("no workflow opens on `{}`", kind.as_str()),
                "add it to `opens_on` of one workflow: no event may end silently",
            )),
        }
    }
    problems
}

fn one_rotation(checked: &[Checked]) -> Problems {
    let mut problems = Problems::default();
    let mut rotations = checked
        .iter()
        .filter(|one| one.workflow.machines.contains_key(&RunKind::Rotation));
    let first = rotations.next();
    for second in rotations {
        problems.0.push(problem(
            &second.file,
            second.places.of_machine(RunKind::Rotation),
            format!(
                "{} replaces secrets already",
                first.map_or("", |one| one.workflow.name.as_str())
            ),
            "keep `[rotation]` in one workflow",
        ));
    }
    if first.is_none() {
        problems.0.push(problem(
            checked.first().map_or("", |one| one.file.as_str()),
            1,
            "no workflow replaces secrets".to_owned(),
            "keep `[rotation]` in one workflow",
        ));
    }
    problems
}

fn write_sorted(value: &serde_json::Value, into: &mut String) {
    match value {
        serde_json::Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            into.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                if i > 0 {
                    into.push(',');
                }
                into.push_str(&serde_json::Value::from(key.as_str()).to_string());
                into.push(':');
                write_sorted(value, into);
            }
            into.push('}');
        }
        serde_json::Value::Array(items) => {
            into.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    into.push(',');
                }
                write_sorted(item, into);
            }
            into.push(']');
        }
        scalar => into.push_str(&scalar.to_string()),
    }
}
