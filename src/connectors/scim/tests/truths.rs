//! What real SCIM servers were seen to do, and what the connector makes of it.
//!
//! Owns one test for each truth that `docs/connectors/scim.md` lists by its name. The protocol's own
//! traps are tested beside this file.

use super::*;
use crate::connectors::fixture::crm;
use crate::document::Document;
use crate::domain::approval::Signed;

#[tokio::test]
async fn a_patch_is_accepted_with_a_body_without_one_and_with_half_of_one() {
    for trap in [Trap::None, Trap::AnswersWhole, Trap::AnswersHalf] {
        let bench = bench(trap).await;
        let disabled = bench.write(&change(Operation::Disable)).await;
        assert_eq!(disabled, Ok(Answered::Accepted), "{trap:?}");
        let taken = bench.revoke("group:g1").await;
        assert_eq!(taken, Ok(Answered::Accepted), "{trap:?}");
        assert_eq!(bench.server.members("g1"), ["bob", "cyd"], "{trap:?}");
        assert!(bench.server.fired() > 0 || trap == Trap::None, "{trap:?}");
    }
}

#[tokio::test]
async fn a_flag_that_is_text_is_read_and_written_as_text() {
    let bench = bench(Trap::Peculiar).await;
    let disable = change(Operation::Disable);
    assert_eq!(bench.write(&disable).await, Ok(Answered::Accepted));
    assert!(bench.server.fired() > 0);
    let user = bench.server.user("ada").expect("there");
    assert_eq!(user["active"], "false");
}

#[tokio::test]
async fn a_path_with_a_filter_that_is_refused_takes_the_next_form() {
    // With a version the last rung is a PUT; alone in the group the value form can hit nobody else.
    let versioned = bench(Trap::PathsRefused).await;
    assert_eq!(versioned.revoke("group:g1").await, Ok(Answered::Accepted));
    assert_eq!(versioned.server.members("g1"), ["bob", "cyd"]);
    assert_eq!(versioned.server.sent("PUT"), ["/v2/Groups/g1"]);
    let bare = bench(Trap::PathsRefusedNoVersion).await;
    assert_eq!(bare.revoke("group:g2").await, Ok(Answered::Accepted));
    assert!(bare.server.members("g2").is_empty());
    // Among others, and without a version, nothing is safe: the server's refusal stands.
    assert_eq!(
        class(bare.revoke("group:g1").await),
        FailureClass::WriteFailure
    );
    assert_eq!(bare.server.members("g1"), ["ada", "bob", "cyd"]);
    assert!(bare.server.sent("PUT").is_empty());
    assert!(bare.server.fired() >= 2);
}

#[tokio::test]
async fn patch_that_is_announced_and_not_there_and_patch_that_is_not_announced_are_a_guarded_put() {
    for trap in [Trap::AnnouncedOnly, Trap::AnnouncesNothing] {
        let bench = bench(trap).await;
        let disabled = bench.write(&change(Operation::Disable)).await;
        assert_eq!(disabled, Ok(Answered::Accepted), "{trap:?}");
        let taken = bench.revoke("group:g1").await;
        assert_eq!(taken, Ok(Answered::Accepted), "{trap:?}");
        assert_eq!(bench.server.members("g1"), ["bob", "cyd"], "{trap:?}");
        assert_eq!(bench.server.sent("PUT").len(), 2, "{trap:?}");
        let refused = bench.server.sent("PATCH").len();
        assert_eq!(refused > 0, trap == Trap::AnnouncedOnly, "{trap:?}");
    }
}

#[tokio::test]
async fn a_server_that_announces_no_filter_is_never_asked_by_one() {
    let bench = bench(Trap::AnnouncesNothing).await;
    for _ in 0..2 {
        let ids = bench.entitlements("ada").await.expect("there");
        assert!(ids.contains(&"group:g1".to_owned()));
    }
    let asked = bench.server.sent("GET");
    assert!(
        asked.iter().all(|path| !path.contains("filter=")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_version_that_is_required_is_named_and_one_that_is_ignored_hurts_nobody() {
    let required = bench(Trap::VersionRequired).await;
    let disable = change(Operation::Disable);
    assert_eq!(required.write(&disable).await, Ok(Answered::Accepted));
    assert_eq!(required.revoke("group:g1").await, Ok(Answered::Accepted));
    assert_eq!(required.server.members("g1"), ["bob", "cyd"]);
    let delete = change(Operation::Delete);
    assert_eq!(required.write(&delete).await, Ok(Answered::Accepted));
    assert_eq!(required.server.fired(), 3);
    let ignored = bench(Trap::VersionIgnored).await;
    let refused = ignored.revoke("group:g1").await.expect_err("not safe");
    let found = (refused.class, refused.code.as_str());
    assert_eq!(found, (FailureClass::Unsupported, "CB-SCIM-5"));
    assert_eq!(
        class(ignored.write(&disable).await),
        FailureClass::Unsupported
    );
    assert_eq!(ignored.server.sent("PUT"), [""; 0]);
    assert_eq!(ignored.server.members("g1"), ["ada", "bob", "cyd"]);
}

#[tokio::test]
async fn b8_a_put_is_sent_only_where_the_server_or_the_owner_says_that_versions_are_checked() {
    // Given a server that has no PATCH and says nothing of itself: the owner's word is needed.
    let silent = bench(Trap::NoPatch).await;
    assert_eq!(
        class(silent.revoke("group:g1").await),
        FailureClass::Unsupported
    );
    assert_eq!(silent.server.sent("PUT"), [""; 0]);
    let told = with(Trap::NoPatch, "checks_versions = true").await;
    assert_eq!(told.revoke("group:g1").await, Ok(Answered::Accepted));
    assert_eq!(told.server.members("g1"), ["bob", "cyd"]);
    assert!(silent.server.fired() > 0 && told.server.fired() > 0);
    // What the word is worth: where it is wrong, who was taken out meanwhile is a member again.
    let wrong = with(Trap::VersionIgnored, "checks_versions = true").await;
    assert_eq!(wrong.revoke("group:g1").await, Ok(Answered::Accepted));
    assert_eq!(wrong.server.fired(), 1, "bob was taken out");
    assert_eq!(wrong.server.members("g1"), ["bob", "cyd"]);
}

#[tokio::test]
async fn a_version_that_changed_meanwhile_is_stale_and_nothing_is_forced() {
    let bench = bench(Trap::AlwaysRaced).await;
    for operation in [Operation::Disable, Operation::Delete] {
        let failed = class(bench.write(&change(operation)).await);
        assert_eq!(failed, FailureClass::StaleData);
    }
    assert_eq!(
        class(bench.revoke("group:g1").await),
        FailureClass::StaleData
    );
    assert_eq!(bench.server.fired(), 3);
}

#[tokio::test]
async fn default_page_sizes_and_a_first_page_again_end_the_list_only_with_its_total() {
    for (trap, closed) in [
        (Trap::SmallPages, true),
        (Trap::FirstPageAgain, true),
        (Trap::IgnoresStart, false),
    ] {
        let bench = bench(trap).await;
        let listing = bench.crm.list(&bench.verifier).await.expect("lists");
        assert_eq!(listing.completeness.pages_closed, closed, "{trap:?}");
        assert_eq!(listing.accounts.len() == 5, closed, "{trap:?}");
        assert!(bench.server.fired() > 0, "{trap:?}");
        // The end was reached by some tens of requests, not by going round.
        assert!(bench.server.sent("GET").len() < 20, "{trap:?}");
    }
}

#[tokio::test]
async fn a_list_that_leaves_out_the_disabled_counts_together_with_theirs() {
    let disable = change(Operation::Disable);
    let without = bench(Trap::HidesDisabled).await;
    assert_eq!(without.write(&disable).await, Ok(Answered::Accepted));
    let listing = without.crm.list(&without.verifier).await.expect("lists");
    assert_eq!(listing.accounts.len(), 4, "ada is hidden");
    let bench = with(Trap::HidesDisabled, "list_also = [\"active eq false\"]").await;
    assert_eq!(bench.write(&disable).await, Ok(Answered::Accepted));
    let listing = bench.crm.list(&bench.verifier).await.expect("lists");
    assert_eq!(listing.completeness, Completeness::WHOLE);
    let ada = listing.accounts.iter().find(|one| one.id.as_str() == "ada");
    assert_eq!(ada.expect("shown").state, AccountState::Disabled);
    assert!(bench.server.fired() > 0);
    // A server that does not apply the filter shows everybody twice, and nobody counts twice.
    let ignored = with(Trap::None, "list_also = [\"active eq false\"]").await;
    let listing = ignored.crm.list(&ignored.verifier).await.expect("lists");
    assert_eq!(listing.accounts.len(), 5);
    assert_eq!(listing.completeness, Completeness::WHOLE);
}

#[tokio::test]
async fn a_removal_that_somebody_else_made_meanwhile_is_no_failure_whatever_the_answer() {
    for status in [204, 404, 500] {
        let bench = bench(Trap::SecondRemoval(status)).await;
        let taken = bench.revoke("group:g1").await;
        let expected = if status == 204 {
            Answered::Accepted
        } else {
            Answered::Absent
        };
        assert_eq!(taken, Ok(expected), "{status}");
        let deleted = bench.write(&change(Operation::Delete)).await;
        assert_eq!(deleted, Ok(expected), "{status}");
        assert_eq!(bench.server.fired(), 2, "{status}");
        // And what is gone before the first look is not asked for again.
        assert_eq!(bench.revoke("group:g1").await, Ok(Answered::Absent));
        assert_eq!(bench.server.fired(), 2, "{status}");
    }
    let failing = bench(Trap::Fails).await;
    for failed in [
        failing.revoke("group:g1").await,
        failing.write(&change(Operation::Delete)).await,
    ] {
        assert_eq!(class(failed), FailureClass::WriteFailure);
    }
    assert!(failing.server.fired() >= 2);
}

#[tokio::test]
async fn a_minute_to_wait_is_told_and_not_slept_through() {
    for trap in [Trap::SlowDown, Trap::SlowDownUntil] {
        let bench = bench(trap).await;
        for failed in [
            bench.write(&change(Operation::Disable)).await,
            bench.revoke("group:g1").await,
        ] {
            let failure = failed.expect_err("slow down");
            assert_eq!(failure.class, FailureClass::RateLimited, "{trap:?}");
            assert_eq!(failure.retry_after_seconds, Some(60), "{trap:?}");
        }
        assert_eq!(bench.server.fired(), 2, "{trap:?}");
    }
}

/// Tries the change of an account that nobody has.
async fn tried(bench: &Bench, operation: Operation) -> Result<Answered, Failure> {
    let nobody = "f19bb2c0-0000-4000-8000-00000000beef";
    let change = Change {
        account: nobody.into(),
        login: nobody.to_owned(),
        ..change(operation)
    };
    bench.crm.try_write(&bench.writer, &change).await
}

#[tokio::test]
async fn d2_a_trial_sends_the_change_of_nobody_and_a_token_that_may_only_read_is_denied() {
    for (operation, method) in [(Operation::Disable, "PATCH"), (Operation::Delete, "DELETE")] {
        let reads = bench(Trap::ReadsOnly).await;
        let failure = tried(&reads, operation)
            .await
            .expect_err("it may only read");
        assert_eq!(failure.code, crate::connectors::FORBIDDEN);
        assert_eq!(reads.server.fired(), 1);
        let writes = bench(Trap::None).await;
        assert_eq!(tried(&writes, operation).await, Ok(Answered::Absent));
        assert_eq!(writes.server.sent(method).len(), 1);
        // Where there is no PATCH a user is put in its place, which could make one.
        let puts = bench(Trap::NoPatchAndRaced).await;
        if operation == Operation::Disable {
            assert_eq!(
                class(tried(&puts, operation).await),
                FailureClass::Unsupported
            );
        }
        assert_eq!(puts.server.sent("PUT"), [""; 0]);
        // Whom there is, the trial leaves alone.
        let ada = writes
            .crm
            .try_write(&writes.writer, &change(operation))
            .await;
        assert_eq!(class(ada), FailureClass::Ambiguous);
        assert_eq!(writes.server.sent(method).len(), 1);
        // Nor is it sent while a pause binds.
        writes.crm.pause(Some(Signed {
            by: "ann".to_owned(),
            at: writes.clock.now(),
            reason: "it misbehaves".to_owned(),
        }));
        let paused = tried(&writes, operation).await.expect_err("paused");
        assert_eq!(paused.code, crate::connectors::PAUSED);
        assert_eq!(writes.server.sent(method).len(), 1);
    }
}

#[test]
fn h3_an_empty_filter_and_a_half_sign_in_are_told() {
    let text = "base_url = \"https://crm.example\"\nlist_also = [\" \"]\nauth = \"oauth\"\n";
    let document = Document::parse("crm.toml", text).expect("syntax");
    let clock: Arc<dyn Clock> = Moved::new();
    let read = super::super::settings::Settings::read(&crm(), &document.root(), &clock);
    let told = document.take_problems().or(read).expect_err("told");
    for part in [
        "a filter of `list_also` is empty",
        "`oauth` is missing",
        "`auth` is oauth but the writer has no `username`",
    ] {
        assert!(told.to_string().contains(part), "{told}");
    }
}

#[test]
fn the_page_names_a_test_for_each_truth() {
    let page = include_str!("../../../../docs/connectors/scim.md");
    let tests = [
        include_str!("mod.rs"),
        include_str!("truths.rs"),
        include_str!("whole.rs"),
    ];
    let named = crate::connectors::rehearsal::truths_in(page);
    assert!(named.len() > 12, "{named:?}");
    for name in named {
        let head = format!("fn {name}()");
        assert!(tests.iter().any(|file| file.contains(&head)), "{name}");
    }
}
