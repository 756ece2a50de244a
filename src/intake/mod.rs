//! Kafka in: lifecycle events are read, recorded, and only then acknowledged.
//!
//! Owns: decoding CloudEvents into canonical events, the consumer group, batches, dead letters,
//! the gap check and back-pressure while the store is away. Decides nothing about cases; that is
//! admission. Every message ends recorded, as a known duplicate, or as a dead letter.

mod canonical;
mod consume;
mod context;
mod dead_letter;
pub mod decode;
mod fields;
mod flood;
mod gaps;
mod health;
mod losses;
mod reach;
mod recorder;
mod rejection;
mod resume;
mod settings;
pub mod submission;

pub use consume::{Intake, IntakeError};
pub use decode::RawMessage;
pub use health::{Figures, Health};
pub use reach::Trouble;
pub use rejection::{Code, Rejection};
pub use settings::Settings;
