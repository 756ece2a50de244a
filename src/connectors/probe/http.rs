//! Tries over HTTP: one request, one answer, read by the declared patterns.
//!
//! Owns the filling in of a request and the sending of it through the gate. Follows no redirect and
//! keeps no cookie. Shows neither the query nor the secret in what it tells.

use std::collections::BTreeSet;

use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};

use super::super::contract::{Call, RenderedRequest};
use super::super::http::{basic, escape, header_value};
use super::{Answer, Caller, HttpDoor, OwnSignIn, Pattern, ShownAs, no_answer, not_let_in};
use crate::domain::access::Operation;
use crate::domain::id::AccountId;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::probe::ProbeFinding;

/// Answers are read this far: a text that tells a refusal stands near the beginning.
const READ_BYTES: usize = 256 * 1024;

/// A request that is ready to go.
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) base: Url,
    /// Filled in.
    pub(super) path: String,
    /// As it may be shown.
    pub(super) line: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Form fields, filled in.
    pub(super) form: Vec<(String, String)>,
}

/// What came back.
pub(super) struct Incoming {
    pub(super) status: u16,
    pub(super) location: String,
    pub(super) body: String,
}

impl HttpDoor {
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn fill(&self, call: &Call<'_>, caller: &Caller<'_>) -> Result<Outgoing, Failure> {
        let secret = caller.secret.map_or("", |secret| secret.expose_secret());
        let in_path = |text: &str| {
            text.replace("{login}", &escape(caller.login))
                .replace("{id}", &escape(caller.id))
                .replace("{secret}", &escape(secret))
        };
        let in_form = |text: &str| {
            text.replace("{login}", caller.login)
                .replace("{id}", caller.id)
                .replace("{secret}", secret)
        };
        let mut headers = own(self.sign_in, call)?;
        for (name, text) in &self.headers {
            let name = name.parse::<HeaderName>().map_err(|_| unsendable())?;
            headers.push((name, header_value(text.clone().into())?));
        }
        match &self.shown_as {
            Some(ShownAs::Basic) => headers.push((
                AUTHORIZATION,
                header_value(basic(caller.login, secret).into())?,
            )),
            Some(ShownAs::Bearer) => headers.push((
                AUTHORIZATION,
                header_value(format!("Bearer {secret}").into())?,
            )),
            Some(ShownAs::Header(name, text)) => {
                let name = name.parse::<HeaderName>().map_err(|_| unsendable())?;
                headers.push((name, header_value(text.replace("{secret}", secret).into())?));
            }
            Some(ShownAs::Cookie(name)) => {
                headers.push((COOKIE, header_value(format!("{name}={secret}").into())?));
            }
            None => {}
        }
        let form = self.form.iter();
        Ok(Outgoing {
            method: self.method.clone(),
            base: self.base.clone(),
            path: in_path(&self.path),
            line: self.line(),
            headers,
            form: form
                .map(|(key, text)| (key.clone(), in_form(text)))
                .collect(),
        })
    }

    fn read(&self, came: &Incoming) -> (ProbeFinding, String) {
        let words = format!("answered {}", came.status);
        match (self.refused.fits(came), self.let_in.fits(came)) {
            (true, false) => (ProbeFinding::Refused, words),
            (false, true) => (ProbeFinding::LetIn, words),
            (true, true) => (
                ProbeFinding::CouldNotTell,
                format!("{words}, which is declared both as a refusal and as a way in"),
            ),
            (false, false) => (
                ProbeFinding::CouldNotTell,
                format!("{words}, which is declared neither as a refusal nor as a way in"),
            ),
        }
    }
}

impl Pattern {
    fn fits(&self, came: &Incoming) -> bool {
        let holds = |wanted: &Option<String>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| text.contains(wanted))
        };
        (self.status.is_empty() || self.status.contains(&came.status))
            && holds(&self.body, &came.body)
            && holds(&self.location, &came.location)
    }
}

/// One try.
pub(super) async fn knock(
    client: &reqwest::Client,
    call: &Call<'_>,
    door: &HttpDoor,
    caller: &Caller<'_>,
) -> Result<Answer, Failure> {
    let outgoing = door.fill(call, caller)?;
    let came = send(client, call, caller.account, outgoing).await?;
    let (finding, words) = door.read(&came);
    Ok(Answer {
        finding,
        words,
        method: door.line(),
    })
}

/// What must be let in.
pub(super) async fn control(
    client: &reqwest::Client,
    call: &Call<'_>,
    door: &HttpDoor,
    secret: Option<&SecretString>,
) -> Result<String, Failure> {
    let caller = door.control.caller(secret);
    let login = caller.login;
    let answer = knock(client, call, door, &caller).await?;
    if answer.finding == ProbeFinding::LetIn {
        return Ok(format!("{login} was let in: {}", answer.words));
    }
    Err(not_let_in(&format!("{login}: {}", answer.words)))
}

/// Sends through the gate and reads the beginning of the answer.
pub(super) async fn send(
    client: &reqwest::Client,
    call: &Call<'_>,
    account: Option<&AccountId>,
    outgoing: Outgoing,
) -> Result<Incoming, Failure> {
    let rendered = RenderedRequest {
        operation: Some(Operation::Read),
        account: account.cloned(),
        writes: BTreeSet::new(),
        line: outgoing.line.clone(),
    };
    let permit = call.permit(rendered, outgoing).await?;
    let Outgoing {
        method,
        base,
        path,
        line,
        headers,
        form,
    } = permit.into_inner();
    let whole = format!("{}{path}", base.as_str().trim_end_matches('/'));
    let url = Url::parse(&whole).ok();
    let url = url.filter(|url| url.origin() == base.origin());
    let mut request = client.request(method, url.ok_or_else(unsendable)?);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if !form.is_empty() {
        let fields = form
            .iter()
            .map(|(k, v)| format!("{}={}", escape(k), escape(v)));
        request = request
            .header(
                http::header::CONTENT_TYPE,
                "application/x-www-form-urlencoded",
            )
            .body(fields.collect::<Vec<_>>().join("&"));
    }
    let lost = |_| no_answer(&line);
    let mut response = request.send().await.map_err(lost)?;
    let status = response.status().as_u16();
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    let location = location.unwrap_or_default().to_owned();
    let mut body = Vec::new();
    while body.len() < READ_BYTES
        && let Some(chunk) = response.chunk().await.map_err(lost)?
    {
        body.extend_from_slice(&chunk);
    }
    Ok(Incoming {
        status,
        location,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// How Clawback itself signs in.
pub(super) fn own(
    sign_in: OwnSignIn,
    call: &Call<'_>,
) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let secret = call.credential.secret.expose_secret();
    let text = match sign_in {
        OwnSignIn::Nobody => return Ok(Vec::new()),
        OwnSignIn::Basic => basic(
            call.credential.username.as_deref().unwrap_or_default(),
            secret,
        ),
        OwnSignIn::Bearer => format!("Bearer {secret}"),
    };
    Ok(vec![(AUTHORIZATION, header_value(text.into())?)])
}

fn unsendable() -> Failure {
    Failure::new(
        FailureClass::Refused,
        "CB-PROBE-4",
        "the request of a probe cannot be rendered",
    )
}
