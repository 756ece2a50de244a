//! How much a worker has in hand, in all and for each connector.
//!
//! Owns the counts that limit claims: a connector that hangs may hold its share of a worker and no
//! more, so it never delays removals in other targets. Does not hold the runs themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::connectors::Registry;
use crate::domain::id::{ConnectorName, WorkerId};
use crate::store::{Claimed, Keep};

/// The counts of one worker.
#[derive(Debug)]
pub struct Crew {
    worker: WorkerId,
    at_once: u32,
    shares: Shares,
    draining: CancellationToken,
    /// Nothing is taken on for a while: the worker's clock is wrong.
    off: watch::Sender<bool>,
    counts: Mutex<Counts>,
    /// Targets for which nothing is taken on.
    spared: Mutex<Spared>,
    /// Rung when the hands were fuller and are half free again.
    eased: Notify,
}

/// How many of a worker's runs may talk to one connector.
#[derive(Debug, Clone, Default)]
pub struct Shares {
    /// Of connectors that are not named below.
    pub most: u32,
    /// Of these.
    pub of: BTreeMap<ConnectorName, u32>,
}

impl Shares {
    /// Twice as many runs as the target may have calls at once: one under way, one that settles. More
    /// would only wait, and keep others from being taken on.
    pub fn new(registry: &Registry, most: u32) -> Self {
        let shares = registry.iter().map(|connector| {
            let at_once = connector.manifest().limits.concurrency;
            (
                connector.name().clone(),
                at_once.saturating_mul(2).min(most),
            )
        });
        Self {
            most,
            of: shares.collect(),
        }
    }
}

/// Where runs go that the store has leased to a worker.
#[derive(Debug, Clone)]
pub(super) struct Hands {
    /// Its counts.
    pub(super) crew: Arc<Crew>,
    /// To the loop that drives them.
    pub(super) kept: mpsc::UnboundedSender<Vec<(Claimed, Place)>>,
}

impl Hands {
    /// Takes leased runs on. Each has its place from this moment, so that no later claim takes it.
    pub(super) fn take(&self, claimed: Vec<Claimed>) {
        if claimed.is_empty() {
            return;
        }
        let placed = claimed.into_iter().map(|claimed| {
            let place = self.crew.take(claimed.run.connector.as_ref());
            (claimed, place)
        });
        // The receiver is gone only when the worker stops; leases are then given back.
        let _ = self.kept.send(placed.collect());
    }
}

#[derive(Debug, Default)]
struct Spared {
    connectors: BTreeSet<ConnectorName>,
    all: bool,
}

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    by_connector: HashMap<ConnectorName, u32>,
}

/// One run in hand; gives its place back when dropped.
#[derive(Debug)]
pub struct Place {
    crew: Arc<Crew>,
    connector: Option<ConnectorName>,
}

impl Crew {
    /// A crew with nothing in hand.
    pub fn new(worker: WorkerId, at_once: u32, shares: Shares) -> Arc<Self> {
        Arc::new(Self {
            worker,
            at_once,
            shares,
            draining: CancellationToken::new(),
            off: watch::Sender::new(false),
            counts: Mutex::default(),
            spared: Mutex::default(),
            eased: Notify::new(),
        })
    }

    /// Whose crew it is.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// From here on nothing is taken on, and runs in hand stop after the step that they are in.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// True once the worker drains.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Takes nothing on while `off`; runs in hand go on.
    pub(super) fn hold_off(&self, off: bool) {
        self.off.send_replace(off);
    }

    /// True while nothing is to be begun.
    pub(super) fn holds_off(&self) -> bool {
        *self.off.borrow()
    }

    /// Waits until something may be begun.
    pub(super) async fn may_begin(&self) {
        // The sender is this crew's own.
        let _ = self.off.subscribe().wait_for(|off| !off).await;
    }

    /// Waits until the worker drains.
    pub(super) async fn drained(&self) {
        self.draining.cancelled().await;
    }

    /// What the worker can still take on.
    pub fn keep(&self) -> Keep {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let free = if self.is_draining() || self.holds_off() {
            0
        } else {
            self.at_once.saturating_sub(counts.all)
        };
        let mut room = self.shares.of.clone();
        for (connector, held) in &counts.by_connector {
            let room = room.entry(connector.clone()).or_insert(self.shares.most);
            *room = room.saturating_sub(*held);
        }
        let spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
        for connector in &spared.connectors {
            room.insert(connector.clone(), 0);
        }
        if spared.all {
            for room in room.values_mut() {
                *room = 0;
            }
        }
        Keep {
            worker: self.worker,
            at_most: free,
            share: if spared.all { 0 } else { self.shares.most },
            room,
        }
    }

    /// From here on nothing is taken on for these targets, or for any; what is due there stays so.
    pub(super) fn spare(&self, connectors: BTreeSet<ConnectorName>, all: bool) {
        let mut spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
        *spared = Spared { connectors, all };
    }

    /// Takes a place for a run that the store has already leased to this worker.
    pub fn take(self: &Arc<Self>, connector: Option<&ConnectorName>) -> Place {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all += 1;
        if let Some(connector) = connector {
            match counts.by_connector.get_mut(connector) {
                Some(count) => *count += 1,
                None => {
                    counts.by_connector.insert(connector.clone(), 1);
                }
            }
        }
        Place {
            crew: self.clone(),
            connector: connector.cloned(),
        }
    }

    /// Waits until the hands are half free, if they are not.
    pub(super) async fn eased(&self) {
        while self.in_hand() > self.at_once / 2 {
            self.eased.notified().await;
        }
    }

    /// Runs in hand.
    pub fn in_hand(&self) -> u32 {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .all
    }
}

impl Place {
    /// Whose place it is.
    pub(super) fn worker(&self) -> WorkerId {
        self.crew.worker
    }

    /// Waits until the worker drains.
    pub(super) async fn drained(&self) {
        self.crew.drained().await;
    }

    /// True once the worker drains: the run's next step is for another.
    pub fn is_draining(&self) -> bool {
        self.crew.is_draining()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self
            .crew
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if counts.all == self.crew.at_once / 2 {
            self.crew.eased.notify_one();
        }
        if let Some(connector) = &self.connector
            && let Some(count) = counts.by_connector.get_mut(connector)
        {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b4_a_connector_holds_no_more_than_its_share() {
        let (hanging, narrow) = ("hanging".into(), ConnectorName::from("narrow"));
        let shares = Shares {
            most: 2,
            of: BTreeMap::from([(narrow.clone(), 1)]),
        };
        let crew = Crew::new(WorkerId(uuid::Uuid::nil()), 10, shares);
        let held: Vec<_> = (0..2).map(|_| crew.take(Some(&hanging))).collect();
        let keep = crew.keep();
        assert_eq!((keep.room_for(&hanging), keep.room_for(&narrow)), (0, 1));
        assert_eq!((keep.at_most, keep.room_for(&"other".into())), (8, 2));
        drop(held);
        assert_eq!(crew.keep().room_for(&hanging), 2);
        crew.spare(BTreeSet::from([narrow.clone()]), false);
        let keep = crew.keep();
        assert_eq!((keep.room_for(&hanging), keep.room_for(&narrow)), (2, 0));
        crew.spare(BTreeSet::new(), true);
        let keep = crew.keep();
        assert_eq!((keep.room_for(&hanging), keep.room_for(&narrow)), (0, 0));
        assert_eq!((keep.room_for(&"other".into()), keep.at_most), (0, 10));
        crew.hold_off(true);
        assert_eq!(crew.keep().at_most, 0);
        crew.hold_off(false);
        crew.spare(BTreeSet::new(), false);
        assert_eq!(crew.in_hand(), 0);
    }
}
