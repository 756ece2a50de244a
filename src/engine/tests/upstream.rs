//! B11: where a target will not obey, access is cut upstream, and the residual risk is told.
//!
//! Owns the ladder as the engine climbs it, through the guard of the other connector.

use super::ward::{Ward, approved, text};
use crate::domain::command::{Command, Wish};
use crate::domain::id::CommandId;
use crate::domain::outcome::FailureClass;
use crate::domain::protect;
use crate::domain::run::{Containment, RunBody};
use crate::domain::task::TaskState;
use crate::domain::time::Clock;
use crate::domain::verdict::Completeness;
use crate::domain::workflow::{End, RunKind};
use crate::engine::Settings;
use crate::store::{CaseFilter, CaseStory};

/// Nine attempts over a target that is down, and four over one upstream, are over by then.
const LASTING: u64 = 6 * 3600;

/// A target behind an identity provider that gives access to it by the group `g-staff`.
pub(super) async fn gated() -> Ward {
    gated_by("", Settings::default()).await
}

/// The same where the provider's manifest says this, too, under these settings.
async fn gated_by(more: &str, settings: Settings) -> Ward {
    let crm = text(
        "[upstream]\nconnector = \"idp\"\nentitlement = \"g-staff\"",
        false,
    );
    let idp = format!("{more}\n{}", text("", false))
        .replace("name = \"crm\"", "name = \"idp\"")
        .replace("none:crm", "none:idp")
        .replace("\"delete\"]", "\"revoke_entitlement\"]")
        .replace("[\"*\"]", "[\"groups\"]")
        .replace("revoke_entitlement = \"deletion does it\"\n", "");
    Ward::with(approved(&crm), Some(approved(&idp)), settings).await
}

async fn story(ward: &Ward) -> CaseStory {
    let cases = ward.store.cases(&CaseFilter::default()).await;
    let id = cases.expect("read")[0].row.id;
    ward.store.case(id).await.expect("read").expect("kept")
}

pub(super) fn groups(ward: &Ward, place: usize) -> Vec<String> {
    let shown = ward.upstream.shown();
    let entitlements = shown.accounts[place].entitlements.iter();
    entitlements.map(|one| one.id.to_string()).collect()
}

#[tokio::test]
async fn b11_a_target_that_does_not_obey_is_cut_off_upstream_and_is_not_removed_by_that() {
    let ward = gated().await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.leaver_leaves_from(&["crm"]).await;
    ward.work(LASTING).await;
    // The one group is gone, of the one person, and the account there is left alone.
    assert_eq!(groups(&ward, 0), ["k-api", "r-sales"]);
    assert_eq!(groups(&ward, 1), ["g-staff", "k-api", "r-sales"]);
    // The task tells the risk and since when, and nothing counts as removed.
    let task = ward.open_tasks().await.remove(0);
    for part in [
        "residual risk: contained upstream at idp (g-staff) since",
        "account still active in crm since",
    ] {
        assert!(task.why.contains(part), "{}", task.why);
    }
    assert!(task.why.contains("unreachable"), "{}", task.why);
    let told = story(&ward).await;
    assert_eq!(told.report.ended, None);
    assert_eq!((told.report.verified, told.report.removals), (0, 0));
    let cuts = told
        .journal
        .iter()
        .filter(|one| one.state.as_str() == "cut_upstream");
    assert_eq!(
        cuts.count(),
        1,
        "once, however often the machine tries again"
    );
    // When the target obeys again, it is removed and proved there.
    ward.target.shown().fails = None;
    ward.work(2 * 86_400).await;
    let told = story(&ward).await;
    assert_eq!(told.report.ended, Some(End::Verified));
    assert_eq!(ward.target.shown().accounts.len(), 4);
    let removal = told.runs.iter().find(|run| run.kind == RunKind::Removal);
    let RunBody::Removal(body) = &removal.expect("began").body else {
        panic!("a removal");
    };
    assert!(matches!(body.upstream, Some(Containment::Cut { .. })));
}

#[tokio::test]
async fn b11_what_was_not_seen_gone_upstream_contains_nothing() {
    let ward = gated().await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.upstream.shown().completeness = Completeness {
        permission_cut: true,
        ..Completeness::WHOLE
    };
    ward.leaver_leaves_from(&["crm"]).await;
    ward.work(LASTING).await;
    let task = ward.open_tasks().await.remove(0);
    assert!(
        task.why.contains("not contained upstream either"),
        "{}",
        task.why
    );
    // It is tried again with the target, and then it is known.
    ward.upstream.shown().completeness = Completeness::WHOLE;
    ward.work(86_400).await;
    let task = ward.open_tasks().await.remove(0);
    assert!(
        task.why.contains("contained upstream at idp"),
        "{}",
        task.why
    );
}

#[tokio::test]
async fn b11_a_subject_who_is_unknown_upstream_is_not_contained() {
    let ward = gated().await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.upstream.shown().accounts.remove(0);
    ward.leaver_leaves_from(&["crm"]).await;
    ward.work(LASTING).await;
    let task = ward.open_tasks().await.remove(0);
    assert!(task.why.contains("has no account at idp"), "{}", task.why);
}

#[tokio::test]
async fn f3_a_claim_whose_check_fails_comes_back_and_sends_nothing_upstream() {
    let ward = gated().await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.upstream.shown().accounts.remove(0);
    ward.leaver_leaves_from(&["crm"]).await;
    ward.work(LASTING).await;
    // No attempt helps where the target speaks another language.
    ward.target.shown().fails = Some(FailureClass::Drifted);
    let task = ward.open_tasks().await.remove(0).id;
    let cuts = |told: &CaseStory| {
        let lines = told.journal.iter();
        lines
            .filter(|one| one.state.as_str() == "cut_upstream")
            .count()
    };
    let before = cuts(&story(&ward).await);
    let command = Command {
        id: CommandId(uuid::Uuid::from_u128(1)),
        by: "ann".to_owned(),
        at: ward.clock.now(),
        wish: Wish::CloseTask {
            task,
            note: "done by hand".to_owned(),
            attestation: None,
        },
    };
    ward.store.wish(&command).await.expect("taken");
    ward.engine.obey().await.expect("obeyed");
    ward.work(60).await;
    let task = ward.open_tasks().await.remove(0);
    assert!(
        matches!(task.state, TaskState::SentBack { .. }),
        "{:?}",
        task.state
    );
    assert_eq!(cuts(&story(&ward).await), before);
}

#[tokio::test]
async fn g2_a_protected_subject_is_not_cut_upstream_without_approval() {
    let settings = Settings {
        protected: ["acme/e-1".to_owned()].into(),
        ..Settings::default()
    };
    let ward = gated_by("", settings).await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.leaver_leaves_from(&["crm"]).await;
    ward.work(LASTING).await;
    assert_eq!(groups(&ward, 0), ["g-staff", "k-api", "r-sales"]);
    let task = ward.open_tasks().await.remove(0);
    assert_eq!(task.code, protect::SUBJECT, "{}", task.why);
}

#[tokio::test]
async fn g2_neither_break_glass_accounts_nor_last_administrators_are_cut_upstream() {
    let administrators = "administrators = [\"g-staff\"]";
    let kept = [
        (
            "break_glass = [\"login-a-1\"]",
            "break-glass account",
            false,
        ),
        (administrators, "last administrator", false),
        // A list that shows nobody's entitlements makes nobody less of one.
        (administrators, "last administrator", true),
    ];
    for (more, words, bare) in kept {
        let ward = gated_by(more, Settings::default()).await;
        ward.upstream.shown().bare = bare;
        // Nobody else there has what is to be cut.
        for account in ward.upstream.shown().accounts.iter_mut().skip(1) {
            account
                .entitlements
                .retain(|one| one.id.as_str() != "g-staff");
        }
        ward.target.shown().fails = Some(FailureClass::Unreachable);
        ward.leaver_leaves_from(&["crm"]).await;
        ward.work(LASTING).await;
        assert_eq!(groups(&ward, 0), ["g-staff", "k-api", "r-sales"], "{more}");
        let task = ward.open_tasks().await.remove(0);
        assert!(
            task.why.contains("not contained upstream either"),
            "{}",
            task.why
        );
        assert!(task.why.contains(words), "{}", task.why);
    }
}

#[tokio::test]
async fn g4_a_paused_upstream_is_not_cut_and_is_cut_when_it_goes_on() {
    let ward = gated().await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.paused(Some("idp"), true).await;
    ward.leaver_leaves_from(&["crm"]).await;
    ward.work(LASTING).await;
    assert_eq!(groups(&ward, 0), ["g-staff", "k-api", "r-sales"]);
    let task = ward.open_tasks().await.remove(0);
    assert!(task.why.contains("ann has paused it"), "{}", task.why);
    ward.paused(Some("idp"), false).await;
    ward.work(86_400).await;
    assert_eq!(groups(&ward, 0), ["k-api", "r-sales"]);
}
