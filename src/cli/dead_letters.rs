//! `clawback dead-letters`: list, show, replay, set aside.
//!
//! Owns how a message that could not be read is told. The message itself stays as it came; what can
//! be shown as text is shown as text.

use clap::Subcommand;
use serde_json::{Value, json};

use super::context::{Acting, Context, said};
use super::exit::{Exit, Stop};
use super::output::{and_one, cut, instant, sheet, table};
use crate::app::post;
use crate::domain::approval::Signed;
use crate::domain::id::DeadLetterId;
use crate::store::{DeadLetter, Letters, Store};

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Dead letters, newest first.
    List {
        /// Only those that nobody has replayed or set aside.
        #[arg(long)]
        waiting: bool,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One dead letter, whole.
    Show {
        /// Its id.
        id: DeadLetterId,
    },
    /// Send dead letters to their topic again, after a fix.
    Replay {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<DeadLetterId>,
        #[command(flatten)]
        acting: Acting,
    },
    /// Say that nothing needs to come of dead letters. They stay, and can still be replayed.
    SetAside {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<DeadLetterId>,
        /// Why; it stands in the record.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        acting: Acting,
    },
}

/// Carries out the command.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    match command {
        Command::List { waiting, limit } => {
            let which = if waiting {
                Letters::Waiting
            } else {
                Letters::All
            };
            let mut letters = store.dead_letters(which, and_one(limit)).await?;
            cut(&mut letters, limit, "--limit N");
            let data: Vec<_> = letters.iter().map(as_json).collect();
            context.output.data(&data.into(), || list(&letters))?;
        }
        Command::Show { id } => {
            let letter = find(store.as_ref(), id).await?;
            context.output.data(&as_json(&letter), || tell(&letter))?;
        }
        Command::Replay { ids, acting } => replay(context, store.as_ref(), &ids, &acting).await?,
        Command::SetAside {
            ids,
            reason,
            acting,
        } => set_aside(context, store.as_ref(), &ids, (&acting, reason)).await?,
    }
    Ok(Exit::Done)
}

async fn find(store: &dyn Store, id: DeadLetterId) -> anyhow::Result<DeadLetter> {
    let letter = store.dead_letter(id).await?;
    Ok(letter.ok_or_else(|| Stop::NotFound {
        what: "dead letter",
        name: id.to_string(),
    })?)
}

/// All of them or, where one does not exist, none.
async fn replay(
    context: &Context,
    store: &dyn Store,
    ids: &[DeadLetterId],
    acting: &Acting,
) -> anyhow::Result<()> {
    let by = acting.by()?;
    for id in ids {
        if !find(store, *id).await?.has_message() {
            return Err(Stop::Usage {
                code: "CB-COMMAND-14",
                message: format!("{id} stands for messages that are gone; none was replayed"),
            }
            .into());
        }
    }
    let mut replayed = Vec::new();
    for id in ids {
        let (clock, chance) = (context.clock.as_ref(), context.chance.as_ref());
        let Some(message) = post::replay(store, *id, clock, chance).await? else {
            continue;
        };
        let act = ("replay_dead_letter", id.to_string());
        let came_to = format!("done: message {message}");
        context.note(store, by, act, &came_to).await?;
        replayed.push(json!({ "id": id, "message": message }));
    }
    let count = replayed.len();
    Ok(context.output.data(&replayed.into(), || {
        format!("{count} in the outbox; a worker sends them")
    })?)
}

/// All of them or, where one does not exist, none.
async fn set_aside(
    context: &Context,
    store: &dyn Store,
    ids: &[DeadLetterId],
    (acting, reason): (&Acting, String),
) -> anyhow::Result<()> {
    let by = acting.by()?;
    let reason = said("--reason", &reason)?;
    for id in ids {
        find(store, *id).await?;
    }
    let signed = Signed {
        by: by.to_owned(),
        at: context.clock.now(),
        reason: reason.to_owned(),
    };
    for id in ids {
        if !store.set_aside(*id, &signed).await? {
            // Gone since it was looked for: nothing is told of it that was not done.
            find(store, *id).await?;
            continue;
        }
        let act = ("set_aside_dead_letter", id.to_string());
        context
            .note(store, by, act, &format!("done: {reason}"))
            .await?;
    }
    Ok(context.output.data(&json!(ids), || {
        format!("{} set aside; they stay in the list", ids.len())
    })?)
}

/// The letter with its bytes as text; what is not UTF-8 is shown with replacement characters.
fn as_json(letter: &DeadLetter) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    json!({
        "id": letter.id,
        "topic": letter.origin.topic,
        "partition": letter.origin.partition,
        "offset": letter.origin.offset,
        "code": letter.code,
        "reason": letter.reason,
        "first_seen": letter.first_seen,
        "replayed": letter.replayed,
        "set_aside": letter.aside,
        "key": letter.key.as_deref().map(text),
        "headers": letter.headers.iter()
            .map(|(name, value)| json!([name, text(value)]))
            .collect::<Vec<_>>(),
        "payload": text(&letter.payload),
        "payload_bytes": letter.payload.len(),
    })
}

fn place(letter: &DeadLetter) -> String {
    format!(
        "{} [{}] at {}",
        letter.origin.topic, letter.origin.partition, letter.origin.offset
    )
}

fn list(letters: &[DeadLetter]) -> String {
    let rows = letters.iter().map(|letter| {
        vec![
            letter.id.to_string(),
            place(letter),
            letter.code.clone(),
            letter.reason.clone(),
            instant(letter.first_seen),
            done_with(letter),
        ]
    });
    let headings = [
        "dead letter",
        "came from",
        "code",
        "reason",
        "seen",
        "what came of it",
    ];
    table(&headings, rows.collect(), "no dead letters")
}

fn done_with(letter: &DeadLetter) -> String {
    match (letter.replayed, &letter.aside) {
        (Some(at), _) => format!("replayed {}", instant(at)),
        (None, Some(by)) => format!("set aside {}", instant(by.at)),
        (None, None) => String::new(),
    }
}

fn aside(signed: &Signed) -> String {
    let (at, by) = (instant(signed.at), &signed.by);
    format!("{at} by {by}: {}", signed.reason)
}

fn tell(letter: &DeadLetter) -> String {
    let headers = letter.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
        .collect();
    let key = letter.key.as_deref().unwrap_or_default();
    sheet(&[
        ("dead letter", letter.id.to_string()),
        ("came from", place(letter)),
        ("why", format!("{} {}", letter.code, letter.reason)),
        ("seen", instant(letter.first_seen)),
        ("replayed", letter.replayed.map_or(String::new(), instant)),
        (
            "set aside",
            letter.aside.as_ref().map_or(String::new(), aside),
        ),
        ("key", String::from_utf8_lossy(key).into_owned()),
        ("headers", headers.join("\n")),
        (
            "payload",
            String::from_utf8_lossy(&letter.payload).into_owned(),
        ),
    ])
}
