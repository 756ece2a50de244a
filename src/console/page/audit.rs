//! The log's page: is everything as it was written, and what to keep elsewhere so that it shows later.
//!
//! Owns the words for what a checkpoint is good for. The verification itself is a deed.

use maud::{Markup, html};

use super::super::cookies::Told;
use super::super::office::Who;
use super::super::view::AuditView;
use super::super::words;
use super::{Page, frame, parts};
use crate::domain::time::Timestamp;

/// The page.
pub(in super::super) fn audit(
    who: &Who,
    told: Option<&Told>,
    view: &AuditView,
    now: Timestamp,
) -> Markup {
    let page = Page {
        title: "The log",
        under: "/audit",
        told,
        live: None,
    };
    let main = html! {
        (verified(view, now))
        (parts::press(who, "/audit/verify", "Read the whole log now", "main"))
        (report(now))
        (checkpoints(view, now))
        (keys(view))
    };
    frame(who, &page, &main)
}

fn verified(view: &AuditView, now: Timestamp) -> Markup {
    html! {
        p class="lead" {
            @match &view.verified {
                None => {
                    (parts::state("never read")) " Nobody has had the whole log read from here."
                }
                Some(last) => {
                    (parts::state(if last.whole { "whole" } else { "not whole" }))
                    " read " (parts::time(last.at, now)) " for " (last.by)
                }
            }
        }
        @if let Some(last) = &view.verified {
            @if last.whole { p class="why" { (last.words) } }
            @else { div class="told ill" role="alert" { (last.words) } }
        }
        p class="quiet" {
            "Every row that says what was done is covered by a chain of digests, and signed checkpoints \
             commit to the chain. Reading it finds what was changed, added or taken away in the database."
        }
    }
}

fn report(now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="report" {
            h2 id="report" { "Report" }
            p class="quiet" { "Who left when, contained when, removed when, how proved, what is open and why. Evidence of one case is on the case's page." }
            form method="get" action="/audit/report" class="filters" {
                label for="from" { "From" }
                input id="from" name="from" type="date" required value=(words::day(words::days_before(now, 30)));
                label for="to" { "before" }
                input id="to" name="to" type="date" required value=(words::day(words::days_after(now, 1)));
                button type="submit" { "Download as CSV" }
            }
        }
    }
}

fn checkpoints(view: &AuditView, now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="checkpoints" {
            h2 id="checkpoints" { "Checkpoints" }
            p class="quiet" {
                "Note the newest one where nobody of this database can write. "
                code { "clawback audit verify --noted" }
                " then shows whether the end of the log was cut off."
            }
            @if view.checkpoints.is_empty() {
                (parts::nothing("No checkpoint yet; the first follows within a minute of the first act."))
            } @else {
                table class="rows" {
                    thead {
                        tr {
                            th scope="col" { "Made" }
                            th scope="col" { "Covers" }
                            th scope="col" { "Noted as" }
                        }
                    }
                    tbody {
                        @for one in &view.checkpoints {
                            tr {
                                th scope="row" {
                                    @if let Some(at) = one.at { (parts::time(at, now)) } @else { "cannot be read" }
                                }
                                td data-label="Covers" { (words::count(one.links, "transaction", "transactions")) }
                                td data-label="Noted as" { code class="clip" { (one.noted) } }
                            }
                        }
                    }
                }
                @if view.count > view.checkpoints.len() as u64 {
                    p class="quiet" { "the newest " (view.checkpoints.len()) " of " (view.count) }
                }
            }
        }
    }
}

fn keys(view: &AuditView) -> Markup {
    html! {
        @if !view.keys.is_empty() {
            section aria-labelledby="keys-of-log" {
                h2 id="keys-of-log" { "Public keys that signed, oldest first" }
                ul class="plain" { @for key in &view.keys { li { code { (key) } } } }
            }
        }
    }
}
