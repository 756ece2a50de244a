//! `clawback workflows`: list, show, draw, test.
//!
//! Owns the form of what is told about workflows. Reads files only; the definitions that running
//! cases keep are in the store and are shown with the case.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::context::Context;
use super::exit::{Exit, Stop};
use super::output::{Output, table};
use crate::config;
use crate::definitions::{self, Library, graph};
use crate::document::{Problem, Problems};
use crate::domain::event::EventKind;
use crate::domain::id::WorkflowName;
use crate::domain::workflow::{RunKind, Workflow};

/// What to do with workflows.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// All workflows with their versions and digests.
    List,
    /// One workflow: its machines, state by state.
    Show {
        /// Its name.
        name: String,
    },
    /// Draw one workflow.
    Graph {
        /// Its name.
        name: String,
        /// In which language.
        #[arg(long, value_enum, default_value_t = Language::Mermaid)]
        format: Language,
    },
    /// Prove workflow files and walk their tests; without files, those that the configuration names.
    Test {
        /// The files.
        files: Vec<PathBuf>,
    },
}

/// Languages for pictures.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Language {
    /// For Markdown pages.
    Mermaid,
    /// For Graphviz.
    Dot,
}

/// Carries out the command.
pub fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List => list(context),
        Command::Show { name } => show(context, &name),
        Command::Graph { name, format } => {
            let library = library(context)?;
            let workflow = find(&library, &name)?;
            Output::text(
                match format {
                    Language::Mermaid => graph::mermaid(workflow),
                    Language::Dot => graph::dot(workflow),
                }
                .trim_end(),
            )?;
            Ok(Exit::Done)
        }
        Command::Test { files } => test(context, &files),
    }
}

/// The workflows that the configuration names; without a configuration the built-in ones.
fn library(context: &Context) -> anyhow::Result<Library> {
    if context.config.exists() {
        Ok(config::workflows(&context.settings()?)?)
    } else {
        Ok(definitions::built_in()?)
    }
}

fn find<'l>(library: &'l Library, name: &str) -> anyhow::Result<&'l Workflow> {
    let workflow = library.by_name(&WorkflowName(name.to_owned()));
    Ok(workflow.ok_or_else(|| Stop::NotFound {
        what: "workflow",
        name: name.to_owned(),
    })?)
}

fn list(context: &Context) -> anyhow::Result<Exit> {
    let library = library(context)?;
    let data: Vec<_> = library
        .all()
        .map(|workflow| {
            json!({
                "name": workflow.name,
                "version": workflow.version,
                "digest": workflow.digest,
                "opens_on": workflow.opens_on,
                "runs": workflow.machines.keys().copied().map(RunKind::as_str).collect::<Vec<_>>(),
            })
        })
        .collect();
    context.output.data(&data.into(), || {
        let rows = library.all().map(|workflow| {
            let runs: Vec<_> = workflow.machines.keys().map(|kind| kind.as_str()).collect();
            vec![
                workflow.name.to_string(),
                workflow.version.to_string(),
                workflow.digest.as_str().chars().take(12).collect(),
                runs.join(", "),
                format!("{} kinds of event", workflow.opens_on.len()),
            ]
        });
        let headings = ["name", "version", "digest", "runs", "opens on"];
        table(&headings, rows.collect(), "no workflows")
    })?;
    Ok(Exit::Done)
}

fn show(context: &Context, name: &str) -> anyhow::Result<Exit> {
    let library = library(context)?;
    let workflow = find(&library, name)?;
    context.output.data(&serde_json::to_value(workflow)?, || {
        let mut text = format!(
            "{} version {}\ndigest {}\n",
            workflow.name, workflow.version, workflow.digest
        );
        if !workflow.opens_on.is_empty() {
            let kinds: Vec<_> = workflow
                .opens_on
                .iter()
                .map(|kind| EventKind::as_str(*kind))
                .collect();
            text.push_str(&format!("opens on {}\n", kinds.join(", ")));
        }
        for (kind, machine) in &workflow.machines {
            let rows = graph::ways(machine).into_iter().map(|way| way.to_vec());
            text.push_str(&format!(
                "\n{} (begins with {})\n",
                kind.as_str(),
                machine.start
            ));
            text.push_str(&table(
                &["state", "outcome", "leads to"],
                rows.collect(),
                "no ways",
            ));
            text.push('\n');
        }
        text
    })?;
    Ok(Exit::Done)
}

fn test(context: &Context, files: &[PathBuf]) -> anyhow::Result<Exit> {
    if files.is_empty() {
        let library = library(context)?;
        let names: Vec<_> = library.all().map(|w| w.name.to_string()).collect();
        return told(context, &names, None);
    }
    let mut problems = Problems::default();
    let mut proved = Vec::new();
    let mut tests = 0;
    for file in files {
        let name = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => match definitions::check(&name, &text) {
                Ok(checked) => {
                    tests += checked.rehearsals.len();
                    proved.push(checked.workflow.name.to_string());
                }
                Err(found) => problems.extend(found),
            },
            Err(error) => problems.0.push(Problem {
                file: name,
                line: 1,
                message: format!("cannot read the file: {error}"),
                remedy: String::new(),
            }),
        }
    }
    problems.or(Some(()))?;
    told(context, &proved, Some(tests))
}

fn told(context: &Context, proved: &[String], tests: Option<usize>) -> anyhow::Result<Exit> {
    let data = json!({ "proved": proved, "tests": tests });
    context.output.data(&data, || {
        let tests = tests.map_or(String::new(), |count| format!(", {count} tests passed"));
        format!("proved: {}{tests}", proved.join(", "))
    })?;
    Ok(Exit::Done)
}
