//! The red team: no field of an evidence file can be changed unseen, and no name can write on the page.
//!
//! Owns the list of changes, which is made by walking the file itself, so that a new field is covered by
//! existing.

use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::envelope::Envelope;
use super::*;
use crate::app::report::as_json;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::settlement::Settlement;
use crate::domain::task::TaskNote;
use crate::domain::workflow::{End, OutcomeKey};
use crate::secrets::signing::{Signer, signer};
use crate::secrets::{LocalVault, Owner};
use crate::store::given::{
    a_case, a_task, at, closed, discovery, ended, fenced, gathering, handed_over, keep, removal,
    step,
};
use crate::store::{Settings as StoreSettings, StoredDefinition, open};
use std::sync::Arc;

const HOSTILE: &str = "</td><script>alert('x')</script><img src=x onerror=\"y\">\u{202e}";

/// A case with one account proved gone, one with a person, and hostile names everywhere.
async fn a_gathered_case() -> Gathered {
    let store = open(&StoreSettings::at("sqlite::memory:"))
        .await
        .expect("opened");
    store.migrate().await.expect("migrated");
    let case = a_case(&store, HOSTILE).await;
    let children = vec![
        removal(&case.run, "crm", "a1"),
        removal(&case.run, HOSTILE, "a2"),
    ];
    let gather = Settlement {
        children,
        ..step(&case.run, gathering("fan-out"))
    };
    settle(&store, vec![fenced(&case, gather)]).await;
    let held = store.claim(at(1), &keep(1, 5)).await.expect("claimed");
    assert_eq!(held.len(), 2);
    for one in held {
        let proved = one
            .run
            .connector
            .as_ref()
            .is_some_and(|name| name.as_str() == "crm");
        let settlement = if proved {
            seen_gone(&one.run)
        } else {
            given_away(&one.run)
        };
        settle(&store, vec![fenced(&one, settlement)]).await;
    }
    let id = case.run.case.expect("a case");
    gather_from(&store, id).await
}

#[tokio::test]
async fn b1_no_evidence_is_made_by_a_definition_in_the_place_of_another() {
    let store = open(&StoreSettings::at("sqlite::memory:"))
        .await
        .expect("opened");
    store.migrate().await.expect("migrated");
    let case = a_case(&store, "ada").await;
    let library = definitions::built_in().expect("is proved");
    let other = library.all().next().expect("one");
    let swapped = StoredDefinition {
        digest: case.run.definition.clone(),
        name: other.name.to_string(),
        version: other.version,
        json: definitions::canonical(other),
    };
    let saved = store.save_definition(&swapped, at(1)).await;
    saved.expect("saved");
    let id = case.run.case.expect("a case");
    let told = gather(store.as_ref(), id).await.expect_err("another");
    assert!(told.to_string().starts_with("CB-DEFINITION-2: "), "{told}");
}

pub(super) async fn settle(store: &Arc<dyn Store>, batch: Vec<crate::store::Fenced>) {
    let settled = store
        .settle(at(2), &keep(1, 0), &batch)
        .await
        .expect("settled");
    assert!(settled.accepted.iter().all(|yes| *yes));
}

pub(super) async fn gather_from(store: &Arc<dyn Store>, id: CaseId) -> Gathered {
    gather(store.as_ref(), id)
        .await
        .expect("read")
        .expect("there")
}

pub(super) fn seen_gone(run: &crate::domain::run::Run) -> Settlement {
    let mut settlement = step(run, ended(End::Verified));
    settlement.run.verdict = Some(crate::domain::verdict::Verdict::ObservedAbsent);
    settlement.journal[0].outcome = OutcomeKey::Absent;
    settlement.journal[0].detail = Some(json!({
        "observation": {
            "at": at(1), "credential": "verifier", "method": "GET /Users/{id} and complete listing",
            "completeness": {
                "pages_closed": true, "fields_present": true, "count_in_band": true, "permission_cut": false,
            },
            "data_age_seconds": 0, "sighting": "not_there",
        },
        "finding": "absent",
        "manifest": "d1",
    }));
    let mut tried = settlement.journal[0].clone();
    tried.place = 1;
    tried.detail = Some(json!({
        "probes": [{
            "probe": "token", "artefact": "the key k-1", "at": at(1), "method": "GET /me",
            "control": "canary was let in", "finding": "refused", "words": "401", "spent": false,
        }],
        "finding": "absent",
    }));
    settlement.journal.push(tried);
    settlement
}

fn given_away(run: &crate::domain::run::Run) -> Settlement {
    let mut settlement = handed_over(run);
    settlement.journal[0].failure = Some(Failure::new(
        FailureClass::Unsupported,
        "CB-TEST-1",
        HOSTILE,
    ));
    if let Some(task) = &mut settlement.task {
        task.why = HOSTILE.to_owned();
        task.history.push(TaskNote {
            at: at(2),
            by: HOSTILE.to_owned(),
            text: HOSTILE.to_owned(),
        });
    }
    settlement
}

fn a_signer() -> Signer {
    let vault = LocalVault::in_memory().expect("a vault");
    let owner = Owner {
        reference: "local:audit".to_owned(),
        connector: "the platform".into(),
        role: crate::domain::verdict::CredentialRole::Writer,
    };
    let signer = signer(&vault, &owner, None, at(0)).now_or_never();
    signer.expect("in memory").expect("a key")
}

/// Every way to change one place of a document: each value, each name, each element.
fn tampered(value: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    walk(
        value,
        "",
        &mut |path, other| all.push((path.to_owned(), other)),
        &|changed| changed,
    );
    all
}

fn walk(
    value: &Value,
    path: &str,
    found: &mut dyn FnMut(&str, Value),
    whole: &dyn Fn(Value) -> Value,
) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let here = format!("{path}/{name}");
                let mut without = fields.clone();
                without.remove(name);
                found(&format!("{here} removed"), whole(Value::Object(without)));
                let put = |changed| {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), changed);
                    whole(Value::Object(fields))
                };
                walk(inner, &here, found, &put);
            }
            let mut with = fields.clone();
            with.insert("planted".to_owned(), Value::Null);
            found(&format!("{path} planted"), whole(Value::Object(with)));
        }
        Value::Array(elements) => {
            for (place, inner) in elements.iter().enumerate() {
                let here = format!("{path}/{place}");
                let mut without = elements.clone();
                without.remove(place);
                found(&format!("{here} removed"), whole(Value::Array(without)));
                let put = |changed| {
                    let mut elements = elements.clone();
                    elements[place] = changed;
                    whole(Value::Array(elements))
                };
                walk(inner, &here, found, &put);
            }
            let mut with = elements.clone();
            with.push(Value::Null);
            found(&format!("{path} planted"), whole(Value::Array(with)));
        }
        Value::String(text) => found(path, whole(Value::from(format!("{text}A")))),
        Value::Number(number) => found(path, whole(json!(number.as_f64().unwrap_or(0.0) + 1.0))),
        Value::Bool(yes) => found(path, whole(Value::from(!yes))),
        Value::Null => found(path, whole(Value::from("planted"))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_no_field_of_the_evidence_can_be_changed_unseen() {
    let gathered = a_gathered_case().await;
    let signer = a_signer();
    let window = crate::domain::audit::Window::after(0);
    let checkpoint = window.close(None, at(1), signer.public(), None);
    let checkpoint = crate::domain::audit::Signed {
        number: 1,
        signature: signer.sign(checkpoint.text().as_bytes()),
        text: checkpoint.text(),
    };
    let payload = bundle(&gathered, Some(&checkpoint), at(9));
    let envelope = Envelope::sign(&payload, &signer);
    assert_eq!(envelope.verify(signer.public()).expect("is right"), payload);
    assert_eq!(Envelope::read(&envelope.text()).expect("reads"), envelope);

    let inside = tampered(&payload);
    assert!(
        inside.len() > 300,
        "only {} places: is the payload empty?",
        inside.len()
    );
    for (place, changed) in inside {
        let mut forged = Envelope::sign(&changed, &signer);
        forged.signatures.clone_from(&envelope.signatures);
        assert!(
            forged.verify(signer.public()).is_err(),
            "{place} was changed unseen"
        );
    }
    let outside = serde_json::to_value(&envelope).expect("written");
    for (place, changed) in tampered(&outside) {
        let read = Envelope::read(&changed.to_string());
        let seen = read.is_err() || read.is_ok_and(|one| one.verify(signer.public()).is_err());
        assert!(seen, "{place} of the envelope was changed unseen");
    }
    // Signed anew, with the forger's own key.
    let forger = a_signer();
    assert!(
        Envelope::sign(&payload, &forger)
            .verify(signer.public())
            .is_err()
    );
    assert!(envelope.verify(forger.public()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_a_checkpoint_with_another_signature_is_no_part_of_evidence() {
    let gathered = a_gathered_case().await;
    let signer = a_signer();
    let window = crate::domain::audit::Window::after(0);
    let says = window.close(None, at(1), signer.public(), None);
    let forged = crate::domain::audit::Signed {
        number: 1,
        signature: a_signer().sign(says.text().as_bytes()),
        text: says.text(),
    };
    let envelope = Envelope::sign(&bundle(&gathered, Some(&forged), at(9)), &signer);
    assert!(envelope.verify(signer.public()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_absence_is_told_by_the_look_and_what_is_left_by_its_reason() {
    let payload = bundle(&a_gathered_case().await, None, at(9));
    let targets = payload["targets"].as_array().expect("a list");
    let crm = targets
        .iter()
        .find(|one| one["connector"] == "crm")
        .expect("there");
    assert_eq!(crm["proof"], "observed");
    assert_eq!(crm["proved_by"]["credential"], "verifier");
    assert_eq!(crm["proved_by"]["read_begun"], json!(at(1)));
    assert_eq!(payload["observations"].as_array().map(Vec::len), Some(1));
    assert_eq!(payload["tries"][0]["control"], "canary was let in");
    assert_eq!(payload["tries"].as_array().map(Vec::len), Some(1));
    let left = payload["residual"].as_array().expect("a list");
    assert_eq!(left.len(), 1);
    assert!(
        left[0]["why"]
            .as_str()
            .is_some_and(|why| why.contains("with a person"))
    );
    assert_eq!(payload["timing"]["all_removed"], Value::Null);
    let acts = payload["people"].as_array().expect("a list");
    assert!(acts.iter().any(|act| act["text"] == HOSTILE));
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_an_open_case_that_has_looked_nowhere_has_proved_nothing() {
    let store = open(&StoreSettings::at("sqlite::memory:"))
        .await
        .expect("opened");
    store.migrate().await.expect("migrated");
    let case = a_case(&store, "ada").await;
    let id = case.run.case.expect("a case");
    let payload = bundle(&gather_from(&store, id).await, None, at(9));
    assert_eq!(payload["targets"], json!([]));
    let left = payload["residual"].as_array().expect("a list");
    assert_eq!((left.len(), &left[0]["why"]), (1, &json!(NOTHING_YET)));
    assert!(page(&payload).contains("No access is known yet."));
    // Once it is over, there is nothing left to find.
    let end = Settlement {
        case_ended: Some((id, End::Verified, at(2))),
        ..step(&case.run, ended(End::Verified))
    };
    settle(&store, vec![fenced(&case, end)]).await;
    let payload = bundle(&gather_from(&store, id).await, None, at(9));
    assert_eq!(payload["residual"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_what_may_have_been_of_the_case_is_not_signed_away() {
    let gathered = a_gathered_case().await;
    let finding = |fault, table| Finding {
        fault,
        table,
        row: "018f0000-0000-7000-8000-000000000000".to_owned(),
        detail: String::new(),
    };
    // A removal that was taken out with its lines, and one that was given to another case.
    assert!(concerns(&finding(Fault::Removed, "runs"), &gathered));
    assert!(concerns(&finding(Fault::Removed, "messages"), &gathered));
    assert!(concerns(&finding(Fault::Changed, "runs"), &gathered));
    assert!(concerns(&finding(Fault::Changed, "audit_links"), &gathered));
    assert!(!concerns(&finding(Fault::Changed, "pauses"), &gathered));
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_a_case_that_a_person_attested_whole_is_told_as_attested() {
    let store = open(&StoreSettings::at("sqlite::memory:"))
        .await
        .expect("opened");
    store.migrate().await.expect("migrated");
    let case = a_case(&store, "ada").await;
    let id = case.run.case.expect("a case");
    let mut word = Settlement {
        case_ended: Some((id, End::Attested, at(2))),
        ..step(&case.run, ended(End::Attested))
    };
    word.task = Some(closed(a_task(&case.run)));
    settle(&store, vec![fenced(&case, word)]).await;
    let payload = bundle(&gather_from(&store, id).await, None, at(9));
    assert_eq!(payload["targets"][0]["proof"], "attested");
    assert!(!page(&payload).contains("had no account"));
    let rows = crate::app::report::rows(&*store, Timestamp::MIN, Timestamp::MAX).await;
    let rows = as_json(&rows.expect("read"));
    assert_eq!(rows[0]["proof"], "attested", "{rows}");
    assert_ne!(rows[0]["task_closed"], "", "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_a_search_that_a_person_attested_is_told_as_attested() {
    let store = open(&StoreSettings::at("sqlite::memory:"))
        .await
        .expect("opened");
    store.migrate().await.expect("migrated");
    let case = a_case(&store, "ada").await;
    let gather = Settlement {
        children: vec![discovery(&case.run, "erp")],
        ..step(&case.run, gathering("fan-out"))
    };
    settle(&store, vec![fenced(&case, gather)]).await;
    let held = store.claim(at(1), &keep(1, 5)).await.expect("claimed");
    let mut word = step(&held[0].run, ended(End::Attested));
    word.task = Some(closed(a_task(&held[0].run)));
    settle(&store, vec![fenced(&held[0], word)]).await;
    let id = case.run.case.expect("a case");
    let payload = bundle(&gather_from(&store, id).await, None, at(9));
    assert_eq!(payload["targets"][0]["proof"], "attested");
    assert_eq!(payload["case"]["removals_attested"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_hostile_names_are_text_on_the_page() {
    let page = page(&bundle(&a_gathered_case().await, None, at(9)));
    for bad in ["<script", "<img", "onerror=\"", "\u{202e}"] {
        assert!(!page.contains(bad), "{bad} got onto the page");
    }
    assert!(
        page.contains("&lt;script&gt;"),
        "the name is not shown at all"
    );
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "it loads something"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn e6_the_page_shows_everything_that_the_evidence_tells() {
    let payload = bundle(&a_gathered_case().await, None, at(9));
    let page = page(&payload);
    let mut hidden = Vec::new();
    let parts = [
        "case",
        "trigger",
        "policy",
        "targets",
        "changes",
        "observations",
        "tries",
        "people",
        "residual",
        "timing",
    ];
    for part in parts {
        let rows = payload[part].as_array().cloned();
        let rows = rows.unwrap_or_else(|| vec![payload[part].clone()]);
        assert!(!rows.is_empty(), "{part} is empty: nothing is tested");
        for (name, value) in rows.iter().flat_map(|row| row.as_object().expect("fields")) {
            // Ids by which rows refer to each other, and what has rows of its own.
            let apart = ["run", "task", "proved_by", "tasks"].contains(&name.as_str());
            if !apart && !page.contains(&page::shown(value)) {
                hidden.push(format!("{part}/{name}: {value}"));
            }
        }
    }
    let tasks = payload["timing"]["tasks"].as_array().expect("a list");
    for task in tasks {
        assert!(page.contains(task["deadline"].as_str().expect("an instant")));
    }
    assert!(!tasks.is_empty());
    assert_eq!(hidden, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payload_has_the_fields_that_its_schema_requires() {
    let payload = bundle(&a_gathered_case().await, None, at(9));
    let schema = include_str!("../../../docs/schemas/clawback.evidence.v1.json");
    let schema: Value = serde_json::from_str(schema).expect("JSON");
    required(&schema, &payload, "");
}

/// `required` and `properties` of a schema, as deep as it goes.
fn required(schema: &Value, value: &Value, path: &str) {
    let types = schema["type"].as_array();
    let may_be_null = types.is_some_and(|types| types.iter().any(|one| *one == "null"));
    if value.is_null() && may_be_null {
        return;
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        assert!(value.get(name).is_some(), "{path}/{name} is missing");
    }
    if let (Some(declared), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
        for (name, inner) in fields {
            let declared = declared.get(name);
            assert!(declared.is_some(), "{path}/{name} is not in the schema");
            required(declared.expect("checked"), inner, &format!("{path}/{name}"));
        }
    }
    for (place, inner) in value.as_array().into_iter().flatten().enumerate() {
        if schema["items"].is_object() {
            required(&schema["items"], inner, &format!("{path}/{place}"));
        }
    }
}
