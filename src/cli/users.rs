//! `clawback users`: add, list, roles, password, disable, enable, revoke, token, acts.
//!
//! Owns how the people are told who may sign in to the console. The first user is made here. A
//! password is read from standard input or asked for with the echo off; a new token is printed once.

use std::collections::BTreeSet;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::{Acting, Context};
use super::exit::Exit;
use super::output::{and_one, cut, instant, table};
use super::secrets;
use crate::app::users::{self, Desk, NewUser};
use crate::domain::user::{Role, User};
use crate::store::ActFilter;

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// All users with their roles.
    List,
    /// Let somebody sign in.
    Add(Add),
    /// Say what a user may do; replaces what they might before.
    Role {
        /// Who.
        name: String,
        /// What they may do; may be given several times.
        #[arg(long = "role", value_enum, required = true)]
        roles: Vec<RoleName>,
        #[command(flatten)]
        acting: Acting,
    },
    /// Set a user's password; their sessions end, and no lock stays.
    Password {
        /// Who.
        name: String,
        #[command(flatten)]
        acting: Acting,
    },
    /// Let a user sign in no more; sessions end, tokens are taken back.
    Disable {
        /// Who.
        name: String,
        #[command(flatten)]
        acting: Acting,
    },
    /// Let a disabled user sign in again.
    Enable {
        /// Who.
        name: String,
        #[command(flatten)]
        acting: Acting,
    },
    /// End all sessions of a user and take all their tokens back.
    Revoke {
        /// Who.
        name: String,
        #[command(flatten)]
        acting: Acting,
    },
    /// Make a token of the API; it is printed once.
    Token {
        /// In whose name it acts.
        name: String,
        /// What it is for.
        #[arg(long)]
        label: String,
        /// What it may do; all that its user may unless told.
        #[arg(long = "scope", value_enum)]
        scopes: Vec<RoleName>,
        /// How many days it lives.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=365))]
        days: u64,
        #[command(flatten)]
        acting: Acting,
    },
    /// Who did what through console, API and command line, newest first.
    Acts {
        /// Only of this person.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// Only about this: the id of a task or case, the name of a connector or user.
        #[arg(long, value_name = "WHAT")]
        about: Option<String>,
        /// Only those written before this number.
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
}

/// A user to add.
#[derive(Debug, Args)]
pub struct Add {
    /// The name that stands in the record.
    name: String,
    /// For people to read.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// What they may do; may be given several times.
    #[arg(long = "role", value_enum, required = true)]
    roles: Vec<RoleName>,
    /// Under which key HR knows them (tenant/id), so that their own departure ends their access.
    #[arg(long, value_name = "TENANT/ID")]
    subject: Option<String>,
    /// No password: an identity provider signs them in.
    #[arg(long)]
    without_password: bool,
    #[command(flatten)]
    acting: Acting,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RoleName {
    /// Reads.
    Viewer,
    /// Works on tasks, replays dead letters, rotates secrets, proposes manifests.
    Operator,
    /// Approves or turns down what somebody else has proposed.
    Approver,
    /// Reads who did what.
    Auditor,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Operator => Self::Operator,
            RoleName::Approver => Self::Approver,
            RoleName::Auditor => Self::Auditor,
        }
    }
}

fn set(names: Vec<RoleName>) -> BTreeSet<Role> {
    names.into_iter().map(Role::from).collect()
}

async fn desk(context: &Context, by: &str) -> anyhow::Result<Desk> {
    let store = context.store().await?;
    let parts = (context.clock.clone(), context.chance.clone());
    Ok(Desk::new(store, parts, by.to_owned()))
}

/// Carries out the command.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    let user = match command {
        Command::List => return list(context).await,
        Command::Acts {
            by,
            about,
            before,
            limit,
        } => {
            let filter = ActFilter {
                by,
                about,
                before,
                limit: and_one(limit),
            };
            return acts(context, &filter, limit).await;
        }
        Command::Token {
            name,
            label,
            scopes,
            days,
            acting,
        } => {
            let desk = desk(context, acting.by()?).await?;
            let (token, secret) = desk.token(&name, label, &set(scopes), days).await?;
            let data = json!({ "id": token.id, "token": secret, "ends": token.ends });
            context.output.data(&data, || secret.clone())?;
            return Ok(Exit::Done);
        }
        Command::Add(add) => self::add(context, add).await?,
        Command::Role {
            name,
            roles,
            acting,
        } => {
            let desk = desk(context, acting.by()?).await?;
            desk.roles(&name, &set(roles)).await?
        }
        Command::Password { name, acting } => {
            let desk = desk(context, acting.by()?).await?;
            let hash = users::hash(&secrets::value("the new password")?)?;
            desk.password(&name, &hash).await?
        }
        Command::Disable { name, acting } => {
            desk(context, acting.by()?)
                .await?
                .disable(&name, true)
                .await?
        }
        Command::Enable { name, acting } => {
            desk(context, acting.by()?)
                .await?
                .disable(&name, false)
                .await?
        }
        Command::Revoke { name, acting } => {
            desk(context, acting.by()?).await?.revoke(&name).await?
        }
    };
    context
        .output
        .data(&as_json(&user), || row(&user).join("  "))?;
    Ok(Exit::Done)
}

async fn add(context: &Context, add: Add) -> anyhow::Result<User> {
    let desk = desk(context, add.acting.by()?).await?;
    let password = if add.without_password {
        None
    } else {
        Some(users::hash(&secrets::value("the password")?)?)
    };
    let new = NewUser {
        name: add.name,
        display_name: add.display_name,
        roles: set(add.roles),
        subject: add.subject,
        password,
    };
    Ok(desk.add(new).await?)
}

async fn list(context: &Context) -> anyhow::Result<Exit> {
    let users = desk(context, "").await?.all().await?;
    let data = users.iter().map(as_json).collect();
    context.output.data(&data, || {
        let headings = ["name", "roles", "signs in", "state"];
        table(&headings, users.iter().map(row).collect(), "no users")
    })?;
    Ok(Exit::Done)
}

async fn acts(context: &Context, filter: &ActFilter, limit: u32) -> anyhow::Result<Exit> {
    let mut acts = context.store().await?.acts(filter).await?;
    cut(&mut acts, limit, "--limit N, or --before NUMBER");
    let data = acts.iter().map(|(number, act)| {
        json!({
            "number": number, "at": act.at, "by": act.by, "from": act.from,
            "what": act.what, "about": act.about, "came_to": act.came_to,
        })
    });
    context.output.data(&data.collect(), || {
        let rows = acts.iter().map(|(number, act)| {
            let mut row = vec![number.to_string(), instant(act.at)];
            row.extend([&act.by, &act.what, &act.about, &act.came_to, &act.from].map(Clone::clone));
            row
        });
        let headings = ["no.", "at", "by", "what", "about", "came to", "from"];
        table(&headings, rows.collect(), "nothing like that was done")
    })?;
    Ok(Exit::Done)
}

/// A user without what signs them in.
fn as_json(user: &User) -> Value {
    json!({
        "name": user.name,
        "display_name": user.display_name,
        "roles": user.roles,
        "signs_in": how(user),
        "subject": user.subject,
        "disabled": user.disabled,
        "locked_until": user.locked_until,
        "created": user.created,
    })
}

fn how(user: &User) -> &'static str {
    match (&user.password, &user.provider) {
        (Some(_), _) => "by password",
        (None, Some(_)) => "by the identity provider",
        (None, None) => "not yet",
    }
}

fn row(user: &User) -> Vec<String> {
    let roles: Vec<_> = user.roles.iter().map(|role| role.as_str()).collect();
    vec![
        user.name.clone(),
        roles.join(", "),
        how(user).to_owned(),
        match (user.disabled, user.locked_until) {
            (Some(since), _) => format!("disabled since {}", instant(since)),
            (None, Some(until)) => format!("locked until {}", instant(until)),
            (None, None) => String::new(),
        },
    ]
}
