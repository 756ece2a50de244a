//! Drills: the rehearsal that shows that offboarding and its fallback still work.
//!
//! Owns the drill and how it goes on: a look whether the canary is there, a pass in which the
//! connector is made to fail and a person must get exactly the right task, and a pass in which the
//! canary's access must end verified. Each pass is a case like any other, opened and called off by
//! events. What a pass showed is judged in `judge`, when a drill is due in `schedule`. Pure.

mod judge;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::access::Account;
use super::event::{EventKind, LifecycleEvent, Origin, RecordedEvent, Urgency};
use super::id::{ConnectorName, ContentDigest, DrillId, EventKey};
use super::outcome::Failure;
use super::subject::Subject;
use super::task::FallbackTask;
use super::time::{Effective, Timestamp, after};
use super::workflow::End;

pub use schedule::{begins, trouble};

/// Topic and source of the events by which drills open and call off their cases. A colon is in no
/// name of a Kafka topic (letters, digits, `.`, `_`, `-`), so nothing that comes in can be one.
pub const SOURCE: &str = "urn:clawback:drill";

/// The code of the failure that a drill puts in a connector's place (`docs/errors.md`).
pub const FAULT: &str = "CB-DRILL-1";

/// Which of a drill's two passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// The connector is made to fail. Comes first: it touches nothing, so one canary is enough.
    Failing,
    /// The connector works, and the canary's access goes.
    Well,
}

impl Pass {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::Failing, Self::Well];

    /// The name in ids and words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Well => "well",
        }
    }

    /// The pass that this event is of; `None` for all that comes from outside.
    pub fn of(recorded: &RecordedEvent) -> Option<Self> {
        if recorded.origin.topic != SOURCE || recorded.event.source != SOURCE {
            return None;
        }
        let named = |pass: &Self| {
            recorded
                .event
                .hr_case
                .ends_with(&format!("/{}", pass.as_str()))
        };
        Self::ALL.into_iter().find(named)
    }
}

/// What a manifest declares for drills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Whose access is taken away again and again; nobody's who works there.
    pub canary: Subject,
    /// How often; `None` as often as the engine's settings say.
    pub every_seconds: Option<u64>,
    /// The longest that a pass may take.
    pub within_seconds: u64,
    /// Who or what makes the canary's access anew, in words: Clawback never grants.
    pub made_by: String,
}

/// One drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// Its id.
    pub id: DrillId,
    /// Of which connector.
    pub connector: ConnectorName,
    /// Who wished it; `clawback` for the schedule.
    pub by: String,
    /// When.
    pub begun: Timestamp,
    /// Under which manifest; known once a worker has begun it.
    pub manifest: Option<ContentDigest>,
    /// Where it stands.
    pub stage: Stage,
    /// Whose access is rehearsed with; known once a worker has begun it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Subject>,
    /// Logins of the canary's accounts as they were found.
    pub accounts: Vec<String>,
    /// The passes that went as they must.
    pub passes: BTreeSet<Pass>,
    /// What was not as it must be.
    pub findings: Vec<String>,
}

/// Where a drill stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Is the canary there?
    Looking,
    /// A pass is under way.
    Passing {
        /// Which.
        pass: Pass,
        /// Since when.
        since: Timestamp,
    },
    /// What was to be seen was seen; the pass's case is being called off.
    Closing {
        /// Which.
        pass: Pass,
        /// Since when.
        since: Timestamp,
    },
    /// Over.
    Ended {
        /// When.
        at: Timestamp,
        /// True when both passes went as they must.
        passed: bool,
    },
}

/// What is known of the connector while a drill goes on.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// What its manifest declares for drills.
    pub terms: &'a Terms,
    /// What a person is to be told.
    pub fallback: &'a super::estate::Instructions,
    /// Until when.
    pub people: &'a super::escalation::People,
    /// What is in force.
    pub manifest: &'a ContentDigest,
    /// Now.
    pub now: Timestamp,
}

/// What was seen of the case of a pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// How the case ended, if it has.
    pub ended: Option<End>,
    /// Its removals.
    pub removals: u32,
    /// Of these, how many ended verified.
    pub verified: u32,
    /// All its tasks.
    pub tasks: Vec<FallbackTask>,
}

/// How a drill goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// As it stands afterwards.
    pub drill: Drill,
    /// To be recorded before that is kept.
    pub event: Option<RecordedEvent>,
    /// When to look again.
    pub due: Timestamp,
}

impl Drill {
    /// A drill that nobody has begun yet.
    pub fn new(id: DrillId, connector: ConnectorName, by: &str, now: Timestamp) -> Self {
        Self {
            id,
            connector,
            by: by.to_owned(),
            begun: now,
            manifest: None,
            stage: Stage::Looking,
            canary: None,
            accounts: Vec::new(),
            passes: BTreeSet::new(),
            findings: Vec::new(),
        }
    }

    /// When it ended and whether it passed, once it has.
    pub fn ended(&self) -> Option<(Timestamp, bool)> {
        match self.stage {
            Stage::Ended { at, passed } => Some((at, passed)),
            Stage::Looking | Stage::Passing { .. } | Stage::Closing { .. } => None,
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        match self.stage {
            Stage::Looking => "looks for the canary".to_owned(),
            Stage::Passing { pass, .. } => match pass {
                Pass::Failing => "the connector is made to fail".to_owned(),
                Pass::Well => "the canary's access is being removed".to_owned(),
            },
            Stage::Closing { pass, .. } => format!("the {} pass is being closed", pass.as_str()),
            Stage::Ended { passed: true, .. } => "passed".to_owned(),
            Stage::Ended { passed: false, .. } => format!("failed: {}", self.findings.join("; ")),
        }
    }

    /// The key of the event that opens the case of a pass.
    pub fn opening(&self, pass: Pass) -> EventKey {
        EventKey::of(SOURCE, &self.event_id(pass, 1))
    }

    /// Nothing more is to come of it: it has failed.
    #[must_use]
    pub fn failed(mut self, finding: String, now: Timestamp) -> Self {
        self.findings.push(finding);
        self.stage = Stage::Ended {
            at: now,
            passed: false,
        };
        self
    }

    /// The ground was taken from under it, for this reason: it has failed, and nobody is left with work.
    #[must_use]
    pub fn given_up(self, why: &str, now: Timestamp) -> Move {
        let event = match self.stage {
            Stage::Passing { pass, .. } => {
                self.event(pass, EventKind::TerminationCancelled, 2, now)
            }
            Stage::Looking | Stage::Closing { .. } | Stage::Ended { .. } => None,
        };
        Move {
            event,
            ..rest(self.failed(why.to_owned(), now), now)
        }
    }

    /// The canary was looked for.
    #[must_use]
    pub fn looked(mut self, found: Result<Vec<Account>, Failure>, ground: &Ground<'_>) -> Move {
        self.manifest = Some(ground.manifest.clone());
        self.canary = Some(ground.terms.canary.clone());
        let accounts = match found {
            Ok(accounts) if accounts.is_empty() => {
                let words = format!(
                    "no canary: the target shows no account of it; {} makes it anew",
                    ground.terms.made_by
                );
                return rest(self.failed(words, ground.now), ground.now);
            }
            Ok(accounts) => accounts,
            Err(failure) => {
                let words = format!("the canary could not be looked for: {failure}");
                return rest(self.failed(words, ground.now), ground.now);
            }
        };
        self.accounts = accounts.into_iter().map(|account| account.login).collect();
        self.open(Pass::Failing, ground)
    }

    /// The case of the pass that is under way was looked at; `None` while it is not yet admitted.
    #[must_use]
    pub fn seen(mut self, sight: Option<&Sight>, ground: &Ground<'_>) -> Move {
        let now = ground.now;
        match self.stage {
            Stage::Looking | Stage::Ended { .. } => rest(self, now),
            Stage::Passing { pass, since } => {
                let judged = sight.and_then(|sight| judge::judge(&self, pass, sight, ground));
                let over = sight.is_some_and(|sight| sight.ended.is_some());
                match judged {
                    Some(findings) => {
                        if findings.is_empty() {
                            self.passes.insert(pass);
                        }
                        self.findings.extend(findings);
                        if over {
                            self.next(pass, ground)
                        } else {
                            self.close(pass, ground)
                        }
                    }
                    None if now >= after(since, ground.terms.within_seconds) => {
                        let hours = ground.terms.within_seconds / 3600;
                        self.findings.push(format!(
                            "the {} pass came to nothing within {hours} h",
                            pass.as_str()
                        ));
                        self.close(pass, ground)
                    }
                    None => wait(self, since, now),
                }
            }
            Stage::Closing { pass, since } => {
                if sight.is_some_and(|sight| sight.ended.is_some()) {
                    return self.next(pass, ground);
                }
                if now < after(since, ground.terms.within_seconds) {
                    return wait(self, since, now);
                }
                let words = format!("the case of the {} pass did not end", pass.as_str());
                rest(self.failed(words, now), now)
            }
        }
    }

    /// The case of a pass is over: the other pass, or the end.
    fn next(mut self, pass: Pass, ground: &Ground<'_>) -> Move {
        if pass == Pass::Failing && self.findings.is_empty() {
            return self.open(Pass::Well, ground);
        }
        if self.manifest.as_ref() != Some(ground.manifest) {
            let words = "another manifest came into force during the drill";
            self.findings.push(words.to_owned());
        }
        let passed = self.findings.is_empty() && self.passes.len() == Pass::ALL.len();
        self.stage = Stage::Ended {
            at: ground.now,
            passed,
        };
        rest(self, ground.now)
    }

    fn open(mut self, pass: Pass, ground: &Ground<'_>) -> Move {
        let event = self.event(pass, EventKind::WorkerTerminated, 1, ground.now);
        let since = ground.now;
        self.stage = Stage::Passing { pass, since };
        Move {
            event,
            ..wait(self, since, since)
        }
    }

    /// Calls the case off, which closes its tasks and ends it without anybody's work.
    fn close(mut self, pass: Pass, ground: &Ground<'_>) -> Move {
        let event = self.event(pass, EventKind::TerminationCancelled, 2, ground.now);
        let since = ground.now;
        self.stage = Stage::Closing { pass, since };
        Move {
            event,
            ..wait(self, since, since)
        }
    }

    fn event_id(&self, pass: Pass, revision: u64) -> String {
        format!("{}/{}/{revision}", self.id, pass.as_str())
    }

    fn event(
        &self,
        pass: Pass,
        kind: EventKind,
        revision: u64,
        now: Timestamp,
    ) -> Option<RecordedEvent> {
        let id = self.event_id(pass, revision);
        Some(RecordedEvent {
            event: LifecycleEvent {
                source: SOURCE.to_owned(),
                id: id.clone(),
                kind,
                occurred: None,
                subject: self.canary.clone()?,
                hr_case: format!("drill/{}/{}", self.id, pass.as_str()),
                revision,
                effective: Effective::Immediately,
                urgency: Urgency::Planned,
                reason: Some(format!(
                    "drill of {}, {} pass",
                    self.connector,
                    pass.as_str()
                )),
                connectors: vec![self.connector.clone()],
            },
            origin: Origin {
                topic: SOURCE.to_owned(),
                partition: 0,
                offset: 0,
                traceparent: None,
                tracestate: None,
            },
            recorded: now,
            payload_digest: id,
        })
    }
}

/// Looks again soon at first, and less often the longer it takes.
fn wait(drill: Drill, since: Timestamp, now: Timestamp) -> Move {
    let lasted = super::health::seconds_between(since, now);
    Move {
        drill,
        event: None,
        due: after(now, (lasted / 20).clamp(1, 15)),
    }
}

fn rest(drill: Drill, now: Timestamp) -> Move {
    Move {
        drill,
        event: None,
        due: now,
    }
}
