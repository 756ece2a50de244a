//! One case: who, how far each account is, and what happened when.
//!
//! Owns the order by which a person understands it at a glance: the sum first, then the ladder of
//! each account, then what is with people, then the timeline.

use maud::{Markup, html};

use super::super::cookies::Told;
use super::super::office::Who;
use super::super::view::{AccountView, CaseView, StepView};
use super::super::{picture, words};
use super::cases::name;
use super::{Page, form_token, frame, parts};
use crate::domain::time::Timestamp;
use crate::domain::user::Role;

/// The page.
pub(in super::super) fn case(
    who: &Who,
    told: Option<&Told>,
    view: &CaseView,
    now: Timestamp,
) -> Markup {
    let title = name(&view.line);
    let page = Page {
        title,
        under: "/cases",
        told,
        live: Some(format!("case/{}", view.line.id)),
    };
    let main = html! {
        p class="lead" { (parts::state(&view.line.state)) " " (sum(view)) }
        section aria-labelledby="accounts" {
            h2 id="accounts" { "Accounts" }
            @if view.accounts.is_empty() {
                (parts::nothing("No account has been found yet."))
            }
            @for account in &view.accounts { (account_row(account)) }
        }
        @if !view.elsewhere.is_empty() {
            section aria-labelledby="elsewhere" {
                h2 id="elsewhere" { "Other targets" }
                ul class="plain" {
                    @for target in &view.elsewhere {
                        li {
                            a href=(format!("/connectors/{}", target.connector)) { (target.connector) }
                            ": " (target.stands)
                            @if let Some(task) = target.task { " " a href=(format!("/tasks/{task}")) { "task" } }
                        }
                    }
                }
            }
        }
        @if !view.tasks.is_empty() {
            section aria-labelledby="tasks" {
                h2 id="tasks" { "With people" }
                (super::tasks::table(&view.tasks, now))
            }
        }
        (timeline(view))
        (evidence(who, view))
        (origin(view))
    };
    frame(who, &page, &main)
}

/// The case in one sentence.
fn sum(view: &CaseView) -> String {
    let line = &view.line;
    let removals = u64::from(line.removals);
    let proved = match (line.removals, line.verified) {
        (0, _) => "nothing to remove is known".to_owned(),
        (all, proved) if all == proved => {
            format!(
                "all {} proved gone",
                words::count(removals, "account", "accounts")
            )
        }
        (all, proved) => format!("{proved} of {all} accounts proved gone"),
    };
    let word = match line.attested {
        0 => String::new(),
        count => format!(", {count} on a person's word"),
    };
    let tasks = match line.open_tasks {
        0 => String::new(),
        count => format!(
            ", {} with a person",
            words::count(u64::from(count), "task", "tasks")
        ),
    };
    format!(
        "{proved}{word}{tasks}; access ended {}",
        words::instant(line.effective)
    )
}

fn account_row(account: &AccountView) -> Markup {
    let with_person = account.task.is_some() && account.end.is_none();
    let verdict = account.verdict.as_deref().unwrap_or("requested");
    html! {
        article class="account" {
            h3 {
                a href=(format!("/connectors/{}", account.connector)) { (account.connector) }
                " · " (account.login)
                @if account.privileged { " " span class="state calm" { "privileged" } }
            }
            (picture::ladder(&account.rungs, account.end.as_deref(), with_person))
            p {
                (parts::state(account.end.as_deref().unwrap_or(if with_person { "with a person" } else { verdict })))
                " " (words::rung(verdict))
                @if account.end.is_none() { "; " (account.stands) }
                @if let Some(task) = account.task { " " a href=(format!("/tasks/{task}")) { "Open the task" } }
            }
            @if let Some(last) = &account.last { p class="why" { (last) } }
            (probes(account))
            @if !account.items.is_empty() {
                details {
                    summary { (words::count(account.items.len() as u64, "entitlement", "entitlements")) }
                    ul { @for item in &account.items { li { (item) } } }
                }
            }
        }
    }
}

/// What the tries to get in came to; each with its control, or it would prove nothing.
fn probes(account: &AccountView) -> Markup {
    html! {
        @if !account.probes.is_empty() {
            details {
                summary { (words::count(account.probes.len() as u64, "try to get in", "tries to get in")) }
                ul class="plain" {
                    @for one in &account.probes {
                        li {
                            (parts::state(&words::spaced(&one.finding)))
                            " " (one.probe) " with " (one.artefact) ", " code { (one.method) } ": " (one.words)
                            br;
                            span class="quiet" { (words::instant(one.at)) "; control: " (one.control) }
                        }
                    }
                }
            }
        }
    }
}

/// The signed file and the page of it, for auditors.
fn evidence(who: &Who, view: &CaseView) -> Markup {
    html! {
        @if who.may(Role::Auditor) {
            section aria-labelledby="evidence" {
                h2 id="evidence" { "Evidence" }
                p class="quiet" { "Signed, with what was seen, when, how and by whom; " code { "clawback evidence verify" } " checks the file offline." }
                form method="post" action=(format!("/cases/{}/evidence", view.line.id)) class="row" {
                    (form_token(who))
                    button type="submit" name="as" value="file" { "Download the signed file" }
                    button type="submit" name="as" value="page" { "Download it as a page" }
                }
            }
        }
    }
}

fn timeline(view: &CaseView) -> Markup {
    html! {
        section aria-labelledby="happened" {
            h2 id="happened" { "What happened" }
            @if view.steps.is_empty() {
                (parts::nothing("Nothing has happened yet."))
            }
            ol class="timeline" {
                @for (at, step) in view.steps.iter().enumerate() {
                    (entry(step, at.checked_sub(1).map(|before| view.steps[before].at)))
                }
            }
        }
    }
}

fn entry(step: &StepView, before: Option<Timestamp>) -> Markup {
    let class = match (step.proof, step.failed) {
        (true, _) => "proof",
        (false, true) => "failed",
        (false, false) => "step",
    };
    let seconds = before.map_or(0, |before| {
        (step.at.as_second() - before.as_second()).unsigned_abs()
    });
    let day = before.is_none_or(|before| words::day(before) != words::day(step.at));
    html! {
        li class=(class) {
            span class="at" {
                time datetime=(step.at.to_string()) {
                    @if day { (words::day(step.at)) " " }
                    (words::second(step.at))
                }
                @if seconds > 1 { span class="quiet" { " +" (words::age(seconds)) } }
            }
            span class="where" {
                (step.connector.as_deref().unwrap_or("the case"))
                @if let Some(login) = &step.login { " · " (login) }
            }
            span class="did" {
                strong { (words::spaced(&step.state)) }
                @if let Some(item) = &step.item { " " (item) }
                @if step.proof { " " span class="state good" { "proof" } }
                @if step.failed { " " span class="state bad" { (words::spaced(&step.outcome)) } }
                @if step.proof || step.failed { br; (step.words) } @else { ": " (step.words) }
            }
        }
    }
}

fn origin(view: &CaseView) -> Markup {
    let line = &view.line;
    html! {
        section aria-labelledby="origin" {
            h2 id="origin" { "Where it came from" }
            (parts::facts(&[
                ("Subject", parts::text(&line.subject_key)),
                ("HR case", parts::text(&format!("{}, revision {}", line.hr_case, line.revision))),
                ("Event", html! { code { (view.event) } " from " (view.came_from) }),
                ("Workflow", parts::text(&line.workflow)),
                ("Access ends", parts::text(&words::instant(line.effective))),
                ("Opened", parts::text(&words::instant(line.opened))),
                ("Ended", parts::text(&line.ended.map_or_else(String::new, words::instant))),
                ("Stands", parts::text(&view.stands)),
                ("Case", html! { code { (line.id) } }),
            ]))
        }
    }
}
