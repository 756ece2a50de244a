//! What was settled while a connector was away, seen again now that it is back.
//!
//! Owns the look at each removal that ended since the last good survey, and at each discovery that a
//! person's word ended, in batches whose place is committed with the survey. Access that is there again goes through the ordinary door, as an event
//! of Clawback's own: a case for that subject and that target, which ends in proof or with a person.

use crate::connectors::{Credential, Guarded};
use crate::domain::correlation::correlate_at;
use crate::domain::event::{EventKind, LifecycleEvent, Origin, RecordedEvent};
use crate::domain::health::{Recheck, Sample, Standing};
use crate::domain::id::{ConnectorName, RunId};
use crate::domain::outcome::Failure;
use crate::domain::run::{CaseBody, DiscoveryBody, RemovalBody, Run, RunBody, Stage};
use crate::domain::subject::{Subject, SubjectKind};
use crate::domain::time::{Effective, Timestamp};
use crate::domain::verdict::{CredentialRole, Expectation, Finding, judge, residue};
use crate::domain::workflow::RunKind;
use crate::store::{CaseFilter, IntakeBatch, RunsEnded};

use super::{Engine, EngineError};

/// Removals seen again in one survey.
const AT_ONCE: u32 = 100;
/// The source of events that Clawback writes by itself.
const SOURCE: &str = "urn:clawback:health";

/// What a survey saw again.
#[derive(Debug, Default)]
pub(super) struct SeenAgain {
    /// Of which recheck.
    of: Option<Recheck>,
    /// The last removal that was seen.
    done: Option<(Timestamp, RunId)>,
    /// There is no more.
    finished: bool,
    /// A look proved nothing: the rest waits for a later survey.
    pub(super) stuck: bool,
    count: u64,
    pub(super) came_back: u64,
}

impl SeenAgain {
    /// Writes down how far the recheck has come, unless another has taken its place.
    pub(super) fn note(&self, standing: &mut Standing, sample: &mut Sample) {
        sample.seen_again = self.count;
        sample.came_back = self.came_back;
        if self.of.is_none() || standing.recheck != self.of {
            return;
        }
        if self.finished {
            standing.recheck = None;
        } else if let Some(recheck) = &mut standing.recheck {
            recheck.done = self.done;
        }
    }
}

impl Engine {
    /// Looks at the next removals of a recheck.
    pub(super) async fn see_again(
        &self,
        connector: &Guarded,
        recheck: &Recheck,
    ) -> Result<SeenAgain, EngineError> {
        let which = RunsEnded {
            connector: connector.name().clone(),
            since: recheck.since,
            until: recheck.until,
            after: recheck.done,
            limit: AT_ONCE,
        };
        let runs = self.store.runs_ended(&which).await?;
        let mut seen = SeenAgain {
            of: Some(recheck.clone()),
            done: recheck.done,
            finished: runs.len() < AT_ONCE as usize,
            ..SeenAgain::default()
        };
        if runs.is_empty() {
            return Ok(seen);
        }
        let manifest = connector.manifest();
        let role = CredentialRole::Verifier;
        let Ok(credential) = self.secrets.credential(manifest, role).await else {
            seen.stuck = true;
            seen.finished = false;
            return Ok(seen);
        };
        for run in &runs {
            let Stage::Ended { at, .. } = &run.stage else {
                continue;
            };
            if run.drill().is_some() {
                // A canary is made anew, and is meant to be there again.
                seen.done = Some((*at, run.id));
                continue;
            }
            match self.look_again(connector, &credential, run, recheck).await {
                Ok(Finding::Absent) => {}
                Ok(Finding::Present(left)) => {
                    let event = format!("{}/{}", run.id, recheck.until);
                    let reason = format!(
                        "settled while {} was away, and there again: {}",
                        connector.name(),
                        left.join(", ")
                    );
                    self.reopen(run, connector.name(), event, reason).await?;
                    seen.came_back += 1;
                }
                Ok(Finding::Inconclusive(_)) | Err(_) => {
                    seen.stuck = true;
                    seen.finished = false;
                    break;
                }
            }
            seen.count += 1;
            seen.done = Some((*at, run.id));
        }
        Ok(seen)
    }

    async fn look_again(
        &self,
        connector: &Guarded,
        credential: &Credential,
        run: &Run,
        recheck: &Recheck,
    ) -> Result<Finding, Failure> {
        match &run.body {
            RunBody::Removal(body) => {
                self.look_at_account(connector, credential, body, recheck)
                    .await
            }
            RunBody::Discovery(body) => look_for_accounts(connector, credential, body).await,
            RunBody::Case(_) | RunBody::Rotation(_) | RunBody::Care(_) => Ok(Finding::Absent),
        }
    }

    async fn look_at_account(
        &self,
        connector: &Guarded,
        credential: &Credential,
        body: &RemovalBody,
        recheck: &Recheck,
    ) -> Result<Finding, Failure> {
        let account = &body.account;
        let observation = self
            .verification
            .observe(
                connector,
                credential,
                &account.id,
                &account.login,
                recheck.until,
            )
            .await?;
        let oldest = connector.manifest().expect.max_data_age_seconds;
        Ok(judge(&observation, body.expect, recheck.until, oldest))
    }

    /// Records that the subject's access is back, as an event; told twice, it is recorded once.
    /// Where a person already decides about the subject's return, that person has it in hand.
    pub(super) async fn reopen(
        &self,
        run: &Run,
        connector: &ConnectorName,
        event: String,
        reason: String,
    ) -> Result<(), EngineError> {
        let Some(body) = self.case_of(run).await? else {
            return Ok(());
        };
        if self.is_back(run, &body).await? {
            tracing::info!(run = %run.id, %connector, "access is back, and so is its subject");
            return Ok(());
        }
        tracing::warn!(run = %run.id, %connector, "access that was settled is there again");
        let now = self.clock.now();
        let event = LifecycleEvent {
            source: SOURCE.to_owned(),
            id: event,
            kind: kind_of(run, &body.subject),
            occurred: None,
            subject: body.subject,
            hr_case: format!("seen-again/{}", run.id),
            revision: 1,
            effective: Effective::Immediately,
            urgency: body.urgency,
            reason: Some(reason),
            connectors: vec![connector.clone()],
        };
        let recorded = RecordedEvent {
            origin: Origin {
                topic: SOURCE.to_owned(),
                partition: 0,
                offset: 0,
                traceparent: body.traceparent,
                tracestate: None,
            },
            recorded: now,
            payload_digest: event.id.clone(),
            event,
        };
        let batch = IntakeBatch {
            events: vec![recorded],
            ..IntakeBatch::default()
        };
        self.store.record(&batch).await?;
        Ok(())
    }

    pub(super) async fn case_of(&self, run: &Run) -> Result<Option<CaseBody>, EngineError> {
        let Some(case) = run.case else {
            return Ok(None);
        };
        let found = self.store.run(case.run()).await?;
        Ok(found.and_then(|(run, _)| match run.body {
            RunBody::Case(body) => Some(body),
            RunBody::Discovery(_)
            | RunBody::Removal(_)
            | RunBody::Rotation(_)
            | RunBody::Care(_) => None,
        }))
    }

    /// A later case of the same subject is a person's: a return, for instance.
    async fn is_back(&self, run: &Run, body: &CaseBody) -> Result<bool, EngineError> {
        let Stage::Ended { at, .. } = run.stage else {
            return Ok(false);
        };
        let key = body.subject.key();
        let filter = CaseFilter {
            subject: Some(key.clone()),
            ..CaseFilter::default()
        };
        for report in self.store.cases(&filter).await? {
            if report.row.subject_key != key || report.row.opened < at {
                continue;
            }
            let case = self.store.run(report.row.id.run()).await?;
            let for_person = case.is_some_and(|(run, _)| {
                run.kind == RunKind::Case
                    && matches!(&run.body, RunBody::Case(body) if body.for_person.is_some())
            });
            if for_person {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The event that takes away again what the run had taken away, and no more.
fn kind_of(run: &Run, subject: &Subject) -> EventKind {
    let expect = match &run.body {
        RunBody::Removal(body) => Some(body.expect),
        RunBody::Discovery(body) => body.expect,
        RunBody::Case(_) | RunBody::Rotation(_) | RunBody::Care(_) => None,
    };
    match (subject.kind, expect) {
        (SubjectKind::Nhi, Some(Expectation::NoWayIn)) => EventKind::NhiSilent,
        (SubjectKind::Person, _) => EventKind::WorkerTerminated,
        (SubjectKind::Nhi | SubjectKind::Application, _) => EventKind::NhiRetired,
    }
}

/// A person said that the subject has nothing here; the target could not be asked then.
async fn look_for_accounts(
    connector: &Guarded,
    credential: &Credential,
    body: &DiscoveryBody,
) -> Result<Finding, Failure> {
    let manifest = connector.manifest();
    let listing = connector.list(credential).await?;
    let found = correlate_at(
        &manifest.name,
        &manifest.correlation,
        &body.subject,
        &listing.accounts,
    );
    let theirs = found.decided()?;
    let expect = body.expect.unwrap_or(manifest.after_removal);
    let left: Vec<_> = theirs
        .iter()
        .flat_map(|account| residue(account, expect))
        .collect();
    if !left.is_empty() {
        return Ok(Finding::Present(left));
    }
    let believed = connector.vitals().believed(listing.completeness);
    let gap = listing.gap(believed, &manifest.expect);
    Ok(gap.map_or(Finding::Absent, Finding::Inconclusive))
}
