//! What takes two people besides manifests, on the page of approvals.
//!
//! Owns how such a proposal is read before it is decided: the whole text, who proposes it, until when.

use maud::{Markup, html};

use super::super::office::Who;
use super::super::view::MatterView;
use super::super::words;
use super::{form_token, parts};
use crate::domain::time::Timestamp;
use crate::domain::user::Role;

/// What waits, each with its forms.
pub(super) fn waiting(who: &Who, all: &[MatterView], now: Timestamp) -> Markup {
    html! {
        @for one in all.iter().filter(|one| one.proposal.is_some()) {
            (proposed(who, one, now))
        }
    }
}

/// What is in force, or was.
pub(super) fn in_force(all: &[MatterView]) -> Markup {
    let rows: Vec<_> = all.iter().filter(|one| one.proposal.is_none()).collect();
    html! {
        @if !rows.is_empty() {
            h2 { "Exceptions that two people made" }
            table class="rows" {
                thead {
                    tr {
                        th scope="col" { "What" }
                        th scope="col" { "Stands" }
                        th scope="col" { "Approved by" }
                        th scope="col" { "Until" }
                    }
                }
                tbody {
                    @for one in rows {
                        tr {
                            th scope="row" { (words::spaced(&one.kind)) " " span class="quiet" { (one.name) } }
                            td data-label="Stands" { (parts::state(&one.state)) }
                            td data-label="Approved by" { (one.by) ": " (one.reason) }
                            td data-label="Until" { (parts::moment(one.until)) }
                        }
                    }
                }
            }
        }
    }
}

fn proposed(who: &Who, one: &MatterView, now: Timestamp) -> Markup {
    let id = one.proposal.map_or_else(String::new, |id| id.to_string());
    let own = one.by.trim().eq_ignore_ascii_case(&who.name);
    let field = format!("why-{id}");
    html! {
        section class="deeds wide" aria-label=(format!("{} {}", words::spaced(&one.kind), one.name)) {
            h3 { (words::spaced(&one.kind)) " · " (one.name) }
            p {
                strong { (one.by) } " proposes it " (parts::time(one.at, now)) ": " (one.reason)
                "; it would last until " (parts::moment(one.until))
            }
            pre tabindex="0" { (one.text) }
            @if !who.may(Role::Approver) {
                p class="quiet" { "Deciding takes the role approver." }
            } @else {
                @if own {
                    p { "You proposed it; somebody else has to approve it." }
                } @else {
                    form method="post" action=(format!("/matters/{id}/approve")) class="stack" {
                        (form_token(who))
                        input type="hidden" name="digest" value=(one.digest);
                        label for=(field) { "Why you approve it" }
                        input id=(field) name="reason" required maxlength="500" autocomplete="off";
                        button type="submit" class="main" { "Approve exactly this" }
                    }
                }
                details {
                    summary { @if own { "Take it back" } @else { "Turn it down" } }
                    (parts::say(who, &format!("/matters/{id}/reject"), ("Why", if own { "Take it back" } else { "Turn it down" })))
                }
            }
        }
    }
}
