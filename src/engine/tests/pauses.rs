//! G4: a pause that nobody ends is told to people, again and again, and never ends by itself.
//!
//! Owns whom it is told and when, and when a worker says that it keeps to one. That a pause binds is
//! tested with the guard, and where workers are.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::Notify;

use super::ward::{Ward, manifest};
use crate::connectors::Change;
use crate::domain::access::Operation;
use crate::domain::command::{Command, Wish};
use crate::domain::escalation::{Escalation, People, Role};
use crate::domain::id::CommandId;
use crate::domain::pause::Pause;
use crate::domain::settlement::OutboxMessage;
use crate::domain::time::Clock;
use crate::domain::verdict::CredentialRole::Writer;
use crate::engine::Settings;
use crate::engine::crew::{Crew, Hands, Shares};
use crate::engine::scout::{Look, Scout};
use crate::engine::worker::Pulse;

const HOUR: u64 = 3600;

async fn wish(ward: &Ward, number: u128, wish: Wish) {
    let command = Command {
        id: CommandId(uuid::Uuid::from_u128(number << 64)),
        by: "ann".to_owned(),
        at: ward.clock.now(),
        wish,
    };
    ward.store.wish(&command).await.expect("in line");
    ward.engine.obey().await.expect("obeyed");
    let answer = ward.store.answer(command.id).await.expect("read");
    assert!(answer.expect("given").accepted);
}

/// With this target paused, or all of them, and eight hours for it.
async fn paused(connector: Option<&str>) -> Ward {
    let settings = Settings {
        people: People {
            desks: vec!["iam-desk".to_owned()],
            pause_hours: 8,
            ..People::default()
        },
        ..Settings::default()
    };
    let ward = Ward::of(manifest("", false), settings).await;
    let pause = Wish::Pause {
        connector: connector.map(Into::into),
        reason: "it misbehaves".to_owned(),
    };
    wish(&ward, 1, pause).await;
    ward
}

async fn told(ward: &Ward) -> u32 {
    ward.engine.remind().await.expect("looked")
}

async fn the_pause(ward: &Ward) -> Pause {
    ward.store.pauses().await.expect("read").0.remove(0)
}

/// The messages in the outbox.
async fn messages(ward: &Ward) -> Vec<String> {
    let now = ward.clock.now();
    let all = ward.store.take_messages(ward.worker, now, 100, &[]).await;
    let text = |one: OutboxMessage| String::from_utf8(one.payload).expect("text");
    all.expect("taken").into_iter().map(text).collect()
}

fn to(escalation: &Escalation) -> (Role, &str) {
    let to = escalation.to.as_ref().expect("somebody");
    (to.role, &to.name)
}

#[tokio::test]
async fn g4_a_worker_says_that_a_pause_binds_when_no_write_is_on_its_way_any_more() {
    let ward = Ward::new("", false).await;
    let begins = ward.engine.follow_pauses(ward.worker).await;
    begins.expect("the store answers");
    let gate = Arc::new(Notify::new());
    ward.target.shown().writes_wait = Some(gate.clone());
    let crm = ward.engine.serving().registry.get(&"crm".into());
    let crm = crm.expect("served");
    let credential = ward.engine.secrets.credential(crm.manifest(), Writer).await;
    let credential = credential.expect("has none");
    let delete = Change {
        operation: Operation::Delete,
        account: "a-1".into(),
        login: "login-a-1".to_owned(),
        entitlement: None,
    };
    let mut write = Box::pin(crm.write(&credential, &delete));
    assert!(write.as_mut().now_or_never().is_none(), "under way");
    ward.paused(Some("crm"), true).await;
    let number = ward.store.pauses().await.expect("read").newest();
    let unaware = async || {
        let unaware = ward.store.unaware_of(number, ward.clock.now()).await;
        unaware.expect("counted")
    };
    assert_eq!(unaware().await, 1, "it may still go out");
    gate.notify_one();
    write.await.expect("it was let through before");
    assert_eq!(unaware().await, 1, "nobody has looked again");
    let heard = ward.engine.follow_pauses(ward.worker).await;
    heard.expect("the store answers");
    assert_eq!(unaware().await, 0);
}

#[tokio::test]
async fn b7_by_a_wrong_clock_a_pause_binds_and_every_other_wish_waits() {
    // Given a worker that is held off, and wishes: one about a task, a drill, and a pause behind them.
    let ward = Ward::new("", false).await;
    let crew = Crew::new(
        ward.worker,
        10,
        Shares::new(&ward.engine.serving().registry, 7),
    );
    let (kept, _runs) = tokio::sync::mpsc::unbounded_channel();
    let hands = Hands {
        crew: crew.clone(),
        kept,
    };
    let mut scout = Scout::new(ward.engine.clone(), hands, Arc::new(Pulse::default()));
    crew.hold_off(true);
    let claim = Wish::ClaimTask {
        task: crate::domain::id::TaskId(uuid::Uuid::from_u128(1)),
    };
    let drill = Wish::Drill {
        connector: "crm".into(),
    };
    let pause = Wish::Pause {
        connector: Some("crm".into()),
        // Words are no wish.
        reason: "as in \"wish\":{\"drill\":".to_owned(),
    };
    let mut ids = Vec::new();
    for (number, wish) in (1..).zip([claim, drill, pause]) {
        let command = Command {
            id: CommandId(uuid::Uuid::from_u128(number << 64)),
            by: "\"wish\":{\"pause\":".to_owned(),
            at: ward.clock.now(),
            wish,
        };
        ward.store.wish(&command).await.expect("in line");
        ids.push(command.id);
    }
    let answered = async || {
        let mut answered = Vec::new();
        for id in &ids {
            answered.push(ward.store.answer(*id).await.expect("read").is_some());
        }
        answered
    };
    // When it looks, then the pause alone is carried out, and binds.
    assert!(scout.look(true).await == Look::Away);
    assert_eq!(answered().await, [false, false, true]);
    assert_eq!(ward.store.pauses().await.expect("read").0.len(), 1);
    assert_eq!(crew.keep().room_for(&"crm".into()), 0);
    // Once it is let on, the others are.
    crew.hold_off(false);
    scout.look(true).await;
    assert_eq!(answered().await, [true, true, true]);
}

#[tokio::test]
async fn g4_while_pauses_cannot_be_read_nothing_is_claimed_that_would_be_held_back() {
    let ward = Ward::new("", false).await;
    let shares = Shares::new(&ward.engine.serving().registry, 7);
    let crew = Crew::new(ward.worker, 10, shares);
    let room = || crew.keep().room_for(&"crm".into());
    let read = ward.engine.follow_pauses(ward.worker).await;
    read.expect("the store answers");
    ward.engine.spare(&crew);
    assert!(room() > 0);
    ward.clock.advance(ward.engine.settings.lease_seconds + 1);
    ward.engine.spare(&crew);
    assert_eq!(room(), 0, "nobody knows whether it is paused");
    let read = ward.engine.follow_pauses(ward.worker).await;
    read.expect("the store answers");
    ward.engine.spare(&crew);
    assert!(room() > 0);
}

#[tokio::test]
async fn g4_a_pause_that_nobody_ends_is_told_to_one_after_the_other_and_lasts() {
    let owner = (Role::Owner, "owner@acme.example");
    let deputy = (Role::Deputy, "deputy@acme.example");
    let desk = (Role::Desk, "iam-desk");
    for (connector, chain) in [
        (Some("crm"), vec![owner, deputy, desk, desk]),
        (None, vec![(Role::Owner, "ann"), desk, desk]),
    ] {
        let ward = paused(connector).await;
        ward.clock.advance(8 * HOUR - 1);
        assert_eq!(told(&ward).await, 0, "not yet");
        ward.clock.advance(1);
        for (place, expected) in chain.iter().enumerate() {
            assert_eq!(told(&ward).await, 1);
            assert_eq!(told(&ward).await, 0, "once at a time");
            let pause = the_pause(&ward).await;
            assert_eq!(to(&pause.escalation), *expected, "{pause:?}");
            assert_eq!(pause.escalation.times as usize, place + 1);
            assert_eq!(pause.escalation.last, *expected == desk);
            ward.clock.advance(4 * HOUR);
        }
        // Then each time is a message, and what it says names nobody.
        let texts = messages(&ward).await;
        assert_eq!(texts.len(), chain.len(), "{texts:?}");
        for text in &texts {
            assert!(
                text.contains("clawback.status.pause-escalated.v1"),
                "{text}"
            );
            assert!(
                !text.contains("acme.example") && !text.contains("ann"),
                "{text}"
            );
        }
        // And it is in force until somebody ends it; then it is quiet.
        let resume = Wish::Resume {
            connector: connector.map(Into::into),
            reason: "mended".to_owned(),
        };
        assert_eq!(ward.store.pauses().await.expect("read").0.len(), 1);
        wish(&ward, 2, resume).await;
        ward.clock.advance(40 * HOUR);
        assert_eq!(told(&ward).await, 0);
    }
    let page = crate::telemetry::metrics::page();
    assert!(page.contains("clawback_pauses_escalated_total{connector=\"crm\",to=\"deputy\"}"));
    assert!(page.contains("clawback_pauses_escalated_total{connector=\"all\",to=\"owner\"}"));
}
