//! Events of a file onto the lifecycle topic.
//!
//! Owns the sending and the wait for every delivery report; an event counts as sent when all
//! replicas have it. What the events say was checked before (`intake::submission`).

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::domain::time::Clock;
use crate::kafka::{CloudEvent, Connection, Mode, QuietClient, Unresolved, without_value};

use super::owned_headers;

/// A person waits: sooner than librdkafka's five minutes.
const PATIENCE: Duration = Duration::from_secs(15);
/// Events whose delivery is waited for together.
const WAVE: usize = 1000;

/// Where an event has come to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Not all events were sent.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The settings do not make a producer.
    #[error("CB-PUBLISH-1: the Kafka producer could not be made")]
    Producer(#[source] KafkaError),
    /// A secret was not looked up.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// Kafka did not take an event. Those before it are sent; sending them again is harmless.
    #[error("CB-PUBLISH-2: Kafka did not take event {place} of {total}")]
    Delivery {
        /// The first that failed, from 1.
        place: usize,
        /// All.
        total: usize,
        /// Kafka's words.
        #[source]
        source: KafkaError,
    },
}

/// Sends the events in order, each with its key, and returns where they lie.
///
/// # Errors
/// At the first event that Kafka does not take within 15 seconds, or what the properties say.
pub async fn submit(
    connection: &Connection,
    topic: &str,
    events: &[(Vec<u8>, CloudEvent)],
    mode: Mode,
    clock: Arc<dyn Clock>,
) -> Result<Vec<Placed>, SubmitError> {
    let config = connection.producer(PATIENCE)?;
    let producer: FutureProducer<QuietClient> = config
        .create_with_context(QuietClient::new(clock))
        .map_err(|error| SubmitError::Producer(without_value(error)))?;
    let mut placed = Vec::with_capacity(events.len());
    for wave in events.chunks(WAVE) {
        let sending = wave.iter().map(|(key, event)| {
            let record = event.write(mode);
            let producer = &producer;
            async move {
                let mut message = FutureRecord::<[u8], [u8]>::to(topic)
                    .key(key)
                    .headers(owned_headers(&record.headers));
                if let Some(value) = &record.value {
                    message = message.payload(value);
                }
                producer.send(message, PATIENCE).await
            }
        });
        // Polled in order, so that the producer's queue gets them in order.
        let results = futures_util::future::join_all(sending).await;
        for result in results {
            let delivery = result.map_err(|(source, _)| SubmitError::Delivery {
                place: placed.len() + 1,
                total: events.len(),
                source,
            })?;
            placed.push(Placed {
                partition: delivery.partition,
                offset: delivery.offset,
            });
        }
    }
    Ok(placed)
}
