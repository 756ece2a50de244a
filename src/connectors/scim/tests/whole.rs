//! When an answer counts as whole: the end of a list, members in sight, a shape that can be read.
//!
//! Owns the cases in which something could be missing and nothing says so.

use serde_json::{Value, json};

use super::*;
use crate::connectors::contract::Reading;

impl Bench {
    /// Whether the users were listed to the end, how many, and with how many requests.
    async fn listed(&self) -> (bool, usize, usize) {
        let listing = self.crm.list(&self.verifier).await.expect("lists");
        let closed = listing.completeness.pages_closed;
        (
            closed,
            listing.accounts.len(),
            self.server.sent("GET").len(),
        )
    }

    async fn reading(&self, id: &str) -> Result<Reading, Failure> {
        self.crm.read(&self.verifier, &id.into()).await
    }

    async fn closed(&self, id: &str) -> bool {
        let reading = self.reading(id).await.expect("a reading");
        reading.completeness.pages_closed
    }

    fn spoil(&self, change: impl FnOnce(&mut server::Estate)) {
        change(&mut self.server.state.lock().expect("not poisoned"));
    }
}

#[tokio::test]
async fn a_server_that_shows_its_first_page_whatever_is_asked_and_counts_only_that_is_not_closed() {
    let bench = bench(Trap::OnlyFirstPage).await;
    // The page, the page past its end, and a look whether the place is looked at.
    assert_eq!(bench.listed().await, (false, 2, 3));
    assert!(bench.server.fired() > 0);
    // The same from a server that does look at it, and has no more.
    let honest = sized(Trap::FirstPageAgain, 9, "").await;
    assert_eq!(honest.listed().await, (true, 5, 3));
    assert!(honest.server.fired() > 0);
    let empty_past_the_end = sized(Trap::None, 9, "").await;
    assert_eq!(empty_past_the_end.listed().await, (true, 5, 2));
}

#[tokio::test]
async fn a_total_that_counts_the_page_ends_in_few_requests_and_closes_nothing() {
    for page_size in [4, 9] {
        let bench = sized(Trap::TotalOfPage, page_size, "").await;
        let (closed, accounts, requests) = bench.listed().await;
        assert_eq!((closed, accounts), (false, 5), "{page_size}");
        assert!(requests < 16, "{requests}");
        assert!(bench.server.fired() > 0);
    }
}

#[tokio::test]
async fn accounts_that_move_up_before_an_empty_last_page_are_not_lost() {
    let bench = bench(Trap::DeletedAtTheEnd).await;
    let listing = bench.crm.list(&bench.verifier).await.expect("lists");
    assert_eq!(bench.server.fired(), 1);
    assert!(listing.accounts.iter().any(|one| one.id.as_str() == "eve"));
    assert!(listing.completeness.pages_closed);
}

#[tokio::test]
async fn groups_that_show_no_member_to_anybody_prove_nothing() {
    let bench = bench(Trap::MembersHidden).await;
    for id in ["ada", "eve"] {
        let reading = bench.reading(id).await.expect("a reading");
        assert!(!reading.completeness.pages_closed, "{}", reading.method);
        assert!(reading.method.ends_with("none shows a member"));
    }
    assert!(bench.server.fired() > 0);
    // What the user shows of its groups is there to be read.
    let shows = |ids: &[&str]| {
        let groups: Vec<_> = ids.iter().map(|id| json!({ "value": id })).collect();
        bench.spoil(|state| state.users[0]["groups"] = json!(groups));
    };
    shows(&["g1", "g2"]);
    assert!(bench.closed("ada").await);
    // Less than a filter finds is not all of them.
    shows(&["g1"]);
    assert!(!bench.closed("ada").await);
    assert!(!bench.closed("eve").await);
    // Where the owner says that there may be no member at all, an empty list is one.
    let told = with(Trap::MembersHidden, "groups_may_be_empty = true").await;
    assert!(told.closed("eve").await);
}

#[tokio::test]
async fn groups_that_are_not_shown_at_all_prove_nothing() {
    let bench = bench(Trap::GroupsUnseen).await;
    for id in ["ada", "eve"] {
        let reading = bench.reading(id).await.expect("a reading");
        assert!(!reading.completeness.pages_closed, "{}", reading.method);
        assert!(reading.method.ends_with("no group is shown"));
    }
    assert!(bench.server.fired() > 0);
    // Where the owner says that there may be no group, an empty list is one.
    let told = with(Trap::GroupsUnseen, "groups_may_be_empty = true").await;
    assert_eq!(
        told.reading("eve")
            .await
            .expect("a reading")
            .completeness
            .gap(),
        None
    );
}

#[tokio::test]
async fn a_group_that_an_account_was_in_and_that_is_not_shown_any_more_proves_nothing() {
    let bench = bench(Trap::None).await;
    let last = bench.reading("ada").await.expect("a reading").account;
    let last = last.expect("there");
    let again = async |bench: &Bench| {
        let id = "ada".into();
        let known = bench.crm.read_known(&bench.verifier, &id, Some(&last));
        known.await.expect("a reading")
    };
    // Taken out of all groups, which are still shown: by the filter, and by the walk.
    bench.spoil(|state| state.groups[0]["members"] = json!([{ "value": "bob" }]));
    bench.spoil(|state| state.groups[1]["members"] = json!([]));
    for _ in 0..2 {
        let reading = again(&bench).await;
        assert_eq!(reading.completeness.gap(), None, "{}", reading.method);
        let held = reading.account.expect("there").entitlements;
        assert!(
            held.iter()
                .all(|one| !one.id.as_str().starts_with("group:"))
        );
    }
    // One of them is not shown any more.
    bench.spoil(|state| drop(state.groups.remove(1)));
    for _ in 0..2 {
        let reading = again(&bench).await;
        assert!(reading.completeness.permission_cut, "{}", reading.method);
    }
    // None is, and the owner says that there may be none.
    let told = with(Trap::GroupsUnseen, "groups_may_be_empty = true").await;
    assert!(again(&told).await.completeness.permission_cut);
    assert!(told.server.fired() > 0);
}

#[tokio::test]
async fn members_that_the_list_shows_as_none_are_asked_for_one_by_one() {
    let bench = bench(Trap::MembersEmptyInList).await;
    let ids = bench.entitlements("ada").await.expect("there");
    assert_eq!(ids[1..], ALL_OF_ADA[1..]);
    assert!(bench.closed("ada").await && bench.closed("eve").await);
    assert!(bench.server.fired() > 0);
    let sent = bench.server.sent("GET");
    assert!(sent.contains(&"/v2/Groups/g3".to_owned()), "{sent:?}");
}

#[tokio::test]
async fn a_filter_that_has_gone_blind_since_it_was_tried_hides_no_membership() {
    let bench = bench(Trap::None).await;
    assert!(bench.closed("eve").await);
    // Who was found then may have left since; that makes nobody else's answer less whole.
    bench.spoil(|state| state.groups[0]["members"] = json!([{ "value": "bob" }]));
    bench.spoil(|state| state.groups[1]["members"] = json!([]));
    assert!(bench.closed("eve").await);
    bench.spoil(|state| state.trap = Trap::FilterBlind);
    let ids = bench.entitlements("bob").await.expect("there");
    assert!(ids.contains(&"group:g1".to_owned()), "{ids:?}");
    bench.spoil(|state| state.trap = Trap::MembersHidden);
    assert!(!bench.closed("bob").await);
    assert!(bench.server.fired() > 0);
}

#[tokio::test]
async fn of_a_walk_and_a_filter_that_contradict_each_other_the_one_with_less_access_proves_nothing()
{
    // Given a group of three that shows two of them, and a filter that finds all three.
    let bench = bench(Trap::MembersCut(2)).await;
    for _ in 0..3 {
        let reading = bench.reading("cyd").await.expect("a reading");
        assert!(!reading.completeness.pages_closed, "{}", reading.method);
        assert!(bench.closed("ada").await && bench.closed("eve").await);
    }
    assert!(bench.server.fired() > 0);
    // It is no other when the first member in sight is hidden in another group.
    bench.spoil(|state| {
        let bob_dan_ada = json!([{ "value": "bob" }, { "value": "dan" }, { "value": "ada" }]);
        state.groups[2]["members"] = bob_dan_ada;
    });
    bench.clock.advance(3601);
    for id in ["ada", "cyd"] {
        assert!(!bench.closed(id).await, "{id}");
    }
    // A filter that is not looked at any more contradicts nothing.
    bench.spoil(|state| state.trap = Trap::None);
    assert!(bench.closed("eve").await);
    bench.spoil(|state| state.trap = Trap::FilterIgnored);
    for _ in 0..2 {
        assert!(bench.closed("eve").await);
    }
}

#[tokio::test]
async fn a_group_that_the_list_shows_without_members_is_read_also_where_others_show_theirs() {
    let bench = bench(Trap::None).await;
    let before = bench.server.sent("GET").len();
    assert!(bench.closed("eve").await);
    let sent = bench.server.sent("GET").split_off(before);
    let single = |path: &&String| path.starts_with("/v2/Groups/");
    let single: Vec<_> = sent.iter().filter(single).collect();
    assert_eq!(single, ["/v2/Groups/g3"]);
    // More than are read one by one leave it open, unless the owner says that they may be empty.
    for (keys, closed) in [("", false), ("groups_may_be_empty = true", true)] {
        let bench = with(Trap::None, keys).await;
        bench.spoil(|state| {
            let empty = (0..201).map(|i| json!({ "id": format!("e{i}"), "displayName": "e" }));
            state.groups.extend(empty);
        });
        assert_eq!(bench.closed("eve").await, closed, "{keys}");
    }
}

#[tokio::test]
async fn access_that_is_shown_and_cannot_be_read_is_drifted() {
    for (attribute, shown) in [
        ("roles", json!("editor")),
        ("roles", json!([{ "type": "x" }])),
        ("entitlements", json!({ "value": "e" })),
        ("emails", json!("ada@x")),
        ("groups", json!([{ "display": "staff" }])),
        ("groups", json!({ "value": "g1" })),
    ] {
        let bench = bench(Trap::None).await;
        bench.spoil(|state| state.users[0][attribute] = shown.clone());
        for failed in [
            bench.reading("ada").await.map(drop),
            bench.crm.list(&bench.verifier).await.map(drop),
        ] {
            let failure = failed.expect_err("drifted");
            assert_eq!(failure.class, FailureClass::Drifted, "{attribute} {shown}");
        }
    }
    for members in [
        json!({ "value": "ada" }),
        json!([{ "value": "bob" }, { "display": "ada" }]),
        json!([{ "value": "bob" }, { "value": "" }]),
        json!([null]),
    ] {
        let bench = bench(Trap::None).await;
        bench.spoil(|state| state.groups[0]["members"] = members.clone());
        let failure = bench.reading("eve").await.expect_err("drifted");
        assert_eq!(failure.class, FailureClass::Drifted, "{members}");
        let failed = class(bench.revoke("group:g1").await);
        assert_eq!(failed, FailureClass::Drifted, "{members}");
    }
}

#[tokio::test]
async fn numbers_are_read_as_text_and_nothing_that_is_missing_or_null_is_drifted() {
    let bench = bench(Trap::None).await;
    bench.spoil(|state| {
        state.users[4]["id"] = json!("7");
        state.users[4]["entitlements"] = json!([{ "value": 12 }, 13]);
        state.users[4]["roles"] = Value::Null;
        state.groups[1]["members"] = json!([{ "value": 7 }]);
    });
    let ids = bench.entitlements("7").await.expect("there");
    let expected = ["entitlement:12", "entitlement:13", "group:g2"];
    assert_eq!(ids[1..], expected);
}

#[tokio::test]
async fn answers_are_as_old_as_the_oldest_that_a_cache_passed_on() {
    let bench = bench(Trap::Aged).await;
    let listing = bench.crm.list(&bench.verifier).await.expect("lists");
    assert_eq!(listing.data_age_seconds, 7);
    let reading = bench.reading("ada").await.expect("a reading");
    assert_eq!(reading.data_age_seconds, 40);
    // "Not found" can be old as well.
    let without = with(Trap::Aged, "groups = false").await;
    let reading = without.reading("nobody").await.expect("a reading");
    assert_eq!((reading.account, reading.data_age_seconds), (None, 7));
    let unreadable = with(Trap::AgeUnreadable, "").await;
    let reading = unreadable.reading("ada").await.expect("a reading");
    assert_eq!(reading.data_age_seconds, u64::MAX);
    assert!(bench.server.fired() > 0 && unreadable.server.fired() > 0);
}

#[tokio::test]
async fn a_part_of_an_answer_is_not_the_whole() {
    let lists = bench(Trap::HalfOfLists).await;
    assert!(!lists.listed().await.0);
    assert!(!lists.closed("ada").await);
    assert!(lists.server.fired() > 0);
    let one = with(Trap::HalfOfOne, "").await;
    let failure = one.reading("ada").await.expect_err("drifted");
    assert_eq!(failure.class, FailureClass::Drifted);
    assert!(one.server.fired() > 0);
}
