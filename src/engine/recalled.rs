//! What the inventory knew of targets that do not answer.
//!
//! Owns the inventories that this worker has just read for the people who take over: when a target is away
//! in a mass departure, thousands ask for the same one. It is told with its age, so that it is some
//! seconds old does no harm; what a search is held against is read anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::connectors::Guarded;
use crate::domain::access::Account;
use crate::domain::id::ConnectorName;
use crate::domain::roster::LastSeen;
use crate::domain::time::Timestamp;
use crate::store::Inventory;

use super::Engine;

/// Longer ago than this, it is read again.
const KEPT_SECONDS: i64 = 30;

/// One target's, when it was read.
#[derive(Debug)]
pub(super) struct Known {
    read: Timestamp,
    /// When the last complete listing was begun.
    pub(super) whole_at: Option<Timestamp>,
    pub(super) accounts: LastSeen,
}

impl Known {
    fn is_old(&self, now: Timestamp) -> bool {
        now.duration_since(self.read).as_secs() > KEPT_SECONDS
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Arc<Known>>>>;

/// One slot for each target that was asked for.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    slots: Mutex<HashMap<ConnectorName, Slot>>,
}

impl Recalled {
    /// The inventory of this target; `None` where there is none, or none can be read.
    pub(super) async fn inventory(&self, engine: &Engine, of: &Guarded) -> Option<Arc<Known>> {
        let slot = self.slot(of.name());
        // Held while it is read: who waits here wants just that.
        let mut kept = slot.lock().await;
        let read = engine.clock.now();
        if let Some(known) = kept.as_ref().filter(|known| !known.is_old(read)) {
            return Some(known.clone());
        }
        let inventory = engine.store.inventory(of.name()).await.ok()??;
        let whole_at = inventory.whole_at;
        let rule = of.manifest().correlation.clone();
        let known = Arc::new(Known {
            read,
            whole_at,
            accounts: LastSeen::new(rule, last_seen(inventory)),
        });
        *kept = Some(known.clone());
        Some(known)
    }

    /// Lets go of what is read again before it is used.
    pub(super) fn forget_old(&self, now: Timestamp) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| match slot.try_lock() {
            Ok(kept) => kept.as_ref().is_some_and(|known| !known.is_old(now)),
            // Being read.
            Err(_) => true,
        });
    }

    fn slot(&self, of: &ConnectorName) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(of.clone()).or_default().clone()
    }
}

/// Each account with when it was seen.
pub(super) fn last_seen(inventory: Inventory) -> Vec<(Account, Timestamp)> {
    let known = inventory.accounts.into_iter();
    known.map(|known| (known.account, known.seen)).collect()
}
