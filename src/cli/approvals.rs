//! `clawback connectors` propose, diff, approve, reject, history: two people for every manifest.
//!
//! Owns how proposals, changes and the past are told. Who is who is what they say with `--as`; the
//! store sees to it that one name does not approve what it proposed. Serves nothing.

use clap::Args;
use serde_json::{Value, json};

use super::acts;
use super::context::Context;
use super::exit::Exit;
use super::output::{Output, instant, sheet, table};
use crate::app::AppError;
use crate::app::examine::{Mark, Order, Point};
use crate::app::governance::{Chosen, Diff, Done, Governance, Stands, Tested};
use crate::config::Settings;
use crate::domain::approval::{Past, Signed};
use crate::domain::id::ConnectorName;
use crate::domain::pause::Pauses;
use crate::domain::time::Timestamp;
use crate::store::Examination;

/// Digits of a digest that people are shown; enough to name it with `--digest`.
const SHOWN: usize = 12;

/// Who says it, and why.
#[derive(Debug, Args)]
pub struct Signing {
    /// Who you are; it stands in the record.
    #[arg(long = "as", env = "USER", value_name = "NAME")]
    by: String,
    /// Why; it stands in the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// One connector, or all.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// Its name.
    name: Option<String>,
    /// All for which there is something to do.
    #[arg(long)]
    all: bool,
}

/// An approval.
#[derive(Debug, Args)]
pub struct Approving {
    #[command(flatten)]
    which: Which,
    /// Approve this digest (or its first digits) instead of what the file says now.
    #[arg(long, value_name = "DIGEST", conflicts_with = "all")]
    digest: Option<String>,
    #[command(flatten)]
    signing: Signing,
}

impl Signing {
    /// Said now.
    pub fn signed(self, context: &Context) -> Signed {
        Signed {
            by: self.by,
            at: context.clock.now(),
            reason: self.reason,
        }
    }
}

impl Which {
    fn chosen(self) -> Chosen {
        self.name
            .map_or(Chosen::All, |name| Chosen::One(ConnectorName(name)))
    }
}

async fn governance(context: &Context, settings: &Settings) -> anyhow::Result<Governance> {
    let store = context.store().await?;
    Ok(Governance::open(settings, store, &context.clock)?)
}

/// Notes what was decided, or refused to the one that was named, and tells it.
async fn decided(
    context: &Context,
    (what, by): (&'static str, &str),
    chosen: &Chosen,
    ruled: Result<Vec<Done>, AppError>,
) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let note = async |about: &ConnectorName, came_to: &str| {
        let act = (what, about.to_string());
        context.note(store.as_ref(), by, act, came_to).await
    };
    match (&ruled, chosen) {
        (Ok(all), _) => {
            for one in all {
                let refused = if one.accepted { "" } else { "refused: " };
                note(&one.connector, &format!("{refused}{}", one.came_to)).await?;
            }
        }
        (Err(_), Chosen::One(name)) => {
            if let Some(refused) = acts::ruled(&ruled, "") {
                note(name, &refused).await?;
            }
        }
        (Err(_), Chosen::All) => {}
    }
    done(context, &ruled?)
}

/// Proposes what the files say.
pub async fn propose(
    context: &Context,
    settings: &Settings,
    which: Which,
    signing: Signing,
) -> anyhow::Result<Exit> {
    let governance = governance(context, settings).await?;
    let (signed, chosen) = (signing.signed(context), which.chosen());
    let ruled = governance.propose(&chosen, &signed).await;
    decided(context, ("propose_manifest", &signed.by), &chosen, ruled).await
}

/// Approves what somebody else proposed.
pub async fn approve(
    context: &Context,
    settings: &Settings,
    approving: Approving,
) -> anyhow::Result<Exit> {
    let governance = governance(context, settings).await?;
    let signed = approving.signing.signed(context);
    let (chosen, digest) = (approving.which.chosen(), approving.digest.as_deref());
    let ruled = governance.approve(&chosen, digest, &signed).await;
    decided(context, ("approve_manifest", &signed.by), &chosen, ruled).await
}

/// Turns a proposal down.
pub async fn reject(
    context: &Context,
    settings: &Settings,
    name: String,
    signing: Signing,
) -> anyhow::Result<Exit> {
    let governance = governance(context, settings).await?;
    let (signed, name) = (signing.signed(context), ConnectorName(name));
    let ruled = governance.reject(&name, &signed).await;
    let chosen = Chosen::One(name);
    decided(context, ("reject_manifest", &signed.by), &chosen, ruled).await
}

/// Tells what the file and the proposal change.
pub async fn diff(context: &Context, settings: &Settings, name: String) -> anyhow::Result<Exit> {
    let governance = governance(context, settings).await?;
    let diffs = governance.diff(&ConnectorName(name)).await?;
    context.output.data(&serde_json::to_value(&diffs)?, || {
        diffs.iter().map(told).collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(Exit::Done)
}

/// Tells everything that ever happened to a manifest.
pub async fn history(context: &Context, settings: &Settings, name: String) -> anyhow::Result<Exit> {
    let governance = governance(context, settings).await?;
    let name = ConnectorName(name);
    let past = governance.history(&name).await?;
    let tested = governance.tested(&name).await?;
    let mut data = serde_json::to_value(&past)?;
    data["drills"] = serde_json::to_value(&tested.drills)?;
    data["examinations"] = serde_json::to_value(&tested.examinations)?;
    data["overrides"] = serde_json::to_value(&tested.overrides)?;
    data["more"] = tested.more.into();
    if tested.more {
        Output::note(
            "there are older drills or examinations than these; `clawback drill list` takes --limit N",
        );
    }
    context.output.data(&data, || lines(&past, &tested))?;
    Ok(Exit::Done)
}

/// Keeps what an examination found, for the connector's history. A store that does not answer keeps
/// nobody from examining; that it is not kept is told.
pub async fn note_examination(
    context: &Context,
    settings: &Settings,
    name: &ConnectorName,
    order: &Order,
    points: &[Point],
) {
    let noted = async {
        let governance = governance(context, settings).await?;
        let failed = points.iter().filter(|one| one.mark == Mark::Failed);
        let failed: Vec<_> = failed
            .map(|one| format!("{}: {}", one.point, one.found))
            .collect();
        let Some(manifest) = governance.file_digest(name) else {
            return anyhow::Ok(());
        };
        let examination = Examination {
            connector: name.clone(),
            at: context.clock.now(),
            manifest,
            passed: failed.is_empty(),
            changed: order.change,
            failed,
        };
        context
            .store()
            .await?
            .note_examination(&examination)
            .await?;
        Ok(())
    };
    if let Err(error) = noted.await {
        Output::note(&format!(
            "the examination is not kept in the history: {error:#}"
        ));
    }
}

/// How every connector stands; nothing where the store does not answer, which is told.
pub async fn stands(context: &Context, settings: &Settings) -> Vec<Stands> {
    let asked = async { anyhow::Ok(governance(context, settings).await?.stands().await?) };
    match asked.await {
        Ok(stands) => stands,
        Err(error) => {
            Output::note(&format!("approvals are not known: {error:#}"));
            Vec::new()
        }
    }
}

/// The pauses in force; none where the store does not answer, which is told with the standings.
pub async fn pauses(context: &Context) -> Pauses {
    let asked = async { anyhow::Ok(context.store().await?.pauses().await?) };
    asked.await.unwrap_or_default()
}

/// One connector's standing among them, in words and as data.
pub fn standing(stands: &[Stands], name: &str) -> (Value, Value) {
    let found = stands.iter().find(|one| one.connector.as_str() == name);
    (words(stands, name).into(), json!(found))
}

/// One connector's standing among them, in words.
pub fn words(stands: &[Stands], name: &str) -> String {
    let found = stands.iter().find(|one| one.connector.as_str() == name);
    found.map_or_else(|| "unknown".to_owned(), |one| one.words.clone())
}

fn done(context: &Context, done: &[Done]) -> anyhow::Result<Exit> {
    context.output.data(&serde_json::to_value(done)?, || {
        let rows = done.iter().map(|one| {
            let digest = one.digest.as_ref();
            vec![
                one.connector.to_string(),
                digest.map_or(String::new(), |digest| short(digest.as_str())),
                one.came_to.clone(),
            ]
        });
        let headings = ["connector", "manifest", "result"];
        table(&headings, rows.collect(), "nothing to do")
    })?;
    let all = done.iter().all(|one| one.accepted);
    if all {
        return Ok(Exit::Done);
    }
    let refused = done.iter().filter(|one| !one.accepted).count();
    let of = done.len();
    Output::note(&format!("{refused} of {of} were refused"));
    Ok(Exit::Refused)
}

fn told(diff: &Diff) -> String {
    let over = diff.over.as_ref();
    let head = sheet(&[
        ("connector", diff.connector.to_string()),
        ("from the", diff.from.to_owned()),
        ("manifest", diff.digest.to_string()),
        (
            "in force",
            over.map_or("nothing".to_owned(), ToString::to_string),
        ),
        ("all in all", diff.effect.as_str().to_owned()),
    ]);
    let none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows = diff.differences.iter().map(|one| {
        vec![
            one.what.clone(),
            none(&one.was),
            none(&one.becomes),
            one.effect.as_str().to_owned(),
            one.why.to_owned(),
        ]
    });
    let empty = if diff.over.is_some() {
        "changes nothing"
    } else {
        "nothing is in force: all of it is new; read the file, or `connectors show`"
    };
    let headings = ["what", "was", "becomes", "effect", "why"];
    format!("{head}\n\n{}", table(&headings, rows.collect(), empty))
}

/// All that ever happened to one matter, line by line.
pub fn lines(past: &Past, tested: &Tested) -> String {
    let line = |signed: &Signed, what: &str, digest: &str| {
        let cells = vec![
            instant(signed.at),
            what.to_owned(),
            short(digest),
            signed.by.clone(),
            signed.reason.clone(),
        ];
        (signed.at, cells)
    };
    let mut rows = Vec::new();
    for (past, what) in [(past, ""), (&tested.overrides, "drill override ")] {
        for proposal in &past.proposals {
            let digest = proposal.content.digest.as_str();
            rows.push(line(&proposal.proposed, &format!("{what}proposed"), digest));
            if let Some(signed) = proposal.state.signed() {
                let words = format!("{what}{}", proposal.state.as_str());
                rows.push(line(signed, &words, digest));
            }
        }
    }
    rows.extend(tests(tested));
    for binding in &past.bindings {
        let what = if binding.proposal.is_some() {
            format!(
                "binds, number {}, until {}",
                binding.number,
                instant(binding.until)
            )
        } else {
            format!("binds as narrower, number {}", binding.number)
        };
        let digest = binding.content.digest.as_str();
        rows.push(line(&binding.bound, &what, digest));
    }
    // Stable: what was written for one moment keeps its order.
    rows.sort_by_key(|(at, _)| *at);
    let headings = ["when", "what", "manifest", "who", "why"];
    let rows = rows.into_iter().map(|(_, cells)| cells);
    table(&headings, rows.collect(), "nothing was ever proposed")
}

/// When it was tested, and what came of it.
fn tests(tested: &Tested) -> Vec<(Timestamp, Vec<String>)> {
    let drills = tested.drills.iter().map(|drill| {
        let at = drill.ended().map_or(drill.begun, |(at, _)| at);
        let manifest = drill.manifest.as_ref();
        let cells = vec![
            instant(at),
            "drill".to_owned(),
            manifest.map_or(String::new(), |digest| short(digest.as_str())),
            drill.by.clone(),
            drill.words(),
        ];
        (at, cells)
    });
    let examinations = tested.examinations.iter().map(|one| {
        let came_to = if one.passed {
            "passed".to_owned()
        } else {
            format!("failed: {}", one.failed.join("; "))
        };
        let what = if one.changed {
            "examination with changes"
        } else {
            "examination"
        };
        let cells = vec![
            instant(one.at),
            what.to_owned(),
            short(one.manifest.as_str()),
            String::new(),
            came_to,
        ];
        (one.at, cells)
    });
    drills.chain(examinations).collect()
}

/// The first digits of a digest.
pub fn short(digest: &str) -> String {
    digest.chars().take(SHOWN).collect()
}
