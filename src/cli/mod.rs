//! The command line: one file for each command.
//!
//! Owns the arguments, the choice of the command, and the exit code. Data go to standard output (a
//! table for people, `--json` for programs), everything else to standard error. Commands that change
//! something write a wish, which the engine carries out. Decides nothing itself.

mod acts;
mod approvals;
mod audit;
mod cases;
mod check;
mod completions;
mod connectors;
mod context;
mod dead_letters;
mod desks;
mod dev;
mod drill;
#[cfg(test)]
mod ends;
mod evidence;
mod exit;
mod matters;
mod migrate;
mod output;
mod pause;
mod plan;
mod retention;
mod run;
mod secrets;
mod submit;
mod tasks;
mod users;
mod workflows;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::Telling;
use crate::config::DEFAULT_FILE;
use context::Context;
pub use exit::Exit;

/// Takes access back: every case ends in proof or in a person's hands.
#[derive(Debug, Parser)]
#[command(name = "clawback", version, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, global = true, env = "CLAWBACK_CONFIG", default_value = DEFAULT_FILE, value_name = "PATH")]
    config: PathBuf,
    /// Print data as JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole product embedded, with simulated targets and a company leaving them.
    Dev(dev::Arguments),
    /// Run one worker until SIGTERM.
    Run,
    /// Check configuration, manifests and workflows; tell all problems at once.
    Check,
    /// Send the events of a file to the lifecycle topic.
    Submit(submit::Arguments),
    /// Show what would be sent for the events of a file, without sending it.
    Plan(plan::Arguments),
    /// List and show cases.
    #[command(subcommand)]
    Cases(cases::Command),
    /// List, show, claim, close, confirm and reject fallback tasks.
    #[command(subcommand)]
    Tasks(tasks::Command),
    /// List and check the desks that get copies of fallback tasks.
    #[command(subcommand)]
    Desks(desks::Command),
    /// List, show, check and approve connectors.
    #[command(subcommand)]
    Connectors(connectors::Command),
    /// Rehearse a departure with a canary, or do without, with two people.
    Drill(drill::Arguments),
    /// List, show, draw and test workflows.
    #[command(subcommand)]
    Workflows(workflows::Command),
    /// List, set and rotate the connectors' own secrets; make the vault's key.
    #[command(subcommand)]
    Secrets(secrets::Command),
    /// List, show, propose, approve and reject whatever takes two people.
    #[command(subcommand)]
    Approvals(matters::Command),
    /// Stop all work at one connector, or at all of them, until it is resumed.
    Pause(pause::Arguments),
    /// End a pause.
    Resume(pause::Arguments),
    /// List, show and replay messages that could not be read.
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Say who may sign in to the console, and as what; make tokens of the API.
    #[command(subcommand)]
    Users(users::Command),
    /// Verify the tamper-evident log; checkpoints, keys, and the auditors' table.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Export the signed evidence of a case, and check such a file offline.
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// Bring the database schema up to date.
    Migrate,
    /// Print completions for a shell.
    Completions(completions::Arguments),
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before any secret is read. Where the system refuses it, the program still does its work.
    let _ = crate::app::forbid_core_dumps();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error).into(),
    }
}

async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let context = Context::new(cli.config, cli.json);
    if matches!(cli.command, Command::Run) {
        // The configuration says what is told, and where to.
        return run::run(&context).await;
    }
    // The demonstration tells its own story; log lines would drown it.
    let level = if matches!(cli.command, Command::Dev(_)) {
        "error"
    } else {
        "warn,clawback=info,rdkafka=error,librdkafka=error"
    };
    let telling = Telling::lines(level)?;
    let result = obey(&context, cli.command).await;
    telling.finish().await;
    result
}

async fn obey(context: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Dev(arguments) => dev::run(context, arguments).await,
        Command::Run => run::run(context).await,
        Command::Check => check::run(context).await,
        Command::Submit(arguments) => submit::run(context, &arguments).await,
        Command::Plan(arguments) => plan::run(context, &arguments).await,
        Command::Cases(command) => cases::run(context, command).await,
        Command::Tasks(command) => tasks::run(context, command).await,
        Command::Desks(command) => desks::run(context, command).await,
        Command::Connectors(command) => connectors::run(context, command).await,
        Command::Drill(arguments) => drill::run(context, arguments).await,
        Command::Workflows(command) => workflows::run(context, command),
        Command::Secrets(command) => secrets::run(context, command).await,
        Command::Approvals(command) => matters::run(context, command).await,
        Command::Pause(arguments) => pause::pause(context, arguments).await,
        Command::Resume(arguments) => pause::resume(context, arguments).await,
        Command::DeadLetters(command) => dead_letters::run(context, command).await,
        Command::Users(command) => users::run(context, command).await,
        Command::Audit(command) => audit::run(context, command).await,
        Command::Evidence(command) => evidence::run(context, command).await,
        Command::Migrate => migrate::run(context).await,
        Command::Completions(arguments) => completions::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_described_in_the_manual() {
        let manual = include_str!("../../docs/cli.md");
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(manual.contains(&format!("`clawback {name}")), "{name}");
            for inner in command.get_subcommands() {
                let full = format!("`clawback {name} {}", inner.get_name());
                assert!(manual.contains(&full), "{full}");
            }
        }
    }
}
