//! `clawback run`: one worker, until it is told to stop.
//!
//! Owns the reading of signals: the first asks for a drain, the second ends the process. With
//! `log_format = "json"` every line of a worker is JSON, also that by which it ends. Everything that runs
//! is put together by `app`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::exit::{self, Exit};
use crate::app::{Duties, Parts, Telling, listen, serve, vault};
use crate::config::{self, Config};

/// Works until SIGTERM or SIGINT.
pub async fn run(context: &Context) -> anyhow::Result<Exit> {
    let (result, is_json) = match context.whole() {
        Ok(config) => {
            let is_json = config.settings.telemetry.is_json();
            (told(context, config, is_json).await, is_json)
        }
        Err(error) => (Err(error), config::tells_json(&context.config)),
    };
    match result {
        Err(error) if is_json => Ok(exit::report_json(&error, context.clock.now())),
        result => result,
    }
}

async fn told(context: &Context, config: Config, is_json: bool) -> anyhow::Result<Exit> {
    let telling = Telling::start(config.settings.telemetry.clone())?;
    if is_json {
        Telling::panics();
    }
    let result = work(context, config).await;
    telling.finish().await;
    result
}

async fn work(context: &Context, config: Config) -> anyhow::Result<Exit> {
    let console = listen(&config.settings.console).await?;
    let engine = config.settings.engine.clone();
    let mut intake = config.settings.kafka.clone();
    if let Some(kafka) = &mut intake {
        vault::resolve(&mut kafka.connection, &config.settings, &context.clock).await?;
    }
    let publish = intake.as_ref().map(|kafka| kafka.connection.clone());
    let parts = Parts::open(config, context.clock.clone(), context.chance.clone()).await?;
    let engine = Arc::new(parts.engine(engine));
    let stop = CancellationToken::new();
    let mut signals = tokio::task::JoinSet::new();
    let asked = stop.clone();
    signals.spawn(async move {
        stop_signal().await;
        tracing::info!("told to stop: draining; once more to stop at once");
        asked.cancel();
        stop_signal().await;
        std::process::exit(1);
    });
    let duties = Duties {
        intake,
        publish,
        console,
    };
    serve(&parts, engine, duties, stop).await?;
    Ok(Exit::Done)
}

/// Waits for SIGINT or SIGTERM.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without signals there is only the end of the process itself.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
