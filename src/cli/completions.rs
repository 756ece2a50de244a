//! `clawback completions SHELL`: what the shell needs to complete arguments.
//!
//! Owns nothing but the call; the text follows from the arguments themselves.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::exit::Exit;
use super::output::Output;

/// For which shell.
#[derive(Debug, Args)]
pub struct Arguments {
    shell: Shell,
}

/// Prints the completions.
pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut super::Cli::command(),
        "clawback",
        &mut text,
    );
    Output::text(String::from_utf8(text)?.trim_end())?;
    Ok(Exit::Done)
}
