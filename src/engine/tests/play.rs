//! The player: a case and all its runs in memory, driven through the pure core in virtual time.
//!
//! Owns what the store and the driver do between two decisions: due runs come by priority, a parent
//! wakes when its last child has ended, a task is handed to its run while it is open, a halt reaches
//! every open run. Keeps every settlement in order. Judges nothing; that is `watch` and the tests.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::given::{self, library};
use super::target::World;
use crate::domain::admit::admit;
use crate::domain::command::{Answer, Command, Wish};
use crate::domain::estate::{ConnectorFacts, Estate};
use crate::domain::event::LifecycleEvent;
use crate::domain::id::{CaseId, CommandId, RunId, TaskId};
use crate::domain::obey::obey;
use crate::domain::review::{done, released, reviews};
use crate::domain::run::{RemovalBody, Run, RunBody, Stage};
use crate::domain::settlement::{
    AdmissionDecision, CaseRow, ExistingCase, JournalEntry, Outcome, Settlement,
};
use crate::domain::step::{Decision, Effect, Given, Woken, decide, settle};
use crate::domain::task::{Attestation, FallbackTask, TaskState};
use crate::domain::time::{Timestamp, after, after_ms};
use crate::domain::workflow::{End, RunKind, Workflow};

/// One settlement and what led to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Deed {
    pub(super) before: Run,
    /// What was performed, what it came to, and when it was begun.
    pub(super) performed: Option<(Effect, Outcome, Timestamp)>,
    pub(super) settlement: Settlement,
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) row: CaseRow,
    pub(super) ended: Option<End>,
    pub(super) halted: bool,
}

#[derive(Debug)]
pub(super) struct Play {
    pub(super) now: Timestamp,
    pub(super) fraction: f64,
    pub(super) estate: Estate,
    pub(super) cases: Vec<Case>,
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) tasks: BTreeMap<TaskId, FallbackTask>,
    /// Rotations that settlements, wishes and events asked for, whether or not they began.
    pub(super) wished: Vec<Run>,
    pub(super) deeds: Vec<Deed>,
    pub(super) journal: Vec<JournalEntry>,
    /// Keeps every run as JSON between two steps, as a store does.
    pub(super) through_json: bool,
    /// Runs that a worker is at when they are halted.
    pub(super) leased: BTreeSet<RunId>,
    awake: BTreeSet<RunId>,
    commands: u128,
}

impl Play {
    pub(super) fn new(connectors: &[(&str, ConnectorFacts)]) -> Self {
        Self {
            now: given::dawn(),
            fraction: 0.0,
            estate: given::estate(connectors),
            cases: Vec::new(),
            runs: BTreeMap::new(),
            tasks: BTreeMap::new(),
            wished: Vec::new(),
            deeds: Vec::new(),
            journal: Vec::new(),
            through_json: false,
            leased: BTreeSet::new(),
            awake: BTreeSet::new(),
            commands: 0,
        }
    }

    /// One connector that can do everything, and the leaver on the way out.
    pub(super) fn begun() -> Self {
        let mut play = Self::new(&[(given::CRM, given::facts())]);
        play.hear(given::leaves());
        play
    }

    pub(super) fn given<'a>(&'a self, workflow: &'a Workflow) -> Given<'a> {
        Given {
            workflow,
            estate: &self.estate,
            now: self.now,
            fraction: self.fraction,
            status_topic: Some("status"),
            under: None,
        }
    }

    /// An event comes in.
    pub(super) fn hear(&mut self, event: LifecycleEvent) -> AdmissionDecision {
        let workflow = library().by_event(event.kind).expect("every kind is named");
        self.hear_by(event, workflow)
    }

    /// An event comes in while its kind is opened by this file.
    pub(super) fn hear_by(
        &mut self,
        event: LifecycleEvent,
        workflow: &Workflow,
    ) -> AdmissionDecision {
        let recorded = given::recorded(event, self.now);
        let existing = self.existing();
        let admission = admit(&recorded, &existing, &self.given(workflow)).expect("consistent");
        self.apply(&admission.decision);
        for case in &admission.halts {
            self.case_mut(*case).row.revision = recorded.event.revision;
            self.halt(*case);
        }
        for run in reviews(&admission, &existing) {
            self.awake.insert(run.id);
            self.runs.insert(run.id, run);
        }
        admission.decision
    }

    fn apply(&mut self, decision: &AdmissionDecision) {
        match decision {
            AdmissionDecision::Open { case, first } => self.open(case, first),
            AdmissionDecision::Stop { case, first, stops } => {
                for stop in stops {
                    self.apply(stop);
                }
                self.open(case, first);
            }
            AdmissionDecision::PutOff { case, again, first } => {
                self.case_mut(*case).row.revision = again.revision;
                self.halt(*case);
                self.open(again, first);
            }
            AdmissionDecision::Reschedule { case, run } => {
                self.case_mut(case.id).row = (**case).clone();
                self.runs.insert(run.id, (**run).clone());
            }
            AdmissionDecision::Rescind {
                settlement,
                revision,
            } => {
                let case = settlement.run.case.expect("a case's run");
                self.case_mut(case).row.revision = *revision;
                self.take(settlement);
            }
            AdmissionDecision::Halt { case, revision } => {
                self.case_mut(*case).row.revision = *revision;
                self.halt(*case);
            }
            AdmissionDecision::Revise { case, revision } => {
                self.case_mut(*case).row.revision = *revision;
            }
            AdmissionDecision::Rotate { runs } => {
                for run in runs {
                    self.start(run);
                }
            }
            AdmissionDecision::Ignore => {}
        }
    }

    fn open(&mut self, row: &CaseRow, first: &Settlement) {
        self.cases.push(Case {
            row: row.clone(),
            ended: None,
            halted: false,
        });
        self.take(first);
    }

    pub(super) fn existing(&self) -> Vec<ExistingCase> {
        let cases = self.cases.iter().rev();
        cases
            .map(|case| ExistingCase {
                row: case.row.clone(),
                run: self.runs[&case.row.id.run()].clone(),
                ended: case.ended,
                halted: case.halted,
            })
            .collect()
    }

    fn case_mut(&mut self, id: CaseId) -> &mut Case {
        let mut cases = self.cases.iter_mut();
        cases.find(|case| case.row.id == id).expect("a known case")
    }

    fn halt(&mut self, id: CaseId) {
        self.case_mut(id).halted = true;
        let of_case = |run: &&mut Run| run.case == Some(id) && !run.stage.ended();
        for run in self.runs.values_mut().filter(of_case) {
            run.halt(self.leased.contains(&run.id));
            self.awake.insert(run.id);
        }
    }

    fn start(&mut self, rotation: &Run) {
        self.wished.push(rotation.clone());
        let secret = |run: &Run| match &run.body {
            RunBody::Rotation(body) => Some((body.connector.clone(), body.role)),
            RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Removal(_) | RunBody::Care(_) => {
                None
            }
        };
        let mut open = self.runs.values().filter(|run| !run.stage.ended());
        if !open.any(|run| secret(run) == secret(rotation)) {
            self.runs.insert(rotation.id, rotation.clone());
        }
    }

    /// An operator wishes something.
    pub(super) fn wish(&mut self, by: &str, wish: Wish) -> Answer {
        self.commands += 1;
        let command = Command {
            id: CommandId(uuid::Uuid::from_u128(self.commands)),
            by: by.to_owned(),
            at: self.now,
            wish,
        };
        let task = command.wish.task().and_then(|id| self.tasks.get(&id));
        let run = task.and_then(|task| self.runs.get(&task.run));
        let obedience = obey(&command, task, run, &self.given(library().rotation()));
        if let Some(task) = obedience.task {
            self.tasks.insert(task.id, task);
        }
        if let Some(run) = obedience.run {
            self.runs.insert(run.id, run);
        }
        if let Some(rotation) = &obedience.rotation {
            self.start(rotation);
        }
        let stopped = obedience
            .puts_off
            .map(|case| released(case, &self.existing()));
        for run in stopped.unwrap_or_default() {
            self.halt(run.case.expect("a case's run"));
            self.runs.insert(run.id, run);
        }
        obedience.answer
    }

    /// A person says that the task is done.
    pub(super) fn close(
        &mut self,
        task: TaskId,
        by: &str,
        attestation: Option<Attestation>,
    ) -> Answer {
        let note = "done by hand".to_owned();
        self.wish(
            by,
            Wish::CloseTask {
                task,
                note,
                attestation,
            },
        )
    }

    /// Runs that are to be looked at now, the most urgent first.
    pub(super) fn due(&self) -> Vec<RunId> {
        let mut due: Vec<_> = self
            .runs
            .values()
            .filter(|run| {
                let time_has_come = run.stage.due().is_some_and(|due| due <= self.now);
                time_has_come || self.awake.contains(&run.id)
            })
            .map(|run| (run.priority, run.stage.due(), run.id))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, _, id)| id).collect()
    }

    /// True when the run is looked at again though no time is set for it.
    pub(super) fn is_awake(&self, run: RunId) -> bool {
        self.awake.contains(&run)
    }

    /// What is decided about a run at this moment; changes nothing.
    pub(super) fn decision(&self, id: RunId) -> Decision {
        let run = self.read(id);
        let workflow = library().get(&run.definition).expect("built in");
        let task = self.open_task(&run);
        let woken = self.woken(&run);
        decide(run, task, woken, &self.given(workflow)).expect("consistent")
    }

    /// One step of one run.
    pub(super) fn step(&mut self, id: RunId, world: &mut impl World) {
        let before = self.read(id);
        let workflow = library().get(&before.definition).expect("built in");
        let decision = self.decision(id);
        self.awake.remove(&id);
        let (performed, settlement) = match decision {
            Decision::Settle(settlement) => (None, *settlement),
            Decision::Perform { run, effect } => {
                let begun = self.now;
                let outcome = world.answer(&run, &effect, begun);
                // Nothing that goes out comes back in no time.
                self.now = after_ms(begun, 10);
                let task = self.open_task(&run);
                let settled = settle(*run, task, outcome.clone(), &self.given(workflow));
                (Some((effect, outcome, begun)), settled.expect("consistent"))
            }
        };
        self.take(&settlement);
        self.deeds.push(Deed {
            before,
            performed,
            settlement,
        });
    }

    /// The run as it is claimed.
    fn read(&self, id: RunId) -> Run {
        self.kept(&self.runs[&id])
    }

    fn kept<T: Clone + Serialize + DeserializeOwned>(&self, value: &T) -> T {
        if !self.through_json {
            return value.clone();
        }
        let text = serde_json::to_string(value).expect("it can be written");
        serde_json::from_str(&text).expect("it can be read")
    }

    fn open_task(&self, run: &Run) -> Option<FallbackTask> {
        let task = run.task.and_then(|id| self.tasks.get(&id));
        task.filter(|task| !matches!(task.state, TaskState::Closed { .. }))
            .map(|task| self.kept(task))
    }

    fn woken(&self, run: &Run) -> Woken {
        let open_children = self.open_children(run.id);
        let parts = given::parts(self.runs.values().filter(|other| other.case == run.case));
        Woken {
            open_children,
            parts: (run.kind == RunKind::Case && open_children == 0).then_some(parts),
            done: (run.halted && open_children == 0).then(|| self.done(run)),
        }
    }

    fn done(&self, case: &Run) -> Vec<String> {
        let of_case = |run: &&Run| run.case == case.case;
        let runs: Vec<_> = self.runs.values().filter(of_case).cloned().collect();
        let workflow = library().get(&case.definition).expect("built in");
        done(&runs, &self.journal, workflow)
    }

    pub(super) fn open_children(&self, id: RunId) -> u32 {
        let runs = self.runs.values();
        let open = runs.filter(|run| run.parent == Some(id) && !run.stage.ended());
        open.count() as u32
    }

    /// Commits a settlement.
    fn take(&mut self, settlement: &Settlement) {
        let run = &settlement.run;
        let (id, parent, ended) = (run.id, run.parent, run.stage.ended());
        let gathers = matches!(run.stage, Stage::Gathering { .. });
        self.runs.insert(id, run.clone());
        for child in &settlement.children {
            self.runs.entry(child.id).or_insert_with(|| child.clone());
        }
        if let Some(task) = &settlement.task {
            self.tasks.insert(task.id, task.clone());
        }
        for rotation in &settlement.rotations {
            self.start(rotation);
        }
        if let Some((case, end, _)) = settlement.case_ended {
            self.case_mut(case).ended = Some(end);
        }
        self.journal.extend(settlement.journal.iter().cloned());
        if gathers && self.open_children(id) == 0 {
            self.awake.insert(id);
        }
        // As in the store, only a parent that gathers is woken.
        if let (true, Some(parent)) = (ended, parent)
            && self.open_children(parent) == 0
            && matches!(self.runs[&parent].stage, Stage::Gathering { .. })
        {
            self.awake.insert(parent);
        }
    }

    /// Everything that is due, until nothing is.
    pub(super) fn rest(&mut self, world: &mut impl World) {
        for _ in 0..1000 {
            let Some(id) = self.due().first().copied() else {
                return;
            };
            self.step(id, world);
        }
        panic!("a thousand steps without a wait: {:?}", self.deeds.last());
    }

    /// On to the next moment at which something is due; false when there is none.
    pub(super) fn skip(&mut self) -> bool {
        let runs = self.runs.values().filter(|run| !run.stage.ended());
        let next = runs.filter_map(|run| run.stage.due()).min();
        self.now = self.now.max(next.unwrap_or(self.now));
        next.is_some()
    }

    /// Everything that is due within these seconds.
    pub(super) fn pass(&mut self, seconds: u64, world: &mut impl World) {
        let until = after(self.now, seconds);
        loop {
            self.rest(world);
            let runs = self.runs.values().filter(|run| !run.stage.ended());
            match runs.filter_map(|run| run.stage.due()).min() {
                Some(next) if next <= until => self.now = self.now.max(next),
                Some(_) | None => break,
            }
        }
        self.now = self.now.max(until);
    }

    /// Steps until a run of the kind stands at this state.
    pub(super) fn until(&mut self, kind: RunKind, state: &str, world: &mut impl World) {
        for _ in 0..1000 {
            if self.the(kind).is_some_and(|run| run.stage.name() == state) {
                return;
            }
            match self.due().first().copied() {
                Some(id) => self.step(id, world),
                None => assert!(self.skip(), "nothing leads to `{state}`"),
            }
        }
        panic!("a thousand steps and no `{state}`");
    }

    fn the(&self, kind: RunKind) -> Option<&Run> {
        self.runs.values().find(|run| run.kind == kind)
    }

    /// The one run of this kind.
    pub(super) fn run(&self, kind: RunKind) -> &Run {
        self.the(kind).expect("a run of this kind")
    }

    /// The body of the one removal.
    pub(super) fn removal(&self) -> &RemovalBody {
        match &self.run(RunKind::Removal).body {
            RunBody::Removal(body) => body,
            body => panic!("{body:?} is no removal"),
        }
    }

    /// The task of the one run of this kind.
    pub(super) fn task(&self, kind: RunKind) -> &FallbackTask {
        &self.tasks[&self.run(kind).id.task()]
    }

    /// How the one run of this kind ended, if it has.
    /// The tasks that nobody has closed.
    pub(super) fn tasks_open(&self) -> Vec<&FallbackTask> {
        let open = |task: &&FallbackTask| !matches!(task.state, TaskState::Closed { .. });
        self.tasks.values().filter(open).collect()
    }

    pub(super) fn end(&self, kind: RunKind) -> Option<End> {
        match self.run(kind).stage {
            Stage::Ended { end, .. } => Some(end),
            Stage::Due { .. } | Stage::Gathering { .. } | Stage::WithPerson { .. } => None,
        }
    }

    /// What was performed so far, in order.
    pub(super) fn effects(&self) -> Vec<&Effect> {
        let performed = self.deeds.iter().filter_map(|deed| deed.performed.as_ref());
        performed.map(|(effect, ..)| effect).collect()
    }
}
