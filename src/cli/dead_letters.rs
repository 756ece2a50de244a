//! `clawback dead-letters`: list, show, replay.
//!
//! Owns how a message that could not be read is told. The message itself stays as it came; what can
//! be shown as text is shown as text.

use clap::Subcommand;
use serde_json::{Value, json};

use super::context::{Acting, Context};
use super::exit::{Exit, Stop};
use super::output::{and_one, cut, instant, sheet, table};
use crate::app::post;
use crate::domain::id::DeadLetterId;
use crate::store::{DeadLetter, Letters};

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Dead letters, newest first.
    List {
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
}

/// Carries out the command.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    match command {
        Command::List { limit } => {
            let mut letters = store.dead_letters(Letters::All, and_one(limit)).await?;
            cut(&mut letters, limit, "--limit N");
            let data: Vec<_> = letters.iter().map(as_json).collect();
            context.output.data(&data.into(), || list(&letters))?;
        }
        Command::Show { id } => {
            let letter = store.dead_letter(id).await?.ok_or_else(|| Stop::NotFound {
                what: "dead letter",
                name: id.to_string(),
            })?;
            context.output.data(&as_json(&letter), || tell(&letter))?;
        }
        Command::Replay { ids, acting } => {
            let by = acting.by()?;
            let mut replayed = Vec::new();
            for id in ids {
                let (clock, chance) = (context.clock.as_ref(), context.chance.as_ref());
                match post::replay(store.as_ref(), id, clock, chance).await? {
                    Some(message) => {
                        let act = ("replay_dead_letter", id.to_string());
                        let came_to = format!("done: message {message}");
                        context.note(store.as_ref(), by, act, &came_to).await?;
                        replayed.push(json!({ "id": id, "message": message }));
                    }
                    None => {
                        return Err(Stop::NotFound {
                            what: "dead letter",
                            name: id.to_string(),
                        }
                        .into());
                    }
                }
            }
            let count = replayed.len();
            context.output.data(&replayed.into(), || {
                format!("{count} in the outbox; a worker sends them")
            })?;
        }
    }
    Ok(Exit::Done)
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
            letter.replayed.map_or(String::new(), instant),
        ]
    });
    let headings = [
        "dead letter",
        "came from",
        "code",
        "reason",
        "seen",
        "replayed",
    ];
    table(&headings, rows.collect(), "no dead letters")
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
        ("key", String::from_utf8_lossy(key).into_owned()),
        ("headers", headers.join("\n")),
        (
            "payload",
            String::from_utf8_lossy(&letter.payload).into_owned(),
        ),
    ])
}
