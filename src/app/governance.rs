//! Two people for every manifest: propose, compare, approve, and look back.
//!
//! Owns the operators' side: it reads the files of the configured folder, puts proposals and
//! approvals into the store, and tells how each connector stands. What then happens is the workers'
//! part; nothing here serves anything. Decides nothing: the rules are the domain's, and the store
//! holds them too.

use std::sync::Arc;

use serde::Serialize;

use super::AppError;
use crate::config::{self, Settings};
use crate::connectors::{
    Difference, Draft, Effect, Roll, Standing, Written, compare, drafts, effect, matter, retirement,
};
use crate::domain::approval::{
    self, Binding, Content, Disapproval, Matter, MatterKind, Past, Proposal, Record, Ruling, Signed,
};
use crate::domain::drill::Drill;
use crate::domain::id::{ConnectorName, ContentDigest};
use crate::domain::time::{Clock, Timestamp};
use crate::store::{Examination, Store};

/// The files and the store, for one command.
#[derive(Debug)]
pub struct Governance {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    files: Vec<Draft>,
    governed: bool,
    drilled: bool,
}

/// How one connector stands, for operators.
#[derive(Debug, Clone, Serialize)]
pub struct Stands {
    /// Which.
    pub connector: ConnectorName,
    /// How.
    pub standing: Standing,
    /// The same in words.
    pub words: String,
    /// What is in force.
    pub in_force: Option<ContentDigest>,
    /// When its approval ends.
    pub until: Option<Timestamp>,
    /// What the file says.
    pub file: Option<ContentDigest>,
    /// The proposal that waits.
    pub proposed: Option<Proposal>,
    /// What the file would change of what is in force.
    pub differences: Vec<Difference>,
    /// Why it serves no events, where what is in force has passed no drill.
    pub undrilled: Option<String>,
}

impl Stands {
    /// True when the file permits no more than what is in force, or nobody governs.
    pub fn file_binds(&self) -> bool {
        matches!(
            self.standing,
            Standing::Ungoverned | Standing::InForce | Standing::Narrower
        )
    }
}

/// What a file or a proposal changes.
#[derive(Debug, Clone, Serialize)]
pub struct Diff {
    /// Of which connector.
    pub connector: ConnectorName,
    /// `file` or `proposal`.
    pub from: &'static str,
    /// What it says.
    pub digest: ContentDigest,
    /// What is in force now; none means that nothing was approved, so all of it is new.
    pub over: Option<ContentDigest>,
    /// What the whole of it does.
    pub effect: Effect,
    /// Change by change.
    pub differences: Vec<Difference>,
}

/// When and how a connector was tested, newest first.
#[derive(Debug, Clone, Default)]
pub struct Tested {
    /// Its drills.
    pub drills: Vec<Drill>,
    /// Its examinations.
    pub examinations: Vec<Examination>,
    /// What was decided about serving without a drill.
    pub overrides: Past,
    /// Whether there are older drills or examinations than these.
    pub more: bool,
}

/// What became of a connector in a command for one or all.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// Which.
    pub connector: ConnectorName,
    /// What it was about.
    pub digest: Option<ContentDigest>,
    /// `proposed`, `approved`, `rejected`, or why not.
    pub came_to: String,
    /// False where it was refused.
    pub accepted: bool,
}

/// Which connectors a command is about.
#[derive(Debug, Clone)]
pub enum Chosen {
    /// This one.
    One(ConnectorName),
    /// All for which there is something to do.
    All,
}

impl Governance {
    /// Reads the manifests of the settings' folder.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn open(
        settings: &Settings,
        store: Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, AppError> {
        Ok(Self {
            store,
            clock: clock.clone(),
            files: drafts(&config::manifests(settings)?, clock)?,
            governed: settings.governed,
            drilled: settings.drilled,
        })
    }

    /// Proposes what the file says; a file that is gone is a retirement.
    ///
    /// # Errors
    /// When the store fails, or the one that was named is refused.
    pub async fn propose(&self, chosen: &Chosen, signed: &Signed) -> Result<Vec<Done>, AppError> {
        let mut done = Vec::new();
        for name in self.names(chosen) {
            let file = self.file(&name);
            if file.is_none() && !self.serves(&name).await? {
                return Err(AppError::NoConnector(name));
            }
            let content = file.map_or_else(retirement, |file| file.content.clone());
            let until = file.map_or_else(approval::never, Written::until);
            let ruling = self
                .rule(&name, |record| {
                    let (content, signed) = (content.clone(), signed.clone());
                    approval::propose(record, &matter(&name), content, until, signed)
                })
                .await?;
            let words = if file.is_some() {
                "proposed"
            } else {
                "its retirement is proposed"
            };
            done.extend(outcome(chosen, name, Some(content.digest), ruling, words)?);
        }
        Ok(done)
    }

    /// Approves what is proposed. `digest` may be a beginning of the digest that the approver has
    /// seen. A proposal that the file has moved on from is outdated.
    ///
    /// # Errors
    /// When the store fails, or the one that was named is refused.
    pub async fn approve(
        &self,
        chosen: &Chosen,
        digest: Option<&str>,
        signed: &Signed,
    ) -> Result<Vec<Done>, AppError> {
        let mut done = Vec::new();
        for name in self.open_names(chosen).await? {
            let now = self.file(&name);
            let now = now.map_or_else(retirement, |file| file.content.clone());
            let ruling = self
                .rule(&name, |record| {
                    let meant = digest.map_or(now.digest.clone(), |text| {
                        meant(record, text).unwrap_or_else(|| text.into())
                    });
                    approval::approve(record, &matter(&name), &meant, signed.clone())
                })
                .await?;
            self.means_something(chosen, &ruling).await?;
            // Not what the file says: a digest that was named may be of a proposal that it moved on from.
            let digest = decided(&ruling).unwrap_or(now.digest);
            done.extend(outcome(chosen, name, Some(digest), ruling, "approved")?);
        }
        Ok(done)
    }

    /// Turns down what is proposed.
    ///
    /// # Errors
    /// When the store fails, or nothing is proposed.
    pub async fn reject(
        &self,
        name: &ConnectorName,
        signed: &Signed,
    ) -> Result<Vec<Done>, AppError> {
        let ruling = self
            .rule(name, |record| {
                approval::reject(record, &matter(name), signed.clone())
            })
            .await?;
        let chosen = Chosen::One(name.clone());
        self.means_something(&chosen, &ruling).await?;
        let digest = decided(&ruling);
        Ok(outcome(&chosen, name.clone(), digest, ruling, "rejected")?
            .into_iter()
            .collect())
    }

    /// What the file changes, and what the proposal changes if that is something else. What is in force
    /// and cannot be read any more (CB-GUARD-18) is one difference, which says so.
    ///
    /// # Errors
    /// When the store fails, there is no such connector, or the file or the proposal cannot be read.
    pub async fn diff(&self, name: &ConnectorName) -> Result<Vec<Diff>, AppError> {
        let record = self.record(name).await?;
        let in_force = record.in_force.as_ref().map(|bound| &bound.content);
        let was = in_force.map(|content| self.read(name, content));
        let (was, unreadable) = match was {
            Some(Err(error)) => (None, Some(unreadable(&error))),
            Some(Ok(was)) => (was, None),
            None => (None, None),
        };
        let mut contents = Vec::new();
        if let Some(open) = &record.open {
            contents.push(("proposal", open.content.clone()));
        }
        let file = self.file(name).map(|file| file.content.clone());
        let file = file.unwrap_or_else(retirement);
        if contents
            .iter()
            .all(|(_, content)| content.digest != file.digest)
        {
            contents.push(("file", file));
        }
        if in_force.is_none() && self.file(name).is_none() && record.open.is_none() {
            return Err(AppError::NoConnector(name.clone()));
        }
        contents
            .into_iter()
            .map(|(from, content)| {
                let becomes = self.read(name, &content)?;
                let differences = match (&was, &becomes) {
                    (Some(was), Some(becomes)) => compare(was, becomes),
                    _ => unreadable.clone().into_iter().collect(),
                };
                let known = was.is_some() && becomes.is_some();
                Ok(Diff {
                    connector: name.clone(),
                    from,
                    digest: content.digest,
                    over: in_force.map(|content| content.digest.clone()),
                    effect: if known {
                        effect(&differences)
                    } else {
                        Effect::Widening
                    },
                    differences,
                })
            })
            .collect()
    }

    /// Everything that ever happened to a connector's manifest.
    ///
    /// # Errors
    /// When the store fails, or nothing ever happened.
    pub async fn history(&self, name: &ConnectorName) -> Result<Past, AppError> {
        let past = self.store.past(&matter(name)).await?;
        if past.proposals.is_empty() && self.file(name).is_none() {
            return Err(AppError::NoConnector(name.clone()));
        }
        Ok(past)
    }

    /// What the file of this name says.
    pub fn file_digest(&self, name: &ConnectorName) -> Option<ContentDigest> {
        self.file(name).map(|file| file.content.digest.clone())
    }

    /// When and how a connector was tested.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tested(&self, name: &ConnectorName) -> Result<Tested, AppError> {
        const LISTED: u32 = 100;
        let overrides = Matter {
            kind: MatterKind::DrillOverride,
            name: name.to_string(),
        };
        let mut drills = self.store.drills(Some(name), LISTED + 1).await?;
        let mut examinations = self.store.examinations(name, LISTED + 1).await?;
        let most = LISTED as usize;
        let more = drills.len() > most || examinations.len() > most;
        drills.truncate(most);
        examinations.truncate(most);
        Ok(Tested {
            drills,
            examinations,
            overrides: self.store.past(&overrides).await?,
            more,
        })
    }

    /// How every connector stands, in order of their names.
    ///
    /// # Errors
    /// When the store fails, or a text that is in force cannot be read.
    pub async fn stands(&self) -> Result<Vec<Stands>, AppError> {
        let mut records = self.store.records(MatterKind::Manifest).await?;
        let in_force = records
            .values()
            .filter_map(|record| record.in_force.clone());
        let in_force: Vec<Binding> = in_force.collect();
        let mut roll = Roll::default();
        if self.governed && self.drilled {
            roll.ask_for_drills(Some(self.store.drilled(self.clock.now()).await?));
        }
        if self.governed {
            roll.place(&self.files, &in_force, &self.clock)?;
        } else {
            roll.place_ungoverned(&self.files, &self.clock);
        }
        let stands = roll.iter().map(|(name, placed)| {
            let proposed = records.remove(&matter(name)).and_then(|record| record.open);
            let words = placed.standing.as_str();
            Stands {
                connector: name.clone(),
                standing: placed.standing,
                words: match (&proposed, placed.standing) {
                    (Some(open), Standing::Unapproved | Standing::Expired | Standing::Waiting) => {
                        format!("{words}, proposed by {}", open.proposed.by)
                    }
                    _ if placed.undrilled().is_some() => format!("{words}, not drilled"),
                    _ => words.to_owned(),
                },
                in_force: placed
                    .in_force
                    .as_ref()
                    .map(|one| one.content.digest.clone()),
                until: placed.until,
                file: placed.file.as_ref().map(|file| file.content.digest.clone()),
                proposed,
                differences: placed.differences(),
                undrilled: placed.undrilled().map(|failure| failure.message.clone()),
            }
        });
        Ok(stands.collect())
    }

    /// Nothing is proposed for a name that nobody has ever heard, but that is not what to say of it.
    async fn means_something(
        &self,
        chosen: &Chosen,
        ruling: &Result<Ruling, Disapproval>,
    ) -> Result<(), AppError> {
        if let (Chosen::One(name), Err(Disapproval::NothingOpen(_))) = (chosen, ruling) {
            self.history(name).await?;
        }
        Ok(())
    }

    fn file(&self, name: &ConnectorName) -> Option<&Written> {
        let mut files = self.files.iter().map(|draft| draft.written.as_ref());
        files.find(|file| file.manifest.name == *name)
    }

    /// Reads a text that the store holds; an empty one is no manifest.
    fn read(
        &self,
        name: &ConnectorName,
        content: &Content,
    ) -> Result<Option<Arc<Written>>, AppError> {
        if content.text.is_empty() {
            return Ok(None);
        }
        let file = [(format!("{name}.toml"), content.text.clone())];
        let read = drafts(&file, &self.clock)?;
        Ok(read.into_iter().next().map(|draft| draft.written))
    }

    /// True when something is in force that could be retired.
    async fn serves(&self, name: &ConnectorName) -> Result<bool, AppError> {
        let in_force = self.record(name).await?.in_force;
        Ok(in_force.is_some_and(|bound| !bound.content.text.is_empty()))
    }

    async fn record(&self, name: &ConnectorName) -> Result<Record, AppError> {
        let mut records = self.store.records(MatterKind::Manifest).await?;
        Ok(records.remove(&matter(name)).unwrap_or_default())
    }

    /// Retirements are never meant by "all": a folder that is not there would retire everything.
    fn names(&self, chosen: &Chosen) -> Vec<ConnectorName> {
        if let Chosen::One(name) = chosen {
            return vec![name.clone()];
        }
        let names = self
            .files
            .iter()
            .map(|file| file.written.manifest.name.clone());
        names.collect()
    }

    async fn open_names(&self, chosen: &Chosen) -> Result<Vec<ConnectorName>, AppError> {
        if let Chosen::One(name) = chosen {
            return Ok(vec![name.clone()]);
        }
        let records = self.store.records(MatterKind::Manifest).await?;
        let open = records
            .into_iter()
            .filter(|(_, record)| record.open.is_some());
        Ok(open.map(|(matter, _)| ConnectorName(matter.name)).collect())
    }

    async fn rule(
        &self,
        name: &ConnectorName,
        decide: impl Fn(&Record) -> Result<Ruling, Disapproval> + Send + Sync,
    ) -> Result<Result<Ruling, Disapproval>, AppError> {
        Ok(self.store.rule(&matter(name), &decide).await?)
    }
}

/// The open proposal's digest, if it begins like this; at least eight digits, so that nobody means
/// another by accident.
fn meant(record: &Record, text: &str) -> Option<ContentDigest> {
    let open = record.open.as_ref()?;
    let digest = &open.content.digest;
    (text.len() >= 8 && digest.as_str().starts_with(text)).then(|| digest.clone())
}

/// What stands for the changes of a text that cannot be read: all of the new one may be new.
fn unreadable(error: &AppError) -> Difference {
    Difference {
        what: "what is in force".to_owned(),
        was: Some(format!("unreadable: {error}")),
        becomes: Some("all of this manifest".to_owned()),
        effect: Effect::Widening,
        why: "this version cannot read what is in force, so all of it counts as new",
    }
}

/// The digest of the proposal that was decided.
fn decided(ruling: &Result<Ruling, Disapproval>) -> Option<ContentDigest> {
    let decided = ruling.as_ref().ok()?.decided.as_ref()?;
    Some(decided.content.digest.clone())
}

/// A refusal of the one that was named is an error; of one among all it is told with the others. What
/// is so already needs no telling among all.
fn outcome(
    chosen: &Chosen,
    connector: ConnectorName,
    digest: Option<ContentDigest>,
    ruling: Result<Ruling, Disapproval>,
    words: &str,
) -> Result<Option<Done>, Disapproval> {
    let (came_to, accepted) = match (ruling, chosen) {
        (Ok(_), _) => (words.to_owned(), true),
        (Err(Disapproval::AlreadySo(_)), Chosen::All) => return Ok(None),
        (Err(disapproval), Chosen::One(_)) => return Err(disapproval),
        (Err(disapproval), Chosen::All) => (disapproval.to_string(), false),
    };
    Ok(Some(Done {
        connector,
        digest,
        came_to,
        accepted,
    }))
}
