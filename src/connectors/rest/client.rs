//! The declared API as a protocol: one request, or a list page by page.
//!
//! Owns paging and what makes a list complete: its end was seen, and the target's own total agrees.
//! A short page is no end, because servers cap the size that was asked for; only an empty page or a
//! mark that says nothing is. A mark that is not there at all may have been renamed, and ends a list
//! only as declared. A page that shows nothing new, a mark that comes again, or pages without end
//! leave it open: servers are known to serve the first page again past the end. So does a total that
//! shrinks: what moved up then is on no page that is still read.

use std::collections::BTreeSet;

use http::header::LINK;
use serde_json::Value;

use super::classify::{self, Past};
use super::paging::{Collection, Paging, Total};
use super::render::{self, Rendered};
use super::settings::Settings;
use super::shape;
use super::template::Values;
use super::words::says_something;
use crate::connectors::Call;
use crate::connectors::http::{HttpAnswer, Transport};
use crate::connectors::limits::MOST_BYTES;
use crate::domain::outcome::Failure;

/// Most pages of one list; an API that never ends its list is not read for ever.
const MOST_PAGES: usize = 10_000;

/// One call's conversation.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// Where requests go.
    pub transport: &'a Transport,
    /// What the manifest declares.
    pub settings: &'a Settings,
    /// Credential and gate.
    pub call: &'a Call<'a>,
}

/// All items of a list.
#[derive(Debug, Default)]
pub struct Items {
    /// In the order of the pages.
    pub values: Vec<Value>,
    /// Whether the end was seen and the total agrees.
    pub closed: bool,
    /// Age of the oldest page in seconds, where a cache says so.
    pub age_seconds: u64,
    /// How many requests it took.
    pub pages: usize,
}

/// Where the next page is.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// A query parameter and its value.
    Query(String),
    /// A path.
    Path(String),
    /// There is none.
    End,
    /// The page has no place where a mark could stand: it is the last, or the mark has another name.
    Unmarked,
    /// The list goes in circles, or does not say how it goes on.
    Lost,
}

/// Names an item, so that one that comes again is known.
pub type Key<'k> = &'k (dyn Fn(&Value) -> Option<String> + Send + Sync);

impl Session<'_> {
    /// Sends one request.
    ///
    /// # Errors
    /// `refused` by the guard, or as the transport says.
    pub async fn send(&self, rendered: Rendered) -> Result<HttpAnswer, Failure> {
        self.transport
            .exchange(self.call, rendered.judged, rendered.wire)
            .await
    }

    /// Reads the first page of a list and its JSON.
    ///
    /// # Errors
    /// As `classify` says.
    pub async fn first_page(&self, collection: &Collection) -> Result<(), Failure> {
        let request = &collection.request;
        let rendered = render::read(self.settings, request, Values::default(), &[])?;
        let answer = self.send(rendered).await?;
        if classify::is_empty(self.settings, collection, &answer) {
            return Ok(());
        }
        classify::page(self.settings, request, &answer).map(drop)
    }

    /// Reads a list to its end.
    ///
    /// # Errors
    /// Any page's failure fails the whole: what was read so far proves nothing.
    pub async fn all(
        &self,
        collection: &Collection,
        key: Key<'_>,
        values: Values<'_>,
    ) -> Result<Items, Failure> {
        self.walk(collection, key, values, false).await
    }

    /// The same for what belongs to an account that is not there. Where the path leads through the account
    /// and the list is not there either, it holds nothing. Of any other list "not found" may mean the
    /// account alone, and tells nothing of what is left: unless declared in `empty`, it leaves the list open.
    ///
    /// # Errors
    /// As [`Session::all`].
    pub async fn all_left(
        &self,
        collection: &Collection,
        key: Key<'_>,
        values: Values<'_>,
    ) -> Result<Items, Failure> {
        self.walk(collection, key, values, true).await
    }

    async fn walk(
        &self,
        collection: &Collection,
        key: Key<'_>,
        values: Values<'_>,
        left: bool,
    ) -> Result<Items, Failure> {
        let mut walk = Walk {
            collection,
            key,
            items: Items::default(),
            seen: BTreeSet::new(),
            marks: BTreeSet::new(),
            total: None,
            bytes: 0,
            last: 0,
            beyond: false,
            shifted: false,
            repeated: false,
        };
        let mut next = first(&collection.paging);
        while walk.items.pages < MOST_PAGES && !walk.is_flooded() {
            let rendered = self.page(collection, &next, values)?;
            let from = rendered.wire.path.clone();
            let answer = self.send(rendered).await?;
            walk.items.pages += 1;
            // That there is nothing, or nothing more, is as old as anything else that a cache says.
            walk.items.age_seconds = walk.items.age_seconds.max(answer.age_seconds());
            walk.bytes = walk.bytes.saturating_add(answer.body.len());
            let past = walk
                .beyond
                .then(|| classify::past_the_end(self.settings, &answer));
            let past = past.flatten();
            let nothing = classify::is_empty(self.settings, collection, &answer);
            let gone =
                left && walk.items.pages == 1 && classify::is_not_there(self.settings, &answer);
            let within = collection.request.leads_through_the_account();
            if past == Some(Past::End) || nothing || (gone && within) {
                next = Next::End;
            } else if past == Some(Past::Unsure) || gone {
                next = Next::Lost;
            } else {
                let body = classify::page(self.settings, &collection.request, &answer)?;
                let shown = walk.take(&answer, &body)?;
                next = match shown {
                    // All were seen before. Some servers show the first page again past the end; one that
                    // overlooks the page's number and counts the page alone looks the same.
                    Shown::OnlyKnown => Next::Lost,
                    Shown::Nothing | Shown::Something => {
                        let home = |link: &str| self.transport.relative(&from, link);
                        walk.after(&home, &answer, &body, shown == Shown::Nothing)?
                    }
                };
                if answer.status == 206 {
                    return Ok(walk.items);
                }
            }
            if walk.ends(&next) {
                break;
            }
        }
        Ok(walk.items)
    }

    fn page(
        &self,
        collection: &Collection,
        next: &Next,
        values: Values<'_>,
    ) -> Result<Rendered, Failure> {
        let parameter = match &collection.paging {
            Paging::Page { parameter, .. }
            | Paging::Offset { parameter, .. }
            | Paging::Cursor { parameter, .. } => Some(parameter),
            Paging::Whole | Paging::Link { .. } => None,
        };
        match (next, parameter) {
            (Next::Path(path), _) => Ok(render::at_path(
                self.settings,
                path.clone(),
                None,
                values.account,
            )),
            (Next::Query(value), Some(parameter)) => {
                let added = [(parameter.as_str(), value.as_str())];
                render::read(self.settings, &collection.request, values, &added)
            }
            _ => render::read(self.settings, &collection.request, values, &[]),
        }
    }
}

/// What a page showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Something,
    OnlyKnown,
}

/// A walk over the pages of one list.
struct Walk<'a> {
    collection: &'a Collection,
    key: Key<'a>,
    items: Items,
    /// Keys of the items of earlier pages.
    seen: BTreeSet<String>,
    /// Marks and addresses of the pages that were asked for.
    marks: BTreeSet<String>,
    /// How many the last page says there are.
    total: Option<u64>,
    /// Bytes of all pages.
    bytes: usize,
    /// How many items the last page has.
    last: usize,
    /// The page is past a total that was reached, and asked for to see whether that counts all.
    beyond: bool,
    /// A total was below the one before.
    shifted: bool,
    /// An item of an earlier page came again.
    repeated: bool,
}

impl Walk<'_> {
    /// More came than the list may hold; what comes after is not read.
    fn is_flooded(&self) -> bool {
        self.items.values.len() as u64 > self.collection.most || self.bytes > MOST_BYTES
    }

    /// Takes over what a page shows and earlier ones did not. Twice on one page is the target's own
    /// affair; twice on two pages is a sign that the pages do not close.
    fn take(&mut self, answer: &HttpAnswer, body: &Value) -> Result<Shown, Failure> {
        let told = self.told(answer, body);
        let place = &self.collection.items;
        // Past the end some leave the list out; the total says that it is the same answer still.
        let ended = self.beyond && matches!(told, Ok(Some(told)) if Some(told) == self.total);
        let page = if ended && shape::leaves_out(place, body) {
            &[]
        } else {
            shape::items(place, body, "items")?
        };
        self.last = page.len();
        let mut fresh = Vec::new();
        let before = self.items.values.len();
        for value in page {
            let key = (self.key)(value).unwrap_or_else(|| value.to_string());
            if self.seen.contains(&key) {
                self.repeated = true;
            } else {
                fresh.push(key);
                self.items.values.push(value.clone());
            }
        }
        self.seen.extend(fresh);
        let shown = match (page.is_empty(), self.items.values.len() > before) {
            (true, _) => Shown::Nothing,
            (false, true) => Shown::Something,
            (false, false) => Shown::OnlyKnown,
        };
        // Past the end some count nothing any more; what is deleted now was seen.
        let counts_none = match told {
            Ok(told) => told <= self.total,
            Err(_) => true,
        };
        if !(self.beyond && shown == Shown::Nothing && counts_none) {
            self.count(told?);
        }
        Ok(shown)
    }

    /// The number of all items, as a page tells it.
    fn told(&self, answer: &HttpAnswer, body: &Value) -> Result<Option<u64>, Failure> {
        match &self.collection.total {
            None => Ok(None),
            Some(Total::Body(path)) => shape::number(path, body, "total").map(Some),
            Some(Total::Header(name)) => answer
                .header(name.clone())
                .and_then(|text| text.trim().parse().ok())
                .map(Some)
                .ok_or_else(|| classify::drifted("the answer holds no total")),
        }
    }

    /// When an item of an earlier page is deleted, all later ones move up past the place that is
    /// asked for next, and the total shrinks with them: it agrees in the end, over a hole.
    fn count(&mut self, told: Option<u64>) {
        self.shifted |= told < self.total;
        self.total = told;
    }

    /// Where the page after this one is; `beneath` says where a link leads, if to the target.
    fn after(
        &self,
        beneath: &dyn Fn(&str) -> Option<String>,
        answer: &HttpAnswer,
        body: &Value,
        empty: bool,
    ) -> Result<Next, Failure> {
        let seen = self.items.values.len() as u64;
        let home = |link: &str| -> Result<Next, Failure> {
            let path = beneath(link).ok_or_else(classify::stray_link)?;
            Ok(Next::Path(path))
        };
        let missing = if empty { Next::End } else { Next::Unmarked };
        Ok(match &self.collection.paging {
            // It is cut into pages after all, which the manifest does not say.
            Paging::Whole if linked(answer).is_some() => Next::Lost,
            Paging::Whole => Next::End,
            Paging::Page { .. } | Paging::Offset { .. } if empty => Next::End,
            Paging::Page { first, .. } => {
                Next::Query((first + self.items.pages as u64).to_string())
            }
            Paging::Offset { first, .. } => Next::Query((first + seen).to_string()),
            Paging::Cursor { next, .. } => match mark(next, body) {
                Mark::Is(mark) => Next::Query(mark),
                Mark::None => Next::End,
                Mark::Missing => missing,
                Mark::Unreadable => Next::Lost,
            },
            Paging::Link { next: None } => match linked(answer) {
                Some(link) if link.is_ascii() => home(&link)?,
                Some(_) => Next::Lost,
                // Another link is a sign that nothing on the way takes the header out.
                None if answer.headers.contains_key(LINK) => Next::End,
                None if self.total.is_some() => Next::End,
                None => missing,
            },
            Paging::Link { next: Some(path) } => match mark(path, body) {
                Mark::Is(link) => home(&link)?,
                Mark::None => Next::End,
                Mark::Missing => missing,
                Mark::Unreadable => Next::Lost,
            },
        })
    }

    /// Whether the walk is over; says then whether it saw everything. Without a total that agrees,
    /// a list in which anything came twice stays open.
    fn ends(&mut self, next: &Next) -> bool {
        let seen = self.items.values.len() as u64;
        let counts = matches!(
            self.collection.paging,
            Paging::Page { .. } | Paging::Offset { .. }
        );
        let agrees = self.total.map_or(!self.repeated, |total| total == seen);
        let agrees = agrees && !self.shifted;
        match next {
            Next::End => {
                self.items.closed = agrees;
                true
            }
            Next::Unmarked => {
                self.items.closed = agrees && self.may_leave_out_its_mark();
                true
            }
            // It does not count what there is, whatever comes after.
            Next::Query(_) if counts && self.total.is_some_and(|total| seen > total) => true,
            // Pages by number have no mark of their own for the end. A total that is reached is none:
            // it may count the page alone, or stop at a bound of the target's. The page past it tells.
            Next::Query(mark) | Next::Path(mark) => {
                self.beyond = counts && self.total == Some(seen);
                !self.marks.insert(mark.clone())
            }
            Next::Lost => true,
        }
    }

    /// A first page that is as full as it may be looks the same where there are more and their mark
    /// has another name: then it takes a total besides.
    fn may_leave_out_its_mark(&self) -> bool {
        let most = self.collection.size.unwrap_or(u64::MAX);
        let cut = self.items.pages == 1 && self.last as u64 >= most;
        self.collection.unmarked_ends && (!cut || self.total.is_some())
    }
}

/// The address of the next page in the header; what is not ASCII in it is no address.
fn linked(answer: &HttpAnswer) -> Option<String> {
    let headers = answer.headers.get_all(LINK).into_iter();
    let mut texts = headers.map(|header| String::from_utf8_lossy(header.as_bytes()));
    texts.find_map(|text| next_link(&text).map(ToOwned::to_owned))
}

fn first(paging: &Paging) -> Next {
    match paging {
        Paging::Page { first, .. } | Paging::Offset { first, .. } => Next::Query(first.to_string()),
        Paging::Whole | Paging::Cursor { .. } | Paging::Link { .. } => Next::End,
    }
}

/// What stands in the place of the next page's mark.
enum Mark {
    Is(String),
    /// Null, no, or empty: there is no next page.
    None,
    /// There is no such place.
    Missing,
    Unreadable,
}

fn mark(path: &serde_json_path::JsonPath, body: &Value) -> Mark {
    match path.query(body).at_most_one() {
        Ok(None) => Mark::Missing,
        Ok(Some(Value::String(mark))) if !mark.is_empty() => Mark::Is(mark.clone()),
        Ok(Some(Value::Number(mark))) => Mark::Is(mark.to_string()),
        Ok(Some(value)) if !says_something(value) => Mark::None,
        Ok(Some(_)) | Err(_) => Mark::Unreadable,
    }
}

/// The target of the link with `rel="next"` (RFC 8288 §3).
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some(open) = rest.find('<') {
        let close = open + rest[open..].find('>')?;
        let target = &rest[open + 1..close];
        let tail = &rest[close + 1..];
        let end = tail
            .find(',')
            .and_then(|_| tail.find('<'))
            .unwrap_or(tail.len());
        let is_next = tail[..end].split(';').any(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
                name.trim().eq_ignore_ascii_case("rel")
                    && value.split(' ').any(|rel| rel.eq_ignore_ascii_case("next"))
            })
        });
        if is_next {
            return Some(target);
        }
        rest = &tail[end..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc8288_the_next_link_is_found_among_others() {
        let header =
            "<https://x/a?p=1>; rel=\"prev\", <https://x/a?p=3,4>; title=\"b\"; rel=\"next last\"";
        assert_eq!(next_link(header), Some("https://x/a?p=3,4"));
        assert_eq!(next_link("<https://x/a>; rel=first"), None);
        assert_eq!(next_link("<https://x/a>; rel=next"), Some("https://x/a"));
        assert_eq!(next_link("nonsense"), None);
    }
}
