//! What real programs were seen to answer to questions, and how a manifest says so.
//!
//! Owns one test for each truth about lists, states and unreadable answers that
//! `docs/connectors/rest.md` lists by its name. What accounts hold is tested in `held`, changes in
//! `changes`, sign-in in `oauth`.

use std::sync::Mutex;

use super::*;
use crate::domain::verdict::Expectation;

/// The shape with its list read in another way.
pub(super) fn paged(keys: &str) -> String {
    let (before, rest) = SHAPE.split_once("total = \"$.total\"\n").expect("its list");
    let (_, after) = rest.split_once("[rest.read]").expect("what follows");
    format!("{before}{keys}\n[rest.read]{after}")
}

pub(super) fn number(path: &str, name: &str) -> Option<u64> {
    let (_, query) = path.split_once('?')?;
    let name = format!("{name}=");
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(&name))?
        .parse()
        .ok()
}

fn logins(listing: &Listing) -> Vec<&str> {
    let logins = listing.accounts.iter().map(|one| one.login.as_str());
    logins.collect()
}

#[tokio::test]
async fn a_first_page_again_past_the_end_is_noticed_and_never_taken_for_the_end() {
    // Page three does not exist, and the server shows the first again, for ever.
    let circular = |path: &str| {
        let asked = number(path, "page").unwrap_or(1);
        let shown = if asked > 2 { 1 } else { asked };
        page(&format!("/?page={shown}"), 15, 10)
    };
    let target = Target::new(&paged("paging = \"page\""), move |_, path| {
        (200, json!({ "users": circular(path) }))
    })
    .await;
    let listing = target.list().await.expect("listed");
    assert_eq!(listing.accounts.len(), 15);
    assert!(!listing.completeness.pages_closed);
    assert_eq!(target.asked("/api/users"), 3);
    // That the number of all is reached does not end it: the number may stop at a bound.
    let told = paged("paging = \"page\"\ntotal_header = \"X-Total-Count\"");
    let target = Target::new(&told, move |_, path| {
        let headers = json!({"X-Total-Count": "15"});
        (200, json!({"users": circular(path), "headers": headers}))
    })
    .await;
    let listing = target.list().await.expect("listed");
    assert_eq!(listing.accounts.len(), 15);
    assert!(!listing.completeness.pages_closed);
    assert_eq!(target.asked("/api/users"), 3);
    // By offset, at a server that does not look at it.
    let deaf = Target::new(&paged("paging = \"offset\""), |_, _| {
        (200, json!({"users": page("/", 15, 10)}))
    })
    .await;
    let listing = deaf.list().await.expect("listed");
    assert_eq!(listing.accounts.len(), 10);
    assert!(!listing.completeness.pages_closed);
    assert_eq!(deaf.asked("/api/users"), 2);
}

#[tokio::test]
async fn offsets_default_page_sizes_and_a_refusal_past_the_end_are_read_to_the_end() {
    let keys = "paging = \"offset\"\noffset_parameter = \"skip\"\nfirst_offset = 1\nempty = [404]";
    let target = Target::new(&paged(keys), |_, path| {
        let skip = number(path, "skip").expect("an offset");
        if skip > 25 {
            return (404, json!({"error": "no such page"}));
        }
        let ids = skip..(skip + 10).min(26);
        let users: Vec<_> = ids.map(|id| user(id, &format!("user{id}"))).collect();
        // A total as text, as some send it, is not asked for here.
        (200, json!({ "users": users }))
    })
    .await;
    let listing = target.list().await.expect("listed");
    assert_eq!(listing.accounts.len(), 25);
    assert_eq!(listing.completeness, Completeness::WHOLE);
    let asked: Vec<_> = target
        .seen
        .lock()
        .expect("not poisoned")
        .iter()
        .filter_map(|seen| number(&seen.1, "skip"))
        .collect();
    assert_eq!(asked, [1, 11, 21, 26]);
    // Undeclared, the refusal is a failure and no end.
    let target = Target::new(&paged("paging = \"page\""), |_, path| {
        match number(path, "page") {
            Some(1) => (200, json!({"users": page(path, 10, 10)})),
            _ => (404, json!({"error": "no such page"})),
        }
    })
    .await;
    let failure = target.list().await.expect_err("no end was declared");
    assert_eq!(failure.class, FailureClass::Drifted);
}

#[tokio::test]
async fn a_status_that_ends_lists_ends_none_where_the_words_say_something_else() {
    let keys = "paging = \"page\"\nempty = [400]";
    let busy = "[[rest.errors]]\npath = \"$.error\"\nvalues = [\"busy\"]\nmeans = \"rate_limited\"\n[rest.account]\n";
    let shape = paged(keys).replace("[rest.account]\n", busy);
    let word = Arc::new(Mutex::new("no such page"));
    let said = word.clone();
    let target = Target::new(&shape, move |_, path| match number(path, "page") {
        Some(1) => (200, json!({"users": page("/?page=1", 10, 10)})),
        _ => (400, json!({"error": *said.lock().expect("not poisoned")})),
    })
    .await;
    assert_eq!(target.list().await.expect("listed").accounts.len(), 10);
    *word.lock().expect("not poisoned") = "busy";
    let failure = target.list().await.expect_err("there may be more");
    assert_eq!(failure.class, FailureClass::RateLimited);
}

#[tokio::test]
async fn a_next_address_in_the_body_is_followed_and_a_total_may_be_text() {
    let keys = "paging = \"link\"\nnext = \"$.links.next\"\ntotal = \"$.count\"";
    // Whole, and as seen from the page before (RFC 3986 §5).
    for address in ["/api/users?after=10", "?after=10", "users?after=10"] {
        let target = Target::new(&paged(keys), move |_, path| {
            let second = path.contains("after=10");
            let next = if second { json!(null) } else { json!(address) };
            let shown = if second { "/?page=2" } else { "/?page=1" };
            let users = page(shown, 15, 10);
            let answer = json!({"users": users, "links": {"next": next}, "count": "15"});
            (200, answer)
        })
        .await;
        let listing = target.list().await.expect("listed");
        assert_eq!(listing.accounts.len(), 15, "{address}");
        assert_eq!(listing.completeness, Completeness::WHOLE, "{address}");
    }
}

#[tokio::test]
async fn a_list_that_leaves_out_the_disabled_counts_together_with_theirs() {
    let also = "[[rest.list_also]]\npath = \"/users?status=suspended\"\nitems = \"$.users\"\n\
        paging = \"page\"\ntotal = \"$.total\"\n[rest.read]\n";
    let shape = SHAPE.replace("[rest.read]\n", also);
    let serve = |hidden: fn(&str) -> (u16, Value)| {
        move |_: &str, path: &str| {
            if path.contains("status=suspended") {
                return hidden(path);
            }
            if is_second(path) {
                return (200, json!({"users": [], "total": 2}));
            }
            (
                200,
                json!({"users": [user(1, "ada"), user(2, "bob")], "total": 2}),
            )
        }
    };
    let target = Target::new(
        &shape,
        serve(|path| {
            if is_second(path) {
                return (200, json!({"users": [], "total": 2}));
            }
            let mut cyd = user(3, "cyd");
            cyd["status"] = json!("suspended");
            // Bob was suspended while the lists were read, and stands in both.
            (200, json!({"users": [user(2, "bob"), cyd], "total": 2}))
        }),
    )
    .await;
    let listing = target.list().await.expect("listed");
    assert_eq!(logins(&listing), ["ada", "bob", "cyd"]);
    assert_eq!(listing.accounts[2].state, AccountState::Disabled);
    assert_eq!(listing.completeness, Completeness::WHOLE);
    // Absence counts only over both: half of the second leaves the whole open, and a failure of it
    // is a failure of the whole.
    let half = |_: &str| (200, json!({"users": [], "total": 4}));
    let target = Target::new(&shape, serve(half)).await;
    let listing = target.list().await.expect("listed");
    assert!(!listing.completeness.pages_closed);
    let target = Target::new(&shape, serve(|_| (503, json!({})))).await;
    assert!(target.list().await.is_err());
}

#[tokio::test]
async fn an_account_that_one_place_hides_is_looked_for_at_the_next() {
    let also = "[[rest.read_also]]\npath = \"/archive?id={account.id}\"\nitems = \"$.users\"\n\
        account = \"$.person\"\n[[rest.entitlements]]\n";
    let shape = SHAPE.replacen("[[rest.entitlements]]\n", also, 1);
    let target = Target::new(&shape, |_, path| {
        let mut ada = user(7, "ada");
        ada["status"] = json!("suspended");
        match path {
            "/api/archive?id=7" => {
                let others = [json!({"person": user(8, "eve")}), json!({ "person": ada })];
                (200, json!({ "users": others }))
            }
            "/api/archive?id=9" => (200, json!({"users": []})),
            "/api/users/7/keys" => (200, json!({"keys": []})),
            _ => (404, json!({})),
        }
    })
    .await;
    let account = target.read("7").await.expect("read").account;
    let account = account.expect("she is there, disabled");
    assert_eq!(account.state, AccountState::Disabled);
    let gone = target.read("9").await.expect("read");
    assert_eq!(gone.account, None);
    assert_eq!(gone.completeness, Completeness::WHOLE);
    assert_eq!(gone.method, "GET /users/9, list of 1 requests");
    // A list that is not there any more is no proof of anything.
    let target = Target::new(&shape, |_, path| {
        if path.starts_with("/api/archive") {
            return (200, json!({"people": []}));
        }
        (404, json!({}))
    })
    .await;
    let failure = target.read("7").await.expect_err("renamed");
    assert_eq!(failure.class, FailureClass::Drifted);
}

#[tokio::test]
async fn states_by_number_flags_as_text_nested_answers_and_soft_deletion_by_date() {
    use AccountState::{Disabled, Enabled};
    let shape = SHAPE
        .replace("$.status", "$.meta.active")
        .replace("enabled = [\"active\"]", "enabled = [\"1\", \"true\"]")
        .replace(
            "disabled = [\"suspended\"]",
            "disabled = [\"0\", \"false\"]",
        )
        .replace(
            "[rest.account.states]",
            "privileged = \"$.admin\"\ngone = \"$.deleted_at\"\n[rest.account.states]",
        )
        .replace(
            "total = \"$.total\"",
            "account = \"$.node\"\ntotal = \"$.total\"",
        );
    let target = Target::new(&shape, |_, path| {
        if is_second(path) {
            return (200, json!({"users": [], "total": 5}));
        }
        let one = |id: u64, active: Value, admin: Value, deleted: Value| {
            let mut user = user(id, &format!("user{id}"));
            user["meta"] = json!({ "active": active });
            user["admin"] = admin;
            user["deleted_at"] = deleted;
            json!({ "node": user })
        };
        let users = [
            one(1, json!(1), json!("True"), json!(null)),
            one(2, json!(0), json!(0), json!("")),
            one(3, json!("True"), json!("false"), json!(false)),
            one(4, json!("FALSE"), json!(1), json!(0)),
            one(5, json!(1), json!(false), json!("2026-11-20T10:00:00Z")),
        ];
        (200, json!({"users": users, "total": 5}))
    })
    .await;
    let listing = target.list().await.expect("listed");
    assert_eq!(listing.completeness, Completeness::WHOLE);
    let seen = listing
        .accounts
        .iter()
        .map(|one| (one.state, one.privileged));
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [
            (Enabled, true),
            (Disabled, false),
            (Enabled, false),
            (Disabled, true)
        ]
    );
}

#[tokio::test]
async fn a_minute_to_wait_is_told_and_not_slept_through() {
    let date = json!({
        "Retry-After": "Fri, 20 Nov 2026 10:01:00 GMT", "Date": "Fri, 20 Nov 2026 10:00:00 GMT",
    });
    for headers in [json!({"Retry-After": "60"}), date] {
        let target = Target::new(SHAPE, move |_, _| {
            (429, json!({"error": "slow down", "headers": headers}))
        })
        .await;
        let listed = target.list().await.map(drop);
        let delete = change(Operation::Delete, "7", "ada");
        let deleted = target.write(&delete).await.map(drop);
        for failed in [listed, deleted] {
            let failure = failed.expect_err("slow down");
            assert_eq!(failure.class, FailureClass::RateLimited);
            assert_eq!(failure.retry_after_seconds, Some(60));
        }
        assert_eq!(target.asked("/api"), 2);
    }
}

#[tokio::test]
async fn garbage_half_a_document_and_nothing_at_all_are_drifted_when_read() {
    for (status, raw) in [
        (200, "<html>Please sign in</html>"),
        (200, "{\"users\": [{\"id\""),
        (200, ""),
        (204, ""),
        (200, "null"),
    ] {
        let target = Target::new(SHAPE, move |_, _| (status, json!({ "raw": raw }))).await;
        let failure = target.list().await.expect_err("no list");
        assert_eq!(failure.class, FailureClass::Drifted, "{raw}");
        let failure = target.read("7").await.expect_err("no account");
        assert_eq!(failure.class, FailureClass::Drifted, "{raw}");
    }
}

#[tokio::test]
async fn e1_a_next_address_that_cannot_be_read_leaves_the_list_open() {
    let shape = SHAPE.replace(
        "total = \"$.total\"\npaging = \"page\"\nsize = 100\nsize_parameter = \"per_page\"",
        "paging = \"link\"\nmark_omitted_at_end = true",
    );
    for (link, (known, closed)) in [
        ("</api/users?p=z\u{fc}rich>; rel=next", (2, false)),
        (
            "</api/users?p=2>; rel=next; title=\"n\u{e4}chste\"",
            (4, true),
        ),
        ("</api/hilfe>; rel=help; title=\"f\u{fc}r alle\"", (2, true)),
    ] {
        let target = Target::new(&shape, move |_, path| {
            let (first, link) = match path {
                "/api/users" => (1, link),
                _ => (3, "</api/users>; rel=first"),
            };
            let users: Vec<_> = (first..first + 2)
                .map(|id| user(id, &format!("user{id}")))
                .collect();
            (200, json!({"users": users, "link": link}))
        })
        .await;
        let listing = target.list().await.expect("listed");
        let seen = (listing.accounts.len(), listing.completeness.pages_closed);
        assert_eq!(seen, (known, closed), "{link}");
    }
}

#[test]
fn e1_an_expectation_that_no_read_could_show_is_refused_at_load() {
    let states = "[rest.account.states]\nenabled = [\"active\"]\ndisabled = [\"suspended\"]\ngone = [\"deleted\"]\n";
    let silent = SHAPE
        .replace(states, "")
        .replace("state = \"$.status\"\n", "");
    let clock: Arc<dyn Clock> = Moved::new();
    let mut manifest = target::approving();
    manifest.operations.remove(&Operation::Disable);
    let shape = silent.replace("[rest.disable]\nmethod = \"PATCH\"\npath = \"/users/{account.id}\"\nbody = { active = false, profile = { note = \"left: {account.login}\" } }\nsuccess = { \"$.ok\" = true }\n", "");
    for (expected, sound) in [
        (Expectation::AccountGone, true),
        (Expectation::AccountPowerless, false),
    ] {
        manifest.after_removal = expected;
        let loaded = target::connector(&manifest, "https://crm.acme.example/api", &shape, &clock);
        let all = loaded.err().map_or(String::new(), |all| all.to_string());
        assert_eq!(!all.contains("`account_powerless` without"), sound, "{all}");
    }
}

#[test]
fn h3_every_fault_of_lists_and_members_is_told() {
    let faulty = SHAPE
        .replace(
            "total = \"$.total\"",
            "total = \"$.total\"\ntotal_header = \"X-Total\"\nempty = [\"none\"]",
        )
        .replace(
            "path = \"/users/{account.id}\"\naccount",
            "path = \"/me\"\naccount",
        )
        .replace(
            "items = \"$.roles\"",
            "items = \"$.roles\"\nmembers = { items = \"$.m\", by = \"name\", x = 1 }",
        )
        .replace(
            "[rest.read]\n",
            "[[rest.list_also]]\nitems = \"$.x\"\n[rest.read]\n",
        );
    let told = load("https://crm.acme.example", &faulty)
        .expect_err("faults")
        .to_string();
    for part in [
        "`total_header` is no name of a header, or stands beside `total`",
        "`empty` is no list of statuses",
        "the request does not name `account.id`",
        "`members` without `path`",
        "members are not named by `name`",
        "unknown key `rest.entitlements[0].members.x`",
        "`rest.list_also[0].path` is missing",
    ] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
}

#[tokio::test]
async fn e1_an_answer_that_there_is_nothing_is_as_old_as_its_cache_says() {
    let old = |status: u16| (status, json!({"headers": {"Age": "40"}}));
    // A list that ends, or is empty, by a status.
    for (keys, first) in [
        ("paging = \"offset\"\nempty = [404]", 0),
        ("paging = \"offset\"\nempty = [404]", 5),
        ("paging = \"page\"\ntotal = \"$.total\"", 5),
    ] {
        let target = Target::new(&paged(keys), move |_, path| {
            let begun = number(path, "offset").or(number(path, "page").map(|page| page - 1));
            if begun == Some(0) && first > 0 {
                let users: Vec<_> = (1..=first)
                    .map(|id| user(id, &format!("user{id}")))
                    .collect();
                return (200, json!({"users": users, "total": first}));
            }
            old(404)
        })
        .await;
        let listing = target.list().await.expect("listed");
        let shown = (listing.accounts.len() as u64, listing.data_age_seconds);
        assert_eq!(shown, (first, 40), "{keys}");
        assert_eq!(listing.completeness.gap(), None);
    }
    // An account, and what might be left of it, each by itself.
    for aged in ["/api/users/7", "/api/users/7/keys"] {
        let target = Target::new(SHAPE, move |_, path| {
            if path == aged {
                return old(404);
            }
            (404, json!({}))
        })
        .await;
        let reading = target.read("7").await.expect("read");
        assert_eq!(
            (reading.account, reading.data_age_seconds),
            (None, 40),
            "{aged}"
        );
        assert_eq!(reading.completeness.gap(), None, "{aged}");
    }
    // An age that cannot be read may be any.
    let target = Target::new(SHAPE, |_, _| (404, json!({"headers": {"Age": "soon"}}))).await;
    let reading = target.read("7").await.expect("read");
    assert_eq!(reading.data_age_seconds, u64::MAX);
}
