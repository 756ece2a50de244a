//! `clawback plan FILE`: what would be sent for these events.
//!
//! Owns the form of the dry run: every operation on every account, countable. Targets are read with
//! the verifier's credential, and nothing is written anywhere.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::json;

use super::context::Context;
use super::exit::Exit;
use super::output::{Output, table};
use crate::app::plan::{self, Fate, Plan, With};
use crate::app::post::{self, PostError};
use crate::app::vault;

/// Events larger than this are refused by intake too, unless it is configured otherwise.
const EVENT_BYTES_MAX: usize = 512 * 1024;

/// What to plan for.
#[derive(Debug, Args)]
pub struct Arguments {
    /// One CloudEvent, an array of them, or one on each line.
    file: PathBuf,
}

/// Plans the events one after the other; the targets of one event are asked side by side.
pub async fn run(context: &Context, arguments: &Arguments) -> anyhow::Result<Exit> {
    let config = context.whole()?;
    let vault = vault::open(&config.settings, &context.clock)?;
    let kafka = config.settings.kafka.as_ref();
    let bytes_max = kafka.map_or(EVENT_BYTES_MAX, |kafka| kafka.message_bytes_max);
    let events = match post::read(&arguments.file, bytes_max, context.clock.as_ref()) {
        Ok(events) => events,
        Err(PostError::Problems(problems)) => return Err(problems.into()),
        Err(other) => return Err(other.into()),
    };
    // Drawn on a terminal only.
    let progress =
        ProgressBar::with_draw_target(Some(events.len() as u64), ProgressDrawTarget::stderr());
    let mut plans = Vec::new();
    let with = With {
        library: &config.workflows,
        registry: &config.connectors,
        engine: &config.settings.engine,
        now: context.clock.now(),
    };
    for one in &events {
        let vault = std::sync::Arc::clone(&vault);
        plans.push(plan::plan(&one.event, &with, vault).await);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let operations: usize = plans.iter().map(|plan| plan.operations).sum();
    let for_person: usize = plans.iter().map(|plan| plan.for_person).sum();
    let data = json!({ "plans": plans, "operations": operations, "for_person": for_person });
    context.output.data(&data, || {
        plans.iter().map(tell).collect::<Vec<_>>().join("\n\n")
    })?;
    Output::note(&format!(
        "{operations} operations would be sent, {for_person} things would go to a person; nothing was"
    ));
    Ok(Exit::Done)
}

fn tell(plan: &Plan) -> String {
    let mut rows = Vec::new();
    let told = |what: String, fate: String| {
        let nothing = String::new;
        vec![what, nothing(), nothing(), nothing(), fate]
    };
    if let Some(task) = &plan.task {
        rows.push(told(
            "all".to_owned(),
            format!("a person: {} {}", task.code, task.message),
        ));
    }
    rows.extend(plan.unknown.iter().map(|name| {
        let fate = "there is no such connector: nothing would be done there";
        told(name.to_string(), fate.to_owned())
    }));
    for target in &plan.targets {
        let name = target.connector.to_string();
        if let Some(failure) = &target.failure {
            rows.push(told(name, format!("cannot be planned: {failure}")));
            continue;
        }
        rows.extend(
            target
                .unclear
                .iter()
                .map(|why| told(name.clone(), format!("a person: {why}"))),
        );
        if target.accounts.is_empty() && target.unclear.is_empty() {
            let nothing = "no account".to_owned();
            rows.push(vec![
                name,
                nothing,
                String::new(),
                String::new(),
                String::new(),
            ]);
            continue;
        }
        for account in &target.accounts {
            for step in &account.steps {
                rows.push(vec![
                    name.clone(),
                    account.login.clone(),
                    step.operation.as_str().to_owned(),
                    step.name.clone().unwrap_or_default(),
                    match &step.fate {
                        Fate::Sent => "would be sent".to_owned(),
                        Fate::NotNeeded(why) => format!("not needed: {why}"),
                        Fate::ForPerson(why) => format!("a person: {why}"),
                        Fate::Held(why) => format!("two people approve it first: {why}"),
                    },
                ]);
            }
        }
    }
    let headings = ["target", "account", "operation", "what", "fate"];
    rows.extend(plan.rotations.iter().map(|name| {
        let fate = "its secret would be replaced";
        told(name.to_string(), fate.to_owned())
    }));
    format!(
        "{} (event {}, workflow {}): {}\n{}",
        plan.subject,
        plan.id,
        plan.workflow,
        plan.admitted,
        table(&headings, rows, "no connector is concerned")
    )
}
