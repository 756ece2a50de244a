//! Turns at hashing passwords: two at once, and a line of those who wait that has an end.
//!
//! Owns the bounds. Hashing takes 19 MiB and a moment, and anybody can ask for it: whoever finds the line
//! full is sent away at once. What may be decided within a turn is `sign_in`'s.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::password::PasswordError;

/// Passwords hashed at once.
const AT_ONCE: usize = 2;
/// How many may wait for that.
const WAITING: usize = 64;

/// Who hashes and who waits.
#[derive(Debug)]
pub(super) struct Turns {
    places: Arc<Semaphore>,
    hashing: Arc<Semaphore>,
}

/// Leave to hash, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _place: OwnedSemaphorePermit,
    _hashing: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Self {
        Self::new(AT_ONCE, WAITING)
    }
}

impl Turns {
    fn new(at_once: usize, waiting: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(at_once + waiting)),
            hashing: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// A turn, first come first served; `None` at once when too many wait already.
    pub(super) async fn take(&self) -> Option<Turn> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let hashing = Arc::clone(&self.hashing).acquire_owned().await.ok()?;
        Some(Turn {
            _place: place,
            _hashing: hashing,
        })
    }
}

impl Turn {
    /// Does this on a thread that may block, and comes back with the turn. The turn goes with the
    /// work: a browser that hangs up makes no room for more of it.
    pub(super) async fn spend<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Self), PasswordError> {
        tokio::task::spawn_blocking(move || (work(), self))
            .await
            .map_err(|_| PasswordError::Library)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn h1_the_line_for_a_turn_has_an_end() {
        let turns = Turns::new(1, 1);
        let first = turns.take().await.expect("nobody waits");
        let mut second = Box::pin(turns.take());
        assert!((&mut second).now_or_never().is_none(), "it waits");
        let third = turns.take().now_or_never().expect("told at once");
        assert!(third.is_none(), "the line is full");
        drop(first);
        assert!(second.await.is_some());
        assert!(turns.take().await.is_some(), "there is room again");
    }

    #[tokio::test]
    async fn h1_a_turn_lasts_as_long_as_its_work_also_when_nobody_waits_for_it() {
        let turns = Turns::new(1, 1);
        let turn = turns.take().await.expect("nobody waits");
        let (go, held) = std::sync::mpsc::channel::<()>();
        let mut work = Box::pin(turn.spend(move || held.recv()));
        assert!((&mut work).now_or_never().is_none(), "it has begun");
        drop(work);
        let mut next = Box::pin(turns.take());
        assert!((&mut next).now_or_never().is_none(), "it goes on");
        go.send(()).expect("it goes on");
        assert!(next.await.is_some());
    }
}
