//! What an account belongs to: asked at the groups, not at the account.
//!
//! Owns memberships, the groups that they bring along, the primary group, and the keys among an
//! account's values. `memberOf` is not believed: it is made by an overlay or a link table and may
//! lag or be missing. Reads only; leaving a group is for `writing`.

use std::collections::BTreeSet;

use super::belonging::{Groups, MemberName, Primary, PrimaryForm};
use super::classify::drifted;
use super::entry::{self, Entry, by_id, equals};
use super::session::{Query, Session};
use super::settings::Settings;
use crate::connectors::limits::MOST_ITEMS;
use crate::domain::access::{Entitlement, EntitlementKind};
use crate::domain::id::EntitlementId;
use crate::domain::outcome::Failure;

/// How the ids of memberships begin.
pub const GROUP: &str = "group:";

/// How the id of a primary group begins that has no entry.
pub const PRIMARY: &str = "primary:";

/// Between an inherited group and the group that brings it along.
pub const FROM: char = '@';

/// Members that are asked for in one filter.
const TOGETHER: usize = 40;

/// A group that was found.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its entry.
    pub dn: String,
    /// Its immutable id.
    pub id: String,
    /// For people to read.
    pub name: String,
}

/// The group that an account belongs to by a number of its own.
#[derive(Debug)]
pub struct PrimaryGroup {
    /// The number, as the account shows it.
    pub number: String,
    /// Its entry, if there is one.
    pub group: Option<Group>,
}

/// Everything that the account holds.
///
/// # Errors
/// As `classify` says.
pub async fn entitlements(
    session: &mut Session<'_>,
    account: &Entry,
) -> Result<Vec<Entitlement>, Failure> {
    let settings = session.settings();
    let mut held = Vec::new();
    let mut groups = Vec::new();
    for kind in &settings.groups {
        let names = member_names(kind, account, settings);
        let found = holding(session, kind, &names).await?;
        if found.is_empty() && !kind.may_be_empty {
            // Where no member of any group is shown, that ours is not shown says nothing.
            let some = format!("(&{}({}=*))", kind.filter, kind.member);
            session.hidden |= !session.any(&kind.base, some).await?;
        }
        groups.extend(found);
    }
    if let Some(primary) = primary(session, account).await? {
        match primary.group {
            Some(group) => groups.push(group),
            None => held.push(entitlement(
                format!("{PRIMARY}{}", primary.number),
                format!("primary group {}", primary.number),
            )),
        }
    }
    let mut seen = BTreeSet::new();
    groups.retain(|group| seen.insert(group.id.clone()));
    let direct = groups.iter();
    held.extend(direct.map(|one| entitlement(format!("{GROUP}{}", one.id), one.name.clone())));
    held.extend(brought_along(session, groups).await?);
    held.extend(keys(settings, account));
    for attribute in &settings.accounts.credentials {
        if account.values(attribute).is_empty() && !settings.accounts.bare.contains(attribute) {
            // One that no entry shows is misspelt, or hidden from this credential.
            let some = format!("(&{}({attribute}=*))", settings.accounts.filter);
            session.hidden |= !session.any(&settings.accounts.base, some).await?;
        }
    }
    Ok(held)
}

fn entitlement(id: String, name: String) -> Entitlement {
    Entitlement {
        id: EntitlementId(id),
        kind: EntitlementKind::Group,
        name,
        inherited_from: None,
    }
}

/// What the account is called in groups of this kind.
pub fn member_names(kind: &Groups, account: &Entry, settings: &Settings) -> Vec<String> {
    match kind.names {
        // Of an entry that is gone it may be unknown, or somebody else's by now.
        MemberName::Dn if account.dn.is_empty() => Vec::new(),
        MemberName::Dn => vec![account.dn.clone()],
        MemberName::Login => {
            let logins = account.texts(&settings.accounts.login);
            logins.map(ToOwned::to_owned).collect()
        }
    }
}

/// The groups of one kind that have one of these members.
async fn holding(
    session: &mut Session<'_>,
    kind: &Groups,
    names: &[String],
) -> Result<Vec<Group>, Failure> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let members = names.iter().map(|name| equals(&kind.member, name));
    let members: String = members.collect();
    let filter = format!("(&{}(|{members}))", kind.filter);
    find(session, &kind.base, filter, &kind.name).await
}

async fn find(
    session: &mut Session<'_>,
    base: &str,
    filter: String,
    name: &str,
) -> Result<Vec<Group>, Failure> {
    let id = &session.settings().accounts.id;
    let query = Query {
        base,
        filter,
        attributes: vec![id.clone(), name.to_owned()],
        most: MOST_ITEMS,
    };
    let (entries, _) = session.search(query).await?;
    let groups = entries.into_iter().map(|entry| {
        Ok(Group {
            id: entry.id(id)?,
            name: entry.text(name).unwrap_or(&entry.dn).to_owned(),
            dn: entry.dn,
        })
    });
    groups.collect()
}

/// The group with this id, among those of one kind.
///
/// # Errors
/// As `classify` says.
pub async fn group(
    session: &mut Session<'_>,
    kind: &Groups,
    id: &str,
) -> Result<Option<Group>, Failure> {
    let id = by_id(&session.settings().accounts.id, id)?;
    let filter = format!("(&{}{id})", kind.filter);
    Ok(find(session, &kind.base, filter, &kind.name).await?.pop())
}

/// Whether the group has this member now.
///
/// # Errors
/// As `classify` says.
pub async fn is_member(
    session: &mut Session<'_>,
    kind: &Groups,
    group: &Group,
    name: &str,
) -> Result<bool, Failure> {
    let id = by_id(&session.settings().accounts.id, &group.id)?;
    let filter = format!("(&{id}{})", equals(&kind.member, name));
    let found = find(session, &kind.base, filter, &kind.name).await?;
    if found.is_empty() {
        session.must_be_whole()?;
    }
    Ok(!found.is_empty())
}

/// All groups of one kind that the account is in by itself.
///
/// # Errors
/// As `classify` says.
pub async fn direct(
    session: &mut Session<'_>,
    kind: &Groups,
    account: &Entry,
) -> Result<Vec<Group>, Failure> {
    let names = member_names(kind, account, session.settings());
    let found = holding(session, kind, &names).await?;
    session.must_be_whole()?;
    Ok(found)
}

/// The memberships that are left of an account without an entry.
///
/// # Errors
/// As `classify` says.
pub async fn memberships(
    session: &mut Session<'_>,
    ghost: &Entry,
) -> Result<Vec<Entitlement>, Failure> {
    let mut left = Vec::new();
    for kind in &session.settings().groups {
        let names = member_names(kind, ghost, session.settings());
        let found = holding(session, kind, &names).await?;
        if found.is_empty() && !names.is_empty() && !kind.may_be_empty {
            let some = format!("(&{}({}=*))", kind.filter, kind.member);
            session.hidden |= !session.any(&kind.base, some).await?;
        }
        let found = found.into_iter();
        left.extend(found.map(|one| entitlement(format!("{GROUP}{}", one.id), one.name)));
    }
    Ok(left)
}

/// The groups that groups are members of, up to the top. A group is looked at once, so that groups
/// that hold each other come to an end.
async fn brought_along(
    session: &mut Session<'_>,
    groups: Vec<Group>,
) -> Result<Vec<Entitlement>, Failure> {
    let kinds = session.settings().groups.iter();
    let kinds: Vec<_> = kinds
        .filter(|kind| kind.nested && kind.names == MemberName::Dn)
        .collect();
    let mut held: Vec<Entitlement> = Vec::new();
    let mut looked_at: BTreeSet<_> = groups.iter().map(|group| group.id.clone()).collect();
    let mut level = groups;
    while !level.is_empty() {
        let mut above = Vec::new();
        for kind in &kinds {
            for (child, parent) in parents(session, kind, &level).await? {
                let mut one = entitlement(
                    format!("{GROUP}{}{FROM}{}", parent.id, child.id),
                    parent.name.clone(),
                );
                one.inherited_from = Some(child.name.clone());
                if held.iter().all(|other| other.id != one.id) {
                    held.push(one);
                }
                if looked_at.insert(parent.id.clone()) {
                    above.push(parent);
                }
            }
        }
        level = above;
    }
    Ok(held)
}

/// Pairs of child and parent. Asked for many children at once; only where there is an answer, which
/// child it was for is asked one by one.
async fn parents(
    session: &mut Session<'_>,
    kind: &Groups,
    children: &[Group],
) -> Result<Vec<(Group, Group)>, Failure> {
    let mut pairs = Vec::new();
    for some in children.chunks(TOGETHER) {
        let names: Vec<_> = some.iter().map(|child| child.dn.clone()).collect();
        let found = holding(session, kind, &names).await?;
        if found.is_empty() {
            continue;
        }
        if let [only] = some {
            pairs.extend(found.into_iter().map(|parent| (only.clone(), parent)));
            continue;
        }
        for child in some {
            let found = holding(session, kind, std::slice::from_ref(&child.dn)).await?;
            pairs.extend(found.into_iter().map(|parent| (child.clone(), parent)));
        }
    }
    Ok(pairs)
}

/// The primary group, unless it is the one that gives nothing.
///
/// # Errors
/// As `classify` says.
pub async fn primary(
    session: &mut Session<'_>,
    account: &Entry,
) -> Result<Option<PrimaryGroup>, Failure> {
    let Some(primary) = &session.settings().primary else {
        return Ok(None);
    };
    let attribute = primary.form.attribute();
    let Some(text) = account.text(attribute) else {
        // Every account of a domain has one (MS-ADTS §3.1.1.4.5); of POSIX groups it need not.
        session.hidden |= primary.form == PrimaryForm::DomainRid;
        return Ok(None);
    };
    let number: i64 = text
        .parse()
        .map_err(|_| drifted(format!("an account's `{attribute}` is no number")))?;
    if primary.park == Some(number) {
        return Ok(None);
    }
    let filter = format!(
        "(&{}{})",
        primary.filter,
        numbered(primary, account, number)?
    );
    let group = find(session, &primary.base, filter, "cn").await?.pop();
    Ok(Some(PrimaryGroup {
        number: text.to_owned(),
        group,
    }))
}

/// The filter for the group with this number.
fn numbered(primary: &Primary, account: &Entry, number: i64) -> Result<String, Failure> {
    match primary.form {
        PrimaryForm::GidNumber => Ok(equals("gidNumber", &number.to_string())),
        PrimaryForm::DomainRid => {
            // The group's identifier is the domain's with another end (MS-DTYP §2.4.2).
            let wrong = || drifted("an account's `objectSid` is not as declared");
            let [sid] = account.values("objectSid") else {
                return Err(wrong());
            };
            let domain = sid.len().checked_sub(4).map(|end| &sid[..end]);
            let domain = domain
                .filter(|domain| domain.len() >= 8)
                .ok_or_else(wrong)?;
            let end = u32::try_from(number).map_err(|_| wrong())?.to_le_bytes();
            let bytes = [domain, &end].concat();
            Ok(format!("(objectSid={})", entry::escaped(&bytes)))
        }
    }
}

/// Values that work without the password, each known by its digest.
fn keys(settings: &Settings, account: &Entry) -> Vec<Entitlement> {
    let mut held = Vec::new();
    for attribute in &settings.accounts.credentials {
        for value in account.values(attribute) {
            let id = key_id(attribute, value);
            if held.iter().any(|one: &Entitlement| one.id == id) {
                continue;
            }
            let digest = entry::digest(value);
            held.push(Entitlement {
                id,
                kind: EntitlementKind::Credential,
                name: format!("{attribute} {}", &digest[..16]),
                inherited_from: None,
            });
        }
    }
    held
}

/// The id of a key.
pub fn key_id(attribute: &str, value: &[u8]) -> EntitlementId {
    EntitlementId(format!("{attribute}:sha256:{}", entry::digest(value)))
}
