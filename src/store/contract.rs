//! The trait that the rooms see, and what goes in and out of it.
//!
//! Owns the shapes of batches, claims and reports. Time comes in as an argument everywhere, so the
//! simulation can drive a store with a virtual clock. Does not know how either database does it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::approval::{Disapproval, Matter, MatterKind, Past, Record, Ruling, Signed};
use crate::domain::command::{Answer, Command};
use crate::domain::event::{Origin, RecordedEvent};
use crate::domain::health::{Advance, Sample, Standings, Tally};
use crate::domain::id::{
    CaseId, CommandId, ConnectorName, DeadLetterId, DefinitionDigest, EventKey, FencingToken,
    MessageId, RunId, TaskId, WorkerId,
};
use crate::domain::run::Run;
use crate::domain::settlement::{
    Admission, CaseRow, ExistingCase, JournalEntry, Obedience, OutboxMessage, Settlement,
};
use crate::domain::step::Parts;
use crate::domain::task::FallbackTask;
use crate::domain::time::Timestamp;
use crate::domain::workflow::End;

use super::{
    AdvanceFn, Audit, DeadLetter, Departures, Desks, Drills, Inventory, Letters, Listed, People,
    Retention, RunsEnded, StoreError, SurveyLease, SurveyWanted, Users,
};

/// Result of a store call.
pub type Stored<T> = Result<T, StoreError>;

/// Decides one event, given the cases of the same tenant and HR case or subject, or of one that shares
/// an identifier with it, newest first.
pub type AdmitFn<'a> = &'a (dyn Fn(&RecordedEvent, &[ExistingCase]) -> Admission + Send + Sync);

/// Decides one command, given the task and the run that it is about.
pub type ObeyFn<'a> =
    &'a (dyn Fn(&Command, Option<&FallbackTask>, Option<&Run>) -> Obedience + Send + Sync);

/// Decides one matter that takes two people, given what is open and what is in force.
pub type RuleFn<'a> = &'a (dyn Fn(&Record) -> Result<Ruling, Disapproval> + Send + Sync);

/// Durable state.
#[async_trait]
pub trait Store:
    Send + Sync + std::fmt::Debug + Audit + Departures + Desks + Drills + People + Retention + Users
{
    // --- the database itself ---

    /// Brings the schema up to date; returns the names of the migrations applied.
    async fn migrate(&self) -> Stored<Vec<String>>;
    /// One round trip that proves that the database answers and its schema fits.
    async fn ping(&self) -> Stored<()>;

    // --- intake ---

    /// Records a batch: events (repeats by key do nothing), dead letters, outbox messages and
    /// partition checkpoints, all or nothing. Wakes workers when an event was new. Nothing is recorded on
    /// top of a hole: [`StoreError::WentBack`].
    async fn record(&self, batch: &IntakeBatch) -> Stored<Vec<Receipt>>;
    /// Where each partition was left: next offset to read, for the gap check.
    async fn checkpoints(&self, group: &str, topic: &str) -> Stored<Vec<(i32, i64)>>;

    // --- admission ---

    /// Admits up to `limit` recorded events, oldest first, each decided by the closure in the same
    /// transaction; several workers never admit the same event. Runs of opened cases that are due
    /// by `now` are leased to `keep.worker` at once as far as `keep` allows, and returned. News of a
    /// legal hold makes the open discoveries and removals of its subject that a person has, and that
    /// the machine would try later, due at `now`, and ends their leases.
    async fn admit(
        &self,
        limit: u32,
        now: Timestamp,
        keep: &Keep,
        decide: AdmitFn<'_>,
    ) -> Stored<Admitted>;
    /// Carries out up to `limit` waiting commands: those about no task, such as pauses, then those about
    /// tasks, each oldest first. One about a task whose run is leased waits until the run is free.
    async fn obey(&self, limit: u32, now: Timestamp, decide: ObeyFn<'_>) -> Stored<u32>;
    /// The same for pauses and their ends alone, oldest first.
    async fn obey_pauses(&self, limit: u32, now: Timestamp, decide: ObeyFn<'_>) -> Stored<u32>;

    // --- runs ---

    /// Leases up to `keep.at_most` due runs by priority, then due time, leaving out the connectors
    /// without room in `keep`. Each claim counts the run's fencing token up.
    async fn claim(&self, now: Timestamp, keep: &Keep) -> Stored<Vec<Claimed>>;
    /// How many batches of settlements it gains from having under way at once.
    fn settles_at_once(&self) -> usize;
    /// Commits many settlements in one transaction. Each is checked on its own: if the run is no
    /// longer leased to `keep.worker` with that token, or has not exactly one step less than the
    /// settlement's, it is refused and changes nothing. (The step makes the call safe to repeat
    /// when a commit's answer was lost: a settlement that is already in is reported as accepted
    /// and not applied twice.) A run
    /// whose next step is due stays leased; one that waits, gathers or has ended is released. A run
    /// that ends counts its parent's open children down; the parent becomes due at zero. Child
    /// runs, and parents that became due, are leased to the same worker as far as `keep` allows and
    /// come back in `kept`.
    async fn settle(&self, now: Timestamp, keep: &Keep, batch: &[Fenced]) -> Stored<Settled>;
    /// What the case came to be made of; asked once, when its discoveries have all ended.
    async fn parts_of(&self, case: CaseId) -> Stored<Parts>;
    /// Gives leases back unused, at drain; tokens keep counting.
    async fn release(&self, worker: WorkerId, runs: &[(RunId, FencingToken)]) -> Stored<()>;
    /// Gives the lease of a run back that cannot go on; it is not due before `until`, so that others
    /// have their turn.
    async fn put_back(
        &self,
        worker: WorkerId,
        run: (RunId, FencingToken),
        until: Timestamp,
    ) -> Stored<()>;
    /// Adds one run outside of any settlement (a rotation that the sweep decided); `false` if a
    /// run with its id exists, or another rotation of the same secret is under way and the reason
    /// is not one that waits its turn ([`Trigger::waits_its_turn`](crate::domain::rotation::Trigger::waits_its_turn)), or another waits already.
    async fn start(&self, run: &Run, now: Timestamp) -> Stored<bool>;
    /// Lets the rotations begin that waited behind another of their secret which has ended; how many.
    async fn advance_rotations(&self, now: Timestamp) -> Stored<u64>;

    // --- workers ---

    /// Announces a worker. On PostgreSQL a session-level advisory lock is held from here on, so
    /// that others notice at once when the process dies.
    async fn enlist(&self, worker: WorkerId, now: Timestamp, lease_seconds: u64) -> Stored<()>;
    /// Renews the worker's lease; `false` when others have buried it: it must stop and enlist anew.
    /// Where several machines share a database, leases are written and judged by its clock, and `now`
    /// does not matter: a worker whose clock is wrong keeps its own and takes nobody else's.
    async fn heartbeat(&self, worker: WorkerId, now: Timestamp) -> Stored<bool>;
    /// The database's clock, by which the workers' clocks are judged; `None` where the database has
    /// no clock but this machine's.
    async fn clock(&self) -> Stored<Option<Timestamp>>;
    /// Says good-bye; frees all its leases.
    async fn discharge(&self, worker: WorkerId) -> Stored<()>;
    /// Frees the runs of workers whose lease is over or whose lock is gone, due as they were; returns how
    /// many runs.
    async fn bury(&self, by: WorkerId, now: Timestamp) -> Stored<u64>;
    /// Waits until something new was recorded or wished, or `at_most` has passed.
    async fn woken(&self, at_most: std::time::Duration);

    // --- definitions ---

    /// Keeps a definition for as long as any case may need it.
    async fn save_definition(&self, definition: &StoredDefinition, now: Timestamp) -> Stored<()>;
    /// The definition with this digest.
    async fn definition(&self, digest: &DefinitionDigest) -> Stored<Option<StoredDefinition>>;

    // --- outbox ---

    /// Leases up to `limit` unpublished messages to this worker, oldest first; one worker at a time
    /// publishes a given key, so that order per key holds. Messages of the topics `without` stay where
    /// they are.
    async fn take_messages(
        &self,
        worker: WorkerId,
        now: Timestamp,
        limit: u32,
        without: &[String],
    ) -> Stored<Vec<OutboxMessage>>;
    /// Marks messages as delivered.
    async fn published(&self, ids: &[MessageId], now: Timestamp) -> Stored<()>;
    /// Puts one message into the outbox (replay of a dead letter).
    async fn post(&self, message: &OutboxMessage, replayed: Option<DeadLetterId>) -> Stored<()>;

    // --- inventory ---

    /// Takes a listing in: what it showed is refreshed, and what a complete one did not show is taken
    /// away. A listing begun before the last complete one changes nothing. A large one is taken in by parts:
    /// one that breaks off has refreshed some, and taken nothing away.
    async fn save_inventory(&self, listed: &Listed) -> Stored<()>;
    /// What is known of one target's accounts, by id; `None` when it was never listed.
    async fn inventory(&self, connector: &ConnectorName) -> Stored<Option<Inventory>>;

    // --- health of connectors ---

    /// Leases the surveys among `wanted` that are due, each to one worker at a time. A connector that
    /// was never surveyed is due at once; the lease of a worker that is gone counts for nothing.
    async fn take_surveys(
        &self,
        worker: WorkerId,
        now: Timestamp,
        wanted: &[SurveyWanted],
        at_most: u32,
    ) -> Stored<Vec<SurveyLease>>;
    /// Commits what a survey came to: the standing, a sample (of which the newest
    /// [`SAMPLES_KEPT`] of a connector are kept), tasks and messages. `advance` decides in the same
    /// transaction, given the standing and the open tasks about the connector. Returns what was
    /// committed; nothing when the lease has moved on.
    async fn keep_survey(
        &self,
        lease: &SurveyLease,
        advance: AdvanceFn<'_>,
    ) -> Stored<Option<Advance>>;
    /// Adds what runs' calls came to, one entry for each connector.
    async fn note_calls(&self, tallies: &BTreeMap<ConnectorName, Tally>) -> Stored<()>;
    /// How each connector stands that was ever surveyed or called.
    async fn standings(&self) -> Stored<Standings>;
    /// Samples of one connector from `since` on, newest first.
    async fn samples(
        &self,
        connector: &ConnectorName,
        since: Timestamp,
        limit: u32,
    ) -> Stored<Vec<Sample>>;
    /// Runs at one target that settled something: removals that ended verified or attested, and
    /// discoveries that removed nothing and ended verified or that ended on a person's word, in the order of
    /// their ends.
    async fn runs_ended(&self, which: &RunsEnded) -> Stored<Vec<Run>>;

    // --- what takes two people ---

    /// Decides one matter; rulings about it follow each other, and what was ruled is written whole.
    /// A disapproval changes nothing. The database refuses an approval by who proposed, a second
    /// open proposal, and whatever binds without having been approved or following what binds.
    async fn rule(
        &self,
        matter: &Matter,
        decide: RuleFn<'_>,
    ) -> Stored<Result<Ruling, Disapproval>>;
    /// How every matter of this kind stands; those that nobody ever proposed are not there.
    async fn records(&self, kind: MatterKind) -> Stored<BTreeMap<Matter, Record>>;
    /// Everything that ever happened to one matter.
    async fn past(&self, matter: &Matter) -> Stored<Past>;

    // --- operators ---

    /// Puts a wish in line and wakes a worker.
    async fn wish(&self, command: &Command) -> Stored<()>;
    /// What became of a wish; `None` while it waits.
    async fn answer(&self, command: CommandId) -> Stored<Option<Answer>>;
    /// Cases, newest first.
    async fn cases(&self, filter: &CaseFilter) -> Stored<Vec<CaseReport>>;
    /// One case with its runs, journal and tasks.
    async fn case(&self, id: CaseId) -> Stored<Option<CaseStory>>;
    /// Tasks by priority, then deadline.
    async fn tasks(&self, filter: &TaskFilter) -> Stored<Vec<FallbackTask>>;
    /// One task.
    async fn task(&self, id: TaskId) -> Stored<Option<FallbackTask>>;
    /// Rotations, newest first, with those that have ended. Of all connectors, one that this version cannot
    /// read is left out and told; of one connector, it is an error.
    async fn rotations(&self, connector: Option<&ConnectorName>) -> Stored<Vec<Run>>;
    /// One run with its journal (a rotation has no case to be found under).
    async fn run(&self, id: RunId) -> Stored<Option<(Run, Vec<JournalEntry>)>>;
    /// Dead letters, newest first.
    async fn dead_letters(&self, which: Letters, limit: u32) -> Stored<Vec<DeadLetter>>;
    /// One dead letter.
    async fn dead_letter(&self, id: DeadLetterId) -> Stored<Option<DeadLetter>>;
    /// Keeps who says that nothing needs to come of a dead letter, and why; false where there is none.
    async fn set_aside(&self, id: DeadLetterId, by: &Signed) -> Stored<bool>;
    /// Figures for metrics, health and `dev --once`.
    async fn counts(&self, now: Timestamp) -> Stored<Counts>;
}

/// What a worker can take on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// Who.
    pub worker: WorkerId,
    /// How many runs at most; 0 keeps none.
    pub at_most: u32,
    /// How many of these of one connector, for connectors that `room` does not name.
    pub share: u32,
    /// How many of one connector: its share without what the worker has in hand. Where that is
    /// nothing, its runs are left in the store.
    pub room: BTreeMap<ConnectorName, u32>,
}

impl Keep {
    /// True while the runs of some connector are left in the store, however many are due.
    pub fn leaves_out(&self) -> bool {
        self.share == 0 || self.room.values().any(|room| *room == 0)
    }

    /// How many runs of this connector at most.
    pub fn room_for(&self, connector: &ConnectorName) -> u32 {
        self.room.get(connector).copied().unwrap_or(self.share)
    }
}

/// A leased run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// As last settled.
    pub run: Run,
    /// Shown with every settlement.
    pub token: FencingToken,
    /// Child runs that have not ended.
    pub open_children: u32,
    /// Its fallback task, while one is open.
    pub task: Option<FallbackTask>,
}

/// A settlement with the token of the lease under which it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fenced {
    /// The lease's token.
    pub token: FencingToken,
    /// What changes; on its own, because it is passed on from hand to hand.
    pub settlement: Box<Settlement>,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// For each settlement, in order: committed, or refused because the lease had moved on.
    pub accepted: Vec<bool>,
    /// Child runs and parents that this worker now holds.
    pub kept: Vec<Claimed>,
}

/// What admission did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Events decided.
    pub events: u32,
    /// Runs that this worker now holds.
    pub kept: Vec<Claimed>,
}

/// One transaction of intake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntakeBatch {
    /// Events to record.
    pub events: Vec<RecordedEvent>,
    /// Messages that could not be read or mapped.
    pub dead_letters: Vec<DeadLetter>,
    /// Their copies for the dead-letter topic.
    pub messages: Vec<OutboxMessage>,
    /// Consumer group, topic, partition, next offset.
    pub checkpoints: Vec<Checkpoint>,
}

/// Where a partition is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The next offset to read.
    pub next_offset: i64,
    /// What its reader committed last; a database that has less, or nothing, has gone back.
    pub committed: Option<i64>,
}

/// What became of one event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// Recorded now.
    New,
    /// Recorded before with the same payload.
    Duplicate,
    /// Recorded before with another payload: not recorded; the caller makes it a dead letter.
    Conflict,
}

/// A definition as kept with the cases that use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDefinition {
    /// What exactly it says.
    pub digest: DefinitionDigest,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// The checked workflow as JSON.
    pub json: String,
}

/// Which cases to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaseFilter {
    /// Only those that have not ended.
    pub open: bool,
    /// Only those whose subject key or name contains this.
    pub subject: Option<String>,
    /// Only the case that this event opened.
    pub event: Option<EventKey>,
    /// At most so many; 0 means 100.
    pub limit: u32,
}

/// One line of a list of cases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The row.
    pub row: CaseRow,
    /// How it ended, if it has; never verified where a part of it is attested.
    pub ended: Option<End>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Removals: accounts that were found.
    pub removals: u32,
    /// Verified removals.
    pub verified: u32,
    /// What is so on a person's word: removals, and discoveries, that is whole targets.
    pub attested: u32,
    /// Fallback tasks of the case that are not closed.
    pub open_tasks: u32,
}

/// Everything about one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseStory {
    /// Its line.
    pub report: CaseReport,
    /// Where the event that opened it came from.
    pub origin: Origin,
    /// All its runs.
    pub runs: Vec<Run>,
    /// All journal entries, in order of time.
    pub journal: Vec<JournalEntry>,
    /// All its tasks.
    pub tasks: Vec<FallbackTask>,
}

/// Which tasks to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Closed ones too.
    pub closed: bool,
    /// Only of this target.
    pub connector: Option<ConnectorName>,
    /// Only in this state, as `TaskState::as_str` names it; says for itself whether they are closed.
    pub state: Option<String>,
    /// At most so many; 0 means 1000.
    pub limit: u32,
}

/// Figures over the whole store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events recorded.
    pub events_recorded: u64,
    /// Events not yet admitted.
    pub events_waiting: u64,
    /// Cases opened.
    pub cases: u64,
    /// Cases that have not ended.
    pub cases_open: u64,
    /// Removals by verdict and end.
    pub removals: u64,
    /// Removals that have not ended.
    pub removals_open: u64,
    /// Removals that ended verified.
    pub removals_verified: u64,
    /// Removals that ended attested.
    pub removals_attested: u64,
    /// Discoveries and removals that are open and have an open task.
    pub runs_with_open_task: u64,
    /// Removals that are open and have an open task.
    pub removals_in_tasks: u64,
    /// Runs that have not ended and wait for neither a person, a child nor a later time.
    pub runs_active: u64,
    /// Runs that are due by now and not leased.
    pub runs_due: u64,
    /// Tasks that are not closed.
    pub tasks_open: u64,
    /// Tasks that are not closed and past their deadline.
    pub tasks_overdue: u64,
    /// Rotations that ended well.
    pub rotations_completed: u64,
    /// Rotations that have not ended.
    pub rotations_open: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Dead letters that nobody has replayed or set aside.
    pub letters_waiting: u64,
    /// Messages not yet published.
    pub outbox_waiting: u64,
    /// Age in seconds of the oldest event that is not admitted.
    pub oldest_event_seconds: Option<u64>,
    /// Age in seconds of the oldest task that is not closed.
    pub oldest_task_seconds: Option<u64>,
}
