//! Workflows as pictures.
//!
//! Owns the text for Mermaid and for Graphviz (DOT). One picture shows all machines of a workflow;
//! outcomes that lead the same way share one arrow, so that the road stays visible. Edges back are
//! dashed, ways to a person are marked. Draws nothing itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::actions;
use super::edges::{self, Way};
use crate::domain::id::StateName;
use crate::domain::workflow::{Action, Machine, OutcomeKey, State, Workflow};

/// More failure classes than this on one arrow are only counted.
const NAMED_FAILURES: usize = 3;

/// A Mermaid flowchart.
pub fn mermaid(workflow: &Workflow) -> String {
    let mut text = format!(
        "---\ntitle: {} version {}\n---\nflowchart TD\n",
        workflow.name, workflow.version
    );
    for (kind, machine) in &workflow.machines {
        let kind = kind.as_str();
        push(&mut text, &format!("  subgraph {kind}\n"));
        for (name, state) in &machine.states {
            let (open, close) = match state.action {
                Action::End(_) => ("([", "])"),
                Action::Fallback(_) => ("[/", "/]"),
                Action::Wait { .. } | Action::AwaitEffective | Action::Overlap => ("{{", "}}"),
                _ => ("[", "]"),
            };
            let label = label(name, state);
            push(
                &mut text,
                &format!("    {kind}_{name}{open}\"{label}\"{close}\n"),
            );
        }
        push(
            &mut text,
            &format!("    {kind}_begin(( )) --> {kind}_{}\n", machine.start),
        );
        for arrow in arrows(machine) {
            let line = if arrow.dashed { "-.->" } else { "-->" };
            push(
                &mut text,
                &format!(
                    "    {kind}_{} {line}|\"{}\"| {kind}_{}\n",
                    arrow.from, arrow.label, arrow.to
                ),
            );
        }
        push(&mut text, "  end\n");
    }
    text
}

/// A Graphviz digraph.
pub fn dot(workflow: &Workflow) -> String {
    let mut text = format!(
        "digraph \"{} version {}\" {{\n  rankdir=TB; node [fontname=\"sans-serif\" shape=box]; edge [fontname=\"sans-serif\" fontsize=10];\n",
        workflow.name, workflow.version
    );
    for (kind, machine) in &workflow.machines {
        let kind = kind.as_str();
        push(
            &mut text,
            &format!("  subgraph cluster_{kind} {{\n    label=\"{kind}\";\n"),
        );
        for (name, state) in &machine.states {
            let shape = match state.action {
                Action::End(_) => "oval",
                Action::Fallback(_) => "parallelogram",
                Action::Wait { .. } | Action::AwaitEffective | Action::Overlap => "hexagon",
                _ => "box",
            };
            let label = label(name, state).replace("<br/>", "\\n");
            push(
                &mut text,
                &format!("    \"{kind}/{name}\" [label=\"{label}\" shape={shape}];\n"),
            );
        }
        push(
            &mut text,
            &format!(
                "    \"{kind}\" [shape=point]; \"{kind}\" -> \"{kind}/{}\";\n",
                machine.start
            ),
        );
        for arrow in arrows(machine) {
            let style = if arrow.dashed { "dashed" } else { "solid" };
            push(
                &mut text,
                &format!(
                    "    \"{kind}/{}\" -> \"{kind}/{}\" [label=\"{}\" style={style}];\n",
                    arrow.from,
                    arrow.to,
                    arrow.label.replace("<br/>", "\\n")
                ),
            );
        }
        push(&mut text, "  }\n");
    }
    push(&mut text, "}\n");
    text
}

fn push(text: &mut String, part: &str) {
    text.push_str(part);
}

fn label(name: &StateName, state: &State) -> String {
    let mut label = name.to_string();
    let word = actions::name(&state.action);
    if word != name.as_str() {
        // Writing to a String cannot fail.
        let _ = write!(label, "<br/>{word}");
    }
    if let Action::Wait { seconds } = state.action {
        let _ = write!(label, "<br/>{seconds} s");
    }
    label
}

struct Arrow<'m> {
    from: &'m StateName,
    to: &'m StateName,
    dashed: bool,
    label: String,
}

/// All edges of a machine, those with the same ends and the same meaning as one.
fn arrows(machine: &Machine) -> Vec<Arrow<'_>> {
    let mut groups: BTreeMap<(&StateName, &StateName, Way), Vec<Option<OutcomeKey>>> =
        BTreeMap::new();
    for edge in edges::all(machine) {
        groups
            .entry((edge.from, edge.to, edge.way))
            .or_default()
            .push(edge.outcome);
    }
    groups
        .into_iter()
        .map(|((from, to, way), outcomes)| Arrow {
            from,
            to,
            dashed: !matches!(way, Way::Go | Way::Lasting),
            label: arrow_label(way, &outcomes),
        })
        .collect()
}

fn arrow_label(way: Way, outcomes: &[Option<OutcomeKey>]) -> String {
    let (failed, plain): (Vec<OutcomeKey>, Vec<OutcomeKey>) = outcomes
        .iter()
        .flatten()
        .partition(|outcome| matches!(outcome, OutcomeKey::Failed(_)));
    let mut names: Vec<String> = plain.iter().map(|o| o.as_str().to_owned()).collect();
    if failed.len() > NAMED_FAILURES {
        names.push(format!("{} failure classes", failed.len()));
    } else {
        names.extend(failed.iter().map(|o| o.as_str().to_owned()));
    }
    let names = names.join(", ");
    match way {
        Way::Go => names,
        Way::Lasting => format!("{names}:<br/>lasting"),
        Way::Again(attempts) if attempts.rotating => {
            format!(
                "{names}:<br/>new credential, up to {} times",
                attempts.count
            )
        }
        Way::Again(attempts) => format!("{names}:<br/>again, up to {} times", attempts.count),
        Way::Resume => "the machine tries again".to_owned(),
        Way::Check => "a person says done".to_owned(),
    }
}

/// Every arrow of a machine in words: state, outcomes, where they lead.
pub fn ways(machine: &Machine) -> Vec<[String; 3]> {
    let mut ways: Vec<_> = arrows(machine)
        .into_iter()
        .map(|arrow| {
            [
                arrow.from.to_string(),
                arrow.label.replace("<br/>", " "),
                arrow.to.to_string(),
            ]
        })
        .collect();
    for (name, state) in &machine.states {
        if let Action::End(end) = state.action {
            ways.push([
                name.to_string(),
                "the end".to_owned(),
                end.as_str().to_owned(),
            ]);
        }
    }
    ways
}
