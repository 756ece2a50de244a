//! The text of a ticket: what a person needs to do the work, and no more.
//!
//! Owns what of a task goes out to a desk and in which order. No identifier of the subject beyond the
//! name and the account that the work is about; no secret can be in it, for tasks hold none. Each
//! desk renders the sections in its own markup.

use crate::domain::desk::{crop, one_line, told_line, within};
use crate::domain::id::TaskId;
use crate::domain::task::FallbackTask;

/// Entitlements that are named one by one.
const NAMED: usize = 50;
/// Lines of history that a new ticket begins with.
const LINES: usize = 20;
/// Characters of one section: with all of them a text stays within what the smallest desk takes.
const CHARACTERS: usize = 4000;

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
        section("Why a person", vec![format!("{} {}", task.code, task.why)]),
        section("What to do", task.steps.clone()),
        section("Done by", vec![instant(task.deadline)]),
        section("How to close", how_to_close(task)),
        section("Access as last known", access(task)),
        section("What happened", history(task)),
    ];
    sections.retain(|section| !section.lines.is_empty());
    let place = if target.is_empty() { "a case" } else { target };
    WorkOrder {
        task: task.id,
        title: crop(&one_line(&format!("Access to take back: {place}")), 120),
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
    let lines = lines.iter().map(|line| crop(&one_line(line), 1000));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let all = lines.len();
    let mut lines = within(lines.into_iter(), CHARACTERS);
    if lines.len() < all {
        let more = all - lines.len();
        lines.push(format!("({more} more lines are shown in Clawback)"));
    }
    Section { heading, lines }
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
    let newest = task.history.iter().skip(1).rev().map(told_line);
    let mut lines = within(newest.take(LINES), CHARACTERS);
    lines.reverse();
    lines
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
