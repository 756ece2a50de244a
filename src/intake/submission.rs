//! A file of events, checked before any of them is sent.
//!
//! Owns the forms that `clawback submit` reads (one CloudEvent, an array, or one on each line) and
//! puts every event through the same decoding that intake uses, so that what is accepted here is
//! not a dead letter there. All problems at once, by line. Sends nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::document::{Problem, Problems};
use crate::domain::event::LifecycleEvent;
use crate::domain::id::EventKey;
use crate::domain::time::Timestamp;
use crate::kafka::{CloudEvent, Mode};

use super::decode::{RawMessage, decode};
use super::rejection::{Code, Rejection};

/// One event of a file, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// Where it begins, from 1.
    pub line: u32,
    /// Kafka key: tenant and subject.
    pub key: Vec<u8>,
    /// As it goes out.
    pub cloud_event: CloudEvent,
    /// As intake will understand it.
    pub event: LifecycleEvent,
}

/// Reads all events of `text`; `file` only names the place of a problem.
///
/// # Errors
/// Every problem of every event.
pub fn read(
    file: &str,
    text: &str,
    now: Timestamp,
    bytes_max: usize,
) -> Result<Vec<Submission>, Problems> {
    let mut problems = Problems::default();
    let mut seen: BTreeMap<EventKey, String> = BTreeMap::new();
    let mut submissions = Vec::new();
    for (line, value) in values(text) {
        let checked = value.and_then(|value| check(line, value, now, bytes_max));
        let checked = checked.and_then(|(submission, digest)| {
            match seen.insert(submission.event.key(), digest.clone()) {
                Some(before) if before != digest => Err(Rejection::new(
                    Code::Conflict,
                    "the file has another event with the same source and id: give each its own id",
                )),
                Some(_) | None => Ok(submission),
            }
        });
        match checked {
            Ok(submission) => submissions.push(submission),
            Err(rejection) => problems.0.push(Problem {
                file: file.to_owned(),
                line,
                message: rejection.to_string(),
                remedy: String::new(),
            }),
        }
    }
    if submissions.is_empty() && problems.is_empty() {
        problems.0.push(Problem {
            file: file.to_owned(),
            line: 1,
            message: "there is no event in the file".to_owned(),
            remedy: "write one CloudEvent, an array, or one on each line".to_owned(),
        });
    }
    problems.or(Some(submissions))
}

fn check(
    line: u32,
    value: Value,
    now: Timestamp,
    bytes_max: usize,
) -> Result<(Submission, String), Rejection> {
    let Value::Object(map) = value else {
        return Err(Rejection::new(
            Code::NotACloudEvent,
            "this is not a JSON object: write a CloudEvent",
        ));
    };
    let cloud_event = CloudEvent::from_object(map)?;
    let record = cloud_event.write(Mode::Structured);
    let message = RawMessage {
        headers: record
            .headers
            .into_iter()
            .map(|(name, value)| (name, Some(value)))
            .collect(),
        payload: record.value,
        ..RawMessage::default()
    };
    let recorded = decode(&message, now, bytes_max)?;
    let submission = Submission {
        line,
        key: recorded.event.subject.key().into_bytes(),
        cloud_event,
        event: recorded.event,
    };
    Ok((submission, recorded.payload_digest))
}

/// The values of a file with the lines on which they begin.
fn values(text: &str) -> Vec<(u32, Result<Value, Rejection>)> {
    let mut found = Vec::new();
    let array = text[gap(text, false)..].starts_with('[');
    let mut at = text.find('[').filter(|_| array).map_or(0, |open| open + 1);
    let mut closed = !array;
    loop {
        at += gap(&text[at..], array);
        let rest = &text[at..];
        if rest.is_empty() {
            break;
        }
        if array && rest.starts_with(']') {
            closed = true;
            at += 1;
            if !text[at..].trim().is_empty() {
                found.push((line(text, at), Err(syntax("there is more after the array"))));
            }
            break;
        }
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match stream.next() {
            Some(Ok(value)) => {
                found.push((line(text, at), Ok(value)));
                at += stream.byte_offset();
            }
            Some(Err(error)) => {
                let place = line(text, at) + (error.line() as u32).saturating_sub(1);
                let words = format!("not JSON at column {}", error.column());
                found.push((place, Err(syntax(&words))));
                // The next line that begins an object is read as if nothing had been.
                match rest.find("\n{").filter(|_| !array) {
                    Some(next) => at += next + 1,
                    None => return found,
                }
            }
            None => break,
        }
    }
    if !closed {
        found.push((
            line(text, text.len()),
            Err(syntax("the array is not closed")),
        ));
    }
    found
}

/// White space, and commas where they separate.
fn gap(text: &str, commas: bool) -> usize {
    let end = text.find(|c: char| !(c.is_whitespace() || c == '\u{feff}' || (commas && c == ',')));
    end.unwrap_or(text.len())
}

fn line(text: &str, at: usize) -> u32 {
    text[..at].bytes().filter(|b| *b == b'\n').count() as u32 + 1
}

fn syntax(words: &str) -> Rejection {
    Rejection::new(Code::NotJson, words)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(id: &str, subject: &str) -> Value {
        json!({"specversion": "1.0", "id": id, "source": "urn:hr", "type": "clawback.worker.terminated.v1",
            "data": {"subject": {"kind": "person", "tenant": "acme", "id": subject}, "revision": 1,
                "effective": {"local": "2026-11-28T18:00", "zone": "Europe/Berlin"}}})
    }

    fn lines(text: &str) -> Vec<u32> {
        match read("f", text, Timestamp::UNIX_EPOCH, 1 << 20) {
            Ok(submissions) => submissions.iter().map(|s| s.line).collect(),
            Err(problems) => panic!("{problems}"),
        }
    }

    fn problems(text: &str) -> Vec<(u32, String)> {
        let problems = read("f", text, Timestamp::UNIX_EPOCH, 1 << 20).expect_err("problems");
        let found = problems.0.into_iter();
        found
            .map(|p| (p.line, p.message[..12].to_owned()))
            .collect()
    }

    #[test]
    fn one_event_an_array_and_lines_are_read() {
        let (a, b) = (event("1", "E1"), event("2", "E2"));
        assert_eq!(lines(&format!("{a:#}")), [1]);
        assert_eq!(lines(&format!("{a}\n\n{b}\n")), [1, 3]);
        assert_eq!(lines(&format!("\u{feff}[\n{a},\n{b}\n]\n")), [2, 3]);
        let read = read("f", &a.to_string(), Timestamp::UNIX_EPOCH, 1 << 20).expect("an event");
        assert_eq!(read[0].key, b"acme/E1");
    }

    #[test]
    fn every_problem_is_reported_with_its_line() {
        let mut lame = event("3", "E3");
        lame["data"]["revision"] = "three".into();
        let text = format!(
            "{}\n{lame}\n{{oh\n3\n{}\n",
            event("1", "E1"),
            event("1", "E2")
        );
        assert_eq!(
            problems(&text),
            [
                (2, "CB-INTAKE-10".to_owned()),
                (3, "CB-INTAKE-3:".to_owned()),
                (5, "CB-INTAKE-14".to_owned()),
            ]
        );
        assert_eq!(problems("[3]"), [(1, "CB-INTAKE-1:".to_owned())]);
        assert_eq!(problems(""), [(1, "there is no ".to_owned())]);
        assert_eq!(
            problems(&format!("[\n{}", event("1", "E1"))),
            [(2, "CB-INTAKE-3:".to_owned())]
        );
        assert_eq!(
            problems(&format!("[{}] {{}}", event("1", "E1"))),
            [(1, "CB-INTAKE-3:".to_owned())]
        );
    }
}
