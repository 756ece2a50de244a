//! Every route of the console as data: path, what it takes to use it, who serves it.
//!
//! Owns the table from which the router, the description of the API and the attack tests are made, and
//! the navigation. A route that is not here does not exist; what is here passes the gate.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use super::backing::{EvidenceFile, Governed, ReportTable};
use super::deeds::{Approve, Close, Reason};
use super::gate::{LONGEST_BODY, dress, gate};
use super::office::Shared;
use super::problem::Problem;
use super::route::{Need, Route, act, anything, form, hand, inline, page, read, shape, stream};
use super::view::{
    ActLine, ActsAsked, ApprovalView, AuditView, CaseLine, CaseView, CasesAsked, ConnectorLine,
    ConnectorView, LetterLine, LetterView, List, OverviewView, ReportAsked, SecretLine, TaskLine,
    TaskView, TasksAsked,
};
use super::{account, api, assets, audit, doors, live, oidc, pages};
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
pub static ROUTES: &[&[Route]] = &[PAGES, FORMS, API];

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
    form("/tasks/{task}/attest", OPERATOR, || post(pages::attest)),
    form("/approvals/{connector}/propose", OPERATOR, || {
        post(pages::propose)
    }),
    form("/approvals/{connector}/approve", APPROVER, || {
        post(pages::approve)
    }),
    form("/approvals/{connector}/reject", APPROVER, || {
        post(pages::turn_down)
    }),
    form("/dead-letters/{letter}/replay", OPERATOR, || {
        post(pages::replay)
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

static API: &[Route] = &[
    read(
        "/api/v1/openapi.json",
        Need::Nobody,
        ("This description", anything, None),
        || get(api::description),
    ),
    read(
        "/api/v1/overview",
        VIEWER,
        (
            "What needs a person now, and the figures",
            shape::<OverviewView>,
            None,
        ),
        || get(api::overview),
    ),
    read(
        "/api/v1/cases",
        VIEWER,
        (
            "Cases, newest first",
            shape::<List<CaseLine>>,
            Some(inline::<CasesAsked>),
        ),
        || get(api::cases),
    ),
    read(
        "/api/v1/cases/{case}",
        VIEWER,
        (
            "One case: accounts with their rungs, steps, tasks",
            shape::<CaseView>,
            None,
        ),
        || get(api::case),
    ),
    read(
        "/api/v1/tasks",
        VIEWER,
        (
            "Fallback tasks by priority, then deadline",
            shape::<List<TaskLine>>,
            Some(inline::<TasksAsked>),
        ),
        || get(api::tasks),
    ),
    read(
        "/api/v1/tasks/{task}",
        VIEWER,
        (
            "One task with everything that is needed to do it",
            shape::<TaskView>,
            None,
        ),
        || get(api::task),
    ),
    act(
        "/api/v1/tasks/{task}/claim",
        OPERATOR,
        ("Take a task", None),
        || post(api::claim),
    ),
    act(
        "/api/v1/tasks/{task}/close",
        OPERATOR,
        (
            "Say that a task is done; the machine looks at the target",
            Some(shape::<Close>),
        ),
        || post(api::close),
    ),
    act(
        "/api/v1/tasks/{task}/reject",
        OPERATOR,
        ("Give a task back to the queue", Some(shape::<Reason>)),
        || post(api::reject),
    ),
    act(
        "/api/v1/tasks/{task}/attest",
        OPERATOR,
        (
            "State something on which a close may rest where the target cannot be read",
            Some(shape::<Reason>),
        ),
        || post(api::attest),
    ),
    read(
        "/api/v1/connectors",
        VIEWER,
        (
            "Connectors and how they stand, by name",
            shape::<List<ConnectorLine>>,
            None,
        ),
        || get(api::connectors),
    ),
    read(
        "/api/v1/connectors/{connector}",
        VIEWER,
        (
            "One connector with its surveys, newest first",
            shape::<ConnectorView>,
            None,
        ),
        || get(api::connector),
    ),
    read(
        "/api/v1/approvals",
        VIEWER,
        (
            "How every manifest stands to what two people approved",
            shape::<List<Governed>>,
            None,
        ),
        || get(api::approvals),
    ),
    read(
        "/api/v1/approvals/{connector}",
        VIEWER,
        (
            "One manifest: proposal, changes, past",
            shape::<ApprovalView>,
            None,
        ),
        || get(api::approval),
    ),
    act(
        "/api/v1/approvals/{connector}/propose",
        OPERATOR,
        ("Propose what the file says", Some(shape::<Reason>)),
        || post(api::propose),
    ),
    act(
        "/api/v1/approvals/{connector}/approve",
        APPROVER,
        (
            "Approve exactly what somebody else proposed",
            Some(shape::<Approve>),
        ),
        || post(api::approve),
    ),
    act(
        "/api/v1/approvals/{connector}/reject",
        APPROVER,
        (
            "Turn a proposal down, or take one's own back",
            Some(shape::<Reason>),
        ),
        || post(api::turn_down),
    ),
    read(
        "/api/v1/dead-letters",
        VIEWER,
        (
            "Messages that could not be read, newest first",
            shape::<List<LetterLine>>,
            None,
        ),
        || get(api::letters),
    ),
    read(
        "/api/v1/dead-letters/{letter}",
        VIEWER,
        ("One of them, whole", shape::<LetterView>, None),
        || get(api::letter),
    ),
    act(
        "/api/v1/dead-letters/{letter}/replay",
        OPERATOR,
        ("Send it to its topic again, through the outbox", None),
        || post(api::replay),
    ),
    read(
        "/api/v1/secrets",
        VIEWER,
        (
            "Every declared secret with its age; no values",
            shape::<List<SecretLine>>,
            None,
        ),
        || get(api::secrets),
    ),
    act(
        "/api/v1/secrets/{connector}/{role}/rotate",
        OPERATOR,
        ("Replace a connector's secret now", None),
        || post(api::rotate),
    ),
    act(
        "/api/v1/connectors/{connector}/drill",
        OPERATOR,
        ("Rehearse a departure at a connector", None),
        || post(api::drill),
    ),
    hand(
        "/api/v1/cases/{case}/evidence",
        AUDITOR,
        (
            "The signed evidence of a case, and a page of it",
            shape::<EvidenceFile>,
        ),
        || post(api::evidence),
    ),
    read(
        "/api/v1/audit",
        AUDITOR,
        (
            "The log: signed checkpoints, keys, what the last look at all of it came to",
            shape::<AuditView>,
            None,
        ),
        || get(api::audit),
    ),
    act(
        "/api/v1/audit/verify",
        AUDITOR,
        (
            "Read the whole log and say what is not as it was written",
            None,
        ),
        || post(api::verify),
    ),
    read(
        "/api/v1/audit/report",
        AUDITOR,
        (
            "Who left when and how it is proved, for the last thirty days unless asked otherwise",
            shape::<ReportTable>,
            Some(inline::<ReportAsked>),
        ),
        || get(api::report),
    ),
    read(
        "/api/v1/acts",
        AUDITOR,
        (
            "Who did what, newest first",
            shape::<List<ActLine>>,
            Some(inline::<ActsAsked>),
        ),
        || get(api::acts),
    ),
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
