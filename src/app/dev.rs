//! The whole product embedded: broker, SQLite, vault, simulated targets, one worker.
//!
//! Owns the folder of a demonstration (configuration, manifests, key, database), so that every other
//! command works on it from another terminal, and the sending of the company's events. The promise
//! is judged against the targets' own truth, never by what was reported.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::chronicle::Chronicle;
use super::governance::{Chosen, Governance};
use super::told;
use super::users::{self, Desk, NewUser};
use super::{AppError, Duties, Parts, listen, serve};
use crate::config::{Config, Settings};
use crate::console;
use crate::demo::broker::Broker;
use crate::demo::{Company, Estate, Message, Options, Outage, Story, Stream, judge};
use crate::domain::approval::Signed;
use crate::domain::time::{Chance, Clock};
use crate::domain::user::Role;
use crate::engine;
use crate::intake;
use crate::kafka::Connection;
use crate::secrets::{Change, NewSecret, Owner, VaultKey};

const TOPIC: &str = "identity.lifecycle.v1";
const DEAD_LETTERS: &str = "identity.lifecycle.v1.dlq";
const STATUS: &str = "clawback.status.v1";
/// Waits of the workflow files are divided by this: an hour becomes six seconds.
const PACE: u64 = 600;
/// A set that has not settled by then has broken the promise.
const PATIENCE: Duration = Duration::from_secs(240);

/// How the demonstration is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// An empty or missing folder.
    pub folder: PathBuf,
    /// Decides people, access and lies.
    pub seed: u64,
    /// People at the start.
    pub employees: usize,
    /// How often something happens in the endless stream.
    pub pause: Duration,
}

/// A demonstration under way.
#[derive(Debug)]
pub struct Dev {
    /// The parts of its worker.
    pub parts: Parts,
    /// The targets.
    pub estate: Estate,
    /// Where its configuration lies.
    pub config_file: PathBuf,
    broker: Broker,
    wanted: Wanted,
    worker: JoinSet<Result<(), AppError>>,
    shutdown: CancellationToken,
    console: Option<TcpListener>,
    /// Where the console answers.
    pub console_address: Option<SocketAddr>,
}

/// What `dev --once` came to.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Distinct readable events.
    pub events_recorded: u64,
    /// Cases opened.
    pub cases: u64,
    /// Removals that ended in proof.
    pub removals_verified: u64,
    /// Discoveries and removals that are with a person.
    pub removals_in_tasks: u64,
    /// Fallback tasks that are open.
    pub tasks_open: u64,
    /// Connector secrets replaced, the old one shown to be rejected.
    pub rotations_completed: u64,
    /// Messages that could not be read.
    pub dead_letters: u64,
    /// Writes that a target answered 200 and ignored.
    pub lies_told: u64,
    /// How the promise was broken; empty when it held.
    pub violations: Vec<String>,
    /// From the first event to rest.
    pub seconds: f64,
}

/// How often the story is looked up.
const LOOK: Duration = Duration::from_millis(500);

impl Dev {
    /// Starts everything; no event has been sent yet.
    ///
    /// # Errors
    /// When a folder, a port or a part cannot be had.
    pub async fn start(
        mut wanted: Wanted,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
    ) -> Result<Self, AppError> {
        let io = |what| move |error| AppError::Io(what, error);
        // Broker and targets begin anew each time: an older database would not fit them.
        if std::fs::read_dir(&wanted.folder).is_ok_and(|mut files| files.next().is_some()) {
            return Err(AppError::NotEmpty(wanted.folder));
        }
        let targets = wanted.folder.join("targets");
        std::fs::create_dir_all(&targets).map_err(io("the folder of the targets"))?;
        // Configuration and manifests name it from wherever they are read.
        wanted.folder = wanted
            .folder
            .canonicalize()
            .map_err(io("the demonstration's folder"))?;
        let targets = wanted.folder.join("targets");
        let broker = Broker::start(&[TOPIC, DEAD_LETTERS, STATUS], 32)?;
        let options = Options {
            seed: wanted.seed,
            employees: wanted.employees,
            folder: targets,
            expired_token: true,
            outage: Some(Outage {
                after: Duration::ZERO,
                lasting: Duration::from_secs(12),
                every: None,
            }),
        };
        let estate = Estate::start(&options, clock.clone(), &chance).await?;
        let config_file = write_files(&wanted.folder, &estate, &broker)
            .map_err(io("the demonstration's configuration"))?;
        let key_file = wanted.folder.join("vault.key");
        VaultKey::create_file(&key_file)?;
        let settings = Settings::load(&config_file)?;
        let mut config = Config::complete(settings, &clock)?;
        config.workflows = config.workflows.at_pace(PACE);
        let governed = config.settings.clone();
        let store = crate::store::open(&config.settings.store).await?;
        store.migrate().await?;
        drop(store);
        // Any free port: several demonstrations may run side by side.
        let any = console::Settings {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            ..console::Settings::default()
        };
        let console = listen(&any).await?;
        let parts = Parts::open(config, clock, chance).await?;
        plant(&parts, &estate).await?;
        two_people(&parts, &governed).await?;
        let mut dev = Self {
            parts,
            estate,
            config_file,
            broker,
            wanted,
            worker: JoinSet::new(),
            shutdown: CancellationToken::new(),
            console_address: console.as_ref().and_then(|port| port.local_addr().ok()),
            console,
        };
        dev.start_worker();
        Ok(dev)
    }

    /// Lets two people sign in to the console, so that a newcomer sees what takes two: the first may
    /// do everything, and so may the second. Returns their names and passwords, drawn for this time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn users(&self) -> Result<Vec<(&'static str, String)>, AppError> {
        let parts = (self.parts.clock.clone(), self.parts.chance.clone());
        let desk = Desk::new(self.parts.store.clone(), parts, "dev".to_owned());
        let every = BTreeSet::from(Role::ALL);
        let mut made = Vec::new();
        for (name, display_name, roles) in [
            ("demo", "Demo", every.clone()),
            ("second", "Second Person", every),
        ] {
            let password = console::secret()?[..16].to_owned();
            let new = NewUser {
                name: name.to_owned(),
                display_name: Some(display_name.to_owned()),
                roles,
                subject: None,
                password: Some(users::hash(&password)?),
            };
            desk.add(new).await?;
            made.push((name, password));
        }
        Ok(made)
    }

    fn start_worker(&mut self) {
        let connection = Connection::embedded(self.broker.bootstrap_servers());
        let console = self.console.take();
        let duties = Duties {
            console,
            intake: Some(intake::Settings {
                topics: vec![TOPIC.to_owned()],
                ..intake::Settings::on(connection.clone())
            }),
            publish: Some(connection),
        };
        let settings = engine::Settings {
            status_topic: Some(STATUS.to_owned()),
            ..engine::Settings::default()
        };
        let engine = Arc::new(self.parts.engine(settings));
        let (parts, stop) = (self.parts.clone(), self.shutdown.clone());
        self.worker
            .spawn(async move { serve(&parts, engine, duties, stop).await });
    }

    /// Plays the fixed set and waits until every case has settled or waits for a person.
    ///
    /// # Errors
    /// When a part fails; a broken promise is in the summary.
    pub async fn once(&self, tell: &(dyn Fn(&str) + Sync)) -> Result<Summary, AppError> {
        let began = self.parts.clock.now();
        let story = Story::once(self.estate.company(), began);
        let producer = self.producer()?;
        for message in &story.messages {
            tokio::time::sleep(message.after).await;
            tell(&message.about);
            send(&producer, message).await?;
        }
        let mut violations = Vec::new();
        if !self.rest(&story, tell).await? {
            violations.push(format!("not at rest after {} s", PATIENCE.as_secs()));
        }
        let mut told = told::read(self.parts.store.as_ref()).await?;
        told.report.due = story.expected.due.clone();
        let (before, after) = (self.estate.before(), self.estate.ground_truth().await?);
        let judged = judge(&before, &after, &told.report);
        violations.extend(judged.iter().map(|violation| format!("{violation:?}")));
        let now = self.parts.clock.now();
        let counts = self.parts.store.counts(now).await?;
        if counts.events_recorded != story.expected.events as u64 {
            violations.push("not every event was recorded".to_owned());
        }
        if counts.dead_letters != story.expected.dead_letters as u64 {
            violations.push("not every unreadable message was kept".to_owned());
        }
        Ok(Summary {
            events_recorded: counts.events_recorded,
            cases: counts.cases,
            removals_verified: counts.removals_verified,
            removals_in_tasks: counts.runs_with_open_task,
            tasks_open: counts.tasks_open,
            rotations_completed: counts.rotations_completed,
            dead_letters: counts.dead_letters,
            lies_told: self.estate.lies_told(),
            violations,
            seconds: now.duration_since(began).as_secs_f64(),
        })
    }

    async fn rest(&self, story: &Story, tell: &(dyn Fn(&str) + Sync)) -> Result<bool, AppError> {
        let began = self.parts.clock.now();
        let mut last = String::new();
        loop {
            let now = self.parts.clock.now();
            let counts = self.parts.store.counts(now).await?;
            let arrived = counts.events_recorded >= story.expected.events as u64
                && counts.dead_letters >= story.expected.dead_letters as u64
                && counts.events_waiting == 0;
            let under_way = told::read(self.parts.store.as_ref()).await?.under_way;
            let line = format!(
                "{} events, {} cases, {} removals verified, {} tasks open, {under_way} steps under way",
                counts.events_recorded, counts.cases, counts.removals_verified, counts.tasks_open
            );
            if line != last {
                tell(&line);
                last = line;
            }
            if arrived && under_way == 0 {
                return Ok(true);
            }
            if now.duration_since(began).as_secs() > PATIENCE.as_secs() as i64 {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Sends the endless stream until told to stop.
    ///
    /// # Errors
    /// When a part fails.
    pub async fn stream(
        &mut self,
        tell: &(dyn Fn(&str) + Sync),
        stop: &CancellationToken,
    ) -> Result<(), AppError> {
        let company: Company = self.estate.company().clone();
        let mut stream = Stream::new(company, self.wanted.seed, BTreeSet::new());
        let producer = self.producer()?;
        let mut chronicle = Chronicle::default();
        let mut next = stream.next(self.parts.clock.now(), self.wanted.pause);
        let mut due = Box::pin(tokio::time::sleep(next.message.after));
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                ended = self.worker.join_next() => {
                    return match ended {
                        Some(Ok(result)) => result,
                        Some(Err(_)) => Err(AppError::Panicked("the worker")),
                        None => Ok(()),
                    };
                }
                _ = looks.tick() => {
                    match chronicle.news(self.parts.store.as_ref()).await {
                        Ok(news) => news.iter().for_each(|line| tell(line)),
                        Err(error) if error.is_passing() => tell(&format!("  (not told yet: {error})")),
                        Err(error) => return Err(error.into()),
                    }
                    continue;
                }
                () = &mut due => {}
            }
            // A machine that stands still for a while does not end the demonstration.
            if let Some(newcomer) = next.newcomer.take()
                && let Err(error) = self.estate.onboard(&newcomer).await
            {
                tell(&format!("  (a newcomer lacks accounts: {error})"));
            }
            match send(&producer, &next.message).await {
                Ok(()) => {
                    tell(&next.message.about);
                    next = stream.next(self.parts.clock.now(), self.wanted.pause);
                }
                Err(error) => tell(&format!("  (not sent yet: {error})")),
            }
            due = Box::pin(tokio::time::sleep(next.message.after));
        }
    }

    /// Drains the worker and stops the targets.
    ///
    /// # Errors
    /// The worker's failure.
    pub async fn stop(mut self) -> Result<(), AppError> {
        self.shutdown.cancel();
        let mut first = Ok(());
        while let Some(ended) = self.worker.join_next().await {
            first = first.and(ended.unwrap_or(Err(AppError::Panicked("the worker"))));
        }
        self.estate.stop().await;
        drop(self.broker);
        first
    }

    fn producer(&self) -> Result<FutureProducer, AppError> {
        ClientConfig::new()
            .set("bootstrap.servers", self.broker.bootstrap_servers())
            .set("acks", "all")
            .create()
            .map_err(AppError::Send)
    }
}

/// Puts the first value of every credential into the vault.
async fn plant(parts: &Parts, estate: &Estate) -> Result<(), AppError> {
    for secret in estate.secrets() {
        let owner = Owner {
            reference: secret.reference.clone(),
            connector: secret.connector.into(),
            role: secret.role,
        };
        let new = NewSecret {
            value: secret.value.clone(),
            username: None,
            remote_ref: secret.remote_ref.clone(),
            expires: None,
        };
        let at = parts.clock.now();
        parts.vault.change(&owner, Change::Put { new, at }).await?;
    }
    Ok(())
}

/// The manifests are new to everybody: one person proposes them and another approves them, through
/// the door by which people do.
async fn two_people(parts: &Parts, settings: &Settings) -> Result<(), AppError> {
    let governance = Governance::open(settings, parts.store.clone(), &parts.clock)?;
    let signed = |by: &str, reason: &str| Signed {
        by: by.to_owned(),
        at: parts.clock.now(),
        reason: reason.to_owned(),
    };
    let proposed = signed("nadia", "the demonstration begins");
    governance.propose(&Chosen::All, &proposed).await?;
    let approved = signed("tom", "read, and as agreed with the owners");
    governance.approve(&Chosen::All, None, &approved).await?;
    Ok(())
}

async fn send(producer: &FutureProducer, message: &Message) -> Result<(), AppError> {
    let headers = OwnedHeaders::new().insert(Header {
        key: "content-type",
        value: Some("application/cloudevents+json; charset=utf-8"),
    });
    let record = FutureRecord::to(TOPIC)
        .key(&message.key)
        .payload(&message.payload)
        .headers(headers);
    let sent = producer.send(record, Duration::from_secs(10)).await;
    sent.map(|_| ()).map_err(|(error, _)| AppError::Send(error))
}

/// The files by which other commands find this demonstration.
fn write_files(folder: &Path, estate: &Estate, broker: &Broker) -> std::io::Result<PathBuf> {
    let connectors = folder.join("connectors");
    std::fs::create_dir_all(&connectors)?;
    for (name, text) in estate.manifests() {
        std::fs::write(connectors.join(name), text)?;
    }
    let config = folder.join("clawback.toml");
    let text = format!(
        "# Written by `clawback dev`; gone with it.\n\
         [store]\nurl = \"sqlite:clawback.db\"\n\
         [vault]\npath = \"vault\"\nkey_file = \"vault.key\"\n\
         [connectors]\ndirectory = \"connectors\"\ndrilled = false\n\
         [kafka]\nbootstrap_servers = \"{}\"\n",
        broker.bootstrap_servers()
    );
    std::fs::write(&config, text)?;
    Ok(config)
}
