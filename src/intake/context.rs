//! What librdkafka calls back for: assignments, revocations, statistics, log lines.
//!
//! Owns the gap check at assignment (where a partition starts is set here, before the first
//! message) and while a partition is held, and the commit before it is given up. Runs on the reading thread, inside a
//! poll. Reads no messages and records nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Partition;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Statistics};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::domain::time::Clock;
use crate::kafka::QuietClient;
use crate::store::{DeadLetter, Store, StoreError};
use crate::telemetry::metrics;

use super::gaps::{Gaps, Place};
use super::health::Health;
use super::losses::{Loss, Losses};
use super::reach::Sign;
use super::recorder::Committed;
use super::resume::{Alarm, Known, resume};

/// How long the broker may take to say what it has.
const ASK: Duration = Duration::from_secs(5);
/// How long it may take to say whether a hole is a loss: meanwhile nothing is read.
const ASK_OF_LOSSES: Duration = Duration::from_secs(1);
/// How long the store may take to write down what was lost while a partition is given up.
const WRITE: Duration = Duration::from_secs(2);
/// How long the store may be away before an assignment goes ahead by Kafka's commits alone.
const STORE_TRIES: u32 = 20;
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// The states in which a broker answers, in librdkafka's words.
const UP: [&str; 3] = ["UP", "UPDATE", "REAUTH"];

type Checkpoints = BTreeMap<(String, i32), i64>;

/// The consumer's context.
pub(super) struct ReaderContext {
    pub(super) quiet: QuietClient,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Arc<dyn Store>,
    pub(super) health: Arc<Health>,
    pub(super) runtime: Handle,
    pub(super) group: String,
    pub(super) stop: CancellationToken,
    /// Reading is held: partitions assigned meanwhile are paused too.
    pub(super) held: AtomicBool,
    pub(super) gaps: Mutex<Gaps>,
    pub(super) losses: Arc<Losses>,
    /// What the database, or the group, had of each partition when it was assigned.
    pub(super) known: Arc<Committed>,
}

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.quiet.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.quiet.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let now = self.clock.now();
        let reached = statistics
            .brokers
            .values()
            .any(|broker| UP.contains(&broker.state.as_str()));
        self.health.change(|figures| {
            figures.note(&Sign::Round { reached }, now);
            for (name, topic) in &statistics.topics {
                for (number, partition) in &topic.partitions {
                    let ours = figures
                        .assigned
                        .get(name)
                        .is_some_and(|p| p.contains(number));
                    if let Some(unread) = unread(partition).filter(|_| ours) {
                        metrics::kafka_lag(name, *number, unread);
                        figures.lag.insert((name.clone(), *number), unread);
                    }
                }
            }
        });
    }
}

impl ConsumerContext for ReaderContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let result = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assigned(consumer, partitions)
        } else {
            self.revoked(consumer, partitions)
        };
        if let Err(error) = result {
            tracing::error!(%error, group = self.group, "a rebalance could not be carried out");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            log_commit(&error);
        }
    }
}

impl ReaderContext {
    fn assigned(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &mut TopicPartitionList,
    ) -> KafkaResult<()> {
        self.place(consumer, partitions)?;
        if matches!(
            consumer.rebalance_protocol(),
            RebalanceProtocol::Cooperative
        ) {
            consumer.incremental_assign(partitions)?;
        } else {
            consumer.assign(partitions)?;
        }
        if self.held.load(Ordering::Acquire) {
            consumer.pause(partitions)?;
        }
        let now = self.clock.now();
        self.health.change(|figures| {
            figures.rebalances += 1;
            if partitions.count() > 0 {
                figures.note(&Sign::Anew, now);
            }
            for (topic, partition) in partitions.to_topic_map().into_keys() {
                figures.assigned.entry(topic).or_default().push(partition);
            }
        });
        tracing::info!(
            group = self.group,
            partitions = partitions.count(),
            "assigned"
        );
        Ok(())
    }

    fn revoked(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<()> {
        // What is stored is recorded, so that the next reader need not read it again. A lost
        // assignment is somebody else's already.
        if !consumer.assignment_lost()
            && let Err(error) = consumer.commit_consumer_state(CommitMode::Sync)
        {
            log_commit(&error);
        }
        // Who reads on begins behind the holes, and would never know of them.
        for place in partitions.to_topic_map().into_keys() {
            if self.with_gaps(|gaps| gaps.has_holes(&place))
                && !self.look_for_losses_of(consumer, &place)
            {
                tracing::warn!(
                    topic = place.0,
                    partition = place.1,
                    "given up before the broker said whether events were deleted unread"
                );
            }
        }
        // The last look of a drain: nobody comes after it to write them down.
        self.write_losses();
        let result = if matches!(
            consumer.rebalance_protocol(),
            RebalanceProtocol::Cooperative
        ) {
            consumer.incremental_unassign(partitions)
        } else {
            consumer.unassign()
        };
        self.health.change(|figures| {
            figures.rebalances += 1;
            for (topic, partition) in partitions.to_topic_map().into_keys() {
                if let Some(numbers) = figures.assigned.get_mut(&topic) {
                    numbers.retain(|number| *number != partition);
                }
                let place = (topic, partition);
                metrics::kafka_given_up(&place.0, place.1);
                self.with_gaps(|gaps| gaps.end(&place));
                figures.lag.remove(&place);
            }
        });
        tracing::info!(
            group = self.group,
            partitions = partitions.count(),
            "given up"
        );
        result
    }

    /// Sets where each partition starts.
    fn place(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &mut TopicPartitionList,
    ) -> KafkaResult<()> {
        let all = partitions.to_topic_map();
        let Some(checkpoints) = self.checkpoints(all.keys().map(|(topic, _)| topic.clone())) else {
            self.health
                .change(|figures| figures.unchecked_assignments += 1);
            tracing::warn!(
                group = self.group,
                "the store is away: partitions start where the group's commits say"
            );
            self.begin_at_commits(consumer, partitions);
            return Ok(());
        };
        let committed = consumer
            .committed_offsets(partitions.clone(), ASK)
            .map(|list| list.to_topic_map());
        let mut answers = true;
        for (topic, partition) in all.into_keys() {
            let place = (topic, partition);
            let kept = if answers {
                consumer.fetch_watermarks(&place.0, partition, ASK).ok()
            } else {
                None
            };
            // One silence is enough: asking for every partition could take minutes.
            answers &= kept.is_some();
            let checkpoint = checkpoints.get(&place).copied();
            let known = Known {
                checkpoint,
                committed: match &committed {
                    Ok(committed) => match committed.get(&place) {
                        Some(Offset::Offset(offset)) => Some(*offset),
                        _ => None,
                    },
                    // No answer is not the same as no commit.
                    Err(_) => checkpoint,
                },
                others: checkpoints.keys().any(|(other, _)| *other == place.0),
                kept,
            };
            let (start, alarm) = resume(known);
            self.stands(&place, checkpoint.map(|at| at.min(start.unwrap_or(at))));
            if let Some(alarm) = alarm {
                self.raise(alarm, &place.0, partition, known);
            }
            let first = start.or(known.committed).or(kept.map(|(low, _)| low));
            if let Some(first) = first {
                self.with_gaps(|gaps| gaps.begin(place.clone(), first));
            }
            if let Some(start) = start {
                partitions.set_partition_offset(&place.0, partition, Offset::Offset(start))?;
            }
        }
        Ok(())
    }

    /// A database that has less takes nothing of this partition.
    fn stands(&self, place: &Place, next: Option<i64>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match next {
            Some(next) => known.insert(place.clone(), next),
            None => known.remove(place),
        };
    }

    /// What is deleted behind the group's commits is a hole, noticed with the first message after it.
    fn begin_at_commits(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let Ok(committed) = consumer.committed_offsets(partitions.clone(), ASK) else {
            return;
        };
        for (place, offset) in committed.to_topic_map() {
            if let Offset::Offset(first) = offset {
                // Nothing is committed there that the database has not.
                self.stands(&place, Some(first));
                self.with_gaps(|gaps| gaps.begin(place, first));
            }
        }
    }

    /// Asks whether holes between messages are losses, where there are any: the broker also deletes
    /// what a reader that holds the partition has not read.
    pub(super) fn look_for_losses(&self, consumer: &BaseConsumer<Self>) {
        let due = self.with_gaps(|gaps| gaps.due(self.clock.now()));
        if due.is_empty() {
            return;
        }
        // A silent leader keeps no other partition from being asked about; its holes are kept.
        let silent = due
            .iter()
            .filter(|place| !self.look_for_losses_of(consumer, place));
        let silent = silent.count();
        self.with_gaps(|gaps| gaps.asked(self.clock.now(), silent));
    }

    /// False where the broker says nothing.
    fn look_for_losses_of(&self, consumer: &BaseConsumer<Self>, place: &Place) -> bool {
        let Ok((low, _)) = consumer.fetch_watermarks(&place.0, place.1, ASK_OF_LOSSES) else {
            return false;
        };
        for (from, to) in self.with_gaps(|gaps| gaps.judge(place, low)) {
            self.lost(&place.0, place.1, from, to);
        }
        true
    }

    pub(super) fn with_gaps<T>(&self, change: impl FnOnce(&mut Gaps) -> T) -> T {
        change(&mut self.gaps.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn checkpoints(&self, topics: impl Iterator<Item = String>) -> Option<Checkpoints> {
        let mut found = Checkpoints::new();
        let topics: std::collections::BTreeSet<_> = topics.collect();
        for topic in topics {
            for (partition, next) in self.ask_store(&topic)? {
                found.insert((topic.clone(), partition), next);
            }
        }
        Some(found)
    }

    fn ask_store(&self, topic: &str) -> Option<Vec<(i32, i64)>> {
        for _ in 0..STORE_TRIES {
            let asked = self
                .runtime
                .block_on(self.store.checkpoints(&self.group, topic));
            match asked {
                Ok(checkpoints) => return Some(checkpoints),
                Err(StoreError::Unavailable(_)) if !self.stop.is_cancelled() => {
                    std::thread::sleep(STORE_PAUSE);
                }
                Err(error) => {
                    tracing::error!(%error, topic, "checkpoints cannot be read");
                    return None;
                }
            }
        }
        None
    }

    /// Only for a while: a record call that is under way may hold the store, and goes on only when this is over.
    fn write_losses(&self) {
        let write = self.losses.write(self.store.as_ref());
        let within = async { tokio::time::timeout(WRITE, write).await };
        match self.runtime.block_on(within) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "what was lost is not written down yet"),
            Err(_) => tracing::warn!("what was lost is not written down yet: the store is slow"),
        }
    }

    fn lost(&self, topic: &str, partition: i32, from: i64, to: i64) {
        let count = (to - from).unsigned_abs();
        self.health.change(|figures| figures.lost += count);
        metrics::events_lost(topic, count);
        self.losses.add(Loss {
            topic: topic.to_owned(),
            partition,
            from,
            to,
            noticed: self.clock.now(),
        });
        tracing::error!(
            code = DeadLetter::LOST,
            topic,
            partition,
            from,
            to,
            "events were deleted from the topic before they were read: leavers may be missing"
        );
    }

    fn raise(&self, alarm: Alarm, topic: &str, partition: i32, known: Known) {
        let (checkpoint, committed) = (known.checkpoint, known.committed);
        match alarm {
            Alarm::Lost { from, to } => self.lost(topic, partition, from, to),
            Alarm::Rewound => tracing::error!(
                code = "CB-INTAKE-17",
                topic,
                partition,
                checkpoint,
                "the topic ends before what was read already: made anew or truncated; reading from its beginning"
            ),
            Alarm::MovedAhead => tracing::warn!(
                code = "CB-INTAKE-18",
                topic,
                partition,
                checkpoint,
                committed,
                "the group was moved ahead of the database; reading on from the database's mark"
            ),
            Alarm::Unknown => tracing::warn!(
                code = "CB-INTAKE-19",
                topic,
                partition,
                committed,
                "this database has read nothing of the partition, but its group has; what came before is not in it"
            ),
        }
    }
}

/// Messages of a partition that were not handed over yet; `None` while librdkafka does not know. The
/// marker that ends a transaction takes an offset and is no message: the distance to the end alone
/// would never become 0 where producers are transactional.
fn unread(partition: &Partition) -> Option<i64> {
    let waits = partition.fetchq_cnt > 0 || partition.next_offset < partition.ls_offset;
    let unread = if waits { partition.consumer_lag } else { 0 };
    (partition.consumer_lag >= 0).then_some(unread)
}

/// A failed commit loses nothing: rows are in the database, and repeats are recognised.
pub(super) fn log_commit(error: &KafkaError) {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::NoOffset
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::StaleMemberEpoch
            | RDKafkaErrorCode::AssignmentLost,
        ) => tracing::debug!(%error, "offsets were not committed"),
        _ => tracing::warn!(%error, "offsets were not committed; they will be again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b3_the_marker_of_a_transaction_is_no_message_that_waits() {
        // Two messages and a marker; the second was handed over and its offset stored.
        let idle = Partition {
            next_offset: 3,
            ls_offset: 3,
            consumer_lag: 1,
            ..Partition::default()
        };
        assert_eq!(unread(&idle), Some(0));
        let unfetched = Partition {
            next_offset: 2,
            ..idle.clone()
        };
        assert_eq!(unread(&unfetched), Some(1));
        let queued = Partition {
            fetchq_cnt: 1,
            ..idle.clone()
        };
        assert_eq!(unread(&queued), Some(1));
        let unknown = Partition {
            consumer_lag: -1,
            ..idle
        };
        assert_eq!(unread(&unknown), None);
    }
}
