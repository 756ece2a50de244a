//! One batch into the store, whatever the store says.
//!
//! Owns: building the batch, turning conflicts into dead letters, and finding the one message that
//! the store refuses while it takes the others. Does not wait and does not touch Kafka: a store
//! that is away goes back to the caller, who keeps the batch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::event::RecordedEvent;
use crate::domain::time::{Clock, Timestamp};
use crate::store::{Checkpoint, IntakeBatch, Receipt, Store, StoreError};
use crate::telemetry::messaging::{self, Place};
use crate::telemetry::{SpanHandle, Stopwatch, enabled, metrics};

use super::dead_letter::bury;
use super::decode::RawMessage;
use super::health::Health;
use super::losses::Losses;
use super::rejection::{Code, Rejection};

/// A message with what decoding made of it.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) message: RawMessage,
    pub(super) decoded: Result<RecordedEvent, Rejection>,
}

/// Puts batches into the store.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) health: Arc<Health>,
    pub(super) group: String,
    pub(super) losses: Arc<Losses>,
    pub(super) committed: Arc<Committed>,
}

/// Where each partition, of a topic, was left by the last commit that this reader knows of: its own, or
/// the one at which it was assigned.
pub(super) type Committed = Mutex<BTreeMap<(String, i32), i64>>;

impl Recorder {
    /// Into the store, on top of what this reader committed before: a database that has lost that takes
    /// nothing more, so that the hole is read again.
    async fn commit(&self, whole: &IntakeBatch) -> Result<Vec<Receipt>, StoreError> {
        let receipts = self.store.record(whole).await?;
        let mut committed = self
            .committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for one in &whole.checkpoints {
            let place = committed.entry((one.topic.clone(), one.partition));
            let next = place.or_insert(one.next_offset);
            *next = one.next_offset.max(*next);
        }
        Ok(receipts)
    }

    /// Records all messages. Afterwards `batch` is as recorded: what had to become a dead letter
    /// has, and what was lost before them is written down. Repeating the call is harmless. Returns how
    /// many dead letters there were.
    ///
    /// # Errors
    /// When the store is away, has gone back behind what was recorded before, or refuses even the dead
    /// letter.
    pub(super) async fn record(&self, batch: &mut [Taken]) -> Result<usize, StoreError> {
        self.losses.write(self.store.as_ref()).await?;
        if batch.is_empty() {
            return Ok(0);
        }
        let _spans = self.spans(batch);
        let watch = Stopwatch::start();
        let receipts = match self.commit(&self.intake_batch(batch)).await {
            Ok(receipts) => receipts,
            Err(StoreError::Refused(_)) if batch.len() > 1 => return self.one_by_one(batch).await,
            Err(StoreError::Refused(words)) => {
                self.refuse(batch, &*words);
                self.commit(&self.intake_batch(batch)).await?
            }
            Err(error) => return Err(error),
        };
        metrics::commit("record", watch.seconds());
        let conflicts = self.take_receipts(batch, &receipts);
        if conflicts > 0 {
            // The offset is stored only after this second commit: until then it is read again.
            self.commit(&self.intake_batch(batch)).await?;
        }
        Ok(self.count_dead(batch))
    }

    /// Something in the batch is refused; the others must not wait for it.
    async fn one_by_one(&self, batch: &mut [Taken]) -> Result<usize, StoreError> {
        let mut dead = 0;
        for taken in batch.chunks_mut(1) {
            dead += Box::pin(self.record(taken)).await?;
        }
        Ok(dead)
    }

    fn refuse(&self, batch: &mut [Taken], words: &(dyn std::error::Error + Send + Sync)) {
        for taken in batch.iter_mut().filter(|taken| taken.decoded.is_ok()) {
            tracing::error!(
                code = Code::Refused.as_str(),
                topic = taken.message.topic,
                partition = taken.message.partition,
                offset = taken.message.offset,
                error = %words,
                "the store refuses one message and takes the others; it becomes a dead letter"
            );
            taken.decoded = Err(Rejection::new(
                Code::Refused,
                "the database refuses this event and takes others: the log has its words",
            ));
        }
    }

    /// One span for each message, from here until the batch is recorded.
    fn spans(&self, batch: &[Taken]) -> Vec<SpanHandle> {
        if !enabled() {
            return Vec::new();
        }
        let span = |taken: &Taken| {
            let message = &taken.message;
            let place = Place {
                topic: &message.topic,
                partition: message.partition,
                offset: message.offset,
            };
            let event = taken.decoded.as_ref().ok();
            let id = event.map(|event| event.event.id.as_str());
            let traceparent = event.and_then(|event| event.origin.traceparent.as_deref());
            let mut span = messaging::process(place, &self.group, id, traceparent);
            if taken.decoded.is_err() {
                span.fail("dead_letter");
            }
            span
        };
        batch.iter().map(span).collect()
    }

    fn intake_batch(&self, batch: &[Taken]) -> IntakeBatch {
        let now = self.clock.now();
        let mut whole = IntakeBatch::default();
        let mut next: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for taken in batch {
            let message = &taken.message;
            match &taken.decoded {
                Ok(event) => whole.events.push(event.clone()),
                Err(rejection) => self.bury_into(&mut whole, message, rejection, now),
            }
            let place = next.entry((&message.topic, message.partition)).or_default();
            *place = (*place).max(message.offset + 1);
        }
        let committed = self
            .committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let checkpoints = next.into_iter().map(|((topic, partition), next_offset)| {
            let topic = topic.to_owned();
            let place = (topic, partition);
            let committed = committed.get(&place).copied();
            Checkpoint {
                group: self.group.clone(),
                topic: place.0,
                partition,
                next_offset,
                committed,
            }
        });
        whole.checkpoints = checkpoints.collect();
        drop(committed);
        whole
    }

    fn bury_into(
        &self,
        whole: &mut IntakeBatch,
        message: &RawMessage,
        rejection: &Rejection,
        now: Timestamp,
    ) {
        let (letter, copy) = bury(message, rejection, &self.group, now);
        whole.dead_letters.push(letter);
        whole.messages.push(copy);
    }

    fn take_receipts(&self, batch: &mut [Taken], receipts: &[Receipt]) -> usize {
        let events = batch.iter_mut().filter(|taken| taken.decoded.is_ok());
        let (mut new, mut duplicates, mut conflicts) = (0, 0, 0);
        for (taken, receipt) in events.zip(receipts) {
            match receipt {
                Receipt::New => new += 1,
                Receipt::Duplicate => duplicates += 1,
                Receipt::Conflict => {
                    conflicts += 1;
                    taken.decoded = Err(Rejection::new(
                        Code::Conflict,
                        "the same source and id came before with another payload: a source that \
                         repeats ids, or somebody else in its name; find out which",
                    ));
                }
            }
        }
        for (receipt, count) in [
            ("new", new),
            ("duplicate", duplicates),
            ("conflict", conflicts as u64),
        ] {
            if count > 0 {
                metrics::events(receipt, count);
            }
        }
        self.health.change(|figures| {
            figures.recorded += new;
            figures.duplicates += duplicates;
            figures.batches += 1;
        });
        conflicts
    }

    fn count_dead(&self, batch: &[Taken]) -> usize {
        let mut dead = 0;
        for taken in batch {
            let Err(rejection) = &taken.decoded else {
                continue;
            };
            dead += 1;
            let code = rejection.code.as_str();
            self.health
                .change(|figures| *figures.dead_letters.entry(code).or_default() += 1);
            metrics::dead_letter(code);
            tracing::warn!(
                code,
                topic = taken.message.topic,
                partition = taken.message.partition,
                offset = taken.message.offset,
                reason = rejection.reason,
                "a message became a dead letter"
            );
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Letters;
    use crate::store::fixture::in_memory;

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    fn taken(offset: i64) -> Vec<Taken> {
        let message = RawMessage {
            topic: "t".to_owned(),
            offset,
            ..RawMessage::default()
        };
        let decoded = Err(Rejection::new(Code::Refused, "planted"));
        vec![Taken { message, decoded }]
    }

    #[tokio::test]
    async fn a3_nothing_is_recorded_on_top_of_what_the_database_has_lost() {
        // Given a reader that has recorded two batches.
        let mut recorder = Recorder {
            store: in_memory().await,
            clock: Arc::new(Still),
            health: Arc::default(),
            group: "g".to_owned(),
            losses: Arc::default(),
            committed: Arc::default(),
        };
        for offset in [6, 7] {
            let recorded = recorder.record(&mut taken(offset)).await;
            assert_eq!(recorded.expect("recorded"), 1);
        }
        // When the database has only the first of them, and when it has none.
        let before = [vec![6], vec![]];
        for offsets in before {
            let back = in_memory().await;
            let place = |offset: i64| Checkpoint {
                group: "g".to_owned(),
                topic: "t".to_owned(),
                partition: 0,
                next_offset: offset + 1,
                committed: None,
            };
            let known: Vec<_> = offsets.iter().map(|offset| (0, offset + 1)).collect();
            let batch = IntakeBatch {
                checkpoints: offsets.into_iter().map(place).collect(),
                ..IntakeBatch::default()
            };
            back.record(&batch).await.expect("recorded");
            recorder.store = back.clone();
            // Then the next one is refused whole, and the mark stays where reading has to begin.
            let refused = recorder.record(&mut taken(8)).await;
            assert!(matches!(refused, Err(StoreError::WentBack)), "{refused:?}");
            let marks = back.checkpoints("g", "t").await.expect("read");
            assert_eq!(marks, known);
            assert!(
                back.dead_letters(Letters::All, 9)
                    .await
                    .expect("read")
                    .is_empty()
            );
        }
    }

    #[tokio::test]
    async fn a3_a_database_that_has_less_than_at_the_assignment_takes_nothing() {
        // Given a reader that was assigned at 100 and has recorded nothing yet.
        let place = ("t".to_owned(), 0);
        let recorder = Recorder {
            store: in_memory().await,
            clock: Arc::new(Still),
            health: Arc::default(),
            group: "g".to_owned(),
            losses: Arc::default(),
            committed: Arc::new(Mutex::new([(place, 100)].into())),
        };
        let at = |next_offset| Checkpoint {
            group: "g".to_owned(),
            topic: "t".to_owned(),
            partition: 0,
            next_offset,
            committed: None,
        };
        for (next_offset, takes) in [(50, false), (100, true)] {
            let batch = IntakeBatch {
                checkpoints: vec![at(next_offset)],
                ..IntakeBatch::default()
            };
            recorder.store.record(&batch).await.expect("recorded");
            let recorded = recorder.record(&mut taken(100)).await;
            assert_eq!(recorded.is_ok(), takes, "{recorded:?}");
        }
    }
}
