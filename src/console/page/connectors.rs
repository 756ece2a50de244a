//! Connectors: how each stands, and how one was over time.
//!
//! Owns the table and the plots' surroundings. Every picture's figures stand beside it in words and
//! below it as a table.

use maud::{Markup, html};

use super::super::cookies::Told;
use super::super::office::Who;
use super::super::view::{ConnectorLine, ConnectorView};
use super::super::{picture, words};
use super::{Page, frame, parts};
use crate::domain::time::Timestamp;
use crate::domain::user::Role;

/// Surveys in the table; the plots show more.
const ROWS: usize = 24;

/// The list.
pub(in super::super) fn connectors(
    who: &Who,
    told: Option<&Told>,
    connectors: &[ConnectorLine],
    now: Timestamp,
) -> Markup {
    let page = Page {
        title: "Connectors",
        under: "/connectors",
        told,
        live: Some("all".to_owned()),
    };
    let main = html! {
        @if connectors.is_empty() {
            (parts::nothing("No connector is declared. Manifests lie in the folder that [connectors] names."))
        } @else {
            table class="rows" {
                thead {
                    tr {
                        th scope="col" { "Connector" }
                        th scope="col" { "State" }
                        th scope="col" { "Why" }
                        th scope="col" { "Accounts" }
                        th scope="col" { "Surveyed" }
                        th scope="col" { "Last write" }
                        th scope="col" { "Last drill" }
                        th scope="col" { "Owner" }
                    }
                }
                tbody { @for one in connectors { (row(one, now)) } }
            }
        }
    };
    frame(who, &page, &main)
}

fn row(one: &ConnectorLine, now: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href=(format!("/connectors/{}", one.name)) { (one.name) }
                " " span class="quiet" { (one.kind) @if one.privileged { ", privileged" } }
            }
            td data-label="State" { (parts::state(&one.state)) }
            td data-label="Why" { span class="clip" { (one.reason) } }
            td data-label="Accounts" class="number" {
                @if let Some(count) = one.accounts { (count) } @else { span class="quiet" { "not known" } }
            }
            td data-label="Surveyed" { (parts::ago(one.surveyed, now)) }
            td data-label="Last write" { (parts::ago(one.write, now)) }
            td data-label="Last drill" {
                @match &one.drilled {
                    Some(drill) => { (parts::state(&drill.state)) " " (parts::time(drill.ended.unwrap_or(drill.begun), now)) }
                    None => { span class="quiet" { "never" } }
                }
            }
            td data-label="Owner" { (one.owner) }
        }
    }
}

/// One connector.
pub(in super::super) fn connector(
    who: &Who,
    told: Option<&Told>,
    view: &ConnectorView,
    now: Timestamp,
) -> Markup {
    let line = &view.line;
    let page = Page {
        title: &line.name,
        under: "/connectors",
        told,
        live: Some("all".to_owned()),
    };
    let main = html! {
        p class="lead" {
            (parts::state(&line.state)) " " (line.reason)
            @if let Some(since) = line.since { "; since " (parts::time(since, now)) }
        }
        p { (line.purpose) }
        section aria-labelledby="health" {
            h2 id="health" { "Health over time" }
            @if view.samples.is_empty() {
                (parts::nothing("Never surveyed."))
            } @else {
                (picture::health(&view.samples))
                (samples(view))
            }
        }
        (drills(who, view, now))
        (declared(view, now))
        p {
            a href=(format!("/approvals/{}", line.name)) { "What two people approved of it" }
            " · "
            a href=(format!("/tasks?connector={}", line.name)) { "Its tasks" }
        }
    };
    frame(who, &page, &main)
}

/// Rehearsals of a departure, and the button that begins one.
fn drills(who: &Who, view: &ConnectorView, now: Timestamp) -> Markup {
    let path = format!("/connectors/{}/drill", view.line.name);
    let under_way = view.drills.iter().any(|drill| drill.ended.is_none());
    html! {
        section aria-labelledby="drills" {
            h2 id="drills" { "Drills" }
            p class="quiet" { "A canary's departure, once with the connector made to fail and once for real: does the right task come, and does the access go?" }
            @if view.drills.is_empty() { (parts::nothing("Never drilled.")) }
            ol class="timeline" {
                @for drill in &view.drills {
                    li class=(match drill.state.as_str() { "passed" => "proof", "failed" => "failed", _ => "step" }) {
                        span class="at" { (parts::time(drill.begun, now)) }
                        span class="where" { "by " (drill.by) }
                        span class="did" {
                            (parts::state(&drill.state))
                            @if drill.words != drill.state { " " (drill.words) }
                            @if !drill.accounts.is_empty() { " " span class="quiet" { (drill.accounts.join(", ")) } }
                        }
                    }
                }
            }
            @if who.may(Role::Operator) && !under_way { (parts::press(who, &path, "Drill it now", "")) }
        }
    }
}

fn declared(view: &ConnectorView, now: Timestamp) -> Markup {
    let line = &view.line;
    let fields: Vec<_> = view
        .fields
        .iter()
        .map(|(name, share)| format!("{name} {share} %"))
        .collect();
    html! {
        section aria-labelledby="declared" {
            h2 id="declared" { "What is declared" }
            (parts::facts(&[
                ("Kind", parts::text(&line.kind)),
                ("Owner", parts::text(&format!("{}, deputy {}", line.owner, line.deputy))),
                ("Review by", parts::text(&line.review_by)),
                ("May", parts::text(&view.operations.iter().map(|name| words::spaced(name)).collect::<Vec<_>>().join(", "))),
                ("Surveyed at least every", parts::text(&words::age(line.refresh_seconds))),
                ("Last good survey", parts::ago(line.surveyed, now)),
                ("Last good read", parts::ago(line.read, now)),
                ("Last good write", parts::ago(line.write, now)),
                ("Fields that accounts show", parts::text(&fields.join(", "))),
            ]))
        }
    }
}

fn samples(view: &ConnectorView) -> Markup {
    html! {
        details {
            summary { "The same as a table" }
            table {
                thead {
                    tr {
                        th scope="col" { "Surveyed" }
                        th scope="col" { "State" }
                        th scope="col" { "Accounts" }
                        th scope="col" { "Change" }
                        th scope="col" { "Took" }
                        th scope="col" { "Calls" }
                        th scope="col" { "Failed" }
                        th scope="col" { "Why" }
                    }
                }
                tbody {
                    @for one in view.samples.iter().take(ROWS) {
                        tr {
                            th scope="row" { (parts::moment(one.at)) }
                            td data-label="State" { (parts::state(&one.state)) }
                            td data-label="Accounts" class="number" { @if let Some(count) = one.accounts { (count) } }
                            td data-label="Change" class="number" { @if let Some(change) = one.change { (format!("{change:+}")) } }
                            td data-label="Took" class="number" { (one.took_milliseconds) " ms" }
                            td data-label="Calls" class="number" { (one.calls) }
                            td data-label="Failed" class="number" { (one.failures) }
                            td data-label="Why" { (one.reason) }
                        }
                    }
                }
            }
        }
    }
}
