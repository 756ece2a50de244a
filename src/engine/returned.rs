//! Accounts that a survey shows although their case has settled.
//!
//! Owns the holding of a believed listing against the accounts whose removal has ended. One that
//! gives access again opens a case of its own through the ordinary door, tied to the first by its
//! name, and told with when it was gone, when it was there again, and who likely brought it back.
//! Whether somebody has it in hand already is decided by `domain::again`.

use std::collections::{BTreeMap, BTreeSet};

use crate::connectors::Guarded;
use crate::domain::access::Account;
use crate::domain::correlation::{correlate_at, folded};
use crate::domain::health::Recheck;
use crate::domain::run::{Returned, Run, RunBody};
use crate::domain::subject::Subject;
use crate::domain::time::Timestamp;
use crate::domain::verdict::residue;
use crate::store::DepartedAccount;

use super::again::News;
use super::{Engine, EngineError};

/// For how long an account that was removed is watched.
const WATCHED_DAYS: i64 = 90;

impl Engine {
    /// Looks for accounts that came back, but for those that a recheck owes a look. Answers how many did; told twice, they are recorded once.
    pub(super) async fn see_returned(
        &self,
        connector: &Guarded,
        listed: &[Account],
        at: Timestamp,
        owed: Option<&Recheck>,
    ) -> Result<u64, EngineError> {
        let watched = jiff::SignedDuration::from_hours(24 * WATCHED_DAYS);
        let since = at.saturating_sub(watched).unwrap_or(Timestamp::MIN);
        let departed = self.store.departed(connector.name(), since).await?;
        if departed.is_empty() {
            return Ok(0);
        }
        let mut came_back = 0;
        let usual = connector.manifest().after_removal;
        for (gone, account) in back(&departed, listed, at) {
            if owed.is_some_and(|recheck| recheck.still_owes(gone.ended, gone.removal)) {
                continue;
            }
            // Accounts that stay without access are most of what is listed: nothing is read of them.
            if residue(account, usual).is_empty() {
                continue;
            }
            let Some((run, _)) = self.store.run(gone.removal).await? else {
                continue;
            };
            // A canary is made anew, and is meant to be there again.
            if run.drill().is_some() {
                continue;
            }
            // That removal may have been to leave more: of a silent identity the account stays.
            let RunBody::Removal(removal) = &run.body else {
                continue;
            };
            let left = residue(account, removal.expect);
            if left.is_empty() {
                continue;
            }
            let Some(case) = self.case_of(&run).await? else {
                continue;
            };
            let same = account.id == gone.account;
            if !(same || is_theirs(connector, &case.subject, account)) {
                continue;
            }
            let returned = Returned {
                absent_at: last_absent(&run).unwrap_or(gone.ended),
                seen_at: at,
                likely_source: connector.manifest().fed_by.clone(),
            };
            let reason = format!(
                "there again after its removal: {}; {returned}",
                left.join(", ")
            );
            let news = News {
                // Without the time: however many surveys see it, it comes back once.
                seen: "returned".to_owned(),
                reason,
                // A case that is open looks for itself, and the next survey sees whether it did.
                unless_looked_for: true,
            };
            if self.reopen(&run, connector.name(), news).await? {
                came_back += 1;
            }
        }
        Ok(came_back)
    }
}

/// Accounts that are listed although their removal ended before the listing was begun: by id, or
/// made anew under the same login.
fn back<'a>(
    departed: &'a [DepartedAccount],
    listed: &'a [Account],
    at: Timestamp,
) -> Vec<(&'a DepartedAccount, &'a Account)> {
    let by_id: BTreeMap<_, _> = listed.iter().map(|one| (one.id.as_str(), one)).collect();
    // A login may be written in several ways, and be several accounts'.
    let mut by_login: BTreeMap<_, Vec<&Account>> = BTreeMap::new();
    for one in listed {
        let logins: BTreeSet<_> = one.values("login").map(folded).collect();
        for login in logins {
            by_login.entry(login).or_default().push(one);
        }
    }
    let mut back = Vec::new();
    for gone in departed.iter().filter(|gone| gone.ended < at) {
        match by_id.get(gone.account.as_str()) {
            Some(same) => back.push((gone, *same)),
            None => {
                let named = by_login.get(&folded(&gone.login)).into_iter().flatten();
                back.extend(named.map(|one| (gone, *one)));
            }
        }
    }
    back
}

/// A login that was given to somebody else is nobody's return.
fn is_theirs(connector: &Guarded, subject: &Subject, account: &Account) -> bool {
    let rule = &connector.manifest().correlation;
    let found = correlate_at(
        connector.name(),
        rule,
        subject,
        std::slice::from_ref(account),
    );
    !found.accounts.is_empty()
}

fn last_absent(run: &Run) -> Option<Timestamp> {
    match &run.body {
        RunBody::Removal(body) => body.absent_at,
        RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_) => None,
    }
}
