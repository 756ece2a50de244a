//! The non-human identities of a target, and whether their records still update.
//!
//! Owns how such an account is told from a person's, when its record has fallen silent, and the brake:
//! when more fall silent at once than the manifest lets be forced, it is the target that stopped telling.
//! What is forced goes through the door of events, which is the engine's. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::access::Account;
use super::super::correlation::{ACCOUNT, attribute, same_name};
use super::super::event::{EventKind, LifecycleEvent, Urgency};
use super::super::id::{AccountId, ConnectorName};
use super::super::subject::{Identifier, Subject, SubjectKind};
use super::super::time::{Effective, Timestamp, after};
use super::super::verdict::CredentialRole;
use super::seconds_between;

/// The kind of an identifier that names one of a connector's own credentials, as `connector/role`.
pub const CREDENTIAL: &str = "credential";
/// The source of the events about identities that fell silent.
const SOURCE: &str = "urn:clawback:nhi";

/// How a manifest tells the non-human identities of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identities {
    /// Which accounts are theirs.
    pub accounts: Which,
    /// How often their records are to update; `None` where the target does not tell.
    pub pulse: Option<Pulse>,
    /// The connector's own credentials, each with the login that it signs in as.
    pub own: BTreeMap<CredentialRole, String>,
}

/// Which accounts are of non-human identities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Every one.
    All,
    /// Those whose attribute (`id` and `login` name the account's own fields) fits one of the patterns;
    /// `*` stands for any text at the beginning or the end of one.
    Where {
        /// The attribute.
        attribute: String,
        /// Compared without regard to ASCII case.
        patterns: Vec<String>,
    },
}

/// How often the record of an identity is to update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// The attribute with the time of its last use or last change: RFC 3339, or seconds since 1970.
    pub attribute: String,
    /// The longest pause in seconds.
    pub within_seconds: u64,
    /// How many may be forced by one survey; more at once are a fault of the target.
    pub force_at_most: u64,
}

/// One identity whose record says nothing, or has said nothing for too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its login.
    pub login: String,
    /// The last update that its record tells; where it tells none, when it was first seen.
    pub since: Timestamp,
    /// True where `since` is what its record tells.
    pub told: bool,
    /// When rotation or revocation was forced; `None` while it has time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced: Option<Timestamp>,
}

/// All silent identities of one target, by the account's id.
pub type Silences = BTreeMap<AccountId, Silence>;

/// The identities that one answer showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// How many.
    pub count: u64,
    /// What the record of each tells, where the manifest says that it should.
    pub pulses: BTreeMap<AccountId, (String, Option<Timestamp>)>,
}

impl Identities {
    /// True when the account is a non-human identity's.
    pub fn include(&self, account: &Account) -> bool {
        match &self.accounts {
            Which::All => true,
            Which::Where {
                attribute: name,
                patterns,
            } => account
                .values(name)
                .any(|value| patterns.iter().any(|pattern| fits(pattern, value))),
        }
    }

    /// What these accounts show of identities.
    pub fn shown(&self, accounts: &[Account]) -> Shown {
        let mut shown = Shown::default();
        for account in accounts.iter().filter(|one| self.include(one)) {
            shown.count += 1;
            if let Some(pulse) = &self.pulse {
                let told = attribute(account, &pulse.attribute).and_then(instant);
                let line = (account.login.clone(), told);
                shown.pulses.insert(account.id.clone(), line);
            }
        }
        shown
    }

    /// Who is silent at `at`, given who was; those beyond their interval are forced from now on.
    pub fn silences(&self, before: &Silences, shown: &Shown, at: Timestamp) -> Silences {
        let Some(pulse) = &self.pulse else {
            return Silences::new();
        };
        let mut silent = Silences::new();
        for (id, (login, told)) in &shown.pulses {
            let known = before.get(id);
            let first = known.filter(|known| !known.told).map(|known| known.since);
            let since = told.or(first).unwrap_or(at);
            let over = seconds_between(since, at) > pulse.within_seconds;
            if told.is_some() && !over {
                continue;
            }
            let same = known.filter(|known| (known.since, known.told) == (since, told.is_some()));
            let forced = same.and_then(|known| known.forced);
            let silence = Silence {
                login: login.clone(),
                since,
                told: told.is_some(),
                forced: forced.or(over.then_some(at)),
            };
            silent.insert(id.clone(), silence);
        }
        silent
    }

    /// Why what fell silent is not believed, where more did at once than may be forced.
    pub fn hushed(&self, before: &Silences, now: &Silences) -> Option<String> {
        let most = self.pulse.as_ref()?.force_at_most;
        let count = fallen(before, now).count() as u64;
        (count > most).then(|| {
            format!(
                "{count} non-human identities stopped updating at once, of which at most {most} may be \
                 forced (`nhi.force_at_most`)"
            )
        })
    }

    /// The event that forces rotation, where the identity is one of the connector's own, or else
    /// revocation. Its id follows from target, account and silence: told twice, it is one event.
    pub fn event(
        &self,
        target: &ConnectorName,
        id: &AccountId,
        silence: &Silence,
    ) -> LifecycleEvent {
        let Silence { login, since, .. } = silence;
        let within = self.pulse.as_ref().map_or(0, |pulse| pulse.within_seconds);
        let identifier = |kind: &str, value: String| Identifier {
            kind: kind.to_owned(),
            value,
        };
        let own = self.own.iter().filter(|(_, name)| same_name(name, login));
        let own =
            own.map(|(role, _)| identifier(CREDENTIAL, format!("{target}/{}", role.as_str())));
        let account = identifier(ACCOUNT, format!("{target}/{id}"));
        let what = if silence.told {
            "last updated"
        } else {
            "tells no update, and was first seen"
        };
        LifecycleEvent {
            source: SOURCE.to_owned(),
            id: format!("{target}/{id}/{since}"),
            kind: EventKind::NhiSilent,
            occurred: Some(after(*since, within)),
            subject: Subject {
                kind: SubjectKind::Nhi,
                tenant: target.to_string(),
                id: id.to_string(),
                identifiers: std::iter::once(account).chain(own).collect(),
                display_name: Some(login.clone()),
                privileged: false,
            },
            hr_case: format!("silent/{target}/{id}/{since}"),
            revision: 1,
            effective: Effective::Immediately,
            urgency: Urgency::Planned,
            reason: Some(format!(
                "the record of {login} at {target} {what} at {since}, and is to update every {within} s"
            )),
            connectors: vec![target.clone()],
        }
    }
}

/// Those that are forced now and were not before.
pub fn fallen<'a>(
    before: &'a Silences,
    now: &'a Silences,
) -> impl Iterator<Item = (&'a AccountId, &'a Silence)> {
    now.iter().filter(|(id, silence)| {
        let known = before.get(*id).and_then(|known| known.forced);
        silence.forced.is_some() && known != silence.forced
    })
}

fn fits(pattern: &str, value: &str) -> bool {
    let (pattern, value) = (pattern.to_ascii_lowercase(), value.to_ascii_lowercase());
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(rest), Some(_)) => value.contains(rest.strip_suffix('*').unwrap_or(rest)),
        (Some(end), None) => value.ends_with(end),
        (None, Some(begin)) => value.starts_with(begin),
        (None, None) => value == pattern,
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let seconds = text.parse::<i64>().ok();
    let counted = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    counted.or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{account, dawn};
    use super::*;

    fn identities() -> Identities {
        Identities {
            accounts: Which::Where {
                attribute: "login".to_owned(),
                patterns: vec!["SVC-*".to_owned()],
            },
            pulse: Some(Pulse {
                attribute: "lastUsed".to_owned(),
                within_seconds: 3600,
                force_at_most: 2,
            }),
            own: BTreeMap::new(),
        }
    }

    fn bot(name: &str, used: Option<&str>) -> Account {
        let mut one = account(1, &[]);
        (one.id, one.login) = (name.into(), format!("svc-{name}"));
        let used = used.map(|used| ("lastUsed".to_owned(), used.to_owned()));
        one.attributes.extend(used);
        one
    }

    fn seen(before: &Silences, bots: &[Account], seconds: u64) -> Silences {
        let shown = identities().shown(bots);
        identities().silences(before, &shown, after(dawn(), seconds))
    }

    #[test]
    fn c5_identities_are_told_by_pattern() {
        let person = account(7, &[]);
        assert!(!identities().include(&person));
        assert!(identities().include(&bot("a", None)));
        let cases = [
            ("*-bot", "x-bot", true),
            ("*-bot", "x-bots", false),
            ("*svc*", "a-svc-b", true),
            ("svc", "svc-a", false),
            ("*", "anything", true),
        ];
        for (pattern, value, fit) in cases {
            assert_eq!(fits(pattern, value), fit, "{pattern} {value}");
        }
    }

    #[test]
    fn c5_a_record_is_silent_beyond_its_interval_and_forced_once() {
        let used = dawn().to_string();
        let bots = [bot("a", Some(&used))];
        let young = seen(&Silences::new(), &bots, 3600);
        assert!(young.is_empty());
        let first = seen(&young, &bots, 3601);
        assert_eq!(fallen(&young, &first).count(), 1);
        let second = seen(&first, &bots, 9000);
        assert_eq!(fallen(&first, &second).count(), 0, "forced already");
        // When it updates it is silent no more, and can fall silent anew.
        let again = after(dawn(), 9000).as_second().to_string();
        let bots = [bot("a", Some(&again))];
        let well = seen(&second, &bots, 9001);
        assert!(well.is_empty());
        let third = seen(&well, &bots, 9000 + 3601);
        assert_eq!(fallen(&well, &third).count(), 1);
        let id = AccountId::from("a");
        let events =
            [&first, &third].map(|one| identities().event(&"crm".into(), &id, &one[&id]).id);
        assert_ne!(events[0], events[1], "another silence, another event");
    }

    #[test]
    fn c5_a_record_that_tells_nothing_has_its_interval_from_when_it_was_seen() {
        let bots = [bot("a", None)];
        let first = seen(&Silences::new(), &bots, 0);
        assert_eq!(fallen(&Silences::new(), &first).count(), 0);
        let later = seen(&first, &bots, 3600);
        assert_eq!(fallen(&first, &later).count(), 0);
        let over = seen(&later, &bots, 3601);
        assert_eq!(fallen(&later, &over).count(), 1);
    }

    #[test]
    fn c6_many_that_fall_silent_at_once_are_not_believed() {
        let used = dawn().to_string();
        let bots = |count: u32| -> Vec<_> {
            let names = (0..count).map(|n| n.to_string());
            names.map(|name| bot(&name, Some(&used))).collect()
        };
        let none = Silences::new();
        let two = seen(&none, &bots(2), 4000);
        assert_eq!(identities().hushed(&none, &two), None);
        let three = seen(&none, &bots(3), 4000);
        assert!(identities().hushed(&none, &three).is_some());
        // Two of them are known: one more is one.
        assert_eq!(identities().hushed(&two, &three), None);
    }

    #[test]
    fn c5_the_connectors_own_identity_is_named_by_its_credential() {
        let mut own = identities();
        own.own = BTreeMap::from([(CredentialRole::Writer, "svc-a".to_owned())]);
        let silence = Silence {
            login: "svc-a".to_owned(),
            since: dawn(),
            told: true,
            forced: Some(dawn()),
        };
        let event = own.event(&"crm".into(), &"a".into(), &silence);
        assert_eq!(event.subject.identifier(CREDENTIAL), Some("crm/writer"));
        let other = identities().event(&"crm".into(), &"a".into(), &silence);
        assert_eq!(other.subject.identifier(CREDENTIAL), None);
        assert_eq!(other.subject.identifier(ACCOUNT), Some("crm/a"));
    }
}
