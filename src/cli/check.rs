//! `clawback check`: is everything that a worker would be started with right?
//!
//! Owns the report: all problems at once, or what was checked, and reviews and secrets whose time is over
//! or soon will be. Opens neither database nor target; `connectors check` does the latter.

use serde_json::json;

use super::context::Context;
use super::exit::Exit;
use super::output::{Output, instant};
use crate::app::platform::{self, PlatformSecret};
use crate::app::probe;
use crate::app::vault::{self, SecretListing};
use crate::config::{Config, Places, Settings, manifest_file};
use crate::domain::expiry::Alarm;

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
    match vault::open(settings, &context.clock) {
        Ok(vault) => {
            let listed = vault::list(&vault, connectors, &context.clock).await;
            let places = Places::read(settings);
            let troubles = listed
                .iter()
                .filter_map(|one| trouble(settings, &places, one));
            warnings.extend(troubles);
            let now = context.clock.now();
            let own = platform::list(settings, connectors, &places, &vault, now).await;
            warnings.extend(own.iter().filter_map(PlatformSecret::trouble));
        }
        Err(failure) => warnings.push(format!(
            "the secrets were not looked at: {}: {failure}",
            failure.code()
        )),
    }
    warnings
}

/// What is wrong with a credential's secret, where it is declared, and what to do.
fn trouble(settings: &Settings, places: &Places, secret: &SecretListing) -> Option<String> {
    let (connector, role) = (&secret.connector, secret.role.as_str());
    let (file, key) = (
        manifest_file(settings, connector),
        format!("credentials.{role}.secret"),
    );
    let place = platform::place(&file, places.line(&file, &key), &key);
    if let Some(failure) = &secret.unreadable {
        return Some(format!(
            "{place}: {} cannot be read: {failure}",
            secret.reference
        ));
    }
    let alarm = secret.alarm?;
    let end = secret.expires.map(|end| format!(" ({})", instant(end)));
    let end = end.unwrap_or_default();
    let remedy = match alarm {
        Alarm::Missing => {
            format!("; put one in with `clawback secrets set {connector} --role {role}`")
        }
        Alarm::TooOld | Alarm::EndsSoon | Alarm::Ended => String::new(),
    };
    Some(format!(
        "{place}: the {role} secret of {connector} {}{end}{remedy}",
        alarm.as_str()
    ))
}
