//! The `[audit]` table: which key signs, and how often.
//!
//! Owns no key: only the vault's reference to it. That the log is written cannot be switched off, and
//! nothing of it is ever taken away.

use crate::document::Table;

/// How the log is signed and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// The signing key's reference in the vault.
    pub key: String,
    /// How long links wait for a checkpoint at most; what is cut off in that time leaves no trace.
    pub checkpoint_seconds: u64,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            key: "local:audit".to_owned(),
            checkpoint_seconds: 60,
        }
    }
}

impl AuditSettings {
    /// Reads the table; problems go to the document.
    pub fn read(table: &Table<'_>) -> Self {
        let mut settings = Self::default();
        if let Some(key) = table.string("key") {
            if !key.value.contains(':') {
                table.report(
                    key.line,
                    format!("`{}` is no reference into a vault", key.value),
                    "write for example local:audit; the key itself is never written here",
                );
            }
            settings.key = key.value;
        }
        if let Some(seconds) = table.integer("checkpoint_seconds", 1..=86_400) {
            settings.checkpoint_seconds = seconds.value as u64;
        }
        table.finish();
        settings
    }
}
