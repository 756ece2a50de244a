//! What one transaction writes, noted for its link from the values themselves.
//!
//! Owns the order of values for what is written often; the rest is read back from the database in the
//! same transaction. Both give the same digests, or the next verification says so.

use uuid::Uuid;

use crate::domain::approval::Binding;
use crate::domain::audit::{Cell, Entries, Entry};
use crate::domain::event::RecordedEvent;
use crate::domain::health::Sample;
use crate::domain::id::{ConnectorName, EntitlementId};
use crate::domain::pause::{Pause, PauseChange};
use crate::domain::settlement::{JournalEntry, Settlement};
use crate::domain::task::FallbackTask;
use crate::domain::user::Act;
use crate::store::Stored;
use crate::store::docket::{Opened, Rulings};
use crate::store::drills::Examination;
use crate::store::plan::{Opening, Plan};
use crate::store::shape::{RunColumns, json, micros};

use super::tables;

/// The entries of the link to be.
#[derive(Debug, Default)]
pub(in crate::store) struct Notes {
    entries: Entries,
}

impl Notes {
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(in crate::store) fn bytes(&self) -> &[u8] {
        self.entries.bytes()
    }

    pub(in crate::store) fn add(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.entries.add(entry);
        }
    }

    pub(in crate::store) fn run(&mut self, c: &RunColumns) {
        self.entries.add(&tables::RUNS.entry(&[
            Cell::Id(Some(c.id)),
            Cell::Id(c.case_id),
            Cell::Id(c.parent_id),
            Cell::Text(Some(c.kind)),
            Cell::Text(c.connector.as_deref()),
            Cell::Number(Some(c.step)),
            Cell::Number(c.verdict.map(i64::from)),
            Cell::Text(c.ended),
            Cell::Number(c.ended_us),
            Cell::Text(Some(&c.body)),
        ]));
    }

    pub(in crate::store) fn journal(&mut self, entry: &JournalEntry) -> Stored<()> {
        let failure = entry.failure.as_ref().map(json).transpose()?;
        let detail = entry.detail.as_ref().map(json).transpose()?;
        self.entries.add(&tables::JOURNAL.entry(&[
            Cell::Id(Some(entry.run.0)),
            Cell::Number(Some(entry.sequence.cast_signed())),
            Cell::Number(Some(i64::from(entry.place))),
            Cell::Number(Some(micros(entry.at))),
            Cell::Text(Some(entry.state.as_str())),
            Cell::Text(entry.item.as_ref().map(EntitlementId::as_str)),
            Cell::Text(Some(entry.outcome.as_str())),
            Cell::Text(failure.as_deref()),
            Cell::Text(detail.as_deref()),
        ]));
        Ok(())
    }

    pub(in crate::store) fn task(&mut self, task: &FallbackTask) -> Stored<()> {
        self.entries.add(&tables::TASKS.entry(&[
            Cell::Id(Some(task.id.0)),
            Cell::Id(Some(task.run.0)),
            Cell::Id(task.case.map(|id| id.0)),
            Cell::Text(Some(task.state.as_str())),
            Cell::Text(Some(&json(task)?)),
        ]));
        Ok(())
    }

    pub(in crate::store) fn case_end(&mut self, case: Uuid, end: &str, at_us: i64) {
        self.entries.add(&tables::CASE_ENDS.entry(&[
            Cell::Id(Some(case)),
            Cell::Text(Some(end)),
            Cell::Number(Some(at_us)),
        ]));
    }

    pub(in crate::store) fn event(&mut self, event: &RecordedEvent) -> Stored<()> {
        self.entries.add(&tables::EVENTS.entry(&[
            Cell::Id(Some(event.event.key().0)),
            Cell::Text(Some(&event.payload_digest)),
            Cell::Number(Some(micros(event.recorded))),
            Cell::Text(Some(&json(event)?)),
        ]));
        Ok(())
    }

    pub(in crate::store) fn command(&mut self, id: Uuid, task: Option<Uuid>, body: &str) {
        let cells = [Cell::Id(Some(id)), Cell::Id(task), Cell::Text(Some(body))];
        self.entries.add(&tables::COMMANDS.entry(&cells));
    }

    pub(in crate::store) fn binding(&mut self, binding: &Binding) {
        self.entries.add(&tables::BINDINGS.entry(&[
            Cell::Text(Some(binding.matter.kind.as_str())),
            Cell::Text(Some(&binding.matter.name)),
            Cell::Number(Some(binding.number.cast_signed())),
            Cell::Text(Some(binding.content.digest.as_str())),
            Cell::Text(Some(&binding.content.text)),
            Cell::Number(Some(micros(binding.until))),
            Cell::Id(binding.proposal.map(|id| id.0)),
            Cell::Text(Some(&binding.bound.by)),
            Cell::Number(Some(micros(binding.bound.at))),
            Cell::Text(Some(&binding.bound.reason)),
        ]));
    }

    pub(in crate::store) fn sample(&mut self, connector: &str, sample: &Sample) -> Stored<()> {
        self.entries.add(&tables::SAMPLES.entry(&[
            Cell::Text(Some(connector)),
            Cell::Number(Some(micros(sample.at))),
            Cell::Text(Some(sample.state.as_str())),
            Cell::Text(Some(&json(sample)?)),
        ]));
        Ok(())
    }

    /// What the pause change of this number wrote.
    pub(in crate::store) fn pause(&mut self, number: i64, change: &PauseChange) {
        let (table, connector, signed) = match change {
            PauseChange::Begin { connector, signed } => {
                let name = connector.as_ref().map_or("", ConnectorName::as_str);
                (&tables::PAUSES, Some(Cell::Text(Some(name))), signed)
            }
            PauseChange::End { signed, .. } => (&tables::RESUMES, None, signed),
        };
        let mut cells = vec![Cell::Number(Some(number))];
        cells.extend(connector);
        cells.extend([
            Cell::Text(Some(&signed.by)),
            Cell::Number(Some(micros(signed.at))),
            Cell::Text(Some(&signed.reason)),
        ]);
        self.entries.add(&table.entry(&cells));
    }

    /// How far a pause was escalated.
    pub(in crate::store) fn reminder(&mut self, pause: &Pause) -> Stored<()> {
        self.entries.add(&tables::REMINDERS.entry(&[
            Cell::Number(Some(pause.number.cast_signed())),
            Cell::Text(Some(&json(&pause.escalation)?)),
        ]));
        Ok(())
    }

    pub(in crate::store) fn examination(&mut self, examination: &Examination) -> Stored<()> {
        self.entries.add(&tables::EXAMINATIONS.entry(&[
            Cell::Text(Some(examination.connector.as_str())),
            Cell::Number(Some(micros(examination.at))),
            Cell::Text(Some(examination.manifest.as_str())),
            Cell::Number(Some(i64::from(examination.passed))),
            Cell::Text(Some(&json(examination)?)),
        ]));
        Ok(())
    }

    pub(in crate::store) fn act(&mut self, number: i64, act: &Act) {
        self.entries.add(&tables::ACTS.entry(&[
            Cell::Number(Some(number)),
            Cell::Number(Some(micros(act.at))),
            Cell::Text(Some(&act.by)),
            Cell::Text(Some(&act.from)),
            Cell::Text(Some(&act.what)),
            Cell::Text(Some(&act.about)),
            Cell::Text(Some(&act.came_to)),
        ]));
    }

    pub(in crate::store) fn user(&mut self, name: &str, body: &str) {
        let cells = [Cell::Text(Some(name)), Cell::Text(Some(body))];
        self.entries.add(&tables::USERS.entry(&cells));
    }

    /// A batch of settlements: of those that `taken` names, with the children that `born` names.
    pub(in crate::store) fn plan(
        &mut self,
        plan: &Plan<'_>,
        taken: &dyn Fn(Uuid) -> bool,
        born: &dyn Fn(Uuid) -> bool,
    ) -> Stored<()> {
        for one in plan.moves.iter().filter(|one| taken(one.columns.id)) {
            self.run(&one.columns);
        }
        for entry in plan.journal.iter().filter(|entry| taken(entry.run.0)) {
            self.journal(entry)?;
        }
        for birth in plan.births.iter().filter(|birth| born(birth.columns.id)) {
            self.run(&birth.columns);
        }
        for task in plan.tasks.iter().filter(|task| taken(task.run.0)) {
            self.task(task)?;
        }
        for (_, rotation) in plan.rotations.iter().filter(|(_, run)| born(run.id)) {
            self.run(rotation);
        }
        for (_, case, end, at) in plan.ends.iter().filter(|(run, ..)| taken(*run)) {
            self.case_end(*case, end, *at);
        }
        Ok(())
    }

    /// Decisions about events, and the cases that they open.
    pub(in crate::store) fn opened(
        &mut self,
        rulings: &Rulings,
        openings: &[Opening],
        now_us: i64,
    ) -> Stored<()> {
        for ruling in &rulings.rulings {
            self.entries.add(&tables::ADMISSIONS.entry(&[
                Cell::Number(Some(ruling.seq)),
                Cell::Number(Some(now_us)),
                Cell::Text(Some(ruling.decision)),
                Cell::Text(Some(&ruling.reason)),
            ]));
        }
        for one in &rulings.opened {
            self.case(one);
            self.said(&one.first)?;
        }
        for opening in openings {
            self.run(&opening.run.columns);
            for child in &opening.children {
                self.run(&child.columns);
            }
        }
        Ok(())
    }

    /// What a settlement says besides the runs themselves.
    pub(in crate::store) fn said(&mut self, settlement: &Settlement) -> Stored<()> {
        for entry in &settlement.journal {
            self.journal(entry)?;
        }
        if let Some(task) = &settlement.task {
            self.task(task)?;
        }
        if let Some((case, end, at)) = &settlement.case_ended {
            self.case_end(case.0, end.as_str(), micros(*at));
        }
        Ok(())
    }

    fn case(&mut self, opened: &Opened) {
        let row = &opened.case;
        self.entries.add(&tables::CASES.entry(&[
            Cell::Id(Some(row.id.0)),
            Cell::Text(Some(&opened.tenant)),
            Cell::Text(Some(&row.subject_key)),
            Cell::Text(Some(&row.subject_name)),
            Cell::Id(Some(row.event.0)),
            Cell::Text(Some(&row.hr_case)),
            Cell::Number(Some(row.revision.cast_signed())),
            Cell::Text(Some(&row.workflow)),
            Cell::Number(Some(micros(row.effective))),
            Cell::Number(Some(micros(row.opened))),
            Cell::Number(Some(i64::from(row.priority))),
            Cell::Id(Some(opened.first.run.id.0)),
            Cell::Number(Some(0)),
        ]));
    }
}

/// What changed of cases that exist: looked up again after the changes.
#[derive(Debug, Default)]
pub(in crate::store) struct Touched {
    pub cases: Vec<Uuid>,
    pub runs: Vec<Uuid>,
}

impl Touched {
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.cases.is_empty() && self.runs.is_empty()
    }

    pub(in crate::store) fn by(rulings: &Rulings) -> Self {
        use crate::store::docket::Change;
        let mut touched = Self::default();
        let firsts = rulings.opened.iter();
        let rotations = firsts.flat_map(|one| &one.first.rotations);
        touched.runs.extend(rotations.map(|run| run.id.0));
        for change in &rulings.changes {
            match change {
                Change::Reschedule(case, _) => touched.cases.push(case.id.0),
                Change::Rescind(_, case, _) | Change::Halt(case, _) | Change::Revise(case, _) => {
                    touched.cases.push(case.0);
                }
                Change::Review(run) => touched.cases.extend(run.case.map(|case| case.0)),
                Change::Rotate(runs) => touched.runs.extend(runs.iter().map(|run| run.id.0)),
                // Which runs these are is seen when they are changed, and noted there.
                Change::LookAgain(_) => {}
            }
        }
        touched
    }
}
