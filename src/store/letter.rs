//! Messages that could not be read or mapped.
//!
//! Owns the shape in which one is kept, whole, and what people have said of it since.

use serde::{Deserialize, Serialize};

use crate::domain::approval::Signed;
use crate::domain::event::Origin;
use crate::domain::id::DeadLetterId;
use crate::domain::time::Timestamp;

/// A message that could not be read or mapped, kept whole; or a hole that messages were in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Derived from its place.
    pub id: DeadLetterId,
    /// Where it came from.
    pub origin: Origin,
    /// Kafka key.
    pub key: Option<Vec<u8>>,
    /// Kafka headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Kafka value, as it came.
    pub payload: Vec<u8>,
    /// Stable code (`docs/errors.md`).
    pub code: String,
    /// Why, in words.
    pub reason: String,
    /// When intake saw it first.
    pub first_seen: Timestamp,
    /// When it was last replayed.
    pub replayed: Option<Timestamp>,
    /// Who said last that nothing needs to come of it.
    #[serde(default)]
    pub aside: Option<Signed>,
}

impl DeadLetter {
    /// The code of what stands for messages that were deleted before they were read.
    pub const LOST: &str = "CB-INTAKE-16";

    /// False where there is no message that could be sent again.
    pub fn has_message(&self) -> bool {
        self.code != Self::LOST
    }
}

/// Which dead letters are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// All of them.
    All,
    /// Those that nobody has replayed or set aside.
    Waiting,
}
