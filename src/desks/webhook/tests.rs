//! Kind `webhook` against a receiver that checks what the Standard Webhooks specification asks for.
//!
//! Owns the receiver: signature, time window, and repeats that do nothing. It keeps one ticket for each
//! `task.opened`. What comes back by the callback is signed in the engine's tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::super::signature::{Signed, verify};
use super::super::tests::{Asked, Counter, Fake, call, note, order, secret};
use super::super::{Callback, Unheard};
use crate::domain::desk::Stands;
use crate::domain::time::Timestamp;

/// What came in, by message.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    messages: Mutex<BTreeMap<String, Value>>,
    closed: Mutex<bool>,
}

impl Fake for Receiver {
    fn keys(&self) -> &'static str {
        "kind = \"webhook\"\ncallback_secret = \"local:desks/servicedesk\"\n"
    }

    fn known(&self, asked: &Asked) -> bool {
        let header = |name: &str| asked.headers[name].to_str().expect("text");
        let timestamp = header("webhook-timestamp");
        let signed = Signed {
            id: header("webhook-id"),
            timestamp,
            signature: header("webhook-signature"),
        };
        let now = Timestamp::from_second(timestamp.parse().expect("seconds")).expect("an instant");
        assert!(
            asked.headers.get("authorization").is_none(),
            "the secret stays at home"
        );
        verify(&secret(), signed, &asked.raw, now).is_ok()
    }

    fn answer(&self, asked: &Asked, deaf: bool) -> (u16, Value) {
        let id = asked.headers["webhook-id"]
            .to_str()
            .expect("text")
            .to_owned();
        let body = asked.json();
        let mut messages = self.messages.lock().expect("not poisoned");
        if !deaf && messages.insert(id, body.clone()).is_none() {
            match body["type"].as_str() {
                Some("task.closed") => *self.closed.lock().expect("not poisoned") = true,
                Some("task.reopened") => *self.closed.lock().expect("not poisoned") = false,
                Some("task.opened" | "task.noted" | "check") => {}
                other => panic!("{other:?}"),
            }
        }
        (202, json!({ "reference": "T-1" }))
    }

    fn tickets(&self) -> usize {
        let messages = self.messages.lock().expect("not poisoned");
        let opened = messages.values().filter(|one| one["type"] == "task.opened");
        opened.count()
    }

    fn closed(&self) -> bool {
        *self.closed.lock().expect("not poisoned")
    }

    fn texts(&self) -> String {
        format!("{:?}", self.messages.lock().expect("not poisoned"))
    }

    fn jane_closes(&self) {
        *self.closed.lock().expect("not poisoned") = true;
    }
}

#[tokio::test]
async fn f2_webhook_messages_are_signed_and_their_repeats_do_nothing() {
    let receiver = Arc::new(Receiver::default());
    let counter = Counter::open(receiver.clone()).await;
    let (secret, desk) = (secret(), &counter.entry.desk);
    desk.check(call(&secret)).await.expect("taken");
    for _ in 0..2 {
        let ticket = desk.create(call(&secret), &order()).await.expect("made");
        assert_eq!(ticket.shown, "T-1");
        desk.close(call(&secret), &ticket, &note("m-1"))
            .await
            .expect("closed");
    }
    assert_eq!(receiver.tickets(), 1);
    assert!(receiver.closed());
    assert_eq!(receiver.messages.lock().expect("not poisoned").len(), 3);
}

#[tokio::test]
async fn f2_webhook_trouble_has_its_class() {
    let counter = Counter::open(Arc::new(Receiver::default())).await;
    super::super::tests::classes_are_right(&counter).await;
}

#[test]
fn f2_a_callback_says_what_it_may_and_no_more() {
    let ours = secret();
    let now = Timestamp::from_second(1_800_000_000).expect("an instant");
    let named = |id: &str, body: &str, asked: bool| {
        let signature = super::super::signature::sign(&ours, id, now, body.as_bytes());
        let callback = Callback {
            id,
            timestamp: "1800000000",
            signature: &signature,
            body: body.as_bytes(),
        };
        callback.hear(&ours, asked, now)
    };
    let hear = |body: &str, asked: bool| named("m", body, asked);
    let task = "00000000-0000-0000-0000-000000000007";
    let closed = format!("{{\"task\":\"{task}\",\"state\":\"closed\",\"by\":\"Jane\"}}");
    let (_, heard) = hear(&closed, false).expect("heard");
    assert_eq!(heard.seen.map(|seen| seen.stands), Some(Stands::Closed));
    // A desk that can be asked is asked, whatever its callback says.
    let (_, heard) = hear(&closed, true).expect("heard");
    assert_eq!(heard.seen, None);
    // A message without a name could be repeated unnoticed.
    for id in ["", &"m".repeat(201)] {
        assert_eq!(named(id, &closed, false), Err(Unheard::Unreadable));
    }
    for wrong in [
        format!("{{\"task\":\"{task}\"}}"),
        format!("{{\"task\":\"{task}\",\"state\":\"gone\"}}"),
        format!("{{\"task\":\"{task}\",\"state\":\"closed\",\"attest\":true}}"),
        "{}".to_owned(),
    ] {
        assert_eq!(hear(&wrong, false), Err(Unheard::Unreadable), "{wrong}");
    }
}
