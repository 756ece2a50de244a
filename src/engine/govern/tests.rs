//! A worker's looks at files and approvals, over a real store in memory: what is served after each.
//!
//! Files are changed by hand between the looks. That guards enforce what is served is shown in
//! `connectors`; that it all works in running processes, in the integration tests.

use std::sync::{Mutex, PoisonError};

use super::*;
use crate::connectors::{Mandate, Registry, retirement};
use crate::definitions;
use crate::domain::approval::{Content, Matter, approve, propose};
use crate::domain::drill::{Drill, Stage};
use crate::domain::id::{ContentDigest, DrillId, WorkerId};
use crate::domain::time::{Chance, Clock, Timestamp, after};
use crate::engine::{Ports, Settings};
use crate::secrets::{LocalVault, Secrets};
use crate::store::{self, Store};
use crate::verification::Verification;

const GATE: &str = r#"name = "gate"
kind = "file"
purpose = "Who may enter"
owner = "guards@acme.example"
deputy = "iam@acme.example"
review_by = "2099-03-31"
after_removal = "account_gone"
operations = ["list", "read", "delete"]
writes = ["*"]
[[correlation]]
identifier = "username"
attribute = "login"
decides = true
[credentials.writer]
secret = "none:writer"
[credentials.verifier]
secret = "none:verifier"
[fallback]
steps = ["Strike them off"]
[file]
path = "/nowhere/gate"
format = "lines"
"#;

#[derive(Debug)]
struct Fixed(Mutex<Timestamp>);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Same;

impl Chance for Same {
    fn fraction(&self) -> f64 {
        0.0
    }

    fn id(&self) -> uuid::Uuid {
        uuid::Uuid::nil()
    }
}

struct Bench {
    engine: Engine,
    store: Arc<dyn Store>,
    clock: Arc<Fixed>,
    files: Arc<Mutex<Files>>,
}

async fn bench(governed: bool) -> Bench {
    bench_of(governed, false).await
}

async fn drilled_bench() -> Bench {
    bench_of(true, true).await
}

async fn bench_of(governed: bool, drilled: bool) -> Bench {
    let store = store::open(&store::Settings::at("sqlite::memory:")).await;
    let store = store.expect("opened");
    store.migrate().await.expect("migrated");
    let start = Timestamp::from_second(1_800_000_000).expect("a time");
    let clock = Arc::new(Fixed(Mutex::new(start)));
    bench_over(store, clock, (governed, drilled))
}

fn bench_over(
    store: Arc<dyn Store>,
    clock: Arc<Fixed>,
    (governed, drilled): (bool, bool),
) -> Bench {
    let ports = Ports {
        store: store.clone(),
        registry: Arc::new(Registry::default()),
        secrets: Arc::new(Secrets::new(Arc::new(
            LocalVault::in_memory().expect("a vault"),
        ))),
        verification: Arc::new(Verification::new(clock.clone())),
        workflows: Arc::new(definitions::built_in().expect("built-in files are right")),
        clock: clock.clone(),
        chance: Arc::new(Same),
    };
    let files = Arc::new(Mutex::new(vec![("gate.toml".to_owned(), GATE.to_owned())]));
    let seen = files.clone();
    let manifests = Manifests::new(governed, move || {
        Ok(seen.lock().unwrap_or_else(PoisonError::into_inner).clone())
    })
    .asking_for_drills(drilled);
    Bench {
        engine: Engine::new(ports, Settings::default()).following(manifests),
        store,
        clock,
        files,
    }
}

impl Bench {
    /// Two looks: a file that has changed is taken up when it has come to rest.
    async fn look(&self) -> Option<Mandate> {
        for _ in 0..2 {
            self.engine.follow_manifests().await.expect("looked");
        }
        let gate = self.engine.serving().registry.get(&"gate".into());
        gate.map(|gate| gate.mandate().clone())
    }

    fn write(&self, files: &[&str]) {
        let files = files
            .iter()
            .map(|text| ("gate.toml".to_owned(), (*text).to_owned()));
        *self.files.lock().expect("not poisoned") = files.collect();
    }

    fn signed(&self, by: &str) -> Signed {
        Signed {
            by: by.to_owned(),
            at: self.clock.now(),
            reason: "because".to_owned(),
        }
    }

    /// Two people let this content bind.
    async fn two_people(&self, content: Content, seconds: u64) {
        let gate = matter(&"gate".into());
        let until = after(self.clock.now(), seconds);
        let proposes =
            |record: &Record| propose(record, &gate, content.clone(), until, self.signed("ada"));
        let ruled = self.store.rule(&gate, &proposes).await.expect("stored");
        ruled.expect("proposed");
        let digest = content.digest.clone();
        let approves = |record: &Record| approve(record, &gate, &digest, self.signed("bo"));
        let ruled = self.store.rule(&gate, &approves).await.expect("stored");
        ruled.expect("approved");
    }

    fn content(&self, text: &str) -> Content {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let read = drafts(&[("gate.toml".to_owned(), text.to_owned())], &clock);
        read.expect("right")[0].written.content.clone()
    }

    async fn bound(&self) -> Vec<Binding> {
        let past = self.store.past(&matter(&"gate".into())).await;
        past.expect("read").bindings
    }
}

fn digest(mandate: Option<Mandate>) -> Option<String> {
    let under = mandate.and_then(|mandate| mandate.under);
    under.map(|under| under.digest.0)
}

#[tokio::test]
async fn c4_a_connector_comes_to_life_when_it_is_approved_and_ends_with_its_approval() {
    let bench = bench(true).await;
    let barred = bench.look().await.expect("owed").barred;
    assert_eq!(barred.expect("barred").code, "CB-GUARD-12");
    let content = bench.content(GATE);
    bench.two_people(content.clone(), 1000).await;
    let mandate = bench.look().await.expect("served");
    assert_eq!(mandate.barred, None);
    assert_eq!(digest(Some(mandate)), Some(content.digest.0));
    let over = after(bench.clock.now(), 1000);
    *bench.clock.0.lock().expect("not poisoned") = over;
    let barred = bench.look().await.expect("owed").barred;
    assert_eq!(barred.expect("barred").code, "CB-GUARD-13");
}

#[tokio::test]
async fn c4_a_narrower_file_is_bound_and_a_wider_one_is_not() {
    let bench = bench(true).await;
    bench.two_people(bench.content(GATE), 1000).await;
    let narrower = GATE.replace(", \"delete\"]", "]").replace("[\"*\"]", "[]");
    bench.write(&[&narrower]);
    let served = digest(bench.look().await);
    assert_eq!(served, Some(bench.content(&narrower).digest.0));
    let bound = bench.bound().await;
    assert_eq!(bound.len(), 2);
    assert_eq!((bound[1].proposal, bound[1].until), (None, bound[0].until));
    // The way back permits more than what is in force now.
    bench.write(&[GATE]);
    assert_eq!(digest(bench.look().await), served);
    assert_eq!(bench.bound().await.len(), 2);
}

#[tokio::test]
async fn c4_workers_whose_files_differ_in_words_do_not_bind_against_each_other() {
    // Given two workers over one store; the file of one names another purpose.
    let one = bench(true).await;
    one.two_people(one.content(GATE), 1_000_000).await;
    one.look().await;
    let other = bench_over(one.store.clone(), one.clock.clone(), (true, false));
    other.write(&[&GATE.replace("Who may enter", "Who may come in")]);
    // When both look, again and again.
    for _ in 0..10 {
        other.look().await;
        one.look().await;
    }
    // Then each has had its say once, and once more an hour later.
    assert_eq!(one.bound().await.len(), 3);
    *one.clock.0.lock().expect("not poisoned") = after(one.clock.now(), 3601);
    for _ in 0..10 {
        other.look().await;
        one.look().await;
    }
    assert_eq!(one.bound().await.len(), 5);
}

#[tokio::test]
async fn a_file_that_is_being_written_binds_nothing() {
    let bench = bench(true).await;
    bench.two_people(bench.content(GATE), 1000).await;
    bench.look().await;
    let narrower = GATE.replace(", \"delete\"]", "]").replace("[\"*\"]", "[]");
    bench.write(&[&narrower]);
    bench.engine.follow_manifests().await.expect("looked");
    bench.write(&[GATE]);
    bench.look().await;
    assert_eq!(bench.bound().await.len(), 1);
    // Nor does one that cannot be read; what is in force goes on.
    bench.write(&["name = "]);
    assert_eq!(
        digest(bench.look().await),
        Some(bench.content(GATE).digest.0)
    );
}

#[tokio::test]
async fn a_connector_goes_when_its_retirement_is_approved() {
    let bench = bench(true).await;
    bench.two_people(bench.content(GATE), 1000).await;
    bench.look().await;
    bench.write(&[]);
    assert!(bench.look().await.is_some(), "a lost file loses no target");
    bench.two_people(retirement(), 1000).await;
    assert_eq!(bench.look().await, None);
}

#[tokio::test]
async fn c4_without_governance_files_bind_as_they_are() {
    let bench = bench(false).await;
    assert_eq!(bench.look().await, Some(Mandate::default()));
    let wider = GATE.replace("/nowhere", "/elsewhere");
    bench.write(&[&wider]);
    assert_eq!(bench.look().await, Some(Mandate::default()));
    assert!(bench.bound().await.is_empty());
}

impl Bench {
    /// Two people let what has this digest serve without a drill.
    async fn override_by_two(&self, digest: &ContentDigest, seconds: u64) {
        let matter = Matter {
            kind: MatterKind::DrillOverride,
            name: "gate".to_owned(),
        };
        let until = after(self.clock.now(), seconds);
        let content = Content {
            digest: digest.clone(),
            text: "without a drill".to_owned(),
        };
        let proposes =
            |record: &Record| propose(record, &matter, content.clone(), until, self.signed("ada"));
        let ruled = self.store.rule(&matter, &proposes).await.expect("stored");
        ruled.expect("proposed");
        let approves = |record: &Record| approve(record, &matter, digest, self.signed("bo"));
        let ruled = self.store.rule(&matter, &approves).await.expect("stored");
        ruled.expect("approved");
    }

    /// A drill under the manifest with this digest came to this.
    async fn rehearsed(&self, number: u128, digest: &ContentDigest, passed: bool) {
        let now = self.clock.now();
        let id = DrillId(uuid::Uuid::from_u128(number));
        let mut drill = Drill::new(id, "gate".into(), "ada", now);
        assert!(self.store.begin_drill(&drill).await.expect("stored"));
        let worker = WorkerId(uuid::Uuid::nil());
        let taken = self.store.take_drills(worker, now, 60, 1).await;
        let lease = taken.expect("stored").remove(0);
        drill.manifest = Some(digest.clone());
        drill.stage = Stage::Ended { at: now, passed };
        let kept = self.store.keep_drill(&lease, &drill, now).await;
        assert!(kept.expect("stored"));
    }

    async fn serves_events(&self) -> bool {
        self.look().await.expect("owed").undrilled.is_none()
    }
}

#[tokio::test]
async fn c8_a_changed_manifest_serves_events_only_after_a_passed_drill() {
    let bench = drilled_bench().await;
    let content = bench.content(GATE);
    bench.two_people(content.clone(), 1000).await;
    let mandate = bench.look().await.expect("owed");
    let undrilled = mandate.undrilled.expect("is told");
    assert_eq!(
        (undrilled.code.as_str(), mandate.barred),
        ("CB-GUARD-15", None)
    );
    bench.rehearsed(1, &content.digest, false).await;
    assert!(!bench.serves_events().await, "it failed");
    bench.rehearsed(2, &"another".into(), true).await;
    assert!(!bench.serves_events().await, "that was another manifest");
    bench.rehearsed(3, &content.digest, true).await;
    assert!(bench.serves_events().await);

    // What permits no more keeps the pass; what permits more needs its own.
    let narrower = GATE.replace(", \"delete\"]", "]").replace("[\"*\"]", "[]");
    bench.write(&[&narrower]);
    assert!(bench.serves_events().await);
    assert_eq!(bench.bound().await.len(), 2);
    let wider = GATE.replace("/nowhere", "/elsewhere");
    bench.write(&[&wider]);
    let wider = bench.content(&wider);
    bench.two_people(wider.clone(), 1000).await;
    assert!(!bench.serves_events().await);
    bench.rehearsed(4, &wider.digest, true).await;
    assert!(bench.serves_events().await);
    // A later failure is health, and takes no connector out of service.
    bench.rehearsed(5, &wider.digest, false).await;
    assert!(bench.serves_events().await);
}

#[tokio::test]
async fn c8_two_people_let_a_manifest_serve_without_a_drill_for_a_while() {
    let bench = drilled_bench().await;
    let content = bench.content(GATE);
    bench.two_people(content.clone(), 5000).await;
    bench.override_by_two(&"another".into(), 1000).await;
    assert!(
        !bench.serves_events().await,
        "that is about another manifest"
    );
    bench.override_by_two(&content.digest, 1000).await;
    assert!(bench.serves_events().await);
    let over = after(bench.clock.now(), 1000);
    *bench.clock.0.lock().expect("not poisoned") = over;
    assert!(!bench.serves_events().await, "its time is over");
}
