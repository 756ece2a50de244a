//! Non-human identities whose records stopped updating: rotation or revocation is forced.
//!
//! Owns the way from a survey's judgement to the ordinary door, as events of Clawback's own. Admission
//! decides which: a connector's own credential is rotated, any other identity loses every way in, and
//! what the machine may not do goes to a person. Told twice, an event is recorded once.

use crate::connectors::Guarded;
use crate::domain::event::{Origin, RecordedEvent};
use crate::domain::health::{Standing, fallen};
use crate::store::IntakeBatch;

use super::{Engine, EngineError};

/// Where such events are said to come from.
const TOPIC: &str = "urn:clawback:nhi";

impl Engine {
    /// Records an event for each identity that is to be forced now and was not `before`. Done before
    /// the survey is committed: a crash in between comes to the same event again.
    pub(super) async fn force_silent(
        &self,
        connector: &Guarded,
        before: &Standing,
        expected: &Standing,
    ) -> Result<(), EngineError> {
        let Some(nhi) = &connector.manifest().nhi else {
            return Ok(());
        };
        let now = self.clock.now();
        let mut events = Vec::new();
        for (id, silence) in fallen(&before.silent, &expected.silent) {
            let event = nhi.event(connector.name(), id, silence);
            tracing::warn!(
                connector = %connector.name(), account = %id, since = %silence.since,
                "a non-human identity's record stopped updating"
            );
            events.push(RecordedEvent {
                origin: Origin {
                    topic: TOPIC.to_owned(),
                    partition: 0,
                    offset: 0,
                    traceparent: None,
                    tracestate: None,
                },
                recorded: now,
                payload_digest: event.id.clone(),
                event,
            });
        }
        if events.is_empty() {
            return Ok(());
        }
        let batch = IntakeBatch {
            events,
            ..IntakeBatch::default()
        };
        self.store.record(&batch).await?;
        Ok(())
    }
}
