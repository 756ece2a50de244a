//! The proofs that a workflow must pass before any run may follow it.
//!
//! Owns: every state reachable, every outcome handled, every cycle bounded, and every end either
//! proved or through a person. The argument for "bounded": forward edges form no cycle, an edge back
//! goes to an ancestor and uses up one of its state's attempts, and a fallback's ways out wait for a
//! timer or a person. So each run comes to an end or to a person after finitely many steps.
//! Reports every violation, at the line of the state or edge that is wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::actions;
use super::edges::{self, Edge, Way};
use super::ends;
use super::leaves;
use super::places::Places;
use crate::document::{Problem, Problems};
use crate::domain::event::EventKind;
use crate::domain::id::StateName;
use crate::domain::outcome::FailureClass;
use crate::domain::workflow::{Action, Machine, OutcomeKey, RunKind, State, Workflow};

/// What one machine's proofs look at and report to.
pub struct Scope<'a> {
    /// The file to blame.
    pub file: &'a str,
    /// What the machine's runs are about.
    pub kind: RunKind,
    /// The machine.
    pub machine: &'a Machine,
    /// Its edges, flat.
    pub edges: Vec<Edge<'a>>,
    /// Where everything stood.
    pub places: &'a Places,
    /// What was found.
    pub problems: Problems,
}

impl<'a> Scope<'a> {
    fn new(file: &'a str, kind: RunKind, machine: &'a Machine, places: &'a Places) -> Self {
        Self {
            file,
            kind,
            machine,
            edges: edges::all(machine),
            places,
            problems: Problems::default(),
        }
    }
}

impl Scope<'_> {
    /// Notes a problem.
    pub fn report(&mut self, line: u32, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.0.push(Problem {
            file: self.file.to_owned(),
            line,
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    /// The line of a state.
    pub fn line(&self, state: &StateName) -> u32 {
        self.places.of_state(self.kind, state)
    }

    /// The line of an edge.
    pub fn edge_line(&self, edge: &Edge<'_>) -> u32 {
        match edge.outcome {
            Some(outcome) => self.places.of_edge(self.kind, edge.from, outcome),
            None => self.line(edge.from),
        }
    }
}

/// Everything that is wrong with a workflow; empty means proved.
pub fn check(file: &str, workflow: &Workflow, places: &Places) -> Problems {
    let mut problems = Problems::default();
    for (kind, machine) in &workflow.machines {
        let mut scope = Scope::new(file, *kind, machine, places);
        whole(&mut scope);
        // Searches over edges that lead nowhere would only repeat what is already reported.
        if targets(&mut scope) {
            one_fallback(&mut scope);
            reachable(&mut scope);
            bounded(&mut scope);
            ends::proved(&mut scope);
            ends::in_order(&mut scope);
        }
        problems.extend(scope.problems);
    }
    problems.extend(companions(file, workflow, places));
    problems
}

/// Every state's action fits the kind of run, and says what follows each of its outcomes, no more.
fn whole(scope: &mut Scope<'_>) {
    let (kind, machine) = (scope.kind, scope.machine);
    for (name, state) in &machine.states {
        let word = actions::name(&state.action);
        if !actions::fits(&state.action, kind) {
            scope.report(
                scope.line(name),
                format!("a {} cannot do `{word}`", kind.as_str()),
                "move the state to the machine whose runs have what it needs",
            );
        }
        let owed = outcomes(state);
        for outcome in owed.iter().filter(|key| !state.on.contains_key(key)) {
            scope.report(
                scope.line(name),
                format!(
                    "state `{name}` does not say what follows `{}`",
                    outcome.as_str()
                ),
                format!(
                    "add `on.{}`, or name the class under `failures`",
                    outcome.as_str()
                ),
            );
        }
        for outcome in state.on.keys().filter(|key| !owed.contains(key)) {
            scope.report(
                scope.places.of_edge(kind, name, *outcome),
                format!("`{}` never comes of `{word}`", outcome.as_str()),
                "remove it",
            );
        }
    }
}

/// All outcomes that a state must handle.
pub fn outcomes(state: &State) -> BTreeSet<OutcomeKey> {
    let own = state.action.outcomes().iter().copied();
    let failures = FailureClass::ALL.into_iter().map(OutcomeKey::Failed);
    own.chain(failures.filter(|_| state.action.can_fail()))
        .collect()
}

/// Names of states that mean none, in a file that cannot be read whole: whoever corrects it is told
/// these at once, too. All other proofs would blame what could not be read.
pub fn names(file: &str, workflow: &Workflow, places: &Places) -> Problems {
    let mut problems = Problems::default();
    for (kind, machine) in &workflow.machines {
        let mut scope = Scope::new(file, *kind, machine, places);
        targets(&mut scope);
        problems.extend(scope.problems);
    }
    problems
}

/// Every name of a state means a state.
fn targets(scope: &mut Scope<'_>) -> bool {
    let (kind, machine, places) = (scope.kind, scope.machine, scope.places);
    let known =
        |name: &StateName| machine.states.contains_key(name) || places.has_state(kind, name);
    let names: Vec<_> = machine.states.keys().map(StateName::as_str).collect();
    let remedy = format!("use one of: {}", names.join(", "));
    let start = (places.of_start(kind), &machine.start);
    let edges = scope.edges.iter();
    let edges = edges.map(|edge| (scope.edge_line(edge), edge.to));
    let named = std::iter::once(start).chain(edges);
    let mut wrong = Vec::new();
    for one in named.chain(places.mentions(kind)) {
        if !known(one.1) && !wrong.contains(&one) {
            wrong.push(one);
        }
    }
    for (line, name) in &wrong {
        scope.report(*line, format!("there is no state `{name}`"), &remedy);
    }
    wrong.is_empty()
}

/// A run that the machine cannot go on with must have one place to go to.
fn one_fallback(scope: &mut Scope<'_>) {
    let kind = scope.kind;
    let names: Vec<_> = fallbacks(scope.machine).collect();
    match names.as_slice() {
        [] => scope.report(
            scope.places.of_machine(kind),
            format!("the {} machine has no fallback", kind.as_str()),
            "add a state with `do = \"fallback\"`: what cannot be proved goes to a person",
        ),
        [only] => claims_are_checked(scope, only),
        [first, others @ ..] => {
            for name in others {
                scope.report(
                    scope.line(name),
                    format!("`{name}` is a second fallback beside `{first}`"),
                    "keep one: a run has one task, so it has one place to wait for a person",
                );
            }
        }
    }
}

fn fallbacks(machine: &Machine) -> impl Iterator<Item = &StateName> {
    machine
        .states
        .iter()
        .filter(|(_, state)| matches!(state.action, Action::Fallback(_)))
        .map(|(name, _)| name)
}

/// A close is a claim: where the target can be read, the state that reads it is named.
fn claims_are_checked(scope: &mut Scope<'_>, name: &StateName) {
    let Some(Action::Fallback(fallback)) = scope.machine.states.get(name).map(|s| &s.action) else {
        return;
    };
    let line = scope.line(name);
    let action = |target: &StateName| scope.machine.states.get(target).map(|s| &s.action);
    let what = ends::checks(scope.kind);
    let check_fits = match fallback.check.as_ref().and_then(action) {
        Some(found) => ends::can_check(scope.kind, found),
        None => what.is_empty(),
    };
    let resume_fits = fallback
        .resume
        .as_ref()
        .and_then(action)
        .is_none_or(Action::can_fail);
    if !check_fits {
        scope.report(
            line,
            format!("`{name}` does not check what a person claims"),
            if what.is_empty() {
                "remove `check`: there is no target to read".to_owned()
            } else {
                format!("let `check` name a state that does {what}")
            },
        );
    }
    if !resume_fits {
        scope.report(
            line,
            format!("`{name}` takes up again at a state that asks no target"),
            "let `resume` name a state that reads or writes the target",
        );
    }
}

/// Every state can be come to. The engine can put any run into its fallback, so that is a root.
fn reachable(scope: &mut Scope<'_>) {
    let machine = scope.machine;
    let roots = fallbacks(machine).chain([&machine.start]);
    let reached = edges::reach(&scope.edges, roots, |_| true);
    for name in machine.states.keys() {
        if !reached.contains(name) {
            scope.report(
                scope.line(name),
                format!("nothing leads to state `{name}`"),
                "lead an outcome there, or remove it",
            );
        }
    }
}

/// For each state, the states that follow it along forward edges, itself included.
fn aheads<'m>(scope: &Scope<'m>) -> BTreeMap<&'m StateName, BTreeSet<&'m StateName>> {
    let names = scope.machine.states.keys();
    names
        .map(|name| (name, edges::reach(&scope.edges, [name], Edge::forward)))
        .collect()
}

/// Forward edges form no cycle, and a further attempt begins at the state itself or at one that led
/// to it.
fn bounded(scope: &mut Scope<'_>) {
    let aheads = aheads(scope);
    let mut reported = BTreeSet::new();
    for edge in scope.edges.clone() {
        let leads_back = aheads.get(edge.to).is_some_and(|a| a.contains(edge.from));
        let line = scope.edge_line(&edge);
        let (message, remedy) = match edge.way {
            Way::Go | Way::Lasting if leads_back => (
                format!(
                    "`{}` leads to `{}`, which leads back: nothing bounds this",
                    edge.from, edge.to
                ),
                "go back only with `retry` or `rotate`, which count, or through the fallback",
            ),
            Way::Again(_) if !leads_back => (
                format!(
                    "`{}` cannot be tried again from `{}`, which never leads to it",
                    edge.from, edge.to
                ),
                "let `from` name the state itself or an earlier one",
            ),
            Way::Go | Way::Lasting | Way::Again(_) | Way::Resume | Way::Check => continue,
        };
        if reported.insert((line, edge.to)) {
            scope.report(line, message, remedy);
        }
    }
}

/// A case needs the machines of the runs that it begins.
fn companions(file: &str, workflow: &Workflow, places: &Places) -> Problems {
    let mut problems = Problems::default();
    let mut report = |line, message: String, remedy: String| {
        problems.0.push(Problem {
            file: file.to_owned(),
            line,
            message,
            remedy,
        });
    };
    let has = |kind| workflow.machines.contains_key(&kind);
    let does = |kind: RunKind, action: &Action| {
        workflow
            .machines
            .get(&kind)
            .is_some_and(|m| m.states.values().any(|state| &state.action == action))
    };
    let needs = [
        (RunKind::Case, Action::Discover, RunKind::Discovery),
        (RunKind::Discovery, Action::RemoveAccounts, RunKind::Removal),
    ];
    for (kind, action, child) in needs {
        if does(kind, &action) && !has(child) {
            report(
                places.of_machine(kind),
                format!(
                    "`{}` begins a {}, for which there is no machine",
                    actions::name(&action),
                    child.as_str()
                ),
                format!("add `[{}]`", child.as_str()),
            );
        }
    }
    if !workflow.opens_on.is_empty() && !has(RunKind::Case) {
        report(
            1,
            "events open a case, for which there is no machine".to_owned(),
            "add `[case]`, or remove `opens_on`".to_owned(),
        );
    }
    if workflow.opens_on.is_empty() && has(RunKind::Case) {
        report(
            places.of_machine(RunKind::Case),
            "no event opens this case".to_owned(),
            "add `opens_on` with the kinds of events".to_owned(),
        );
    }
    if !leaves::may_be_said(workflow) {
        report(
            places.of_machine(RunKind::Removal),
            "`leaves` would let a departure end with what manifests want gone".to_owned(),
            format!(
                "use it only where the file opens on `{}` alone",
                EventKind::NhiSilent.as_str()
            ),
        );
    }
    if workflow.machines.is_empty() {
        report(
            1,
            "there is no machine".to_owned(),
            "add `[case]`, `[discovery]` and `[removal]`, or `[rotation]`".to_owned(),
        );
    }
    problems
}
