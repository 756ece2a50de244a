//! Evidence by another path than the write: looks at targets with the verifier's credential.
//!
//! Owns how a look is made so that it can prove something: the account by its id, and, where that
//! shows nothing, a whole listing as the control that the verifier sees at all. Judges nothing; what
//! a look proves is said by `domain::verdict`.

mod probing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::connectors::{Credential, Guarded, Shown};
use crate::domain::access::Account;
use crate::domain::correlation::somebody_elses;
use crate::domain::outcome::Failure;
use crate::domain::time::{Clock, Timestamp};
use crate::domain::verdict::{Completeness, Expectation, Observation, Sighting, residue};

pub use probing::Trial;

/// Looks at accounts.
#[derive(Debug)]
pub struct Verification {
    clock: Arc<dyn Clock>,
}

impl Verification {
    /// Looks are dated by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    /// Looks at one account. An account that its id does not show is looked for in a complete
    /// listing begun after `written`: a "not found" may hide what the caller may not see, and
    /// another system may have made the account anew under its old login, which is then read by the
    /// id that it has now. One that is surely somebody else's by now is left out.
    ///
    /// # Errors
    /// When the target could not be read; that proves nothing either way.
    pub async fn observe(
        &self,
        connector: &Guarded,
        verifier: &Credential,
        own: &Account,
        written: Timestamp,
    ) -> Result<Observation, Failure> {
        let account = &own.id;
        let at = self.clock.now();
        let reading = connector.read_known(verifier, account, Some(own)).await?;
        if let Some(seen) = reading.account {
            return Ok(Observation {
                at,
                credential: verifier.role,
                method: reading.method,
                completeness: connector.vitals().believed(reading.completeness),
                data_age_seconds: reading.data_age_seconds,
                shows_orphans: connector.shows_orphans(),
                sighting: Sighting::There(Box::new(seen)),
            });
        }
        let shown = connector.shown_after(verifier, written).await?;
        let mut look = Observation {
            at: at.min(shown.began),
            credential: verifier.role,
            method: format!("{} and {}", reading.method, shown.method),
            completeness: both(reading.completeness, banded(connector, &shown)),
            data_age_seconds: reading.data_age_seconds.max(shown.data_age_seconds),
            shows_orphans: connector.shows_orphans(),
            sighting: Sighting::NotThere,
        };
        if let Some(row) = shown.roster.get(account) {
            contradicted(&mut look, row);
            return Ok(look);
        }
        for row in shown.roster.namesakes(own) {
            match somebody_elses(&connector.manifest().correlation, own, row) {
                Some(why) => look.method = format!("{}; {} {why}", look.method, row.id),
                None => namesake(connector, verifier, row, &mut look).await?,
            }
        }
        Ok(look)
    }
}

/// The listing shows what the account's own read did not: it is there, but a row tells too little to
/// prove that it has nothing left, and one of the two reads hid something.
fn contradicted(look: &mut Observation, row: &Account) {
    look.completeness.permission_cut = true;
    look.sighting = Sighting::There(Box::new(row.clone()));
}

/// Reads another account under the same login as the account itself would be. Of several the first
/// that can still do anything is shown.
async fn namesake(
    connector: &Guarded,
    verifier: &Credential,
    row: &Account,
    look: &mut Observation,
) -> Result<(), Failure> {
    let reading = connector.read_known(verifier, &row.id, Some(row)).await?;
    look.method = format!("{} and {}", look.method, reading.method);
    let believed = connector.vitals().believed(reading.completeness);
    look.completeness = both(look.completeness, believed);
    look.data_age_seconds = look.data_age_seconds.max(reading.data_age_seconds);
    if let Sighting::There(before) = &look.sighting
        && !residue(before, Expectation::AccountPowerless).is_empty()
    {
        return Ok(());
    }
    match reading.account {
        Some(shown) => look.sighting = Sighting::There(Box::new(shown)),
        None => contradicted(look, row),
    }
    Ok(())
}

/// The listing's completeness, with its count held against the manifest's band.
fn banded(connector: &Guarded, shown: &Shown) -> Completeness {
    let expect = &connector.manifest().expect;
    let count = shown.roster.accounts().len() as u64;
    let in_band = (expect.accounts_min.max(1)..=expect.accounts_max).contains(&count);
    connector.vitals().believed(Completeness {
        count_in_band: shown.completeness.count_in_band && in_band,
        ..shown.completeness
    })
}

/// Whole only where both are.
fn both(a: Completeness, b: Completeness) -> Completeness {
    Completeness {
        pages_closed: a.pages_closed && b.pages_closed,
        fields_present: a.fields_present && b.fields_present,
        count_in_band: a.count_in_band && b.count_in_band,
        permission_cut: a.permission_cut || b.permission_cut,
    }
}
