//! What real programs were seen to answer to changes, and how a manifest says so.
//!
//! Owns one test for each truth about versions, declared errors, lost and empty answers that
//! `docs/connectors/rest.md` lists by its name. Questions are tested in `truths`, jobs in `jobs`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::target::Asked;
use super::*;

pub(super) fn disable() -> Change {
    change(Operation::Disable, "7", "ada")
}

/// One user, whose reads are answered by `shown`, and changes by `changed`.
pub(super) async fn serving(
    shape: &str,
    shown: impl Fn() -> Value + Send + Sync + 'static,
    changed: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static,
) -> Target {
    let script = move |asked: &Asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/api/users/7") => (200, shown()),
        ("GET", "/api/users/7/keys") => (200, json!({"keys": [{"id": "k1"}]})),
        _ => changed(asked),
    };
    Target::with(shape, |_| {}, script).await
}

pub(super) fn ada() -> Value {
    json!({"user": user(7, "ada")})
}

#[tokio::test]
async fn an_etag_guards_a_change_and_one_that_is_required_is_named() {
    let shape = SHAPE
        .replace("state = ", "version = \"etag\"\nstate = ")
        .replace("success = { \"$.ok\" = true }", "if_match = true");
    let shown = || json!({"user": user(7, "ada"), "headers": {"ETag": "W/\"v3\""}});
    let target = serving(&shape, shown, |asked| match asked.header("if-match") {
        "" => (428, json!({"error": "name a version"})),
        "W/\"v3\"" => (204, json!({"raw": ""})),
        _ => (412, json!({})),
    })
    .await;
    assert_eq!(target.write(&disable()).await, Ok(Answered::Accepted));
    // Where the manifest does not say so, the target's demand is told as what it is.
    let plain = serving(SHAPE, shown, |_| (428, json!({}))).await;
    let failure = plain.write(&disable()).await.expect_err("required");
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::Drifted, "CB-HTTP-428")
    );
    // A target that lost its versions gets no change without one.
    let bare = serving(&shape, ada, |_| (204, json!({"raw": ""}))).await;
    let failure = bare.write(&disable()).await.expect_err("no version");
    assert_eq!(failure.class, FailureClass::Drifted);
    assert_eq!(bare.changes(), []);
    // One that does not look at it says yes to all; that is accepted and no more.
    let deaf = serving(&shape, shown, |_| (200, json!({}))).await;
    assert_eq!(deaf.write(&disable()).await, Ok(Answered::Accepted));
}

#[tokio::test]
async fn a_change_meanwhile_is_looked_at_again_and_then_stale() {
    let shape = SHAPE
        .replace("state = ", "version = \"$.revision\"\nstate = ")
        .replace(
            "success = { \"$.ok\" = true }",
            "if_match = true\nconflict = [409, 412]",
        );
    for status in [409, 412] {
        let looks = AtomicUsize::new(0);
        let shown = move || {
            let mut shown = ada();
            shown["user"]["revision"] = json!(looks.fetch_add(1, Ordering::SeqCst) + 3);
            shown
        };
        let raced = serving(&shape, shown, move |asked| {
            assert_eq!(asked.header("if-match"), "\"3\"");
            (status, json!({}))
        })
        .await;
        let failure = raced.write(&disable()).await.expect_err("raced");
        assert_eq!(failure.class, FailureClass::StaleData, "{status}");
        assert_eq!(raced.changes().len(), 1);
        // The look before, and the look after.
        assert_eq!(raced.asked("/api/users/7"), 3);
    }
    // Somebody else did what was to be done: then there is nothing left to do.
    let looks = AtomicUsize::new(0);
    let shown = move || {
        let mut shown = ada();
        shown["user"]["revision"] = json!(3);
        if looks.fetch_add(1, Ordering::SeqCst) > 0 {
            shown["user"]["status"] = json!("suspended");
        }
        shown
    };
    let done = serving(&shape, shown, |_| (412, json!({}))).await;
    assert_eq!(done.write(&disable()).await, Ok(Answered::Absent));
}

#[tokio::test]
async fn no_list_of_entitlements_holds_up_what_is_done_to_the_account() {
    for operation in [Operation::Disable, Operation::Delete] {
        let target = Target::new(SHAPE, |method, path| match (method, path) {
            ("GET", "/api/users/7") => (200, ada()),
            ("GET", "/api/users/7/keys") => (200, json!({"renamed": []})),
            _ => (200, json!({"ok": true})),
        })
        .await;
        let answer = target.write(&change(operation, "7", "ada")).await;
        assert_eq!(answer, Ok(Answered::Accepted));
        assert_eq!(target.changes().len(), 1);
        let failure = target.read("7").await.expect_err("proves nothing");
        assert_eq!(failure.class, FailureClass::Drifted);
    }
}

#[tokio::test]
async fn a_version_in_the_body_and_ids_that_are_numbers_are_sent_as_such() {
    let shape = SHAPE
        .replace("state = ", "version = \"$.lock_version\"\nstate = ")
        .replace(
            "{ active = false, profile = { note = \"left: {account.login}\" } }",
            "{ members = [\"{account.id:number}\"], active = \"{account.version:number}\", profile = { note = \"v{account.version}\" } }",
        )
        .replace("success = { \"$.ok\" = true }", "conflict = [409]");
    let shown = |id: Value| {
        move || {
            let mut shown = ada();
            shown["user"]["id"] = id.clone();
            shown["user"]["lock_version"] = json!(12);
            shown
        }
    };
    let target = serving(&shape, shown(json!(7)), |_| (200, json!({}))).await;
    assert_eq!(target.write(&disable()).await, Ok(Answered::Accepted));
    let sent = json!({"members": [7], "active": 12, "profile": {"note": "v12"}});
    assert_eq!(target.changes()[0].2, sent);
    let hostile = Target::new(&shape, |_, path| {
        let mut shown = json!({"user": user(7, "ada"), "keys": []});
        shown["user"]["id"] = json!("7, 8");
        shown["user"]["lock_version"] = json!(12);
        assert!(path.starts_with("/api/users/7%2C%208"));
        (200, shown)
    })
    .await;
    let failure = hostile
        .write(&change(Operation::Disable, "7, 8", "ada"))
        .await;
    assert_eq!(failure.expect_err("no number").code, "CB-REST-9");
    assert_eq!(hostile.changes(), []);
}

/// Status, answer, and what it is declared to mean.
#[rustfmt::skip] // One error to a line.
fn errors() -> Vec<(u16, Value, FailureClass, &'static str)> {
    use FailureClass as C;
    vec![
        (200, json!({"errors": [{"code": "X"}, {"code": 17}]}), C::RateLimited, "CB-REST-7"),
        (400, json!({"errors": [{"code": "BUSY"}]}), C::RateLimited, "CB-REST-7"),
        (200, json!({"errors": [{"code": "LDAP_USER"}], "error": "managed"}), C::Inherited, "CB-REST-7"),
        // Said not to be there, and there: the look decides.
        (200, json!({"errors": [{"code": "UNKNOWN_USER"}]}), C::WriteFailure, "CB-REST-5"),
        (200, json!({"fault": {"any": "thing"}}), C::WriteFailure, "CB-REST-7"),
        (403, json!({"error": "invalid_auth"}), C::AuthFailure, "CB-REST-1"),
        (400, json!({"errors": [{"code": "X"}]}), C::WriteFailure, "CB-HTTP-400"),
    ]
}

#[tokio::test]
async fn errors_in_the_body_mean_what_is_declared_whatever_the_status() {
    let declared = "[[rest.errors]]\npath = \"$.errors[*].code\"\nvalues = [\"BUSY\", \"17\"]\n\
        means = \"rate_limited\"\n[[rest.errors]]\npath = \"$.errors[*].code\"\nvalues = [\"UNKNOWN_USER\"]\n\
        means = \"not_found\"\n[[rest.errors]]\npath = \"$.errors[*].code\"\nvalues = [\"LDAP_USER\"]\n\
        means = \"inherited\"\n[[rest.errors]]\npath = \"$.fault\"\nmeans = \"write_failure\"\n[rest.account]\n";
    let shape = SHAPE
        .replacen("[rest.account]\n", declared, 1)
        .replace("success = { \"$.ok\" = true }", "");
    for (status, answer, class, code) in errors() {
        let said = answer.clone();
        let target = serving(&shape, ada, move |_| (status, said.clone())).await;
        let failure = target.write(&disable()).await.expect_err("declared");
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (class, code),
            "{status} {answer}"
        );
    }
    for quiet in [
        json!({"fault": null, "errors": []}),
        json!({"fault": false}),
        json!({"fault": ""}),
    ] {
        let target = serving(&shape, ada, move |_| (200, quiet.clone())).await;
        assert_eq!(target.write(&disable()).await, Ok(Answered::Accepted));
    }
    let gone = Target::new(&shape, |_, _| {
        (200, json!({"errors": [{"code": "UNKNOWN_USER"}]}))
    });
    assert_eq!(gone.await.read("7").await.expect("read").account, None);
}

#[tokio::test]
async fn an_answer_to_a_change_that_is_empty_or_garbage_is_not_taken_for_the_declared_success() {
    let plain = SHAPE.replace("success = { \"$.ok\" = true }", "");
    for (status, raw, told) in [
        (204, "", Some(Answered::Accepted)),
        (200, "", None),
        (200, "<html>ok</html>", None),
        (200, "{\"ok\": tr", None),
        (200, "{\"ok\": \"True\"}", Some(Answered::Accepted)),
    ] {
        let target = serving(SHAPE, ada, move |_| (status, json!({ "raw": raw }))).await;
        let answered = target.write(&disable()).await;
        match told {
            Some(told) => assert_eq!(answered, Ok(told), "{status} {raw}"),
            None => {
                let failure = answered.expect_err("unreadable");
                assert_eq!(failure.class, FailureClass::UnknownOutcome, "{raw}");
                assert_eq!(failure.code, "CB-REST-8");
            }
        }
        // Where nothing is declared, the status is all there is.
        let target = serving(&plain, ada, move |_| (status, json!({ "raw": raw }))).await;
        assert_eq!(target.write(&disable()).await, Ok(Answered::Accepted));
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_change_is_unknown_and_the_next_look_finds_it_done() {
    let done = Arc::new(AtomicBool::new(false));
    let (seen, made) = (Arc::clone(&done), Arc::clone(&done));
    let shown = move || {
        let mut shown = ada();
        if seen.load(Ordering::SeqCst) {
            shown["user"]["status"] = json!("suspended");
        }
        shown
    };
    let target = serving(SHAPE, shown, move |_| {
        made.store(true, Ordering::SeqCst);
        (200, json!({"lost": true}))
    })
    .await;
    let failure = target.write(&disable()).await.expect_err("lost");
    assert_eq!(failure.class, FailureClass::UnknownOutcome);
    assert_eq!(target.write(&disable()).await, Ok(Answered::Absent));
    assert_eq!(target.changes().len(), 1, "it was not sent again");
}

#[tokio::test]
async fn what_is_gone_already_is_not_asked_for_again() {
    for status in [204, 404, 500] {
        let target = serving(SHAPE, ada, move |_| (status, json!({"raw": ""}))).await;
        let taken = target.write(&taking("7", "ada", "editor")).await;
        assert_eq!(taken, Ok(Answered::Absent), "{status}");
        assert_eq!(target.changes(), [], "{status}");
    }
}

/// As the rotation makes one up.
const NOBODY: &str = "f19bb2c0-0000-4000-8000-00000000beef";

/// A trial at a target that knows nobody by that id and answers changes with `status`.
async fn tried(
    shape: &str,
    status: u16,
    operation: Operation,
) -> (Result<Answered, Failure>, Target) {
    let target = Target::with(
        shape,
        |manifest| manifest.writes.extend(["status".into(), "user".into()]),
        move |asked| match asked.method.as_str() {
            "GET" => (404, json!({"error": "no such user"})),
            _ => (status, json!({"ok": true})),
        },
    )
    .await;
    let call = target.gate.trial(&target.writer);
    let nobody = change(operation, NOBODY, NOBODY);
    let answer = target.connector.write(&call, &nobody).await;
    (answer, target)
}

#[tokio::test]
async fn d2_a_trial_sends_the_change_of_nobody_and_a_secret_that_may_only_read_is_denied() {
    for operation in [Operation::Disable, Operation::Delete] {
        let (denied, target) = tried(SHAPE, 403, operation).await;
        let failure = denied.expect_err("it may only read");
        assert_eq!(failure.code, crate::connectors::FORBIDDEN);
        let sent: Vec<_> = target.changes().into_iter().map(|seen| seen.1).collect();
        assert_eq!(sent, [format!("/api/users/{NOBODY}")]);
        assert_eq!(
            target.asked(&sent[0]),
            2,
            "looked for before, and not after"
        );
        // What is not about the powers says nothing against them.
        for (status, told) in [
            (404, Answered::Absent),
            (412, Answered::Absent),
            (200, Answered::Accepted),
        ] {
            let (answer, target) = tried(SHAPE, status, operation).await;
            assert_eq!((answer, target.changes().len()), (Ok(told), 1), "{status}");
        }
        for status in [400, 409] {
            let (answer, _) = tried(SHAPE, status, operation).await;
            assert_eq!(answer.expect_err("no").class, FailureClass::WriteFailure);
        }
        // A real change of whom nobody is is still not sent.
        let write = target.write(&change(operation, NOBODY, NOBODY)).await;
        assert_eq!((write, target.changes().len()), (Ok(Answered::Absent), 1));
    }
}

#[tokio::test]
async fn d2_a_trial_is_not_sent_where_it_could_be_more_than_a_trial() {
    let patch = "method = \"PATCH\"\npath = \"/users/{account.id}\"\n\
        body = { active = false, profile = { note = \"left: {account.login}\" } }";
    assert!(SHAPE.contains(patch));
    let as_put = patch.replace("PATCH", "PUT");
    let in_query = patch
        .replace("PATCH", "POST")
        .replace("/users/{account.id}", "/users/leave?user={account.id}");
    let by_number = patch.replace("\"left: {account.login}\"", "\"{account.id:number}\"");
    let alone = "path = \"/users/{account.id}\"\naccount = \"$.user\"";
    let in_list = "path = \"/users?id={account.id}\"\nitems = \"$.users\"\nempty = [404]";
    for (why, shape) in [
        ("could make the account", SHAPE.replace(patch, &as_put)),
        ("could mean everybody", SHAPE.replace(patch, &in_query)),
        ("is no number", SHAPE.replace(patch, &by_number)),
        ("was not asked for alone", SHAPE.replace(alone, in_list)),
    ] {
        let (answer, target) = tried(&shape, 200, Operation::Disable).await;
        assert_eq!(
            (answer, target.changes()),
            (Ok(Answered::Absent), vec![]),
            "{why}"
        );
    }
    // A target that makes the number 0 of any text, and has somebody of that number.
    let target = Target::new(SHAPE, |method, _| match method {
        "GET" => (200, json!({"user": user(0, "root")})),
        _ => (200, json!({"ok": true})),
    })
    .await;
    let call = target.gate.trial(&target.writer);
    let nobody = change(Operation::Delete, NOBODY, NOBODY);
    let failure = target.connector.write(&call, &nobody).await;
    assert_eq!(failure.expect_err("somebody").class, FailureClass::Drifted);
    // Nor an account that is there, whatever the caller says of it.
    let target = Target::new(SHAPE, steadfast((200, json!({"ok": true})))).await;
    let call = target.gate.trial(&target.writer);
    let failure = target.connector.write(&call, &disable()).await;
    assert_eq!(
        failure.expect_err("somebody").class,
        FailureClass::Ambiguous
    );
    assert_eq!(target.changes(), []);
}

#[tokio::test]
async fn c3_a_trial_is_judged_like_any_change() {
    let mut target = tried(SHAPE, 200, Operation::Disable).await.1;
    target.gate = Recorder::forbidding(&["active"]);
    let call = target.gate.trial(&target.writer);
    let nobody = change(Operation::Disable, NOBODY, NOBODY);
    let failure = target.connector.write(&call, &nobody).await;
    assert_eq!(failure.expect_err("refused").class, FailureClass::Refused);
    assert_eq!(target.changes().len(), 1, "the one before");
}
