//! The only room with SQL: everything durable behind one trait, PostgreSQL and SQLite behind it.
//!
//! Owns leases, fencing and transactions. Each method is one transaction; decisions inside one are
//! pure closures, so no transaction is ever held across a remote call. A store that is away is
//! back-pressure ([`StoreError::Unavailable`]), never the outcome of a run.

mod aside;
pub mod audit;
#[cfg(test)]
mod conformance;
mod contract;
mod departed;
mod desks;
mod docket;
mod drills;
mod error;
mod estate;
#[cfg(test)]
pub(crate) mod fixture;
mod intake;
mod letter;
mod paper;
mod parts;
mod people;
mod plan;
mod postgres;
mod refusal;
mod retention;
mod row;
mod schema;
mod settings;
mod shape;
mod sqlite;
#[cfg(test)]
mod tests;
mod users;

use std::sync::Arc;

// Where the conformance suite finds the domain, here and in the integration tests.
#[cfg(test)]
use crate::domain;

// Cases for the tests of who reads the store.
#[cfg(test)]
pub(crate) use conformance::given;

pub use audit::{Audit, AuditSettings, Dossier, SignFn, SignedByFn};
pub use contract::*;
pub use departed::{DepartedAccount, Departures};
pub use desks::*;
pub use drills::{DrillLease, Drills, Examination};
pub use error::StoreError;
pub use estate::*;
pub use letter::{DeadLetter, Letters};
pub use people::{EscalateFn, Paused, People, RemindFn};
pub use retention::{Dropping, Retention, SealFn};
pub use settings::Settings;
pub use users::{ActFilter, ChangeFn, Leaver, Users};

/// Opens the store that the settings name. Does not migrate; see [`Store::migrate`].
pub async fn open(settings: &Settings) -> Stored<Arc<dyn Store>> {
    if settings::is_postgres(&settings.url) {
        Ok(Arc::new(postgres::PostgresStore::open(settings)?))
    } else {
        Ok(Arc::new(sqlite::SqliteStore::open(settings).await?))
    }
}
