//! Pauses: how a worker learns of them, and how its work holds back.
//!
//! Owns what this worker knows of the pauses in force. They are read at short intervals and after each
//! wish, so a step reads nothing; a worker that has not been able to read them for as long as a lease
//! begins nothing more. What is held back is given back to the store as it is: due, owed and visible.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use crate::connectors::Guarded;
use crate::domain::id::{ConnectorName, WorkerId};
use crate::domain::pause::{Pause, Pauses};
use crate::domain::time::{Timestamp, after};
use crate::telemetry::metrics;

use super::{Crew, Engine, EngineError, Serving, tell};

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Known(RwLock<Read>);

#[derive(Debug, Clone, Default)]
struct Read {
    pauses: Arc<Pauses>,
    /// When; none where nobody follows, as in a step that a test drives.
    at: Option<Timestamp>,
    /// What the worker has said that it knows.
    told: Option<(WorkerId, u64)>,
}

impl Known {
    fn read(&self) -> Read {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, change: impl FnOnce(&mut Read)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Engine {
    /// Reads which pauses are in force and keeps to them from here on; then says so, so that whoever
    /// paused can be told that it binds everywhere. While a change is under way that was let through
    /// before, it does not say so yet: its bytes may still go out. Such a call is bounded in time.
    ///
    /// # Errors
    /// When the store fails; what was known goes on until it is too old.
    pub async fn follow_pauses(&self, worker: WorkerId) -> Result<(), EngineError> {
        let at = self.clock.now();
        let pauses = Arc::new(self.store.pauses().await?);
        let before = self.pauses.read();
        if before.pauses != pauses {
            told(&before.pauses, &pauses);
        }
        self.pauses.note(|read| {
            read.pauses = pauses.clone();
            read.at = Some(at);
        });
        // What is replaced meanwhile reads them after this note, or is served by now.
        let serving = self.serving();
        hold(&serving, &pauses);
        let paused = |one: &&Arc<Guarded>| pauses.at(one.name()).is_some();
        let told = before.told.filter(|told| told.0 == worker);
        let known = if guards(&serving).filter(paused).any(|one| one.is_changing()) {
            // The store asks for no worker that has never said anything.
            (worker, told.map_or(0, |told| told.1))
        } else {
            (worker, pauses.newest())
        };
        if told.is_none_or(|told| told.1 < known.1) {
            self.store.know_pauses(worker, known.1).await?;
            self.pauses.note(|read| read.told = Some(known));
        }
        Ok(())
    }

    /// True while nothing may be begun at this target.
    pub(super) fn holds_back(&self, connector: &ConnectorName) -> bool {
        let read = self.pauses.read();
        self.is_stale(&read) || read.pauses.at(connector).is_some()
    }

    /// True when what is known is too old to go by.
    fn is_stale(&self, read: &Read) -> bool {
        let patience = self.settings.lease_seconds;
        read.at
            .is_some_and(|at| after(at, patience) < self.clock.now())
    }

    /// Tells the crew for which targets it takes nothing on: what would be held back is not claimed
    /// first, only to be given back and claimed again.
    pub(super) fn spare(&self, crew: &Crew) {
        let read = self.pauses.read();
        let own = read.pauses.0.iter();
        let own = own.filter_map(|one| one.connector.clone());
        let all = read.pauses.everywhere().is_some() || self.is_stale(&read);
        crew.spare(own.collect(), all);
    }

    /// New guards keep to the pauses like those that they replace.
    pub(super) fn keep_paused(&self, serving: &Serving) {
        hold(serving, &self.pauses.read().pauses);
    }

    /// Tells somebody of each pause that nobody has ended in time; returns how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remind(&self) -> Result<u32, EngineError> {
        let now = self.clock.now();
        let serving = self.serving();
        let estate = &serving.estate;
        let topic = self.settings.status_topic.as_deref();
        let decide = |pause: &Pause| {
            let connector = pause.connector.as_ref();
            let facts = connector.and_then(|name| estate.connectors.get(name));
            estate.people.remind(pause, facts, topic, now)
        };
        let reminded = self.store.remind(&decide).await?;
        reminded.iter().for_each(tell::reminded);
        Ok(reminded.len() as u32)
    }

    /// Tells what waits at paused targets.
    pub(super) async fn tell_paused(&self) -> Result<(), EngineError> {
        let pauses = self.pauses.read().pauses;
        let serving = self.serving();
        let paused: Vec<_> = serving
            .registry
            .iter()
            .map(|connector| connector.name().clone())
            .filter(|name| pauses.at(name).is_some())
            .collect();
        let waits = if paused.is_empty() {
            Vec::new()
        } else {
            self.store.due_at(&paused, self.clock.now()).await?
        };
        let paused: BTreeSet<_> = paused.into_iter().collect();
        for connector in serving.registry.iter() {
            let name = connector.name();
            let runs = waits.iter().find(|one| one.connector == *name);
            let runs = runs.map_or(0, |one| one.runs);
            metrics::paused(name.as_str(), paused.contains(name), runs);
        }
        Ok(())
    }
}

/// All that may be sent through, those of retired connectors too: a token is taken away by a change.
fn guards(serving: &Serving) -> impl Iterator<Item = &Arc<Guarded>> {
    serving.registry.iter().chain(serving.retired.iter())
}

fn hold(serving: &Serving, pauses: &Pauses) {
    for connector in guards(serving) {
        let pause = pauses.at(connector.name());
        connector.pause(pause.map(|pause| pause.paused.clone()));
    }
}

fn told(before: &Pauses, now: &Pauses) {
    let name = |connector: &Option<ConnectorName>| {
        connector
            .as_ref()
            .map_or("all", ConnectorName::as_str)
            .to_owned()
    };
    let known = |pauses: &Pauses, one: &Pause| pauses.0.iter().any(|two| two.number == one.number);
    for pause in now.0.iter().filter(|one| !known(before, one)) {
        let (connector, signed) = (name(&pause.connector), &pause.paused);
        tracing::warn!(connector, by = signed.by, reason = signed.reason, "paused");
    }
    for pause in before.0.iter().filter(|one| !known(now, one)) {
        tracing::warn!(connector = name(&pause.connector), "resumed");
    }
}
