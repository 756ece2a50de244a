//! The `[telemetry]` table of `clawback.toml`.
//!
//! Owns what is told, in which form and where to. Headers with credentials are not among it: a
//! collector that wants them is reached through an agent on the same host.

use crate::document::Table;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// What is told, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Form of log lines.
    pub log_format: LogFormat,
    /// Which lines, in the notation of `tracing`: `info,clawback::engine=debug`.
    pub log_filter: String,
    /// Where traces go (OTLP over HTTP, protobuf), for example
    /// `http://127.0.0.1:4318/v1/traces`; `None` makes none.
    pub otlp_endpoint: Option<String>,
    /// How long one export may take.
    pub otlp_timeout_seconds: u64,
    /// Of a hundred cases, so many are traced. A case is traced whole or not at all.
    pub sample_percent: u8,
    /// `service.name` of what is told.
    pub service_name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Human,
            log_filter: "info".to_owned(),
            otlp_endpoint: None,
            otlp_timeout_seconds: 10,
            sample_percent: 100,
            service_name: "clawback".to_owned(),
        }
    }
}

impl Settings {
    /// Whether each line is one JSON object.
    pub fn is_json(&self) -> bool {
        self.log_format == LogFormat::Json
    }

    /// Reads the table; problems go into its document.
    pub fn read(table: &Table<'_>) -> Self {
        let mut settings = Self::default();
        if let Some(item) = table.string("log_format") {
            match item.value.as_str() {
                "human" => settings.log_format = LogFormat::Human,
                "json" => settings.log_format = LogFormat::Json,
                other => table.report(
                    item.line,
                    format!("`log_format` is `{other}`"),
                    "use human or json",
                ),
            }
        }
        if let Some(item) = table.string("log_filter") {
            if let Err(error) = super::start::filter(&item.value) {
                table.report(
                    item.line,
                    format!("`log_filter` can't be understood: {error}"),
                    "write a level such as `info`, or `info,clawback::engine=debug`",
                );
            }
            settings.log_filter = item.value;
        }
        if let Some(item) = table.string("otlp_endpoint") {
            if !item.value.starts_with("http://") && !item.value.starts_with("https://") {
                table.report(
                    item.line,
                    format!("`otlp_endpoint` is `{}`", item.value),
                    "write a URL such as http://127.0.0.1:4318/v1/traces",
                );
            }
            settings.otlp_endpoint = Some(item.value);
        }
        if let Some(item) = table.integer("otlp_timeout_seconds", 1..=120) {
            settings.otlp_timeout_seconds = item.value.unsigned_abs();
        }
        if let Some(item) = table.integer("sample_percent", 0..=100) {
            settings.sample_percent = item.value as u8;
        }
        if let Some(item) = table.string("service_name") {
            settings.service_name = item.value;
        }
        table.finish();
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    #[test]
    fn a_telemetry_table_is_read_and_wrong_values_are_refused_at_once() {
        let text = "log_format = \"json\"\notlp_endpoint = \"http://[::1]:4318/v1/traces\"\nsample_percent = 10\n";
        let document = Document::parse("a.toml", text).expect("TOML");
        let settings = Settings::read(&document.root());
        assert!(document.take_problems().is_empty());
        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!(settings.sample_percent, 10);

        let text = "log_format = \"xml\"\nlog_filter = \"=loud=\"\notlp_endpoint = \"collector\"\n\
                    sample_percent = 101\nverbose = true\n";
        let document = Document::parse("a.toml", text).expect("TOML");
        Settings::read(&document.root());
        let mut lines: Vec<_> = document
            .take_problems()
            .0
            .iter()
            .map(|problem| problem.line)
            .collect();
        lines.sort_unstable();
        assert_eq!(lines, [1, 2, 3, 4, 5]);
    }
}
