//! Which edge proves which end, and what must come before what.
//!
//! Owns the product's promise as it applies to workflow files: nothing ends `verified` but by a look
//! that found nothing, nothing ends `attested` but by a person, no secret counts as replaced before
//! the old one was refused. Also the order in which a secret may be replaced, so that there is
//! always one that works and never more than two.

use super::edges::{self, Edge, Way};
use super::proof::Scope;
use crate::domain::outcome::FailureClass;
use crate::domain::verdict::Verdict;
use crate::domain::workflow::{Action, End, Machine, OutcomeKey, RotationStep, RunKind};

/// True when this outcome of this action proves this end of a run of this kind.
fn proves(kind: RunKind, end: End, action: &Action, outcome: OutcomeKey) -> bool {
    match end {
        End::Attested => matches!(action, Action::Fallback(_)) && outcome == OutcomeKey::Attested,
        End::Verified => match kind {
            RunKind::Case => {
                matches!(action, Action::Discover | Action::Gather) && outcome == OutcomeKey::Done
            }
            // That the removals of what was found have ended does not say that nothing is left.
            RunKind::Discovery => {
                matches!(action, Action::FindAccounts) && outcome == OutcomeKey::Absent
            }
            RunKind::Removal => {
                matches!(action, Action::Verify { .. }) && outcome == OutcomeKey::Absent
            }
            RunKind::Rotation | RunKind::Care => false,
        },
        End::Rotated => {
            kind == RunKind::Rotation
                && matches!(action, Action::Rotate(RotationStep::ProveRejected))
                && outcome == OutcomeKey::Done
        }
        End::Rescinded | End::Halted => false,
    }
}

/// What would prove an end, in the words of workflow files; empty when a file may not write it.
fn proof_of(kind: RunKind, end: End) -> &'static str {
    match (end, kind) {
        (End::Attested, _) => "`attested` of the fallback",
        (End::Verified, RunKind::Case) => "`done` of `discover` or `gather`",
        (End::Verified, RunKind::Discovery) => "`absent` of `find_accounts`",
        (End::Verified, RunKind::Removal) => "`absent` of `verify` or `reverify`",
        (End::Rotated, RunKind::Rotation) => "`done` of `prove_rejected`",
        (End::Verified | End::Rotated | End::Rescinded | End::Halted, _) => "",
    }
}

/// The actions by which a person's claim can be checked, in words; empty for a case, which reads no
/// target.
pub fn checks(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Case | RunKind::Care => "",
        RunKind::Discovery => "`find_accounts`",
        RunKind::Removal => "`verify`",
        RunKind::Rotation => "`test_secret` or `prove_rejected`",
    }
}

/// True when this action can check a person's claim.
pub fn can_check(kind: RunKind, action: &Action) -> bool {
    match kind {
        RunKind::Case | RunKind::Care => false,
        RunKind::Discovery => matches!(action, Action::FindAccounts),
        RunKind::Removal => matches!(
            action,
            Action::Verify {
                rung: Verdict::ObservedAbsent
            }
        ),
        RunKind::Rotation => matches!(
            action,
            Action::Rotate(RotationStep::Test | RotationStep::ProveRejected)
        ),
    }
}

/// Each end is entered only along an edge that proves it, and a person's word ends a run.
pub fn proved(scope: &mut Scope<'_>) {
    let (kind, machine) = (scope.kind, scope.machine);
    for (name, state) in &machine.states {
        let Action::End(end) = state.action else {
            continue;
        };
        let proof = proof_of(kind, end);
        if proof.is_empty() {
            scope.report(
                scope.line(name),
                format!("a {} cannot end `{}`", kind.as_str(), end.as_str()),
                match end {
                    End::Rescinded | End::Halted => {
                        "remove it: the engine ends runs so when an event is called off"
                    }
                    End::Verified | End::Attested | End::Rotated => "use an end that it can prove",
                },
            );
            continue;
        }
        let entered: Vec<_> = scope
            .edges
            .iter()
            .filter(|e| e.to == name)
            .copied()
            .collect();
        for edge in entered {
            if !edge_proves(kind, machine, end, &edge) {
                scope.report(
                    scope.edge_line(&edge),
                    format!(
                        "`{}` leads to `{name}`, which says `{}`, without proof",
                        edge.from,
                        end.as_str()
                    ),
                    format!("only {proof} may lead there; lead the rest to the fallback"),
                );
            }
        }
        if &machine.start == name {
            scope.report(
                scope.places.of_start(kind),
                "the machine begins with an end".to_owned(),
                "let `start` name the first thing to do",
            );
        }
    }
    words_end_runs(scope);
}

fn edge_proves(kind: RunKind, machine: &Machine, end: End, edge: &Edge<'_>) -> bool {
    let Some(action) = machine.states.get(edge.from).map(|state| &state.action) else {
        return false;
    };
    edge.way == Way::Go
        && edge
            .outcome
            .is_some_and(|outcome| proves(kind, end, action, outcome))
}

/// What a person attests leads to the end of that name: nothing may make more of a word.
fn words_end_runs(scope: &mut Scope<'_>) {
    let machine = scope.machine;
    let words: Vec<_> = scope
        .edges
        .iter()
        .filter(|edge| edge.outcome == Some(OutcomeKey::Attested))
        .filter(|edge| {
            let target = machine.states.get(edge.to).map(|state| &state.action);
            edge.way != Way::Go || target != Some(&Action::End(End::Attested))
        })
        .copied()
        .collect();
    for edge in words {
        scope.report(
            scope.edge_line(&edge),
            format!("a person's word leads on to `{}`", edge.to),
            "lead `attested` to a state with `end = \"attested\"`",
        );
    }
}

/// What must have happened before an action, on every path from the start or after a resumption.
/// A person's claim is left out: it is checked wherever the file says.
const ORDER: [(Need, Need); 7] = [
    (Need::Reverify, Need::ObservedAbsent),
    (Need::Reverify, Need::Wait),
    (
        Need::Step(RotationStep::Create),
        Need::Step(RotationStep::Prepare),
    ),
    (
        Need::Step(RotationStep::Test),
        Need::Step(RotationStep::Create),
    ),
    (
        Need::Step(RotationStep::Promote),
        Need::Step(RotationStep::Test),
    ),
    (
        Need::Step(RotationStep::Retire),
        Need::Step(RotationStep::Promote),
    ),
    (Need::Step(RotationStep::Retire), Need::Overlap),
];

#[derive(Clone, Copy)]
enum Need {
    ObservedAbsent,
    Reverify,
    Wait,
    Overlap,
    Step(RotationStep),
}

impl Need {
    fn is(self, action: &Action) -> bool {
        match self {
            Self::ObservedAbsent => matches!(
                action,
                Action::Verify {
                    rung: Verdict::ObservedAbsent
                }
            ),
            Self::Reverify => matches!(
                action,
                Action::Verify {
                    rung: Verdict::Reverified
                }
            ),
            Self::Wait => matches!(action, Action::Wait { .. }),
            Self::Overlap => matches!(action, Action::Overlap),
            Self::Step(step) => action == &Action::Rotate(step),
        }
    }

    /// The outcome that counts as having happened.
    fn achieved(self) -> OutcomeKey {
        match self {
            Self::ObservedAbsent | Self::Reverify => OutcomeKey::Absent,
            Self::Wait | Self::Overlap | Self::Step(_) => OutcomeKey::Done,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::ObservedAbsent => "verify",
            Self::Reverify => "reverify",
            Self::Wait => "wait",
            Self::Overlap => "overlap",
            Self::Step(step) => step.as_str(),
        }
    }
}

/// No path leaves out what must come first, and a rotation does not ask for a rotation.
pub fn in_order(scope: &mut Scope<'_>) {
    let machine = scope.machine;
    let action = |edge: &Edge<'_>| machine.states.get(edge.from).map(|state| &state.action);
    for (late, early) in ORDER {
        let resumed = scope.edges.iter().filter(|edge| edge.way == Way::Resume);
        let roots = resumed.map(|edge| edge.to).chain([&machine.start]);
        let reached = edges::reach(&scope.edges, roots, |edge| {
            let passes = edge.outcome == Some(early.achieved())
                && action(edge).is_some_and(|action| early.is(action));
            edge.way != Way::Check && !passes
        });
        for (name, state) in &machine.states {
            if late.is(&state.action) && reached.contains(name) {
                scope.report(
                    scope.line(name),
                    format!(
                        "`{name}` can be come to without `{}` of `{}`",
                        early.achieved().as_str(),
                        early.word()
                    ),
                    format!(
                        "put a state with `do = \"{}\"` on every way to it",
                        early.word()
                    ),
                );
            }
        }
    }
    settled_between(scope);
    probed(scope);
    rotations_are_asked_for_rightly(scope);
}

/// Between the first absence and the one seen again lies a wait: one that came before both proves nothing.
fn settled_between(scope: &mut Scope<'_>) {
    let machine = scope.machine;
    let is = |need: Need, edge: &Edge<'_>| {
        let state = machine.states.get(edge.from);
        edge.outcome == Some(need.achieved()) && state.is_some_and(|state| need.is(&state.action))
    };
    let seen = scope.edges.iter();
    let seen = seen.filter(|edge| is(Need::ObservedAbsent, edge));
    let reached = edges::reach(&scope.edges, seen.map(|edge| edge.to), |edge| {
        edge.way != Way::Check && !is(Need::Wait, edge)
    });
    for (name, state) in &machine.states {
        if Need::Reverify.is(&state.action) && reached.contains(name) {
            scope.report(
                scope.line(name),
                format!("`{name}` can be come to from `verify` without a wait"),
                "put a state with `do = \"wait\"` on every way from `absent` of `verify` to it",
            );
        }
    }
}

/// No way into a verified end of a removal leaves out the probes, not even a person's claim. Which
/// probes there are is for the manifests; a target without any passes as `not_needed`.
fn probed(scope: &mut Scope<'_>) {
    let machine = scope.machine;
    if scope.kind != RunKind::Removal {
        return;
    }
    let outs = scope.edges.iter();
    let outs = outs.filter(|edge| matches!(edge.way, Way::Resume | Way::Check));
    let roots = outs.map(|edge| edge.to).chain([&machine.start]);
    let reached = edges::reach(&scope.edges, roots, |edge| {
        let action = machine.states.get(edge.from).map(|state| &state.action);
        let refused = matches!(
            edge.outcome,
            Some(OutcomeKey::Absent | OutcomeKey::NotNeeded)
        );
        !(refused && action == Some(&Action::Probe))
    });
    for (name, state) in &machine.states {
        if state.action == Action::End(End::Verified) && reached.contains(name) {
            scope.report(
                scope.line(name),
                format!("`{name}` can be come to without a `probe`"),
                "put a state with `do = \"probe\"` on every way to it, after `verify`; let \
                 `absent` and `not_needed` lead on",
            );
        }
    }
}

fn rotations_are_asked_for_rightly(scope: &mut Scope<'_>) {
    let asked: Vec<_> = scope
        .edges
        .iter()
        .filter(|edge| matches!(edge.way, Way::Again(attempts) if attempts.rotating))
        .copied()
        .collect();
    for edge in asked {
        if scope.kind == RunKind::Rotation {
            scope.report(
                scope.edge_line(&edge),
                "a rotation asks for a rotation".to_owned(),
                "use `retry`, or lead to the fallback",
            );
        } else if edge.outcome != Some(OutcomeKey::Failed(FailureClass::AuthFailure)) {
            scope.report(
                scope.edge_line(&edge),
                format!(
                    "`{}` of `{}` asks for a new credential",
                    edge.outcome.map_or("", OutcomeKey::as_str),
                    edge.from
                ),
                "only `auth_failure` is cured by one; use `retry`",
            );
        }
    }
}
