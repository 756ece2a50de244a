//! What changes for the people who do what the machine cannot.
//!
//! Owns the comparison of two fallbacks: sooner is narrower, and who answers and what they are to do
//! is part of what was approved. Judges nothing else.

use super::{ANSWERS, Effect, Found, Less, UNTOLD};
use crate::domain::estate::Instructions;

pub(super) fn compare(was: &Instructions, becomes: &Instructions, found: &mut Found) {
    let Instructions {
        desk,
        steps,
        deadline_hours,
        escalate_to,
    } = becomes;
    let untold = (Effect::Widening, UNTOLD);
    found.value("fallback.desk", (&was.desk, desk), Clone::clone, untold);
    let joined = |steps: &Vec<String>| steps.join("; ");
    found.value("fallback.steps", (&was.steps, steps), joined, untold);
    let answers = (Effect::Widening, ANSWERS);
    let desks = (&was.escalate_to, escalate_to);
    found.value("fallback.escalate_to", desks, joined, answers);
    let sooner = ("a person has to act sooner", "a person could act later");
    let hours = (was.deadline_hours, *deadline_hours);
    found.bound("fallback.deadline_hours", hours, Less::Smaller, sooner);
}
