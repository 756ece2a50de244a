//! From finished spans to the collector.
//!
//! Owns the one task that gathers spans into batches and sends them by OTLP over HTTP. A collector
//! that is away costs the spans of that time, a counter and one log line, never the work. At the end
//! what is queued is sent, for as long as the caller is ready to wait.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::{Settings, TelemetryError, metrics};

/// Spans in one request.
const BATCH: usize = 512;

/// How long a batch may fill.
const GATHER: Duration = Duration::from_millis(500);

/// An exporter for the collector at the endpoint of `settings`.
pub(super) fn exporter(
    settings: &Settings,
    endpoint: &str,
) -> Result<SpanExporter, TelemetryError> {
    let timeout = Duration::from_secs(settings.otlp_timeout_seconds);
    let client = reqwest::Client::builder()
        .timeout(timeout)
        .build()
        .map_err(|error| TelemetryError::Exporter(error.into()))?;
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(timeout)
        .with_http_client(client)
        .build()
        .map_err(|error| TelemetryError::Exporter(error.into()))?;
    let resource = Resource::builder()
        .with_service_name(settings.service_name.clone())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ])
        .build();
    exporter.set_resource(&resource);
    Ok(exporter)
}

/// Sends what comes out of `spans` until `closing`, and then what is left.
pub(super) async fn run(
    exporter: SpanExporter,
    mut spans: Receiver<SpanData>,
    closing: CancellationToken,
) {
    let mut away = false;
    loop {
        let mut batch = Vec::with_capacity(BATCH);
        let last = tokio::select! {
            received = spans.recv_many(&mut batch, BATCH) => received == 0,
            () = closing.cancelled() => true,
        };
        if !last && batch.len() < BATCH {
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = closing.cancelled() => {}
            }
        }
        loop {
            while batch.len() < BATCH {
                match spans.try_recv() {
                    Ok(span) => batch.push(span),
                    Err(_) => break,
                }
            }
            let full = batch.len() == BATCH;
            send(&exporter, std::mem::take(&mut batch), &mut away).await;
            // At the end all that is queued is sent, unless the collector is away.
            if !(last && full) || away {
                break;
            }
        }
        if last {
            metrics::spans_dropped(spans.len() as u64);
            return;
        }
    }
}

async fn send(exporter: &SpanExporter, batch: Vec<SpanData>, away: &mut bool) {
    if batch.is_empty() {
        return;
    }
    let count = batch.len() as u64;
    match exporter.export(batch).await {
        Ok(()) => {
            metrics::spans_exported(count);
            if std::mem::take(away) {
                tracing::info!("the collector takes traces again");
            }
        }
        Err(error) => {
            metrics::spans_dropped(count);
            if !std::mem::replace(away, true) {
                tracing::warn!(code = "CB-TELEMETRY-3", %error, "the collector takes no traces");
            }
        }
    }
}
