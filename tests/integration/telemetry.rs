//! What a collector receives: a small one in this process takes OTLP over HTTP and decodes it.
//!
//! Shows one story per case across two lives of a worker, and that a collector which is away holds
//! nobody up. Needs no service.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use clawback::telemetry::{Settings, StoryId, Tracing};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

const ENOUGH: Duration = Duration::from_secs(20);

async fn take(State(taken): State<UnboundedSender<ExportTraceServiceRequest>>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).expect("a trace request");
    taken.send(request).expect("the test is there");
}

struct Collector {
    settings: Settings,
    taken: UnboundedReceiver<ExportTraceServiceRequest>,
    _serving: JoinSet<()>,
}

impl Collector {
    async fn start() -> Self {
        let (sender, taken) = unbounded_channel();
        let routes = Router::new()
            .route("/v1/traces", post(take))
            .with_state(sender);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.expect("serves") });
        Self {
            settings: Settings {
                otlp_endpoint: Some(format!("http://{address}/v1/traces")),
                ..Settings::default()
            },
            taken,
            _serving: serving,
        }
    }

    fn spans(&mut self) -> Vec<(String, Span)> {
        let mut spans = Vec::new();
        while let Ok(request) = self.taken.try_recv() {
            for resource in request.resource_spans {
                let service = resource
                    .resource
                    .iter()
                    .flat_map(|resource| &resource.attributes)
                    .find(|pair| pair.key == "service.name")
                    .map(|pair| format!("{:?}", pair.value))
                    .unwrap_or_default();
                let told = resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans);
                spans.extend(told.map(|span| (service.clone(), span)));
            }
        }
        spans
    }
}

#[tokio::test]
async fn h2_a_collector_receives_one_story_per_case_across_two_lives_of_a_worker() {
    let mut collector = Collector::start().await;
    let case = StoryId(
        "0193b3c0-1111-8aaa-9bbb-123456789abc"
            .parse()
            .expect("an id"),
    );
    let trigger = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");

    let (first, guard) = Tracing::to_collector(&collector.settings).expect("set up");
    first.opened(case, "leaver", trigger);
    drop(first.step(case, &"run", "disable", Some("crm"), 1));
    guard.finish(ENOUGH).await;
    let (second, guard) = Tracing::to_collector(&collector.settings).expect("set up");
    drop(second.step(case, &"run", "verify", Some("crm"), 1));
    let (opened, ended) = (
        "2026-11-01T00:00:00Z".parse().expect("a time"),
        "2026-11-04T00:00:00Z".parse().expect("a time"),
    );
    second.finish(case, opened, ended, "verified", trigger);
    guard.finish(ENOUGH).await;

    let spans = collector.spans();
    let names: Vec<_> = spans.iter().map(|(_, span)| span.name.as_str()).collect();
    assert_eq!(
        names,
        ["case.opened", "step disable", "step verify", "case"]
    );
    let (_, root) = spans.last().expect("four");
    for (service, span) in &spans {
        assert!(service.contains("clawback"), "{service}");
        assert_eq!(span.trace_id, case.0.as_bytes(), "the trace is the case");
        assert!(span.span_id == root.span_id || span.parent_span_id == root.span_id);
    }
    assert!(root.parent_span_id.is_empty());
    let lasted = Duration::from_nanos(root.end_time_unix_nano - root.start_time_unix_nano);
    assert_eq!(lasted, Duration::from_hours(72));
    assert_eq!(root.links.len(), 1, "linked to what set it off");
}

#[tokio::test]
async fn h2_a_collector_that_is_away_holds_nobody_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let settings = Settings {
        otlp_endpoint: Some(format!("http://{address}/v1/traces")),
        otlp_timeout_seconds: 1,
        ..Settings::default()
    };
    let (tracing, guard) = Tracing::to_collector(&settings).expect("set up");
    let case = StoryId(
        "0193b3c0-2222-8aaa-9bbb-123456789abc"
            .parse()
            .expect("an id"),
    );
    for attempt in 0..50_000 {
        drop(tracing.step(case, &"run", "disable", Some("crm"), attempt));
    }
    tokio::time::timeout(ENOUGH * 2, guard.finish(ENOUGH))
        .await
        .expect("it ends");
}
