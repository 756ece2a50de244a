//! When an operator is the leaver: their own sessions, tokens and claims end as well.
//!
//! Owns the look for users among the subjects of cases that have taken effect, and what ends then. A
//! look that fails is made again. Most looks ask the store for what has taken effect since the last one; one
//! a minute asks for a month, for a departure may be released, moved or told more of long after it was
//! opened, and a user added after it.

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
use crate::store::{Leaver, Store, TaskFilter};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(5);
/// How far back a wide look goes, in seconds.
const WIDE_SECONDS: i64 = 30 * 86_400;
/// So many seconds lie between two of them.
const WIDE_EVERY_SECONDS: i64 = 60;
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

/// How far looks have come.
#[derive(Debug, Default)]
struct Looked {
    last: Option<Timestamp>,
    wide: Option<Timestamp>,
}

impl Looked {
    /// From when on the next look asks.
    fn since(&self, now: Timestamp) -> Timestamp {
        let wide = self.wide.is_none_or(|last| {
            let apart = now.duration_since(last).as_secs();
            // A clock that went back makes it due, too.
            !(0..WIDE_EVERY_SECONDS).contains(&apart)
        });
        match self.last {
            Some(last) if !wide => back(last, OVERLAP_SECONDS),
            Some(_) | None => back(now, WIDE_SECONDS),
        }
    }

    /// A look from then on came to its end.
    fn note(&mut self, since: Timestamp, now: Timestamp) {
        if since <= back(now, WIDE_SECONDS) {
            self.wide = Some(now);
        }
        self.last = Some(now);
    }
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
        let mut looked = Looked::default();
        loop {
            let now = self.clock.now();
            let since = looked.since(now);
            // A store that hangs keeps no process from its end.
            let look = tokio::select! {
                look = self.look(since, now) => look,
                () = stop.cancelled() => return,
            };
            match look {
                Ok(()) => looked.note(since, now),
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
        // Who was let in again after a departure is back from it.
        let left = |user: &&User| {
            let from = |one: &Leaver| user.enabled.is_none_or(|again| again < one.since);
            leavers.iter().any(|one| user.is(&one.subject) && from(one))
        };
        let gone: Vec<_> = users.into_iter().filter(|user| left(&user)).collect();
        // Access first, each user's by itself: nothing else that fails keeps it.
        let mut failed = None;
        for user in gone.iter().filter(|user| user.disabled.is_none()) {
            let parts = (self.clock.clone(), self.chance.clone());
            let desk = Desk::new(self.store.clone(), parts, MACHINE.to_owned());
            match desk.disable(&user.name, true).await {
                Ok(_) => tracing::info!(
                    user = user.name,
                    "an operator has left; their access has ended"
                ),
                Err(error) => failed = Some(error),
            }
        }
        if !gone.is_empty() {
            self.give_back(&gone, now).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// What they had claimed goes back to the queue, by the door by which people give tasks back.
    async fn give_back(&self, gone: &[User], now: Timestamp) -> Result<(), AppError> {
        // What they attested was said while they were here; the second person judges it.
        let mut held = Vec::new();
        for state in ["claimed", "checking"] {
            let filter = TaskFilter {
                state: Some(state.to_owned()),
                limit: u32::MAX,
                ..TaskFilter::default()
            };
            held.extend(self.store.tasks(&filter).await?);
        }
        for task in held {
            let by = match &task.state {
                TaskState::Claimed { by, .. } => by,
                TaskState::Checking(claim) => &claim.by,
                TaskState::Open
                | TaskState::SentBack { .. }
                | TaskState::AwaitingSecondPerson(_)
                | TaskState::Closed { .. } => continue,
            };
            let Some(user) = gone.iter().find(|user| user.name == *by) else {
                continue;
            };
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

    /// Two operators, of whom ada is the person of the case, and who each have claimed a task.
    async fn two_at_work(desk: &Desk, store: &Arc<dyn Store>) {
        user(desk, store, "ada", "acme/person-c").await;
        user(desk, store, "bo", "acme/person-z").await;
        for (name, by) in [("c", "ada"), ("d", "bo")] {
            let removal = given::a_removal(store, name).await;
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
        two_at_work(&desk, &store).await;
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
        // Who is let in again is back, however often that departure is seen.
        desk.disable("ada", false).await.expect("enabled");
        farewell
            .look(given::at(0), given::at(5))
            .await
            .expect("looked");
        let ada = store.user("ada").await.expect("read").expect("there");
        assert_eq!(ada.disabled, None);
        assert_eq!(
            (acts[0].1.by.as_str(), acts[0].1.about.as_str()),
            (MACHINE, "ada")
        );
    }

    /// H1: a departure that is released or moved long after it was opened is seen within a minute.
    #[test]
    fn h1_looks_go_back_a_month_once_a_minute() {
        let mut looked = Looked::default();
        let mut wide = Vec::new();
        for second in (0..=150).step_by(5) {
            let now = given::at(100_000_000 + second);
            let since = looked.since(now);
            if since == back(now, WIDE_SECONDS) {
                wide.push(second);
            } else {
                assert!(since <= back(now, OVERLAP_SECONDS));
            }
            looked.note(since, now);
        }
        assert_eq!(wide, [0, 60, 120]);
    }
}
