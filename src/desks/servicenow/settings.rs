//! The keys of kind `servicenow`.
//!
//! Owns the table and the states that mean open and closed; the usual ones are those of `incident`.
//! Connects to nothing.

use super::super::settings::{list, text};
use crate::document::Table;

/// A table and the choices of its `state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) table: String,
    /// The journal field that notes go into.
    pub(super) journal: String,
    /// Set when the task is done.
    pub(super) close: String,
    /// Goes with it.
    pub(super) close_code: String,
    /// Set when it is not.
    pub(super) reopen: String,
    /// What counts as closed.
    pub(super) closed: Vec<String>,
}

impl Records {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let records = Self {
            table: text(table, "table", "incident"),
            journal: text(table, "note_field", "work_notes"),
            close: text(table, "close_state", "6"),
            close_code: text(table, "close_code", "Solution provided"),
            reopen: text(table, "reopen_state", "2"),
            closed: list(table, "closed_states", &["6", "7", "8"]),
        };
        if records.closed.contains(&records.reopen) || !records.closed.contains(&records.close) {
            table.report(
                table.line(),
                "`close_state` must be among `closed_states`, and `reopen_state` not",
                "write the values of the table's `state` field",
            );
            return None;
        }
        Some(records)
    }
}
