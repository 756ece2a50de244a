//! The ages of secrets, and the record of who did what.
//!
//! Owns both tables. A secret has a reference and an age here, and no value; the record is read by
//! auditors alone.

use maud::{Markup, html};

use super::super::cookies::Told;
use super::super::office::Who;
use super::super::view::{ActLine, ActsAsked, SecretLine};
use super::super::words;
use super::{Page, escape, frame, parts};
use crate::domain::user::Role;

/// The ages of secrets.
pub(in super::super) fn secrets(who: &Who, told: Option<&Told>, secrets: &[SecretLine]) -> Markup {
    let page = Page {
        title: "Secrets",
        under: "/secrets",
        told,
        live: Some("all".to_owned()),
    };
    let main = html! {
        p class="quiet" { "The connectors' own credentials, by reference and age. Values are in the vault and nowhere else." }
        @if secrets.is_empty() {
            (parts::nothing("No manifest declares a secret."))
        } @else {
            table class="rows" {
                thead {
                    tr {
                        th scope="col" { "Secret" }
                        th scope="col" { "State" }
                        th scope="col" { "Age" }
                        th scope="col" { "Reference" }
                        th scope="col" { "Replace" }
                    }
                }
                tbody { @for one in secrets { (secret(who, one)) } }
            }
        }
    };
    frame(who, &page, &main)
}

fn secret(who: &Who, one: &SecretLine) -> Markup {
    let fact = &one.fact;
    let path = format!("/secrets/{}/{}/rotate", fact.connector, fact.role);
    html! {
        tr {
            th scope="row" { (fact.connector) " " span class="quiet" { (fact.role) } }
            td data-label="State" { (parts::state(&one.state)) @if let Some(why) = &fact.unreadable { " " (why) } @if !fact.under_way.is_empty() { " " (fact.under_way) } }
            td data-label="Age" {
                (fact.age_seconds.map_or_else(|| if fact.unreadable.is_some() { "not known" } else { "none" }.to_owned(), words::age))
                @if let Some(most) = fact.max_age_seconds { span class="quiet" { " of " (words::age(most)) } }
                @if let Some(end) = fact.expires { span class="quiet" { ", ends " (words::instant(end)) } }
            }
            td data-label="Reference" { code { (fact.reference) } }
            td data-label="Replace" {
                @if !fact.is_needed { span class="quiet" { "nothing to replace" } }
                @else if !fact.can_rotate { span class="quiet" { "by hand" } }
                @else if who.may(Role::Operator) { (parts::press(who, &path, &format!("Replace the {} secret of {}", fact.role, fact.connector), "small")) }
                @else { span class="quiet" { "takes the role operator" } }
            }
        }
    }
}

/// What an act was about, with the way there where it has a page.
fn about_link(act: &ActLine) -> Markup {
    let under = match act.what.as_str() {
        "claim_task" | "close_task" | "reject_task" | "attest_task" | "release_event"
        | "drop_event" | "confirm_task" | "retry_task" | "propose_exception" => "tasks",
        "export_evidence" => "cases",
        "replay_dead_letter" | "set_aside_dead_letter" => "dead-letters",
        "propose_manifest" | "approve_manifest" | "reject_manifest" => "approvals",
        "drill" => "connectors",
        _ => "",
    };
    html! {
        @if under.is_empty() || act.came_to.starts_with("refused") { span class="clip" { (act.about) } }
        @else { a class="clip" href=(format!("/{under}/{}", escape(&act.about))) { (act.about) } }
    }
}

/// Who did what.
pub(in super::super) fn acts(
    who: &Who,
    told: Option<&Told>,
    asked: &ActsAsked,
    acts: &[ActLine],
) -> Markup {
    let page = Page {
        title: "Who did what",
        under: "/acts",
        told,
        live: None,
    };
    let by = asked.by.as_deref().unwrap_or_default();
    let about = asked.about.as_deref().unwrap_or_default();
    let older = acts.last().filter(|_| acts.len() >= 100).map(|last| {
        format!(
            "/acts?by={}&about={}&before={}",
            escape(by),
            escape(about),
            last.number
        )
    });
    let main = html! {
        form method="get" action="/acts" class="filters" role="search" {
            label for="search" { "Who" }
            input id="search" name="by" type="search" value=(by);
            label for="about" { "About" }
            input id="about" name="about" type="search" value=(about);
            button type="submit" { "Show" }
        }
        @if acts.is_empty() { (parts::nothing("Nothing like that was done.")) }
        @else {
            table class="rows" {
                thead {
                    tr {
                        th scope="col" { "When" }
                        th scope="col" { "Who" }
                        th scope="col" { "What" }
                        th scope="col" { "About" }
                        th scope="col" { "Came to" }
                        th scope="col" { "From" }
                    }
                }
                tbody {
                    @for act in acts {
                        tr {
                            th scope="row" { (parts::moment(act.at)) br; span class="quiet" { "no. " (act.number) } }
                            td data-label="Who" { (act.by) }
                            td data-label="What" { (words::spaced(&act.what)) }
                            td data-label="About" { (about_link(act)) }
                            td data-label="Came to" { (act.came_to) }
                            td data-label="From" { (act.from) }
                        }
                    }
                }
            }
            @if let Some(path) = older { p { a href=(path) { "Older" } } }
        }
    };
    frame(who, &page, &main)
}
