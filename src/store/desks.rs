//! What the trait takes and gives of copies at desks: leases, results, what a desk says by itself.
//!
//! Owns the part of the store that belongs to desks. What a copy lacks is decided by `domain::desk`.
//! Does not know how either database keeps it.

use async_trait::async_trait;

use super::Stored;
use crate::domain::desk::{DeskCopy, Heard};
use crate::domain::id::{DeskName, FencingToken, TaskId, WorkerId};
use crate::domain::task::FallbackTask;
use crate::domain::time::Timestamp;

/// Copies of fallback tasks at desks.
#[async_trait]
pub trait Desks {
    /// Leases up to `at_most` copies at this desk that are due, or whose task has changed its state,
    /// most urgent task first, each to one worker at a time; an open task without a copy gets its row
    /// here. The lease of a worker that is gone counts for nothing.
    async fn take_copies(&self, want: &CopiesWanted) -> Stored<Vec<CopyLease>>;
    /// Writes a copy under its lease. With `next` the lease ends; without, it goes on, and what is
    /// written is an intent that outlives a crash. `false` when the lease has moved on: nothing is
    /// written then.
    async fn keep_copy(
        &self,
        lease: &CopyLease,
        copy: &DeskCopy,
        next: Option<NextVisit>,
    ) -> Stored<bool>;
    /// Takes in what a desk said by itself about a task, and makes its copy due. `None` when there is
    /// no such copy, `false` when it was said before.
    async fn desk_said(&self, desk: &DeskName, task: TaskId, heard: &Heard)
    -> Stored<Option<bool>>;
    /// The copies of one task.
    async fn copies_of(&self, task: TaskId) -> Stored<Vec<DeskCopy>>;
    /// Figures of each desk that has unfinished copies.
    async fn desk_figures(&self) -> Stored<Vec<DeskFigures>>;
}

/// What a worker would work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiesWanted {
    /// Who.
    pub worker: WorkerId,
    /// Now.
    pub now: Timestamp,
    /// At which desk.
    pub desk: DeskName,
    /// How long one may take before another worker may take it over.
    pub lease_seconds: u64,
    /// At most so many.
    pub at_most: u32,
}

/// A copy that this worker works on, and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyLease {
    /// Shown with the result.
    pub token: FencingToken,
    /// The task as it stands.
    pub task: FallbackTask,
    /// The copy as it was kept last.
    pub copy: DeskCopy,
}

/// When a copy is worked on next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextVisit {
    /// When the ticket is looked at again.
    pub due: Timestamp,
    /// Since when the copy lags; then a change of the task does not make it due before.
    pub troubled: Option<Timestamp>,
}

/// Figures of one desk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskFigures {
    /// Which.
    pub desk: DeskName,
    /// Copies that are not finished.
    pub open: u64,
    /// Of these, copies that lag because something failed.
    pub troubled: u64,
    /// Since when the first of these lags.
    pub since: Option<Timestamp>,
}
