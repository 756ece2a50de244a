//! What happened in a case, as a line from top to bottom: what counts first, everything below.
//!
//! Owns the choice of what counts: what was found, contained, proved, or went wrong, and what a person
//! did. What the machine only tried again is told once, with how often.

use maud::{Markup, html};

use super::super::view::StepView;
use super::super::words;
use super::parts;
use crate::domain::time::Timestamp;

/// A step that counts, and how often it was repeated.
struct Milestone<'a> {
    /// The first time.
    step: &'a StepView,
    /// The latest time; its words are told.
    last: &'a StepView,
    times: u64,
}

/// What happened.
pub(super) fn timeline(steps: &[StepView]) -> Markup {
    let milestones = milestones(steps);
    html! {
        section aria-labelledby="happened" {
            h2 id="happened" { "What happened" }
            @if steps.is_empty() {
                (parts::nothing("Nothing has happened yet."))
            } @else {
                ol class="timeline" {
                    @for (at, one) in milestones.iter().enumerate() {
                        (entry(one, at.checked_sub(1).map(|before| milestones[before].step.at)))
                    }
                }
                details {
                    summary { "Every step, " (steps.len()) " in all" }
                    ol class="timeline" {
                        @for (at, step) in steps.iter().enumerate() {
                            @let one = Milestone { step, last: step, times: 1 };
                            (entry(&one, at.checked_sub(1).map(|before| steps[before].at)))
                        }
                    }
                }
            }
        }
    }
}

/// One account, or one target before an account is known.
fn place(step: &StepView) -> (Option<&str>, Option<&str>) {
    (step.connector.as_deref(), step.login.as_deref())
}

fn milestones(steps: &[StepView]) -> Vec<Milestone<'_>> {
    let mut found: Vec<Milestone<'_>> = Vec::new();
    for step in steps {
        let touched = found
            .iter()
            .any(|one| place(one.step) == place(step) && one.step.outcome == "done");
        let counts = step.proof
            || step.failed
            || step.by_person
            || matches!(
                step.outcome.as_str(),
                "present" | "inconclusive" | "attested"
            )
            || step.outcome == "found" && step.login.is_none()
            || step.outcome == "done" && !touched;
        if !counts {
            continue;
        }
        // Round after round of the same, until something is proved.
        let here = found
            .iter_mut()
            .rev()
            .filter(|one| place(one.step) == place(step));
        let mut round = here.take_while(|one| !one.step.proof);
        let same = |one: &&mut Milestone<'_>| {
            (&one.step.state, &one.step.outcome) == (&step.state, &step.outcome)
        };
        if let Some(one) = round.find(same) {
            one.last = step;
            one.times += 1;
        } else {
            found.push(Milestone {
                step,
                last: step,
                times: 1,
            });
        }
    }
    found
}

fn entry(one: &Milestone<'_>, before: Option<Timestamp>) -> Markup {
    let (step, last) = (one.step, one.last);
    let class = match (step.proof, step.failed, step.by_person) {
        (true, _, _) => "proof",
        (false, true, _) => "failed",
        (false, false, true) => "person",
        (false, false, false) => "step",
    };
    let seconds = before.map_or(0, |before| {
        (step.at.as_second() - before.as_second()).unsigned_abs()
    });
    let day = before.is_none_or(|before| words::day(before) != words::day(step.at));
    html! {
        li class=(class) {
            span class="at" {
                time datetime=(step.at.to_string()) {
                    @if day { (words::day(step.at)) " " }
                    (words::second(step.at))
                }
                @if seconds > 1 { span class="quiet" { " +" (words::age(seconds)) } }
            }
            span class="where" {
                (step.connector.as_deref().unwrap_or("the case"))
                @if let Some(login) = &step.login { " · " (login) }
            }
            span class="did" {
                strong { (words::spaced(&step.state)) }
                @if let Some(item) = &step.item { " " (item) }
                @if step.proof { " " span class="state good" { "proof" } }
                @if step.failed { " " span class="state bad" { (words::spaced(&step.outcome)) } }
                @if step.proof || step.failed { br; (last.words) } @else { ": " (last.words) }
                @if one.times > 1 {
                    " " span class="quiet" { (one.times) " times, last " (words::second(last.at)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(second: i64, state: &str, outcome: &str) -> StepView {
        StepView {
            at: Timestamp::from_second(second).expect("in range"),
            connector: Some("crm".to_owned()),
            login: Some("ada".to_owned()),
            state: state.to_owned(),
            item: None,
            outcome: outcome.to_owned(),
            proof: outcome == "absent",
            failed: outcome == "unreachable",
            by_person: false,
            words: format!("at {second}"),
        }
    }

    #[test]
    fn h1_what_was_only_tried_again_is_told_once() {
        let steps = [
            step(1, "disable", "done"),
            step(2, "end_sessions", "done"),
            step(3, "verify", "present"),
            step(4, "with_person", "attested"),
            step(5, "verify", "present"),
            step(6, "verify", "absent"),
            step(7, "reverify", "absent"),
        ];
        let told: Vec<_> = milestones(&steps)
            .iter()
            .map(|one| (one.step.at.as_second(), one.last.at.as_second(), one.times))
            .collect();
        assert_eq!(
            told,
            [(1, 1, 1), (3, 5, 2), (4, 4, 1), (6, 6, 1), (7, 7, 1)]
        );
        let page = timeline(&steps).into_string();
        assert!(
            page.contains("at 5") && page.contains("2 times, last 00:00:05"),
            "{page}"
        );
        assert!(page.contains("Every step, 7 in all"), "{page}");
    }
}
