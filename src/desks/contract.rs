//! What every desk can do.
//!
//! Owns the trait and the key by which a ticket is found again. A desk reads and changes tickets; that
//! a change was carried out is seen by looking again, never taken from its answer, and whoever calls
//! does so. A lost answer is told as `unknown_outcome`: then the ticket is looked for by its key first.

use async_trait::async_trait;
use secrecy::SecretString;

use super::order::WorkOrder;
use crate::domain::desk::{Note, Seen, Ticket};
use crate::domain::id::TaskId;
use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;

/// What a call is made with.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The desk's secret; wiped by whoever looked it up.
    pub secret: &'a SecretString,
    /// Now, for signatures.
    pub now: Timestamp,
}

/// A desk that keeps copies of tasks as tickets.
#[async_trait]
pub trait Desk: Send + Sync + std::fmt::Debug {
    /// Which kind, as in `kind = "…"`.
    fn kind(&self) -> &'static str;
    /// How long a new ticket may be missing from the desk's own search.
    fn search_lag_seconds(&self) -> u64 {
        0
    }
    /// False for a desk that cannot be asked for a ticket, and takes the same order twice as one.
    fn can_find(&self) -> bool {
        true
    }
    /// Signs in and finds the place where tickets go; makes nothing. Says what it found.
    async fn check(&self, call: Call<'_>) -> Result<String, Failure>;
    /// The ticket that carries this task's key, the oldest if there are several.
    async fn find(&self, call: Call<'_>, task: TaskId) -> Result<Option<Ticket>, Failure>;
    /// Makes a ticket that carries the task's key.
    async fn create(&self, call: Call<'_>, order: &WorkOrder) -> Result<Ticket, Failure>;
    /// How the ticket stands; `None` at a desk that cannot be asked and tells by itself.
    async fn look(&self, call: Call<'_>, ticket: &Ticket) -> Result<Option<Seen>, Failure>;
    /// Adds a text.
    async fn note(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure>;
    /// Whether a text with this mark is there; `None` at a desk that cannot be asked.
    async fn noted(
        &self,
        call: Call<'_>,
        ticket: &Ticket,
        mark: &str,
    ) -> Result<Option<bool>, Failure>;
    /// Closes the ticket, with a last text.
    async fn close(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure>;
    /// Opens the ticket again, with the reason.
    async fn reopen(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure>;
}

/// What a ticket carries, so that it is found again: letters, digits and `-` only, as a label needs.
pub fn key(task: TaskId) -> String {
    format!("clawback-{task}")
}
