//! Dead letters: the list, and one whole, with its replay.
//!
//! Owns how a message that could not be read is shown: as text, never as markup, whatever it holds.

use maud::{Markup, html};

use super::super::cookies::Told;
use super::super::office::Who;
use super::super::view::{LetterLine, LetterView, List};
use super::super::words;
use super::{Page, frame, parts};
use crate::domain::user::Role;

/// The list.
pub(in super::super) fn letters(
    who: &Who,
    told: Option<&Told>,
    letters: &List<LetterLine>,
) -> Markup {
    let page = Page {
        title: "Dead letters",
        under: "/dead-letters",
        told,
        live: Some("all".to_owned()),
    };
    let main = html! {
        @if letters.items.is_empty() {
            (parts::nothing("Every message could be read."))
        } @else {
            p class="quiet" { (letters.counted("message", "messages")) ", newest first" }
            table class="rows" {
                thead {
                    tr {
                        th scope="col" { "Came from" }
                        th scope="col" { "Why it could not be read" }
                        th scope="col" { "Seen" }
                        th scope="col" { "What came of it" }
                    }
                }
                tbody {
                    @for one in &letters.items {
                        tr {
                            th scope="row" { a href=(format!("/dead-letters/{}", one.id)) { (place(one)) } }
                            td data-label="Why" { span class="clip" { (one.reason) } " " span class="quiet" { (one.code) } }
                            td data-label="Seen" { (parts::moment(one.first_seen)) }
                            td data-label="What came of it" {
                                @if let Some(at) = one.replayed { "replayed " (parts::moment(at)) }
                                @else if let Some(aside) = &one.aside { "set aside " (parts::moment(aside.at)) }
                                @else { span class="quiet" { "nothing yet" } }
                            }
                        }
                    }
                }
            }
        }
    };
    frame(who, &page, &main)
}

fn place(one: &LetterLine) -> String {
    format!("{} [{}] at {}", one.topic, one.partition, one.offset)
}

/// One letter.
pub(in super::super) fn letter(who: &Who, told: Option<&Told>, view: &LetterView) -> Markup {
    let line = &view.line;
    let title = place(line);
    let page = Page {
        title: &title,
        under: "/dead-letters",
        told,
        live: None,
    };
    let main = html! {
        p class="lead" { (line.reason) " " span class="quiet" { (line.code) } }
        (parts::facts(&[
            ("Seen", parts::text(&words::instant(line.first_seen))),
            ("Replayed", parts::text(&line.replayed.map_or_else(String::new, words::instant))),
            ("Set aside", parts::text(&line.aside.as_ref().map_or_else(String::new, |aside| {
                format!("{} by {}: {}", words::instant(aside.at), aside.by, aside.reason)
            }))),
            ("Key", parts::text(view.key.as_deref().unwrap_or_default())),
            ("Headers", html! { @for header in &view.headers { (header) br; } }),
            ("Bytes", if view.has_message { parts::text(&view.payload_bytes.to_string()) } else { html! {} }),
        ]))
        @if view.has_message {
            h2 { "The message as it came" }
            pre tabindex="0" { (view.payload) }
        }
        @if who.may(Role::Operator) {
            @if view.has_message {
                p class="quiet" { "After the cause is mended, it can be sent to its topic again; it is read like any other message." }
                (parts::press(who, &format!("/dead-letters/{}/replay", line.id), "Send it again", "main"))
            }
            @if line.replayed.is_none() && line.aside.is_none() {
                p class="quiet" { "If nothing needs to come of it, say so: it stays here and waits for nobody." }
                (parts::say(who, &format!("/dead-letters/{}/set-aside", line.id), ("Why", "Set it aside")))
            }
        }
    };
    frame(who, &page, &main)
}
