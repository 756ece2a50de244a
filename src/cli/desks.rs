//! `clawback desks`: list, check.
//!
//! Owns what a person sees of the desks that get copies of fallback tasks: which there are, how far
//! their copies lag, and whether one would take tickets now. Makes no ticket.

use clap::Subcommand;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Stop};
use super::output::{instant, table};
use crate::app::desks;
use crate::domain::time::Timestamp;
use crate::store::DeskFigures;

/// What to do with desks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The desks of the configuration, and how their copies stand.
    List,
    /// Sign in at a desk and find where its tickets go. Makes nothing.
    Check {
        /// Its name.
        name: String,
    },
}

/// Carries out the command.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List => list(context).await,
        Command::Check { name } => check(context, name).await,
    }
}

async fn list(context: &Context) -> anyhow::Result<Exit> {
    let facts = desks::list(&context.settings()?);
    let figures = context.store().await?.desk_figures().await?;
    let of = |name: &str| figures.iter().find(|one| one.desk.as_str() == name);
    let since = |of: Option<&DeskFigures>| of.and_then(|one| one.since);
    let data: Value = facts
        .iter()
        .map(|fact| {
            let of = of(&fact.name);
            let mut data = json!(fact);
            data["open"] = of.map_or(0, |one| one.open).into();
            data["troubled"] = of.map_or(0, |one| one.troubled).into();
            data["troubled_since"] = json!(since(of).map(|at: Timestamp| at.to_string()));
            data
        })
        .collect();
    context.output.data(&data, || {
        let rows = facts.iter().map(|fact| {
            let of = of(&fact.name);
            vec![
                fact.name.clone(),
                fact.kind.to_owned(),
                fact.address.clone(),
                of.map_or(0, |one| one.open).to_string(),
                of.map_or(0, |one| one.troubled).to_string(),
                since(of).map_or(String::new(), instant),
            ]
        });
        let headings = ["desk", "kind", "address", "open", "held up", "since"];
        let none = "no desks but the built-in queue";
        table(&headings, rows.collect(), none)
    })?;
    Ok(Exit::Done)
}

async fn check(context: &Context, name: String) -> anyhow::Result<Exit> {
    let settings = context.settings()?;
    let found = desks::check(&settings, &name, &context.clock).await;
    match found {
        Ok(None) => Err(Stop::NotFound { what: "desk", name }.into()),
        Ok(Some(found)) => {
            let data = json!({ "desk": name, "ok": true, "found": found });
            context.output.data(&data, || format!("{name}: {found}"))?;
            Ok(Exit::Done)
        }
        Err(failure) => {
            let data = json!({ "desk": name, "ok": false, "failure": failure });
            context
                .output
                .data(&data, || format!("{name}: {failure}"))?;
            Ok(Exit::Failed)
        }
    }
}
