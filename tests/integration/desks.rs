//! F2, F3 on a real Request Tracker: the kind alone, and the whole road through the built binary.
//!
//! Owns a private instance of RT from Debian's packages, and what people do there, past Clawback. The
//! other kinds are tested against fakes held to their vendors' descriptions, in `src/desks`.

use clawback::desks::{Call, DeskEntry, WorkOrder, read};
use clawback::document::Document;
use clawback::domain::desk::{Note, Stands, Ticket};
use clawback::domain::id::TaskId;
use clawback::domain::outcome::FailureClass;
use clawback::domain::time::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::house::{House, Plan, Worker};
use crate::parts::{Service, until};

/// RT past Clawback: what its people do and see.
struct Tracker {
    service: Service,
    http: reqwest::Client,
}

impl Tracker {
    fn up(name: &str) -> Self {
        Self {
            service: Service::up("rt", name, &[]),
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
        }
    }

    fn url(&self) -> &str {
        self.service.value("URL")
    }

    fn password(&self) -> &str {
        self.service.value("ROOT_PASSWORD")
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/REST/2.0{path}", self.url());
        let request = self.http.request(method, url);
        let request = request.basic_auth("root", Some(self.password()));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.expect("RT answers");
        answer.json().await.expect("JSON")
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(reqwest::Method::GET, path, None).await
    }

    /// The ids of all tickets.
    async fn tickets(&self) -> Vec<String> {
        let found = self.get("/tickets?query=id%3E0&per_page=100").await;
        let items = found["items"].as_array().expect("a list");
        let ids = items.iter().map(|item| item["id"].as_str().expect("an id"));
        ids.map(str::to_owned).collect()
    }

    async fn status(&self, ticket: &str) -> String {
        let seen = self.get(&format!("/ticket/{ticket}")).await;
        seen["Status"].as_str().expect("a status").to_owned()
    }

    async fn set(&self, ticket: &str, status: &str) {
        let body = json!({ "Status": status });
        let path = format!("/ticket/{ticket}");
        self.ask(reqwest::Method::PUT, &path, Some(body)).await;
    }

    /// All texts of a ticket, one after the other.
    async fn texts(&self, ticket: &str) -> String {
        let path = format!("/ticket/{ticket}/attachments?fields=Content&per_page=100");
        let found = self.get(&path).await;
        let items = found["items"].as_array().expect("a list");
        let texts = items.iter().filter_map(|item| item["Content"].as_str());
        texts.collect::<Vec<_>>().join("\n")
    }

    fn entry(&self, more: &str) -> Arc<DeskEntry> {
        let text = format!(
            "[helpdesk]\nkind = \"request_tracker\"\nurl = \"{}\"\nusername = \"root\"\n\
             secret = \"local:desks/helpdesk\"\n{more}",
            self.url()
        );
        let document = Document::parse("clawback.toml", &text).expect("TOML");
        let settings = read(&document.root());
        let problems = document.take_problems();
        assert!(problems.is_empty(), "{problems}");
        settings.iter().next().expect("one desk").clone()
    }
}

fn call(secret: &SecretString) -> Call<'_> {
    Call {
        secret,
        now: Timestamp::UNIX_EPOCH,
    }
}

fn order(number: u128) -> WorkOrder {
    WorkOrder {
        task: TaskId(uuid::Uuid::from_u128(number)),
        title: "Access to take back: crm".to_owned(),
        sections: Vec::new(),
        target: "crm".to_owned(),
        privileged: false,
        deadline: "2027-01-16T00:00:00Z".to_owned(),
    }
}

fn note(mark: &str) -> Note {
    Note {
        mark: mark.to_owned(),
        text: "first line\n<b>not markup</b>".to_owned(),
        told: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_request_tracker_keeps_finds_closes_and_refuses_as_the_kind_expects() {
    let rt = Tracker::up("rt-kind");
    let secret = SecretString::from(rt.password());
    let entry = rt.entry("queue = \"General\"\n");
    let desk = &entry.desk;
    assert_eq!(
        desk.check(call(&secret)).await.as_deref(),
        Ok("queue General")
    );
    let one = order(1);
    assert_eq!(desk.find(call(&secret), one.task).await, Ok(None));
    let ticket = desk.create(call(&secret), &one).await.expect("made");
    assert_eq!(
        desk.find(call(&secret), one.task).await,
        Ok(Some(ticket.clone()))
    );
    assert_eq!(desk.find(call(&secret), order(2).task).await, Ok(None));
    // A text is there once and as it is.
    desk.note(call(&secret), &ticket, &note("m-1"))
        .await
        .expect("noted");
    assert_eq!(
        desk.noted(call(&secret), &ticket, "m-1").await,
        Ok(Some(true))
    );
    assert_eq!(
        desk.noted(call(&secret), &ticket, "m-2").await,
        Ok(Some(false))
    );
    assert!(rt.texts(&ticket.id).await.contains("<b>not markup</b>"));
    // Closed, and open again.
    desk.close(call(&secret), &ticket, &note("m-3"))
        .await
        .expect("closed");
    assert_eq!(rt.status(&ticket.id).await, "resolved");
    let seen = desk
        .look(call(&secret), &ticket)
        .await
        .expect("seen")
        .expect("told");
    assert_eq!((seen.stands, seen.by.as_str()), (Stands::Closed, "root"));
    desk.reopen(call(&secret), &ticket, &note("m-4"))
        .await
        .expect("open");
    assert_eq!(rt.status(&ticket.id).await, "open");
    what_rt_refuses_is_noticed(&rt, &secret, &ticket).await;
    rt.set(&ticket.id, "deleted").await;
    let seen = desk
        .look(call(&secret), &ticket)
        .await
        .expect("seen")
        .expect("told");
    assert_eq!(seen.stands, Stands::Gone);
    assert_eq!(desk.find(call(&secret), one.task).await, Ok(None));
    rt.service.ctl("stop");
    let failure = desk.create(call(&secret), &order(3)).await;
    let failure = failure.expect_err("down");
    assert_eq!(failure.class, FailureClass::Unreachable);
}

/// What RT refuses it answers with 200; only a look tells.
async fn what_rt_refuses_is_noticed(rt: &Tracker, secret: &SecretString, ticket: &Ticket) {
    let odd =
        rt.entry("queue = \"General\"\nclose_status = \"gone\"\nclosed_statuses = [\"gone\"]\n");
    let closed = odd.desk.close(call(secret), ticket, &note("m-5")).await;
    closed.expect("answered with yes");
    let seen = odd
        .desk
        .look(call(secret), ticket)
        .await
        .expect("seen")
        .expect("told");
    assert_eq!(seen.stands, Stands::Open, "and not done");
    // What is not there, and who is not let in.
    let nowhere = rt.entry("queue = \"Nowhere\"\n");
    let failure = nowhere
        .desk
        .check(call(secret))
        .await
        .expect_err("no queue");
    assert_eq!(failure.code, "CB-DESK-8");
    let wrong = SecretString::from("not-the-password");
    let failure = rt
        .entry("queue = \"General\"\n")
        .desk
        .check(call(&wrong))
        .await
        .expect_err("not let in");
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::AuthFailure, "CB-DESK-3")
    );
}

/// A house whose badges, which only a person can take back, go to RT's queue.
async fn house_with(rt: &Tracker) -> House {
    let settings = format!(
        "survey_milliseconds = 200\n[desks.helpdesk]\nkind = \"request_tracker\"\nurl = \"{}\"\n\
         username = \"root\"\nsecret = \"local:desks/helpdesk\"\nqueue = \"General\"\npoll_seconds = 1\n",
        rt.url()
    );
    let house = House::build(Plan {
        name: "desks",
        leavers: 2,
        badges: 2,
        settings: Box::leak(settings.into_boxed_str()),
        ..Plan::default()
    })
    .await;
    house.rewrite("badges", "desk = \"built-in\"", "desk = \"helpdesk\"");
    house.two_people();
    let told = house.cli(&["desks", "check", "helpdesk"], "");
    assert_eq!(told.code, 1, "no secret yet: {} {}", told.data, told.words);
    assert!(
        told.data.to_string().contains("CB-SECRETS-1"),
        "{}",
        told.data
    );
    let set = house.cli(
        &["secrets", "set", "--as", "ada", "local:desks/helpdesk"],
        rt.password(),
    );
    assert_eq!(set.code, 0, "{}", set.words);
    let told = house.cli(&["desks", "check", "helpdesk"], "");
    assert_eq!(told.code, 0, "{} {}", told.data, told.words);
    assert_eq!(told.data["found"], "queue General");
    assert!(rt.tickets().await.is_empty(), "a check makes nothing");
    house
}

fn open_tasks(house: &House) -> Vec<Value> {
    let told = house.cli(&["tasks", "list"], "");
    told.data.as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_f3_tasks_travel_to_a_real_request_tracker_and_closings_back() {
    let rt = Tracker::up("rt-road");
    let house = house_with(&rt).await;
    let mut worker = house.worker("a");
    house.ready(&mut worker).await;
    house.submit(0..1);
    until("the ticket is there", async || {
        rt.tickets().await.len() == 1
    })
    .await;
    let ticket = rt.tickets().await.remove(0);
    let task = open_tasks(&house).remove(0);
    let id = task["id"].as_str().expect("an id").to_owned();
    until("the copy is told", async || {
        let shown = house.cli(&["tasks", "show", &id], "");
        shown.data["copies"][0]["ticket"]["shown"] == format!("#{ticket}")
    })
    .await;
    assert!(rt.texts(&ticket).await.contains("Remove the person"));

    a_false_closing_is_sent_back(&house, &rt, &ticket, &id).await;
    let worker = a_second_task_outlives_desk_and_worker(&house, &rt, worker).await;

    // A true closing there ends the case in proof.
    house_gives_back(&house, "p0\n");
    rt.set(&ticket, "resolved").await;
    until("the first task is closed", async || {
        open_tasks(&house).len() == 1
    })
    .await;
    assert_eq!(rt.status(&ticket).await, "resolved");

    // And what is closed here is closed there.
    house_gives_back(&house, "p1\n");
    let other = open_tasks(&house).remove(0);
    let other = other["id"].as_str().expect("an id").to_owned();
    let close = ["tasks", "close", &other, "--note", "done", "--as", "olga"];
    let told = house.cli(&close, "");
    assert!([0, 7].contains(&told.code), "{} {}", told.data, told.words);
    let tickets = rt.tickets().await;
    let second = tickets.iter().find(|one| **one != ticket).expect("two");
    until("the second ticket is closed", async || {
        rt.status(second).await == "resolved"
    })
    .await;
    house.until_at_rest(2, 0).await;
    until("nothing is left to do", async || {
        house.count("desk_copies WHERE NOT finished").await == 0
    })
    .await;
    assert_eq!(rt.tickets().await.len(), 2);
    drop(worker);
}

/// The work is done at the target itself.
fn house_gives_back(house: &House, badge: &str) {
    let list = std::fs::read_to_string(house.badges()).expect("readable");
    std::fs::write(house.badges(), list.replace(badge, "")).expect("written");
}

/// A false closing there is a claim, checked at the target, sent back, and the ticket opened again.
async fn a_false_closing_is_sent_back(house: &House, rt: &Tracker, ticket: &str, id: &str) {
    rt.set(ticket, "resolved").await;
    until("the ticket is open again", async || {
        rt.status(ticket).await == "open"
    })
    .await;
    let texts = rt.texts(ticket).await;
    assert!(texts.contains("sent back"), "{texts}");
    let shown = house.cli(&["tasks", "show", id], "");
    let history = shown.data["history"].to_string();
    assert!(history.contains("helpdesk/root"), "{history}");
}

/// While the desk is down another leaver's task is made all the same, and the worker dies meanwhile.
async fn a_second_task_outlives_desk_and_worker(
    house: &House,
    rt: &Tracker,
    worker: Worker,
) -> Worker {
    rt.service.ctl("stop");
    house.submit(1..2);
    until("the second task is there", async || {
        open_tasks(house).len() == 2
    })
    .await;
    until("the desk is told to lag", async || {
        house.cli(&["desks", "list"], "").data[0]["troubled"] != 0
    })
    .await;
    drop(worker);
    rt.service.ctl("start");
    let mut worker = house.worker("b");
    house.ready(&mut worker).await;
    until("the second ticket is there", async || {
        rt.tickets().await.len() == 2
    })
    .await;
    worker
}
