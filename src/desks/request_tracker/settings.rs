//! The keys of kind `request_tracker`.
//!
//! Owns the queue and the statuses of its lifecycle that mean open and closed. Connects to nothing.

use super::super::settings::{list, required, text};
use crate::document::Table;

/// A queue and its lifecycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) name: String,
    /// Set when the task is done.
    pub(super) close: String,
    /// Set when it is not.
    pub(super) reopen: String,
    /// What counts as closed.
    pub(super) closed: Vec<String>,
}

impl Queue {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let name = required(table, "queue");
        let queue = Self {
            name: String::new(),
            close: text(table, "close_status", "resolved"),
            reopen: text(table, "reopen_status", "open"),
            closed: list(table, "closed_statuses", &["resolved", "rejected"]),
        };
        if queue.closed.contains(&queue.reopen) || !queue.closed.contains(&queue.close) {
            table.report(
                table.line(),
                "`close_status` must be among `closed_statuses`, and `reopen_status` not",
                "write the statuses of the queue's lifecycle",
            );
        }
        Some(Self {
            name: name?,
            ..queue
        })
    }
}
