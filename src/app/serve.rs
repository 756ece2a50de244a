//! A worker process: engine, intake and relay side by side, until it is told to stop.
//!
//! Owns start, drain and stop. Whichever part fails for good stops the others; each drains by its
//! own rules. What a killed process leaves behind is taken up by another by lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{AppError, Parts};
use crate::domain::id::WorkerId;
use crate::engine::{Engine, Pulse};
use crate::intake::{self, Intake};
use crate::kafka::Connection;
use crate::publish::Publisher;

/// What a process does besides running the engine.
#[derive(Debug, Default)]
pub struct Duties {
    /// Reads lifecycle events from Kafka.
    pub intake: Option<intake::Settings>,
    /// Publishes the outbox to Kafka.
    pub publish: Option<Connection>,
}

/// Works until `shutdown`, then drains.
///
/// # Errors
/// The first part's failure; the others have been drained.
pub async fn serve(
    parts: &Parts,
    engine: Arc<Engine>,
    duties: Duties,
    shutdown: CancellationToken,
) -> Result<(), AppError> {
    let mut tasks: JoinSet<Result<(), AppError>> = JoinSet::new();
    let pulse = Arc::new(Pulse::default());
    let stop = shutdown.child_token();
    {
        let (engine, stop) = (engine.clone(), stop.clone());
        tasks.spawn(async move { Ok(engine.run(pulse, stop).await?) });
    }
    if let Some(settings) = duties.intake {
        let intake = Intake::new(settings, parts.store.clone(), parts.clock.clone());
        let stop = stop.clone();
        tasks.spawn(async move { Ok(intake.run(stop).await?) });
    }
    if let Some(connection) = duties.publish {
        tasks.spawn(relay(parts.clone(), connection, stop.clone()));
    }
    let mut first = Ok(());
    while let Some(ended) = tasks.join_next().await {
        stop.cancel();
        let ended = ended.unwrap_or(Err(AppError::Panicked("a part of the worker")));
        first = first.and(ended);
    }
    first
}

/// The relay leases messages under a name of its own, which has to be kept alive.
async fn relay(
    parts: Parts,
    connection: Connection,
    shutdown: CancellationToken,
) -> Result<(), AppError> {
    const LEASE_SECONDS: u64 = 10;
    while !shutdown.is_cancelled() {
        let worker = WorkerId(parts.chance.id());
        let enlisted = parts.store.enlist(worker, parts.clock.now(), LEASE_SECONDS);
        match enlisted.await {
            Ok(()) => {}
            Err(error) if error.is_passing() => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        let life = shutdown.child_token();
        let publisher = Publisher::new(
            connection.clone(),
            parts.store.clone(),
            parts.clock.clone(),
            parts.chance.clone(),
            worker,
        );
        let mut relaying = JoinSet::new();
        relaying.spawn(publisher.run(life.clone()));
        let mut beat = tokio::time::interval(Duration::from_secs(LEASE_SECONDS / 4));
        let ended = loop {
            tokio::select! {
                ended = relaying.join_next() => break ended,
                _ = beat.tick() => {
                    let now = parts.clock.now();
                    if matches!(parts.store.heartbeat(worker, now).await, Ok(false)) {
                        // Buried: what it had leased is another's; begin again under a new name.
                        life.cancel();
                    }
                }
            }
        };
        if let Err(error) = parts.store.discharge(worker).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the relay's leases run out by themselves"
            );
        }
        match ended {
            Some(Ok(Ok(()))) | None => {}
            Some(Ok(Err(error))) => return Err(error.into()),
            Some(Err(_)) => return Err(AppError::Panicked("the relay")),
        }
    }
    Ok(())
}
