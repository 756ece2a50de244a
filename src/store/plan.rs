//! What a batch of settlements asks of the database, worked out before the transaction begins.
//!
//! Owns what both databases share about settling: which runs stay leased, which children are born
//! leased, which parents count down, and how far the worker's share goes. Names no database.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use crate::domain::id::{ConnectorName, FencingToken};
use crate::domain::run::Run;
use crate::domain::settlement::{JournalEntry, OutboxMessage, Settlement};
use crate::domain::task::{FallbackTask, TaskState};
use crate::domain::time::Timestamp;

use super::shape::{RunColumns, micros};
use super::{Claimed, Keep, Stored};

/// How many more runs a worker takes on, and of which targets.
#[derive(Debug)]
pub(super) struct Share<'a> {
    keep: &'a Keep,
    left: u32,
    /// Of which targets it has taken some already.
    taken: BTreeMap<ConnectorName, u32>,
}

impl<'a> Share<'a> {
    pub(super) fn new(keep: &'a Keep) -> Self {
        Self {
            keep,
            left: keep.at_most,
            taken: BTreeMap::new(),
        }
    }

    /// Takes one place, if there is one.
    pub(super) fn take(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }

    /// Takes one place for this run if it is due and there is room for its target.
    fn take_for(&mut self, run: &Run, now: Timestamp) -> bool {
        if run.stage.due().is_none_or(|due| due > now) {
            return false;
        }
        let Some(name) = &run.connector else {
            return self.take();
        };
        let taken = self.taken.get(name).copied().unwrap_or_default();
        if taken >= self.keep.room_for(name) || !self.take() {
            return false;
        }
        self.taken.insert(name.clone(), taken + 1);
        true
    }
}

/// A run that begins.
#[derive(Debug)]
pub(super) struct Birth {
    pub columns: RunColumns,
    /// Due now and within the worker's share: born leased.
    pub leased: bool,
    /// Runs that are born with it and that it waits for.
    pub open_children: u32,
    pub run: Run,
}

/// A run that moves.
#[derive(Debug)]
pub(super) struct Move {
    pub columns: RunColumns,
    pub token: i64,
    /// Its next step is due: the lease stays.
    pub holds: bool,
    /// If it gathers and no child is open, it comes back to this worker at once.
    pub may_keep: bool,
}

/// One batch. Lists are in the order of the settlements; `accepted` filters them by run.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    pub moves: Vec<Move>,
    pub births: Vec<Birth>,
    pub journal: Vec<&'a JournalEntry>,
    pub tasks: Vec<&'a FallbackTask>,
    /// The settled run, and its message.
    pub messages: Vec<(Uuid, &'a OutboxMessage)>,
    /// The settled run, and each rotation that it asks for.
    pub rotations: Vec<(Uuid, RunColumns)>,
    /// The settled run, and case, end and time.
    pub ends: Vec<(Uuid, Uuid, &'static str, i64)>,
    /// Parents of runs that end, and whether the worker has room for them.
    pub parents: BTreeMap<Uuid, bool>,
}

impl<'a> Plan<'a> {
    /// Works out a batch. Only the first settlement of a run counts.
    pub(super) fn of(
        batch: impl Iterator<Item = (FencingToken, &'a Settlement)>,
        now: Timestamp,
        share: &mut Share<'_>,
    ) -> Stored<Self> {
        let mut plan = Self::default();
        let mut seen = HashSet::new();
        for (token, settlement) in batch {
            if !seen.insert(settlement.run.id) {
                continue;
            }
            plan.births_of(settlement, now, share)?;
            plan.move_of(token, settlement, now, share)?;
            plan.rest_of(settlement)?;
        }
        for parent in plan.parents.values_mut() {
            *parent = share.take();
        }
        Ok(plan)
    }

    fn births_of(
        &mut self,
        settlement: &Settlement,
        now: Timestamp,
        share: &mut Share<'_>,
    ) -> Stored<()> {
        for child in &settlement.children {
            self.births.push(Birth {
                columns: RunColumns::of(child, &[])?,
                leased: share.take_for(child, now),
                open_children: 0,
                run: child.clone(),
            });
        }
        Ok(())
    }

    fn move_of(
        &mut self,
        token: FencingToken,
        settlement: &Settlement,
        now: Timestamp,
        share: &mut Share<'_>,
    ) -> Stored<()> {
        let run = &settlement.run;
        let columns = RunColumns::of(run, &settlement.journal)?;
        let lonely = columns.gathers() && settlement.children.is_empty();
        if let (Some(_), Some(parent)) = (columns.ended, columns.parent_id) {
            self.parents.insert(parent, false);
        }
        self.moves.push(Move {
            token: token.0,
            holds: run.stage.due().is_some_and(|due| due <= now),
            may_keep: lonely && share.take(),
            columns,
        });
        Ok(())
    }

    fn rest_of(&mut self, settlement: &'a Settlement) -> Stored<()> {
        let run = settlement.run.id.0;
        self.journal.extend(&settlement.journal);
        self.tasks.extend(&settlement.task);
        self.messages
            .extend(settlement.messages.iter().map(|message| (run, message)));
        for rotation in &settlement.rotations {
            self.rotations.push((run, RunColumns::wished(rotation)?));
        }
        if let Some((case, end, at)) = &settlement.case_ended {
            self.ends.push((run, case.0, end.as_str(), micros(*at)));
        }
        Ok(())
    }
}

/// The first position of a run that admission opens, which no lease protects yet.
pub(super) struct Opening {
    pub run: Birth,
    pub children: Vec<Birth>,
}

impl Opening {
    /// A case's run with the runs that are born together with it. Each waits for those that name it
    /// as their parent; mostly that is the case's run alone.
    pub(super) fn of(first: &Settlement, now: Timestamp, share: &mut Share<'_>) -> Stored<Self> {
        let waits_for = |run: &Run| {
            let children = first.children.iter();
            children
                .filter(|child| child.parent == Some(run.id))
                .count() as u32
        };
        let mut run = Birth {
            columns: RunColumns::of(&first.run, &first.journal)?,
            leased: share.take_for(&first.run, now),
            open_children: waits_for(&first.run),
            run: first.run.clone(),
        };
        if run.columns.gathers() && first.children.is_empty() {
            run.columns.due_us = Some(micros(now));
            run.leased = share.take();
        }
        let children = first
            .children
            .iter()
            .map(|child| {
                Ok(Birth {
                    columns: RunColumns::of(child, &[])?,
                    leased: share.take_for(child, now),
                    open_children: waits_for(child),
                    run: child.clone(),
                })
            })
            .collect::<Stored<Vec<_>>>()?;
        Ok(Self { run, children })
    }
}

impl Birth {
    /// What a worker gets that holds it from its first moment.
    pub(super) fn claimed(&self, task: Option<&FallbackTask>) -> Claimed {
        Claimed {
            run: self.run.clone(),
            token: FencingToken(self.token()),
            open_children: self.open_children,
            task: task.filter(|task| open(task)).cloned(),
        }
    }

    /// Born leased counts as the first claim.
    pub(super) fn token(&self) -> i64 {
        i64::from(self.leased)
    }
}

/// True while the task is not closed.
pub(super) fn open(task: &FallbackTask) -> bool {
    match task.state {
        TaskState::Open
        | TaskState::Claimed { .. }
        | TaskState::Checking(_)
        | TaskState::SentBack { .. }
        | TaskState::AwaitingSecondPerson(_) => true,
        TaskState::Closed { .. } => false,
    }
}

/// Splits a batch so that no run moves in the same part in which a child of it ends: one statement
/// can't change a row twice. Nearly always there is one part.
pub(super) fn parts<'a>(
    batch: impl Iterator<Item = (FencingToken, &'a Settlement)>,
) -> Vec<Vec<(FencingToken, &'a Settlement)>> {
    let mut parts: Vec<Vec<(FencingToken, &Settlement)>> = vec![Vec::new()];
    let mut rest: Vec<_> = batch.collect();
    loop {
        let parents: HashSet<_> = rest
            .iter()
            .filter(|(_, settlement)| settlement.run.stage.ended())
            .filter_map(|(_, settlement)| settlement.run.parent)
            .collect();
        let (later, sooner): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|(_, settlement)| parents.contains(&settlement.run.id));
        let Some(part) = parts.last_mut() else {
            return parts;
        };
        if sooner.is_empty() {
            part.extend(later);
            return parts;
        }
        part.extend(sooner);
        if later.is_empty() {
            return parts;
        }
        parts.push(Vec::new());
        rest = later;
    }
}
