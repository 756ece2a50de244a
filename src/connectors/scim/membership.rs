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

/// Nobody's id: the Nil UUID (RFC 9562 §5.9).
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

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
    let shown = match user {
        Some(user) => elements(user, "groups")?,
        None => &[],
    };
    let mut own = BTreeSet::new();
    for element in shown {
        own.insert(value_of("groups", element)?.into_owned());
    }
    let mut found = asked_at_groups(session, account.as_str(), &own).await?;
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

/// `own` are the groups that the user itself shows.
async fn asked_at_groups(
    session: &Session<'_>,
    user: &str,
    own: &BTreeSet<String>,
) -> Result<Membership, Failure> {
    let filter = session.abilities().await?.filter;
    let believed = session.known.member_filter();
    if let (true, Some(MemberFilter::Finds(control))) = (filter, &believed) {
        if let Some(found) = filtered(session, user, control).await? {
            return Ok(found);
        }
        session.known.forget_member_filter();
    }
    let Walked {
        pages,
        mut closed,
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
    let mut method = format!("GET /Groups, {} pages", pages.count);
    if filter && closed && shows_less(session, &pages.resources, (user, own)).await? {
        closed = false;
        method.push_str(", and a filter finds members that it does not show");
    }
    let mine = with_member(&pages.resources, user)?;
    Ok(Membership {
        groups: mine.into_iter().filter_map(entitlement).collect(),
        closed,
        bare,
        shown: ids(&pages.resources),
        withheld: false,
        method,
    })
}

/// Asks by filter, and where it finds nobody, for `control` too. `None` when the answer cannot be believed:
/// it shows groups without the member, or does not find the control, which may have left its groups.
async fn filtered(
    session: &Session<'_>,
    user: &str,
    control: &str,
) -> Result<Option<Membership>, Failure> {
    let Asked::Shown(pages) = by_member(session, user).await? else {
        return Ok(None);
    };
    if pages.resources.is_empty() {
        match by_member(session, control).await? {
            Asked::Shown(pages) if !pages.resources.is_empty() => {}
            Asked::Shown(_) | Asked::Foreign(_) | Asked::Unusable => return Ok(None),
        }
    }
    Ok(Some(Membership {
        groups: pages.resources.iter().filter_map(entitlement).collect(),
        closed: true,
        method: "GET /Groups by member".to_owned(),
        ..Membership::default()
    }))
}

/// What the filter answers for a member.
enum Asked {
    /// Groups that all show the member, or none.
    Shown(Pages),
    /// Not every group shows the member: the filter was not applied, or members are cut off.
    Foreign(Pages),
    /// It was refused, or has no end.
    Unusable,
}

async fn by_member(session: &Session<'_>, member: &str) -> Result<Asked, Failure> {
    let filter = format!("members.value eq {}", Value::from(member));
    let pages = match listing::pages(session, "/Groups", &filter, MOST_ITEMS).await {
        Ok(pages) => pages,
        Err(failure) if is_about_the_filter(&failure) => return Ok(Asked::Unusable),
        Err(failure) => return Err(failure),
    };
    let mine = with_member(&pages.resources, member)?.len();
    Ok(match (pages.closed, mine == pages.resources.len()) {
        (false, _) => Asked::Unusable,
        (true, true) => Asked::Shown(pages),
        (true, false) => Asked::Foreign(pages),
    })
}

/// True where the filter finds members that neither the walk nor the user shows, for the user or for a member
/// that is there: of two answers that contradict each other, the one with less access proves nothing. Tries the
/// filter on what was walked, if that was not done lately.
async fn shows_less(
    session: &Session<'_>,
    walked: &[Value],
    (user, own): (&str, &BTreeSet<String>),
) -> Result<bool, Failure> {
    if session.known.member_filter().is_none()
        && let Some(member) = any_member(walked)?
    {
        let learned = match beside(session, walked, (&member, &BTreeSet::new())).await? {
            // Positive control: exactly what the walk found, for a member that is there.
            Beside::Agrees => MemberFilter::Finds(member),
            Beside::Useless => MemberFilter::NotBelieved,
            Beside::More => return Ok(true),
        };
        session.known.learn_member_filter(learned);
    }
    if session.known.member_filter() == Some(MemberFilter::NotBelieved) {
        return Ok(false);
    }
    Ok(matches!(
        beside(session, walked, (user, own)).await?,
        Beside::More
    ))
}

/// The filter's answer for one member, held against the walk.
enum Beside {
    /// Both show the same.
    Agrees,
    /// The filter is refused, not applied, or finds less.
    Useless,
    /// The filter is applied, and finds more.
    More,
}

async fn beside(
    session: &Session<'_>,
    walked: &[Value],
    (member, own): (&str, &BTreeSet<String>),
) -> Result<Beside, Failure> {
    let expected = ids(with_member(walked, member)?);
    let (found, foreign) = match by_member(session, member).await? {
        Asked::Unusable => return Ok(Beside::Useless),
        Asked::Shown(pages) => (ids(&pages.resources), false),
        Asked::Foreign(pages) => (ids(&pages.resources), true),
    };
    if foreign {
        // A server that does not look at the filter finds groups of somebody who does not exist, too.
        let nobodys = by_member(session, NOBODY).await?;
        if !matches!(nobodys, Asked::Shown(_)) {
            return Ok(Beside::Useless);
        }
    }
    let more = found.difference(&expected).any(|id| !own.contains(id));
    Ok(if more {
        Beside::More
    } else if found == expected && !foreign {
        Beside::Agrees
    } else {
        Beside::Useless
    })
}

fn any_member(groups: &[Value]) -> Result<Option<String>, Failure> {
    for group in groups {
        if let Some(first) = elements(group, "members")?.first() {
            return Ok(Some(value_of("members", first)?.into_owned()));
        }
    }
    Ok(None)
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
    // The list may leave members out, as RFC 7643 §7 lets it ("returned": "request"), or show an empty
    // list in their place, of all groups or of some.
    let (mut reads, mut left_out) = (0, false);
    for group in &mut pages.resources {
        if !elements(group, "members")?.is_empty() {
            continue;
        }
        reads += 1;
        if reads > MOST_SINGLE_READS {
            break;
        }
        let id = text(group, "id").unwrap_or_default().to_owned();
        match session.group(&id).await? {
            Some(whole) => {
                left_out |= !elements(&whole.body, "members")?.is_empty();
                *group = whole.body;
            }
            // Gone since the list was read.
            None => closed = false,
        }
    }
    // More than are read must be empty on the owner's word, and as far as was read.
    let empty = session.settings.groups_may_be_empty && !left_out;
    closed &= reads <= MOST_SINGLE_READS || empty;
    Ok(Walked {
        bare: all_bare(&pages.resources)?,
        pages,
        closed,
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
