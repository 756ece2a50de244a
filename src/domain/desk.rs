//! Copies of fallback tasks at desks besides the built-in queue, and what a copy lacks.
//!
//! Owns the copy, how a ticket can stand, and the one decision: given task, copy and ticket, what comes
//! next. The task is the truth and the copy follows it; a ticket that a person closes is a claim that
//! the task is done, made like any other. Delivers nothing itself.

use serde::{Deserialize, Serialize};

use super::command::{Answer, Command, Wish};
use super::id::{CommandId, DeskName, TaskId};
use super::outcome::Failure;
use super::retry::RetryPolicy;
use super::task::{FallbackTask, TaskNote, TaskState};
use super::time::{Timestamp, after};

/// The queue that is built in and needs no copy.
pub const BUILT_IN: &str = "built-in";

/// Who the machine is in histories.
const MACHINE: &str = "clawback";

/// Lines of history in one note.
const LINES: usize = 20;
/// Characters of history in one note: what the smallest desk takes.
const CHARACTERS: usize = 3000;
/// Messages of a desk that are remembered, so that a repeat is known.
const REMEMBERED: usize = 64;

/// How soon a ticket is looked at again whose closing is being checked.
const CLAIM_SECONDS: u64 = 5;

/// A desk that is down delays its copies, for as long as it takes.
const PATIENCE: RetryPolicy = RetryPolicy {
    attempts: u32::MAX,
    first_seconds: 5,
    at_most_seconds: 900,
};

/// The copy of one task at one desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskCopy {
    /// Of which task.
    pub task: TaskId,
    /// At which desk.
    pub desk: DeskName,
    /// The ticket, once it is known.
    pub ticket: Option<Ticket>,
    /// When a ticket was ordered whose answer nobody has: it is looked for before another is.
    pub begun: Option<Timestamp>,
    /// How the ticket stood when it was last looked at, or by its own word.
    pub stands: Stands,
    /// How far the desk was told what happened to the task.
    pub told: Option<Cursor>,
    /// The close that was claimed because the ticket was closed.
    pub claim: Option<CommandId>,
    /// How many closes were claimed and are over.
    pub claims: u32,
    /// What the desk last said by itself; the store keeps it beside the rest.
    #[serde(skip)]
    pub heard: Option<Heard>,
    /// The message that was last acted on.
    pub applied: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// Why it lags.
    pub trouble: Option<Failure>,
    /// When it was last found to be as it should.
    pub agreed: Option<Timestamp>,
    /// True when nothing is left to do: task and ticket are closed.
    pub finished: bool,
}

/// A ticket at a desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The desk's own id, never reassigned.
    pub id: String,
    /// What people call it, such as `INC0010023`.
    pub shown: String,
    /// False when the desk did not keep our key, so that it could not be found again by it.
    pub keyed: bool,
    /// Where people see it, where the desk has such a page; tickets of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

/// How a ticket stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// In work.
    Open,
    /// Closed, as whoever did it sees it.
    Closed,
    /// There is no such ticket any more.
    Gone,
}

impl Stands {
    /// The name in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Gone => "gone",
        }
    }
}

/// A ticket as seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// How it stands.
    pub stands: Stands,
    /// Who closed it, as the desk names them; empty when it does not say.
    #[serde(default)]
    pub by: String,
    /// What they wrote; empty likewise.
    #[serde(default)]
    pub words: String,
}

/// What a desk said by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Names the message, so that a repeat does nothing.
    pub message: String,
    /// When the desk signed it.
    pub at: Timestamp,
    /// What it says; `None` only asks to be looked at.
    pub seen: Option<Seen>,
    /// The messages before it, newest first: they are known when they come again.
    #[serde(default)]
    pub before: Vec<String>,
}

/// The last line of a task's history that a desk was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// When it happened.
    pub at: Timestamp,
    /// What it says: the machine's last line, said again, only gets a later time.
    pub text: String,
}

/// A text for a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Stands in the text, so that it is found again after a lost answer.
    pub mark: String,
    /// Plain text of several lines; the desk escapes it for its own markup.
    pub text: String,
    /// How far the desk is told with it.
    pub told: Option<Cursor>,
}

/// What comes next for a copy whose ticket is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Tell what happened.
    Say(Note),
    /// Close the ticket, for the task is done.
    Close(Note),
    /// Open the ticket again, for its closing was not true.
    Reopen(Note),
    /// Say for the desk's person that the task is done.
    Claim(Box<Command>),
    /// The ticket was opened again at the desk: the claim is over.
    Withdraw,
    /// The ticket is gone: find or make another.
    Forget,
    /// The ticket was never seen since it was made: another would fare alike.
    Hidden,
    /// Nothing until the next look.
    Wait,
    /// Nothing ever again.
    Finish,
}

impl DeskCopy {
    /// A copy that is still to be made.
    pub fn new(task: TaskId, desk: DeskName) -> Self {
        Self {
            task,
            desk,
            ticket: None,
            begun: None,
            stands: Stands::Unknown,
            told: None,
            claim: None,
            claims: 0,
            heard: None,
            applied: None,
            failures: 0,
            trouble: None,
            agreed: None,
            finished: false,
        }
    }

    /// What comes next, given the ticket as seen and the answer to the claim, if there is one.
    pub fn next(
        &self,
        task: &FallbackTask,
        seen: &Seen,
        answer: Option<&Answer>,
        now: Timestamp,
    ) -> Move {
        let closed = matches!(task.state, TaskState::Closed { .. });
        match (closed, seen.stands) {
            (true, Stands::Closed | Stands::Gone) => Move::Finish,
            (true, Stands::Open | Stands::Unknown) => {
                Move::Close(self.note("closed", task, Some(closing(&task.state))))
            }
            (false, Stands::Gone) if self.stands == Stands::Unknown => Move::Hidden,
            (false, Stands::Gone) => Move::Forget,
            (false, Stands::Closed) => self.closed_there(task, seen, answer, now),
            (false, Stands::Open | Stands::Unknown) if self.claim.is_some() => Move::Withdraw,
            (false, Stands::Open | Stands::Unknown) => {
                if self.untold(task).is_empty() {
                    Move::Wait
                } else {
                    Move::Say(self.note("note", task, None))
                }
            }
        }
    }

    /// The ticket is closed and the task is not: a claim, until the machine has looked.
    fn closed_there(
        &self,
        task: &FallbackTask,
        seen: &Seen,
        answer: Option<&Answer>,
        now: Timestamp,
    ) -> Move {
        if self.finished {
            let words = "opened again: the access is back".to_owned();
            return Move::Reopen(self.note("reopened", task, Some(words)));
        }
        if self.claim.is_none() {
            return Move::Claim(Box::new(self.claim_of(task, seen, now)));
        }
        let Some(answer) = answer else {
            return Move::Wait;
        };
        if !answer.accepted {
            let words = format!("not accepted: {}", answer.message);
            return Move::Reopen(self.note("reopened", task, Some(words)));
        }
        // Sent back, or taken by another person; while the machine looks, there is nothing to say.
        if matches!(
            task.state,
            TaskState::Open | TaskState::Claimed { .. } | TaskState::SentBack { .. }
        ) {
            let words = "opened again: the work is not done".to_owned();
            return Move::Reopen(self.note("reopened", task, Some(words)));
        }
        Move::Wait
    }

    fn claim_of(&self, task: &FallbackTask, seen: &Seen, now: Timestamp) -> Command {
        let shown = self.ticket.as_ref().map_or("", |ticket| &ticket.shown);
        let mut note = format!("{shown} was closed at {}", self.desk);
        if !seen.words.is_empty() {
            note = format!("{note}: {}", crop(&one_line(&seen.words), 500));
        }
        Command {
            id: CommandId::of_desk(self.task, &self.desk, self.claims),
            by: self.person(&seen.by),
            at: now,
            wish: Wish::CloseTask {
                task: task.id,
                note,
                attestation: None,
            },
        }
    }

    /// How a person at the desk is named here.
    fn person(&self, name: &str) -> String {
        let name = one_line(name);
        let name = if name.is_empty() { "someone" } else { &name };
        format!("{}/{}", self.desk, crop(name, 100))
    }

    /// What happened to the task that the desk was not told and did not say itself.
    fn untold<'t>(&self, task: &'t FallbackTask) -> Vec<&'t TaskNote> {
        let own = format!("{}/", self.desk);
        let known = self.told.as_ref();
        let lines = task.history.iter().skip(1);
        lines
            .filter(|line| known.is_none_or(|told| line.at > told.at))
            .filter(|line| known.is_none_or(|told| line.by != MACHINE || line.text != told.text))
            .filter(|line| !line.by.starts_with(&own))
            .collect()
    }

    fn note(&self, kind: &str, task: &FallbackTask, first: Option<String>) -> Note {
        let untold = self.untold(task);
        let newest = untold.iter().rev().map(|line| told_line(line)).take(LINES);
        let mut kept = within(newest, CHARACTERS);
        kept.reverse();
        let mut lines: Vec<String> = first.into_iter().collect();
        if kept.len() < untold.len() {
            let skipped = untold.len() - kept.len();
            lines.push(format!("({skipped} earlier lines are left out)"));
        }
        lines.extend(kept);
        let told = cursor(task);
        let at = told.as_ref().map_or(task.opened, |told| told.at);
        Note {
            mark: format!("clawback-{kind}-{}-{}", self.claims, at.as_microsecond()),
            text: lines.join("\n"),
            told: told.or_else(|| self.told.clone()),
        }
    }

    /// The ticket was closed, for the task is done.
    pub fn closed(&mut self, note: &Note) {
        self.said(note);
        self.stands = Stands::Closed;
    }

    /// The ticket is open again, and the claim over.
    pub fn reopened(&mut self, note: &Note) {
        self.said(note);
        self.stands = Stands::Open;
        self.finished = false;
        self.withdraw();
    }

    /// The desk was told this.
    pub fn said(&mut self, note: &Note) {
        self.told.clone_from(&note.told);
    }

    /// The claim, if one was made, is over.
    pub fn withdraw(&mut self) {
        if self.claim.take().is_some() {
            self.claims += 1;
        }
    }

    /// The ticket is not there any more.
    pub fn forget(&mut self) {
        self.ticket = None;
        self.begun = None;
        self.told = None;
        self.stands = Stands::Unknown;
        self.withdraw();
    }

    /// The ticket that is to be followed from now on, told so far.
    pub fn adopt(&mut self, ticket: Ticket, told: Option<Cursor>) {
        self.ticket = Some(ticket);
        self.begun = None;
        self.stands = Stands::Unknown;
        self.told = told;
    }

    /// All is as it should; returns when to look again.
    pub fn agree(&mut self, now: Timestamp, poll_seconds: u64) -> Timestamp {
        self.failures = 0;
        self.trouble = None;
        self.agreed = Some(now);
        // While a claim is looked into, the answer is not far.
        let pause = if self.claim.is_some() {
            poll_seconds.min(CLAIM_SECONDS)
        } else {
            poll_seconds
        };
        after(now, pause)
    }

    /// Something failed; returns when to try again.
    pub fn fail(&mut self, failure: Failure, now: Timestamp, fraction: f64) -> Timestamp {
        let asked = failure.retry_after_seconds;
        let next = PATIENCE.next(self.failures.min(30), now, asked, fraction);
        self.failures = self.failures.saturating_add(1);
        self.trouble = Some(failure);
        next.unwrap_or(now)
    }

    /// How the ticket stands by the desk's own word, for a desk that cannot be asked.
    pub fn by_its_word(&mut self) -> Seen {
        let news = self.heard.as_ref();
        let news = news.filter(|heard| self.applied.as_ref() != Some(&heard.message));
        if let Some(Heard {
            message,
            seen: Some(seen),
            ..
        }) = news.cloned()
        {
            self.applied = Some(message);
            self.stands = seen.stands;
            return seen;
        }
        Seen {
            stands: self.stands,
            ..Seen::default()
        }
    }
}

/// What is kept of what a desk says; none when it is a repeat, or older than what it said last.
pub fn news(known: Option<&Heard>, heard: &Heard) -> Option<Heard> {
    let Some(known) = known else {
        return Some(heard.clone());
    };
    let mut before: Vec<_> = [&known.message].into_iter().chain(&known.before).collect();
    if before.contains(&&heard.message) || heard.at < known.at {
        return None;
    }
    before.truncate(REMEMBERED);
    Some(Heard {
        before: before.into_iter().cloned().collect(),
        ..heard.clone()
    })
}

/// The last line of a task's history; none when nothing happened since it was opened.
pub fn cursor(task: &FallbackTask) -> Option<Cursor> {
    let last = task.history.iter().skip(1).max_by_key(|line| line.at)?;
    Some(Cursor {
        at: last.at,
        text: last.text.clone(),
    })
}

/// A line of a task's history as a desk is told it.
pub fn told_line(line: &TaskNote) -> String {
    let at = line.at.strftime("%Y-%m-%d %H:%M:%SZ");
    format!("{at} {}: {}", line.by, crop(&line.text, 1000))
}

fn closing(state: &TaskState) -> String {
    let TaskState::Closed { how, by, .. } = state else {
        return String::new();
    };
    format!("done: {}, closed by {by}", how.as_str().replace('_', " "))
}

/// As many of these lines as have room in so many characters.
pub fn within(lines: impl Iterator<Item = String>, characters: usize) -> Vec<String> {
    let mut left = characters;
    let fits = |line: &String| {
        let length = line.chars().count();
        let fits = length <= left;
        left = left.saturating_sub(length);
        fits
    };
    lines.take_while(fits).collect()
}

/// A text that came from elsewhere, without line ends and other control characters: it may stand in
/// a subject line, which becomes a mail's header, and on a terminal.
pub fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c == ' ');
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// The beginning of a text, of at most so many characters.
pub fn crop(text: &str, at_most: usize) -> String {
    if text.chars().count() <= at_most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(at_most.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests;
