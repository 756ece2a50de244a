//! Fallback tasks as they are shown: a line in a list, and everything that is needed to do one.
//!
//! Owns their shape. What a close is worth is decided at the target, not here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::office::Office;
use super::super::problem::Problem;
use super::super::words;
use super::List;
use crate::domain::desk::DeskCopy;
use crate::domain::doubt::is_held;
use crate::domain::id::{ConnectorName, TaskId};
use crate::domain::outcome::FailureClass;
use crate::domain::run::RunBody;
use crate::domain::task::{FallbackTask, TaskState};
use crate::domain::time::Timestamp;
use crate::domain::{brake, protect};
use crate::store::{ActFilter, TaskFilter};

/// Which tasks to list.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub(in super::super) struct TasksAsked {
    /// Closed ones too.
    #[serde(default)]
    pub closed: bool,
    /// Only of this connector.
    pub connector: Option<String>,
    /// At most so many.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
}

/// One line of a list of tasks.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct TaskLine {
    pub id: uuid::Uuid,
    /// `open`, `claimed`, `checking`, `sent_back`, `awaiting_second_person` or `closed`.
    pub state: String,
    /// Who has it, or closed it.
    pub by: Option<String>,
    pub connector: Option<String>,
    pub case: Option<uuid::Uuid>,
    pub subject: String,
    pub account: Option<String>,
    pub privileged: bool,
    /// Lower is sooner.
    pub priority: i16,
    /// Failure class, where a try of the machine failed.
    pub class: Option<String>,
    /// Heading in `docs/errors.md`.
    pub code: String,
    pub why: String,
    pub opened: Timestamp,
    pub deadline: Timestamp,
    pub overdue: bool,
}

/// One task with everything that is needed to do it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct TaskView {
    #[serde(flatten)]
    pub line: TaskLine,
    /// A digest of what it asks right now, which an answer or a confirmation may bear.
    pub meant: String,
    /// What to do, from the connector's manifest.
    pub steps: Vec<String>,
    /// Access as last known.
    pub access: Vec<String>,
    /// How old that knowledge is.
    pub access_as_of: Option<Timestamp>,
    /// The desk that gets a copy.
    pub desk: String,
    /// Its copies at desks besides the built-in queue.
    pub tickets: Vec<TicketView>,
    /// `doubt` where a held event waits for an answer, `exception` where two people may let it go on.
    pub held: Option<String>,
    /// How it is known to be done, once it is closed.
    pub closure: Option<String>,
    /// What was signed: the last claim's statement, and the second person's after it.
    pub signed: Vec<SignedView>,
    /// With how many others it was closed at once, and why.
    pub closed_at_once: Option<String>,
    /// Who was told last that it is overdue, and how often somebody was.
    pub escalated: Option<String>,
    pub history: Vec<NoteView>,
    /// What people have stated about it while signed in.
    pub statements: Vec<StatementView>,
}

/// A copy of a task at a desk.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct TicketView {
    pub desk: String,
    /// What people there call it, once there is one.
    pub number: Option<String>,
    /// Where people see it, where the desk has such a page.
    pub page: Option<String>,
    /// `unknown`, `open`, `closed` or `gone`, as it was seen last.
    pub state: String,
    /// When it was last found to be as it should.
    pub agreed: Option<Timestamp>,
    /// What holds the copy up.
    pub trouble: Option<String>,
}

/// A statement that closes a task, or would with another's.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct SignedView {
    pub by: String,
    /// Word for word.
    pub statement: String,
}

/// One line of a task's history.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct NoteView {
    pub at: Timestamp,
    pub by: String,
    pub text: String,
}

/// What somebody has stated about a task; a close may rest on it where the target cannot be read.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct StatementView {
    /// Its number in the record.
    pub number: u64,
    pub at: Timestamp,
    pub by: String,
    pub text: String,
}

impl TicketView {
    fn of(copy: &DeskCopy) -> Self {
        let ticket = copy.ticket.as_ref();
        Self {
            desk: copy.desk.to_string(),
            number: ticket.map(|ticket| ticket.shown.clone()),
            page: ticket.and_then(|ticket| ticket.page.clone()),
            state: copy.stands.as_str().to_owned(),
            agreed: copy.agreed,
            trouble: copy
                .trouble
                .as_ref()
                .map(|trouble| format!("after {} tries: {trouble}", copy.failures)),
        }
    }
}

/// The act that a statement is.
pub(in super::super) const STATES: &str = "attest_task";

impl TaskLine {
    pub(in super::super) fn of(task: &FallbackTask, now: Timestamp) -> Self {
        let by = match &task.state {
            TaskState::Open | TaskState::SentBack { .. } => None,
            TaskState::Claimed { by, .. } | TaskState::Closed { by, .. } => Some(by.clone()),
            TaskState::Checking(claim) | TaskState::AwaitingSecondPerson(claim) => {
                Some(claim.by.clone())
            }
        };
        let closed = matches!(task.state, TaskState::Closed { .. });
        Self {
            id: task.id.0,
            state: task.state.as_str().to_owned(),
            by,
            connector: task.connector.as_ref().map(ToString::to_string),
            case: task.case.map(|case| case.0),
            subject: task.subject.clone(),
            account: task.account.clone(),
            privileged: task.privileged,
            priority: task.priority,
            class: task.class.map(FailureClass::as_str).map(str::to_owned),
            code: task.code.clone(),
            why: task.why.clone(),
            opened: task.opened,
            deadline: task.deadline,
            overdue: !closed && task.deadline < now,
        }
    }
}

/// Tasks that are shown where nobody asks for more.
const SHOWN: u32 = 200;

/// Tasks by priority, then deadline.
pub(in super::super) async fn tasks(
    office: &Office,
    asked: &TasksAsked,
) -> Result<List<TaskLine>, Problem> {
    let limit = asked.limit.unwrap_or(SHOWN).min(1000);
    let filter = TaskFilter {
        closed: asked.closed,
        connector: asked.connector.clone().map(ConnectorName),
        limit: limit + 1,
        ..TaskFilter::default()
    };
    let tasks = office.store.tasks(&filter).await?;
    let now = office.now();
    let items = tasks.iter().map(|task| TaskLine::of(task, now)).collect();
    Ok(List::first(items, limit))
}

/// What a person can answer about it, besides that it is done.
pub(in super::super) const DOUBT: &str = "doubt";
/// What two people can let through.
pub(in super::super) const EXCEPTION: &str = "exception";

/// What holds it, where something does.
async fn held(office: &Office, task: &FallbackTask) -> Result<Option<String>, Problem> {
    let code = task.code.as_str();
    if protect::CODES.contains(&code) || brake::CODES.contains(&code) {
        return Ok(Some(EXCEPTION.to_owned()));
    }
    let run = office.store.run(task.run).await?;
    let doubted = run.is_some_and(|(run, _)| match &run.body {
        RunBody::Case(body) => is_held(body),
        RunBody::Discovery(_) | RunBody::Removal(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
            false
        }
    });
    Ok((doubted && !task.is_closed()).then(|| DOUBT.to_owned()))
}

/// One task.
pub(in super::super) async fn one_task(office: &Office, id: TaskId) -> Result<TaskView, Problem> {
    let task = office.store.task(id).await?;
    let task = task.ok_or_else(|| Problem::missing("task"))?;
    let filter = ActFilter {
        about: Some(id.to_string()),
        ..ActFilter::default()
    };
    let acts = office.store.acts(&filter).await?.into_iter();
    let statements = acts.filter(|(_, act)| act.what == STATES);
    let statements = statements.map(|(number, act)| StatementView {
        number,
        at: act.at,
        by: act.by,
        text: act.came_to,
    });
    let access = task.access.iter().map(|one| {
        let parent = one.inherited_from.as_ref();
        let parent = parent.map_or(String::new(), |parent| format!(", inherited from {parent}"));
        let kind = words::spaced(&format!("{:?}", one.kind).to_lowercase());
        format!("{kind} {}{parent}", one.name)
    });
    let notes = task.history.iter().map(|note| NoteView {
        at: note.at,
        by: note.by.clone(),
        text: note.text.clone(),
    });
    Ok(TaskView {
        line: TaskLine::of(&task, office.now()),
        meant: task.meant().to_string(),
        steps: task.steps.clone(),
        access: access.collect(),
        access_as_of: task.access_as_of,
        desk: task.desk.clone(),
        tickets: office
            .store
            .copies_of(id)
            .await?
            .iter()
            .map(TicketView::of)
            .collect(),
        held: held(office, &task).await?,
        closure: match &task.state {
            TaskState::Closed { how, .. } => Some(how.as_str().to_owned()),
            TaskState::Open
            | TaskState::Claimed { .. }
            | TaskState::Checking(_)
            | TaskState::SentBack { .. }
            | TaskState::AwaitingSecondPerson(_) => None,
        },
        signed: signed(&task),
        closed_at_once: task
            .bulk
            .as_ref()
            .map(|bulk| format!("one of {}: {}", bulk.of, bulk.reason)),
        escalated: escalated(&task),
        history: notes.collect(),
        statements: statements.collect(),
    })
}

fn signed(task: &FallbackTask) -> Vec<SignedView> {
    let signed = match &task.state {
        // It is on the task for good once it has closed it.
        TaskState::AwaitingSecondPerson(claim) | TaskState::Checking(claim) => {
            claim.attestation.iter().chain(&claim.second).collect()
        }
        TaskState::Open
        | TaskState::Claimed { .. }
        | TaskState::SentBack { .. }
        | TaskState::Closed { .. } => task.attestations.iter().collect::<Vec<_>>(),
    };
    let signed = signed.into_iter().map(|one| SignedView {
        by: one.by.clone(),
        statement: one.statement.clone(),
    });
    signed.collect()
}

fn escalated(task: &FallbackTask) -> Option<String> {
    let to = task.escalation.to.as_ref()?;
    let (times, role) = (task.escalation.times, to.role.as_str());
    let ends = if task.escalation.last {
        "; nobody comes after them"
    } else {
        ""
    };
    Some(format!("{times} times, last to {} ({role}){ends}", to.name))
}
