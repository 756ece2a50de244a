//! Log lines and traces of the whole process, started before anything else.
//!
//! Owns the one start and the one end of telemetry. `CLAWBACK_LOG` wins over what a command or a
//! file says, so that an operator can look closer without editing anything.

use std::time::Duration;

use super::AppError;
use crate::config;
use crate::telemetry::{self, Settings};

/// How long the last spans may take on their way out.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Telemetry under way.
#[derive(Debug)]
#[must_use = "the last spans are lost unless it is finished"]
pub struct Telling(telemetry::Guard);

impl Telling {
    /// Log lines only, at `filter`.
    ///
    /// # Errors
    /// When `CLAWBACK_LOG` can't be understood.
    pub fn lines(filter: &str) -> Result<Self, AppError> {
        Self::start(Settings {
            log_filter: filter.to_owned(),
            ..Settings::default()
        })
    }

    /// Log lines and traces as the configuration says.
    ///
    /// # Errors
    /// When `CLAWBACK_LOG` or the endpoint can't be understood.
    pub fn start(mut settings: Settings) -> Result<Self, AppError> {
        if let Some(filter) = config::variable("CLAWBACK_LOG") {
            settings.log_filter = filter;
        }
        Ok(Self(telemetry::start(&settings)?))
    }

    /// Has a panic told as a log line as well, in place of the system's own words: a program that reads
    /// the lines would take those for no line at all.
    pub fn panics() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            let words = panic.payload_as_str().unwrap_or("no words");
            tracing::error!(code = "CB-APP-2", place, "panicked: {words}");
        }));
    }

    /// Sends what is still queued, for a bounded time.
    pub async fn finish(self) {
        self.0.finish(LAST_WORDS).await;
    }
}
