//! The endless stream of events for `dev`: people leave, others come.
//!
//! Owns who leaves next and how, in a mix as at a real company, and a ledger of who must have lost
//! access by when. For each leaver somebody is hired, so that the company never runs dry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::event::EventKind;
use crate::domain::time::Timestamp;

use super::company::{Company, Employment, Person};
use super::estate::Newcomer;
use super::message::{Draft, Message, in_seconds};
use super::seed::Seed;

/// Events without an end.
#[derive(Debug, Clone)]
pub struct Stream {
    company: Company,
    dice: Seed,
    gone: BTreeSet<String>,
    cases: u64,
    /// A departure that was announced and will be called off.
    wavering: Option<(String, String)>,
    last: Option<Message>,
    /// Who must have lost access, from when on.
    leavers: BTreeMap<String, Timestamp>,
}

/// What happens next.
#[derive(Debug, Clone)]
pub struct Next {
    /// The message; its `after` is the pause before it.
    pub message: Message,
    /// Somebody who starts at the same time.
    pub newcomer: Option<Newcomer>,
}

impl Stream {
    /// The stream of a company; people in `gone` have left already.
    pub fn new(company: Company, seed: u64, gone: BTreeSet<String>) -> Self {
        Self {
            company,
            dice: Seed::new(seed, "stream"),
            gone,
            cases: 0,
            wavering: None,
            last: None,
            leavers: BTreeMap::new(),
        }
    }

    /// Who must have lost access by `now`.
    pub fn due(&self, now: Timestamp) -> BTreeSet<String> {
        let due = self.leavers.iter().filter(|(_, at)| **at <= now);
        due.map(|(subject, _)| subject.clone()).collect()
    }

    /// What happens next; `now` is when the message will be sent, `pause` the usual time between two.
    pub fn next(&mut self, now: Timestamp, pause: Duration) -> Next {
        let mut next = self.draw(now);
        let tenths = u32::try_from(5 + self.dice.below(11)).unwrap_or(10);
        next.message.after = pause * tenths / 10;
        self.last = Some(next.message.clone());
        next
    }

    fn draw(&mut self, now: Timestamp) -> Next {
        let roll = self.dice.below(100);
        let only = |message| Next {
            message,
            newcomer: None,
        };
        match (roll, &self.last, self.wavering.take()) {
            (_, _, Some((number, case))) => only(self.call_off(&number, &case, now)),
            (0..5, Some(last), None) => {
                let mut again = last.clone();
                if !again.about.ends_with("sent again)") {
                    again.about.push_str(" (sent again)");
                }
                only(again)
            }
            (5..8, _, None) => only(Message {
                after: Duration::ZERO,
                key: "acme/unknown".to_owned(),
                payload: "<lifecycle>who sends XML here?</lifecycle>".to_owned(),
                about: "A message that is not even JSON".to_owned(),
            }),
            _ => self.leave(roll, now),
        }
    }

    fn leave(&mut self, roll: usize, now: Timestamp) -> Next {
        let person = loop {
            let staying = |person: &&Person| !person.stays() && !self.gone.contains(&person.number);
            let first = self.company.people().find(staying).cloned();
            match first {
                Some(person) => break person,
                None => drop(self.company.hire()),
            }
        };
        self.gone.insert(person.number.clone());
        self.cases += 1;
        let case = format!("HR-{}", 10_000 + self.cases);
        let service = person.employment == Employment::Service;
        let mut draft = Draft {
            id: format!("{case}-1"),
            kind: if service {
                EventKind::NhiRetired
            } else {
                EventKind::WorkerTerminated
            },
            person: &person,
            case: case.clone(),
            revision: 1,
            effective: None,
            for_cause: person.privileged || roll >= 95,
            reason: "Employment ended",
        };
        let about = match roll {
            8..20 if !service && !draft.for_cause => {
                draft.effective = Some(in_seconds(now, 5 + roll as u64));
                "will leave shortly"
            }
            20..24 if !service && !draft.for_cause => {
                draft.effective = Some(in_seconds(now, 3600));
                self.wavering = Some((person.number.clone(), case));
                "will leave in an hour"
            }
            _ if draft.for_cause => "is dismissed for cause",
            _ if service => "(service account) is retired",
            _ => "leaves at once",
        };
        let message = draft.message(now, Duration::ZERO, about);
        if self.wavering.is_none() {
            let at = draft.effective.unwrap_or(now);
            self.leavers.insert(person.number.clone(), at);
        }
        let newcomer = (self.wavering.is_none() && !service).then(|| {
            let (person, access) = self.company.hire();
            Newcomer { person, access }
        });
        Next { message, newcomer }
    }

    fn call_off(&mut self, number: &str, case: &str, now: Timestamp) -> Message {
        let person = self.company.people().find(|p| p.number == number).cloned();
        let person: Person = match person {
            Some(person) => person,
            // The ledger names only people of this company; were it not so, a newcomer stays.
            None => self.company.hire().0,
        };
        self.gone.remove(number);
        let draft = Draft {
            id: format!("{case}-2"),
            kind: EventKind::TerminationCancelled,
            person: &person,
            case: case.to_owned(),
            revision: 2,
            effective: None,
            for_cause: false,
            reason: "Stays after all",
        };
        draft.message(now, Duration::ZERO, "stays after all")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_goes_on_and_its_ledger_is_right() {
        let mut stream = Stream::new(Company::new(1, 60), 1, BTreeSet::new());
        let mut now = Timestamp::UNIX_EPOCH;
        let mut called_off = 0;
        for _ in 0..500 {
            let next = stream.next(now, Duration::from_secs(3));
            assert!(next.message.after >= Duration::from_millis(1500));
            called_off += usize::from(next.message.about.ends_with("stays after all"));
            now = in_seconds(now, 3);
        }
        assert!(called_off > 2);
        let due = stream.due(now);
        assert!(due.len() > 350, "{}", due.len());
        assert!(stream.due(Timestamp::MIN).is_empty());
        let (wavering, gone) = (stream.wavering.iter().len(), stream.gone.len());
        assert_eq!(stream.leavers.len() + wavering, gone);
    }
}
