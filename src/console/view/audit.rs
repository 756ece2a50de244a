//! The log as it is shown: its signed checkpoints, its keys, and what the last look at it came to.
//!
//! Owns their shape. Whether the log is whole is found by reading all of it, which somebody asks for;
//! what that came to stands in the record, and is read from there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::backing::ReportTable;
use super::super::office::Office;
use super::super::problem::Problem;
use super::super::words;
use crate::domain::audit::Signed;
use crate::domain::time::Timestamp;
use crate::store::ActFilter;

/// Checkpoints that are shown.
const SHOWN: usize = 50;

/// What acts about the log as a whole are about.
pub(in super::super) const LOG: &str = "the log";

/// What an act begins with when everything was as it was written.
pub(in super::super) const WHOLE: &str = "whole";

/// The log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct AuditView {
    /// What the last look at all of it came to; absent where nobody has asked for one here.
    pub verified: Option<VerifiedView>,
    /// Signed checkpoints, newest first, at most 50.
    pub checkpoints: Vec<CheckpointView>,
    /// All checkpoints.
    pub count: u64,
    /// Public keys that signed (Ed25519, hex), oldest first.
    pub keys: Vec<String>,
}

/// What a look at the whole log came to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct VerifiedView {
    pub at: Timestamp,
    /// Who asked for it.
    pub by: String,
    pub whole: bool,
    /// In words, with the first finding.
    pub words: String,
}

/// One signed checkpoint.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct CheckpointView {
    /// Number and digest, as they are noted elsewhere: `clawback audit verify --noted` takes them.
    pub noted: String,
    pub at: Option<Timestamp>,
    /// Transactions that it covers.
    pub links: u64,
}

fn line(signed: &Signed) -> CheckpointView {
    let says = signed.read();
    CheckpointView {
        noted: format!("{}:{}", signed.number, signed.digest()),
        at: says.as_ref().map(|one| one.at),
        links: says.map_or(0, |one| one.links),
    }
}

/// The log.
pub(in super::super) async fn audit(office: &Office) -> Result<AuditView, Problem> {
    let all = office.store.checkpoints_signed().await?;
    let mut keys: Vec<String> = Vec::new();
    for says in all.iter().filter_map(Signed::read) {
        if keys.last() != Some(&says.key) {
            keys.push(says.key);
        }
    }
    Ok(AuditView {
        verified: verified(office).await?,
        checkpoints: all.iter().rev().take(SHOWN).map(line).collect(),
        count: all.len() as u64,
        keys,
    })
}

/// The last look at all of it.
pub(in super::super) async fn verified(office: &Office) -> Result<Option<VerifiedView>, Problem> {
    let filter = ActFilter {
        about: Some(LOG.to_owned()),
        limit: 1,
        ..ActFilter::default()
    };
    let acts = office.store.acts(&filter).await?.into_iter();
    let mut views = acts.map(|(_, act)| VerifiedView {
        at: act.at,
        by: act.by,
        whole: act.came_to.starts_with(WHOLE),
        words: act.came_to,
    });
    Ok(views.next())
}

/// Which time a report is about.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub(in super::super) struct ReportAsked {
    /// From this day or instant on (UTC), for example 2026-10-01.
    #[schemars(extend("format" = "date"))]
    pub from: Option<String>,
    /// Before this day or instant (UTC).
    #[schemars(extend("format" = "date"))]
    pub to: Option<String>,
}

/// An instant, or the beginning of a day in UTC.
fn day(text: &str) -> Result<Timestamp, Problem> {
    let midnight = format!("{text}T00:00:00Z");
    let read = text.parse().or_else(|_| midnight.parse());
    read.map_err(|_| {
        Problem::unreadable("`from` and `to` are days (2026-10-01) or instants of UTC")
    })
}

/// Who left when and how it is proved, for the last thirty days unless asked otherwise.
pub(in super::super) async fn report(
    office: &Office,
    asked: &ReportAsked,
) -> Result<ReportTable, Problem> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let to = given(&asked.to).map_or_else(|| Ok(office.now()), |text| day(&text))?;
    let from = given(&asked.from).map_or_else(|| Ok(words::days_before(to, 30)), |text| day(&text));
    Ok(office.backing.report(from?, to).await?)
}
