//! Where in its file each part of a workflow stood.
//!
//! Owns the lines that problems are reported with, beside the workflow, so that the proofs read the
//! same value that runs. A workflow without a file (restored from the store) has no places; its
//! problems are reported at line 1.

use std::collections::BTreeMap;

use crate::domain::event::EventKind;
use crate::domain::id::StateName;
use crate::domain::workflow::{OutcomeKey, RunKind};

/// Lines, counted from 1.
#[derive(Debug, Clone, Default)]
pub struct Places {
    events: BTreeMap<EventKind, u32>,
    machines: BTreeMap<RunKind, u32>,
    starts: BTreeMap<RunKind, u32>,
    states: BTreeMap<(RunKind, StateName), u32>,
    edges: BTreeMap<(RunKind, StateName, OutcomeKey), u32>,
    /// States that are named by what could not be read.
    mentions: Vec<(RunKind, StateName, u32)>,
}

impl Places {
    /// No places yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes where an event kind is named.
    pub fn event(&mut self, kind: EventKind, line: u32) {
        self.events.insert(kind, line);
    }

    /// Notes where a machine begins.
    pub fn machine(&mut self, kind: RunKind, line: u32) {
        self.machines.insert(kind, line);
    }

    /// Notes where a machine names its first state.
    pub fn start(&mut self, kind: RunKind, line: u32) {
        self.starts.insert(kind, line);
    }

    /// Notes where a state begins.
    pub fn state(&mut self, kind: RunKind, state: &StateName, line: u32) {
        self.states.insert((kind, state.clone()), line);
    }

    /// Notes where an edge is written; a default's edges all stand at the default.
    pub fn edge(&mut self, kind: RunKind, state: &StateName, outcome: OutcomeKey, line: u32) {
        self.edges.insert((kind, state.clone(), outcome), line);
    }

    /// Notes that a state is named where no edge came of it.
    pub fn mention(&mut self, kind: RunKind, state: &StateName, line: u32) {
        self.mentions.push((kind, state.clone(), line));
    }

    /// States of a machine that are named where no edge came of it, with their lines.
    pub fn mentions(&self, kind: RunKind) -> impl Iterator<Item = (u32, &StateName)> {
        let of = self.mentions.iter().filter(move |(of, ..)| *of == kind);
        of.map(|(_, state, line)| (*line, state))
    }

    /// Every state that the file has, readable or not.
    pub fn has_state(&self, kind: RunKind, state: &StateName) -> bool {
        self.states.contains_key(&(kind, state.clone()))
    }

    /// The line of an event kind.
    pub fn of_event(&self, kind: EventKind) -> u32 {
        self.events.get(&kind).copied().unwrap_or(1)
    }

    /// The line of a machine.
    pub fn of_machine(&self, kind: RunKind) -> u32 {
        self.machines.get(&kind).copied().unwrap_or(1)
    }

    /// The line of a machine's `start`.
    pub fn of_start(&self, kind: RunKind) -> u32 {
        let line = self.starts.get(&kind).copied();
        line.unwrap_or_else(|| self.of_machine(kind))
    }

    /// The line of a state.
    pub fn of_state(&self, kind: RunKind, state: &StateName) -> u32 {
        let line = self.states.get(&(kind, state.clone())).copied();
        line.unwrap_or_else(|| self.of_machine(kind))
    }

    /// The line of an edge, or of its state.
    pub fn of_edge(&self, kind: RunKind, state: &StateName, outcome: OutcomeKey) -> u32 {
        let line = self.edges.get(&(kind, state.clone(), outcome)).copied();
        line.unwrap_or_else(|| self.of_state(kind, state))
    }
}
