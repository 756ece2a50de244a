//! What the store keeps of drills and examinations.
//!
//! Owns the part of the trait that is about testing connectors: drills under lease, whether what is in
//! force was tested, and the waking of what waited for that. The SQL is in each database's `drills`.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::drill::Drill;
use crate::domain::id::{ConnectorName, ContentDigest, DrillId, FencingToken, WorkerId};
use crate::domain::time::Timestamp;

use super::Stored;

/// A drill that one worker leads on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillLease {
    /// As last kept.
    pub drill: Drill,
    /// Shown when it is kept.
    pub token: FencingToken,
}

/// What `clawback connectors test` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// Of which connector.
    pub connector: ConnectorName,
    /// When.
    pub at: Timestamp,
    /// What its file said.
    pub manifest: ContentDigest,
    /// True when nothing failed.
    pub passed: bool,
    /// True when a canary was changed.
    pub changed: bool,
    /// What failed, in words.
    pub failed: Vec<String>,
}

/// Drills and examinations.
#[async_trait]
pub trait Drills: Send + Sync {
    /// Adds a drill; `false` if one of the connector is under way, or it exists already.
    async fn begin_drill(&self, drill: &Drill) -> Stored<bool>;
    /// Leases drills that are due, each to one worker at a time. The lease of a worker that is gone
    /// counts for nothing.
    async fn take_drills(
        &self,
        worker: WorkerId,
        now: Timestamp,
        lease_seconds: u64,
        at_most: u32,
    ) -> Stored<Vec<DrillLease>>;
    /// Keeps how a drill stands now, and gives it back; `false` when the lease has moved on.
    async fn keep_drill(&self, lease: &DrillLease, drill: &Drill, due: Timestamp) -> Stored<bool>;
    /// One drill.
    async fn drill(&self, id: DrillId) -> Stored<Option<Drill>>;
    /// Drills of one connector or of all, newest first.
    async fn drills(&self, connector: Option<&ConnectorName>, limit: u32) -> Stored<Vec<Drill>>;
    /// Connectors whose manifest in force has passed a drill, or that two people let serve without. A
    /// narrower manifest that followed without an approval of its own has what it followed.
    async fn drilled(&self, now: Timestamp) -> Stored<BTreeSet<ConnectorName>>;
    /// Runs at this connector that are with a person because of one of these codes try again now, and
    /// its survey is due if it was found to be undrilled. They are woken some at a time, and one that cannot
    /// be read is left out. Returns how many; those that a worker holds come to it by themselves.
    async fn wake_barred(
        &self,
        connector: &ConnectorName,
        codes: &[&str],
        now: Timestamp,
    ) -> Stored<u64>;
    /// Keeps what an examination found.
    async fn note_examination(&self, examination: &Examination) -> Stored<()>;
    /// Examinations of one connector, newest first.
    async fn examinations(&self, connector: &ConnectorName, limit: u32)
    -> Stored<Vec<Examination>>;
}
