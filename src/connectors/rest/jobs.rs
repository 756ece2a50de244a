//! Changes that a target carries out later: answered 202 (RFC 9110 §15.3.3), and asked about until
//! they are done.
//!
//! Owns the table `job` of a write, and the asking: bounded in number, at the connector's pace,
//! within one call. What is not done by then is `unknown_outcome`: it may still happen, and a later
//! read tells. Only a job that says so is failed, and one that is done is accepted and no more.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::LOCATION;
use serde_json::Value;
use serde_json_path::JsonPath;

use super::client::Session;
use super::render;
use super::request::{optional_path, read_path, required_path};
use super::template::{Place, Template, Values};
use super::words::{Sense, plain};
use crate::connectors::http::{HttpAnswer, HttpRequest};
use crate::connectors::{Answered, Change};
use crate::document::Table;
use crate::domain::outcome::{Failure, FailureClass};

/// How to learn what became of a change.
#[derive(Debug, Clone)]
pub struct Job {
    place: JobPlace,
    /// Where its answer holds the state; without it the status tells: 202 is pending.
    state: Option<JsonPath>,
    states: BTreeMap<String, JobState>,
    /// Most questions in one call.
    pub polls: u32,
    /// Wait before each.
    pub wait_milliseconds: u64,
    /// Where it was declared.
    pub line: u32,
}

#[derive(Debug, Clone)]
enum JobPlace {
    /// Where the header `Location` says.
    Location,
    /// At a path with the id that the answer holds.
    Path { path: Template, id: JsonPath },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobState {
    Pending,
    Done,
    Failed,
}

/// Reads the table.
pub fn read(table: &Table<'_>) -> Option<Job> {
    let location = table.boolean("location").is_some_and(|item| item.value);
    let place = if location {
        if table.has("path") {
            table.report(
                table.line(),
                format!("`{}` has `location` and `path`", table.path()),
                "say one place where the job is asked for",
            );
        }
        Some(JobPlace::Location)
    } else {
        let path = read_path(table, &[Place::AccountId, Place::JobId]);
        let id = required_path(table, "id");
        path.zip(id).map(|(path, id)| JobPlace::Path { path, id })
    };
    let state = optional_path(table, "state");
    let states = read_states(table);
    if table.has("state") != table.has("states") {
        table.report(
            table.line(),
            format!("`{}` has one of `state` and `states`", table.path()),
            "say where the state stands and what its values mean, or leave both out",
        );
    }
    let number = |key, most, usual| {
        let written = table.integer(key, 1..=most);
        written.map_or(usual, |item| item.value.unsigned_abs())
    };
    let polls = number("polls", 100, 5);
    let wait_milliseconds = number("wait_milliseconds", 60_000, 1000);
    table.finish();
    Some(Job {
        place: place?,
        state: state?,
        states: states?,
        polls: u32::try_from(polls).unwrap_or(u32::MAX),
        wait_milliseconds,
        line: table.line(),
    })
}

fn read_states(table: &Table<'_>) -> Option<BTreeMap<String, JobState>> {
    let mut states = BTreeMap::new();
    let Some(declared) = table.table("states") else {
        return (!table.has("states")).then_some(states);
    };
    let mut sound = true;
    for (key, state) in [
        ("pending", JobState::Pending),
        ("done", JobState::Done),
        ("failed", JobState::Failed),
    ] {
        for item in declared.strings(key) {
            if states.insert(item.value.clone(), state).is_some() {
                sound = false;
                declared.report(
                    item.line,
                    format!("the state `{}` has two meanings", item.value),
                    "list each value once",
                );
            }
        }
    }
    if !states.values().any(|state| *state == JobState::Done) {
        sound = false;
        declared.report(
            declared.line(),
            "no state means that the job is done",
            "add `done`",
        );
    }
    declared.finish();
    sound.then_some(states)
}

/// Asks until the job is done, failed, or the questions are used up. `asked` is the change as it was
/// sent: a `Location` is seen from its path, and a secret in that may stand in the job's, too.
///
/// # Errors
/// `write_failure` when the job failed, or what its words are declared to mean; everything else is
/// `unknown_outcome`, with the time that the target asked to wait.
pub async fn follow(
    session: Session<'_>,
    change: &Change,
    job: &Job,
    (asked, accepted): (&HttpRequest, &HttpAnswer),
) -> Result<Answered, Failure> {
    let path = place(session, change, job, (&asked.path, accepted))?;
    let digest = change.entitlement.as_ref().map(|one| one.id.as_str());
    let hidden = asked.hidden.as_ref();
    let hidden = hidden.map(|hidden| hidden.beneath(&path, digest.unwrap_or_default()));
    let mut asked_to_wait = accepted.retry_after_seconds();
    for _ in 0..job.polls {
        let longer = |seconds: u64| seconds.saturating_mul(1000) > job.wait_milliseconds;
        if asked_to_wait.is_some_and(longer) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(job.wait_milliseconds)).await;
        let rendered = render::at_path(
            session.settings,
            path.clone(),
            hidden.clone(),
            Some(&change.account),
        );
        let answer = match session.send(rendered).await {
            Ok(answer) => answer,
            Err(failure) => {
                return Err(undone(&failure.message).retry_after(failure.retry_after_seconds));
            }
        };
        match judge(job, &answer)? {
            JobState::Done => return Ok(Answered::Accepted),
            JobState::Failed => return Err(failed(session, &answer)),
            JobState::Pending => asked_to_wait = answer.retry_after_seconds(),
        }
    }
    Err(undone("it was not done in time").retry_after(asked_to_wait))
}

/// The path under which the job is asked for.
fn place(
    session: Session<'_>,
    change: &Change,
    job: &Job,
    (asked, accepted): (&str, &HttpAnswer),
) -> Result<String, Failure> {
    match &job.place {
        JobPlace::Location => {
            let location = accepted.header(LOCATION);
            let location = location.ok_or_else(|| undone("the answer names no Location"))?;
            session
                .transport
                .relative(asked, location)
                .ok_or_else(|| undone("its Location leads away from the declared address"))
        }
        JobPlace::Path { path, id } => {
            let body = accepted.json().unwrap_or(Value::Null);
            let id = id.query(&body).exactly_one().ok().and_then(plain);
            let id = id.ok_or_else(|| undone("the answer names no job"))?;
            path.fill(Values {
                job: Some(&id),
                ..Values::of_change(change)
            })
        }
    }
}

fn judge(job: &Job, answer: &HttpAnswer) -> Result<JobState, Failure> {
    // See Other: the job is done, and what it made stands elsewhere.
    if !answer.is_success() && answer.status != 303 {
        let failure = answer.failure(None);
        return Err(undone(&failure.message).retry_after(failure.retry_after_seconds));
    }
    let Some(path) = &job.state else {
        return Ok(match answer.status {
            202 => JobState::Pending,
            _ => JobState::Done,
        });
    };
    let body = answer.json().unwrap_or(Value::Null);
    let told = path.query(&body).exactly_one().ok().and_then(plain);
    let state = told.as_ref().and_then(|told| job.states.get(told));
    if let Some(state) = state {
        return Ok(*state);
    }
    // Whatever else the answer says: the change is under way, and only its end counts.
    Err(undone("its state is none of the declared ones"))
}

fn failed(session: Session<'_>, answer: &HttpAnswer) -> Failure {
    let body = answer.json().unwrap_or(Value::Null);
    let words = session.settings.words.text(&body);
    let told = words.map_or(String::new(), |words| format!(": {}", answer.words(&words)));
    let class = match session.settings.words.sense(&body) {
        Some((Sense::Class(class), _)) => class,
        Some((Sense::NotFound, _)) | None => FailureClass::WriteFailure,
    };
    Failure::new(class, "CB-REST-10", format!("the job failed{told}"))
}

fn undone(why: &str) -> Failure {
    Failure::new(
        FailureClass::UnknownOutcome,
        "CB-REST-11",
        format!("the change was put off, and {why}"),
    )
}
