//! `clawback check`: is everything that a worker would be started with right?
//!
//! Owns the report: all problems at once, or what was checked, and reviews and secrets whose time is over
//! or soon will be. Opens neither database nor target; `connectors check` does the latter.

use serde_json::json;

use super::context::Context;
use super::exit::Exit;
use super::output::{Output, instant};
use crate::app::{probe, vault};
use crate::config::Config;

/// Checks all files.
pub async fn run(context: &Context) -> anyhow::Result<Exit> {
    match Config::load(&context.config, &context.clock) {
        Ok(config) => {
            let connectors: Vec<_> = config.connectors.names().map(ToString::to_string).collect();
            let workflows: Vec<_> = config
                .workflows
                .all()
                .map(|workflow| format!("{} {}", workflow.name, workflow.version))
                .collect();
            let warnings = warnings(context, &config).await;
            for warning in &warnings {
                Output::note(&format!("warning: {warning}"));
            }
            let data = json!({
                "ok": true,
                "problems": [],
                "warnings": warnings,
                "connectors": connectors,
                "workflows": workflows,
            });
            context.output.data(&data, || {
                format!(
                    "all right: {} connectors ({}), {} workflows ({})",
                    connectors.len(),
                    connectors.join(", "),
                    workflows.len(),
                    workflows.join(", ")
                )
            })?;
            Ok(Exit::Done)
        }
        Err(problems) => {
            let data = json!({ "ok": false, "problems": problems.0 });
            if context.output.json {
                context.output.data(&data, String::new)?;
            } else {
                Output::note(&problems.to_string());
            }
            Ok(Exit::Problems)
        }
    }
}

/// What nothing is wrong with yet, or not in these files.
async fn warnings(context: &Context, config: &Config) -> Vec<String> {
    let (settings, connectors) = (&config.settings, &config.connectors);
    let mut warnings = probe::overdue(connectors, context.clock.now());
    warnings.extend(probe::unbounded(connectors));
    let secrets = match vault::list(settings, connectors, &context.clock).await {
        Ok(secrets) => secrets,
        Err(failure) => {
            warnings.push(format!("the secrets were not looked at: {failure}"));
            return warnings;
        }
    };
    let unreadable = secrets.iter().filter_map(|secret| {
        let failure = secret.unreadable.as_ref()?;
        Some(format!("{} cannot be read: {failure}", secret.reference))
    });
    warnings.extend(unreadable);
    let alarms = secrets.iter().filter_map(|secret| {
        let alarm = secret.alarm?.as_str();
        let (connector, role) = (&secret.connector, secret.role.as_str());
        let end = secret.expires.map(|end| format!(" ({})", instant(end)));
        let end = end.unwrap_or_default();
        Some(format!("the {role} secret of {connector} {alarm}{end}"))
    });
    warnings.extend(alarms);
    warnings
}
