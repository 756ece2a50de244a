//! The people of the company and its service accounts.
//!
//! Owns names, numbers, logins and addresses, and how an event names them. Numbers are never
//! reused; addresses of people with the same name get a digit, as everywhere.

use serde_json::{Value, json};

use crate::demo::seed::Seed;
use crate::domain::subject::SubjectKind;

use super::TENANT;
use super::names::{DEPARTMENTS, FAMILY, GIVEN, INDEXER, SERVICES};

/// How somebody belongs to the company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Employment {
    /// On the payroll.
    Employee,
    /// By contract.
    Contractor,
    /// Not a person.
    Service,
}

/// One person, or one service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The HR system's number, never reused; the subject's id in events.
    pub number: String,
    /// Employee, contractor or service account.
    pub employment: Employment,
    /// Given name; the purpose of a service account.
    pub given: String,
    /// Family name; empty for a service account.
    pub family: String,
    /// Login everywhere.
    pub username: String,
    /// Address.
    pub email: String,
    /// Department.
    pub department: String,
    /// Job title.
    pub title: String,
    /// IANA zone of the place of work.
    pub zone: &'static str,
    /// Administrator of something.
    pub privileged: bool,
}

impl Person {
    /// For people to read.
    pub fn display_name(&self) -> String {
        format!("{} {}", self.given, self.family)
            .trim_end()
            .to_owned()
    }

    /// Person or non-human identity.
    pub fn kind(&self) -> SubjectKind {
        match self.employment {
            Employment::Employee | Employment::Contractor => SubjectKind::Person,
            Employment::Service => SubjectKind::Nhi,
        }
    }

    /// Whether it is the one account that is never retired.
    pub(in crate::demo) fn stays(&self) -> bool {
        self.username == INDEXER
    }

    /// The subject as canonical events carry it.
    pub(in crate::demo) fn as_subject(&self) -> Value {
        let kind = match self.kind() {
            SubjectKind::Person => "person",
            SubjectKind::Nhi => "nhi",
            SubjectKind::Application => "application",
        };
        json!({
            "tenant": TENANT,
            "id": self.number,
            "kind": kind,
            "display_name": self.display_name(),
            "privileged": self.privileged,
            "identifiers": [
                {"type": "employee_number", "value": self.number},
                {"type": "username", "value": self.username},
                {"type": "email", "value": self.email},
            ],
        })
    }
}

/// Everyone at the start: `employees` people, then the service accounts.
pub(super) fn found(seed: u64, employees: usize) -> Vec<Person> {
    let mut dice = Seed::new(seed, "people");
    let mut people: Vec<Person> = Vec::with_capacity(employees + SERVICES.len());
    for index in 0..employees {
        let taken: Vec<&str> = people.iter().map(|p| p.username.as_str()).collect();
        // Every eighth works by contract; every twelfth administers something.
        let employment = if index % 8 == 5 {
            Employment::Contractor
        } else {
            Employment::Employee
        };
        let number = match employment {
            Employment::Contractor => format!("C-{}", 3001 + index),
            _ => format!("E-{}", 1001 + index),
        };
        let mut person = draw(&mut dice, number, employment, &taken);
        person.privileged = employment == Employment::Employee && index % 12 == 7;
        people.push(person);
    }
    for (index, (login, purpose)) in SERVICES.iter().enumerate() {
        people.push(Person {
            number: format!("NHI-{:03}", index + 1),
            employment: Employment::Service,
            given: (*purpose).to_owned(),
            family: String::new(),
            username: (*login).to_owned(),
            email: format!("{login}@acme.example"),
            department: "Engineering".to_owned(),
            title: "Service account".to_owned(),
            zone: "UTC",
            privileged: false,
        });
    }
    people
}

/// The `number`th newcomer.
pub(super) fn hire(dice: &mut Seed, number: usize, taken: &[&str]) -> Person {
    draw(
        dice,
        format!("E-{}", 5000 + number),
        Employment::Employee,
        taken,
    )
}

fn draw(dice: &mut Seed, number: String, employment: Employment, taken: &[&str]) -> Person {
    let given = *dice.pick(GIVEN);
    let family = *dice.pick(FAMILY);
    let (department, titles, zone) = *dice.pick(DEPARTMENTS);
    let plain = format!("{}.{}", given.to_lowercase(), family.to_lowercase());
    let username = (1..=10_000)
        .map(|count| match count {
            1 => plain.clone(),
            count => format!("{plain}{count}"),
        })
        .find(|name| !taken.contains(&name.as_str()))
        .unwrap_or(plain);
    Person {
        number,
        employment,
        given: given.to_owned(),
        family: family.to_owned(),
        email: format!("{username}@acme.example"),
        username,
        department: department.to_owned(),
        title: (*dice.pick(titles)).to_owned(),
        zone,
        privileged: false,
    }
}
