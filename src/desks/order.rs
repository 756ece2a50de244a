//! The text of a ticket: what a person needs to do the work, and no more.
//!
//! Owns what of a task goes out to a desk and in which order. No identifier of the subject beyond the
//! name and the account that the work is about; no secret can be in it, for tasks hold none. Each
//! desk renders the sections in its own markup.

use crate::domain::desk::{crop, told_line};
use crate::domain::id::TaskId;
use crate::domain::task::FallbackTask;

/// Entitlements that are named one by one.
const NAMED: usize = 50;
/// Lines of history that a new ticket begins with.
const LINES: usize = 20;

/// What a ticket is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkOrder {
    /// Of which task.
    pub task: TaskId,
    /// One line.
    pub title: String,
    /// The body.
    pub sections: Vec<Section>,
    /// The connector's name, or empty.
    pub target: String,
    /// True when it concerns privileged access.
    pub privileged: bool,
    /// When it should be done, RFC 3339.
    pub deadline: String,
}

/// A heading and its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What the lines are.
    pub heading: &'static str,
    /// Plain text, one line each.
    pub lines: Vec<String>,
}

/// What a desk gets of a task.
pub fn work_order(task: &FallbackTask) -> WorkOrder {
    let target = task.connector.as_ref().map_or("", |name| name.as_str());
    let account = task.account.clone().unwrap_or_default();
    let mut sections = vec![
        section("Who", vec![task.subject.clone()]),
        section("Where", vec![target.to_owned(), account]),
        section("Access as last known", access(task)),
        section("Why a person", vec![format!("{} {}", task.code, task.why)]),
        section("What to do", task.steps.clone()),
        section("Done by", vec![instant(task.deadline)]),
        section("What happened", history(task)),
        section("How to close", how_to_close(task)),
    ];
    sections.retain(|section| !section.lines.is_empty());
    let place = if target.is_empty() { "a case" } else { target };
    WorkOrder {
        task: task.id,
        title: crop(&one_line(&format!("Access to take back: {place}")), 200),
        sections,
        target: target.to_owned(),
        privileged: task.privileged,
        deadline: task.deadline.to_string(),
    }
}

impl WorkOrder {
    /// The body as plain text.
    pub fn plain(&self) -> String {
        let sections = self.sections.iter().map(|section| {
            let lines = section.lines.iter().map(|line| format!("  {line}"));
            let lines: Vec<_> = lines.collect();
            format!("{}:\n{}", section.heading, lines.join("\n"))
        });
        let sections: Vec<_> = sections.collect();
        sections.join("\n\n")
    }
}

fn section(heading: &'static str, lines: Vec<String>) -> Section {
    let lines = lines.iter().map(|line| crop(&one_line(line), 2000));
    Section {
        heading,
        lines: lines.filter(|line| !line.is_empty()).collect(),
    }
}

fn access(task: &FallbackTask) -> Vec<String> {
    let named = task.access.iter().take(NAMED);
    let mut lines: Vec<_> = named
        .map(|one| format!("{} {}", format!("{:?}", one.kind).to_lowercase(), one.name))
        .collect();
    if task.access.len() > NAMED {
        lines.push(format!("and {} more", task.access.len() - NAMED));
    }
    if let (Some(at), false) = (task.access_as_of, lines.is_empty()) {
        lines.push(format!("as read at {}", instant(at)));
    }
    lines
}

fn history(task: &FallbackTask) -> Vec<String> {
    let lines: Vec<_> = task.history.iter().skip(1).map(told_line).collect();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
}

fn how_to_close(task: &FallbackTask) -> Vec<String> {
    let mut lines = vec![
        "Close this ticket when the work is done. Clawback then looks at the target; what is still there \
         opens the ticket again."
            .to_owned(),
        format!("Where the target cannot be read, attest in Clawback: task {}", task.id),
    ];
    if task.privileged {
        lines.push("Privileged access: an attestation takes a second person.".to_owned());
    }
    lines
}

fn instant(at: crate::domain::time::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A text that came from elsewhere, without line ends and other control characters: it may stand in
/// a subject line, which becomes a mail's header.
pub(super) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c == ' ');
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}
