//! An identity whose record stopped updating: a new secret, or every way in revoked.
//!
//! Owns what becomes of such an event. Whose record is silent is judged in `health`, from a survey, or by
//! whoever sends the event.

use super::super::event::EventKind;
use super::super::health::CREDENTIAL;
use super::super::id::ConnectorName;
use super::super::rotation::Trigger;
use super::super::run::Run;
use super::super::settlement::{Admission, AdmissionDecision, JournalEntry};
use super::super::step::{Inconsistent, rotation_run};
use super::super::subject::Subject;
use super::super::verdict::CredentialRole;
use super::super::workflow::OutcomeKey;
use super::news::News;
use super::{Opening, person};

impl Opening<'_> {
    /// An identity whose record stopped updating: one of the connectors' own gets a new secret, any
    /// other loses every way in.
    pub(super) fn silent(&self, news: &News<'_>) -> Result<Admission, Inconsistent> {
        let event = &self.recorded.event;
        if news.knows(event) {
            return Ok(self.ignored());
        }
        let own = own_credentials(&event.subject);
        if own.is_empty() {
            let why = "its record stopped updating: every way in is to be revoked";
            return Ok(self.admission(self.open(None)?, why));
        }
        let cause = event.key().to_string();
        let runs: Vec<_> = own
            .iter()
            .filter_map(|(connector, role)| {
                rotation_run(self.given, connector, *role, Trigger::Silent, &cause)
            })
            .collect();
        if runs.is_empty() {
            let why = "the record of a connector's own identity stopped updating, and no manifest \
                declares how the machine can replace its credential";
            return Ok(self.admission(self.open(Some(person("CB-ADMIT-4", why)))?, why));
        }
        let why = "the record of a connector's own identity stopped updating";
        Ok(self.admission(AdmissionDecision::Rotate { runs }, why))
    }

    /// What nobody but the machine noticed is explained in the case's own journal.
    pub(super) fn said(&self, run: &Run) -> Option<JournalEntry> {
        let event = &self.recorded.event;
        let reason = event
            .reason
            .as_ref()
            .filter(|_| event.kind == EventKind::NhiSilent)?;
        Some(JournalEntry {
            run: run.id,
            sequence: 0,
            place: 0,
            at: self.given.now,
            state: run.stage.name().into(),
            item: None,
            outcome: OutcomeKey::Found,
            failure: None,
            detail: Some(serde_json::json!({ "reason": reason })),
        })
    }
}

/// The connectors' own credentials that the subject signs in with.
pub(super) fn own_credentials(subject: &Subject) -> Vec<(ConnectorName, CredentialRole)> {
    let named = subject
        .identifiers
        .iter()
        .filter(|one| one.kind == CREDENTIAL);
    let named = named.filter_map(|one| one.value.split_once('/'));
    named
        .filter_map(|(connector, role)| {
            Some((
                ConnectorName::from(connector),
                CredentialRole::from_name(role)?,
            ))
        })
        .collect()
}
