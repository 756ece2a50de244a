//! Kafka out: the outbox relay, the events that `submit` sends, and the replay of dead letters.
//!
//! Owns the idempotent producer and the promise that what stands in the outbox arrives at least
//! once, in order for each key. Composes no messages of its own: these were written in the
//! transaction that they tell of. Reads nothing from Kafka.

mod relay;
mod replay;
mod submit;

pub use relay::{Delivered, PublishError, Publisher};
pub use replay::{REPLAY_OF, replay};
pub use submit::{Placed, SubmitError, submit};

use rdkafka::message::{Header, OwnedHeaders};

/// Headers as the producer takes them. A NUL in a name would cut it off on the way.
fn owned_headers(headers: &[(String, Vec<u8>)]) -> OwnedHeaders {
    headers
        .iter()
        .filter(|(name, _)| !name.contains('\0'))
        .fold(OwnedHeaders::new(), |owned, (name, value)| {
            owned.insert(Header {
                key: name,
                value: Some(value),
            })
        })
}
