//! The console used: what people and programs do, and what is told and noted.
//!
//! Owns the agreement of pages and API. A worker's part is played by a closure that answers wishes.

use serde_json::json;

use super::*;
use crate::domain::command::Answer;
use crate::domain::desk::{Stands, Ticket};
use crate::domain::event::Origin;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::settlement::Obedience;
use crate::domain::task::TaskState;
use crate::store::given;
use crate::store::{ActFilter, CopiesWanted, DeadLetter, IntakeBatch, NextVisit};

/// Where the planted task goes.
const DESK: &str = "servicedesk";

impl House {
    /// The copy of the planted task at its desk, with this ticket.
    async fn copied(&self, ticket: Option<Ticket>, trouble: Option<Failure>) {
        let worker = given::worker(2);
        let now = self.clock.now();
        let enlisted = self.store.enlist(worker, now, 1_000_000).await;
        enlisted.expect("enlisted");
        let wanted = CopiesWanted {
            worker,
            now,
            desk: DESK.into(),
            lease_seconds: 60,
            at_most: 1,
        };
        let lease = self.store.take_copies(&wanted).await.expect("taken");
        let lease = lease.first().expect("a copy");
        let mut copy = lease.copy.clone();
        if let Some(ticket) = ticket {
            copy.adopt(ticket, None);
            copy.stands = Stands::Open;
        }
        copy.failures = u32::from(trouble.is_some());
        copy.trouble = trouble;
        let next = NextVisit {
            due: now,
            troubled: None,
        };
        let kept = self.store.keep_copy(lease, &copy, Some(next)).await;
        assert!(kept.expect("kept"));
    }

    /// bo has paused all work.
    async fn all_paused(&self) {
        let command = crate::domain::command::Command {
            id: crate::domain::id::CommandId(uuid::Uuid::from_u128(77)),
            by: "bo".to_owned(),
            at: given::at(0),
            wish: crate::domain::command::Wish::Pause {
                connector: None,
                reason: "it misbehaves".to_owned(),
            },
        };
        self.store.wish(&command).await.expect("wished");
        let pauses = |command: &crate::domain::command::Command,
                      _: Option<&crate::domain::task::FallbackTask>,
                      _: Option<&crate::domain::run::Run>| Obedience {
            command: command.id,
            answer: Answer {
                accepted: true,
                code: None,
                message: "paused".to_owned(),
            },
            task: None,
            run: None,
            rotation: None,
            survey: None,
            drill: None,
            puts_off: None,
            pause: Some(crate::domain::pause::PauseChange::Begin {
                connector: None,
                signed: crate::domain::approval::Signed {
                    by: command.by.clone(),
                    at: command.at,
                    reason: "it misbehaves".to_owned(),
                },
            }),
        };
        let obeyed = self.store.obey(10, given::at(1), &pauses).await;
        assert_eq!(obeyed.expect("obeyed"), 1);
    }

    /// A case with a task, and a dead letter, all with a name that would like to be a script.
    pub(super) async fn plant(&self) -> uuid::Uuid {
        let removal = given::a_removal(&self.store, SCRIPT).await;
        let mut handed = given::handed_over(&removal.run);
        let mut task = handed.task.take().expect("a task");
        task.subject = SCRIPT.to_owned();
        task.why = SCRIPT.to_owned();
        task.account = Some(SCRIPT.to_owned());
        task.steps = vec![SCRIPT.to_owned()];
        task.desk = DESK.to_owned();
        let id = task.id.0;
        handed.task = Some(task);
        let batch = [given::fenced(&removal, handed)];
        let keep = given::keep(1, 5);
        let settled = self.store.settle(given::at(0), &keep, &batch).await;
        assert_eq!(settled.expect("settled").accepted, [true]);
        let letter = DeadLetter {
            id: DeadLetterId::of("t", 0, 1, b"x"),
            origin: Origin {
                topic: "t".to_owned(),
                partition: 0,
                offset: 1,
                ..given::event("e", "e", 1).origin
            },
            key: Some(SCRIPT.into()),
            headers: vec![(SCRIPT.to_owned(), SCRIPT.into())],
            payload: SCRIPT.into(),
            code: "CB-INTAKE-1".to_owned(),
            reason: SCRIPT.to_owned(),
            first_seen: self.clock.now(),
            replayed: None,
            aside: None,
        };
        let batch = IntakeBatch {
            dead_letters: vec![letter],
            ..IntakeBatch::default()
        };
        self.store.record(&batch).await.expect("recorded");
        id
    }

    /// Answers every wish from now on: claims are carried out, anything else is refused.
    fn worker(&self) -> JoinSet<()> {
        let store = self.store.clone();
        let mut working = JoinSet::new();
        working.spawn(async move {
            loop {
                let obeyed = store.obey(10, given::at(1), &|command, task, _| {
                    let claimed =
                        matches!(command.wish, crate::domain::command::Wish::ClaimTask { .. });
                    let mut task = task.cloned();
                    if let Some(task) = task.as_mut().filter(|_| claimed) {
                        task.state = TaskState::Claimed {
                            by: command.by.clone(),
                            at: command.at,
                        };
                    }
                    Obedience {
                        command: command.id,
                        answer: Answer {
                            accepted: claimed,
                            code: (!claimed).then(|| "CB-COMMAND-4".to_owned()),
                            message: if claimed { "claimed" } else { "not now" }.to_owned(),
                        },
                        task,
                        run: None,
                        rotation: None,
                        survey: None,
                        drill: None,
                        puts_off: None,
                        pause: None,
                    }
                });
                obeyed.await.expect("obeyed");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        working
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_page_tells_once_what_came_of_a_form() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let id = house.plant().await;
    let _worker = house.worker();
    let mut ada = house.signed_in("ada").await;
    let path = format!("/tasks/{id}");
    let csrf = ada.form_token(&path).await;
    let answer = ada.post(&format!("{path}/claim"), &[("csrf", &csrf)]).await;
    assert_eq!(
        (answer.status().as_u16(), location(&answer)),
        (303, path.as_str())
    );
    let page = ada.page(&path).await;
    assert!(
        page.contains("<strong>Done. </strong>the task is yours."),
        "{page}"
    );
    assert!(page.contains("by ada"), "{page}");
    assert!(
        !ada.page(&path).await.contains("<strong>Done. </strong>"),
        "once"
    );
    let fields = [("csrf", csrf.as_str()), ("reason", "too hard")];
    ada.post(&format!("{path}/reject"), &fields).await;
    let page = ada.page(&path).await;
    assert!(
        page.contains("<strong>Not done. </strong>not now (CB-COMMAND-4)"),
        "{page}"
    );
    let empty = [("csrf", csrf.as_str()), ("reason", " ")];
    ada.post(&format!("{path}/reject"), &empty).await;
    assert!(ada.page(&path).await.contains("the reason is empty"));
    let acts = house.store.acts(&ActFilter::default()).await.expect("read");
    let told: Vec<_> = acts
        .iter()
        .map(|(_, act)| (act.what.as_str(), act.came_to.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("reject_task", "refused: CB-COMMAND-4 not now"),
            ("claim_task", "done: claimed"),
            ("sign_in", "done, by password"),
        ]
    );
    assert_eq!(acts[1].1.about, id.to_string());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_the_api_says_and_does_what_the_pages_do() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let id = house.plant().await;
    let _worker = house.worker();
    let token = house.token("ada", &Role::ALL).await;
    let get = async |path: &str| {
        let answer = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.json::<Value>().await.expect("JSON")
    };
    let overview = get("/api/v1/overview").await;
    let kinds: Vec<_> = overview["urgent"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["kind"].clone())
        .collect();
    assert!(
        kinds[0].as_str().is_some_and(|kind| kind.ends_with("task")),
        "{kinds:?}"
    );
    assert!(kinds.contains(&json!("approval")) && kinds.contains(&json!("dead letter")));
    let cases = get("/api/v1/cases?open=true&limit=5").await;
    let case = cases["items"][0]["id"].as_str().expect("an id").to_owned();
    let case = get(&format!("/api/v1/cases/{case}")).await;
    assert_eq!(
        case["accounts"][0]["rungs"].as_array().map(Vec::len),
        Some(6)
    );
    assert_eq!(case["accounts"][0]["rungs"][0]["reached"], true);
    assert_eq!(case["tasks"][0]["id"], id.to_string());
    assert_eq!(get("/api/v1/tasks").await["items"][0]["id"], id.to_string());
    let path = format!("/api/v1/tasks/{id}");
    let answer = house
        .api(
            Verb::Post,
            &format!("{path}/claim"),
            Some(&token),
            &Value::Null,
        )
        .await;
    assert_eq!(
        answer.json::<Value>().await.expect("JSON")["came_to"],
        "done"
    );
    assert_eq!(get(&path).await["by"], "ada");
    let answer = house
        .api(
            Verb::Post,
            &format!("{path}/reject"),
            Some(&token),
            &json!({ "reason": "x" }),
        )
        .await;
    assert_eq!(answer.status(), 409);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(
        answer.json::<Value>().await.expect("JSON")["code"],
        "CB-COMMAND-4"
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_the_api_refuses_what_cannot_be_meant() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let id = house.plant().await;
    let token = house.token("ada", &Role::ALL).await;
    let path = format!("/api/v1/tasks/{id}");
    for (body, status) in [
        (json!({}), 422),
        (json!({ "reason": " " }), 422),
        (json!({ "reason": "x", "more": 1 }), 422),
        (json!({ "reason": "x".repeat(501) }), 422),
    ] {
        let answer = house
            .api(Verb::Post, &format!("{path}/reject"), Some(&token), &body)
            .await;
        assert_eq!(answer.status(), status, "{body}");
    }
    for wrong in [
        "/api/v1/cases?limit=0",
        "/api/v1/cases?open=perhaps",
        "/api/v1/cases/x",
    ] {
        let answer = house
            .api(Verb::Get, wrong, Some(&token), &Value::Null)
            .await;
        assert_eq!(answer.status(), 400, "{wrong}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_who_proposed_is_not_offered_the_approval() {
    let house = House::open().await;
    house.user("nadia", &Role::ALL).await;
    house.user("tom", &Role::ALL).await;
    let (mut nadia, mut tom) = (house.signed_in("nadia").await, house.signed_in("tom").await);
    let offer = "Approve exactly this";
    assert!(!nadia.page("/approvals/crm").await.contains(offer));
    assert!(tom.page("/approvals/crm").await.contains(offer));
    for (browser, told) in [
        (&mut nadia, "nadia proposed it"),
        (&mut tom, "approved 0123456789abcdef"),
    ] {
        let csrf = browser.form_token("/approvals/crm").await;
        let fields = [
            ("csrf", csrf.as_str()),
            ("digest", "0123456789abcdef"),
            ("reason", "read"),
        ];
        let answer = browser.post("/approvals/crm/approve", &fields).await;
        assert_eq!(location(&answer), "/approvals/crm");
        let page = browser.page("/approvals/crm").await;
        assert!(page.contains(told), "{page}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_statement_is_recorded_for_who_is_signed_in() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let id = house.plant().await;
    let mut ada = house.signed_in("ada").await;
    let path = format!("/tasks/{id}");
    let csrf = ada.form_token(&path).await;
    let fields = [
        ("csrf", csrf.as_str()),
        ("reason", "I have seen the badge cut"),
    ];
    ada.post(&format!("{path}/attest"), &fields).await;
    let page = ada.page(&path).await;
    assert!(page.contains("I have seen the badge cut"), "{page}");
    assert!(page.contains("Stated by ada"), "{page}");
    let token = house.token("ada", &Role::ALL).await;
    let body = json!({ "note": "done", "statement": 999_999 });
    let answer = house
        .api(
            Verb::Post,
            &format!("/api/v1{path}/close"),
            Some(&token),
            &body,
        )
        .await;
    assert_eq!(
        answer.status(),
        404,
        "a statement is one that somebody made"
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_an_open_page_hears_that_something_has_changed() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let ada = house.signed_in("ada").await;
    let request = ada.request(Method::GET, "/live?about=all").send().await;
    let mut stream = request.expect("answered");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    house.plant().await;
    let chunk = stream.chunk().await.expect("a stream").expect("an event");
    let chunk = String::from_utf8_lossy(&chunk).into_owned();
    assert!(chunk.starts_with("event: changed"), "{chunk}");
    // The stream ends with the session.
    house.store.end_sessions("ada", None).await.expect("ended");
    while let Some(more) = stream.chunk().await.expect("a stream") {
        assert!(!more.is_empty());
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_what_is_paused_is_told_and_ended_on_pages_and_in_the_api() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let token = house.token("ada", &Role::ALL).await;
    house.all_paused().await;
    let path = "/api/v1/connectors";
    let listed = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
    let listed = listed.json::<Value>().await.expect("JSON");
    for one in listed["items"].as_array().expect("a list") {
        assert_eq!(one["paused"]["by"], "bo", "{one}");
        assert_eq!(one["paused"]["everywhere"], true);
    }
    let mut ada = house.signed_in("ada").await;
    let page = ada.page("/connectors").await;
    assert!(page.contains("it misbehaves") && page.contains("action=\"/resume\""));
    // A connector has no pause of its own to end, and one that is not there none to begin.
    let name = listed["items"][0]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    for (path, status) in [
        (format!("/api/v1/connectors/{name}/resume"), 409),
        ("/api/v1/connectors/none/pause".to_owned(), 404),
    ] {
        let body = json!({ "reason": "x" });
        let answer = house.api(Verb::Post, &path, Some(&token), &body).await;
        assert_eq!(answer.status(), status, "{path}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_a_pause_that_was_escalated_stands_late_on_the_overview() {
    let house = House::open().await;
    house.user("ada", &[Role::Viewer]).await;
    let token = house.token("ada", &[Role::Viewer]).await;
    house.all_paused().await;
    let urgent = async || {
        let path = "/api/v1/overview";
        let told = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
        let told = told.json::<Value>().await.expect("JSON");
        let mut all = told["urgent"].as_array().expect("a list").clone();
        all.retain(|one| one["kind"] == "pause");
        all.remove(0)
    };
    assert_eq!(urgent().await["late"], false);
    let people = crate::domain::escalation::People::default();
    let later = after(given::at(0), 86_400);
    let remind = |pause: &crate::domain::pause::Pause| people.remind(pause, None, None, later);
    assert_eq!(house.store.remind(&remind).await.expect("told").len(), 1);
    let told = urgent().await;
    assert_eq!(told["late"], true);
    let why = told["why"].as_str().expect("words");
    assert!(why.contains("told 1 times, last to bo (owner)"), "{why}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_a_task_shows_its_ticket_and_how_that_stands() {
    let house = House::open().await;
    house.user("ada", &[Role::Viewer]).await;
    let token = house.token("ada", &[Role::Viewer]).await;
    let id = house.plant().await;
    let mut ada = house.signed_in("ada").await;
    let path = format!("/tasks/{id}");
    let api = format!("/api/v1/tasks/{id}");
    assert!(!ada.page(&path).await.contains("Ticket at"), "no copy yet");
    // Given a copy that is held up before it has a ticket.
    let trouble = Failure::new(FailureClass::Unreachable, "CB-DESK-1", SCRIPT);
    house.copied(None, Some(trouble)).await;
    let page = ada.page(&path).await;
    assert!(page.contains("Ticket at servicedesk"), "{page}");
    assert!(page.contains("none yet") && page.contains("held up: after 1 tries: CB-DESK-1"));
    assert!(!page.contains(SCRIPT), "it is text");
    // When it has one.
    let ticket = Ticket {
        id: "7".to_owned(),
        shown: "INC7".to_owned(),
        keyed: true,
        page: Some("https://desk.example/7".to_owned()),
    };
    house.copied(Some(ticket), None).await;
    let page = ada.page(&path).await;
    assert!(
        page.contains("<a href=\"https://desk.example/7\" rel=\"noreferrer\">INC7</a>"),
        "{page}"
    );
    let told = house.api(Verb::Get, &api, Some(&token), &Value::Null).await;
    let told: Value = told.json().await.expect("JSON");
    let ticket = &told["tickets"][0];
    assert_eq!(ticket["desk"], DESK);
    assert_eq!(
        (&ticket["number"], &ticket["state"]),
        (&json!("INC7"), &json!("open"))
    );
    assert_eq!(ticket["page"], "https://desk.example/7");
    house.close().await;
}
