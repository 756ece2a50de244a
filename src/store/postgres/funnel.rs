//! The one way into PostgreSQL: lanes for transactions, and others for what operators read.
//!
//! Owns the connections and their settings. A lane is a connection that is lent out by the name of
//! its transaction and comes back only when it is known to be sound; a collision with another
//! transaction is tried again here. A pool would ask each connection how it is after every use, and wait
//! for as long as it takes for one that has fallen silent.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::store::aside::Aside;
use crate::store::audit::Strands;
use crate::store::refusal::collided;
use crate::store::{Settings, StoreError, Stored};

use super::readers::Readers;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a lane may be in use. A connection that was dropped without a word answers nothing for a
/// quarter of an hour, and nothing on it comes to an end before that.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long what an operator asks may go on in the server: nobody waits for the answer any more.
const ASKED: &str = "30s";
/// How long a reader may be in use: longer than the server lets it, so that a statement that takes too long
/// is told as that.
pub(super) const READING: Duration = Duration::from_secs(35);
/// How long the signing of a checkpoint may take, which reads what the log has grown by.
pub(super) const SIGNING: Duration = Duration::from_secs(600);
/// How long one that goes through the whole log may be in use. Somebody waits for that.
pub(super) const WHOLE_LOG: Duration = Duration::from_secs(3600);
/// How often a transaction that collided with another is tried again.
const TRIES: u32 = 8;
/// Connections that read for operators.
const READERS: u32 = 4;
/// Connections for what a worker reads for itself: operators' questions never hold it up.
const OWN: usize = 2;

/// The connections to one database.
#[derive(Debug)]
pub(super) struct Funnel {
    steps: Lanes,
    own: Lanes,
    readers: Lanes,
    /// Where the log goes on.
    pub(super) strands: Strands,
    /// Rows that no look takes up.
    pub(super) aside: Aside,
}

/// Connections that are lent out, as many at once as there are permits.
#[derive(Debug)]
struct Lanes {
    options: PgConnectOptions,
    count: usize,
    permits: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
}

impl Lanes {
    fn new(options: PgConnectOptions, count: usize) -> Self {
        Self {
            options,
            count,
            permits: Semaphore::new(count),
            idle: Mutex::new(Vec::new()),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Stored<PgConnection> {
        match tokio::time::timeout(CONNECT, self.options.connect()).await {
            Ok(connection) => Ok(connection?),
            Err(late) => Err(StoreError::Unavailable(Box::new(late))),
        }
    }

    async fn lend(&self, name: &'static str) -> Stored<Lane<'_>> {
        let permit = match tokio::time::timeout(PATIENCE, self.permits.acquire()).await {
            Ok(permit) => permit.map_err(|closed| StoreError::Unavailable(Box::new(closed)))?,
            Err(late) => return Err(StoreError::Unavailable(Box::new(late))),
        };
        tracing::trace!(transaction = name, "begin");
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Lane {
            lanes: self,
            connection,
            name,
            _permit: permit,
        })
    }
}

impl Funnel {
    /// Prepares connections; none is made before it is needed.
    pub(super) fn open(settings: &Settings) -> Stored<Self> {
        let plain = PgConnectOptions::from_str(&settings.url)?
            .application_name("clawback")
            // Statement texts carry no values, but they are long and say nothing to an operator.
            .disable_statement_logging()
            // The server notices within a minute that a worker is gone whose host fell silent, and lets
            // go of its locks.
            .options([
                ("tcp_keepalives_idle", "20"),
                ("tcp_keepalives_interval", "10"),
                ("tcp_keepalives_count", "3"),
            ]);
        let readers = READERS.min(settings.connections.div_ceil(2));
        let reading = plain.clone().options([("statement_timeout", ASKED)]);
        // Lanes know their access paths: always by index, planned once. A worker that is stopped in
        // the middle of a transaction must not hold its locks for long.
        //
        // A plan is often made while the tables are empty, when reading a whole index looks as cheap
        // as one look-up in it, and is kept while they grow. So statements of lanes join tables by
        // `id = ANY (ARRAY[x.id])`: no hash or merge join can serve that, only a look-up by index.
        let options = plain.statement_cache_capacity(256).options([
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("jit", "off"),
            ("idle_in_transaction_session_timeout", "5s"),
        ]);
        let lanes = settings.connections.saturating_sub(readers).max(1) as usize;
        Ok(Self {
            steps: Lanes::new(options.clone(), lanes),
            own: Lanes::new(options, OWN),
            readers: Lanes::new(reading, readers as usize),
            strands: Strands::new(settings.audited),
            aside: Aside::default(),
        })
    }

    /// Transactions under way at once.
    pub(super) fn lanes(&self) -> usize {
        self.steps.count
    }

    /// For single statements off the path of a step.
    pub(super) fn readers(&self) -> Readers<'_> {
        Readers(self)
    }

    /// A connection off the path of a step, for a transaction of this name that operators wait for.
    pub(super) async fn reader(&self, name: &'static str) -> Stored<Lane<'_>> {
        self.readers.lend(name).await
    }

    /// A connection of its own, which belongs to the caller.
    pub(super) async fn connect(&self) -> Stored<PgConnection> {
        self.steps.connect().await
    }

    /// A connection for the transaction of this name. Its statements reach tables by look-ups only.
    pub(super) async fn lane(&self, name: &'static str) -> Stored<Lane<'_>> {
        self.steps.lend(name).await
    }

    /// A connection for what a worker reads and notes for itself.
    pub(super) async fn own(&self, name: &'static str) -> Stored<Lane<'_>> {
        self.own.lend(name).await
    }
}

/// What a lane is used for, within a bound. What was sent may have been committed: the caller repeats
/// it, and whatever leases is watched (`Roster::watch`). [`Lane::done`] closes the lane.
pub(super) async fn within<T>(used: impl Future<Output = Stored<T>>) -> Stored<T> {
    within_for(PATIENCE, used).await
}

/// The same within a bound of the caller's.
pub(super) async fn within_for<T>(
    patience: Duration,
    used: impl Future<Output = Stored<T>>,
) -> Stored<T> {
    match tokio::time::timeout(patience, used).await {
        Ok(result) => result,
        Err(late) => Err(StoreError::Unavailable(Box::new(late))),
    }
}

/// Lets a transaction of a reader go on for longer than an operator's question may: it reads the whole
/// log, and somebody waits for that.
pub(super) async fn takes_its_time(tx: &mut PgConnection) -> Stored<()> {
    sqlx::query("SET LOCAL statement_timeout = 0")
        .execute(tx)
        .await?;
    Ok(())
}

/// A connection on loan. Dropped, it is closed, which ends whatever it had begun; so a caller that
/// is cancelled half way leaves nothing behind.
pub(super) struct Lane<'a> {
    lanes: &'a Lanes,
    connection: PgConnection,
    name: &'static str,
    _permit: SemaphorePermit<'a>,
}

impl Lane<'_> {
    /// Ends the loan with the transaction's result; `None` means: collided, begin again.
    pub(super) fn done<T>(self, result: Stored<T>, tries: &mut u32) -> Option<Stored<T>> {
        match &result {
            Err(error) if collided(error) && *tries < TRIES => {
                *tries += 1;
                tracing::debug!(transaction = self.name, tries = *tries, "collided");
                None
            }
            Ok(_) | Err(_) => Some(self.ended(result)),
        }
    }

    /// Ends the loan with what it came to.
    pub(super) fn ended<T>(self, result: Stored<T>) -> Stored<T> {
        match &result {
            Ok(_) => self.lanes.idle().push(self.connection),
            // The others that lie idle are likely to have gone the same way.
            Err(StoreError::Unavailable(_)) => self.lanes.idle().clear(),
            // Whatever else: the connection is closed and its transaction with it.
            Err(_) => {}
        }
        result
    }
}

impl Deref for Lane<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl DerefMut for Lane<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}
