//! What people do: claim, close, reject and attest tasks, replay letters, rotate secrets, decide on
//! manifests.
//!
//! Owns the checks of what was typed, the wish or call that follows, the act that is noted, and the
//! words that come back. Pages and API call the same functions.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::office::{Office, Who, plain};
use super::problem::Problem;
use super::view;
use crate::domain::approval::Signed;
use crate::domain::command::{Answer, Wish};
use crate::domain::id::{ConnectorName, ContentDigest, DeadLetterId, TaskId};
use crate::domain::task::{Attestation, FallbackTask, TaskState};
use crate::domain::verdict::CredentialRole;

/// Characters of a note or reason; nobody reads more.
const LONGEST: usize = 500;

/// What a deed came to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Outcome {
    /// `done`; `whole` or `not_whole` where the log was read; `sent_back` where the target contradicts a close;
    /// `awaiting_second_person` where another person has to stand for it too; `waiting` where no worker has
    /// answered yet and the wish stays in line.
    pub came_to: String,
    /// In words.
    pub message: String,
    /// What the machine found, where it looked.
    pub found: Vec<String>,
}

/// Words that stand in the record.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    /// Why, in one's own words.
    #[schemars(length(min = 1, max = 500), regex(pattern = r"\S"))]
    pub reason: String,
}

/// The answer to the doubt for which an event is held.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// True: it is as the event says. False: nothing is to be done for it.
    pub release: bool,
    /// Why, in one's own words.
    #[schemars(length(min = 1, max = 500), regex(pattern = r"\S"))]
    pub note: String,
    /// What the task asked when it was read (`meant` of the task); answered to nothing else.
    #[serde(default)]
    pub meant: Option<String>,
}

/// A claim that a task is done.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Close {
    /// What was done.
    #[schemars(length(min = 1, max = 500), regex(pattern = r"\S"))]
    pub note: String,
    /// The number of one's own recorded statement, on which it rests where the target cannot be read.
    /// For privileged access somebody else then confirms it.
    #[serde(default, deserialize_with = "whole")]
    pub statement: Option<u64>,
}

/// A whole number however JSON writes it: `7` and `7.0` are the same (RFC 8259, section 6). One that
/// is larger than any of ours names nothing that exists.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let number = match (number.as_u64(), number.as_f64()) {
        (Some(whole), _) => whole,
        (None, Some(float)) if float >= 0.0 && float.fract() == 0.0 => float as u64,
        _ => return Err(serde::de::Error::custom("it is no whole number")),
    };
    Ok(Some(number))
}

/// An approval of exactly one text.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Approve {
    /// SHA-256 of the proposal that was read.
    #[schemars(length(min = 8, max = 64), regex(pattern = r"^[0-9a-f]+$"))]
    pub digest: String,
    /// Why, in one's own words.
    #[schemars(length(min = 1, max = 500), regex(pattern = r"\S"))]
    pub reason: String,
}

/// Words that somebody typed: not empty, not endless, one line.
pub(super) fn typed(what: &str, text: &str) -> Result<String, Problem> {
    let wrong = |words: String| {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Problem::new(status, Some("CB-CONSOLE-6"), words)
    };
    if text.chars().all(is_blank) {
        return Err(wrong(format!("{what} is empty; it stands in the record")));
    }
    if text.chars().count() > LONGEST {
        let words = format!("{what} has more than {LONGEST} characters");
        return Err(wrong(words));
    }
    Ok(plain(text).trim().to_owned())
}

/// Whitespace as the description of the API means it.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

pub(super) fn done(message: impl Into<String>) -> Outcome {
    Outcome {
        came_to: "done".to_owned(),
        message: message.into(),
        found: Vec::new(),
    }
}

fn waiting() -> Outcome {
    Outcome {
        came_to: "waiting".to_owned(),
        message: "no worker has answered yet; the wish is in line and will be carried out"
            .to_owned(),
        found: Vec::new(),
    }
}

impl Office {
    pub(super) async fn task(&self, id: TaskId) -> Result<FallbackTask, Problem> {
        let task = self.store.task(id).await?;
        task.ok_or_else(|| Problem::missing("task"))
    }

    /// Wishes, notes what came of it, and refuses what the engine refused. `words` are told where it
    /// was carried out; without any, the engine's own.
    pub(super) async fn wished(
        &self,
        who: &Who,
        (what, about, words): (&str, &str, Option<&str>),
        wish: Wish,
    ) -> Result<Outcome, Problem> {
        let Some(answer) = self.wish(who, wish).await? else {
            self.note(who, what, about, "waits in line").await?;
            return Ok(waiting());
        };
        let Answer {
            accepted,
            code,
            message,
        } = answer;
        let came_to = if accepted && message == "done" {
            message.clone()
        } else if accepted {
            format!("done: {message}")
        } else {
            format!("refused: {} {message}", code.as_deref().unwrap_or_default())
        };
        self.note(who, what, about, &came_to).await?;
        if accepted {
            return Ok(done(words.unwrap_or(&message)));
        }
        Err(Problem::refused(code, message))
    }

    /// Takes a task.
    pub(super) async fn claim(&self, who: &Who, id: TaskId) -> Result<Outcome, Problem> {
        self.task(id).await?;
        let wish = Wish::ClaimTask { task: id };
        let told = Some("the task is yours");
        self.wished(who, ("claim_task", &id.to_string(), told), wish)
            .await
    }

    /// Gives a task back to the queue.
    pub(super) async fn reject_task(
        &self,
        who: &Who,
        id: TaskId,
        given: &Reason,
    ) -> Result<Outcome, Problem> {
        self.task(id).await?;
        let reason = typed("the reason", &given.reason)?;
        let wish = Wish::RejectTask { task: id, reason };
        let told = Some("the task is back in the queue");
        self.wished(who, ("reject_task", &id.to_string(), told), wish)
            .await
    }

    /// Answers the doubt for which an event is held.
    pub(super) async fn rule(
        &self,
        who: &Who,
        id: TaskId,
        given: &Rule,
    ) -> Result<Outcome, Problem> {
        self.task(id).await?;
        let note = typed("the reason", &given.note)?;
        let release = given.release;
        let what = if release {
            "release_event"
        } else {
            "drop_event"
        };
        let wish = Wish::RuleHold {
            task: id,
            release,
            note,
            meant: given.meant.clone().map(ContentDigest),
        };
        self.wished(who, (what, &id.to_string(), None), wish).await
    }

    /// States something about a task; a close may rest on it.
    pub(super) async fn attest(
        &self,
        who: &Who,
        id: TaskId,
        given: &Reason,
    ) -> Result<Outcome, Problem> {
        let task = self.task(id).await?;
        if matches!(task.state, TaskState::Closed { .. }) {
            return Err(Problem::refused(None, "the task is closed already"));
        }
        let statement = typed("the statement", &given.reason)?;
        self.note(who, view::STATES, &id.to_string(), &statement)
            .await?;
        Ok(done("your statement stands in the record"))
    }

    /// Says that a task is done, and waits for what the machine finds at the target.
    pub(super) async fn close(
        &self,
        who: &Who,
        id: TaskId,
        given: &Close,
    ) -> Result<Outcome, Problem> {
        let known = self.task(id).await?.history.len();
        let note = typed("the note", &given.note)?;
        let attestation = match given.statement {
            Some(number) => Some(self.statement(id, number).await?),
            None => None,
        };
        let wish = Wish::CloseTask {
            task: id,
            note,
            attestation,
        };
        let wished = self
            .wished(who, ("close_task", &id.to_string(), None), wish)
            .await?;
        self.looked(id, known, wished).await
    }

    /// What the machine found, once it has looked at what was said of a task; `known` lines of its
    /// history were there before.
    pub(super) async fn looked(
        &self,
        id: TaskId,
        known: usize,
        wished: Outcome,
    ) -> Result<Outcome, Problem> {
        if wished.came_to == "waiting" {
            return Ok(wished);
        }
        let Some(task) = self.checked(id).await? else {
            return Ok(Outcome {
                came_to: "waiting".to_owned(),
                message: "the machine is still looking at the target".to_owned(),
                found: Vec::new(),
            });
        };
        let found = task.history.iter().skip(known + 1).map(|note| {
            let text = note.text.strip_prefix("sent back: ");
            text.unwrap_or(&note.text).to_owned()
        });
        let found = found.collect();
        if let TaskState::Closed { how, .. } = task.state {
            let how = super::words::spaced(how.as_str());
            let message = format!("the task is closed: {how}");
            return Ok(Outcome {
                found,
                ..done(message)
            });
        }
        if matches!(task.state, TaskState::AwaitingSecondPerson(_)) {
            return Ok(Outcome {
                came_to: "awaiting_second_person".to_owned(),
                message: "another person has to stand for it too".to_owned(),
                found,
            });
        }
        Ok(Outcome {
            came_to: "sent_back".to_owned(),
            message: "the task comes back".to_owned(),
            found,
        })
    }

    /// A statement that somebody made about this task while signed in.
    async fn statement(&self, id: TaskId, number: u64) -> Result<Attestation, Problem> {
        let task = view::one_task(self, id).await?;
        let found = task.statements.into_iter().find(|one| one.number == number);
        let found = found.ok_or_else(|| Problem::missing("statement about this task"))?;
        Ok(Attestation {
            by: found.by,
            statement: found.text,
        })
    }

    /// Replaces a connector's secret now.
    pub(super) async fn rotate(
        &self,
        who: &Who,
        connector: &str,
        role: &str,
    ) -> Result<Outcome, Problem> {
        let facts = self.backing.connectors();
        let known = facts.iter().any(|fact| fact.name == connector);
        let Some(role) = CredentialRole::from_name(role).filter(|_| known) else {
            return Err(Problem::missing("secret"));
        };
        let about = format!("{connector} {}", role.as_str());
        let wish = Wish::RotateSecret {
            connector: ConnectorName(connector.to_owned()),
            role,
        };
        self.wished(who, ("rotate_secret", &about, None), wish)
            .await
    }

    /// Rehearses a departure at a connector.
    pub(super) async fn drill(&self, who: &Who, connector: &str) -> Result<Outcome, Problem> {
        let facts = self.backing.connectors();
        if facts.iter().all(|fact| fact.name != connector) {
            return Err(Problem::missing("connector"));
        }
        let wish = Wish::Drill {
            connector: ConnectorName(connector.to_owned()),
        };
        self.wished(who, ("drill", connector, None), wish).await
    }

    /// Sends a dead letter to its topic again.
    pub(super) async fn replay(&self, who: &Who, id: DeadLetterId) -> Result<Outcome, Problem> {
        let letter = self.store.dead_letter(id).await?;
        if letter.is_some_and(|letter| !letter.has_message()) {
            let code = Some("CB-COMMAND-14".to_owned());
            return Err(Problem::refused(
                code,
                "it stands for messages that are gone",
            ));
        }
        let Some(message) = self.backing.replay(id).await? else {
            return Err(Problem::missing("dead letter"));
        };
        let came_to = format!("done: message {message}");
        self.note(who, "replay_dead_letter", &id.to_string(), &came_to)
            .await?;
        Ok(done("in the outbox; a worker sends it to its topic again"))
    }

    /// Says that nothing needs to come of a dead letter.
    pub(super) async fn set_aside(
        &self,
        who: &Who,
        id: DeadLetterId,
        given: &Reason,
    ) -> Result<Outcome, Problem> {
        let signed = self.signed(who, &given.reason)?;
        if !self.store.set_aside(id, &signed).await? {
            return Err(Problem::missing("dead letter"));
        }
        let came_to = format!("done: {}", signed.reason);
        self.note(who, "set_aside_dead_letter", &id.to_string(), &came_to)
            .await?;
        Ok(done("set aside; it stays in the list"))
    }

    pub(super) fn signed(&self, who: &Who, reason: &str) -> Result<Signed, Problem> {
        Ok(Signed {
            by: who.name.clone(),
            at: self.now(),
            reason: typed("the reason", reason)?,
        })
    }

    /// Notes what came of a decision that takes two people.
    pub(super) async fn decided(
        &self,
        who: &Who,
        what: &str,
        about: &str,
        came_to: Result<String, super::backing::Trouble>,
    ) -> Result<Outcome, Problem> {
        let words = match &came_to {
            Ok(words) => format!("done: {words}"),
            Err(trouble) => format!("refused: {}", trouble.words),
        };
        self.note(who, what, about, &words).await?;
        Ok(done(came_to?))
    }

    /// Proposes what a manifest's file says.
    pub(super) async fn propose(
        &self,
        who: &Who,
        connector: &str,
        given: &Reason,
    ) -> Result<Outcome, Problem> {
        let signed = self.signed(who, &given.reason)?;
        let came_to = self.backing.propose(connector, &signed).await;
        self.decided(who, "propose_manifest", connector, came_to)
            .await
    }

    /// Approves exactly the proposal that was read.
    pub(super) async fn approve(
        &self,
        who: &Who,
        connector: &str,
        given: &Approve,
    ) -> Result<Outcome, Problem> {
        let signed = self.signed(who, &given.reason)?;
        let came_to = self
            .backing
            .approve(connector, &given.digest, &signed)
            .await;
        self.decided(who, "approve_manifest", connector, came_to)
            .await
    }

    /// Turns a proposal down.
    pub(super) async fn reject_manifest(
        &self,
        who: &Who,
        connector: &str,
        given: &Reason,
    ) -> Result<Outcome, Problem> {
        let signed = self.signed(who, &given.reason)?;
        let came_to = self.backing.reject(connector, &signed).await;
        self.decided(who, "reject_manifest", connector, came_to)
            .await
    }
}
