//! `clawback connectors`: list, show, check, test, health, inventory, orphans; proposals and approvals
//! are in `approvals`.
//!
//! Owns how a manifest is told to a person. Secrets are shown as references only.

mod health;
mod known;
mod retire;

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::approvals::{self, Approving, Signing, Which};
use super::context::{Context, Wishing};
use super::exit::{Exit, Stop};
use super::output::{sheet, table};
use super::pause;
use crate::app::examine::{self, Mark, Order, Point};
use crate::app::governance::Stands;
use crate::app::probe::{self, Tried};
use crate::app::vault;
use crate::config::{self, Settings};
use crate::domain::access::Operation;
use crate::domain::correlation::Rule;
use crate::domain::health::Bounds;
use crate::domain::id::{AccountId, ConnectorName};
use crate::domain::time::Timestamp;

/// What to do with connectors.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// All connectors.
    List,
    /// What one connector's file permits, and how it stands to what was approved.
    Show {
        /// Its name.
        name: String,
    },
    /// Try every credential at its target: the smallest real work, nothing is changed.
    Check {
        /// Only this connector.
        name: Option<String>,
    },
    /// How connectors stand, judged by what they answered lately.
    Health {
        /// Only this connector, with its history.
        name: Option<String>,
        /// All of its history from then on, for example 2026-11-01T00:00:00Z.
        #[arg(long, requires = "name", value_name = "INSTANT")]
        since: Option<Timestamp>,
    },
    /// The accounts of one target as last seen, with their age.
    Inventory {
        /// Its name.
        name: String,
        /// Only this account, by id or login, with its entitlements.
        #[arg(long, value_name = "ID")]
        account: Option<String>,
    },
    /// Accounts without a subject: told, never removed.
    Orphans {
        /// Only of this connector.
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
    /// Propose what the file says; somebody else has to approve it. Without a file: propose that the
    /// connector is retired.
    Propose {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        signing: Signing,
    },
    /// What the file or the proposal changes of what is in force: narrowing, widening or neutral.
    Diff {
        /// Its name.
        name: String,
    },
    /// Approve what somebody else has proposed.
    Approve(Approving),
    /// Turn a proposal down, or take your own back.
    Reject {
        /// Its name.
        name: String,
        #[command(flatten)]
        signing: Signing,
    },
    /// Have the workers revoke a retired connector's own access at its target, and see every secret
    /// refused; what they cannot becomes a task. Two people must have stood for the retirement
    /// (`propose`, `approve`).
    Retire {
        /// Its name.
        name: String,
        #[command(flatten)]
        wishing: Wishing,
    },
    /// Every proposal, approval and change of what is in force.
    History {
        /// Its name.
        name: String,
    },
}

/// What health and inventory must know of a manifest.
struct Watched {
    name: ConnectorName,
    bounds: Bounds,
    rule: Rule,
}

/// Carries out the command.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    let settings = context.settings()?;
    match command {
        Command::Propose { which, signing } => {
            approvals::propose(context, &settings, which, signing).await
        }
        Command::Diff { name } => approvals::diff(context, &settings, name).await,
        Command::Approve(approving) => approvals::approve(context, &settings, approving).await,
        Command::Reject { name, signing } => {
            approvals::reject(context, &settings, name, signing).await
        }
        Command::History { name } => approvals::history(context, &settings, name).await,
        Command::List => list_all(context, &settings).await,
        Command::Show { name } => show(context, &settings, &name).await,
        Command::Check { name } => check(context, &settings, name).await,
        Command::Retire { name, wishing } => {
            retire::run(context, &settings, ConnectorName(name), &wishing).await
        }
        Command::Health { name, since } => {
            let watched = watched(context, &settings, name.as_deref())?;
            match name {
                Some(_) => health::one(context, &watched, since).await,
                None => health::all(context, &watched).await,
            }
        }
        Command::Inventory { name, account } => {
            watched(context, &settings, Some(&name))?;
            known::inventory(context, &ConnectorName(name), account.as_deref()).await
        }
        Command::Orphans { name } => {
            let watched = watched(context, &settings, name.as_deref())?;
            known::lost(context, &watched).await
        }
        Command::Test {
            name,
            account,
            change,
            wait_seconds,
        } => {
            let order = Order {
                canary: account.map(AccountId),
                change,
                patience: Duration::from_secs(wait_seconds),
            };
            test(context, &settings, ConnectorName(name), &order).await
        }
    }
}

/// All connectors, and how they stand.
async fn list_all(context: &Context, settings: &Settings) -> anyhow::Result<Exit> {
    let registry = config::connectors(settings, &context.clock)?;
    let mut declared = probe::declared(&registry);
    let stands = approvals::stands(context, settings).await;
    let pauses = approvals::pauses(context).await;
    for fact in &mut declared {
        let name = fact["name"].as_str().unwrap_or("").to_owned();
        fact["paused"] = pause::words(&pauses, &ConnectorName(name.clone())).into();
        (fact["approval"], fact["governance"]) = approvals::standing(&stands, &name);
    }
    let declared_here: Vec<_> = declared.iter().map(|fact| fact["name"].clone()).collect();
    for one in &stands {
        // In force though its file is missing.
        if !declared_here.contains(&one.connector.as_str().into()) {
            declared.push(json!({
                "name": one.connector, "approval": one.words, "governance": one,
            }));
        }
    }
    let data = declared.clone().into();
    context.output.data(&data, || list(&declared))?;
    Ok(Exit::Done)
}

fn unknown(name: &str) -> Stop {
    Stop::NotFound {
        what: "connector",
        name: name.to_owned(),
    }
}

/// What the files say that health is judged by; of one connector, or of all.
fn watched(
    context: &Context,
    settings: &Settings,
    only: Option<&str>,
) -> anyhow::Result<Vec<Watched>> {
    let registry = config::connectors(settings, &context.clock)?;
    let all = registry.iter().map(|connector| Watched {
        name: connector.name().clone(),
        bounds: connector.manifest().bounds(),
        rule: connector.manifest().correlation.clone(),
    });
    let watched: Vec<_> = all
        .filter(|one| only.is_none_or(|name| one.name.as_str() == name))
        .collect();
    match only {
        Some(name) if watched.is_empty() => Err(unknown(name).into()),
        Some(_) | None => Ok(watched),
    }
}

async fn show(context: &Context, settings: &Settings, name: &str) -> anyhow::Result<Exit> {
    let registry = config::connectors(settings, &context.clock)?;
    let declared = probe::declared(&registry);
    let found = declared.into_iter().find(|fact| fact["name"] == name);
    let mut fact = found.ok_or_else(|| unknown(name))?;
    let stands = approvals::stands(context, settings).await;
    (fact["approval"], fact["governance"]) = approvals::standing(&stands, name);
    context.output.data(&fact, || tell(&fact))?;
    Ok(Exit::Done)
}

/// Every credential of one connector, or of all, tried at its target.
async fn check(
    context: &Context,
    settings: &Settings,
    name: Option<String>,
) -> anyhow::Result<Exit> {
    let registry = config::connectors(settings, &context.clock)?;
    let name = name.map(ConnectorName);
    if let Some(name) = &name {
        registry.get(name).ok_or_else(|| unknown(name.as_str()))?;
    }
    let vault = vault::open(settings, &context.clock)?;
    let stands = approvals::stands(context, settings).await;
    let found = probe::connectors(&registry, vault, name.as_ref()).await;
    tried(context, &found, &stands)
}

async fn test(
    context: &Context,
    settings: &Settings,
    name: ConnectorName,
    order: &Order,
) -> anyhow::Result<Exit> {
    let registry = config::connectors(settings, &context.clock)?;
    registry.get(&name).ok_or_else(|| unknown(name.as_str()))?;
    // The examination goes by the file, past the workers: what nobody approved it may only look at.
    if order.change && settings.governed {
        let stands = approvals::stands(context, settings).await;
        let found = stands.iter().find(|one| one.connector == name);
        if !found.is_some_and(Stands::file_binds) {
            return Err(Stop::Refused {
                code: "CB-GUARD-14".to_owned(),
                message: format!(
                    "the file of {name} is not what two people approved ({}); examine it without \
                     --change, or have it approved first",
                    found.map_or("not known", |one| one.words.as_str())
                ),
            }
            .into());
        }
    }
    let vault = vault::open(settings, &context.clock)?;
    let points = examine::connector(&registry, vault, &name, order).await;
    let points = points.ok_or_else(|| unknown(name.as_str()))?;
    approvals::note_examination(context, settings, &name, order, &points).await;
    examined(context, &points)
}

/// A time span for people, in its largest whole unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn tried(context: &Context, tried: &[Tried], stands: &[Stands]) -> anyhow::Result<Exit> {
    let mut data = serde_json::to_value(tried)?;
    for one in data.as_array_mut().into_iter().flatten() {
        one["approval"] = approvals::standing(stands, one["connector"].as_str().unwrap_or("")).0;
    }
    context.output.data(&data, || {
        let rows = tried.iter().map(|one| {
            let result = one.failure.as_ref();
            vec![
                one.connector.to_string(),
                one.role.as_str().to_owned(),
                result.map_or("works".to_owned(), ToString::to_string),
                approvals::words(stands, one.connector.as_str()),
            ]
        });
        table(
            &["connector", "credential", "result", "approval"],
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
        "approval",
        "paused",
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
        "approval",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_unit_that_a_person_would_use() {
        let told = [119, 120, 7_199, 7_200, 172_799, 172_800].map(age);
        assert_eq!(told, ["119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]);
    }
}
