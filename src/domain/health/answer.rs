//! What a target showed in a survey, and whether that can be believed.
//!
//! Owns the reduction of a listing to counts and shape, and its comparison with the last good one.
//! A field that nearly every account showed and none shows now, or the other way round, is another
//! shape; what changes on some accounts is their own business. Keeps no account.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::super::access::{Account, AccountState};
use super::super::verdict::Completeness;
use super::identities::Shown;
use super::{Baseline, Bounds, Trouble};

/// From this share on, in percent, a field is part of the shape.
const NEARLY_ALL: u64 = 90;
/// Below this share it is not.
const NEARLY_NONE: u64 = 10;
/// A count that moves by no more than this is never a sudden change.
const SMALL_CHANGE: u64 = 2;

/// What a target showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How many accounts.
    pub accounts: u64,
    /// Whether it was everything.
    pub completeness: Completeness,
    /// Age of the data in seconds.
    pub data_age_seconds: u64,
    /// Of a hundred accounts, how many showed each field.
    pub fields: BTreeMap<String, u64>,
    /// The non-human identities among them, where the manifest tells them.
    pub identities: Option<Shown>,
}

impl Answer {
    /// Reduces a listing. Deciding attributes that no account shows are counted as 0.
    pub fn of(
        accounts: &[Account],
        completeness: Completeness,
        data_age_seconds: u64,
        bounds: &Bounds,
    ) -> Self {
        let declared = bounds.deciding.iter().map(|name| (name.as_str(), 0));
        let mut counts: BTreeMap<&str, u64> = declared.collect();
        for account in accounts {
            let told = [
                ("id", !account.id.as_str().is_empty()),
                ("login", !account.login.is_empty()),
                ("state", account.state != AccountState::NotTold),
                ("sessions", account.sessions.is_some()),
            ];
            let attributes = account.attributes.iter();
            let attributes = attributes.map(|(name, value)| (name.as_str(), !value.is_empty()));
            for (name, _) in told.into_iter().chain(attributes).filter(|(_, told)| *told) {
                *counts.entry(name).or_default() += 1;
            }
        }
        let total = accounts.len() as u64;
        let share = |count: u64| (count * 100).checked_div(total).unwrap_or(0);
        Self {
            accounts: total,
            completeness,
            data_age_seconds,
            fields: counts
                .into_iter()
                .map(|(name, count)| (name.to_owned(), share(count)))
                .collect(),
            identities: bounds.nhi.as_ref().map(|nhi| nhi.shown(accounts)),
        }
    }

    /// SHA-256 over the names of the fields that most accounts show, 16 hexadecimal digits.
    pub fn shape(&self) -> String {
        let mut hash = Sha256::new();
        for (name, _) in self.fields.iter().filter(|(_, share)| **share >= 50) {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
        }
        let mut text = String::with_capacity(16);
        for byte in &hash.finalize()[..8] {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// What a later answer is compared with.
    pub fn baseline(&self, bounds: &Bounds) -> Baseline {
        Baseline {
            manifest: bounds.manifest.clone(),
            accounts: self.accounts,
            fields: self.fields.clone(),
        }
    }

    /// Why the answer is not good, if it is not. `deleted` accounts were taken away by Clawback
    /// itself since the baseline.
    pub fn trouble(
        &self,
        baseline: Option<&Baseline>,
        deleted: u64,
        bounds: &Bounds,
    ) -> Option<Trouble> {
        let whole = self.completeness;
        if whole.permission_cut || !whole.pages_closed {
            return whole.gap().map(|gap| Trouble::Incomplete(gap.to_owned()));
        }
        if let Some(drifted) = self.drifted(baseline, bounds) {
            return Some(Trouble::Drifted(drifted));
        }
        if !whole.count_in_band {
            let count = self.accounts;
            return Some(Trouble::Miscounted(format!(
                "{count} accounts are outside the declared band"
            )));
        }
        if let Some(sudden) = self.sudden(baseline, deleted, bounds) {
            return Some(Trouble::Miscounted(sudden));
        }
        (self.data_age_seconds > bounds.max_data_age_seconds).then(|| {
            let (age, most) = (self.data_age_seconds, bounds.max_data_age_seconds);
            Trouble::Old(format!(
                "the data are {age} s old, at most {most} s count as fresh"
            ))
        })
    }

    fn drifted(&self, baseline: Option<&Baseline>, bounds: &Bounds) -> Option<String> {
        if !self.completeness.fields_present {
            return Some("declared fields are missing from the answer".to_owned());
        }
        let share = |fields: &BTreeMap<String, u64>, name: &str| {
            fields.get(name).copied().unwrap_or_default()
        };
        let decides = |name: &String| share(&self.fields, name) > 0;
        if self.accounts > 0 && !bounds.deciding.is_empty() && !bounds.deciding.iter().any(decides)
        {
            let names = bounds.deciding.join(", ");
            return Some(format!(
                "no account shows what decides whose it is: {names}"
            ));
        }
        let baseline = baseline?;
        let lost = baseline.fields.iter().find(|(name, before)| {
            **before >= NEARLY_ALL && self.accounts > 0 && share(&self.fields, name) < NEARLY_NONE
        });
        if let Some((name, _)) = lost {
            return Some(format!("the field {name} is gone from the answer"));
        }
        let new = self.fields.iter().find(|(name, now)| {
            **now >= NEARLY_ALL && baseline.accounts > 0 && share(&baseline.fields, name) == 0
        });
        new.map(|(name, _)| format!("the answer has a new field {name}"))
    }

    fn sudden(&self, baseline: Option<&Baseline>, deleted: u64, bounds: &Bounds) -> Option<String> {
        let (baseline, most) = (baseline?, bounds.change_at_most_percent?);
        let moved = if self.accounts < baseline.accounts {
            (baseline.accounts - self.accounts).saturating_sub(deleted)
        } else {
            self.accounts - baseline.accounts
        };
        let allowed =
            (u128::from(baseline.accounts) * u128::from(most) / 100).max(u128::from(SMALL_CHANGE));
        (u128::from(moved) > allowed).then(|| {
            let (now, before) = (self.accounts, baseline.accounts);
            format!("{now} accounts after {before}: more than {most} % at once")
        })
    }
}
