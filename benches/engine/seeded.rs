//! The product's store, but for one thing: every event opens the benchmark's own case.
//!
//! Owns the swap of the admission's decision, made inside the store's own transaction like any
//! other, and a count of what writes. Everything else is handed through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use clawback::domain::approval::{self, Disapproval, Matter, MatterKind, Past, Record, Ruling};
use clawback::domain::audit::{Signed, Verifier};
use clawback::domain::brake::{Ask, Stop};
use clawback::domain::command::{Answer, Command};
use clawback::domain::desk::{DeskCopy, Heard};
use clawback::domain::drill::Drill;
use clawback::domain::event::RecordedEvent;
use clawback::domain::health::{Advance, Sample, Standings, Tally};
use clawback::domain::id::{
    AccountId, CaseId, CommandId, ConnectorName, DeadLetterId, DefinitionDigest, DeskName, DrillId,
    FencingToken, MessageId, RunId, SessionId, TaskId, WorkerId,
};
use clawback::domain::legal::LegalHolds;
use clawback::domain::pause::{Pause, Pauses};
use clawback::domain::run::Run;
use clawback::domain::settlement::{ExistingCase, JournalEntry, OutboxMessage};
use clawback::domain::step::Parts;
use clawback::domain::task::FallbackTask;
use clawback::domain::time::Timestamp;
use clawback::domain::user::{Act, ApiToken, SecretDigest, Session, User};
use clawback::domain::workflow::Workflow;
use clawback::store::{
    ActFilter, AdmitFn, Admitted, AdvanceFn, Audit, CaseFilter, CaseReport, CaseStory, ChangeFn,
    Claimed, CopiesWanted, CopyLease, Counts, DeadLetter, DepartedAccount, Departures, DeskFigures,
    Desks, Dossier, DrillLease, Drills, Dropping, EscalateFn, Examination, Fenced, IntakeBatch,
    Inventory, Keep, Leaver, Letters, Listed, ObeyFn, Paused, People, Receipt, RemindFn, Retention,
    RuleFn, RunsEnded, SealFn, Settled, SignFn, SignedByFn, Store, Stored, StoredDefinition,
    SurveyLease, SurveyWanted, TaskFilter, Users,
};

use crate::seed;

/// A store whose cases are the benchmark's.
#[derive(Debug)]
pub struct Seeded {
    pub inner: Arc<dyn Store>,
    pub workflow: Arc<Workflow>,
    pub in_sequence: bool,
    /// Calls that committed something; SQLite itself keeps no count.
    pub commits: AtomicU64,
}

impl Seeded {
    fn committed(&self, any: bool) {
        self.commits.fetch_add(u64::from(any), Ordering::Relaxed);
    }
}

#[async_trait]
impl Retention for Seeded {
    async fn drop_period(&self, wanted: &Dropping, seal: SealFn<'_>) -> Stored<Option<Signed>> {
        self.inner.drop_period(wanted, seal).await
    }

    async fn tombstones(&self) -> Stored<Vec<Signed>> {
        self.inner.tombstones().await
    }

    async fn legal_holds(&self, case: CaseId) -> Stored<LegalHolds> {
        self.inner.legal_holds(case).await
    }
}

#[async_trait]
impl Drills for Seeded {
    async fn begin_drill(&self, drill: &Drill) -> Stored<bool> {
        self.inner.begin_drill(drill).await
    }

    async fn take_drills(
        &self,
        worker: WorkerId,
        now: Timestamp,
        lease_seconds: u64,
        at_most: u32,
    ) -> Stored<Vec<DrillLease>> {
        let taken = self.inner.take_drills(worker, now, lease_seconds, at_most);
        taken.await
    }

    async fn keep_drill(&self, lease: &DrillLease, drill: &Drill, due: Timestamp) -> Stored<bool> {
        self.inner.keep_drill(lease, drill, due).await
    }

    async fn drill(&self, id: DrillId) -> Stored<Option<Drill>> {
        self.inner.drill(id).await
    }

    async fn drills(&self, connector: Option<&ConnectorName>, limit: u32) -> Stored<Vec<Drill>> {
        self.inner.drills(connector, limit).await
    }

    async fn drilled(&self, now: Timestamp) -> Stored<BTreeSet<ConnectorName>> {
        self.inner.drilled(now).await
    }

    async fn wake_barred(
        &self,
        connector: &ConnectorName,
        codes: &[&str],
        now: Timestamp,
    ) -> Stored<u64> {
        self.inner.wake_barred(connector, codes, now).await
    }

    async fn note_examination(&self, examination: &Examination) -> Stored<()> {
        self.inner.note_examination(examination).await
    }

    async fn examinations(
        &self,
        connector: &ConnectorName,
        limit: u32,
    ) -> Stored<Vec<Examination>> {
        self.inner.examinations(connector, limit).await
    }
}

#[async_trait]
impl Departures for Seeded {
    async fn departed(
        &self,
        connector: &ConnectorName,
        since: Timestamp,
    ) -> Stored<Vec<DepartedAccount>> {
        self.inner.departed(connector, since).await
    }

    async fn cases_of(&self, subject_key: &str) -> Stored<Vec<ExistingCase>> {
        self.inner.cases_of(subject_key).await
    }
}

macro_rules! store {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for Seeded {
            async fn admit(
                &self,
                limit: u32,
                now: Timestamp,
                keep: &Keep,
                _decide: AdmitFn<'_>,
            ) -> Stored<Admitted> {
                let open = |event: &RecordedEvent, _: &[ExistingCase]| {
                    seed::open(event, &self.workflow, self.in_sequence, now)
                };
                let admitted = self.inner.admit(limit, now, keep, &open).await?;
                self.committed(admitted.events > 0);
                Ok(admitted)
            }

            fn settles_at_once(&self) -> usize {
                self.inner.settles_at_once()
            }

            async fn record(&self, batch: &IntakeBatch) -> Stored<Vec<Receipt>> {
                self.committed(true);
                self.inner.record(batch).await
            }

            async fn claim(&self, now: Timestamp, keep: &Keep) -> Stored<Vec<Claimed>> {
                let claimed = self.inner.claim(now, keep).await?;
                self.committed(!claimed.is_empty());
                Ok(claimed)
            }

            async fn settle(
                &self,
                now: Timestamp,
                keep: &Keep,
                batch: &[Fenced],
            ) -> Stored<Settled> {
                self.committed(true);
                self.inner.settle(now, keep, batch).await
            }

            async fn heartbeat(&self, worker: WorkerId, now: Timestamp) -> Stored<bool> {
                self.committed(true);
                self.inner.heartbeat(worker, now).await
            }

            $(async fn $name(&self, $($argument: $type),*) -> $answer {
                self.inner.$name($($argument),*).await
            })*
        }
    };
}

store! {
    fn migrate() -> Stored<Vec<String>>;
    fn ping() -> Stored<()>;
    fn checkpoints(group: &str, topic: &str) -> Stored<Vec<(i32, i64)>>;
    fn obey(limit: u32, now: Timestamp, decide: ObeyFn<'_>) -> Stored<u32>;
    fn obey_pauses(limit: u32, now: Timestamp, decide: ObeyFn<'_>) -> Stored<u32>;
    fn parts_of(case: CaseId) -> Stored<Parts>;
    fn release(worker: WorkerId, runs: &[(RunId, FencingToken)]) -> Stored<()>;
    fn put_back(worker: WorkerId, run: (RunId, FencingToken), until: Timestamp) -> Stored<()>;
    fn start(run: &Run, now: Timestamp) -> Stored<bool>;
    fn advance_rotations(now: Timestamp) -> Stored<u64>;
    fn enlist(worker: WorkerId, now: Timestamp, lease_seconds: u64) -> Stored<()>;
    fn clock() -> Stored<Option<Timestamp>>;
    fn discharge(worker: WorkerId) -> Stored<()>;
    fn bury(by: WorkerId, now: Timestamp) -> Stored<u64>;
    fn woken(at_most: Duration) -> ();
    fn save_definition(definition: &StoredDefinition, now: Timestamp) -> Stored<()>;
    fn definition(digest: &DefinitionDigest) -> Stored<Option<StoredDefinition>>;
    fn take_messages(worker: WorkerId, now: Timestamp, limit: u32, without: &[String]) -> Stored<Vec<OutboxMessage>>;
    fn published(ids: &[MessageId], now: Timestamp) -> Stored<()>;
    fn post(message: &OutboxMessage, replayed: Option<DeadLetterId>) -> Stored<()>;
    fn save_inventory(listed: &Listed) -> Stored<()>;
    fn inventory(connector: &ConnectorName) -> Stored<Option<Inventory>>;
    fn take_surveys(worker: WorkerId, now: Timestamp, wanted: &[SurveyWanted], at_most: u32) -> Stored<Vec<SurveyLease>>;
    fn keep_survey(lease: &SurveyLease, advance: AdvanceFn<'_>) -> Stored<Option<Advance>>;
    fn note_calls(tallies: &BTreeMap<ConnectorName, Tally>) -> Stored<()>;
    fn standings() -> Stored<Standings>;
    fn samples(connector: &ConnectorName, since: Timestamp, limit: u32) -> Stored<Vec<Sample>>;
    fn runs_ended(which: &RunsEnded) -> Stored<Vec<Run>>;
    fn rule(matter: &Matter, decide: RuleFn<'_>) -> Stored<Result<Ruling, Disapproval>>;
    fn records(kind: MatterKind) -> Stored<BTreeMap<Matter, Record>>;
    fn past(matter: &Matter) -> Stored<Past>;
    fn wish(command: &Command) -> Stored<()>;
    fn answer(command: CommandId) -> Stored<Option<Answer>>;
    fn cases(filter: &CaseFilter) -> Stored<Vec<CaseReport>>;
    fn case(id: CaseId) -> Stored<Option<CaseStory>>;
    fn tasks(filter: &TaskFilter) -> Stored<Vec<FallbackTask>>;
    fn task(id: TaskId) -> Stored<Option<FallbackTask>>;
    fn rotations(connector: Option<&ConnectorName>) -> Stored<Vec<Run>>;
    fn run(id: RunId) -> Stored<Option<(Run, Vec<JournalEntry>)>>;
    fn dead_letters(which: Letters, limit: u32) -> Stored<Vec<DeadLetter>>;
    fn dead_letter(id: DeadLetterId) -> Stored<Option<DeadLetter>>;
    fn set_aside(id: DeadLetterId, by: &approval::Signed) -> Stored<bool>;
    fn counts(now: Timestamp) -> Stored<Counts>;
}

macro_rules! users {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Users for Seeded {
            $(async fn $name(&self, $($argument: $type),*) -> $answer {
                self.inner.$name($($argument),*).await
            })*
        }
    };
}

users! {
    fn add_user(user: &User) -> Stored<bool>;
    fn users() -> Stored<Vec<User>>;
    fn user(name: &str) -> Stored<Option<User>>;
    fn change_user(name: &str, change: ChangeFn<'_>) -> Stored<Option<User>>;
    fn begin_session(session: &Session, replaces: Option<(&SecretDigest, Timestamp)>) -> Stored<()>;
    fn session(digest: &SecretDigest) -> Stored<Option<(Session, User)>>;
    fn saw_session(session: &Session) -> Stored<()>;
    fn sessions(user: &str) -> Stored<Vec<Session>>;
    fn end_sessions(user: &str, only: Option<SessionId>) -> Stored<u64>;
    fn add_token(token: &ApiToken) -> Stored<()>;
    fn token(digest: &SecretDigest) -> Stored<Option<(ApiToken, User)>>;
    fn tokens(user: Option<&str>) -> Stored<Vec<ApiToken>>;
    fn save_token(token: &ApiToken) -> Stored<()>;
    fn note_act(act: &Act) -> Stored<()>;
    fn acts(filter: &ActFilter) -> Stored<Vec<(u64, Act)>>;
    fn leavers(since: Timestamp, now: Timestamp) -> Stored<Vec<Leaver>>;
}

#[async_trait]
impl Desks for Seeded {
    async fn take_copies(&self, want: &CopiesWanted) -> Stored<Vec<CopyLease>> {
        self.inner.take_copies(want).await
    }

    async fn keep_copy(
        &self,
        lease: &CopyLease,
        copy: &DeskCopy,
        next: Option<clawback::store::NextVisit>,
    ) -> Stored<bool> {
        self.inner.keep_copy(lease, copy, next).await
    }

    async fn desk_said(
        &self,
        desk: &DeskName,
        task: TaskId,
        heard: &Heard,
    ) -> Stored<Option<bool>> {
        self.inner.desk_said(desk, task, heard).await
    }

    async fn copies_of(&self, task: TaskId) -> Stored<Vec<DeskCopy>> {
        self.inner.copies_of(task).await
    }

    async fn desk_figures(&self) -> Stored<Vec<DeskFigures>> {
        self.inner.desk_figures().await
    }
}

#[async_trait]
impl Audit for Seeded {
    async fn inspect(&self, verifier: &mut Verifier, signed_by: SignedByFn<'_>) -> Stored<()> {
        self.inner.inspect(verifier, signed_by).await
    }

    async fn witness(&self, sign: SignFn<'_>) -> Stored<Option<Signed>> {
        self.inner.witness(sign).await
    }

    async fn checkpoints_signed(&self) -> Stored<Vec<Signed>> {
        self.inner.checkpoints_signed().await
    }

    async fn dossier(&self, case: CaseId) -> Stored<Option<Dossier>> {
        self.inner.dossier(case).await
    }

    async fn last_checkpoint(&self) -> Stored<Option<Signed>> {
        self.inner.last_checkpoint().await
    }
}

#[async_trait]
impl People for Seeded {
    async fn escalate(
        &self,
        limit: u32,
        now: Timestamp,
        decide: EscalateFn<'_>,
    ) -> Stored<Vec<FallbackTask>> {
        self.inner.escalate(limit, now, decide).await
    }

    async fn pauses(&self) -> Stored<Pauses> {
        self.inner.pauses().await
    }

    async fn remind(&self, decide: RemindFn<'_>) -> Stored<Vec<Pause>> {
        self.inner.remind(decide).await
    }

    async fn know_pauses(&self, worker: WorkerId, up_to: u64) -> Stored<()> {
        self.inner.know_pauses(worker, up_to).await
    }

    async fn unaware_of(&self, pause: u64, now: Timestamp) -> Stored<u64> {
        self.inner.unaware_of(pause, now).await
    }

    async fn due_at(&self, connectors: &[ConnectorName], now: Timestamp) -> Stored<Vec<Paused>> {
        self.inner.due_at(connectors, now).await
    }

    async fn permit(&self, asks: &[Ask], now: Timestamp) -> Stored<Option<Stop>> {
        self.inner.permit(asks, now).await
    }

    async fn removals_under_way(&self, connector: &ConnectorName) -> Stored<Vec<AccountId>> {
        self.inner.removals_under_way(connector).await
    }
}
