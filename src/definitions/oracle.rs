//! An independent judge of workflows, to test the proofs with.
//!
//! Owns a brute-force walk over every position of a machine together with the attempts that it has
//! left, without any of the graph reasoning of `proof`. It looks for the two things that must not
//! exist: an end that nothing proved, and a run that never comes to an end or to a person.
//! Knows nothing of files; only tests use it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::library::{self, BUILT_IN};
use super::places::Places;
use super::proof;
use crate::domain::access::Operation;
use crate::domain::id::StateName;
use crate::domain::outcome::FailureClass;
use crate::domain::verdict::Verdict;
use crate::domain::workflow::{
    Action, End, Machine, Next, OutcomeKey, RotationStep, RunKind, Workflow,
};

/// The machine with numbers for names: a position is a state and a set of states that have used up
/// their attempt, with one more bit once the probes were passed.
struct Table<'m> {
    states: Vec<(&'m StateName, &'m Action)>,
    /// For each state: where it leads fresh, where once the attempt is used up, and whether the
    /// probes are thereby passed; on which outcomes.
    ways: Vec<BTreeMap<(usize, usize, bool), Vec<OutcomeKey>>>,
}

type Position = (usize, u32);

impl<'m> Table<'m> {
    fn of(machine: &'m Machine) -> Result<Self, String> {
        let states: Vec<_> = machine.states.iter().map(|(n, s)| (n, &s.action)).collect();
        let number = |name: &StateName| {
            let found = states.iter().position(|(other, _)| *other == name);
            found.ok_or_else(|| format!("{name} leads nowhere"))
        };
        number(&machine.start)?;
        let mut ways = Vec::new();
        for (name, state) in &machine.states {
            let mut of_state: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for outcome in possible(&state.action) {
                let way = match state.on.get(&outcome) {
                    None => return Err(format!("{name}: {} leads nowhere", outcome.as_str())),
                    Some(Next::Go(to)) => (number(to)?, number(to)?),
                    Some(Next::Retry { from, then, .. } | Next::Rotate { from, then, .. }) => {
                        (number(from)?, number(then)?)
                    }
                };
                let passes = state.action == Action::Probe
                    && [OutcomeKey::Absent, OutcomeKey::NotNeeded].contains(&outcome);
                let way = (way.0, way.1, passes);
                of_state.entry(way).or_default().push(outcome);
            }
            ways.push(of_state);
        }
        Ok(Self { states, ways })
    }

    /// Everything that can happen next, with the outcomes that made it happen. Further attempts are
    /// cut to one: more of them add length and no new position.
    fn moves(&self, (state, used): Position) -> Vec<(&[OutcomeKey], Position)> {
        let spent = used & (1 << state) != 0;
        let ways = self.ways[state].iter();
        ways.map(|((fresh, then, passes), outcomes)| {
            let used = used | u32::from(*passes) << self.states.len();
            let to = match (fresh == then, spent) {
                (true, _) | (false, true) => (*then, used),
                (false, false) => (*fresh, used | 1 << state),
            };
            (outcomes.as_slice(), to)
        })
        .collect()
    }
}

fn possible(action: &Action) -> Vec<OutcomeKey> {
    let failures = FailureClass::ALL.map(OutcomeKey::Failed);
    let mut all: Vec<_> = match action {
        Action::End(_) => return Vec::new(),
        Action::Fallback(_) => vec![OutcomeKey::Attested],
        Action::Discover => vec![OutcomeKey::Done, OutcomeKey::Absent],
        Action::FindAccounts | Action::Inspect => vec![OutcomeKey::Found, OutcomeKey::Absent],
        Action::Act(_) | Action::Each { .. } | Action::CutUpstream => {
            vec![OutcomeKey::Done, OutcomeKey::Absent, OutcomeKey::NotNeeded]
        }
        Action::Verify { .. } => vec![
            OutcomeKey::Absent,
            OutcomeKey::Present,
            OutcomeKey::Inconclusive,
        ],
        Action::Probe => vec![
            OutcomeKey::Absent,
            OutcomeKey::Present,
            OutcomeKey::Inconclusive,
            OutcomeKey::NotNeeded,
        ],
        Action::AwaitEffective
        | Action::RemoveAccounts
        | Action::Wait { .. }
        | Action::Rotate(_)
        | Action::Overlap
        | Action::Gather => vec![OutcomeKey::Done],
    };
    let asks_a_target = matches!(
        action,
        Action::FindAccounts
            | Action::Inspect
            | Action::Act(_)
            | Action::Each { .. }
            | Action::Verify { .. }
            | Action::CutUpstream
            | Action::Probe
            | Action::Rotate(_)
    );
    if asks_a_target {
        all.extend(failures);
    }
    all
}

/// What is wrong with a machine; empty when it keeps the promise.
fn judge(kind: RunKind, machine: &Machine) -> Vec<String> {
    let table = match Table::of(machine) {
        Ok(table) => table,
        Err(message) => return vec![message],
    };
    let mut wrong = BTreeSet::new();
    // A run can begin at the start, be put with a person, and be taken up by timer or claim.
    let mut roots = vec![&machine.start];
    for (name, action) in &table.states {
        if let Action::Fallback(fallback) = action {
            roots.push(name);
            roots.extend(fallback.resume.iter().chain(&fallback.check));
        }
    }
    let mut seen = vec![None; table.states.len() << (table.states.len() + 1)];
    for root in roots {
        match table.states.iter().position(|(name, _)| *name == root) {
            Some(at) if matches!(table.states[at].1, Action::End(_)) => {
                wrong.insert(format!("begins at the end {root}"));
            }
            Some(at) => visit(kind, &table, (at, 0), &mut seen, &mut wrong),
            None => {
                wrong.insert(format!("{root} leads nowhere"));
            }
        }
    }
    wrong.into_iter().collect()
}

/// Depth first; meeting a position that is still being visited is a run without end.
fn visit(
    kind: RunKind,
    table: &Table<'_>,
    at: Position,
    seen: &mut [Option<bool>],
    wrong: &mut BTreeSet<String>,
) {
    let (name, action) = table.states[at.0];
    let place = at.1 as usize * table.states.len() + at.0;
    match seen[place] {
        Some(true) => return,
        Some(false) => {
            wrong.insert(format!("never ends at {name}"));
            return;
        }
        None => {}
    }
    seen[place] = Some(false);
    for (outcomes, to) in table.moves(at) {
        if let Action::End(end) = table.states[to.0].1
            && !outcomes
                .iter()
                .all(|outcome| earned(kind, *end, action, *outcome))
        {
            wrong.insert(format!("{name} ends {} unearned", end.as_str()));
        }
        let probed = to.1 & (1 << table.states.len()) != 0;
        if (kind, table.states[to.0].1) == (RunKind::Removal, &Action::End(End::Verified))
            && !probed
        {
            wrong.insert(format!("{name} ends verified unprobed"));
        }
        visit(kind, table, to, seen, wrong);
    }
    seen[place] = Some(true);
}

/// The promise once more, written down as a list of what earns an end.
fn earned(kind: RunKind, end: End, action: &Action, outcome: OutcomeKey) -> bool {
    let looked = [Verdict::ObservedAbsent, Verdict::Reverified].map(|rung| Action::Verify { rung });
    match (kind, end, outcome) {
        (_, End::Attested, OutcomeKey::Attested) => true,
        (RunKind::Case, End::Verified, OutcomeKey::Done) => {
            [Action::Discover, Action::Gather].contains(action)
        }
        (RunKind::Discovery, End::Verified, OutcomeKey::Absent) => action == &Action::FindAccounts,
        (RunKind::Removal, End::Verified, OutcomeKey::Absent) => looked.contains(action),
        (RunKind::Rotation, End::Rotated, OutcomeKey::Done) => {
            action == &Action::Rotate(RotationStep::ProveRejected)
        }
        _ => false,
    }
}

fn originals() -> Vec<Workflow> {
    static PROVED: LazyLock<Vec<Workflow>> = LazyLock::new(|| {
        BUILT_IN
            .into_iter()
            .map(|(file, text)| library::check(file, text).expect("is proved").workflow)
            .collect()
    });
    PROVED.clone()
}

fn judge_all(workflow: &Workflow) -> Vec<String> {
    let machines = workflow.machines.iter();
    machines.flat_map(|(kind, m)| judge(*kind, m)).collect()
}

/// One random change: `what` picks the kind of change, the rest picks where and to what.
fn mutate(workflow: &mut Workflow, what: u8, at: usize, with: usize, edge: usize) {
    let kinds: Vec<_> = workflow.machines.keys().copied().collect();
    let kind = kinds[at % kinds.len()];
    let machine = workflow.machines.get_mut(&kind).expect("is there");
    let names: Vec<_> = machine.states.keys().cloned().collect();
    let (name, target) = (&names[at % names.len()], names[with % names.len()].clone());
    let state = machine.states.get_mut(name).expect("is there");
    let outcomes: Vec<_> = state.on.keys().copied().collect();
    let outcome = (!outcomes.is_empty()).then(|| outcomes[edge % outcomes.len()]);
    match (what % 8, outcome) {
        (0 | 1, Some(outcome)) => {
            state.on.insert(outcome, Next::Go(target));
        }
        (2, Some(outcome)) => match state.on.get_mut(&outcome) {
            Some(Next::Retry { from, .. } | Next::Rotate { from, .. }) => *from = target,
            Some(Next::Go(to)) => *to = target,
            None => {}
        },
        (3, Some(outcome)) => match state.on.get_mut(&outcome) {
            Some(Next::Retry { then, .. } | Next::Rotate { then, .. }) => *then = target,
            Some(Next::Go(to)) => *to = target,
            None => {}
        },
        (4, Some(outcome)) => {
            state.on.remove(&outcome);
        }
        (5, _) => {
            if let Action::Fallback(fallback) = &mut state.action {
                let way = if edge.is_multiple_of(2) {
                    &mut fallback.resume
                } else {
                    &mut fallback.check
                };
                *way = Some(target);
            } else {
                machine.start = target;
            }
        }
        (6, _) => {
            if let Action::End(end) = &mut state.action {
                *end = End::ALL[with % End::ALL.len()];
            }
        }
        (_, _) => {
            let actions = [
                Action::Act(Operation::Delete),
                Action::Inspect,
                Action::CutUpstream,
                Action::FindAccounts,
                Action::Discover,
                Action::Gather,
                Action::Wait { seconds: 1 },
                Action::Probe,
                Action::End(End::Verified),
                Action::Verify {
                    rung: Verdict::ObservedAbsent,
                },
                Action::Rotate(RotationStep::ProveRejected),
            ];
            state.action = actions[with % actions.len()].clone();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p_no_changed_workflow_passes_the_proofs_with_an_end_that_nothing_proved(
        file in 0_usize..2,
        changes in prop::collection::vec((any::<u8>(), any::<usize>(), any::<usize>(), any::<usize>()), 1..4),
    ) {
        let mut workflow = originals().swap_remove(file);
        for (what, at, with, edge) in changes {
            mutate(&mut workflow, what, at, with, edge);
        }
        if proof::check("changed.toml", &workflow, &Places::new()).is_empty() {
            prop_assert_eq!(judge_all(&workflow), Vec::<String>::new());
        }
    }
}

#[test]
fn the_oracle_finds_nothing_in_what_is_built_in() {
    for workflow in originals() {
        assert_eq!(judge_all(&workflow), Vec::<String>::new());
    }
}

#[test]
fn the_oracle_finds_a_planted_lie_and_a_planted_loop() {
    let mut liar = originals().swap_remove(0);
    let removal = liar.machines.get_mut(&RunKind::Removal).expect("is there");
    let delete = removal.states.get_mut(&"delete".into()).expect("is there");
    delete
        .on
        .insert(OutcomeKey::Done, Next::Go("removed".into()));
    assert_eq!(
        judge_all(&liar),
        [
            "delete ends verified unearned",
            "delete ends verified unprobed"
        ]
    );

    let mut blind = originals().swap_remove(0);
    let removal = blind.machines.get_mut(&RunKind::Removal).expect("is there");
    let verify = removal.states.get_mut(&"verify".into()).expect("is there");
    verify
        .on
        .insert(OutcomeKey::Absent, Next::Go("settle".into()));
    assert_eq!(judge_all(&blind), ["reverify ends verified unprobed"]);
    assert!(!proof::check("blind.toml", &blind, &Places::new()).is_empty());

    let mut runner = originals().swap_remove(0);
    let removal = runner
        .machines
        .get_mut(&RunKind::Removal)
        .expect("is there");
    let delete = removal.states.get_mut(&"delete".into()).expect("is there");
    delete
        .on
        .insert(OutcomeKey::Done, Next::Go("disable".into()));
    let found = judge_all(&runner);
    assert!(
        found.iter().any(|line| line.starts_with("never ends")),
        "{found:?}"
    );
}

#[test]
fn many_changed_workflows_still_pass_so_that_the_oracle_has_something_to_judge() {
    let mut passed = 0;
    for at in 0..40 {
        for with in 0..10 {
            let mut workflow = originals().swap_remove(0);
            mutate(&mut workflow, 3, at, with, at + with);
            if proof::check("changed.toml", &workflow, &Places::new()).is_empty() {
                passed += 1;
                assert_eq!(judge_all(&workflow), Vec::<String>::new());
            }
        }
    }
    assert!(passed > 20, "{passed}");
}
