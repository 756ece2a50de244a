//! What a change of the ways in permits: whose accounts are found, and what is tried.
//!
//! Owns the comparison of correlation rules and of probes. Every change of either widens: other
//! accounts could be touched, other places could get requests, less could be tried before a removal
//! counts as proved.

use super::super::probe::Probe;
use super::{Effect, Found};
use crate::domain::correlation::Rule;

pub(super) fn correlation(was: &Rule, becomes: &Rule, found: &mut Found) {
    let told = |rule: &Rule| {
        let Rule { pairs } = rule;
        let pairs = pairs.iter().map(|pair| {
            let decides = if pair.decides { "decides" } else { "points" };
            let mut told = format!("{} = {} {decides}", pair.identifier, pair.attribute);
            if !pair.also.is_empty() {
                told = format!("{told}, also {}", pair.also.join(", "));
            }
            if pair.decides && !pair.contradicts {
                told.push_str(", never contradicts");
            }
            told
        });
        pairs.collect::<Vec<_>>().join("; ")
    };
    let whose = (
        Effect::Widening,
        "other accounts could be taken for a subject's",
    );
    found.value("correlation", (was, becomes), told, whose);
}

pub(super) fn probes(was: &[Probe], becomes: &[Probe], found: &mut Found) {
    let told = |probes: &&[Probe]| {
        let lines = probes
            .iter()
            .map(|one| format!("{}: {}", one.name, one.method()));
        lines.collect::<Vec<_>>().join("; ")
    };
    let whose = (
        Effect::Widening,
        "other requests could be sent, or fewer ways in tried",
    );
    found.value("probe", (&was, &becomes), told, whose);
}
