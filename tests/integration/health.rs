//! The health of a connector over a real target that stops answering, and comes back.
//!
//! Owns a `scim2-server` of its own, which it pauses, and a whole worker over a store in memory. The
//! clock runs as ever and is moved ahead where a workflow waits for hours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clawback::app::wall;
use clawback::connectors::Registry;
use clawback::domain::command::{Command, Wish};
use clawback::domain::event::{EventKind, LifecycleEvent, Origin, RecordedEvent, Urgency};
use clawback::domain::health::{Standing, State};
use clawback::domain::id::{CommandId, ConnectorName};
use clawback::domain::run::Stage;
use clawback::domain::subject::{Identifier, Subject, SubjectKind};
use clawback::domain::task::{Attestation, Closure, FallbackTask, TaskState};
use clawback::domain::time::{Clock, Effective, Timestamp, after};
use clawback::domain::verdict::CredentialRole;
use clawback::domain::workflow::{End, RunKind};
use clawback::engine::{Engine, Ports, Pulse, Settings};
use clawback::secrets::{LocalVault, NewSecret, Secrets};
use clawback::store::{IntakeBatch, Store, TaskFilter};
use clawback::verification::Verification;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::parts::{Service, until};

/// The wall clock, and so many seconds ahead of it.
#[derive(Debug)]
struct Ahead(Arc<dyn Clock>, AtomicU64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        after(self.0.now(), self.1.load(Ordering::SeqCst))
    }
}

struct Scene {
    crm: Service,
    store: Arc<dyn Store>,
    clock: Arc<Ahead>,
    http: reqwest::Client,
}

fn manifest(base: &str) -> String {
    format!(
        r#"
name = "crm"
kind = "scim"
purpose = "Customer records"
owner = "sales-it@acme.example"
deputy = "iam@acme.example"
review_by = "2099-03-31"
after_removal = "account_gone"
operations = ["list", "read", "disable", "revoke_entitlement", "delete"]
writes = ["active", "members", "roles", "*"]
[without]
end_sessions = "sessions end with the account"
revoke_credential = "there are none"
[[correlation]]
identifier = "employee_number"
attribute = "externalId"
decides = true
[credentials.writer]
secret = "local:crm/writer"
[credentials.verifier]
secret = "local:crm/verifier"
[limits]
timeout_seconds = 2
listing_timeout_seconds = 2
breaker_pause_seconds = 1
[expect]
fields = ["userName"]
refresh_seconds = 4
[fallback]
steps = ["Delete the user by hand"]
[scim]
base_url = "{base}"
groups_may_be_empty = true
"#
    )
}

impl Scene {
    /// A worker at work over a fresh server.
    async fn begin(work: &mut JoinSet<()>, shutdown: &CancellationToken) -> Self {
        let crm = tokio::task::block_in_place(|| Service::up("scim", "scim-health", &[]));
        let clock = Arc::new(Ahead(wall::clock(), AtomicU64::new(0)));
        let dyn_clock: Arc<dyn Clock> = clock.clone();
        let file = ("crm.toml".to_owned(), manifest(crm.value("URL")));
        let registry = Registry::load(&[file], &dyn_clock).map_err(|found| found.to_string());
        let registry = Arc::new(registry.expect("valid"));
        let name = ConnectorName::from("crm");
        let secrets = Secrets::new(Arc::new(LocalVault::in_memory().expect("a vault")));
        let connector = registry.get(&name).expect("loaded");
        for (role, key) in [
            (CredentialRole::Writer, "WRITER_TOKEN"),
            (CredentialRole::Verifier, "VERIFIER_TOKEN"),
        ] {
            let new = NewSecret {
                value: crm.value(key).to_owned().into(),
                remote_ref: None,
                expires: None,
                username: None,
            };
            let put = secrets.put(connector.manifest(), role, new, clock.now());
            put.await.expect("kept");
        }
        let settings = clawback::store::Settings::at("sqlite::memory:");
        let store = clawback::store::open(&settings).await.expect("opened");
        store.migrate().await.expect("migrated");
        let ports = Ports {
            store: store.clone(),
            registry,
            secrets: Arc::new(secrets),
            verification: Arc::new(Verification::new(dyn_clock.clone())),
            workflows: Arc::new(clawback::definitions::built_in().expect("built in")),
            clock: dyn_clock,
            chance: wall::chance(),
        };
        let settings = Settings {
            survey_milliseconds: 50,
            sweep_seconds: 1,
            ..Settings::default()
        };
        let scene = Self {
            crm,
            store,
            clock,
            http: reqwest::Client::new(),
        };
        for number in ["E-1", "E-2", "E-3"] {
            scene.hire(number).await;
        }
        let engine = Arc::new(Engine::new(ports, settings));
        let (pulse, shutdown) = (Arc::new(Pulse::default()), shutdown.clone());
        work.spawn(async move { engine.run(pulse, shutdown).await.expect("worked") });
        scene
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.crm.value("URL"));
        let request = self.http.request(method, url);
        let mut request = request.bearer_auth(self.crm.value("WRITER_TOKEN"));
        if let Some(body) = body {
            request = request.header("content-type", "application/scim+json");
            request = request.body(body.to_string());
        }
        let answer = request.send().await.expect("the server answers");
        let text = answer.text().await.expect("whole");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn hire(&self, number: &str) {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": format!("user-{number}"), "externalId": number, "active": true,
        });
        let made = self.ask(reqwest::Method::POST, "/Users", Some(body)).await;
        assert!(made["id"].is_string(), "{made}");
    }

    /// The numbers of those who have an account, past the connector.
    async fn present(&self) -> Vec<String> {
        let list = self.ask(reqwest::Method::GET, "/Users", None).await;
        let users = list["Resources"].as_array().cloned().unwrap_or_default();
        let numbers = users.iter().filter_map(|user| user["externalId"].as_str());
        let mut numbers: Vec<_> = numbers.map(ToOwned::to_owned).collect();
        numbers.sort();
        numbers
    }

    async fn leaves(&self, number: &str) {
        let event = LifecycleEvent {
            source: "urn:hr".to_owned(),
            id: format!("leaves-{number}"),
            kind: EventKind::WorkerTerminated,
            occurred: None,
            subject: Subject {
                kind: SubjectKind::Person,
                tenant: "acme".to_owned(),
                id: number.to_owned(),
                identifiers: vec![Identifier {
                    kind: "employee_number".to_owned(),
                    value: number.to_owned(),
                }],
                display_name: None,
                privileged: false,
            },
            hr_case: format!("hr-{number}"),
            revision: 1,
            effective: Effective::Immediately,
            urgency: Urgency::Planned,
            reason: None,
            connectors: Vec::new(),
        };
        let recorded = RecordedEvent {
            payload_digest: event.id.clone(),
            event,
            origin: Origin {
                topic: "test".to_owned(),
                partition: 0,
                offset: 0,
                traceparent: None,
                tracestate: None,
            },
            recorded: self.clock.now(),
        };
        let batch = IntakeBatch {
            events: vec![recorded],
            ..IntakeBatch::default()
        };
        self.store.record(&batch).await.expect("recorded");
    }

    /// An hour passes, and the worker has done what was due by then.
    async fn pass_an_hour(&self) {
        self.clock.1.fetch_add(3600, Ordering::SeqCst);
        until("what was due is done", async || {
            let counts = self.store.counts(self.clock.now()).await.expect("read");
            counts.events_waiting == 0 && counts.runs_active == 0
        })
        .await;
    }

    async fn standing(&self) -> Standing {
        let mut standings: BTreeMap<_, _> = self.store.standings().await.expect("read");
        standings
            .remove(&ConnectorName::from("crm"))
            .unwrap_or_default()
    }

    async fn task(&self, kind: RunKind) -> Option<FallbackTask> {
        let open = self
            .store
            .tasks(&TaskFilter::default())
            .await
            .expect("read");
        open.into_iter().find(|task| task.kind == kind)
    }

    async fn attest(&self, task: &FallbackTask) {
        let command = Command {
            id: CommandId(uuid::Uuid::from_u128(1)),
            by: "ann".to_owned(),
            at: self.clock.now(),
            wish: Wish::CloseTask {
                task: task.id,
                note: "deleted by hand".to_owned(),
                attestation: Some(Attestation {
                    by: "ann".to_owned(),
                    statement: "I saw it gone".to_owned(),
                }),
            },
        };
        self.store.wish(&command).await.expect("in line");
    }

    /// Nothing can be asked, so that the only departure ends on a person's word.
    async fn attested_on_trust(&self) {
        until("a person has the departure", async || {
            self.pass_an_hour().await;
            self.task(RunKind::Discovery).await.is_some()
        })
        .await;
        let task = self.task(RunKind::Discovery).await.expect("opened");
        self.attest(&task).await;
        until("the search ended on a person's word", async || {
            // The machine looks for itself first, as often as the workflow says.
            self.pass_an_hour().await;
            let found = self.store.run(task.run).await.expect("read");
            let (run, _) = found.expect("kept");
            matches!(run.stage, Stage::Ended { end, .. } if end == End::Attested)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_c10_a_target_that_stops_is_a_task_and_what_was_attested_is_seen_again() {
    let (mut work, shutdown) = (JoinSet::new(), CancellationToken::new());
    let scene = Scene::begin(&mut work, &shutdown).await;
    until("the connector is healthy", async || {
        scene.standing().await.state == State::Healthy
    })
    .await;
    let known = scene.store.inventory(&"crm".into()).await.expect("read");
    assert_eq!(known.expect("surveyed").accounts.len(), 3);

    // Given a target that stops in the middle of its work: the connector is stale, for its owner.
    tokio::task::block_in_place(|| scene.crm.ctl("pause"));
    until("the connector is stale", async || {
        scene.standing().await.state == State::Stale
    })
    .await;
    let care = scene.task(RunKind::Care).await.expect("opened");
    assert_eq!(care.code, "CB-HEALTH-1");
    assert!(
        care.steps[0].contains("sales-it@acme.example"),
        "{:?}",
        care.steps
    );

    // And a departure meanwhile, which a person attests wrongly.
    scene.leaves("E-2").await;
    scene.attested_on_trust().await;
    let known = scene.store.inventory(&"crm".into()).await.expect("read");
    assert_eq!(
        known.expect("surveyed").accounts.len(),
        3,
        "nothing is forgotten"
    );

    // When it answers again the task closes by itself, and what was attested is seen again.
    tokio::task::block_in_place(|| scene.crm.ctl("resume"));
    until("the connector is well, and all is seen again", async || {
        let standing = scene.standing().await;
        standing.state == State::Healthy && standing.recheck.is_none()
    })
    .await;
    let closed = scene
        .store
        .task(care.id)
        .await
        .expect("read")
        .expect("kept");
    assert!(
        matches!(
            closed.state,
            TaskState::Closed {
                how: Closure::ProvedByMachine,
                ..
            }
        ),
        "{:?}",
        closed.state
    );
    until(
        "the access that was still there is taken back",
        async || scene.present().await == ["E-1", "E-3"],
    )
    .await;
    let since = Timestamp::UNIX_EPOCH;
    let samples = scene.store.samples(&"crm".into(), since, 1440).await;
    let samples = samples.expect("read");
    let came_back: u64 = samples.iter().map(|sample| sample.came_back).sum();
    assert_eq!(came_back, 1);
    shutdown.cancel();
    while work.join_next().await.is_some() {}
}
