//! Rows that can't be read, set aside so that they keep no others from their turn.
//!
//! A verb takes the oldest rows first, so a row that this version can't read would be met by every
//! look, and nothing behind it would ever be reached: after a rollback, by one row of the newer
//! version. It is left where it lies, owed and visible, and told by a log line and a metric. After a
//! while it is tried and told again. Does not repair anything.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::event::RecordedEvent;
use crate::domain::run::Run;
use crate::domain::task::FallbackTask;
use crate::telemetry::{Stopwatch, metrics};

use super::row::{EventRow, RunRow, TaskRow};
use super::{StoreError, Stored};

/// How long a row is left alone before it is tried again: somebody may have mended it.
const LEFT_ALONE: Duration = Duration::from_secs(600);

/// What this process found that it can't read.
#[derive(Debug, Default)]
pub(super) struct Aside(Mutex<HashMap<(&'static str, String), Stopwatch>>);

impl Aside {
    /// How many rows of a table every look finds besides those that it asks for.
    pub(super) fn count(&self, table: &'static str) -> u32 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, found| found.elapsed() < LEFT_ALONE);
        known.keys().filter(|(of, _)| *of == table).count() as u32
    }

    /// True for a row that was found unreadable a short while ago.
    pub(super) fn knows(&self, table: &'static str, row: impl Display) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains_key(&(table, row.to_string()))
    }

    /// What was read for the sake of this row; `None` sets the row aside. Other errors are passed on.
    pub(super) fn read<T>(
        &self,
        table: &'static str,
        row: impl Display,
        read: Stored<T>,
    ) -> Stored<Option<T>> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error @ StoreError::Corrupt { .. }) => {
                let row = row.to_string();
                tracing::error!(
                    code = "CB-STORE-2",
                    table,
                    row,
                    error = %error,
                    "a row is left out, and owed: it can't be read by this version"
                );
                metrics::row_unreadable(table);
                let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert((table, row), Stopwatch::start());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The first `limit` of these events that can be read.
    pub(super) fn events(
        &self,
        rows: &[EventRow],
        limit: u32,
    ) -> Stored<Vec<(i64, RecordedEvent)>> {
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            if events.len() < limit as usize && !self.knows("events", row.seq) {
                events.extend(self.read("events", row.seq, row.event())?);
            }
        }
        Ok(events)
    }

    /// Those of these tasks that can be read.
    pub(super) fn tasks(&self, rows: &[TaskRow]) -> Stored<Vec<FallbackTask>> {
        let mut tasks = Vec::with_capacity(rows.len());
        for row in rows {
            if !self.knows("tasks", row.id) {
                tasks.extend(self.read("tasks", row.id, row.task())?);
            }
        }
        Ok(tasks)
    }

    /// Those of these runs that can be read.
    pub(super) fn runs(&self, rows: &[RunRow]) -> Stored<Vec<Run>> {
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            if !self.knows("runs", row.id) {
                runs.extend(self.read("runs", row.id, row.run())?);
            }
        }
        Ok(runs)
    }

    /// How many events an admission tries next that met something unreadable with these: half of
    /// them, until one is left. That one is set aside and all others have their turn.
    pub(super) fn narrowed(&self, tried: &[i64], error: StoreError) -> Stored<Option<u32>> {
        let [one] = tried else {
            return match error {
                StoreError::Corrupt { .. } if !tried.is_empty() => {
                    Ok(Some((tried.len() / 2) as u32))
                }
                error => Err(error),
            };
        };
        self.read::<()>("events", one, Err(error))?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::shape::corrupt;

    #[test]
    fn b2_what_cannot_be_read_is_found_by_halves_and_set_aside() {
        let aside = Aside::default();
        let unreadable = || corrupt("runs", "body", "r", &"unknown");
        assert_eq!(
            aside.narrowed(&[1, 2, 3], unreadable()).expect("narrowed"),
            Some(1)
        );
        assert_eq!(aside.count("events"), 0);
        assert_eq!(aside.narrowed(&[1], unreadable()).expect("found"), None);
        assert!(aside.knows("events", 1) && !aside.knows("events", 2));
        assert_eq!((aside.count("events"), aside.count("tasks")), (1, 0));
        let away = StoreError::Schema("another".to_owned());
        assert!(aside.narrowed(&[1, 2], away).is_err());
    }
}
