//! What the identifiers of subjects promise: by them an event finds the cases of other records.
//!
//! Owns the look-up, within a batch and across batches, without regard to case. What is doubtful about
//! it is decided in the domain.

use std::sync::Mutex;

use super::Home;
use super::domain::event::RecordedEvent;
use super::domain::subject::Identifier;
use super::given::{at, event, keep, opens, recorded};

fn named(id: &str, hr_case: &str, kind: &str, value: &str) -> RecordedEvent {
    let mut event = event(id, hr_case, 1);
    event.event.subject.identifiers = vec![Identifier {
        kind: kind.to_owned(),
        value: value.to_owned(),
    }];
    event
}

pub async fn a5_an_event_sees_the_cases_of_others_who_share_an_identifier(home: &Home) {
    let seen = Mutex::new(Vec::new());
    // Once in one batch, once in the next.
    let batches = [
        vec![
            named("1", "a", "username", "Ada"),
            named("2", "b", "username", "ada"),
            named("3", "c", "email", "ada@acme.example"),
        ],
        vec![
            named("4", "d", "username", "ADA"),
            named("5", "e", "email", "ada@acme.example"),
            named("6", "f", "employee_number", "ada"),
        ],
    ];
    for batch in batches {
        recorded(&home.store, batch).await;
        let admitted = home
            .store
            .admit(10, at(0), &keep(1, 0), &|event, existing| {
                let cases = existing.iter().map(|case| case.row.hr_case.clone());
                let mut cases: Vec<_> = cases.collect();
                cases.sort();
                let line = (event.event.id.clone(), cases.join(" "));
                seen.lock().expect("lock").push(line);
                opens(event)
            })
            .await;
        assert_eq!(admitted.expect("admitted").events, 3);
    }
    let seen = seen.into_inner().expect("lock");
    let expected = [
        ("1", ""),
        ("2", "a"),
        ("3", ""),
        ("4", "a b"),
        ("5", ""),
        ("6", ""),
    ];
    assert_eq!(
        seen,
        expected.map(|(id, cases)| (id.to_owned(), cases.to_owned()))
    );
}
