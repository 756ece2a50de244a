//! `clawback connectors retire`: the end of a retired connector's own access.
//!
//! Owns the wish for each of its credentials, the wait for what comes of it, and how that is told.
//! Nothing is called over that was neither seen refused nor attested by a person.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::super::context::{Context, Wishing};
use super::super::exit::Exit;
use super::super::output::table;
use crate::app::governance::Governance;
use crate::app::retire;
use crate::config::Settings;
use crate::domain::command::Wish;
use crate::domain::id::ConnectorName;
use crate::domain::rotation::Trigger;
use crate::domain::run::{Run, RunBody, Stage};
use crate::domain::verdict::CredentialRole;
use crate::domain::workflow::End;
use crate::store::Store;

/// How often the runs are looked at.
const POLL: Duration = Duration::from_millis(200);

/// Has the workers end the connector's own access, and tells how far they have come.
pub async fn run(
    context: &Context,
    settings: &Settings,
    name: ConnectorName,
    wishing: &Wishing,
) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let governance = Governance::open(settings, store.clone(), &context.clock)?;
    let owed = retire::owed(&governance, &name, &context.clock).await?;
    for role in &owed {
        let wish = Wish::RetireSecret {
            connector: name.clone(),
            role: *role,
        };
        context.wish(store.as_ref(), wishing, wish).await?;
    }
    let bound = Duration::from_secs(wishing.wait_seconds);
    let settled = until_settled(store.as_ref(), &name, &owed);
    let runs = match tokio::time::timeout(bound, settled).await {
        Ok(runs) => runs?,
        Err(_) => retire::runs(store.as_ref(), &name).await?,
    };
    told(context, &owed, &runs)
}

/// Waits until each is over, or with a person.
async fn until_settled(
    store: &dyn Store,
    name: &ConnectorName,
    owed: &[CredentialRole],
) -> anyhow::Result<BTreeMap<CredentialRole, Run>> {
    loop {
        let runs = retire::runs(store, name).await?;
        let rests = |role: &CredentialRole| {
            runs.get(role).is_some_and(|run| {
                matches!(run.stage, Stage::Ended { .. } | Stage::WithPerson { .. })
            })
        };
        if owed.iter().all(rests) {
            return Ok(runs);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn told(
    context: &Context,
    owed: &[CredentialRole],
    runs: &BTreeMap<CredentialRole, Run>,
) -> anyhow::Result<Exit> {
    let lines: Vec<_> = owed
        .iter()
        .map(|role| line(*role, runs.get(role)))
        .collect();
    let facts = owed.iter().zip(&lines).map(|(role, (over, words))| {
        let run = runs.get(role);
        json!({
            "role": role, "over": over, "came_to": words,
            "run": run.map(|run| run.id), "task": run.and_then(|run| run.task),
        })
    });
    let facts: Vec<_> = facts.collect();
    context.output.data(&facts.into(), || {
        let rows = owed.iter().zip(&lines);
        let rows = rows.map(|(role, (_, words))| vec![role.as_str().to_owned(), words.clone()]);
        table(&["role", "its access"], rows.collect(), "it had no access")
    })?;
    let over = lines.iter().all(|(over, _)| *over);
    Ok(if over { Exit::Done } else { Exit::Failed })
}

/// Whether it is over, and what is known in words.
fn line(role: CredentialRole, run: Option<&Run>) -> (bool, String) {
    let Some((run, body)) = run.and_then(|run| match &run.body {
        RunBody::Rotation(body) => Some((run, body)),
        RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Removal(_) | RunBody::Care(_) => None,
    }) else {
        return (false, "not begun".to_owned());
    };
    let failure = body.last_failure.as_ref();
    let failure = failure.map_or(String::new(), |failure| format!(": {failure}"));
    match &run.stage {
        Stage::Ended {
            end: End::Rotated, ..
        } => (true, "seen refused, and forgotten".to_owned()),
        Stage::Ended { .. } => (true, "attested by a person, not proved".to_owned()),
        Stage::WithPerson { .. } => (false, format!("a task is open{failure}")),
        Stage::Due { .. } | Stage::Gathering { .. } => match body.trigger {
            Trigger::Retired { .. } => (false, format!("under way{failure}")),
            _ => {
                let role = role.as_str();
                let words =
                    format!("the {role}'s secret is being replaced: retire once more after it");
                (false, words)
            }
        },
    }
}
