//! The consumer: one long-lived reader on a thread of its own.
//!
//! Owns the loop gather, record, store offsets, commit; holding while the store is away or a flood
//! runs (polling goes on, nothing is skipped); the drain; and making a stuck consumer anew. A
//! thread, because librdkafka's calls block and a rebalance must be served inside a poll. Offsets
//! are stored only after the store has committed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::Message;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::topic_partition_list::Offset;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::domain::time::{Clock, Timestamp, after, after_ms};
use crate::kafka::{QuietClient, Unresolved, without_value};
use crate::store::{Store, StoreError};
use crate::telemetry::{SpanHandle, messaging, metrics};

use super::context::{ReaderContext, log_commit};
use super::decode::{RawMessage, decode};
use super::flood::Flood;
use super::health::Health;
use super::losses::Losses;
use super::reach::Sign;
use super::recorder::{Committed, Recorder, Taken};
use super::settings::Settings;

/// How long a poll waits for a first message; also how soon a drain is noticed.
const POLL: Duration = Duration::from_millis(100);
/// A record call that takes longer than this gets the consumer polled beside it.
const PATIENCE: Duration = Duration::from_secs(1);
/// At a drain a record call may still take this many times `PATIENCE`.
const DRAIN: u32 = 10;
/// The group's offsets are committed at most this often while messages flow.
const COMMIT_SECONDS: u64 = 1;
const FIRST_PAUSE_MS: u64 = 100;
const LONGEST_PAUSE_MS: u64 = 5_000;
const STATISTICS_MS: &str = "5000";

/// Why intake ended without having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The settings do not make a consumer.
    #[error("CB-INTAKE-20: the Kafka consumer could not be made")]
    Consumer(#[source] KafkaError),
    /// A secret was not looked up.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// The broker has excluded this consumer for good, for instance for a second one with its
    /// `group.instance.id`.
    #[error("CB-INTAKE-21: Kafka has excluded this consumer for good: {0:?}")]
    Fenced(RDKafkaErrorCode),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread could not be started, or has panicked.
    #[error("CB-INTAKE-22: the reading thread has ended: {0}")]
    Thread(String),
}

/// Kafka in. Made once, runs until it is told to stop.
#[derive(Debug)]
pub struct Intake {
    settings: Settings,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    health: Arc<Health>,
    losses: Arc<Losses>,
}

impl Intake {
    /// An intake that has not begun.
    pub fn new(settings: Settings, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            settings,
            store,
            clock,
            health: Arc::default(),
            losses: Arc::default(),
        }
    }

    /// Its figures, which stay readable while it runs.
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Reads until `shutdown`; then finishes the batch in hand, commits and leaves the group.
    ///
    /// # Errors
    /// When going on makes no sense; what was not recorded is read again after a restart.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), IntakeError> {
        let stop = shutdown.child_token();
        // Ends the thread also when this future is dropped.
        let _guard = stop.clone().drop_guard();
        let runtime = Handle::current();
        let (done, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("intake".to_owned())
            .spawn(move || {
                let _ = done.send(self.read(&runtime, &stop));
            })
            .map_err(|error| IntakeError::Thread(error.to_string()))?;
        ended
            .await
            .unwrap_or_else(|_| Err(IntakeError::Thread("it panicked".to_owned())))
    }

    fn read(&self, runtime: &Handle, stop: &CancellationToken) -> Result<(), IntakeError> {
        loop {
            match Reader::open(self, runtime, stop)?.run()? {
                Ended::Stopped => return Ok(()),
                Ended::Stuck => self.health.change(|figures| figures.restarts += 1),
            }
        }
    }
}

enum Ended {
    Stopped,
    Stuck,
}

/// One consumer from joining the group to leaving it.
struct Reader<'a> {
    settings: &'a Settings,
    clock: &'a dyn Clock,
    health: &'a Health,
    runtime: &'a Handle,
    stop: &'a CancellationToken,
    recorder: Recorder,
    consumer: BaseConsumer<ReaderContext>,
    flood: Flood,
    opened: Timestamp,
    committed: Timestamp,
    dirty: bool,
    /// The database lacks what this reader had committed.
    went_back: bool,
}

impl<'a> Reader<'a> {
    fn open(
        intake: &'a Intake,
        runtime: &'a Handle,
        stop: &'a CancellationToken,
    ) -> Result<Self, IntakeError> {
        let settings = &intake.settings;
        let mut config = settings.connection.consumer(&settings.group)?;
        config.set("statistics.interval.ms", STATISTICS_MS);
        let committed: Arc<Committed> = Arc::default();
        let context = ReaderContext {
            quiet: QuietClient::new(Arc::clone(&intake.clock)),
            clock: Arc::clone(&intake.clock),
            store: Arc::clone(&intake.store),
            health: Arc::clone(&intake.health),
            runtime: runtime.clone(),
            group: settings.group.clone(),
            stop: stop.clone(),
            held: AtomicBool::new(false),
            gaps: Mutex::default(),
            losses: Arc::clone(&intake.losses),
            known: Arc::clone(&committed),
        };
        let consumer: BaseConsumer<ReaderContext> = config
            .create_with_context(context)
            .map_err(|error| IntakeError::Consumer(without_value(error)))?;
        let topics: Vec<_> = settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(IntakeError::Consumer)?;
        let now = intake.clock.now();
        intake
            .health
            .change(|figures| figures.note(&Sign::Anew, now));
        Ok(Self {
            settings,
            clock: &*intake.clock,
            health: &intake.health,
            runtime,
            stop,
            recorder: Recorder {
                store: Arc::clone(&intake.store),
                clock: Arc::clone(&intake.clock),
                health: Arc::clone(&intake.health),
                group: settings.group.clone(),
                losses: Arc::clone(&intake.losses),
                committed,
            },
            consumer,
            flood: Flood::new(settings.flood_dead_letters, settings.flood_window_seconds),
            opened: now,
            committed: now,
            dirty: false,
            went_back: false,
        })
    }

    fn run(mut self) -> Result<Ended, IntakeError> {
        while !self.stop.is_cancelled() {
            let batch = self.gather()?;
            let idle = batch.is_empty();
            if !idle || self.recorder.losses.wait() {
                self.settle(batch)?;
            }
            if self.went_back {
                // The next reader places every partition where the database stands.
                return Ok(Ended::Stuck);
            }
            self.commit_when_due(idle);
            self.consumer.context().look_for_losses(&self.consumer);
            if idle && self.is_stuck() {
                tracing::error!(
                    group = self.settings.group,
                    "messages wait but none arrive, or Kafka refuses them; the consumer is made anew"
                );
                return Ok(Ended::Stuck);
            }
        }
        self.commit(CommitMode::Sync);
        // Dropping the consumer gives its partitions up and leaves the group.
        Ok(Ended::Stopped)
    }

    /// Waits a little for a first message, then takes what is there.
    fn gather(&self) -> Result<Vec<Taken>, IntakeError> {
        let mut batch = Vec::new();
        let mut wait = POLL;
        let mut until = None;
        let mut span = SpanHandle::none();
        while batch.len() < self.settings.batch_messages as usize {
            let Some(taken) = self.poll(wait)? else {
                break;
            };
            if batch.is_empty() {
                // Waiting opens no span.
                let topics = self.settings.topics.join(",");
                span = messaging::poll(&topics, &self.settings.group);
            }
            batch.push(taken);
            let now = self.clock.now();
            let until =
                *until.get_or_insert_with(|| after_ms(now, self.settings.linger_milliseconds));
            wait = Duration::try_from(until.duration_since(now)).unwrap_or_default();
        }
        span.messages(batch.len());
        Ok(batch)
    }

    fn poll(&self, wait: Duration) -> Result<Option<Taken>, IntakeError> {
        let polled = self.consumer.poll(wait);
        let now = self.clock.now();
        self.health.change(|figures| {
            figures.last_poll = Some(now);
            match &polled {
                Some(Ok(_)) => {
                    figures.last_message = Some(now);
                    figures.note(&Sign::Message, now);
                }
                Some(Err(error)) => figures.note(&Sign::Error(error), now),
                None => {}
            }
        });
        match polled {
            None => Ok(None),
            Some(Ok(message)) => {
                let message = own(&message);
                let context = self.consumer.context();
                let (partition, offset) = (message.partition, message.offset);
                context.with_gaps(|gaps| gaps.came(&message.topic, partition, offset));
                let decoded = decode(&message, now, self.settings.message_bytes_max);
                Ok(Some(Taken { message, decoded }))
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => Err(IntakeError::Fenced(code)),
            Some(Err(error)) => {
                let quiet = self.consumer.context().quiet.throttle();
                if let Some(left_out) = quiet.admit(&error.to_string()) {
                    tracing::warn!(%error, left_out, "Kafka");
                }
                Ok(None)
            }
        }
    }

    /// Records a batch, however long the store is away; gives up only at a drain.
    fn settle(&mut self, mut batch: Vec<Taken>) -> Result<(), IntakeError> {
        let (mut pause, mut dead) = (FIRST_PAUSE_MS, 0);
        loop {
            let mut late = Vec::new();
            let recorded = self.record(&mut batch, &mut late)?;
            match recorded {
                Some(Ok(more)) => {
                    dead += more;
                    self.store_offsets(&batch);
                    if late.is_empty() {
                        self.watch_flood(dead)?;
                        self.go_on();
                        return Ok(());
                    }
                    batch.clear();
                }
                Some(Err(error)) if error.is_passing() => {
                    tracing::warn!(%error, "the store is away; reading holds");
                    self.hold("the store is away")?;
                    let until = after_ms(self.clock.now(), pause);
                    pause = (pause * 2).min(LONGEST_PAUSE_MS);
                    self.idle_until(until, &mut late)?;
                }
                Some(Err(error @ StoreError::WentBack)) => {
                    tracing::error!(
                        code = "CB-STORE-7", %error, group = self.settings.group,
                        "reading begins anew where the database stands"
                    );
                    self.went_back = true;
                    // It may have been held meanwhile; the next reader is not.
                    self.go_on();
                    return Ok(());
                }
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            }
            batch.append(&mut late);
            if self.stop.is_cancelled() && self.health.figures().held.is_some() {
                return Ok(());
            }
        }
    }

    /// One try. `None` when it did not come to an end before the drain had to.
    fn record(
        &self,
        batch: &mut [Taken],
        late: &mut Vec<Taken>,
    ) -> Result<Option<Result<usize, StoreError>>, IntakeError> {
        let mut work = pin!(self.recorder.record(batch));
        let mut overtime = 0;
        loop {
            let patient = async { tokio::time::timeout(PATIENCE, work.as_mut()).await };
            if let Ok(result) = self.runtime.block_on(patient) {
                return Ok(Some(result));
            }
            overtime += u32::from(self.stop.is_cancelled());
            if overtime > DRAIN {
                return Ok(None);
            }
            self.hold("the store does not answer")?;
            late.extend(self.poll(Duration::ZERO)?);
        }
    }

    /// Polls, so that the group keeps this member, and keeps whatever still comes.
    fn idle_until(&self, until: Timestamp, late: &mut Vec<Taken>) -> Result<(), IntakeError> {
        while self.clock.now() < until && !self.stop.is_cancelled() {
            late.extend(self.poll(POLL)?);
        }
        Ok(())
    }

    fn watch_flood(&mut self, dead: usize) -> Result<(), IntakeError> {
        let now = self.clock.now();
        let Some(until) = self.flood.count(dead, now) else {
            return Ok(());
        };
        tracing::error!(
            code = "CB-INTAKE-23",
            bound = self.settings.flood_dead_letters,
            window_seconds = self.settings.flood_window_seconds,
            %until,
            "a flood of unreadable messages; reading holds"
        );
        self.hold("CB-INTAKE-23: a flood of unreadable messages")?;
        let mut late = Vec::new();
        self.idle_until(until, &mut late)?;
        if late.is_empty() {
            return Ok(());
        }
        // Rare: messages that were on their way when reading was held.
        self.settle(late)
    }

    fn hold(&self, why: &str) -> Result<(), IntakeError> {
        self.health
            .change(|figures| figures.held = Some(why.to_owned()));
        metrics::intake_held(true);
        if !self.consumer.context().held.swap(true, Ordering::AcqRel) {
            let assigned = self.consumer.assignment().map_err(IntakeError::Consumer)?;
            if let Err(error) = self.consumer.pause(&assigned) {
                tracing::debug!(%error, "partitions were not paused");
            }
        }
        Ok(())
    }

    fn go_on(&self) {
        if self.consumer.context().held.swap(false, Ordering::AcqRel) {
            self.health.change(|figures| figures.held = None);
            metrics::intake_held(false);
            let resumed = self
                .consumer
                .assignment()
                .and_then(|assigned| self.consumer.resume(&assigned));
            if let Err(error) = resumed {
                tracing::debug!(%error, "partitions were not resumed");
            }
            tracing::info!(group = self.settings.group, "reading goes on");
        }
    }

    fn store_offsets(&mut self, batch: &[Taken]) {
        let mut next: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for Taken { message, .. } in batch {
            let place = next
                .entry((message.topic.as_str(), message.partition))
                .or_default();
            *place = (*place).max(message.offset + 1);
        }
        for ((topic, partition), offset) in next {
            let mut list = TopicPartitionList::new();
            let stored = list
                .add_partition_offset(topic, partition, Offset::Offset(offset))
                .and_then(|()| self.consumer.store_offsets(&list));
            match stored {
                Ok(()) => self.dirty = true,
                // Given up meanwhile: the next reader finds the checkpoint in the database.
                Err(error) => tracing::debug!(%error, topic, partition, "offset not stored"),
            }
        }
    }

    fn commit_when_due(&mut self, idle: bool) {
        if self.dirty && (idle || after(self.committed, COMMIT_SECONDS) <= self.clock.now()) {
            self.commit(CommitMode::Async);
        }
    }

    fn commit(&mut self, mode: CommitMode) {
        if !self.dirty {
            return;
        }
        self.dirty = false;
        self.committed = self.clock.now();
        let topics = self.settings.topics.join(",");
        let _span = messaging::commit(&topics, &self.settings.group);
        if let Err(error) = self.consumer.commit_consumer_state(mode) {
            log_commit(&error);
        }
    }

    fn is_stuck(&self) -> bool {
        let figures = self.health.figures();
        let last = figures.last_message.unwrap_or(self.opened).max(self.opened);
        let long_ago = |at| after(at, self.settings.stuck_seconds) < self.clock.now();
        let waits = figures.total_lag() > 0 && long_ago(last);
        // What is refused is said once: only a new reader hears whether it still is.
        let refused = figures.trouble.filter(|trouble| trouble.refused);
        waits || refused.is_some_and(|trouble| long_ago(trouble.last))
    }
}

/// Copies a message out of librdkafka's memory.
fn own(message: &BorrowedMessage<'_>) -> RawMessage {
    // The client panics on a header whose name is not UTF-8, which anyone can send.
    let headers = catch_unwind(AssertUnwindSafe(|| {
        let headers = message.headers()?;
        let own = headers.iter().map(|header| {
            let value = header.value.map(<[u8]>::to_vec);
            (header.key.to_owned(), value)
        });
        Some(own.collect::<Vec<_>>())
    }));
    RawMessage {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers_broken: headers.is_err(),
        headers: headers.ok().flatten().unwrap_or_default(),
    }
}
