//! When an operator is the leaver: their own sessions, tokens and claims end as well.
//!
//! Owns the look for users among the subjects of cases that have taken effect, and what ends then. A
//! look that fails is made again; the store is asked for what has taken effect since the last one.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::users::Desk;
use super::{AppError, Parts};
use crate::domain::command::{Command, Wish};
use crate::domain::id::CommandId;
use crate::domain::task::TaskState;
use crate::domain::time::Timestamp;
use crate::domain::user::User;
use crate::store::TaskFilter;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(5);
/// How far back the first look goes, in seconds: whoever left while no console ran.
const FIRST_SECONDS: i64 = 30 * 86_400;
/// Looks overlap, because cases are written by workers whose clocks differ, in seconds.
const OVERLAP_SECONDS: i64 = 600;

/// Looks until `stop`.
pub(super) async fn farewell(parts: Parts, stop: CancellationToken) {
    let mut since = back(parts.clock.now(), FIRST_SECONDS);
    loop {
        let now = parts.clock.now();
        match look(&parts, since, now).await {
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

fn back(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_sub(jiff::SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MIN)
}

/// Ends the access of every user who is among the leavers.
async fn look(parts: &Parts, since: Timestamp, now: Timestamp) -> Result<(), AppError> {
    let leavers = parts.store.leavers(since, now).await?;
    if leavers.is_empty() {
        return Ok(());
    }
    let users = parts.store.users().await?;
    let gone = |user: &&User| {
        user.disabled.is_none() && leavers.iter().any(|subject| user.is(subject))
    };
    for user in users.iter().filter(gone) {
        let (clock, chance) = (parts.clock.clone(), parts.chance.clone());
        let desk = Desk::new(parts.store.clone(), (clock, chance), "clawback".to_owned());
        desk.disable(&user.name, true).await?;
        tracing::info!(user = user.name, "an operator has left; their access has ended");
        give_back(parts, user, now).await?;
    }
    Ok(())
}

/// What they had claimed goes back to the queue, by the door by which people give tasks back.
async fn give_back(parts: &Parts, user: &User, now: Timestamp) -> Result<(), AppError> {
    let filter = TaskFilter {
        limit: u32::MAX,
        ..TaskFilter::default()
    };
    for task in parts.store.tasks(&filter).await? {
        let held = match &task.state {
            TaskState::Claimed { by, .. } => *by == user.name,
            TaskState::Checking(claim) => claim.by == user.name,
            TaskState::Open | TaskState::Closed { .. } => false,
        };
        if !held {
            continue;
        }
        let command = Command {
            id: CommandId(parts.chance.id()),
            by: "clawback".to_owned(),
            at: now,
            wish: Wish::RejectTask {
                task: task.id,
                reason: format!("{} has left", user.name),
            },
        };
        parts.store.wish(&command).await?;
    }
    Ok(())
}
