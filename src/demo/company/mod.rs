//! A believable company: who works there and what each may do where.
//!
//! Owns the people, the service accounts and their access in the four targets, all of it from one
//! seed, and the order in which they leave. Nobody here is real. Does not know how a target keeps
//! an account; that is the target's.

mod access;
mod names;
mod people;

pub(super) use access::{Access, Crm, Honesty};
pub use people::{Employment, Person};

use super::seed::Seed;

/// The tenant in every event.
pub const TENANT: &str = "acme";

/// The company: people with their access, in the order in which they will leave.
#[derive(Debug, Clone)]
pub struct Company {
    staff: Vec<(Person, Access)>,
    newcomers: Seed,
    hired: usize,
}

impl Company {
    /// The company of this seed.
    pub fn new(seed: u64, employees: usize) -> Self {
        let people = people::found(seed, employees);
        let mut dice = Seed::new(seed, "access");
        let mut staff: Vec<_> = people
            .into_iter()
            .map(|person| {
                let access = access::of(&person, &mut dice);
                (person, access)
            })
            .collect();
        let mut order = Seed::new(seed, "order of leaving");
        for last in (1..staff.len()).rev() {
            staff.swap(last, order.below(last + 1));
        }
        access::settle_wrinkles(&mut staff);
        Self {
            staff,
            newcomers: Seed::new(seed, "newcomers"),
            hired: 0,
        }
    }

    /// Everyone, in the order of leaving.
    pub fn people(&self) -> impl Iterator<Item = &Person> {
        self.staff.iter().map(|(person, _)| person)
    }

    /// Everyone with their access.
    pub(super) fn staff(&self) -> &[(Person, Access)] {
        &self.staff
    }

    /// Somebody new, last in the order of leaving.
    pub(super) fn hire(&mut self) -> (Person, Access) {
        self.hired += 1;
        let taken: Vec<&str> = self
            .staff
            .iter()
            .map(|(p, _)| p.username.as_str())
            .collect();
        let person = people::hire(&mut self.newcomers, self.hired, &taken);
        let access = access::of(&person, &mut self.newcomers);
        self.staff.push((person.clone(), access.clone()));
        (person, access)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_company_is_the_same_for_a_seed_and_nobody_shares_a_name() {
        let company = Company::new(1, 60);
        let people: Vec<_> = company.people().cloned().collect();
        assert_eq!(
            people,
            Company::new(1, 60).people().cloned().collect::<Vec<_>>()
        );
        assert_ne!(
            people,
            Company::new(2, 60).people().cloned().collect::<Vec<_>>()
        );
        assert!(people.len() > 60, "service accounts come on top");
        let distinct =
            |of: fn(&Person) -> &str| people.iter().map(of).collect::<BTreeSet<_>>().len();
        assert_eq!(distinct(|p| &p.username), people.len());
        assert_eq!(distinct(|p| &p.number), people.len());
    }

    #[test]
    fn every_wrinkle_of_a_real_company_is_there() {
        let company = Company::new(1, 60);
        let has = |wrinkle: fn(&Person, &Access) -> bool| {
            company
                .staff()
                .iter()
                .any(|(person, access)| wrinkle(person, access))
        };
        assert!(has(|p, _| p.employment == Employment::Contractor));
        assert!(has(|p, _| p.employment == Employment::Service));
        assert!(has(|p, a| p.privileged
            && a.directory
                .as_ref()
                .is_some_and(|d| d.second_login.is_some())));
        assert!(has(|_, a| a
            .crm
            .as_ref()
            .is_some_and(|c| !c.staff_number_known)));
        assert!(has(|_, a| a
            .crm
            .as_ref()
            .is_some_and(|c| !c.keys.is_empty())));
    }

    #[test]
    fn newcomers_have_names_of_their_own() {
        let mut company = Company::new(3, 60);
        for _ in 0..200 {
            company.hire();
        }
        let names: BTreeSet<_> = company.people().map(|p| p.username.clone()).collect();
        assert_eq!(names.len(), company.people().count());
    }
}
