//! Listings that everybody shares who looks at one target in one moment.
//!
//! Owns the single flight: while one looker lists a target the others wait, and take the same listing if
//! it began after what they want to see. A mass departure then costs a target a few listings instead of
//! one for each leaver. Keeps nothing longer than a few seconds after its end, however long it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, OnceCell};

use super::{Credential, Guarded};
use crate::connectors::contract::gap_of;
use crate::connectors::manifest::Expect;
use crate::domain::access::Account;
use crate::domain::outcome::Failure;
use crate::domain::roster::{LastSeen, Roster};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Completeness;

/// A listing that ended longer ago than this is not shared any more.
const SHARED_SECONDS: i64 = 5;

/// What a target showed a moment ago, for searches by its manifest's correlation rule.
#[derive(Debug)]
pub struct Shown {
    /// When the listing began: nothing that happened later need be in it.
    pub began: Timestamp,
    ended: Timestamp,
    /// The accounts.
    pub roster: Roster,
    /// Whether they are all, as the listing itself showed.
    pub completeness: Completeness,
    /// Age of the data in seconds where the target serves a copy.
    pub data_age_seconds: u64,
    /// How, for an auditor: `GET /Users, 3 pages`.
    pub method: String,
    lacks: OnceCell<LastSeen>,
}

impl Shown {
    /// As [`Listing::gap`](crate::connectors::Listing::gap).
    pub fn gap(&self, completeness: Completeness, expect: &Expect) -> Option<String> {
        gap_of(completeness, expect, self.roster.accounts().len())
    }

    /// Accounts that were `known` and that it does not show. Asked for once, by the first who wants them.
    ///
    /// # Errors
    /// When what was known cannot be read.
    pub async fn lacks<E>(
        &self,
        connector: &Guarded,
        known: impl Future<Output = Result<Vec<(Account, Timestamp)>, E>>,
    ) -> Result<&LastSeen, E> {
        let lacks = self.lacks.get_or_try_init(|| async {
            let mut known = known.await?;
            known.retain(|(account, _)| self.roster.get(&account.id).is_none());
            Ok(LastSeen::new(
                connector.manifest().correlation.clone(),
                known,
            ))
        });
        lacks.await
    }
}

/// The last listing of one target.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    last: Mutex<Last>,
    /// Odd while one is under way.
    flights: AtomicU64,
}

#[derive(Debug, Default)]
struct Last {
    shown: Option<Arc<Shown>>,
    /// The flight that came to nothing, and why.
    failed: Option<(u64, Failure)>,
}

impl Guarded {
    /// All accounts, as listed not before this moment; by somebody else, where that was seconds ago.
    ///
    /// # Errors
    /// When the target could not be listed. Who waited for a listing that failed does not try it again.
    pub async fn shown(
        &self,
        verifier: &Credential,
        not_before: Timestamp,
    ) -> Result<Arc<Shown>, Failure> {
        self.shared(verifier, |began| began >= not_before).await
    }

    /// The same of what was written at this moment: a listing that began in the very same one may have been
    /// before it.
    ///
    /// # Errors
    /// As [`Self::shown`].
    pub async fn shown_after(
        &self,
        verifier: &Credential,
        written: Timestamp,
    ) -> Result<Arc<Shown>, Failure> {
        self.shared(verifier, |began| began > written).await
    }

    async fn shared(
        &self,
        verifier: &Credential,
        shows: impl Fn(Timestamp) -> bool,
    ) -> Result<Arc<Shown>, Failure> {
        let sharing = &self.sharing;
        let met = sharing.flights.load(Ordering::Acquire);
        // Held across the call on purpose: who waits here wants the answer of that very call.
        let mut last = sharing.last.lock().await;
        if let Some(shown) = &last.shown
            && shows(shown.began)
            && !shown.is_old(self.clock.now())
        {
            self.mandate.check(self.clock.now(), true)?;
            return Ok(shown.clone());
        }
        match &last.failed {
            Some((flight, failure)) if *flight == met => return Err(failure.clone()),
            Some(_) | None => {}
        }
        let flight = (sharing.flights.load(Ordering::Acquire) + 1) | 1;
        sharing.flights.store(flight, Ordering::Release);
        let listed = self.list_now(verifier).await;
        sharing.flights.store(flight + 1, Ordering::Release);
        *last = Last {
            shown: listed.as_ref().ok().cloned(),
            failed: listed.as_ref().err().map(|why| (flight, why.clone())),
        };
        listed
    }

    async fn list_now(&self, verifier: &Credential) -> Result<Arc<Shown>, Failure> {
        let began = self.clock.now();
        let listing = self.list(verifier).await?;
        let rule = self.manifest.correlation.clone();
        Ok(Arc::new(Shown {
            began,
            ended: self.clock.now(),
            roster: Roster::new(rule, listing.accounts),
            completeness: listing.completeness,
            data_age_seconds: listing.data_age_seconds,
            method: listing.method,
            lacks: OnceCell::new(),
        }))
    }

    /// Lets go of a listing that nobody may take any more: it may be as large as the target.
    pub fn forget_old(&self) {
        if let Ok(mut last) = self.sharing.last.try_lock() {
            let now = self.clock.now();
            last.shown = last.shown.take().filter(|shown| !shown.is_old(now));
        }
    }
}

impl Shown {
    fn is_old(&self, now: Timestamp) -> bool {
        now.duration_since(self.ended).as_secs() > SHARED_SECONDS
    }
}

#[cfg(test)]
mod tests;
