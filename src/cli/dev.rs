//! `clawback dev`: the whole product embedded, with a believable company leaving it.
//!
//! Owns what the terminal tells and the exit code: `--once` ends well only if the promise held,
//! judged against the targets' own truth. Needs no server and leaves nothing behind.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::exit::Exit;
use super::output::{Output, sheet};
use super::run::stop_signal;
use crate::app::dev::{Dev, Summary, Wanted};

/// What the demonstration is like.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Play a fixed set of events, wait until all is settled or with a person, and judge it.
    #[arg(long)]
    once: bool,
    /// Decides the people, their access and the lies.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// People at the start, at least 1.
    #[arg(long, default_value_t = 60, value_parser = people)]
    employees: usize,
    /// Seconds between two events of the stream.
    #[arg(long, default_value_t = 3)]
    pause_seconds: u64,
    /// Keep everything in this folder instead of a temporary one.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// A company of nobody proves nothing.
fn people(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "this is no number".to_owned())?;
    match number {
        0 => Err("at least 1 person has to work there".to_owned()),
        number => Ok(number),
    }
}

/// Plays until stopped, or once.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<Exit> {
    // From here on: an interrupt that ends the process at once would leave the folder behind.
    let stop = CancellationToken::new();
    let _signals = listening(&stop);
    let temporary = tempfile::Builder::new().prefix("clawback-dev-").tempdir()?;
    let folder = arguments
        .folder
        .unwrap_or_else(|| temporary.path().to_owned());
    let wanted = Wanted {
        folder,
        seed: arguments.seed,
        employees: arguments.employees,
        pause: Duration::from_secs(arguments.pause_seconds),
    };
    let starting = Dev::start(wanted, context.clock.clone(), context.chance.clone());
    let Some(dev) = stop.run_until_cancelled(starting).await else {
        return Ok(interrupted());
    };
    let mut dev = dev?;
    let config = dev.config_file.display().to_string();
    let tell = |line: &str| Output::note(line);
    if arguments.once {
        let summary = stop.run_until_cancelled(dev.once(&tell)).await;
        dev.stop().await?;
        let Some(summary) = summary else {
            return Ok(interrupted());
        };
        let summary = summary?;
        let held = summary.violations.is_empty();
        context
            .output
            .data(&as_json(&summary), || as_sheet(&summary))?;
        return Ok(if held { Exit::Done } else { Exit::Failed });
    }
    let console = console(&dev).await?;
    let by_hand = dev.estate.crm_by_hand("ID");
    let program = program(std::env::args_os().next(), std::env::current_exe().ok());
    Output::note(&format!(
        "Four simulated targets, an embedded broker and one worker are running.\n\
         In another terminal:\n  \
         {program} --config {config} tasks list\n  \
         {program} --config {config} cases list\n\
         Where a task says so, be the CRM's administrator (ID is the account's, mem_…), then close it:\n  \
         curl -X POST {by_hand}\n  \
         {program} --config {config} tasks close TASK --as you --note done\n\
         {console}Ctrl-C stops everything."
    ));
    dev.stream(&tell, &stop).await?;
    dev.stop().await?;
    Ok(Exit::Done)
}

/// How this program is called in another terminal: by its name if that is how it was found, which is on
/// the `PATH`, else by where it lies.
fn program(called: Option<OsString>, lies: Option<PathBuf>) -> String {
    let by_name = called.is_none_or(|called| Path::new(&called).components().count() == 1);
    match lies.filter(|_| !by_name) {
        Some(path) if path.to_string_lossy().contains(' ') => format!("'{}'", path.display()),
        Some(path) => path.display().to_string(),
        None => "clawback".to_owned(),
    }
}

/// Tells `stop` when somebody interrupts; listens as long as what is returned.
fn listening(stop: &CancellationToken) -> JoinSet<()> {
    let mut signals = JoinSet::new();
    let asked = stop.clone();
    signals.spawn(async move {
        stop_signal().await;
        asked.cancel();
        stop_signal().await;
        std::process::exit(1);
    });
    signals
}

fn interrupted() -> Exit {
    Output::note("interrupted: nothing was judged");
    Exit::Failed
}

/// Where the console is, and who may sign in; told here and nowhere else.
async fn console(dev: &Dev) -> anyhow::Result<String> {
    let Some(address) = dev.console_address else {
        return Ok(String::new());
    };
    let users = dev.users().await?;
    let users: Vec<_> = users
        .iter()
        .map(|(name, password)| format!("  name {name:7} password {password}\n"))
        .collect();
    Ok(format!(
        "The console: http://{address}/ (two people, because approvals take two)\n{}\
         Its API: http://{address}/api/v1/openapi.json; health: /readyz, /metrics\n",
        users.concat()
    ))
}

fn as_json(summary: &Summary) -> Value {
    let mut value = json!(summary);
    value["promise_held"] = summary.violations.is_empty().into();
    value
}

fn as_sheet(summary: &Summary) -> String {
    let held = if summary.violations.is_empty() {
        "held, judged against the targets themselves".to_owned()
    } else {
        format!("BROKEN:\n{}", summary.violations.join("\n"))
    };
    sheet(&[
        ("events recorded", summary.events_recorded.to_string()),
        ("cases", summary.cases.to_string()),
        ("removals verified", summary.removals_verified.to_string()),
        ("with a person", summary.removals_in_tasks.to_string()),
        ("rotations", summary.rotations_completed.to_string()),
        ("dead letters", summary.dead_letters.to_string()),
        ("lies told by targets", summary.lies_told.to_string()),
        ("seconds", format!("{:.1}", summary.seconds)),
        ("the promise", held),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_to_type_work_where_the_program_is_not_on_the_path() {
        let lies = || Some(PathBuf::from("/src/target/debug/clawback"));
        let told = |called: &str| program(Some(called.into()), lies());
        assert_eq!(told("clawback"), "clawback");
        assert_eq!(
            told("/src/target/debug/clawback"),
            "/src/target/debug/clawback"
        );
        assert_eq!(told("target/debug/clawback"), "/src/target/debug/clawback");
        assert_eq!(program(Some("./clawback".into()), None), "clawback");
        let spaced = program(Some("./clawback".into()), Some("/my src/clawback".into()));
        assert_eq!(spaced, "'/my src/clawback'");
    }

    #[test]
    fn nobody_at_all_is_refused_with_the_smallest_number() {
        assert_eq!(people("1"), Ok(1));
        assert!(people("0").is_err_and(|words| words.contains("at least 1")));
        assert!(people("-3").is_err());
    }
}
