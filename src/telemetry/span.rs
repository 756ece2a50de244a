//! One span from its beginning to its end, and the way out for finished ones.
//!
//! Owns [`Tracing`]: whether spans are made at all, which cases are sampled, and the queue to the
//! exporter. A span is a plain record that is handed over when it is dropped; a full queue drops and
//! counts it, because telemetry must never hold up the work. Knows no names of cases or topics.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::metrics;

/// Finished spans that wait for the exporter.
const QUEUE: usize = 16_384;

static GLOBAL: OnceLock<Tracing> = OnceLock::new();

/// Whether spans are made at all.
pub fn enabled() -> bool {
    global().is_on()
}

/// Where the program's spans go; one that makes none until telemetry was started.
pub(super) fn global() -> &'static Tracing {
    static OFF: Tracing = Tracing { way_out: None };
    GLOBAL.get().unwrap_or(&OFF)
}

/// Installs `tracing` for the whole program; `false` if that has been done before.
pub(super) fn install(tracing: Tracing) -> bool {
    GLOBAL.set(tracing).is_ok()
}

/// Names the story of a case: the case's own id is its trace id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoryId(pub uuid::Uuid);

impl StoryId {
    pub(super) fn trace(self) -> TraceId {
        TraceId::from_bytes(*self.0.as_bytes())
    }

    /// The id of the root span follows from the case, so that every process knows it.
    pub(super) fn root(self) -> SpanId {
        span_id(&[b"root", self.0.as_bytes()])
    }
}

/// A span id that follows from `parts`; never the invalid all-zero one.
pub(super) fn span_id(parts: &[&[u8]]) -> SpanId {
    let mut hash = Sha256::new_with_prefix(b"clawback span");
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0_u8; 8];
    bytes.copy_from_slice(&digest[..8]);
    bytes[7] |= 1;
    SpanId::from_bytes(bytes)
}

/// Makes spans, or doesn't.
#[derive(Debug, Clone, Default)]
pub struct Tracing {
    way_out: Option<WayOut>,
}

#[derive(Debug, Clone)]
struct WayOut {
    queue: mpsc::Sender<SpanData>,
    scope: InstrumentationScope,
    /// Of 256 stories, so many are told.
    share: u16,
}

impl Tracing {
    /// Spans that come out at the returned end.
    pub fn new(sample_percent: u8) -> (Self, mpsc::Receiver<SpanData>) {
        let (queue, out) = mpsc::channel(QUEUE);
        let way_out = WayOut {
            queue,
            scope: InstrumentationScope::builder("clawback")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            share: (u16::from(sample_percent.min(100)) * 256).div_ceil(100),
        };
        let tracing = Self {
            way_out: Some(way_out),
        };
        (tracing, out)
    }

    /// Whether spans are made at all.
    pub(super) fn is_on(&self) -> bool {
        self.way_out.is_some()
    }

    /// Whether this story is told: decided by its id alone, so that all processes agree.
    pub(super) fn tells(&self, story: StoryId) -> bool {
        // The last byte is hash in derived ids, and free of version and variant bits in all.
        self.way_out
            .as_ref()
            .is_some_and(|way| u16::from(story.0.as_bytes()[15]) < way.share)
    }

    /// A span that begins now. `None` for the parent makes it the first of a trace of its own.
    pub(super) fn begin(
        &self,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        parent: Option<&SpanContext>,
        id: Option<SpanId>,
    ) -> SpanHandle {
        if self.way_out.is_none() {
            return SpanHandle(None);
        }
        let random = RandomIdGenerator::default();
        let trace = parent.map_or_else(|| random.new_trace_id(), SpanContext::trace_id);
        let id = id.unwrap_or_else(|| random.new_span_id());
        self.open(kind, name.into(), trace, id, parent)
    }

    /// The root span of a story.
    pub(super) fn begin_root(&self, story: StoryId) -> SpanHandle {
        self.open(
            SpanKind::Internal,
            Cow::Borrowed("case"),
            story.trace(),
            story.root(),
            None,
        )
    }

    fn open(
        &self,
        kind: SpanKind,
        name: Cow<'static, str>,
        trace: TraceId,
        id: SpanId,
        parent: Option<&SpanContext>,
    ) -> SpanHandle {
        let Some(way_out) = &self.way_out else {
            return SpanHandle(None);
        };
        let now = now();
        let data = SpanData {
            span_context: context(trace, id, false),
            parent_span_id: parent.map_or(SpanId::INVALID, SpanContext::span_id),
            parent_span_is_remote: parent.is_some(),
            span_kind: kind,
            name,
            start_time: now,
            end_time: now,
            attributes: Vec::with_capacity(8),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: way_out.scope.clone(),
        };
        SpanHandle(Some(Box::new(Open {
            data,
            queue: way_out.queue.clone(),
            ended: None,
        })))
    }
}

/// A span under way; it ends when it is dropped. Does nothing where none is made.
#[derive(Debug)]
#[must_use = "a span that is dropped at once has no length"]
pub struct SpanHandle(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    data: SpanData,
    queue: mpsc::Sender<SpanData>,
    ended: Option<SystemTime>,
}

impl SpanHandle {
    /// The handle of a span that is not made.
    pub fn none() -> Self {
        Self(None)
    }

    /// Whether nothing is made.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Adds a fact. No personal data: no names, addresses, logins or message keys.
    pub fn note(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(open) = &mut self.0 {
            open.data.attributes.push(KeyValue::new(key, value.into()));
        }
    }

    /// It failed, in this class (`error.type` of the semantic conventions).
    pub fn fail(&mut self, class: &'static str) {
        if let Some(open) = &mut self.0 {
            open.data
                .attributes
                .push(KeyValue::new("error.type", class));
            open.data.status = Status::error(class);
        }
    }

    pub(super) fn link(&mut self, to: Option<SpanContext>) {
        if let (Some(open), Some(to)) = (&mut self.0, to) {
            open.data.links.links.push(Link::new(to, Vec::new(), 0));
        }
    }

    pub(super) fn lasted(&mut self, from: SystemTime, to: SystemTime) {
        if let Some(open) = &mut self.0 {
            open.data.start_time = from;
            open.ended = Some(to);
        }
    }
}

impl Drop for SpanHandle {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else {
            return;
        };
        let Open {
            mut data,
            queue,
            ended,
        } = *open;
        data.end_time = ended.unwrap_or_else(now).max(data.start_time);
        if queue.try_send(data).is_err() {
            metrics::spans_dropped(1);
        }
    }
}

pub(super) fn context(trace: TraceId, span: SpanId, remote: bool) -> SpanContext {
    SpanContext::new(
        trace,
        span,
        TraceFlags::SAMPLED,
        remote,
        TraceState::default(),
    )
}

/// Reads a `traceparent` (W3C Trace Context, section 3.2). What is not one is no link.
pub(super) fn parse_traceparent(text: &str) -> Option<SpanContext> {
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let known =
        version.len() == 2 && version != "ff" && (version != "00" || parts.next().is_none());
    if !known || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let mut trace_bytes = [0_u8; 16];
    let mut span_bytes = [0_u8; 8];
    hex::decode_to_slice(trace, &mut trace_bytes).ok()?;
    hex::decode_to_slice(span, &mut span_bytes).ok()?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    let context = SpanContext::new(
        TraceId::from_bytes(trace_bytes),
        SpanId::from_bytes(span_bytes),
        TraceFlags::new(flags),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

// The one place outside `app` that reads the wall clock: times of spans are told, never decided on.
#[allow(clippy::disallowed_methods)]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// Distinguishes spans that begin in the same instant.
pub(super) fn ordinal() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Measures how long something took, for metrics only.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it. Durations for metrics are told, never decided on.
    #[allow(clippy::disallowed_methods)]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Since the start, in seconds.
    pub fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a6_a_traceparent_is_read_strictly() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = parse_traceparent(text).expect("from the recommendation");
        assert_eq!(
            context.trace_id().to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert!(context.is_remote());
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0zf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(parse_traceparent(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_full_queue_drops_spans_and_holds_nobody_up() {
        let (tracing, out) = Tracing::new(100);
        drop(out);
        let before = metrics::page();
        drop(tracing.begin(SpanKind::Internal, "x", None, None));
        assert_ne!(before, metrics::page(), "it was counted");
    }

    #[test]
    fn about_the_asked_share_of_stories_is_told_whoever_asks() {
        let (tenth, _out) = Tracing::new(10);
        let (none, _out) = Tracing::new(0);
        let (all, _out) = Tracing::new(100);
        let told = (0..=255_u8)
            .filter(|last| {
                let mut bytes = [7; 16];
                bytes[15] = *last;
                let story = StoryId(uuid::Uuid::from_bytes(bytes));
                assert!(all.tells(story) && !none.tells(story));
                assert!(!Tracing::default().tells(story));
                tenth.tells(story)
            })
            .count();
        assert_eq!(told, 26);
    }
}
