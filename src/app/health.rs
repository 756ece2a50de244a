//! Whether the parts of a worker do their work, in the console's terms.
//!
//! Owns the translation from the figures that engine, intake and relay keep to checks. Liveness asks
//! only whether the loop turns: a dead database makes a process not ready, and restarting it would
//! not help. Repairs nothing.

use std::sync::Arc;

use async_trait::async_trait;

use super::Parts;
use crate::console::{self, Check, StorePing};
use crate::domain::time::Clock;
use crate::engine::Pulse;
use crate::intake;
use crate::publish::Delivered;

/// A loop that has not turned for this long is stuck.
const STUCK_SECONDS: u64 = 60;

/// The engine's loop turns.
#[derive(Debug)]
struct Turns {
    pulse: Arc<Pulse>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Check for Turns {
    fn part(&self) -> &'static str {
        "engine"
    }

    async fn check(&self) -> Result<(), String> {
        match self.pulse.turn_age_seconds(self.clock.now()) {
            // Not begun yet: the start itself turns it, or ends the process when it fails.
            None => Ok(()),
            Some(age) => within(age, STUCK_SECONDS, "its loop last turned"),
        }
    }
}

/// The store has confirmed the worker lately, so that it may write.
#[derive(Debug)]
struct Confirmed {
    pulse: Arc<Pulse>,
    clock: Arc<dyn Clock>,
    lease_seconds: u64,
}

#[async_trait]
impl Check for Confirmed {
    fn part(&self) -> &'static str {
        "engine"
    }

    async fn check(&self) -> Result<(), String> {
        if let Some(apart) = self.pulse.clock_apart_milliseconds() {
            return Err(format!(
                "CB-ENGINE-13: its clock and the database's are {apart} ms apart"
            ));
        }
        match self.pulse.age_seconds(self.clock.now()) {
            None => Err("has not begun".to_owned()),
            Some(age) => within(age, self.lease_seconds, "the store last confirmed it"),
        }
    }
}

/// Messages can be taken now.
#[derive(Debug)]
struct Reads {
    health: Arc<intake::Health>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Check for Reads {
    fn part(&self) -> &'static str {
        "intake"
    }

    async fn check(&self) -> Result<(), String> {
        self.health.ready(self.clock.now())
    }
}

/// Status events go out.
#[derive(Debug)]
struct Publishes(Arc<Delivered>);

#[async_trait]
impl Check for Publishes {
    fn part(&self) -> &'static str {
        "publish"
    }

    async fn check(&self) -> Result<(), String> {
        self.0.trouble().map_or(Ok(()), Err)
    }
}

fn within(age: u64, bound: u64, what: &str) -> Result<(), String> {
    if age <= bound {
        return Ok(());
    }
    Err(format!("{what} {age} s ago, expected within {bound} s"))
}

/// What the console asks.
pub(super) fn checks(
    parts: &Parts,
    pulse: &Arc<Pulse>,
    lease_seconds: u64,
    intake: Option<Arc<intake::Health>>,
    publish: Option<Arc<Delivered>>,
) -> console::Parts {
    let clock = &parts.clock;
    let mut ready: Vec<Arc<dyn Check>> = vec![
        Arc::new(StorePing(parts.store.clone())),
        Arc::new(Confirmed {
            pulse: pulse.clone(),
            clock: clock.clone(),
            lease_seconds,
        }),
    ];
    if let Some(health) = intake {
        ready.push(Arc::new(Reads {
            health,
            clock: clock.clone(),
        }));
    }
    // A topic that is missing keeps status events back, and nobody's access: no reason to take the
    // console and its worker away.
    let beside = publish.map(|delivered| Arc::new(Publishes(delivered)) as Arc<dyn Check>);
    console::Parts {
        live: vec![Arc::new(Turns {
            pulse: pulse.clone(),
            clock: clock.clone(),
        })],
        ready,
        beside: beside.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_what_is_too_old_is_told_with_its_age() {
        assert_eq!(within(10, 10, "seen"), Ok(()));
        let told = within(11, 10, "seen");
        assert_eq!(told, Err("seen 11 s ago, expected within 10 s".to_owned()));
    }
}
