//! One's own account: roles, sessions, tokens, password.
//!
//! Owns the page. A new token is shown here once, in the answer to the form that made it, and can
//! never be shown again.

use maud::{Markup, html};

use super::super::cookies::Told;
use super::super::office::Who;
use super::super::words;
use super::{Page, form_token, frame, parts};
use crate::domain::time::Timestamp;
use crate::domain::user::{ApiToken, Session};

/// A token that was just made.
pub(in super::super) struct MadeToken<'a> {
    /// What it is for.
    pub label: &'a str,
    /// The token itself.
    pub token: &'a str,
}

/// The page.
pub(in super::super) fn account(
    who: &Who,
    told: Option<&Told>,
    (sessions, tokens): (&[Session], &[ApiToken]),
    made: Option<&MadeToken<'_>>,
    now: Timestamp,
) -> Markup {
    let page = Page {
        title: "Your account",
        under: "/account",
        told,
        live: None,
    };
    let roles: Vec<_> = who.roles.iter().map(|role| role.as_str()).collect();
    let main = html! {
        @if let Some(made) = made {
            div class="told well" role="status" {
                strong { "The token for " (made.label) ": " }
                code class="secret" { (made.token) }
                " Copy it now; it is kept as a digest and never shown again."
            }
        }
        (parts::facts(&[
            ("Name in the record", parts::text(&who.name)),
            ("Roles", parts::text(&roles.join(", "))),
        ]))
        (sign_ins(who, sessions, now))
        (programs(who, tokens, now))
        section aria-labelledby="password" {
            h2 id="password" { "Change your password" }
            form method="post" action="/account/password" class="stack" {
                (form_token(who))
                input type="hidden" name="username" value=(who.name) autocomplete="username";
                label for="old" { "The old one" }
                input id="old" name="old" type="password" autocomplete="current-password" required;
                label for="new" { "The new one, 12 characters or more" }
                input id="new" name="new" type="password" autocomplete="new-password" minlength="12" maxlength="512" required;
                button type="submit" { "Change it" }
            }
        }
    };
    frame(who, &page, &main)
}

fn sign_ins(who: &Who, sessions: &[Session], now: Timestamp) -> Markup {
    let own = who.session.as_ref().map(|session| session.id);
    html! {
        section aria-labelledby="sessions" {
            h2 id="sessions" { "Where you are signed in" }
            ul class="plain" {
                @for session in sessions.iter().filter(|session| now < session.ends) {
                    li {
                        (session.address) ", since " (parts::moment(session.begun)) ", last used " (parts::time(session.seen, now))
                        @if Some(session.id) == own { " " (parts::state("this one")) }
                    }
                }
            }
            (parts::press(who, "/account/sessions/end", "Sign out everywhere", "small"))
        }
    }
}

fn programs(who: &Who, tokens: &[ApiToken], now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="tokens" {
            h2 id="tokens" { "Tokens of the API" }
            @if !tokens.is_empty() {
                table class="rows" {
                    thead {
                        tr {
                            th scope="col" { "For" }
                            th scope="col" { "May" }
                            th scope="col" { "Ends" }
                            th scope="col" { "Last used" }
                            th scope="col" { "Take back" }
                        }
                    }
                    tbody { @for token in tokens { (token_row(who, token, now)) } }
                }
            }
            form method="post" action="/account/tokens" class="stack" {
                (form_token(who))
                label for="label" { "What a new one is for" }
                input id="label" name="label" required maxlength="100" autocomplete="off";
                fieldset {
                    legend { "What it may do" }
                    @for role in &who.roles {
                        label class="check" { input type="checkbox" name="scope" value=(role.as_str()); " " (role.as_str()) }
                    }
                }
                label for="days" { "Days until it ends" }
                input id="days" name="days" type="number" min="1" max="365" value="30" required;
                button type="submit" { "Make a token" }
            }
        }
    }
}

fn token_row(who: &Who, token: &ApiToken, now: Timestamp) -> Markup {
    let scopes: Vec<_> = token.scopes.iter().map(|role| role.as_str()).collect();
    html! {
        tr {
            th scope="row" { (token.label) }
            td data-label="May" { (scopes.join(", ")) }
            td data-label="Ends" { (parts::moment(token.ends)) }
            td data-label="Last used" { (parts::ago(token.used, now)) }
            td data-label="Take back" {
                @if token.is_alive(now) {
                    (parts::press(who, &format!("/account/tokens/{}/revoke", token.id), &format!("Take back {}", words::short(&token.label)), "small"))
                } @else { span class="quiet" { "over" } }
            }
        }
    }
}
