//! The five verbs: admit, claim, perform, settle, sweep. The only room where ports meet.
//!
//! Owns the worker: it takes due runs, asks the domain what to do, does it through connector,
//! vault or verifier, and commits what came of it. Decides nothing itself, and keeps nothing that a
//! crash could lose: leases run out, positions are committed before their effects.

mod admit;
mod again;
mod courier;
mod crew;
mod drill;
mod drive;
mod govern;
mod holds;
mod look;
mod pauses;
mod perform;
mod recalled;
mod returned;
mod rounds;
mod scout;
mod settings;
mod settle;
mod silent;
mod stalled;
mod survey;
mod sweep;
mod tell;
#[cfg(test)]
mod tests;
mod upstream;
mod visit;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::connectors::Registry;
use crate::definitions::{self, Library};
use crate::domain::approval::Under;
use crate::domain::estate::Estate;
use crate::domain::id::{CaseId, DefinitionDigest, WorkerId};
use crate::domain::step::Given;
use crate::domain::time::{Chance, Clock};
use crate::domain::workflow::{RunKind, Workflow};
use crate::secrets::Secrets;
use crate::store::{Store, StoreError, StoredDefinition};
use crate::verification::Verification;
use tokio::sync::broadcast;

pub use courier::{Desks, Keyring};
pub use crew::Crew;
pub use govern::Manifests;
pub use rounds::{APART_MILLISECONDS, apart_milliseconds};
pub use settings::{Settings, read_brakes, read_people, read_protected};
pub use settle::Writer;
pub use worker::Pulse;

/// Why the engine cannot go on with a run, or at all.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run does not fit its definition.
    #[error(transparent)]
    Inconsistent(#[from] crate::domain::step::Inconsistent),
    /// A step was performed and the store does not take its settlement.
    #[error("CB-ENGINE-10: the store did not take the settlement")]
    Unsettled,
    /// A fault of the program.
    #[error("CB-ENGINE-11: the program panicked while it drove a run")]
    Panicked,
    /// A run names a definition that neither the program nor the store has.
    #[error("CB-ENGINE-4: definition {0} is unknown")]
    UnknownDefinition(DefinitionDigest),
    /// What was approved cannot be read by this version, or the files cannot.
    #[error("CB-ENGINE-12: the manifests cannot be read")]
    Manifests(#[from] crate::document::Problems),
    /// A stored definition is not what this version can read.
    #[error("CB-ENGINE-5: definition {digest} cannot be read")]
    UnreadableDefinition {
        /// Which.
        digest: DefinitionDigest,
        /// Why.
        #[source]
        source: definitions::RestoreError,
    },
}

impl EngineError {
    /// True when the same may work later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_passing())
    }
}

/// The connectors that are served now, and what they declare. Replaced whole when a manifest binds
/// or ceases to; whoever holds one goes on with it.
#[derive(Debug)]
pub struct Serving {
    /// Guarded connectors.
    pub registry: Arc<Registry>,
    /// What they declare.
    pub estate: Estate,
    /// Connectors whose retirement binds, as their last manifest said: only to end their own access.
    pub retired: Arc<Registry>,
}

/// Everything that a worker works with.
#[derive(Debug)]
pub struct Engine {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The vault and the rotations.
    pub secrets: Arc<Secrets>,
    /// Looks with the verifier credential.
    pub verification: Arc<Verification>,
    /// Workflow files as checked.
    pub workflows: Arc<Library>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Jitter and ids.
    pub chance: Arc<dyn Chance>,
    /// Limits and intervals.
    pub settings: Settings,
    /// Tells of each case that this engine's worker ends; who does not listen costs nothing.
    pub cases_ended: broadcast::Sender<CaseId>,
    serving: RwLock<Arc<Serving>>,
    manifests: Option<Manifests>,
    pauses: pauses::Known,
    recalled: recalled::Recalled,
    /// Runs of this worker that cannot go on.
    stalled: stalled::Stalled,
    desks: Option<Desks>,
    definitions: Mutex<HashMap<DefinitionDigest, Arc<Workflow>>>,
}

/// The ports that an engine is built from.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// Guarded connectors.
    pub registry: Arc<Registry>,
    /// The vault and the rotations.
    pub secrets: Arc<Secrets>,
    /// Looks with the verifier credential.
    pub verification: Arc<Verification>,
    /// Workflow files as checked.
    pub workflows: Arc<Library>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Jitter and ids.
    pub chance: Arc<dyn Chance>,
}

/// What is decided with, where these connectors serve under these settings.
pub fn estate(registry: &Registry, workflows: &Library, settings: &Settings) -> Estate {
    let mut estate = registry.estate();
    estate.people = settings.people.clone();
    estate.protected.clone_from(&settings.protected);
    estate.brakes = settings.brakes.clone();
    let rotation = workflows.rotation();
    estate.rotation = rotation
        .machines
        .get(&RunKind::Rotation)
        .map(|machine| (rotation.digest.clone(), machine.start.clone()));
    estate.trust = settings.trust;
    estate
}

impl Serving {
    fn of(
        registry: Arc<Registry>,
        retired: Arc<Registry>,
        workflows: &Library,
        settings: &Settings,
    ) -> Self {
        let mut estate = estate(&registry, workflows, settings);
        estate.retired = retired.estate().connectors;
        Self {
            registry,
            estate,
            retired,
        }
    }
}

impl Engine {
    /// An engine over these ports. Nothing runs yet.
    pub fn new(ports: Ports, settings: Settings) -> Self {
        let retired = Arc::default();
        let serving = Serving::of(ports.registry, retired, &ports.workflows, &settings);
        Self {
            store: ports.store,
            secrets: ports.secrets,
            verification: ports.verification,
            workflows: ports.workflows,
            clock: ports.clock,
            chance: ports.chance,
            settings,
            cases_ended: broadcast::channel(4096).0,
            serving: RwLock::new(Arc::new(serving)),
            manifests: None,
            pauses: pauses::Known::default(),
            recalled: recalled::Recalled::default(),
            stalled: stalled::Stalled::default(),
            desks: None,
            definitions: Mutex::default(),
        }
    }

    /// Serves what these manifests let it, instead of the registry that it was made with.
    #[must_use]
    pub fn following(mut self, manifests: Manifests) -> Self {
        self.manifests = Some(manifests);
        self
    }

    /// Brings copies of fallback tasks to these desks.
    #[must_use]
    pub fn with_desks(mut self, desks: Desks) -> Self {
        self.desks = Some(desks);
        self
    }

    /// Keeps every loaded definition in the store, so that running cases outlive their files.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn save_definitions(&self) -> Result<(), EngineError> {
        for workflow in self.workflows.all() {
            let definition = StoredDefinition {
                digest: workflow.digest.clone(),
                name: workflow.name.to_string(),
                version: workflow.version,
                json: definitions::canonical(workflow),
            };
            self.store
                .save_definition(&definition, self.clock.now())
                .await?;
        }
        Ok(())
    }

    /// A fresh name for a worker's life.
    pub fn new_worker(&self) -> WorkerId {
        WorkerId(self.chance.id())
    }

    /// The connectors that are served now.
    pub fn serving(&self) -> Arc<Serving> {
        let serving = self.serving.read();
        serving.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn serve(&self, registry: Registry, retired: Registry) {
        let (registry, retired) = (Arc::new(registry), Arc::new(retired));
        let serving = Serving::of(registry, retired, &self.workflows, &self.settings);
        let serving = Arc::new(serving);
        // Held while it is served: whoever reads pauses meanwhile sets them on what is served then.
        let mut current = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        self.keep_paused(&serving);
        *current = serving;
    }

    pub(crate) fn given<'a>(
        &'a self,
        workflow: &'a Workflow,
        serving: &'a Serving,
        under: Option<&'a Under>,
    ) -> Given<'a> {
        Given {
            workflow,
            estate: &serving.estate,
            now: self.clock.now(),
            fraction: self.chance.fraction(),
            status_topic: self.settings.status_topic.as_deref(),
            under,
        }
    }

    /// The exact definition that a run started with: from the files, else from the store.
    pub(crate) async fn workflow(
        &self,
        digest: &DefinitionDigest,
    ) -> Result<Arc<Workflow>, EngineError> {
        if let Some(workflow) = self.workflows.get(digest) {
            return Ok(workflow.clone());
        }
        if let Some(workflow) = self.remembered(digest, None) {
            return Ok(workflow);
        }
        let stored = self.store.definition(digest).await?;
        let stored = stored.ok_or_else(|| EngineError::UnknownDefinition(digest.clone()))?;
        let workflow = definitions::restore(&stored.json, digest).map_err(|source| {
            EngineError::UnreadableDefinition {
                digest: digest.clone(),
                source,
            }
        })?;
        let workflow = Arc::new(workflow);
        self.remembered(digest, Some(workflow.clone()));
        Ok(workflow)
    }

    fn remembered(
        &self,
        digest: &DefinitionDigest,
        put: Option<Arc<Workflow>>,
    ) -> Option<Arc<Workflow>> {
        let mut definitions = self
            .definitions
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(workflow) = put {
            definitions.insert(digest.clone(), workflow);
        }
        definitions.get(digest).cloned()
    }
}
