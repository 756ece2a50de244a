//! What was settled while a connector was away, seen again now that it is back.
//!
//! Owns the look at each removal that ended since the last good survey, and at each discovery that found
//! nobody or that a person's word ended, in batches whose place is committed with the survey. Access that is
//! there again goes through the ordinary door, as an event of Clawback's own: a case for that subject and that
//! target, which ends in proof or with a person.

use crate::connectors::{Credential, Guarded};
use crate::domain::again::{self, Again, Look};
use crate::domain::event::{EventKind, LifecycleEvent, Origin, RecordedEvent};
use crate::domain::health::{Recheck, Sample, Standing};
use crate::domain::id::{CaseId, ConnectorName, RunId};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::round::discovery_of;
use crate::domain::run::{CaseBody, DiscoveryBody, RemovalBody, Run, RunBody, Stage};
use crate::domain::settlement::ExistingCase;
use crate::domain::subject::{Subject, SubjectKind};
use crate::domain::time::{Effective, Timestamp};
use crate::domain::verdict::{CredentialRole, Expectation, Finding, judge, residue};
use crate::store::{IntakeBatch, RunsEnded, StoreError};

use super::{Engine, EngineError};

/// Removals seen again in one survey.
const AT_ONCE: u32 = 100;
/// Surveys in which one that ended cannot be judged, before a case of its own takes it up and the others
/// have their turn.
const TRIES: u32 = 3;
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
    /// Surveys in which the one that comes next could not be judged.
    tries: u32,
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
            recheck.tries = self.tries;
        }
    }
}

/// Access that is there again, or cannot be judged.
pub(super) struct News {
    /// By what it was seen: part of the event's id, so that it is told once.
    pub(super) seen: String,
    pub(super) reason: String,
    /// Nothing is told while an open case looks there by itself.
    pub(super) unless_looked_for: bool,
}

impl News {
    /// A recheck looks once, and so tells whatever is open.
    fn of(recheck: &Recheck, reason: String) -> Self {
        Self {
            seen: recheck.until.to_string(),
            reason,
            unless_looked_for: false,
        }
    }
}

impl Engine {
    /// Looks at the next removals of a recheck: at one at least, and begins no other look after `until`,
    /// so that what was seen is committed while the survey is still this worker's.
    pub(super) async fn see_again(
        &self,
        connector: &Guarded,
        recheck: &Recheck,
        until: Timestamp,
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
            if seen.count > 0 && self.clock.now() > until {
                seen.finished = false;
                break;
            }
            if run.drill().is_some() {
                // A canary is made anew, and is meant to be there again.
                seen.done = Some((*at, run.id));
                continue;
            }
            let looked = self.look_again(connector, &credential, run, recheck).await;
            let looked = looked.map_err(|failure| failure.to_string());
            match looked {
                Ok(Finding::Absent) => {}
                Ok(Finding::Present(left)) => {
                    let reason = format!(
                        "settled while {} was away, and there again: {}",
                        connector.name(),
                        left.join(", ")
                    );
                    let news = News::of(recheck, reason);
                    if self.reopen(run, connector.name(), news).await? {
                        seen.came_back += 1;
                    }
                }
                Ok(Finding::Inconclusive(why)) | Err(why) => {
                    if !self
                        .step_over(connector, run, recheck, &mut seen, &why)
                        .await?
                    {
                        break;
                    }
                }
            }
            seen.count += 1;
            seen.done = Some((*at, run.id));
        }
        Ok(seen)
    }

    /// Of one that cannot be judged: true if it need not be waited for any longer, for a case of its own
    /// takes it up, to its proof or to a person.
    async fn step_over(
        &self,
        connector: &Guarded,
        run: &Run,
        recheck: &Recheck,
        seen: &mut SeenAgain,
        why: &str,
    ) -> Result<bool, EngineError> {
        let before = if seen.done == recheck.done {
            recheck.tries
        } else {
            0
        };
        if before + 1 < TRIES {
            seen.tries = before + 1;
            seen.stuck = true;
            seen.finished = false;
            return Ok(false);
        }
        let reason = format!(
            "settled while {} was away, and cannot be seen again: {why}",
            connector.name()
        );
        let news = News::of(recheck, reason);
        self.reopen(run, connector.name(), news).await?;
        Ok(true)
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
            RunBody::Discovery(body) => {
                if self.looked_later(run, body).await? {
                    return Ok(Finding::Absent);
                }
                self.look_for_accounts(connector, body, recheck.until).await
            }
            RunBody::Case(_) | RunBody::Rotation(_) | RunBody::Care(_) => Ok(Finding::Absent),
        }
    }

    /// True where its case searched the target once more, later: that search is seen again instead.
    async fn looked_later(&self, run: &Run, body: &DiscoveryBody) -> Result<bool, Failure> {
        let away = |error: StoreError| {
            Failure::new(FailureClass::Unreachable, "CB-ENGINE-10", error.to_string())
        };
        let (Some(case), Some(connector)) = (run.case, &run.connector) else {
            return Ok(false);
        };
        let Some((told, _)) = self.store.run(case.run()).await.map_err(away)? else {
            return Ok(false);
        };
        let RunBody::Case(told) = &told.body else {
            return Ok(false);
        };
        for round in body.round + 1..told.rounds {
            let later = discovery_of(case, connector, round);
            if self.store.run(later).await.map_err(away)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn look_at_account(
        &self,
        connector: &Guarded,
        credential: &Credential,
        body: &RemovalBody,
        recheck: &Recheck,
    ) -> Result<Finding, Failure> {
        let observation = self
            .verification
            .observe(connector, credential, &body.account, recheck.until)
            .await?;
        let oldest = connector.manifest().expect.max_data_age_seconds;
        Ok(judge(&observation, body.expect, recheck.until, oldest))
    }

    /// The search showed nobody, or a person said that the subject has nothing here; the target could not be
    /// asked then, was silently wrong, or showed what no rule decides about. What it shows of that kind still is
    /// what the person had to rule on.
    async fn look_for_accounts(
        &self,
        connector: &Guarded,
        body: &DiscoveryBody,
        since: Timestamp,
    ) -> Result<Finding, Failure> {
        let search = self
            .search_closely(connector, &body.subject, body.expect, since)
            .await?;
        let expect = body.expect.unwrap_or(connector.manifest().after_removal);
        let shown = search.accounts.iter();
        let mut left: Vec<_> = shown.flat_map(|one| residue(one, expect)).collect();
        let unclear = search.unclear.into_iter();
        left.extend(unclear.filter(|why| !body.unclear.contains(why)));
        Ok(if left.is_empty() {
            Finding::Absent
        } else {
            Finding::Present(left)
        })
    }

    /// Records that the subject's access is back, as an event, unless somebody has it in hand already.
    /// Told twice, it is recorded once, until the case that it opened has ended. Answers whether it is told.
    pub(super) async fn reopen(
        &self,
        run: &Run,
        connector: &ConnectorName,
        news: News,
    ) -> Result<bool, EngineError> {
        let Some(body) = self.case_of(run).await? else {
            return Ok(false);
        };
        let revision = match self.in_hand(run, &body.subject).await? {
            Again::Left(why) => {
                tracing::info!(run = %run.id, %connector, why, "access is back, and stays");
                return Ok(false);
            }
            Again::Told { looked_for, .. } if looked_for && news.unless_looked_for => {
                return Ok(false);
            }
            Again::Told { revision, .. } => revision,
        };
        tracing::warn!(run = %run.id, %connector, "access that was settled is there again");
        let now = self.clock.now();
        let event = LifecycleEvent {
            source: SOURCE.to_owned(),
            id: format!("{}/{}/{}", run.id, news.seen, revision - 1),
            kind: kind_of(run, &body.subject),
            occurred: None,
            subject: body.subject,
            hr_case: again::hr_case(run.id),
            revision,
            effective: Effective::Immediately,
            urgency: body.urgency,
            reason: Some(news.reason),
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
        Ok(true)
    }

    /// What the cases of the subject say about it.
    async fn in_hand(&self, run: &Run, subject: &Subject) -> Result<Again, EngineError> {
        let cases = self.store.cases_of(&subject.key()).await?;
        let hr_case = |run: &Run| {
            let case = cases.iter().find(|case| Some(case.row.id) == run.case);
            case.map(|case| case.row.hr_case.clone())
        };
        let mut hr_cases = Vec::new();
        let mut next = hr_case(run);
        while let Some(told) = next.filter(|told| !hr_cases.contains(told)) {
            let before = again::seen_again(&told);
            hr_cases.push(told);
            next = match before {
                Some(before) => {
                    let known = self.store.run(before).await?;
                    known.and_then(|(run, _)| hr_case(&run))
                }
                None => None,
            };
        }
        let looking = self.looking(&cases, run.connector.as_ref()).await?;
        let now = self.clock.now();
        Ok(again::again(run, &hr_cases, &cases, &looking, now))
    }

    /// Which of the cases look at this target before they settle.
    async fn looking(
        &self,
        cases: &[ExistingCase],
        connector: Option<&ConnectorName>,
    ) -> Result<Vec<CaseId>, EngineError> {
        let mut looking = Vec::new();
        let Some(connector) = connector else {
            return Ok(looking);
        };
        for case in cases {
            let looks = match again::look(case, connector, self.clock.now()) {
                Look::Never => false,
                Look::Held => true,
                Look::By { discoveries, soon } => {
                    let (mut begun, mut open) = (false, false);
                    for id in discoveries {
                        let run = self.store.run(id).await?;
                        begun |= run.is_some();
                        open |= run.is_some_and(|(run, _)| !run.stage.ended());
                    }
                    open || (!begun && soon)
                }
            };
            if looks {
                looking.push(case.row.id);
            }
        }
        Ok(looking)
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
