//! What the store promises about pauses: they last, every worker says that it knows, and none is forgotten.
//!
//! The decisions are made up here; who is told and when is the domain's.

use super::Home;
use super::domain::command::{Command, Wish};
use super::domain::escalation::Reminded;
use super::domain::id::ConnectorName;
use super::domain::pause::{Pause, PauseChange};
use super::domain::run::Run;
use super::domain::settlement::Obedience;
use super::domain::task::FallbackTask;
use super::given::{a_removal, at, keep, lapsed, message, worker};
use super::people::{bare, signed, wish};

pub async fn g4_a_pause_lasts_until_it_is_ended_and_every_worker_says_that_it_knows(home: &Home) {
    let store = &home.store;
    store.enlist(worker(1), at(0), 10).await.expect("enlisted");
    store.enlist(worker(2), at(0), 10).await.expect("enlisted");
    // A relay says nothing of pauses, because it begins nothing at targets.
    store.enlist(worker(3), at(0), 10).await.expect("enlisted");
    for number in [1, 2] {
        store.know_pauses(worker(number), 0).await.expect("said");
    }
    assert_eq!(store.pauses().await.expect("read").0, []);
    let crm: ConnectorName = "crm".into();
    change(home, 1, begin(Some(&crm), "ann")).await;
    change(home, 2, begin(Some(&crm), "bob")).await;
    change(home, 3, begin(None, "cy")).await;
    let pauses = store.pauses().await.expect("read");
    let told: Vec<_> = pauses
        .0
        .iter()
        .map(|one| (one.connector.clone(), one.paused.by.as_str()))
        .collect();
    assert_eq!(told, [(Some(crm.clone()), "ann"), (None, "cy")]);
    // Both have to say so; a worker whose lease is over has not to.
    let newest = pauses.newest();
    assert_eq!(store.unaware_of(newest, at(1)).await.expect("counted"), 2);
    store.know_pauses(worker(1), newest).await.expect("said");
    assert_eq!(store.unaware_of(newest, at(1)).await.expect("counted"), 1);
    lapsed(store, 2, 10).await;
    assert_eq!(store.unaware_of(newest, at(60)).await.expect("counted"), 0);
    // Ended, each by itself; ended twice is ended.
    for number in [4, 5] {
        change(home, number, end(Some(&crm))).await;
    }
    let left = store.pauses().await.expect("read");
    assert_eq!(left.0.len(), 1);
    assert!(left.everywhere().is_some());
    change(home, 6, begin(Some(&crm), "ann")).await;
    let again = store.pauses().await.expect("read");
    assert!(again.newest() > newest, "{again:?}");
}

/// Somebody is told of it at this second.
fn reminded(pause: &Pause, second: u64) -> Reminded {
    let mut pause = pause.clone();
    pause.escalation.times += 1;
    pause.escalation.at = Some(at(second));
    Reminded {
        message: Some(message(second, "pause")),
        pause,
    }
}

pub async fn g4_a_pause_that_nobody_ends_is_told_by_one_worker(home: &Home) {
    let store = &home.store;
    let crm: ConnectorName = "crm".into();
    change(home, 31, begin(Some(&crm), "ann")).await;
    change(home, 32, begin(None, "cy")).await;
    let waits = async || store.counts(at(9)).await.expect("read").outbox_waiting;
    let before = waits().await;
    assert!(
        store
            .remind(&|_: &Pause| None)
            .await
            .expect("asked")
            .is_empty()
    );
    assert_eq!(waits().await, before);
    // Many look at once, and only the pause of all has lasted too long.
    let due = |pause: &Pause| {
        let due = pause.connector.is_none() && pause.escalation.is_none();
        due.then(|| reminded(pause, 7))
    };
    let looks = (0..8).map(|_| store.remind(&due));
    let looks = futures_util::future::join_all(looks).await;
    let all: Vec<_> = looks
        .into_iter()
        .flat_map(|one| one.expect("asked"))
        .collect();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(waits().await, before + 1);
    let pauses = store.pauses().await.expect("read");
    let all = pauses.everywhere().expect("in force");
    assert_eq!((all.escalation.times, all.escalation.at), (1, Some(at(7))));
    let own = pauses.0.iter().find(|one| one.connector.is_some());
    assert!(own.is_some_and(|one| one.escalation.is_none()));
    // It is told again, and once it has ended no more.
    let later = |pause: &Pause| pause.connector.is_none().then(|| reminded(pause, 8));
    let again = store.remind(&later).await.expect("asked");
    assert_eq!(again[0].escalation.times, 2);
    change(home, 33, end(None)).await;
    assert!(store.remind(&later).await.expect("asked").is_empty());
}

/// The pause of one connector ends.
pub async fn crm_goes_on(home: &Home) {
    change(home, 34, end(Some(&"crm".into()))).await;
}

pub async fn g4_paused_work_is_counted_where_it_waits(home: &Home) {
    let store = &home.store;
    let removal = a_removal(store, "c").await;
    let crm: ConnectorName = "crm".into();
    let due = |second| store.due_at(std::slice::from_ref(&crm), at(second));
    assert_eq!(
        due(10).await.expect("counted"),
        [],
        "it is held by a worker"
    );
    store
        .release(worker(1), &[(removal.run.id, removal.token)])
        .await
        .expect("released");
    let waits = due(10).await.expect("counted");
    assert_eq!(
        (waits[0].connector.clone(), waits[0].runs),
        (crm.clone(), 1)
    );
    assert_eq!(
        store
            .due_at(&["wiki".into()], at(10))
            .await
            .expect("counted"),
        []
    );
    // With no room for its target it stays where it is, and with room it is taken up at once.
    let mut none = keep(1, 5);
    none.room.insert(crm.clone(), 0);
    assert_eq!(store.claim(at(10), &none).await.expect("claimed"), []);
    assert_eq!(
        store
            .claim(at(10), &keep(1, 5))
            .await
            .expect("claimed")
            .len(),
        1
    );
}

fn begin(connector: Option<&ConnectorName>, by: &str) -> PauseChange {
    PauseChange::Begin {
        connector: connector.cloned(),
        signed: signed(by),
    }
}

fn end(connector: Option<&ConnectorName>) -> PauseChange {
    PauseChange::End {
        connector: connector.cloned(),
        signed: signed("dan"),
    }
}

async fn change(home: &Home, number: u64, change: PauseChange) {
    let reason = "it misbehaves".to_owned();
    let command = wish(
        number,
        Wish::Pause {
            connector: None,
            reason,
        },
    );
    home.store.wish(&command).await.expect("wished");
    let pauses = |command: &Command, _: Option<&FallbackTask>, _: Option<&Run>| Obedience {
        pause: Some(change.clone()),
        ..bare(command)
    };
    assert_eq!(
        home.store.obey(10, at(1), &pauses).await.expect("obeyed"),
        1
    );
}
