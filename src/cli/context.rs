//! What every command is given.
//!
//! Owns opening the store that the configuration names, and the operator's way to change anything: a
//! wish is put in line, a worker carries it out, and the answer is waited for with a bound. Who did
//! what is noted in `acts`. Knows no command.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::acts;
use super::exit::Stop;
use super::output::Output;
use crate::app::wall;
use crate::config::{Config, Settings};
use crate::domain::command::{Answer, Command, Wish};
use crate::domain::id::{CommandId, ContentDigest};
use crate::domain::time::{Chance, Clock};
use crate::store::{self, Store};

const POLL: Duration = Duration::from_millis(100);

/// Paths, clock and chance.
#[derive(Debug)]
pub struct Context {
    /// The configuration file.
    pub config: PathBuf,
    /// Where data go.
    pub output: Output,
    /// The program's clock.
    pub clock: Arc<dyn Clock>,
    /// The program's chance.
    pub chance: Arc<dyn Chance>,
}

/// Who wishes, and how long they wait for the answer.
#[derive(Debug, Args)]
pub struct Wishing {
    /// Who you are; it stands in the record.
    #[arg(long = "as", env = "USER", value_name = "NAME")]
    pub by: String,
    /// How many seconds to wait for a worker.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub wait_seconds: u64,
}

/// A wish in line, and whose it is.
#[derive(Debug)]
pub struct Put {
    id: CommandId,
    by: String,
    act: acts::Done,
}

/// What was read, for an answer that holds for that alone.
#[derive(Debug, Args)]
pub struct Reading {
    /// What the task asked when you read it: `meant` of `tasks show`. If it asks something else by then,
    /// the answer is refused.
    #[arg(long, value_name = "DIGEST")]
    meant: Option<String>,
}

impl Reading {
    /// Its digest, where one was given.
    pub fn digest(self) -> Option<ContentDigest> {
        self.meant.map(ContentDigest)
    }
}

/// Who does what no worker has to carry out.
#[derive(Debug, Args)]
pub struct Acting {
    /// Who you are; it stands in the record.
    #[arg(long = "as", env = "USER", value_name = "NAME")]
    by: String,
}

impl Acting {
    /// The name, which must be one.
    pub fn by(&self) -> Result<&str, Stop> {
        named(&self.by)
    }
}

/// A name stands in the record for good, and tells a second person from the first.
fn named(by: &str) -> Result<&str, Stop> {
    match by.trim() {
        "" => Err(Stop::Usage {
            code: "CB-COMMAND-11",
            message: "nobody is named who does it; give your name with --as".to_owned(),
        }),
        _ => Ok(by),
    }
}

/// What is typed under this flag and stands in the record for good.
pub fn said<'a>(flag: &str, text: &'a str) -> Result<&'a str, Stop> {
    match text.trim() {
        "" => Err(Stop::Usage {
            code: "CB-COMMAND-8",
            message: format!("{flag} is empty; it stands in the record, so say it in words"),
        }),
        words => Ok(words),
    }
}

impl Context {
    /// Reads nothing yet.
    pub fn new(config: PathBuf, json: bool) -> Self {
        Self {
            config,
            output: Output { json },
            clock: wall::clock(),
            chance: wall::chance(),
        }
    }

    /// What `clawback.toml` says; manifests and workflow files are not read.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings::load(&self.config)?)
    }

    /// The whole configuration, checked.
    pub fn whole(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config, &self.clock)?)
    }

    /// The store, opened and of this program's schema.
    pub async fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        let store = store::open(&self.settings()?.store).await?;
        store.ping().await?;
        Ok(store)
    }

    /// Puts a wish in line and waits for its answer.
    pub async fn wish(
        &self,
        store: &dyn Store,
        wishing: &Wishing,
        wish: Wish,
    ) -> anyhow::Result<Answer> {
        let command = self.command(wishing, wish);
        self.wish_as(store, wishing, command).await
    }

    /// A wish as the command that stands in the record.
    pub fn command(&self, wishing: &Wishing, wish: Wish) -> Command {
        Command {
            id: CommandId(self.chance.id()),
            by: wishing.by.clone(),
            at: self.clock.now(),
            wish,
        }
    }

    /// The same for a command whose id is known beforehand.
    pub async fn wish_as(
        &self,
        store: &dyn Store,
        wishing: &Wishing,
        command: Command,
    ) -> anyhow::Result<Answer> {
        let seconds = wishing.wait_seconds;
        let put = self.put(store, &command).await?;
        let answers = self.answers(store, std::slice::from_ref(&put), seconds);
        match answers.await?.pop().flatten() {
            None => Err(Stop::Unanswered { seconds }.into()),
            Some(answer) if answer.accepted => Ok(answer),
            Some(answer) => Err(Stop::Refused {
                code: answer.code.unwrap_or_default(),
                message: answer.message,
            }
            .into()),
        }
    }

    /// Puts a command in line and does not wait.
    pub async fn put(&self, store: &dyn Store, command: &Command) -> anyhow::Result<Put> {
        let put = Put {
            id: command.id,
            by: named(&command.by)?.to_owned(),
            act: acts::of(&command.wish),
        };
        store.wish(command).await?;
        Ok(put)
    }

    /// The answers to what is in line, in its order, for as long as `seconds` do not pass without one more;
    /// `None` where none came. Notes what each came to.
    pub async fn answers(
        &self,
        store: &dyn Store,
        line: &[Put],
        seconds: u64,
    ) -> anyhow::Result<Vec<Option<Answer>>> {
        let mut answers: Vec<Option<Answer>> = vec![None; line.len()];
        loop {
            let waiting = |answers: &[Option<Answer>]| {
                let answers = answers.iter();
                answers.filter(|answer| answer.is_none()).count()
            };
            let before = waiting(&answers);
            if before == 0 {
                break;
            }
            let more = async {
                while waiting(&answers) == before {
                    for (put, answer) in line.iter().zip(&mut answers) {
                        if answer.is_none() {
                            *answer = store.answer(put.id).await?;
                        }
                    }
                    if waiting(&answers) == before {
                        tokio::time::sleep(POLL).await;
                    }
                }
                anyhow::Ok(())
            };
            if let Ok(read) = tokio::time::timeout(Duration::from_secs(seconds), more).await {
                read?;
            }
            if waiting(&answers) == before {
                break;
            }
        }
        for (put, answer) in line.iter().zip(&answers) {
            let came_to = answer.as_ref().map(acts::came_to);
            let came_to = came_to.as_deref().unwrap_or(acts::WAITS);
            self.note(store, &put.by, put.act.clone(), came_to).await?;
        }
        Ok(answers)
    }

    /// Notes what somebody has done, beside what console and API note.
    pub async fn note(
        &self,
        store: &dyn Store,
        by: &str,
        act: acts::Done,
        came_to: &str,
    ) -> anyhow::Result<()> {
        Ok(store
            .note_act(&acts::act(self.clock.now(), by, act, came_to))
            .await?)
    }
}
