//! PostgreSQL behind the trait: for production and any number of workers.
//!
//! Owns the mapping of each method of the trait to its aggregate's file. Workers stay out of each
//! other's way by row locks that are skipped, fencing tokens, and gates that are tried.

mod admission;
mod approvals;
mod audit;
mod batch;
mod cases;
mod commands;
mod counts;
mod departed;
mod desks;
mod drills;
mod funnel;
mod gate;
mod health;
mod intake;
mod inventory;
mod journal;
mod letters;
mod library;
mod outbox;
mod people;
mod readers;
mod retention;
mod runs;
mod settle;
mod tasks;
mod users;
mod wake;
mod workers;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;
use sqlx::migrate::{Migrate, Migrator};

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

use funnel::{Funnel, within};
use wake::Bell;
use workers::Roster;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// A store on a PostgreSQL server.
#[derive(Debug)]
pub struct PostgresStore {
    funnel: Funnel,
    roster: Roster,
    bell: Bell,
}

impl PostgresStore {
    /// Prepares the store; it connects when it is first used. The schema is brought up to date by
    /// [`Store::migrate`].
    pub fn open(settings: &Settings) -> Stored<Self> {
        Ok(Self {
            funnel: Funnel::open(settings)?,
            roster: Roster::default(),
            bell: Bell::new(&settings.url),
        })
    }
}

async fn applied(connection: &mut PgConnection) -> Stored<Vec<i64>> {
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
impl Store for PostgresStore {
    /// While one batch waits for the disk the other is carried out.
    fn settles_at_once(&self) -> usize {
        self.funnel.lanes().saturating_sub(1).clamp(1, 2)
    }

    async fn migrate(&self) -> Stored<Vec<String>> {
        let mut connection = self.funnel.connect().await?;
        let before = applied(&mut connection).await?;
        let pending = schema::pending(&MIGRATIONS, &before);
        audit::adopt_later(&mut connection, &self.funnel.strands, &before).await?;
        MIGRATIONS
            .run_direct(None, &mut connection, false)
            .await
            .map_err(schema::refused)?;
        audit::adopt(&mut connection, &self.funnel.strands).await?;
        Ok(pending)
    }

    async fn ping(&self) -> Stored<()> {
        let mut own = self.funnel.own("ping").await?;
        let applied = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
            .fetch_all(&mut *own);
        let applied = within(async { schema::or_none(applied.await) }).await;
        schema::check(&MIGRATIONS, &own.ended(applied)?)
    }

    async fn record(&self, batch: &IntakeBatch) -> Stored<Vec<Receipt>> {
        intake::record(&self.funnel, batch).await
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
        let done = admission::admit(&self.funnel, limit, now, keep, decide).await;
        self.roster.watch(keep.worker, &done);
        done
    }

    async fn obey(&self, limit: u32, now: Timestamp, decide: ObeyFn<'_>) -> Stored<u32> {
        commands::obey(&self.funnel, commands::WAITING, limit, now, decide).await
    }

    async fn obey_pauses(&self, limit: u32, now: Timestamp, decide: ObeyFn<'_>) -> Stored<u32> {
        commands::obey(&self.funnel, commands::PAUSES, limit, now, decide).await
    }

    async fn claim(&self, now: Timestamp, keep: &Keep) -> Stored<Vec<Claimed>> {
        let done = runs::claim(&self.funnel, now, keep).await;
        self.roster.watch(keep.worker, &done);
        done
    }

    async fn settle(&self, now: Timestamp, keep: &Keep, batch: &[Fenced]) -> Stored<Settled> {
        let done = settle::settle(&self.funnel, now, keep, batch).await;
        self.roster.watch(keep.worker, &done);
        done
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
        workers::enlist(&self.funnel, &self.roster, worker, now, lease_seconds).await
    }

    async fn heartbeat(&self, worker: WorkerId, _now: Timestamp) -> Stored<bool> {
        workers::heartbeat(&self.funnel, &self.roster, worker).await
    }

    async fn clock(&self) -> Stored<Option<Timestamp>> {
        workers::clock(&self.funnel).await.map(Some)
    }

    async fn discharge(&self, worker: WorkerId) -> Stored<()> {
        workers::discharge(&self.funnel, &self.roster, worker).await
    }

    async fn bury(&self, by: WorkerId, _: Timestamp) -> Stored<u64> {
        workers::bury(&self.funnel, by).await
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
        outbox::post(&self.funnel, message, replayed).await
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
        commands::wish(&self.funnel, command).await
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
        tasks::one(self.funnel.readers(), id).await
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
impl Audit for PostgresStore {
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
