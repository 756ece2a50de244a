//! The overview: what needs a person now comes first.
//!
//! Owns its order on the page. An empty list says so plainly: that is the page people hope for.

use maud::{Markup, html};

use super::super::cookies::Told;
use super::super::office::Who;
use super::super::view::{Figures, OverviewView, Urgent};
use super::super::words;
use super::{Page, frame, parts};
use crate::domain::time::Timestamp;

/// The page.
pub(in super::super) fn overview(who: &Who, told: Option<&Told>, view: &OverviewView) -> Markup {
    let page = Page {
        title: "What needs a person",
        under: "/",
        told,
        live: Some("all".to_owned()),
    };
    let main = html! {
        @for part in &view.unknown {
            div class="told ill" role="alert" { strong { "Not known: " } (part) }
        }
        @if view.urgent.is_empty() && view.unknown.is_empty() {
            (parts::nothing("Nothing needs a person now. Every case is proved, or under way."))
        } @else {
            (list(&view.urgent, view.at))
            @if view.more > 0 {
                p class="quiet" { "and " (view.more) " more on the pages of each kind" }
            }
        }
        (figures(&view.figures))
    };
    frame(who, &page, &main)
}

fn list(urgent: &[Urgent], now: Timestamp) -> Markup {
    html! {
        ul class="urgent rows" {
            @for one in urgent {
                li class=[one.late.then_some("late")] {
                    span class="kind" { (one.kind) }
                    a class="what" href=(one.path) { (one.what) }
                    span class="when" {
                        @if let Some(at) = one.at {
                            @if one.kind.ends_with("task") { "due " }
                            (parts::time(at, now))
                        }
                    }
                    p class="why" { (one.why) }
                }
            }
        }
    }
}

fn figures(figures: &Figures) -> Markup {
    let rows = [
        (
            figures.cases_open,
            "open cases",
            format!("of {}", figures.cases),
            "/cases?open=true",
        ),
        (
            figures.removals_verified,
            "proved gone",
            format!(
                "of {}",
                words::count(figures.removals, "removal", "removals")
            ),
            "/cases",
        ),
        (
            figures.removals_attested,
            "on a person's word",
            String::new(),
            "/cases",
        ),
        (
            figures.removals_open,
            "still owed",
            format!("{} with a person", figures.removals_in_tasks),
            "/cases?open=true",
        ),
        (
            figures.tasks_open,
            "open tasks",
            format!("{} overdue", figures.tasks_overdue),
            "/tasks",
        ),
        (
            figures.events_waiting,
            "events waiting",
            format!("{} steps due", figures.runs_due),
            "/cases",
        ),
    ];
    html! {
        section aria-labelledby="figures" {
            h2 id="figures" { "How it stands" }
            ul class="figures" {
                @for (number, label, more, path) in rows {
                    li {
                        a href=(path) { strong { (number) } " " (label) }
                        @if !more.is_empty() { span class="quiet" { (more) } }
                    }
                }
            }
        }
    }
}
