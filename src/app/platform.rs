//! The secrets that are no connector's credentials: Kafka's, desks', the console's, the log's, probes'.
//!
//! Owns which there are, where each is configured, and what the vault keeps of it. No rotation replaces
//! them: a worker uses what a person puts in. Values are not looked at.

use std::sync::Arc;

use serde::Serialize;

use super::vault;
use crate::config::{Places, Settings, manifest_file};
use crate::connectors::{Probe, Registry};
use crate::domain::expiry::{self, Alarm};
use crate::domain::id::ConnectorName;
use crate::domain::outcome::Failure;
use crate::domain::rotation::SecretAge;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;
use crate::secrets::{Owner, Secrets, SlotRecord, Vault};

/// How long before its end such a secret is told: as a manifest's own, where it says nothing else.
const TOLD_BEFORE_SECONDS: u64 = 14 * 86_400;
/// Who replaces what nothing else does.
const BY_A_PERSON: &str = "by a person";

/// One line of the list: what is configured, and what is kept of it. No value.
#[derive(Debug, Clone, Serialize)]
pub struct PlatformSecret {
    /// Which part uses it: `kafka`, `desk NAME`, `console`, `log`, `probe NAME of CONNECTOR`.
    pub owner: String,
    /// What for.
    pub purpose: String,
    /// Where it is said to lie.
    pub reference: String,
    /// The file that says so.
    pub file: String,
    /// The line there; `None` where the file does not say it and the usual holds.
    pub line: Option<u32>,
    /// The key there.
    pub key: String,
    /// Age of the current value; `None` when the vault has none.
    pub age_seconds: Option<u64>,
    /// When it is taken no more, where that was told.
    pub expires: Option<Timestamp>,
    /// What is wrong with it, if anything.
    pub alarm: Option<Alarm>,
    /// Who replaces it; never a rotation.
    pub replaced: &'static str,
    /// The command that puts a value in.
    pub put_in_with: String,
    /// Why the vault does not tell, if it does not.
    pub unreadable: Option<Failure>,
}

/// What is configured.
struct Declared {
    owner: String,
    purpose: String,
    file: String,
    key: String,
    kept_as: Owner,
    replaced: &'static str,
    put_in_with: String,
    /// Whether the program draws it by itself where there is none.
    drawn: bool,
}

/// Every such secret with its place among `places`, in the order of `clawback.toml` and of the connectors' names.
pub async fn list(
    settings: &Settings,
    registry: &Registry,
    places: &Places,
    vault: &Arc<dyn Vault>,
    now: Timestamp,
) -> Vec<PlatformSecret> {
    let declared = declared(settings, registry);
    let owners = declared.iter().map(|one| Some(one.kept_as.clone()));
    let owners: Vec<_> = owners.collect();
    let kept = Secrets::new(vault.clone()).kept_of(&owners).await;
    let lines = declared.into_iter().zip(kept).map(|(one, read)| {
        let (record, unreadable) = match read {
            Ok(record) => (record, None),
            Err(error) => (None, Some(Failure::from(error))),
        };
        let current = record.and_then(|record| record.current);
        PlatformSecret {
            alarm: match &current {
                Some(current) => expiry::alarm(&age(&one.kept_as, current), now),
                None => (!one.drawn && unreadable.is_none()).then_some(Alarm::Missing),
            },
            age_seconds: current.as_ref().map(|current| {
                u64::try_from(now.duration_since(current.created).as_secs()).unwrap_or(0)
            }),
            expires: current.and_then(|current| current.expires),
            line: places.line(&one.file, &one.key),
            owner: one.owner,
            purpose: one.purpose,
            reference: one.kept_as.reference,
            file: one.file,
            key: one.key,
            replaced: one.replaced,
            put_in_with: one.put_in_with,
            unreadable,
        }
    });
    lines.collect()
}

fn declared(settings: &Settings, registry: &Registry) -> Vec<Declared> {
    let own = |owner: &str, purpose: &str, key: String, reference: &str| Declared {
        owner: owner.to_owned(),
        purpose: purpose.to_owned(),
        file: settings.file.display().to_string(),
        key,
        kept_as: vault::platform(reference),
        replaced: BY_A_PERSON,
        put_in_with: format!("clawback secrets set {reference}"),
        drawn: false,
    };
    let mut declared = vec![Declared {
        replaced: "clawback audit change-key",
        drawn: true,
        ..own(
            "log",
            "signs checkpoints",
            "audit.key".to_owned(),
            &settings.audit.key,
        )
    }];
    if let Some(kafka) = &settings.kafka {
        for (property, reference) in kafka.connection.references() {
            let key = format!("kafka.properties.{property}");
            declared.push(own("kafka", &property, key, &reference));
        }
    }
    for desk in settings.desks.iter() {
        let owner = format!("desk {}", desk.name);
        let key = |key: &str| format!("desks.{}.{key}", desk.name);
        declared.push(own(&owner, "its API", key("secret"), &desk.secret));
        if let Some(reference) = &desk.callback_secret {
            let key = key("callback_secret");
            declared.push(own(&owner, "its callbacks", key, reference));
        }
    }
    let oidc = settings.console.oidc.as_ref();
    if let Some(reference) = oidc.and_then(|oidc| oidc.client_secret.as_ref()) {
        let key = "console.oidc.client_secret".to_owned();
        declared.push(own("console", "sign-in by OpenID Connect", key, reference));
    }
    for connector in registry.iter() {
        let (name, manifest) = (connector.name(), connector.manifest());
        let probes = manifest.probes.iter().enumerate();
        declared.extend(probes.flat_map(|one| of_probe(settings, name, one)));
    }
    declared
}

fn of_probe(
    settings: &Settings,
    connector: &ConnectorName,
    (number, probe): (usize, &Probe),
) -> Vec<Declared> {
    let references = probe.references().into_iter();
    let declared = references.map(|(key, reference)| Declared {
        owner: format!("probe {} of {connector}", probe.name),
        purpose: match key.strip_prefix("kept.") {
            Some(login) => format!("tries {login}"),
            None => "control".to_owned(),
        },
        file: manifest_file(settings, connector),
        key: format!("probe[{number}].{key}"),
        kept_as: Owner::of_probe(connector, reference),
        replaced: BY_A_PERSON,
        put_in_with: format!("clawback secrets set {connector} --probe {reference}"),
        drawn: false,
    });
    declared.collect()
}

fn age(owner: &Owner, current: &SlotRecord) -> SecretAge {
    SecretAge {
        connector: owner.connector.clone(),
        role: CredentialRole::Writer,
        created: current.created,
        max_age_seconds: None,
        expires: current.expires,
        renew_before_seconds: TOLD_BEFORE_SECONDS,
        rotating: false,
        attested: None,
    }
}

impl PlatformSecret {
    /// What is wrong, where, and what to do; `None` while nothing is.
    pub fn trouble(&self) -> Option<String> {
        let (owner, purpose, reference) = (&self.owner, &self.purpose, &self.reference);
        let place = place(&self.file, self.line, &self.key);
        if let Some(failure) = &self.unreadable {
            return Some(format!(
                "{place}: {reference} ({owner}, {purpose}) cannot be read: {failure}; {} in docs/errors.md \
                 says what to do",
                failure.code
            ));
        }
        let alarm = self.alarm?;
        let found = match (alarm, self.expires) {
            (Alarm::Missing, _) => "is not in the vault".to_owned(),
            (alarm, Some(end)) => format!("{} ({end})", alarm.as_str()),
            (alarm, None) => alarm.as_str().to_owned(),
        };
        let put = &self.put_in_with;
        Some(format!(
            "{place}: {reference} ({owner}, {purpose}) {found}; put one in with `{put}`"
        ))
    }
}

/// File, line where it is known, and key.
pub fn place(file: &str, line: Option<u32>, key: &str) -> String {
    match line {
        Some(line) => format!("{file}:{line}: `{key}`"),
        None => format!("{file}: `{key}`"),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::app::wall;
    use crate::config::{self, Config};
    use crate::secrets::{Change, NewSecret};

    const SETTINGS: &str = r#"
[kafka]
bootstrap_servers = "kafka:9093"
group = "clawback"
topics = ["lifecycle"]
[kafka.properties]
"security.protocol" = "sasl_ssl"
"sasl.password" = { secret = "local:kafka/password" }
[console]
public_url = "https://clawback.example"
[console.oidc]
issuer = "https://id.example"
client_id = "clawback"
client_secret = "local:console/oidc"
[console.oidc.roles]
operator = ["ops"]
[desks.helpdesk]
kind = "webhook"
url = "https://desk.example/hook"
secret = "kv:desks/helpdesk"
callback_secret = "local:desks/callback"
"#;

    const PROBE: &str = r#"
[[probe]]
name = "page"
kind = "http"
url = "https://build.example"
path = "/api/me"
shown_as = "basic"
refused = { status = ["401"] }
[probe.kept]
robot = "local:wiki/probe/robot"
[probe.control]
login = "canary"
secret = "local:wiki/probe/canary"
"#;

    async fn put(settings: &Settings, owner: &Owner, expires: Option<&str>) {
        let change = Change::Put {
            new: NewSecret {
                value: SecretString::from("s3cret"),
                username: None,
                remote_ref: None,
                expires: expires.map(|end| end.parse().expect("an instant")),
            },
            at: "2026-11-20T00:00:00Z".parse().expect("an instant"),
        };
        let vault = vault::open(settings, &wall::clock()).expect("opens");
        vault.change(owner, change).await.expect("kept");
    }

    /// Files with every kind of reference, and a vault with a key and nothing in it.
    fn house(folder: &std::path::Path) -> Config {
        let manifest = include_str!("../demo/manifests/wiki.toml").replace("{path}", "/nowhere");
        std::fs::create_dir(folder.join("connectors")).expect("made");
        let file = folder.join("connectors/wiki.toml");
        std::fs::write(file, format!("{manifest}{PROBE}")).expect("written");
        let file = folder.join(config::DEFAULT_FILE);
        std::fs::write(&file, SETTINGS).expect("written");
        let config = Config::load(&file, &wall::clock()).unwrap_or_else(|found| panic!("{found}"));
        vault::create_key(&config.settings).expect("a key");
        config
    }

    async fn listed(config: &Config) -> Vec<PlatformSecret> {
        let vault = vault::open(&config.settings, &wall::clock()).expect("opens");
        let now = "2026-11-23T00:00:00Z".parse().expect("an instant");
        let places = Places::read(&config.settings);
        list(&config.settings, &config.connectors, &places, &vault, now).await
    }

    #[tokio::test]
    async fn d5_what_the_vault_lacks_is_told_with_its_place_and_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = house(folder.path());
        let troubles: Vec<_> = listed(&config)
            .await
            .iter()
            .filter_map(PlatformSecret::trouble)
            .collect();
        let expected = [
            (
                "clawback.toml:8: `kafka.properties.sasl.password`",
                "clawback secrets set local:kafka/password",
            ),
            ("clawback.toml:20: `desks.helpdesk.secret`", "CB-SECRETS-9"),
            (
                "clawback.toml:21: `desks.helpdesk.callback_secret`",
                "clawback secrets set local:desks/callback",
            ),
            (
                "clawback.toml:14: `console.oidc.client_secret`",
                "clawback secrets set local:console/oidc",
            ),
            (
                "`probe[0].kept.robot`",
                "clawback secrets set wiki --probe local:wiki/probe/robot",
            ),
            (
                "`probe[0].control.secret`",
                "clawback secrets set wiki --probe local:wiki/probe/canary",
            ),
        ];
        assert_eq!(troubles.len(), expected.len(), "{troubles:#?}");
        for (trouble, (place, remedy)) in troubles.iter().zip(expected) {
            assert!(
                trouble.contains(place) && trouble.contains(remedy),
                "{trouble}"
            );
        }
        assert!(
            troubles[5].contains("connectors/wiki.toml:"),
            "{troubles:#?}"
        );
    }

    #[tokio::test]
    async fn d5_what_is_kept_has_an_age_an_end_and_nobody_who_rotates_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = house(folder.path());
        let settings = &config.settings;
        put(settings, &vault::platform("local:kafka/password"), None).await;
        let end = Some("2026-11-22T00:00:00Z");
        put(settings, &vault::platform("local:console/oidc"), end).await;
        let wiki = ConnectorName::from("wiki");
        let canary = Owner::of_probe(&wiki, "local:wiki/probe/canary");
        put(settings, &canary, None).await;
        let listed = listed(&config).await;
        let of = |key: &str| listed.iter().find(|one| one.key == key).expect("is listed");
        let kafka = of("kafka.properties.sasl.password");
        assert_eq!((kafka.age_seconds, kafka.alarm), (Some(3 * 86_400), None));
        assert_eq!(
            (kafka.owner.as_str(), kafka.replaced),
            ("kafka", BY_A_PERSON)
        );
        assert_eq!(of("console.oidc.client_secret").alarm, Some(Alarm::Ended));
        assert_eq!(of("probe[0].control.secret").trouble(), None);
        let log = of("audit.key");
        assert_eq!(
            (log.alarm, log.line),
            (None, None),
            "it is drawn when it is first needed"
        );
        let shown = serde_json::to_string(&listed).expect("JSON");
        assert!(!shown.contains("s3cret"));
    }
}
