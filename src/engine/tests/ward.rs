//! A whole engine over one scripted target: store in memory, real guard, clock moved by hand.
//!
//! Owns the target whose answers each test sets, and the loop that does what a worker does between
//! two looks at the clock. Judges nothing; that is `health`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use secrecy::ExposeSecret;

use super::given::{self, account};
pub(super) use super::manifests::{NUMBER, approved, manifest, text};
use crate::connectors::fixture::Moved;
use crate::connectors::{
    Answered, Call, Change, Connector, KnownSecret, Listing, Manifest, MintOrder, Minted, Reading,
    Registry, RenderedRequest, unsupported,
};
use crate::domain::access::{Account, AccountState, Operation};
use crate::domain::event::{RecordedEvent, Urgency};
use crate::domain::health::{Advance, Standing};
use crate::domain::id::{AccountId, WorkerId};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::run::Run;
use crate::domain::settlement::{Admission, AdmissionDecision, ExistingCase};
use crate::domain::subject::Identifier;
use crate::domain::time::{Chance, Clock, Effective};
use crate::domain::verdict::{Completeness, CredentialRole};
use crate::engine::{Desks, Engine, Ports, Settings};
use crate::secrets::{LocalVault, Secrets};
use crate::store::{IntakeBatch, Keep, Store, SurveyLease, TaskFilter};
use crate::verification::Verification;

/// What the target shows.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) accounts: Vec<Account>,
    pub(super) completeness: Completeness,
    pub(super) fails: Option<FailureClass>,
    /// Listings end when this is told, if ever.
    pub(super) hangs: Option<Arc<tokio::sync::Notify>>,
    /// How many have begun so.
    pub(super) hanging: u64,
    /// How many have begun in all.
    pub(super) listings: u64,
    /// Listings show no entitlements.
    pub(super) bare: bool,
    /// Left out of listings.
    pub(super) unlisted: Option<AccountId>,
    /// Reads of it alone fail.
    pub(super) unreadable: Option<AccountId>,
    /// Secrets that it does not take.
    pub(super) refused: Vec<String>,
    /// Writes are let through and then wait for this.
    pub(super) writes_wait: Option<Arc<tokio::sync::Notify>>,
    /// Says yes to every write, and does nothing.
    pub(super) deaf: bool,
    /// How long each look takes, by this clock.
    pub(super) slow: Option<(Arc<Moved>, u64)>,
}

impl Shown {
    fn listed(&self) -> Vec<Account> {
        let listed = self.accounts.iter();
        let listed = listed.filter(|one| Some(&one.id) != self.unlisted.as_ref());
        let mut listed: Vec<_> = listed.cloned().collect();
        if self.bare {
            for one in &mut listed {
                one.entitlements.clear();
            }
        }
        listed
    }
}

#[derive(Debug)]
pub(super) struct Scripted(Mutex<Shown>);

impl Scripted {
    pub(super) fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().expect("not poisoned")
    }

    fn answer(&self) -> Result<(), Failure> {
        let shown = self.shown();
        if let Some((clock, seconds)) = &shown.slow {
            clock.advance(*seconds);
        }
        match shown.fails {
            Some(class) => Err(planted(class)),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Connector for Arc<Scripted> {
    async fn list(&self, _: &Call<'_>) -> Result<Listing, Failure> {
        self.shown().listings += 1;
        let hangs = self.shown().hangs.clone();
        if let Some(hangs) = hangs {
            self.shown().hanging += 1;
            hangs.notified().await;
        }
        self.answer()?;
        let shown = self.shown();
        Ok(Listing {
            accounts: shown.listed(),
            completeness: shown.completeness,
            data_age_seconds: 0,
            method: "list".to_owned(),
        })
    }

    async fn read(&self, _: &Call<'_>, id: &AccountId) -> Result<Reading, Failure> {
        self.answer()?;
        let shown = self.shown();
        if shown.unreadable.as_ref() == Some(id) {
            return Err(planted(FailureClass::WriteFailure));
        }
        Ok(Reading {
            account: shown.accounts.iter().find(|one| one.id == *id).cloned(),
            completeness: Completeness::WHOLE,
            data_age_seconds: 0,
            method: "read".to_owned(),
        })
    }

    /// Keys end with their account.
    fn shows_orphans(&self) -> bool {
        true
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        self.answer()?;
        let waits = self.shown().writes_wait.clone();
        if let Some(waits) = waits {
            call.permit(deletion(change), ()).await?;
            waits.notified().await;
        }
        let mut shown = self.shown();
        if shown.deaf {
            return Ok(Answered::Accepted);
        }
        if change.operation == Operation::Delete {
            shown.accounts.retain(|one| one.id != change.account);
        }
        let mut accounts = shown.accounts.iter_mut();
        if let Some(account) = accounts.find(|one| one.id == change.account) {
            taken_away(account, change);
        }
        Ok(Answered::Accepted)
    }

    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure> {
        let secret = call.credential.secret.expose_secret();
        if self.shown().refused.iter().any(|one| one == secret) {
            return Err(planted(FailureClass::AuthFailure));
        }
        self.answer()
    }

    async fn mint(&self, _: &Call<'_>, _: &MintOrder) -> Result<Minted, Failure> {
        Err(unsupported("mint"))
    }

    async fn minted(&self, _: &Call<'_>, _: CredentialRole) -> Result<Vec<KnownSecret>, Failure> {
        Err(unsupported("list secrets"))
    }

    async fn retire(&self, _: &Call<'_>, _: CredentialRole, _: &str) -> Result<(), Failure> {
        Err(unsupported("retire secrets"))
    }
}

fn deletion(change: &Change) -> RenderedRequest {
    RenderedRequest {
        operation: Some(change.operation),
        account: Some(change.account.clone()),
        writes: ["*".to_owned()].into(),
        line: format!("DELETE /Users/{}", change.account),
    }
}

fn planted(class: FailureClass) -> Failure {
    Failure::new(class, "CB-TEST-1", "planted")
}

fn taken_away(account: &mut Account, change: &Change) {
    match change.operation {
        Operation::Disable => account.state = AccountState::Disabled,
        Operation::EndSessions => account.sessions = Some(0),
        Operation::RevokeEntitlement | Operation::RevokeCredential => {
            let gone = change.entitlement.as_ref().map(|one| &one.id);
            account.entitlements.retain(|one| Some(&one.id) != gone);
        }
        Operation::List | Operation::Read | Operation::Delete => {}
    }
}

/// Draws nothing: every id follows the one before.
#[derive(Debug, Default)]
struct Counted(Mutex<u128>);

impl Chance for Counted {
    fn fraction(&self) -> f64 {
        0.0
    }

    fn id(&self) -> uuid::Uuid {
        let mut last = self.0.lock().expect("not poisoned");
        *last += 1;
        uuid::Uuid::from_u128(*last)
    }
}

/// The engine and all that it works with.
pub(super) struct Ward {
    pub(super) engine: Arc<Engine>,
    pub(super) store: Arc<dyn Store>,
    pub(super) target: Arc<Scripted>,
    /// The target of a second connector, where there is one.
    pub(super) upstream: Arc<Scripted>,
    pub(super) clock: Arc<Moved>,
    pub(super) worker: WorkerId,
}

/// Accounts with these ids and numbers.
pub(super) fn numbered(ids: &[&str]) -> Vec<Account> {
    let one = |id: &&str| {
        let mut account = account(id);
        let number = format!("n-{id}");
        account.attributes.insert(NUMBER.to_owned(), number);
        account
    };
    ids.iter().map(one).collect()
}

impl Ward {
    /// Over a target with the leaver's account `a-1` and four of others.
    pub(super) async fn new(more: &str, privileged: bool) -> Self {
        Self::under(manifest(more, privileged)).await
    }

    /// The same under this manifest and these settings.
    pub(super) async fn of(manifest: Manifest, settings: Settings) -> Self {
        Self::with(manifest, None, settings).await
    }

    /// The same under another manifest.
    pub(super) async fn under(manifest: Manifest) -> Self {
        Self::behind(manifest, None).await
    }

    /// The same, whose tasks go to the desk `servicedesk`.
    pub(super) async fn at_desk(desks: Desks) -> Self {
        let mut manifest = manifest("", false);
        manifest.fallback.desk = "servicedesk".to_owned();
        Self::over((manifest, None), Settings::default(), Some(desks)).await
    }

    /// The same, whose tasks go to no desk, until they are overdue and these names are told.
    pub(super) async fn told_at_desk(desks: Desks, names: &[&str]) -> Self {
        let mut settings = Settings::default();
        settings.people.desks = names.iter().map(|name| (*name).to_owned()).collect();
        Self::over((manifest("", false), None), settings, Some(desks)).await
    }

    /// The same behind the target of another manifest, which shows the same accounts.
    pub(super) async fn behind(manifest: Manifest, upstream: Option<Manifest>) -> Self {
        Self::with(manifest, upstream, Settings::default()).await
    }

    /// The same under these settings, too.
    pub(super) async fn with(
        manifest: Manifest,
        upstream: Option<Manifest>,
        settings: Settings,
    ) -> Self {
        Self::over((manifest, upstream), settings, None).await
    }

    async fn over(
        (manifest, upstream): (Manifest, Option<Manifest>),
        settings: Settings,
        desks: Option<Desks>,
    ) -> Self {
        let store = crate::store::fixture::in_memory().await;
        Self::kept_in(store, (manifest, upstream), settings, desks).await
    }

    /// The same over this store.
    pub(super) async fn kept_in(
        store: Arc<dyn Store>,
        (manifest, upstream): (Manifest, Option<Manifest>),
        settings: Settings,
        desks: Option<Desks>,
    ) -> Self {
        let scripted = || {
            Arc::new(Scripted(Mutex::new(Shown {
                accounts: numbered(&["a-1", "a-2", "a-3", "a-4", "a-5"]),
                completeness: Completeness::WHOLE,
                fails: None,
                hangs: None,
                hanging: 0,
                listings: 0,
                bare: false,
                unlisted: None,
                unreadable: None,
                refused: Vec::new(),
                writes_wait: None,
                deaf: false,
                slow: None,
            })))
        };
        let (target, gate) = (scripted(), scripted());
        let mut parts = vec![(manifest, target.clone())];
        parts.extend(upstream.map(|manifest| (manifest, gate.clone())));
        let (engine, clock, worker) = engine(parts, settings, &store, desks).await;
        Self {
            engine,
            store,
            target,
            upstream: gate,
            clock,
            worker,
        }
    }

    /// Surveys as a worker does that has looked `seconds` later; `None` when nothing is due.
    pub(super) async fn survey_after(&self, seconds: u64) -> Option<Advance> {
        self.clock.advance(seconds);
        let lease = self.leased().await.into_iter().next()?;
        self.engine.survey(&lease).await.expect("committed")
    }

    pub(super) async fn leased(&self) -> Vec<SurveyLease> {
        let taken = self.engine.take_surveys(self.worker, 4).await;
        taken.expect("the store answers")
    }

    pub(super) async fn standing(&self) -> Standing {
        let mut standings = self.store.standings().await.expect("read");
        standings.remove(&"crm".into()).expect("known")
    }

    /// The leaver, whose number is that of account `a-1`, leaves.
    pub(super) async fn leaver_leaves(&self) {
        self.leaver_leaves_from(&[]).await;
    }

    /// The same, from these targets alone.
    pub(super) async fn leaver_leaves_from(&self, connectors: &[&str]) {
        self.departs("a-1", Urgency::Planned, connectors).await;
    }

    /// Who has this account leaves at once.
    pub(super) async fn leaves(&self, account: &str, urgency: Urgency) {
        self.departs(account, urgency, &[]).await;
    }

    async fn departs(&self, account: &str, urgency: Urgency, connectors: &[&str]) {
        let mut event = given::leaves();
        if account != "a-1" {
            event.id = format!("leaves-{account}");
            event.hr_case = format!("hr-{account}");
            event.subject.id = format!("e-{account}");
        }
        event.effective = Effective::Immediately;
        event.urgency = urgency;
        event.connectors = connectors.iter().map(|name| (*name).into()).collect();
        event.subject.identifiers = vec![Identifier {
            kind: "employee_number".to_owned(),
            value: format!("n-{account}"),
        }];
        let batch = IntakeBatch {
            events: vec![given::recorded(event, self.clock.now())],
            ..IntakeBatch::default()
        };
        self.store.record(&batch).await.expect("recorded");
    }

    pub(super) fn none_kept(&self) -> Keep {
        Keep {
            worker: self.worker,
            at_most: 0,
            share: u32::MAX,
            room: BTreeMap::new(),
        }
    }

    /// What is recorded is admitted, and nothing else happens.
    pub(super) async fn admit(&self) {
        let keep = self.none_kept();
        self.engine.admit(&keep).await.expect("admitted");
    }

    /// Everything that is due within these seconds, looked for once a minute.
    pub(super) async fn work(&self, seconds: u64) {
        for _ in 0..=seconds / 60 {
            self.work_now().await;
            self.clock.advance(60);
        }
    }

    /// Everything that is due at this moment.
    pub(super) async fn work_now(&self) {
        let keep = self.none_kept();
        self.engine.admit(&keep).await.expect("admitted");
        loop {
            let wide = Keep {
                at_most: 10,
                ..keep.clone()
            };
            let now = self.clock.now();
            let claimed = self.store.claim(now, &wide).await.expect("claimed");
            if claimed.is_empty() {
                break;
            }
            for one in claimed {
                let held = [self.engine.step(&one).await.expect("consistent")];
                let now = self.clock.now();
                let settled = self.store.settle(now, &keep, &held).await.expect("settled");
                assert_eq!(settled.accepted, [true]);
                let given = [(one.run.id, one.token)];
                self.store.release(self.worker, &given).await.expect("free");
            }
        }
    }

    /// The removals at the target that have ended.
    pub(super) async fn ended(&self) -> Vec<Run> {
        let which = crate::store::RunsEnded {
            connector: "crm".into(),
            since: given::dawn(),
            until: self.clock.now(),
            after: None,
            limit: 10,
        };
        self.store.runs_ended(&which).await.expect("read")
    }

    /// Shows each event that waits, and leaves it waiting no longer.
    pub(super) async fn waiting(&self, mut show: impl FnMut(&RecordedEvent) + Send) {
        let shown = Mutex::new(&mut show);
        let keep = self.none_kept();
        let look = |event: &RecordedEvent, _: &[ExistingCase]| {
            let mut show = shown.lock().expect("not poisoned");
            (*show)(event);
            Admission {
                event: event.event.key(),
                decision: AdmissionDecision::Ignore,
                reason: "shown".to_owned(),
                halts: Vec::new(),
            }
        };
        let admitted = self.store.admit(10, self.clock.now(), &keep, &look).await;
        admitted.expect("admitted");
    }

    pub(super) async fn open_tasks(&self) -> Vec<crate::domain::task::FallbackTask> {
        let filter = TaskFilter::default();
        self.store.tasks(&filter).await.expect("read")
    }
}

async fn engine(
    parts: Vec<(Manifest, Arc<Scripted>)>,
    settings: Settings,
    store: &Arc<dyn Store>,
    desks: Option<Desks>,
) -> (Arc<Engine>, Arc<Moved>, WorkerId) {
    let clock = Moved::new();
    let dyn_clock: Arc<dyn Clock> = clock.clone();
    let parts = parts.into_iter().map(|(manifest, target)| {
        let part: Arc<dyn Connector> = Arc::new(target);
        (manifest, part)
    });
    let parts = parts.collect();
    let vault = Arc::new(LocalVault::in_memory().expect("a vault"));
    let ports = Ports {
        store: store.clone(),
        registry: Arc::new(Registry::assemble(parts, &dyn_clock)),
        secrets: Arc::new(Secrets::new(vault)),
        verification: Arc::new(Verification::new(dyn_clock.clone())),
        workflows: Arc::new(crate::definitions::built_in().expect("built in")),
        clock: dyn_clock,
        chance: Arc::new(Counted::default()),
    };
    let mut engine = Engine::new(ports, settings);
    if let Some(desks) = desks {
        engine = engine.with_desks(desks);
    }
    let engine = Arc::new(engine);
    engine.save_definitions().await.expect("kept");
    let worker = engine.new_worker();
    let enlisted = store.enlist(worker, clock.now(), 1_000_000).await;
    enlisted.expect("enlisted");
    (engine, clock, worker)
}
