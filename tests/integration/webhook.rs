//! F2, F3 with a signed webhook, through the built binary: what goes out, and the door for callbacks.
//!
//! Owns a receiver that checks signatures with a library of its own, and everything that may come in at
//! the door unsigned, late, twice or out of order. The other kinds have topics or fakes of their own.

use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clawback::domain::time::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::house::{House, Plan, Worker};
use crate::parts::until;

const OUT: &str = "the-key-of-what-goes-out";
const BACK: &str = "the-key-of-what-comes-back";

/// Everything that came, once for each `webhook-id`.
#[derive(Debug, Default)]
struct Heard {
    messages: Vec<(String, Value)>,
    unsigned: usize,
}

type Ears = Arc<Mutex<Heard>>;

fn tag(key: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, &content)))
}

async fn receive(State(ears): State<Ears>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers[name].to_str().expect("text").to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let mut heard = ears.lock().expect("not poisoned");
    if header("webhook-signature") != tag(OUT, &id, &timestamp, &body) {
        heard.unsigned += 1;
        return StatusCode::UNAUTHORIZED;
    }
    if heard.messages.iter().all(|(known, _)| *known != id) {
        let body = serde_json::from_slice(&body).expect("JSON");
        heard.messages.push((id, body));
    }
    StatusCode::NO_CONTENT
}

/// The workshop: a receiver, the house that tells it, and its own voice.
struct Workshop {
    house: House,
    ears: Ears,
    http: reqwest::Client,
    _serving: JoinSet<()>,
}

/// One callback as it goes over the wire.
#[derive(Clone)]
struct Message {
    desk: &'static str,
    id: String,
    timestamp: String,
    key: &'static str,
    body: String,
}

impl Workshop {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let ears = Ears::default();
        let routes = Router::new().fallback(receive).with_state(ears.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        let settings = format!(
            "survey_milliseconds = 200\n[desks.workshop]\nkind = \"webhook\"\n\
             url = \"http://{address}/clawback\"\nsecret = \"local:desks/workshop\"\n\
             callback_secret = \"local:desks/workshop-callback\"\npoll_seconds = 1\n"
        );
        let house = House::build(Plan {
            name: "webhook",
            leavers: 1,
            badges: 1,
            settings: Box::leak(settings.into_boxed_str()),
            ..Plan::default()
        })
        .await;
        house.rewrite("badges", "desk = \"built-in\"", "desk = \"workshop\"");
        house.two_people();
        for (reference, value) in [
            ("local:desks/workshop", OUT),
            ("local:desks/workshop-callback", BACK),
        ] {
            let set = house.cli(&["secrets", "set", "--as", "ada", reference], value);
            assert_eq!(set.code, 0, "{}", set.words);
        }
        let told = house.cli(&["desks", "check", "workshop"], "");
        assert_eq!(told.code, 0, "{} {}", told.data, told.words);
        Self {
            house,
            ears,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
            _serving: serving,
        }
    }

    /// The messages of this type.
    fn told(&self, kind: &str) -> Vec<Value> {
        let heard = self.ears.lock().expect("not poisoned");
        let messages = heard.messages.iter().map(|(_, body)| body);
        let messages = messages.filter(|body| body["type"] == kind);
        messages.cloned().collect()
    }

    async fn say(&self, worker: &Worker, message: &Message) -> u16 {
        let url = format!(
            "http://127.0.0.1:{}/desks/{}/callback",
            worker.port, message.desk
        );
        let body = message.body.as_bytes();
        let signature = tag(message.key, &message.id, &message.timestamp, body);
        let request = self.http.post(url).body(message.body.clone());
        let request = request
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", &message.timestamp)
            .header("webhook-signature", signature);
        request.send().await.expect("answered").status().as_u16()
    }

    fn task(&self) -> Value {
        let told = self.house.cli(&["tasks", "list", "--closed"], "");
        let tasks = told.data.as_array().expect("a list").clone();
        assert_eq!(tasks.len(), 1, "{tasks:?}");
        let id = tasks[0]["id"].as_str().expect("an id");
        self.house.cli(&["tasks", "show", id], "").data
    }

    /// How often Jane has said that it is done.
    fn claims(&self) -> usize {
        let task = self.task();
        let lines = task["history"].as_array().expect("lines").iter();
        lines
            .filter(|line| line["by"] == "workshop/Jane Doe")
            .count()
    }
}

fn closed(task: &str, id: &str) -> Message {
    let body = json!({ "task": task, "state": "closed", "by": "Jane Doe", "note": "taken back" });
    Message {
        desk: "workshop",
        id: id.to_owned(),
        timestamp: now(0),
        key: BACK,
        body: body.to_string(),
    }
}

#[allow(clippy::disallowed_methods)] // The worker has the real time.
fn now(offset: i64) -> String {
    (Timestamp::now().as_second() + offset).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_f3_a_task_travels_to_a_signed_webhook_and_a_callback_closes_it() {
    let shop = Workshop::open().await;
    let mut worker = shop.house.worker("a");
    shop.house.ready(&mut worker).await;
    shop.house.submit(0..1);
    until("the receiver is told", async || {
        shop.told("task.opened").len() == 1
    })
    .await;
    let opened = shop.told("task.opened").remove(0);
    assert!(opened.to_string().contains("Remove the person"), "{opened}");
    let id = opened["data"]["task"].as_str().expect("an id").to_owned();
    assert_eq!(shop.task()["id"], id.as_str());

    what_is_not_signed_or_not_now_does_nothing(&shop, &worker, &id).await;

    // A closing that is not true is sent back, and told.
    let first = closed(&id, "m-1");
    assert_eq!(shop.say(&worker, &first).await, 204);
    until("it is sent back", async || {
        let told = shop.told("task.reopened");
        told.len() == 1 && told[0].to_string().contains("sent back")
    })
    .await;
    assert_eq!(shop.claims(), 1);

    // The same message again, as it was and signed again, and one that is older.
    let signed_again = Message {
        timestamp: now(1),
        ..first.clone()
    };
    let older = Message {
        timestamp: now(-200),
        ..closed(&id, "m-0")
    };
    for repeated in [&first, &signed_again, &older] {
        assert_eq!(shop.say(&worker, repeated).await, 204, "{}", repeated.id);
    }

    // A closing that is true ends in proof. By then nothing came of the repeats.
    let list = std::fs::read_to_string(shop.house.badges()).expect("readable");
    std::fs::write(shop.house.badges(), list.replace("p0\n", "")).expect("written");
    let last = Message {
        timestamp: now(2),
        ..closed(&id, "m-2")
    };
    assert_eq!(shop.say(&worker, &last).await, 204);
    shop.house.until_at_rest(1, 0).await;
    until("nothing is left to do", async || {
        shop.house.count("desk_copies WHERE NOT finished").await == 0
    })
    .await;
    assert_eq!(shop.claims(), 2);
    assert_eq!(shop.told("task.opened").len(), 1);
    assert_eq!(shop.ears.lock().expect("not poisoned").unsigned, 0);
    no_secret_is_told(&shop, &worker);
}

async fn what_is_not_signed_or_not_now_does_nothing(shop: &Workshop, worker: &Worker, id: &str) {
    let good = closed(id, "w-1");
    let nobody = "00000000-0000-0000-0000-000000000005";
    let with = |change: &dyn Fn(&mut Message)| {
        let mut message = good.clone();
        change(&mut message);
        message
    };
    for (what, status, message) in [
        ("another's key", 401, with(&|m| m.key = OUT)),
        ("too old", 401, with(&|m| m.timestamp = now(-3600))),
        ("from the future", 401, with(&|m| m.timestamp = now(3600))),
        (
            "no time",
            401,
            with(&|m| "soon".clone_into(&mut m.timestamp)),
        ),
        ("no such desk", 401, with(&|m| m.desk = "nowhere")),
        ("no name", 400, with(&|m| m.id = String::new())),
        ("not readable", 400, with(&|m| "{}".clone_into(&mut m.body))),
        (
            "more than it may say",
            400,
            with(&|m| m.body = m.body.replace("\"note\"", "\"attest\"")),
        ),
        (
            "no such task",
            404,
            with(&|m| m.body = m.body.replace(id, nobody)),
        ),
        (
            "too large",
            413,
            with(&|m| m.body = m.body.replace("taken", &"t".repeat(70_000))),
        ),
    ] {
        assert_eq!(shop.say(worker, &message).await, status, "{what}");
    }
    let url = format!("http://127.0.0.1:{}/desks/workshop/callback", worker.port);
    let bare = shop.http.post(url).body(good.body.clone()).send().await;
    assert_eq!(bare.expect("answered").status().as_u16(), 401);
    assert_eq!(shop.claims(), 0);
}

fn no_secret_is_told(shop: &Workshop, worker: &Worker) {
    let log = std::fs::read_to_string(&worker.log).expect("readable");
    assert!(
        log.contains("CB-DESK-9") && log.contains("CB-DESK-10"),
        "{log}"
    );
    let heard = shop.ears.lock().expect("not poisoned");
    let told = format!("{log}{:?}", heard.messages);
    for secret in [OUT, BACK] {
        assert!(!told.contains(secret), "{secret} is in {told}");
    }
}
