//! Those who may sign in: what a store keeps of them, and what it refuses to forget.
//!
//! When a name is locked or a session is over is the domain's; here is that it lasts.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::super::ActFilter;
use super::Home;
use super::domain::id::{SessionId, TokenId};
use super::domain::user::{Act, ApiToken, PasswordHash, Role, SecretDigest, Session, User};
use super::given::{a_case, at, event};

fn ada() -> User {
    User {
        name: "ada".to_owned(),
        display_name: "Ada Okafor".to_owned(),
        roles: BTreeSet::from([Role::Operator]),
        password: Some(PasswordHash("$argon2id$…".to_owned())),
        provider: None,
        subject: None,
        disabled: None,
        enabled: None,
        failures: 0,
        locked_until: None,
        created: at(0),
    }
}

fn session(secret: &str, number: u64, second: u64) -> Session {
    Session {
        digest: SecretDigest::of(secret),
        id: SessionId(Uuid::from_u64_pair(0x5e55, number)),
        user: "ada".to_owned(),
        begun: at(second),
        issued: at(second),
        seen: at(second),
        ends: at(second + 1000),
        address: "127.0.0.1".to_owned(),
    }
}

/// H1: a user is added once, and every change is seen by the next, whoever makes it.
pub async fn h1_a_user_is_added_once_and_changes_follow_each_other(home: &Home) {
    let store = &home.store;
    assert!(store.add_user(&ada()).await.expect("added"));
    assert!(!store.add_user(&ada()).await.expect("asked"), "a name once");
    let missing = |user: &mut User| {
        user.missed(at(1));
        true
    };
    // Many wrong passwords at once are all counted: the lock cannot be raced.
    let tries = (0..12).map(|_| store.change_user("ada", &missing));
    for done in futures_util::future::join_all(tries).await {
        assert!(done.expect("changed").is_some());
    }
    let user = store.user("ada").await.expect("read").expect("is there");
    assert_eq!(user.failures, 12);
    assert!(user.is_locked(at(2)));
    let left = store.change_user("ada", &|user| {
        user.failures = 0;
        false
    });
    assert_eq!(
        left.await.expect("asked").map(|user| user.failures),
        Some(0)
    );
    assert_eq!(
        store.users().await.expect("read"),
        vec![user],
        "not written"
    );
    let nobody = store.change_user("bo", &|_| true).await.expect("asked");
    assert_eq!(nobody, None);
}

/// H1: a session is found by its secret alone, goes on under a new one, and can be ended.
pub async fn h1_a_session_is_replaced_and_ended(home: &Home) {
    let store = &home.store;
    store.add_user(&ada()).await.expect("added");
    let first = session("one", 1, 10);
    store.begin_session(&first, None).await.expect("begun");
    assert_eq!(
        store.session(&SecretDigest::of("two")).await.expect("read"),
        None
    );
    let found = store.session(&first.digest).await.expect("read");
    assert_eq!(found, Some((first.clone(), ada())));

    let second = first.renewed(SecretDigest::of("two"), at(20));
    let replaces = Some((&first.digest, at(50)));
    store.begin_session(&second, replaces).await.expect("begun");
    let old = store.session(&first.digest).await.expect("read");
    assert_eq!(old.map(|(session, _)| session.ends), Some(at(50)));
    let other = session("three", 2, 60);
    store.begin_session(&other, None).await.expect("begun");
    let old = store.session(&first.digest).await.expect("read");
    assert_eq!(old, None, "what is over is forgotten");

    let seen = Session {
        seen: at(70),
        ..second.clone()
    };
    store.saw_session(&seen).await.expect("kept");
    let sessions = store.sessions("ada").await.expect("read");
    assert_eq!(sessions, vec![other.clone(), seen]);
    let ended = store.end_sessions("ada", Some(second.id)).await;
    assert_eq!(ended.expect("ended"), 1);
    assert_eq!(store.sessions("ada").await.expect("read"), vec![other]);
    assert_eq!(store.end_sessions("ada", None).await.expect("ended"), 1);
    assert_eq!(store.sessions("ada").await.expect("read"), Vec::new());
}

/// H1: a token is known by its digest, and one that was taken back stays so.
pub async fn h1_a_token_that_was_taken_back_stays_so(home: &Home) {
    let store = &home.store;
    store.add_user(&ada()).await.expect("added");
    let token = ApiToken {
        id: TokenId(Uuid::from_u64_pair(0x70, 1)),
        digest: SecretDigest::of("t"),
        user: "ada".to_owned(),
        label: "nightly report".to_owned(),
        scopes: BTreeSet::from([Role::Viewer]),
        created: at(1),
        ends: at(1000),
        used: None,
        revoked: None,
    };
    store.add_token(&token).await.expect("added");
    let found = store.token(&token.digest).await.expect("read");
    assert_eq!(found, Some((token.clone(), ada())));
    let revoked = ApiToken {
        revoked: Some(at(5)),
        ..token.clone()
    };
    store.save_token(&revoked).await.expect("kept");
    // A request that was under way notes its use afterwards.
    let used = ApiToken {
        used: Some(at(6)),
        ..token.clone()
    };
    store.save_token(&used).await.expect("kept");
    let tokens = store.tokens(None).await.expect("read");
    assert_eq!(tokens, store.tokens(Some("ada")).await.expect("read"));
    assert_eq!(tokens.len(), 1);
    assert_eq!(
        (tokens[0].used, tokens[0].revoked),
        (Some(at(6)), Some(at(5)))
    );
    assert_eq!(store.tokens(Some("bo")).await.expect("read"), Vec::new());
}

/// H1: what people did is told in order, newest first.
pub async fn h1_acts_are_told_newest_first(home: &Home) {
    let store = &home.store;
    for (second, by) in [(1, "ada"), (2, "bo"), (3, "ada")] {
        let act = Act {
            at: at(second),
            by: by.to_owned(),
            from: "127.0.0.1".to_owned(),
            what: "claim_task".to_owned(),
            about: "t".to_owned(),
            came_to: "done".to_owned(),
        };
        store.note_act(&act).await.expect("noted");
    }
    let all = store.acts(&ActFilter::default()).await.expect("read");
    let seconds: Vec<_> = all.iter().map(|(_, act)| act.at).collect();
    assert_eq!(seconds, [at(3), at(2), at(1)]);
    let older = ActFilter {
        by: Some("ada".to_owned()),
        about: Some("t".to_owned()),
        before: Some(all[0].0),
        limit: 5,
    };
    let older = store.acts(&older).await.expect("read");
    assert_eq!(older.len(), 1);
    assert_eq!(older[0].1.at, at(1));
    let other = ActFilter {
        about: Some("u".to_owned()),
        ..ActFilter::default()
    };
    assert_eq!(store.acts(&other).await.expect("read"), []);
}

/// H1: a leaver is seen from the moment the departure takes effect.
pub async fn h1_leavers_are_seen_when_their_case_takes_effect(home: &Home) {
    let store = &home.store;
    assert_eq!(
        store.leavers(at(0), at(10)).await.expect("read"),
        Vec::new()
    );
    a_case(store, "c").await;
    let leavers = store.leavers(at(0), at(10)).await.expect("read");
    let subjects: Vec<_> = leavers.into_iter().map(|one| one.subject).collect();
    assert_eq!(subjects, [event("c", "c", 1).event.subject]);
    assert_eq!(
        store.leavers(at(11), at(20)).await.expect("read"),
        Vec::new(),
        "told once it has been looked at"
    );
}
