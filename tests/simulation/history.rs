//! One history: events, workers, faults, crashes and people, until everything rests.
//!
//! Owns the driver. It calls the engine's verbs itself, so it can stop a worker between any two of
//! them, settle late, and move the clock. Everything follows from the seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use clawback::connectors::{Manifest, Registry};
use clawback::document::Document;
use clawback::domain::command::{Command, Wish};
use clawback::domain::event::{EventKind, LifecycleEvent, Origin, RecordedEvent, Urgency};
use clawback::domain::id::{CommandId, ConnectorName, WorkerId};
use clawback::domain::run::Run;
use clawback::domain::subject::{Identifier, Subject, SubjectKind};
use clawback::domain::task::{Attestation, TaskState};
use clawback::domain::time::{Chance, Clock, Effective, after};
use clawback::domain::verdict::CredentialRole;
use clawback::engine::{Engine, Ports, Settings};
use clawback::secrets::{LocalVault, NewSecret, Owner, Secrets};
use clawback::store::{Claimed, Fenced, IntakeBatch, Keep, Store, TaskFilter};
use clawback::verification::Verification;
use secrecy::SecretString;

use crate::dice::{Dice, VirtualClock};
use crate::target::{Fault, Target, True, Truth};

/// What kind of history to play.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan {
    pub seed: u64,
    /// The verifier is lied to: the oracle must notice.
    pub planted_lie: bool,
    /// Probes are not told of sessions in caches: the oracle must notice.
    pub hidden_sessions: bool,
}

/// A subject of the history and what became due for it.
#[derive(Debug, Clone)]
pub struct Leaver {
    pub number: String,
    /// Access must go: the last revision was a departure.
    pub due: bool,
}

#[derive(Debug)]
pub struct History {
    pub engine: Arc<Engine>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<VirtualClock>,
    pub dice: Arc<Dice>,
    pub targets: BTreeMap<ConnectorName, Arc<Target>>,
    pub before: BTreeMap<ConnectorName, BTreeMap<String, True>>,
    pub leavers: Vec<Leaver>,
    pub vault: Arc<LocalVault>,
    pub refused_late_writes: u64,
    hands: Vec<Hand>,
    late: Vec<(WorkerId, Fenced)>,
}

/// One worker and what it holds.
#[derive(Debug)]
struct Hand {
    worker: WorkerId,
    held: Vec<Claimed>,
}

/// Where the vault keeps one secret.
pub fn owner(connector: &ConnectorName, role: CredentialRole) -> Owner {
    Owner {
        reference: format!("local:{connector}/{}", role.as_str()),
        connector: connector.clone(),
        role,
    }
}

const TARGETS: [&str; 3] = ["crm", "mail", "pay"];
/// The target at which the leavers' own ways in are tried.
const PROBED: &str = "crm";
const PROBE: &str = r#"
[[probe]]
name = "sign-in"
kind = "sql_login"
[probe.kept]
leaver0 = "local:crm/probe/leaver0"
leaver1 = "local:crm/probe/leaver1"
"#;

fn manifest(name: &str) -> Manifest {
    let text = format!(
        r#"
name = "{name}"
kind = "{kind}"
purpose = "simulated"
owner = "a@acme.example"
deputy = "b@acme.example"
review_by = "2027-12-31"
after_removal = "{after}"
operations = ["list", "read", "disable", "end_sessions", "revoke_entitlement", "revoke_credential"{delete}]
writes = ["state"{star}]
{without}
[[correlation]]
identifier = "employee_number"
attribute = "number"
decides = true
[[correlation]]
identifier = "email"
attribute = "email"
decides = false
[credentials.writer]
secret = "local:{name}/writer"
rotation = "add"
[credentials.verifier]
secret = "local:{name}/verifier"
rotation = "add"
[credentials.rotator]
secret = "local:{name}/rotator"
[rotation]
overlap_seconds = 60
[limits]
concurrency = 64
requests_per_second = 100000
timeout_seconds = 60
breaker_failures = 4
breaker_pause_seconds = 20
[expect]
accounts_min = 1
accounts_max = 1000
fields = []
max_data_age_seconds = 300
[fallback]
desk = "built-in"
deadline_hours = 24
steps = ["do it by hand"]
{probe}
"#,
        // The one kind whose own sign-in can be probed with a password that is kept.
        kind = if name == PROBED { "sql" } else { "rest" },
        probe = if name == PROBED { PROBE } else { "" },
        after = if name == "pay" {
            "account_powerless"
        } else {
            "account_gone"
        },
        delete = if name == "pay" { "" } else { ", \"delete\"" },
        star = if name == "pay" { "" } else { ", \"*\"" },
        without = if name == "pay" {
            "[without]\ndelete = \"accounts stay for the books\""
        } else {
            ""
        },
    );
    let document = Document::parse(&format!("{name}.toml"), &text).expect("syntax");
    let manifest = Manifest::read(&document.root());
    let problems = document.take_problems();
    assert!(problems.is_empty(), "{problems}");
    manifest
}

type Parts = Vec<(Manifest, Arc<dyn clawback::connectors::Connector>)>;

/// The targets with their troubles, and a secret for each role, some of them expired.
fn estate(
    plan: &Plan,
    dice: &Arc<Dice>,
    clock: &Arc<VirtualClock>,
    vault: &Arc<LocalVault>,
) -> (BTreeMap<ConnectorName, Arc<Target>>, Parts) {
    let trouble = [0, 10, 30, 60][dice.below(4) as usize];
    let mut targets = BTreeMap::new();
    let mut parts = Vec::new();
    for name in TARGETS {
        let target = Arc::new(Target {
            truth: std::sync::Mutex::new(Truth::default()),
            dice: dice.clone(),
            clock: clock.clone(),
            trouble,
            lies_to_verifier: plan.planted_lie,
            hides_sessions: plan.hidden_sessions,
        });
        let manifest = manifest(name);
        for role in [
            CredentialRole::Writer,
            CredentialRole::Verifier,
            CredentialRole::Rotator,
        ] {
            let value = format!("{name}-{}-0", role.as_str());
            let expired = role == CredentialRole::Writer && dice.percent(15);
            if expired {
                *target
                    .truth()
                    .fired
                    .entry(Fault::ExpiredSecret)
                    .or_default() += 1;
            } else {
                target
                    .truth()
                    .tokens
                    .insert(value.clone(), (role, "initial".into()));
            }
            let owner = owner(&manifest.name, role);
            let secret = NewSecret {
                value: SecretString::from(value.clone()),
                remote_ref: Some(value),
                expires: None,
                username: None,
            };
            vault.put(&owner, secret, clock.now()).expect("kept");
        }
        if name == PROBED {
            keep_passwords(&manifest.name, vault, clock);
        }
        let name = ConnectorName::from(name);
        targets.insert(name, target.clone());
        parts.push((manifest, target as Arc<dyn clawback::connectors::Connector>));
    }
    (targets, parts)
}

/// What our own vault keeps of accounts that are probed; of the third leaver it keeps nothing.
fn keep_passwords(connector: &ConnectorName, vault: &Arc<LocalVault>, clock: &Arc<VirtualClock>) {
    for login in ["leaver0", "leaver1"] {
        let owner = Owner {
            reference: format!("local:{connector}/probe/{login}"),
            connector: connector.clone(),
            role: CredentialRole::Verifier,
        };
        let secret = NewSecret {
            value: SecretString::from(format!("password-of-{login}")),
            remote_ref: None,
            expires: None,
            username: None,
        };
        vault.put(&owner, secret, clock.now()).expect("kept");
    }
}

impl History {
    pub async fn new(plan: Plan) -> Self {
        let dice = Arc::new(Dice::new(plan.seed));
        let clock = Arc::new(VirtualClock::new());
        let dyn_clock: Arc<dyn Clock> = clock.clone();
        let settings = clawback::store::Settings {
            url: "sqlite::memory:".to_owned(),
            ..clawback::store::Settings::default()
        };
        let store = clawback::store::open(&settings).await.expect("a store");
        store.migrate().await.expect("a schema");
        let vault = Arc::new(LocalVault::in_memory().expect("a vault"));
        let (targets, parts) = estate(&plan, &dice, &clock, &vault);
        let registry = Arc::new(Registry::assemble(parts, &dyn_clock));
        let secrets = Arc::new(Secrets::new(vault.clone()));
        let ports = Ports {
            store: store.clone(),
            registry,
            secrets,
            verification: Arc::new(Verification::new(dyn_clock.clone())),
            workflows: Arc::new(
                clawback::definitions::built_in().expect("built-in files are right"),
            ),
            clock: dyn_clock,
            chance: dice.clone() as Arc<dyn Chance>,
        };
        let engine = Arc::new(Engine::new(ports, Settings::default()));
        engine.save_definitions().await.expect("kept");
        let mut history = Self {
            engine,
            store,
            clock,
            dice,
            targets,
            before: BTreeMap::new(),
            leavers: Vec::new(),
            vault,
            refused_late_writes: 0,
            hands: Vec::new(),
            late: Vec::new(),
        };
        history.populate();
        for _ in 0..2 {
            let hand = history.enlist().await;
            history.hands.push(hand);
        }
        history
    }

    /// A rotation that an operator has just asked for.
    pub async fn rotation(&self) -> Run {
        let wish = Command {
            id: CommandId(self.dice.id()),
            by: "olga".into(),
            at: self.clock.now(),
            wish: Wish::RotateSecret {
                connector: TARGETS[0].into(),
                role: CredentialRole::Writer,
            },
        };
        self.store.wish(&wish).await.expect("in line");
        self.engine.obey().await.expect("obeyed");
        let mut rotations = self.store.rotations(None).await.expect("read");
        rotations.pop().expect("begun")
    }

    async fn enlist(&self) -> Hand {
        let worker = self.engine.new_worker();
        self.store
            .enlist(worker, self.clock.now(), 10)
            .await
            .expect("enlisted");
        Hand {
            worker,
            held: Vec::new(),
        }
    }

    /// People and accounts: leavers, others who must not lose anything, a reused e-mail address.
    fn populate(&mut self) {
        for (name, target) in &self.targets {
            let mut truth = target.truth();
            for person in 0..6 {
                if self.dice.percent(20) && person > 0 {
                    continue;
                }
                let leaves = person < 3;
                let some = |prefix: &str, most: u64| {
                    (0..self.dice.below(most))
                        .map(|i| format!("{prefix}{i}"))
                        .collect()
                };
                let account = True {
                    login: format!("{}{person}", if leaves { "leaver" } else { "stayer" }),
                    number: format!("E{person}"),
                    // A stayer may have been given a leaver's old address.
                    email: format!("p{}@acme.example", if person == 4 { 1 } else { person }),
                    enabled: true,
                    groups: some("group", 4),
                    keys: some("key", 3),
                    sessions: self.dice.below(3),
                    resurrected: None,
                };
                let id = format!("{name}-{person}");
                if leaves && self.dice.percent(8) {
                    truth.deaf.insert(id.clone());
                }
                truth.accounts.insert(id, account);
            }
        }
        for (name, target) in &self.targets {
            self.before
                .insert(name.clone(), target.truth().accounts.clone());
        }
    }

    fn event(&self, person: u64, kind: EventKind, revision: u64) -> RecordedEvent {
        let identifier = |kind: &str, value: String| Identifier {
            kind: kind.into(),
            value,
        };
        let at = after(self.clock.now(), self.dice.below(3) * 600);
        let effective = if self.dice.percent(50) {
            Effective::Immediately
        } else {
            Effective::At {
                local: at.to_zoned(jiff::tz::TimeZone::UTC).datetime(),
                zone: "UTC".into(),
            }
        };
        RecordedEvent {
            event: LifecycleEvent {
                source: "urn:hr".into(),
                id: format!("{person}-{revision}"),
                kind,
                occurred: None,
                subject: Subject {
                    kind: SubjectKind::Person,
                    tenant: "acme".into(),
                    id: format!("E{person}"),
                    identifiers: vec![
                        identifier("employee_number", format!("E{person}")),
                        identifier("email", format!("p{person}@acme.example")),
                    ],
                    display_name: Some(format!("Leaver {person}")),
                    privileged: self.dice.percent(20),
                },
                hr_case: format!("hr-{person}"),
                revision,
                effective,
                urgency: if self.dice.percent(30) {
                    Urgency::ForCause
                } else {
                    Urgency::Planned
                },
                reason: None,
                connectors: Vec::new(),
            },
            origin: Origin {
                topic: "identity.lifecycle.v1".into(),
                partition: 0,
                offset: person as i64,
                traceparent: None,
                tracestate: None,
            },
            recorded: self.clock.now(),
            payload_digest: format!("{person}-{revision}"),
        }
    }

    /// All events of the history, in an order that may be wrong, some twice.
    fn events(&mut self) -> Vec<RecordedEvent> {
        let mut events = Vec::new();
        for person in 0..3 {
            let mut mine = vec![self.event(person, EventKind::WorkerTerminated, 1)];
            let mut due = true;
            match self.dice.below(16) {
                0..4 => mine.push(self.event(person, EventKind::TerminationChanged, 2)),
                4..7 => {
                    mine.push(self.event(person, EventKind::TerminationCancelled, 2));
                    due = false;
                }
                _ => {}
            }
            if self.dice.percent(30) {
                mine.push(mine[0].clone());
            }
            self.leavers.push(Leaver {
                number: format!("E{person}"),
                due,
            });
            events.extend(mine);
        }
        for i in (1..events.len()).rev() {
            if self.dice.percent(40) {
                events.swap(i, self.dice.below(i as u64 + 1) as usize);
            }
        }
        events
    }

    /// Plays until everything rests or is with people, and people had their turns.
    pub async fn play(&mut self) {
        let mut events = self.events();
        for round in 0..240 {
            while let Some(event) = events.pop() {
                let batch = IntakeBatch {
                    events: vec![event],
                    ..IntakeBatch::default()
                };
                self.store.record(&batch).await.expect("recorded");
                if self.dice.percent(50) {
                    break;
                }
            }
            self.disturb(round);
            self.work().await;
            if round > 30 {
                self.people().await;
            }
            let pause = if round < 60 { 20_000 } else { 2_000_000 };
            self.clock.advance_ms(self.dice.below(pause));
            if round > 40 && events.is_empty() && self.at_rest().await {
                break;
            }
        }
        // What was still held comes back by lease, and the last steps are made in peace.
        for _ in 0..200 {
            self.clock.advance_ms(4_000_000);
            self.calm();
            self.work().await;
            self.people().await;
            if self.at_rest().await {
                return;
            }
        }
    }

    async fn at_rest(&self) -> bool {
        let counts = self.store.counts(self.clock.now()).await.expect("counted");
        counts.cases_open == 0 && counts.events_waiting == 0 && counts.rotations_open == 0
    }

    /// Outages come and go, tokens die, other systems bring accounts back.
    fn disturb(&self, round: u64) {
        if round > 60 {
            self.calm();
            return self.bring_back_late();
        }
        for (name, target) in &self.targets {
            if target.trouble > 0 && self.dice.percent(2) {
                let until = after(self.clock.now(), self.dice.below(3000));
                target.truth().down_until = Some(until);
            }
            if target.trouble > 0 && self.dice.percent(1) {
                // Someone who stays has lost nothing that could come back.
                let leavers = |(_, account): &(&String, &True)| account.login.starts_with("leaver");
                let index = self.dice.below(3) as usize;
                if let Some((id, account)) = self.before[name].iter().filter(leavers).nth(index) {
                    target.resurrect(id, account);
                }
            }
        }
    }

    /// Hours later, when removals have ended in proof, another system brings an account back.
    fn bring_back_late(&self) {
        for (name, target) in &self.targets {
            if target.trouble > 0 && self.dice.percent(1) {
                let leavers = |(_, account): &(&String, &True)| account.login.starts_with("leaver");
                let index = self.dice.below(3) as usize;
                if let Some((id, account)) = self.before[name].iter().filter(leavers).nth(index) {
                    target.resurrect(id, account);
                }
            }
        }
    }

    fn calm(&self) {
        for target in self.targets.values() {
            target.truth().down_until = None;
        }
    }

    /// Each worker does some of what is due, and some of them die in between.
    async fn work(&mut self) {
        let mut idle = 0;
        for _ in 0..40 {
            if idle == 3 {
                return;
            }
            let index = self.dice.below(self.hands.len() as u64) as usize;
            self.late_writes().await;
            if self.dice.percent(3) {
                self.kill(index).await;
                continue;
            }
            let keep = self.keep(index);
            let admitted = self.engine.admit(&keep).await.expect("admitted");
            self.hands[index].held.extend(admitted.kept);
            self.engine.obey().await.expect("obeyed");
            if self.dice.percent(5) {
                self.engine.sweep_secrets().await.expect("swept");
            }
            let now = self.clock.now();
            let claimed = self
                .store
                .claim(now, &self.keep(index))
                .await
                .expect("claimed");
            self.hands[index].held.extend(claimed);
            let nothing = admitted.events == 0 && self.hands[index].held.is_empty();
            idle = if nothing { idle + 1 } else { 0 };
            while !self.hands[index].held.is_empty() {
                let pick = self.dice.below(self.hands[index].held.len() as u64) as usize;
                let claimed = self.hands[index].held.swap_remove(pick);
                if !self.step(index, claimed).await {
                    break;
                }
            }
        }
    }

    fn keep(&self, index: usize) -> Keep {
        Keep {
            worker: self.hands[index].worker,
            at_most: 8,
            share: 4,
            room: BTreeMap::new(),
        }
    }

    /// One step; `false` when the worker died on it.
    async fn step(&mut self, index: usize, claimed: Claimed) -> bool {
        if self.dice.percent(2) {
            // Before the effect.
            self.kill(index).await;
            return false;
        }
        let fenced = match self.engine.step(&claimed).await {
            Ok(fenced) => fenced,
            Err(error) => panic!("a run cannot go on: {error:?}"),
        };
        self.clock.advance_ms(self.dice.below(200));
        if self.dice.percent(3) {
            // After the effect, before its settle; sometimes the settle comes much later.
            let worker = self.hands[index].worker;
            if self.dice.percent(50) {
                self.late.push((worker, fenced));
            }
            self.kill(index).await;
            return false;
        }
        let now = self.clock.now();
        let settled = self
            .store
            .settle(now, &self.keep(index), std::slice::from_ref(&fenced))
            .await;
        let settled = settled.expect("settled");
        self.hands[index].held.extend(settled.kept);
        if settled.accepted == [true] {
            let run = fenced.settlement.run;
            if run.stage.due().is_some_and(|due| due <= now) {
                self.hands[index].held.push(Claimed {
                    run,
                    token: fenced.token,
                    open_children: 0,
                    task: fenced.settlement.task.or(claimed.task),
                });
            }
        }
        true
    }

    /// The worker is gone with all it held; its lease runs out and another takes over.
    async fn kill(&mut self, index: usize) {
        let fresh = self.enlist().await;
        self.hands[index] = fresh;
        self.clock.advance_ms(11_000);
        let now = self.clock.now();
        for hand in &mut self.hands {
            let alive = self.store.heartbeat(hand.worker, now).await.expect("asked");
            if !alive {
                hand.held.clear();
                hand.worker = self.engine.new_worker();
                self.store
                    .enlist(hand.worker, now, 10)
                    .await
                    .expect("enlisted");
            }
        }
        let by = self.hands[index].worker;
        self.engine.bury(by).await.expect("buried");
    }

    /// A worker that was thought dead wakes up and writes: it must be refused.
    async fn late_writes(&mut self) {
        let now = self.clock.now();
        for (worker, fenced) in std::mem::take(&mut self.late) {
            let keep = Keep {
                worker,
                at_most: 0,
                share: 4,
                room: BTreeMap::new(),
            };
            let settled = self
                .store
                .settle(now, &keep, &[fenced])
                .await
                .expect("asked");
            assert_eq!(settled.accepted, [false], "a buried worker wrote");
            self.refused_late_writes += 1;
        }
    }

    /// People claim and close tasks: some truly, some falsely, some by attesting.
    async fn people(&mut self) {
        let tasks = self
            .store
            .tasks(&TaskFilter::default())
            .await
            .expect("listed");
        for task in tasks {
            if !self.dice.percent(40) || matches!(task.state, TaskState::Checking(_)) {
                continue;
            }
            let truly = self.dice.percent(70);
            if truly && let (Some(connector), Some(account)) = (&task.connector, &task.account) {
                let id = account
                    .rsplit('(')
                    .next()
                    .unwrap_or("")
                    .trim_end_matches(')');
                if let Some(target) = self.targets.get(connector) {
                    let mut truth = target.truth();
                    if connector.as_str() == "pay" {
                        if let Some(account) = truth.accounts.get_mut(id) {
                            account.enabled = false;
                            account.groups.clear();
                            account.keys.clear();
                            account.sessions = 0;
                        }
                    } else {
                        truth.accounts.remove(id);
                    }
                }
            }
            let attestation = (truly && self.dice.percent(60)).then(|| Attestation {
                by: "first".into(),
                statement: "seen with my own eyes".into(),
            });
            let waits = matches!(task.state, TaskState::AwaitingSecondPerson(_));
            let command = Command {
                id: CommandId(self.dice.id()),
                by: if waits { "second" } else { "first" }.into(),
                at: self.clock.now(),
                wish: if waits {
                    Wish::ConfirmTask {
                        task: task.id,
                        statement: "seen with mine too".into(),
                        meant: None,
                    }
                } else {
                    Wish::CloseTask {
                        task: task.id,
                        note: "done".into(),
                        attestation,
                    }
                },
            };
            self.store.wish(&command).await.expect("wished");
        }
        // A person also finds a way to make a writer's token known again where it has died.
        self.engine.obey().await.expect("obeyed");
    }
}
