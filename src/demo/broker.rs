//! The embedded Kafka broker of `clawback dev`: librdkafka's mock cluster on a thread of its own.
//!
//! Owns its life and its guard rails: loopback only, topics made beforehand, a loud warning when it
//! trims (it keeps 5 MiB or 100,000 messages for each partition, in memory only). Nothing in a
//! configuration file can ask for it. Offsets end with the process, so each life needs a consumer
//! group of its own. Records are kept small by the clients that connect to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;

/// How often the watch looks for trimmed records.
const WATCH: Duration = Duration::from_secs(5);
const ASK: Duration = Duration::from_millis(500);
/// librdkafka's way to say every broker.
const ALL_BROKERS: i32 = -1;

/// The broker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// librdkafka's words.
    #[error("CB-BROKER-1: the embedded broker could not be started")]
    Cluster(#[from] KafkaError),
    /// The thread did not start, or ended at once.
    #[error("CB-BROKER-1: the embedded broker has no thread: {0}")]
    Thread(String),
}

enum Wish {
    Down(Sender<()>),
    Up(Sender<()>),
}

/// A running broker; it ends, with everything in it, when this is dropped.
#[derive(Debug)]
pub struct Broker {
    bootstrap_servers: String,
    trimmed: Arc<AtomicU64>,
    wishes: Option<Sender<Wish>>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Starts a broker with these topics. Many partitions make trimming unlikely.
    ///
    /// # Errors
    /// When librdkafka or the system refuses.
    pub fn start(topics: &[&str], partitions: i32) -> Result<Self, BrokerError> {
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let trimmed = Arc::new(AtomicU64::new(0));
        let (wishes, inbox) = channel();
        let (ready, started) = channel();
        let counter = Arc::clone(&trimmed);
        let thread = std::thread::Builder::new()
            .name("embedded-kafka".to_owned())
            .spawn(move || {
                // The cluster is bound to its thread: it holds a raw pointer.
                let made = MockCluster::new(1).and_then(|cluster| {
                    for topic in &topics {
                        cluster.create_topic(topic, partitions, 1)?;
                    }
                    Ok(cluster)
                });
                match made {
                    Ok(cluster) => {
                        let _ = ready.send(Ok(cluster.bootstrap_servers()));
                        Watch::new(&cluster, &topics, partitions, &counter).serve(&inbox);
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            })
            .map_err(|error| BrokerError::Thread(error.to_string()))?;
        let bootstrap_servers = started
            .recv()
            .map_err(|error| BrokerError::Thread(error.to_string()))??;
        tracing::warn!(
            bootstrap_servers,
            "embedded Kafka broker: events that nobody has read are gone when this process ends"
        );
        Ok(Self {
            bootstrap_servers,
            trimmed,
            wishes: Some(wishes),
            thread: Some(thread),
        })
    }

    /// Where clients reach it, on loopback.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Records that it has dropped for want of room.
    pub fn trimmed(&self) -> u64 {
        self.trimmed.load(Ordering::Relaxed)
    }

    /// Cuts all connections and takes no new ones, to see what clients do.
    pub fn down(&self) {
        self.wish(Wish::Down);
    }

    /// Takes connections again.
    pub fn up(&self) {
        self.wish(Wish::Up);
    }

    fn wish(&self, wish: impl FnOnce(Sender<()>) -> Wish) {
        let (done, fulfilled) = channel();
        if let Some(wishes) = &self.wishes
            && wishes.send(wish(done)).is_ok()
        {
            let _ = fulfilled.recv();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Without a sender the thread ends.
        self.wishes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves wishes and looks for trimmed records.
struct Watch<'a> {
    cluster: &'a MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    topics: &'a [String],
    partitions: i32,
    trimmed: &'a AtomicU64,
    onlooker: Option<BaseConsumer>,
    low: BTreeMap<(String, i32), i64>,
    down: bool,
}

impl<'a> Watch<'a> {
    fn new(
        cluster: &'a MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
        topics: &'a [String],
        partitions: i32,
        trimmed: &'a AtomicU64,
    ) -> Self {
        let onlooker = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .create();
        Self {
            cluster,
            topics,
            partitions,
            trimmed,
            onlooker: onlooker.ok(),
            low: BTreeMap::new(),
            down: false,
        }
    }

    fn serve(mut self, inbox: &Receiver<Wish>) {
        loop {
            match inbox.recv_timeout(WATCH) {
                Ok(Wish::Down(done)) => {
                    self.down = true;
                    obey(self.cluster.broker_down(ALL_BROKERS), &done);
                }
                Ok(Wish::Up(done)) => {
                    self.down = false;
                    obey(self.cluster.broker_up(ALL_BROKERS), &done);
                }
                Err(RecvTimeoutError::Timeout) if self.down => {}
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self) {
        let Some(onlooker) = &self.onlooker else {
            return;
        };
        for topic in self.topics {
            for partition in 0..self.partitions {
                let Ok((low, _)) = onlooker.fetch_watermarks(topic, partition, ASK) else {
                    return;
                };
                let before = self.low.insert((topic.clone(), partition), low);
                let fresh = low - before.unwrap_or(0);
                if fresh > 0 {
                    self.trimmed
                        .fetch_add(fresh.unsigned_abs(), Ordering::Relaxed);
                    tracing::error!(
                        code = "CB-BROKER-2",
                        topic,
                        partition,
                        records = fresh,
                        "THE EMBEDDED BROKER HAS DROPPED RECORDS: it keeps 5 MiB for each partition"
                    );
                }
            }
        }
    }
}

fn obey(result: Result<(), KafkaError>, done: &Sender<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "the embedded broker does not obey");
    }
    let _ = done.send(());
}
