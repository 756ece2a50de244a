//! The outbox relay: messages that were committed with a state change go out to Kafka.
//!
//! Owns the loop take, send, wait for the delivery report, mark. At least once; receivers know
//! repeats by the id. Messages of one key go out one after the other, so that none overtakes an
//! earlier one that failed. While Kafka or the store is away it backs off and forgets nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tokio_util::sync::CancellationToken;

use crate::domain::id::{MessageId, WorkerId};
use crate::domain::settlement::OutboxMessage;
use crate::domain::time::{Chance, Clock, after};
use crate::kafka::{Connection, QuietClient, Throttle, Unresolved, without_value};
use crate::store::{Store, StoreError};
use crate::telemetry::{StoryId, enabled, messaging, story};

use super::owned_headers;

/// Messages of one round; more when some of them do not go out, so that they don't block others.
const ROUND: u32 = 500;
const LARGEST_ROUND: u32 = 5_000;
const IDLE: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The lease is the worker's own; a message that takes longer than this is taken up again.
const DELIVERY: Duration = Duration::from_secs(10);
const QUEUE: Duration = Duration::from_secs(5);
const OMITTED: &str = "clawback-payload-left-out";

/// Why the relay ended without having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The settings do not make a producer.
    #[error("CB-PUBLISH-1: the Kafka producer could not be made")]
    Producer(#[source] KafkaError),
    /// A secret was not looked up.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Figures of the relay; shared with those who export them.
#[derive(Debug, Default)]
pub struct Delivered {
    sent: AtomicU64,
    failed: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Delivered {
    /// Messages delivered since start.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Attempts that failed since start.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// What keeps messages back at the moment.
    pub fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Relays the outbox. Made once, runs until it is told to stop.
#[derive(Debug)]
pub struct Publisher {
    connection: Connection,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    worker: WorkerId,
    delivered: Arc<Delivered>,
}

type Producer = FutureProducer<QuietClient>;

/// Where messages go; a test has one that chooses.
#[async_trait]
trait Outward: Send + Sync {
    async fn deliver(&self, message: &OutboxMessage) -> Result<(), KafkaError>;
}

/// What became of one round.
#[derive(Default)]
struct Round {
    sent: usize,
    failed: u32,
    /// Topics that did not take everything.
    stuck: BTreeSet<String>,
    /// It ended while more waited that could go out.
    more: bool,
}

impl Publisher {
    /// A relay for the messages that `worker` leases; the worker must be enlisted. `delivered` keeps
    /// its figures, also when another relay takes over from it.
    pub fn new(
        connection: Connection,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
        worker: WorkerId,
        delivered: Arc<Delivered>,
    ) -> Self {
        Self {
            connection,
            store,
            clock,
            chance,
            worker,
            delivered,
        }
    }

    /// Relays until `shutdown`; the round in hand is finished.
    ///
    /// # Errors
    /// When going on makes no sense.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), PublishError> {
        let mut producer = self.producer()?;
        let throttle = Throttle::new(Arc::clone(&self.clock));
        let (mut pause, mut size) = (FIRST_PAUSE, ROUND);
        while !shutdown.is_cancelled() {
            let wait = match self.relay(&producer, &throttle, size).await {
                Ok(round) if round.failed > 0 => {
                    if producer.client().fatal_error().is_some() {
                        producer = self.producer()?;
                    }
                    size = (round.failed + ROUND).min(LARGEST_ROUND);
                    if round.more {
                        Duration::ZERO
                    } else {
                        self.back_off(&mut pause)
                    }
                }
                Ok(round) => {
                    (pause, size) = (FIRST_PAUSE, ROUND);
                    self.delivered.set_trouble(None);
                    if round.sent < ROUND as usize {
                        IDLE
                    } else {
                        Duration::ZERO
                    }
                }
                Err(error) if error.is_passing() => {
                    self.delivered.set_trouble(Some(error.to_string()));
                    if let Some(left_out) = throttle.admit("store") {
                        tracing::warn!(%error, left_out, "the outbox can't be read");
                    }
                    self.back_off(&mut pause)
                }
                Err(error) => return Err(error.into()),
            };
            let _ = shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        Ok(())
    }

    fn producer(&self) -> Result<Producer, PublishError> {
        let config = self.connection.producer(DELIVERY)?;
        config
            .create_with_context(QuietClient::new(Arc::clone(&self.clock)))
            .map_err(|error| PublishError::Producer(without_value(error)))
    }

    fn back_off(&self, pause: &mut Duration) -> Duration {
        let wait = pause.mul_f64(1.0 + 0.25 * self.chance.fraction());
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        wait
    }

    /// One round. A topic that does not take its messages is left out for the rest of it: its messages
    /// are the oldest, and would otherwise be all that is ever taken.
    async fn relay(
        &self,
        outward: &dyn Outward,
        throttle: &Throttle,
        size: u32,
    ) -> Result<Round, StoreError> {
        let mut round = Round::default();
        let until = after(self.clock.now(), LONGEST_PAUSE.as_secs());
        loop {
            let stuck: Vec<_> = round.stuck.iter().cloned().collect();
            let (worker, now) = (self.worker, self.clock.now());
            let messages = self.store.take_messages(worker, now, size, &stuck).await?;
            round.more = messages.len() >= size as usize;
            let sent = self.send(outward, throttle, messages, &mut round).await;
            if !sent.is_empty() {
                // If this fails the messages go out again, which receivers expect.
                self.store.published(&sent, self.clock.now()).await?;
                round.sent += sent.len();
                let sent = sent.len() as u64;
                self.delivered.sent.fetch_add(sent, Ordering::Relaxed);
            }
            // Those left out are due again, however much else there is.
            if !round.more || round.stuck.is_empty() || self.clock.now() >= until {
                return Ok(round);
            }
        }
    }

    /// Sends in waves, each with at most one message of a key; returns what went out.
    async fn send(
        &self,
        outward: &dyn Outward,
        throttle: &Throttle,
        messages: Vec<OutboxMessage>,
        round: &mut Round,
    ) -> Vec<MessageId> {
        let mut sent = Vec::new();
        let mut queues: BTreeMap<(String, Vec<u8>), VecDeque<OutboxMessage>> = BTreeMap::new();
        for message in messages {
            // Messages without a key have no order to keep.
            let key = if message.key.is_empty() {
                message.id.0.as_bytes().to_vec()
            } else {
                message.key.clone()
            };
            let queue = queues.entry((message.topic.clone(), key)).or_default();
            queue.push_back(message);
        }
        while !queues.is_empty() {
            let wave = queues.values().filter_map(VecDeque::front);
            let sending = wave.map(|message| outward.deliver(message));
            let results = futures_util::future::join_all(sending).await;
            let mut results = results.into_iter();
            queues.retain(|(topic, _), queue| match results.next() {
                Some(Ok(())) => {
                    sent.extend(queue.pop_front().map(|sent| sent.id));
                    !queue.is_empty()
                }
                Some(Err(error)) => {
                    round.failed += queue.len() as u32;
                    round.stuck.insert(topic.clone());
                    self.note_failure(throttle, topic, &error);
                    false
                }
                None => false,
            });
        }
        sent
    }

    fn note_failure(&self, throttle: &Throttle, topic: &str, error: &KafkaError) {
        self.delivered.failed.fetch_add(1, Ordering::Relaxed);
        self.delivered.set_trouble(Some(format!(
            "CB-PUBLISH-3: messages for {topic} do not go out: {error}"
        )));
        if let Some(left_out) = throttle.admit(topic) {
            tracing::error!(
                code = "CB-PUBLISH-3",
                topic,
                %error,
                left_out,
                "messages do not go out; they are kept and tried again"
            );
        }
    }
}

#[async_trait]
impl Outward for Producer {
    async fn deliver(&self, message: &OutboxMessage) -> Result<(), KafkaError> {
        match send_one(self, message, false).await {
            // No retry can help, and what is behind it must go on. The database keeps the whole.
            Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge)) => {
                tracing::warn!(id = %message.id, topic = message.topic, "sent without its payload, which the brokers do not take");
                send_one(self, message, true).await
            }
            result => result,
        }
    }
}

async fn send_one(
    producer: &Producer,
    message: &OutboxMessage,
    omit_payload: bool,
) -> Result<(), KafkaError> {
    let case = case_of(message);
    let mut span = messaging::send(&message.topic, &message.id.to_string(), case);
    let mut headers = message.headers.clone();
    if let Some(case) = case.filter(|_| enabled()) {
        headers.push(("traceparent".to_owned(), story::traceparent(case).into()));
    }
    let payload: &[u8] = if omit_payload {
        headers.push((OMITTED.to_owned(), b"too large for the brokers".to_vec()));
        &[]
    } else {
        &message.payload
    };
    let mut record = FutureRecord::<[u8], [u8]>::to(&message.topic)
        .payload(payload)
        .headers(owned_headers(&headers));
    if !message.key.is_empty() {
        record = record.key(&message.key);
    }
    let sent = producer.send(record, QUEUE).await;
    if sent.is_err() {
        span.fail("not_delivered");
    }
    sent.map(|_| ()).map_err(|(error, _)| error)
}

/// The case that a message tells of: status events are keyed by it, while copies of dead letters
/// keep the key of whoever sent them.
fn case_of(message: &OutboxMessage) -> Option<StoryId> {
    let copied = |(name, _): &(String, Vec<u8>)| name.starts_with("clawback-dlq-");
    if message.headers.iter().any(copied) {
        return None;
    }
    uuid::Uuid::try_parse_ascii(&message.key).ok().map(StoryId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::store::{self, IntakeBatch};

    const MISSING: &str = "missing";

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    impl Chance for Still {
        fn fraction(&self) -> f64 {
            0.5
        }

        fn id(&self) -> uuid::Uuid {
            uuid::Uuid::nil()
        }
    }

    /// A broker that has all topics but one.
    struct Picky;

    #[async_trait]
    impl Outward for Picky {
        async fn deliver(&self, message: &OutboxMessage) -> Result<(), KafkaError> {
            if message.topic == MISSING {
                let unknown = RDKafkaErrorCode::UnknownTopicOrPartition;
                return Err(KafkaError::MessageProduction(unknown));
            }
            Ok(())
        }
    }

    fn message(number: u64, topic: &str) -> OutboxMessage {
        OutboxMessage {
            id: MessageId(uuid::Uuid::from_u64_pair(1, number)),
            topic: topic.to_owned(),
            key: number.to_be_bytes().to_vec(),
            headers: Vec::new(),
            payload: Vec::new(),
            created: Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn d1_no_error_repeats_the_value_of_a_property() {
        let mut connection = Connection::to("nowhere:9092");
        connection.resolve("no.such", "hunter2".into());
        let store = store::open(&store::Settings::at("sqlite::memory:")).await;
        let publisher = Publisher::new(
            connection.clone(),
            store.expect("opened"),
            Arc::new(Still),
            Arc::new(Still),
            WorkerId(uuid::Uuid::nil()),
            Arc::default(),
        );
        let relay = publisher.producer().err().expect("refused");
        let mode = crate::kafka::Mode::Structured;
        let submit = super::super::submit(&connection, "t", &[], mode, Arc::new(Still)).await;
        let submit = submit.expect_err("refused");
        for error in [anyhow::Error::from(relay), submit.into()] {
            let told = format!("{error:#} {error:?}");
            assert!(!told.contains("hunter2"), "{told}");
            assert!(told.contains("no.such"), "{told}");
        }
    }

    #[tokio::test]
    async fn a_topic_that_takes_nothing_keeps_no_other_back() {
        let kept = store::Settings::at("sqlite::memory:");
        let store = store::open(&kept).await.expect("opened");
        store.migrate().await.expect("migrated");
        let stuck = u64::from(LARGEST_ROUND) + 1;
        let mut messages: Vec<_> = (0..stuck).map(|n| message(n, MISSING)).collect();
        messages.push(message(stuck, "sound"));
        let batch = IntakeBatch {
            messages,
            ..IntakeBatch::default()
        };
        store.record(&batch).await.expect("recorded");
        let publisher = Publisher::new(
            Connection::to("nowhere:9092"),
            Arc::clone(&store),
            Arc::new(Still),
            Arc::new(Still),
            WorkerId(uuid::Uuid::nil()),
            Arc::default(),
        );
        let throttle = Throttle::new(Arc::new(Still));
        let round = publisher.relay(&Picky, &throttle, LARGEST_ROUND).await;
        let round = round.expect("relayed");
        assert_eq!((round.sent, round.failed), (1, LARGEST_ROUND));
        assert!(!round.more && round.stuck.contains(MISSING));
        // Nothing of the other is lost, and it is tried again.
        let counts = store.counts(Timestamp::UNIX_EPOCH).await;
        assert_eq!(counts.expect("counts").outbox_waiting, stuck);
        let round = publisher.relay(&Picky, &throttle, ROUND).await;
        assert_eq!(round.expect("relayed").failed, ROUND);
    }
}
