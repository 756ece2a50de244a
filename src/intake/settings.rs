//! The `[kafka]` table of the configuration.
//!
//! Owns topics, group, batch and bounds; the keys about reaching the brokers are read by the
//! `kafka` room from the same table. Reports all problems with their lines, unknown keys included.

use crate::document::Table;
use crate::kafka::Connection;

/// What intake reads, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How to reach the brokers.
    pub connection: Connection,
    /// Topics with lifecycle events.
    pub topics: Vec<String>,
    /// Consumer group; all workers of one installation share it.
    pub group: String,
    /// At most so many messages are recorded in one transaction.
    pub batch_messages: u32,
    /// How long a batch may wait for a further message, once it has one.
    pub linger_milliseconds: u64,
    /// Larger messages are dead letters, unread.
    pub message_bytes_max: usize,
    /// At most so many dead letters in `flood_window_seconds`; at the bound reading holds.
    pub flood_dead_letters: u32,
    /// See `flood_dead_letters`.
    pub flood_window_seconds: u64,
    /// A consumer that receives nothing for so long although messages wait is made anew.
    pub stuck_seconds: u64,
}

impl Settings {
    /// Defaults on this connection.
    pub fn on(connection: Connection) -> Self {
        Self {
            // The embedded broker keeps 5 MiB for each partition, so records must be small.
            message_bytes_max: if connection.is_embedded() { 64 } else { 512 } * 1024,
            connection,
            topics: vec!["identity.lifecycle.v1".to_owned()],
            group: "clawback".to_owned(),
            batch_messages: 500,
            linger_milliseconds: 5,
            flood_dead_letters: 1000,
            flood_window_seconds: 300,
            stuck_seconds: 300,
        }
    }

    /// Reads the `[kafka]` table; problems go into the document.
    pub fn read(table: &Table<'_>) -> Self {
        let mut settings = Self::on(Connection::read(table));
        let topics = table.strings("topics");
        for topic in &topics {
            if !is_topic(&topic.value) {
                table.report(
                    topic.line,
                    "`kafka.topics` has a name that Kafka does not allow",
                    "use letters, digits, `.`, `_` and `-`, and leave room for `.dlq`",
                );
            }
        }
        if !topics.is_empty() {
            settings.topics = topics.into_iter().map(|topic| topic.value).collect();
        } else if table.has("topics") {
            table.report(
                table.line(),
                "`kafka.topics` names no topic",
                "name one, or leave it out for identity.lifecycle.v1",
            );
        }
        if let Some(group) = table.string("group") {
            if group.value.is_empty() {
                table.report(group.line, "`kafka.group` is empty", "name the group");
            }
            settings.group = group.value;
        }
        let number = |key: &str, allowed, default: u64| {
            table
                .integer(key, allowed)
                .map_or(default, |item| item.value.unsigned_abs())
        };
        let bytes = settings.message_bytes_max as u64;
        settings.batch_messages = number("batch_messages", 1..=10_000, 500) as u32;
        settings.linger_milliseconds = number("linger_milliseconds", 0..=1_000, 5);
        settings.message_bytes_max =
            number("message_bytes_max", 1_024..=10_485_760, bytes) as usize;
        settings.flood_dead_letters = number("flood_dead_letters", 1..=1_000_000, 1000) as u32;
        settings.flood_window_seconds = number("flood_window_seconds", 1..=86_400, 300);
        settings.stuck_seconds = number("stuck_seconds", 30..=3_600, 300);
        table.finish();
        settings
    }
}

/// Kafka allows 249 characters; four are kept for `.dlq`.
fn is_topic(name: &str) -> bool {
    (1..=245).contains(&name.len())
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Problems};

    fn read(text: &str) -> (Settings, Problems) {
        let document = Document::parse("clawback.toml", text).expect("TOML");
        let table = document.root().table("kafka").expect("a table");
        let settings = Settings::read(&table);
        (settings, document.take_problems())
    }

    #[test]
    fn defaults_fill_what_is_left_out() {
        let (settings, problems) = read(
            "[kafka]\nbootstrap_servers = \"a:9092\"\ngroup = \"g\"\nbatch_messages = 50\n\
             properties.\"security.protocol\" = \"ssl\"\n",
        );
        assert!(problems.is_empty(), "{problems}");
        assert_eq!(settings.topics, ["identity.lifecycle.v1"]);
        assert_eq!(
            (settings.group.as_str(), settings.batch_messages),
            ("g", 50)
        );
    }

    #[test]
    fn h3_every_problem_is_reported_at_once_with_its_line() {
        let (_, problems) = read(
            "[kafka]\nbootstrap_servers = \"a:9092\"\ntopics = [\"no spaces\"]\ngroup = \"\"\n\
             batch_messages = 0\nbatch_size = 5\n",
        );
        let lines: Vec<_> = problems.0.iter().map(|p| p.line).collect();
        assert_eq!(lines, [3, 4, 5, 6], "{problems}");
    }
}
