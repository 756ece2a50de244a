//! The judgement of one call's requests, each as it was rendered.
//!
//! Owns what of a manifest is asked of a request: the operation, the account, the fields that it
//! writes, and whose credential it goes with. Deny by default: what it does not know, it refuses.
//! Sends nothing, and knows no target.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use super::pausing::{Pausing, UnderWay};
use super::purpose::Purpose;
use crate::connectors::contract::{Call, Credential, Gate, RenderedRequest};
use crate::connectors::limits::Limiter;
use crate::connectors::manifest::{Manifest, WHOLE_ACCOUNT};
use crate::domain::access::Operation;
use crate::domain::outcome::{Failure, FailureClass};

/// Judges the requests of one call.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) limiter: &'a Limiter,
    pub(super) purpose: Purpose<'a>,
    pub(super) pausing: &'a Arc<Pausing>,
    /// Set when a request that changes something was let through: from then on a lost end means that
    /// it may have happened.
    pub(super) wrote: OnceLock<UnderWay>,
}

impl<'a> Judge<'a> {
    pub(super) fn call(&'a self, credential: &'a Credential) -> Call<'a> {
        Call {
            credential,
            login: None,
            last: None,
            trial: matches!(self.purpose, Purpose::TryChange(_)),
            gate: self,
        }
    }

    /// A call whose end is not known.
    pub(super) fn lost(&self, unsent: FailureClass, code: &str, message: String) -> Failure {
        let class = if self.wrote.get().is_some() {
            FailureClass::UnknownOutcome
        } else {
            unsent
        };
        Failure::new(class, code, message)
    }

    pub(super) fn judge_read(&self, request: &RenderedRequest) -> Result<(), Failure> {
        if !request.writes.is_empty() {
            return Err(refused(
                "CB-GUARD-4",
                format!("a request to read would write: {}", request.line),
            ));
        }
        let other = match (self.purpose, &request.account) {
            (Purpose::Read(account), Some(named)) => account != named,
            (Purpose::Change(change) | Purpose::TryChange(change), Some(named)) => {
                change.account != *named
            }
            (Purpose::Probe(tried), named) => tried != named.as_ref(),
            (Purpose::ListSecrets | Purpose::ChangeSecret, _) => true,
            (
                Purpose::List
                | Purpose::Survey
                | Purpose::Try
                | Purpose::TryList
                | Purpose::Read(_)
                | Purpose::Change(_)
                | Purpose::TryChange(_),
                Some(_) | None,
            ) => false,
        };
        if other {
            return Err(refused(
                "CB-GUARD-5",
                format!("the request is about something else: {}", request.line),
            ));
        }
        Ok(())
    }

    pub(super) fn judge_write(
        &self,
        operation: Operation,
        request: &RenderedRequest,
    ) -> Result<(), Failure> {
        let asked = match self.purpose {
            Purpose::Change(change) | Purpose::TryChange(change)
                if change.operation == operation =>
            {
                change
            }
            Purpose::Change(_)
            | Purpose::TryChange(_)
            | Purpose::List
            | Purpose::Survey
            | Purpose::Read(_)
            | Purpose::Try
            | Purpose::TryList
            | Purpose::Probe(_)
            | Purpose::ListSecrets
            | Purpose::ChangeSecret => {
                return Err(refused(
                    "CB-GUARD-4",
                    format!("nobody asked for {}: {}", operation.as_str(), request.line),
                ));
            }
        };
        if request.account.as_ref() != Some(&asked.account) {
            return Err(refused(
                "CB-GUARD-5",
                format!("the request names another account: {}", request.line),
            ));
        }
        let deletes = request.writes.contains(WHOLE_ACCOUNT);
        if request.writes.is_empty() || deletes != (operation == Operation::Delete) {
            return Err(refused(
                "CB-GUARD-4",
                format!(
                    "the fields written do not fit {}: {}",
                    operation.as_str(),
                    request.line
                ),
            ));
        }
        let outside: Vec<_> = request
            .writes
            .difference(&self.manifest.writes)
            .map(String::as_str)
            .collect();
        if !outside.is_empty() {
            return Err(refused(
                "CB-GUARD-4",
                format!(
                    "the manifest does not approve writing {}: {}",
                    outside.join(", "),
                    request.line
                ),
            ));
        }
        self.let_change()
    }

    /// One call may send several changes, and a pause binds before the next of them.
    fn let_change(&self) -> Result<(), Failure> {
        let under_way = self.pausing.begin()?;
        self.wrote.get_or_init(|| under_way);
        Ok(())
    }

    /// Requests about the connector's own secrets, which name no account.
    pub(super) fn judge_secret(&self, request: &RenderedRequest) -> Result<(), Failure> {
        let changes = match self.purpose {
            Purpose::ChangeSecret => true,
            Purpose::ListSecrets => false,
            Purpose::List
            | Purpose::Survey
            | Purpose::Read(_)
            | Purpose::Change(_)
            | Purpose::TryChange(_)
            | Purpose::Try
            | Purpose::TryList
            | Purpose::Probe(_) => {
                return Err(refused(
                    "CB-GUARD-4",
                    format!("nobody asked for a secret: {}", request.line),
                ));
            }
        };
        if request.account.is_some() {
            return Err(refused(
                "CB-GUARD-5",
                format!("a request for a secret names an account: {}", request.line),
            ));
        }
        if changes { self.let_change() } else { Ok(()) }
    }
}

#[async_trait]
impl Gate for Judge<'_> {
    fn judge(&self, request: &RenderedRequest) -> Result<(), Failure> {
        let verdict = match request.operation {
            None => self.judge_secret(request),
            Some(operation) if !self.manifest.operations.contains(&operation) => Err(refused(
                "CB-GUARD-1",
                format!("the manifest does not approve {}", operation.as_str()),
            )),
            Some(operation) if operation.writes() => self.judge_write(operation, request),
            Some(_) => self.judge_read(request),
        };
        match &verdict {
            Ok(()) => {
                tracing::debug!(connector = %self.manifest.name, request = request.line, "let through");
            }
            Err(failure) => {
                tracing::warn!(connector = %self.manifest.name, code = failure.code, request = request.line, "refused");
            }
        }
        verdict
    }

    async fn turn(&self) -> Result<(), Failure> {
        self.limiter.turn().await
    }
}

pub(super) fn refused(code: &str, message: String) -> Failure {
    Failure::new(FailureClass::Refused, code, message)
}
