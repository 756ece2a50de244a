//! The keys of kind `jira`.
//!
//! Owns project, issue type and the names of transitions, where the status category alone does not
//! decide. Connects to nothing.

use super::super::settings::{required, text};
use crate::document::Table;

/// A project and its ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Project {
    pub(super) key: String,
    pub(super) issue_type: String,
    /// The transition that closes; otherwise the first that leads to a status that is done.
    pub(super) close_transition: Option<String>,
    /// The transition that opens again; otherwise the first that leads to one that is not.
    pub(super) reopen_transition: Option<String>,
    /// Set with the close, where the project's screen asks for it.
    pub(super) resolution: Option<String>,
}

impl Project {
    pub(super) fn read(table: &Table<'_>) -> Option<Self> {
        let line = table.line();
        let key = required(table, "project");
        let optional = |key: &str| table.string(key).map(|item| item.value);
        let project = Self {
            key: String::new(),
            issue_type: text(table, "issue_type", "Task"),
            close_transition: optional("close_transition"),
            reopen_transition: optional("reopen_transition"),
            resolution: optional("resolution"),
        };
        let key = key?;
        // It becomes part of a query.
        let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if !key.chars().all(fits) {
            let what = format!("`project` is `{key}`");
            table.report(line, what, "write the project's key, such as HELP");
            return None;
        }
        Some(Self { key, ..project })
    }
}
