//! The `[console]` table of `clawback.toml`.
//!
//! Owns where the console listens. Does not open the port.

use std::net::SocketAddr;

use crate::document::Table;

/// Where the console listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address and port; `None` means no console.
    pub listen: Option<SocketAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
        }
    }
}

impl Settings {
    /// Reads the table; problems go into its document.
    pub fn read(table: &Table<'_>) -> Self {
        let mut settings = Self::default();
        if let Some(item) = table.boolean("enabled")
            && !item.value
        {
            settings.listen = None;
        }
        if let Some(item) = table.string("listen") {
            match item.value.parse() {
                Ok(address) => settings.listen = settings.listen.and(Some(address)),
                Err(_) => table.report(
                    item.line,
                    format!("`listen` is `{}`", item.value),
                    "write address and port, for example 127.0.0.1:9464",
                ),
            }
        }
        table.finish();
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> (Settings, usize) {
        let document = Document::parse("a.toml", text).expect("TOML");
        let settings = Settings::read(&document.root());
        (settings, document.take_problems().0.len())
    }

    #[test]
    fn the_console_listens_where_it_is_told_or_not_at_all() {
        let told = |text| read(text).0.listen.map(|address| address.to_string());
        assert_eq!(told(""), Some("127.0.0.1:9464".to_owned()));
        assert_eq!(told("listen = \"[::1]:80\""), Some("[::1]:80".to_owned()));
        assert_eq!(told("enabled = false\nlisten = \"[::1]:80\""), None);
        assert_eq!(read("listen = \"here\"\nport = 1").1, 2);
    }
}
