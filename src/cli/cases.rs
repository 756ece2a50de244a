//! `clawback cases`: list and show.
//!
//! Owns how a case is told: its line in a list, and its story with every run, step and task. Reads
//! the store only.

use clap::Subcommand;
use serde_json::{Value, json};

use super::approvals::short;
use super::context::{Context, Reading, Wishing};
use super::exit::{Exit, Stop};
use super::output::{and_one, cut, instant, sheet, table};
use super::pause;
use crate::app::evidence::{self, Return};
use crate::domain::command::Wish;
use crate::domain::id::CaseId;
use crate::domain::pause::Pauses;
use crate::domain::run::{Run, RunBody, Stage, residual_risk};
use crate::domain::settlement::JournalEntry;
use crate::domain::verdict::Verdict;
use crate::domain::workflow::End;
use crate::store::{CaseFilter, CaseReport, CaseStory, Store};

/// What to do with cases.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Cases, newest first.
    List {
        /// Only those that have not ended.
        #[arg(long)]
        open: bool,
        /// Only those whose subject's name or id contains this.
        #[arg(long, value_name = "TEXT")]
        subject: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Let an event go that is held for a doubt: it is as the event says.
    Release {
        /// Its case.
        id: CaseId,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        note: String,
        #[command(flatten)]
        reading: Reading,
        #[command(flatten)]
        wishing: Wishing,
    },
    /// Drop an event that is held for a doubt: nothing is done for it.
    Drop {
        /// Its case.
        id: CaseId,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        note: String,
        #[command(flatten)]
        reading: Reading,
        #[command(flatten)]
        wishing: Wishing,
    },
    /// One case: its runs, what happened step by step, its tasks.
    Show {
        /// Its id.
        id: CaseId,
    },
}

/// Carries out the command.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    match command {
        Command::List {
            open,
            subject,
            limit,
        } => {
            let filter = CaseFilter {
                open,
                subject,
                event: None,
                limit: and_one(limit),
            };
            let mut cases = store.cases(&filter).await?;
            cut(&mut cases, limit, "--limit N");
            context
                .output
                .data(&serde_json::to_value(&cases)?, || list(&cases))?;
        }
        Command::Release {
            id,
            note,
            reading,
            wishing,
        } => return rule(context, &*store, id, (true, note, reading), &wishing).await,
        Command::Drop {
            id,
            note,
            reading,
            wishing,
        } => return rule(context, &*store, id, (false, note, reading), &wishing).await,
        Command::Show { id } => {
            let story = find(&*store, id).await?;
            let pauses = store.pauses().await?;
            let back = back(&*store, &story).await?;
            context.output.data(&as_json(&story, &pauses, &back), || {
                tell(&story, &pauses, &back)
            })?;
        }
    }
    Ok(Exit::Done)
}

async fn find(store: &dyn Store, id: CaseId) -> anyhow::Result<CaseStory> {
    Ok(store.case(id).await?.ok_or_else(|| Stop::NotFound {
        what: "case",
        name: id.to_string(),
    })?)
}

async fn rule(
    context: &Context,
    store: &dyn Store,
    id: CaseId,
    (release, note, reading): (bool, String, Reading),
    wishing: &Wishing,
) -> anyhow::Result<Exit> {
    find(store, id).await?;
    let task = id.run().task();
    let wish = Wish::RuleHold {
        task,
        release,
        note,
        meant: reading.digest(),
    };
    let answer = context.wish(store, wishing, wish).await?;
    let data = serde_json::to_value(&answer)?;
    context.output.data(&data, || answer.message.clone())?;
    Ok(Exit::Done)
}

fn list(cases: &[CaseReport]) -> String {
    let rows = cases.iter().map(|case| {
        vec![
            case.row.id.to_string(),
            case.row.subject_name.clone(),
            instant(case.row.effective),
            case.ended.map_or("open", End::as_str).to_owned(),
            format!("{} of {}", case.verified, case.removals),
            case.attested.to_string(),
            case.open_tasks.to_string(),
        ]
    });
    let headings = [
        "case",
        "subject",
        "effective",
        "state",
        "verified",
        "attested",
        "open tasks",
    ];
    table(&headings, rows.collect(), "no cases")
}

/// What of the case was there again later, by run, and the case that goes on with it.
async fn back(store: &dyn Store, story: &CaseStory) -> anyhow::Result<Vec<(Run, Return)>> {
    let all = evidence::returns(store, &story.report.row.subject_key).await?;
    let runs = story.runs.iter();
    let back = runs.filter_map(|run| {
        let back = evidence::returned(&all, run.id)?;
        Some((run.clone(), back.clone()))
    });
    Ok(back.collect())
}

fn as_json(story: &CaseStory, pauses: &Pauses, back: &[(Run, Return)]) -> Value {
    let returned = back
        .iter()
        .map(|(run, back)| json!({"run": run.id, "returned": back.told()}));
    let paused = story.runs.iter();
    let paused = paused
        .filter_map(|run| Some(json!({"run": run.id, "paused": pause::holding(pauses, run)?})));
    json!({
        "paused": paused.collect::<Vec<_>>(),
        "returned": returned.collect::<Vec<_>>(),
        "report": story.report,
        "origin": story.origin,
        "runs": story.runs,
        "journal": story.journal,
        "tasks": story.tasks,
    })
}

fn tell(story: &CaseStory, pauses: &Pauses, back: &[(Run, Return)]) -> String {
    let case = &story.report;
    let head = sheet(&[
        ("case", case.row.id.to_string()),
        (
            "subject",
            format!("{} ({})", case.row.subject_name, case.row.subject_key),
        ),
        (
            "hr case",
            format!("{}, revision {}", case.row.hr_case, case.row.revision),
        ),
        (
            "event",
            format!(
                "{} from {} [{}] at {}",
                case.row.event, story.origin.topic, story.origin.partition, story.origin.offset
            ),
        ),
        ("workflow", case.row.workflow.clone()),
        ("effective", instant(case.row.effective)),
        ("opened", instant(case.row.opened)),
        ("state", case.ended.map_or("open", End::as_str).to_owned()),
        ("ended", case.ended_at.map_or(String::new(), instant)),
    ]);
    let runs = table(
        &["run", "target", "account", "stands at", "known"],
        story.runs.iter().map(|run| run_row(run, pauses)).collect(),
        "no runs",
    );
    let journal = table(
        &[
            "when", "target", "state", "item", "outcome", "manifest", "why",
        ],
        story
            .journal
            .iter()
            .map(|entry| journal_row(story, entry))
            .collect(),
        "nothing has happened yet",
    );
    let tasks = table(
        &["task", "state", "target", "why"],
        story
            .tasks
            .iter()
            .map(|task| {
                vec![
                    task.id.to_string(),
                    task.state.as_str().to_owned(),
                    task.connector
                        .as_ref()
                        .map_or(String::new(), ToString::to_string),
                    format!("{} {}", task.code, task.why),
                ]
            })
            .collect(),
        "no tasks",
    );
    let again = returns(back);
    format!("{head}\n\nRuns\n{runs}{again}\n\nWhat happened\n{journal}\n\nTasks\n{tasks}")
}

/// Nothing where nothing came back.
fn returns(back: &[(Run, Return)]) -> String {
    if back.is_empty() {
        return String::new();
    }
    let rows = back.iter().map(|(run, back)| {
        let connector = run.connector.as_ref();
        vec![
            connector.map_or(String::new(), ToString::to_string),
            instant(back.at),
            back.case.to_string(),
            back.state().to_owned(),
        ]
    });
    let headings = ["target", "seen again", "case", "state"];
    format!("\n\nSeen again\n{}", table(&headings, rows.collect(), ""))
}

fn run_row(run: &Run, pauses: &Pauses) -> Vec<String> {
    let account = match &run.body {
        RunBody::Removal(body) => body.account.login.clone(),
        RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
            String::new()
        }
    };
    let stands = match &run.stage {
        Stage::Due { state, due } => match pause::holding(pauses, run) {
            Some(words) => format!("{state}, {words}"),
            None => format!("{state}, due {}", instant(*due)),
        },
        Stage::Gathering { state } => format!("{state}, waits for its runs"),
        Stage::WithPerson { .. } => residual_risk(run).map_or_else(
            || "with a person".to_owned(),
            |risk| format!("with a person; {risk}"),
        ),
        Stage::Ended { end, at } => format!("{} {}", end.as_str(), instant(*at)),
    };
    vec![
        run.kind.as_str().to_owned(),
        run.connector
            .as_ref()
            .map_or(String::new(), ToString::to_string),
        account,
        stands,
        run.verdict.map_or("", Verdict::as_str).to_owned(),
    ]
}

/// Under which manifest the step was let through; with a mark where a file had taken something away.
fn manifest(entry: &JournalEntry) -> String {
    let told = |key: &str| {
        entry
            .detail
            .as_ref()
            .and_then(|detail| detail[key].as_str())
    };
    let narrowed = told("narrowed_by").map_or("", |_| " narrowed");
    told("manifest").map_or(String::new(), |digest| {
        format!("{}{narrowed}", short(digest))
    })
}

fn journal_row(story: &CaseStory, entry: &JournalEntry) -> Vec<String> {
    let run = story.runs.iter().find(|run| run.id == entry.run);
    let target = run.and_then(|run| run.connector.as_ref());
    vec![
        instant(entry.at),
        target.map_or(String::new(), ToString::to_string),
        entry.state.to_string(),
        entry
            .item
            .as_ref()
            .map_or(String::new(), ToString::to_string),
        entry.outcome.as_str().to_owned(),
        manifest(entry),
        entry.failure.as_ref().map_or(String::new(), |failure| {
            format!("{} {}", failure.code, failure.message)
        }),
    ]
}
