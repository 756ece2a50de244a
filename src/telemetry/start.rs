//! Starting and ending of telemetry for the whole program.
//!
//! Owns the subscriber: which lines are printed, in which form, scrubbed, to standard error. Quiets
//! libraries that talk much; what librdkafka and sqlx say through `log` comes the same way. Must be
//! called once, within the runtime.

use std::io::IsTerminal;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::SubscriberInitExt;

use super::redaction::ScrubbedErrorStream;
use super::span::{Tracing, install};
use super::{LogFormat, Settings, export};

/// Libraries that tell at `info` or `debug` what nobody asked for; statements, with their values,
/// among it. The operator's own filter comes after and so can ask for them.
const QUIET: &str = "rdkafka=warn,librdkafka=warn,sqlx=warn,hyper=warn,hyper_util=warn,h2=warn,\
                     reqwest=warn,rustls=warn,opentelemetry=warn,opentelemetry_sdk=warn,\
                     opentelemetry_otlp=warn,opentelemetry-otlp=warn,axum=warn";

/// Telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter can't be understood.
    #[error("CB-TELEMETRY-1: the log filter can't be understood")]
    Filter(#[source] ParseError),
    /// The exporter can't be set up.
    #[error("CB-TELEMETRY-2: traces can't be sent to the endpoint")]
    Exporter(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It runs already.
    #[error("CB-TELEMETRY-4: telemetry was started twice")]
    Twice,
}

/// Keeps telemetry going; to be finished last.
#[derive(Debug)]
#[must_use = "spans are lost when the guard is dropped"]
pub struct Guard {
    tasks: JoinSet<()>,
    closing: CancellationToken,
}

impl Guard {
    /// Sends what is queued, for at most so long.
    pub async fn finish(mut self, at_most: Duration) {
        self.closing.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(at_most, ended).await.is_err() {
            tracing::warn!("the last traces could not be sent in time");
        }
    }
}

/// Starts log lines, and traces where an endpoint is set.
pub fn start(settings: &Settings) -> Result<Guard, TelemetryError> {
    let filter = filter(&settings.log_filter).map_err(TelemetryError::Filter)?;
    let ansi = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| ScrubbedErrorStream)
        .with_ansi(ansi);
    let result = match settings.log_format {
        LogFormat::Human => lines.finish().try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .try_init(),
    };
    result.map_err(|_| TelemetryError::Twice)?;
    let (tracing, guard) = Tracing::to_collector(settings)?;
    if !install(tracing) {
        return Err(TelemetryError::Twice);
    }
    Ok(guard)
}

impl Tracing {
    /// Traces to the endpoint of `settings`, without making them the program's own.
    pub fn to_collector(settings: &Settings) -> Result<(Self, Guard), TelemetryError> {
        let mut guard = Guard {
            tasks: JoinSet::new(),
            closing: CancellationToken::new(),
        };
        let Some(endpoint) = &settings.otlp_endpoint else {
            return Ok((Tracing::default(), guard));
        };
        let exporter = export::exporter(settings, endpoint)?;
        let (tracing, spans) = Tracing::new(settings.sample_percent);
        let closing = guard.closing.clone();
        guard.tasks.spawn(export::run(exporter, spans, closing));
        Ok((tracing, guard))
    }
}

/// The operator's filter on top of the quiet libraries.
pub(super) fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(format!("{QUIET},{text}"))
}
