//! Accounts whose removal has ended: what a survey holds a listing against.
//!
//! Owns the shape, and the reads of them and of all that is known of a subject. What an account that
//! is listed again means is decided by `domain`; nothing is written here.

use async_trait::async_trait;

use crate::domain::id::{AccountId, ConnectorName, RunId};
use crate::domain::settlement::ExistingCase;
use crate::domain::time::Timestamp;

use super::Stored;

/// One account whose removal ended in proof, or on a person's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepartedAccount {
    /// The account.
    pub account: AccountId,
    /// Its login: another system may make it anew under another id.
    pub login: String,
    /// The removal that ended last.
    pub removal: RunId,
    /// When it ended.
    pub ended: Timestamp,
}

/// What is known of accounts that were removed.
#[async_trait]
pub trait Departures {
    /// All accounts of a target whose removals ended verified or attested since then, each once, by
    /// its last removal. Reads ids and logins only: there may be many.
    async fn departed(
        &self,
        connector: &ConnectorName,
        since: Timestamp,
    ) -> Stored<Vec<DepartedAccount>>;
    /// All cases of exactly this subject, oldest first, however many.
    async fn cases_of(&self, subject_key: &str) -> Stored<Vec<ExistingCase>>;
}

/// A row as either database tells it: run, account, login, microseconds since 1970.
pub(super) type Row = (uuid::Uuid, String, String, i64);

/// Rows in the order of their ends: the last of an account counts.
pub(super) fn last_of_each(rows: Vec<Row>) -> Stored<Vec<DepartedAccount>> {
    let mut last = std::collections::BTreeMap::new();
    for (run, account, login, ended) in rows {
        let departed = DepartedAccount {
            account: AccountId(account.clone()),
            login,
            removal: RunId(run),
            ended: super::shape::instant(ended, "runs", "ended_us", run)?,
        };
        last.insert(account, departed);
    }
    Ok(last.into_values().collect())
}
