//! Fallback tasks: what a person gets when the machine cannot remove or cannot prove.
//!
//! Owns the task, its states and what a close is: a claim, checked against the target where that can
//! be read, sent back with what was found, or else an attestation, which for privileged access takes a
//! second person in a command of their own. Does not deliver to desks.

use serde::{Deserialize, Serialize};

use super::access::Entitlement;
use super::approval::same_person;
use super::escalation::Escalation;
use super::id::{CaseId, CommandId, ConnectorName, ContentDigest, RunId, TaskId};
use super::outcome::FailureClass;
use super::time::Timestamp;
use super::workflow::RunKind;

/// A work order for a person. Exactly one for one run, because its id derives from the run's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackTask {
    /// Its id.
    pub id: TaskId,
    /// The run that waits for it.
    pub run: RunId,
    /// What that run is about.
    pub kind: RunKind,
    /// The case, unless it is about a connector's own secret.
    pub case: Option<CaseId>,
    /// The target.
    pub connector: Option<ConnectorName>,
    /// Who leaves, for people to read.
    pub subject: String,
    /// The account in the target: login and immutable id, when known.
    pub account: Option<String>,
    /// True when a second person must attest.
    pub privileged: bool,
    /// True for the task of a drill, which nobody has to work on: the drill looks at it and closes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drill: bool,
    /// Lower is sooner.
    pub priority: i16,
    /// Access as last known.
    pub access: Vec<Entitlement>,
    /// How old that knowledge is; `None` when nothing was ever read.
    pub access_as_of: Option<Timestamp>,
    /// Why the machine failed: class, code and words.
    pub class: Option<FailureClass>,
    /// Stable code from `docs/errors.md`.
    pub code: String,
    /// Why the machine failed, in words.
    pub why: String,
    /// A digest of the held event that it asks about: who leaves, when, how soon, and from where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<ContentDigest>,
    /// What to do, from the connector's manifest.
    pub steps: Vec<String>,
    /// The desk that gets a copy.
    pub desk: String,
    /// When it was opened first.
    pub opened: Timestamp,
    /// When it should be done.
    pub deadline: Timestamp,
    /// Where it stands.
    pub state: TaskState,
    /// How far it was escalated because nobody did it in time.
    #[serde(default)]
    pub escalation: Escalation,
    /// What people signed: the last claim's attestation, and the second person's after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<Attestation>,
    /// The bulk that its last claim belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bulk: Option<Bulk>,
    /// What happened to it, oldest first: claims, sent back with what was found, tries of the machine.
    pub history: Vec<TaskNote>,
}

/// Lines of history that a task keeps.
const LINES: usize = 200;

impl FallbackTask {
    /// When it is escalated unless somebody closes it: at the deadline first, then again and again.
    pub fn chased_at(&self) -> Timestamp {
        self.escalation.next.unwrap_or(self.deadline)
    }

    /// True once it is done.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, TaskState::Closed { .. })
    }

    /// A digest of what it asks a person right now: the doubt and the event that it is about, or what
    /// somebody else has signed. An answer that bears another one was given to something else.
    pub fn meant(&self) -> ContentDigest {
        let text = match &self.state {
            TaskState::AwaitingSecondPerson(claim) => {
                serde_json::to_string(claim).unwrap_or_default()
            }
            TaskState::Open
            | TaskState::Claimed { .. }
            | TaskState::Checking(_)
            | TaskState::SentBack { .. }
            | TaskState::Closed { .. } => match &self.asks {
                Some(event) => format!("{}\n{}\n{event}", self.code, self.why),
                None => format!("{}\n{}", self.code, self.why),
            },
        };
        ContentDigest::of(&text)
    }

    /// Adds a line to its history. A target that stays down for weeks must not grow the task without
    /// end, nor push what people said out of sight: the machine's last line, said again, gets a later
    /// time.
    pub fn remember(&mut self, at: Timestamp, by: &str, text: String) {
        if let Some(last) = self.history.last_mut()
            && (last.by.as_str(), &last.text) == ("clawback", &text)
        {
            last.at = at;
            return;
        }
        if self.history.len() >= LINES {
            // The machine's own words go first, and the line that it was opened stays.
            let lines = &self.history[1..];
            let place = lines.iter().position(|line| line.by == "clawback");
            self.history.remove(1 + place.unwrap_or(0));
        }
        self.history.push(TaskNote {
            at,
            by: by.to_owned(),
            text,
        });
    }

    /// Writes down what people signed.
    pub fn attest(&mut self, claim: &CloseClaim, at: Timestamp) {
        let signed = [&claim.attestation, &claim.second];
        self.attestations = signed.into_iter().flatten().cloned().collect();
        self.bulk.clone_from(&claim.bulk);
        for one in self.attestations.clone() {
            let text = format!("{} attests: {}", one.by, one.statement);
            if !self.history.iter().any(|note| note.text == text) {
                self.remember(at, &one.by, text);
            }
        }
    }
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum TaskState {
    /// Nobody has it.
    Open,
    /// Someone works on it.
    Claimed {
        /// Who.
        by: String,
        /// Since when.
        at: Timestamp,
    },
    /// Someone says it is done; the machine checks.
    Checking(CloseClaim),
    /// It was said to be done and is not, or not shown to be. Nobody has it.
    SentBack {
        /// By whom: `clawback` where the machine looked, else who rejected it.
        by: String,
        /// When.
        at: Timestamp,
        /// What was found.
        found: String,
    },
    /// One person attests; access is privileged, so a second one has to stand for it too.
    AwaitingSecondPerson(CloseClaim),
    /// Done.
    Closed {
        /// How it is known.
        how: Closure,
        /// Who closed it; `clawback` when the machine got there first.
        by: String,
        /// When.
        at: Timestamp,
    },
}

impl TaskState {
    /// The name in tables and filters.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Claimed { .. } => "claimed",
            Self::Checking(_) => "checking",
            Self::SentBack { .. } => "sent_back",
            Self::AwaitingSecondPerson(_) => "awaiting_second_person",
            Self::Closed { .. } => "closed",
        }
    }
}

/// How it is known that the work of a closed task is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closure {
    /// A person closed it and the target was read: gone.
    Proved,
    /// The machine got there first, with proof.
    ProvedByMachine,
    /// A person's signed word; the target could not be read. Never reported as verified.
    Attested,
    /// A person answered what was asked; nothing was to be done at a target.
    Answered,
    /// The case was halted; its own review task carries on what this one asked for.
    Superseded,
}

impl Closure {
    /// The name in tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::ProvedByMachine => "proved_by_machine",
            Self::Attested => "attested",
            Self::Answered => "answered",
            Self::Superseded => "superseded",
        }
    }
}

/// A person's claim that the work is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseClaim {
    /// Who says so.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What was done, in their words.
    pub note: String,
    /// The statement that stands where the target cannot be read, by who says so.
    pub attestation: Option<Attestation>,
    /// The statement of a second person, given in a command of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<Attestation>,
    /// Said of many tasks at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bulk: Option<Bulk>,
}

/// A person's signed statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// Who attests.
    pub by: String,
    /// What they state, word for word.
    pub statement: String,
}

/// Tasks that one person closed at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bulk {
    /// The same for all of them.
    pub id: CommandId,
    /// How many.
    pub of: u32,
    /// Why all at once.
    pub reason: String,
}

/// What a claim is worth where the target cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Nobody has attested anything.
    Nothing,
    /// One person has, and it takes two.
    Half,
    /// It closes the task.
    Whole,
}

/// Weighs the statements of a claim. The second person is another than the first, however the names
/// are written, and the first is who made the claim.
pub fn weigh(claim: &CloseClaim, privileged: bool) -> Weight {
    let first = claim.attestation.as_ref();
    let Some(first) = first.filter(|first| same_person(&first.by, &claim.by)) else {
        return Weight::Nothing;
    };
    let second = claim.second.as_ref();
    let second = second.is_some_and(|second| !same_person(&second.by, &first.by));
    if privileged && !second {
        Weight::Half
    } else {
        Weight::Whole
    }
}

/// One line of a task's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNote {
    /// When.
    pub at: Timestamp,
    /// Who; `clawback` for the machine.
    pub by: String,
    /// What.
    pub text: String,
}
