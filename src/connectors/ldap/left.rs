//! What is left of an account whose entry is gone.
//!
//! Owns the memberships that name somebody by login: no deletion of an entry takes them away, and the
//! group is whoever's next who gets that login. They are asked for while nobody else has the login. What
//! groups name by the entry's distinguished name cannot be asked for any more, for nobody knows it.

use std::collections::HashMap;

use ldap3::SearchEntry;

use super::belonging::MemberName;
use super::entry::{Entry, equals};
use super::groups;
use super::session::Session;
use crate::domain::access::Account;
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;

/// What stands for the entry in groups that name members by login; `None` where no group does, or where
/// somebody else has the login by now, whose memberships they are.
///
/// # Errors
/// As `classify` says.
pub async fn ghost(session: &mut Session<'_>, login: &str) -> Result<Option<Entry>, Failure> {
    let settings = session.settings();
    let mut kinds = settings.groups.iter();
    if !kinds.any(|kind| kind.names == MemberName::Login) {
        return Ok(None);
    }
    let accounts = &settings.accounts;
    let somebody = format!("(&{}{})", accounts.filter, equals(&accounts.login, login));
    if session.any(&accounts.base, somebody).await? {
        return Ok(None);
    }
    Ok(Some(Entry::new(SearchEntry {
        dn: String::new(),
        attrs: HashMap::from([(accounts.login.clone(), vec![login.to_owned()])]),
        bin_attrs: HashMap::new(),
    })))
}

/// The account as it is still named, if it is.
///
/// # Errors
/// As `classify` says.
pub async fn behind(
    session: &mut Session<'_>,
    id: &AccountId,
    login: Option<&str>,
) -> Result<Option<Account>, Failure> {
    let Some(login) = login else {
        return Ok(None);
    };
    let Some(ghost) = ghost(session, login).await? else {
        return Ok(None);
    };
    let entitlements = groups::memberships(session, &ghost).await?;
    Ok((!entitlements.is_empty()).then(|| Account {
        entitlements,
        ..Account::left_behind(id, Some(login))
    }))
}
