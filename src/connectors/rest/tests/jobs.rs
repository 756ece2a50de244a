//! Changes that a program puts off: answered 202, and asked about until they are done.
//!
//! Owns the truths about jobs that `docs/connectors/rest.md` lists by name, and the faults of their
//! declaration.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::changes::{ada, disable, serving};
use super::*;

/// The shape with a job behind its disabling.
fn putting_off(job: &str) -> String {
    let job = format!("[rest.disable.job]\nwait_milliseconds = 10\npolls = 3\n{job}");
    SHAPE.replace("success = { \"$.ok\" = true }", &job)
}

const BY_ID: &str = "path = \"/jobs/{job.id}\"\nid = \"$.job.id\"\nstate = \"$.job.state\"\n\
    [rest.disable.job.states]\npending = [\"queued\", \"running\"]\ndone = [\"done\"]\nfailed = [\"failed\"]\n";

/// A change that becomes a job, whose states are these in order; the last stays.
async fn job(shape: &str, accepted: Value, states: Vec<(u16, Value)>) -> Target {
    let asked_for = AtomicUsize::new(0);
    serving(shape, ada, move |asked| {
        if asked.method != "GET" {
            return (202, accepted.clone());
        }
        assert_eq!(asked.path, "/api/jobs/42");
        let at = asked_for.fetch_add(1, Ordering::SeqCst);
        states[at.min(states.len() - 1)].clone()
    })
    .await
}

fn state(state: &str) -> (u16, Value) {
    (
        200,
        json!({"job": {"id": 42, "state": state}, "error": "owns a project"}),
    )
}

/// States in order, and what comes of them: class, code, wait, questions.
type End = (
    Vec<(u16, Value)>,
    FailureClass,
    &'static str,
    Option<u64>,
    usize,
);

#[rustfmt::skip] // One end to a line.
fn ends() -> Vec<End> {
    use FailureClass as C;
    let minute = (
        200,
        json!({"job": {"state": "queued"}, "headers": {"Retry-After": "60"}}),
    );
    vec![
        (vec![state("failed")], C::WriteFailure, "CB-REST-10", None, 1),
        (vec![state("running")], C::UnknownOutcome, "CB-REST-11", None, 3),
        (vec![state("melting")], C::UnknownOutcome, "CB-REST-11", None, 1),
        (vec![minute], C::UnknownOutcome, "CB-REST-11", Some(60), 1),
        (vec![(404, json!({}))], C::UnknownOutcome, "CB-REST-11", None, 1),
        (vec![(503, json!({}))], C::UnknownOutcome, "CB-REST-11", None, 1),
        (vec![(200, json!({"lost": true}))], C::UnknownOutcome, "CB-REST-11", None, 1),
    ]
}

#[tokio::test]
async fn a_job_is_asked_for_until_it_is_done() {
    let shape = putting_off(BY_ID);
    let accepted = json!({"job": {"id": 42}});
    let states = vec![state("queued"), state("running"), state("done")];
    let target = job(&shape, accepted.clone(), states).await;
    assert_eq!(target.write(&disable()).await, Ok(Answered::Accepted));
    assert_eq!(target.asked("/api/jobs"), 3);
    // Each question was judged, as a reading of the same account.
    let judged = target.gate.take();
    let asked: Vec<_> = judged
        .iter()
        .filter(|one| one.line == "GET /jobs/42")
        .collect();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|one| one.writes.is_empty()
        && one.operation == Some(Operation::Read)
        && one.account.as_ref().is_some_and(|id| id.as_str() == "7")));
}

#[tokio::test]
async fn a_job_that_is_not_done_as_declared_is_no_success() {
    let shape = putting_off(BY_ID);
    let accepted = json!({"job": {"id": 42}});
    for (states, class, code, wait, polls) in ends() {
        let target = job(&shape, accepted.clone(), states.clone()).await;
        let failure = target.write(&disable()).await.expect_err("not done");
        let told = (
            failure.class,
            failure.code.as_str(),
            failure.retry_after_seconds,
        );
        assert_eq!(told, (class, code, wait), "{states:?}: {failure}");
        assert_eq!(target.asked("/api/jobs"), polls, "{states:?}");
        assert_eq!(target.changes().len(), 1);
    }
    // What success must say is for the answer that makes it, not for the job's.
    let success = "success = { \"$.job.id\" = 42 }\n[rest.disable.job]";
    let both = shape.replace("[rest.disable.job]", success);
    let target = job(
        &both,
        accepted.clone(),
        vec![(200, json!({"job": {"state": "melting"}}))],
    );
    let failure = target
        .await
        .write(&disable())
        .await
        .expect_err("no such state");
    assert_eq!(failure.class, FailureClass::UnknownOutcome);
    let nameless = job(&shape, json!({}), vec![state("done")]).await;
    let failure = nameless.write(&disable()).await.expect_err("no id");
    assert_eq!(failure.class, FailureClass::UnknownOutcome);
    let target = serving(&shape, ada, |_| (200, json!({}))).await;
    assert_eq!(
        target.write(&disable()).await,
        Ok(Answered::Accepted),
        "done at once"
    );
}

#[tokio::test]
async fn a_job_is_found_by_its_location_at_home_and_told_by_its_status() {
    let shape = putting_off("location = true\n");
    let at = |place: &str| json!({"headers": {"Location": place}});
    for (status, class) in [
        (200, None),
        (303, None),
        (202, Some(FailureClass::UnknownOutcome)),
        (410, Some(FailureClass::UnknownOutcome)),
    ] {
        let states = vec![(202, json!({})), (status, json!({}))];
        let target = job(&shape, at("/api/jobs/42"), states).await;
        let answered = target.write(&disable()).await;
        assert_eq!(
            answered.err().map(|failure| failure.class),
            class,
            "{status}"
        );
    }
    for stray in ["https://elsewhere.example/api/jobs/42", "/elsewhere"] {
        let target = job(&shape, at(stray), vec![(200, json!({}))]).await;
        let failure = target.write(&disable()).await.expect_err("stray");
        assert_eq!(failure.class, FailureClass::UnknownOutcome);
        assert_eq!(target.asked("/api/jobs"), 0);
    }
}

#[test]
fn h3_every_fault_of_guards_jobs_and_errors_is_told() {
    let slow = putting_off(BY_ID)
        .replace("polls = 3", "polls = 100")
        .replace(
            "wait_milliseconds = 10",
            "wait_milliseconds = 1000\nlocation = true",
        )
        .replace("done = [\"done\"]\n", "")
        .replace(
            "[rest.revoke_entitlement]\n",
            "[rest.revoke_entitlement]\nif_match = true\n",
        )
        .replace("{account.login}", "{account.id:number} left")
        .replacen(
            "[rest.account]\n",
            "[[rest.errors]]\npath = \"$.x\"\nmeans = \"refused\"\n[rest.account]\n",
            1,
        );
    let told = load("https://crm.acme.example", &slow)
        .expect_err("faults")
        .to_string();
    for part in [
        "has `location` and `path`",
        "no state means that the job is done",
        "the request takes a version, and it is not said where an account shows one",
        "`{account.id:number}` is a number only when it stands alone",
        "`refused` is nothing that an answer can mean",
    ] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
    let long = putting_off(BY_ID).replace("wait_milliseconds = 10\n", "wait_milliseconds = 4000\n");
    let told = load("https://crm.acme.example", &long).expect_err("too long");
    assert!(
        told.to_string()
            .contains("3 polls of 4000 ms take longer than"),
        "{told}"
    );
}

#[test]
fn c3_everything_that_a_request_writes_is_held_against_the_manifest() {
    let told = |from: &str, to: &str| {
        let faulty = SHAPE.replacen(from, to, 1);
        assert_ne!(faulty, SHAPE, "{from}");
        let loaded = load("https://crm.acme.example", &faulty);
        loaded.map_or_else(|problems| problems.to_string(), |_| String::new())
    };
    // The query of a change.
    let delete = "[rest.delete]\nmethod = \"DELETE\"\npath = \"/users/{account.id}";
    let all = told(delete, &format!("{delete}?purge=true&heir=root"));
    for field in ["purge", "heir"] {
        assert!(all.contains(&format!("writes `{field}`")), "{all}");
    }
    let revoke = "members/{entitlement.id}";
    let all = told(revoke, &format!("{revoke}?{{account.login}}=1"));
    assert!(all.contains("writes `{}`"), "{all}");
    // What a patch moves from, and one of the whole account.
    let body = "body = { active = false, profile = { note = \"left: {account.login}\" } }";
    let patch = |steps: &str| {
        let media = "media_type = \"application/json-patch+json\"";
        told(body, &format!("{media}\nbody = {steps}"))
    };
    let all = patch("[{ op = \"move\", from = \"/owner/id\", path = \"/active\" }]");
    assert!(all.contains("writes `owner`"), "{all}");
    for steps in [
        "[{ op = \"replace\", path = \"\", value = {} }]",
        "[{ op = \"replace\", path = \"/\", value = {} }]",
        "[{ op = \"replace\", value = {} }]",
        "[{ op = \"copy\", from = \"\", path = \"/active\" }]",
    ] {
        let all = patch(steps);
        assert!(
            all.contains("a step of the JSON Patch names no member"),
            "{steps}{all}"
        );
    }
    assert_eq!(
        patch("[{ op = \"replace\", path = \"/active\", value = false }]"),
        ""
    );
}

#[tokio::test]
async fn c3_a_query_hides_nothing_that_a_body_without_names_writes() {
    let patch = "method = \"PATCH\"\npath = \"/users/{account.id}\"\n\
        body = { active = false, profile = { note = \"left: {account.login}\" } }";
    assert!(SHAPE.contains(patch));
    for (path, body, hidden) in [
        (
            "/users/{account.id}/status?notify=false",
            "\"active\"",
            "status",
        ),
        ("/users/{account.id}/roles?notify=1", "[\"admin\"]", "roles"),
        ("/users/{account.id}/flags?notify=1", "{}", "flags"),
        ("/users/{account.id}/flags?notify=1", "false", "flags"),
        (
            "/users/{account.id}/roles?notify=1",
            "[{ path = \"/active\", role = \"admin\" }]",
            "roles",
        ),
    ] {
        let put = format!("method = \"PUT\"\npath = \"{path}\"\nbody = {body}");
        let shape = SHAPE.replace(patch, &put);
        let fields = ["notify", "active", hidden].map(ToOwned::to_owned);
        let approve = |manifest: &mut Manifest| manifest.writes.extend(fields);
        let mut target = Target::with(&shape, approve, |asked| {
            steadfast((200, json!({"ok": true})))(&asked.method, &asked.path)
        })
        .await;
        target.gate = Recorder::forbidding(&[hidden]);
        let failure = target.write(&change(Operation::Disable, "7", "ada")).await;
        let failure = failure.expect_err("not approved");
        assert_eq!(failure.class, FailureClass::Refused, "{path} {body}");
        assert_eq!(target.changes(), [], "not a byte of {path} {body}");
        // And it is told when the manifest is read.
        let told = load("https://crm.acme.example", &shape).map(drop);
        let told = told.expect_err("not approved").to_string();
        for field in ["notify", hidden] {
            assert!(
                told.contains(&format!("writes `{field}`")),
                "{field}: {told}"
            );
        }
    }
    // Where nothing names what the body writes, nothing is written that the guard could approve.
    let put = "method = \"PUT\"\npath = \"/{account.id}?active=1\"\nbody = \"on\"";
    let shape = SHAPE.replace(patch, put);
    let loaded = load("https://crm.acme.example", &shape).expect("loads");
    let request = &loaded.settings.writes[&Operation::Disable];
    assert!(request.fields(Operation::Disable).is_empty());
}

#[test]
fn c3_headers_that_make_another_request_are_refused() {
    let own = SHAPE.replacen(
        "error =",
        "auth = \"header\"\nauth_header = \"X-Key\"\nerror =",
        1,
    );
    for (name, sound) in [
        ("Accept", true),
        ("X-Tenant", true),
        ("X-HTTP-Method-Override", false),
        ("X-HTTP-Method", false),
        ("x-method-override", false),
        ("Host", false),
        ("Content-Type", false),
        ("Content-Length", false),
        ("Cookie", false),
        ("If-Match", false),
        ("Transfer-Encoding", false),
        ("Authorization", false),
        ("X-KEY", false),
    ] {
        let table = format!("[rest.headers]\n{name} = \"DELETE\"\n[rest.account]\n");
        let shape = own.replacen("[rest.account]\n", &table, 1);
        let loaded = load("https://crm.acme.example", &shape);
        let told = loaded.map_or_else(|problems| problems.to_string(), |_| String::new());
        assert_eq!(told.is_empty(), sound, "{name}: {told}");
    }
}
