//! Fallback tasks: the list, and one with everything that is needed to do it.
//!
//! Owns the forms. Only what the state and the person's roles allow is offered; the engine decides
//! again, and a close is what the target shows.

use maud::{Markup, html};

use super::super::cookies::Told;
use super::super::office::Who;
use super::super::view::{TaskLine, TaskView, TasksAsked};
use super::super::words;
use super::{Page, form_token, frame, parts};
use crate::domain::time::Timestamp;
use crate::domain::user::Role;

/// The list.
pub(in super::super) fn tasks(
    who: &Who,
    told: Option<&Told>,
    (asked, tasks): (&TasksAsked, &[TaskLine]),
    now: Timestamp,
) -> Markup {
    let page = Page {
        title: "Tasks",
        under: "/tasks",
        told,
        live: Some("all".to_owned()),
    };
    let target = asked.connector.as_deref().unwrap_or_default();
    let main = html! {
        form method="get" action="/tasks" class="filters" role="search" {
            label for="search" { "Target" }
            input id="search" name="connector" type="search" value=(target);
            label class="check" {
                input type="checkbox" name="closed" value="true" checked[asked.closed];
                " closed ones too"
            }
            button type="submit" { "Show" }
        }
        @if tasks.is_empty() {
            (parts::nothing("No task waits for a person."))
        } @else {
            p class="quiet" { (words::count(tasks.len() as u64, "task", "tasks")) ", most urgent first" }
            (table(tasks, now))
        }
    };
    frame(who, &page, &main)
}

/// Tasks as a table; also on a case's page.
pub(super) fn table(tasks: &[TaskLine], now: Timestamp) -> Markup {
    html! {
        table class="rows" {
            thead {
                tr {
                    th scope="col" { "What" }
                    th scope="col" { "State" }
                    th scope="col" { "Target" }
                    th scope="col" { "Due" }
                    th scope="col" { "Why the machine could not" }
                }
            }
            tbody {
                @for task in tasks {
                    tr {
                        th scope="row" {
                            a href=(format!("/tasks/{}", task.id)) { (task.account.as_deref().unwrap_or(&task.subject)) }
                            @if task.account.is_some() { br; span class="quiet" { (task.subject) } }
                        }
                        td data-label="State" {
                            (parts::state(&task.state))
                            @if let Some(by) = &task.by { " " span class="quiet" { "by " (by) } }
                        }
                        td data-label="Target" { (task.connector.as_deref().unwrap_or("none")) }
                        td data-label="Due" {
                            @if task.overdue { (parts::state("overdue")) " " }
                            (parts::time(task.deadline, now))
                        }
                        td data-label="Why" { span class="clip" { (task.why) } " " span class="quiet" { (task.code) } }
                    }
                }
            }
        }
    }
}

/// One task.
pub(in super::super) fn task(
    who: &Who,
    told: Option<&Told>,
    view: &TaskView,
    now: Timestamp,
) -> Markup {
    let line = &view.line;
    let title = match (&line.account, &line.connector) {
        (Some(account), Some(connector)) => format!("{account} at {connector}"),
        (None, Some(connector)) => format!("{} at {connector}", line.subject),
        _ => line.subject.clone(),
    };
    let page = Page {
        title: &title,
        under: "/tasks",
        told,
        live: Some(format!("task/{}", line.id)),
    };
    let main = html! {
        p class="lead" {
            (parts::state(&line.state))
            @if let Some(by) = &line.by { " by " (by) }
            @if let Some(closure) = &view.closure { ": " (words::spaced(closure)) }
            @if view.closure.is_none() {
                " due " (parts::time(line.deadline, now))
                @if line.overdue { " " (parts::state("overdue")) }
            }
        }
        div class="split" {
            div {
                (what_to_do(view))
                (known(view))
                (history(view))
            }
            @if view.closure.is_none() && who.may(Role::Operator) { (deeds(who, view)) }
        }
    };
    frame(who, &page, &main)
}

fn what_to_do(view: &TaskView) -> Markup {
    let line = &view.line;
    html! {
        section aria-labelledby="why" {
            h2 id="why" { "Why a person" }
            p { (line.why) " " span class="quiet" { (line.code) } }
        }
        section aria-labelledby="steps" {
            h2 id="steps" { "What to do" }
            @if view.steps.is_empty() { p { "The manifest names no steps; ask the connector's owner." } }
            ol class="steps" { @for step in &view.steps { li { (step) } } }
        }
    }
}

fn known(view: &TaskView) -> Markup {
    let line = &view.line;
    let case = line
        .case
        .map(|case| html! { a href=(format!("/cases/{case}")) { "the whole case" } });
    let target = line.connector.as_ref();
    let target = target.map(|name| html! { a href=(format!("/connectors/{name}")) { (name) } });
    html! {
        section aria-labelledby="known" {
            h2 id="known" { "What is known" }
            (parts::facts(&[
                ("Who", parts::text(&line.subject)),
                ("Account", parts::text(line.account.as_deref().unwrap_or_default())),
                ("Target", target.unwrap_or_default()),
                ("Case", case.unwrap_or_default()),
                ("Privileged", parts::text(if line.privileged { "yes: a statement needs a second person" } else { "" })),
                ("Failure", parts::text(&line.class.as_deref().map(words::spaced).unwrap_or_default())),
                ("Desk", parts::text(&view.desk)),
                ("Opened", parts::text(&words::instant(line.opened))),
                ("Access as of", parts::text(&view.access_as_of.map_or_else(String::new, words::instant))),
            ]))
            @if !view.access.is_empty() {
                ul { @for one in &view.access { li { (one) } } }
            }
        }
    }
}

fn history(view: &TaskView) -> Markup {
    html! {
        section aria-labelledby="history" {
            h2 id="history" { "What happened" }
            @if view.history.is_empty() && view.statements.is_empty() { (parts::nothing("Nothing yet.")) }
            ol class="timeline" {
                @for note in &view.history {
                    li class=(if note.by == "clawback" { "step" } else { "person" }) {
                        span class="at" { (parts::moment(note.at)) }
                        span class="where" { (note.by) }
                        span class="did" { (note.text) }
                    }
                }
            }
            @for statement in &view.statements {
                blockquote {
                    p { (statement.text) }
                    p class="quiet" { "Stated by " (statement.by) ", " (words::instant(statement.at)) }
                }
            }
        }
    }
}

/// What this person can do about it now.
fn deeds(who: &Who, view: &TaskView) -> Markup {
    let line = &view.line;
    let at = |deed: &str| format!("/tasks/{}/{deed}", line.id);
    let mine = line.by.as_deref() == Some(who.name.as_str());
    html! {
        aside class="deeds" aria-label="What you can do" {
            @if line.state == "open" {
                (parts::press(who, &at("claim"), "Take this task", "main"))
            }
            @if line.state == "claimed" && !mine {
                p { (line.by.as_deref().unwrap_or("Somebody")) " works on it." }
            }
            @if line.state == "checking" {
                p role="status" { "The machine is looking at the target." }
            }
            @if line.state == "claimed" || line.state == "open" {
                h2 { "It is done" }
                p class="quiet" { "The machine looks at the target. If the access is still there, the task comes back with what was found." }
                form method="post" action=(at("close")) class="stack" {
                    (form_token(who))
                    label for="note" { "What was done" }
                    input id="note" name="note" required maxlength="500" autocomplete="off";
                    (statements(who, view))
                    button type="submit" class="main" { "Say it is done" }
                }
            }
            @if line.state != "open" {
                details {
                    summary { "Give it back" }
                    (parts::say(who, &at("reject"), ("Why", "Give it back")))
                }
            }
            details {
                summary { "The target cannot be read" }
                p class="quiet" {
                    "Then only a person's word can close it, and it is never reported as verified. "
                    @if line.privileged { "This is privileged access: somebody else than who closes states it." }
                }
                (parts::say(who, &at("attest"), ("What you state", "State it")))
            }
        }
    }
}

/// The statements that this person's close may rest on.
fn statements(who: &Who, view: &TaskView) -> Markup {
    let fits = |by: &str| !view.line.privileged || by != who.name;
    let fitting: Vec<_> = view.statements.iter().filter(|one| fits(&one.by)).collect();
    html! {
        @if !fitting.is_empty() {
            label for="statement" { "If it cannot be read, it rests on" }
            select id="statement" name="statement" {
                option value="" { "nothing: it has to be seen" }
                @for one in fitting {
                    option value=(one.number) { (one.by) ", " (words::minute(one.at)) ": " (one.text) }
                }
            }
        }
    }
}
