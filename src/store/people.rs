//! What the trait promises about people's work: overdue tasks, pauses, brakes.
//!
//! Owns that part of the contract, and what both databases write of a task beside its body. Who is
//! told and when is the domain's, and comes in as a closure. Knows no SQL.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::brake::{Ask, Stop};
use crate::domain::escalation::{Escalated, Reminded};
use crate::domain::id::{AccountId, ConnectorName, WorkerId};
use crate::domain::pause::{Pause, Pauses};
use crate::domain::run::{Run, RunBody};
use crate::domain::task::{FallbackTask, TaskState};
use crate::domain::time::Timestamp;

use super::Stored;
use super::shape::micros;

/// Decides whether a task is escalated, and how.
pub type EscalateFn<'a> = &'a (dyn Fn(&FallbackTask) -> Option<Escalated> + Send + Sync);

/// Decides whether a pause is escalated, and how.
pub type RemindFn<'a> = &'a (dyn Fn(&Pause) -> Option<Reminded> + Send + Sync);

/// Work that waits because its target is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Which target.
    pub connector: ConnectorName,
    /// Runs that are due there and are not taken up.
    pub runs: u64,
}

/// What people owe, and what they have stopped.
#[async_trait]
pub trait People: Send + Sync {
    /// Hands up to `limit` tasks whose time of escalation has come, the longest overdue first, to
    /// `decide`, and writes what it makes of them with its messages. A task whose run is leased waits
    /// until the run is free. Returns the tasks that changed.
    async fn escalate(
        &self,
        limit: u32,
        now: Timestamp,
        decide: EscalateFn<'_>,
    ) -> Stored<Vec<FallbackTask>>;
    /// The pauses that are in force, by number.
    async fn pauses(&self) -> Stored<Pauses>;
    /// Hands the pauses in force to `decide`, and writes what it makes of them with its messages. Returns
    /// those that changed; what one worker has told is not told by another.
    async fn remind(&self, decide: RemindFn<'_>) -> Stored<Vec<Pause>>;
    /// The worker says that it knows every pause up to this number, and begins nothing against them.
    async fn know_pauses(&self, worker: WorkerId, up_to: u64) -> Stored<()>;
    /// How many living workers do not know the pause of this number yet.
    async fn unaware_of(&self, pause: u64, now: Timestamp) -> Stored<u64>;
    /// Runs that are due by `now` at each target, for those that are paused.
    async fn due_at(&self, connectors: &[ConnectorName], now: Timestamp) -> Stored<Vec<Paused>>;
    /// Lets a removal pass all these brakes, or none: counts what began within each window, judges
    /// (`domain::brake::judge`) and counts this one too, in one transaction that no other can enter for the
    /// same brake. Asks of one name stand together, the one that looks back furthest first, and count the
    /// same, each within its window. Who has passed within it passes again. Returns the first that holds.
    async fn permit(&self, asks: &[Ask], now: Timestamp) -> Stored<Option<Stop>>;
    /// The accounts of removals at this target that have not ended.
    async fn removals_under_way(&self, connector: &ConnectorName) -> Stored<Vec<AccountId>>;
}

/// The account of a removal.
pub(super) fn account_of(run: Run) -> Option<AccountId> {
    match run.body {
        RunBody::Removal(body) => Some(body.account.id),
        RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_) => None,
    }
}

/// What queries and constraints need of a task beside its body.
#[derive(Debug, Clone)]
pub(super) struct Beside {
    /// When it is escalated; none once it is closed, and for a drill's, which nobody has to work on.
    pub chase_us: Option<i64>,
    pub privileged: bool,
    /// How it was closed.
    pub how: Option<&'static str>,
    pub attested_by: Option<String>,
    pub confirmed_by: Option<String>,
}

impl Beside {
    pub(super) fn of(task: &FallbackTask) -> Self {
        let how = match &task.state {
            TaskState::Closed { how, .. } => Some(how.as_str()),
            TaskState::Open
            | TaskState::Claimed { .. }
            | TaskState::Checking(_)
            | TaskState::SentBack { .. }
            | TaskState::AwaitingSecondPerson(_) => None,
        };
        let signed = |place: usize| task.attestations.get(place).map(|one| one.by.clone());
        Self {
            chase_us: (how.is_none() && !task.drill).then(|| micros(task.chased_at())),
            privileged: task.privileged,
            how,
            attested_by: signed(0),
            confirmed_by: signed(1),
        }
    }
}
