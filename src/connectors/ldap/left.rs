//! What is left of an account whose entry is gone.
//!
//! Owns the memberships that name somebody by login or by distinguished name: no deletion of an entry
//! takes them away, and the group is whoever's next who gets that name. They are asked for by the names
//! that the account was last seen with, each while nobody else has it.

use std::collections::{BTreeSet, HashMap};

use ldap3::SearchEntry;

use super::belonging::MemberName;
use super::entry::{Entry, equals};
use super::groups;
use super::session::Session;
use crate::connectors::DN;
use crate::domain::access::Account;
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;

/// What stands for the entry in groups, under the names that are nobody else's by now: whose name it is,
/// theirs are the memberships. `None` where no group names members by what is known of it.
///
/// # Errors
/// As `classify` says.
pub async fn ghost(
    session: &mut Session<'_>,
    login: Option<&str>,
) -> Result<Option<Entry>, Failure> {
    let settings = session.settings();
    let named_by = |names| settings.groups.iter().any(|kind| kind.names == names);
    let accounts = &settings.accounts;
    let mut logins = BTreeSet::new();
    if named_by(MemberName::Login) {
        for login in session.logins(login) {
            let somebody = format!("(&{}{})", accounts.filter, equals(&accounts.login, &login));
            if !session.any(&accounts.base, somebody).await? {
                logins.insert(login);
            }
        }
    }
    let known = session.dn().filter(|_| named_by(MemberName::Dn));
    let dn = match known {
        Some(dn) if !session.stands(dn).await? => dn,
        Some(_) | None => "",
    };
    let nameless = dn.is_empty() && logins.is_empty();
    let attrs = HashMap::from([(accounts.login.clone(), logins.into_iter().collect())]);
    Ok((!nameless).then(|| {
        Entry::new(SearchEntry {
            dn: dn.to_owned(),
            attrs,
            bin_attrs: HashMap::new(),
        })
    }))
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
    let Some(ghost) = ghost(session, login).await? else {
        return Ok(None);
    };
    let entitlements = groups::memberships(session, &ghost).await?;
    // The next to look needs the names as well.
    let dn = session.dn().map(|dn| (DN.to_owned(), dn.to_owned()));
    let mut others = session.logins(login);
    others.retain(|one| Some(one.as_str()) != login);
    let further = (!others.is_empty()).then(|| ("login".to_owned(), others));
    Ok((!entitlements.is_empty()).then(|| Account {
        entitlements,
        attributes: dn.into_iter().collect(),
        further: further.into_iter().collect(),
        ..Account::left_behind(id, login)
    }))
}
