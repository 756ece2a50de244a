//! What is held for two people: proposed from its task, and tried again once it is approved.
//!
//! Owns the text that two people decide about, and which tasks a matter holds. What a protection or a
//! brake is stands in the domain; who approves what is decided there too.

use std::sync::Arc;

use crate::domain::approval::{self, Content, Matter, MatterKind, Record, Signed};
use crate::domain::brake;
use crate::domain::command::{Command, Wish};
use crate::domain::id::{CommandId, ContentDigest, TaskId};
use crate::domain::protect;
use crate::domain::run::Run;
use crate::domain::task::FallbackTask;
use crate::domain::time::{Chance, Clock, after};
use crate::store::{Store, TaskFilter};

use super::AppError;

/// Tasks that one approval concerns at most.
const MOST: u32 = 100_000;

/// Holds, for one command or request.
#[derive(Debug)]
pub struct Holds {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
}

/// What was proposed.
#[derive(Debug)]
pub struct Proposed {
    /// About what.
    pub matter: Matter,
    /// Names the text.
    pub digest: ContentDigest,
    /// How many tasks are held by it.
    pub held: usize,
}

impl Holds {
    /// Over this store.
    pub fn new(store: Arc<dyn Store>, (clock, chance): (Arc<dyn Clock>, Arc<dyn Chance>)) -> Self {
        Self {
            store,
            clock,
            chance,
        }
    }

    /// Proposes that what holds this task lets it go on, for so many hours; `None` when there is no
    /// such task.
    ///
    /// # Errors
    /// When the task is not held, it is refused, or the store fails.
    pub async fn propose(
        &self,
        id: TaskId,
        hours: u64,
        signed: &Signed,
    ) -> Result<Option<Proposed>, AppError> {
        let Some(task) = self.store.task(id).await? else {
            return Ok(None);
        };
        let held = match self.store.run(task.run).await? {
            Some((run, _)) => of_task(&task, &run),
            None => None,
        };
        let matter = held.filter(|_| !task.is_closed());
        let matter = matter.ok_or(AppError::NotHeld)?;
        let tasks = self.concerned(&matter).await?;
        let content = Content::of(text(&matter, &tasks));
        let digest = content.digest.clone();
        let until = after(signed.at, hours.saturating_mul(3600));
        let decide = |record: &Record| {
            approval::propose(record, &matter, content.clone(), until, signed.clone())
        };
        self.store.rule(&matter, &decide).await??;
        Ok(Some(Proposed {
            digest,
            held: tasks.len(),
            matter,
        }))
    }

    /// Asks the machine to try again what this matter holds; returns how many tasks.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn try_again(&self, matter: &Matter, by: &str) -> Result<usize, AppError> {
        let held = self.concerned(matter).await?;
        for task in &held {
            let again = Command {
                id: CommandId(self.chance.id()),
                by: by.to_owned(),
                at: self.clock.now(),
                wish: Wish::RetryTask { task: task.id },
            };
            self.store.wish(&again).await?;
        }
        Ok(held.len())
    }

    /// The open tasks that are held by this matter, the most urgent first.
    async fn concerned(&self, matter: &Matter) -> Result<Vec<FallbackTask>, AppError> {
        let filter = TaskFilter {
            limit: MOST,
            ..TaskFilter::default()
        };
        let mut found = Vec::new();
        for task in self.store.tasks(&filter).await? {
            let is_hold = protect::CODES.contains(&task.code.as_str())
                || brake::CODES.contains(&task.code.as_str());
            if !is_hold {
                continue;
            }
            if let Some((run, _)) = self.store.run(task.run).await?
                && of_task(&task, &run).as_ref() == Some(matter)
            {
                found.push(task);
            }
        }
        Ok(found)
    }
}

/// What two people decide: what is held, and what would be done.
fn text(matter: &Matter, tasks: &[FallbackTask]) -> String {
    let mut lines = vec![match matter.kind {
        MatterKind::Brake => format!("lift the brake {} for a while; held by it:", matter.name),
        MatterKind::Manifest | MatterKind::DrillOverride | MatterKind::Protected => {
            "remove, in spite of its protection:".to_owned()
        }
    }];
    for task in tasks {
        let access = task.access.iter();
        let access = access.map(|one| format!("{} {}", one.kind.as_str(), one.name));
        lines.push(format!(
            "{}: account {} in {}, {}, with {}",
            task.subject,
            task.account.as_deref().unwrap_or("unknown"),
            task.connector
                .as_ref()
                .map_or("no target", |name| name.as_str()),
            if task.privileged {
                "privileged"
            } else {
                "standard"
            },
            access.collect::<Vec<_>>().join(", "),
        ));
    }
    lines.join("\n") + "\n"
}

/// The matter that holds the run of a task, from the task's code.
fn of_task(task: &FallbackTask, run: &Run) -> Option<Matter> {
    let braked = brake::name_of(&task.code, run, run.leaving()?);
    braked
        .map(|name| brake::matter(&name))
        .or_else(|| protect::matter_of(&task.code, run))
}
