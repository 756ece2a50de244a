//! The subject is back: what becomes of its departures that are under way.
//!
//! Owns which of them the rehiring is later news than. Those end, or stop before their next write. A
//! revision counts within its HR case alone, so the order is that of when each was told and takes effect.
//! What is older than a departure stops nothing. Where the order, or who is meant, is not certain, nothing
//! is stopped either, and the person who gets the rehiring is told so loudly.

use super::super::again::seen_again;
use super::super::doubt::{contradiction, taken};
use super::super::id::CaseId;
use super::super::outcome::Failure;
use super::super::run::{CaseBody, RunBody};
use super::super::settlement::{Admission, AdmissionDecision, CaseRow, ExistingCase, Settlement};
use super::super::step::Inconsistent;
use super::super::time::Timestamp;
use super::{Opening, for_person, person};

/// Sooner than whatever a departure may be.
const LOUD: i16 = 0;

/// How a rehiring stands to one departure.
enum Order {
    /// It is the later news.
    Later,
    /// The departure is.
    Older,
    /// A person has to say, for this reason.
    Unclear(String),
}

impl Opening<'_> {
    /// A person gets the rehiring in any case.
    pub(super) fn rehired(&self) -> Result<Admission, Inconsistent> {
        let event = &self.recorded.event;
        let doubt = contradiction(&event.subject, self.existing);
        let (mut stops, mut told, mut loud) = (Vec::new(), Vec::new(), false);
        for (case, body) in self.departures().filter(|(case, _)| goes_on(case)) {
            let id = case.row.id;
            let order = match &doubt {
                Some(doubt) => Order::Unclear(doubt.message.clone()),
                None => self.order(&case.row, body),
            };
            told.push(match order {
                Order::Later => {
                    let why = format!("the subject is back, by {} of {}", event.id, event.source);
                    let stop = self.stop(case, case.row.revision, &why);
                    let words = words(&stop);
                    stops.push(stop);
                    format!("case {id} {words}")
                }
                Order::Older => {
                    format!("case {id} goes on: its departure was told later than this")
                }
                Order::Unclear(why) => {
                    loud = true;
                    unclear(id, &why)
                }
            });
        }
        for (id, doubt) in self.of_other_records() {
            loud = true;
            told.push(unclear(id, &doubt.message));
        }
        told.insert(0, for_person(event.kind).to_owned());
        let why = told.join("; ");
        let code = if loud { "CB-ADMIT-5" } else { "CB-ADMIT-2" };
        let failure = person(code, &why);
        let (case, first) = if loud {
            self.loudly(failure)?
        } else {
            self.opened(Some(failure))?
        };
        let (case, first) = (Box::new(case), Box::new(first));
        let decision = if stops.is_empty() {
            AdmissionDecision::Open { case, first }
        } else {
            AdmissionDecision::Stop { case, first, stops }
        };
        Ok(self.admission(decision, &why))
    }

    /// A case for a person, before all others.
    pub(super) fn loudly(&self, failure: Failure) -> Result<(CaseRow, Settlement), Inconsistent> {
        let (mut row, mut run) = self.fresh(Some(failure))?;
        row.priority = row.priority.min(LOUD);
        run.priority = row.priority;
        self.begun(row, run)
    }

    /// Every case that takes, or took, the subject's access away.
    pub(super) fn departures(&self) -> impl Iterator<Item = (&ExistingCase, &CaseBody)> {
        let key = self.recorded.event.subject.key();
        let own = self.existing.iter();
        let own = own.filter(move |case| case.row.subject_key == key);
        own.filter_map(|case| match &case.run.body {
            RunBody::Case(body) if body.departs() => Some((case, body)),
            _ => None,
        })
    }

    /// Departures under way of other records that share a name with the subject: whoever is back may be known
    /// by a new number.
    pub(super) fn of_other_records(&self) -> impl Iterator<Item = (CaseId, Failure)> {
        let subject = &self.recorded.event.subject;
        let departs =
            |case: &&ExistingCase| matches!(&case.run.body, RunBody::Case(body) if body.departs());
        let under_way = self.existing.iter().filter(|case| goes_on(case));
        let departures = under_way.filter(departs);
        departures.filter_map(|case| Some((case.row.id, taken(subject, case)?)))
    }

    fn order(&self, row: &CaseRow, body: &CaseBody) -> Order {
        if seen_again(&row.hr_case).is_none() {
            return self.order_to(row, body);
        }
        // Clawback told of it by itself, long after the departure that it belongs to.
        let told = self.departures();
        let told = told.filter(|(case, _)| seen_again(&case.row.hr_case).is_none());
        let newest = told.max_by_key(|(_, body)| told_at(body));
        match newest {
            Some((case, body)) => self.order_to(&case.row, body),
            None => self.order_to(row, body),
        }
    }

    fn order_to(&self, row: &CaseRow, body: &CaseBody) -> Order {
        let event = &self.recorded.event;
        let recorded = self.recorded.recorded;
        let back = event.effective.instant(recorded).unwrap_or(recorded);
        if back > self.given.now && back > row.effective {
            return Order::Unclear(format!(
                "access ends at {}, and the subject is back at {back}",
                row.effective
            ));
        }
        match (self.recorded.told_at(), body.occurred) {
            (Some(back), Some(left)) if back > left => Order::Later,
            (Some(back), Some(left)) if back < left => Order::Older,
            (Some(back), Some(_)) => Order::Unclear(format!("both were told at {back}")),
            (told, _) => {
                let told = told.unwrap_or(back);
                if told >= told_at(body) || back >= row.effective {
                    return Order::Later;
                }
                Order::Unclear(format!(
                    "the subject is back since {back}, which is before the departure was heard of, and \
                     nothing says which was told first"
                ))
            }
        }
    }
}

fn unclear(case: CaseId, why: &str) -> String {
    format!(
        "case {case} GOES ON TAKING ACCESS AWAY, and perhaps should not ({why}): if it is out of date, have \
         the source call that departure off"
    )
}

/// Its source's time, else when it was heard of.
fn told_at(body: &CaseBody) -> Timestamp {
    body.occurred.unwrap_or(body.recorded)
}

pub(super) fn goes_on(case: &ExistingCase) -> bool {
    case.ended.is_none() && !case.halted
}

fn words(stop: &AdmissionDecision) -> &'static str {
    match stop {
        AdmissionDecision::Halt { .. } => {
            "is stopped before its next write, and its own task tells what was removed"
        }
        AdmissionDecision::Reschedule { .. } => "was held for a doubt, and is dropped",
        _ => "had not begun, and is ended",
    }
}
