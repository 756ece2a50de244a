//! The API's routes: what each takes and gives, in the words of its description.
//!
//! Owns this part of the table; the rules for all of it are in `routes`.

use axum::routing::{get, post};

use super::super::backing::{EvidenceFile, Governed, ReportTable};
use super::super::deeds::{Approve, Close, Reason, Rule};
use super::super::matters::Propose;
use super::super::route::{Need, Route, act, anything, hand, inline, read, shape};
use super::super::stops::CloseAll;
use super::super::view::{
    ActLine, ActsAsked, ApprovalView, AuditView, CaseLine, CaseView, CasesAsked, ConnectorLine,
    ConnectorView, LetterLine, LetterView, List, MatterView, OverviewView, ReportAsked, SecretLine,
    TaskLine, TaskView, TasksAsked,
};
use super::super::{api, matters, stops};
use super::{APPROVER, AUDITOR, OPERATOR, VIEWER};

pub(super) static API: &[Route] = &[
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
        "/api/v1/tasks/{task}/rule",
        OPERATOR,
        (
            "Answer the doubt for which an event is held",
            Some(shape::<Rule>),
        ),
        || post(api::rule),
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
    act(
        "/api/v1/tasks/{task}/confirm",
        OPERATOR,
        (
            "Stand, as a second person, for what another attested",
            Some(shape::<stops::Confirm>),
        ),
        || post(stops::confirm),
    ),
    act(
        "/api/v1/tasks/{task}/retry",
        OPERATOR,
        ("Have the machine try now what it would try later", None),
        || post(stops::retry),
    ),
    act(
        "/api/v1/tasks/close",
        OPERATOR,
        (
            "Say of all open tasks of one target that they are done; each is checked",
            Some(shape::<CloseAll>),
        ),
        || post(stops::close_all),
    ),
    act(
        "/api/v1/pause",
        OPERATOR,
        (
            "Stop all work at every target; it lasts until it is ended",
            Some(shape::<Reason>),
        ),
        || post(stops::pause_all),
    ),
    act(
        "/api/v1/resume",
        OPERATOR,
        ("End the pause of every target", Some(shape::<Reason>)),
        || post(stops::resume_all),
    ),
    act(
        "/api/v1/connectors/{connector}/pause",
        OPERATOR,
        (
            "Stop all work at one target; it lasts until it is ended",
            Some(shape::<Reason>),
        ),
        || post(stops::pause),
    ),
    act(
        "/api/v1/connectors/{connector}/resume",
        OPERATOR,
        ("End the pause of one target", Some(shape::<Reason>)),
        || post(stops::resume),
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
        "/api/v1/matters",
        VIEWER,
        (
            "What else takes two people: what waits, then what is in force",
            shape::<List<MatterView>>,
            None,
        ),
        || get(matters::list),
    ),
    act(
        "/api/v1/tasks/{task}/propose",
        OPERATOR,
        (
            "Propose that what holds a task lets it go on",
            Some(shape::<Propose>),
        ),
        || post(matters::propose),
    ),
    act(
        "/api/v1/matters/{proposal}/approve",
        APPROVER,
        (
            "Approve exactly what somebody else proposed",
            Some(shape::<Approve>),
        ),
        || post(matters::approve),
    ),
    act(
        "/api/v1/matters/{proposal}/reject",
        APPROVER,
        (
            "Turn a proposal down, or take one's own back",
            Some(shape::<Reason>),
        ),
        || post(matters::reject),
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
    act(
        "/api/v1/dead-letters/{letter}/set-aside",
        OPERATOR,
        (
            "Say that nothing needs to come of it; it stays and can still be replayed",
            Some(shape::<Reason>),
        ),
        || post(api::set_aside),
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
