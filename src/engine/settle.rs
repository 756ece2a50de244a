//! Settle: many settlements, one commit.
//!
//! Owns the writer, one for each worker, and its scribes, as many as the store takes batches at once.
//! A scribe drains the channel into one transaction and releases the waiters after the commit. While
//! one commit is on its way the next batch gathers, and before it leaves everybody who can run gets a
//! turn, so no timer is needed. A store that is away holds the batch back; it never becomes a run's
//! outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use crate::domain::settlement::Settlement;
use crate::domain::time::Timestamp;
use crate::store::Fenced;
use crate::telemetry::{Stopwatch, metrics};

use super::crew::Hands;
use super::worker::Pulse;
use super::{Engine, EngineError};

/// A batch leaves after so many turns of the other tasks in which nothing came in. More than one,
/// because drivers also run on other threads.
const IDLE_TURNS: u32 = 3;

/// A batch of so many leaves at once, although another commit is under way.
const LARGE: usize = 64;

/// Fewer than so many are not worth a commit of their own.
const SMALL: usize = 16;

/// For the commit of another a batch waits no longer than this.
const GATHER: Duration = Duration::from_secs(1);

/// The handle by which drivers hand settlements in.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: mpsc::Sender<Waiting>,
}

/// One settlement on its way, and who waits for it.
#[derive(Debug)]
struct Waiting {
    fenced: Fenced,
    answer: oneshot::Sender<Answer>,
}

/// When it was committed, and the settlement back; `None` when the lease had moved on.
type Answer = Option<(Timestamp, Box<Settlement>)>;

/// One of those who commit what the writer is handed.
#[derive(Debug)]
pub(super) struct Scribe {
    desk: Arc<Desk>,
    hands: Hands,
    engine: Arc<Engine>,
    pulse: Arc<Pulse>,
    /// Which of the scribes it is.
    number: usize,
    at_most: usize,
}

/// What the scribes share.
#[derive(Debug)]
struct Desk {
    /// Whoever has it gathers.
    queue: Mutex<mpsc::Receiver<Waiting>>,
    /// Commits on their way.
    under_way: AtomicUsize,
    /// Rung when one of them is through.
    through: Notify,
}

impl Writer {
    /// A writer and its scribes; runs that the store keeps for this worker go to its hands.
    pub(super) fn new(
        engine: &Arc<Engine>,
        hands: &Hands,
        pulse: &Arc<Pulse>,
    ) -> (Self, Vec<Scribe>) {
        let at_most = engine.settings.settlements_per_commit.max(1);
        let scribes = engine.store.settles_at_once().max(1);
        let (sender, queue) = mpsc::channel(at_most * 2);
        let desk = Arc::new(Desk {
            queue: Mutex::new(queue),
            under_way: AtomicUsize::new(0),
            through: Notify::new(),
        });
        let scribe = |number| Scribe {
            desk: desk.clone(),
            hands: hands.clone(),
            engine: engine.clone(),
            pulse: pulse.clone(),
            number,
            at_most,
        };
        let all = (0..scribes)
            // Of an earlier life, whose scribes were cut off.
            .inspect(|number| pulse.committed(*number))
            .map(scribe)
            .collect();
        (Self { queue: sender }, all)
    }

    /// Commits one settlement together with whatever else is waiting. Answers with the time of the
    /// commit and the settlement, or `None` when the lease had moved on: the run is no longer this
    /// worker's.
    ///
    /// # Errors
    /// `Unsettled` when the store refuses it for good, or the worker is stopping.
    pub async fn settle(&self, fenced: Fenced) -> Result<Answer, EngineError> {
        let (answer, committed) = oneshot::channel();
        let waiting = Waiting { fenced, answer };
        let sent = self.queue.send(waiting).await;
        sent.map_err(|_| EngineError::Unsettled)?;
        committed.await.map_err(|_| EngineError::Unsettled)
    }
}

impl Scribe {
    /// Commits until every writer handle is gone.
    pub(super) async fn run(self) {
        loop {
            let batch = self.gather().await;
            if batch.is_empty() {
                return;
            }
            let (fenced, answers): (Vec<_>, Vec<_>) = batch
                .into_iter()
                .map(|waiting| (waiting.fenced, waiting.answer))
                .unzip();
            self.commit(fenced, answers).await;
            self.pulse.committed(self.number);
            self.desk.under_way.fetch_sub(1, Ordering::AcqRel);
            self.desk.through.notify_one();
        }
    }

    /// The next batch, counted as under way; empty when every writer handle is gone.
    ///
    /// Lets those who are about to hand in do so: the drivers whose last step was just committed are
    /// all runnable now, and a batch that leaves with the first of them costs the others a commit of
    /// their own. While another commit is under way a batch waits for those whom it releases. Half of
    /// what is in hand is [`Self::enough`] either way.
    async fn gather(&self) -> Vec<Waiting> {
        let mut queue = self.desk.queue.lock().await;
        let mut batch = Vec::with_capacity(LARGE);
        queue.recv_many(&mut batch, self.at_most).await;
        let mut idle_turns = 0;
        while (1..self.enough()).contains(&batch.len()) && idle_turns < IDLE_TURNS {
            let before = batch.len();
            let room = self.at_most - before;
            if self.desk.under_way.load(Ordering::Acquire) > 0 {
                tokio::select! {
                    came = queue.recv_many(&mut batch, room) => if came == 0 { break },
                    () = self.desk.through.notified() => {}
                    // The other's commit hangs: this one is no faster for waiting.
                    () = tokio::time::sleep(GATHER) => break,
                }
            } else {
                tokio::task::yield_now().await;
                while batch.len() < self.at_most
                    && let Ok(waiting) = queue.try_recv()
                {
                    batch.push(waiting);
                }
            }
            let came = batch.len() > before;
            idle_turns = if came { 0 } else { idle_turns + 1 };
        }
        self.desk.under_way.fetch_add(1, Ordering::AcqRel);
        batch
    }

    /// With so many settlements a batch leaves, whoever else could still come: half of what is in
    /// hand, so that one half takes its steps while the other is being committed, if half is enough
    /// to share a commit.
    fn enough(&self) -> usize {
        let half = self.hands.crew.in_hand() as usize / 2;
        if half < SMALL {
            return self.at_most;
        }
        half.min(LARGE).min(self.at_most)
    }

    async fn commit(&self, batch: Vec<Fenced>, answers: Vec<oneshot::Sender<Answer>>) {
        let mut pause = Duration::from_millis(20);
        loop {
            let now = self.engine.clock.now();
            self.pulse.commits_from(self.number, now);
            let keep = self.hands.crew.keep();
            let watch = Stopwatch::start();
            match self.engine.store.settle(now, &keep, &batch).await {
                Ok(settled) => {
                    metrics::settled(batch.len(), watch.seconds());
                    let refused = settled.accepted.iter().filter(|accepted| !**accepted);
                    metrics::settlements_refused(refused.count() as u64);
                    self.hands.take(settled.kept);
                    for ((accepted, answer), fenced) in
                        settled.accepted.into_iter().zip(answers).zip(batch)
                    {
                        let ended = fenced.settlement.case_ended;
                        let _ = answer.send(accepted.then_some((now, fenced.settlement)));
                        if let (true, Some((case, ..))) = (accepted, ended) {
                            // Nobody listening is the usual case.
                            let _ = self.engine.cases_ended.send(case);
                        }
                    }
                    return;
                }
                Err(error) if error.is_passing() => {
                    tracing::warn!(
                        code = "CB-STORE-1",
                        "the store is away, {} settlements wait",
                        batch.len()
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                Err(error) if batch.len() > 1 => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a batch was refused; settling one by one"
                    );
                    for (one, answer) in batch.into_iter().zip(answers) {
                        Box::pin(self.commit(vec![one], vec![answer])).await;
                    }
                    return;
                }
                Err(error) => {
                    // Without an answer its driver lets go of the run, which is owed and due.
                    tracing::error!(
                        run = %batch[0].settlement.run.id,
                        error = &error as &dyn std::error::Error,
                        "a settlement was refused"
                    );
                    return;
                }
            }
        }
    }
}
