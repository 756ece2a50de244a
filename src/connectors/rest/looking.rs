//! One look at one account: where it is shown, and where its entitlements are.
//!
//! Owns the order of questions. An account that one request does not show may be shown by the next;
//! entitlements may be part of it, stand in lists of their own, or be known to groups alone, which
//! are then asked for their members. A membership that outlives its account is seen too.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

use super::account::VersionPlace;
use super::classify::{self, Told};
use super::client::{Items, Session};
use super::paging::Collection;
use super::render::{self, Version};
use super::request::Request;
use super::settings::{Entitlements, Listed, Look as Declared, Members};
use super::shape::{self, Held, Shown};
use super::template::{Place, Values};
use crate::domain::access::{Account, Entitlement, EntitlementKind};
use crate::domain::correlation::same_name;
use crate::domain::id::{AccountId, EntitlementId};
use crate::domain::outcome::Failure;
use crate::domain::verdict::Completeness;

/// Groups that do not list their members are asked one by one, up to this many.
const MOST_GROUPS: usize = 500;

/// What a look at one account showed.
#[derive(Debug)]
pub struct Look {
    /// The account with its entitlements.
    pub account: Option<Account>,
    /// Memberships and keys that are left without the account.
    pub left: Vec<Entitlement>,
    /// Sessions that go on without the account.
    pub sessions: u64,
    /// Its version, where the manifest says that it has one.
    pub version: Option<Version>,
    /// Real ids of the entitlements that are kept by a digest.
    pub secrets: BTreeMap<EntitlementId, SecretString>,
    /// Whether everything was seen.
    pub completeness: Completeness,
    /// Age of the oldest part in seconds, where a cache says so.
    pub age_seconds: u64,
    /// How, for an auditor.
    pub line: String,
}

/// What one request showed of the account.
#[derive(Debug, Default)]
struct Answer {
    value: Option<Value>,
    etag: Option<String>,
}

impl Look {
    /// True when nothing can stand on a page that was not read.
    pub fn is_whole(&self) -> bool {
        self.completeness.pages_closed && self.completeness.fields_present
    }

    fn take(&mut self, items: &Items) {
        self.completeness.pages_closed &= items.closed;
        self.age_seconds = self.age_seconds.max(items.age_seconds);
    }

    fn said(&mut self, line: &str) {
        if !self.line.is_empty() {
            self.line.push_str(", ");
        }
        self.line.push_str(line);
    }
}

/// Reads one account with all its entitlements.
///
/// # Errors
/// Any part's failure fails the whole.
pub async fn look(session: Session<'_>, id: &AccountId) -> Result<Look, Failure> {
    let (mut look, shown, record) = account(session, id).await?;
    let mut held = Vec::new();
    let login = match &shown {
        Some(account) => Some(account.login.clone()),
        None => its_own_still(session, id, &mut look).await?,
    };
    let login = login.as_deref();
    for shape in &session.settings.entitlements {
        let known = (shown.is_some(), login, record.as_ref());
        held.extend(entitlements(session, shape, id, known, &mut look).await?);
    }
    let mut found = Vec::with_capacity(held.len());
    for one in held {
        if let Some(secret) = one.secret {
            look.secrets.insert(one.entitlement.id.clone(), secret);
        }
        found.push(one.entitlement);
    }
    match shown {
        Some(mut account) => {
            account.entitlements = found;
            look.account = Some(account);
        }
        None => look.left = found,
    }
    Ok(look)
}

/// Reads one account without its entitlements: no list of those may hold up what is done to the
/// account as a whole.
///
/// # Errors
/// When the account could not be read.
pub async fn look_at_account(session: Session<'_>, id: &AccountId) -> Result<Look, Failure> {
    let (mut look, shown, _) = account(session, id).await?;
    look.account = shown;
    Ok(look)
}

/// The account if it is there, and its record, which a soft deletion leaves behind.
async fn account(
    session: Session<'_>,
    id: &AccountId,
) -> Result<(Look, Option<Account>, Option<Value>), Failure> {
    let settings = session.settings;
    let mut look = Look {
        account: None,
        left: Vec::new(),
        sessions: 0,
        version: None,
        secrets: BTreeMap::new(),
        completeness: Completeness::WHOLE,
        age_seconds: 0,
        line: String::new(),
    };
    for declared in &settings.reads {
        let answer = match declared {
            Declared::Single { request, account } => {
                alone(session, request, account, id, &mut look).await?
            }
            Declared::Among(listed) => among(session, listed, id, &mut look).await?,
        };
        let Some(value) = answer.value else {
            continue;
        };
        let declared = settings.account.version.as_ref();
        look.version = version(declared, &value, answer.etag.as_deref());
        match shape::account(&settings.account, &value)? {
            Shown::Gone { id: gone, sessions } => {
                same(id, &gone)?;
                look.sessions = sessions;
                return Ok((look, None, Some(value)));
            }
            Shown::Account(found) => {
                same(id, &found.id)?;
                look.completeness.fields_present =
                    shape::missing(&settings.account.fields, &value).is_empty();
                return Ok((look, Some(*found), Some(value)));
            }
        }
    }
    Ok((look, None, None))
}

async fn alone(
    session: Session<'_>,
    request: &Request,
    place: &serde_json_path::JsonPath,
    id: &AccountId,
    look: &mut Look,
) -> Result<Answer, Failure> {
    let rendered = render::read(session.settings, request, Values::of_account(id), &[])?;
    look.said(&rendered.judged.line);
    let answer = session.send(rendered).await?;
    look.age_seconds = look.age_seconds.max(answer.age_seconds());
    let body = match classify::told(session.settings, request, &answer, false)? {
        Told::NotThere => return Ok(Answer::default()),
        Told::Yes(body) => body,
    };
    let found = place.query(&body).exactly_one();
    let value = found.map_err(|_| classify::drifted("the answer holds no account"))?;
    Ok(Answer {
        value: Some(value.clone()),
        etag: answer.header(http::header::ETAG).map(ToOwned::to_owned),
    })
}

async fn among(
    session: Session<'_>,
    listed: &Listed,
    id: &AccountId,
    look: &mut Look,
) -> Result<Answer, Failure> {
    let shape = &session.settings.account;
    let key = |item: &Value| {
        let account = listed.account.query(item).exactly_one().ok()?;
        shape::text(&shape.id, account)
    };
    let values = Values::of_account(id);
    let items = session.all(&listed.collection, &key, values).await?;
    look.take(&items);
    look.said(&format!("list of {} requests", items.pages));
    let mut value = None;
    for item in &items.values {
        // An item that cannot be read may be the one that is looked for.
        let account = listed.account.query(item).exactly_one();
        let account = account.map_err(|_| classify::drifted("an item holds no account"))?;
        if shape::required(&shape.id, account, "id")? != id.as_str() {
            continue;
        }
        if value.replace(account.clone()).is_some() {
            return Err(classify::drifted("the list shows the account twice"));
        }
    }
    Ok(Answer { value, etag: None })
}

fn version(place: Option<&VersionPlace>, value: &Value, etag: Option<&str>) -> Option<Version> {
    Some(match place? {
        VersionPlace::Etag => Version {
            text: etag?.to_owned(),
            tag: true,
        },
        VersionPlace::Member(path) => Version {
            text: shape::text(path, value).filter(|text| !text.is_empty())?,
            tag: false,
        },
    })
}

/// Entitlements of one kind; without the account those that lists and groups still show for it.
async fn entitlements(
    session: Session<'_>,
    shape: &Entitlements,
    id: &AccountId,
    (known, login, record): (bool, Option<&str>, Option<&Value>),
    look: &mut Look,
) -> Result<Vec<Held>, Failure> {
    let Some(collection) = &shape.request else {
        let items: &[Value] = match record {
            // What is deleted softly need not list what it no longer holds. Its roles are nobody's; a key
            // may open the door still.
            Some(value)
                if !known
                    && (shape.kind != EntitlementKind::Credential
                        || shape::leaves_out(&shape.items, value)) =>
            {
                &[]
            }
            Some(value) => shape::items(&shape.items, value, "entitlements")?,
            None => &[],
        };
        owned(shape, items, (id, login))?;
        return shape::entitlements(shape, items);
    };
    if login.is_none() && needs_login(shape) {
        // Whose name is not known cannot be asked for, and may still be there.
        look.completeness.pages_closed = false;
        look.said("not asked for what is left under its login");
        return Ok(Vec::new());
    }
    let values = Values {
        login,
        ..Values::of_account(id)
    };
    let key = |item: &Value| shape::text(&shape.id, item);
    let items = match (known, &shape.members) {
        (false, None) => session.all_left(collection, &key, values).await?,
        (true, _) | (false, Some(_)) => session.all(collection, &key, values).await?,
    };
    look.take(&items);
    let Some(members) = &shape.members else {
        if !known && !items.values.is_empty() {
            look.said(&format!("{} left without it", items.values.len()));
        }
        owned(shape, &items.values, (id, login))?;
        return shape::entitlements(shape, &items.values);
    };
    look.said(&format!("members of {} groups", items.values.len()));
    let name = if members.by_login {
        login.unwrap_or_default()
    } else {
        id.as_str()
    };
    let mine = of_member(session, shape, members, items.values, (name, values), look).await?;
    shape::entitlements(shape, &mine)
}

/// Whether the entitlements are listed by their account's login.
fn needs_login(shape: &Entitlements) -> bool {
    let members = shape.members.as_ref();
    let asked = shape.request.as_ref();
    asked.is_some_and(|asked| {
        asked.request.uses(Place::AccountLogin) || members.is_some_and(|members| members.by_login)
    })
}

/// The login that the account had, unless somebody else has it now: what is listed under it is that
/// one's then. Asked only where anything is listed by login.
async fn its_own_still(
    session: Session<'_>,
    id: &AccountId,
    look: &mut Look,
) -> Result<Option<String>, Failure> {
    let Some(login) = session.call.login else {
        return Ok(None);
    };
    if !session.settings.entitlements.iter().any(needs_login) {
        return Ok(Some(login.to_owned()));
    }
    let shape = &session.settings.account;
    for listed in &session.settings.lists {
        let key = |item: &Value| {
            let account = listed.account.query(item).exactly_one().ok()?;
            shape::text(&shape.id, account)
        };
        let items = session
            .all(&listed.collection, &key, Values::default())
            .await?;
        look.take(&items);
        for item in &items.values {
            let account = listed.account.query(item).exactly_one();
            let account = account.map_err(|_| classify::drifted("an item holds no account"))?;
            if let Shown::Account(other) = shape::account(shape, account)?
                && other.id != *id
                && same_name(&other.login, login)
            {
                look.said(&format!("{login} is the login of {} now", other.id));
                return Ok(None);
            }
        }
        if !items.closed {
            look.said("a list that has no end may hide whose login it is now");
            return Ok(None);
        }
    }
    Ok(Some(login.to_owned()))
}

/// Fails when anything in the list is another's, where items show their owner: the target did not
/// list what it was asked for, and what it left out is as unknown as what it added.
fn owned(
    shape: &Entitlements,
    items: &[Value],
    (id, login): (&AccountId, Option<&str>),
) -> Result<(), Failure> {
    let Some(path) = &shape.owner else {
        return Ok(());
    };
    for item in items {
        let owner = shape::required(path, item, "owner of an entitlement")?;
        if owner != id.as_str() && Some(owner.as_str()) != login {
            return Err(classify::drifted(
                "the list of entitlements shows another account's",
            ));
        }
    }
    Ok(())
}

/// The groups that name the account as a member.
async fn of_member(
    session: Session<'_>,
    shape: &Entitlements,
    members: &Members,
    groups: Vec<Value>,
    (name, values): (&str, Values<'_>),
    look: &mut Look,
) -> Result<Vec<Value>, Failure> {
    let mut mine = Vec::new();
    let mut any = false;
    if members.request.is_some() && groups.len() > MOST_GROUPS {
        look.completeness.pages_closed = false;
    }
    for (count, group) in groups.into_iter().enumerate() {
        let told = match &members.request {
            None => {
                let listed = shape::items(&members.items, &group, "members")?;
                names(members, listed, name)?
            }
            Some(_) if count >= MOST_GROUPS => break,
            Some(collection) => {
                let group = shape::entitlement_id(shape, &group)?;
                let values = Values {
                    entitlement: Some(&group),
                    ..values
                };
                asked_at_group(session, members, collection, (name, values), look).await?
            }
        };
        any |= told.any;
        if told.named {
            mine.push(group);
        }
    }
    // Who sees no member of any group may not be allowed to see members.
    if !any && !members.may_be_empty {
        look.completeness.permission_cut = true;
    }
    Ok(mine)
}

async fn asked_at_group(
    session: Session<'_>,
    members: &Members,
    collection: &Collection,
    (name, values): (&str, Values<'_>),
    look: &mut Look,
) -> Result<Shows, Failure> {
    let key = |item: &Value| shape::text(&members.id, item);
    let items = session.all(collection, &key, values).await?;
    look.take(&items);
    names(members, &items.values, name)
}

/// What the members of one group show.
struct Shows {
    /// The account is one of them.
    named: bool,
    /// There is one at all.
    any: bool,
}

/// Whether a group names the account. All its members are read: one that cannot be may be it.
fn names(members: &Members, listed: &[Value], name: &str) -> Result<Shows, Failure> {
    let mut named = false;
    for one in listed {
        let id = shape::required(&members.id, one, "id of a member")?;
        // Logins are compared without regard to case where people type them.
        named |= id == name || (members.by_login && same_name(&id, name));
    }
    Ok(Shows {
        named,
        any: !listed.is_empty(),
    })
}

fn same(asked: &AccountId, shown: &AccountId) -> Result<(), Failure> {
    if asked == shown {
        Ok(())
    } else {
        Err(classify::drifted("the answer shows another account"))
    }
}
