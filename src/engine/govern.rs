//! Govern: which manifests are served, by what two people approved.
//!
//! Owns the look at files and approvals that a worker repeats every second, and what follows: a
//! narrower file is bound in the store, a wider one is told and waits, and the registry is replaced
//! where a connector stands differently. Approves nothing. Without the store the last known state
//! serves on, and each guard still ends with its approval.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::connectors::{BARRED, Draft, Placed, Registry, Roll, Standing, drafts, matter};
use crate::document::Problems;
use crate::domain::approval::{Binding, MatterKind, Record, Signed, narrow};
use crate::domain::id::{ConnectorName, ContentDigest};
use crate::domain::time::{Timestamp, after};
use crate::telemetry::metrics;

use super::{Engine, EngineError};

/// One text is bound again only after so many seconds: where another worker has another file and neither
/// permits more, the two would bind against each other for ever.
const BOUND_AGAIN_SECONDS: u64 = 3600;

/// Manifests as file name and text.
type Files = Vec<(String, String)>;

/// Where manifests come from, and whether they need two people.
pub struct Manifests {
    governed: bool,
    drilled: bool,
    look: Arc<dyn Fn() -> Result<Files, Problems> + Send + Sync>,
    known: Mutex<Known>,
}

/// What the last look showed.
#[derive(Debug, Default)]
struct Known {
    /// None before the first look.
    files: Option<Files>,
    drafts: Vec<Draft>,
    roll: Roll,
    /// Connectors whose retirement binds.
    retired: BTreeSet<ConnectorName>,
    /// The texts that this worker has bound, each with when it may be bound again.
    bound: BTreeMap<(ConnectorName, ContentDigest), Again>,
    /// Connectors that stand differently from what is served, until that is served.
    unserved: BTreeSet<ConnectorName>,
    /// Files that were changed when last looked at: half written, as far as anyone can tell.
    fresh: Option<Files>,
    /// Files that could not be read, told once.
    problems: Option<Problems>,
}

/// When a text that permits no more may be bound once more.
#[derive(Debug)]
struct Again {
    from: Timestamp,
    /// That it was bound over meanwhile is told once.
    told: bool,
}

impl fmt::Debug for Manifests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifests")
            .field("governed", &self.governed)
            .field("drilled", &self.drilled)
            .finish_non_exhaustive()
    }
}

impl Manifests {
    /// `look` reads the files anew each time.
    pub fn new(
        governed: bool,
        look: impl Fn() -> Result<Files, Problems> + Send + Sync + 'static,
    ) -> Self {
        Self {
            governed,
            drilled: false,
            look: Arc::new(look),
            known: Mutex::default(),
        }
    }

    /// Whether what is in force serves events only after a drill; means nothing where nobody governs.
    #[must_use]
    pub fn asking_for_drills(mut self, drilled: bool) -> Self {
        self.drilled = drilled;
        self
    }
}

impl Engine {
    /// Looks what may be served now, and serves it. Does nothing without [`Manifests`].
    ///
    /// # Errors
    /// When the store fails, or a text that is in force cannot be read; what was served goes on.
    pub async fn follow_manifests(&self) -> Result<(), EngineError> {
        let Some(manifests) = &self.manifests else {
            return Ok(());
        };
        let mut known = manifests.known.lock().await;
        self.look_at_files(manifests, &mut known).await?;
        let Known {
            drafts,
            roll,
            retired: retired_before,
            bound,
            unserved,
            ..
        } = &mut *known;
        let mut gone = BTreeSet::new();
        if manifests.governed {
            self.ask_for_drills(manifests, roll).await?;
            let mut in_force = self.in_force().await?;
            unserved.extend(roll.place(drafts, &in_force, &self.clock)?);
            if self.bind_narrower(roll, bound).await? {
                self.ask_for_drills(manifests, roll).await?;
                in_force = self.in_force().await?;
                unserved.extend(roll.place(drafts, &in_force, &self.clock)?);
            }
            gone = retired(&in_force);
        } else {
            unserved.extend(roll.place_ungoverned(drafts, &self.clock));
        }
        let others_gone = *retired_before != gone;
        if !unserved.is_empty() || others_gone {
            let retired = self.last_manifests(&gone).await?;
            retired_before.clone_from(&gone);
            self.serve(roll.registry(), retired);
            for name in std::mem::take(unserved) {
                told(&name, roll.get(&name));
                self.wake_barred(&name, roll.get(&name)).await;
            }
        }
        Ok(())
    }

    /// The last manifest of each retired connector: by it, its own access can be ended. One that this
    /// version cannot read is told, and left to people.
    async fn last_manifests(
        &self,
        gone: &BTreeSet<ConnectorName>,
    ) -> Result<Registry, EngineError> {
        let mut last = Vec::new();
        for name in gone {
            let past = self.store.past(&matter(name)).await?;
            let mut texts = past.bindings.into_iter().rev().map(|one| one.content.text);
            if let Some(text) = texts.find(|text| !text.is_empty()) {
                last.push((format!("{name}.toml"), text));
            }
        }
        let serving = self.serving();
        let before = |name: &ConnectorName| {
            let retired = serving.retired.get(name);
            retired.or_else(|| serving.registry.get(name))
        };
        let (registry, problems) = Registry::of_retired(&last, before, &self.clock);
        if !problems.is_empty() {
            tracing::warn!(%problems, "a retired connector's last manifest cannot be read any more");
        }
        Ok(registry)
    }

    async fn ask_for_drills(
        &self,
        manifests: &Manifests,
        roll: &mut Roll,
    ) -> Result<(), EngineError> {
        if manifests.drilled {
            let drilled = self.store.drilled(self.clock.now()).await?;
            roll.ask_for_drills(Some(drilled));
        }
        Ok(())
    }

    /// What was refused for want of an approval or a drill tries again now. Also when this worker
    /// begins: there may have been none when the approval came.
    async fn wake_barred(&self, name: &ConnectorName, placed: Option<&Placed>) {
        let serves = placed.is_some_and(|one| one.standing.serves() && one.undrilled().is_none());
        if !serves {
            return;
        }
        let woken = self.store.wake_barred(name, &BARRED, self.clock.now());
        match woken.await {
            Ok(0) => {}
            Ok(runs) => {
                tracing::info!(connector = %name, runs, "what was refused is tried again");
            }
            Err(error) => tracing::warn!(
                connector = %name,
                error = &error as &dyn std::error::Error,
                "what was refused waits for its own next try"
            ),
        }
    }

    /// Reads the files again where one has changed, once two looks show the same: half a file may
    /// look like a narrower one, and would bind. Files that have problems are told, and what was
    /// known of all files goes on; at the start they stop the worker.
    async fn look_at_files(
        &self,
        manifests: &Manifests,
        known: &mut Known,
    ) -> Result<(), EngineError> {
        let look = manifests.look.clone();
        let looked = tokio::task::spawn_blocking(move || look());
        let looked = looked.await.map_err(|_| EngineError::Panicked)?;
        let read = looked.and_then(|files| {
            if known.files.as_ref() == Some(&files) {
                known.fresh = None;
                return Ok(());
            }
            if known.files.is_some() && known.fresh.as_ref() != Some(&files) {
                known.fresh = Some(files);
                return Ok(());
            }
            known.drafts = drafts(&files, &self.clock)?;
            known.files = Some(files);
            known.fresh = None;
            Ok(())
        });
        match read {
            Ok(()) => known.problems = None,
            Err(problems) if known.files.is_none() => return Err(problems.into()),
            Err(problems) => {
                if known.problems.as_ref() != Some(&problems) {
                    tracing::warn!(
                        code = "CB-ENGINE-12",
                        %problems,
                        "manifest files cannot be read; what is in force goes on"
                    );
                }
                known.problems = Some(problems);
            }
        }
        Ok(())
    }

    async fn in_force(&self) -> Result<Vec<Binding>, EngineError> {
        let records = self.store.records(MatterKind::Manifest).await?;
        let in_force = records.into_values();
        Ok(in_force.filter_map(|record| record.in_force).collect())
    }

    /// Binds files that permit no more than what is in force; true if one did.
    async fn bind_narrower(
        &self,
        roll: &Roll,
        bound: &mut BTreeMap<(ConnectorName, ContentDigest), Again>,
    ) -> Result<bool, EngineError> {
        let mut any = false;
        let now = self.clock.now();
        bound.retain(|_, again| again.from > now);
        let narrower = roll
            .iter()
            .filter(|(_, placed)| placed.standing == Standing::Narrower);
        for (name, placed) in narrower {
            let (Some(file), Some(in_force)) = (&placed.file, &placed.in_force) else {
                continue;
            };
            let text = (name.clone(), file.content.digest.clone());
            if let Some(again) = bound.get_mut(&text) {
                if !again.told {
                    tracing::warn!(
                        connector = %name, manifest = file.content.digest.as_str(), again_from = %again.from,
                        "another worker has bound another text over this one: do all have the same files?"
                    );
                }
                again.told = true;
                continue;
            }
            let signed = Signed {
                by: "clawback".to_owned(),
                at: now,
                reason: "the file permits no more than what was approved".to_owned(),
            };
            let (matter, over) = (matter(name), &in_force.content.digest);
            let decide = |record: &Record| {
                let content = file.content.clone();
                narrow(record, &matter, over, content, file.until(), signed.clone())
            };
            match self.store.rule(&matter, &decide).await? {
                Ok(_) => {
                    any = true;
                    let from = after(now, BOUND_AGAIN_SECONDS);
                    bound.insert(text, Again { from, told: false });
                    let digest = file.content.digest.as_str();
                    tracing::info!(connector = %name, manifest = digest, "a narrower manifest binds");
                }
                // Another text has come into force meanwhile; the next look compares with that.
                Err(disapproval) => {
                    tracing::info!(connector = %name, %disapproval, "not bound yet");
                }
            }
        }
        Ok(any)
    }
}

/// The connectors of which nothing is in force any more because two people said so.
fn retired(in_force: &[Binding]) -> BTreeSet<ConnectorName> {
    let gone = in_force.iter().filter(|one| one.content.text.is_empty());
    gone.map(|one| ConnectorName(one.matter.name.clone()))
        .collect()
}

fn told(name: &ConnectorName, placed: Option<&Placed>) {
    let Some(placed) = placed else {
        tracing::info!(connector = %name, "the connector is retired");
        metrics::connector_gone(name.as_str());
        return;
    };
    let standing = placed.standing;
    let waits = matches!(
        standing,
        Standing::Waiting | Standing::FileMissing | Standing::Unapproved
    );
    let undrilled = placed.undrilled();
    let barred = !standing.serves() || undrilled.is_some();
    metrics::manifest(name.as_str(), waits, barred);
    if let Some(undrilled) = undrilled {
        tracing::warn!(connector = %name, why = %undrilled, "it serves no events");
    }
    let manifest = placed.guarded.mandate().under.as_ref();
    let manifest = manifest.map(|under| under.digest.as_str());
    match standing {
        Standing::InForce | Standing::Narrower => {
            tracing::info!(connector = %name, manifest, "its manifest is in force");
        }
        Standing::Ungoverned => tracing::warn!(
            connector = %name,
            "its manifest binds without anybody's approval: [connectors] governed = false"
        ),
        Standing::Waiting => {
            let wider = placed.differences();
            let wider: Vec<_> = wider.iter().map(|one| one.what.as_str()).collect();
            tracing::warn!(
                connector = %name, manifest, changes = wider.join(", "),
                "its file waits for approval; what was approved goes on"
            );
        }
        Standing::FileMissing => tracing::warn!(
            connector = %name, manifest,
            "its file is missing; what was approved goes on until its retirement is approved"
        ),
        Standing::Unapproved | Standing::Expired => tracing::warn!(
            connector = %name,
            standing = standing.as_str(),
            "the connector serves nothing; its work goes to people"
        ),
    }
}

#[cfg(test)]
mod tests;
