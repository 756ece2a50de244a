//! Events that were deleted from their topic before they were read, until it is written down.
//!
//! Owns the dead letter that stands for them: it has no message, waits like any other and is set aside
//! by a person who has compared the source's list. A loss that is known is written before the next batch,
//! so that no checkpoint hides it; whether a hole in a partition that is held is one, the broker says some
//! seconds later. Does not find holes; `gaps` and `resume` do.

use std::sync::{Mutex, PoisonError};

use crate::domain::event::Origin;
use crate::domain::id::DeadLetterId;
use crate::domain::time::Timestamp;
use crate::store::{DeadLetter, IntakeBatch, Store, StoreError};

/// A hole that is a loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// First offset that is gone.
    pub(super) from: i64,
    /// First offset that is not.
    pub(super) to: i64,
    /// When it was noticed.
    pub(super) noticed: Timestamp,
}

/// Losses that the store does not have yet.
#[derive(Debug, Default)]
pub(super) struct Losses(Mutex<Vec<Loss>>);

impl Losses {
    pub(super) fn add(&self, loss: Loss) {
        self.with(|losses| losses.push(loss));
    }

    /// True where there are any.
    pub(super) fn wait(&self) -> bool {
        self.with(|losses| !losses.is_empty())
    }

    /// Writes them down. Repeating it is harmless.
    ///
    /// # Errors
    /// When the store is away; they are kept for the next call.
    pub(super) async fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        let losses = self.with(|losses| losses.clone());
        if losses.is_empty() {
            return Ok(());
        }
        let batch = IntakeBatch {
            dead_letters: losses.iter().map(letter).collect(),
            ..IntakeBatch::default()
        };
        match store.record(&batch).await {
            Ok(_) => {}
            // Nothing that waits for them could be read either; the log line and the metric stay.
            Err(StoreError::Refused(words)) => {
                tracing::error!(code = DeadLetter::LOST, error = %words, "the store refuses to keep what was lost");
            }
            Err(error) => return Err(error),
        }
        self.with(|waiting| waiting.retain(|one| !losses.contains(one)));
        Ok(())
    }

    fn with<T>(&self, change: impl FnOnce(&mut Vec<Loss>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Noticed again after a restart, the same hole is the same letter.
fn letter(loss: &Loss) -> DeadLetter {
    let (from, to) = (loss.from, loss.to);
    let count = (to - from).unsigned_abs();
    DeadLetter {
        id: DeadLetterId::of(
            &loss.topic,
            loss.partition,
            from,
            format!("lost before {to}").as_bytes(),
        ),
        origin: Origin {
            topic: loss.topic.clone(),
            partition: loss.partition,
            offset: from,
            traceparent: None,
            tracestate: None,
        },
        key: None,
        headers: Vec::new(),
        payload: Vec::new(),
        code: DeadLetter::LOST.to_owned(),
        reason: format!(
            "the topic's retention deleted up to {count} events before they were read, from here to before \
             {to}: leavers may be missing; compare the source's list, submit what is missing, then set this aside"
        ),
        first_seen: loss.noticed,
        replayed: None,
        aside: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Letters;
    use crate::store::fixture::in_memory;

    fn loss(from: i64, to: i64) -> Loss {
        Loss {
            topic: "t".to_owned(),
            partition: 3,
            from,
            to,
            noticed: Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn a3_what_was_lost_waits_in_writing_once_and_has_no_message() {
        let store = in_memory().await;
        let losses = Losses::default();
        losses.add(loss(7, 19));
        assert!(losses.wait());
        losses.write(store.as_ref()).await.expect("written");
        assert!(!losses.wait());
        // After a restart the same hole is noticed again, and a larger one.
        losses.add(loss(7, 19));
        losses.add(loss(7, 20));
        losses.write(store.as_ref()).await.expect("written");
        let letters = store.dead_letters(Letters::Waiting, 9).await;
        let letters = letters.expect("read");
        let told: Vec<_> = letters
            .iter()
            .map(|letter| {
                (
                    letter.origin.offset,
                    letter.has_message(),
                    letter.code.as_str(),
                )
            })
            .collect();
        assert_eq!(told, [(7, false, "CB-INTAKE-16"); 2]);
        assert!(letters[1].reason.contains("up to 12 events"));
        assert!(letters[0].reason.contains("to before 20"));
    }
}
