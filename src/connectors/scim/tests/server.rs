//! A SCIM server on loopback that can be made to lie, one trap at a time.
//!
//! Owns users, groups, tokens, and a count of how often the trap was sprung: a test that injects a
//! fault also asserts that the fault fired. Sloppy where real servers are: deleting a user leaves
//! its memberships behind.

mod changes;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::trap::Trap;
use crate::connectors::scim::resource::{elements, field, flag, has_member, text};
use changes::{delete, patch, put, refuse};

#[derive(Debug)]
pub(super) struct Estate {
    pub(super) users: Vec<Value>,
    pub(super) groups: Vec<Value>,
    pub(super) tokens: Vec<(String, String, String)>,
    pub(super) trap: Trap,
    pub(super) fired: u32,
    pub(super) log: Vec<String>,
    version: u32,
}

pub(super) struct Server {
    pub(super) base: String,
    pub(super) state: Arc<Mutex<Estate>>,
    _serving: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(trap: Trap) -> Self {
        let state = Arc::new(Mutex::new(Estate {
            users: ["ada", "bob", "cyd", "dan", "eve"].map(user).into(),
            groups: vec![
                group("g1", "staff", &["ada", "bob", "cyd"]),
                group("g2", "admins", &["ada"]),
                group("g3", "none", &[]),
            ],
            tokens: [("w", "writer"), ("v", "verifier"), ("r", "rotator")]
                .map(|(value, label)| (format!("t-{value}"), label.into(), value.into()))
                .into(),
            trap,
            fired: 0,
            log: Vec::new(),
            version: 1,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let base = format!("http://{}/v2", listener.local_addr().expect("bound"));
        let router = Router::new().fallback(answer).with_state(state.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            axum::serve(listener, router).await.expect("serves");
        });
        Self {
            base,
            state,
            _serving: serving,
        }
    }

    pub(super) fn fired(&self) -> u32 {
        self.state.lock().expect("not poisoned").fired
    }

    /// Requests of this method, as `PATH`.
    pub(super) fn sent(&self, method: &str) -> Vec<String> {
        let state = self.state.lock().expect("not poisoned");
        let lines = state.log.iter().filter_map(|line| line.split_once(' '));
        lines
            .filter(|(sent, _)| *sent == method)
            .map(|(_, path)| path.to_owned())
            .collect()
    }

    pub(super) fn members(&self, group: &str) -> Vec<String> {
        let state = self.state.lock().expect("not poisoned");
        let group = state.groups.iter().find(|one| one["id"] == group);
        let members = elements(group.expect("a group"), "members").expect("a list");
        let members = members.iter();
        members
            .map(|member| member["value"].as_str().expect("text").to_owned())
            .collect()
    }

    pub(super) fn user(&self, id: &str) -> Option<Value> {
        let state = self.state.lock().expect("not poisoned");
        state.users.iter().find(|one| one["id"] == id).cloned()
    }
}

fn user(id: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": id, "userName": format!("{id}@acme"), "externalId": format!("E-{id}"),
        "active": true, "displayName": id,
        "emails": [{"value": format!("old-{id}@x")}, {"value": format!("{id}@x"), "primary": true}],
        "roles": [{"value": "editor"}, {"value": "say \"hi\"", "display": "Greeter"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": "7"},
        "x509Certificates": [{"value": "MIIB"}],
    })
}

fn group(id: &str, name: &str, members: &[&str]) -> Value {
    let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
    json!({ "id": id, "displayName": name, "members": members })
}

type Shared = Arc<Mutex<Estate>>;

async fn answer(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut state = shared.lock().expect("not poisoned");
    state.log.push(format!("{method} {uri}"));
    let bearer = headers.get("authorization").and_then(|v| v.to_str().ok());
    let bearer = bearer.and_then(|v| v.strip_prefix("Bearer ")).unwrap_or("");
    if !state.tokens.iter().any(|(_, _, value)| value == bearer) {
        return error(401, "", &format!("token {bearer} is unknown"));
    }
    let path = uri.path().trim_start_matches("/v2/").to_owned();
    let query = uri.query().unwrap_or("").to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let parts: Vec<_> = path.split('/').collect();
    if let ("PATCH" | "DELETE", [kind @ ("Users" | "Groups"), id]) =
        (method.as_str(), parts.as_slice())
        && let Some(refusal) = refuse(&mut state, kind, id, &headers, &body)
    {
        return refusal;
    }
    let response = match (method.as_str(), parts.as_slice()) {
        ("GET", ["ServiceProviderConfig"]) => config(&state),
        ("GET", [kind @ ("Users" | "Groups")]) => list(&mut state, kind, &query),
        ("GET", [kind, id]) => read(&mut state, kind, id),
        ("PATCH", [kind, id]) => patch(&mut state, kind, id, &body),
        ("PUT", [kind, id]) => put(&mut state, kind, id, &headers, body),
        ("DELETE", ["Users", id]) => delete(&mut state, id),
        (_, ["tokens", ..]) => tokens(&mut state, &method, &parts, &body),
        _ => error(404, "", "no such place"),
    };
    through_cache(&mut state, &parts, response)
}

/// The answer as a cache on the way passes it on.
fn through_cache(state: &mut Estate, parts: &[&str], mut response: Response) -> Response {
    let age = match (state.trap, parts) {
        (Trap::Aged, ["Groups", ..]) => "40",
        (Trap::Aged, ["ServiceProviderConfig"]) => "9999",
        (Trap::Aged, _) => "7",
        (Trap::AgeUnreadable, _) => "soon",
        (Trap::HalfOfLists, [_]) | (Trap::HalfOfOne, [_, _]) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            state.fired += 1;
            return response;
        }
        _ => return response,
    };
    state.fired += 1;
    response
        .headers_mut()
        .insert("age", age.parse().expect("a header"));
    response
}

fn config(state: &Estate) -> Response {
    let patch = !matches!(
        state.trap,
        Trap::NoPatch
            | Trap::NoPatchAndRaced
            | Trap::NoPatchNoVersion
            | Trap::VersionIgnored
            | Trap::AnnouncesNothing
    );
    let filter = !matches!(state.trap, Trap::MembersOnlySingly | Trap::AnnouncesNothing);
    if state.trap == Trap::NoPatch {
        // Says nothing of itself: PATCH is tried, and believed when refused.
        return error(404, "", "no such place");
    }
    let etag = !matches!(state.trap, Trap::NoPatchNoVersion | Trap::VersionIgnored);
    axum::Json(json!({
        "patch": {"supported": patch}, "filter": {"supported": filter}, "etag": {"supported": etag},
    }))
    .into_response()
}

fn list(state: &mut Estate, kind: &str, query: &str) -> Response {
    let get = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let number = |name: &str| get(name).and_then(|v| v.parse::<usize>().ok());
    let (mut start, mut count) = (
        number("startIndex").unwrap_or(1),
        number("count").unwrap_or(9),
    );
    let trap = state.trap;
    let later = start > 1;
    let all = match kind {
        "Users" => users(state, get("filter").is_some()),
        _ => match groups(state, get("filter")) {
            Some(groups) => groups,
            None => return error(403, "", "groups are not for you"),
        },
    };
    if trap == Trap::AnnouncesNothing && get("filter").is_some() {
        return error(400, "invalidFilter", "no filters here");
    }
    let mut fire = |when: bool| {
        state.fired += u32::from(when);
        when
    };
    if fire(trap == Trap::SmallPages && count > 1) {
        count = 1;
    }
    if fire(matches!(trap, Trap::IgnoresStart | Trap::OnlyFirstPage) && later)
        || fire(trap == Trap::FirstPageAgain && start > all.len())
    {
        start = 1;
    }
    if let (Trap::LaterPages(status), true) = (trap, later) {
        fire(true);
        return error(status, "", "not now");
    }
    let mut page: Vec<_> = all.iter().skip(start - 1).take(count).cloned().collect();
    let mut total = all.len();
    if fire(matches!(trap, Trap::TotalOfPage | Trap::OnlyFirstPage)) {
        total = page.len();
    }
    if fire(trap == Trap::TotalTooHigh) {
        total += 1;
    }
    if let (Trap::LacksField, true, Some(first)) = (trap, later, page.first_mut()) {
        fire(true);
        first.as_object_mut().expect("a user").remove("active");
    }
    if fire(trap == Trap::Html) {
        return "<html>Please sign in</html>".into_response();
    }
    let gone = deleted_meanwhile(trap, start, all.len());
    if fire(!gone.is_empty()) {
        state.users.drain(gone);
        let users = state.users.iter().skip(start - 1);
        page = users.take(count).cloned().collect();
        total = state.users.len();
    }
    let whole =
        json!({ "totalResults": total, "startIndex": start, "Resources": page }).to_string();
    if trap == Trap::CutJson && later {
        state.fired += 1;
        return whole[..whole.len() / 2].to_owned().into_response();
    }
    whole.into_response()
}

/// Who is deleted before the page is made.
fn deleted_meanwhile(trap: Trap, start: usize, all: usize) -> std::ops::Range<usize> {
    match trap {
        // Bob has been shown; who comes after the first page moves up by one.
        Trap::DeletedMeanwhile if start > 1 && all == 5 => 1..2,
        // Nobody is left at the place that is asked for.
        Trap::DeletedAtTheEnd if start == 5 && all == 5 => 1..3,
        _ => 0..0,
    }
}

/// All users; where some are hidden, the active ones or, by a filter, the others.
fn users(state: &mut Estate, filtered: bool) -> Vec<Value> {
    let mut all = state.users.clone();
    if state.trap == Trap::HidesDisabled {
        state.fired += 1;
        all.retain(|user| field(user, "active").and_then(flag) != Some(filtered));
    }
    all
}

/// The groups that a filter picks; none at all where they may not be read.
fn groups(state: &mut Estate, filter: Option<&str>) -> Option<Vec<Value>> {
    let mut all = state.groups.clone();
    let sprung = matches!(
        (state.trap, filter),
        (
            Trap::GroupsDenied
                | Trap::GroupsUnseen
                | Trap::MembersOnlySingly
                | Trap::MembersHidden
                | Trap::MembersEmptyInList,
            _
        ) | (Trap::FilterIgnored | Trap::FilterBlind, Some(_))
    );
    state.fired += u32::from(sprung);
    if let Some(filter) = filter.filter(|_| state.trap != Trap::FilterIgnored) {
        let quoted = filter.trim_end_matches("%22").rsplit("%22").next();
        let blind = state.trap == Trap::FilterBlind;
        all.retain(|group| !blind && has_member(group, quoted.unwrap_or("")).expect("readable"));
    }
    if state.trap == Trap::MembersOnlySingly {
        for group in &mut all {
            group.as_object_mut().expect("a group").remove("members");
        }
    }
    if matches!(state.trap, Trap::MembersHidden | Trap::MembersEmptyInList) {
        for group in &mut all {
            group["members"] = json!([]);
        }
    }
    if state.trap == Trap::GroupsUnseen {
        all.clear();
    }
    for group in &mut all {
        state.fired += u32::from(cut(state.trap, group));
    }
    (state.trap != Trap::GroupsDenied).then_some(all)
}

/// Cuts the members of a group off, if there are too many; true then.
fn cut(trap: Trap, group: &mut Value) -> bool {
    let members = group.get_mut("members").and_then(Value::as_array_mut);
    let (Trap::MembersCut(most), Some(members)) = (trap, members) else {
        return false;
    };
    let longer = members.len() > most;
    members.truncate(most);
    longer
}

fn find<'s>(state: &'s mut Estate, kind: &str, id: &str) -> Option<&'s mut Value> {
    let all = if kind == "Users" {
        &mut state.users
    } else {
        &mut state.groups
    };
    all.iter_mut().find(|one| one["id"] == id)
}

fn read(state: &mut Estate, kind: &str, id: &str) -> Response {
    let (trap, version) = (state.trap, state.version);
    let hidden = trap == Trap::GroupsUnseen && kind == "Groups";
    let Some(found) = find(state, kind, id).filter(|_| !hidden) else {
        return error(404, "", "not found");
    };
    let mut shown = found.clone();
    if trap == Trap::MembersHidden && kind == "Groups" {
        shown["members"] = json!([]);
    }
    cut(trap, &mut shown);
    if trap == Trap::Recycled && kind == "Users" {
        shown["userName"] = json!("someone.else@acme");
        state.fired += 1;
    }
    if trap == Trap::Peculiar && kind == "Users" {
        let active = shown["active"].to_string().trim_matches('"').to_owned();
        shown["active"] = json!(if active == "true" { "True" } else { "False" });
        state.fired += 1;
    }
    let mut response = axum::Json(shown).into_response();
    if !matches!(trap, Trap::NoPatchNoVersion | Trap::PathsRefusedNoVersion) {
        let etag = format!("W/\"{version}\"").parse().expect("a header");
        response.headers_mut().insert("etag", etag);
    }
    response
}

fn tokens(state: &mut Estate, method: &Method, parts: &[&str], body: &Value) -> Response {
    match (method.as_str(), parts) {
        ("POST", ["tokens"]) => {
            let id = format!("t-{}", state.tokens.len());
            let label = text(body, "name").expect("a label").to_owned();
            let value = format!("fresh-{id}");
            state.tokens.push((id.clone(), label, value.clone()));
            axum::Json(json!({ "data": { "id": id, "token": value } })).into_response()
        }
        ("GET", ["tokens"]) => {
            let shown = state.tokens.iter();
            let shown: Vec<_> = shown
                .map(|(id, label, _)| json!({ "id": id, "name": label }))
                .collect();
            axum::Json(json!({ "items": shown })).into_response()
        }
        ("DELETE", ["tokens", id]) => {
            state.tokens.retain(|(known, _, _)| known != id);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => error(405, "", "no"),
    }
}

fn error(status: u16, kind: &str, detail: &str) -> Response {
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": status.to_string(), "detail": detail,
    });
    if !kind.is_empty() {
        body["scimType"] = json!(kind);
    }
    let status = StatusCode::from_u16(status).expect("a status");
    (status, axum::Json(body)).into_response()
}
