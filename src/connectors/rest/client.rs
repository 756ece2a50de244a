//! The declared API as a protocol: one request, or a list page by page.
//!
//! Owns paging and what makes a list complete: its end was seen, and the target's own total agrees.
//! A short page is no end, because servers cap the size that was asked for; only an empty page, a
//! missing mark or the total is. A mark that comes again, or pages without end, leave it open.

use http::header::{AGE, LINK};
use serde_json::Value;

use super::classify;
use super::render::{self, Rendered};
use super::request::{Collection, MOST_PAGES, Paging, Request};
use super::settings::Settings;
use super::shape;
use crate::connectors::Call;
use crate::connectors::http::{HttpAnswer, Transport};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;

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
    /// The list goes in circles.
    Lost,
}

/// Sends one request.
///
/// # Errors
/// `refused` by the guard, or as the transport says.
pub async fn send(
    transport: &Transport,
    call: &Call<'_>,
    rendered: Rendered,
) -> Result<HttpAnswer, Failure> {
    let permit = call.permit(rendered.judged, rendered.wire).await?;
    transport.send(permit, call.credential).await
}

/// Reads one page and its JSON.
///
/// # Errors
/// As `classify` says.
pub async fn first_page(
    transport: &Transport,
    settings: &Settings,
    call: &Call<'_>,
    request: &Request,
) -> Result<(), Failure> {
    let rendered = render::read(settings, request, None, &[])?;
    let answer = send(transport, call, rendered).await?;
    classify::accepted(settings, request, &answer, false).map(drop)
}

/// Reads a list to its end.
///
/// # Errors
/// Any page's failure fails the whole: what was read so far proves nothing.
pub async fn all(
    transport: &Transport,
    settings: &Settings,
    call: &Call<'_>,
    collection: &Collection,
    account: Option<&AccountId>,
) -> Result<Items, Failure> {
    let mut items = Items::default();
    let mut total = None;
    let mut marks = Vec::new();
    let mut next = first(&collection.paging);
    while items.pages < MOST_PAGES {
        let rendered = match (&next, parameter(&collection.paging)) {
            (Next::Path(path), _) => render::next_page(settings, path.clone(), account),
            (Next::Query(value), Some(parameter)) => {
                let added = [(parameter, value.as_str())];
                render::read(settings, &collection.request, account, &added)?
            }
            _ => render::read(settings, &collection.request, account, &[])?,
        };
        let answer = send(transport, call, rendered).await?;
        let body = classify::accepted(settings, &collection.request, &answer, false)?;
        let page = shape::items(&collection.items, &body, "items")?;
        items.pages += 1;
        items.values.extend_from_slice(page);
        items.age_seconds = items.age_seconds.max(age(&answer));
        if let Some(path) = &collection.total {
            total = Some(shape::number(path, &body, "total")?);
        }
        let seen = items.values.len() as u64;
        next = after(
            transport,
            collection,
            &answer,
            &body,
            page.len(),
            seen,
            &items,
        )?;
        let partial = answer.status == 206;
        let enough = total.is_some_and(|total| seen >= total);
        let again = match &next {
            Next::Query(mark) | Next::Path(mark) => marks.contains(mark),
            Next::End | Next::Lost => false,
        };
        match next {
            Next::End => {
                items.closed = !partial && total.is_none_or(|total| total == seen);
                return Ok(items);
            }
            // Pages by number have no mark of their own for the end; the total is one.
            Next::Query(_) if enough && counts(&collection.paging) => {
                items.closed = !partial && total == Some(seen);
                return Ok(items);
            }
            Next::Lost => return Ok(items),
            Next::Query(_) | Next::Path(_) if again || partial => return Ok(items),
            Next::Query(ref mark) | Next::Path(ref mark) => marks.push(mark.clone()),
        }
    }
    Ok(items)
}

fn first(paging: &Paging) -> Next {
    match paging {
        Paging::Page { first, .. } => Next::Query(first.to_string()),
        Paging::Offset { .. } => Next::Query("0".to_owned()),
        Paging::Whole | Paging::Cursor { .. } | Paging::Link => Next::End,
    }
}

fn parameter(paging: &Paging) -> Option<&str> {
    match paging {
        Paging::Page { parameter, .. }
        | Paging::Offset { parameter }
        | Paging::Cursor { parameter, .. } => Some(parameter),
        Paging::Whole | Paging::Link => None,
    }
}

fn counts(paging: &Paging) -> bool {
    matches!(paging, Paging::Page { .. } | Paging::Offset { .. })
}

/// Where the page after this one is.
fn after(
    transport: &Transport,
    collection: &Collection,
    answer: &HttpAnswer,
    body: &Value,
    on_page: usize,
    seen: u64,
    items: &Items,
) -> Result<Next, Failure> {
    Ok(match &collection.paging {
        Paging::Whole => Next::End,
        Paging::Page { .. } | Paging::Offset { .. } if on_page == 0 => Next::End,
        Paging::Page { first, .. } => Next::Query((first + items.pages as u64).to_string()),
        Paging::Offset { .. } => Next::Query(seen.to_string()),
        Paging::Cursor { next, .. } => match next.query(body).at_most_one() {
            Ok(None | Some(Value::Null)) => Next::End,
            Ok(Some(Value::String(mark))) if mark.is_empty() => Next::End,
            Ok(Some(Value::String(mark))) => Next::Query(mark.clone()),
            Ok(Some(Value::Number(mark))) => Next::Query(mark.to_string()),
            Ok(Some(Value::Bool(_) | Value::Array(_) | Value::Object(_))) | Err(_) => Next::Lost,
        },
        Paging::Link => match answer.header(LINK).and_then(next_link) {
            Some(link) => Next::Path(transport.relative(link).ok_or_else(classify::stray_link)?),
            None => Next::End,
        },
    })
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

/// Seconds that a cache on the way says the answer is old (RFC 9111 §5.1).
pub fn age(answer: &HttpAnswer) -> u64 {
    let age = answer.header(AGE).map(str::trim);
    age.map_or(0, |age| age.parse().unwrap_or(u64::MAX))
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
