//! The scout: looks for work beside the loop that drives it.
//!
//! Owns the round of wishes, events and due runs, and when to make it: when the store wakes it, at
//! every poll, and when full hands are half free again. It runs on its own, so that a round trip of
//! its never keeps a run from going on. Drives nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Interval, MissedTickBehavior};

use super::admit::EVENTS_AT_ONCE;
use super::crew::Hands;
use super::worker::{Pulse, warned};
use super::{Engine, EngineError};

/// A look for due runs that found none and took this long has walked through what waits at targets that
/// are left out. It costs the database as much at every poll, so the next one comes later.
const SLOW: Duration = Duration::from_millis(25);
/// Later by so many times what it took, but no more than [`LATEST`].
const RESTS: u32 = 10;
/// Nothing that falls due waits longer than this for such a look.
const LATEST: Duration = Duration::from_secs(5);

/// One worker's scout.
pub(super) struct Scout {
    engine: Arc<Engine>,
    hands: Hands,
    pulse: Arc<Pulse>,
    /// When to ask for due runs. What wakes the scout is news, and news bring their runs along; runs
    /// fall due by the clock, or because somebody else let go of them.
    polls: Interval,
}

/// How a look ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// There is no more.
    Done,
    /// The hands were full before that.
    Full,
    /// The store is away: the next poll is soon enough.
    Away,
}

impl Scout {
    pub(super) fn new(engine: Arc<Engine>, hands: Hands, pulse: Arc<Pulse>) -> Self {
        let poll = Duration::from_millis(engine.settings.poll_milliseconds);
        let mut polls = tokio::time::interval(poll);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            engine,
            hands,
            pulse,
            polls,
        }
    }

    /// Looks until the worker drains. A look that has begun is ended, so that what it leased is known.
    pub(super) async fn run(mut self) {
        let poll = self.polls.period();
        let mut claims = true;
        loop {
            let look = self.look(claims).await;
            self.pulse.look(self.engine.clock.now());
            claims = tokio::select! {
                biased;
                () = self.hands.crew.drained() => return,
                () = self.hands.crew.eased(), if look == Look::Full => true,
                _ = self.polls.tick() => true,
                // Full hands still carry out wishes.
                () = self.engine.store.woken(poll) => false,
            };
        }
    }

    /// Takes on what there is room for, and carries out wishes; while the crew is held off, pauses alone:
    /// by a wrong clock what another wish changes would be due at a wrong time.
    pub(super) async fn look(&mut self, claims: bool) -> Look {
        if self.hands.crew.holds_off() {
            if warned(self.engine.obey_pauses().await).is_some_and(|count| count > 0) {
                self.follow_pauses().await;
            }
            return Look::Away;
        }
        let look = self.take_on(claims).await;
        match warned(self.engine.obey().await) {
            Some(0) => look,
            // What a wish changed is due now, and what it paused is not to be begun.
            Some(_) => {
                self.follow_pauses().await;
                self.take_on(true).await
            }
            None => Look::Away,
        }
    }

    async fn follow_pauses(&self) {
        let worker = self.hands.crew.worker();
        let _ = warned(self.engine.follow_pauses(worker).await);
        self.engine.spare(&self.hands.crew);
    }

    /// Takes on events and, if asked to or at a poll, due runs.
    async fn take_on(&mut self, mut claims: bool) -> Look {
        loop {
            let keep = self.hands.crew.keep();
            if keep.at_most == 0 {
                // Hands that are held off are no fuller than before.
                let off = self.hands.crew.holds_off();
                return if off { Look::Away } else { Look::Full };
            }
            let Some(admitted) = warned(self.engine.admit(&keep).await) else {
                return Look::Away;
            };
            // A whole batch: there may be more. Fewer: what comes later rings again.
            let more = admitted.events >= EVENTS_AT_ONCE;
            self.hands.take(admitted.kept);
            let mut found = 0;
            if claims || self.polls.tick().now_or_never().is_some() {
                let keep = self.hands.crew.keep();
                let left_out = keep.leaves_out();
                let now = self.engine.clock.now();
                let claimed = self.engine.store.claim(now, &keep).await;
                let Some(claimed) = warned(claimed.map_err(EngineError::from)) else {
                    return Look::Away;
                };
                found = claimed.len();
                claims = found > 0;
                let took = now.duration_until(self.engine.clock.now()).unsigned_abs();
                if let Some(rest) = rest_after(took, found, left_out) {
                    self.polls.reset_after(rest);
                }
                self.hands.take(claimed);
            }
            if !more && found == 0 {
                return Look::Done;
            }
        }
    }
}

/// How long after a look for due runs the next one comes, if not at the next poll. A slow look that
/// leaves out nobody walks through nothing: the store is far away, or stood still.
fn rest_after(took: Duration, found: usize, left_out: bool) -> Option<Duration> {
    (found == 0 && took >= SLOW && left_out).then(|| (took * RESTS).min(LATEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b4_a_backlog_that_is_left_out_is_not_walked_through_at_every_poll() {
        let milliseconds = Duration::from_millis;
        let after = |took, found| rest_after(milliseconds(took), found, true);
        assert_eq!(after(3, 0), None);
        assert_eq!(after(120, 0), Some(milliseconds(1200)));
        assert_eq!(after(900, 0), Some(LATEST));
        // Where there is work, it is looked for at once, and where nothing is left out.
        assert_eq!(after(900, 7), None);
        assert_eq!(rest_after(milliseconds(900), 0, false), None);
    }
}
