//! Coming in: brute force, fixation, redirects, the life of sessions and tokens.
//!
//! Owns what a sign-in is worth and for how long. Time is moved by hand.

use super::*;
use crate::domain::user::{ApiToken, ProviderIdentity};

const COOKIE: &str = "__Host-clawback";

#[tokio::test(flavor = "multi_thread")]
async fn h1_brute_force_locks_the_name_and_tells_nothing() {
    let house = House::open().await;
    house.user("ada", &[Role::Viewer]).await;
    let mut words = Vec::new();
    for (name, password) in [("ada", "wrong"), ("nobody", "wrong"), ("ADA", PASSWORD)] {
        if name == "ADA" {
            for _ in 0..4 {
                house.browser().sign_in("ada", "wrong", "/").await;
            }
        }
        let mut browser = house.browser();
        let answer = browser.sign_in(name, password, "/").await;
        assert_eq!(answer.status(), 401, "{name}");
        assert!(!browser.cookies.contains_key(COOKIE));
        let page = answer.text().await.expect("text");
        let told = page.split_once("role=\"alert\"").expect("told").1;
        words.push(told.split_once("</div>").expect("an end").0.to_owned());
    }
    assert!(words.iter().all(|one| *one == words[0]), "{words:?}");
    // The lock is over after its time, and only then.
    house.wait(29);
    let answer = house.browser().sign_in("ada", PASSWORD, "/").await;
    assert_eq!(answer.status(), 401);
    house.wait(1);
    let answer = house.browser().sign_in("ada", PASSWORD, "/").await;
    assert_eq!(answer.status(), 303);
    let user = house.store.user("ada").await.expect("read").expect("there");
    assert_eq!((user.failures, user.locked_until), (0, None));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_without_the_secret_of_the_provider_that_way_in_is_refused_and_no_other() {
    let oidc = OidcSettings {
        issuer: "https://id.example".to_owned(),
        client_id: "clawback".to_owned(),
        client_secret: Some("local:console/oidc".to_owned()),
        scopes: Vec::new(),
        name_claim: "preferred_username".to_owned(),
        roles_claim: "groups".to_owned(),
        roles: BTreeMap::new(),
    };
    let house = House::open_with(Settings {
        public_url: Some("https://clawback.example".to_owned()),
        oidc: Some(oidc),
        ..Settings::default()
    })
    .await;
    house.user("ada", &[Role::Viewer]).await;
    let url = format!("http://{}/oidc/begin", house.address);
    let answer = Client::new().get(url).send().await.expect("answered");
    assert_eq!(answer.status(), 503);
    let told = answer.text().await.expect("text");
    assert!(told.contains("CB-CONSOLE-16"), "{told}");
    let answer = house.browser().sign_in("ada", PASSWORD, "/").await;
    assert_eq!(answer.status(), 303, "a password still signs in");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_one_address_cannot_try_one_password_on_many_names() {
    let house = House::open().await;
    house.user("ada", &[Role::Viewer]).await;
    for number in 0..20 {
        let answer = house
            .browser()
            .sign_in(&format!("n{number}"), "wrong", "/")
            .await;
        assert_eq!(answer.status(), 401);
    }
    let answer = house.browser().sign_in("ada", PASSWORD, "/").await;
    assert_eq!(answer.status(), 401, "the address waits");
    house.wait(300);
    let answer = house.browser().sign_in("ada", PASSWORD, "/").await;
    assert_eq!(answer.status(), 303);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_session_is_never_one_that_somebody_else_chose() {
    let house = House::open().await;
    house.user("ada", &[Role::Viewer]).await;
    let mut browser = house.browser();
    let planted = "f".repeat(64);
    browser.cookies.insert(COOKIE.to_owned(), planted.clone());
    let answer = browser.sign_in("ada", PASSWORD, "/").await;
    assert_eq!(answer.status(), 303);
    let secret = browser.cookies[COOKIE].clone();
    assert_ne!(secret, planted);
    let mut attacker = house.browser();
    attacker.cookies.insert(COOKIE.to_owned(), planted);
    assert_eq!(attacker.get("/").await.status(), 303, "still outside");
    // Signing in again gives another secret; signing out ends the one that goes.
    let other = house.signed_in("ada").await;
    assert_ne!(other.cookies[COOKIE], secret);
    let csrf = browser.form_token("/account").await;
    let answer = browser.post("/sign-out", &[("csrf", &csrf)]).await;
    assert_eq!(location(&answer), "/sign-in");
    assert!(!browser.cookies.contains_key(COOKIE));
    browser.cookies.insert(COOKIE.to_owned(), secret);
    assert_eq!(
        browser.get("/").await.status(),
        303,
        "it is over at the server"
    );
    assert_eq!(other.clone().get("/").await.status(), 200);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_sign_in_leads_back_into_the_console_and_nowhere_else() {
    let house = House::open().await;
    house.user("ada", &[Role::Viewer]).await;
    for (next, leads) in [
        ("/tasks?closed=true", "/tasks?closed=true"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/%0d%0aSet-Cookie: a=b", "/"),
        ("javascript:alert(1)", "/"),
    ] {
        let mut browser = house.browser();
        let answer = browser.sign_in("ada", PASSWORD, next).await;
        assert_eq!(location(&answer), leads, "{next}");
        assert!(!browser.cookies.contains_key("a"));
    }
    let mut browser = house.browser();
    let answer = browser.get("/sign-in?next=//evil.example/").await;
    let page = answer.text().await.expect("text");
    assert!(!page.contains("evil"), "{page}");
    let answer = house.browser().get("/cases?subject=a%26b").await;
    assert_eq!(
        location(&answer),
        "/sign-in?next=/cases%3Fsubject%3Da%2526b"
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_session_is_renewed_idles_and_ends() {
    let house = House::open().await;
    house.user("ada", &[Role::Viewer]).await;
    let mut ada = house.signed_in("ada").await;
    let first = ada.cookies[COOKIE].clone();
    house.wait(900);
    let mut beside = ada.clone();
    assert_eq!(ada.get("/").await.status(), 200);
    let second = ada.cookies[COOKIE].clone();
    assert_ne!(second, first, "its secret is replaced");
    // A request that was under way still shows the old one; soon after it counts for nothing.
    assert_eq!(beside.get("/account").await.status(), 200);
    house.wait(31);
    let mut thief = house.browser();
    thief.cookies.insert(COOKIE.to_owned(), first);
    assert_eq!(thief.get("/").await.status(), 303);
    // In use it goes on, without use it ends, and after its time it ends in any case.
    for _ in 0..4 {
        house.wait(1700);
        assert_eq!(ada.get("/").await.status(), 200);
    }
    // A page that fetches itself is nobody's use: it keeps no session alive.
    house.wait(1000);
    let watching = ada
        .request(Method::GET, "/")
        .header("x-clawback-watches", "1");
    assert_eq!(watching.send().await.expect("answered").status(), 200);
    house.wait(800);
    assert_eq!(ada.get("/").await.status(), 303, "idle");
    let mut ada = house.signed_in("ada").await;
    for _ in 0..25 {
        house.wait(1700);
        assert_eq!(ada.get("/").await.status(), 200);
    }
    house.wait(43_200 - 25 * 1700);
    assert_eq!(ada.get("/").await.status(), 303, "twelve hours");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_who_may_not_sign_in_any_more_is_out_at_once() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let (mut ada, token) = (
        house.signed_in("ada").await,
        house.token("ada", &Role::ALL).await,
    );
    let path = "/api/v1/overview";
    let answer = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
    assert_eq!(answer.status(), 200);
    let now = house.clock.now();
    let disable = |user: &mut User| {
        user.disabled = Some(now);
        true
    };
    house
        .store
        .change_user("ada", &disable)
        .await
        .expect("changed");
    assert_eq!(ada.get("/").await.status(), 303);
    let answer = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
    assert_eq!(answer.status(), 401);
    let answer = house.browser().sign_in("ada", PASSWORD, "/").await;
    assert_eq!(answer.status(), 401);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_who_has_no_role_left_at_the_provider_has_none_here() {
    let house = House::open().await;
    let mut claims = oidc::Claims {
        issuer: "https://id.example".to_owned(),
        subject: "17".to_owned(),
        name: "ada".to_owned(),
        display_name: "Ada".to_owned(),
        roles: BTreeSet::from([Role::Operator]),
    };
    let office = house.office.clone();
    let came = async |claims: &oidc::Claims| office.known_by(claims, "192.0.2.1").await;
    let eve = oidc::Claims {
        name: "eve".to_owned(),
        subject: "18".to_owned(),
        ..claims.clone()
    };
    came(&eve).await.expect("known");
    let ada = came(&claims).await.expect("known");
    let begun = office.begin(&ada, "192.0.2.1").await.expect("begun");
    let token = house.token("ada", &[Role::Operator]).await;
    let path = "/api/v1/overview";
    let answer = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
    assert_eq!(answer.status(), 200);
    let mut browser = house.browser();
    browser.cookies.insert(COOKIE.to_owned(), begun.secret);
    assert_eq!(browser.get("/").await.status(), 200);

    claims.roles.clear();
    let refused = came(&claims).await.expect_err("no role");
    assert_eq!(refused.status, 403);
    let stored = async |name: &str| house.store.user(name).await.expect("read").expect("there");
    assert!(stored("ada").await.roles.is_empty());
    let identity = ProviderIdentity {
        issuer: claims.issuer.clone(),
        subject: claims.subject.clone(),
    };
    assert_eq!(stored("ada").await.provider, Some(identity));
    assert!(house.store.sessions("ada").await.expect("read").is_empty());
    assert_eq!(browser.get("/").await.status(), 303, "out at once");
    let answer = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
    assert_eq!(answer.status(), 403, "a token can do no more than its user");
    assert_eq!(stored("eve").await.roles, BTreeSet::from([Role::Operator]));
    // A name alone is no proof: whom the provider does not know loses nothing.
    house.user("bo", &[Role::Viewer]).await;
    claims.name = "bo".to_owned();
    claims.subject = "19".to_owned();
    came(&claims).await.expect_err("no role");
    assert_eq!(stored("bo").await.roles, BTreeSet::from([Role::Viewer]));
    // With a role again they come in again.
    claims.name = "ada".to_owned();
    claims.subject = "17".to_owned();
    claims.roles.insert(Role::Viewer);
    let ada = came(&claims).await.expect("known");
    assert_eq!(ada.roles, BTreeSet::from([Role::Viewer]));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_token_is_made_once_shown_ends_and_is_taken_back() {
    let house = House::open().await;
    house.user("ada", &[Role::Viewer, Role::Operator]).await;
    let mut ada = house.signed_in("ada").await;
    let csrf = ada.form_token("/account").await;
    let fields = [
        ("csrf", csrf.as_str()),
        ("label", "nightly"),
        ("scope", "viewer"),
        ("scope", "auditor"),
        ("days", "2"),
    ];
    let answer = ada.post("/account/tokens", &fields).await;
    assert_eq!(answer.status(), 200);
    let page = answer.text().await.expect("text");
    let token = page.split_once("cbt_").expect("the token").1;
    let token = format!("cbt_{}", &token[..64]);
    let kept = house
        .store
        .tokens(Some("ada"))
        .await
        .expect("read")
        .remove(0);
    assert_eq!(
        kept.scopes,
        BTreeSet::from([Role::Viewer]),
        "no more than ada may"
    );
    assert!(!ada.page("/account").await.contains(&token), "shown once");
    let asked = async |house: &House| {
        let path = "/api/v1/overview";
        house
            .api(Verb::Get, path, Some(&token), &Value::Null)
            .await
            .status()
            .as_u16()
    };
    assert_eq!(asked(&house).await, 200);
    house.wait(2 * 86_400);
    assert_eq!(asked(&house).await, 401, "over");
    house.wait(-86_400);
    assert_eq!(asked(&house).await, 200);
    let revoked = ApiToken {
        revoked: Some(house.clock.now()),
        ..kept
    };
    house.store.save_token(&revoked).await.expect("kept");
    assert_eq!(asked(&house).await, 401, "taken back");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_proxy_is_believed_only_where_it_is_said_to_be_ours() {
    for (trust, from) in [(false, "127.0.0.1"), (true, "203.0.113.9")] {
        let house = House::open_with(Settings {
            trust_forwarded: trust,
            ..Settings::default()
        })
        .await;
        let mut browser = house.browser();
        let csrf = browser.form_token("/sign-in").await;
        let fields = [("csrf", csrf.as_str()), ("name", "x"), ("password", "y")];
        let request = browser.request(Method::POST, "/sign-in").form(&fields);
        // The last hop is what our proxy wrote; what stands before it anybody may have written.
        let request = request.header("x-forwarded-for", "198.51.100.1, 203.0.113.9");
        assert_eq!(request.send().await.expect("answered").status(), 401);
        let acts = house.store.acts(&crate::store::ActFilter::default()).await;
        assert_eq!(acts.expect("read")[0].1.from, from);
        house.close().await;
    }
}
