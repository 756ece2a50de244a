//! Where the store is.
//!
//! Owns the `[store]` table of the configuration. The address of a PostgreSQL server may hold a
//! password, so `Debug` shows it redacted.

use std::fmt;

use crate::document::Table;

/// Which database, and how many connections to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `postgres://…`, `sqlite:path` or `sqlite::memory:`.
    pub url: String,
    /// Connections that one process opens at most; SQLite always has one that writes. On PostgreSQL
    /// besides those by which a worker lives: one for its lease, one that is woken, two for small reads.
    pub connections: u32,
    /// Whether what is written is recorded in the tamper-evident log. No key of the configuration
    /// changes it: it is there so that a benchmark can measure what the log costs.
    pub audited: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: "sqlite:clawback.db".to_owned(),
            connections: 8,
            audited: true,
        }
    }
}

impl Settings {
    /// A store at this address, otherwise as by default.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &redacted(&self.url))
            .field("connections", &self.connections)
            .field("audited", &self.audited)
            .finish()
    }
}

/// The address without a password.
fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((user, place)) => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}:***@{place}")
        }
        None => url.to_owned(),
    }
}

impl Settings {
    /// Reads the `[store]` table; problems go to the document.
    pub fn read(table: &Table<'_>) -> Self {
        let mut settings = Self::default();
        if let Some(url) = table.string("url") {
            if !known(&url.value) {
                table.report(
                    url.line,
                    format!("`{}` is not the address of a store", redacted(&url.value)),
                    "write postgres://user@host/database, sqlite:path or sqlite::memory:",
                );
            }
            settings.url = url.value;
        }
        if let Some(connections) = table.integer("connections", 2..=200) {
            settings.connections = connections.value as u32;
        }
        table.finish();
        settings
    }
}

/// True for an address that one of the two databases understands.
fn known(url: &str) -> bool {
    is_postgres(url) || (url.starts_with("sqlite:") && url.len() > "sqlite:".len())
}

/// True for an address of a PostgreSQL server.
pub(super) fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_show() {
        let settings = Settings::at("postgres://claw:s3cr3t@db:5432/claw");
        let shown = format!("{settings:?}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        assert!(shown.contains("claw:***@db:5432/claw"), "{shown}");
    }

    #[test]
    fn both_kinds_of_address_are_known_and_others_are_not() {
        for url in ["postgres://a/b", "sqlite:x.db", "sqlite::memory:"] {
            assert!(known(url), "{url}");
        }
        for url in ["mysql://a/b", "sqlite:", "x.db"] {
            assert!(!known(url), "{url}");
        }
    }
}
