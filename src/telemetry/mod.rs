//! What the program tells about itself: log lines, metrics, and the story of each case.
//!
//! Owns the subscriber for `tracing`, the redaction of whatever is printed, the names of all metrics
//! and the spans that go to OTLP. Nothing here decides anything, nothing here can fail the work, and
//! when OTLP is off no span is made at all. Names no other room: ids come in as text or as bytes.

mod export;
pub mod messaging;
pub mod metrics;
mod redaction;
mod settings;
mod span;
mod start;
pub mod story;

pub use redaction::{Redacted, scrub};
pub use settings::{LogFormat, Settings};
pub use span::{SpanHandle, Stopwatch, StoryId, Tracing, enabled};
pub use start::{Guard, TelemetryError, start};
