//! `clawback check`: is everything that a worker would be started with right?
//!
//! Owns the report: all problems at once, or what was checked. Opens neither database nor target;
//! `connectors check` does the latter.

use serde_json::json;

use super::context::Context;
use super::exit::Exit;
use super::output::Output;

/// Checks all files.
pub fn run(context: &Context) -> anyhow::Result<Exit> {
    match crate::config::Config::load(&context.config, &context.clock) {
        Ok(config) => {
            let connectors: Vec<_> = config.connectors.names().map(ToString::to_string).collect();
            let workflows: Vec<_> = config
                .workflows
                .all()
                .map(|workflow| format!("{} {}", workflow.name, workflow.version))
                .collect();
            let data = json!({
                "ok": true,
                "problems": [],
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
