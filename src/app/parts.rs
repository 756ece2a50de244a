//! The long-lived parts of a process, opened once.
//!
//! Owns their order: vault and store first, then everything that stands on them. A part that cannot
//! be opened stops the start with its own words. Starts no task.

use std::sync::Arc;

use super::desks;
use crate::config::{self, Config, Settings as ConfigSettings};
use crate::connectors::Registry;
use crate::console;
use crate::definitions::Library;
use crate::domain::approval::Disapproval;
use crate::domain::id::ConnectorName;
use crate::domain::time::{Chance, Clock};
use crate::engine::{Engine, EngineError, Manifests, Ports, Settings};
use crate::intake::IntakeError;
use crate::publish::PublishError;
use crate::secrets::{Secrets, Vault, VaultError};
use crate::store::{self, Store, StoreError};
use crate::verification::Verification;

/// Why a process could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Kafka in.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// Kafka out.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Log lines or traces.
    #[error(transparent)]
    Telemetry(#[from] crate::telemetry::TelemetryError),
    /// A file, a port or a signal.
    #[error("CB-APP-1: {0}")]
    Io(&'static str, #[source] std::io::Error),
    /// A part ended by panicking; the process stops, leases run out, another worker goes on.
    #[error("CB-APP-2: {0} has panicked")]
    Panicked(&'static str),
    /// The simulated estate.
    #[error(transparent)]
    Estate(#[from] crate::demo::EstateError),
    /// The embedded broker.
    #[error(transparent)]
    Broker(#[from] crate::demo::broker::BrokerError),
    /// The files that `dev` writes for itself are wrong: a bug.
    #[error(transparent)]
    Config(#[from] crate::document::Problems),
    /// An event of the demonstration could not be sent.
    #[error("CB-APP-3: the demonstration's own event was not sent")]
    Send(#[source] rdkafka::error::KafkaError),
    /// What takes two people was not decided.
    #[error(transparent)]
    Disapproved(#[from] Disapproval),
    /// Only what a protection or a brake holds is proposed by its task.
    #[error("CB-APPROVAL-8: the task is not held for approval")]
    NotHeld,
    /// Neither a file nor anything approved has this name.
    #[error("there is no connector `{0}`")]
    NoConnector(ConnectorName),
    /// A name that cannot stand in the record.
    #[error("CB-CONSOLE-13: `{0}` cannot be a user's name; write letters, digits and . _ - @ +")]
    UserName(String),
    /// Two people cannot have one name.
    #[error("CB-CONSOLE-14: there is a user `{0}` already")]
    UserTaken(String),
    /// Nobody has this name.
    #[error("there is no user `{0}`")]
    NoUser(String),
    /// A token can never do more than its user.
    #[error("CB-CONSOLE-15: {0} has none of these roles")]
    NoRole(String),
    /// A password or a secret.
    #[error(transparent)]
    Password(#[from] console::PasswordError),
    /// The identity provider.
    #[error(transparent)]
    Provider(#[from] console::ProviderError),
    /// Two people have not stood for the connector's retirement.
    #[error(
        "CB-APP-5: {0} is not retired: take its file away, propose the retirement, and have it approved"
    )]
    StillServes(ConnectorName),
    /// What is stored about a case is not what the log covers.
    #[error(
        "CB-APP-10: the records of case {case} are not as they were written ({count} findings, the first: {first})"
    )]
    Tampered {
        /// Which.
        case: crate::domain::id::CaseId,
        /// How many findings.
        count: usize,
        /// One of them.
        first: String,
    },
    /// A case's definition is not the one that it began with.
    #[error(transparent)]
    Definition(#[from] crate::definitions::RestoreError),
    /// The log is not what was written.
    #[error("CB-APP-11: the log is not whole ({count} findings, the first: {first})")]
    NotWhole {
        /// How many findings.
        count: usize,
        /// One of them.
        first: String,
    },
    /// By a wrong clock everything looks old.
    #[error(
        "CB-ENGINE-13: this machine's clock and the database's are {0} ms apart, and nothing is let go by either"
    )]
    ClocksApart(u64),
    /// The folder of a demonstration holds something.
    #[error("CB-APP-4: {} is not empty; a demonstration begins in an empty or missing folder", .0.display())]
    NotEmpty(std::path::PathBuf),
}

/// What every duty of a process shares.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// Guarded connectors.
    pub registry: Arc<Registry>,
    /// The vault itself.
    pub vault: Arc<dyn Vault>,
    /// Workflows.
    pub workflows: Arc<Library>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Jitter and ids.
    pub chance: Arc<dyn Chance>,
    /// Where the manifests lie, and whether they take two people.
    settings: Arc<ConfigSettings>,
}

impl Parts {
    /// Opens vault and store as the configuration says. Whether the store answers is seen when the
    /// parts are put to work.
    ///
    /// # Errors
    /// When either cannot be opened.
    pub async fn open(
        config: Config,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
    ) -> Result<Self, AppError> {
        let vault = super::vault::open(&config.settings, &clock)?;
        let store = store::open(&config.settings.store).await?;
        Ok(Self {
            store,
            registry: Arc::new(config.connectors),
            vault,
            workflows: Arc::new(config.workflows),
            clock,
            chance,
            settings: Arc::new(config.settings),
        })
    }

    /// What the configuration says.
    pub fn settings(&self) -> &ConfigSettings {
        &self.settings
    }

    /// The connectors' secrets.
    pub fn secrets(&self) -> Secrets {
        Secrets::new(self.vault.clone())
    }

    /// An engine over these parts.
    pub fn engine(&self, settings: Settings) -> Engine {
        let ports = Ports {
            store: self.store.clone(),
            registry: self.registry.clone(),
            secrets: Arc::new(self.secrets()),
            verification: Arc::new(Verification::new(self.clock.clone())),
            workflows: self.workflows.clone(),
            clock: self.clock.clone(),
            chance: self.chance.clone(),
        };
        let configured = self.settings.clone();
        let manifests = Manifests::new(self.settings.governed, move || {
            config::manifests(&configured)
        })
        .asking_for_drills(self.settings.drilled);
        let engine = Engine::new(ports, settings).following(manifests);
        match desks::served(&self.settings, &self.vault) {
            Some(desks) => engine.with_desks(desks),
            None => engine,
        }
    }
}
