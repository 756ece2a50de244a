//! What a person is to do, filled in: the steps of a manifest are templates.
//!
//! Owns the names that a step may hold in braces, and what each becomes: who, which account, what
//! access it had, and how old that knowledge is. Words only; what is done is the person's.

use super::access::Entitlement;
use super::id::ConnectorName;
use super::task::FallbackTask;
use super::time::Timestamp;

/// Entitlements that a step names one by one; the task itself lists all.
const NAMED: usize = 12;

/// What a step may name in braces.
pub const NAMES: [&str; 6] = [
    "subject",
    "connector",
    "account",
    "access",
    "access_as_of",
    "access_age",
];

/// What is known of the access that a person is to remove.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Who leaves.
    pub subject: &'a str,
    /// The target.
    pub connector: Option<&'a str>,
    /// Login and immutable id.
    pub account: Option<&'a str>,
    /// Access as last known.
    pub access: &'a [Entitlement],
    /// When that was read.
    pub as_of: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// Names in braces that no step may hold.
pub fn unknown_names(step: &str) -> Vec<String> {
    let names = parts(step).filter_map(|part| match part {
        Part::Name(name) if !NAMES.contains(&name) => Some(name.to_owned()),
        Part::Name(_) | Part::Text(_) => None,
    });
    names.collect()
}

impl<'a> Known<'a> {
    /// What a task says.
    pub fn of(task: &'a FallbackTask, now: Timestamp) -> Self {
        Self {
            subject: &task.subject,
            connector: task.connector.as_ref().map(ConnectorName::as_str),
            account: task.account.as_deref(),
            access: &task.access,
            as_of: task.access_as_of,
            now,
        }
    }
    /// The steps, with what is known in place of each name.
    pub fn fill(&self, steps: &[String]) -> Vec<String> {
        let filled = |step: &String| parts(step).map(|part| self.part(part)).collect();
        steps.iter().map(filled).collect()
    }

    fn part(&self, part: Part<'_>) -> String {
        match part {
            Part::Text(text) => text.to_owned(),
            Part::Name("subject") => self.subject.to_owned(),
            Part::Name("connector") => self.connector.unwrap_or("no target").to_owned(),
            Part::Name("account") => self.account.unwrap_or("an unknown account").to_owned(),
            Part::Name("access") => self.access(),
            Part::Name("access_as_of") => self.as_of.map_or_else(
                || "never: nothing was ever read".to_owned(),
                |at| format!("{at:.0}"),
            ),
            Part::Name("access_age") => self.age(),
            Part::Name(other) => format!("{{{other}}}"),
        }
    }

    fn access(&self) -> String {
        if self.as_of.is_none() {
            return "unknown access".to_owned();
        }
        if self.access.is_empty() {
            return "no entitlement that was seen".to_owned();
        }
        let named = self.access.iter().take(NAMED);
        let named = named.map(|one| format!("{} {}", one.kind.as_str(), one.name));
        let mut words = named.collect::<Vec<_>>().join(", ");
        let more = self.access.len().saturating_sub(NAMED);
        if more > 0 {
            words = format!("{words} and {more} more");
        }
        words
    }

    fn age(&self) -> String {
        let Some(at) = self.as_of else {
            return "unknown".to_owned();
        };
        let minutes = self.now.duration_since(at).as_mins().max(0);
        match minutes {
            0..120 => format!("{minutes} min"),
            120..2880 => format!("{} h", minutes / 60),
            _ => format!("{} days", minutes / 1440),
        }
    }
}

enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// The text cut at names in braces; braces around anything else are text.
fn parts(step: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = step;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((name, after)) = name(rest) {
            rest = after;
            return Some(Part::Name(name));
        }
        let next = rest.char_indices().skip(1);
        let next = next.filter(|(place, _)| name(&rest[*place..]).is_some());
        let end = next.map(|(place, _)| place).next().unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Part::Text(text))
    })
}

fn name(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    let fits = |c: char| c.is_ascii_lowercase() || c == '_';
    (!name.is_empty() && name.chars().all(fits)).then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::super::access::EntitlementKind;
    use super::*;

    fn access() -> Vec<Entitlement> {
        let entitlement = |id: &str, kind| Entitlement {
            id: id.into(),
            kind,
            name: id.to_owned(),
            inherited_from: None,
        };
        vec![
            entitlement("staff", EntitlementKind::Group),
            entitlement("sales", EntitlementKind::Role),
        ]
    }

    fn known(access: &[Entitlement], as_of: Option<&str>) -> String {
        let known = Known {
            subject: "Lea Ver (e-1)",
            connector: Some("crm"),
            account: Some("lea (a-1)"),
            access,
            as_of: as_of.map(|at| at.parse().expect("an instant")),
            now: "2026-11-27T10:30:00Z".parse().expect("an instant"),
        };
        let step = "{subject}: remove {account} in {connector} with {access}, as of {access_as_of} \
                    ({access_age} ago); {not a name} {}";
        known.fill(&[step.to_owned()]).remove(0)
    }

    #[test]
    fn f1_steps_name_the_account_its_access_and_the_age_of_that_knowledge() {
        let access = access();
        assert_eq!(
            known(&access, Some("2026-11-27T07:10:00Z")),
            "Lea Ver (e-1): remove lea (a-1) in crm with group staff, role sales, as of \
             2026-11-27T07:10:00Z (3 h ago); {not a name} {}"
        );
        assert!(known(&access, Some("2026-11-17T07:10:00Z")).contains("(10 days ago)"));
        let many: Vec<_> = (0..20).flat_map(|_| access.clone()).collect();
        assert!(known(&many, Some("2026-11-27T10:00:00Z")).contains("role sales and 28 more"));
    }

    #[test]
    fn f1_what_was_never_read_is_said_to_be_unknown() {
        let told = known(&[], None);
        assert!(
            told.contains("with unknown access, as of never: nothing was ever read (unknown ago)"),
            "{told}"
        );
    }

    #[test]
    fn f1_an_unknown_name_is_found() {
        assert_eq!(unknown_names("ask {owner} about {account}"), ["owner"]);
        assert!(unknown_names("{ } {} {Account} { account }").is_empty());
    }
}
