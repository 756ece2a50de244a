//! What every Kafka test stands on: a topic of its own, a SQLite store of its own, an intake.
//!
//! Owns making topics on Apache Kafka or on the embedded broker, sending, looking at what lies on
//! a topic and what a group has committed, and bounded waiting. Asserts nothing about intake.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clawback::demo::broker::Broker;
use clawback::domain::id::WorkerId;
use clawback::domain::time::{Chance, Clock, Timestamp};
use clawback::intake::{Health, Intake, IntakeError, Settings};
use clawback::kafka::{CloudEvent, Connection, Mode};
use clawback::publish::{Delivered, PublishError, Publisher, submit};
use clawback::store::{self, Store};
use rdkafka::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::parts::{part, until};

const BOUND: Duration = Duration::from_secs(60);

/// The wall clock.
#[derive(Debug)]
pub struct Wall;

impl Clock for Wall {
    #[allow(clippy::disallowed_methods)] // Real brokers keep real time.
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Real chance.
#[derive(Debug)]
pub struct Dice;

impl Chance for Dice {
    fn fraction(&self) -> f64 {
        0.5
    }

    #[allow(clippy::disallowed_methods)] // Brokers outlive a test run: names must differ.
    fn id(&self) -> uuid::Uuid {
        uuid::Uuid::new_v4()
    }
}

/// A topic with its dead-letter topic, a store, and a group that nobody else has.
pub struct Bed {
    pub broker: Option<Broker>,
    pub connection: Connection,
    pub topic: String,
    pub group: String,
    pub store: Arc<dyn Store>,
    pub dir: tempfile::TempDir,
    pub partitions: i32,
    next: AtomicU32,
    producer: FutureProducer,
}

/// An intake that runs.
pub struct Running {
    pub health: Arc<Health>,
    stop: CancellationToken,
    end: JoinHandle<Result<(), IntakeError>>,
}

impl Running {
    /// Drains it; fails if it takes long or ends with an error.
    pub async fn drain(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(BOUND, self.end).await;
        ended.expect("drains").expect("no panic").expect("no error");
    }
}

/// A relay that runs.
pub struct Relaying {
    pub delivered: Arc<Delivered>,
    stop: CancellationToken,
    end: JoinHandle<Result<(), PublishError>>,
}

impl Relaying {
    pub async fn drain(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(BOUND, self.end).await;
        ended.expect("drains").expect("no panic").expect("no error");
    }
}

impl Bed {
    /// On the broker that `scripts/test` names.
    pub async fn make(name: &str, partitions: i32) -> Self {
        let servers = part("CLAWBACK_TEST_KAFKA");
        if servers == "embedded" {
            return Self::embedded(name, partitions).await;
        }
        Self::on(Connection::to(&servers), name, partitions).await
    }

    /// On a broker of its own in this process.
    pub async fn embedded(name: &str, partitions: i32) -> Self {
        let dead = format!("{name}.dlq");
        let broker = Broker::start(&[name, &dead], partitions).expect("a broker");
        let connection = Connection::embedded(broker.bootstrap_servers());
        Self::with(Some(broker), connection, name.to_owned(), partitions).await
    }

    /// On this Apache Kafka.
    pub async fn on(connection: Connection, name: &str, partitions: i32) -> Self {
        let topic = format!("{name}-{}", Dice.id());
        let config = connection.onlooker().expect("nothing to look up");
        let admin: AdminClient<DefaultClientContext> = config.create().expect("an admin client");
        let dead = format!("{topic}.dlq");
        let topics = [topic.as_str(), &dead]
            .map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1)));
        let made = admin.create_topics(&topics, &AdminOptions::new()).await;
        for one in made.expect("an answer") {
            one.expect("a topic");
        }
        Self::with(None, connection, topic, partitions).await
    }

    async fn with(
        broker: Option<Broker>,
        connection: Connection,
        topic: String,
        partitions: i32,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", dir.path().join("clawback.db").display());
        let store = store::open(&store::Settings::at(url))
            .await
            .expect("a store");
        store.migrate().await.expect("a schema");
        let config = connection.producer(BOUND).expect("nothing to look up");
        Self {
            broker,
            producer: config.create().expect("a producer"),
            connection,
            group: format!("{topic}-group"),
            topic,
            store,
            dir,
            partitions,
            next: AtomicU32::new(1),
        }
    }

    pub fn settings(&self) -> Settings {
        Settings {
            topics: vec![self.topic.clone()],
            group: self.group.clone(),
            ..Settings::on(self.connection.clone())
        }
    }

    pub fn start(&self) -> Running {
        self.start_with(self.settings())
    }

    #[allow(clippy::disallowed_methods)] // The test itself waits for the task.
    pub fn start_with(&self, settings: Settings) -> Running {
        let intake = Intake::new(settings, Arc::clone(&self.store), Arc::new(Wall));
        let (health, stop) = (intake.health(), CancellationToken::new());
        let end = tokio::spawn(intake.run(stop.clone()));
        Running { health, stop, end }
    }

    #[allow(clippy::disallowed_methods)] // As above.
    pub async fn relay(&self) -> Relaying {
        let worker = WorkerId(Dice.id());
        let enlisted = self.store.enlist(worker, Wall.now(), 60).await;
        enlisted.expect("enlisted");
        let delivered = Arc::new(Delivered::default());
        let publisher = Publisher::new(
            self.connection.clone(),
            Arc::clone(&self.store),
            Arc::new(Wall),
            Arc::new(Dice),
            worker,
            delivered.clone(),
        );
        let stop = CancellationToken::new();
        let end = tokio::spawn(publisher.run(stop.clone()));
        Relaying {
            delivered,
            stop,
            end,
        }
    }

    /// A sound event about a subject that no other event of this bed is about.
    pub fn event(&self) -> Value {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        json!({"specversion": "1.0", "id": format!("e-{number}"), "source": "urn:hr:test",
            "type": "clawback.worker.terminated.v1",
            "data": {"subject": {"kind": "person", "tenant": "acme", "id": format!("E{number}")},
                "revision": 1, "urgency": "for_cause"}})
    }

    pub async fn send(&self, event: &Value, mode: Mode) {
        let event = CloudEvent::from_json(event.to_string().as_bytes()).expect("a CloudEvent");
        self.send_all(vec![event], mode).await;
    }

    /// Sends this many sound events.
    pub async fn send_many(&self, count: usize) {
        let events = (0..count).map(|_| self.event().to_string());
        let events = events.map(|e| CloudEvent::from_json(e.as_bytes()).expect("a CloudEvent"));
        self.send_all(events.collect(), Mode::Structured).await;
    }

    async fn send_all(&self, events: Vec<CloudEvent>, mode: Mode) {
        let keyed: Vec<_> = events
            .into_iter()
            .map(|event| (event.id.clone().into_bytes(), event))
            .collect();
        let patient = self.connection.clone().with("message.timeout.ms", "240000");
        let placed = submit(&patient, &self.topic, &keyed, mode, Arc::new(Wall)).await;
        assert_eq!(placed.expect("sent").len(), keyed.len());
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&self, key: &[u8], payload: &[u8]) {
        let record = FutureRecord::to(&self.topic).key(key).payload(payload);
        let sent = self.producer.send(record, BOUND).await;
        sent.expect("sent");
    }

    pub async fn recorded(&self) -> u64 {
        self.store
            .counts(Wall.now())
            .await
            .expect("counts")
            .events_recorded
    }

    pub async fn until_recorded(&self, count: u64) {
        let what = format!("{count} events are recorded");
        until(&what, async || self.recorded().await >= count).await;
        assert_eq!(self.recorded().await, count);
    }

    /// The sum of what the group has committed; `None` if it has committed nothing.
    pub fn committed(&self) -> Option<i64> {
        let mut config = self.connection.onlooker().expect("nothing to look up");
        let consumer: BaseConsumer = config
            .set("group.id", &self.group)
            .create()
            .expect("a client");
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.topic, 0, self.partitions - 1);
        let committed = consumer.committed_offsets(list, BOUND).expect("an answer");
        let known = committed
            .elements()
            .into_iter()
            .filter_map(|e| match e.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            });
        let known: Vec<_> = known.collect();
        (!known.is_empty()).then(|| known.iter().sum())
    }

    /// The first `count` messages of the dead-letter topic: key, headers, payload.
    pub fn dead_letter_topic(&self, count: usize) -> Vec<Copy> {
        let topic = format!("{}.dlq", self.topic);
        let mut config = self.connection.onlooker().expect("nothing to look up");
        let consumer: BaseConsumer = config
            .set("group.id", format!("{}-dlq", self.group))
            .create()
            .expect("a client");
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            let added = list.add_partition_offset(&topic, partition, Offset::Beginning);
            added.expect("a place");
        }
        consumer.assign(&list).expect("assigned");
        let mut found = Vec::new();
        for _ in 0..600 {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                let headers = message.headers().expect("headers");
                found.push(Copy {
                    key: message.key().unwrap_or_default().to_vec(),
                    headers: headers
                        .iter()
                        .map(|h| {
                            let value = String::from_utf8_lossy(h.value.unwrap_or_default());
                            (h.key.to_owned(), value.into_owned())
                        })
                        .collect(),
                    payload: message.payload().unwrap_or_default().to_vec(),
                });
            }
            if found.len() == count {
                return found;
            }
        }
        panic!("{} of {count} messages came on {topic}", found.len());
    }
}

/// A message of the dead-letter topic.
#[derive(Debug)]
pub struct Copy {
    pub key: Vec<u8>,
    pub headers: Vec<(String, String)>,
    pub payload: Vec<u8>,
}

impl Copy {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}
