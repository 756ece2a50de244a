//! D3: a secret that is too old and that no machine can replace comes into a person's hands.
//!
//! Owns the promise as the engine keeps it, from the sweep to the task and to its end, and the order and the
//! exceptions of the sweep. What counts as a replacement is tested in the room of secrets.

use super::given::{self, CRM, facts};
use super::play::Play;
use super::ward::{Ward, approved, text};
use crate::connectors::Manifest;
use crate::domain::command::{Command, Wish};
use crate::domain::expiry::Alarm;
use crate::domain::id::{CommandId, TaskId};
use crate::domain::rotation::{Rotations, SecretAge, Trigger, sweep};
use crate::domain::run::{Run, RunBody, Stage};
use crate::domain::task::Attestation;
use crate::domain::time::{Clock, after};
use crate::domain::verdict::CredentialRole;
use crate::domain::workflow::{End, RunKind};
use crate::secrets::NewSecret;
use secrecy::SecretString;

const DAY: u64 = 86_400;

/// A verifier whose secret may become 90 days old, and nobody is declared to replace it.
pub(super) fn aging() -> Manifest {
    let secret = "secret = \"none:crm-verifier\"\n";
    let text = text("", false);
    assert!(text.contains(secret));
    let aged = "secret = \"local:crm/verifier\"\nmax_age_days = 90\n";
    approved(&text.replace(secret, aged))
}

async fn put(ward: &Ward, value: &str) {
    let new = NewSecret {
        value: SecretString::from(value),
        username: None,
        remote_ref: None,
        expires: None,
    };
    let serving = ward.engine.serving();
    let connector = serving.registry.get(&"crm".into()).expect("served");
    let role = CredentialRole::Verifier;
    let put = ward
        .engine
        .secrets
        .put(connector.manifest(), role, new, ward.clock.now());
    put.await.expect("put");
}

/// With a secret that is 90 days old, and was found to be.
async fn too_old() -> Ward {
    let ward = Ward::under(aging()).await;
    put(&ward, "first").await;
    ward.clock.advance(90 * DAY - 1);
    assert_eq!(swept(&ward).await, 0, "not yet");
    ward.clock.advance(1);
    assert_eq!(swept(&ward).await, 1);
    ward
}

async fn swept(ward: &Ward) -> u32 {
    ward.engine.sweep_secrets().await.expect("swept")
}

async fn rotations(ward: &Ward) -> Vec<Option<End>> {
    let runs = ward.store.rotations(None).await.expect("read");
    let end = |run: &Run| match run.stage {
        Stage::Ended { end, .. } => Some(end),
        Stage::Due { .. } | Stage::Gathering { .. } | Stage::WithPerson { .. } => None,
    };
    runs.iter().map(end).collect()
}

/// The one task, once the run has come to it.
async fn the_task(ward: &Ward) -> TaskId {
    ward.work(60).await;
    let tasks = ward.open_tasks().await;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    let task = &tasks[0];
    assert_eq!(
        (task.code.as_str(), task.kind),
        ("CB-SECRETS-28", RunKind::Rotation)
    );
    assert_eq!(task.subject, "verifier secret of crm");
    let steps = task.steps.join("\n");
    assert!(
        steps.contains("clawback secrets set crm --role verifier"),
        "{steps}"
    );
    assert!(steps.contains("Take the old one away"), "{steps}");
    task.id
}

async fn wish(ward: &Ward, by: &str, number: u128, wish: Wish) {
    let command = Command {
        id: CommandId(uuid::Uuid::from_u128(number)),
        by: by.to_owned(),
        at: ward.clock.now(),
        wish,
    };
    ward.store.wish(&command).await.expect("taken");
    ward.engine.obey().await.expect("obeyed");
    let answer = ward.store.answer(command.id).await.expect("read");
    let answer = answer.expect("answered");
    assert!(answer.accepted, "{answer:?}");
}

#[tokio::test]
async fn d3_a_secret_that_no_machine_can_replace_is_one_task_until_the_old_one_is_refused() {
    let ward = too_old().await;
    let task = the_task(&ward).await;
    // However often it is looked for: it is one run and one task.
    for _ in 0..20 {
        assert_eq!(swept(&ward).await, 0);
        ward.work(1800).await;
    }
    assert_eq!(rotations(&ward).await, [None]);
    assert_eq!(the_task(&ward).await, task);
    // A person puts a new one in. While the target takes the old one, the task stays.
    put(&ward, "second").await;
    ward.work(2 * DAY).await;
    let tasks = ward.open_tasks().await;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    assert_eq!(tasks[0].code, "CB-SECRETS-16");
    // The old one is taken away: the machine sees it by itself.
    ward.target.shown().refused.push("first".to_owned());
    ward.work(2 * DAY).await;
    assert!(ward.open_tasks().await.is_empty());
    assert_eq!(rotations(&ward).await, [Some(End::Rotated)]);
    assert_eq!(swept(&ward).await, 0, "the new one is young");
}

#[tokio::test]
async fn d3_a_secret_that_cannot_be_read_keeps_no_other_from_being_replaced() {
    // Given another connector before it, whose reference is to a secret that is not its own.
    let text = text("", false).replace("name = \"crm\"", "name = \"ahead\"");
    let foreign = "secret = \"local:crm/verifier\"\nmax_age_days = 90\n";
    let ahead = text.replace("secret = \"none:crm-verifier\"\n", foreign);
    let ward = Ward::behind(aging(), Some(approved(&ahead))).await;
    put(&ward, "first").await;
    ward.clock.advance(90 * DAY);
    assert_eq!(swept(&ward).await, 1);
    // And it is told of which one nothing is known.
    let serving = ward.engine.serving();
    let manifests = serving.registry.iter().map(|one| one.manifest());
    let none = Rotations::default();
    let unreadable = ward.engine.secrets.ages(manifests, &none).await.unreadable;
    assert_eq!(unreadable.len(), 1);
    assert_eq!(unreadable[0].connector, "ahead".into());
    let manifests = serving.registry.iter().map(|one| one.manifest());
    let listed = ward.engine.secrets.list(manifests, ward.clock.now()).await;
    let told = listed
        .iter()
        .filter(|one| one.reference.starts_with("local:"));
    let told: Vec<_> = told
        .map(|one| (one.connector.as_str(), one.unreadable.is_some(), one.alarm))
        .collect();
    assert_eq!(
        told,
        [("ahead", true, None), ("crm", false, Some(Alarm::TooOld))]
    );
}

#[tokio::test]
async fn d3_a_word_that_it_stays_is_two_peoples_and_not_asked_for_again_at_once() {
    let ward = too_old().await;
    let task = the_task(&ward).await;
    let statement = "the vendor replaces it next month";
    let attestation = Attestation {
        by: "bob".to_owned(),
        statement: statement.to_owned(),
    };
    let close = Wish::CloseTask {
        task,
        note: "agreed".to_owned(),
        attestation: Some(attestation),
    };
    wish(&ward, "bob", 1 << 64, close).await;
    ward.work(12 * 3600).await;
    assert_eq!(rotations(&ward).await, [None], "one is not enough");
    let statement = statement.to_owned();
    wish(
        &ward,
        "eve",
        2 << 64,
        Wish::ConfirmTask {
            task,
            statement,
            meant: None,
        },
    )
    .await;
    ward.work(12 * 3600).await;
    assert_eq!(rotations(&ward).await, [Some(End::Attested)]);
    // The secret is as old as before, and nobody is asked again for a month.
    assert_eq!(swept(&ward).await, 0);
    ward.clock.advance(31 * DAY);
    assert_eq!(swept(&ward).await, 1);
}

/// A secret past its age by these seconds, and one that ends in these.
fn aged(name: &str, over: u64, ends_in: Option<u64>) -> SecretAge {
    let now = after(given::dawn(), 10_000);
    SecretAge {
        connector: name.into(),
        role: CredentialRole::Writer,
        created: after(given::dawn(), 9_000 - over),
        max_age_seconds: Some(1_000),
        expires: ends_in.map(|seconds| after(now, seconds)),
        renew_before_seconds: 300,
        rotating: false,
        attested: None,
    }
}

#[test]
fn d3_what_ends_soonest_is_due_first_and_then_what_is_oldest() {
    let secrets = [
        aged("young", 1, None),
        aged("old", 500, None),
        aged("later", 0, Some(200)),
        aged("soon", 0, Some(10)),
    ];
    let due = sweep(&secrets, after(given::dawn(), 10_000));
    let names: Vec<_> = due.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["soon", "later", "old", "young"]);
}

#[test]
fn d3_the_word_of_two_people_holds_for_that_value_and_not_for_ever() {
    // Given a secret that is too old, and the run of which people stood for it.
    let mut play = Play::new(&[(CRM, facts())]);
    let role = CredentialRole::Writer;
    let wish = Wish::RotateSecret {
        connector: CRM.into(),
        role,
    };
    assert!(play.wish("ann", wish).accepted);
    let mut run = play.wished[0].clone();
    let said = after(given::dawn(), 10_000);
    run.stage = Stage::Ended {
        end: End::Attested,
        at: said,
    };
    let RunBody::Rotation(body) = &mut run.body else {
        panic!("{run:?} is no rotation");
    };
    body.facts.started_version = Some(3);
    // An operator's demand was about something else.
    assert_eq!(Rotations::of([&run]), Rotations::default());
    let RunBody::Rotation(body) = &mut run.body else {
        panic!("{run:?} is no rotation");
    };
    body.trigger = Trigger::Age { seconds: 1_001 };
    let rotations = Rotations::of([&run]);
    let crm = CRM.into();
    assert_eq!(rotations.attested(&crm, role, 3), Some(said));
    assert_eq!(rotations.attested(&crm, role, 4), None, "another value");
    assert_eq!(
        rotations.attested(&crm, CredentialRole::Verifier, 3),
        None,
        "another secret"
    );
    // Then it is not due until a month has passed.
    let mut secret = aged(CRM, 1, None);
    secret.attested = Some(said);
    let due = |days: u64| !sweep(std::slice::from_ref(&secret), after(said, days * DAY)).is_empty();
    assert_eq!([0, 29, 30].map(due), [false, false, true]);
}

#[test]
fn d3_a_person_who_was_faster_than_the_first_look_is_seen() {
    let now = after(given::dawn(), 10_000);
    let age = Trigger::Age { seconds: 500 };
    assert!(!age.is_outrun(after(given::dawn(), 9_500), None, now));
    assert!(!age.is_outrun(given::dawn(), None, now));
    assert!(age.is_outrun(after(given::dawn(), 9_501), None, now));
    let expiry = Trigger::Expiry { seconds_left: 60 };
    assert!(!expiry.is_outrun(given::dawn(), Some(after(now, 60)), now));
    assert!(expiry.is_outrun(given::dawn(), Some(after(now, 61)), now));
    assert!(expiry.is_outrun(given::dawn(), None, now));
    assert!(!Trigger::AuthFailure.is_outrun(now, None, now));
}

#[tokio::test]
async fn b10_what_a_leaver_could_read_is_replaced_although_its_rotation_is_under_way() {
    // Given a secret that the leaver knows, and whose replacement waits for a person.
    let known = "max_age_days = 90\nknown_by = [\"";
    let known = format!("{known}{}\"]\n", given::leaves().subject.id);
    let manifest = text("", false).replace(
        "secret = \"none:crm-verifier\"\n",
        &format!("secret = \"local:crm/verifier\"\n{known}"),
    );
    let ward = Ward::under(approved(&manifest)).await;
    put(&ward, "first").await;
    ward.clock.advance(90 * DAY);
    assert_eq!(swept(&ward).await, 1);
    ward.work(600).await;
    // When the leaver leaves.
    ward.leaver_leaves().await;
    ward.work(DAY).await;
    let begun = ward.store.rotations(None).await.expect("read");
    let reasons = |runs: &[Run]| {
        let bodies = runs.iter().map(|run| match &run.body {
            RunBody::Rotation(body) => (body.trigger.as_str(), run.stage.ended()),
            _ => panic!("{run:?}"),
        });
        let mut reasons: Vec<_> = bodies.collect();
        reasons.sort_unstable();
        reasons
    };
    // Then it is known, and begins when the person is done, who had no reason to think of the leaver.
    assert_eq!(reasons(&begun), [("age", false), ("leaver", false)]);
    let task = ward.open_tasks().await;
    assert_eq!(task.len(), 1, "{task:?}");
    put(&ward, "second").await;
    ward.target.shown().refused = vec!["first".to_owned()];
    let close = Command {
        id: CommandId(uuid::Uuid::from_u128(9)),
        by: "ann".to_owned(),
        at: ward.clock.now(),
        wish: Wish::CloseTask {
            task: task[0].id,
            note: "done".to_owned(),
            attestation: None,
        },
    };
    ward.store.wish(&close).await.expect("in line");
    ward.engine.obey().await.expect("obeyed");
    ward.work(600).await;
    swept(&ward).await;
    ward.work(600).await;
    let ended = ward.store.rotations(None).await.expect("read");
    assert_eq!(reasons(&ended), [("age", true), ("leaver", false)]);
    let task = ward.open_tasks().await;
    assert_eq!(task.len(), 1, "{task:?}");
    assert_eq!(
        task[0].run,
        ended
            .iter()
            .find(|run| !run.stage.ended())
            .expect("open")
            .id
    );
}
