//! The one way into PostgreSQL: lanes for transactions, a pool for single reads.
//!
//! Owns the connections and their settings. A lane is a connection that is lent out by the name of
//! its transaction and comes back only when it is known to be sound; a collision with another
//! transaction is tried again here. A pool would ask each connection how it is after every use.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, PgPool};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::store::audit::Strands;
use crate::store::refusal::collided;
use crate::store::{Settings, StoreError, Stored};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a transaction that collided with another is tried again.
const TRIES: u32 = 8;
/// Connections that read for operators.
const READERS: u32 = 4;

/// The connections to one database.
#[derive(Debug)]
pub(super) struct Funnel {
    options: PgConnectOptions,
    lanes: usize,
    permits: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
    pool: PgPool,
    /// Where the log goes on.
    pub(super) strands: Strands,
}

impl Funnel {
    /// Prepares connections; none is made before it is needed.
    pub(super) fn open(settings: &Settings) -> Stored<Self> {
        let plain = PgConnectOptions::from_str(&settings.url)?
            .application_name("clawback")
            // Statement texts carry no values, but they are long and say nothing to an operator.
            .disable_statement_logging();
        let readers = READERS.min(settings.connections.div_ceil(2));
        let pool = PgPoolOptions::new()
            .max_connections(readers)
            .acquire_timeout(CONNECT)
            .test_before_acquire(false)
            .connect_lazy_with(plain.clone());
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
            options,
            lanes,
            permits: Semaphore::new(lanes),
            idle: Mutex::new(Vec::new()),
            pool,
            strands: Strands::new(settings.audited),
        })
    }

    /// Transactions under way at once.
    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    /// For single statements off the path of a step.
    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection of its own, which belongs to the caller.
    pub(super) async fn connect(&self) -> Stored<PgConnection> {
        match tokio::time::timeout(CONNECT, self.options.connect()).await {
            Ok(connection) => Ok(connection?),
            Err(late) => Err(StoreError::Unavailable(Box::new(late))),
        }
    }

    /// A connection for the transaction of this name. Its statements reach tables by look-ups only.
    pub(super) async fn lane(&self, name: &'static str) -> Stored<Lane<'_>> {
        let permit = self
            .permits
            .acquire()
            .await
            .map_err(|closed| StoreError::Unavailable(Box::new(closed)))?;
        tracing::trace!(transaction = name, "begin");
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Lane {
            funnel: self,
            connection,
            name,
            _permit: permit,
        })
    }
}

/// A connection on loan. Dropped, it is closed, which ends whatever it had begun; so a caller that
/// is cancelled half way leaves nothing behind.
pub(super) struct Lane<'a> {
    funnel: &'a Funnel,
    connection: PgConnection,
    name: &'static str,
    _permit: SemaphorePermit<'a>,
}

impl Lane<'_> {
    /// Ends the loan with the transaction's result; `None` means: collided, begin again.
    pub(super) fn done<T>(self, result: Stored<T>, tries: &mut u32) -> Option<Stored<T>> {
        match &result {
            Ok(_) => self
                .funnel
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(self.connection),
            Err(error) if collided(error) && *tries < TRIES => {
                *tries += 1;
                tracing::debug!(transaction = self.name, tries = *tries, "collided");
                return None;
            }
            // The others that lie idle are likely to have gone the same way.
            Err(StoreError::Unavailable(_)) => self
                .funnel
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clear(),
            // Whatever else: the connection is closed and its transaction with it.
            Err(_) => {}
        }
        Some(result)
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
