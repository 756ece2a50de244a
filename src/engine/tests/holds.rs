//! G1, G2: what is held for approval, and goes on when two people have given it.
//!
//! Owns whole histories over one scripted target. The arithmetic of brakes is tested with the domain,
//! that many workers cannot overrun one in the store's conformance suite.

use super::ward::{Ward, approved as approved_text, manifest, text};
use crate::domain::access::{AccountState, EntitlementKind};
use crate::domain::approval::{Content, Matter, Record, Signed, approve, propose};
use crate::domain::brake::{self, Apart, Brakes, Departures, Limit, Writes};
use crate::domain::command::{Command, Wish};
use crate::domain::event::Urgency;
use crate::domain::id::{CommandId, ConnectorName, TaskId};
use crate::domain::protect;
use crate::domain::task::FallbackTask;
use crate::domain::time::{Clock, after};
use crate::domain::workflow::RunKind;
use crate::engine::Settings;

/// One person proposes that this may go on, another approves.
async fn approved(ward: &Ward, matter: &Matter) {
    let signed = |by: &str| Signed {
        by: by.to_owned(),
        at: ward.clock.now(),
        reason: "the manager confirmed it".to_owned(),
    };
    let content = Content::of("may go on".to_owned());
    let until = after(ward.clock.now(), 3600);
    let proposes = |record: &Record| propose(record, matter, content.clone(), until, signed("ann"));
    let ruled = ward.store.rule(matter, &proposes).await.expect("ruled");
    ruled.expect("proposed");
    let approves = |record: &Record| approve(record, matter, &content.digest, signed("bob"));
    let ruled = ward.store.rule(matter, &approves).await.expect("ruled");
    ruled.expect("approved");
}

/// An operator asks the machine to try this again.
async fn again(ward: &Ward, task: TaskId) {
    let command = Command {
        id: CommandId(uuid::Uuid::from_u128(
            ward.clock.now().as_nanosecond().unsigned_abs() ^ task.0.as_u128(),
        )),
        by: "ann".to_owned(),
        at: ward.clock.now(),
        wish: Wish::RetryTask { task },
    };
    ward.store.wish(&command).await.expect("wished");
    ward.engine.obey().await.expect("obeyed");
    let answer = ward.store.answer(command.id).await.expect("read");
    assert!(answer.is_some_and(|answer| answer.accepted));
}

impl Ward {
    /// An operator pauses the target, or all of them, or ends that; the worker has heard of it.
    pub(super) async fn paused(&self, connector: Option<&str>, begins: bool) {
        let (connector, reason) = (connector.map(Into::into), "it misbehaves".to_owned());
        let wish = if begins {
            Wish::Pause { connector, reason }
        } else {
            Wish::Resume { connector, reason }
        };
        let command = Command {
            id: CommandId(uuid::Uuid::from_u128(
                self.clock.now().as_nanosecond().unsigned_abs() ^ u128::from(begins),
            )),
            by: "ann".to_owned(),
            at: self.clock.now(),
            wish,
        };
        self.store.wish(&command).await.expect("wished");
        self.engine.obey().await.expect("obeyed");
        let answer = self.store.answer(command.id).await.expect("read");
        assert!(answer.is_some_and(|answer| answer.accepted));
        let heard = self.engine.follow_pauses(self.worker).await;
        heard.expect("the store answers");
    }
}

async fn held(ward: &Ward, code: &str) -> Vec<FallbackTask> {
    let tasks = ward.open_tasks().await;
    tasks.into_iter().filter(|task| task.code == code).collect()
}

async fn matter(ward: &Ward, task: &FallbackTask) -> Matter {
    let found = ward.store.run(task.run).await.expect("read");
    let (run, _) = found.expect("kept");
    protect::matter_of(&task.code, &run).expect("it is held for approval")
}

fn shown(ward: &Ward) -> Vec<String> {
    let shown = ward.target.shown();
    shown
        .accounts
        .iter()
        .map(|one| one.id.to_string())
        .collect()
}

/// Held with this code; nothing is touched, however long it is tried; approved, it goes on.
async fn is_held_until_approved(ward: &Ward, code: &str) {
    ward.leaver_leaves().await;
    ward.work(6 * 3600).await;
    let tasks = held(ward, code).await;
    let [task] = tasks.as_slice() else {
        panic!("{code}: {:?}", ward.open_tasks().await);
    };
    assert_eq!(ward.target.shown().accounts.len(), 5, "nothing was touched");
    assert!(
        task.why.contains("two people approve it first"),
        "{}",
        task.why
    );
    assert_eq!(task.access.len(), 3, "what would go is shown");
    let matter = matter(ward, task).await;
    approved(ward, &matter).await;
    again(ward, task.id).await;
    ward.work(2 * 3600).await;
    assert!(
        !shown(ward).contains(&"a-1".to_owned()),
        "{:?}",
        shown(ward)
    );
    assert_eq!(ward.ended().await.len(), 1);
    assert!(ward.open_tasks().await.is_empty());
}

#[tokio::test]
async fn g2_a_protected_subject_is_not_touched_without_approval() {
    let settings = Settings {
        protected: ["acme/e-1".to_owned()].into(),
        ..Settings::default()
    };
    let ward = Ward::of(manifest("", false), settings).await;
    is_held_until_approved(&ward, protect::SUBJECT).await;
}

#[tokio::test]
async fn g2_a_break_glass_account_is_not_touched_without_approval() {
    for name in ["login-a-1", "Login-A-1 "] {
        let mut manifest = manifest("", false);
        manifest.break_glass.insert(name.to_owned());
        let ward = Ward::of(manifest, Settings::default()).await;
        is_held_until_approved(&ward, protect::BREAK_GLASS).await;
    }
}

#[tokio::test]
async fn g2_an_approval_that_is_over_lets_nothing_pass() {
    let mut manifest = manifest("", false);
    manifest.break_glass.insert("login-a-1".to_owned());
    let ward = Ward::of(manifest, Settings::default()).await;
    ward.leaver_leaves().await;
    ward.work(3600).await;
    let task = held(&ward, protect::BREAK_GLASS).await.remove(0);
    let matter = matter(&ward, &task).await;
    approved(&ward, &matter).await;
    ward.clock.advance(3601);
    again(&ward, task.id).await;
    ward.work(3600).await;
    assert_eq!(held(&ward, protect::BREAK_GLASS).await.len(), 1);
    assert_eq!(ward.target.shown().accounts.len(), 5, "nothing was touched");
    // Approved anew, it goes on.
    approved(&ward, &matter).await;
    again(&ward, task.id).await;
    ward.work(2 * 3600).await;
    assert!(!shown(&ward).contains(&"a-1".to_owned()));
}

/// A target whose administrators have the role that all five accounts have.
async fn administered() -> Ward {
    let mut manifest = manifest("", false);
    manifest.administrators.insert("r-sales".into());
    Ward::of(manifest, Settings::default()).await
}

#[tokio::test]
async fn g2_the_last_administrator_is_not_touched_without_approval() {
    // One is locked out, the others have lost the role.
    let ward = administered().await;
    for account in &mut ward.target.shown().accounts {
        match account.id.as_str() {
            "a-1" => {}
            "a-2" => account.state = AccountState::Disabled,
            _ => account
                .entitlements
                .retain(|one| one.id.as_str() != "r-sales"),
        }
    }
    is_held_until_approved(&ward, protect::LAST_ADMINISTRATOR).await;
}

#[tokio::test]
async fn g2_the_last_who_is_shown_as_privileged_is_not_touched_without_approval() {
    // Nothing is declared: the target itself tells. Another one is privileged, and locked out.
    let ward = Ward::new("", false).await;
    for account in &mut ward.target.shown().accounts {
        account.privileged = ["a-1", "a-2"].contains(&account.id.as_str());
        if account.id.as_str() == "a-2" {
            account.state = AccountState::Disabled;
        }
    }
    is_held_until_approved(&ward, protect::LAST_ADMINISTRATOR).await;
}

#[tokio::test]
async fn g2_one_who_is_shown_as_privileged_among_others_goes_without_approval() {
    // Another is shown as privileged, or has what is declared.
    for declared in [false, true] {
        let mut manifest = manifest("", false);
        if declared {
            manifest.administrators.insert("r-boss".into());
        }
        let ward = Ward::of(manifest, Settings::default()).await;
        for account in &mut ward.target.shown().accounts {
            match account.id.as_str() {
                "a-1" => account.privileged = true,
                "a-2" if declared => account.entitlements[2].id = "r-boss".into(),
                "a-2" => account.privileged = true,
                _ => {}
            }
        }
        ward.leaver_leaves().await;
        ward.work(2 * 3600).await;
        assert!(!shown(&ward).contains(&"a-1".to_owned()), "{declared}");
        assert!(ward.open_tasks().await.is_empty(), "{declared}");
    }
}

#[tokio::test]
async fn g2_who_cannot_be_read_may_be_the_last_administrator() {
    // Lists of this target show no roles, and the account cannot be read by itself.
    let ward = administered().await;
    for account in &mut ward.target.shown().accounts {
        account.entitlements.clear();
    }
    ward.target.shown().unreadable = Some("a-1".into());
    ward.leaver_leaves().await;
    ward.work(2 * 3600).await;
    assert_eq!(held(&ward, protect::LAST_ADMINISTRATOR).await.len(), 1);
    assert!(shown(&ward).contains(&"a-1".to_owned()));
}

#[tokio::test]
async fn g2_an_administrator_among_others_goes_without_approval() {
    let ward = administered().await;
    ward.leaver_leaves().await;
    ward.work(2 * 3600).await;
    assert!(!shown(&ward).contains(&"a-1".to_owned()));
    assert!(ward.open_tasks().await.is_empty());
}

#[tokio::test]
async fn g2_two_administrators_who_leave_at_once_do_not_count_on_each_other() {
    let ward = administered().await;
    for account in &mut ward.target.shown().accounts {
        if !["a-1", "a-2"].contains(&account.id.as_str()) {
            account
                .entitlements
                .retain(|one| one.id.as_str() != "r-sales");
        }
    }
    ward.leaves("a-1", Urgency::Planned).await;
    ward.leaves("a-2", Urgency::ForCause).await;
    ward.work(3600).await;
    assert_eq!(held(&ward, protect::LAST_ADMINISTRATOR).await.len(), 2);
    assert_eq!(ward.target.shown().accounts.len(), 5);
}

fn at_most(at_most: u64) -> Limit {
    Limit {
        window_seconds: 3600,
        at_most,
        share_percent: None,
        at_least: 1,
    }
}

async fn braked(brakes: Brakes) -> Ward {
    let settings = Settings {
        brakes,
        ..Settings::default()
    };
    // Not only deletion: what contains, strips and removes are steps of their own.
    let text = text("", false).replace("\"delete\"]", EVERYTHING);
    let text = text.replace("[\"*\"]", "[\"active\", \"*\"]");
    let without: Vec<_> = text.lines().filter(|line| !is_without(line)).collect();
    Ward::of(approved_text(&without.join("\n")), settings).await
}

const EVERYTHING: &str =
    r#""disable", "end_sessions", "revoke_credential", "revoke_entitlement", "delete"]"#;

fn is_without(line: &str) -> bool {
    line == "[without]" || line.ends_with("does it\"") || line.ends_with("there are none\"")
}

#[tokio::test]
async fn g1_the_surplus_of_writes_is_held_and_containment_for_cause_passes() {
    let ward = braked(Brakes {
        writes: vec![Writes {
            connector: None,
            limit: at_most(2),
        }],
        ..Brakes::default()
    })
    .await;
    for account in ["a-1", "a-2", "a-3", "a-4"] {
        ward.leaves(account, Urgency::Planned).await;
    }
    ward.work(10 * 60).await;
    assert_eq!(ward.target.shown().accounts.len(), 3, "two have passed");
    let tasks = held(&ward, "CB-BRAKE-3").await;
    assert_eq!(tasks.len(), 2);
    assert!(
        tasks[0].why.contains("2 have begun within 60 min, 2 may"),
        "{}",
        tasks[0].why
    );
    // Somebody who leaves for cause is cut off all the same, and loses no more than that.
    ward.leaves("a-5", Urgency::ForCause).await;
    ward.work(5 * 60).await;
    is_contained_only(&ward, "a-5");
    let tasks = held(&ward, "CB-BRAKE-3").await;
    assert_eq!(tasks.len(), 3);
    // Two people lift it, and what was held goes on.
    approved(&ward, &brake::matter("writes/crm")).await;
    for task in tasks {
        again(&ward, task.id).await;
    }
    ward.work(5 * 60).await;
    assert!(shown(&ward).is_empty(), "{:?}", shown(&ward));
}

/// It cannot sign in, and all that it had besides sessions and keys is there.
fn is_contained_only(ward: &Ward, id: &str) {
    let shown = ward.target.shown();
    let account = shown.accounts.iter().find(|one| one.id.as_str() == id);
    let account = account.expect("it is not deleted");
    assert_eq!(account.state, AccountState::Disabled, "{id}");
    assert_eq!(account.sessions, Some(0), "{id}");
    let kinds = account.entitlements.iter().map(|one| one.kind);
    let mut kinds: Vec<_> = kinds.collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [EntitlementKind::Group, EntitlementKind::Role],
        "{id}"
    );
}

#[tokio::test]
async fn g1_a_wrong_batch_for_cause_is_contained_and_its_surplus_keeps_accounts_and_roles() {
    let by_source = Brakes {
        departures: vec![Departures {
            by: Apart::Source,
            only: None,
            population: None,
            limit: at_most(2),
        }],
        ..Brakes::default()
    };
    let by_target = Brakes {
        writes: vec![Writes {
            connector: None,
            limit: at_most(2),
        }],
        ..Brakes::default()
    };
    for (code, brakes) in [("CB-BRAKE-1", by_source), ("CB-BRAKE-3", by_target)] {
        let ward = braked(brakes).await;
        for account in ["a-1", "a-2", "a-3", "a-4", "a-5"] {
            ward.leaves(account, Urgency::ForCause).await;
        }
        ward.work(40 * 60).await;
        let left = shown(&ward);
        assert_eq!(left.len(), 3, "{code}: two have passed: {left:?}");
        for id in &left {
            is_contained_only(&ward, id);
        }
        assert_eq!(held(&ward, code).await.len(), 3);
        // They count like any other: as the window rolls on, the machine goes on with them.
        ward.work(8 * 3600).await;
        assert!(shown(&ward).is_empty(), "{code}");
        assert!(held(&ward, code).await.is_empty(), "{code}");
    }
}

#[tokio::test]
async fn g1_the_surplus_of_departures_is_held_by_source_and_the_window_rolls_on() {
    let ward = braked(Brakes {
        departures: vec![Departures {
            by: Apart::Source,
            only: Some("urn:hr".to_owned()),
            population: Some(100),
            limit: Limit {
                share_percent: Some(1),
                ..at_most(50)
            },
        }],
        ..Brakes::default()
    })
    .await;
    ward.leaves("a-1", Urgency::Planned).await;
    ward.work(5 * 60).await;
    ward.leaves("a-2", Urgency::Planned).await;
    ward.work(5 * 60).await;
    assert!(shown(&ward).contains(&"a-2".to_owned()));
    assert_eq!(held(&ward, "CB-BRAKE-1").await.len(), 1);
    // When the first has left the window, the machine itself goes on with the second.
    ward.work(4 * 3600).await;
    assert!(!shown(&ward).contains(&"a-2".to_owned()));
    assert!(ward.open_tasks().await.is_empty());
}

#[test]
fn g1_every_brake_that_fits_is_asked_and_counts_by_itself() {
    let limit = |window_seconds, at_most| Limit {
        window_seconds,
        at_most,
        share_percent: None,
        at_least: 0,
    };
    let on = |connector: Option<&str>, limit| Writes {
        connector: connector.map(ConnectorName::from),
        limit,
    };
    let brakes = Brakes {
        departures: Vec::new(),
        writes: vec![
            on(None, limit(600, 50)),
            on(Some("crm"), limit(86_400, 200)),
            on(Some("crm"), limit(600, 50)),
            on(Some("mail"), limit(60, 1)),
        ],
    };
    let mut play = super::play::Play::begun();
    play.until(
        RunKind::Removal,
        "inspect",
        &mut super::target::Target::new(),
    );
    let removal = play.run(RunKind::Removal);
    let leaving = &play.removal().leaving;
    let asks = brakes.asks(removal, leaving, false);
    assert_eq!(asks, brakes.asks(removal, leaving, true));
    let told: Vec<_> = asks
        .iter()
        .map(|ask| (&*ask.brake, ask.limit.window_seconds, ask.limit.at_most))
        .collect();
    assert_eq!(told, [("writes/crm", 86_400, 200), ("writes/crm", 600, 50)]);
}
