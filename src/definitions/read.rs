//! From the text of a workflow file to machines of states, with the line of everything.
//!
//! Owns the file's form: which keys there are, how defaults for failures spread over the states of
//! a machine. What it returns is shaped like a workflow but not proved; that is `proof`.
//! Keys that nobody knows are problems, never ignored.

use std::collections::BTreeMap;

use super::actions;
use super::leaves;
use super::places::Places;
use super::rehearsal::{self, Rehearsal};
use super::rules::{A_DAY, Form, Rule, required_integer, rule};
use crate::document::{Item, Table};
use crate::domain::event::EventKind;
use crate::domain::id::{DefinitionDigest, StateName, WorkflowName};
use crate::domain::outcome::FailureClass;
use crate::domain::workflow::{
    Action, End, Fallback, Machine, Next, OutcomeKey, RunKind, State, Workflow,
};

const A_MONTH: i64 = 31 * A_DAY;

/// What a file says, as far as it could be understood.
#[derive(Debug)]
pub struct Draft {
    /// Shaped like a workflow; its digest is still empty.
    pub workflow: Workflow,
    /// Where everything stood.
    pub places: Places,
    /// The tests that the file carries.
    pub rehearsals: Vec<Rehearsal>,
}

/// Reads a whole file. Problems are left with the document; `None` when the name is missing.
pub fn draft(root: &Table<'_>) -> Option<Draft> {
    let mut places = Places::new();
    let name = root.required_string("name");
    let version = required_integer(root, "version", 1..=i64::from(u32::MAX));
    if let Some(name) = name.as_ref().filter(|name| !is_word(&name.value)) {
        root.report(
            name.line,
            format!("`{}` is no name for a workflow", name.value),
            "use lower-case letters, digits, `_` and `-`",
        );
    }
    let opens_on = events(root, &mut places);
    let mut machines = BTreeMap::new();
    for kind in RunKind::ALL {
        if let Some(table) = root.table(kind.as_str()) {
            places.machine(kind, table.line());
            if let Some(machine) = machine(kind, &table, &mut places) {
                machines.insert(kind, machine);
            }
        }
    }
    let rehearsals = root
        .tables("test")
        .iter()
        .filter_map(rehearsal::read)
        .collect();
    root.finish();
    Some(Draft {
        workflow: Workflow {
            name: WorkflowName(name?.value),
            version: u32::try_from(version?.value).unwrap_or(u32::MAX),
            digest: DefinitionDigest(String::new()),
            opens_on,
            machines,
        },
        places,
        rehearsals,
    })
}

fn events(root: &Table<'_>, places: &mut Places) -> Vec<EventKind> {
    let mut kinds = Vec::new();
    for item in root.strings("opens_on") {
        match EventKind::from_type(&item.value) {
            Some(kind) if kinds.contains(&kind) => root.report(
                item.line,
                format!("`{}` stands here twice", item.value),
                "remove one",
            ),
            Some(kind) => {
                places.event(kind, item.line);
                kinds.push(kind);
            }
            None => root.report(
                item.line,
                format!("`{}` is no kind of event", item.value),
                format!(
                    "use one of: {}",
                    EventKind::ALL.map(EventKind::as_str).join(", ")
                ),
            ),
        }
    }
    kinds
}

fn machine(kind: RunKind, table: &Table<'_>, places: &mut Places) -> Option<Machine> {
    let start = table.required_string("start");
    let failures = Failures::read(table.table("failures").as_ref());
    let states_table = table.required_table("states");
    let expect = leaves::read(kind, table);
    table.finish();
    let states_table = states_table?;
    let mut states = BTreeMap::new();
    for key in states_table.keys() {
        let Some(state_table) = states_table.table(&key.value) else {
            continue;
        };
        if !is_word(&key.value) {
            states_table.report(
                key.line,
                format!("`{}` is no name for a state", key.value),
                "use lower-case letters, digits, `_` and `-`",
            );
        }
        let name = StateName(key.value);
        places.state(kind, &name, key.line);
        let reader = StateReader {
            kind,
            name: &name,
            table: &state_table,
            failures: &failures,
        };
        if let Some(state) = reader.read(places) {
            states.insert(name, state);
        }
    }
    let start = start?;
    places.start(kind, start.line);
    Some(Machine {
        start: StateName(start.value),
        states,
        expect,
    })
}

/// What the states of a machine do about a failure unless they say otherwise.
#[derive(Default)]
struct Failures {
    lasting: Option<Item<String>>,
    at_once: Vec<Item<FailureClass>>,
    rules: BTreeMap<FailureClass, Rule>,
}

impl Failures {
    fn read(table: Option<&Table<'_>>) -> Self {
        let Some(table) = table else {
            return Self::default();
        };
        let lasting = table.string("lasting");
        let mut at_once = Vec::new();
        for item in table.strings("at_once") {
            match FailureClass::from_name(&item.value) {
                Some(class) => at_once.push(Item {
                    value: class,
                    line: item.line,
                }),
                None => not_a_class(table, &item),
            }
        }
        let mut rules = BTreeMap::new();
        for key in table.keys() {
            if key.value == "lasting" || key.value == "at_once" {
                continue;
            }
            match FailureClass::from_name(&key.value) {
                Some(class) => {
                    if at_once.iter().any(|item| item.value == class) {
                        table.report(
                            key.line,
                            format!("`{class}` is in `at_once` too"),
                            "say it once: either no retry helps, or it is retried",
                        );
                    }
                    if let Some(rule) = rule(table, &key) {
                        rules.insert(class, rule);
                    }
                }
                None => not_a_class(table, &key),
            }
        }
        Self {
            lasting,
            at_once,
            rules,
        }
    }
}

fn not_a_class(table: &Table<'_>, item: &Item<String>) {
    table.report(
        item.line,
        format!("`{}` is no failure class", item.value),
        format!(
            "use one of: {}",
            FailureClass::ALL.map(FailureClass::as_str).join(", ")
        ),
    );
}

struct StateReader<'a, 'd> {
    kind: RunKind,
    name: &'a StateName,
    table: &'a Table<'d>,
    failures: &'a Failures,
}

impl StateReader<'_, '_> {
    fn read(&self, places: &mut Places) -> Option<State> {
        let action = self.action();
        let lasting = self
            .table
            .string("lasting")
            .map(|item| (StateName(item.value), item.line))
            .or_else(|| {
                let item = self.failures.lasting.as_ref()?;
                Some((StateName(item.value.clone()), item.line))
            });
        let written = self.written();
        self.table.finish();
        if action.is_none() {
            for rule in written.values() {
                rule.leads_to(|to| places.mention(self.kind, to, rule.line));
            }
        }
        let action = action?;
        if self.table.has("lasting") && !action.can_fail() {
            self.table.report(
                self.table.line(),
                format!(
                    "state `{}` cannot fail, and says what a lasting failure does",
                    self.name
                ),
                "remove `lasting`",
            );
        }
        let mut on = BTreeMap::new();
        for (outcome, rule) in &written {
            self.insert(places, &mut on, *outcome, rule, lasting.as_ref());
        }
        if action.can_fail() {
            for (class, rule) in &self.failures.rules {
                let outcome = OutcomeKey::Failed(*class);
                if !written.contains_key(&outcome) {
                    self.insert(places, &mut on, outcome, rule, lasting.as_ref());
                }
            }
            for class in &self.failures.at_once {
                let outcome = OutcomeKey::Failed(class.value);
                if let (false, Some((to, _))) = (written.contains_key(&outcome), &lasting) {
                    places.edge(self.kind, self.name, outcome, class.line);
                    on.insert(outcome, Next::Go(to.clone()));
                }
            }
        }
        Some(State { action, on })
    }

    fn insert(
        &self,
        places: &mut Places,
        on: &mut BTreeMap<OutcomeKey, Next>,
        outcome: OutcomeKey,
        rule: &Rule,
        lasting: Option<&(StateName, u32)>,
    ) {
        places.edge(self.kind, self.name, outcome, rule.line);
        let next = match &rule.form {
            Form::Go(to) => Next::Go(to.clone()),
            Form::Again {
                rotate,
                policy,
                from,
                then,
            } => {
                let Some(then) = then.clone().or_else(|| lasting.map(|(to, _)| to.clone())) else {
                    self.table.report(
                        rule.line,
                        format!(
                            "`{}` of state `{}` does not say what follows its last attempt",
                            outcome.as_str(),
                            self.name
                        ),
                        "add `then`, or `lasting` to the state or to `failures`",
                    );
                    return;
                };
                let (policy, from) = (*policy, from.clone().unwrap_or_else(|| self.name.clone()));
                if *rotate {
                    Next::Rotate { policy, from, then }
                } else {
                    Next::Retry { policy, from, then }
                }
            }
        };
        on.insert(outcome, next);
    }

    fn written(&self) -> BTreeMap<OutcomeKey, Rule> {
        let mut rules = BTreeMap::new();
        let Some(on) = self.table.table("on") else {
            return rules;
        };
        for key in on.keys() {
            match OutcomeKey::from_name(&key.value) {
                Some(outcome) => {
                    if let Some(rule) = rule(&on, &key) {
                        rules.insert(outcome, rule);
                    }
                }
                None => on.report(
                    key.line,
                    format!("`{}` is no outcome", key.value),
                    "use an outcome such as `done`, `absent` or `present`, or a failure class",
                ),
            }
        }
        rules
    }

    fn action(&self) -> Option<Action> {
        let (word, end) = (self.table.string("do"), self.table.string("end"));
        match (word, end) {
            (Some(word), None) => self.work(&word),
            (None, Some(end)) => {
                let known = End::from_name(&end.value);
                if known.is_none() {
                    self.table.report(
                        end.line,
                        format!("`{}` is no end", end.value),
                        "use one of: verified, attested, rotated",
                    );
                }
                known.map(Action::End)
            }
            (_, _) => {
                self.table.report(
                    self.table.line(),
                    format!("state `{}` must say `do` or `end`, and not both", self.name),
                    "give the action that it does, or the way in which the run ends",
                );
                None
            }
        }
    }

    fn work(&self, word: &Item<String>) -> Option<Action> {
        if word.value == actions::FALLBACK {
            return Some(Action::Fallback(self.fallback()));
        }
        let action = actions::from_name(&word.value);
        match action {
            Some(Action::Wait { .. }) => {
                let seconds = required_integer(self.table, "wait_seconds", 0..=A_MONTH)?;
                Some(Action::Wait {
                    seconds: seconds.value.unsigned_abs(),
                })
            }
            Some(Action::Each { operation, .. }) => Some(Action::Each {
                operation,
                side_by_side: self
                    .table
                    .boolean("side_by_side")
                    .is_none_or(|item| item.value),
            }),
            Some(action) => Some(action),
            None => {
                self.table.report(
                    word.line,
                    format!("`{}` is no action", word.value),
                    format!("use `fallback` or one of: {}", actions::NAMES.join(", ")),
                );
                None
            }
        }
    }

    fn fallback(&self) -> Fallback {
        let resume = self.table.string("resume").map(|i| StateName(i.value));
        let check = self.table.string("check").map(|i| StateName(i.value));
        let keep_trying = self.table.integer("keep_trying_seconds", 1..=A_DAY);
        if resume.is_some() != keep_trying.is_some() {
            self.table.report(
                self.table.line(),
                format!(
                    "state `{}` has one of `resume` and `keep_trying_seconds`",
                    self.name
                ),
                "give both (where the machine takes up again, and how often) or neither",
            );
        }
        Fallback {
            resume,
            keep_trying_seconds: keep_trying.map_or(0, |i| i.value.unsigned_abs()),
            check,
        }
    }
}

/// Names go into diagrams, metrics and tables unquoted.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}
