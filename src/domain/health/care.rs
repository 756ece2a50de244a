//! Tasks about a connector itself: opened while it is stale or drifted, closed when it is well.
//!
//! Owns when such a task is opened, what it says, and how it ends: one for each state at most, so
//! that nothing is asked for twice. A close is a claim, checked by the next survey. Its run waits for
//! no time: only a survey or, where the connector is gone for good, an attestation ends it.

use serde::{Deserialize, Serialize};

use super::super::escalation::Escalation;
use super::super::estate::ConnectorFacts;
use super::super::id::{ConnectorName, DefinitionDigest, RunId};
use super::super::outcome::FailureClass;
use super::super::run::{Run, RunBody, Stage};
use super::super::settlement::OutboxMessage;
use super::super::status;
use super::super::task::{CloseClaim, Closure, FallbackTask, TaskNote, TaskState};
use super::super::time::{Timestamp, after};
use super::super::workflow::{End, RunKind};
use super::{Standing, State};

/// Where a target weighs more, its connector's trouble does as well.
const AT_ONCE_DEADLINE_SECONDS: u64 = 3600;
const AT_ONCE_PRIORITY: i16 = 0;
const PRIORITY: i16 = 20;

/// The run that holds such a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CareBody {
    /// Which connector.
    pub connector: ConnectorName,
    /// What is wrong with it.
    pub state: State,
    /// A person says it is done; to be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<CloseClaim>,
}

/// A task about a connector, with its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Care {
    /// The run.
    pub run: Run,
    /// Its task.
    pub task: FallbackTask,
}

/// For whom tasks are opened, and where they are told.
#[derive(Debug, Clone, Copy)]
pub struct Keeper<'a> {
    /// Which connector.
    pub connector: &'a ConnectorName,
    /// What its manifest declares.
    pub facts: &'a ConnectorFacts,
    /// Its manifest tells non-human identities.
    pub nhi: bool,
    /// Who answers for it.
    pub owner: &'a str,
    /// Who answers when the owner does not.
    pub deputy: &'a str,
    /// Where status events go.
    pub topic: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

/// What becomes of the tasks about a connector as it stands now; `open` are those that are open.
/// Writes down in `standing` which run holds which.
pub fn care(
    standing: &mut Standing,
    open: &[Care],
    keeper: &Keeper<'_>,
) -> (Vec<Care>, Vec<OutboxMessage>) {
    let mut changed = Vec::new();
    for one in open {
        let about = match &one.run.body {
            RunBody::Care(body) => body.state,
            RunBody::Case(_)
            | RunBody::Discovery(_)
            | RunBody::Removal(_)
            | RunBody::Rotation(_) => continue,
        };
        let next = match standing.state {
            State::Healthy => Some(keeper.closed(one.clone())),
            // It answers as expected; what is open about that is over.
            State::Undrilled if about != State::Undrilled => {
                standing.care.remove(&about);
                Some(keeper.closed(one.clone()))
            }
            State::Undrilled | State::Unknown | State::Failing | State::Stale | State::Drifted => {
                keeper.held(one.clone(), standing)
            }
        };
        changed.extend(next);
    }
    match standing.state {
        State::Healthy => standing.care.clear(),
        State::Stale | State::Drifted | State::Undrilled
            if !standing.care.contains_key(&standing.state) =>
        {
            let opened = keeper.opened(standing);
            standing.care.insert(standing.state, opened.run.id);
            changed.push(opened);
        }
        State::Unknown | State::Failing | State::Stale | State::Drifted | State::Undrilled => {}
    }
    let tell = |topic: &str| {
        let told = changed.iter();
        told.map(|one| status::task(&one.run, &one.task, topic, keeper.now))
            .collect()
    };
    let messages = keeper.topic.map_or_else(Vec::new, tell);
    (changed, messages)
}

impl Keeper<'_> {
    fn opened(&self, standing: &Standing) -> Care {
        let state = standing.state;
        let id = RunId::care(self.connector, state.as_str(), self.now);
        let (priority, seconds) = if self.weighs(standing) {
            (AT_ONCE_PRIORITY, AT_ONCE_DEADLINE_SECONDS)
        } else {
            (
                PRIORITY,
                self.facts.fallback.deadline_hours.saturating_mul(3600),
            )
        };
        let run = Run {
            id,
            case: None,
            parent: None,
            definition: DefinitionDigest("care".to_owned()),
            kind: RunKind::Care,
            connector: Some(self.connector.clone()),
            priority,
            stage: Stage::WithPerson {
                state: state.as_str().into(),
                next_try: None,
                tries: 0,
            },
            verdict: None,
            step: 1,
            halted: false,
            in_flight: false,
            attempts: std::collections::BTreeMap::new(),
            task: Some(id.task()),
            body: RunBody::Care(Box::new(CareBody {
                connector: self.connector.clone(),
                state,
                claim: None,
            })),
        };
        let task = FallbackTask {
            id: id.task(),
            run: id,
            kind: RunKind::Care,
            case: None,
            connector: Some(self.connector.clone()),
            subject: format!("connector {}", self.connector),
            account: None,
            drill: false,
            privileged: self.facts.privileged,
            priority,
            access: Vec::new(),
            access_as_of: standing.surveyed,
            class: Some(class(state)),
            code: code(state).to_owned(),
            asks: None,
            why: format!("{state}: {}", standing.reason),
            steps: self.steps(state, standing),
            desk: self.facts.fallback.desk.clone(),
            opened: self.now,
            deadline: after(self.now, seconds),
            state: TaskState::Open,
            escalation: Escalation::default(),
            attestations: Vec::new(),
            bulk: None,
            history: vec![self.note("opened".to_owned())],
        };
        Care { run, task }
    }

    /// Privileged, or with non-human identities, which nobody misses when they go astray. Where nobody
    /// knows yet whether there are any, there are.
    fn weighs(&self, standing: &Standing) -> bool {
        self.facts.privileged || (self.nhi && standing.nhis != Some(0))
    }

    fn steps(&self, state: State, standing: &Standing) -> Vec<String> {
        let name = self.connector;
        let mut steps = vec![
            format!(
                "Ask {}, who answers for the connector, or {}",
                self.owner, self.deputy
            ),
            format!(
                "Look at `clawback connectors health {name}` and `clawback connectors check {name}`"
            ),
        ];
        if state == State::Undrilled {
            steps.push(format!(
                "See to it that the canary has its account, then `clawback drill {name}`; without a canary, \
                 two people may do without (`clawback drill override {name}`)"
            ));
        }
        if let (true, Some(count @ 1..)) = (self.nhi, standing.nhis) {
            steps.push(format!(
                "{count} non-human identities are out of sight: see that their keys are rotated or revoked"
            ));
        }
        if state == State::Drifted {
            steps.push(
                "Where the new shape or count is right, have the manifest changed and approved: it is learned anew"
                    .to_owned(),
            );
        }
        steps
    }

    /// Still open: a claim is sent back, another reason is written down, otherwise nothing changes.
    fn held(&self, mut care: Care, standing: &Standing) -> Option<Care> {
        let RunBody::Care(body) = &mut care.run.body else {
            return None;
        };
        let why = format!("{}: {}", standing.state, standing.reason);
        let claimed = body.claim.take().is_some();
        if claimed {
            care.task.state = TaskState::SentBack {
                by: "clawback".to_owned(),
                at: self.now,
                found: why.clone(),
            };
            let text = format!("sent back: the machine looked: {why}");
            care.task.history.push(self.note(text));
        } else if care.task.why == why || body.state != standing.state {
            return None;
        }
        care.task.why = why;
        care.run.step += 1;
        Some(care)
    }

    fn closed(&self, mut care: Care) -> Care {
        let claim = match &mut care.run.body {
            RunBody::Care(body) => body.claim.take(),
            RunBody::Case(_)
            | RunBody::Discovery(_)
            | RunBody::Removal(_)
            | RunBody::Rotation(_) => None,
        };
        let how = if claim.is_some() {
            Closure::Proved
        } else {
            Closure::ProvedByMachine
        };
        let text = "the connector was surveyed in full, as expected".to_owned();
        care.task.history.push(self.note(text));
        care.task.state = TaskState::Closed {
            how,
            by: claim.map_or_else(|| "clawback".to_owned(), |claim| claim.by),
            at: self.now,
        };
        care.run.step += 1;
        care.run.task = None;
        care.run.stage = Stage::Ended {
            end: End::Verified,
            at: self.now,
        };
        care
    }

    fn note(&self, text: String) -> TaskNote {
        TaskNote {
            at: self.now,
            by: "clawback".to_owned(),
            text,
        }
    }
}

fn code(state: State) -> &'static str {
    match state {
        State::Drifted => "CB-HEALTH-2",
        State::Undrilled => "CB-HEALTH-4",
        State::Unknown | State::Healthy | State::Failing | State::Stale => "CB-HEALTH-1",
    }
}

fn class(state: State) -> FailureClass {
    match state {
        State::Drifted => FailureClass::Drifted,
        State::Undrilled => FailureClass::Refused,
        State::Unknown | State::Healthy | State::Failing | State::Stale => FailureClass::StaleData,
    }
}
