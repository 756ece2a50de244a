//! The console attacked and used over HTTP: a real listener, a real store, no engine.
//!
//! Owns the house of these tests: a clock that they move, a browser that keeps cookies, other rooms
//! as a stand-in. Routes come from the table, so a new one is attacked by existing.

mod at_once;
mod attacks;
mod audits;
mod doors;
mod guesses;
mod lists;
mod matters;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use reqwest::{Client, Method, Response};
use secrecy::SecretString;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::domain::approval::{Matter, Past, Signed};
use crate::domain::expiry::Alarm;
use crate::domain::health::Bounds;
use crate::domain::id::{CaseId, DeadLetterId, MessageId, TaskId, TokenId};
use crate::domain::time::{Chance, Clock, Timestamp, after};
use crate::domain::user::{ApiToken, Role, SecretDigest, User};
use crate::store::{self, Store};

const PASSWORD: &str = "correct horse battery";
/// What somebody would like a page to run.
const SCRIPT: &str = "<script>alert(1)</script>";

#[derive(Debug)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Relaxed)).expect("in range")
    }
}

#[derive(Debug, Default)]
struct Counted(AtomicU64);

impl Chance for Counted {
    fn fraction(&self) -> f64 {
        0.5
    }

    fn id(&self) -> Uuid {
        Uuid::from_u64_pair(0xc0, self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Other rooms, standing still.
#[derive(Debug)]
struct Still;

#[async_trait]
impl Backing for Still {
    fn connectors(&self) -> Vec<ConnectorFact> {
        vec![ConnectorFact {
            name: "crm".to_owned(),
            kind: "rest".to_owned(),
            purpose: SCRIPT.to_owned(),
            owner: SCRIPT.to_owned(),
            deputy: "Bo".to_owned(),
            review_by: "2027-01-01".to_owned(),
            privileged: false,
            operations: vec!["list"],
            bounds: Bounds {
                refresh_seconds: 60,
                max_data_age_seconds: 60,
                change_at_most_percent: None,
                nhi: None,
                deciding: Vec::new(),
                manifest: "m".to_owned(),
            },
        }]
    }

    async fn governed(&self) -> Result<Vec<Governed>, Trouble> {
        Ok(vec![Governed {
            connector: "crm".to_owned(),
            standing: "waiting for approval".to_owned(),
            wants_person: true,
            in_force: None,
            until: None,
            file: None,
            can_propose: true,
            proposal: Some(Proposed {
                digest: "0123456789abcdef".to_owned(),
                by: "nadia".to_owned(),
                at: Timestamp::UNIX_EPOCH,
                reason: SCRIPT.to_owned(),
                text: SCRIPT.to_owned(),
            }),
        }])
    }

    async fn changes(&self, _: &str) -> Result<Vec<Change>, Trouble> {
        Ok(Vec::new())
    }

    async fn history(&self, _: &str) -> Result<Past, Trouble> {
        Ok(Past::default())
    }

    async fn propose(&self, _: &str, _: &Signed) -> Result<String, Trouble> {
        Ok("proposed".to_owned())
    }

    async fn approve(&self, _: &str, digest: &str, signed: &Signed) -> Result<String, Trouble> {
        if signed.by == "nadia" {
            return Err(Trouble {
                kind: TroubleKind::Refused,
                code: None,
                words: "nadia proposed it".to_owned(),
            });
        }
        Ok(format!("approved {digest}"))
    }

    async fn reject(&self, _: &str, _: &Signed) -> Result<String, Trouble> {
        Ok("rejected".to_owned())
    }

    async fn platform_secret(&self, reference: &str) -> Result<SecretString, Trouble> {
        Err(Trouble {
            kind: TroubleKind::Unavailable,
            code: None,
            words: format!("the vault has no `{reference}`"),
        })
    }

    async fn secrets(&self) -> Result<Vec<SecretFact>, Trouble> {
        let of = |role: &str, alarm, age_seconds, unreadable: Option<&str>| SecretFact {
            connector: "crm".to_owned(),
            role: role.to_owned(),
            reference: format!("local:crm/{role}"),
            age_seconds,
            max_age_seconds: Some(100),
            expires: None,
            alarm,
            unreadable: unreadable.map(ToOwned::to_owned),
            is_needed: true,
            can_rotate: true,
            under_way: String::new(),
        };
        Ok(vec![
            of("writer", Some(Alarm::Ended), Some(10), None),
            of("verifier", None, Some(10), None),
            of("rotator", None, None, Some(SCRIPT)),
        ])
    }

    async fn propose_hold(
        &self,
        task: TaskId,
        _: u64,
        signed: &Signed,
    ) -> Result<Option<String>, Trouble> {
        Ok((!task.0.is_max()).then(|| format!("proposed by {}", signed.by)))
    }

    async fn try_again(&self, _: &Matter, _: &str) -> Result<usize, Trouble> {
        Ok(0)
    }

    async fn evidence(&self, case: CaseId) -> Result<Option<EvidenceFile>, Trouble> {
        Ok((!case.0.is_max()).then(|| EvidenceFile {
            file: format!("{{\"payload\":\"{case}\"}}"),
            page: format!("<p>{case}"),
            key: "k".to_owned(),
        }))
    }

    async fn verify_log(&self) -> Result<LogVerdict, Trouble> {
        Ok(LogVerdict {
            whole: false,
            words: "NOT WHOLE, 1 finding".to_owned(),
            findings: vec![format!("changed: acts 7: {SCRIPT}")],
        })
    }

    async fn report(&self, from: Timestamp, to: Timestamp) -> Result<ReportTable, Trouble> {
        Ok(ReportTable {
            columns: vec!["from".to_owned(), "to".to_owned()],
            rows: vec![vec![from.to_string(), to.to_string()]],
            csv: format!("from,to\r\n{from},{to}\r\n"),
        })
    }

    async fn replay(&self, _: DeadLetterId) -> Result<Option<MessageId>, Trouble> {
        Ok(None)
    }
}

/// A console that runs.
struct House {
    store: Arc<dyn Store>,
    clock: Arc<Hands>,
    office: Shared,
    address: SocketAddr,
    closing: CancellationToken,
    serving: JoinSet<std::io::Result<()>>,
}

impl House {
    async fn open() -> Self {
        Self::open_with(Settings::default()).await
    }

    async fn open_with(settings: Settings) -> Self {
        let kept = store::Settings {
            url: "sqlite::memory:".to_owned(),
            ..store::Settings::default()
        };
        let store = store::open(&kept).await.expect("opened");
        store.migrate().await.expect("migrated");
        let clock = Arc::new(Hands(AtomicI64::new(1_800_000_000)));
        let parts: (Arc<dyn Clock>, Arc<dyn Chance>) =
            (clock.clone(), Arc::new(Counted::default()));
        let provider = settings.oidc.clone().zip(settings.public_url.clone());
        let provider = provider.map(|(oidc, url)| Provider::new(oidc, &url).expect("a client"));
        let office = Office::new(store.clone(), Arc::new(Still), parts, settings, provider);
        let office = Arc::new(office);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let closing = CancellationToken::new();
        let mut serving = JoinSet::new();
        let routes = router(Parts::default(), Some(&office));
        serving.spawn(serve(listener, routes, closing.clone()));
        Self {
            store,
            clock,
            office,
            address,
            closing,
            serving,
        }
    }

    async fn close(mut self) {
        self.office.closing.cancel();
        self.closing.cancel();
        self.serving.shutdown().await;
    }

    fn wait(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    async fn user(&self, name: &str, roles: &[Role]) -> User {
        let user = User {
            name: name.to_owned(),
            display_name: SCRIPT.to_owned(),
            roles: roles.iter().copied().collect(),
            // Hashing is slow on purpose; one hash serves every user of these tests.
            password: Some(HASH.clone()),
            provider: None,
            subject: None,
            disabled: None,
            enabled: None,
            failures: 0,
            locked_until: None,
            created: self.clock.now(),
        };
        assert!(self.store.add_user(&user).await.expect("added"));
        user
    }

    /// A token of this user with these scopes.
    async fn token(&self, user: &str, scopes: &[Role]) -> String {
        let secret = secret().expect("drawn");
        let token = ApiToken {
            id: TokenId(Uuid::from_u64_pair(
                0x70,
                NEXT.fetch_add(1, Ordering::Relaxed),
            )),
            digest: SecretDigest::of(&secret),
            user: user.to_owned(),
            label: "test".to_owned(),
            scopes: scopes.iter().copied().collect(),
            created: self.clock.now(),
            ends: after(self.clock.now(), 3600),
            used: None,
            revoked: None,
        };
        self.store.add_token(&token).await.expect("added");
        secret
    }

    fn browser(&self) -> Browser {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none());
        Browser {
            client: client.build().expect("a client"),
            address: self.address,
            cookies: BTreeMap::new(),
        }
    }

    /// A browser in which this user is signed in.
    async fn signed_in(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        let answer = browser.sign_in(name, PASSWORD, "/").await;
        assert_eq!(answer.status(), 303);
        assert!(browser.cookies.contains_key("__Host-clawback"));
        browser
    }

    async fn api(&self, verb: Verb, path: &str, token: Option<&str>, body: &Value) -> Response {
        let url = format!("http://{}{path}", self.address);
        let client = Client::new();
        let mut request = match verb {
            Verb::Get => client.get(url),
            Verb::Post => client.post(url).json(body),
        };
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.expect("answered")
    }
}

static NEXT: AtomicU64 = AtomicU64::new(1);
static HASH: std::sync::LazyLock<crate::domain::user::PasswordHash> =
    std::sync::LazyLock::new(|| hash(PASSWORD).expect("hashed"));

/// Keeps cookies as a browser does, and follows no redirect.
#[derive(Clone)]
struct Browser {
    client: Client,
    address: SocketAddr,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let cookies = self.cookies.iter();
        let cookies: Vec<_> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let url = format!("http://{}{path}", self.address);
        self.client
            .request(method, url)
            .header("cookie", cookies.join("; "))
    }

    fn keep(&mut self, answer: &Response) {
        for line in answer.headers().get_all("set-cookie") {
            let line = line.to_str().expect("text");
            for wanted in ["; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/;"] {
                assert!(line.contains(wanted), "{line}");
            }
            let (pair, rest) = line.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    async fn get(&mut self, path: &str) -> Response {
        let answer = self.request(Method::GET, path).send().await;
        let answer = answer.expect("answered");
        self.keep(&answer);
        answer
    }

    async fn page(&mut self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.expect("text")
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        let answer = self.request(Method::POST, path).form(fields).send().await;
        let answer = answer.expect("answered");
        self.keep(&answer);
        answer
    }

    /// The token that the forms of this page show.
    async fn form_token(&mut self, path: &str) -> String {
        let page = self.page(path).await;
        let rest = page.split_once("name=\"csrf\" value=\"").expect("a form").1;
        rest.split('"').next().expect("an end").to_owned()
    }

    async fn sign_in(&mut self, name: &str, password: &str, next: &str) -> Response {
        let token = self.form_token("/sign-in").await;
        let fields = [
            ("csrf", token.as_str()),
            ("name", name),
            ("password", password),
            ("next", next),
        ];
        self.post("/sign-in", &fields).await
    }
}

/// A path of this route, with parts that fit and lead to nothing.
fn somewhere(route: &Route) -> String {
    route
        .path
        .replace("{case}", "00000000-0000-8000-8000-000000000000")
        .replace("{task}", "00000000-0000-8000-8000-000000000000")
        .replace("{proposal}", "00000000-0000-8000-8000-000000000000")
        .replace("{letter}", "00000000-0000-8000-8000-000000000000")
        .replace("{token}", "00000000-0000-8000-8000-000000000000")
        .replace("{connector}", "crm")
        .replace("{role}", "writer")
        .replace("{file}", "x")
}

fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().copied().flatten()
}

fn location(answer: &Response) -> &str {
    let line = answer.headers().get("location").expect("a redirect");
    line.to_str().expect("text")
}

/// Every role but this one; nobody without a role may read.
fn all_but(role: Role) -> Vec<Role> {
    if role == Role::Viewer {
        return Vec::new();
    }
    let all: BTreeSet<_> = Role::ALL.into_iter().collect();
    all.into_iter().filter(|one| *one != role).collect()
}
