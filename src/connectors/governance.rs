//! Which manifest binds: the file's, or the one that was approved?
//!
//! Owns the standing of each connector between its file and what is in force, and the guards that
//! follow from it. A guard is made anew only where something changed, so a call that is under way
//! ends on the guard with which it began. Approves nothing, and knows no store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::comparison::{Difference, Effect, compare, effect, narrowed};
use super::guard::Guarded;
use super::mandate::{Mandate, undrilled};
use super::registry::{self, Registry};
use super::written::{Draft, Written};
use crate::document::Problems;
use crate::domain::approval::{Binding, Under};
use crate::domain::id::{ConnectorName, ContentDigest};
use crate::domain::outcome::Failure;
use crate::domain::time::{Clock, Timestamp};

/// How a connector stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nobody governs: the file binds as it is.
    Ungoverned,
    /// What the file says is in force.
    InForce,
    /// The file permits no more than what is in force, and is to bind at once.
    Narrower,
    /// The file permits more: what was approved serves, without what the file takes away.
    Waiting,
    /// There is no file any more: what was approved serves until its retirement is approved.
    FileMissing,
    /// Never approved: nothing is served.
    Unapproved,
    /// The approval is over: nothing is served.
    Expired,
}

impl Standing {
    /// The words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ungoverned => "ungoverned",
            Self::InForce => "in force",
            Self::Narrower => "narrower file binds",
            Self::Waiting => "waiting for approval",
            Self::FileMissing => "in force, its file is missing",
            Self::Unapproved => "not approved",
            Self::Expired => "approval expired",
        }
    }

    /// False where every call is refused.
    pub fn serves(self) -> bool {
        !matches!(self, Self::Unapproved | Self::Expired)
    }
}

/// One connector behind the guard of what binds.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The connector.
    pub guarded: Arc<Guarded>,
    /// How it stands.
    pub standing: Standing,
    /// The file, if there is one.
    pub file: Option<Arc<Written>>,
    /// What was approved last, if anything was.
    pub in_force: Option<Arc<Written>>,
    /// When that ends.
    pub until: Option<Timestamp>,
}

impl Placed {
    /// What the file would change.
    pub fn differences(&self) -> Vec<Difference> {
        match (&self.in_force, &self.file) {
            (Some(in_force), Some(file)) => compare(in_force, file),
            _ => Vec::new(),
        }
    }

    /// Why it serves no events, where what is in force has passed no drill.
    pub fn undrilled(&self) -> Option<&Failure> {
        self.guarded.mandate().undrilled.as_ref()
    }

    fn is(&self, standing: Standing, file: Option<&Draft>, bound: Option<&Bound>) -> bool {
        let same = |one: &Option<Arc<Written>>, other: Option<&Draft>| {
            one.as_ref().map(|one| &one.content) == other.map(|draft| &draft.written.content)
        };
        self.standing == standing
            && same(&self.file, file)
            && same(&self.in_force, bound.map(|bound| &bound.draft))
            && self.until == bound.map(|bound| bound.until)
    }
}

/// What is in force for one connector, read.
#[derive(Debug, Clone)]
struct Bound {
    draft: Draft,
    until: Timestamp,
}

/// What is in force, and of which connectors it cannot be read.
type Read = (
    BTreeMap<ConnectorName, Bound>,
    BTreeMap<ConnectorName, Problems>,
);

/// All connectors as they stand; placed again and again as files and approvals change.
#[derive(Debug, Default)]
pub struct Roll {
    /// Connectors whose manifest in force has passed a drill, or does without; `None` where no drill
    /// is asked for.
    drilled: Option<BTreeSet<ConnectorName>>,
    placed: BTreeMap<ConnectorName, Placed>,
    read: BTreeMap<ContentDigest, Draft>,
    /// Connectors of which this version cannot read what is in force.
    unreadable: BTreeMap<ConnectorName, Problems>,
}

/// How a file stands to what is in force until then; `None` where there is neither.
pub fn standing(
    file: Option<&Written>,
    in_force: Option<(&Written, Timestamp)>,
    now: Timestamp,
) -> Option<Standing> {
    Some(match (file, in_force) {
        (None, None) => return None,
        (_, Some((_, until))) if now >= until => Standing::Expired,
        (Some(_), None) => Standing::Unapproved,
        (None, Some(_)) => Standing::FileMissing,
        (Some(file), Some((in_force, _))) if file.content.digest == in_force.content.digest => {
            Standing::InForce
        }
        (Some(file), Some((in_force, _))) => match effect(&compare(in_force, file)) {
            Effect::Widening => Standing::Waiting,
            Effect::Narrowing | Effect::Neutral => Standing::Narrower,
        },
    })
}

impl Roll {
    /// From the next placing on, only these serve events; `None`: all do.
    pub fn ask_for_drills(&mut self, drilled: Option<BTreeSet<ConnectorName>>) {
        self.drilled = drilled;
    }

    /// Places every connector that has a file or is in force. Says which ones stand differently now.
    ///
    /// One of which this version cannot read what is in force stays as it is, or serves nothing until its
    /// file is approved: it keeps no other from being served.
    ///
    /// # Errors
    /// When there is not even a file of one that cannot be read; nothing is changed then, because a
    /// connector that silently is not there would leave its target out of every case.
    pub fn place(
        &mut self,
        files: &[Draft],
        in_force: &[Binding],
        clock: &Arc<dyn Clock>,
    ) -> Result<Vec<ConnectorName>, Problems> {
        let now = clock.now();
        let files: BTreeMap<_, _> = files
            .iter()
            .map(|draft| (&draft.written.manifest.name, draft))
            .collect();
        let (bound, unreadable) = self.read(in_force, clock);
        let lost = |name| !files.contains_key(name) && !self.placed.contains_key(name);
        if let Some((_, problems)) = unreadable.iter().find(|(name, _)| lost(name)) {
            return Err(problems.clone());
        }
        let names = files.keys().copied().chain(bound.keys());
        let names: BTreeSet<_> = names.chain(unreadable.keys()).collect();
        let mut placed = BTreeMap::new();
        let mut changed = Vec::new();
        for name in names {
            let (file, bound) = (files.get(name).copied(), bound.get(name));
            if let (Some(before), true) = (self.placed.get(name), unreadable.contains_key(name)) {
                placed.insert(name.clone(), before.clone());
                continue;
            }
            let pair = bound.map(|bound| (bound.draft.written.as_ref(), bound.until));
            let Some(standing) = standing(file.map(|file| file.written.as_ref()), pair, now) else {
                continue;
            };
            let undrilled = self.undrilled(name, standing, bound);
            let before = self.placed.get(name);
            let same = |before: &&Placed| {
                before.is(standing, file, bound) && before.undrilled() == undrilled.as_ref()
            };
            if let Some(before) = before.filter(same) {
                placed.insert(name.clone(), before.clone());
                continue;
            }
            let mut guarded = guarded(standing, file, bound, clock);
            if let Some(problems) = unreadable.get(name) {
                guarded = guarded.map(|guarded| guarded.under(Mandate::unreadable(problems)));
            }
            if let Some(guarded) = &mut guarded {
                guarded.bar_undrilled(undrilled);
                if let Some(before) = before {
                    guarded.inherit(&before.guarded);
                }
            }
            if let Some(guarded) = guarded {
                changed.push(name.clone());
                let one = Placed {
                    guarded: Arc::new(guarded),
                    standing,
                    file: file.map(|draft| draft.written.clone()),
                    in_force: bound.map(|bound| bound.draft.written.clone()),
                    until: bound.map(|bound| bound.until),
                };
                placed.insert(name.clone(), one);
            }
        }
        let gone = self.placed.keys().filter(|name| !placed.contains_key(name));
        changed.extend(gone.cloned());
        self.placed = placed;
        for (name, problems) in &unreadable {
            if !self.unreadable.contains_key(name) {
                tracing::error!(
                    code = "CB-GUARD-18",
                    connector = %name,
                    "what is in force cannot be read by this version: {problems}"
                );
            }
        }
        self.unreadable = unreadable;
        Ok(changed)
    }

    /// Places the files as they are.
    pub fn place_ungoverned(
        &mut self,
        files: &[Draft],
        clock: &Arc<dyn Clock>,
    ) -> Vec<ConnectorName> {
        let mut placed = BTreeMap::new();
        let mut changed = Vec::new();
        for file in files {
            let name = file.written.manifest.name.clone();
            let before = self.placed.get(&name);
            let same = |before: &&Placed| before.is(Standing::Ungoverned, Some(file), None);
            if let Some(before) = before.filter(same) {
                placed.insert(name, before.clone());
                continue;
            }
            changed.push(name.clone());
            let mut guarded = file.guarded(clock);
            if let Some(before) = self.placed.get(&name) {
                guarded.inherit(&before.guarded);
            }
            let one = Placed {
                guarded: Arc::new(guarded),
                standing: Standing::Ungoverned,
                file: Some(file.written.clone()),
                in_force: None,
                until: None,
            };
            placed.insert(name, one);
        }
        let gone = self.placed.keys().filter(|name| !placed.contains_key(name));
        changed.extend(gone.cloned());
        self.placed = placed;
        changed
    }

    /// One connector.
    pub fn get(&self, name: &ConnectorName) -> Option<&Placed> {
        self.placed.get(name)
    }

    /// All connectors, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&ConnectorName, &Placed)> {
        self.placed.iter()
    }

    /// The connectors behind their guards.
    pub fn registry(&self) -> Registry {
        let connectors = self.placed.iter();
        Registry::of(connectors.map(|(name, placed)| (name.clone(), placed.guarded.clone())))
    }

    fn undrilled(
        &self,
        name: &ConnectorName,
        standing: Standing,
        bound: Option<&Bound>,
    ) -> Option<Failure> {
        let drilled = self.drilled.as_ref()?;
        if drilled.contains(name) || !standing.serves() {
            return None;
        }
        let canary = bound.is_some_and(|bound| bound.draft.written.manifest.drill.is_some());
        Some(undrilled(canary))
    }

    /// Reads the texts in force, and tells what it cannot read; those that were read before are the same
    /// connectors as before.
    fn read(&mut self, in_force: &[Binding], clock: &Arc<dyn Clock>) -> Read {
        let mut read = BTreeMap::new();
        let mut bound = BTreeMap::new();
        let mut unreadable = BTreeMap::new();
        // An empty text says that there is no such connector any more.
        for binding in in_force.iter().filter(|one| !one.content.text.is_empty()) {
            let digest = &binding.content.digest;
            let draft = match self.read.get(digest) {
                Some(draft) => draft.clone(),
                None => {
                    let file = format!("{}.toml", binding.matter.name);
                    match registry::read(&file, &binding.content.text, clock) {
                        Ok(draft) => draft,
                        Err(found) => {
                            unreadable.insert(binding.matter.name.as_str().into(), found);
                            continue;
                        }
                    }
                }
            };
            read.insert(digest.clone(), draft.clone());
            let until = binding.until;
            bound.insert(binding.matter.name.as_str().into(), Bound { draft, until });
        }
        self.read = read;
        (bound, unreadable)
    }
}

fn guarded(
    standing: Standing,
    file: Option<&Draft>,
    bound: Option<&Bound>,
    clock: &Arc<dyn Clock>,
) -> Option<Guarded> {
    let Some(bound) = bound else {
        return file.map(|file| file.guarded(clock).under(Mandate::unapproved()));
    };
    let approved = &bound.draft.written;
    let mut under = Under {
        digest: approved.content.digest.clone(),
        narrowed_by: None,
    };
    if standing == Standing::Expired {
        let mandate = Mandate::expired(under, bound.until);
        return Some(bound.draft.guarded(clock).under(mandate));
    }
    let less = file.map(|file| narrowed(&approved.manifest, &file.written.manifest));
    let less = less.filter(|less| *less != approved.manifest);
    if let (Some(_), Some(file)) = (&less, file) {
        under.narrowed_by = Some(file.written.content.digest.clone());
    }
    let sooner = file.map_or(bound.until, |file| file.written.until());
    let mandate = Mandate {
        under: Some(under),
        until: Some(bound.until.min(sooner)),
        barred: None,
        undrilled: None,
    };
    let manifest = less.unwrap_or_else(|| approved.manifest.clone());
    Some(bound.draft.guarded_within(manifest, clock).under(mandate))
}

#[cfg(test)]
mod tests;
