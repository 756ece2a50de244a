//! `clawback connectors`: list, show, check.
//!
//! Owns how a manifest is told to a person. Secrets are shown as references only.

use clap::Subcommand;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Stop};
use super::output::{sheet, table};
use crate::app::probe::{self, Tried};
use crate::app::vault;
use crate::config;
use crate::domain::access::Operation;
use crate::domain::id::ConnectorName;

/// What to do with connectors.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// All connectors.
    List,
    /// What one connector is approved to do.
    Show {
        /// Its name.
        name: String,
    },
    /// Try every credential at its target: the smallest real work, nothing is changed.
    Check {
        /// Only this connector.
        name: Option<String>,
    },
}

/// Carries out the command.
#[allow(clippy::too_many_lines)] // One list, told in order; parts of it mean nothing alone.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    let settings = context.settings()?;
    let registry = config::connectors(&settings, &context.clock)?;
    let facts: Vec<Value> = registry
        .iter()
        .map(|connector| {
            let manifest = connector.manifest();
            json!({
                "name": manifest.name,
                "kind": manifest.kind,
                "purpose": manifest.purpose,
                "owner": manifest.owner,
                "deputy": manifest.deputy,
                "review_by": manifest.review_by.to_string(),
                "privileged": manifest.privileged,
                "after_removal": manifest.after_removal,
                "operations": manifest.operations.iter().map(|o| o.as_str()).collect::<Vec<_>>(),
                "writes": manifest.writes,
                "without": manifest.without.iter()
                    .map(|(operation, why)| (operation.as_str(), why))
                    .collect::<std::collections::BTreeMap<_, _>>(),
                "credentials": manifest.credentials.iter()
                    .map(|(role, declared)| (role.as_str(), json!({
                        "secret": declared.secret,
                        "username": declared.username,
                        "max_age_seconds": declared.max_age_seconds,
                        "rotation": declared.rotation,
                    })))
                    .collect::<std::collections::BTreeMap<_, _>>(),
                "desk": manifest.fallback.desk,
            })
        })
        .collect();
    match command {
        Command::List => {
            context
                .output
                .data(&facts.clone().into(), || list(&facts))?;
        }
        Command::Show { name } => {
            let connector = registry.get(&ConnectorName(name.clone()));
            let fact = facts.iter().find(|fact| fact["name"] == name.as_str());
            let (Some(connector), Some(fact)) = (connector, fact) else {
                return Err(Stop::NotFound {
                    what: "connector",
                    name,
                }
                .into());
            };
            let operations = Operation::ALL.map(|operation| {
                let manifest = connector.manifest();
                let allowed = if manifest.operations.contains(&operation) {
                    "yes".to_owned()
                } else if let Some(why) = manifest.without.get(&operation) {
                    format!("not needed: {why}")
                } else {
                    "no: a person does it".to_owned()
                };
                vec![operation.as_str().to_owned(), allowed]
            });
            context.output.data(fact, || {
                let operations = table(&["operation", "allowed"], operations.to_vec(), "");
                format!("{}\n\n{operations}", tell(fact))
            })?;
        }
        Command::Check { name } => {
            let name = name.map(ConnectorName);
            if let Some(name) = name.as_ref().filter(|name| registry.get(name).is_none()) {
                return Err(Stop::NotFound {
                    what: "connector",
                    name: name.to_string(),
                }
                .into());
            }
            let vault = vault::open(&settings)?;
            return tried(
                context,
                &probe::connectors(&registry, vault, name.as_ref()).await,
            );
        }
    }
    Ok(Exit::Done)
}

fn tried(context: &Context, tried: &[Tried]) -> anyhow::Result<Exit> {
    context.output.data(&serde_json::to_value(tried)?, || {
        let rows = tried.iter().map(|one| {
            let result = one.failure.as_ref();
            vec![
                one.connector.to_string(),
                one.role.as_str().to_owned(),
                result.map_or("works".to_owned(), ToString::to_string),
            ]
        });
        table(
            &["connector", "credential", "result"],
            rows.collect(),
            "no connectors",
        )
    })?;
    let all_work = tried.iter().all(|one| one.failure.is_none());
    Ok(if all_work { Exit::Done } else { Exit::Failed })
}

fn text(fact: &Value, key: &str) -> String {
    match &fact[key] {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            items.join(", ")
        }
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) | Value::Null => "no".to_owned(),
        other => other.to_string(),
    }
}

fn list(facts: &[Value]) -> String {
    let keys = [
        "name",
        "kind",
        "privileged",
        "owner",
        "review_by",
        "operations",
    ];
    let rows = facts
        .iter()
        .map(|fact| keys.iter().map(|key| text(fact, key)).collect());
    table(&keys, rows.collect(), "no connectors")
}

fn tell(fact: &Value) -> String {
    let keys = [
        "name",
        "kind",
        "purpose",
        "owner",
        "deputy",
        "review_by",
        "privileged",
        "after_removal",
        "writes",
        "desk",
    ];
    let rows: Vec<_> = keys.iter().map(|key| (*key, text(fact, key))).collect();
    let credentials = fact["credentials"].as_object();
    let credentials: Vec<_> = credentials
        .into_iter()
        .flatten()
        .map(|(role, declared)| format!("{role}: {}", text(declared, "secret")))
        .collect();
    format!(
        "{}\ncredentials\n  {}",
        sheet(&rows),
        credentials.join("\n  ")
    )
}
