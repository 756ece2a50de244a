//! The `[vault]` table of `clawback.toml`.
//!
//! Owns where the vault lies and where its key comes from; a key itself is never in a file that
//! people edit. Reads neither the key file nor the environment.

use std::path::PathBuf;

use crate::document::Table;

/// Where the key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file of 64 hex digits with mode 0600.
    File(PathBuf),
    /// An environment variable of this name with 64 hex digits.
    Environment(String),
}

/// Where the vault is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The encrypted file.
    pub path: PathBuf,
    /// Its key.
    pub key: KeySource,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: PathBuf::from("clawback.vault"),
            key: KeySource::File(PathBuf::from("clawback.vault.key")),
        }
    }
}

impl Settings {
    /// Reads the table; problems go into its document. Relative paths are left as they are.
    pub fn read(table: &Table<'_>) -> Self {
        let default = Self::default();
        let path = table.string("path");
        let file = table.string("key_file");
        let environment = table.string("key_env");
        for item in [&path, &file, &environment].into_iter().flatten() {
            if item.value.trim().is_empty() {
                table.report(item.line, "an empty name", "name the file or the variable");
            }
        }
        if let (Some(_), Some(second)) = (&file, &environment) {
            table.report(
                second.line,
                "both `key_file` and `key_env` are given",
                "keep one of them, so that it is clear which key is meant",
            );
        }
        table.finish();
        Self {
            path: path.map_or(default.path, |item| item.value.into()),
            key: match (file, environment) {
                (Some(file), _) => KeySource::File(file.value.into()),
                (None, Some(name)) => KeySource::Environment(name.value),
                (None, None) => default.key,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    #[test]
    fn a_vault_table_is_read_and_doubtful_keys_are_refused() {
        let document = Document::parse("a.toml", "path = \"v\"\nkey_env = \"K\"\n").expect("TOML");
        assert_eq!(
            Settings::read(&document.root()),
            Settings {
                path: "v".into(),
                key: KeySource::Environment("K".to_owned())
            }
        );
        assert!(document.take_problems().is_empty());

        let text = "key_file = \"k\"\nkey_env = \"K\"\nkey = \"00\"\n";
        let document = Document::parse("a.toml", text).expect("TOML");
        Settings::read(&document.root());
        let lines: Vec<_> = document
            .take_problems()
            .0
            .iter()
            .map(|problem| problem.line)
            .collect();
        assert_eq!(lines, [2, 3]);
    }
}
