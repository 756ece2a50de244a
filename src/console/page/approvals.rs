//! What takes two people: how every manifest stands, and one with its changes and its past.
//!
//! Owns how a proposal is read before it is decided: each change with its effect, then the whole text.
//! Who proposed is offered no approval; the store refuses it too.

use maud::{Markup, html};

use super::super::backing::{Change, Governed, Proposed};
use super::super::cookies::Told;
use super::super::office::Who;
use super::super::view::ApprovalView;
use super::super::words;
use super::{Page, form_token, frame, parts};
use crate::domain::time::Timestamp;
use crate::domain::user::Role;

/// The list.
pub(in super::super) fn approvals(who: &Who, told: Option<&Told>, all: &[Governed]) -> Markup {
    let page = Page {
        title: "Approvals",
        under: "/approvals",
        told,
        live: Some("all".to_owned()),
    };
    let (waiting, rest): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.wants_person);
    let main = html! {
        p class="quiet" { "What a connector may do binds when one person has proposed it and another has approved it." }
        @if waiting.is_empty() {
            (parts::nothing("Nothing waits for a decision."))
        } @else {
            h2 { "Waiting" }
            (table(&waiting))
        }
        @if !rest.is_empty() {
            h2 { "In order" }
            (table(&rest))
        }
    };
    frame(who, &page, &main)
}

fn table(rows: &[&Governed]) -> Markup {
    html! {
        table class="rows" {
            thead {
                tr {
                    th scope="col" { "Manifest" }
                    th scope="col" { "Stands" }
                    th scope="col" { "Proposed by" }
                    th scope="col" { "Approved until" }
                }
            }
            tbody {
                @for one in rows {
                    tr {
                        th scope="row" { a href=(format!("/approvals/{}", one.connector)) { (one.connector) } }
                        td data-label="Stands" { (parts::state(&one.standing)) }
                        td data-label="Proposed by" {
                            @if let Some(proposal) = &one.proposal { (proposal.by) ": " (proposal.reason) }
                            @else { span class="quiet" { "nobody" } }
                        }
                        td data-label="Approved until" {
                            @if let Some(until) = one.until { (parts::moment(until)) }
                            @else { span class="quiet" { "not approved" } }
                        }
                    }
                }
            }
        }
    }
}

/// One manifest.
pub(in super::super) fn approval(
    who: &Who,
    told: Option<&Told>,
    view: &ApprovalView,
    now: Timestamp,
) -> Markup {
    let stands = &view.stands;
    let title = format!("Manifest of {}", stands.connector);
    let page = Page {
        title: &title,
        under: "/approvals",
        told,
        live: None,
    };
    let main = html! {
        p class="lead" {
            (parts::state(&stands.standing))
            @if let Some(digest) = &stands.in_force { " in force: " code { (words::short(digest)) } }
            @if let Some(until) = stands.until { ", until " (parts::moment(until)) }
        }
        (changes(&view.changes))
        @if let Some(proposal) = &stands.proposal { (proposed(who, stands, proposal, now)) }
        @if stands.can_propose && who.may(Role::Operator) {
            section aria-labelledby="propose" {
                h2 id="propose" { "Propose what the file says" }
                @if let Some(file) = &stands.file { p class="quiet" { "The file: " code { (words::short(file)) } } }
                @else { p { "The file is gone: this proposes that the connector is retired." } }
                (parts::say(who, &format!("/approvals/{}/propose", stands.connector), ("Why", "Propose it")))
            }
        }
        (past(view))
    };
    frame(who, &page, &main)
}

fn proposed(who: &Who, stands: &Governed, proposal: &Proposed, now: Timestamp) -> Markup {
    let own = proposal.by.trim().eq_ignore_ascii_case(&who.name);
    let at = |deed: &str| format!("/approvals/{}/{deed}", stands.connector);
    html! {
        section aria-labelledby="proposal" class="deeds wide" {
            h2 id="proposal" { "A proposal waits" }
            p {
                strong { (proposal.by) } " proposes " code { (words::short(&proposal.digest)) } " "
                (parts::time(proposal.at, now)) ": " (proposal.reason)
            }
            details {
                summary { "The whole text" }
                @if proposal.text.is_empty() { p { "Empty: the connector is to be retired." } }
                @else { pre tabindex="0" { (proposal.text) } }
            }
            @if !who.may(Role::Approver) {
                p class="quiet" { "Deciding takes the role approver." }
            } @else {
                @if own {
                    p { "You proposed it; somebody else has to approve it." }
                } @else {
                    form method="post" action=(at("approve")) class="stack" {
                        (form_token(who))
                        input type="hidden" name="digest" value=(proposal.digest);
                        label for="approve" { "Why you approve it" }
                        input id="approve" name="reason" required maxlength="500" autocomplete="off";
                        button type="submit" class="main" { "Approve exactly this" }
                    }
                }
                details {
                    summary { @if own { "Take it back" } @else { "Turn it down" } }
                    (parts::say(who, &at("reject"), ("Why", if own { "Take it back" } else { "Turn it down" })))
                }
            }
        }
    }
}

fn changes(changes: &[Change]) -> Markup {
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
    html! {
        @if !changes.is_empty() {
            section aria-labelledby="changes" {
                h2 id="changes" { "What would change" }
                table {
                    thead {
                        tr {
                            th scope="col" { "What" }
                            th scope="col" { "Was" }
                            th scope="col" { "Becomes" }
                            th scope="col" { "Effect" }
                        }
                    }
                    tbody {
                        @for one in changes {
                            tr {
                                th scope="row" { (one.what) " " span class="quiet" { "by the " (one.from) } }
                                td data-label="Was" { (dash(&one.was)) }
                                td data-label="Becomes" { (dash(&one.becomes)) }
                                td data-label="Effect" { (parts::state(&one.effect)) " " (one.why) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn past(view: &ApprovalView) -> Markup {
    html! {
        section aria-labelledby="past" {
            h2 id="past" { "What happened" }
            @if view.past.is_empty() { (parts::nothing("Nothing was ever proposed.")) }
            ol class="timeline" {
                @for moment in &view.past {
                    li class="person" {
                        span class="at" { (parts::moment(moment.at)) }
                        span class="where" { (moment.by) }
                        span class="did" {
                            strong { (moment.what) } " " code { (words::short(&moment.digest)) } br; (moment.reason)
                        }
                    }
                }
            }
        }
    }
}
