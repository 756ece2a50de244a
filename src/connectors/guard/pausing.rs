//! An operator's pause of one connector, and the changes that were let through before it.
//!
//! Owns the one place where both are known: a change is counted as under way in the same moment in which
//! the pause is looked at, so once a pause is set no change is let through that is not counted. Whoever
//! says that the pause binds asks first whether any is left. Ends nothing that was begun.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::judge::refused;
use crate::domain::approval::Signed;
use crate::domain::outcome::Failure;

/// The code of a change that was refused because an operator has paused.
pub const PAUSED: &str = "CB-GUARD-16";

/// Shared by a guard with those that replace it.
#[derive(Debug, Default)]
pub(super) struct Pausing {
    by: RwLock<Option<Signed>>,
    under_way: AtomicUsize,
}

/// A call that was let change something; it is over when this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Pausing>);

impl Pausing {
    pub(super) fn set(&self, by: Option<Signed>) {
        *self.by.write().unwrap_or_else(PoisonError::into_inner) = by;
    }

    /// Refuses what would change anything at the target while it is paused.
    pub(super) fn check(&self) -> Result<(), Failure> {
        free(
            self.by
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .as_ref(),
        )
    }

    /// Counts a change as under way, unless the target is paused.
    pub(super) fn begin(self: &Arc<Self>) -> Result<UnderWay, Failure> {
        // Held until it is counted: a pause is set before or after both.
        let by = self.by.read().unwrap_or_else(PoisonError::into_inner);
        free(by.as_ref())?;
        self.under_way.fetch_add(1, Ordering::SeqCst);
        Ok(UnderWay(self.clone()))
    }

    /// True while a call has not ended that was let change something.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) > 0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

fn free(by: Option<&Signed>) -> Result<(), Failure> {
    match by {
        None => Ok(()),
        Some(signed) => Err(refused(
            PAUSED,
            format!("{} has paused it: {}", signed.by, signed.reason),
        )),
    }
}

#[cfg(test)]
mod tests;
