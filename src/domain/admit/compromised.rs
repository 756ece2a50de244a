//! Credentials that are known to others.
//!
//! Owns what becomes of such an event: every secret of the connectors that it names is replaced, by the
//! machine or by a person who is seen to have done it. That is all only where the subject is an identity by
//! which these connectors themselves sign in; any other has a credential of its own there, which a person
//! sees to beside that, as to what nobody knows here. Decides nothing about access.

use std::collections::BTreeSet;

use super::super::id::ConnectorName;
use super::super::rotation::Trigger;
use super::super::run::Run;
use super::super::settlement::{Admission, AdmissionDecision};
use super::super::step::{Inconsistent, rotation_run};
use super::silent::own_credentials;
use super::{Opening, person};

impl Opening<'_> {
    /// Replaces what can be replaced; the rest is a person's.
    pub(super) fn compromised(&self) -> Result<Admission, Inconsistent> {
        let named = &self.recorded.event.connectors;
        if named.is_empty() {
            let why = "a credential is known to others, and the event names no connector";
            return Ok(self.admission(self.open(Some(person("CB-ADMIT-4", why)))?, why));
        }
        let mut runs = Vec::new();
        let mut without = BTreeSet::new();
        for connector in named {
            let found = self.replaced(connector);
            if found.is_empty() {
                without.insert(connector.as_str());
            }
            runs.extend(found);
        }
        let own = own_credentials(&self.recorded.event.subject);
        let is_own = |connector: &ConnectorName| own.iter().any(|(at, _)| at == connector);
        let others = named.iter().filter(|connector| !is_own(connector));
        let others = others.map(ConnectorName::as_str);
        let others: BTreeSet<_> = others.filter(|name| !without.contains(name)).collect();
        if without.is_empty() && others.is_empty() {
            let decision = AdmissionDecision::Rotate { runs };
            return Ok(self.admission(decision, "the secrets are known to others"));
        }
        let mut told = vec!["a credential is known to others".to_owned()];
        if !others.is_empty() {
            let others: Vec<_> = others.into_iter().collect();
            told.push(format!(
                "see that those of {} are revoked at {}",
                self.recorded.event.subject.name(),
                others.join(", ")
            ));
        }
        if !without.is_empty() {
            let without: Vec<_> = without.into_iter().collect();
            told.push(format!(
                "no secret of {} is kept here: see which one is meant",
                without.join(", ")
            ));
        }
        if !runs.is_empty() {
            told.push("the connectors' own secrets are replaced beside it".to_owned());
        }
        let why = told.join("; ");
        let (case, mut first) = self.opened(Some(person("CB-ADMIT-4", &why)))?;
        first.rotations.extend(runs);
        let decision = AdmissionDecision::Open {
            case: Box::new(case),
            first: Box::new(first),
        };
        Ok(self.admission(decision, &why))
    }

    /// Of every role that has a secret.
    fn replaced(&self, connector: &ConnectorName) -> Vec<Run> {
        let Some(facts) = self.given.estate.connectors.get(connector) else {
            return Vec::new();
        };
        let cause = self.recorded.event.key().to_string();
        let roles: BTreeSet<_> = facts.known_by.keys().chain(facts.rotation.keys()).collect();
        let runs = roles.into_iter();
        runs.filter_map(|role| {
            rotation_run(self.given, connector, *role, Trigger::Compromised, &cause)
        })
        .collect()
    }
}
