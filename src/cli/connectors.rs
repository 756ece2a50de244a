//! `clawback connectors`: list, show, check, test.
//!
//! Owns how a manifest is told to a person. Secrets are shown as references only.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use super::context::Context;
use super::exit::{Exit, Stop};
use super::output::{sheet, table};
use crate::app::examine::{self, Mark, Order, Point};
use crate::app::probe::{self, Tried};
use crate::app::vault;
use crate::config;
use crate::domain::access::Operation;
use crate::domain::id::{AccountId, ConnectorName};

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
    /// Examine one connector: does it tell the truth, and keep within its bounds?
    Test {
        /// Its name.
        name: String,
        /// The canary account, by its id; the first that is listed unless told.
        #[arg(long, value_name = "ID")]
        account: Option<String>,
        /// Take the canary apart: every approved change, the deletion last. Clawback cannot make it
        /// anew.
        #[arg(long, requires = "account")]
        change: bool,
        /// How many seconds the target may take to show a change.
        #[arg(long, default_value_t = 10, value_name = "SECONDS")]
        wait_seconds: u64,
    },
}

/// Carries out the command.
#[allow(clippy::too_many_lines)] // One list, told in order; parts of it mean nothing alone.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    let settings = context.settings()?;
    let registry = config::connectors(&settings, &context.clock)?;
    let declared = probe::declared(&registry);
    let find = |name: &str| {
        let found = declared.iter().find(|fact| fact["name"] == name);
        found.ok_or_else(|| Stop::NotFound {
            what: "connector",
            name: name.to_owned(),
        })
    };
    match command {
        Command::List => {
            let data = declared.clone().into();
            context.output.data(&data, || list(&declared))?;
            Ok(Exit::Done)
        }
        Command::Show { name } => {
            let fact = find(&name)?;
            context.output.data(fact, || tell(fact))?;
            Ok(Exit::Done)
        }
        Command::Check { name } => {
            if let Some(name) = &name {
                find(name)?;
            }
            let vault = vault::open(&settings)?;
            let name = name.map(ConnectorName);
            tried(
                context,
                &probe::connectors(&registry, vault, name.as_ref()).await,
            )
        }
        Command::Test {
            name,
            account,
            change,
            wait_seconds,
        } => {
            find(&name)?;
            let order = Order {
                canary: account.map(AccountId),
                change,
                patience: Duration::from_secs(wait_seconds),
            };
            let vault = vault::open(&settings)?;
            let name = ConnectorName(name);
            let points = examine::connector(&registry, vault, &name, &order).await;
            examined(context, &points.unwrap_or_default())
        }
    }
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

fn examined(context: &Context, points: &[Point]) -> anyhow::Result<Exit> {
    context.output.data(&serde_json::to_value(points)?, || {
        let rows = points.iter().map(|one| {
            let mark = match one.mark {
                Mark::Held => "held",
                Mark::Failed => "FAILED",
                Mark::Left => "left out",
            };
            vec![mark.to_owned(), one.point.clone(), one.found.clone()]
        });
        table(&["", "point", "found"], rows.collect(), "nothing examined")
    })?;
    let failed = points.iter().any(|one| one.mark == Mark::Failed);
    Ok(if failed { Exit::Failed } else { Exit::Done })
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
    let operations = Operation::ALL.map(|operation| {
        let name = operation.as_str();
        vec![name.to_owned(), text(&fact["allowed"], name)]
    });
    let operations = table(&["operation", "allowed"], operations.to_vec(), "");
    format!(
        "{}\ncredentials\n  {}\n\n{operations}",
        sheet(&rows),
        credentials.join("\n  ")
    )
}
