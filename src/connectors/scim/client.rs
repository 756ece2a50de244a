//! One call's conversation with the server.
//!
//! Owns the rendering of every request for the guard, and what is remembered about the server
//! between calls: whether it has PATCH, and whether its filter on members can be believed. That
//! memory expires, because servers are upgraded. Keeps no credential.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{ACCEPT, HeaderValue, IF_MATCH};
use reqwest::Method;
use serde_json::Value;

use super::super::contract::{Call, Change, RenderedRequest};
use super::super::http::{HttpAnswer, HttpRequest, segment};
use super::resource::{self, field};
use super::settings::Settings;
use super::{classify, render};
use crate::domain::access::Operation;
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::domain::time::{Clock, Timestamp, after};

/// What was learned is believed for this long.
const BELIEVED_SECONDS: u64 = 3600;

/// What the server says of itself (RFC 7643 §5). Without an answer nothing optional is assumed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Abilities {
    /// `None` when it does not say: tried, and believed when refused.
    pub(super) patch: Option<bool>,
    pub(super) filter: bool,
    /// Whether a change under `If-Match` counts only at that version (RFC 7644 §3.14). Many that show an
    /// `ETag` never look at it.
    pub(super) etag: bool,
}

/// What is known of the filter on members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MemberFilter {
    /// It was seen to find exactly the groups of this member.
    Finds(String),
    /// It is not to be asked.
    NotBelieved,
}

/// Memory between calls.
#[derive(Debug)]
pub(super) struct Known {
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    abilities: Option<(Timestamp, Abilities)>,
    member_filter: Option<(Timestamp, MemberFilter)>,
}

impl Known {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            memory: Mutex::default(),
        }
    }

    fn fresh<T>(&self, pick: impl Fn(&Memory) -> Option<(Timestamp, T)>) -> Option<T> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let (learned, what) = pick(&memory)?;
        (self.clock.now() < after(learned, BELIEVED_SECONDS)).then_some(what)
    }

    fn learn(&self, note: impl FnOnce(&mut Memory, Timestamp)) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut memory, self.clock.now());
    }

    /// Whether the filter on members was shown to find what is there; `None` if not tried lately.
    pub(super) fn member_filter(&self) -> Option<MemberFilter> {
        self.fresh(|memory| memory.member_filter.clone())
    }

    pub(super) fn learn_member_filter(&self, learned: MemberFilter) {
        self.learn(|memory, now| memory.member_filter = Some((now, learned)));
    }

    pub(super) fn forget_member_filter(&self) {
        self.learn(|memory, _| memory.member_filter = None);
    }
}

/// A resource as it was read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) body: Value,
    /// Its version, to make a change only if nobody else made one (RFC 7644 §3.14).
    pub(super) etag: Option<String>,
}

/// One call.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) settings: &'a Settings,
    pub(super) known: &'a Known,
    pub(super) call: &'a Call<'a>,
    /// The operation that reads are part of.
    pub(super) reading: Operation,
    /// The age of the oldest answer about users and groups in seconds, where a cache says so.
    pub(super) age_seconds: AtomicU64,
}

impl Session<'_> {
    /// A read of users or groups. One that says "not found" can be old as well.
    pub(super) async fn get(
        &self,
        path: &str,
        account: Option<&AccountId>,
    ) -> Result<HttpAnswer, Failure> {
        let answer = self.ask(path, account).await?;
        self.age_seconds
            .fetch_max(answer.age_seconds(), Ordering::Relaxed);
        Ok(answer)
    }

    async fn ask(&self, path: &str, account: Option<&AccountId>) -> Result<HttpAnswer, Failure> {
        let request = HttpRequest::new(Method::GET, path);
        let rendered = RenderedRequest {
            operation: Some(self.reading),
            account: account.cloned(),
            writes: BTreeSet::new(),
            line: request.line(),
        };
        self.send(rendered, request).await
    }

    /// A change, judged by the fields that the request as rendered writes. A server that takes
    /// changes to a named version only (RFC 6585 §3) is told the one that was read.
    pub(super) async fn change(
        &self,
        change: &Change,
        request: HttpRequest,
        as_read: &Found,
    ) -> Result<HttpAnswer, Failure> {
        let rendered = RenderedRequest {
            operation: Some(change.operation),
            account: Some(change.account.clone()),
            writes: render::written(&request, Some(&as_read.body)),
            line: request.line(),
        };
        let mut guarded = request.clone();
        let answer = self.send(rendered.clone(), request).await?;
        if answer.status == 428
            && !guarded.headers.contains_key(IF_MATCH)
            && render::only_at(&mut guarded, as_read.etag.as_deref())
        {
            return self.send(rendered, guarded).await;
        }
        Ok(answer)
    }

    async fn send(
        &self,
        rendered: RenderedRequest,
        mut request: HttpRequest,
    ) -> Result<HttpAnswer, Failure> {
        let accepted = HeaderValue::from_static("application/scim+json, application/json");
        request.headers.insert(ACCEPT, accepted);
        self.settings
            .transport
            .exchange(self.call, rendered, request)
            .await
    }

    /// One user; `None` when the server says that there is none.
    pub(super) async fn user(&self, account: &AccountId) -> Result<Option<Found>, Failure> {
        let path = format!("/Users/{}", segment(account.as_str())?);
        self.one(&path, Some(account), account.as_str()).await
    }

    /// One user for a change: "not found" is asked again before it is believed, and the login must
    /// be the one that was read when the change was planned.
    pub(super) async fn user_for(&self, change: &Change) -> Result<Option<Found>, Failure> {
        let found = match self.user(&change.account).await? {
            Some(found) => Some(found),
            None => self.user(&change.account).await?,
        };
        if let Some(found) = &found {
            let login = resource::text(&found.body, "userName").unwrap_or_default();
            // RFC 7643 §4.1.1: userName is compared without regard to case.
            if !login.eq_ignore_ascii_case(&change.login) {
                return Err(classify::another_login());
            }
        }
        Ok(found)
    }

    /// The same, where a trial goes on with nobody: without a version, so that it never becomes a PUT.
    pub(super) async fn user_to_change(&self, change: &Change) -> Result<Option<Found>, Failure> {
        match (self.user_for(change).await?, self.call.trial) {
            (found, false) => Ok(found),
            (Some(_), true) => Err(classify::another_login()),
            (None, true) => Ok(Some(Found {
                body: Value::Null,
                etag: None,
            })),
        }
    }

    /// One group; `None` when the server says that there is none.
    pub(super) async fn group(&self, id: &str) -> Result<Option<Found>, Failure> {
        let path = format!("/Groups/{}", segment(id)?);
        self.one(&path, None, id).await
    }

    async fn one(
        &self,
        path: &str,
        account: Option<&AccountId>,
        id: &str,
    ) -> Result<Option<Found>, Failure> {
        let answer = self.get(path, account).await?;
        if matches!(answer.status, 404 | 410) {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(classify::failure(&answer));
        }
        if answer.status == 206 {
            return Err(classify::drifted("only a part of the resource was shown"));
        }
        let body = answer.json()?;
        if resource::text(&body, "id") != Some(id) {
            return Err(classify::drifted(
                "the answer shows another id than was asked for",
            ));
        }
        let version = field(&body, "meta").and_then(|meta| resource::text(meta, "version"));
        let etag = answer.header(http::header::ETAG).or(version);
        Ok(Some(Found {
            etag: etag.map(ToOwned::to_owned),
            body,
        }))
    }

    /// Whether what was read may be sent back changed. A version that is shown is no promise that it is
    /// looked at: without one by the server or the owner, a stale copy could bring back what others took.
    pub(super) async fn may_replace(&self, as_read: &Found) -> Result<bool, Failure> {
        let shown = as_read.etag.is_some();
        Ok(shown && (self.settings.checks_versions || self.abilities().await?.etag))
    }

    /// What the server says of itself, asked once in a while.
    pub(super) async fn abilities(&self) -> Result<Abilities, Failure> {
        if let Some(abilities) = self.known.fresh(|memory| memory.abilities) {
            return Ok(abilities);
        }
        // Its age says nothing about users.
        let answer = self.ask("/ServiceProviderConfig", None).await?;
        let abilities = match answer.status {
            200..300 => answer
                .json()
                .map_or_else(|_| Abilities::default(), |body| abilities(&body)),
            // Many servers do not have it, or not for everyone.
            400 | 403..=428 | 501 => Abilities::default(),
            _ => return Err(classify::failure(&answer)),
        };
        self.known
            .learn(|memory, now| memory.abilities = Some((now, abilities)));
        Ok(abilities)
    }
}

fn abilities(body: &Value) -> Abilities {
    let supported = |name: &str| {
        let flag = field(field(body, name)?, "supported")?;
        resource::flag(flag)
    };
    Abilities {
        patch: supported("patch"),
        filter: supported("filter").unwrap_or(false),
        etag: supported("etag").unwrap_or(false),
    }
}
