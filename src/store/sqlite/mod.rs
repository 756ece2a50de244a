//! SQLite behind the trait: the embedded default, and the simulation's store.
//!
//! Owns the mapping of each method of the trait to its aggregate's file. One connection writes, so
//! transactions follow each other and need no further locks.

mod admission;
mod approvals;
mod audit;
mod cases;
mod commands;
mod counts;
mod departed;
mod desks;
mod drills;
mod funnel;
mod health;
mod intake;
mod inventory;
mod journal;
mod letters;
mod library;
mod outbox;
mod people;
mod retention;
mod rows;
mod runs;
mod settle;
mod tasks;
mod users;
mod wake;
mod workers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::migrate::{Migrate, Migrator};
use sqlx::sqlite::SqliteConnectOptions;

use crate::domain::approval::{self, Disapproval, Matter, MatterKind, Past, Record, Ruling};
use crate::domain::audit::{Signed, Verifier};
use crate::domain::command::{Answer, Command};
use crate::domain::health::{Advance, Sample, Standings, Tally};
use crate::domain::id::{
    CaseId, CommandId, ConnectorName, DeadLetterId, DefinitionDigest, FencingToken, MessageId,
    RunId, TaskId, WorkerId,
};
use crate::domain::run::Run;
use crate::domain::settlement::{JournalEntry, OutboxMessage};
use crate::domain::step::Parts;
use crate::domain::task::FallbackTask;
use crate::domain::time::Timestamp;

use super::{
    AdmitFn, Admitted, AdvanceFn, Audit, CaseFilter, CaseReport, CaseStory, Claimed, Counts,
    DeadLetter, Dossier, Fenced, IntakeBatch, Inventory, Keep, Letters, Listed, ObeyFn, Receipt,
    RuleFn, RunsEnded, Settings, Settled, SignFn, SignedByFn, Store, Stored, StoredDefinition,
    SurveyLease, SurveyWanted, TaskFilter, schema,
};

use funnel::Funnel;
use wake::Bell;
use workers::FileLock;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// A store in one SQLite file, or in memory.
#[derive(Debug)]
pub struct SqliteStore {
    funnel: Funnel,
    lock: FileLock,
    bell: Bell,
}

impl SqliteStore {
    /// Opens the database; its schema is brought up to date by [`Store::migrate`].
    pub async fn open(settings: &Settings) -> Stored<Self> {
        let path = if funnel::in_memory(&settings.url) {
            None
        } else {
            let options = SqliteConnectOptions::from_str(&settings.url)?;
            Some(PathBuf::from(options.get_filename()))
        };
        Ok(Self {
            funnel: Funnel::open(settings).await?,
            bell: Bell::new(path.as_deref().map(|_| settings.url.clone())),
            lock: FileLock::beside(path.as_deref()),
        })
    }
}

async fn applied(connection: &mut SqliteConnection) -> Stored<Vec<i64>> {
    connection
        .ensure_migrations_table(&MIGRATIONS.table_name)
        .await
        .map_err(schema::refused)?;
    let applied = connection
        .list_applied_migrations(&MIGRATIONS.table_name)
        .await
        .map_err(schema::refused)?;
    Ok(applied.into_iter().map(|one| one.version).collect())
}

#[async_trait]
impl Store for SqliteStore {
    /// One writer at a time, so a second batch would only be cut off the first.
    fn settles_at_once(&self) -> usize {
        1
    }

    async fn migrate(&self) -> Stored<Vec<String>> {
        let mut writer = self.funnel.writer().await;
        let before = applied(writer.alone()).await?;
        let pending = schema::pending(&MIGRATIONS, &before);
        drop(writer);
        audit::adopt_later(&self.funnel, &before).await?;
        let mut writer = self.funnel.writer().await;
        MIGRATIONS
            .run_direct(None, writer.alone(), false)
            .await
            .map_err(schema::refused)?;
        drop(writer);
        audit::adopt(&self.funnel).await?;
        Ok(pending)
    }

    async fn ping(&self) -> Stored<()> {
        let mut reader = self.funnel.reader().await?;
        let applied = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
            .fetch_all(&mut *reader)
            .await;
        schema::check(&MIGRATIONS, &schema::or_none(applied)?)
    }

    async fn record(&self, batch: &IntakeBatch) -> Stored<Vec<Receipt>> {
        let receipts = intake::record(&self.funnel, batch).await?;
        if receipts.contains(&Receipt::New) {
            self.bell.ring();
        }
        Ok(receipts)
    }

    async fn checkpoints(&self, group: &str, topic: &str) -> Stored<Vec<(i32, i64)>> {
        intake::checkpoints(&self.funnel, group, topic).await
    }

    async fn admit(
        &self,
        limit: u32,
        now: Timestamp,
        keep: &Keep,
        decide: AdmitFn<'_>,
    ) -> Stored<Admitted> {
        admission::admit(&self.funnel, limit, now, keep, decide).await
    }

    async fn obey(&self, limit: u32, now: Timestamp, decide: ObeyFn<'_>) -> Stored<u32> {
        commands::obey(&self.funnel, commands::WAITING, limit, now, decide).await
    }

    async fn obey_pauses(&self, limit: u32, now: Timestamp, decide: ObeyFn<'_>) -> Stored<u32> {
        commands::obey(&self.funnel, commands::PAUSES, limit, now, decide).await
    }

    async fn claim(&self, now: Timestamp, keep: &Keep) -> Stored<Vec<Claimed>> {
        runs::claim(&self.funnel, now, keep).await
    }

    async fn settle(&self, now: Timestamp, keep: &Keep, batch: &[Fenced]) -> Stored<Settled> {
        settle::settle(&self.funnel, now, keep, batch).await
    }

    async fn parts_of(&self, case: CaseId) -> Stored<Parts> {
        cases::parts_of(&self.funnel, case).await
    }

    async fn release(&self, worker: WorkerId, runs: &[(RunId, FencingToken)]) -> Stored<()> {
        runs::release(&self.funnel, worker, runs).await
    }

    async fn put_back(
        &self,
        worker: WorkerId,
        run: (RunId, FencingToken),
        until: Timestamp,
    ) -> Stored<()> {
        runs::put_back(&self.funnel, worker, run, until).await
    }

    async fn start(&self, run: &Run, _now: Timestamp) -> Stored<bool> {
        runs::start(&self.funnel, run).await
    }

    async fn advance_rotations(&self, now: Timestamp) -> Stored<u64> {
        runs::advance_rotations(&self.funnel, now).await
    }

    async fn enlist(&self, worker: WorkerId, now: Timestamp, lease_seconds: u64) -> Stored<()> {
        workers::enlist(&self.funnel, &self.lock, worker, now, lease_seconds).await
    }

    async fn heartbeat(&self, worker: WorkerId, now: Timestamp) -> Stored<bool> {
        workers::heartbeat(&self.funnel, worker, now).await
    }

    /// The file is this machine's, and so is the clock.
    async fn clock(&self) -> Stored<Option<Timestamp>> {
        Ok(None)
    }

    async fn discharge(&self, worker: WorkerId) -> Stored<()> {
        workers::discharge(&self.funnel, &self.lock, worker).await
    }

    async fn bury(&self, by: WorkerId, now: Timestamp) -> Stored<u64> {
        workers::bury(&self.funnel, by, now).await
    }

    async fn woken(&self, at_most: Duration) {
        self.bell.wait(at_most).await;
    }

    async fn save_definition(&self, definition: &StoredDefinition, now: Timestamp) -> Stored<()> {
        library::save_definition(&self.funnel, definition, now).await
    }

    async fn definition(&self, digest: &DefinitionDigest) -> Stored<Option<StoredDefinition>> {
        library::definition(&self.funnel, digest).await
    }

    async fn take_messages(
        &self,
        worker: WorkerId,
        _now: Timestamp,
        limit: u32,
        without: &[String],
    ) -> Stored<Vec<OutboxMessage>> {
        outbox::take(&self.funnel, worker, limit, without).await
    }

    async fn published(&self, ids: &[MessageId], now: Timestamp) -> Stored<()> {
        outbox::published(&self.funnel, ids, now).await
    }

    async fn post(&self, message: &OutboxMessage, replayed: Option<DeadLetterId>) -> Stored<()> {
        outbox::post(&self.funnel, message, replayed).await?;
        self.bell.ring();
        Ok(())
    }

    async fn save_inventory(&self, listed: &Listed) -> Stored<()> {
        inventory::save(&self.funnel, listed).await
    }

    async fn inventory(&self, connector: &ConnectorName) -> Stored<Option<Inventory>> {
        inventory::read(&self.funnel, connector).await
    }

    async fn take_surveys(
        &self,
        worker: WorkerId,
        now: Timestamp,
        wanted: &[SurveyWanted],
        at_most: u32,
    ) -> Stored<Vec<SurveyLease>> {
        health::take(&self.funnel, worker, now, wanted, at_most).await
    }

    async fn keep_survey(
        &self,
        lease: &SurveyLease,
        advance: AdvanceFn<'_>,
    ) -> Stored<Option<Advance>> {
        health::keep(&self.funnel, lease, advance).await
    }

    async fn note_calls(&self, tallies: &BTreeMap<ConnectorName, Tally>) -> Stored<()> {
        health::note(&self.funnel, tallies).await
    }

    async fn standings(&self) -> Stored<Standings> {
        health::standings(&self.funnel).await
    }

    async fn samples(
        &self,
        connector: &ConnectorName,
        since: Timestamp,
        limit: u32,
    ) -> Stored<Vec<Sample>> {
        health::samples(&self.funnel, connector, since, limit).await
    }

    async fn runs_ended(&self, which: &RunsEnded) -> Stored<Vec<Run>> {
        inventory::runs_ended(&self.funnel, which).await
    }

    async fn rule(
        &self,
        matter: &Matter,
        decide: RuleFn<'_>,
    ) -> Stored<Result<Ruling, Disapproval>> {
        approvals::rule(&self.funnel, matter, decide).await
    }

    async fn records(&self, kind: MatterKind) -> Stored<BTreeMap<Matter, Record>> {
        approvals::all(&self.funnel, kind).await
    }

    async fn past(&self, matter: &Matter) -> Stored<Past> {
        approvals::past(&self.funnel, matter).await
    }

    async fn wish(&self, command: &Command) -> Stored<()> {
        commands::wish(&self.funnel, command).await?;
        self.bell.ring();
        Ok(())
    }

    async fn answer(&self, command: CommandId) -> Stored<Option<Answer>> {
        commands::answer(&self.funnel, command).await
    }

    async fn cases(&self, filter: &CaseFilter) -> Stored<Vec<CaseReport>> {
        cases::list(&self.funnel, filter).await
    }

    async fn case(&self, id: CaseId) -> Stored<Option<CaseStory>> {
        cases::story(&self.funnel, id).await
    }

    async fn tasks(&self, filter: &TaskFilter) -> Stored<Vec<FallbackTask>> {
        tasks::list(&self.funnel, filter).await
    }

    async fn task(&self, id: TaskId) -> Stored<Option<FallbackTask>> {
        tasks::one(&self.funnel, id).await
    }

    async fn rotations(&self, connector: Option<&ConnectorName>) -> Stored<Vec<Run>> {
        runs::rotations(&self.funnel, connector).await
    }

    async fn run(&self, id: RunId) -> Stored<Option<(Run, Vec<JournalEntry>)>> {
        runs::run(&self.funnel, id).await
    }

    async fn dead_letters(&self, which: Letters, limit: u32) -> Stored<Vec<DeadLetter>> {
        letters::list(&self.funnel, which, limit).await
    }

    async fn dead_letter(&self, id: DeadLetterId) -> Stored<Option<DeadLetter>> {
        letters::one(&self.funnel, id).await
    }

    async fn set_aside(&self, id: DeadLetterId, by: &approval::Signed) -> Stored<bool> {
        letters::set_aside(&self.funnel, id, by).await
    }

    async fn counts(&self, now: Timestamp) -> Stored<Counts> {
        counts::counts(&self.funnel, now).await
    }
}

#[async_trait]
impl Audit for SqliteStore {
    async fn inspect(&self, verifier: &mut Verifier, signed_by: SignedByFn<'_>) -> Stored<()> {
        audit::inspect(&self.funnel, verifier, signed_by).await
    }

    async fn witness(&self, sign: SignFn<'_>) -> Stored<Option<Signed>> {
        audit::witness(&self.funnel, sign).await
    }

    async fn checkpoints_signed(&self) -> Stored<Vec<Signed>> {
        audit::checkpoints(&self.funnel).await
    }

    async fn dossier(&self, case: CaseId) -> Stored<Option<Dossier>> {
        audit::dossier(&self.funnel, case).await
    }

    async fn last_checkpoint(&self) -> Stored<Option<Signed>> {
        audit::last(&self.funnel).await
    }
}
