//! Guessing passwords, by many requests at once: what is heard, what is counted, what is written.
//!
//! Owns the promise that no guess counts after the lock and that nobody outside can make the log grow
//! without bound. The order of guesses is that in which they ask for their turn.

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::*;
use crate::store::ActFilter;

/// What refused tries came to, in no order.
async fn refusals(house: &House, what: &str) -> Vec<String> {
    let acts = house.store.acts(&ActFilter::default()).await;
    let acts = acts.expect("read").into_iter().map(|(_, act)| act);
    let refused = acts.filter(|act| act.what == what && act.came_to.starts_with("refused"));
    refused.map(|act| act.came_to).collect()
}

/// Wrong tries at names that nobody has, until this address is shut.
async fn shut(house: &House, address: &str) {
    for number in 0..20 {
        let name = format!("n{number}");
        let tried = house.office.sign_in(&name, "wrong".to_owned(), address);
        assert_eq!(tried.await.expect_err("wrong").status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_no_guess_is_heard_after_the_lock_however_many_come_at_once() {
    let house = House::open().await;
    house.user("ada", &[Role::Viewer]).await;
    let tries = (0..16).map(|number| {
        let (office, last) = (house.office.clone(), number == 15);
        let given = if last { PASSWORD } else { "wrong" };
        // Each from elsewhere: nothing but the name's own lock holds them.
        let address = format!("192.0.2.{number}");
        async move { office.sign_in("ada", given.to_owned(), &address).await }
    });
    let tried = join_all(tries).await;
    assert!(tried.iter().all(Result::is_err), "even the right one");
    let ada = house.store.user("ada").await.expect("read").expect("there");
    assert_eq!(ada.failures, 5, "the lock ends the counting");
    assert!(ada.is_locked(house.clock.now()));
    let refused = refusals(&house, "sign_in").await;
    let locked = refused.iter().filter(|why| *why == "refused: locked");
    assert!(locked.count() >= 10, "{refused:?}");
    house.wait(30);
    house.signed_in("ada").await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_who_waits_while_their_address_is_shut_is_not_heard() {
    let house = House::open().await;
    house.user("ada", &[Role::Viewer]).await;
    let tries = (0..26).map(|number| {
        let (office, last) = (house.office.clone(), number == 25);
        let (name, given) = if last {
            ("ada".to_owned(), PASSWORD)
        } else {
            (format!("n{number}"), "wrong")
        };
        async move { office.sign_in(&name, given.to_owned(), "192.0.2.1").await }
    });
    let tried = join_all(tries).await;
    assert!(tried.iter().all(Result::is_err), "even the right one");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_full_line_turns_away_at_once_and_writes_it_down_once() {
    let house = House::open().await;
    house.user("ada", &[Role::Viewer]).await;
    let turns = &house.office.turns;
    let (mut held, mut waiting) = (Vec::new(), Vec::new());
    loop {
        let mut turn = Box::pin(turns.take());
        match (&mut turn).now_or_never() {
            Some(Some(turn)) => held.push(turn),
            Some(None) => break,
            None => waiting.push(turn),
        }
    }
    assert_eq!((held.len(), waiting.len()), (2, 64));
    for _ in 0..3 {
        let mut browser = house.browser();
        let answer = browser.sign_in("ada", PASSWORD, "/").await;
        assert_eq!(answer.status(), 401);
    }
    let refused = refusals(&house, "sign_in").await;
    assert_eq!(refused, ["refused: too many wait to be heard"]);
    drop((held, waiting));
    house.signed_in("ada").await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_an_address_that_is_shut_writes_one_act_in_each_window() {
    let house = House::open().await;
    house.user("ada", &[Role::Viewer]).await;
    let address = "192.0.2.1";
    shut(&house, address).await;
    for _ in 0..50 {
        let tried = house.office.sign_in("ada", PASSWORD.to_owned(), address);
        assert_eq!(tried.await.expect_err("shut").status, 401);
    }
    let refused = refusals(&house, "sign_in").await;
    let away = refused.iter().filter(|why| why.ends_with("from here"));
    assert_eq!((refused.len(), away.count()), (21, 1));
    house.wait(300);
    let tried = house.office.sign_in("ada", PASSWORD.to_owned(), address);
    tried.await.expect("the window is over");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_the_old_password_is_guessed_within_the_same_bounds() {
    const NEW: &str = "staple battery horse";
    let house = House::open().await;
    house.user("ada", &[Role::Viewer]).await;
    let mut ada = house.signed_in("ada").await;
    let csrf = ada.form_token("/account").await;
    let mut change = async |old: &str| {
        let fields = [("csrf", csrf.as_str()), ("old", old), ("new", NEW)];
        let answer = ada.post("/account/password", &fields).await;
        assert_eq!(location(&answer), "/account");
        let ada = house.store.user("ada").await.expect("read").expect("there");
        ada.password != Some(HASH.clone())
    };
    for _ in 0..5 {
        assert!(!change("wrong").await);
    }
    assert!(!change(PASSWORD).await, "the name is locked");
    house.wait(30);
    shut(&house, "127.0.0.1").await;
    assert!(!change(PASSWORD).await, "the address waits");
    house.wait(300);
    assert!(change(PASSWORD).await);
    // The last was not the first to be turned away from here, so it left nothing.
    assert_eq!(refusals(&house, "change_password").await.len(), 6);
    let mut browser = house.browser();
    assert_eq!(browser.sign_in("ada", NEW, "/").await.status(), 303);
    house.close().await;
}
