//! `clawback pause` and `clawback resume`: stop all work at one target, or at all of them.
//!
//! Owns the wish and the wait: `pause` ends when every living worker has said that it begins nothing
//! more. Paused work stays owed; `cases show` and `connectors list` name the pause. Stops nothing
//! itself.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::context::{Context, Wishing};
use super::exit::{Exit, Stop};
use super::output::{Output, instant, table};
use crate::config;
use crate::domain::approval::MatterKind;
use crate::domain::command::Wish;
use crate::domain::id::ConnectorName;
use crate::domain::pause::{Pause, Pauses};
use crate::domain::run::{Run, Stage};
use crate::store::Store;

const POLL: Duration = Duration::from_millis(50);

/// What to pause or resume, and why.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only this connector; all of them unless told.
    connector: Option<String>,
    /// Why; it stands in the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    wishing: Wishing,
}

/// Pauses, and waits until it binds at every worker.
pub async fn pause(context: &Context, arguments: Arguments) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let store = store.as_ref();
    let connector = arguments.connector.map(ConnectorName);
    let wish = Wish::Pause {
        connector: connector.clone(),
        reason: arguments.reason,
    };
    context.wish(store, &arguments.wishing, wish).await?;
    let number = store.pauses().await?.newest();
    let bound = Duration::from_secs(arguments.wishing.wait_seconds.max(1));
    let known = tokio::time::timeout(bound, async {
        while store.unaware_of(number, context.clock.now()).await? > 0 {
            tokio::time::sleep(POLL).await;
        }
        anyhow::Ok(())
    });
    let Ok(known) = known.await else {
        let unaware = store.unaware_of(number, context.clock.now()).await?;
        Output::note(&format!(
            "{unaware} workers have not said yet that they keep to it"
        ));
        told(context, &store.pauses().await?)?;
        return Ok(Exit::Unanswered);
    };
    known?;
    told(context, &store.pauses().await?)
}

/// Ends a pause.
pub async fn resume(context: &Context, arguments: Arguments) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let store = store.as_ref();
    let connector = arguments.connector.map(ConnectorName);
    let pauses = store.pauses().await?;
    if !pauses.0.iter().any(|pause| pause.connector == connector) {
        if let Some(name) = &connector {
            known(context, store, name).await?;
        }
        return Err(Stop::Refused {
            code: "CB-PAUSE-1".to_owned(),
            message: not_paused(&pauses, connector.as_ref()),
        }
        .into());
    }
    let wish = Wish::Resume {
        connector,
        reason: arguments.reason,
    };
    context.wish(store, &arguments.wishing, wish).await?;
    told(context, &store.pauses().await?)
}

/// That a connector is not paused is said only of one that there is.
async fn known(context: &Context, store: &dyn Store, name: &ConnectorName) -> anyhow::Result<()> {
    let registry = config::connectors(&context.settings()?, &context.clock)?;
    let ever = store.records(MatterKind::Manifest).await?;
    if registry.get(name).is_none() && !ever.keys().any(|matter| matter.name == name.as_str()) {
        return Err(Stop::NotFound {
            what: "connector",
            name: name.to_string(),
        }
        .into());
    }
    Ok(())
}

fn not_paused(pauses: &Pauses, connector: Option<&ConnectorName>) -> String {
    match (connector, pauses.everywhere()) {
        (Some(name), Some(_)) => format!("{name} has no pause of its own: all are paused"),
        (Some(name), None) => format!("{name} is not paused"),
        (None, _) => "there is no pause of all connectors".to_owned(),
    }
}

fn told(context: &Context, pauses: &Pauses) -> anyhow::Result<Exit> {
    context.output.data(&json!(pauses), || {
        let rows = pauses.0.iter().map(|pause| {
            vec![
                name(pause),
                pause.paused.by.clone(),
                instant(pause.paused.at),
                pause.paused.reason.clone(),
            ]
        });
        let headings = ["paused", "by", "since", "why"];
        table(&headings, rows.collect(), "nothing is paused")
    })?;
    Ok(Exit::Done)
}

fn name(pause: &Pause) -> String {
    pause
        .connector
        .as_ref()
        .map_or_else(|| "all connectors".to_owned(), ToString::to_string)
}

/// How a pause at this target is told in lists; empty where there is none.
pub fn words(pauses: &Pauses, connector: &ConnectorName) -> String {
    pauses.at(connector).map_or(String::new(), |pause| {
        format!("paused by {}: {}", pause.paused.by, pause.paused.reason)
    })
}

/// The same for a run: one that waits for nothing but the end of the pause.
pub fn holding(pauses: &Pauses, run: &Run) -> Option<String> {
    let connector = run.connector.as_ref()?;
    let waits = matches!(run.stage, Stage::Due { .. });
    let words = words(pauses, connector);
    (waits && !words.is_empty()).then_some(words)
}
