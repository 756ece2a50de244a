//! Admit: recorded events become cases, wishes become changes.
//!
//! Owns the closures that the store calls inside its transactions; they are pure. The event's
//! workflow is the one whose file names its kind; a kind without a workflow still opens a case, for
//! a person. Does not perform anything.

use std::borrow::Cow;

use crate::domain::admit::{admit, has_begun_uncounted};
use crate::domain::event::RecordedEvent;
use crate::domain::obey::obey;
use crate::domain::run::RunBody;
use crate::domain::settlement::{Admission, AdmissionDecision, ExistingCase};
use crate::domain::step::Given;
use crate::domain::time::Timestamp;
use crate::store::{Admitted, Keep};

use super::{Engine, EngineError, tell};

/// Events decided in one transaction.
pub(super) const EVENTS_AT_ONCE: u32 = 64;
/// Wishes carried out in one transaction.
const WISHES_AT_ONCE: u32 = 16;

impl Engine {
    /// Admits what is recorded and not yet admitted, up to a batch.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn admit(&self, keep: &Keep) -> Result<Admitted, EngineError> {
        let now = self.clock.now();
        let admissions = tell::Admissions::default();
        let decide = |event: &RecordedEvent, existing: &[ExistingCase]| {
            let existing = self.counted(existing, now);
            let admission = self.decide_event(event, &existing, now);
            admissions.note(&admission);
            admission
        };
        let at_once = EVENTS_AT_ONCE;
        let admitted = self.store.admit(at_once, now, keep, &decide).await?;
        admissions.tell(now);
        Ok(admitted)
    }

    /// The cases as they would be, had all of them counted from the beginning how often they looked.
    fn counted<'a>(&self, existing: &'a [ExistingCase], now: Timestamp) -> Cow<'a, [ExistingCase]> {
        let begun = |case: &ExistingCase| {
            let library = self.workflows.get(&case.run.definition).cloned();
            let own = library.or_else(|| self.remembered(&case.run.definition, None));
            has_begun_uncounted(case, own.as_deref(), now)
        };
        if !existing.iter().any(begun) {
            return Cow::Borrowed(existing);
        }
        let mut existing = existing.to_vec();
        for case in &mut existing {
            let begun = begun(case);
            if let (true, RunBody::Case(body)) = (begun, &mut case.run.body) {
                body.rounds = 1;
            }
        }
        Cow::Owned(existing)
    }

    fn decide_event(
        &self,
        recorded: &RecordedEvent,
        existing: &[ExistingCase],
        now: Timestamp,
    ) -> Admission {
        let kind = recorded.event.kind;
        let workflow = self.workflows.by_event(kind);
        let refused = |message: String| Admission {
            event: recorded.event.key(),
            decision: AdmissionDecision::Ignore,
            reason: message,
            halts: Vec::new(),
        };
        let Some(workflow) = workflow else {
            // The library refuses to load unless each kind of event opens one workflow.
            tracing::error!(
                kind = kind.as_str(),
                "no workflow can open a case for an event"
            );
            return refused("CB-ENGINE-9: no workflow can open a case".to_owned());
        };
        let serving = self.serving();
        let given = Given {
            now,
            ..self.given(workflow, &serving, None)
        };
        match admit(recorded, existing, &given) {
            Ok(admission) => admission,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an event was not admitted"
                );
                refused(error.to_string())
            }
        }
    }

    /// Carries out waiting wishes of operators, up to a batch; returns how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn obey(&self) -> Result<u32, EngineError> {
        self.carry_out(false).await
    }

    /// The same for pauses and their ends alone: they bind by no clock.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn obey_pauses(&self) -> Result<u32, EngineError> {
        self.carry_out(true).await
    }

    async fn carry_out(&self, pauses_alone: bool) -> Result<u32, EngineError> {
        let now = self.clock.now();
        let serving = self.serving();
        let given = Given {
            now,
            ..self.given(self.workflows.rotation(), &serving, None)
        };
        let decide =
            |command: &_, task: Option<&_>, run: Option<&_>| obey(command, task, run, &given);
        let carried_out = if pauses_alone {
            self.store.obey_pauses(WISHES_AT_ONCE, now, &decide).await
        } else {
            self.store.obey(WISHES_AT_ONCE, now, &decide).await
        };
        Ok(carried_out?)
    }
}
