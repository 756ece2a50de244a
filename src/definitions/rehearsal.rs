//! The tests that a workflow file carries, walked through its machines at load.
//!
//! Owns the form of `[[test]]` and the walk: given what each action comes to, where does the run
//! stand afterwards. Attempts are counted by state as the engine counts them, and waiting takes no
//! time. Touches no target; it shows what the file says, not what a target does.

use std::collections::BTreeMap;

use crate::document::{Item, Problem, Problems, Table};
use crate::domain::id::StateName;
use crate::domain::workflow::{Action, Machine, Next, OutcomeKey, RunKind, Workflow};

/// One test of a file.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// What it shows, in the author's words.
    pub name: String,
    /// Which machine it walks.
    pub run: RunKind,
    line: u32,
    outcomes: Vec<Item<Happening>>,
    expected: Expected,
    passes: Vec<Item<String>>,
}

/// What happens to a run next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happening {
    /// Its action comes to this.
    Outcome(OutcomeKey),
    /// With a person: the machine tries by itself.
    Try,
    /// With a person: someone says that it is done.
    Claim,
}

#[derive(Debug, Clone)]
enum Expected {
    Ends(String),
    Reaches(String),
}

/// Reads one `[[test]]`; problems are left with the document.
pub fn read(table: &Table<'_>) -> Option<Rehearsal> {
    let name = table.required_string("name");
    let run = table.required_string("run").and_then(|item| {
        let kind = RunKind::from_name(&item.value);
        if kind.is_none() {
            table.report(
                item.line,
                format!("`{}` is no kind of run", item.value),
                format!(
                    "use one of: {}",
                    RunKind::ALL.map(RunKind::as_str).join(", ")
                ),
            );
        }
        kind
    });
    let mut outcomes = Vec::new();
    for item in table.strings("outcomes") {
        read_happening(table, &item, &mut outcomes);
    }
    let passes = table.strings("passes");
    let expected = match (table.string("ends"), table.string("reaches")) {
        (Some(end), None) => Some(Expected::Ends(end.value)),
        (None, Some(state)) => Some(Expected::Reaches(state.value)),
        (_, _) => {
            table.report(
                table.line(),
                "a test must say `ends` or `reaches`, and not both",
                "give the end of the run, or the state that it comes to",
            );
            None
        }
    };
    table.finish();
    Some(Rehearsal {
        name: name?.value,
        run: run?,
        line: table.line(),
        outcomes,
        expected: expected?,
        passes,
    })
}

fn read_happening(table: &Table<'_>, item: &Item<String>, into: &mut Vec<Item<Happening>>) {
    let (word, times) = match item.value.split_once('*') {
        Some((word, times)) => (word, times.parse::<usize>().ok()),
        None => (item.value.as_str(), Some(1)),
    };
    let happening = match word {
        "try" => Some(Happening::Try),
        "claim" => Some(Happening::Claim),
        other => OutcomeKey::from_name(other).map(Happening::Outcome),
    };
    match (happening, times) {
        (Some(happening), Some(times @ 1..=1000)) => {
            let item = Item {
                value: happening,
                line: item.line,
            };
            into.extend(std::iter::repeat_n(item, times));
        }
        (_, _) => table.report(
            item.line,
            format!("`{}` is nothing that can happen to a run", item.value),
            "use an outcome, `try` or `claim`, with `*` and a number to repeat it",
        ),
    }
}

impl Rehearsal {
    /// Where the test stands in its file.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Walks it. `Err` says at which line and why it does not come out as expected.
    pub fn walk(&self, workflow: &Workflow) -> Result<(), (u32, String)> {
        let Some(machine) = workflow.machines.get(&self.run) else {
            let message = format!("there is no {} machine", self.run.as_str());
            return Err((self.line, message));
        };
        let mut walk = Walk {
            machine,
            at: &machine.start,
            attempts: BTreeMap::new(),
            claimed: false,
            passed: vec![&machine.start],
        };
        for item in &self.outcomes {
            walk.step(item.value)
                .map_err(|message| (item.line, message))?;
        }
        self.compare(&walk)
    }

    fn compare(&self, walk: &Walk<'_>) -> Result<(), (u32, String)> {
        let action = walk.machine.states.get(walk.at).map(|state| &state.action);
        let fits = match &self.expected {
            Expected::Ends(end) => {
                matches!(action, Some(Action::End(found)) if found.as_str() == end)
            }
            Expected::Reaches(state) => walk.at.as_str() == state,
        };
        if !fits {
            return Err((self.line, format!("the run comes to `{}`", walk.at)));
        }
        let mut passed = walk.passed.iter();
        for expected in &self.passes {
            if !passed.any(|state| state.as_str() == expected.value) {
                let message = format!(
                    "the run does not pass `{}` (in this order); it went {}",
                    expected.value,
                    walk.road()
                );
                return Err((expected.line, message));
            }
        }
        Ok(())
    }
}

/// Walks all tests of a file; every machine needs one.
pub fn walk_all(file: &str, workflow: &Workflow, rehearsals: &[Rehearsal]) -> Problems {
    let mut problems = Problems::default();
    let mut report = |line, message, remedy: &str| {
        problems.0.push(Problem {
            file: file.to_owned(),
            line,
            message,
            remedy: remedy.to_owned(),
        });
    };
    for rehearsal in rehearsals {
        if let Err((line, message)) = rehearsal.walk(workflow) {
            report(
                line,
                format!("test `{}` fails: {message}", rehearsal.name),
                "correct the machine or the test",
            );
        }
    }
    for kind in workflow.machines.keys() {
        if rehearsals.iter().all(|rehearsal| rehearsal.run != *kind) {
            report(
                1,
                format!("the {} machine has no test", kind.as_str()),
                "add a `[[test]]` that shows what it is for",
            );
        }
    }
    problems
}

struct Walk<'m> {
    machine: &'m Machine,
    at: &'m StateName,
    attempts: BTreeMap<&'m StateName, u32>,
    claimed: bool,
    passed: Vec<&'m StateName>,
}

impl<'m> Walk<'m> {
    fn step(&mut self, happening: Happening) -> Result<(), String> {
        let at = self.at;
        let Some(state) = self.machine.states.get(at) else {
            return Err(format!("there is no state `{at}`"));
        };
        let fallback = match &state.action {
            Action::Fallback(fallback) => Some(fallback),
            _ => None,
        };
        let to = match happening {
            Happening::Try | Happening::Claim => {
                let way_out = fallback.and_then(|fallback| match happening {
                    Happening::Claim => fallback.check.as_ref(),
                    Happening::Try | Happening::Outcome(_) => fallback.resume.as_ref(),
                });
                // A fresh start: the counts of the series that failed are over.
                self.attempts.clear();
                self.claimed = happening == Happening::Claim;
                way_out.ok_or_else(|| format!("`{at}` has no such way out"))?
            }
            Happening::Outcome(outcome) => match state.next(outcome) {
                None => return Err(format!("`{}` never comes of `{at}`", outcome.as_str())),
                Some(Next::Go(to)) => to,
                // Who made a claim is told what was found instead of waiting for further attempts.
                Some(Next::Retry { .. } | Next::Rotate { .. }) if self.claimed => {
                    self.claimed = false;
                    self.fallback()?
                }
                Some(Next::Retry { policy, from, then } | Next::Rotate { policy, from, then }) => {
                    let made = self.attempts.entry(at).or_default();
                    if *made < policy.attempts {
                        *made += 1;
                        from
                    } else {
                        then
                    }
                }
            },
        };
        self.at = to;
        self.passed.push(to);
        Ok(())
    }

    fn fallback(&self) -> Result<&'m StateName, String> {
        let mut states = self.machine.states.iter();
        states
            .find(|(_, state)| matches!(state.action, Action::Fallback(_)))
            .map(|(name, _)| name)
            .ok_or_else(|| "there is no fallback".to_owned())
    }

    fn road(&self) -> String {
        let mut road = self.passed.clone();
        road.dedup();
        let road: Vec<_> = road.into_iter().map(StateName::as_str).collect();
        road.join(" -> ")
    }
}
