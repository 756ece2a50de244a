//! One batch into the store, whatever the store says.
//!
//! Owns: building the batch, turning conflicts into dead letters, and finding the one message that
//! the store refuses while it takes the others. Does not wait and does not touch Kafka: a store
//! that is away goes back to the caller, who keeps the batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::event::RecordedEvent;
use crate::domain::time::{Clock, Timestamp};
use crate::store::{Checkpoint, IntakeBatch, Receipt, Store, StoreError};
use crate::telemetry::messaging::{self, Place};
use crate::telemetry::{SpanHandle, Stopwatch, enabled, metrics};

use super::dead_letter::bury;
use super::decode::RawMessage;
use super::health::Health;
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
}

impl Recorder {
    /// Records all messages. Afterwards `batch` is as recorded: what had to become a dead letter
    /// has. Repeating the call is harmless. Returns how many dead letters there were.
    ///
    /// # Errors
    /// When the store is away, or refuses even the dead letter.
    pub(super) async fn record(&self, batch: &mut [Taken]) -> Result<usize, StoreError> {
        let _spans = self.spans(batch);
        let watch = Stopwatch::start();
        let receipts = match self.store.record(&self.intake_batch(batch)).await {
            Ok(receipts) => receipts,
            Err(StoreError::Refused(_)) if batch.len() > 1 => return self.one_by_one(batch).await,
            Err(StoreError::Refused(words)) => {
                self.refuse(batch, &*words);
                self.store.record(&self.intake_batch(batch)).await?
            }
            Err(error) => return Err(error),
        };
        metrics::commit("record", watch.seconds());
        let conflicts = self.take_receipts(batch, &receipts);
        if conflicts > 0 {
            // The offset is stored only after this second commit: until then it is read again.
            self.store.record(&self.intake_batch(batch)).await?;
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
        whole.checkpoints = next
            .into_iter()
            .map(|((topic, partition), next_offset)| Checkpoint {
                group: self.group.clone(),
                topic: topic.to_owned(),
                partition,
                next_offset,
            })
            .collect();
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
