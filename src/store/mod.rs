//! The only room with SQL: everything durable behind one trait, PostgreSQL and SQLite behind it.
//!
//! Owns leases, fencing and transactions. Each method is one transaction; decisions inside one are
//! pure closures, so no transaction is ever held across a remote call. A store that is away is
//! back-pressure ([`StoreError::Unavailable`]), never the outcome of a run.

mod contract;
mod error;

pub use contract::*;
pub use error::StoreError;
