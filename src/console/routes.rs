//! Every route of the console as data: path, what it takes to use it, who serves it.
//!
//! Owns the table from which the router, the description of the API and the attack tests are made, and
//! the navigation. A route that is not here does not exist; what is here passes the gate.

mod calls;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use super::gate::{LONGEST_BODY, dress, gate};
use super::office::Shared;
use super::problem::Problem;
use super::route::{Need, Route, form, page, stream};
use super::{account, assets, audit, doors, live, matters, oidc, pages, stops};
use crate::domain::user::Role;

/// One entry of the navigation.
pub(super) struct Entry {
    pub path: &'static str,
    pub label: &'static str,
    /// What it takes to see it.
    pub role: Role,
    /// The key after `g`.
    pub key: Option<&'static str>,
}

const fn entry(path: &'static str, label: &'static str, role: Role, key: &'static str) -> Entry {
    Entry {
        path,
        label,
        role,
        key: Some(key),
    }
}

/// The navigation, in order. A page of its own for another part of the product is a row here and its
/// routes below.
pub(super) const NAVIGATION: &[Entry] = &[
    entry("/", "Now", Role::Viewer, "n"),
    entry("/cases", "Cases", Role::Viewer, "c"),
    entry("/tasks", "Tasks", Role::Viewer, "t"),
    entry("/connectors", "Connectors", Role::Viewer, "h"),
    entry("/approvals", "Approvals", Role::Viewer, "a"),
    entry("/dead-letters", "Dead letters", Role::Viewer, "d"),
    entry("/secrets", "Secrets", Role::Viewer, "s"),
    entry("/acts", "Record", Role::Auditor, "r"),
    entry("/audit", "Log", Role::Auditor, "l"),
];

const VIEWER: Need = Need::Role(Role::Viewer);
const OPERATOR: Need = Need::Role(Role::Operator);
const APPROVER: Need = Need::Role(Role::Approver);
const AUDITOR: Need = Need::Role(Role::Auditor);

/// Every route.
pub static ROUTES: &[&[Route]] = &[PAGES, FORMS, calls::API];

static PAGES: &[Route] = &[
    page("/", VIEWER, || get(pages::overview)),
    page("/cases", VIEWER, || get(pages::cases)),
    page("/cases/{case}", VIEWER, || get(pages::case)),
    page("/tasks", VIEWER, || get(pages::tasks)),
    page("/tasks/{task}", VIEWER, || get(pages::task)),
    page("/connectors", VIEWER, || get(pages::connectors)),
    page("/connectors/{connector}", VIEWER, || get(pages::connector)),
    page("/approvals", VIEWER, || get(pages::approvals)),
    page("/approvals/{connector}", VIEWER, || get(pages::approval)),
    page("/dead-letters", VIEWER, || get(pages::letters)),
    page("/dead-letters/{letter}", VIEWER, || get(pages::letter)),
    page("/secrets", VIEWER, || get(pages::secrets)),
    page("/acts", AUDITOR, || get(pages::acts)),
    page("/audit", AUDITOR, || get(audit::show)),
    page("/audit/report", AUDITOR, || get(audit::report)),
    page("/account", Need::Somebody, || get(account::page)),
    page("/sign-in", Need::Nobody, || get(doors::open)),
    page("/oidc/begin", Need::Nobody, || get(oidc::begin)),
    page("/oidc/callback", Need::Nobody, || get(oidc::back)),
    stream("/live", VIEWER, || get(live::stream)),
    stream("/assets/{file}", Need::Nobody, || get(assets::serve)),
];

static FORMS: &[Route] = &[
    form("/sign-in", Need::Nobody, || post(doors::enter)),
    form("/sign-out", Need::Somebody, || post(doors::leave)),
    form("/account/password", Need::Somebody, || {
        post(account::password)
    }),
    form("/account/tokens", Need::Somebody, || post(account::make)),
    form("/account/tokens/{token}/revoke", Need::Somebody, || {
        post(account::revoke)
    }),
    form("/account/sessions/end", Need::Somebody, || {
        post(account::end)
    }),
    form("/tasks/{task}/claim", OPERATOR, || post(pages::claim)),
    form("/tasks/{task}/close", OPERATOR, || post(pages::close)),
    form("/tasks/{task}/reject", OPERATOR, || post(pages::reject)),
    form("/tasks/{task}/rule", OPERATOR, || post(pages::rule)),
    form("/tasks/{task}/attest", OPERATOR, || post(pages::attest)),
    form("/tasks/{task}/confirm", OPERATOR, || {
        post(stops::confirm_form)
    }),
    form("/tasks/{task}/retry", OPERATOR, || post(stops::retry_form)),
    form("/tasks/close", OPERATOR, || post(stops::close_all_form)),
    form("/pause", OPERATOR, || post(stops::pause_all_form)),
    form("/resume", OPERATOR, || post(stops::resume_all_form)),
    form("/connectors/{connector}/pause", OPERATOR, || {
        post(stops::pause_form)
    }),
    form("/connectors/{connector}/resume", OPERATOR, || {
        post(stops::resume_form)
    }),
    form("/approvals/{connector}/propose", OPERATOR, || {
        post(pages::propose)
    }),
    form("/approvals/{connector}/approve", APPROVER, || {
        post(pages::approve)
    }),
    form("/approvals/{connector}/reject", APPROVER, || {
        post(pages::turn_down)
    }),
    form("/tasks/{task}/propose", OPERATOR, || {
        post(matters::propose_form)
    }),
    form("/matters/{proposal}/approve", APPROVER, || {
        post(matters::approve_form)
    }),
    form("/matters/{proposal}/reject", APPROVER, || {
        post(matters::reject_form)
    }),
    form("/dead-letters/{letter}/replay", OPERATOR, || {
        post(pages::replay)
    }),
    form("/dead-letters/{letter}/set-aside", OPERATOR, || {
        post(pages::set_aside)
    }),
    form("/secrets/{connector}/{role}/rotate", OPERATOR, || {
        post(pages::rotate)
    }),
    form("/connectors/{connector}/drill", OPERATOR, || {
        post(pages::drill)
    }),
    form("/cases/{case}/evidence", AUDITOR, || post(audit::evidence)),
    form("/audit/verify", AUDITOR, || post(audit::verify)),
];

/// The console's routes behind their gates.
pub(super) fn router(office: &Shared) -> Router {
    let mut router = Router::new();
    for route in ROUTES.iter().copied().flatten() {
        let gated = from_fn_with_state((office.clone(), route), gate);
        router = router.route(route.path, (route.serve)().layer(gated));
    }
    // Its own, so that the layers below dress it as well.
    router
        .fallback(async || Problem::missing("page"))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn_with_state(office.clone(), dress))
        .with_state(office.clone())
}

#[cfg(test)]
mod tests {
    use super::super::route::{Speaks, Verb};
    use super::*;

    #[test]
    fn h1_whatever_changes_something_takes_a_role_or_is_ones_own() {
        for route in ROUTES.iter().copied().flatten() {
            let own = route.path.starts_with("/account") || route.path.starts_with("/sign-");
            let free = route.need == Need::Nobody || route.need == Need::Somebody;
            assert!(!(route.verb == Verb::Post && free && !own), "{route:?}");
            assert_eq!(
                route.speaks == Speaks::Api,
                route.doc.is_some(),
                "{route:?}"
            );
            assert_eq!(
                route.speaks == Speaks::Api,
                route.path.starts_with("/api/v1/"),
                "{route:?}"
            );
        }
    }

    #[test]
    fn h1_what_a_form_does_the_api_does() {
        let all = || ROUTES.iter().copied().flatten();
        let forms = all().filter(|route| route.speaks == Speaks::Form);
        for form in forms.filter(|form| form.need != Need::Somebody && form.need != Need::Nobody) {
            let twin = format!("/api/v1{}", form.path);
            let twin = all().find(|route| route.path == twin);
            assert_eq!(twin.map(|route| route.need), Some(form.need), "{form:?}");
        }
    }
}
