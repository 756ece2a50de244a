//! The list of cases, with its search.
//!
//! Owns the filters and the table. A search is a plain form: its result has an address of its own.

use maud::{Markup, html};

use super::super::cookies::Told;
use super::super::office::Who;
use super::super::view::{CaseLine, CasesAsked, List};
use super::{Page, frame, parts};

/// The page.
pub(in super::super) fn cases(
    who: &Who,
    told: Option<&Told>,
    asked: &CasesAsked,
    cases: &List<CaseLine>,
) -> Markup {
    let page = Page {
        title: "Cases",
        under: "/cases",
        told,
        live: Some("all".to_owned()),
    };
    let sought = asked.subject.as_deref().unwrap_or_default();
    let main = html! {
        form method="get" action="/cases" class="filters" role="search" {
            label for="search" { "Name or id" }
            input id="search" name="subject" type="search" value=(sought);
            label class="check" {
                input type="checkbox" name="open" value="true" checked[asked.open];
                " only open"
            }
            button type="submit" { "Search" }
        }
        @if cases.items.is_empty() {
            (parts::nothing("No case is like that."))
        } @else {
            p class="quiet" { (cases.counted("case", "cases")) ", newest first" }
            (table(&cases.items))
        }
    };
    frame(who, &page, &main)
}

fn table(cases: &[CaseLine]) -> Markup {
    html! {
        table class="rows" {
            thead {
                tr {
                    th scope="col" { "Who" }
                    th scope="col" { "State" }
                    th scope="col" { "Proved" }
                    th scope="col" { "Tasks" }
                    th scope="col" { "Access ends" }
                    th scope="col" { "HR case" }
                }
            }
            tbody {
                @for case in cases {
                    tr {
                        th scope="row" {
                            a href=(format!("/cases/{}", case.id)) { (name(case)) }
                        }
                        td data-label="State" { (parts::state(&case.state)) }
                        td data-label="Proved" { (progress(case)) }
                        td data-label="Tasks" {
                            @if case.open_tasks > 0 { (parts::state("with a person")) " " (case.open_tasks) }
                            @else { span class="quiet" { "none" } }
                        }
                        td data-label="Access ends" { (parts::moment(case.effective)) }
                        td data-label="HR case" { (case.hr_case) }
                    }
                }
            }
        }
    }
}

/// A name to read, or the key where the source gave none.
pub(super) fn name(case: &CaseLine) -> &str {
    if case.subject.is_empty() {
        &case.subject_key
    } else {
        &case.subject
    }
}

fn progress(case: &CaseLine) -> Markup {
    let told = format!("{} of {}", case.verified, case.removals);
    html! {
        meter min="0" max=(case.removals.max(1)) value=(case.verified) aria-label=(told) {}
        " " (told)
        @if case.attested > 0 { span class="quiet" { ", " (case.attested) " attested" } }
    }
}
