//! What every request to the console has at hand, and who makes it.
//!
//! Owns the shared parts, the signed-in person, the noting of acts and the waiting for a wish's answer.
//! Changes nothing itself: what an operator wants is a row that the engine picks up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::backing::Backing;
use super::live::Counted;
use super::oidc::Provider;
use super::problem::Problem;
use super::settings::Settings;
use super::throttle::Throttle;
use super::turns::Turns;
use crate::domain::command::{Answer, Command, Wish};
use crate::domain::id::{CommandId, TaskId, TokenId};
use crate::domain::task::{FallbackTask, TaskState};
use crate::domain::time::{Chance, Clock, Timestamp};
use crate::domain::user::{Act, Role, Session, SessionBounds, User};
use crate::store::Store;

/// How often a request looks for a worker's answer, in all about ten seconds.
const LOOKS: u32 = 100;
/// How long it waits in between.
const POLL: Duration = Duration::from_millis(100);

/// The console's parts.
#[derive(Debug)]
pub struct Office {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// What other rooms do for it.
    pub backing: Arc<dyn Backing>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub chance: Arc<dyn Chance>,
    /// Where it listens and how it is reached.
    pub settings: Settings,
    /// How long sessions live.
    pub bounds: SessionBounds,
    /// An identity provider, where one is configured.
    pub provider: Option<Provider>,
    /// Ends streams when the console closes.
    pub closing: CancellationToken,
    pub(super) turns: Turns,
    /// One request at a time reads the whole log.
    pub(super) reading: Semaphore,
    pub(super) throttle: Throttle,
    pub(super) counted: Counted,
}

/// Shared by all requests.
pub type Shared = Arc<Office>;

/// Who makes a request.
#[derive(Debug, Clone)]
pub struct Who {
    /// Their name in the record.
    pub name: String,
    /// For people to read.
    pub display_name: String,
    /// What they may do with this request.
    pub roles: BTreeSet<Role>,
    /// From where.
    pub address: String,
    /// What forms must show; empty without a session.
    pub form_token: String,
    /// The session, on pages.
    pub session: Option<Session>,
    /// The token, in the API.
    pub token: Option<TokenId>,
}

impl Who {
    pub(super) fn of(user: &User, address: &str) -> Self {
        Self {
            name: user.name.clone(),
            display_name: user.display_name.clone(),
            roles: user.roles.clone(),
            address: address.to_owned(),
            form_token: String::new(),
            session: None,
            token: None,
        }
    }

    /// True when they may do what takes this role. Whoever has a role may read.
    pub fn may(&self, role: Role) -> bool {
        match role {
            Role::Viewer => !self.roles.is_empty(),
            Role::Operator | Role::Approver | Role::Auditor => self.roles.contains(&role),
        }
    }
}

impl Office {
    /// The parts put together; asks nobody yet.
    pub fn new(
        store: Arc<dyn Store>,
        backing: Arc<dyn Backing>,
        (clock, chance): (Arc<dyn Clock>, Arc<dyn Chance>),
        settings: Settings,
        provider: Option<Provider>,
    ) -> Self {
        Self {
            store,
            backing,
            clock,
            chance,
            settings,
            bounds: SessionBounds::default(),
            provider,
            closing: CancellationToken::new(),
            turns: Turns::default(),
            reading: Semaphore::new(1),
            throttle: Throttle::default(),
            counted: Counted::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Notes what somebody did or tried. Where it cannot be noted the request fails, and says so.
    pub(super) async fn note(
        &self,
        who: &Who,
        what: &str,
        about: &str,
        came_to: &str,
    ) -> Result<(), Problem> {
        let act = Act {
            at: self.now(),
            by: who.name.clone(),
            from: who.address.clone(),
            what: what.to_owned(),
            about: plain(about),
            came_to: plain(came_to),
        };
        Ok(self.store.note_act(&act).await?)
    }

    /// Puts a wish in line and waits for its answer; `None` when no worker answers in time, and the
    /// wish stays in line.
    pub(super) async fn wish(&self, who: &Who, wish: Wish) -> Result<Option<Answer>, Problem> {
        let command = Command {
            id: CommandId(self.chance.id()),
            by: who.name.clone(),
            at: self.now(),
            wish,
        };
        self.store.wish(&command).await?;
        for _ in 0..LOOKS {
            if let Some(answer) = self.store.answer(command.id).await? {
                return Ok(Some(answer));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(None)
    }

    /// Waits until the machine has looked at the target of a task that somebody says is done; `None`
    /// when it takes longer than a request waits.
    pub(super) async fn checked(&self, id: TaskId) -> Result<Option<FallbackTask>, Problem> {
        for _ in 0..LOOKS {
            match self.store.task(id).await? {
                Some(task) if matches!(task.state, TaskState::Checking(_)) => {}
                found => return Ok(found),
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(None)
    }
}

/// Text as the record keeps it: one line, at most 500 characters, nothing that a terminal obeys.
pub(super) fn plain(text: &str) -> String {
    let line = text.chars().map(|c| match c {
        c if c.is_whitespace() => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    });
    line.take(500).collect()
}
