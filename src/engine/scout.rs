//! The scout: looks for work beside the loop that drives it.
//!
//! Owns the round of wishes, events and due runs, and when to make it: when the store wakes it, at
//! every poll, and when full hands are half free again. It runs on its own, so that a round trip of
//! its never keeps a run from going on. Drives nothing.

use std::sync::Arc;
use std::time::Duration;

use super::crew::Hands;
use super::worker::warned;
use super::{Engine, EngineError};

/// One worker's scout.
pub(super) struct Scout {
    engine: Arc<Engine>,
    hands: Hands,
}

impl Scout {
    pub(super) fn new(engine: Arc<Engine>, hands: Hands) -> Self {
        Self { engine, hands }
    }

    /// Looks until the worker drains. A look that has begun is ended, so that what it leased is known.
    pub(super) async fn run(self) {
        let poll = Duration::from_millis(self.engine.settings.poll_milliseconds);
        loop {
            let full = self.look().await;
            tokio::select! {
                biased;
                () = self.hands.crew.drained() => return,
                () = self.hands.crew.eased(), if full => {}
                // Full hands still carry out wishes.
                () = self.engine.store.woken(poll) => {}
            }
        }
    }

    /// Looks for work until there is none; true if the hands were full before that.
    async fn look(&self) -> bool {
        if warned(self.engine.obey().await).is_none() {
            // The store is away: the next poll is soon enough.
            return false;
        }
        loop {
            let keep = self.hands.crew.keep();
            if keep.at_most == 0 {
                return true;
            }
            let Some(admitted) = warned(self.engine.admit(&keep).await) else {
                return false;
            };
            self.hands.take(admitted.kept);
            let keep = self.hands.crew.keep();
            let now = self.engine.clock.now();
            let claimed = self.engine.store.claim(now, &keep).await;
            let Some(claimed) = warned(claimed.map_err(EngineError::from)) else {
                return false;
            };
            let found = claimed.len();
            self.hands.take(claimed);
            if admitted.events == 0 && found == 0 {
                return false;
            }
        }
    }
}
