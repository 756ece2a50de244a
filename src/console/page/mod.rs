//! The pages: one frame around each, and the parts that they share.
//!
//! Owns the frame, the navigation, the sign-in page and the page of a problem. maud escapes whatever
//! it is given; nothing here switches that off but the pictures, which are escaped where they are drawn.

mod account;
mod approvals;
mod audit;
mod case;
mod cases;
mod connectors;
mod letters;
mod overview;
mod parts;
mod records;
mod tasks;

use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::cookies::Told;
use super::office::Who;
use super::problem::Problem;
use super::routes::NAVIGATION;

pub(super) use account::{MadeToken, account};
pub(super) use approvals::{approval, approvals};
pub(super) use audit::audit;
pub(super) use case::case;
pub(super) use cases::cases;
pub(super) use connectors::{connector, connectors};
pub(super) use letters::{letter, letters};
pub(super) use overview::overview;
pub(super) use records::{acts, secrets};
pub(super) use tasks::{task, tasks};

/// What the frame needs of a page.
pub(super) struct Page<'a> {
    /// For the title and the heading.
    pub title: &'a str,
    /// The navigation's entry that it belongs to.
    pub under: &'a str,
    /// Told once, from the request before.
    pub told: Option<&'a Told>,
    /// What the page is about, where it changes by itself: `all`, `case/ID`, `task/ID`.
    pub live: Option<String>,
}

/// A whole page.
pub(super) fn frame(who: &Who, page: &Page<'_>, main: &Markup) -> Markup {
    let entries = NAVIGATION.iter().filter(|entry| who.may(entry.role));
    whole(
        page.title,
        &html! {
            header class="top" {
                a class="mark" href="/" { "Clawback" }
                nav aria-label="Main" {
                    ul {
                        @for entry in entries {
                            li {
                                a href=(entry.path) data-key=[entry.key]
                                    aria-current=[(entry.path == page.under).then_some("page")] {
                                    (entry.label)
                                }
                            }
                        }
                    }
                }
                div class="who" {
                    a href="/account" aria-current=[(page.under == "/account").then_some("page")] {
                        (who.display_name)
                    }
                    form method="post" action="/sign-out" {
                        (form_token(who))
                        button class="plain" type="submit" { "Sign out" }
                    }
                }
            }
            main id="main" tabindex="-1" data-live=[page.live.as_deref()] {
                @if let Some(told) = page.told {
                    (announcement(told))
                }
                h1 { (page.title) }
                (main)
            }
            footer {
                p class="quiet" {
                    "Times are UTC. "
                    span id="live" role="status" {}
                }
                p class="quiet keys" hidden { button class="plain" type="button" id="keys" { "Keyboard" } }
            }
            (keyboard())
        },
    )
}

fn announcement(told: &Told) -> Markup {
    let (class, role) = if told.well {
        ("told well", "status")
    } else {
        ("told ill", "alert")
    };
    html! {
        div class=(class) role=(role) {
            strong { @if told.well { "Done. " } @else { "Not done. " } }
            (told.words)
        }
    }
}

fn keyboard() -> Markup {
    let entries = NAVIGATION
        .iter()
        .filter_map(|entry| Some((entry.key?, entry.label)));
    html! {
        dialog id="help" aria-labelledby="help-title" {
            h2 id="help-title" { "Keyboard" }
            dl class="keys" {
                dt { kbd { "/" } } dd { "search" }
                dt { kbd { "j" } " " kbd { "k" } } dd { "next and previous row" }
                dt { kbd { "Enter" } } dd { "open the row" }
                @for (key, label) in entries {
                    dt { kbd { "g" } " " kbd { (key) } } dd { (label) }
                }
                dt { kbd { "?" } } dd { "this list" }
            }
            p { label { input type="checkbox" id="keys-off"; " Switch single-key shortcuts off" } }
            form method="dialog" { button type="submit" { "Close" } }
        }
    }
}

fn whole(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Clawback" }
                link rel="icon" type="image/svg+xml" href=(assets::MARK.path());
                link rel="stylesheet" href=(assets::STYLE.path());
                script src=(assets::SCRIPT.path()) defer {}
            }
            body {
                a class="skip" href="#main" { "Skip to the page" }
                (body)
            }
        }
    }
}

/// The hidden field that binds a form to its session.
pub(super) fn form_token(who: &Who) -> Markup {
    html! { input type="hidden" name="csrf" value=(who.form_token); }
}

/// What the sign-in page shows.
pub(super) struct Door<'a> {
    /// Binds the form to this browser.
    pub token: &'a str,
    /// Where to go afterwards.
    pub back: &'a str,
    /// Why it did not work.
    pub problem: Option<&'a Problem>,
    /// True where an identity provider signs people in as well.
    pub provider: bool,
}

/// The sign-in page.
pub(super) fn sign_in(door: &Door<'_>) -> Markup {
    whole(
        "Sign in",
        &html! {
            main id="main" class="door" tabindex="-1" {
                h1 { "Sign in to Clawback" }
                @if let Some(problem) = door.problem {
                    div class="told ill" role="alert" { strong { "Not signed in. " } (problem.detail) "." }
                }
                @if door.provider {
                    p { a class="button" href=(format!("/oidc/begin?{}", back_query(door.back))) { "Sign in with your organisation" } }
                    p class="quiet" { "or with a name of this console" }
                }
                form method="post" action="/sign-in" class="stack" {
                    input type="hidden" name="csrf" value=(door.token);
                    input type="hidden" name="next" value=(door.back);
                    label for="name" { "Name" }
                    input id="name" name="name" autocomplete="username" autocapitalize="none" required autofocus;
                    label for="password" { "Password" }
                    input id="password" name="password" type="password" autocomplete="current-password" required;
                    button type="submit" { "Sign in" }
                }
                p class="quiet" { "The first user is made on the command line: " code { "clawback users add" } }
            }
        },
    )
}

fn back_query(back: &str) -> String {
    format!("next={}", escape(back))
}

/// The way to the sign-in page and back again.
pub(super) fn sign_in_path(back: Option<&str>) -> String {
    match back.filter(|path| *path != "/") {
        Some(path) => format!("/sign-in?{}", back_query(local(path))),
        None => "/sign-in".to_owned(),
    }
}

/// A path of this console, or `/`: never another host, whatever a link says.
pub(super) fn local(path: &str) -> &str {
    let here = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.chars().all(|c| c.is_ascii_graphic());
    if here { path } else { "/" }
}

/// A text as part of a query.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// The page of a problem.
pub(super) fn problem(problem: &Problem) -> Markup {
    whole(
        &problem.title,
        &html! {
            main id="main" class="door" tabindex="-1" {
                h1 { (problem.title) }
                p { (problem.detail) "." }
                @if let Some(code) = &problem.code {
                    p class="quiet" { (code) }
                }
                p { a href="/" { "Back to what needs a person" } }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_no_link_leads_to_another_host() {
        for path in [
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example/",
            "/a b",
            "/\r\nSet-Cookie: a=b",
            "javascript:alert(1)",
            "",
        ] {
            assert_eq!(local(path), "/", "{path:?}");
        }
        assert_eq!(local("/tasks?closed=true"), "/tasks?closed=true");
        assert_eq!(
            sign_in_path(Some("/cases?subject=a&b")),
            "/sign-in?next=/cases%3Fsubject%3Da%26b"
        );
    }

    #[test]
    fn h1_what_a_problem_says_is_text() {
        let told = Problem::missing("<script>alert(1)</script>");
        let page = problem(&told).into_string();
        assert!(page.contains("&lt;script&gt;alert"), "{page}");
    }
}
