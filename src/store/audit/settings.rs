//! The `[audit]` table: which key signs, and how often.
//!
//! Owns no key: only the vault's reference to it. That the log is written cannot be switched off, and
//! nothing of it is ever taken away but under a signed tombstone.

use crate::document::Table;
use crate::domain::audit::LEAST_RETAINED_DAYS;

/// How the log is signed and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// The signing key's reference in the vault.
    pub key: String,
    /// How long links wait for a checkpoint at most; what is cut off in that time leaves no trace.
    pub checkpoint_seconds: u64,
    /// How long records of what has ended are kept, in days; without it for ever.
    pub retain_days: Option<u32>,
    /// Lets go once a day what is older; otherwise `clawback audit drop` does.
    pub drop_daily: bool,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            key: "local:audit".to_owned(),
            checkpoint_seconds: 60,
            retain_days: None,
            drop_daily: false,
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
        let days = i64::from(LEAST_RETAINED_DAYS)..=36_500;
        if let Some(days) = table.integer("retain_days", days) {
            settings.retain_days = u32::try_from(days.value).ok();
        }
        if let Some(daily) = table.boolean("drop_daily") {
            settings.drop_daily = daily.value;
            if daily.value && settings.retain_days.is_none() {
                table.report(
                    daily.line,
                    "`drop_daily` without `retain_days`",
                    "say how long records are kept, for example retain_days = 1100",
                );
            }
        }
        table.finish();
        settings
    }
}
