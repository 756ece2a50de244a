//! Parts that several pages share: states, times, facts, forms.
//!
//! Owns how a state looks: always a word, with a shape and a colour beside it and never instead of it.

use maud::{Markup, html};

use super::super::office::Who;
use super::super::words;
use super::form_token;
use crate::domain::time::Timestamp;

/// How good a state is.
fn tone(state: &str) -> &'static str {
    match state {
        "healthy"
        | "verified"
        | "in force"
        | "in order"
        | "proved"
        | "proved_by_machine"
        | "rotated"
        | "reverified"
        | "observed_absent"
        | "effective_absent"
        | "closed"
        | "passed"
        | "whole"
        | "done"
        | "narrowing"
        | "narrower file binds" => "good",
        "failing" | "failed" | "not whole" | "let in" | "drifted" | "overdue" | "too old"
        | "ended" | "unreadable" | "missing" | "refused" | "widening" | "not approved"
        | "approval expired" => "bad",
        "stale"
        | "open"
        | "claimed"
        | "checking"
        | "sent_back"
        | "awaiting_second_person"
        | "paused"
        | "attested"
        | "due soon"
        | "ends soon"
        | "under way"
        | "never read"
        | "with a person"
        | "waiting for approval"
        | "in force, its file is missing" => "warn",
        _ => "calm",
    }
}

/// A state in its own words.
pub(super) fn state(name: &str) -> Markup {
    html! { span class={ "state " (tone(name)) } { (words::spaced(name)) } }
}

/// An instant, with how it lies to now.
pub(super) fn time(at: Timestamp, now: Timestamp) -> Markup {
    html! {
        time datetime=(at.to_string()) title=(words::instant(at)) { (words::from_now(at, now)) }
    }
}

/// An instant as it stands in the record.
pub(super) fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at.to_string()) { (words::minute(at)) } }
}

/// The same, where there may be none.
pub(super) fn ago(at: Option<Timestamp>, now: Timestamp) -> Markup {
    html! {
        @if let Some(at) = at { (time(at, now)) } @else { span class="quiet" { "never" } }
    }
}

/// Names and values; those without a value are left out.
pub(super) fn facts(rows: &[(&str, Markup)]) -> Markup {
    let rows = rows.iter().filter(|(_, value)| !value.0.is_empty());
    html! {
        dl class="facts" {
            @for (name, value) in rows {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// A text as a fact.
pub(super) fn text(text: &str) -> Markup {
    html! { (text) }
}

/// A form with one button and no other field.
pub(super) fn press(who: &Who, action: &str, label: &str, class: &str) -> Markup {
    html! {
        form method="post" action=(action) {
            (form_token(who))
            button type="submit" class=(class) { (label) }
        }
    }
}

/// A form with one line of words, which stand in the record.
pub(super) fn say(who: &Who, action: &str, (label, button): (&str, &str)) -> Markup {
    let id = action.replace('/', "-");
    html! {
        form method="post" action=(action) class="stack" {
            (form_token(who))
            label for=(id) { (label) }
            input id=(id) name="reason" required maxlength="500" autocomplete="off";
            button type="submit" { (button) }
        }
    }
}

/// What a list shows when nothing is in it.
pub(super) fn nothing(words: &str) -> Markup {
    html! { p class="nothing" { (words) } }
}
