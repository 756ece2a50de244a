//! `clawback secrets`: list, rotate.
//!
//! Owns how the connectors' own secrets are told, by reference and age. A value is never an argument
//! (arguments are seen by every process) and never printed.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::context::{Context, Wishing};
use super::exit::Exit;
use crate::domain::command::Wish;
use crate::domain::id::ConnectorName;
use crate::domain::verdict::CredentialRole;

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replace a connector's secret now.
    Rotate {
        /// Whose.
        connector: String,
        /// Which of its secrets.
        #[arg(long, value_enum, default_value_t = Role::Writer)]
        role: Role,
        #[command(flatten)]
        wishing: Wishing,
    },
}

/// A connector's credentials.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Role {
    /// Changes the target.
    Writer,
    /// Only reads.
    Verifier,
    /// Replaces the other two.
    Rotator,
}

impl From<Role> for CredentialRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Writer => Self::Writer,
            Role::Verifier => Self::Verifier,
            Role::Rotator => Self::Rotator,
        }
    }
}

/// Carries out the command.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Rotate {
            connector,
            role,
            wishing,
        } => {
            let store = context.store().await?;
            let wish = Wish::RotateSecret {
                connector: ConnectorName(connector),
                role: role.into(),
            };
            let answer = context.wish(store.as_ref(), &wishing, wish).await?;
            context
                .output
                .data(&json!({ "answer": answer }), || answer.message.clone())?;
        }
    }
    Ok(Exit::Done)
}
