//! The auditor's desk over HTTP: the log read, evidence and reports taken.
//!
//! Owns what these answers are and what is noted of them; whether a log is whole is tested beside it.

use serde_json::json;

use super::*;
use crate::store::ActFilter;

const CASE: &str = "00000000-0000-8000-8000-000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn h1_what_reading_the_log_came_to_stays_on_its_page_and_comes_first() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let mut ada = house.signed_in("ada").await;
    assert!(ada.page("/audit").await.contains("never read"));
    let csrf = ada.form_token("/audit").await;
    let answer = ada.post("/audit/verify", &[("csrf", &csrf)]).await;
    assert_eq!(location(&answer), "/audit");
    let page = ada.page("/audit").await;
    assert!(page.contains("not whole</span>"), "{page}");
    assert!(page.contains("acts 7") && !page.contains(SCRIPT), "{page}");
    assert!(ada.page("/").await.contains("the log is not whole"));
    let token = house.token("ada", &Role::ALL).await;
    let path = "/api/v1/audit/verify";
    let answer = house
        .api(Verb::Post, path, Some(&token), &Value::Null)
        .await;
    let told: Value = answer.json().await.expect("JSON");
    assert_eq!(told["came_to"], "not_whole");
    assert_eq!(told["found"].as_array().map(Vec::len), Some(1));
    let path = "/api/v1/audit";
    let answer = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
    let told: Value = answer.json().await.expect("JSON");
    assert_eq!(told["verified"]["whole"], false);
    assert_eq!(told["verified"]["by"], "ada");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_evidence_is_a_file_and_who_took_it_is_noted() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let mut ada = house.signed_in("ada").await;
    let csrf = ada.form_token("/audit").await;
    let path = format!("/cases/{CASE}/evidence");
    for (form, kind, ending) in [
        ("file", "application/json", "json"),
        ("page", "text/html; charset=utf-8", "html"),
    ] {
        let fields = [("csrf", csrf.as_str()), ("as", form)];
        let answer = ada.post(&path, &fields).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], kind);
        let name = format!("attachment; filename=\"evidence-{CASE}.{ending}\"");
        assert_eq!(answer.headers()["content-disposition"], name.as_str());
        assert!(answer.text().await.expect("text").contains(CASE));
    }
    let token = house.token("ada", &Role::ALL).await;
    let path = format!("/api/v1{path}");
    let answer = house
        .api(Verb::Post, &path, Some(&token), &Value::Null)
        .await;
    let told: Value = answer.json().await.expect("JSON");
    assert_eq!(told["file"], format!("{{\"payload\":\"{CASE}\"}}"));
    let nowhere = path.replace(CASE, "ffffffff-ffff-ffff-ffff-ffffffffffff");
    let answer = house
        .api(Verb::Post, &nowhere, Some(&token), &Value::Null)
        .await;
    assert_eq!(answer.status(), 404);
    let acts = house.store.acts(&ActFilter::default()).await.expect("read");
    let taken = acts.iter().filter(|(_, act)| act.what == "export_evidence");
    let taken: Vec<_> = taken.map(|(_, act)| act.came_to.as_str()).collect();
    let done = "done: signed by k";
    assert_eq!(taken, ["refused: there is no such case", done, done, done]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_report_is_about_the_days_that_were_asked_for() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let token = house.token("ada", &Role::ALL).await;
    let path = "/api/v1/audit/report?from=2026-10-01&to=2026-10-02T12:00:00Z";
    let answer = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
    let told: Value = answer.json().await.expect("JSON");
    let wanted = json!([["2026-10-01T00:00:00Z", "2026-10-02T12:00:00Z"]]);
    assert_eq!(told["rows"], wanted);
    let path = "/api/v1/audit/report?from=yesterday";
    let answer = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
    assert_eq!(answer.status(), 400);
    let mut ada = house.signed_in("ada").await;
    let answer = ada.get("/audit/report?from=2026-10-01&to=2026-10-02").await;
    let name = &answer.headers()["content-disposition"];
    assert_eq!(name, "attachment; filename=\"leavers.csv\"");
    house.close().await;
}
