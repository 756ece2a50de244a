//! One change: disabling, leaving a group, taking a key away, deleting.
//!
//! Owns what is sent for each operation and what the directory's answer to it means. The entry is
//! read first and its login asserted; "not there" is read again before it is believed, and a trial
//! sends its change then all the same. Renders no change that gives: a placeholder and a parking group
//! are named by the manifest and hold nothing.

use std::collections::HashMap;

use ldap3::{LdapResult, Mod, SearchEntry, dn_escape};

use super::belonging::Groups;
use super::classify::{self, Phase};
use super::client::{Edit, EditKind};
use super::entry::{Entry, by_id};
use super::groups::{self, FROM, GROUP, Group, PRIMARY};
use super::session::Session;
use super::settings::Cleanup;
use super::{left, read_account};
use crate::connectors::{Answered, Change, unsupported};
use crate::domain::access::{AccountState, Entitlement, Operation};
use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;

/// Carries the change out.
///
/// # Errors
/// As `classify` says.
pub async fn write(
    session: &mut Session<'_>,
    change: &Change,
    now: Timestamp,
) -> Result<Answered, Failure> {
    let Some(account) = session.account_surely(&change.account).await? else {
        if session.is_trial() {
            return try_on_nobody(session, change).await;
        }
        return clear_away(session, change).await;
    };
    let mut logins = account.texts(&session.settings().accounts.login);
    if session.is_trial() || !logins.any(|login| login == change.login) {
        return Err(classify::another_login());
    }
    match (change.operation, &change.entitlement) {
        (Operation::Disable, _) => disable(session, change, &account, now).await,
        (Operation::RevokeEntitlement, Some(one)) => leave(session, change, &account, one).await,
        (Operation::RevokeCredential, Some(one)) => {
            take_key(session, change, &account, one, now).await
        }
        (Operation::Delete, _) => delete(session, change, &account).await,
        (
            Operation::RevokeEntitlement
            | Operation::RevokeCredential
            | Operation::EndSessions
            | Operation::List
            | Operation::Read,
            _,
        ) => Err(unsupported(change.operation.as_str())),
    }
}

/// Sends the change of an entry that nobody has, beneath the base of the accounts: the entry's own name is
/// the made-up id, and where the directory can it checks besides that the entry has that id.
async fn try_on_nobody(session: &mut Session<'_>, change: &Change) -> Result<Answered, Failure> {
    let accounts = &session.settings().accounts;
    let attributes = accounts.state.iter();
    // A number, for the form that makes the new value from the old one.
    let attributes = attributes.map(|state| (state.attribute.clone(), vec!["0".to_owned()]));
    let nobody = Entry::new(SearchEntry {
        dn: format!(
            "cn={},{}",
            dn_escape(change.account.as_str()),
            accounts.base
        ),
        attrs: attributes.collect(),
        bin_attrs: HashMap::new(),
    });
    let (written, kind) = match (change.operation, &accounts.state) {
        (Operation::Disable, Some(state)) => {
            let changes = EditKind::Modify(state.disabling(&nobody)?);
            (vec![state.attribute.as_str()], changes)
        }
        (Operation::Delete, _) => (Vec::new(), EditKind::Delete),
        _ => return Ok(Answered::Absent),
    };
    let edit = Edit {
        dn: nobody.dn,
        only_if: Some(by_id(&accounts.id, change.account.as_str())?),
        kind,
    };
    let result = session.change(change, &written, edit).await?;
    match result.rc {
        0 => Ok(Answered::Accepted),
        32 => Ok(Answered::Absent),
        _ => Err(classify::refused(&result, Phase::Write)),
    }
}

/// The entry is gone: what still names it is taken away, as far as nobody else has that name. Also what a
/// deletion did not come to before it broke off.
async fn clear_away(session: &mut Session<'_>, change: &Change) -> Result<Answered, Failure> {
    let leaves = matches!(
        change.operation,
        Operation::RevokeEntitlement | Operation::Delete
    );
    if !leaves {
        return Ok(Answered::Absent);
    }
    let ghost = left::ghost(session, Some(&change.login)).await?;
    // Whether a name is somebody else's by now must be known before anything is done about it.
    session.must_be_whole()?;
    let Some(ghost) = ghost else {
        return Ok(Answered::Absent);
    };
    let wanted = change.entitlement.as_ref().map(|one| one.id.as_str());
    let mut left = false;
    for kind in &session.settings().groups {
        for group in groups::direct(session, kind, &ghost).await? {
            if wanted.is_none_or(|id| id.strip_prefix(GROUP) == Some(group.id.as_str())) {
                left |= drop_member(session, change, &ghost, kind, &group).await?;
            }
        }
    }
    if left {
        return Ok(Answered::Accepted);
    }
    session.must_be_whole()?;
    Ok(Answered::Absent)
}

async fn disable(
    session: &mut Session<'_>,
    change: &Change,
    account: &Entry,
    now: Timestamp,
) -> Result<Answered, Failure> {
    let Some(state) = &session.settings().accounts.state else {
        return Err(unsupported("disable"));
    };
    if state.of(account, now)? == AccountState::Disabled {
        return Ok(Answered::Absent);
    }
    let edit = of_account(session, change, account, state.disabling(account)?)?;
    let result = session.change(change, &[&state.attribute], edit).await?;
    match result.rc {
        0 => Ok(Answered::Accepted),
        16 | 20 | 32 => look_again(session, change, &result, now).await,
        _ => Err(classify::refused(&result, Phase::Write)),
    }
}

/// Takes one key away by its value.
async fn take_key(
    session: &mut Session<'_>,
    change: &Change,
    account: &Entry,
    entitlement: &Entitlement,
    now: Timestamp,
) -> Result<Answered, Failure> {
    let mut known = session.settings().accounts.credentials.iter();
    let id = entitlement.id.as_str();
    let attribute = known.find(|name| id.starts_with(&format!("{name}:sha256:")));
    let Some(attribute) = attribute else {
        return Err(classify::foreign("the key is in none of `credentials`"));
    };
    let mut values = account.values(attribute).iter();
    let Some(value) = values.find(|value| groups::key_id(attribute, value) == entitlement.id)
    else {
        session.must_be_whole()?;
        return Ok(Answered::Absent);
    };
    let changes = vec![without(attribute, value)];
    let edit = of_account(session, change, account, changes)?;
    let result = session.change(change, &[attribute], edit).await?;
    match result.rc {
        0 => Ok(Answered::Accepted),
        16 | 32 => look_again(session, change, &result, now).await,
        _ => Err(classify::refused(&result, Phase::Write)),
    }
}

/// "Not there" or "there already": what is there now decides what that means.
async fn look_again(
    session: &mut Session<'_>,
    change: &Change,
    result: &LdapResult,
    now: Timestamp,
) -> Result<Answered, Failure> {
    let Some(entry) = session.account_surely(&change.account).await? else {
        return Ok(Answered::Absent);
    };
    let account = read_account(session, &entry, now).await?;
    session.must_be_whole()?;
    match result.rc {
        _ if change.is_done_in(&account) => Ok(Answered::Absent),
        16 => Err(classify::came_first()),
        _ => Err(classify::without_effect(change.operation)),
    }
}

/// Leaves one group, in every way in which the account is in it.
async fn leave(
    session: &mut Session<'_>,
    change: &Change,
    account: &Entry,
    entitlement: &Entitlement,
) -> Result<Answered, Failure> {
    let id = entitlement.id.as_str();
    let primary = groups::primary(session, account).await?;
    let wanted = match (id.strip_prefix(GROUP), id.strip_prefix(PRIMARY)) {
        (Some(group), _) if group.contains(FROM) => {
            return Err(classify::foreign(
                "the group comes with another one, which must be left instead",
            ));
        }
        (Some(group), _) => Wanted::Group(group),
        (None, Some(number)) => Wanted::Number(number),
        (None, None) => return Err(classify::foreign("the entitlement is no group")),
    };
    let mut left = false;
    if let Some(primary) = primary.filter(|primary| wanted.is(primary)) {
        park(session, change, account, &primary.number).await?;
        left = true;
    }
    if let Wanted::Group(id) = wanted {
        for kind in &session.settings().groups {
            if let Some(group) = groups::group(session, kind, id).await? {
                left |= drop_member(session, change, account, kind, &group).await?;
            }
        }
    }
    if left {
        return Ok(Answered::Accepted);
    }
    session.must_be_whole()?;
    Ok(Answered::Absent)
}

/// What is to be left.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// A group by its id.
    Group(&'a str),
    /// A primary group that has no entry.
    Number(&'a str),
}

impl Wanted<'_> {
    fn is(self, primary: &groups::PrimaryGroup) -> bool {
        match (self, &primary.group) {
            (Self::Group(id), Some(group)) => group.id == id,
            (Self::Number(number), None) => primary.number == number,
            (Self::Group(_), None) | (Self::Number(_), Some(_)) => false,
        }
    }
}

/// Nobody can be without a primary group, so it becomes the one that gives nothing.
async fn park(
    session: &mut Session<'_>,
    change: &Change,
    account: &Entry,
    number: &str,
) -> Result<(), Failure> {
    let primary = session.settings().primary.as_ref();
    let Some((primary, park)) = primary.and_then(|one| Some((one, one.park?))) else {
        return Err(classify::primary_group());
    };
    let attribute = primary.form.attribute();
    let changes = vec![
        without(attribute, number.as_bytes()),
        Mod::Add(attribute.into(), [park.to_string().into()].into()),
    ];
    let edit = of_account(session, change, account, changes)?;
    let result = session.change(change, &[attribute], edit).await?;
    match result.rc {
        0 => Ok(()),
        16 => Err(classify::came_first()),
        _ => Err(classify::refused(&result, Phase::Write)),
    }
}

/// Takes the account out of one group; whether it was in.
async fn drop_member(
    session: &mut Session<'_>,
    change: &Change,
    account: &Entry,
    kind: &Groups,
    group: &Group,
) -> Result<bool, Failure> {
    let mut was_in = false;
    for name in groups::member_names(kind, account, session.settings()) {
        if !groups::is_member(session, kind, group, &name).await? {
            continue;
        }
        let alone = vec![without(&kind.member, name.as_bytes())];
        let mut result = change_group(session, change, kind, group, alone).await?;
        if result.rc == 65 {
            // objectClassViolation: a groupOfNames has a member (RFC 4519 §3.5).
            let Some(placeholder) = &kind.placeholder else {
                return Err(classify::last_member(&group.name));
            };
            let member = kind.member.as_bytes().to_vec();
            let swapped = vec![
                Mod::Add(member, [placeholder.as_bytes().to_vec()].into()),
                without(&kind.member, name.as_bytes()),
            ];
            result = change_group(session, change, kind, group, swapped).await?;
        }
        match result.rc {
            0 => was_in = true,
            16 | 32 => {
                if groups::is_member(session, kind, group, &name).await? {
                    return Err(classify::without_effect(change.operation));
                }
            }
            _ => return Err(classify::refused(&result, Phase::Write)),
        }
    }
    Ok(was_in)
}

async fn change_group(
    session: &mut Session<'_>,
    change: &Change,
    kind: &Groups,
    group: &Group,
    changes: Vec<Mod<Vec<u8>>>,
) -> Result<LdapResult, Failure> {
    let edit = Edit {
        dn: group.dn.clone(),
        only_if: Some(by_id(&session.settings().accounts.id, &group.id)?),
        kind: EditKind::Modify(changes),
    };
    session.change(change, &[&kind.member], edit).await
}

/// Removes the entry. Memberships go first: a name left in a group would give the group to whoever
/// gets that name next.
async fn delete(
    session: &mut Session<'_>,
    change: &Change,
    account: &Entry,
) -> Result<Answered, Failure> {
    let settings = session.settings();
    if settings.cleanup == Cleanup::Connector {
        drop_all(session, change, account).await?;
    }
    let edit = Edit {
        dn: account.dn.clone(),
        only_if: Some(by_id(&settings.accounts.id, change.account.as_str())?),
        kind: EditKind::Delete,
    };
    let result = session.change(change, &[], edit).await?;
    match result.rc {
        0 => {}
        32 if session.account_surely(&change.account).await?.is_none() => {
            return Ok(Answered::Absent);
        }
        32 => return Err(classify::without_effect(change.operation)),
        _ => return Err(classify::refused(&result, Phase::Write)),
    }
    if settings.cleanup == Cleanup::Directory {
        // What the directory was said to do and did not; the guard refuses it if it may not be done.
        drop_all(session, change, account).await?;
    }
    Ok(Answered::Accepted)
}

async fn drop_all(
    session: &mut Session<'_>,
    change: &Change,
    account: &Entry,
) -> Result<(), Failure> {
    for kind in &session.settings().groups {
        for group in groups::direct(session, kind, account).await? {
            drop_member(session, change, account, kind, &group).await?;
        }
    }
    Ok(())
}

fn without(attribute: &str, value: &[u8]) -> Mod<Vec<u8>> {
    Mod::Delete(attribute.as_bytes().to_vec(), [value.to_vec()].into())
}

fn of_account(
    session: &Session<'_>,
    change: &Change,
    account: &Entry,
    changes: Vec<Mod<Vec<u8>>>,
) -> Result<Edit, Failure> {
    Ok(Edit {
        dn: account.dn.clone(),
        only_if: Some(by_id(
            &session.settings().accounts.id,
            change.account.as_str(),
        )?),
        kind: EditKind::Modify(changes),
    })
}
