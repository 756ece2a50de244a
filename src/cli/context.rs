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
        let command = Command {
            id: CommandId(self.chance.id()),
            by: wishing.by.clone(),
            at: self.clock.now(),
            wish,
        };
        self.wish_as(store, wishing, command).await
    }

    /// The same for a command whose id is known beforehand.
    pub async fn wish_as(
        &self,
        store: &dyn Store,
        wishing: &Wishing,
        command: Command,
    ) -> anyhow::Result<Answer> {
        let (by, act) = (named(&command.by)?.to_owned(), acts::of(&command.wish));
        store.wish(&command).await?;
        let bound = Duration::from_secs(wishing.wait_seconds);
        let answered = tokio::time::timeout(bound, async {
            loop {
                if let Some(answer) = store.answer(command.id).await? {
                    return anyhow::Ok(answer);
                }
                tokio::time::sleep(POLL).await;
            }
        });
        let Ok(answer) = answered.await else {
            self.note(store, &by, act, acts::WAITS).await?;
            return Err(Stop::Unanswered {
                seconds: wishing.wait_seconds,
            }
            .into());
        };
        let answer = answer?;
        self.note(store, &by, act, &acts::came_to(&answer)).await?;
        if answer.accepted {
            return Ok(answer);
        }
        Err(Stop::Refused {
            code: answer.code.unwrap_or_default(),
            message: answer.message,
        }
        .into())
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
