//! `clawback tasks`: list, show, claim, close, confirm, retry, reject.
//!
//! Owns what a person who works on fallback tasks sees and says. A close is a claim: the machine
//! looks at the target, and this command waits for what it found (`closing`). Changes nothing itself.

use clap::Subcommand;

use super::context::{Context, Wishing};
use super::exit::{Exit, Stop};
use super::output::{and_one, cut, instant, sheet, table};
use crate::domain::command::Wish;
use crate::domain::desk::DeskCopy;
use crate::domain::id::{ConnectorName, TaskId};
use crate::domain::task::{FallbackTask, TaskState};
use crate::store::{Store, TaskFilter};

mod closing;

use closing::{Close, Confirm};

/// Where a task can stand.
const STATES: [&str; 6] = [
    "open",
    "claimed",
    "checking",
    "sent_back",
    "awaiting_second_person",
    "closed",
];

/// What to do with tasks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tasks by priority, then deadline.
    List {
        /// Closed ones too.
        #[arg(long)]
        closed: bool,
        /// Only of this target.
        #[arg(long, value_name = "CONNECTOR")]
        connector: Option<String>,
        /// Only in this state; `closed` needs no `--closed`.
        #[arg(long, value_parser = STATES)]
        state: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One task with everything that is needed to do it.
    Show {
        /// Its id.
        id: TaskId,
    },
    /// Take a task.
    Claim {
        /// Its id.
        id: TaskId,
        #[command(flatten)]
        wishing: Wishing,
    },
    /// Say that a task is done. The machine checks at the target.
    Close(Close),
    /// Stand, as a second person, for what another has attested.
    Confirm(Confirm),
    /// Have the machine try again now.
    Retry {
        /// Its id.
        id: TaskId,
        #[command(flatten)]
        wishing: Wishing,
    },
    /// Give a task back to the queue.
    Reject {
        /// Its id.
        id: TaskId,
        /// Why.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        wishing: Wishing,
    },
}

/// Carries out the command.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let store = store.as_ref();
    match command {
        Command::List {
            closed,
            connector,
            limit,
            state,
        } => {
            let filter = TaskFilter {
                closed,
                connector: connector.map(ConnectorName),
                state,
                limit: and_one(limit),
            };
            let mut tasks = store.tasks(&filter).await?;
            cut(&mut tasks, limit, "--limit N");
            context
                .output
                .data(&serde_json::to_value(&tasks)?, || list(&tasks))?;
        }
        Command::Show { id } => {
            let copies = store.copies_of(id).await?;
            show(context, &find(store, id).await?, &copies)?;
        }
        Command::Claim { id, wishing } => {
            find(store, id).await?;
            context
                .wish(store, &wishing, Wish::ClaimTask { task: id })
                .await?;
            show(context, &find(store, id).await?, &[])?;
        }
        Command::Retry { id, wishing } => {
            find(store, id).await?;
            context
                .wish(store, &wishing, Wish::RetryTask { task: id })
                .await?;
            show(context, &find(store, id).await?, &[])?;
        }
        Command::Close(close) => return closing::close(context, store, close).await,
        Command::Confirm(confirm) => return closing::confirm(context, store, confirm).await,
        Command::Reject {
            id,
            reason,
            wishing,
        } => {
            find(store, id).await?;
            let wish = Wish::RejectTask { task: id, reason };
            context.wish(store, &wishing, wish).await?;
            show(context, &find(store, id).await?, &[])?;
        }
    }
    Ok(Exit::Done)
}

async fn find(store: &dyn Store, id: TaskId) -> anyhow::Result<FallbackTask> {
    let task = store.task(id).await?;
    Ok(task.ok_or_else(|| Stop::NotFound {
        what: "task",
        name: id.to_string(),
    })?)
}

fn list(tasks: &[FallbackTask]) -> String {
    let rows = tasks.iter().map(|task| {
        vec![
            task.id.to_string(),
            if task.drill {
                format!("drill, {}", state(&task.state))
            } else {
                state(&task.state)
            },
            task.connector
                .as_ref()
                .map_or(String::new(), ToString::to_string),
            task.subject.clone(),
            task.account.clone().unwrap_or_default(),
            task.code.clone(),
            instant(task.deadline),
        ]
    });
    let headings = [
        "task", "state", "target", "subject", "account", "why", "deadline",
    ];
    table(&headings, rows.collect(), "no tasks")
}

fn show(context: &Context, task: &FallbackTask, copies: &[DeskCopy]) -> anyhow::Result<()> {
    let mut data = serde_json::to_value(task)?;
    data["meant"] = task.meant().to_string().into();
    if !copies.is_empty() {
        data["copies"] = serde_json::to_value(copies)?;
    }
    context.output.data(&data, || {
        let copies: Vec<_> = copies.iter().map(copy).collect();
        format!("{}\n{}", tell(task), copies.join("\n"))
    })?;
    Ok(())
}

/// A copy in one line: where, its reference, how it stands, and what holds it up.
fn copy(copy: &DeskCopy) -> String {
    let ticket = copy.ticket.as_ref();
    let shown = ticket.map_or("no ticket yet", |ticket| ticket.shown.as_str());
    let mut line = format!("copy at {}: {shown}, {}", copy.desk, copy.stands.as_str());
    if let Some(page) = ticket.and_then(|ticket| ticket.page.as_ref()) {
        line = format!("{line}, {page}");
    }
    if let Some(trouble) = &copy.trouble {
        line = format!("{line}; held up after {} tries: {trouble}", copy.failures);
    }
    line
}

fn state(state: &TaskState) -> String {
    match state {
        TaskState::Open => "open".to_owned(),
        TaskState::Claimed { by, .. } => format!("claimed by {by}"),
        TaskState::Checking(claim) => format!("checking what {} says", claim.by),
        TaskState::SentBack { by, .. } => format!("sent back by {by}"),
        TaskState::AwaitingSecondPerson(claim) => {
            format!("{} attests; awaits a second person", claim.by)
        }
        TaskState::Closed { how, by, .. } => format!("closed by {by}, {}", how.as_str()),
    }
}

fn tell(task: &FallbackTask) -> String {
    let numbered = |lines: Vec<String>| {
        let lines = lines.iter().zip(1..);
        let lines: Vec<_> = lines
            .map(|(line, number)| format!("{number}. {line}"))
            .collect();
        lines.join("\n")
    };
    let access = task.access.iter().map(|entitlement| {
        let origin = entitlement.inherited_from.as_ref();
        let origin = origin.map_or(String::new(), |parent| format!(" (from {parent})"));
        format!("{:?} {}{origin}", entitlement.kind, entitlement.name)
    });
    let history = task.history.iter();
    let history: Vec<_> = history
        .map(|note| format!("{} {}: {}", instant(note.at), note.by, note.text))
        .collect();
    sheet(&[
        ("task", task.id.to_string()),
        ("state", state(&task.state)),
        (
            "drill",
            if task.drill {
                "yes: nobody has to work on it".to_owned()
            } else {
                String::new()
            },
        ),
        ("who", task.subject.clone()),
        (
            "where",
            task.connector
                .as_ref()
                .map_or(String::new(), ToString::to_string),
        ),
        ("account", task.account.clone().unwrap_or_default()),
        ("access", access.collect::<Vec<_>>().join("\n")),
        ("as of", task.access_as_of.map_or(String::new(), instant)),
        ("why", format!("{} {}", task.code, task.why)),
        ("what to do", numbered(task.steps.clone())),
        ("desk", task.desk.clone()),
        ("opened", instant(task.opened)),
        ("deadline", instant(task.deadline)),
        ("escalated", escalated(task)),
        ("found", found(task)),
        ("attested", attested(task)),
        (
            "in bulk",
            task.bulk.as_ref().map_or(String::new(), |bulk| {
                format!("with {} at once: {}", bulk.of, bulk.reason)
            }),
        ),
        (
            "privileged",
            if task.privileged {
                "yes: an attestation needs a second person".to_owned()
            } else {
                String::new()
            },
        ),
        (
            "case",
            task.case.map_or(String::new(), |case| case.to_string()),
        ),
        ("history", history.join("\n")),
        ("meant", task.meant().to_string()),
    ])
}

/// What speaks against the last claim.
fn found(task: &FallbackTask) -> String {
    match &task.state {
        TaskState::SentBack { found, .. } => found.clone(),
        TaskState::Open
        | TaskState::Claimed { .. }
        | TaskState::Checking(_)
        | TaskState::AwaitingSecondPerson(_)
        | TaskState::Closed { .. } => String::new(),
    }
}

fn attested(task: &FallbackTask) -> String {
    let signed = task.attestations.iter();
    let signed = signed.map(|one| format!("{}: {}", one.by, one.statement));
    signed.collect::<Vec<_>>().join("\n")
}

fn escalated(task: &FallbackTask) -> String {
    let told = &task.escalation;
    match (&told.to, told.at) {
        (Some(to), Some(at)) => format!(
            "{} times, last to {} ({}) {}",
            told.times,
            to.name,
            to.role.as_str(),
            instant(at)
        ),
        _ => String::new(),
    }
}
