//! Spans around Kafka by the messaging semantic conventions (1.44, in development).
//!
//! Owns `poll`, `process`, `commit` and `send`. Producer and consumer are linked, never parent and
//! child: a batch has many producers, and HR's trace is days old. Message keys and subjects are left
//! out: they name people.

use opentelemetry::trace::SpanKind;

use super::span::{SpanHandle, StoryId, Tracing, context, global, parse_traceparent};

/// Where a message stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Around one poll of the consumer; note the number of messages with [`SpanHandle::messages`].
pub fn poll(topic: &str, group: &str) -> SpanHandle {
    global().consumer("poll", "receive", SpanKind::Client, topic, group)
}

/// Around the decoding and recording of one message; linked to what produced it.
pub fn process(
    place: Place<'_>,
    group: &str,
    event_id: Option<&str>,
    traceparent: Option<&str>,
) -> SpanHandle {
    global().process(place, group, event_id, traceparent)
}

/// Around the storing of offsets.
pub fn commit(topic: &str, group: &str) -> SpanHandle {
    global().consumer("commit", "settle", SpanKind::Client, topic, group)
}

/// Around the sending of one message; part of the case's story where it tells of one.
pub fn send(topic: &str, message_id: &str, case: Option<StoryId>) -> SpanHandle {
    global().send(topic, message_id, case)
}

impl SpanHandle {
    /// How many messages a poll or commit was about.
    pub fn messages(&mut self, count: usize) {
        if !self.is_none() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.note("messaging.batch.message_count", count);
        }
    }
}

impl Tracing {
    fn consumer(
        &self,
        operation: &'static str,
        kind_of: &'static str,
        kind: SpanKind,
        topic: &str,
        group: &str,
    ) -> SpanHandle {
        let mut span = self.operation(operation, kind_of, kind, topic, None);
        if !span.is_none() {
            span.note("messaging.consumer.group.name", group.to_owned());
        }
        span
    }

    /// As [`process`].
    pub fn process(
        &self,
        place: Place<'_>,
        group: &str,
        event_id: Option<&str>,
        traceparent: Option<&str>,
    ) -> SpanHandle {
        let mut span = self.consumer("process", "process", SpanKind::Consumer, place.topic, group);
        if span.is_none() {
            return span;
        }
        span.note(
            "messaging.destination.partition.id",
            place.partition.to_string(),
        );
        span.note("messaging.kafka.offset", place.offset);
        if let Some(id) = event_id {
            span.note("messaging.message.id", id.to_owned());
            span.note("cloudevents.event_id", id.to_owned());
        }
        span.link(traceparent.and_then(parse_traceparent));
        span
    }

    /// As [`send`].
    pub fn send(&self, topic: &str, message_id: &str, case: Option<StoryId>) -> SpanHandle {
        let told = case.filter(|case| self.tells(*case));
        if case.is_some() && told.is_none() {
            return SpanHandle::none();
        }
        let mut span = self.operation("send", "send", SpanKind::Producer, topic, told);
        if !span.is_none() {
            span.note("messaging.message.id", message_id.to_owned());
        }
        span
    }

    fn operation(
        &self,
        operation: &'static str,
        kind_of: &'static str,
        kind: SpanKind,
        topic: &str,
        case: Option<StoryId>,
    ) -> SpanHandle {
        if !self.is_on() {
            return SpanHandle::none();
        }
        let root = case.map(|case| context(case.trace(), case.root(), true));
        let mut span = self.begin(kind, format!("{operation} {topic}"), root.as_ref(), None);
        span.note("messaging.system", "kafka");
        span.note("messaging.operation.name", operation);
        span.note("messaging.operation.type", kind_of);
        span.note("messaging.destination.name", topic.to_owned());
        if let Some(case) = case {
            let id = case.0.to_string();
            span.note("messaging.message.conversation_id", id);
        }
        span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_kafka_spans_follow_the_conventions_and_name_nobody() {
        let (tracing, mut out) = Tracing::new(100);
        let place = Place {
            topic: "identity.lifecycle.v1",
            partition: 3,
            offset: 17,
        };
        let producer = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        drop(tracing.process(place, "clawback", Some("wd-9"), Some(producer)));
        let span = out.try_recv().expect("told");
        assert_eq!(span.name, "process identity.lifecycle.v1");
        assert_eq!(span.span_kind, SpanKind::Consumer);
        let attributes: Vec<_> = span
            .attributes
            .iter()
            .map(|pair| format!("{}={}", pair.key, pair.value))
            .collect();
        assert_eq!(
            attributes,
            [
                "messaging.system=kafka",
                "messaging.operation.name=process",
                "messaging.operation.type=process",
                "messaging.destination.name=identity.lifecycle.v1",
                "messaging.consumer.group.name=clawback",
                "messaging.destination.partition.id=3",
                "messaging.kafka.offset=17",
                "messaging.message.id=wd-9",
                "cloudevents.event_id=wd-9",
            ]
        );
        let linked = &span.links[0].span_context;
        assert_ne!(linked.trace_id(), span.span_context.trace_id(), "linked");
    }

    #[test]
    fn a_message_about_a_case_belongs_to_its_story() {
        let (tracing, mut out) = Tracing::new(100);
        let case = StoryId(uuid::Uuid::from_bytes([5; 16]));
        drop(tracing.send("clawback.status.v1", "m-1", Some(case)));
        let span = out.try_recv().expect("told");
        assert_eq!(span.span_context.trace_id(), case.trace());
        assert_eq!(span.parent_span_id, case.root());
        assert!(Tracing::default().send("t", "m", None).is_none());
    }
}
