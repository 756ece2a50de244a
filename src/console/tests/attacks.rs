//! Attacks: no sign-in, a missing role, a forged form, planted scripts, injected headers, long bodies.
//!
//! Owns what must not work. Each goes over every route of the table to which it applies.

use reqwest::Method;
use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn h1_no_route_works_for_somebody_who_is_not_signed_in() {
    let house = House::open().await;
    let mut tried = 0;
    for route in routes().filter(|route| route.need != Need::Nobody) {
        let path = somewhere(route);
        let method = match route.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
        };
        let answer = house.browser().request(method, &path).send().await;
        let answer = answer.expect("answered");
        if route.speaks.is_for_people() {
            assert_eq!(answer.status(), 303, "{route:?}");
            assert!(location(&answer).starts_with("/sign-in"), "{route:?}");
        } else {
            assert_eq!(answer.status(), 401, "{route:?}");
        }
        if route.speaks == Speaks::Api {
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
            assert_eq!(answer.headers()["www-authenticate"], "Bearer");
            let told: Value = answer.json().await.expect("JSON");
            assert_eq!(told["status"], 401);
            assert_eq!(told["code"], "CB-CONSOLE-1");
        }
        tried += 1;
    }
    assert!(tried > 45, "{tried} routes");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_no_route_works_without_its_role() {
    let house = House::open().await;
    let mut people = BTreeMap::new();
    for role in Role::ALL {
        let name = format!("not-{role}");
        house.user(&name, &all_but(role)).await;
        let browser = house.signed_in(&name).await;
        let token = house.token(&name, &Role::ALL).await;
        people.insert(role, (browser, token));
    }
    // Somebody with all roles, whose token has all but one.
    house.user("all", &Role::ALL).await;
    let mut tried = 0;
    for route in routes() {
        let Need::Role(role) = route.need else {
            continue;
        };
        let path = somewhere(route);
        let (browser, token) = people.get_mut(&role).expect("one for each");
        if route.speaks == Speaks::Api {
            let answer = house.api(route.verb, &path, Some(token), &json!({})).await;
            assert_eq!(answer.status(), 403, "{route:?}");
            let narrow = house.token("all", &all_but(role)).await;
            let answer = house
                .api(route.verb, &path, Some(&narrow), &json!({}))
                .await;
            assert_eq!(answer.status(), 403, "a token's scopes bind: {route:?}");
        } else if route.verb == Verb::Get {
            assert_eq!(browser.get(&path).await.status(), 403, "{route:?}");
        } else {
            let csrf = browser.form_token("/account").await;
            let answer = browser.post(&path, &[("csrf", &csrf)]).await;
            assert_eq!(answer.status(), 403, "{route:?}");
        }
        tried += 1;
    }
    assert!(tried > 40, "{tried} routes");
    let noted = house.store.acts(&crate::store::ActFilter::default()).await;
    let noted = noted.expect("read");
    let refused = noted.iter().filter(|(_, act)| act.what == "refused");
    assert!(refused.count() > 40, "each was noted");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_no_form_is_taken_that_is_not_of_this_session() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    house.user("eve", &Role::ALL).await;
    let mut ada = house.signed_in("ada").await;
    let (own, other) = (
        ada.form_token("/account").await,
        house.signed_in("eve").await.form_token("/account").await,
    );
    assert_ne!(own, other);
    let mut tried = 0;
    for route in routes().filter(|route| route.speaks == Speaks::Form) {
        let path = somewhere(route);
        for forged in ["", "0", other.as_str()] {
            let answer = ada.clone().post(&path, &[("csrf", forged)]).await;
            assert_eq!(answer.status(), 403, "{route:?}");
        }
        // Even the right token counts for nothing when the browser says that another site sent it.
        let request = ada.request(Method::POST, &path).form(&[("csrf", &own)]);
        let answer = request.header("sec-fetch-site", "cross-site").send().await;
        assert_eq!(answer.expect("answered").status(), 403, "{route:?}");
        let json = ada
            .request(Method::POST, &path)
            .json(&json!({ "csrf": own }));
        let answer = json.send().await.expect("answered");
        assert_eq!(answer.status(), 400, "a form is a form: {route:?}");
        tried += 1;
    }
    assert!(tried > 12, "{tried} forms");
    // And with its own token the same browser goes on.
    let answer = ada
        .post("/approvals/crm/propose", &[("csrf", &own), ("reason", "x")])
        .await;
    assert_eq!(location(&answer), "/approvals/crm");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_the_api_takes_no_cookie() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let ada = house.signed_in("ada").await;
    let request = ada.request(Method::POST, "/api/v1/approvals/crm/propose");
    let answer = request.json(&json!({ "reason": "x" })).send().await;
    assert_eq!(answer.expect("answered").status(), 401);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_script_in_what_others_wrote_stays_text_on_every_page() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    house.plant().await;
    let mut ada = house.signed_in("ada").await;
    let csrf = ada.form_token("/account").await;
    let planted = [("csrf", csrf.as_str()), ("reason", SCRIPT)];
    let answer = ada.post("/approvals/crm/propose", &planted).await;
    assert_eq!(answer.status(), 303);
    let mut pages = vec![
        "/account".to_owned(),
        format!("/cases?subject={}", "%3Cscript%3E"),
    ];
    for list in [
        "/",
        "/cases",
        "/tasks",
        "/connectors",
        "/approvals",
        "/dead-letters",
        "/acts",
    ] {
        let page = ada.page(list).await;
        let links = page.split("href=\"").skip(1);
        let links = links.filter_map(|rest| rest.split('"').next());
        let own = links.filter(|link| link.starts_with(list) && link.len() > list.len() + 2);
        pages.extend(
            own.filter(|link| !link.starts_with("/assets"))
                .map(str::to_owned),
        );
        pages.push(list.to_owned());
    }
    let (mut shown, mut seen) = (0, 0);
    for path in pages {
        let page = ada.page(&path).await;
        assert!(!page.contains(SCRIPT), "{path}: {page}");
        shown += usize::from(page.contains("&lt;script&gt;"));
        seen += 1;
    }
    assert!(shown > 8, "the planted name is on {shown} of {seen} pages");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_no_path_leads_elsewhere_and_no_header_is_broken_open() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let mut ada = house.signed_in("ada").await;
    for path in [
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/assets/%00",
        "/cases/..%2ftasks",
        "/cases/00000000-0000-8000-8000-000000000000%0d%0aSet-Cookie:a=b",
        "/connectors/..%2f..%2fetc",
        "/approvals/%0d%0aLocation:%20https:%2f%2fevil.example",
        "/nowhere",
        "//evil.example/",
    ] {
        let answer = ada.get(path).await;
        let status = answer.status().as_u16();
        assert!(matches!(status, 400 | 404), "{path}: {status}");
        assert!(answer.headers().get("location").is_none(), "{path}");
    }
    let csrf = ada.form_token("/account").await;
    let answer = ada
        .post(
            "/approvals/%0d%0aSet-Cookie:%20a=b/propose",
            &[("csrf", &csrf), ("reason", "x")],
        )
        .await;
    assert!(!ada.cookies.contains_key("a"));
    assert!(!location(&answer).contains(['\r', '\n']));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_body_that_is_too_long_is_refused() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let (token, mut ada) = (
        house.token("ada", &Role::ALL).await,
        house.signed_in("ada").await,
    );
    let long = "x".repeat(65 * 1024);
    let csrf = ada.form_token("/account").await;
    let fields = [("csrf", csrf.as_str()), ("reason", long.as_str())];
    let answer = ada.post("/approvals/crm/propose", &fields).await;
    assert_eq!(answer.status(), 413);
    let path = "/api/v1/approvals/crm/propose";
    let body = json!({ "reason": long });
    let answer = house.api(Verb::Post, path, Some(&token), &body).await;
    assert_eq!(answer.status(), 413);
    let told: Value = answer.json().await.expect("problem details");
    assert_eq!(told["code"], "CB-CONSOLE-7");
    let answer = house
        .browser()
        .post("/sign-in", &[("password", long.as_str())])
        .await;
    assert_eq!(answer.status(), 413, "without sign-in too");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_every_answer_has_the_headers_that_protect_it() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let mut ada = house.signed_in("ada").await;
    let answers = [
        ada.get("/").await,
        ada.get("/nowhere").await,
        ada.get("/cases/nonsense").await,
        house.browser().get("/").await,
        house.browser().get("/sign-in").await,
        ada.post("/cases", &[]).await,
        house
            .api(Verb::Get, "/api/v1/cases", None, &Value::Null)
            .await,
        house
            .api(Verb::Get, "/api/v1/openapi.json", None, &Value::Null)
            .await,
    ];
    for answer in answers {
        let path = answer.url().path().to_owned();
        let headers = answer.headers();
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        let kept = headers.get("cache-control");
        assert!(
            answer.status() == 303 || kept.is_some_and(|kept| kept == "no-store"),
            "{path}"
        );
    }
    // Inline scripts and styles would need an exception in the policy: there are none.
    let page = ada.page("/").await;
    let scripts: Vec<_> = page.split("<script").skip(1).collect();
    assert_eq!(scripts.len(), 1);
    assert!(scripts[0].starts_with(" src=\"/assets/"), "{page}");
    for inline in ["style=\"", "<style", "onclick", "javascript:", "https://"] {
        assert!(!page.contains(inline), "{inline}: {page}");
    }
    house.close().await;
}
