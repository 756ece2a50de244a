//! `clawback drill`: rehearse a departure at one connector, or do without, with two people.
//!
//! Owns the wish, the waiting with progress, and how drills are told. A worker carries the drill out;
//! it goes on when this command is interrupted. Grants nothing: the canary is made by others.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::acts;
use super::approvals::{Signing, short};
use super::context::{Context, Wishing};
use super::exit::{Exit, Stop};
use super::output::{Output, and_one, cut, instant, sheet, table};
use crate::app::drilling::Drilling;
use crate::domain::approval::{Ruling, Signed};
use crate::domain::command::{Command as Wished, Wish};
use crate::domain::drill::Drill;
use crate::domain::id::{CommandId, ConnectorName, DrillId};
use crate::domain::time::after;
use crate::store::Store;

const POLL: Duration = Duration::from_millis(200);

/// A drill, or what is decided about drills.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    /// The connector.
    #[arg(required = true)]
    name: Option<String>,
    /// Return as soon as a worker has taken it on.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    wishing: Option<Wishing>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What else can be done about drills.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Drills, newest first.
    List {
        /// Only of this connector.
        name: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Propose that the manifest in force serves events although it has passed no drill.
    Override {
        /// The connector.
        name: String,
        /// For how many days.
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=90))]
        days: u64,
        #[command(flatten)]
        signing: Signing,
    },
    /// Approve an override that somebody else proposed.
    Approve {
        /// The connector.
        name: String,
        #[command(flatten)]
        signing: Signing,
    },
    /// Turn an override down, or take it back.
    Reject {
        /// The connector.
        name: String,
        #[command(flatten)]
        signing: Signing,
    },
}

/// Carries out the command.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<Exit> {
    match (arguments.command, arguments.name, arguments.wishing) {
        (Some(command), ..) => decide(context, command).await,
        (None, Some(name), Some(wishing)) => {
            rehearse(context, ConnectorName(name), &wishing, arguments.no_wait).await
        }
        // The reading of arguments sees to it.
        (None, ..) => Ok(Exit::NotFound),
    }
}

async fn decide(context: &Context, command: Command) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let drilling = Drilling::new(store.clone());
    let signed = |signing: Signing| signing.signed(context);
    let (what, name, by, ruled) = match command {
        Command::List { name, limit } => {
            let name = name.map(ConnectorName);
            let mut drills = store.drills(name.as_ref(), and_one(limit)).await?;
            cut(&mut drills, limit, "--limit N");
            let data = serde_json::to_value(&drills)?;
            context.output.data(&data, || list(&drills))?;
            return Ok(Exit::Done);
        }
        Command::Override {
            name,
            days,
            signing,
        } => {
            let signed: Signed = signed(signing);
            let until = after(signed.at, days * 86_400);
            let name = ConnectorName(name);
            let ruled = drilling.propose(&name, until, &signed).await;
            ("propose_override", name, signed.by, ruled)
        }
        Command::Approve { name, signing } => {
            let (name, signed) = (ConnectorName(name), signed(signing));
            let ruled = drilling.approve(&name, &signed).await;
            ("approve_override", name, signed.by, ruled)
        }
        Command::Reject { name, signing } => {
            let (name, signed) = (ConnectorName(name), signed(signing));
            let ruled = drilling.reject(&name, &signed).await;
            ("reject_override", name, signed.by, ruled)
        }
    };
    if let Some(came_to) = acts::ruled(&ruled, "done") {
        let act = (what, name.to_string());
        context.note(store.as_ref(), &by, act, &came_to).await?;
    }
    told(context, &name, &ruled?)?;
    Ok(Exit::Done)
}

fn told(context: &Context, name: &ConnectorName, ruling: &Ruling) -> anyhow::Result<()> {
    let (came_to, digest, until) = match (&ruling.bound, &ruling.opened, &ruling.decided) {
        (Some(bound), ..) => ("approved", Some(&bound.content.digest), Some(bound.until)),
        (None, Some(open), _) => ("proposed", Some(&open.content.digest), Some(open.until)),
        (None, None, decided) => {
            let digest = decided.as_ref().map(|one| &one.content.digest);
            ("rejected", digest, None)
        }
    };
    let data = json!({
        "connector": name, "came_to": came_to, "manifest": digest, "until": until,
    });
    context.output.data(&data, || {
        sheet(&[
            ("connector", name.to_string()),
            ("override", came_to.to_owned()),
            (
                "manifest",
                digest.map_or(String::new(), |digest| short(digest.as_str())),
            ),
            ("until", until.map_or(String::new(), instant)),
        ])
    })?;
    Ok(())
}

async fn rehearse(
    context: &Context,
    connector: ConnectorName,
    wishing: &Wishing,
    no_wait: bool,
) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let store = store.as_ref();
    let wish = Wish::Drill {
        connector: connector.clone(),
    };
    let command = Wished {
        id: CommandId(context.chance.id()),
        by: wishing.by.clone(),
        at: context.clock.now(),
        wish,
    };
    let id = DrillId(command.id.0);
    context.wish_as(store, wishing, command).await?;
    let id = match store.drill(id).await? {
        Some(_) => id,
        None => under_way(store, &connector).await?,
    };
    let drill = if no_wait {
        find(store, id).await?
    } else {
        followed(store, id).await?
    };
    context
        .output
        .data(&serde_json::to_value(&drill)?, || tell(&drill))?;
    Ok(match drill.ended() {
        Some((_, true)) => Exit::Done,
        Some((_, false)) => Exit::Failed,
        None => Exit::Unanswered,
    })
}

/// Another one was under way already: that is the one to wait for.
async fn under_way(store: &dyn Store, connector: &ConnectorName) -> anyhow::Result<DrillId> {
    let newest = store.drills(Some(connector), 1).await?.into_iter().next();
    let newest = newest.ok_or_else(|| Stop::NotFound {
        what: "drill of connector",
        name: connector.to_string(),
    })?;
    Output::note(&format!("a drill by {} is under way already", newest.by));
    Ok(newest.id)
}

async fn find(store: &dyn Store, id: DrillId) -> anyhow::Result<Drill> {
    let drill = store.drill(id).await?;
    Ok(drill.ok_or_else(|| Stop::NotFound {
        what: "drill",
        name: id.to_string(),
    })?)
}

/// Waits for the end; each new stage is told. Its length is that of the workflow's own waits.
async fn followed(store: &dyn Store, id: DrillId) -> anyhow::Result<Drill> {
    let mut before = None;
    loop {
        let drill = find(store, id).await?;
        if drill.ended().is_some() {
            return Ok(drill);
        }
        if before != Some(drill.stage) {
            Output::note(&drill.words());
            before = Some(drill.stage);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn tell(drill: &Drill) -> String {
    let passes = drill.passes.iter();
    let passes: Vec<_> = passes
        .map(|pass| format!("{} as it must be", pass.as_str()))
        .collect();
    let manifest = drill.manifest.as_ref();
    sheet(&[
        ("drill", drill.id.to_string()),
        ("connector", drill.connector.to_string()),
        (
            "manifest",
            manifest.map_or(String::new(), ToString::to_string),
        ),
        ("by", drill.by.clone()),
        ("begun", instant(drill.begun)),
        (
            "ended",
            drill.ended().map_or(String::new(), |(at, _)| instant(at)),
        ),
        ("canary's accounts", drill.accounts.join(", ")),
        ("passes", passes.join("\n")),
        ("result", drill.words()),
    ])
}

fn list(drills: &[Drill]) -> String {
    let rows = drills.iter().map(|drill| {
        let manifest = drill.manifest.as_ref();
        vec![
            instant(drill.begun),
            drill.connector.to_string(),
            manifest.map_or(String::new(), |digest| short(digest.as_str())),
            drill.by.clone(),
            drill.words(),
        ]
    });
    let headings = ["begun", "connector", "manifest", "by", "result"];
    table(&headings, rows.collect(), "no drills")
}
