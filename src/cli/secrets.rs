//! `clawback secrets`: list, set, rotate, and the vault's key.
//!
//! Owns what changes them; how they are told is in `listing`. A value is read from standard
//! input or asked for with the echo off; it is never an argument (arguments are seen by every
//! process) and never printed.

mod listing;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::acts;
use super::context::{Acting, Context, Wishing};
use super::exit::{Exit, Stop};
use super::output::Output;
use crate::app::vault;
use crate::config;
use crate::domain::command::Wish;
use crate::domain::id::ConnectorName;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;

/// Longer input is no secret but a mistake.
const LONGEST_BYTES: u64 = 64 * 1024;

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every secret that is configured, of connectors and of the platform itself, with its age; no values.
    List,
    /// Put a value in: from standard input, or asked for.
    Set(Set),
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
    /// Draw the vault's key into the configured file; an existing one stays.
    Init,
    /// Seal the local vault with a new key. Workers that read the key from its file go on with the
    /// new one; the old key stays beside it as `.old`.
    Rekey {
        /// Write the new key to this new file, instead of in the place of the old one.
        #[arg(long, value_name = "PATH")]
        to: Option<PathBuf>,
    },
}

/// A value for a secret.
#[derive(Debug, Args)]
pub struct Set {
    /// The connector; or, for secrets of Clawback's own connections, the reference (`local:…`).
    of: String,
    /// Which of the connector's secrets.
    #[arg(long, value_enum, default_value_t = Role::Writer)]
    role: Role,
    /// Instead: a secret of an account or control that a probe of the manifest refers to.
    #[arg(long, value_name = "REFERENCE", conflicts_with_all = ["role", "username", "remote_ref"])]
    probe: Option<String>,
    /// Sign-in name that goes with it.
    #[arg(long)]
    username: Option<String>,
    /// The target's own id of this secret, so that a later rotation can retire it.
    #[arg(long, value_name = "ID")]
    remote_ref: Option<String>,
    /// When the target stops taking it (`2027-01-31T00:00:00Z`); it is replaced ahead of that.
    #[arg(long, value_name = "INSTANT")]
    expires: Option<Timestamp>,
    #[command(flatten)]
    acting: Acting,
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
        Command::List => listing::list(context).await,
        Command::Set(set) => self::set(context, set).await,
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
            let data = json!({ "answer": answer });
            context.output.data(&data, || answer.message.clone())?;
            Ok(Exit::Done)
        }
        Command::Init => {
            let id = vault::create_key(&context.settings()?)?;
            context
                .output
                .data(&json!({ "key": id }), || format!("the vault's key is {id}"))?;
            Ok(Exit::Done)
        }
        Command::Rekey { to } => {
            let id = vault::rekey(&context.settings()?, to.as_deref())?;
            context.output.data(&json!({ "key": id }), || {
                format!("the vault's new key is {id}")
            })?;
            Ok(Exit::Done)
        }
    }
}

async fn set(context: &Context, set: Set) -> anyhow::Result<Exit> {
    let settings = context.settings()?;
    let by = set.acting.by()?.to_owned();
    let (about, version) = if set.of.contains(':') {
        let new = vault::value(
            value("the value")?,
            set.username,
            set.remote_ref,
            set.expires,
        );
        let version = vault::put_platform(&settings, &set.of, new, &context.clock).await?;
        (set.of, version)
    } else {
        let registry = config::connectors(&settings, &context.clock)?;
        let connector = ConnectorName(set.of.clone());
        let Some(guarded) = registry.get(&connector) else {
            return Err(Stop::NotFound {
                what: "connector",
                name: set.of,
            }
            .into());
        };
        let new = vault::value(
            value("the value")?,
            set.username,
            set.remote_ref,
            set.expires,
        );
        if let Some(reference) = &set.probe {
            let version = vault::keep(&settings, &guarded, reference, new, &context.clock).await?;
            (format!("{connector} {reference}"), version)
        } else {
            let of = (&connector, set.role.into());
            let version = vault::put(&settings, &registry, of, new, &context.clock).await?;
            (acts::secret(of.0, of.1), version.unwrap_or_default())
        }
    };
    note(context, &by, about, version).await;
    context.output.data(&json!({ "version": version }), || {
        format!("kept as version {version}")
    })?;
    Ok(Exit::Done)
}

/// Notes who put a value in. The vault stands alone, and works where the database does not yet: then it
/// is told that the record lacks it.
pub(super) async fn note(context: &Context, by: &str, about: String, version: u64) {
    let words = format!("done: version {version}");
    let noted = match context.store().await {
        Ok(store) => {
            let act = ("set_secret", about);
            context.note(store.as_ref(), by, act, &words).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = noted {
        Output::note(&format!(
            "who put it in is not noted among the acts: {error:#}"
        ));
    }
}

/// What is typed or piped in, without the line end after it.
pub(super) fn value(what: &str) -> anyhow::Result<String> {
    let terminal = std::io::stdin().is_terminal();
    let mut text = String::new();
    if terminal {
        Output::note(&format!("{what}, then Enter (it is not shown):"));
        let _quiet = Quiet::begin();
        std::io::stdin().read_line(&mut text)?;
    } else {
        std::io::stdin()
            .take(LONGEST_BYTES)
            .read_to_string(&mut text)?;
    }
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let value = value.strip_suffix('\r').unwrap_or(value).to_owned();
    if value.is_empty() {
        anyhow::bail!("{what} is empty; give it on standard input");
    }
    Ok(value)
}

/// The terminal's echo is off while this lives.
struct Quiet;

impl Quiet {
    fn begin() -> Self {
        echo("-echo");
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        echo("echo");
    }
}

fn echo(how: &str) {
    // Without `stty` the value shows while it is typed; it still goes nowhere else.
    let _ = Process::new("stty")
        .arg(how)
        .stdin(Stdio::inherit())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
