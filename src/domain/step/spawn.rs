//! Child runs: discoveries of a case, removals of a discovery, and rotations.
//!
//! Owns how a run begins. Ids derive from the parent's, so that a repeated step cannot make a
//! second child. A child begins where its machine's start state leads without an effect.

use std::collections::{BTreeMap, BTreeSet};

use super::super::correlation::{accounts_named, same_name};
use super::super::event::Urgency;
use super::super::id::{ConnectorName, RunId, StateName};
use super::super::rotation::{RotationBody, RotationFacts, Strategy, Trigger, own_labels};
use super::super::round::in_round;
use super::super::run::{CaseBody, DiscoveryBody, Leaving, RemovalBody, Run, RunBody, Stage};
use super::super::subject::{Subject, UNIT};
use super::super::time::{Timestamp, after};
use super::super::verdict::{CredentialRole, Expectation, Verdict};
use super::super::workflow::{Action, OutcomeKey, RunKind};
use super::{Given, Inconsistent, Step};

impl Step<'_> {
    /// Spawns what the state asks for and gathers; goes on at once when there is nothing to spawn.
    pub(super) fn spawn(&mut self, name: &StateName) -> Result<(), Inconsistent> {
        let later = self.empty.take();
        let leaver = match &self.run().body {
            RunBody::Case(body) => later.is_none().then(|| body.subject.clone()),
            RunBody::Discovery(_)
            | RunBody::Removal(_)
            | RunBody::Rotation(_)
            | RunBody::Care(_) => None,
        };
        if let Some(subject) = leaver {
            self.replace_what_is_known_to(&subject);
        }
        let children = match &self.run().body {
            RunBody::Case(body) => match &later {
                Some(empty) => self.later(empty, body)?,
                None => self
                    .reach(body)
                    .into_iter()
                    .map(|connector| self.discovery(&connector, body))
                    .collect::<Result<Vec<_>, _>>()?,
            },
            RunBody::Discovery(body) => body
                .found
                .iter()
                .filter(|account| !body.elsewhere.contains(&account.id))
                .map(|account| self.removal(account, body))
                .collect::<Result<Vec<_>, _>>()?,
            RunBody::Removal(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
                return Err(self.broken(format!("`{name}` spawns, but this run cannot")));
            }
        };
        match &mut self.run_mut().body {
            RunBody::Case(body) => body.rounds += 1,
            RunBody::Discovery(body) => {
                body.rounds += 1;
                body.rested = false;
                for account in &body.found {
                    let begun = !body.elsewhere.contains(&account.id);
                    if begun && !body.removed.iter().any(|one| one.id == account.id) {
                        body.removed.push(account.clone());
                    }
                }
            }
            RunBody::Removal(_) | RunBody::Rotation(_) | RunBody::Care(_) => {}
        }
        if children.is_empty() {
            // A case without any connector has looked nowhere: that is for a person.
            let key = match self.run().kind {
                RunKind::Case if later.is_none() => OutcomeKey::Absent,
                RunKind::Case
                | RunKind::Discovery
                | RunKind::Removal
                | RunKind::Rotation
                | RunKind::Care => OutcomeKey::Done,
            };
            return self.outcome(name, key, None);
        }
        self.out.children.extend(children);
        self.run_mut().stage = Stage::Gathering {
            state: name.clone(),
        };
        Ok(())
    }

    /// A second look at the targets that had nothing, as long after the first as the others wait for
    /// theirs: accounts are made late, by feeds, and by signing in.
    fn later(
        &self,
        empty: &[(ConnectorName, Timestamp)],
        case: &CaseBody,
    ) -> Result<Vec<Run>, Inconsistent> {
        let machine = self.given.workflow.machines.get(&RunKind::Discovery);
        let waits = machine.into_iter().flat_map(|one| one.states.values());
        let wait = waits.filter_map(|state| {
            if let Action::Wait { seconds } = &state.action {
                Some(*seconds)
            } else {
                None
            }
        });
        let wait = wait.max().unwrap_or(0);
        let reach = self.reach(case);
        let there = empty.iter().filter(|(name, _)| reach.contains(name));
        let runs = there.map(|(name, looked)| {
            let mut run = self.discovery(name, case)?;
            if let Stage::Due { due, .. } = &mut run.stage {
                *due = after(*looked, wait).max(self.given.now);
            }
            Ok(run)
        });
        runs.collect()
    }

    /// Where a case looks. One that its event names, itself or by an account there, and that does not exist gets
    /// a discovery too: only a person can say what was meant.
    fn reach(&self, case: &CaseBody) -> BTreeSet<ConnectorName> {
        let estate = self.given.estate;
        let mut reach: BTreeSet<_> = case.connectors.iter().cloned().collect();
        if reach.is_empty() {
            let named = accounts_named(&case.subject);
            reach.extend(named.map(|(at, _)| ConnectorName::from(at)));
            reach.retain(|name| !estate.connectors.contains_key(name));
            reach.extend(estate.connectors.keys().cloned());
        }
        reach.retain(|name| !estate.retired.contains_key(name));
        reach
    }

    /// Begins the replacement of every secret that the leaver could read, and of all secrets of the
    /// connectors that the leaver answers for. They are runs of their own: no removal waits for them.
    fn replace_what_is_known_to(&mut self, subject: &Subject) {
        let is = |name: &String| {
            let mut names = subject.identifiers.iter().map(|one| &one.value);
            names.any(|value| same_name(value, name)) || subject.id == *name
        };
        let trigger = Trigger::Leaver {
            subject: subject.key(),
        };
        let cause = format!("leaver/{}", self.run().id);
        for (connector, facts) in &self.given.estate.connectors {
            let kept = facts.keepers.iter().any(is);
            let known = facts.known_by.iter();
            let known = known.filter(|(_, names)| kept || names.iter().any(is));
            let runs = known.filter_map(|(role, _)| {
                rotation_run(self.given, connector, *role, trigger.clone(), &cause)
            });
            self.out.rotations.extend(runs);
        }
    }

    fn discovery(&self, connector: &ConnectorName, case: &CaseBody) -> Result<Run, Inconsistent> {
        let effective = case.effective.instant(case.recorded);
        let removal = self.given.workflow.machines.get(&RunKind::Removal);
        let facts = self.given.estate.connectors.get(connector);
        let body = RunBody::Discovery(DiscoveryBody {
            subject: case.subject.clone(),
            leaving: leaving(case, facts.is_some_and(|facts| facts.privileged)),
            owed_since: effective.unwrap_or(case.recorded),
            expect: removal.and_then(|machine| machine.expect),
            upstream: None,
            found: Vec::new(),
            found_at: None,
            rounds: 0,
            rested: false,
            round: case.rounds,
            elsewhere: Vec::new(),
            removed: Vec::new(),
            unclear: Vec::new(),
            last_failure: None,
            claim: None,
            drill: case.drill,
        });
        // What is begun anew looks anew.
        let name = in_round(connector.as_str(), case.rounds);
        // Privileged targets are contained first.
        let ahead = i16::from(facts.is_some_and(|facts| facts.privileged)) * 3;
        self.child(
            RunKind::Discovery,
            &name,
            Some(connector.clone()),
            self.run().priority - ahead,
            body,
        )
    }

    fn removal(
        &self,
        account: &super::super::access::Account,
        discovery: &DiscoveryBody,
    ) -> Result<Run, Inconsistent> {
        let subject = &discovery.subject;
        let who = subject.display_name.as_ref().unwrap_or(&subject.id);
        let body = RunBody::Removal(Box::new(RemovalBody {
            subject_name: who.clone(),
            leaving: discovery.leaving.clone(),
            owed_since: discovery.owed_since,
            account: account.clone(),
            account_as_of: self.given.now,
            inspected: false,
            shown: false,
            expect: discovery
                .expect
                .or(self.facts().map(|facts| facts.expect))
                .unwrap_or(Expectation::AccountGone),
            items: Vec::new(),
            last_write: None,
            upstream: discovery.upstream.clone(),
            probed: Vec::new(),
            absent_at: None,
            stripped: false,
            returned: Vec::new(),
            last_finding: None,
            last_failure: None,
            claim: None,
            drill: discovery.drill,
        }));
        let ahead = i16::from(account.privileged);
        // A removal that has ended stays ended: access that is there again gets one of its own.
        let name = in_round(account.id.as_str(), discovery.rounds);
        self.child(
            RunKind::Removal,
            &name,
            self.run().connector.clone(),
            self.run().priority - ahead,
            body,
        )
    }

    fn child(
        &self,
        kind: RunKind,
        name: &str,
        connector: Option<ConnectorName>,
        priority: i16,
        body: RunBody,
    ) -> Result<Run, Inconsistent> {
        let parent = self.run();
        let machine = self.given.workflow.machines.get(&kind);
        let start = machine
            .map(|machine| machine.start.clone())
            .ok_or_else(|| self.broken(format!("its workflow has no {}", kind.as_str())))?;
        Ok(Run {
            id: parent.id.child(kind.as_str(), name),
            case: parent.case,
            parent: Some(parent.id),
            definition: parent.definition.clone(),
            kind,
            connector,
            priority,
            stage: Stage::Due {
                state: start,
                due: self.given.now,
            },
            verdict: (kind == RunKind::Removal).then_some(Verdict::Requested),
            step: 0,
            halted: false,
            in_flight: false,
            attempts: BTreeMap::new(),
            task: None,
            body,
        })
    }
}

fn leaving(case: &CaseBody, privileged: bool) -> Leaving {
    Leaving {
        privileged: privileged || case.subject.privileged,
        subject: case.subject.key(),
        source: case.source.clone(),
        unit: case.subject.identifier(UNIT).map(str::to_owned),
        for_cause: case.urgency == Urgency::ForCause,
    }
}

/// A rotation run of one secret; for [`Trigger::Retired`] of a connector that was retired. `None` when
/// the manifest declares no way to replace it, or no workflow file has a rotation machine.
pub fn rotation_run(
    given: &Given<'_>,
    connector: &ConnectorName,
    role: CredentialRole,
    trigger: Trigger,
    cause: &str,
) -> Option<Run> {
    let facts = match &trigger {
        Trigger::Retired { .. } => given.estate.retired.get(connector)?,
        _ => given.estate.connectors.get(connector)?,
    };
    let declared = facts.rotation.get(&role).copied();
    // Where the machine cannot replace what must be replaced, it waits for the one who can.
    let by_person = trigger.wants_a_person().then_some(Strategy::Delegated);
    let strategy = declared.or(by_person)?;
    let patient = matches!(trigger, Trigger::Age { .. }) && declared.is_none();
    let (definition, machine) = given.estate.rotation.as_ref()?;
    let id = RunId::rotation(connector, role.as_str(), cause, given.now);
    Some(Run {
        id,
        case: None,
        parent: None,
        definition: definition.clone(),
        kind: RunKind::Rotation,
        connector: Some(connector.clone()),
        // Removals wait for the secret: before all of them. For one that works and that a person is to
        // replace, nothing waits.
        priority: if patient { 20 } else { -10 },
        stage: Stage::Due {
            state: machine.clone(),
            due: given.now,
        },
        verdict: None,
        step: 0,
        halted: false,
        in_flight: false,
        attempts: BTreeMap::new(),
        task: None,
        body: RunBody::Rotation(Box::new(RotationBody {
            connector: connector.clone(),
            role,
            strategy,
            trigger,
            facts: RotationFacts {
                label: format!("{}{id}", own_labels(connector, role)),
                ..RotationFacts::default()
            },
            promoted_at: None,
            last_failure: None,
            claim: None,
        })),
    })
}
