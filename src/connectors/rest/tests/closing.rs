//! When a list counts as read to its end, where its own total is the only sign of it.
//!
//! Owns totals that shrink or count a page alone, what servers answer past the end, and pages that
//! no manifest declares.

use super::truths::{number, paged};
use super::*;

/// Whether the list was closed, and how many it showed.
async fn closed(target: &Target) -> (bool, usize) {
    let listing = target.list().await.expect("listed");
    (listing.completeness.pages_closed, listing.accounts.len())
}

#[tokio::test]
async fn a_total_that_shrinks_between_pages_leaves_the_list_open() {
    // User 3 is deleted after the first page: 11 moves up onto that page, and is on none that is
    // read. As many are shown in the end as there are.
    for shape in [SHAPE.to_owned(), SHAPE.replace("\"page\"", "\"offset\"")] {
        let target = Target::new(&shape, |_, path| {
            let skip = number(path, "page").map(|page| (page - 1) * 10);
            let skip = skip.or(number(path, "offset")).expect("a place");
            let ids = (1..=25).filter(|id| skip == 0 || *id != 3);
            let users = ids.skip(skip as usize).take(10);
            let users: Vec<_> = users.map(|id| user(id, &format!("user{id}"))).collect();
            (
                200,
                json!({"users": users, "total": if skip == 0 { 25 } else { 24 }}),
            )
        })
        .await;
        assert_eq!(closed(&target).await, (false, 24));
    }
}

#[tokio::test]
async fn a_total_that_counts_the_page_alone_is_not_taken_for_the_end() {
    for capped in [10, 25] {
        let target = Target::new(SHAPE, move |_, path| {
            let users = page(path, 25 + capped, capped);
            let count = users.len();
            (200, json!({"users": users, "total": count}))
        })
        .await;
        let (is_closed, shown) = closed(&target).await;
        assert!(!is_closed && shown > 10, "{shown} by {capped}");
    }
    // One that counts what was shown so far agrees with every page, and at last with the end.
    let target = Target::new(SHAPE, |_, path| {
        let so_far = number(path, "page").expect("a page") * 10;
        (
            200,
            json!({"users": page(path, 25, 10), "total": so_far.min(25)}),
        )
    })
    .await;
    assert_eq!(closed(&target).await, (true, 25));
}

#[tokio::test]
async fn e1_a_total_that_stops_at_a_bound_is_looked_past_and_closes_no_list() {
    // 25 users, and a total that counts no more than 20 of them, on each page.
    let capped = |all: u64| {
        Target::new(SHAPE, move |_, path| {
            (
                200,
                json!({"users": page(path, all, 10), "total": all.min(20)}),
            )
        })
    };
    assert_eq!(closed(&capped(25).await).await, (false, 25));
    // One that is right is believed, once the page past it is empty.
    let target = capped(20).await;
    assert_eq!(closed(&target).await, (true, 20));
    assert_eq!(target.asked("/api/users"), 3);
    // A bound is answered with 400, and so is a page that does not exist: only the manifest can tell.
    let declared = SHAPE.replace(
        "total = \"$.total\"\n",
        "total = \"$.total\"\nempty = [400]\n",
    );
    for (shape, whole) in [(SHAPE, false), (declared.as_str(), true)] {
        let target = Target::new(shape, |_, path| match number(path, "page") {
            Some(3) => (400, json!({"error": "result window is too large"})),
            _ => (200, json!({"users": page(path, 25, 10), "total": 20})),
        })
        .await;
        assert_eq!(closed(&target).await, (whole, 20));
    }
}

/// Whether a first page with this answer and header closes the list, by a table with these keys.
async fn closed_by(keys: &str, mark: Value) -> bool {
    let target = Target::new(&paged(keys), move |_, path| {
        let mut answer = json!({"users": page(path, 3, 10), "total": 3});
        for (name, value) in mark.as_object().expect("members") {
            answer[name] = value.clone();
        }
        (200, answer)
    })
    .await;
    closed(&target).await.0
}

#[tokio::test]
async fn e1_a_mark_that_is_not_there_may_have_been_renamed_and_closes_no_list() {
    let cursor = "paging = \"cursor\"\ncursor = \"$.meta.next_cursor\"\n";
    let next = "paging = \"link\"\nnext = \"$.meta.next_cursor\"\n";
    let omitted = "mark_omitted_at_end = true\n";
    for keys in [cursor, next] {
        for (mark, whole) in [
            (json!({"meta": {"next_cursor": null}}), true),
            (json!({"meta": {"next_cursor": ""}}), true),
            // Renamed, the mark of thousands more is not seen.
            (json!({"meta": {"nextCursor": "MTAw"}}), false),
            (json!({}), false),
        ] {
            assert_eq!(closed_by(keys, mark.clone()).await, whole, "{keys}{mark}");
        }
        let declared = format!("{keys}{omitted}");
        assert!(closed_by(&declared, json!({})).await, "{keys}");
        // A first page as full as was asked for is taken for the last only by a total.
        let full = format!("{declared}size = 3\nsize_parameter = \"n\"\n");
        assert!(!closed_by(&full, json!({})).await, "{keys}");
        let counted = format!("{full}total = \"$.total\"\n");
        assert!(closed_by(&counted, json!({})).await, "{keys}");
        // A total closes no list by itself: it may count the page.
        let counted = format!("{keys}total = \"$.total\"\n");
        assert!(!closed_by(&counted, json!({})).await, "{keys}");
    }
    // A proxy may take the header out; one that comes without a next page says that it does not.
    let header = "paging = \"link\"\n";
    for (keys, link, whole) in [
        ("", json!({}), false),
        ("", json!({"link": "</api/users>; rel=\"self\""}), true),
        (omitted, json!({}), true),
        ("total = \"$.total\"\n", json!({}), true),
    ] {
        let keys = format!("{header}{keys}");
        assert_eq!(closed_by(&keys, link.clone()).await, whole, "{keys}{link}");
    }
    // An empty page is an end, whatever stands beside it.
    let target = Target::new(&paged(cursor), |_, _| (200, json!({"users": []}))).await;
    assert_eq!(closed(&target).await, (true, 0));
    for paging in ["paging = \"page\"\n", ""] {
        let faulty = paged(&format!("{paging}{omitted}"));
        let told = load("https://crm.acme.example", &faulty).expect_err("no mark");
        let told = told.to_string();
        assert!(
            told.contains("`mark_omitted_at_end` without a mark"),
            "{told}"
        );
    }
}

/// One page of three, and this answer past it.
async fn past(answer: (u16, Value)) -> Target {
    Target::new(SHAPE, move |_, path| match number(path, "page") {
        Some(1) => (200, json!({"users": page(path, 3, 10), "total": 3})),
        _ => answer.clone(),
    })
    .await
}

#[tokio::test]
async fn whatever_honest_servers_answer_past_the_end_closes_the_list() {
    for answer in [
        (200, json!({"users": [], "total": 3})),
        (200, json!({"users": [], "total": 0})),
        (200, json!({"users": []})),
        (200, json!({"total": 3})),
        (404, json!({"error": "no such page"})),
        (410, json!({"raw": ""})),
        (416, json!({"raw": "<html>no</html>"})),
    ] {
        let target = past(answer.clone()).await;
        assert_eq!(closed(&target).await, (true, 3), "{answer:?}");
        assert_eq!(target.asked("/api/users"), 2);
    }
}

#[tokio::test]
async fn a_server_that_overlooks_the_pages_number_and_counts_the_page_closes_no_list() {
    // Three of many, whatever page is asked for.
    let target = past((200, json!({"users": page("/?page=1", 3, 10), "total": 3}))).await;
    assert_eq!(closed(&target).await, (false, 3));
}

#[tokio::test]
async fn a_page_past_the_end_that_says_something_else_does_not_close_the_list() {
    for (answer, class) in [
        ((500, json!({})), FailureClass::Unreachable),
        ((429, json!({})), FailureClass::RateLimited),
        (
            (404, json!({"error": "invalid_auth"})),
            FailureClass::AuthFailure,
        ),
        ((200, json!({"people": []})), FailureClass::Drifted),
    ] {
        let target = past(answer.clone()).await;
        let failure = target.list().await.expect_err("no end");
        assert_eq!(failure.class, class, "{answer:?}");
    }
    let joined = past((200, json!({"users": [], "total": 4}))).await;
    assert_eq!(closed(&joined).await, (false, 3));
}

#[tokio::test]
async fn a_list_without_pages_that_names_a_next_one_stays_open() {
    for (link, whole) in [
        ("</api/users?page=2>; rel=\"next\"", false),
        ("</api/users>; rel=\"first\"", true),
    ] {
        let target = Target::new(&paged(""), move |_, path| {
            (200, json!({"users": page(path, 3, 10), "link": link}))
        })
        .await;
        assert_eq!(closed(&target).await, (whole, 3), "{link}");
    }
}

#[test]
fn h3_what_would_make_proof_of_nothing_is_refused() {
    let told = |from: &str, to: &str| {
        let faulty = SHAPE.replacen(from, to, 1);
        assert_ne!(faulty, SHAPE, "{from}");
        let loaded = load("https://crm.acme.example", &faulty);
        loaded.map_or_else(|problems| problems.to_string(), |_| String::new())
    };
    let read = "account = \"$.user\"\n";
    for status in [200, 204, 302, 401, 403, 407, 408, 429, 500, 503] {
        let told = told(read, &format!("{read}not_found = [404, {status}]\n"));
        let part = format!("`rest.read.not_found`: status {status} does not say");
        assert!(
            told.contains(&part) && told.contains("use 404, 410"),
            "{told}"
        );
    }
    let all = told(read, &format!("{read}not_found = [200, 401, 403, 500]\n"));
    assert_eq!(all.matches("does not say").count(), 4, "{all}");
    let delete = "[rest.delete]\n";
    let all = told(delete, &format!("{delete}not_found = [500]\n"));
    assert!(all.contains("`rest.delete.not_found`: status 500"), "{all}");
    let list = "total = \"$.total\"\n";
    for status in [200, 206, 401, 403, 405, 429, 500] {
        let told = told(list, &format!("{list}empty = [404, {status}]\n"));
        let part = format!("`rest.list.empty`: status {status} does not say");
        assert!(
            told.contains(&part) && told.contains("use 204, 400"),
            "{told}"
        );
    }
    let errors = "[[rest.errors]]\npath = \"$.error\"\nmeans = \"not_found\"\n[rest.account]\n";
    let all = told("[rest.account]\n", errors);
    assert!(
        all.contains("takes whatever stands there") && all.contains("`values`"),
        "{all}"
    );
    let sized = "`rest.list` asks for pages of a size, without `paging`";
    for paging in ["", "paging = \"none\"\n"] {
        let all = told("paging = \"page\"\n", paging);
        assert!(
            all.contains(sized) && all.contains("say with `paging`"),
            "{all}"
        );
    }
    // What can mean it may be said.
    let fine = format!("{read}not_found = [400, 404, 410, 422]\n");
    assert_eq!(told(read, &fine), "");
    let fine = format!("{list}empty = [204, 400, 404, 410, 416]\n");
    assert_eq!(told(list, &fine), "");
}
