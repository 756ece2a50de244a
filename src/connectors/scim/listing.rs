//! Reading every page, and knowing whether it was every page (RFC 7644 §3.4.2.4).
//!
//! Owns the walk over `startIndex`. It goes one page beyond the end, because a total that counts
//! only the page, and a server that serves the first page again, look like the end from inside.
//! A page that fails makes the whole fail: a short list is never handed up as a list.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::http::escape;
use super::classify;
use super::client::Session;
use super::resource::{field, text};
use crate::domain::outcome::Failure;

/// No server has more pages; one that never ends is stopped here.
const MOST_PAGES: u64 = 100_000;

/// All resources of one kind.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) resources: Vec<Value>,
    /// The walk came to the end, and as many were shown as the server's total says.
    pub(super) closed: bool,
    /// How many requests it took.
    pub(super) count: u64,
}

/// Reads all pages at `path`, filtered if `filter` is not empty.
///
/// A resource that is deleted meanwhile moves all later ones up, past the place that is asked for
/// next. The total tells: when it shrinks, the walk steps back by as much.
pub(super) async fn pages(
    session: &Session<'_>,
    path: &str,
    filter: &str,
) -> Result<Pages, Failure> {
    let mut resources = Vec::new();
    let mut seen = BTreeSet::new();
    let (mut start, mut count) = (1_u64, 0);
    let (mut total, mut highest) = (None, 0);
    let mut ended = false;
    while count < MOST_PAGES {
        let answer = session
            .get(&asked(session, path, filter, start), None)
            .await?;
        count += 1;
        if !answer.is_success() {
            // Beyond the end some servers refuse instead of showing an empty page.
            ended = matches!(answer.status, 400 | 404) && total.is_some_and(|total| start > total);
            if ended {
                break;
            }
            return Err(if answer.status == 403 && count > 1 {
                classify::stale("a later page was withheld")
            } else {
                classify::failure(&answer)
            });
        }
        let page = page(&answer.json()?, path)?;
        let shown = page.resources.len() as u64;
        let known = resources.len();
        for one in page.resources {
            let id = text(&one, "id").filter(|id| !id.is_empty());
            let id = id.ok_or_else(|| classify::drifted(format!("{path} shows no `id`")))?;
            if seen.insert(id.to_owned()) {
                resources.push(one);
            }
        }
        let gone = total.map_or(0, |before: u64| before.saturating_sub(page.total));
        let beyond = start > page.total && resources.len() == known;
        total = Some(page.total);
        highest = highest.max(page.total);
        if gone > 0 && start > 1 {
            start = start.saturating_sub(gone).max(1);
            continue;
        }
        // The page beyond the end is empty, or an earlier one again. An empty one before the end
        // leaves the total unreached.
        ended = shown == 0 || beyond;
        if ended {
            break;
        }
        start += shown;
    }
    let reached = resources.len() as u64;
    Ok(Pages {
        closed: ended && total.is_some_and(|total| (total..=highest).contains(&reached)),
        resources,
        count,
    })
}

fn asked(session: &Session<'_>, path: &str, filter: &str, start: u64) -> String {
    let count = session.settings.page_size;
    let mut asked = format!("{path}?startIndex={start}&count={count}");
    if !filter.is_empty() {
        asked = format!("{asked}&filter={}", escape(filter));
    }
    asked
}

struct Page {
    total: u64,
    resources: Vec<Value>,
}

fn page(body: &Value, path: &str) -> Result<Page, Failure> {
    let total = field(body, "totalResults")
        .and_then(Value::as_u64)
        .ok_or_else(|| classify::drifted(format!("{path} shows no `totalResults`")))?;
    let resources = match field(body, "Resources") {
        // RFC 7644 §3.4.2: may be left out when there is nothing.
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(resources)) => resources.clone(),
        Some(_) => {
            return Err(classify::drifted(format!(
                "{path} shows `Resources` that are no list"
            )));
        }
    };
    Ok(Page { total, resources })
}
