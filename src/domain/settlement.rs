//! What one step changes, as data: the engine's only way to write.
//!
//! Owns the settlement, which the store commits whole or not at all: next position, journal, child
//! runs, task, messages. A settlement of a run whose lease has moved on is refused by the store.

use serde::{Deserialize, Serialize};

use super::access::{Account, EntitlementKey};
use super::command::Answer;
use super::correlation::Search;
use super::drill::Drill;
use super::id::{
    CaseId, CommandId, ConnectorName, EntitlementId, EventKey, MessageId, RunId, StateName,
};
use super::outcome::{Failure, FailureClass};
use super::pause::PauseChange;
use super::probe::Probed;
use super::rotation::RotationFacts;
use super::run::Run;
use super::task::FallbackTask;
use super::time::Timestamp;
use super::verdict::{Finding, Observation};
use super::workflow::{End, OutcomeKey};

/// What performing an effect came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Did it (a write: the target said yes).
    Done,
    /// The target said that there was nothing to do.
    Absent,
    /// A complete, fresh listing, reduced to what it says of the subject.
    Accounts(Search),
    /// The account as read; `None` when the target shows no such account.
    Account(Option<Account>),
    /// Some of the items of a wave, each with its own outcome: done (`true`), not there (`false`)
    /// or failed. Items not named are still on their way.
    Items(Vec<(EntitlementKey, Result<bool, Failure>)>),
    /// A look with the verifier credential.
    Observed(Observation),
    /// What was sent upstream was sent from `since` on; one look at each of the subject's accounts there.
    Cut {
        /// Only later looks count.
        since: Timestamp,
        /// With the upstream's verifier; none where the subject has no account there.
        looks: Vec<Observation>,
    },
    /// Tries to get in, each with what it proves.
    Probed(Vec<Probed>),
    /// A rotation step worked.
    Rotated(RotationFacts),
    /// It did not work.
    Failed(Failure),
    /// Nothing was sent: two people have to approve it first.
    Held(Failure),
    /// Nothing was sent: a legal hold forbids it, and nobody can approve it.
    Forbidden {
        /// Why, and by which matters.
        failure: Failure,
        /// What a look proved of the access that the account still gives.
        access: Finding,
    },
}

/// Everything that one step changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The run as it stands afterwards.
    pub run: Run,
    /// What happened.
    pub journal: Vec<JournalEntry>,
    /// Runs that begin; the run waits for them when its stage is `Gathering`.
    pub children: Vec<Run>,
    /// The task as it stands afterwards, when it changed.
    pub task: Option<FallbackTask>,
    /// Rotations that should be under way; nothing happens for a secret of which one already is.
    pub rotations: Vec<Run>,
    /// Messages for the outbox.
    pub messages: Vec<OutboxMessage>,
    /// The case's own row, when it ends.
    pub case_ended: Option<(CaseId, End, Timestamp)>,
}

/// One line of the append-only journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Whose.
    pub run: RunId,
    /// The run's settlement that it belongs to, counted from 1, and its place therein.
    pub sequence: u64,
    /// Place within the settlement, from 0.
    pub place: u32,
    /// When.
    pub at: Timestamp,
    /// The state that the run was in.
    pub state: StateName,
    /// The entitlement, where the entry is about one.
    pub item: Option<EntitlementId>,
    /// What it came to.
    pub outcome: OutcomeKey,
    /// Failure class, code and words, where it failed.
    pub failure: Option<Failure>,
    /// What was observed or found, as JSON; holds no secret.
    pub detail: Option<serde_json::Value>,
}

impl JournalEntry {
    /// The failure's class, for filters.
    pub fn class(&self) -> Option<FailureClass> {
        self.failure.as_ref().map(|failure| failure.class)
    }
}

/// A message on its way to Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxMessage {
    /// Receivers recognise repeats by it.
    pub id: MessageId,
    /// Topic.
    pub topic: String,
    /// Key; messages of one key keep their order.
    pub key: Vec<u8>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Value.
    pub payload: Vec<u8>,
    /// When it was written.
    pub created: Timestamp,
}

/// What admission makes of one recorded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The event.
    pub event: EventKey,
    /// What to do.
    pub decision: AdmissionDecision,
    /// Why, for the record.
    pub reason: String,
    /// Cases of the same departure that stop with it, as by [`AdmissionDecision::Halt`].
    pub halts: Vec<CaseId>,
}

/// What to do with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdmissionDecision {
    /// Open a case with these runs; the first is the case's own. Settlements that follow at once
    /// (child runs, tasks) are already in them.
    Open {
        /// The case's row.
        case: Box<CaseRow>,
        /// The case run's first settlement: its position, its first children, its task.
        first: Box<Settlement>,
    },
    /// Change a case: one that has not begun to act is moved; one that has begins anew with what is told
    /// besides. The case run as it should stand.
    Reschedule {
        /// The case's row as it should stand.
        case: Box<CaseRow>,
        /// The case run as it should stand.
        run: Box<Run>,
    },
    /// End a case that has not begun to act.
    Rescind {
        /// Its run as ended, with its journal.
        settlement: Box<Settlement>,
        /// The revision that called it off, now in force.
        revision: u64,
    },
    /// Stop a case that has begun to act: no run of it writes again, a person reviews it.
    Halt {
        /// Which.
        case: CaseId,
        /// The revision that called it off, now in force.
        revision: u64,
    },
    /// Stop a case that has begun to act, as [`Self::Halt`] does, for its departure was put off; it
    /// begins anew on its later date, whole, by a case of its own.
    PutOff {
        /// Which is stopped.
        case: CaseId,
        /// The row of the case that goes on with it; its revision is in force for both.
        again: Box<CaseRow>,
        /// The first settlement of that case's run.
        first: Box<Settlement>,
    },
    /// Stop departures under way, and open a case that tells a person of it: the subject is back, or what
    /// an earlier case of the departure removed is to be reviewed.
    Stop {
        /// The row of the case that tells it.
        case: Box<CaseRow>,
        /// The first settlement of that case's run.
        first: Box<Settlement>,
        /// What becomes of each departure: [`Self::Rescind`], [`Self::Reschedule`] of a held one that is
        /// dropped, or [`Self::Halt`], each with the revision that is in force from now on.
        stops: Vec<Self>,
    },
    /// Leave a case as it is, but know the newer revision, so that older news cannot change it.
    Revise {
        /// Which.
        case: CaseId,
        /// The revision now in force.
        revision: u64,
    },
    /// Replace connectors' secrets.
    Rotate {
        /// The runs; those whose secret is being replaced already do nothing.
        runs: Vec<Run>,
    },
    /// Nothing: an older revision, or no case that it could change.
    Ignore,
}

/// The row of a case: what lists and reports show without opening its runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseRow {
    /// Its id.
    pub id: CaseId,
    /// Tenant and subject id.
    pub subject_key: String,
    /// For people to read.
    pub subject_name: String,
    /// The event that opened it.
    pub event: EventKey,
    /// The source's case.
    pub hr_case: String,
    /// The revision in force.
    pub revision: u64,
    /// The workflow's name.
    pub workflow: String,
    /// When access ends.
    pub effective: Timestamp,
    /// When the case was opened.
    pub opened: Timestamp,
    /// Lower is sooner.
    pub priority: i16,
}

/// What the store knows of a case that an event may be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingCase {
    /// Its row.
    pub row: CaseRow,
    /// Its run.
    pub run: Run,
    /// How it ended, if it has.
    pub ended: Option<End>,
    /// True once it was halted.
    pub halted: bool,
}

/// What a command changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obedience {
    /// The command.
    pub command: CommandId,
    /// What the operator is told.
    pub answer: Answer,
    /// The task as it stands afterwards.
    pub task: Option<FallbackTask>,
    /// The run as it stands afterwards (due at once to check a claim), with its journal entry.
    pub run: Option<Run>,
    /// A rotation to begin.
    pub rotation: Option<Run>,
    /// A connector to be surveyed at once.
    pub survey: Option<ConnectorName>,
    /// A pause that begins or ends.
    pub pause: Option<PauseChange>,
    /// A drill to begin, unless one of the connector is under way.
    pub drill: Option<Drill>,
    /// A released case whose departure begins later: other cases of it that are under way stop, as by
    /// [`AdmissionDecision::PutOff`].
    pub puts_off: Option<CaseId>,
}
