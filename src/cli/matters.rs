//! `clawback approvals`: whatever takes two people, in one place.
//!
//! Owns how matters of every kind are listed, shown and decided: manifests, drills that are done
//! without, protected subjects and accounts, brakes. What is approved is named by its digest, so that nobody approves what they did not
//! see. That the two are different people is decided in the domain and held by the store. After an
//! approval the machine is asked to try again what was held by it.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::acts;
use super::approvals::{Signing, short};
use super::context::Context;
use super::exit::{Exit, Stop};
use super::output::{Output, instant, sheet, table};
use crate::app::AppError;
use crate::app::governance::Tested;
use crate::app::holds::Holds;
use crate::domain::approval::{
    self, Content, Disapproval, Matter, MatterKind, Past, Proposal, Record, Signed,
};
use crate::domain::id::{ContentDigest, TaskId};
use crate::store::Store;

/// Digits of a digest that name it.
const DIGITS: usize = 8;

/// What to do with what takes two people.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Everything that waits for a second person; with `--all` also what is in force.
    List {
        /// What is in force, too.
        #[arg(long)]
        all: bool,
    },
    /// One matter: what is proposed, against what is in force, and all that ever happened to it.
    Show(Named),
    /// Propose that a task which is held may go on.
    Propose {
        /// The task.
        task: TaskId,
        /// For how many hours the approval lasts.
        #[arg(long, default_value_t = 24, value_name = "HOURS", value_parser = clap::value_parser!(u64).range(1..=24 * 90))]
        hours: u64,
        #[command(flatten)]
        signing: Signing,
    },
    /// Approve what somebody else has proposed.
    Approve {
        #[command(flatten)]
        named: Named,
        /// The digest of what you approve, or its first digits, as `show` tells it.
        #[arg(long, value_name = "DIGEST")]
        digest: String,
        #[command(flatten)]
        signing: Signing,
    },
    /// Turn a proposal down, or take your own back.
    Reject {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        signing: Signing,
    },
}

/// One matter.
#[derive(Debug, Args)]
pub struct Named {
    /// Its kind.
    #[arg(value_parser = ["manifest", "drill_override", "protected", "brake"])]
    kind: String,
    /// Its name, as `list` tells it.
    name: String,
}

impl Named {
    fn matter(self) -> anyhow::Result<Matter> {
        let kind = MatterKind::from_name(&self.kind).ok_or(Stop::NotFound {
            what: "kind of matter",
            name: self.kind,
        })?;
        Ok(Matter {
            kind,
            name: self.name,
        })
    }
}

/// Carries out the command.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let store = store.as_ref();
    match command {
        Command::List { all } => list(context, store, all).await,
        Command::Show(named) => show(context, store, &named.matter()?).await,
        Command::Propose {
            task,
            hours,
            signing,
        } => propose(context, task, hours, signing).await,
        Command::Approve {
            named,
            digest,
            signing,
        } => approve(context, store, &named.matter()?, &digest, signing).await,
        Command::Reject { named, signing } => {
            reject(context, store, &named.matter()?, signing).await
        }
    }
}

async fn list(context: &Context, store: &dyn Store, all: bool) -> anyhow::Result<Exit> {
    let now = context.clock.now();
    let mut rows = Vec::new();
    let mut data = Vec::new();
    for kind in MatterKind::ALL {
        for (matter, record) in store.records(kind).await? {
            if let Some(open) = &record.open {
                rows.push(row(
                    &matter,
                    "waits",
                    &open.content,
                    &open.proposed,
                    open.until,
                ));
                data.push(json!({
                    "matter": matter, "state": "open", "digest": open.content.digest,
                    "proposed": open.proposed, "until": open.until,
                }));
            }
            if let (true, Some(bound)) = (all, &record.in_force) {
                let over = bound.has_lapsed(now);
                let state = if over { "over" } else { "in force" };
                rows.push(row(
                    &matter,
                    state,
                    &bound.content,
                    &bound.bound,
                    bound.until,
                ));
                data.push(json!({
                    "matter": matter, "state": if over { "over" } else { "in_force" },
                    "digest": bound.content.digest, "bound": bound.bound, "until": bound.until,
                }));
            }
        }
    }
    context.output.data(&Value::Array(data), || {
        let headings = ["kind", "name", "state", "digest", "by", "until", "why"];
        table(&headings, rows, "nothing waits for a second person")
    })?;
    Ok(Exit::Done)
}

fn row(
    matter: &Matter,
    state: &str,
    content: &Content,
    signed: &Signed,
    until: crate::domain::time::Timestamp,
) -> Vec<String> {
    vec![
        matter.kind.as_str().to_owned(),
        matter.name.clone(),
        state.to_owned(),
        short(content.digest.as_str()),
        signed.by.clone(),
        instant(until),
        signed.reason.clone(),
    ]
}

async fn show(context: &Context, store: &dyn Store, matter: &Matter) -> anyhow::Result<Exit> {
    let past = known(store, matter).await?;
    let waits = |one: &&Proposal| one.state.signed().is_none();
    let open = past.proposals.iter().rev().find(waits);
    let was = past.bindings.last().map_or("", |bound| &bound.content.text);
    let diff = open.map(|open| diff(was, &open.content.text));
    let data = json!({"matter": matter, "open": open, "diff": diff, "past": past});
    context
        .output
        .data(&data, || told(matter, open, diff.as_deref(), &past))?;
    Ok(Exit::Done)
}

fn told(matter: &Matter, open: Option<&Proposal>, diff: Option<&str>, past: &Past) -> String {
    let head = sheet(&[
        ("kind", matter.kind.as_str().to_owned()),
        ("name", matter.name.clone()),
        (
            "proposed",
            open.map_or(String::new(), |open| {
                let Signed { by, at, reason } = &open.proposed;
                format!("by {by}, {}: {reason}", instant(*at))
            }),
        ),
        (
            "digest",
            open.map_or(String::new(), |open| open.content.digest.to_string()),
        ),
        (
            "lasts until",
            open.map_or(String::new(), |open| instant(open.until)),
        ),
    ]);
    let history = super::approvals::lines(past, &Tested::default());
    match diff {
        Some(diff) => format!("{head}\n\n{diff}\n\n{history}"),
        None => format!("{head}\n\n{history}"),
    }
}

/// What changes, line by line.
fn diff(was: &str, becomes: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (was.lines().collect(), becomes.lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line));
    let gone = gone.map(|line| format!("- {line}"));
    let come = new.iter().map(|line| {
        let mark = if old.contains(line) { ' ' } else { '+' };
        format!("{mark} {line}")
    });
    gone.chain(come).collect::<Vec<_>>().join("\n")
}

async fn propose(
    context: &Context,
    id: TaskId,
    hours: u64,
    signing: Signing,
) -> anyhow::Result<Exit> {
    let signed = signing.signed(context);
    let proposed = holds(context).await?.propose(id, hours, &signed).await;
    if !matches!(proposed, Ok(None)) {
        let act = ("propose_exception", id.to_string());
        noted(context, &signed.by, act, &proposed, "proposed").await?;
    }
    let proposed = proposed?.ok_or_else(|| Stop::NotFound {
        what: "task",
        name: id.to_string(),
    })?;
    let told = "proposed; another person approves it";
    done(
        context,
        &proposed.matter,
        &proposed.digest,
        told,
        proposed.held,
    )
}

async fn holds(context: &Context) -> anyhow::Result<Holds> {
    let parts = (context.clock.clone(), context.chance.clone());
    Ok(Holds::new(context.store().await?, parts))
}

async fn approve(
    context: &Context,
    store: &dyn Store,
    matter: &Matter,
    digest: &str,
    signing: Signing,
) -> anyhow::Result<Exit> {
    let proposals = known(store, matter).await?.proposals;
    let waits = |one: &Proposal| one.state.signed().is_none();
    let Some(open) = proposals.into_iter().rev().find(waits) else {
        return Err(AppError::from(Disapproval::NothingOpen(matter.name.clone())).into());
    };
    let proposed = open.content.digest;
    let meant = if digest.len() >= DIGITS && proposed.as_str().starts_with(digest) {
        proposed
    } else {
        ContentDigest(digest.to_owned())
    };
    let signed = signing.signed(context);
    let by = signed.by.clone();
    let decide = |record: &Record| approval::approve(record, matter, &meant, signed.clone());
    let ruled = store.rule(matter, &decide).await?.map_err(AppError::from);
    noted(
        context,
        &by,
        about("approve_matter", matter),
        &ruled,
        "approved",
    )
    .await?;
    ruled?;
    let held = holds(context).await?.try_again(matter, &by).await?;
    done(
        context,
        matter,
        &meant,
        "approved; it binds from now on",
        held,
    )
}

async fn reject(
    context: &Context,
    store: &dyn Store,
    matter: &Matter,
    signing: Signing,
) -> anyhow::Result<Exit> {
    known(store, matter).await?;
    let signed = signing.signed(context);
    let by = signed.by.clone();
    let decide = |record: &Record| approval::reject(record, matter, signed.clone());
    let ruling = store.rule(matter, &decide).await?;
    let ruling = ruling.map_err(AppError::from);
    noted(
        context,
        &by,
        about("reject_matter", matter),
        &ruling,
        "rejected",
    )
    .await?;
    let ruling = ruling?;
    let digest = ruling.decided.map(|one| one.content.digest);
    let digest = digest.unwrap_or_else(|| ContentDigest(String::new()));
    done(context, matter, &digest, "rejected", 0)
}

fn about(what: &'static str, matter: &Matter) -> acts::Done {
    (what, format!("{} {}", matter.kind.as_str(), matter.name))
}

/// Notes what came of it, where it was decided at all.
async fn noted<T>(
    context: &Context,
    by: &str,
    act: acts::Done,
    ruled: &Result<T, AppError>,
    done: &str,
) -> anyhow::Result<()> {
    if let Some(came_to) = acts::ruled(ruled, done) {
        let store = context.store().await?;
        context.note(store.as_ref(), by, act, &came_to).await?;
    }
    Ok(())
}

/// All that ever happened to a matter, if there is one of this name.
async fn known(store: &dyn Store, matter: &Matter) -> anyhow::Result<Past> {
    let past = store.past(matter).await?;
    if past.proposals.is_empty() && past.bindings.is_empty() {
        return Err(Stop::NotFound {
            what: "matter",
            name: format!("{} {}", matter.kind.as_str(), matter.name),
        }
        .into());
    }
    Ok(past)
}

fn done(
    context: &Context,
    matter: &Matter,
    digest: &ContentDigest,
    came_to: &str,
    held: usize,
) -> anyhow::Result<Exit> {
    let data = json!({"matter": matter, "digest": digest, "came_to": came_to, "held": held});
    context.output.data(&data, || {
        sheet(&[
            ("kind", matter.kind.as_str().to_owned()),
            ("name", matter.name.clone()),
            ("digest", digest.to_string()),
            ("result", came_to.to_owned()),
        ])
    })?;
    if held > 0 {
        Output::note(&format!("{held} tasks are held by it"));
    }
    Ok(Exit::Done)
}
