//! The floor: a bare loop that group-commits the rows that the engine writes, and nothing else.
//!
//! Owns the cases as waits without content (an event, an opened case with its runs, every step with
//! its journal lines, the end) and the one writer that commits whatever waits, as the engine's does.
//! Every step's update names owner, token and step, and the writer checks that it hit. There are no
//! decisions, no JSON, no digests, no secondary indexes, no constraints but primary keys. Not part of it: SQL,
//! which is in `postgres` and `sqlite`.

mod postgres;
mod sqlite;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clawback::domain::id::{CaseId, EventKey};
use clawback::domain::time::Timestamp;
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::database::{Database, Sizes};
use crate::load::Load;
use crate::{seed, target};

/// As in the engine's settings.
const SETTLEMENTS_PER_COMMIT: usize = 512;

/// As long as the digests in a link of the engine's log.
const DIGEST: &[u8] = &[7; 32];

/// One thing to be made durable.
#[derive(Debug, Clone)]
pub enum Write {
    /// The event is recorded.
    Record { event: Uuid },
    /// The case and its runs begin; the event is marked.
    Open {
        event: Uuid,
        case: Uuid,
        /// Each with how many others it waits for; the case's own is the first.
        runs: Vec<(Uuid, i32)>,
    },
    /// A run moves by one step and writes so many lines; at its last it counts its parent down.
    Step {
        run: Uuid,
        step: i64,
        /// True for a revoke, which names its item; a look has a detail instead.
        revoke: bool,
        lines: usize,
        parent: Option<Uuid>,
    },
    /// The case's own run and its row end.
    End { run: Uuid, case: Uuid },
}

/// A write and who waits for it.
struct Waiting {
    write: Write,
    done: oneshot::Sender<()>,
}

enum Ledger {
    Postgres(postgres::Ledger),
    Sqlite(sqlite::Ledger),
}

/// The bare loop on a database of its own.
pub struct Floor {
    cases: Arc<Cases>,
    in_flight: u64,
    commits: Arc<AtomicU64>,
    writer: JoinSet<Result<(), String>>,
}

impl Floor {
    /// Bare tables, and the one writer.
    pub async fn open(database: &Database, load: &Load, sizes: Sizes) -> Result<Self, String> {
        let ledger = match database {
            Database::Postgres { url, pool, .. } => {
                Ledger::Postgres(postgres::Ledger::open(url, pool, sizes).await?)
            }
            Database::Sqlite { url, .. } => Ledger::Sqlite(sqlite::Ledger::open(url, sizes).await?),
        };
        let (queue, waiting) = mpsc::channel(SETTLEMENTS_PER_COMMIT * 2);
        let commits = Arc::new(AtomicU64::new(0));
        let mut writer = JoinSet::new();
        writer.spawn(commit_all(ledger, waiting, commits.clone()));
        Ok(Self {
            cases: Arc::new(Cases {
                queue,
                next: AtomicU64::new(0),
                in_sequence: load.in_sequence,
            }),
            in_flight: load.in_flight,
            commits,
            writer,
        })
    }

    /// Plays so many cases; returns how many milliseconds each took.
    pub async fn play(&self, cases: u64) -> Result<Vec<f64>, String> {
        play(&self.cases, self.in_flight, cases).await
    }

    /// Transactions so far.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Ends the writer; an error if any lease did not hold.
    pub async fn close(mut self) -> Result<(), String> {
        drop(self.cases);
        while let Some(ended) = self.writer.join_next().await {
            ended.map_err(|error| error.to_string())??;
        }
        Ok(())
    }
}

async fn commit_all(
    mut ledger: Ledger,
    mut queue: mpsc::Receiver<Waiting>,
    commits: Arc<AtomicU64>,
) -> Result<(), String> {
    let mut batch = Vec::with_capacity(SETTLEMENTS_PER_COMMIT);
    while queue.recv_many(&mut batch, SETTLEMENTS_PER_COMMIT).await > 0 {
        let (writes, waiters): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|one| (one.write, one.done)).unzip();
        let moved = match &mut ledger {
            Ledger::Postgres(ledger) => ledger.commit(&writes).await,
            Ledger::Sqlite(ledger) => ledger.commit(&writes).await,
        };
        let moved = moved.map_err(|error| error.to_string())?;
        let moving = writes.iter();
        let moving = moving.filter(|one| matches!(one, Write::Step { .. } | Write::End { .. }));
        let moving = moving.count() as u64;
        if moved != moving {
            return Err(format!("{moved} of {moving} leases held"));
        }
        commits.fetch_add(1, Ordering::Relaxed);
        for done in waiters {
            let _ = done.send(());
        }
    }
    Ok(())
}

async fn play(cases: &Arc<Cases>, in_flight: u64, count: u64) -> Result<Vec<f64>, String> {
    let first = cases.next.load(Ordering::Relaxed);
    let mut lanes = JoinSet::new();
    for _ in 0..in_flight {
        lanes.spawn(lane(cases.clone(), first + count));
    }
    let mut took = Vec::with_capacity(count as usize);
    while let Some(lane) = lanes.join_next().await {
        took.extend(lane.map_err(|error| error.to_string())??);
    }
    cases.next.store(first + count, Ordering::Relaxed);
    Ok(took)
}

async fn lane(cases: Arc<Cases>, end: u64) -> Result<Vec<f64>, String> {
    let mut took = Vec::new();
    loop {
        let number = cases.next.fetch_add(1, Ordering::Relaxed);
        if number >= end {
            return Ok(took);
        }
        let start = Instant::now();
        cases.one(number).await.ok_or("the floor's writer failed")?;
        took.push(start.elapsed().as_secs_f64() * 1000.0);
    }
}

struct Cases {
    queue: mpsc::Sender<Waiting>,
    next: AtomicU64,
    in_sequence: bool,
}

impl Cases {
    async fn write(&self, write: Write) -> Option<()> {
        let (done, committed) = oneshot::channel();
        self.queue.send(Waiting { write, done }).await.ok()?;
        committed.await.ok()
    }

    /// One case from its event to its end, in the same waits as the engine's.
    async fn one(&self, number: u64) -> Option<()> {
        let key = EventKey::of("urn:bench", &number.to_string());
        let case = CaseId::of(key, Timestamp::now());
        let (event, own) = (key.0, case.run().0);
        let runs: Vec<Uuid> = seed::removals(case).iter().map(|run| run.0).collect();
        self.write(Write::Record { event }).await?;
        let waits = |place: usize| i32::from(self.in_sequence && place > 0);
        let own_waits = if self.in_sequence {
            1
        } else {
            runs.len() as i32
        };
        let removals = runs.iter().enumerate();
        let removals = removals.map(|(place, run)| (*run, waits(place)));
        self.write(Write::Open {
            event,
            case: case.0,
            runs: std::iter::once((own, own_waits)).chain(removals).collect(),
        })
        .await?;
        if self.in_sequence {
            for (place, run) in runs.iter().enumerate() {
                let parent = runs.get(place + 1).copied().unwrap_or(own);
                self.removal(*run, parent).await?;
            }
        } else {
            let removals = runs.iter().map(|run| self.removal(*run, own));
            join_all(removals)
                .await
                .into_iter()
                .collect::<Option<()>>()?;
        }
        self.write(Write::End {
            run: own,
            case: case.0,
        })
        .await
    }

    /// The revokes, one by one or together, and two looks. The first passes the probe that no manifest
    /// declares here, with a line of its own; the second is the run's end.
    async fn removal(&self, run: Uuid, parent: Uuid) -> Option<()> {
        let (revokes, lines) = if self.in_sequence {
            (target::ITEMS, 1)
        } else {
            (1, target::ITEMS)
        };
        let looks = [(false, 2, None), (false, 1, Some(parent))];
        let steps = std::iter::repeat_n((true, lines, None), revokes).chain(looks);
        for (step, (revoke, lines, parent)) in (1..).zip(steps) {
            self.write(Write::Step {
                run,
                step,
                revoke,
                lines,
                parent,
            })
            .await?;
        }
        Some(())
    }
}
