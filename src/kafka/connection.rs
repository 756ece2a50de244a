//! How to reach the brokers: addresses, TLS, SASL and whatever else librdkafka takes.
//!
//! Owns the `bootstrap_servers`, `client_id` and `properties` of the `[kafka]` table. Properties
//! go to librdkafka as they are, except those on which intake's promises rest: these are refused
//! with the reason. A value may be a secret reference; whoever loads the configuration resolves
//! it. Debug shows values of harmless keys only. Topics and batches are intake's settings.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use secrecy::{ExposeSecret, SecretString};

use crate::document::Table;

/// Records on the embedded broker are at most this large: it keeps 5 MiB for each partition.
const EMBEDDED_RECORD_BYTES: &str = "65536";

/// Keys whose values may be shown. A key that is not listed may hold a secret: librdkafka has
/// several spellings for some, and new ones come with each version.
const SAFE: &[&str] = &[
    "broker.address.family",
    "compression.type",
    "connections.max.idle.ms",
    "enable.ssl.certificate.verification",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "group.instance.id",
    "group.protocol",
    "heartbeat.interval.ms",
    "linger.ms",
    "max.poll.interval.ms",
    "message.max.bytes",
    "metadata.max.age.ms",
    "partition.assignment.strategy",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "sasl.mechanism",
    "sasl.mechanisms",
    "security.protocol",
    "session.timeout.ms",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
];

/// Keys that hold a secret in any case: in a file they must be references.
const SECRET: &[&str] = &[
    "sasl.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.secret",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
];

/// Stands for a secret that has not been looked up, so that its property's name can be judged.
const PLACEHOLDER: &str = "placeholder";
/// How librdkafka begins when not the name but the value is wrong.
const ABOUT_THE_VALUE: &[&str] = &["Invalid value", "Expected bool value"];

/// Keys that Clawback sets itself, and why nobody else may.
const OWNED: &[(&str, &str)] = &[
    (
        "bootstrap.servers",
        "write it as `bootstrap_servers` in [kafka]",
    ),
    (
        "metadata.broker.list",
        "write it as `bootstrap_servers` in [kafka]",
    ),
    ("client.id", "write it as `client_id` in [kafka]"),
    ("group.id", "write it as `group` in [kafka]"),
    (
        "enable.auto.commit",
        "offsets are committed after the database has, and not by a timer",
    ),
    (
        "enable.auto.offset.store",
        "offsets are stored after the database has committed",
    ),
    (
        "auto.offset.reset",
        "a new group starts from the earliest event: `latest` loses leavers",
    ),
    (
        "isolation.level",
        "events of aborted transactions must not be read",
    ),
    ("enable.partition.eof", "intake reads without an end"),
    ("statistics.interval.ms", "lag and readiness depend on it"),
    (
        "transactional.id",
        "the outbox is the transaction; Kafka's are not used",
    ),
    (
        "enable.idempotence",
        "the outbox relies on the idempotent producer",
    ),
    ("acks", "a message counts when all replicas have it"),
    (
        "request.required.acks",
        "a message counts when all replicas have it",
    ),
    ("test.mock.num.brokers", "`clawback dev` has its own broker"),
];

/// Beginnings of keys that only one side understands; the other would warn about them.
const CONSUMER_ONLY: &[&str] = &[
    "group.",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "partition.assignment.strategy",
    "max.poll.interval.ms",
    "queued.",
    "fetch.",
    "check.crcs",
    "coordinator.query.interval.ms",
];
const PRODUCER_ONLY: &[&str] = &[
    "queue.buffering.",
    "linger.ms",
    "compression.",
    "batch.",
    "delivery.timeout.ms",
    "message.timeout.ms",
    "request.timeout.ms",
    "message.send.max.retries",
    "retries",
    "partitioner",
    "sticky.partitioning",
];

/// The value of a property.
#[derive(Clone)]
pub enum Property {
    /// As written.
    Plain(String),
    /// A reference to a secret that has not been looked up yet.
    Reference(String),
    /// A secret.
    Secret(SecretString),
}

/// How to reach the brokers.
#[derive(Clone)]
pub struct Connection {
    bootstrap_servers: String,
    client_id: String,
    embedded: bool,
    properties: BTreeMap<String, Property>,
}

/// A client was wanted before all references were looked up.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("CB-KAFKA-1: the secret for Kafka's `{0}` has not been looked up")]
pub struct Unresolved(pub String);

impl Connection {
    /// A connection without any property, for tests and tools.
    pub fn to(bootstrap_servers: &str) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.to_owned(),
            client_id: "clawback".to_owned(),
            embedded: false,
            properties: BTreeMap::new(),
        }
    }

    /// A connection to the embedded broker. There is no way to write this into a file, so that
    /// nothing but `dev` and tests can end up on a broker that forgets.
    pub fn embedded(bootstrap_servers: &str) -> Self {
        Self {
            embedded: true,
            ..Self::to(bootstrap_servers)
        }
    }

    /// True for the embedded broker.
    pub fn is_embedded(&self) -> bool {
        self.embedded
    }

    /// Sets one property, as a test or a tool may.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.properties
            .insert(key.to_owned(), Property::Plain(value.to_owned()));
        self
    }

    /// Reads its keys of the `[kafka]` table; problems go into the document.
    pub fn read(table: &Table<'_>) -> Self {
        let servers = table.required_string("bootstrap_servers");
        if let Some(servers) = &servers
            && servers.value.split(',').any(|s| !names_a_port(s.trim()))
        {
            table.report(
                servers.line,
                "`kafka.bootstrap_servers` has an address without a port",
                "write host:port, several with commas between them",
            );
        }
        let mut connection = Self::to(&servers.map(|s| s.value).unwrap_or_default());
        if let Some(id) = table.string("client_id") {
            connection.client_id = id.value;
        }
        if let Some(properties) = table.table("properties") {
            for key in properties.keys() {
                if let Some(value) = read_property(&properties, &key.value) {
                    connection.properties.insert(key.value, value);
                }
            }
        }
        connection
    }

    /// The references that have to be looked up, each with its key.
    pub fn references(&self) -> Vec<(String, String)> {
        self.properties
            .iter()
            .filter_map(|(key, value)| match value {
                Property::Reference(reference) => Some((key.clone(), reference.clone())),
                Property::Plain(_) | Property::Secret(_) => None,
            })
            .collect()
    }

    /// Puts the secret in place of the reference of this key.
    pub fn resolve(&mut self, key: &str, secret: SecretString) {
        self.properties
            .insert(key.to_owned(), Property::Secret(secret));
    }

    /// What a consumer of this group is created from.
    ///
    /// # Errors
    /// When a reference has not been looked up.
    pub fn consumer(&self, group: &str) -> Result<ClientConfig, Unresolved> {
        let mut config = self.base(PRODUCER_ONLY)?;
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "false")
            // Topics are the owner's to create, with the retention that they want.
            .set("allow.auto.create.topics", "false");
        if config.get("queued.max.messages.kbytes").is_none() {
            config.set("queued.max.messages.kbytes", "16384");
        }
        if self.embedded {
            // The mock coordinator takes seconds for the classic protocol, and aborts the process
            // when members disagree on an assignor.
            config.set("group.protocol", "consumer");
        } else if config.get("group.protocol") != Some("consumer")
            && config.get("partition.assignment.strategy").is_none()
        {
            config.set("partition.assignment.strategy", "cooperative-sticky");
        }
        Ok(config)
    }

    /// What a producer is created from that waits so long for a message to be taken, unless the
    /// properties say otherwise.
    ///
    /// # Errors
    /// When a reference has not been looked up.
    pub fn producer(&self, patience: Duration) -> Result<ClientConfig, Unresolved> {
        let mut config = self.base(CONSUMER_ONLY)?;
        if config.get("message.timeout.ms").is_none() && config.get("delivery.timeout.ms").is_none()
        {
            config.set("message.timeout.ms", patience.as_millis().to_string());
        }
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // Java's default, so that a key goes to the same partition whoever sends it.
            .set("partitioner", "murmur2_random");
        if config.get("linger.ms").is_none() {
            config.set("linger.ms", "2");
        }
        if self.embedded {
            config.set("message.max.bytes", EMBEDDED_RECORD_BYTES);
        }
        Ok(config)
    }

    /// What a client that belongs to no group is created from (watermarks, metadata).
    ///
    /// # Errors
    /// When a reference has not been looked up.
    pub fn onlooker(&self) -> Result<ClientConfig, Unresolved> {
        let mut config = self.base(PRODUCER_ONLY)?;
        config.remove("group.instance.id").remove("group.protocol");
        Ok(config)
    }

    fn base(&self, not_for_this_side: &[&str]) -> Result<ClientConfig, Unresolved> {
        let mut config = ClientConfig::new();
        for (key, value) in &self.properties {
            if not_for_this_side.iter().any(|other| key.starts_with(other)) {
                continue;
            }
            match value {
                Property::Plain(value) => config.set(key, value),
                Property::Secret(secret) => config.set(key, secret.expose_secret()),
                Property::Reference(_) => return Err(Unresolved(key.clone())),
            };
        }
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id);
        Ok(config)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("client_id", &self.client_id)
            .field("embedded", &self.embedded)
            .field("properties", &Masked(&self.properties))
            .finish()
    }
}

struct Masked<'a>(&'a BTreeMap<String, Property>);

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (key, value) in self.0 {
            match value {
                Property::Plain(value) if SAFE.contains(&key.as_str()) => map.entry(key, value),
                Property::Reference(reference) => map.entry(key, &format_args!("→ {reference}")),
                Property::Plain(_) | Property::Secret(_) => map.entry(key, &"[redacted]"),
            };
        }
        map.finish()
    }
}

fn names_a_port(address: &str) -> bool {
    let address = address.rsplit("//").next().unwrap_or(address);
    address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}

fn read_property(table: &Table<'_>, key: &str) -> Option<Property> {
    let item = table.json(key)?;
    let refuse = |message: String, remedy: &str| {
        table.report(item.line, message, remedy);
        None
    };
    if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == key) {
        return refuse(
            format!("`kafka.properties.{key}` is Clawback's own to set"),
            &format!("remove it: {reason}"),
        );
    }
    let value = match &item.value {
        serde_json::Value::String(text) => Property::Plain(text.clone()),
        serde_json::Value::Number(number) => Property::Plain(number.to_string()),
        serde_json::Value::Bool(flag) => Property::Plain(flag.to_string()),
        serde_json::Value::Object(map) if map.len() == 1 && map.contains_key("secret") => {
            match map["secret"].as_str() {
                Some(reference) => Property::Reference(reference.to_owned()),
                None => {
                    return refuse(
                        format!("`kafka.properties.{key}.secret` is not a string"),
                        "use a reference such as \"local:kafka/password\"",
                    );
                }
            }
        }
        _ => {
            return refuse(
                format!("`kafka.properties.{key}` is neither a value nor a reference"),
                "use a string, a number, true, false, or { secret = \"local:name\" }",
            );
        }
    };
    if SECRET.contains(&key) && matches!(value, Property::Plain(_)) {
        return refuse(
            format!("`kafka.properties.{key}` holds a secret in clear"),
            "put it into the vault and write { secret = \"local:name\" }",
        );
    }
    match objection(key, &value) {
        Some(words) => refuse(
            format!("`kafka.properties.{key}` is refused by librdkafka"),
            &words,
        ),
        None => Some(value),
    }
}

/// What librdkafka has against a property: its name or its value, and of a secret, which is not there
/// yet, its name alone. The words do not repeat the value.
fn objection(key: &str, value: &Property) -> Option<String> {
    let text = match value {
        Property::Plain(text) => text,
        Property::Reference(_) | Property::Secret(_) => PLACEHOLDER,
    };
    let mut probe = ClientConfig::new();
    probe.set(key, text);
    let Err(KafkaError::ClientConfig(_, words, _, _)) = probe.create_native_config() else {
        return None;
    };
    let about_the_value = ABOUT_THE_VALUE.iter().any(|start| words.starts_with(start));
    if about_the_value && !matches!(value, Property::Plain(_)) {
        return None;
    }
    Some(words.replace(text, "…"))
}

/// The error without the value that was refused, which may be a secret: librdkafka's words and the
/// client's both repeat it. Whatever makes a client passes its error through here.
pub fn without_value(error: KafkaError) -> KafkaError {
    let KafkaError::ClientConfig(result, _, key, _) = error else {
        return error;
    };
    let words = match result {
        RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN => "there is no property",
        _ => "librdkafka refuses the value of",
    };
    KafkaError::ClientConfig(result, words.to_owned(), key, String::new())
}

#[cfg(test)]
mod tests;
