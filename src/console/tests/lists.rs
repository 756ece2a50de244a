//! Lists: what is cut says so; and dead letters, which wait until somebody says what comes of them.
//!
//! Owns what a person is told of how much there is. What the lines say is tested where they are used.

use serde_json::json;

use super::*;
use crate::store::given;
use crate::store::{ActFilter, DeadLetter, IntakeBatch, Letters};

impl House {
    fn letter(&self, offset: i64) -> DeadLetter {
        DeadLetter {
            id: DeadLetterId::of("t", 0, offset, b"{"),
            origin: given::event("e", "e", 1).origin,
            key: None,
            headers: Vec::new(),
            payload: b"{".to_vec(),
            code: "CB-INTAKE-1".to_owned(),
            reason: "not JSON".to_owned(),
            first_seen: self.clock.now(),
            replayed: None,
            aside: None,
        }
    }

    async fn keep(&self, dead_letters: Vec<DeadLetter>) {
        let batch = IntakeBatch {
            dead_letters,
            ..IntakeBatch::default()
        };
        self.store.record(&batch).await.expect("recorded");
    }

    /// So many letters wait.
    async fn letters(&self, count: i64) -> Vec<DeadLetterId> {
        let letters: Vec<_> = (0..count).map(|offset| self.letter(offset)).collect();
        let ids = letters.iter().map(|letter| letter.id).collect();
        self.keep(letters).await;
        ids
    }

    async fn waiting(&self) -> usize {
        let waiting = self.store.dead_letters(Letters::Waiting, 9).await;
        waiting.expect("read").len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_list_that_is_cut_says_so() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    house.letters(200).await;
    let token = house.token("ada", &Role::ALL).await;
    let mut ada = house.signed_in("ada").await;
    let page = ada.page("/dead-letters").await;
    assert!(page.contains(">200 messages, newest first"), "{page}");
    given::a_case(&house.store, "one").await;
    given::a_case(&house.store, "two").await;
    let cut = async |path: &str| {
        let answer = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
        assert_eq!(answer.status(), 200, "{path}");
        let list = answer.json::<Value>().await.expect("JSON");
        let count = list["items"].as_array().map(Vec::len);
        (count.expect("items"), list["more"].as_bool().expect("told"))
    };
    assert_eq!(cut("/api/v1/dead-letters").await, (200, false));
    assert_eq!(cut("/api/v1/cases?limit=1").await, (1, true));
    assert_eq!(cut("/api/v1/cases?limit=2").await, (2, false));
    assert_eq!(cut("/api/v1/tasks").await, (0, false));
    assert_eq!(cut("/api/v1/acts?limit=1").await, (1, false));
    house.letters(201).await;
    let page = ada.page("/dead-letters").await;
    assert!(page.contains(">The first 200 messages, newest first"));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_dead_letter_that_is_set_aside_waits_no_more_and_says_why() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let ids = house.letters(2).await;
    let mut ada = house.signed_in("ada").await;
    let path = format!("/dead-letters/{}", ids[0]);
    let csrf = ada.form_token(&path).await;
    for (reason, waiting) in [(" ", 2), ("a test of HR's", 1)] {
        let fields = [("csrf", csrf.as_str()), ("reason", reason)];
        ada.post(&format!("{path}/set-aside"), &fields).await;
        assert_eq!(house.waiting().await, waiting);
    }
    let page = ada.page(&path).await;
    assert!(page.contains("by ada: a test of HR"), "{page}");
    assert!(!page.contains("/set-aside\""), "{page}");
    assert!(page.contains("/replay\""), "{page}");
    let token = house.token("ada", &Role::ALL).await;
    let call = async |id: DeadLetterId| {
        let path = format!("/api/v1/dead-letters/{id}/set-aside");
        let body = json!({ "reason": "another test" });
        let answer = house.api(Verb::Post, &path, Some(&token), &body).await;
        answer.status().as_u16()
    };
    assert_eq!(call(ids[1]).await, 200);
    assert_eq!(house.waiting().await, 0);
    assert_eq!(call(DeadLetterId::of("t", 0, 9, b"{")).await, 404);
    let acts = house.store.acts(&ActFilter::default()).await.expect("read");
    let told: Vec<_> = acts
        .iter()
        .map(|(_, act)| (act.what.as_str(), act.came_to.as_str()))
        .filter(|(what, _)| what.contains("letter"))
        .collect();
    let act = "set_aside_dead_letter";
    assert_eq!(
        told,
        [(act, "done: another test"), (act, "done: a test of HR's")]
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_what_was_deleted_unread_is_no_message_that_could_be_sent_again() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let gap = DeadLetter {
        code: DeadLetter::LOST.to_owned(),
        ..house.letter(7)
    };
    let path = format!("/dead-letters/{}", gap.id);
    house.keep(vec![gap]).await;
    let mut ada = house.signed_in("ada").await;
    let page = ada.page(&path).await;
    assert!(page.contains("/set-aside\""), "{page}");
    assert!(!page.contains("/replay\""), "{page}");
    let token = house.token("ada", &Role::ALL).await;
    let path = format!("/api/v1{path}/replay");
    let answer = house
        .api(Verb::Post, &path, Some(&token), &Value::Null)
        .await;
    assert_eq!(answer.status(), 409);
    let problem = answer.json::<Value>().await.expect("JSON");
    assert_eq!(problem["code"], "CB-COMMAND-14");
    house.close().await;
}
