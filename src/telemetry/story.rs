//! The story of a case: one trace, however many days, restarts and workers it takes.
//!
//! The trace id is the case's id and the root span's id follows from it, so each attempt of a step
//! is a short span under a parent that may not be written yet; waiting opens no span. The root is
//! written once, when the case ends, with its real beginning. The trace of the message that set it
//! off is linked, not continued. No personal data: ids, states, connectors and classes only.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::SpanKind;

use super::span::{
    SpanHandle, StoryId, Tracing, context, global, ordinal, parse_traceparent, span_id,
};

/// Tells that a case was opened, and which message set it off.
pub fn opened(case: StoryId, workflow: &str, traceparent: Option<&str>) {
    global().opened(case, workflow, traceparent);
}

/// One attempt of one step; ends when the handle is dropped.
pub fn step(
    case: StoryId,
    run: &dyn Display,
    name: &str,
    connector: Option<&str>,
    attempt: u32,
) -> SpanHandle {
    global().step(case, run, name, connector, attempt)
}

/// Writes the root when the case has ended.
pub fn finish(
    case: StoryId,
    opened: jiff::Timestamp,
    ended: jiff::Timestamp,
    outcome: &'static str,
    traceparent: Option<&str>,
) {
    global().finish(case, opened, ended, outcome, traceparent);
}

/// The root of the story as a `traceparent`, for messages that tell of the case.
pub fn traceparent(case: StoryId) -> String {
    let flags = if global().tells(case) { "01" } else { "00" };
    format!("00-{}-{}-{flags}", case.trace(), case.root())
}

impl Tracing {
    /// As [`opened`].
    pub fn opened(&self, case: StoryId, workflow: &str, traceparent: Option<&str>) {
        let Some(mut span) = self.chapter(case, "case.opened".to_owned(), &[b"opened"]) else {
            return;
        };
        span.note("clawback.workflow", workflow.to_owned());
        span.link(traceparent.and_then(parse_traceparent));
    }

    /// As [`step`].
    pub fn step(
        &self,
        case: StoryId,
        run: &dyn Display,
        name: &str,
        connector: Option<&str>,
        attempt: u32,
    ) -> SpanHandle {
        if !self.tells(case) {
            return SpanHandle::none();
        }
        let run = run.to_string();
        // A step that is repeated after a crash has the same attempt number: the process and the
        // order within it keep the two apart.
        let parts = [
            run.as_bytes(),
            name.as_bytes(),
            &attempt.to_be_bytes(),
            &std::process::id().to_be_bytes(),
            &ordinal().to_be_bytes(),
            &nanoseconds(super::span::now()).to_be_bytes(),
        ];
        let Some(mut span) = self.chapter(case, format!("step {name}"), &parts) else {
            return SpanHandle::none();
        };
        span.note("clawback.run.id", run);
        span.note("clawback.step", name.to_owned());
        span.note("clawback.attempt", i64::from(attempt));
        if let Some(connector) = connector {
            span.note("clawback.connector", connector.to_owned());
        }
        span
    }

    /// As [`finish`].
    pub fn finish(
        &self,
        case: StoryId,
        opened: jiff::Timestamp,
        ended: jiff::Timestamp,
        outcome: &'static str,
        traceparent: Option<&str>,
    ) {
        if !self.tells(case) {
            return;
        }
        let mut span = self.begin_root(case);
        span.note("clawback.case.id", case.0.to_string());
        span.note("clawback.outcome", outcome);
        span.link(traceparent.and_then(parse_traceparent));
        span.lasted(opened.into(), ended.into());
    }

    /// A span right under the root.
    fn chapter(&self, case: StoryId, name: String, id: &[&[u8]]) -> Option<SpanHandle> {
        if !self.tells(case) {
            return None;
        }
        let root = context(case.trace(), case.root(), true);
        let mut parts = vec![case.0.as_bytes().as_slice()];
        parts.extend_from_slice(id);
        let mut span = self.begin(SpanKind::Internal, name, Some(&root), Some(span_id(&parts)));
        span.note("clawback.case.id", case.0.to_string());
        Some(span)
    }
}

fn nanoseconds(at: SystemTime) -> u128 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_nanos()
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, Status};
    use opentelemetry_sdk::trace::SpanData;
    use tokio::sync::mpsc::Receiver;

    use super::*;

    const TRIGGER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn case() -> StoryId {
        StoryId(uuid::Uuid::from_bytes([9; 16]))
    }

    fn at(second: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(second).expect("a time")
    }

    fn told(mut out: Receiver<SpanData>) -> Vec<SpanData> {
        std::iter::from_fn(|| out.try_recv().ok()).collect()
    }

    #[test]
    fn h2_one_story_per_case_across_two_lives_of_the_process() {
        let (first, out) = Tracing::new(100);
        first.opened(case(), "leaver", Some(TRIGGER));
        let mut lost = first.step(case(), &"run-1", "disable", Some("crm"), 1);
        lost.fail("unreachable");
        drop(lost);
        drop(first);
        let mut spans = told(out);
        // The process dies; another one repeats the step and ends the case, three days later.
        let (second, out) = Tracing::new(100);
        drop(second.step(case(), &"run-1", "disable", Some("crm"), 1));
        second.finish(case(), at(1_000), at(260_200), "verified", Some(TRIGGER));
        spans.extend(told(out));

        let names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(
            names,
            ["case.opened", "step disable", "step disable", "case"]
        );
        let (root, chapters) = spans.split_last().expect("four");
        assert_eq!(root.parent_span_id, SpanId::INVALID);
        let lasted = root.end_time.duration_since(root.start_time);
        assert_eq!(lasted.expect("forward").as_secs(), 259_200);
        assert_eq!(
            root.span_context.trace_id().to_string(),
            case().0.simple().to_string(),
            "an operator finds the trace by the case's id"
        );
        for chapter in chapters {
            assert_eq!(
                chapter.span_context.trace_id(),
                root.span_context.trace_id()
            );
            assert_eq!(chapter.parent_span_id, root.span_context.span_id());
        }
        assert_ne!(
            chapters[1].span_context.span_id(),
            chapters[2].span_context.span_id()
        );
        assert_eq!(chapters[1].status, Status::error("unreachable"));
        for linked in [&chapters[0], root] {
            let link = &linked.links[0].span_context;
            assert_eq!(
                link.trace_id().to_string(),
                "0af7651916cd43dd8448eb211c80319c"
            );
        }
    }

    #[test]
    fn where_nothing_is_traced_no_span_is_made() {
        let off = Tracing::default();
        off.opened(case(), "leaver", None);
        let handle = off.step(case(), &"run-1", "disable", None, 1);
        assert!(handle.is_none());
        let (some, out) = Tracing::new(1);
        assert!(some.step(case(), &"run-1", "disable", None, 1).is_none());
        assert!(told(out).is_empty());
    }

    #[test]
    fn a_storys_traceparent_names_its_root() {
        let text = traceparent(case());
        let parsed = parse_traceparent(&text).expect("well formed");
        assert_eq!(parsed.trace_id(), case().trace());
        assert_eq!(parsed.span_id(), case().root());
    }
}
