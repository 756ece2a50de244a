//! What each person may do in each of the four targets.
//!
//! Owns who has which account, group, role and key, and the wrinkles that make leaving hard: a
//! second account of an administrator, an account that only an e-mail address points to, accounts
//! for which the CRM lies. Does not put anything anywhere; the targets take it from here.

use crate::demo::seed::Seed;

use super::names::INVOICES;
use super::people::{Employment, Person};

/// Access in all targets; `None` where there is no account.
#[derive(Debug, Clone, Default)]
pub(in crate::demo) struct Access {
    pub(in crate::demo) directory: Option<Directory>,
    pub(in crate::demo) crm: Option<Crm>,
    pub(in crate::demo) payroll: Option<Payroll>,
    pub(in crate::demo) wiki: Option<Wiki>,
}

/// An account in the directory.
#[derive(Debug, Clone)]
pub(in crate::demo) struct Directory {
    pub(in crate::demo) groups: Vec<String>,
    /// The login of a second account for administration, with its own group.
    pub(in crate::demo) second_login: Option<String>,
}

/// An account in the CRM.
#[derive(Debug, Clone)]
pub(in crate::demo) struct Crm {
    pub(in crate::demo) roles: Vec<String>,
    /// Labels of personal API keys.
    pub(in crate::demo) keys: Vec<String>,
    pub(in crate::demo) sessions: u64,
    /// False for an old account that nobody has joined to the HR number: only the address fits.
    pub(in crate::demo) staff_number_known: bool,
    pub(in crate::demo) honesty: Honesty,
}

/// Whether the CRM does what it says for this account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::demo) enum Honesty {
    /// It does.
    Honest,
    /// The first writes answer 200 and do nothing; this many of them.
    LiesFirst(u32),
    /// Every write answers 200 and does nothing.
    Lies,
}

/// A row of users in the payroll.
#[derive(Debug, Clone)]
pub(in crate::demo) struct Payroll {
    pub(in crate::demo) grants: Vec<String>,
}

/// A line in the wiki's password file.
#[derive(Debug, Clone)]
pub(in crate::demo) struct Wiki {
    pub(in crate::demo) groups: Vec<String>,
    /// What the owner signs in with; the file holds its hash.
    pub(in crate::demo) password: String,
}

/// Draws the access of one person.
pub(super) fn of(person: &Person, dice: &mut Seed) -> Access {
    let department = person.department.as_str();
    let service = person.employment == Employment::Service;
    let uses = |dice: &mut Seed, percent| person.privileged || dice.chance(percent);
    Access {
        directory: Some(directory(person, dice)),
        crm: match department {
            "Sales" | "Support" => Some(crm(person, dice)),
            _ if service || uses(dice, 35) => Some(crm(person, dice)),
            _ => None,
        },
        payroll: match department {
            "Finance" | "People" => Some(payroll(person, dice)),
            _ if uses(dice, 25) || person.username == INVOICES => Some(payroll(person, dice)),
            _ => None,
        },
        wiki: (uses(dice, 80) || person.stays()).then(|| wiki(person, dice)),
    }
}

fn directory(person: &Person, dice: &mut Seed) -> Directory {
    let mut groups = Vec::new();
    match person.employment {
        Employment::Employee => groups.push("Everyone".to_owned()),
        Employment::Contractor => groups.push("Contractors".to_owned()),
        Employment::Service => groups.push("Service Accounts".to_owned()),
    }
    if person.employment != Employment::Service {
        groups.push(person.department.clone());
    }
    for (group, percent) in [("VPN", 60), ("Travel", 20), ("On Call", 12)] {
        if dice.chance(percent) {
            groups.push(group.to_owned());
        }
    }
    Directory {
        groups,
        second_login: person
            .privileged
            .then(|| format!("adm-{}", person.username)),
    }
}

fn crm(person: &Person, dice: &mut Seed) -> Crm {
    let mut roles = vec!["viewer".to_owned()];
    if matches!(person.department.as_str(), "Sales" | "Support") || dice.chance(25) {
        roles.push("editor".to_owned());
    }
    if dice.chance(20) {
        roles.push("exporter".to_owned());
    }
    if person.privileged {
        roles.push("admin".to_owned());
    }
    let mut keys = Vec::new();
    if person.employment == Employment::Service || dice.chance(30) {
        keys.push("import script".to_owned());
    }
    if dice.chance(10) {
        keys.push("spreadsheet".to_owned());
    }
    Crm {
        roles,
        keys,
        sessions: dice.below(4) as u64,
        staff_number_known: true,
        honesty: Honesty::Honest,
    }
}

fn payroll(person: &Person, dice: &mut Seed) -> Payroll {
    let mut grants = vec!["payslips.read".to_owned()];
    if matches!(person.department.as_str(), "Finance" | "People") {
        grants.push("salaries.read".to_owned());
    }
    if person.privileged || dice.chance(20) {
        grants.push("runs.approve".to_owned());
    }
    Payroll { grants }
}

fn wiki(person: &Person, dice: &mut Seed) -> Wiki {
    let mut groups = vec!["readers".to_owned()];
    if dice.chance(50) {
        groups.push("editors".to_owned());
    }
    if person.privileged {
        groups.push("admins".to_owned());
    }
    Wiki {
        groups,
        password: dice.uuid(),
    }
}

/// Puts the wrinkles where the order of leaving meets them early, and then again and again.
pub(super) fn settle_wrinkles(staff: &mut [(Person, Access)]) {
    let standard = staff
        .iter_mut()
        .filter(|(person, _)| person.employment == Employment::Employee && !person.privileged);
    let in_crm = standard.filter_map(|(_, access)| access.crm.as_mut());
    for (index, crm) in in_crm.enumerate() {
        match index % 10 {
            1 => crm.honesty = Honesty::Lies,
            3 => crm.honesty = Honesty::LiesFirst(1),
            2 => crm.staff_number_known = index > 10,
            7 => crm.honesty = Honesty::LiesFirst(2),
            _ => {}
        }
    }
}
