//! Listings that concurrent observers of one target share.
//!
//! Owns the single flight: while one observer lists a target the others wait, and take the same
//! listing if it began after their own last write. A mass departure then costs a target a few
//! listings instead of one for each account. Keeps nothing longer than a few seconds after its end, however
//! long it took.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::connectors::{Credential, Guarded, Listing};
use crate::domain::id::ConnectorName;
use crate::domain::outcome::Failure;
use crate::domain::time::{Clock, Timestamp};

/// A listing that ended longer ago than this is not shared any more.
const SHARED_SECONDS: i64 = 5;

/// The last listing of one target: when it began and ended, and what it showed.
type Last = Option<(Timestamp, Timestamp, Arc<Listing>)>;

/// One slot for each target.
#[derive(Debug, Default)]
pub(super) struct Listings {
    slots: Mutex<HashMap<ConnectorName, Arc<tokio::sync::Mutex<Last>>>>,
}

impl Listings {
    /// A listing that began after `not_before`, with its beginning.
    ///
    /// # Errors
    /// When the target could not be listed.
    pub(super) async fn fresh(
        &self,
        connector: &Guarded,
        verifier: &Credential,
        not_before: Timestamp,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Timestamp, Arc<Listing>), Failure> {
        let slot = self
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(connector.name().clone())
            .or_default()
            .clone();
        // Held across the call on purpose: who waits here wants the answer of that very call.
        let mut last = slot.lock().await;
        if let Some((began, ended, listing)) = last.as_ref() {
            let age = clock.now().duration_since(*ended).as_secs();
            if *began >= not_before && age <= SHARED_SECONDS {
                return Ok((*began, listing.clone()));
            }
        }
        let began = clock.now();
        let listing = Arc::new(connector.list(verifier).await?);
        *last = Some((began, clock.now(), listing.clone()));
        Ok((began, listing))
    }
}
