//! Reading every page, and knowing whether it was every page (RFC 7644 §3.4.2.4).
//!
//! Owns the walk over `startIndex`. It goes one page beyond the end, because a total that counts
//! only the page, and a server that serves the first page again, look like the end from inside. Where
//! both may be so, it asks whether `startIndex` is looked at.
//! A page that fails makes the whole fail: a short list is never handed up as a list.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::http::escape;
use super::super::limits::MOST_BYTES;
use super::classify;
use super::client::Session;
use super::resource::{field, text};
use crate::domain::outcome::Failure;

/// No server has more pages; one that never ends is stopped here.
const MOST_PAGES: u64 = 100_000;

/// A total that shrinks without anything having moved up is not believed more often than this.
const MOST_STEPS_IN_VAIN: u32 = 5;

/// All resources of one kind.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) resources: Vec<Value>,
    /// The walk came to the end, and as many were shown as the server's total says.
    pub(super) closed: bool,
    /// How many requests it took.
    pub(super) count: u64,
}

/// Reads all pages at `path`, filtered if `filter` is not empty. With more than `most` resources it is
/// not the list that was declared: it is not read on, and stays open.
pub(super) async fn pages(
    session: &Session<'_>,
    path: &str,
    filter: &str,
    most: u64,
) -> Result<Pages, Failure> {
    let mut walk = Walk::default();
    let (mut count, mut bytes) = (0, 0_usize);
    let mut next = Next::At(1);
    while let (Next::At(start), true) = (&next, count < MOST_PAGES) {
        let start = *start;
        let asked = asked(session, path, filter, start);
        let answer = session.get(&asked, None).await?;
        count += 1;
        if !answer.is_success() {
            // Beyond the end some servers refuse instead of showing an empty page.
            if matches!(answer.status, 400 | 404) && walk.total.is_some_and(|total| start > total) {
                next = Next::End;
                break;
            }
            return Err(if answer.status == 403 && count > 1 {
                classify::stale("a later page was withheld")
            } else {
                classify::failure(&answer)
            });
        }
        let page = page(&answer.json()?, path)?;
        bytes = bytes.saturating_add(answer.body.len());
        // RFC 9110 §15.3.7: a part of the answer is not the page.
        next = if answer.status == 206 {
            Next::Lost
        } else {
            walk.take(page, start, path)?
        };
        if walk.resources.len() as u64 > most || bytes > MOST_BYTES {
            next = Next::Lost;
        }
    }
    let mut closed = matches!(next, Next::End) && walk.agrees();
    if closed && walk.is_unmoved() {
        let asked = asked(session, path, filter, 2);
        let answer = session.get(&asked, None).await?;
        count += 1;
        closed = answer.status == 200 && walk.moves(&page(&answer.json()?, path)?);
    }
    Ok(Pages {
        closed,
        resources: walk.resources,
        count,
    })
}

/// Where the walk goes on.
enum Next {
    /// At this `startIndex`.
    At(u64),
    /// There is no more.
    End,
    /// What is shown does not lead to an end.
    Lost,
}

/// What the pages showed so far.
#[derive(Default)]
struct Walk {
    resources: Vec<Value>,
    seen: BTreeSet<String>,
    /// As the last page says, and the highest that any said.
    total: Option<u64>,
    highest: u64,
    /// A page after the first showed something new.
    moved: bool,
    /// The page beyond the end showed again what was known.
    repeated: bool,
    /// The page that is asked for lies before the end of the one before.
    stepped_back: bool,
    steps_in_vain: u32,
}

impl Walk {
    /// Takes over what a page shows and earlier ones did not.
    ///
    /// A resource that is deleted meanwhile moves all later ones up, past the place that is asked for
    /// next. The total tells: when it shrinks, the walk steps back by as much. A total that counts the
    /// page shrinks as well, so steps that lead to nothing new are numbered.
    fn take(&mut self, page: Page, start: u64, path: &str) -> Result<Next, Failure> {
        let shown = page.resources.len() as u64;
        let known = self.resources.len();
        for one in page.resources {
            let id = text(&one, "id").filter(|id| !id.is_empty());
            let id = id.ok_or_else(|| classify::drifted(format!("{path} shows no `id`")))?;
            if self.seen.insert(id.to_owned()) {
                self.resources.push(one);
            }
        }
        let fresh = self.resources.len() > known;
        self.moved |= fresh && start > 1;
        self.steps_in_vain += u32::from(self.stepped_back && !fresh);
        let before = self.total.replace(page.total).unwrap_or_default();
        let gone = before.saturating_sub(page.total);
        self.highest = self.highest.max(page.total);
        self.stepped_back = gone > 0 && start > 1;
        if self.stepped_back {
            if self.steps_in_vain >= MOST_STEPS_IN_VAIN {
                return Ok(Next::Lost);
            }
            return Ok(Next::At(start.saturating_sub(gone).max(1)));
        }
        // The page beyond the end is empty, or an earlier one again. An empty one before the end
        // leaves the total unreached.
        self.repeated = shown > 0 && !fresh && start > page.total;
        Ok(if shown == 0 || self.repeated {
            Next::End
        } else {
            Next::At(start + shown)
        })
    }

    /// As many were shown as the total says, less what was deleted meanwhile.
    fn agrees(&self) -> bool {
        let reached = self.resources.len() as u64;
        self.total
            .is_some_and(|total| (total..=self.highest).contains(&reached))
    }

    /// Only the first page was ever seen. A server that shows it whatever is asked for, and counts
    /// nothing else, looks the same as one that shows it again past the end.
    fn is_unmoved(&self) -> bool {
        self.repeated && !self.moved && self.resources.len() > 1
    }

    /// Whether the page at `startIndex` 2 shows that the server looks at it: it begins with another
    /// one than the first page, and holds nothing new.
    fn moves(&self, second: &Page) -> bool {
        let ids = |resources: &[Value]| -> Vec<_> {
            let ids = resources.iter().map(|one| text(one, "id"));
            ids.map(|id| id.unwrap_or_default().to_owned()).collect()
        };
        let (first, second) = (ids(&self.resources[..1]), ids(&second.resources));
        second.first().is_some_and(|id| *id != first[0])
            && second.iter().all(|id| self.seen.contains(id))
    }
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
