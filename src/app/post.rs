//! Events and dead letters on their way to Kafka by an operator's hand.
//!
//! Owns `submit` (events of a file, checked as intake would check them, then sent) and the replay of
//! a dead letter through the outbox. Sends nothing when anything in the file is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::vault;
use crate::config::Settings;
use crate::document::Problems;
use crate::domain::id::{DeadLetterId, MessageId};
use crate::domain::outcome::Failure;
use crate::domain::time::{Chance, Clock};
use crate::intake::submission::{self, Submission};
use crate::kafka::Mode;
use crate::publish;
use crate::store::{Store, StoreError};

/// The events of a file were not sent, or not all.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The file cannot be read.
    #[error("cannot read {0}")]
    File(PathBuf, #[source] std::io::Error),
    /// Events in it are wrong; none was sent.
    #[error("events in the file are wrong")]
    Problems(Problems),
    /// No Kafka is configured.
    #[error("{0} has no [kafka] with a topic")]
    NoKafka(PathBuf),
    /// A secret of the connection is missing.
    #[error(transparent)]
    Secret(#[from] Failure),
    /// Kafka did not take them all.
    #[error(transparent)]
    Kafka(#[from] publish::SubmitError),
}

/// An event that Kafka has taken.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Reads and checks the events of a file.
///
/// # Errors
/// The file cannot be read, or events in it are wrong: all problems at once.
pub fn read(
    file: &Path,
    bytes_max: usize,
    clock: &dyn Clock,
) -> Result<Vec<Submission>, PostError> {
    let text =
        std::fs::read_to_string(file).map_err(|error| PostError::File(file.to_owned(), error))?;
    let name = file.display().to_string();
    submission::read(&name, &text, clock.now(), bytes_max).map_err(PostError::Problems)
}

/// Sends the events of a file in order.
///
/// # Errors
/// No Kafka is configured, a secret is missing, or Kafka does not take an event.
pub async fn submit(
    settings: &Settings,
    file: &Path,
    binary: bool,
    clock: Arc<dyn Clock>,
) -> Result<Vec<Sent>, PostError> {
    let kafka = settings.kafka.as_ref();
    let Some((kafka, topic)) = kafka.and_then(|kafka| Some((kafka, kafka.topics.first()?))) else {
        return Err(PostError::NoKafka(settings.file.clone()));
    };
    let submissions = read(file, kafka.message_bytes_max, clock.as_ref())?;
    let mut connection = kafka.connection.clone();
    vault::resolve(&mut connection, settings, &clock).await?;
    let mode = if binary {
        Mode::Binary
    } else {
        Mode::Structured
    };
    let events: Vec<_> = submissions
        .iter()
        .map(|submission| (submission.key.clone(), submission.cloud_event.clone()))
        .collect();
    let placed = publish::submit(&connection, topic, &events, mode, clock).await?;
    let sent = submissions.into_iter().zip(placed);
    Ok(sent
        .map(|(submission, place)| Sent {
            source: submission.event.source,
            id: submission.event.id,
            topic: topic.clone(),
            partition: place.partition,
            offset: place.offset,
        })
        .collect())
}

/// Puts a dead letter into the outbox again; `None` when there is no such letter.
///
/// # Errors
/// When the store does not answer.
pub async fn replay(
    store: &dyn Store,
    id: DeadLetterId,
    clock: &dyn Clock,
    chance: &dyn Chance,
) -> Result<Option<MessageId>, StoreError> {
    match store.dead_letter(id).await? {
        Some(letter) => Ok(Some(publish::replay(store, &letter, clock, chance).await?)),
        None => Ok(None),
    }
}
