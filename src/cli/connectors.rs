//! `clawback connectors`: list, show, check.
//!
//! Owns how a manifest is told to a person. Secrets are shown as references only.

use clap::Subcommand;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Stop};
use super::output::{sheet, table};
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
}

/// Carries out the command.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    let registry = config::connectors(&context.settings()?, &context.clock)?;
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
    }
    Ok(Exit::Done)
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
