//! Which groups a user is in, asked at the groups.
//!
//! Owns the choice between a filter on members and a walk over all groups. An empty answer to a
//! filter proves nothing until the filter was seen to find a member that is there, so the first
//! reading walks, and tries the filter on what the walk found. What the user resource says of its
//! groups is only ever added: servers fill it in late or not at all.

use serde_json::Value;

use super::client::Session;
use super::listing::{self, Pages};
use super::resource::{elements, has_member, is_indirect, membership, text, value_of};
use crate::domain::access::Entitlement;
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;

/// Groups that a walk shows without members are asked for one by one, up to this many.
const MOST_SINGLE_READS: usize = 200;

/// A user's memberships.
#[derive(Debug, Default)]
pub(super) struct Membership {
    pub(super) groups: Vec<Entitlement>,
    /// Every group was seen.
    pub(super) closed: bool,
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
    let shown = user.map_or(&[][..], |user| elements(user, "groups"));
    let direct = shown.iter().any(|element| !is_indirect(element));
    for element in shown {
        let Some(id) = value_of(element) else {
            continue;
        };
        let mut one = membership(id, text(element, "display"));
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
    Ok(found)
}

async fn asked_at_groups(session: &Session<'_>, user: &str) -> Result<Membership, Failure> {
    let filter = session.abilities().await?.filter;
    let believed = session.known.member_filter();
    if filter && believed == Some(true) {
        if let Some(found) = filtered(session, user).await? {
            return Ok(found);
        }
        session.known.learn_member_filter(false);
    }
    let (pages, closed) = match walk(session).await {
        Ok(walked) => walked,
        Err(failure) if failure.code == "CB-HTTP-403" => {
            return Ok(Membership {
                withheld: true,
                method: "GET /Groups was denied".to_owned(),
                ..Membership::default()
            });
        }
        Err(failure) => return Err(failure),
    };
    if filter && believed.is_none() && closed {
        try_filter(session, &pages).await?;
    }
    let mine = pages
        .resources
        .iter()
        .filter(|group| has_member(group, user));
    Ok(Membership {
        groups: mine.filter_map(entitlement).collect(),
        closed,
        withheld: false,
        method: format!("GET /Groups, {} pages", pages.count),
    })
}

/// Asks by filter; `None` when the answer shows that the filter was not applied.
async fn filtered(session: &Session<'_>, user: &str) -> Result<Option<Membership>, Failure> {
    let pages = match listing::pages(session, "/Groups", &by_member(user)).await {
        Ok(pages) => pages,
        Err(failure) if is_about_the_filter(&failure) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let foreign = pages.resources.iter().any(|group| !has_member(group, user));
    if foreign || !pages.closed {
        return Ok(None);
    }
    Ok(Some(Membership {
        groups: pages.resources.iter().filter_map(entitlement).collect(),
        closed: true,
        withheld: false,
        method: "GET /Groups by member".to_owned(),
    }))
}

/// Positive control: the filter must find exactly what the walk found, for a member that is there.
async fn try_filter(session: &Session<'_>, walked: &Pages) -> Result<(), Failure> {
    let members = |group: &Value| {
        elements(group, "members")
            .first()
            .and_then(value_of)
            .map(String::from)
    };
    let Some(member) = walked.resources.iter().find_map(members) else {
        return Ok(());
    };
    let ids = |groups: &[Value]| {
        let mine = groups.iter().filter(|group| has_member(group, &member));
        let mut ids: Vec<_> = mine
            .filter_map(|group| text(group, "id").map(ToOwned::to_owned))
            .collect();
        ids.sort();
        ids
    };
    let honoured = match listing::pages(session, "/Groups", &by_member(&member)).await {
        Ok(pages) => {
            let found = ids(&pages.resources);
            found.len() == pages.resources.len() && found == ids(&walked.resources)
        }
        Err(failure) if is_about_the_filter(&failure) => false,
        Err(failure) => return Err(failure),
    };
    session.known.learn_member_filter(honoured);
    Ok(())
}

/// All groups with their members, and whether it was all.
async fn walk(session: &Session<'_>) -> Result<(Pages, bool), Failure> {
    let mut pages = listing::pages(session, "/Groups", "").await?;
    let bare = |group: &Value| super::resource::field(group, "members").is_none();
    // Without any group that shows members the list may leave them out altogether, as RFC 7643 §7
    // lets it ("returned": "request").
    if pages.resources.is_empty() || !pages.resources.iter().all(bare) {
        let closed = pages.closed;
        return Ok((pages, closed));
    }
    let mut closed = pages.closed && pages.resources.len() <= MOST_SINGLE_READS;
    for group in pages.resources.iter_mut().take(MOST_SINGLE_READS) {
        let id = text(group, "id").unwrap_or_default().to_owned();
        match session.group(&id).await? {
            Some(whole) => *group = whole.body,
            // Gone since the list was read.
            None => closed = false,
        }
    }
    Ok((pages, closed))
}

fn entitlement(group: &Value) -> Option<Entitlement> {
    Some(membership(text(group, "id")?, text(group, "displayName")))
}

fn by_member(user: &str) -> String {
    format!("members.value eq {}", Value::from(user))
}

/// A refusal of the filter itself, not of the credential or the connection.
fn is_about_the_filter(failure: &Failure) -> bool {
    matches!(failure.code.as_str(), "CB-HTTP-400" | "CB-HTTP-501")
}
