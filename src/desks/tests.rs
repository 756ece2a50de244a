//! Fakes of desks on loopback, and what all kinds of desks share.
//!
//! Owns the server behind which a fake stands, the trouble that a test makes there (down, deaf, an
//! answer lost, a secret refused), and the settings. Each fake is with its kind and is held to the
//! vendor's published API description; it shows a test its tickets past its own API.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::contract::Call;
use super::order::{Section, WorkOrder};
use super::settings::{DeskEntry, Settings, read};
use crate::document::Document;
use crate::domain::desk::Note;
use crate::domain::id::TaskId;
use crate::domain::outcome::FailureClass;
use crate::domain::time::Timestamp;

/// The secret of every fake.
pub(crate) const SECRET: &str = "a-secret-of-the-desk";

/// A request as a fake gets it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) raw: Bytes,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.raw).expect("a JSON body")
    }

    /// One parameter of the query, unescaped.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let url = reqwest::Url::parse(&format!("http://desk/?{}", self.query)).expect("a query");
        let mut pairs = url.query_pairs();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    pub(crate) fn changes(&self) -> bool {
        self.method != Method::GET && !self.path.ends_with("/search/jql")
    }
}

/// What a test makes go wrong.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// Nothing is served: 503.
    pub(crate) down: bool,
    /// Nobody is let in: 401.
    pub(crate) locked: bool,
    /// Too many requests: 429 with this `Retry-After`.
    pub(crate) busy: Option<u64>,
    /// So many changes are carried out and their answers lost.
    pub(crate) lost: u32,
    /// Changes of a ticket are answered with yes and dropped.
    pub(crate) deaf: bool,
}

/// A desk as a test sees it, past its API.
pub(crate) trait Fake: Send + Sync {
    /// The keys of its table beside `url` and `secret`.
    fn keys(&self) -> &'static str;
    /// Whether this request is signed in.
    fn known(&self, asked: &Asked) -> bool;
    /// Answers by the vendor's description; `deaf` drops changes of a ticket.
    fn answer(&self, asked: &Asked, deaf: bool) -> (u16, Value);
    /// How many tickets there are.
    fn tickets(&self) -> usize;
    /// Whether the first is closed.
    fn closed(&self) -> bool;
    /// All texts of the first, one after the other.
    fn texts(&self) -> String;
    /// A person named Jane closes the first.
    fn jane_closes(&self);
}

/// A fake on loopback and the desk that talks to it.
pub(crate) struct Counter {
    pub(crate) fake: Arc<dyn Fake>,
    pub(crate) settings: Settings,
    pub(crate) entry: Arc<DeskEntry>,
    trouble: Arc<Mutex<Trouble>>,
    _serving: JoinSet<()>,
}

impl Counter {
    pub(crate) async fn open(fake: Arc<dyn Fake>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let trouble = Arc::new(Mutex::new(Trouble::default()));
        let routes = Router::new()
            .fallback(serve)
            .with_state((fake.clone(), trouble.clone()));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        let text = format!(
            "[servicedesk]\nurl = \"http://{address}\"\nsecret = \"local:desks/servicedesk\"\n{}",
            fake.keys()
        );
        let settings = parsed(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
        let entry = settings.iter().next().expect("one desk").clone();
        Self {
            fake,
            settings,
            entry,
            trouble,
            _serving: serving,
        }
    }

    pub(crate) fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().expect("not poisoned")
    }
}

/// A fake and the trouble that a test makes there.
type Served = (Arc<dyn Fake>, Arc<Mutex<Trouble>>);

async fn serve(
    State((fake, trouble)): State<Served>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    raw: Bytes,
) -> Response {
    let asked = Asked {
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers,
        raw,
    };
    let mut trouble = trouble.lock().expect("not poisoned");
    let status = |code: u16| StatusCode::from_u16(code).expect("a status");
    if trouble.down {
        return status(503).into_response();
    }
    if let Some(seconds) = trouble.busy {
        return (status(429), [("retry-after", seconds.to_string())]).into_response();
    }
    if trouble.locked || !fake.known(&asked) {
        return (status(401), "who is it?").into_response();
    }
    let (code, body) = fake.answer(&asked, trouble.deaf);
    if asked.changes() && trouble.lost > 0 {
        trouble.lost -= 1;
        return status(504).into_response();
    }
    if body.is_null() {
        return status(code).into_response();
    }
    (status(code), axum::Json(body)).into_response()
}

/// The desks of a text, or the lines and messages of its problems.
pub(crate) fn parsed(text: &str) -> Result<Settings, Vec<(u32, String)>> {
    let document = Document::parse("clawback.toml", text).expect("TOML");
    let settings = read(&document.root());
    let problems = document.take_problems().or(Some(()));
    match problems {
        Ok(()) => Ok(settings),
        Err(found) => Err(found
            .0
            .into_iter()
            .map(|one| (one.line, one.message))
            .collect()),
    }
}

pub(crate) fn basic(asked: &Asked, user: &str) -> bool {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{SECRET}"));
    let expected = format!("Basic {pair}");
    asked
        .headers
        .get("authorization")
        .map(axum::http::HeaderValue::as_bytes)
        == Some(expected.as_bytes())
}

/// The task that a test of a kind alone is about.
pub(crate) fn task() -> TaskId {
    TaskId(uuid::Uuid::from_u128(7))
}

pub(crate) fn secret() -> SecretString {
    SecretString::from(SECRET)
}

pub(crate) fn call(secret: &SecretString) -> Call<'_> {
    Call {
        secret,
        now: Timestamp::from_second(1_800_000_000).expect("an instant"),
    }
}

pub(crate) fn order() -> WorkOrder {
    WorkOrder {
        task: task(),
        title: "Access to take back: crm".to_owned(),
        sections: vec![Section {
            heading: "What to do",
            lines: vec!["Sign in & delete <b>the user</b> [code]x[/code]".to_owned()],
        }],
        target: "crm".to_owned(),
        privileged: false,
        deadline: "2027-01-16T00:00:00Z".to_owned(),
    }
}

pub(crate) fn note(mark: &str) -> Note {
    Note {
        mark: mark.to_owned(),
        text: "first line\n\nthird [code]<b>x</b>[/CODE] line".to_owned(),
        told: None,
    }
}

/// The classes that every kind gives the same trouble.
pub(crate) async fn classes_are_right(counter: &Counter) {
    let (secret, desk) = (secret(), counter.entry.desk.clone());
    let class = async || {
        let made = desk.create(call(&secret), &order()).await;
        made.map_err(|failure| (failure.class, failure.retry_after_seconds))
    };
    counter.trouble().down = true;
    assert_eq!(class().await, Err((FailureClass::Unreachable, None)));
    counter.trouble().down = false;
    counter.trouble().busy = Some(30);
    assert_eq!(class().await, Err((FailureClass::RateLimited, Some(30))));
    counter.trouble().busy = None;
    counter.trouble().locked = true;
    assert_eq!(class().await, Err((FailureClass::AuthFailure, None)));
    let failure = desk.check(call(&secret)).await.expect_err("locked");
    assert_eq!(failure.code, "CB-DESK-3");
    assert!(!failure.to_string().contains(SECRET), "{failure}");
    counter.trouble().locked = false;
    assert_eq!(counter.fake.tickets(), 0);
    counter.trouble().lost = 1;
    assert_eq!(class().await, Err((FailureClass::UnknownOutcome, None)));
    assert_eq!(counter.fake.tickets(), 1, "it was carried out");
}

#[test]
fn f2_settings_tell_all_problems_at_once() {
    let text = "[Desk]\nkind = \"jira\"\nurl = \"http://jira.acme.example\"\nsecret = \"x\"\n\
                [a]\nkind = \"mail\"\nurl = \"https://a/?q\"\nsecret = \"local:a\"\n\
                [b]\nkind = \"webhook\"\nurl = \"https://b/\"\nsecret = \"local:b\"\nprojct = 1\n\
                [c]\nkind = \"jira\"\nurl = \"https://c/\"\nsecret = \"local:c\"\nproject = \"a b\"\n";
    let problems = parsed(text).expect_err("wrong");
    let lines: Vec<_> = problems.iter().map(|(line, _)| *line).collect();
    for line in [1, 3, 4, 6, 7, 9, 13, 14] {
        assert!(lines.contains(&line), "line {line}: {problems:?}");
    }
}

#[test]
fn f2_the_documented_configuration_is_right() {
    let page = include_str!("../../docs/desks.md");
    let mut blocks = page.split("```toml\n").skip(1);
    let text = blocks.next().and_then(|rest| rest.split("```").next());
    let text = text.expect("a configuration");
    let document = Document::parse("docs/desks.md", text).expect("TOML");
    let table = document.root().table("desks").expect("the desks");
    let settings = read(&table);
    let problems = document.take_problems();
    assert!(problems.is_empty(), "{problems}");
    let kinds: Vec<_> = settings.iter().map(|one| one.desk.kind()).collect();
    assert_eq!(kinds, ["request_tracker", "jira", "servicenow", "webhook"]);
    assert!(blocks.next().is_none(), "one complete configuration");
}

#[test]
fn f2_no_line_end_of_a_target_reaches_a_subject() {
    let one = crate::domain::desk::one_line("crm\r\nBcc: all@acme.example\t x");
    assert_eq!(one, "crm Bcc: all@acme.example x");
}
