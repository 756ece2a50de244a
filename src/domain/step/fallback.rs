//! Into a person's hands, and back.
//!
//! Owns how a run opens its one task, what the task says, how a person's claim is sent back or
//! accepted, and how the task closes when the run ends. The machine goes on trying meanwhile.

use super::super::advice;
use super::super::correlation::nobody_knows;
use super::super::doubt::{Ruling, is_held};
use super::super::escalation::Escalation;
use super::super::id::{ContentDigest, StateName};
use super::super::instructions::Known;
use super::super::outcome::Failure;
use super::super::review;
use super::super::rotation::Trigger;
use super::super::run::{RunBody, Stage, residual_risk};
use super::super::status;
use super::super::task::{CloseClaim, Closure, FallbackTask, TaskNote, TaskState, Weight, weigh};
use super::super::time::after;
use super::super::verdict::Finding;
use super::super::workflow::{Action, End, Fallback, OutcomeKey, State};
use super::{Inconsistent, Step, claim, set_claim};

/// Why a claim is sent back where access is seen.
const LOOKED: &str = "the machine looked";
/// The code of a secret that is to end and that the target takes still.
const STILL_ACCEPTED: &str = "CB-SECRETS-16";
/// The machine never tries less often than daily.
const LONGEST_PAUSE_SECONDS: u64 = 86_400;

impl Step<'_> {
    /// Arrives at the fallback state: opens the task, or goes on holding it.
    pub(super) fn with_person(
        &mut self,
        name: &StateName,
        fallback: &Fallback,
    ) -> Result<(), Inconsistent> {
        if let (Some(check), Some(_)) = (&fallback.check, claim(&self.run().body))
            && !self.looked(check)
        {
            // It came in while the machine was trying, and is checked like any other.
            return self.check_claim(check);
        }
        let (failure, words) = self.why();
        let claimed = claim(&self.run().body).cloned();
        let mut task = match self.task.take() {
            Some(task) => task,
            None => self.new_task(failure.as_ref()),
        };
        let present =
            fallback.check.is_some() && matches!(self.finding(), Some(Finding::Present(_)));
        let seen = present || is_accepted(&self.run().body);
        let code = failure
            .as_ref()
            .map_or("CB-TASK-1", |failure| failure.code.as_str());
        self.know(&mut task, code);
        if let Some(claimed) = claimed {
            set_claim(&mut self.run_mut().body, None);
            task.bulk.clone_from(&claimed.bulk);
            let weight = weigh(&claimed, task.privileged);
            if weight == Weight::Whole && !seen {
                task.attest(&claimed, self.given.now);
                self.task = Some(task);
                self.note(name, None, OutcomeKey::Attested, None, None);
                set_claim(&mut self.run_mut().body, Some(claimed));
                return self.outcome(name, OutcomeKey::Attested, None);
            }
            self.not_enough(&mut task, claimed, weight, seen, &words);
        } else if seen && matches!(task.state, TaskState::AwaitingSecondPerson(_)) {
            self.send_back(&mut task, LOOKED, &words);
        } else if self.run().task.is_some() {
            let text = if self.run().halted {
                words.clone()
            } else {
                format!("tried again: {words}")
            };
            task.remember(self.given.now, "clawback", text);
        }
        task.class = failure.as_ref().map(|failure| failure.class);
        code.clone_into(&mut task.code);
        task.why = words;
        task.asks = self.asked();
        let tries = self.run().attempts.get(name).copied().unwrap_or(0);
        let again = after(self.given.now, pause(fallback, tries));
        let next_try = (fallback.resume.is_some() && !self.run().halted).then_some(again);
        self.note(
            name,
            None,
            OutcomeKey::Done,
            failure,
            Some(task.why.clone().into()),
        );
        let id = task.id;
        self.task = Some(task.clone());
        self.out.task = Some(task);
        let run = self.run_mut();
        run.task = Some(id);
        run.attempts.insert(name.clone(), tries + 1);
        run.stage = Stage::WithPerson {
            state: name.clone(),
            next_try,
            tries,
        };
        Ok(())
    }

    /// What a person who lets the event go, lets go.
    fn asked(&self) -> Option<ContentDigest> {
        let RunBody::Case(body) = &self.run().body else {
            return None;
        };
        let event = (
            &body.subject,
            &body.effective,
            body.urgency,
            &body.connectors,
        );
        let event = is_held(body).then(|| serde_json::to_string(&event).unwrap_or_default());
        event.map(|event| ContentDigest::of(&event))
    }

    /// A claim that does not close the task: it waits for a second person, or is sent back.
    fn not_enough(
        &self,
        task: &mut FallbackTask,
        claimed: CloseClaim,
        weight: Weight,
        seen: bool,
        words: &str,
    ) {
        match weight {
            Weight::Half if !seen => {
                task.attest(&claimed, self.given.now);
                let text = format!("it waits for a second person: {words}");
                task.remember(self.given.now, "clawback", text);
                task.state = TaskState::AwaitingSecondPerson(claimed);
            }
            Weight::Nothing if !seen => {
                let remedy = "the target could not be read: attest, or try again later";
                self.send_back(task, remedy, words);
            }
            Weight::Nothing | Weight::Half | Weight::Whole => self.send_back(task, LOOKED, words),
        }
    }

    /// What was found outweighs what was said.
    fn send_back(&self, task: &mut FallbackTask, remedy: &str, words: &str) {
        let (at, by) = (self.given.now, "clawback");
        task.remember(at, by, format!("sent back: {remedy}: {words}"));
        task.state = TaskState::SentBack {
            by: by.to_owned(),
            at,
            found: format!("{remedy}: {words}"),
        };
    }

    /// Puts on the task what is known by now: the account, its access, and the steps with both.
    fn know(&self, task: &mut FallbackTask, code: &str) {
        // What was seen later may weigh more; it never weighs less again.
        task.privileged |= self.privileged();
        let (_, account, access, as_of) = status::about(&self.run().body);
        task.account = account.or_else(|| task.account.take());
        if as_of.is_some() {
            task.access = access;
            task.access_as_of = as_of;
        }
        match (by_hand(&self.run().body), self.facts()) {
            _ if self.run().halted => self.tell_review(task),
            (Some(steps), _) => task.steps = steps,
            (None, Some(facts)) => {
                task.steps = Known::of(task, self.given.now).fill(&facts.fallback.steps);
            }
            (None, None) => {
                let advised = advice::steps(self.run(), code);
                if !advised.is_empty() {
                    task.steps = advised;
                }
            }
        }
    }

    /// What was done is known when all has stopped, and stays known.
    fn tell_review(&self, task: &mut FallbackTask) {
        let RunBody::Case(body) = &self.run().body else {
            return;
        };
        if self.done.is_some() || task.steps.is_empty() {
            task.steps = review::steps(body, self.done.as_deref());
        }
    }

    /// The task of a halted case tells why it was stopped and, once that is known, what was done.
    pub(super) fn review_is_told(&self) -> bool {
        let (failure, words) = self.why();
        let (Some(task), Some(failure)) = (&self.task, failure) else {
            return false;
        };
        let mut told = task.clone();
        self.tell_review(&mut told);
        task.code == failure.code && task.why == words && task.steps == told.steps
    }

    /// The answer to the doubt for which the case is held, once.
    pub(super) fn take_ruling(&mut self) -> Option<Ruling> {
        match &mut self.run_mut().body {
            RunBody::Case(body) => body.ruling.take(),
            RunBody::Discovery(_)
            | RunBody::Removal(_)
            | RunBody::Rotation(_)
            | RunBody::Care(_) => None,
        }
    }

    /// A held case goes its way from the beginning, or ends with nothing done.
    pub(super) fn ruled(&mut self, name: &StateName, ruling: &Ruling) -> Result<(), Inconsistent> {
        let detail = serde_json::to_value(ruling).ok();
        self.note(name, None, OutcomeKey::Done, None, detail);
        if let Some(mut task) = self.task.take() {
            let words = if ruling.release {
                "released"
            } else {
                "dropped"
            };
            let text = format!("{words}: {}", ruling.note);
            task.remember(self.given.now, &ruling.by, text);
            task.state = TaskState::Closed {
                how: Closure::Answered,
                by: ruling.by.clone(),
                at: self.given.now,
            };
            self.out.task = Some(task);
        }
        self.run_mut().task = None;
        if !ruling.release {
            // Kept: by whom it was dropped tells a departure that was called off from news that was wrong.
            if let RunBody::Case(body) = &mut self.run_mut().body {
                body.ruling = Some(ruling.clone());
            }
            self.end(End::Rescinded);
            return Ok(());
        }
        if let RunBody::Case(body) = &mut self.run_mut().body {
            body.for_person = None;
        }
        let start = self.start_state()?;
        self.enter(&start)
    }

    /// Where the run's machine begins.
    pub(super) fn start_state(&self) -> Result<StateName, Inconsistent> {
        let machine = self.given.workflow.machines.get(&self.run().kind);
        let start = machine.map(|machine| machine.start.clone());
        start.ok_or_else(|| self.broken("its workflow has no machine".to_owned()))
    }

    /// Looks whether a person's claim is true. What was seen before it was made does not count.
    pub(super) fn check_claim(&mut self, check: &StateName) -> Result<(), Inconsistent> {
        if let RunBody::Removal(body) = &mut self.run_mut().body {
            body.last_finding = None;
        }
        self.enter(check)
    }

    /// True when this step is one that a claim is checked by.
    fn looked(&self, check: &StateName) -> bool {
        self.out.journal.iter().any(|entry| {
            let state = self.state(&entry.state);
            let looks =
                |state: &State| matches!(state.action, Action::Verify { .. } | Action::Probe);
            entry.state == *check || state.is_ok_and(looks)
        })
    }

    /// Closes the run's task as the run ends.
    pub(super) fn close_task(&mut self, end: End) {
        let Some(mut task) = self.task.take() else {
            return;
        };
        if matches!(task.state, TaskState::Closed { .. }) {
            return;
        }
        let claimed = claim(&self.run().body).cloned();
        let how = match (end, &claimed) {
            // Its parts were closed on a person's word, each by its own; nobody has signed this one.
            (End::Attested, None) if self.on_word() => Closure::Superseded,
            (End::Attested, _) => Closure::Attested,
            (End::Halted | End::Rescinded, _) if self.is_case() && !task.drill => Closure::Attested,
            (End::Halted | End::Rescinded, _) => Closure::Superseded,
            (End::Verified | End::Rotated, Some(_)) => Closure::Proved,
            (End::Verified | End::Rotated, None) => Closure::ProvedByMachine,
        };
        if let Some(claimed) = &claimed {
            task.bulk.clone_from(&claimed.bulk);
        }
        match &claimed {
            Some(claimed) if how == Closure::Attested => task.attest(claimed, self.given.now),
            // What somebody signed was not needed in the end: what counts is the proof.
            Some(_) | None => task.attestations.clear(),
        }
        let by = claimed.map_or_else(|| "clawback".to_owned(), |claimed| claimed.by);
        let text = match how {
            Closure::Proved | Closure::ProvedByMachine => "absence is proved",
            Closure::Attested => "closed on a person's word",
            Closure::Superseded if task.drill => "the drill is done with it",
            Closure::Answered => "a person answered",
            Closure::Superseded if end == End::Attested => {
                "all parts of the case have ended, some on a person's word"
            }
            Closure::Superseded => "the case was halted; its review task goes on",
        };
        task.remember(self.given.now, "clawback", text.to_owned());
        task.state = TaskState::Closed {
            how,
            by,
            at: self.given.now,
        };
        self.task = Some(task.clone());
        self.out.task = Some(task);
    }

    fn is_case(&self) -> bool {
        matches!(self.run().body, RunBody::Case(_))
    }

    fn finding(&self) -> Option<&Finding> {
        match &self.run().body {
            RunBody::Removal(body) => body.last_finding.as_ref(),
            RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
                None
            }
        }
    }

    /// Why a person is needed: the failure, if one is to blame, and words.
    fn why(&self) -> (Option<Failure>, String) {
        if let (true, RunBody::Case(body)) = (self.run().halted, &self.run().body) {
            let failure = review::why(body);
            return (Some(failure.clone()), failure.message);
        }
        let failure = match &self.run().body {
            RunBody::Case(body) => body.for_person.clone(),
            RunBody::Discovery(body) => body.last_failure.clone(),
            RunBody::Removal(body) => body.last_failure.clone(),
            RunBody::Rotation(body) => body.last_failure.clone(),
            RunBody::Care(_) => None,
        };
        let found = self.finding().map(|finding| match finding {
            Finding::Present(left) => format!("still there: {}", left.join(", ")),
            Finding::Inconclusive(gap) => format!("the last look proves nothing: {gap}"),
            Finding::Absent => "the last look showed nothing".to_owned(),
        });
        let failed = failure
            .as_ref()
            .map(|failure| format!("{}: {}", failure.class, failure.message));
        let returned = match &self.run().body {
            RunBody::Removal(body) => body.returned.last(),
            RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
                None
            }
        };
        let returned = returned.map(|returned| format!("it came back: {returned}"));
        let risk = residual_risk(self.run());
        let words: Vec<_> = [failed, found, returned, risk]
            .into_iter()
            .flatten()
            .collect();
        if words.is_empty() && self.is_case() {
            let failure = nobody_knows();
            return (Some(failure.clone()), failure.message);
        }
        (failure, words.join("; "))
    }

    /// True where two people have to stand for what one of them says.
    fn privileged(&self) -> bool {
        let target = self.facts().is_some_and(|facts| facts.privileged);
        target
            || match &self.run().body {
                RunBody::Case(body) => body.subject.privileged,
                RunBody::Discovery(body) => body.leaving.privileged || body.subject.privileged,
                RunBody::Removal(body) => body.leaving.privileged || body.account.privileged,
                RunBody::Rotation(_) | RunBody::Care(_) => true,
            }
    }

    fn new_task(&self, failure: Option<&Failure>) -> FallbackTask {
        let run = self.run();
        let facts = self.facts();
        let (subject, account, access, access_as_of) = status::about(&run.body);
        let people = &self.given.estate.people;
        FallbackTask {
            id: run.id.task(),
            run: run.id,
            kind: run.kind,
            case: run.case,
            connector: run.connector.clone(),
            subject,
            account,
            privileged: self.privileged(),
            drill: run.drill().is_some(),
            priority: run.priority,
            access,
            access_as_of,
            class: failure.map(|failure| failure.class),
            code: String::new(),
            asks: None,
            why: String::new(),
            steps: by_hand(&run.body).unwrap_or_else(|| {
                facts.map_or_else(Vec::new, |facts| facts.fallback.steps.clone())
            }),
            desk: facts.map_or_else(
                || "built-in".to_owned(),
                |facts| facts.fallback.desk.clone(),
            ),
            opened: self.given.now,
            deadline: people.deadline(
                facts.map(|facts| &facts.fallback),
                run.priority,
                self.given.now,
            ),
            state: TaskState::Open,
            escalation: Escalation::default(),
            attestations: Vec::new(),
            bulk: None,
            history: vec![TaskNote {
                at: self.given.now,
                by: "clawback".to_owned(),
                text: "opened".to_owned(),
            }],
        }
    }
}

/// The last look at a secret that is to end showed that the target takes it still.
fn is_accepted(body: &RunBody) -> bool {
    let RunBody::Rotation(body) = body else {
        return false;
    };
    let failure = body.last_failure.as_ref();
    failure.is_some_and(|failure| failure.code == STILL_ACCEPTED)
}

/// What to do about a secret of Clawback's own; `None` for all else. The steps of a manifest are about
/// accounts.
fn by_hand(body: &RunBody) -> Option<Vec<String>> {
    let RunBody::Rotation(body) = body else {
        return None;
    };
    let (connector, role) = (&body.connector, body.role.as_str());
    if let Trigger::Retired { .. } = &body.trigger {
        return Some(vec![
            format!("Take the access of {connector}'s {role} away at the target: its key, token, client or account"),
            "Close this task: the machine tries the secret, and believes it when the target refuses it".to_owned(),
            "Where the machine cannot try it (the vault holds no value any more), attest what you did and saw"
                .to_owned(),
        ]);
    }
    Some(vec![
        format!("Make a new secret for {connector}'s {role} at the target; the old one goes on working meanwhile, where the target lets it"),
        format!("Put it in with `clawback secrets set {connector} --role {role}`, with `--remote-ref` and its id where the target lists secrets by ids, and with `--expires` where the target ends it by itself"),
        "Take the old one away at the target".to_owned(),
        "Close this task, or leave it: the machine tries both, and believes it when the target takes the new one and refuses the old one".to_owned(),
    ])
}

/// Seconds until the machine tries again by itself.
fn pause(fallback: &Fallback, tries: u32) -> u64 {
    let doubled = fallback
        .keep_trying_seconds
        .saturating_mul(1 << tries.min(20));
    doubled.min(LONGEST_PAUSE_SECONDS)
}
