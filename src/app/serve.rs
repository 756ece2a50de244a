//! A worker process: engine, intake and relay side by side, until it is told to stop.
//!
//! Owns start, drain and stop. A store that is away delays the start, and the console says so.
//! Whichever part fails for good stops the others; each drains by its own rules. What a killed
//! process leaves behind is taken up by another by lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::console::office;
use super::farewell::Farewell;
use super::{AppError, Parts, audit, desks, health, retention};
use crate::console;
use crate::domain::id::WorkerId;
use crate::engine::{Engine, Pulse};
use crate::intake::{self, Intake};
use crate::kafka::Connection;
use crate::publish::{Delivered, Publisher};

/// How long the console's last answers may take.
const CLOSING: Duration = Duration::from_secs(2);
/// How long the log's last checkpoint may take, and a period that is being dropped. What is not done by then
/// is whole without it and done by the next worker.
const SIGNING_OFF: Duration = Duration::from_secs(60);
/// Longest pause between two looks for a store that is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a process does besides running the engine.
#[derive(Debug, Default)]
pub struct Duties {
    /// Reads lifecycle events from Kafka.
    pub intake: Option<intake::Settings>,
    /// Publishes the outbox to Kafka.
    pub publish: Option<Connection>,
    /// Serves the console, its API, `/livez`, `/readyz` and `/metrics`.
    pub console: Option<TcpListener>,
}

/// Takes the console's port, before anything else is started.
///
/// # Errors
/// When another has it.
pub async fn listen(settings: &console::Settings) -> Result<Option<TcpListener>, AppError> {
    let Some(address) = settings.listen else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address).await;
    let listener = listener
        .map_err(|error| AppError::Io("the console's port: see `listen` under [console]", error))?;
    Ok(Some(listener))
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
    let pulse = Arc::new(Pulse::default());
    let stop = shutdown.child_token();
    let signing = Arc::new(audit::Signing::new(parts.clock.now()));
    let intake = duties
        .intake
        .map(|settings| Intake::new(settings, parts.store.clone(), parts.clock.clone()));
    let relay = duties
        .publish
        .map(|connection| (connection, Arc::new(Delivered::default())));
    // The console opens first and closes last, so that `/readyz` can tell of the wait for the store
    // and of the drain.
    let closing = CancellationToken::new();
    let mut answering = JoinSet::new();
    if let Some(listener) = duties.console {
        let mut checks = health::checks(
            parts,
            &pulse,
            engine.settings.lease_seconds,
            intake.as_ref().map(Intake::health),
            relay.as_ref().map(|(_, delivered)| delivered.clone()),
        );
        checks.beside.push(health::log(parts, signing.clone()));
        checks.beside.extend(health::sign_in(parts).await);
        let office = office(parts, stop.clone())?;
        answering.spawn(console::serve(
            listener,
            console::router(checks, Some(&office)).merge(desks::router(parts)),
            closing.clone(),
        ));
    }
    let ended = match store_answers(parts, &pulse, &stop).await {
        Ok(true) => work(parts, engine, intake, relay, (pulse, signing), stop).await,
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    closing.cancel();
    // A client that keeps its connection open does not keep the process.
    let closed = async { while answering.join_next().await.is_some() {} };
    if tokio::time::timeout(CLOSING, closed).await.is_err() {
        answering.shutdown().await;
    }
    ended
}

/// Waits until the store answers with the schema of this program; false if told to stop before.
async fn store_answers(
    parts: &Parts,
    pulse: &Pulse,
    stop: &CancellationToken,
) -> Result<bool, AppError> {
    let mut pause = Duration::from_millis(200);
    loop {
        pulse.turn(parts.clock.now());
        let asked = tokio::select! {
            asked = parts.store.ping() => asked,
            () = stop.cancelled() => return Ok(false),
        };
        match asked {
            Ok(()) => return Ok(true),
            Err(error) if error.is_passing() => tracing::warn!(
                code = "CB-STORE-1",
                error = &error as &dyn std::error::Error,
                "the store is away, the start waits"
            ),
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = stop.cancelled() => return Ok(false),
        }
    }
}

/// Runs every part until `stop`, or until one of them fails for good.
async fn work(
    parts: &Parts,
    engine: Arc<Engine>,
    intake: Option<Intake>,
    relaying: Option<(Connection, Arc<Delivered>)>,
    (pulse, signing): (Arc<Pulse>, Arc<audit::Signing>),
    stop: CancellationToken,
) -> Result<(), AppError> {
    let mut tasks: JoinSet<Result<(), AppError>> = JoinSet::new();
    {
        let stop = stop.clone();
        tasks.spawn(async move { Ok(engine.run(pulse, stop).await?) });
    }
    if let Some(intake) = intake {
        let stop = stop.clone();
        tasks.spawn(async move { Ok(intake.run(stop).await?) });
    }
    // It stops after the others, so that the last checkpoint covers what their drain wrote.
    let unwitnessed = CancellationToken::new();
    let mut witness = JoinSet::new();
    witness.spawn(audit::witness(parts.clone(), signing, unwitnessed.clone()));
    if let Some((connection, delivered)) = relaying {
        tasks.spawn(relay(parts.clone(), connection, delivered, stop.clone()));
    }
    let sweeping = retention::sweep(parts.clone(), stop.clone());
    witness.spawn(sweeping);
    {
        let (farewell, stop) = (Farewell::of(parts), stop.clone());
        tasks.spawn(async move {
            farewell.run(stop).await;
            Ok(())
        });
    }
    let mut first = Ok(());
    while let Some(ended) = tasks.join_next().await {
        stop.cancel();
        let ended = ended.unwrap_or(Err(AppError::Panicked("a part of the worker")));
        first = first.and(ended);
    }
    unwitnessed.cancel();
    let signed_off = async { while witness.join_next().await.is_some() {} };
    if tokio::time::timeout(SIGNING_OFF, signed_off).await.is_err() {
        witness.shutdown().await;
    }
    first
}

/// The relay leases messages under a name of its own, which has to be kept alive.
async fn relay(
    parts: Parts,
    connection: Connection,
    delivered: Arc<Delivered>,
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
            delivered.clone(),
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
