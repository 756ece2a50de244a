//! The strands of one process: which writer's chain the next transaction goes on with.
//!
//! Owns the tips that no transaction has in hand. A transaction takes one, and gives it back longer
//! when it has committed. If it fails, or nobody knows whether it did, its strand ends there and the
//! next transaction begins another: a strand is never written twice at one place.

use std::sync::{Mutex, PoisonError};

use crate::domain::audit::Tip;

#[derive(Debug)]
pub(in crate::store) struct Strands {
    idle: Mutex<Vec<Tip>>,
    on: bool,
}

impl Strands {
    /// `on`: false for measurements of what the log costs, and for nothing else.
    pub(in crate::store) fn new(on: bool) -> Self {
        Self {
            idle: Mutex::default(),
            on,
        }
    }

    pub(in crate::store) fn on(&self) -> bool {
        self.on
    }

    /// A strand to go on with; `None`: begin a new one.
    pub(in crate::store) fn take(&self) -> Option<Tip> {
        self.lock().pop()
    }

    /// After the commit.
    pub(in crate::store) fn give(&self, tip: Option<Tip>) {
        self.lock().extend(tip);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Tip>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
