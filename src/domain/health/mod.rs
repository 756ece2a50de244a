//! How well a connector is, judged from what it answered lately.
//!
//! Owns the states, what is remembered of a connector between two surveys (a survey is a scheduled
//! reading of a whole target), and the sample that each survey leaves. What a survey answered is
//! judged in `answer`, what follows from it in `advance`, tasks in `care`. Reads nothing itself.

mod advance;
mod answer;
mod care;
mod identities;
mod orphan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{ConnectorName, RunId};
use super::outcome::FailureClass;
use super::settlement::OutboxMessage;
use super::time::Timestamp;
use super::verdict::{Completeness, CredentialRole};

pub use advance::{Survey, advance, next_survey};
pub use answer::Answer;
pub use care::{Care, CareBody, Keeper, care};
pub use identities::{CREDENTIAL, Identities, Pulse, Silence, Silences, Which, fallen};
pub use orphan::{Orphan, orphans};

/// How a connector is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Never surveyed.
    #[default]
    Unknown,
    /// Surveyed in full within its interval, as expected.
    Healthy,
    /// The last survey, or the last write, did not work; what is known is still young enough.
    Failing,
    /// What is known is older than its interval.
    Stale,
    /// The answer is not of the declared or known shape, or its count is not believed.
    Drifted,
    /// It answers as expected, but the last drill failed or is overdue, or it waits for its first.
    Undrilled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Unknown,
        Self::Healthy,
        Self::Failing,
        Self::Stale,
        Self::Drifted,
        Self::Undrilled,
    ];

    /// The name in tables, metrics and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Failing => "failing",
            Self::Stale => "stale",
            Self::Drifted => "drifted",
            Self::Undrilled => "undrilled",
        }
    }

    /// True when decisions made in it must be looked at again once it is over.
    pub fn is_away(self) -> bool {
        match self {
            Self::Unknown | Self::Healthy | Self::Undrilled => false,
            Self::Failing | Self::Stale | Self::Drifted => true,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a manifest expects of its connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest in seconds that the last good survey may become.
    pub refresh_seconds: u64,
    /// Oldest data in seconds that can prove absence.
    pub max_data_age_seconds: u64,
    /// By how much the count may differ from the last good one, in percent; `None`: by any.
    pub change_at_most_percent: Option<u64>,
    /// Attributes of accounts that decide whose they are.
    pub deciding: Vec<String>,
    /// How non-human identities are told, where the target has any.
    pub nhi: Option<Identities>,
    /// Names the manifest's content: what was known under another one is learned anew.
    pub manifest: String,
}

/// What is remembered of one connector. The empty one is of a connector that was never surveyed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// As judged at the last survey.
    pub state: State,
    /// Why, in words.
    pub reason: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When the first survey began, whatever it came to.
    pub first: Option<Timestamp>,
    /// When the last good survey began.
    pub surveyed: Option<Timestamp>,
    /// When a read last worked, of a survey or of a run.
    pub read: Option<Timestamp>,
    /// When a write last worked.
    pub write: Option<Timestamp>,
    /// When a write last failed in a way that speaks of the connector, and how.
    pub write_failed: Option<(Timestamp, FailureClass)>,
    /// Accounts at the last survey that answered.
    pub accounts: Option<u64>,
    /// Accounts of non-human identities among them.
    pub nhis: Option<u64>,
    /// Identities whose records tell no update, or none for too long.
    pub silent: Silences,
    /// What was wrong with the last survey.
    pub trouble: Option<Trouble>,
    /// What is wrong with its drills, as of the last survey.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undrilled: Option<String>,
    /// What the last good survey looked like.
    pub baseline: Option<Baseline>,
    /// What runs' calls came to since the last survey.
    pub calls: Calls,
    /// Accounts that Clawback itself deleted since the last good survey.
    pub deleted: u64,
    /// The last good survey before things went wrong; what was decided since is to be seen again.
    pub away_since: Option<Timestamp>,
    /// What is to be seen again, now that the connector is back.
    pub recheck: Option<Recheck>,
    /// The run that holds the open task for each state.
    pub care: BTreeMap<State, RunId>,
}

/// Why a survey was not good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// No answer.
    Failed {
        /// Its class.
        class: FailureClass,
        /// Its code.
        code: String,
        /// In words.
        message: String,
    },
    /// Not everything was shown; what was is true.
    Incomplete(String),
    /// The data were too old when they came.
    Old(String),
    /// The answer is not of its shape.
    Drifted(String),
    /// The number of accounts is not believed.
    Miscounted(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed {
                class,
                code,
                message,
            } => write!(f, "{code} {class}: {message}"),
            Self::Incomplete(what)
            | Self::Old(what)
            | Self::Drifted(what)
            | Self::Miscounted(what) => f.write_str(what),
        }
    }
}

impl Trouble {
    /// What a read has shown, as far as it is believed while this is the connector's trouble.
    pub fn believed(&self, seen: Completeness) -> Completeness {
        match self {
            Self::Drifted(_) => Completeness {
                fields_present: false,
                ..seen
            },
            Self::Miscounted(_) => Completeness {
                count_in_band: false,
                ..seen
            },
            Self::Failed { .. } | Self::Incomplete(_) | Self::Old(_) => seen,
        }
    }
}

/// What a good survey looked like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Under which manifest.
    pub manifest: String,
    /// How many accounts.
    pub accounts: u64,
    /// Of a hundred accounts, how many showed each field.
    pub fields: BTreeMap<String, u64>,
}

/// What the calls of runs came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Reads that worked.
    pub reads: u64,
    /// Writes that worked.
    pub writes: u64,
    /// Calls that did not, by class.
    pub failures: BTreeMap<FailureClass, u64>,
}

/// What one worker saw of one connector's calls since it last told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// When a read last worked.
    pub read: Option<Timestamp>,
    /// When a write last worked.
    pub write: Option<Timestamp>,
    /// When a write last failed in a way that speaks of the connector, and how.
    pub write_failed: Option<(Timestamp, FailureClass)>,
    /// Accounts deleted.
    pub deleted: u64,
    /// Counts.
    pub calls: Calls,
}

impl Tally {
    /// A call came to an end at `at`.
    pub fn note(&mut self, at: Timestamp, writes: bool, failed: Option<FailureClass>) {
        match (failed, writes) {
            (None, true) => {
                self.write = Some(at);
                self.calls.writes += 1;
            }
            (None, false) => {
                self.read = Some(at);
                self.calls.reads += 1;
            }
            (Some(class), writes) => {
                if writes && speaks_of_connector(class) {
                    self.write_failed = Some((at, class));
                }
                *self.calls.failures.entry(class).or_default() += 1;
            }
        }
    }
}

/// A write that fails so says nothing about the account and all about the connector.
fn speaks_of_connector(class: FailureClass) -> bool {
    matches!(
        class,
        FailureClass::AuthFailure | FailureClass::Unreachable | FailureClass::Drifted
    )
}

/// Removals settled while the connector was away, to be seen again with its own eyes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recheck {
    /// From then on.
    pub since: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// The last that was seen again, in the order of their ends.
    pub done: Option<(Timestamp, RunId)>,
    /// Surveys in which the next one could not be judged.
    #[serde(default, skip_serializing_if = "none_yet")]
    pub tries: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde asks.
fn none_yet(tries: &u32) -> bool {
    *tries == 0
}

impl Recheck {
    /// True for what ended then and has not been seen again yet.
    pub fn still_owes(&self, ended: Timestamp, run: RunId) -> bool {
        let seen = self.done.is_some_and(|done| (ended, run) <= done);
        ended >= self.since && ended <= self.until && !seen
    }
}

/// One point of the time series: what one survey showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When the survey began.
    pub at: Timestamp,
    /// How long it took.
    pub took_milliseconds: u64,
    /// What follows from it.
    pub state: State,
    /// Why, in words.
    pub reason: String,
    /// The last good survey, this one included.
    pub surveyed: Option<Timestamp>,
    /// The last read that worked.
    pub read: Option<Timestamp>,
    /// The last write that worked.
    pub write: Option<Timestamp>,
    /// Accounts shown; `None` without an answer.
    pub accounts: Option<u64>,
    /// Accounts of non-human identities among them.
    #[serde(default)]
    pub nhis: Option<u64>,
    /// Of these, those whose record had stopped updating.
    #[serde(default)]
    pub silent: u64,
    /// Against the last good survey before.
    pub change: Option<i64>,
    /// Whether it was everything.
    pub completeness: Option<Completeness>,
    /// Age of the data in seconds.
    pub data_age_seconds: Option<u64>,
    /// Of a hundred accounts, how many showed each field.
    pub fields: BTreeMap<String, u64>,
    /// SHA-256 over the names of the fields that most accounts show, 16 hexadecimal digits.
    pub shape: Option<String>,
    /// Class and code where there was no answer.
    pub failure: Option<(FailureClass, String)>,
    /// What runs' calls came to since the sample before.
    pub calls: Calls,
    /// Age in seconds of each of the connector's own secrets.
    pub credentials: BTreeMap<CredentialRole, u64>,
    /// Settled removals that were seen again.
    pub seen_again: u64,
    /// Of these, how many showed access that had come back.
    pub came_back: u64,
}

/// Everything that one survey changes; committed whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// As it stands afterwards.
    pub standing: Standing,
    /// The new point of the series.
    pub sample: Sample,
    /// Tasks opened, changed or closed, with their runs.
    pub care: Vec<Care>,
    /// Messages for the outbox.
    pub messages: Vec<OutboxMessage>,
    /// When the next survey is due.
    pub due: Timestamp,
}

impl Standing {
    /// How many non-human identities have stopped updating.
    pub fn silent(&self) -> u64 {
        let silent = self.silent.values();
        silent.filter(|one| one.forced.is_some()).count() as u64
    }

    /// Takes in what a worker saw.
    pub fn note(&mut self, tally: &Tally) {
        self.read = self.read.max(tally.read);
        self.write = self.write.max(tally.write);
        let failed = |one: &Option<(Timestamp, FailureClass)>| one.map(|(at, _)| at);
        if failed(&tally.write_failed) > failed(&self.write_failed) {
            self.write_failed = tally.write_failed;
        }
        self.deleted = self.deleted.saturating_add(tally.deleted);
        self.calls.reads = self.calls.reads.saturating_add(tally.calls.reads);
        self.calls.writes = self.calls.writes.saturating_add(tally.calls.writes);
        for (class, count) in &tally.calls.failures {
            let known = self.calls.failures.entry(*class).or_default();
            *known = known.saturating_add(*count);
        }
    }

    /// How the connector is at `now`, and why. What a survey found grows stale by itself.
    pub fn judged(&self, bounds: &Bounds, now: Timestamp) -> (State, String) {
        let Some(first) = self.first else {
            return (State::Unknown, "never surveyed".to_owned());
        };
        if let Some(trouble @ (Trouble::Drifted(_) | Trouble::Miscounted(_))) = &self.trouble {
            return (State::Drifted, trouble.to_string());
        }
        if let Some(Trouble::Old(what)) = &self.trouble {
            return (State::Stale, what.clone());
        }
        let age = seconds_between(self.surveyed.unwrap_or(first), now);
        let because = self.trouble.as_ref().map(ToString::to_string);
        if age > bounds.refresh_seconds {
            let because = because.map_or(String::new(), |words| format!("; {words}"));
            let every = bounds.refresh_seconds;
            return (
                State::Stale,
                format!("no good survey within {every} s{because}"),
            );
        }
        if let Some(because) = because {
            return (State::Failing, because);
        }
        match self.write_failed {
            Some((at, class)) if Some(at) > self.write => {
                (State::Failing, format!("the last write failed: {class}"))
            }
            Some(_) | None => match &self.undrilled {
                Some(why) => (State::Undrilled, why.clone()),
                None => (State::Healthy, "as expected".to_owned()),
            },
        }
    }
}

/// Whole seconds from `a` to `b`; 0 when `b` is not later.
pub fn seconds_between(a: Timestamp, b: Timestamp) -> u64 {
    u64::try_from(b.duration_since(a).as_secs()).unwrap_or(0)
}

/// A connector with how it stands.
pub type Standings = BTreeMap<ConnectorName, Standing>;
