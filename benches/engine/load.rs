//! One load: so many cases in flight, a new one as soon as one has ended.
//!
//! Owns the closed loop around a real engine and the arithmetic of the figures. A case is measured
//! from before its event is recorded until the engine has committed its end; afterwards the store is
//! asked whether every removal really ended verified.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clawback::app::wall;
use clawback::connectors::Registry;
use clawback::definitions;
use clawback::domain::event::EventKind;
use clawback::domain::id::CaseId;
use clawback::domain::time::Clock;
use clawback::domain::verdict::CredentialRole;
use clawback::engine::{Engine, EngineError, Ports, Settings};
use clawback::secrets::{LocalVault, NewSecret, Secrets};
use clawback::store::{IntakeBatch, Store};
use clawback::verification::Verification;
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::database::{Database, Kind};
use crate::floor::Floor;
use crate::machine::{self, Spent};
use crate::seeded::Seeded;
use crate::{seed, target};

/// Which cases, and how many at once.
#[derive(Debug, Clone)]
pub struct Load {
    pub name: &'static str,
    pub in_flight: u64,
    /// Every step of a case waits for the one before it; else independent steps go side by side.
    pub in_sequence: bool,
    pub cases: u64,
    /// Only to see that it runs: hardly anything is played beforehand.
    pub smoke: bool,
}

impl Load {
    pub fn new(name: &'static str, in_flight: u64, in_sequence: bool, cases: u64) -> Self {
        Self {
            name,
            in_flight,
            in_sequence,
            cases: cases.max(in_flight * 2),
            smoke: false,
        }
    }

    /// A few cases at once, so that it is over in seconds; its figures mean nothing.
    pub fn smoke(self) -> Self {
        let in_flight = self.in_flight.min(8);
        Self {
            in_flight,
            cases: in_flight * 3,
            smoke: true,
            ..self
        }
    }

    /// Cases that are played before the measured ones: by then every connection has prepared every
    /// statement that it will ever need.
    pub fn warm(&self) -> u64 {
        if self.smoke {
            return self.in_flight;
        }
        (self.in_flight * 2).max(300)
    }

    /// How often engine and floor take turns: whatever else the machine does meanwhile meets both.
    /// A turn is long enough that filling and draining it hardly count.
    fn turns(&self) -> u64 {
        (self.cases / (self.in_flight * 4)).clamp(1, 15)
    }
}

/// What came of it; per case or per second, as the names say.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub cases_per_second: f64,
    pub steps_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub commits_per_case: f64,
    pub wal_bytes_per_case: f64,
    pub cpu_ms_per_case: f64,
    pub rss_mib: f64,
    pub floor_cases_per_second: f64,
    pub floor_commits_per_case: f64,
    pub floor_cpu_ms_per_case: f64,
    pub floor_p50_ms: f64,
    pub ratio_to_floor: f64,
    /// The same engine without the tamper-evident log, and how much of its speed and CPU the log takes.
    pub unlogged_cases_per_second: f64,
    pub log_overhead: f64,
    pub log_cpu_overhead: f64,
}

impl Figures {
    pub fn to_json(&self) -> serde_json::Value {
        // More digits than this would be noise.
        let short = |value: f64| (value * 1000.0).round() / 1000.0;
        json!({
            "cases_per_second": short(self.cases_per_second),
            "steps_per_second": short(self.steps_per_second),
            "p50_ms": short(self.p50_ms),
            "p99_ms": short(self.p99_ms),
            "commits_per_case": short(self.commits_per_case),
            "wal_bytes_per_case": short(self.wal_bytes_per_case),
            "cpu_ms_per_case": short(self.cpu_ms_per_case),
            "rss_mib": short(self.rss_mib),
            "ratio_to_floor": short(self.ratio_to_floor),
            "floor_cases_per_second": short(self.floor_cases_per_second),
            "floor_commits_per_case": short(self.floor_commits_per_case),
            "floor_cpu_ms_per_case": short(self.floor_cpu_ms_per_case),
            "floor_p50_ms": short(self.floor_p50_ms),
            "unlogged_cases_per_second": short(self.unlogged_cases_per_second),
            "log_overhead": short(self.log_overhead),
            "log_cpu_overhead": short(self.log_cpu_overhead),
        })
    }
}

/// Milliseconds at the middle and at the 99th percentile.
pub fn percentiles(mut milliseconds: Vec<f64>) -> (f64, f64) {
    milliseconds.sort_by(f64::total_cmp);
    let at = |share: f64| milliseconds[((milliseconds.len() - 1) as f64 * share) as usize];
    (at(0.5), at(0.99))
}

/// Measures the engine, the same without its log, and the floor by turns, each on a fresh database.
pub async fn measure(kind: Kind, load: &Load) -> Result<Figures, String> {
    let database = Database::fresh(kind, &format!("{}_engine", load.name)).await?;
    let mut rig = Rig::start(&database, load, true).await?;
    let unlogged = Database::fresh(kind, &format!("{}_unlogged", load.name)).await?;
    let mut bare_rig = Rig::start(&unlogged, load, false).await?;
    rig.feed.play(load.in_flight, load.warm()).await?;
    let sizes = database.sizes().await?;
    bare_rig.feed.play(load.in_flight, load.warm()).await?;
    let expected = load.warm() * (target::LINES + target::BESIDES) as u64;
    if sizes.journal_lines != expected {
        let lines = sizes.journal_lines;
        return Err(format!(
            "the engine wrote {lines} journal lines instead of {expected}"
        ));
    }
    let bare = Database::fresh(kind, &format!("{}_floor", load.name)).await?;
    let floor = Floor::open(&bare, load, sizes).await?;
    floor.play(load.warm()).await?;
    database.settle_down().await?;

    let (mut engines, mut floors, mut bares) = (Sum::default(), Sum::default(), Sum::default());
    let mut rss_mib = 0.0_f64;
    let turns = load.turns();
    for turn in 0..turns {
        let cases = load.cases * (turn + 1) / turns - load.cases * turn / turns;
        let (before, calls, start) = (bare.spent().await?, floor.commits(), Instant::now());
        let took = floor.play(cases).await?;
        floors.time(start, took);
        floors.cost(before, bare.spent().await?);
        floors.commits += (floor.commits() - calls) as f64;

        // Neither of the two always comes first.
        if turn % 2 == 0 {
            engines.turn(&database, &mut rig, load, cases).await?;
            bares.turn(&unlogged, &mut bare_rig, load, cases).await?;
        } else {
            bares.turn(&unlogged, &mut bare_rig, load, cases).await?;
            engines.turn(&database, &mut rig, load, cases).await?;
        }
        rss_mib = rss_mib.max(machine::rss_mib());
    }
    floor.close().await?;
    rig.stop(load.cases + load.warm()).await?;
    bare_rig.stop(load.cases + load.warm()).await?;
    Ok(figures(load, &engines, &floors, &bares, rss_mib))
}

fn figures(load: &Load, engines: &Sum, floors: &Sum, bares: &Sum, rss_mib: f64) -> Figures {
    let cases = load.cases as f64;
    let ratio_to_floor = floors.over(engines);
    let log_overhead = 1.0 - bares.over(engines);
    let (p50_ms, p99_ms) = percentiles(engines.milliseconds.clone());
    Figures {
        cases_per_second: cases / engines.seconds(),
        steps_per_second: cases * target::STEPS as f64 / engines.seconds(),
        p50_ms,
        p99_ms,
        commits_per_case: engines.commits / cases,
        wal_bytes_per_case: engines.log_bytes / cases,
        cpu_ms_per_case: engines.cpu_seconds * 1000.0 / cases,
        rss_mib,
        floor_cases_per_second: cases / floors.seconds(),
        floor_commits_per_case: floors.commits / cases,
        floor_cpu_ms_per_case: floors.cpu_seconds * 1000.0 / cases,
        floor_p50_ms: percentiles(floors.milliseconds.clone()).0,
        ratio_to_floor,
        unlogged_cases_per_second: cases / bares.seconds(),
        log_overhead,
        log_cpu_overhead: engines.cpu_seconds / bares.cpu_seconds - 1.0,
    }
}

/// What all turns of one side came to.
#[derive(Default)]
struct Sum {
    /// Of each turn.
    seconds: Vec<f64>,
    milliseconds: Vec<f64>,
    commits: f64,
    log_bytes: f64,
    cpu_seconds: f64,
}

impl Sum {
    /// One turn of an engine.
    async fn turn(
        &mut self,
        database: &Database,
        rig: &mut Rig,
        load: &Load,
        cases: u64,
    ) -> Result<(), String> {
        let (before, calls, start) = (database.spent().await?, rig.commits(), Instant::now());
        let took = rig.feed.play(load.in_flight, cases).await?;
        self.time(start, took);
        let after = database.spent().await?;
        self.cost(before, after);
        self.commits += match database {
            Database::Postgres { .. } => after.commits - before.commits,
            Database::Sqlite { .. } => (rig.commits() - calls) as f64,
        };
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.seconds.iter().sum()
    }

    /// How many times the other's time this one took, turn by turn, in the middle: a disk that stands
    /// still in one turn of one side must not decide.
    fn over(&self, other: &Self) -> f64 {
        let pairs = self.seconds.iter().zip(&other.seconds);
        percentiles(pairs.map(|(this, other)| this / other).collect()).0
    }

    fn time(&mut self, start: Instant, took: Vec<f64>) {
        self.seconds.push(start.elapsed().as_secs_f64());
        self.milliseconds.extend(took);
    }

    fn cost(&mut self, before: Spent, after: Spent) {
        self.log_bytes += after.log_bytes - before.log_bytes;
        self.cpu_seconds += after.cpu_seconds - before.cpu_seconds;
    }
}

/// A real engine with one worker, and its feed.
struct Rig {
    store: Arc<Seeded>,
    clock: Arc<dyn Clock>,
    feed: Feed,
    worker: JoinSet<Result<(), EngineError>>,
    shutdown: CancellationToken,
}

impl Rig {
    async fn start(database: &Database, load: &Load, logged: bool) -> Result<Self, String> {
        let clock = wall::clock();
        let text = include_str!("leaver.toml").replace(
            "side_by_side = true",
            &format!("side_by_side = {}", !load.in_sequence),
        );
        let library = definitions::load(&[("leaver.toml".to_owned(), text)]);
        let library = library.map_err(|problems| problems.to_string())?;
        let workflow = library.by_event(EventKind::WorkerTerminated);
        let store = Arc::new(Seeded {
            inner: database.store(logged).await?,
            workflow: workflow.ok_or("no workflow for leavers")?.clone(),
            in_sequence: load.in_sequence,
            commits: AtomicU64::new(0),
        });
        let engine = Arc::new(assemble(store.clone(), library, clock.clone()).await?);
        let feed = Feed {
            store: store.clone(),
            clock: clock.clone(),
            ended: engine.cases_ended.subscribe(),
            begun: HashMap::new(),
            next: 0,
        };
        let shutdown = CancellationToken::new();
        let mut worker = JoinSet::new();
        worker.spawn(engine.run(Arc::default(), shutdown.clone()));
        Ok(Self {
            store,
            clock,
            feed,
            worker,
            shutdown,
        })
    }

    /// Calls that commit, so far.
    fn commits(&self) -> u64 {
        self.store.commits.load(Ordering::Relaxed)
    }

    /// Stops the worker and asks the store whether so many cases ended in proof.
    async fn stop(mut self, cases: u64) -> Result<(), String> {
        self.shutdown.cancel();
        while self.worker.join_next().await.is_some() {}
        prove(&*self.store, &*self.clock, cases).await
    }
}

/// The figures count only if every case did all its steps and ended in proof.
async fn prove(store: &dyn Store, clock: &dyn Clock, cases: u64) -> Result<(), String> {
    let counts = store
        .counts(clock.now())
        .await
        .map_err(|error| error.to_string())?;
    let removals = cases * target::TARGETS as u64;
    let proved = counts.cases == cases && counts.cases_open == 0;
    if proved && counts.removals_verified == removals && counts.removals == removals {
        return Ok(());
    }
    Err(format!(
        "{cases} cases should have ended in proof: {counts:?}"
    ))
}

async fn assemble(
    store: Arc<dyn Store>,
    library: definitions::Library,
    clock: Arc<dyn Clock>,
) -> Result<Engine, String> {
    let vault = Arc::new(LocalVault::in_memory().map_err(|error| error.to_string())?);
    let secrets = Secrets::new(vault);
    let registry = Arc::new(Registry::assemble(target::parts(), &clock));
    for connector in registry.iter() {
        for role in [CredentialRole::Writer, CredentialRole::Verifier] {
            let secret = NewSecret {
                value: SecretString::from("none"),
                username: None,
                remote_ref: None,
                expires: None,
            };
            let put = secrets.put(connector.manifest(), role, secret, clock.now());
            put.await.map_err(|failure| failure.to_string())?;
        }
    }
    let ports = Ports {
        store,
        registry,
        secrets: Arc::new(secrets),
        verification: Arc::new(Verification::new(clock.clone())),
        workflows: Arc::new(library),
        clock,
        chance: wall::chance(),
    };
    let settings = Settings {
        // 256 cases side by side are 1,280 runs, 256 of them at one target.
        runs_at_once: 4096,
        runs_per_connector: 4096,
        status_topic: None,
        ..Settings::default()
    };
    Ok(Engine::new(ports, settings))
}

/// Records events and waits for their cases to end.
struct Feed {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ended: broadcast::Receiver<CaseId>,
    begun: HashMap<CaseId, Instant>,
    next: u64,
}

impl Feed {
    /// Plays so many cases, so many at once; returns how long each took.
    async fn play(&mut self, in_flight: u64, cases: u64) -> Result<Vec<f64>, String> {
        let mut took = Vec::with_capacity(cases as usize);
        let mut owed = cases;
        loop {
            let places = in_flight.saturating_sub(self.begun.len() as u64).min(owed);
            if places > 0 {
                self.begin(places).await?;
                owed -= places;
            }
            if self.begun.is_empty() {
                return Ok(took);
            }
            let mut case = self.ended.recv().await.map_err(|error| error.to_string())?;
            loop {
                if let Some(begun) = self.begun.remove(&case) {
                    took.push(begun.elapsed().as_secs_f64() * 1000.0);
                }
                match self.ended.try_recv() {
                    Ok(next) => case = next,
                    Err(_) => break,
                }
            }
        }
    }

    async fn begin(&mut self, count: u64) -> Result<(), String> {
        let (at, now) = (Instant::now(), self.clock.now());
        let numbers = self.next..self.next + count;
        self.next += count;
        let events: Vec<_> = numbers.map(|number| seed::event(number, now)).collect();
        for recorded in &events {
            let case = CaseId::of(recorded.event.key(), recorded.recorded);
            self.begun.insert(case, at);
        }
        let batch = IntakeBatch {
            events,
            ..IntakeBatch::default()
        };
        let recorded = self.store.record(&batch).await;
        recorded.map(|_| ()).map_err(|error| error.to_string())
    }
}
