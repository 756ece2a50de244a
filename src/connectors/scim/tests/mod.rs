//! The connector against a server that lies, through the guard.
//!
//! Owns one test for each known trap of the protocol (requirement C11); each asserts that its trap
//! was sprung. What the standard asks for is tried against a real server elsewhere.

mod server;
mod trap;
mod truths;
mod whole;

use std::sync::Arc;

use server::Server;
use trap::Trap;

use super::super::contract::{Answered, Change, Credential, MintOrder};
use super::super::fixture::{CRM, Moved, credential};
use super::super::guard::Guarded;
use super::super::registry::Registry;
use crate::domain::access::{AccountState, Entitlement, EntitlementKind, Operation};
use crate::domain::id::ConnectorName;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::Clock;
use crate::domain::verdict::{Completeness, CredentialRole};

struct Bench {
    server: Server,
    crm: Arc<Guarded>,
    writer: Credential,
    verifier: Credential,
    clock: Arc<Moved>,
}

async fn bench(trap: Trap) -> Bench {
    with(trap, "").await
}

async fn with(trap: Trap, keys: &str) -> Bench {
    sized(trap, 2, keys).await
}

async fn sized(trap: Trap, page_size: u32, keys: &str) -> Bench {
    of(CRM, trap, page_size, keys).await
}

async fn of(manifest: &str, trap: Trap, page_size: u32, keys: &str) -> Bench {
    let server = Server::start(trap).await;
    let manifest = manifest
        .replace(
            "[\"list\", \"read\", \"disable\", \"revoke_entitlement\", \"delete\"]",
            "[\"list\", \"read\", \"disable\", \"revoke_entitlement\", \"revoke_credential\", \"delete\"]",
        )
        .replace(
            "[\"active\", \"members\", \"*\"]",
            "[\"active\", \"members\", \"roles\", \"x509Certificates\", \"*\"]",
        );
    let text = format!(
        "{manifest}\n[scim]\nbase_url = \"{}\"\npage_size = {page_size}\n{keys}\n[scim.rotation]\n\
        create_path = \"/tokens\"\ncreate_body = {{ name = \"{{label}}\" }}\n\
        create_ref = \"/data/id\"\ncreate_value = \"/data/token\"\nlist_path = \"/tokens\"\n\
        list_items = \"/items\"\nlist_ref = \"/id\"\nlist_label = \"/name\"\n\
        delete_path = \"/tokens/{{ref}}\"\n",
        server.base
    );
    let clock = Moved::new();
    let shared: Arc<dyn Clock> = clock.clone();
    let registry = Registry::load(&[("crm.toml".into(), text)], &shared)
        .map_err(|problems| problems.to_string())
        .expect("a valid manifest");
    Bench {
        server,
        crm: registry.get(&ConnectorName::from("crm")).expect("loaded"),
        writer: credential(CredentialRole::Writer, "w"),
        verifier: credential(CredentialRole::Verifier, "v"),
        clock,
    }
}

impl Bench {
    async fn completeness(&self) -> Result<Completeness, Failure> {
        let listing = self.crm.list(&self.verifier).await?;
        assert!(self.server.fired() > 0, "the trap was not sprung");
        Ok(listing.completeness)
    }

    async fn entitlements(&self, id: &str) -> Option<Vec<String>> {
        let reading = self.crm.read(&self.verifier, &id.into()).await;
        let account = reading.expect("a reading").account?;
        let mut ids: Vec<_> = account
            .entitlements
            .into_iter()
            .map(|one| one.id.0)
            .collect();
        ids.sort();
        Some(ids)
    }

    async fn write(&self, change: &Change) -> Result<Answered, Failure> {
        self.crm.write(&self.writer, change).await
    }

    async fn revoke(&self, id: &str) -> Result<Answered, Failure> {
        let mut revoke = change(Operation::RevokeEntitlement);
        revoke.entitlement = Some(Entitlement {
            id: id.into(),
            kind: EntitlementKind::Group,
            name: id.into(),
            inherited_from: None,
        });
        self.write(&revoke).await
    }
}

fn change(operation: Operation) -> Change {
    Change {
        operation,
        account: "ada".into(),
        login: "Ada@acme".into(),
        entitlement: None,
    }
}

fn class(result: Result<Answered, Failure>) -> FailureClass {
    result.expect_err("a failure").class
}

const ALL_OF_ADA: [&str; 5] = [
    "certificate:bf4bd5ab6a4ab1f1b5a7c53b6d1d3f9f5c1ba0f6d1bb2f2b30a8b6a8f5f9c6c0",
    "group:g1",
    "group:g2",
    "role:editor",
    "role:say \"hi\"",
];

#[tokio::test]
async fn a_listing_shows_every_account_with_what_correlation_needs() {
    let bench = bench(Trap::None).await;
    let listing = bench.crm.list(&bench.verifier).await.expect("lists");
    assert_eq!(listing.completeness, Completeness::WHOLE);
    assert_eq!(listing.accounts.len(), 5);
    let ada = &listing.accounts[0];
    assert_eq!((ada.id.as_str(), ada.login.as_str()), ("ada", "ada@acme"));
    assert_eq!(ada.state, AccountState::Enabled);
    for (name, value) in [
        ("externalId", "E-ada"),
        ("email", "ada@x"),
        ("employeeNumber", "7"),
    ] {
        assert_eq!(ada.attributes.get(name).map(String::as_str), Some(value));
    }
}

#[tokio::test]
async fn c11_pages_are_closed_only_when_everything_was_shown() {
    let closed = async |trap| {
        let completeness = bench(trap).await.completeness().await.expect("lists");
        completeness.pages_closed
    };
    assert!(closed(Trap::SmallPages).await);
    assert!(closed(Trap::FirstPageAgain).await);
    assert!(!closed(Trap::IgnoresStart).await);
    assert!(!closed(Trap::TotalOfPage).await);
    assert!(!closed(Trap::TotalTooHigh).await);
}

#[tokio::test]
async fn c11_an_account_that_moves_up_while_pages_are_read_is_not_lost() {
    let bench = bench(Trap::DeletedMeanwhile).await;
    let listing = bench.crm.list(&bench.verifier).await.expect("lists");
    assert_eq!(bench.server.fired(), 1);
    let ids: Vec<_> = listing.accounts.iter().map(|one| one.id.as_str()).collect();
    for id in ["ada", "cyd", "dan", "eve"] {
        assert!(ids.contains(&id), "{id} was lost: {ids:?}");
    }
    assert!(listing.completeness.pages_closed);
}

#[tokio::test]
async fn b4_a_flood_is_not_read_on_beyond_the_declared_band() {
    let narrow = CRM.replace("accounts_max = 1000", "accounts_max = 1");
    let flooded = of(&narrow, Trap::None, 1, "").await;
    let listing = flooded.crm.list(&flooded.verifier).await.expect("listed");
    assert_eq!(listing.accounts.len(), 2, "the second page is one too many");
    assert!(!listing.completeness.pages_closed);
}

#[tokio::test]
async fn c6_a_page_that_fails_or_lacks_its_shape_is_never_a_short_list() {
    for (trap, class) in [
        (Trap::LacksField, FailureClass::Drifted),
        (Trap::CutJson, FailureClass::Drifted),
        (Trap::Html, FailureClass::Drifted),
        (Trap::LaterPages(500), FailureClass::Unreachable),
        (Trap::LaterPages(429), FailureClass::RateLimited),
        (Trap::LaterPages(403), FailureClass::StaleData),
        (Trap::LaterPages(401), FailureClass::AuthFailure),
    ] {
        let bench = bench(trap).await;
        let failure = bench.crm.list(&bench.verifier).await.expect_err("fails");
        assert_eq!(failure.class, class, "{trap:?}");
        assert!(bench.server.fired() > 0, "{trap:?}");
    }
}

#[tokio::test]
async fn memberships_are_asked_at_the_groups_and_the_filter_is_tried_before_it_is_believed() {
    let bench = bench(Trap::None).await;
    let ids = bench.entitlements("ada").await.expect("there");
    assert_eq!(ids[1..], ALL_OF_ADA[1..]);
    assert!(ids[0].starts_with("certificate:"));
    let walked = bench.server.sent("GET").len();
    assert_eq!(bench.entitlements("ada").await.expect("there"), ids);
    let filtered: Vec<_> = bench.server.sent("GET").split_off(walked);
    assert!(
        filtered[1..].iter().all(|path| path.contains("filter=")),
        "{filtered:?}"
    );
    // What was learned is not believed for ever.
    bench.clock.advance(3601);
    let before = bench.server.sent("GET").len();
    assert_eq!(bench.entitlements("ada").await.expect("there"), ids);
    let again: Vec<_> = bench.server.sent("GET").split_off(before);
    assert!(
        again
            .iter()
            .any(|path| path.contains("ServiceProviderConfig"))
    );
    assert!(
        again
            .iter()
            .any(|path| path.starts_with("/v2/Groups?") && !path.contains("filter"))
    );
}

#[tokio::test]
async fn c11_a_filter_that_is_ignored_or_blind_hides_no_membership() {
    for trap in [
        Trap::FilterIgnored,
        Trap::FilterBlind,
        Trap::MembersOnlySingly,
    ] {
        let bench = bench(trap).await;
        for _ in 0..2 {
            let ids = bench.entitlements("ada").await.expect("there");
            assert_eq!(ids[1..], ALL_OF_ADA[1..], "{trap:?}");
            let ids = bench.entitlements("eve").await.expect("there");
            assert!(!ids.iter().any(|id| id.starts_with("group:")), "{trap:?}");
        }
        assert!(bench.server.fired() > 0, "{trap:?}");
    }
}

#[tokio::test]
async fn groups_that_may_not_be_read_cut_the_reading() {
    let bench = bench(Trap::GroupsDenied).await;
    let reading = bench.crm.read(&bench.verifier, &"ada".into()).await;
    assert!(reading.expect("a reading").completeness.permission_cut);
    assert!(bench.server.fired() > 0);
}

#[tokio::test]
async fn a_deleted_user_that_is_still_a_member_is_still_there() {
    let bench = bench(Trap::None).await;
    assert_eq!(
        bench.write(&change(Operation::Delete)).await,
        Ok(Answered::Accepted)
    );
    assert!(bench.server.user("ada").is_none());
    let left = bench
        .entitlements("ada")
        .await
        .expect("memberships are left");
    assert_eq!(left, ["group:g1", "group:g2"]);
    assert_eq!(bench.revoke("group:g1").await, Ok(Answered::Accepted));
    assert_eq!(bench.revoke("group:g2").await, Ok(Answered::Accepted));
    assert_eq!(bench.entitlements("ada").await, None);
    assert_eq!(
        bench.write(&change(Operation::Delete)).await,
        Ok(Answered::Absent)
    );
    assert_eq!(bench.revoke("group:g1").await, Ok(Answered::Absent));
}

#[tokio::test]
async fn disabling_changes_active_and_nothing_else() {
    for trap in [Trap::None, Trap::NoPatch, Trap::Peculiar] {
        let bench = with(trap, "checks_versions = true").await;
        let before = bench.server.user("ada").expect("there");
        let disable = change(Operation::Disable);
        assert_eq!(
            bench.write(&disable).await,
            Ok(Answered::Accepted),
            "{trap:?}"
        );
        assert!(bench.server.fired() > 0 || trap == Trap::None, "{trap:?}");
        let mut after = bench.server.user("ada").expect("there");
        let reading = bench.crm.read(&bench.verifier, &"ada".into()).await;
        let state = reading.expect("a reading").account.expect("there").state;
        assert_eq!(state, AccountState::Disabled, "{trap:?}");
        after["active"] = before["active"].clone();
        assert_eq!(after, before, "{trap:?}");
        assert_eq!(
            bench.write(&disable).await,
            Ok(Answered::Absent),
            "{trap:?}"
        );
    }
}

#[tokio::test]
async fn without_patch_nothing_is_replaced_unless_its_version_holds() {
    let bench = bench(Trap::NoPatchAndRaced).await;
    assert_eq!(
        class(bench.write(&change(Operation::Disable)).await),
        FailureClass::StaleData
    );
    assert!(bench.server.fired() > 0);
    let without = with(Trap::NoPatchNoVersion, "").await;
    let disable = change(Operation::Disable);
    assert_eq!(
        class(without.write(&disable).await),
        FailureClass::Unsupported
    );
    assert_eq!(
        class(without.revoke("group:g1").await),
        FailureClass::Unsupported
    );
    assert!(without.server.sent("PUT").is_empty());
    assert_eq!(without.server.members("g1"), ["ada", "bob", "cyd"]);
}

#[tokio::test]
async fn c11_a_removal_answered_200_without_effect_takes_the_next_form_and_no_one_else_out() {
    // Many members: the version guards a PUT. One member: the value form can hit nobody else.
    let bench = bench(Trap::RemovalIgnored).await;
    assert_eq!(bench.revoke("group:g1").await, Ok(Answered::Accepted));
    assert_eq!(bench.server.members("g1"), ["bob", "cyd"]);
    assert_eq!(bench.server.sent("PUT"), ["/v2/Groups/g1"]);
    assert_eq!(bench.revoke("group:g2").await, Ok(Answered::Accepted));
    assert!(bench.server.members("g2").is_empty());
    assert_eq!(bench.server.sent("PUT").len(), 1);
    assert_eq!(bench.server.fired(), 2);

    let told = with(
        Trap::RemovalIgnored,
        "member_removal = \"filter_then_value\"",
    )
    .await;
    assert_eq!(told.revoke("group:g1").await, Ok(Answered::Accepted));
    assert_eq!(told.server.members("g1"), ["bob", "cyd"]);
    assert!(told.server.sent("PUT").is_empty());
}

#[tokio::test]
async fn c11_a_removal_that_never_takes_effect_is_no_success() {
    let bench = bench(Trap::PatchIgnored).await;
    bench.server.state.lock().expect("not poisoned").trap = Trap::PatchIgnored;
    // With a version the last rung takes effect.
    assert_eq!(bench.revoke("group:g1").await, Ok(Answered::Accepted));
    assert_eq!(bench.server.members("g1"), ["bob", "cyd"]);
    assert!(bench.server.fired() > 0);
    // 202 is neither proof nor failure.
    let pending = with(Trap::Pending, "").await;
    assert_eq!(pending.revoke("group:g1").await, Ok(Answered::Accepted));
    assert_eq!(pending.server.members("g1"), ["ada", "bob", "cyd"]);
    assert!(pending.server.fired() > 0);
}

#[tokio::test]
async fn u2_the_form_that_other_servers_read_as_remove_all_is_not_tried_on_a_group_with_others() {
    let bench = bench(Trap::ValueRemovesAll).await;
    assert_eq!(bench.revoke("group:g1").await, Ok(Answered::Accepted));
    assert_eq!(bench.server.members("g1"), ["bob", "cyd"]);
}

#[tokio::test]
async fn roles_and_certificates_are_taken_one_by_one() {
    let bench = bench(Trap::None).await;
    assert_eq!(
        bench.revoke("role:say \"hi\"").await,
        Ok(Answered::Accepted)
    );
    let certificate = bench.entitlements("ada").await.expect("there")[0].clone();
    let mut revoke = change(Operation::RevokeCredential);
    revoke.entitlement = Some(Entitlement {
        id: certificate.as_str().into(),
        kind: EntitlementKind::Credential,
        name: "certificate".into(),
        inherited_from: None,
    });
    assert_eq!(bench.write(&revoke).await, Ok(Answered::Accepted));
    let left = bench.entitlements("ada").await.expect("there");
    assert_eq!(left, ["group:g1", "group:g2", "role:editor"]);
    assert_eq!(bench.write(&revoke).await, Ok(Answered::Absent));
}

#[tokio::test]
async fn an_id_that_shows_another_user_is_not_touched() {
    let bench = bench(Trap::Recycled).await;
    for operation in [Operation::Disable, Operation::Delete] {
        assert_eq!(
            class(bench.write(&change(operation)).await),
            FailureClass::Ambiguous
        );
    }
    assert_eq!(
        class(bench.revoke("group:g1").await),
        FailureClass::Ambiguous
    );
    assert!(bench.server.fired() >= 3);
    assert!(bench.server.sent("PATCH").is_empty() && bench.server.sent("DELETE").is_empty());
}

#[tokio::test]
async fn not_found_on_a_deletion_is_read_again_before_it_is_believed() {
    let bench = bench(Trap::DeleteLies).await;
    assert_eq!(
        class(bench.write(&change(Operation::Delete)).await),
        FailureClass::WriteFailure
    );
    assert_eq!(bench.server.fired(), 1);
}

#[tokio::test]
async fn d2_a_token_is_made_listed_and_retired_and_no_failure_repeats_a_secret() {
    let bench = bench(Trap::None).await;
    let rotator = credential(CredentialRole::Rotator, "r");
    let order = MintOrder {
        role: CredentialRole::Writer,
        label: "clawback-7".into(),
        username: None,
        chosen: None,
        expires: None,
    };
    let minted = bench.crm.mint(&rotator, &order).await.expect("minted");
    assert_eq!(minted.remote_ref.as_deref(), Some("t-3"));
    let fresh = Credential {
        secret: minted.secret,
        ..bench.writer.clone()
    };
    assert_eq!(bench.crm.try_credential(&fresh).await, Ok(()));
    let known = bench.crm.minted(&rotator, CredentialRole::Writer).await;
    let known = known.expect("listed");
    assert!(
        known
            .iter()
            .any(|one| one.label == "clawback-7" && one.remote_ref == "t-3")
    );
    let retired = bench
        .crm
        .retire(&rotator, CredentialRole::Writer, "t-w")
        .await;
    assert_eq!(retired, Ok(()));
    let failure = bench
        .crm
        .try_credential(&bench.writer)
        .await
        .expect_err("dead");
    assert_eq!(failure.class, FailureClass::AuthFailure);
    let unknown = credential(CredentialRole::Writer, "hunter2");
    let failure = bench
        .crm
        .try_credential(&unknown)
        .await
        .expect_err("unknown");
    assert!(failure.message.contains("[redacted]"), "{failure}");
    assert!(!failure.to_string().contains("hunter2"));
}

#[test]
fn the_manifest_in_the_documentation_is_valid() {
    let page = include_str!("../../../../docs/connectors/scim.md");
    let start = page.find("```toml\n").expect("a manifest") + 8;
    let end = page[start..].find("```").expect("its end") + start;
    let clock: Arc<dyn Clock> = Moved::new();
    let file = ("crm.toml".to_owned(), page[start..end].to_owned());
    let registry = Registry::load(&[file], &clock).map_err(|problems| problems.to_string());
    assert_eq!(registry.expect("valid").names().count(), 1);
}
