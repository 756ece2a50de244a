//! The ways between the states of one machine, flat, for proofs and pictures.
//!
//! Owns the one reading of `Next` and `Fallback` as edges, and plain searches over them. Forward
//! edges are those that a run follows once; an edge back is bounded by its retry policy, and a
//! fallback's ways out by a timer or a person.

use std::collections::BTreeSet;

use crate::domain::id::StateName;
use crate::domain::retry::RetryPolicy;
use crate::domain::workflow::{Action, Machine, Next, OutcomeKey};

/// Why a run goes along an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The outcome leads there.
    Go,
    /// The outcome leads there once its further attempts are used up.
    Lasting,
    /// A further attempt.
    Again(Attempts),
    /// The machine takes up again by itself what a person has.
    Resume,
    /// The machine checks a person's claim.
    Check,
}

/// How often an edge back can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempts {
    /// At most so often.
    pub count: u32,
    /// The connector's credential is replaced meanwhile.
    pub rotating: bool,
}

/// One edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge<'m> {
    /// Where it begins.
    pub from: &'m StateName,
    /// What leads along it; `None` for the ways out of a fallback that no outcome opens.
    pub outcome: Option<OutcomeKey>,
    /// Why.
    pub way: Way,
    /// Where it leads.
    pub to: &'m StateName,
}

impl Edge<'_> {
    /// True for edges that nothing bounds by count: they must form no cycle.
    pub fn forward(&self) -> bool {
        matches!(self.way, Way::Go | Way::Lasting)
    }
}

/// Every edge of a machine, in the order of its states.
pub fn all(machine: &Machine) -> Vec<Edge<'_>> {
    let mut edges = Vec::new();
    for (from, state) in &machine.states {
        let mut add = |outcome, way, to| {
            edges.push(Edge {
                from,
                outcome,
                way,
                to,
            });
        };
        for (outcome, next) in &state.on {
            let (policy, rotating, again, then) = match next {
                Next::Go(to) => {
                    add(Some(*outcome), Way::Go, to);
                    continue;
                }
                Next::Retry { policy, from, then } => (policy, false, from, then),
                Next::Rotate { policy, from, then } => (policy, true, from, then),
            };
            let RetryPolicy { attempts, .. } = *policy;
            let attempts = Attempts {
                count: attempts,
                rotating,
            };
            add(Some(*outcome), Way::Again(attempts), again);
            add(Some(*outcome), Way::Lasting, then);
        }
        if let Action::Fallback(fallback) = &state.action {
            if let Some(to) = &fallback.resume {
                add(None, Way::Resume, to);
            }
            if let Some(to) = &fallback.check {
                add(None, Way::Check, to);
            }
        }
    }
    edges
}

/// The states that can be reached from `roots` along the edges that `open` lets through, the roots
/// included.
pub fn reach<'m>(
    edges: &[Edge<'m>],
    roots: impl IntoIterator<Item = &'m StateName>,
    open: impl Fn(&Edge<'m>) -> bool,
) -> BTreeSet<&'m StateName> {
    let mut waiting: Vec<_> = roots.into_iter().collect();
    let mut reached = BTreeSet::new();
    while let Some(state) = waiting.pop() {
        if reached.insert(state) {
            let next = edges.iter().filter(|edge| edge.from == state && open(edge));
            waiting.extend(next.map(|edge| edge.to));
        }
    }
    reached
}
