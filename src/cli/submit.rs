//! `clawback submit FILE`: events of a file onto the lifecycle topic.
//!
//! Owns the report. Everything in the file is checked before anything is sent; sending a file twice
//! is harmless, because events are known by source and id.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::context::Context;
use super::exit::Exit;
use super::output::table;
use crate::app::post::{self, PostError};

/// What to send.
#[derive(Debug, Args)]
pub struct Arguments {
    /// One CloudEvent, an array of them, or one on each line.
    file: PathBuf,
    /// Send in binary content mode (attributes as headers) instead of structured mode.
    #[arg(long)]
    binary: bool,
}

/// Sends the events.
pub async fn run(context: &Context, arguments: &Arguments) -> anyhow::Result<Exit> {
    let settings = context.settings()?;
    let clock = Arc::clone(&context.clock);
    let sent = match post::submit(&settings, &arguments.file, arguments.binary, clock).await {
        Ok(sent) => sent,
        Err(PostError::Problems(problems)) => return Err(problems.into()),
        Err(other) => return Err(other.into()),
    };
    context.output.data(&serde_json::to_value(&sent)?, || {
        let rows = sent.iter().map(|one| {
            vec![
                one.id.clone(),
                one.source.clone(),
                format!("{} [{}] at {}", one.topic, one.partition, one.offset),
            ]
        });
        table(
            &["event", "source", "sent to"],
            rows.collect(),
            "nothing sent",
        )
    })?;
    Ok(Exit::Done)
}
