//! Which groups a user is in, asked at the groups.
//!
//! Owns the choice between a filter on members and a walk over all groups. An empty answer proves
//! nothing where nobody is seen to be in any group: servers are known to show every group without its
//! members. So the first reading walks, tries the filter on what the walk found, and each empty answer
//! to the filter is held against a member that is there. That no group is shown at all, or not one that
//! the account was in, may be for lack of permission. What the user resource says of its groups is only
//! ever added: servers fill it in late or not at all.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::contract::FORBIDDEN;
use super::super::limits::MOST_ITEMS;
use super::client::{MemberFilter, Session};
use super::listing::{self, Pages};
use super::resource::{GROUP, elements, has_member, is_indirect, membership, text, value_of};
use crate::domain::access::Entitlement;
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;

/// Groups are asked for one by one up to this many.
const MOST_SINGLE_READS: usize = 200;

/// A user's memberships.
#[derive(Debug, Default)]
pub(super) struct Membership {
    pub(super) groups: Vec<Entitlement>,
    /// Every group was seen, and members in any of them.
    pub(super) closed: bool,
    /// No member of any group is shown; there may be no group at all.
    bare: bool,
    /// The ids of the groups that were shown, whoever is in them.
    shown: BTreeSet<String>,
    /// Groups were withheld for lack of permission.
    pub(super) withheld: bool,
    /// How, for an auditor.
    pub(super) method: String,
}

/// The memberships of `account`; `user` is the resource, if there is one.
pub(super) async fn of(
    session: &Session<'_>,
    account: &AccountId,
    user: Option<&Value>,
) -> Result<Membership, Failure> {
    let mut found = asked_at_groups(session, account.as_str()).await?;
    let shown = match user {
        Some(user) => elements(user, "groups")?,
        None => &[],
    };
    // Where no member of any group is shown, that ours is not shown says nothing.
    if found.bare && shown.is_empty() && !session.settings.groups_may_be_empty {
        found.closed = false;
        let none = if found.shown.is_empty() {
            "no group is shown"
        } else {
            "none shows a member"
        };
        found.method = format!("{}, {none}", found.method);
    }
    let direct = shown.iter().any(|element| !is_indirect(element));
    for element in shown {
        let id = value_of("groups", element)?;
        let mut one = membership(&id, text(element, "display"));
        if found.groups.iter().any(|known| known.id == one.id) {
            continue;
        }
        if is_indirect(element) {
            // Goes away with the direct membership that it comes from; only without any is it
            // access of its own, that must be removed elsewhere.
            if direct || !found.groups.is_empty() {
                continue;
            }
            one.inherited_from = Some("a group within the group".to_owned());
        }
        found.groups.push(one);
    }
    if !found.withheld {
        look_for_last_known(session, account, &mut found).await?;
    }
    Ok(found)
}

/// A group that the account was last known to be in is shown with it, or without it. One that is not shown
/// at all may be hidden from this credential, and the account in it still.
async fn look_for_last_known(
    session: &Session<'_>,
    account: &AccountId,
    found: &mut Membership,
) -> Result<(), Failure> {
    let last = session.call.last.into_iter();
    let mut reads = 0;
    for known in last.flat_map(|last| &last.entitlements) {
        let Some(id) = known.id.as_str().strip_prefix(GROUP) else {
            continue;
        };
        if found.shown.contains(id) || found.groups.iter().any(|one| one.id == known.id) {
            continue;
        }
        reads += 1;
        if reads > MOST_SINGLE_READS {
            found.closed = false;
            break;
        }
        match session.group(id).await {
            Ok(Some(group)) if has_member(&group.body, account.as_str())? => {
                found.groups.extend(entitlement(&group.body));
            }
            Ok(Some(_)) => {}
            Err(failure) if failure.code != FORBIDDEN => return Err(failure),
            Ok(None) | Err(_) => {
                found.withheld = true;
                found.method = format!("{}, one that it was in is not shown", found.method);
                break;
            }
        }
    }
    Ok(())
}

async fn asked_at_groups(session: &Session<'_>, user: &str) -> Result<Membership, Failure> {
    let filter = session.abilities().await?.filter;
    let believed = session.known.member_filter();
    if let (true, Some(MemberFilter::Finds(control))) = (filter, &believed) {
        match filtered(session, user, control).await? {
            Filtered::Found(found) => return Ok(found),
            Filtered::NotApplied => {
                session.known.learn_member_filter(MemberFilter::NotBelieved);
            }
            Filtered::ControlGone => session.known.forget_member_filter(),
        }
    }
    let Walked {
        pages,
        closed,
        bare,
    } = match walk(session).await {
        Ok(walked) => walked,
        Err(failure) if failure.code == FORBIDDEN => {
            return Ok(Membership {
                withheld: true,
                method: "GET /Groups was denied".to_owned(),
                ..Membership::default()
            });
        }
        Err(failure) => return Err(failure),
    };
    if filter && session.known.member_filter().is_none() && closed {
        try_filter(session, &pages).await?;
    }
    let mine = with_member(&pages.resources, user)?;
    Ok(Membership {
        groups: mine.into_iter().filter_map(entitlement).collect(),
        closed,
        bare,
        shown: ids(&pages.resources),
        withheld: false,
        method: format!("GET /Groups, {} pages", pages.count),
    })
}

/// What came of asking by filter.
enum Filtered {
    Found(Membership),
    /// The answer shows that the filter was not applied.
    NotApplied,
    /// Nobody was found, and the member that it was seen to find is not found either: it may have left
    /// its groups, or the filter has gone blind.
    ControlGone,
}

/// Asks by filter, and where it finds nobody, for `control` too.
async fn filtered(session: &Session<'_>, user: &str, control: &str) -> Result<Filtered, Failure> {
    let Some(pages) = by_member(session, user).await? else {
        return Ok(Filtered::NotApplied);
    };
    if pages.resources.is_empty() {
        match by_member(session, control).await? {
            None => return Ok(Filtered::NotApplied),
            Some(pages) if pages.resources.is_empty() => return Ok(Filtered::ControlGone),
            Some(_) => {}
        }
    }
    Ok(Filtered::Found(Membership {
        groups: pages.resources.iter().filter_map(entitlement).collect(),
        closed: true,
        method: "GET /Groups by member".to_owned(),
        ..Membership::default()
    }))
}

/// The groups that the filter finds for a member; `None` when it was not applied.
async fn by_member(session: &Session<'_>, member: &str) -> Result<Option<Pages>, Failure> {
    let filter = format!("members.value eq {}", Value::from(member));
    let pages = match listing::pages(session, "/Groups", &filter, MOST_ITEMS).await {
        Ok(pages) => pages,
        Err(failure) if is_about_the_filter(&failure) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let foreign = with_member(&pages.resources, member)?.len() < pages.resources.len();
    Ok((pages.closed && !foreign).then_some(pages))
}

/// Positive control: the filter must find exactly what the walk found, for a member that is there.
async fn try_filter(session: &Session<'_>, walked: &Pages) -> Result<(), Failure> {
    let mut member = None;
    for group in &walked.resources {
        if let Some(first) = elements(group, "members")?.first() {
            member = Some(value_of("members", first)?);
            break;
        }
    }
    let Some(member) = member else {
        return Ok(());
    };
    let expected = ids(with_member(&walked.resources, &member)?);
    let found = by_member(session, &member).await?;
    let honoured = found.is_some_and(|found| ids(&found.resources) == expected);
    session.known.learn_member_filter(if honoured {
        MemberFilter::Finds(member.into_owned())
    } else {
        MemberFilter::NotBelieved
    });
    Ok(())
}

/// All groups with their members.
struct Walked {
    pages: Pages,
    /// It was all of them.
    closed: bool,
    /// No member of any is shown.
    bare: bool,
}

async fn walk(session: &Session<'_>) -> Result<Walked, Failure> {
    let mut pages = listing::pages(session, "/Groups", "", MOST_ITEMS).await?;
    let mut closed = pages.closed;
    let mut bare = all_bare(&pages.resources)?;
    // The list may leave the members out altogether, as RFC 7643 §7 lets it ("returned": "request"),
    // or show an empty list in their place.
    if bare {
        closed &= pages.resources.len() <= MOST_SINGLE_READS;
        for group in pages.resources.iter_mut().take(MOST_SINGLE_READS) {
            let id = text(group, "id").unwrap_or_default().to_owned();
            match session.group(&id).await? {
                Some(whole) => *group = whole.body,
                // Gone since the list was read.
                None => closed = false,
            }
        }
        bare = all_bare(&pages.resources)?;
    }
    Ok(Walked {
        pages,
        closed,
        bare,
    })
}

/// No member of any group is shown. A list without groups is what a credential sees that may see none.
fn all_bare(groups: &[Value]) -> Result<bool, Failure> {
    for group in groups {
        if !elements(group, "members")?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The groups that name the user as a member.
fn with_member<'g>(groups: &'g [Value], user: &str) -> Result<Vec<&'g Value>, Failure> {
    let mut mine = Vec::new();
    for group in groups {
        if has_member(group, user)? {
            mine.push(group);
        }
    }
    Ok(mine)
}

fn ids<'g>(groups: impl IntoIterator<Item = &'g Value>) -> BTreeSet<String> {
    let ids = groups.into_iter().filter_map(|group| text(group, "id"));
    ids.map(ToOwned::to_owned).collect()
}

fn entitlement(group: &Value) -> Option<Entitlement> {
    Some(membership(text(group, "id")?, text(group, "displayName")))
}

/// A refusal of the filter itself, not of the credential or the connection.
fn is_about_the_filter(failure: &Failure) -> bool {
    matches!(failure.code.as_str(), "CB-HTTP-400" | "CB-HTTP-501")
}
