//! Lists as a manifest declares them: where the items stand, and how the list is cut into pages.
//!
//! Owns the reading and checking of that part. How pages are walked, and when a list counts as
//! read to its end, is `client`'s.

use http::header::HeaderName;
use serde_json_path::JsonPath;

use super::request::{EMPTY, Request, Use, optional_path, read_request, required_path, statuses};
use super::template::Place;
use crate::connectors::limits::MOST_ITEMS;
use crate::document::{Item, Table};

/// A request that is answered with a list, page by page.
#[derive(Debug, Clone)]
pub struct Collection {
    /// The first page's request, without what paging adds.
    pub request: Request,
    /// Where the answer holds the list itself.
    pub items: ListPlace,
    /// Where it holds the number of all items.
    pub total: Option<Total>,
    /// How to get the next page.
    pub paging: Paging,
    /// How many items are asked for at once.
    pub size: Option<u64>,
    /// The last page has no place for a mark; only the target's owner can know that.
    pub unmarked_ends: bool,
    /// Statuses that say that there is nothing, or nothing more.
    pub empty: Vec<u16>,
    /// With more items than this it is not read on: it is not the list that was declared.
    pub most: u64,
}

/// Where a list stands.
#[derive(Debug, Clone)]
pub struct ListPlace {
    /// The list itself, not its items.
    pub path: JsonPath,
    /// The target leaves an empty list out; only its owner can know that.
    pub omitted: bool,
}

/// Where the number of all items stands.
#[derive(Debug, Clone)]
pub enum Total {
    /// In the answer.
    Body(JsonPath),
    /// In a header.
    Header(HeaderName),
}

/// How a list is cut into pages.
#[derive(Debug, Clone)]
pub enum Paging {
    /// It is not.
    Whole,
    /// By page number.
    Page {
        /// Query parameter of the number.
        parameter: String,
        /// Number of the first page.
        first: u64,
    },
    /// By number of items to skip.
    Offset {
        /// Query parameter of the number.
        parameter: String,
        /// Number of the first item: 0, or 1 where items are numbered.
        first: u64,
    },
    /// By a mark in the answer.
    Cursor {
        /// Query parameter of the mark.
        parameter: String,
        /// Where the answer holds it; null or empty on the last page.
        next: JsonPath,
    },
    /// By an address: in the header `Link` with `rel="next"` (RFC 8288), or in the answer.
    Link {
        /// Where the answer holds it, if not in the header.
        next: Option<JsonPath>,
    },
}

/// A list and its pages.
pub fn read_collection(table: &Table<'_>, places: &[Place]) -> Option<Collection> {
    let request = read_request(table, places, Use::List);
    let items = read_items(table);
    let total = read_total(table);
    let paging = read_paging(table);
    let unmarked_ends = paging.as_ref().map(|paging| unmarked_ends(table, paging));
    let empty = statuses(table, "empty", &[], &EMPTY);
    let size = table.integer("size", 1..=100_000);
    let size_parameter = table.string("size_parameter");
    let mut request = request?;
    let sized = size.as_ref().map(|item| item.line);
    let sized = sized.or(size_parameter.as_ref().map(|item| item.line));
    if let (Some(Paging::Whole), Some(line)) = (&paging, sized) {
        table.report(
            line,
            format!(
                "`{}` asks for pages of a size, without `paging`",
                table.path()
            ),
            "say with `paging` where the next page is, or leave `size` and `size_parameter` out: \
             a first page would be taken for the whole list",
        );
        return None;
    }
    let items_asked = size.as_ref().map(|item| item.value.unsigned_abs());
    match (size, size_parameter) {
        (Some(size), Some(parameter)) => {
            request
                .path
                .add_query(&parameter.value, &size.value.to_string());
        }
        (None, None) => {}
        (Some(Item { line, .. }), None) | (None, Some(Item { line, .. })) => {
            table.report(
                line,
                "`size` and `size_parameter` go together",
                "add the other one",
            );
            return None;
        }
    }
    Some(Collection {
        request,
        items: items?,
        total: total?,
        paging: paging?,
        size: items_asked,
        unmarked_ends: unmarked_ends??,
        empty: empty?,
        most: MOST_ITEMS,
    })
}

/// `items` and what its absence means.
pub fn read_items(table: &Table<'_>) -> Option<ListPlace> {
    let path = required_path(table, "items");
    let omitted = table
        .boolean("omitted_when_empty")
        .is_some_and(|item| item.value);
    Some(ListPlace {
        path: path?,
        omitted,
    })
}

#[allow(clippy::option_option)] // Not there, there but wrong (told), there.
fn read_total(table: &Table<'_>) -> Option<Option<Total>> {
    let header = table.string("total_header");
    let body = optional_path(table, "total")?;
    let Some(header) = header else {
        return Some(body.map(Total::Body));
    };
    let name = header.value.parse::<HeaderName>().ok();
    if name.is_none() || body.is_some() {
        table.report(
            header.line,
            "`total_header` is no name of a header, or stands beside `total`",
            "name one place that tells the number of all items",
        );
        return None;
    }
    Some(name.map(Total::Header))
}

/// `mark_omitted_at_end`, for pages that go on by a mark.
fn unmarked_ends(table: &Table<'_>, paging: &Paging) -> Option<bool> {
    let Some(declared) = table.boolean("mark_omitted_at_end") else {
        return Some(false);
    };
    if matches!(paging, Paging::Cursor { .. } | Paging::Link { .. }) {
        return Some(declared.value);
    }
    table.report(
        declared.line,
        "`mark_omitted_at_end` without a mark",
        "leave it out: it is for `paging = \"cursor\"` and `paging = \"link\"`",
    );
    None
}

fn read_paging(table: &Table<'_>) -> Option<Paging> {
    let style = table.string("paging");
    let (name, line) = style.map_or(("none".to_owned(), table.line()), |s| (s.value, s.line));
    let parameter = |key: &str, usual: &str| {
        table
            .string(key)
            .map_or_else(|| usual.to_owned(), |item| item.value)
    };
    let number = |key: &str, usual: u64| {
        let written = table.integer(key, 0..=1);
        written.map_or(usual, |item| item.value.unsigned_abs())
    };
    match name.as_str() {
        "none" => Some(Paging::Whole),
        "page" => Some(Paging::Page {
            parameter: parameter("page_parameter", "page"),
            first: number("first_page", 1),
        }),
        "offset" => Some(Paging::Offset {
            parameter: parameter("offset_parameter", "offset"),
            first: number("first_offset", 0),
        }),
        "cursor" => Some(Paging::Cursor {
            parameter: parameter("cursor_parameter", "cursor"),
            next: required_path(table, "cursor")?,
        }),
        "link" => Some(Paging::Link {
            next: optional_path(table, "next")?,
        }),
        other => {
            table.report(
                line,
                format!("`{other}` is no kind of paging"),
                "use none, page, offset, cursor or link",
            );
            None
        }
    }
}
