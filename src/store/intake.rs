//! What became of the events of a batch, told from which keys were new.
//!
//! Owns the receipts only; the writing is each database's own. The first of several events with one
//! key in a batch is the one recorded, the others are judged against it.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::domain::event::RecordedEvent;

use super::Receipt;

/// The receipt of each event, given the keys that were new and the digests of the others.
pub(super) fn receipts(
    events: &[RecordedEvent],
    new: &HashSet<Uuid>,
    mut digests: HashMap<Uuid, String>,
) -> Vec<Receipt> {
    let mut out = Vec::with_capacity(events.len());
    for event in events {
        let key = event.event.key().0;
        let receipt = match digests.get(&key) {
            Some(digest) if *digest == event.payload_digest => Receipt::Duplicate,
            Some(_) => Receipt::Conflict,
            None if new.contains(&key) => {
                digests.insert(key, event.payload_digest.clone());
                Receipt::New
            }
            None => Receipt::Conflict,
        };
        out.push(receipt);
    }
    out
}
