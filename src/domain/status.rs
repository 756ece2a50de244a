//! What Clawback tells the world: status events for the outbox.
//!
//! Owns their CloudEvents form (structured mode, type `clawback.status.<what>.v1`). They carry ids
//! and classes, no access lists and no personal data beyond the source's own subject key; receivers
//! recognise repeats by the id, which derives from run and step.

use serde_json::json;

use super::access::Entitlement;
use super::health::{Sample, State};
use super::id::{ConnectorName, MessageId};
use super::pause::Pause;
use super::rotation::Trigger;
use super::run::{Run, RunBody};
use super::settlement::OutboxMessage;
use super::task::FallbackTask;
use super::time::Timestamp;
use super::workflow::End;

/// The message that a run has ended.
pub fn ended(run: &Run, end: End, topic: &str, now: Timestamp) -> OutboxMessage {
    let what = format!("{}-ended", run.kind.as_str());
    let data = json!({
        "run": run.id,
        "case": run.case,
        "connector": run.connector,
        "end": end,
        "verdict": run.verdict,
    });
    message(run, &what, 0, data, topic, now)
}

/// The message that a task was opened, changed or closed.
pub fn task(run: &Run, task: &FallbackTask, topic: &str, now: Timestamp) -> OutboxMessage {
    let data = json!({
        "task": task.id,
        "run": run.id,
        "case": run.case,
        "connector": run.connector,
        "code": task.code,
        "class": task.class,
        "state": task.state.as_str(),
        "deadline": task.deadline,
        "bulk": task.bulk.as_ref().map(|bulk| bulk.id),
    });
    message(
        run,
        &format!("task-{}", task.state.as_str()),
        1,
        data,
        topic,
        now,
    )
}

/// The message that a task is overdue and somebody was told. It names the role, not the person.
pub fn escalated(task: &FallbackTask, topic: &str, now: Timestamp) -> OutboxMessage {
    let times = task.escalation.times;
    let to = task.escalation.to.as_ref().map(|rung| rung.role.as_str());
    let id = task.id.escalation(task.opened, times);
    let key = task.case.map_or(task.run.0, |case| case.0);
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": "urn:clawback",
        "type": "clawback.status.task-escalated.v1",
        "time": now,
        "correlationid": key,
        "datacontenttype": "application/json",
        "data": {
            "task": task.id,
            "run": task.run,
            "case": task.case,
            "connector": task.connector,
            "code": task.code,
            "class": task.class,
            "state": task.state.as_str(),
            "deadline": task.deadline,
            "times": times,
            "to": to,
            "chain_ended": task.escalation.last,
        },
    });
    structured(id, &key.to_string(), &event, topic, now)
}

/// The message that a pause lasts and somebody was told (`docs/status`). It names the role, not the person.
pub fn pause_escalated(pause: &Pause, topic: &str, now: Timestamp) -> OutboxMessage {
    let told = &pause.escalation;
    let id = MessageId::pause(pause.number, pause.paused.at, told.times);
    let key = format!("pause/{}", pause.number);
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": "urn:clawback",
        "type": "clawback.status.pause-escalated.v1",
        "time": now,
        "datacontenttype": "application/json",
        "data": {
            "pause": pause.number,
            "connector": pause.connector,
            "since": pause.paused.at,
            "times": told.times,
            "to": told.to.as_ref().map(|rung| rung.role.as_str()),
            "chain_ended": told.last,
        },
    });
    structured(id, &key, &event, topic, now)
}

/// The message that a connector's state changed (`docs/schemas`).
pub fn health(
    connector: &ConnectorName,
    was: State,
    sample: &Sample,
    privileged: bool,
    topic: &str,
    now: Timestamp,
) -> OutboxMessage {
    let id = MessageId::health(connector, sample.at);
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": "urn:clawback",
        "type": "clawback.connector.health.v1",
        "subject": connector,
        "time": now,
        "datacontenttype": "application/json",
        "data": {
            "connector": connector,
            "privileged": privileged,
            "was": was,
            "state": sample.state,
            "reason": sample.reason,
            "last_good_survey": sample.surveyed,
            "last_good_read": sample.read,
            "last_good_write": sample.write,
            "accounts": sample.accounts,
            "nhis": sample.nhis,
            "nhis_silent": sample.silent,
            "failure": sample.failure.as_ref().map(|(class, code)| json!({
                "class": class,
                "code": code,
            })),
        },
    });
    structured(id, connector.as_str(), &event, topic, now)
}

fn message(
    run: &Run,
    what: &str,
    place: u64,
    data: serde_json::Value,
    topic: &str,
    now: Timestamp,
) -> OutboxMessage {
    let id = run.id.message(run.step * 2 + place);
    let key = run.case.map_or(run.id.0, |case| case.0);
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": "urn:clawback",
        "type": format!("clawback.status.{what}.v1"),
        "time": now,
        "correlationid": key,
        "datacontenttype": "application/json",
        "data": data,
    });
    structured(id, &key.to_string(), &event, topic, now)
}

/// A CloudEvent in structured mode.
fn structured(
    id: MessageId,
    key: &str,
    event: &serde_json::Value,
    topic: &str,
    now: Timestamp,
) -> OutboxMessage {
    OutboxMessage {
        id,
        topic: topic.to_owned(),
        key: key.as_bytes().to_vec(),
        headers: vec![(
            "content-type".to_owned(),
            b"application/cloudevents+json; charset=utf-8".to_vec(),
        )],
        payload: event.to_string().into_bytes(),
        created: now,
    }
}

/// Who a run is about, the account (login and immutable id), the access as last known, and when.
pub fn about(body: &RunBody) -> (String, Option<String>, Vec<Entitlement>, Option<Timestamp>) {
    match body {
        RunBody::Case(body) => (subject_name(&body.subject), None, Vec::new(), None),
        RunBody::Discovery(body) => {
            let logins: Vec<_> = body
                .found
                .iter()
                .map(|account| account.login.as_str())
                .collect();
            let access = body
                .found
                .iter()
                .flat_map(|account| account.entitlements.clone());
            (
                subject_name(&body.subject),
                (!logins.is_empty()).then(|| logins.join(", ")),
                access.collect(),
                body.found_at,
            )
        }
        RunBody::Removal(body) => (
            body.subject_name.clone(),
            Some(format!("{} ({})", body.account.login, body.account.id)),
            body.account.entitlements.clone(),
            Some(body.account_as_of),
        ),
        RunBody::Rotation(body) => (
            match &body.trigger {
                Trigger::Retired { .. } => format!(
                    "{}'s access of the retired connector {}",
                    body.role.as_str(),
                    body.connector
                ),
                _ => format!("{} secret of {}", body.role.as_str(), body.connector),
            },
            None,
            Vec::new(),
            None,
        ),
        RunBody::Care(body) => (
            format!("connector {}", body.connector),
            None,
            Vec::new(),
            None,
        ),
    }
}

fn subject_name(subject: &super::subject::Subject) -> String {
    match &subject.display_name {
        Some(name) => format!("{name} ({})", subject.id),
        None => subject.id.clone(),
    }
}
