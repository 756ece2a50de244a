//! An operator who is the leaver, through the built binary: their own access ends with their departure.
//!
//! Owns one operator's session, token and claim at the console of a worker. What is asked of the store is tested
//! beside it, and who counts as the leaver in the domain.

use std::collections::BTreeMap;

use reqwest::{Client, Response, redirect};
use serde_json::Value;

use crate::house::{House, Plan, Told, Worker};
use crate::parts::until;

const PASSWORD: &str = "correct horse battery";

/// A browser in which nobody is signed in yet.
struct Browser {
    client: Client,
    base: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn at(worker: &Worker) -> Self {
        let client = Client::builder().redirect(redirect::Policy::none());
        Self {
            client: client.build().expect("a client"),
            base: format!("http://127.0.0.1:{}", worker.port),
            cookies: BTreeMap::new(),
        }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Response {
        let cookies = self.cookies.iter();
        let cookies: Vec<_> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let answer = request.header("cookie", cookies.join("; ")).send().await;
        let answer = answer.expect("answered");
        for line in answer.headers().get_all("set-cookie") {
            let line = line.to_str().expect("text");
            let (name, rest) = line.split_once('=').expect("a pair");
            let value = rest.split(';').next().expect("a value");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    async fn get(&mut self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.base));
        self.send(request).await
    }

    async fn sign_in(&mut self, name: &str) {
        let page = self.get("/sign-in").await.text().await.expect("text");
        let rest = page.split_once("name=\"csrf\" value=\"").expect("a form").1;
        let token = rest.split('"').next().expect("an end").to_owned();
        let fields = [
            ("csrf", token.as_str()),
            ("name", name),
            ("password", PASSWORD),
            ("next", "/tasks"),
        ];
        let request = self.client.post(format!("{}/sign-in", self.base));
        let answer = self.send(request.form(&fields)).await;
        assert_eq!(answer.status(), 303);
        assert_eq!(self.get("/tasks").await.status(), 200, "{name} is in");
    }
}

fn done(told: &Told) {
    assert_eq!(told.code, 0, "{} {}", told.data, told.words);
}

/// Lets somebody sign in, and makes a token of theirs.
fn operator(house: &House, name: &str, subject: &str) -> String {
    let add = ["users", "add", name, "--role", "operator", "--as", "root"];
    done(&house.cli(&[&add[..], &["--subject", subject]].concat(), PASSWORD));
    let token = ["users", "token", name, "--label", "script", "--as", "root"];
    let told = house.cli(&token, "");
    done(&told);
    told.data["token"].as_str().expect("a token").to_owned()
}

async fn api(worker: &Worker, token: &str, path: &str) -> u16 {
    let url = format!("http://127.0.0.1:{}{path}", worker.port);
    let answer = Client::new().get(url).bearer_auth(token).send().await;
    answer.expect("answered").status().as_u16()
}

/// The one task, about a badge that only people can take back.
fn the_task(house: &House) -> Value {
    let told = house.cli(&["tasks", "list"], "");
    done(&told);
    let tasks = told.data.as_array().expect("a list");
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    tasks[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_an_operator_who_leaves_is_out_and_their_claim_is_free() {
    // Given a task that olga has claimed; she is the person E1, signed in, with a token. So is paul, who stays.
    let house = House::build(Plan {
        name: "farewell",
        leavers: 2,
        badges: 1,
        settings: "sweep_seconds = 1",
        ..Plan::default()
    })
    .await;
    let olgas = operator(&house, "olga", "acme/E1");
    let pauls = operator(&house, "paul", "acme/E3");
    let mut worker = house.worker("a");
    house.ready(&mut worker).await;
    let (mut olga, mut paul) = (Browser::at(&worker), Browser::at(&worker));
    olga.sign_in("olga").await;
    paul.sign_in("paul").await;
    house.submit(0..1);
    house.until_at_rest(1, 1).await;
    let task = the_task(&house);
    let id = task["id"].as_str().expect("an id").to_owned();
    let claim = format!("http://127.0.0.1:{}/api/v1/tasks/{id}/claim", worker.port);
    let claim = Client::new()
        .post(claim)
        .bearer_auth(&olgas)
        .json(&serde_json::json!({}))
        .send()
        .await;
    assert!(claim.expect("answered").status().is_success());
    let held = the_task(&house);
    assert_eq!(held["state"]["state"], "claimed");
    assert_eq!(held["state"]["by"], "olga");

    // When she leaves.
    house.submit(1..2);

    // Then her token and her session are worth nothing, and what she had claimed is free.
    until("her token is refused", async || {
        api(&worker, &olgas, "/api/v1/tasks").await == 401
    })
    .await;
    let page = olga.get("/tasks").await;
    assert_eq!(page.status(), 303, "her session is over");
    let to = page.headers()["location"].to_str().expect("text");
    assert!(to.starts_with("/sign-in"), "{to}");
    let stream = olga.get("/live").await;
    assert_eq!(stream.status(), 401);
    until("her claim is free", async || {
        the_task(&house)["state"]["state"] == "open"
    })
    .await;
    let history = the_task(&house)["history"].to_string();
    assert!(history.contains("olga has left"), "{history}");
    // She cannot come in again.
    let told = house.cli(&["users", "list"], "");
    done(&told);
    let users = told.data.as_array().expect("a list");
    let olga = users.iter().find(|user| user["name"] == "olga");
    assert!(!olga.expect("is kept")["disabled"].is_null(), "{users:?}");
    // And it is in the record who ended it; the other works on.
    let acts = house.cli(&["users", "acts", "--about", "olga"], "");
    done(&acts);
    let acts = acts.data.to_string();
    assert!(
        acts.contains("disable_user") && acts.contains("clawback"),
        "{acts}"
    );
    assert_eq!(api(&worker, &pauls, "/api/v1/tasks").await, 200);
    assert_eq!(paul.get("/tasks").await.status(), 200);
    let told = house.cli(&["audit", "verify"], "");
    done(&told);
}
