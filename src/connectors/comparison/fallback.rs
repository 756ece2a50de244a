//! What changes for the people who do what the machine cannot, or may not do without them.
//!
//! Owns the comparison of two fallbacks: sooner is narrower, and who answers and what they are to do
//! is part of what was approved; and of what is protected, where more is narrower. Nothing else.

use std::collections::BTreeSet;

use super::{ANSWERS, Effect, Found, Less, Manifest, UNTOLD};
use crate::domain::estate::Instructions;
use crate::domain::id::EntitlementId;

pub(super) fn compare(
    was: &Manifest,
    (fallback, break_glass, administrators): (
        &Instructions,
        &BTreeSet<String>,
        &BTreeSet<EntitlementId>,
    ),
    found: &mut Found,
) {
    compare_fallback(&was.fallback, fallback, found);
    compare_protected(was, (break_glass, administrators), found);
}

fn compare_protected(
    was: &Manifest,
    (break_glass, administrators): (&BTreeSet<String>, &BTreeSet<EntitlementId>),
    found: &mut Found,
) {
    let more = (
        Effect::Narrowing,
        "it is no longer touched without approval",
    );
    let fewer = (Effect::Widening, "it could be touched without approval");
    let (one, other) = (was.break_glass.iter(), break_glass.iter());
    let (one, other) = (one.map(String::as_str), other.map(String::as_str));
    found.members("break_glass", one, other, more, fewer);
    let (one, other) = (was.administrators.iter(), administrators.iter());
    let (one, other) = (
        one.map(EntitlementId::as_str),
        other.map(EntitlementId::as_str),
    );
    found.members("administrators", one, other, more, fewer);
}

fn compare_fallback(was: &Instructions, becomes: &Instructions, found: &mut Found) {
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
