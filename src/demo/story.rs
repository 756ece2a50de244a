//! The finite set of events for `dev --once`, with every wrinkle in it, and what must come of it.
//!
//! Owns the choice of leavers and the expectations. It knows by itself who must have lost access at
//! the end, so that the judge does not have to believe the program under trial.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::event::EventKind;
use crate::domain::time::Timestamp;

use super::company::{Access, Company, Employment, Honesty, Person};
use super::message::{Draft, Message, in_seconds};

/// Messages in order, and what must come of them.
#[derive(Debug, Clone)]
pub struct Story {
    /// Each `after` counts from the message before it.
    pub messages: Vec<Message>,
    /// What must come of them.
    pub expected: Expected,
}

/// What must come of the messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Distinct readable events.
    pub events: usize,
    /// Messages that cannot be read.
    pub dead_letters: usize,
    /// Subjects whose access must be gone, or in a person's hands.
    pub due: BTreeSet<String>,
    /// Subjects that were named but keep everything.
    pub spared: BTreeSet<String>,
}

/// A planned departure is so many seconds ahead.
const AHEAD: u64 = 4;
/// A departure that is called off or moved would have been so far ahead.
const FAR_AHEAD: u64 = 3600;
/// People who leave without any wrinkle.
const PLAIN_LEAVERS: usize = 4;

struct Writer<'c> {
    now: Timestamp,
    left: Vec<&'c (Person, Access)>,
    story: Story,
    cases: u64,
}

impl Story {
    /// The story of this company, told from `now` on.
    pub fn once(company: &Company, now: Timestamp) -> Self {
        let mut writer = Writer {
            now,
            left: company.staff().iter().collect(),
            story: Self {
                messages: Vec::new(),
                expected: Expected::default(),
            },
            cases: 0,
        };
        writer.leavers_with_wrinkles();
        writer.planned();
        writer.called_off();
        writer.unreadable();
        writer.story
    }
}

impl<'c> Writer<'c> {
    /// The first in the order of leaving who fits and has not left yet.
    fn take(&mut self, fits: impl Fn(&Person, &Access) -> bool) -> Option<&'c Person> {
        let leaves = |(p, a): &(Person, Access)| !p.stays() && fits(p, a);
        let index = self.left.iter().position(|one| leaves(one))?;
        Some(&self.left.remove(index).0)
    }

    fn draft<'p>(&mut self, person: &'p Person, kind: EventKind, reason: &'p str) -> Draft<'p> {
        self.cases += 1;
        Draft {
            id: format!("hr-{:04}-1", self.cases),
            kind,
            person,
            case: format!("HR-{:04}", self.cases),
            revision: 1,
            effective: None,
            for_cause: false,
            reason,
        }
    }

    fn tell(&mut self, draft: &Draft<'_>, about: &str) {
        let pause = Duration::from_millis(40);
        let message = draft.message(self.now, pause, about);
        self.story.messages.push(message);
        self.story.expected.events += 1;
    }

    fn due(&mut self, person: &Person) {
        self.story.expected.due.insert(person.number.clone());
    }

    fn spared(&mut self, person: &Person) {
        self.story.expected.spared.insert(person.number.clone());
    }

    fn leaves_at_once(&mut self, person: Option<&'c Person>, about: &str) {
        let Some(person) = person else { return };
        let kind = match person.employment {
            Employment::Service => EventKind::NhiRetired,
            Employment::Employee | Employment::Contractor => EventKind::WorkerTerminated,
        };
        let draft = self.draft(person, kind, "Employment ended");
        self.tell(&draft, about);
        self.due(person);
    }

    fn leavers_with_wrinkles(&mut self) {
        if let Some(person) = self.take(|p, _| p.privileged) {
            let mut draft = self.draft(person, EventKind::WorkerTerminated, "Dismissed for cause");
            draft.for_cause = true;
            self.tell(
                &draft,
                "is dismissed for cause (administrator, two accounts)",
            );
            self.due(person);
        }
        let crm = |wanted: fn(&super::company::Crm) -> bool| {
            move |_: &Person, access: &Access| access.crm.as_ref().is_some_and(wanted)
        };
        let person = self.take(crm(|c| c.honesty == Honesty::Lies));
        self.leaves_at_once(person, "leaves at once");
        let person = self.take(crm(|c| matches!(c.honesty, Honesty::LiesFirst(_))));
        self.leaves_at_once(person, "leaves at once");
        let person = self.take(crm(|c| !c.staff_number_known));
        self.leaves_at_once(person, "leaves at once");
        let contractor =
            |p: &Person, a: &Access| p.employment == Employment::Contractor && a.wiki.is_some();
        let person = self.take(contractor);
        self.leaves_at_once(person, "ends a contract");
        let bot = |p: &Person, a: &Access| p.employment == Employment::Service && a.crm.is_some();
        let person = self.take(bot);
        self.leaves_at_once(person, "(service account) is retired");
        for _ in 0..PLAIN_LEAVERS {
            let person = self.take(plain);
            self.leaves_at_once(person, "leaves at once");
        }
        // The HR system sends the last one again: the same id, the same words.
        if let Some(last) = self.story.messages.last() {
            let mut again = last.clone();
            again.about.push_str(" (sent twice)");
            self.story.messages.push(again);
        }
    }

    fn planned(&mut self) {
        for zone_differs in [false, true] {
            let person =
                self.take(|p, a| plain(p, a) && (p.zone != "Europe/Berlin") == zone_differs);
            let Some(person) = person else { continue };
            let mut draft = self.draft(person, EventKind::WorkerTerminated, "Resigned");
            draft.effective = Some(in_seconds(self.now, AHEAD));
            self.tell(&draft, "will leave in a few seconds");
            self.due(person);
        }
        let Some(person) = self.take(plain) else {
            return;
        };
        let mut draft = self.draft(person, EventKind::WorkerTerminated, "Resigned");
        let first = draft.clone();
        draft.revision = 3;
        draft.id = format!("{}-3", draft.case);
        draft.kind = EventKind::TerminationChanged;
        draft.effective = Some(in_seconds(self.now, AHEAD));
        let mut far = first;
        far.effective = Some(in_seconds(self.now, FAR_AHEAD));
        self.tell(&far, "will leave in an hour");
        self.tell(&draft, "leaves sooner: a few seconds from now");
        far.revision = 2;
        far.kind = EventKind::TerminationChanged;
        far.id = format!("{}-2", far.case);
        far.effective = Some(in_seconds(self.now, 2 * FAR_AHEAD));
        self.tell(&far, "has an older revision of the same case arrive late");
        self.due(person);
    }

    fn called_off(&mut self) {
        for out_of_order in [false, true] {
            let Some(person) = self.take(plain) else {
                return;
            };
            let mut leave = self.draft(person, EventKind::WorkerTerminated, "Resigned");
            leave.effective = Some(in_seconds(self.now, FAR_AHEAD));
            let mut off = leave.clone();
            off.kind = EventKind::TerminationCancelled;
            off.revision = 2;
            off.id = format!("{}-2", off.case);
            if out_of_order {
                self.tell(&off, "stays after all (this arrives before the notice)");
                self.tell(
                    &leave,
                    "will leave in an hour (arrives after it was called off)",
                );
            } else {
                self.tell(&leave, "will leave in an hour");
                self.tell(&off, "stays after all");
            }
            self.spared(person);
        }
    }

    fn unreadable(&mut self) {
        let Some(person) = self.take(plain) else {
            return;
        };
        let draft = self.draft(person, EventKind::WorkerTerminated, "Resigned");
        let mut incomplete = draft.event(self.now);
        if let Some(data) = incomplete["data"].as_object_mut() {
            data.remove("subject");
        }
        for (payload, about) in [
            (
                incomplete.to_string(),
                "An event that does not say who leaves",
            ),
            (
                "{\"specversion\": \"1.0\", \"id".to_owned(),
                "A message that is not even JSON",
            ),
        ] {
            self.story.messages.push(Message {
                after: Duration::from_millis(40),
                key: "acme/unknown".to_owned(),
                payload,
                about: about.to_owned(),
            });
            self.story.expected.dead_letters += 1;
        }
        self.spared(person);
    }
}

/// No wrinkle: an employee with an account in the wiki, of whom the CRM tells the truth.
fn plain(person: &Person, access: &Access) -> bool {
    let straight =
        |crm: &super::company::Crm| crm.honesty == Honesty::Honest && crm.staff_number_known;
    person.employment == Employment::Employee
        && !person.privileged
        && access.crm.as_ref().is_none_or(straight)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_story_has_every_wrinkle_for_any_seed() {
        for seed in 1..20 {
            let company = Company::new(seed, 60);
            let story = Story::once(&company, Timestamp::UNIX_EPOCH);
            let expected = &story.expected;
            assert_eq!(expected.due.len(), 13, "seed {seed}");
            assert_eq!(expected.spared.len(), 3, "seed {seed}");
            assert!(expected.due.is_disjoint(&expected.spared), "seed {seed}");
            assert_eq!(expected.dead_letters, 2);
            let events: Vec<Value> = story
                .messages
                .iter()
                .filter_map(|message| serde_json::from_str(&message.payload).ok())
                .filter(|event: &Value| event["data"]["subject"].is_object())
                .collect();
            let ids: BTreeSet<_> = events.iter().map(|event| event["id"].to_string()).collect();
            assert_eq!(ids.len(), expected.events, "seed {seed}");
            assert_eq!(events.len(), expected.events + 1, "one is sent twice");
        }
    }

    #[test]
    fn a_planned_departure_is_in_local_time_and_not_before_it_was_meant() {
        let company = Company::new(1, 60);
        let now: Timestamp = "2026-11-20T12:00:00.25Z".parse().expect("an instant");
        let story = Story::once(&company, now);
        let planned = story
            .messages
            .iter()
            .filter_map(|message| serde_json::from_str::<Value>(&message.payload).ok())
            .filter_map(|event| serde_json::from_value(effective(&event)?).ok());
        let planned: Vec<crate::domain::time::Effective> = planned.collect();
        assert!(planned.len() >= 5);
        for effective in planned {
            let at = effective.instant(now).expect("a zone");
            assert!(at >= in_seconds(now, AHEAD), "{effective:?}");
            assert!(at.subsec_nanosecond() == 0, "{effective:?}");
        }
    }

    fn effective(event: &Value) -> Option<Value> {
        let at = &event["data"]["effective"];
        at.is_object().then(|| serde_json::json!({ "at": at }))
    }
}
