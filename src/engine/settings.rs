//! The engine's own settings.
//!
//! Owns limits and intervals of a worker. All have defaults that suit production; `dev` and tests
//! shorten the intervals. Units are in the names.

use std::collections::BTreeSet;

use crate::document::Table;
use crate::domain::brake::Brakes;
use crate::domain::escalation::People;
mod brakes;
mod people;
use crate::domain::doubt::Trust;
pub use brakes::{read as read_brakes, read_protected};
pub use people::read as read_people;

/// Limits and intervals of one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Runs that one worker holds at once.
    pub runs_at_once: u32,
    /// Of these, runs that talk to one connector at most: twice what it may have calls at once, and
    /// never more than this. A target that hangs holds up no more.
    pub runs_per_connector: u32,
    /// How long a worker may be silent before others take its runs.
    pub lease_seconds: u64,
    /// How often it looks for due runs when nothing wakes it.
    pub poll_milliseconds: u64,
    /// How often it looks for dead workers.
    pub bury_milliseconds: u64,
    /// How often it looks for secrets that are due.
    pub sweep_seconds: u64,
    /// How often it looks for connectors that are to be surveyed; when is in their manifests.
    pub survey_milliseconds: u64,
    /// How often a connector is drilled whose manifest does not say it.
    pub drill_days: u64,
    /// Settlements in one commit at most.
    pub settlements_per_commit: usize,
    /// How far events are trusted without a person.
    pub trust: Trust,
    /// Where status events go; `None` writes none.
    pub status_topic: Option<String>,
    /// `[tasks]`: when people work, and who is told of what they have not done in time.
    pub people: People,
    /// `[protected]`: subjects, by tenant and id, that nobody touches without approval.
    pub protected: BTreeSet<String>,
    /// `[brakes]`: how many may leave or lose access within a time.
    pub brakes: Brakes,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            runs_at_once: 512,
            runs_per_connector: 64,
            lease_seconds: 10,
            poll_milliseconds: 50,
            bury_milliseconds: 500,
            sweep_seconds: 60,
            survey_milliseconds: 2000,
            drill_days: 30,
            settlements_per_commit: 512,
            trust: Trust::default(),
            status_topic: Some("clawback.status.v1".to_owned()),
            people: People::default(),
            protected: BTreeSet::new(),
            brakes: Brakes::default(),
        }
    }
}

impl Settings {
    /// Reads the `[engine]` table; problems go into its document.
    pub fn read(table: &Table<'_>) -> Self {
        let default = Self::default();
        let number = |key: &str, low: i64, high: i64, default: u64| {
            table
                .integer(key, low..=high)
                .map_or(default, |item| item.value.unsigned_abs())
        };
        let per_commit = number("settlements_per_commit", 1, 4096, 512);
        let settings = Self {
            runs_at_once: number("runs_at_once", 1, 100_000, 512) as u32,
            runs_per_connector: number("runs_per_connector", 1, 100_000, 64) as u32,
            lease_seconds: number("lease_seconds", 2, 600, default.lease_seconds),
            poll_milliseconds: number("poll_milliseconds", 5, 60_000, default.poll_milliseconds),
            bury_milliseconds: number("bury_milliseconds", 50, 60_000, default.bury_milliseconds),
            sweep_seconds: number("sweep_seconds", 1, 86_400, default.sweep_seconds),
            survey_milliseconds: number(
                "survey_milliseconds",
                10,
                600_000,
                default.survey_milliseconds,
            ),
            drill_days: number("drill_days", 1, 366, default.drill_days),
            settlements_per_commit: per_commit as usize,
            trust: read_trust(table),
            status_topic: match table.string("status_topic") {
                Some(topic) if topic.value.is_empty() => None,
                Some(topic) => Some(topic.value),
                None => default.status_topic,
            },
            people: default.people,
            protected: default.protected,
            brakes: default.brakes,
        };
        table.finish();
        settings
    }
}

/// The bounds beyond which an event is held for a person.
fn read_trust(table: &Table<'_>) -> Trust {
    let days = |key: &str| {
        let item = table.integer(key, 1..=36_500);
        item.map(|item| item.value.unsigned_abs())
    };
    let default = Trust::default();
    Trust {
        past_days: days("effective_past_days").unwrap_or(default.past_days),
        ahead_days: days("effective_ahead_days").unwrap_or(default.ahead_days),
        event_age_days: days("event_age_days").or(default.event_age_days),
    }
}
