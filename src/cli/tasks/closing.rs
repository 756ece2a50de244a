//! `clawback tasks close` and `confirm`: what people claim, and what the machine finds.
//!
//! Owns the wait for the check of one task or of many, and how a bulk is chosen. Each task of a bulk is
//! a wish of its own, checked like any other, and bears the bulk's id, size and reason.

use std::io::{BufRead, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{find, show, state};
use crate::cli::context::{Context, Reading, Wishing};
use crate::cli::exit::{Exit, Stop};
use crate::cli::output::{Output, and_one, table};
use crate::domain::command::{Answer, Wish};
use crate::domain::id::{CommandId, ConnectorName, TaskId};
use crate::domain::task::{Attestation, Bulk, FallbackTask, TaskState};
use crate::store::{Store, TaskFilter};

const POLL: Duration = Duration::from_millis(200);
/// Tasks that one command closes at most.
const MOST: u32 = 10_000;

/// A claim that tasks are done.
#[derive(Debug, Args)]
pub struct Close {
    /// Their ids; for more than one a reason is needed.
    #[arg(required_unless_present = "all_of")]
    ids: Vec<TaskId>,
    /// All tasks of this target that are not closed.
    #[arg(
        long,
        value_name = "CONNECTOR",
        conflicts_with = "ids",
        requires = "reason"
    )]
    all_of: Option<String>,
    /// Of these only tasks with this code.
    #[arg(long, value_name = "CODE", requires = "all_of")]
    code: Option<String>,
    /// Why many are closed at once; it stands in each of them.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Close those that are shown without asking first: for programs, and where no terminal is.
    #[arg(long, requires = "all_of")]
    yes: bool,
    /// What was done.
    #[arg(long)]
    note: String,
    /// Your own statement, which stands where the target cannot be read. For privileged access a second
    /// person has to confirm it.
    #[arg(long, value_name = "STATEMENT")]
    attest: Option<String>,
    #[command(flatten)]
    wishing: Wishing,
}

/// A second person's word.
#[derive(Debug, Args)]
pub struct Confirm {
    /// Its id.
    id: TaskId,
    /// Your own statement.
    #[arg(long, value_name = "STATEMENT")]
    attest: String,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    wishing: Wishing,
}

/// Closes one task, or many.
pub async fn close(context: &Context, store: &dyn Store, close: Close) -> anyhow::Result<Exit> {
    let attestation = close.attest.clone().map(|statement| Attestation {
        by: close.wishing.by.clone(),
        statement,
    });
    let bulk = close.all_of.is_some() || close.ids.len() > 1;
    if let (false, [task]) = (bulk, close.ids.as_slice()) {
        let wish = Wish::CloseTask {
            task: *task,
            note: close.note,
            attestation,
        };
        return one(context, store, *task, wish, &close.wishing).await;
    }
    let Some(reason) = close.reason.clone() else {
        return Err(Stop::Usage {
            code: "CB-COMMAND-8",
            message: "closing many tasks at once needs a reason: --reason".to_owned(),
        }
        .into());
    };
    let tasks = chosen(store, &close).await?;
    if close.all_of.is_some() && !close.yes {
        let asks = std::io::stdin().is_terminal() && !context.output.json;
        agreed(tasks.len(), &mut std::io::stdin().lock(), asks)?;
    }
    let bulk = Bulk {
        id: CommandId(context.chance.id()),
        of: tasks.len() as u32,
        reason,
    };
    let wish = |task| Wish::CloseInBulk {
        task,
        note: close.note.clone(),
        attestation: attestation.clone(),
        bulk: bulk.clone(),
    };
    // All of them first: one whose answer is late keeps no other from being wished.
    let mut line = Vec::new();
    for task in &tasks {
        let command = context.command(&close.wishing, wish(*task));
        line.push(context.put(store, &command).await?);
    }
    let seconds = close.wishing.wait_seconds;
    let answers = context.answers(store, &line, seconds).await?;
    let mut came_to = Vec::new();
    for (task, answer) in tasks.into_iter().zip(answers) {
        let task = match &answer {
            Some(_) => checked(store, task, seconds).await?,
            None => find(store, task).await?,
        };
        came_to.push(Came { task, answer });
    }
    told(context, &bulk, &came_to)
}

/// What became of one of many.
struct Came {
    task: FallbackTask,
    /// None while the wish is in line.
    answer: Option<Answer>,
}

impl Came {
    fn refused(&self) -> Option<String> {
        let refused = self.answer.as_ref().filter(|answer| !answer.accepted)?;
        let code = refused.code.as_deref().unwrap_or_default();
        Some(format!("{code}: {}", refused.message))
    }
}

async fn chosen(store: &dyn Store, close: &Close) -> anyhow::Result<Vec<TaskId>> {
    let Some(connector) = &close.all_of else {
        for id in &close.ids {
            find(store, *id).await?;
        }
        return Ok(close.ids.clone());
    };
    let filter = TaskFilter {
        closed: false,
        connector: Some(ConnectorName(connector.clone())),
        limit: and_one(MOST),
        ..TaskFilter::default()
    };
    let mut tasks = store.tasks(&filter).await?;
    if tasks.len() > MOST as usize {
        tasks.truncate(MOST as usize);
        Output::note(&format!(
            "these are the first {MOST} tasks: the same command once more takes the next"
        ));
    }
    tasks.retain(|task| close.code.as_ref().is_none_or(|code| task.code == *code));
    if tasks.is_empty() {
        return Err(Stop::NotFound {
            what: "such open task of connector",
            name: connector.clone(),
        }
        .into());
    }
    Output::note(&shown(&tasks));
    Ok(tasks.iter().map(|task| task.id).collect())
}

/// What is about to be closed. What comes to be after this is another matter, and stays open.
fn shown(tasks: &[FallbackTask]) -> String {
    let rows = tasks.iter().map(|task| {
        vec![
            task.id.to_string(),
            state(&task.state),
            task.code.clone(),
            task.subject.clone(),
        ]
    });
    table(&["task", "state", "code", "subject"], rows.collect(), "")
}

/// Asks whether those that were shown are meant; whatever is not `yes` is no.
fn agreed(count: usize, answers: &mut dyn BufRead, asks: bool) -> anyhow::Result<()> {
    let words = if asks {
        Output::note(&format!(
            "close these {count} tasks, and no others? Type yes:"
        ));
        let mut line = String::new();
        answers.read_line(&mut line)?;
        if line.trim() == "yes" {
            return Ok(());
        }
        "nothing was closed"
    } else {
        "nobody can be asked whether these are meant, and nothing was closed"
    };
    Err(Stop::Usage {
        code: "CB-COMMAND-13",
        message: format!(
            "{words}; name their ids, or say --yes to close what is shown at that moment"
        ),
    }
    .into())
}

/// Tells what became of a bulk.
fn told(context: &Context, bulk: &Bulk, came_to: &[Came]) -> anyhow::Result<Exit> {
    context.output.data(&as_json(bulk, came_to), || {
        let rows = came_to.iter().map(|one| {
            let why = match &one.answer {
                None => "in line: no worker has answered".to_owned(),
                Some(_) => one.refused().unwrap_or_default(),
            };
            vec![
                one.task.id.to_string(),
                state(&one.task.state),
                one.task.subject.clone(),
                why,
            ]
        });
        let headings = ["task", "state", "subject", "refused"];
        table(&headings, rows.collect(), "no such tasks")
    })?;
    let waits = came_to.iter().filter(|one| one.answer.is_none()).count();
    if waits > 0 {
        Output::note(&format!(
            "{waits} of {} wishes are in line and will be carried out when a worker runs (`clawback run`)",
            came_to.len()
        ));
        return Ok(Exit::Unanswered);
    }
    let left = came_to.iter().filter(|one| !is_settled(&one.task)).count();
    if left == 0 {
        return Ok(Exit::Done);
    }
    Output::note(&format!("{left} of {} are not closed", came_to.len()));
    Ok(Exit::Refused)
}

fn as_json(bulk: &Bulk, came_to: &[Came]) -> Value {
    let tasks = came_to.iter().map(|one| {
        json!({
            "task": one.task.id,
            "state": one.task.state.as_str(),
            "refused": one.refused(),
            "waits": one.answer.is_none(),
        })
    });
    json!({"bulk": bulk, "tasks": tasks.collect::<Vec<_>>()})
}

/// A second person stands for what another attested.
pub async fn confirm(
    context: &Context,
    store: &dyn Store,
    confirm: Confirm,
) -> anyhow::Result<Exit> {
    let wish = Wish::ConfirmTask {
        task: confirm.id,
        statement: confirm.attest,
        meant: confirm.reading.digest(),
    };
    one(context, store, confirm.id, wish, &confirm.wishing).await
}

async fn one(
    context: &Context,
    store: &dyn Store,
    id: TaskId,
    wish: Wish,
    wishing: &Wishing,
) -> anyhow::Result<Exit> {
    let known = find(store, id).await?.history.len();
    context.wish(store, wishing, wish).await?;
    let task = checked(store, id, wishing.wait_seconds).await?;
    show(context, &task, &[])?;
    match &task.state {
        TaskState::Checking(_) => {
            Output::note(
                "the machine is still checking, or the target is paused; look again with \
                 `clawback tasks show`",
            );
            Ok(Exit::Unanswered)
        }
        TaskState::AwaitingSecondPerson(_) => {
            Output::note(&format!(
                "a second person has to confirm it: `clawback tasks confirm {id}`"
            ));
            Ok(Exit::Done)
        }
        TaskState::Closed { .. } => Ok(Exit::Done),
        TaskState::Open | TaskState::Claimed { .. } | TaskState::SentBack { .. } => {
            for note in task.history.iter().skip(known) {
                Output::note(&note.text);
            }
            Ok(Exit::Refused)
        }
    }
}

/// The task once its check is over, or as it stands when the time is.
async fn checked(store: &dyn Store, id: TaskId, seconds: u64) -> anyhow::Result<FallbackTask> {
    let bound = Duration::from_secs(seconds.max(1));
    let checked = tokio::time::timeout(bound, async {
        loop {
            let task = find(store, id).await?;
            if !matches!(task.state, TaskState::Checking(_)) {
                return anyhow::Ok(task);
            }
            tokio::time::sleep(POLL).await;
        }
    });
    match checked.await {
        Ok(task) => task,
        Err(_) => find(store, id).await,
    }
}

/// Nothing more is to be done by who closed it.
fn is_settled(task: &FallbackTask) -> bool {
    matches!(
        task.state,
        TaskState::Closed { .. } | TaskState::AwaitingSecondPerson(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ActFilter, given};

    #[test]
    fn f4_many_tasks_are_closed_on_a_plain_yes_alone() {
        let mut yes = &b"yes\n"[..];
        agreed(3, &mut yes, true).expect("is meant");
        for (answer, asks) in [("", true), ("y\n", true), ("no\n", true), ("yes\n", false)] {
            let refused = agreed(3, &mut answer.as_bytes(), asks).expect_err("is not meant");
            let told = refused.to_string();
            assert!(
                told.contains("CB-COMMAND-13") && told.contains("--yes"),
                "{told}"
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn f4_of_many_tasks_each_is_wished_though_no_worker_answers() {
        // Given three tasks and no worker.
        let place = crate::store::Settings::at("sqlite::memory:");
        let store = crate::store::open(&place).await.expect("opened");
        store.migrate().await.expect("migrated");
        let (mut tasks, mut cases) = (Vec::new(), Vec::new());
        for name in ["one", "two", "three"] {
            let removal = given::a_removal(&store, name).await;
            let batch = [given::fenced(&removal, given::handed_over(&removal.run))];
            let settled = store.settle(given::at(1), &given::keep(1, 0), &batch).await;
            assert_eq!(settled.expect("settled").accepted, [true]);
            tasks.push(removal.run.id.task());
            cases.push(removal.run.case.expect("of a case"));
        }
        // When all are closed, and nothing is waited for.
        let wishing = Wishing {
            by: "ann".to_owned(),
            wait_seconds: 0,
        };
        let wanted = Close {
            ids: Vec::new(),
            all_of: Some("crm".to_owned()),
            code: None,
            reason: Some("the vendor has closed".to_owned()),
            yes: true,
            note: "done".to_owned(),
            attest: None,
            wishing,
        };
        let context = Context::new("nowhere.toml".into(), true);
        let exit = close(&context, store.as_ref(), wanted).await;
        // Then each wish is in line and its act noted, and the exit code says that nobody has answered.
        assert_eq!(exit.expect("told"), Exit::Unanswered);
        for case in cases {
            let dossier = store.dossier(case).await.expect("read").expect("there");
            let answers: Vec<_> = dossier.wishes.iter().map(|(_, answer)| answer).collect();
            assert_eq!(answers, [&None]);
        }
        let acts = store.acts(&ActFilter::default()).await.expect("read");
        let came_to: Vec<_> = acts.iter().map(|(_, act)| act.came_to.as_str()).collect();
        assert_eq!(came_to, ["waits in line"; 3]);
        // And what programs read has all three.
        let mut came_to = Vec::new();
        for task in tasks {
            let task = find(store.as_ref(), task).await.expect("there");
            came_to.push(Came { task, answer: None });
        }
        let bulk = Bulk {
            id: CommandId(context.chance.id()),
            of: 3,
            reason: "so".to_owned(),
        };
        let told = as_json(&bulk, &came_to);
        for (place, one) in came_to.iter().enumerate() {
            let one = json!({
                "task": one.task.id, "state": "open", "refused": null, "waits": true,
            });
            assert_eq!(told["tasks"][place], one);
        }
    }
}
