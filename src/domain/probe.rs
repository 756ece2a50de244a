//! What tries to get in came to, and what they prove together.
//!
//! Owns the finding of one probe and the judgement over all of a removal's. A probe proves only by
//! a refusal that its target tells apart from every other reason for failing, and only when its
//! control was let in at the same time; what could not tell is never counted as refused. Sends
//! nothing; that is `connectors`, and when it is sent is said by `verification`.

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// What the planner must know of a declared probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeFacts {
    /// Its name in the manifest.
    pub name: String,
    /// True when a try could count against the account (a password that is not the right one): one
    /// removal then makes one, whatever it comes to.
    pub once: bool,
}

/// What one try proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeFinding {
    /// The target refused, in a way that means refused.
    Refused,
    /// It was let in.
    LetIn,
    /// Neither: the control failed, no answer came, or the answer means nothing.
    CouldNotTell,
    /// There is nothing of the leaver's to try: no key was listed, no secret is kept.
    NothingToTry,
}

impl ProbeFinding {
    /// The name in journals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::LetIn => "let_in",
            Self::CouldNotTell => "could_not_tell",
            Self::NothingToTry => "nothing_to_try",
        }
    }
}

/// One try: how, when, with what, and what came of it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// The probe's name in the manifest.
    pub probe: String,
    /// What was tried, in words: `the name ada`, `the key k-1`, `the password kept as local:…`.
    pub artefact: String,
    /// When the try was begun, with its control.
    pub at: Timestamp,
    /// How, for an auditor: `POST /login`.
    pub method: String,
    /// The control that was let in, or why it was not.
    pub control: String,
    /// What the try proves.
    pub finding: ProbeFinding,
    /// What the target answered, or why nothing can be told.
    pub words: String,
    /// True once a try was sent that must not be repeated.
    #[serde(default)]
    pub spent: bool,
}

/// What all tries prove together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// At least one was refused, and none was let in or could not tell.
    Refused,
    /// These were let in, in words for a person.
    LetIn(Vec<String>),
    /// These could not tell, in words for a person; true when no further try is allowed.
    CouldNotTell(Vec<String>, bool),
    /// There was nothing to try.
    Nothing,
}

/// Judges the latest try of each probe and artefact.
pub fn tried(tries: &[Probed]) -> Tried {
    let words = |finding: ProbeFinding| -> Vec<String> {
        let of = tries.iter().filter(|one| one.finding == finding);
        of.map(Probed::told).collect()
    };
    let let_in = words(ProbeFinding::LetIn);
    if !let_in.is_empty() {
        return Tried::LetIn(let_in);
    }
    let untold = words(ProbeFinding::CouldNotTell);
    if !untold.is_empty() {
        let mut open = tries.iter();
        let more = open.any(|one| one.finding == ProbeFinding::CouldNotTell && !one.spent);
        return Tried::CouldNotTell(untold, !more);
    }
    let refused = |one: &Probed| one.finding == ProbeFinding::Refused;
    if tries.iter().any(refused) {
        Tried::Refused
    } else {
        Tried::Nothing
    }
}

/// Puts new tries in place of older ones of the same probe.
pub fn renew(tries: &mut Vec<Probed>, new: Vec<Probed>) {
    tries.retain(|old| new.iter().all(|one| one.probe != old.probe));
    tries.extend(new);
}

impl Probed {
    /// One line for a person.
    pub fn told(&self) -> String {
        let did = match self.finding {
            ProbeFinding::Refused => "refused",
            ProbeFinding::LetIn => "let in",
            ProbeFinding::CouldNotTell => "could not tell about",
            ProbeFinding::NothingToTry => "had nothing to try for",
        };
        format!(
            "probe {} {did} {}: {}",
            self.probe, self.artefact, self.words
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(probe: &str, finding: ProbeFinding, spent: bool) -> Probed {
        Probed {
            probe: probe.to_owned(),
            artefact: "the name ada".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            method: "GET /".to_owned(),
            control: "let in".to_owned(),
            finding,
            words: "401".to_owned(),
            spent,
        }
    }

    #[test]
    fn e2_what_could_not_tell_is_never_counted_as_refused() {
        use ProbeFinding::{CouldNotTell, LetIn, NothingToTry, Refused};
        let judged = |findings: &[ProbeFinding]| {
            let tries: Vec<_> = findings.iter().map(|f| one("p", *f, false)).collect();
            tried(&tries)
        };
        assert_eq!(judged(&[Refused, NothingToTry]), Tried::Refused);
        assert!(matches!(
            judged(&[Refused, CouldNotTell]),
            Tried::CouldNotTell(_, false)
        ));
        assert!(matches!(
            judged(&[Refused, CouldNotTell, LetIn]),
            Tried::LetIn(_)
        ));
        assert_eq!(judged(&[NothingToTry]), Tried::Nothing);
        assert_eq!(judged(&[]), Tried::Nothing);
    }

    #[test]
    fn e2_a_try_that_was_spent_is_not_waited_for() {
        let spent = one("p", ProbeFinding::CouldNotTell, true);
        let other = one("q", ProbeFinding::CouldNotTell, false);
        assert!(matches!(
            tried(std::slice::from_ref(&spent)),
            Tried::CouldNotTell(_, true)
        ));
        assert!(matches!(
            tried(&[spent, other]),
            Tried::CouldNotTell(_, false)
        ));
    }

    #[test]
    fn a_new_try_takes_the_place_of_the_older_one_of_its_probe() {
        let mut tries = vec![
            one("p", ProbeFinding::LetIn, false),
            one("q", ProbeFinding::Refused, false),
        ];
        renew(&mut tries, vec![one("p", ProbeFinding::Refused, false)]);
        assert_eq!(tried(&tries), Tried::Refused);
        assert_eq!(tries.len(), 2);
    }
}
