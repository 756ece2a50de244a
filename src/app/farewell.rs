//! When an operator is the leaver: their own sessions, tokens and claims end as well.
//!
//! Owns the look for users among the subjects of cases that have taken effect, and what ends then. A
//! look that fails is made again; the store is asked for what has taken effect since the last one.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::users::Desk;
use super::{AppError, Parts};
use crate::domain::command::{Command, Wish};
use crate::domain::id::CommandId;
use crate::domain::task::TaskState;
use crate::domain::time::{Chance, Clock, Timestamp};
use crate::domain::user::User;
use crate::store::{Store, TaskFilter};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(5);
/// How far back the first look goes, in seconds: whoever left while no process ran.
const FIRST_SECONDS: i64 = 30 * 86_400;
/// Looks overlap, because cases are written by workers whose clocks differ, in seconds.
const OVERLAP_SECONDS: i64 = 600;
/// In whose name access ends.
const MACHINE: &str = "clawback";

/// What a look needs.
#[derive(Debug)]
pub(super) struct Farewell {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
}

fn back(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_sub(jiff::SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MIN)
}

impl Farewell {
    pub(super) fn of(parts: &Parts) -> Self {
        Self {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            chance: parts.chance.clone(),
        }
    }

    /// Looks until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut since = back(self.clock.now(), FIRST_SECONDS);
        loop {
            let now = self.clock.now();
            match self.look(since, now).await {
                Ok(()) => since = back(now, OVERLAP_SECONDS),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "whether an operator has left is looked at again"
                ),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Ends the access of every user who is among the leavers.
    async fn look(&self, since: Timestamp, now: Timestamp) -> Result<(), AppError> {
        let leavers = self.store.leavers(since, now).await?;
        if leavers.is_empty() {
            return Ok(());
        }
        let users = self.store.users().await?;
        let gone = |user: &&User| {
            user.disabled.is_none() && leavers.iter().any(|subject| user.is(subject))
        };
        for user in users.iter().filter(gone) {
            // Claims first: were it to fail here, the next look would find the user again.
            self.give_back(user, now).await?;
            let parts = (self.clock.clone(), self.chance.clone());
            let desk = Desk::new(self.store.clone(), parts, MACHINE.to_owned());
            desk.disable(&user.name, true).await?;
            tracing::info!(
                user = user.name,
                "an operator has left; their access has ended"
            );
        }
        Ok(())
    }

    /// What they had claimed goes back to the queue, by the door by which people give tasks back.
    async fn give_back(&self, user: &User, now: Timestamp) -> Result<(), AppError> {
        let filter = TaskFilter {
            limit: u32::MAX,
            ..TaskFilter::default()
        };
        for task in self.store.tasks(&filter).await? {
            let held = match &task.state {
                TaskState::Claimed { by, .. } => *by == user.name,
                TaskState::Checking(claim) => claim.by == user.name,
                // What they attested was said while they were here; the second person judges it.
                TaskState::Open
                | TaskState::SentBack { .. }
                | TaskState::AwaitingSecondPerson(_)
                | TaskState::Closed { .. } => false,
            };
            if !held {
                continue;
            }
            let command = Command {
                id: CommandId(self.chance.id()),
                by: MACHINE.to_owned(),
                at: now,
                wish: Wish::RejectTask {
                    task: task.id,
                    reason: format!("{} has left", user.name),
                },
            };
            self.store.wish(&command).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::*;
    use crate::app::users::NewUser;
    use crate::app::wall;
    use crate::domain::command::Answer;
    use crate::domain::id::SessionId;
    use crate::domain::run::Run;
    use crate::domain::settlement::Obedience;
    use crate::domain::task::FallbackTask;
    use crate::domain::user::{Role, SecretDigest, Session};
    use crate::store::given;
    use crate::store::{self, ActFilter};

    async fn a_store() -> Arc<dyn Store> {
        let settings = store::Settings {
            url: "sqlite::memory:".to_owned(),
            ..store::Settings::default()
        };
        let store = store::open(&settings).await.expect("opened");
        store.migrate().await.expect("migrated");
        store
    }

    async fn user(desk: &Desk, store: &Arc<dyn Store>, name: &str, subject: &str) {
        let new = NewUser {
            name: name.to_owned(),
            display_name: None,
            roles: BTreeSet::from([Role::Operator]),
            subject: Some(subject.to_owned()),
            password: None,
        };
        desk.add(new).await.expect("added");
        let made = desk.token(name, "t".to_owned(), &BTreeSet::new(), 30).await;
        made.expect("a token");
        let session = Session {
            digest: SecretDigest::of(name),
            id: SessionId(uuid::Uuid::nil()),
            user: name.to_owned(),
            begun: given::at(0),
            issued: given::at(0),
            seen: given::at(0),
            ends: given::at(1000),
            address: String::new(),
        };
        store.begin_session(&session, None).await.expect("begun");
    }

    /// H1: when an operator is the leaver, their own sessions, tokens and claims end as well.
    #[tokio::test]
    async fn h1_an_operator_who_leaves_loses_sessions_tokens_and_claims() {
        let store = a_store().await;
        let farewell = Farewell {
            store: store.clone(),
            clock: wall::clock(),
            chance: wall::chance(),
        };
        let parts = (farewell.clock.clone(), farewell.chance.clone());
        let desk = Desk::new(store.clone(), parts, "test".to_owned());
        // Given two operators; one of them is the person of the case, and both have claimed a task.
        user(&desk, &store, "ada", "acme/person-c").await;
        user(&desk, &store, "bo", "acme/person-z").await;
        for (name, by) in [("c", "ada"), ("d", "bo")] {
            let removal = given::a_removal(&store, name).await;
            let mut handed = given::handed_over(&removal.run);
            let task = handed.task.as_mut().expect("a task");
            task.state = TaskState::Claimed {
                by: by.to_owned(),
                at: given::at(0),
            };
            let batch = [given::fenced(&removal, handed)];
            let settled = store.settle(given::at(0), &given::keep(1, 0), &batch).await;
            assert_eq!(settled.expect("settled").accepted, [true]);
        }

        farewell
            .look(given::at(0), given::at(5))
            .await
            .expect("looked");

        // Then one is out and the other works on.
        let ada = store.user("ada").await.expect("read").expect("there");
        assert!(ada.disabled.is_some());
        assert_eq!(store.sessions("ada").await.expect("read"), []);
        let tokens = store.tokens(Some("ada")).await.expect("read");
        assert!(tokens.iter().all(|token| token.revoked.is_some()));
        let bo = store.user("bo").await.expect("read").expect("there");
        assert_eq!(bo.disabled, None);
        assert_eq!(store.sessions("bo").await.expect("read").len(), 1);
        // And one claim goes back to the queue, as a wish that the engine carries out.
        let wished = Mutex::new(Vec::new());
        let answer = |command: &Command, task: Option<&FallbackTask>, _: Option<&Run>| {
            wished
                .lock()
                .expect("free")
                .push((command.wish.clone(), task.map(|task| task.state.clone())));
            Obedience {
                command: command.id,
                answer: Answer {
                    accepted: true,
                    code: None,
                    message: String::new(),
                },
                task: None,
                run: None,
                rotation: None,
                survey: None,
                drill: None,
                puts_off: None,
                pause: None,
            }
        };
        let obeyed = store.obey(10, given::at(6), &answer).await;
        assert_eq!(obeyed.expect("obeyed"), 1);
        let wished = wished.into_inner().expect("free");
        let (Wish::RejectTask { reason, .. }, Some(TaskState::Claimed { by, .. })) = &wished[0]
        else {
            panic!("{wished:?}");
        };
        assert_eq!((reason.as_str(), by.as_str()), ("ada has left", "ada"));
        let acts = store.acts(&ActFilter::default()).await.expect("read");
        assert_eq!(acts[0].1.what, "disable_user");
        assert_eq!(
            (acts[0].1.by.as_str(), acts[0].1.about.as_str()),
            (MACHINE, "ada")
        );
    }
}
