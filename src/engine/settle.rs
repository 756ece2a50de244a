//! Settle: many settlements, one commit.
//!
//! Owns the writer, one for each worker. It drains its channel into one transaction and releases
//! the waiters after the commit; while one commit is on its way the next batch gathers, so no timer
//! is needed. A store that is away holds the batch back; it never becomes a run's outcome.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::domain::time::Timestamp;
use crate::store::Fenced;
use crate::telemetry::{Stopwatch, metrics};

use super::crew::Hands;
use super::{Engine, EngineError};

/// The handle by which drivers hand settlements in.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: mpsc::Sender<Waiting>,
}

/// One settlement on its way, and who waits for it.
#[derive(Debug)]
struct Waiting {
    fenced: Fenced,
    answer: oneshot::Sender<Option<Timestamp>>,
}

/// The writer's own half: the loop that commits.
#[derive(Debug)]
pub(super) struct Scribe {
    queue: mpsc::Receiver<Waiting>,
    hands: Hands,
    engine: Arc<Engine>,
    at_most: usize,
}

impl Writer {
    /// A writer and its loop; runs that the store keeps for this worker go to its hands.
    pub(super) fn new(engine: Arc<Engine>, hands: Hands) -> (Self, Scribe) {
        let at_most = engine.settings.settlements_per_commit.max(1);
        let (sender, queue) = mpsc::channel(at_most * 2);
        let scribe = Scribe {
            queue,
            hands,
            engine,
            at_most,
        };
        (Self { queue: sender }, scribe)
    }

    /// Commits one settlement together with whatever else is waiting. Answers with the time of the
    /// commit, or `None` when the lease had moved on: the run is no longer this worker's.
    ///
    /// # Errors
    /// `Unsettled` when the store refuses it for good, or the worker is stopping.
    pub async fn settle(&self, fenced: Fenced) -> Result<Option<Timestamp>, EngineError> {
        let (answer, committed) = oneshot::channel();
        let waiting = Waiting { fenced, answer };
        let sent = self.queue.send(waiting).await;
        sent.map_err(|_| EngineError::Unsettled)?;
        committed.await.map_err(|_| EngineError::Unsettled)
    }
}

impl Scribe {
    /// Commits until every writer handle is gone.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(self.at_most);
        while self.queue.recv_many(&mut batch, self.at_most).await > 0 {
            let (fenced, answers): (Vec<_>, Vec<_>) = batch
                .drain(..)
                .map(|waiting| (waiting.fenced, waiting.answer))
                .unzip();
            self.commit(fenced, answers).await;
        }
    }

    async fn commit(&self, batch: Vec<Fenced>, answers: Vec<oneshot::Sender<Option<Timestamp>>>) {
        let mut pause = Duration::from_millis(20);
        loop {
            let now = self.engine.clock.now();
            let keep = self.hands.crew.keep();
            let watch = Stopwatch::start();
            match self.engine.store.settle(now, &keep, &batch).await {
                Ok(settled) => {
                    metrics::settled(batch.len(), watch.seconds());
                    let refused = settled.accepted.iter().filter(|accepted| !**accepted);
                    metrics::settlements_refused(refused.count() as u64);
                    self.hands.take(settled.kept);
                    for ((accepted, answer), fenced) in
                        settled.accepted.into_iter().zip(answers).zip(&batch)
                    {
                        let _ = answer.send(accepted.then_some(now));
                        if let (true, Some((case, ..))) = (accepted, fenced.settlement.case_ended) {
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
