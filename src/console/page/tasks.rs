//! Fallback tasks: the list, and one with everything that is needed to do it.
//!
//! Owns the forms. Only what the state and the person's roles allow is offered; the engine decides
//! again, and a close is what the target shows.

use maud::{Markup, html};

use super::super::cookies::Told;
use super::super::office::Who;
use super::super::view::{DOUBT, EXCEPTION, List, TaskLine, TaskView, TasksAsked, TicketView};
use super::super::words;
use super::{Page, form_token, frame, parts};
use crate::domain::time::Timestamp;
use crate::domain::user::Role;

/// The list.
pub(in super::super) fn tasks(
    who: &Who,
    told: Option<&Told>,
    (asked, tasks): (&TasksAsked, &List<TaskLine>),
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
        @if tasks.items.is_empty() {
            (parts::nothing("No task waits for a person."))
        } @else {
            p class="quiet" {
                (tasks.counted("task", "tasks")) ", most urgent first"
            }
            (table(&tasks.items, now))
            @if let Some(connector) = asked.connector.as_deref().filter(|name| !name.is_empty()) {
                (at_once(who, connector, &tasks.items))
            }
        }
    };
    frame(who, &page, &main)
}

/// Says of all open tasks of one target that are shown that they are done. What came meanwhile is not meant.
fn at_once(who: &Who, connector: &str, tasks: &[TaskLine]) -> Markup {
    let open = tasks.iter().filter(|task| task.state != "closed");
    let ids: Vec<_> = open.map(|task| task.id.to_string()).collect();
    let count = words::count(ids.len() as u64, "open task", "open tasks");
    html! {
        @if who.may(Role::Operator) && !ids.is_empty() {
            details class="deeds wide" {
                summary { "The " (count) " of " (connector) " shown here are done" }
                p class="quiet" { "Each is checked like any other, and each says for good that it was one of many, and why." }
                form method="post" action="/tasks/close" class="stack" {
                    (form_token(who))
                    input type="hidden" name="connector" value=(connector);
                    input type="hidden" name="tasks" value=(ids.join(" "));
                    label for="all-note" { "What was done" }
                    input id="all-note" name="note" required maxlength="500" autocomplete="off";
                    label for="all-reason" { "Why all at once" }
                    input id="all-reason" name="reason" required maxlength="500" autocomplete="off";
                    label for="all-attest" { "If they cannot be read, what you state" }
                    input id="all-attest" name="attest" maxlength="500" autocomplete="off";
                    button type="submit" { "Say that these are done" }
                }
            }
        }
    }
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
                            @if task.state == "closed" { span class="quiet" { "done" } }
                            @else {
                                @if task.overdue { (parts::state("overdue")) " " }
                                (parts::time(task.deadline, now))
                            }
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
                ("Overdue, and told", parts::text(view.escalated.as_deref().unwrap_or_default())),
                ("Closed at once", parts::text(view.closed_at_once.as_deref().unwrap_or_default())),
                ("Failure", parts::text(&line.class.as_deref().map(words::spaced).unwrap_or_default())),
                ("Desk", parts::text(&view.desk)),
                ("Opened", parts::text(&words::instant(line.opened))),
                ("Access as of", parts::text(&view.access_as_of.map_or_else(String::new, words::instant))),
            ]))
            @if !view.access.is_empty() {
                ul { @for one in &view.access { li { (one) } } }
            }
            @for ticket in &view.tickets { (copy(ticket)) }
        }
    }
}

/// The copy at a desk: its ticket, how that stands, and what holds it up.
fn copy(ticket: &TicketView) -> Markup {
    html! {
        p class="ticket" {
            "Ticket at " (ticket.desk) ": "
            @match (&ticket.number, &ticket.page) {
                (Some(number), Some(page)) => { a href=(page) rel="noreferrer" { (number) } " " (parts::state(&ticket.state)) }
                (Some(number), None) => { (number) " " (parts::state(&ticket.state)) }
                (None, _) => { span class="quiet" { "none yet" } }
            }
            @if let Some(at) = ticket.agreed { " " span class="quiet" { "in step " (words::instant(at)) } }
            @if let Some(trouble) = &ticket.trouble { " " span class="quiet" { "held up: " (trouble) } }
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
            @for one in &view.signed {
                blockquote {
                    p { (one.statement) }
                    p class="quiet" { "Signed by " (one.by) ": attested, not verified" }
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
            @if line.state == "open" || line.state == "sent_back" {
                (parts::press(who, &at("claim"), "Take this task", "main"))
            }
            @if line.state == "awaiting_second_person" { (second(who, view, &at("confirm"))) }
            @if line.state == "claimed" && !mine {
                p { (line.by.as_deref().unwrap_or("Somebody")) " works on it." }
            }
            @if line.state == "checking" {
                p role="status" { "The machine is looking at the target." }
            }
            @let held = view.held.as_deref() == Some(EXCEPTION);
            @let doubted = view.held.as_deref() == Some(DOUBT);
            @if doubted { (ruling(who, &at("rule"), &view.meant)) }
            @if held { (exception(who, &at("propose"))) }
            @if !doubted && ["claimed", "open", "sent_back"].contains(&line.state.as_str()) {
                h2 { "It is done" }
                p class="quiet" { "The machine looks at the target. If the access is still there, the task comes back with what was found." }
                form method="post" action=(at("close")) class="stack" {
                    (form_token(who))
                    label for="note" { "What was done" }
                    input id="note" name="note" required maxlength="500" autocomplete="off";
                    (statements(who, view))
                    button type="submit" class=(if line.state == "claimed" { "main" } else { "" }) { "Say it is done" }
                }
            }
            (parts::press(who, &at("retry"), "Have the machine try again", ""))
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
                    @if line.privileged { "This is privileged access: somebody else has to stand for it too." }
                }
                (parts::say(who, &at("attest"), ("What you state", "State it")))
            }
        }
    }
}

/// An event that is held for a doubt: only a person can say which way it goes.
fn ruling(who: &Who, action: &str, meant: &str) -> Markup {
    html! {
        h2 { "Is it as the event says?" }
        p class="quiet" { "The event is held for this doubt. Nothing is removed before somebody has answered it." }
        form method="post" action=(action) class="stack" {
            (form_token(who))
            input type="hidden" name="meant" value=(meant);
            label for="ruling-reason" { "Why" }
            input id="ruling-reason" name="reason" required maxlength="500" autocomplete="off";
            button type="submit" name="ruling" value="release" { "It is: let it go on" }
            button type="submit" name="ruling" value="drop" { "It is not: do nothing for it" }
        }
    }
}

/// What a protection or a brake holds: two people let it go on.
fn exception(who: &Who, action: &str) -> Markup {
    html! {
        h2 { "It is held" }
        p class="quiet" { "Propose that it goes on; another person approves that. The machine then tries again at once." }
        form method="post" action=(action) class="stack" {
            (form_token(who))
            label for="exception-reason" { "Why" }
            input id="exception-reason" name="reason" required maxlength="500" autocomplete="off";
            label for="exception-hours" { "For how many hours" }
            input id="exception-hours" name="hours" type="number" min="1" max="2160" value="24" required;
            button type="submit" { "Propose it" }
        }
    }
}

/// What one person has attested, for another to stand for.
fn second(who: &Who, view: &TaskView, path: &str) -> Markup {
    let own = view.line.by.as_deref() == Some(who.name.as_str());
    html! {
        h2 { "A second person" }
        @for one in &view.signed {
            blockquote {
                p { (one.statement) }
                p class="quiet" { "Signed by " (one.by) }
            }
        }
        @if own {
            p { "You signed it; somebody else has to stand for it too." }
        } @else {
            p class="quiet" { "The machine looks at the target once more before that counts." }
            form method="post" action=(path) class="stack" {
                (form_token(who))
                // What is signed by then may be something else than what is shown here.
                input type="hidden" name="meant" value=(view.meant);
                label for="second" { "What you state" }
                input id="second" name="reason" required maxlength="500" autocomplete="off";
                button type="submit" { "Stand for it" }
            }
        }
    }
}

/// The statements that this person's close may rest on: nobody attests for another.
fn statements(who: &Who, view: &TaskView) -> Markup {
    let fits = |by: &str| by == who.name;
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
