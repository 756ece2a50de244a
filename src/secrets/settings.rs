//! The `[vault]` table of `clawback.toml`.
//!
//! Owns which vault it is, where it lies and where its key comes from; a key or token itself is never
//! in a file that people edit. Reads neither the key file nor the environment.

use std::path::PathBuf;

use super::kv2::ServerSettings;
use crate::document::Table;

/// Where a key, a token or a secret id comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file with mode 0600.
    File(PathBuf),
    /// An environment variable of this name.
    Environment(String),
    /// Asked for at the terminal when the program starts.
    Prompt,
}

/// Where the vault is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The embedded vault: an encrypted file, and a key of 64 hex digits.
    Local {
        /// The encrypted file.
        path: PathBuf,
        /// Its key.
        key: KeySource,
    },
    /// A KV v2 mount of a vault server.
    Server(Box<ServerSettings>),
}

/// Which vault, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it is.
    pub place: Place,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            place: Place::Local {
                path: PathBuf::from("clawback.vault"),
                key: KeySource::File(PathBuf::from("clawback.vault.key")),
            },
        }
    }
}

impl Settings {
    /// Reads the table; problems go into its document. Relative paths are left as they are.
    pub fn read(table: &Table<'_>) -> Self {
        let kind = table.string("kind");
        let place = match kind.as_ref().map_or("local", |item| item.value.as_str()) {
            "local" => Some(read_local(table)),
            "kv2" => ServerSettings::read(table).map(|server| Place::Server(Box::new(server))),
            other => {
                table.report(
                    kind.as_ref().map_or(table.line(), |item| item.line),
                    format!("`vault.kind` is `{other}`"),
                    "use local (an encrypted file) or kv2 (Vault KV version 2)",
                );
                None
            }
        };
        table.finish();
        place.map_or_else(Self::default, |place| Self { place })
    }
}

fn read_local(table: &Table<'_>) -> Place {
    let path = table.string("path");
    if let Some(item) = path.as_ref().filter(|item| item.value.trim().is_empty()) {
        table.report(item.line, "an empty name", "name the file or the variable");
    }
    let key = super::kv2::source(table, "key");
    let prompt = table.boolean("key_prompt").filter(|item| item.value);
    if let (Some(prompt), Some(_)) = (&prompt, &key) {
        table.report(
            prompt.line,
            "the key is to be asked for, and it is said where it lies",
            "keep one of them, so that it is clear which key is meant",
        );
    }
    let asked = prompt.map(|_| KeySource::Prompt);
    let usual = || KeySource::File(PathBuf::from("clawback.vault.key"));
    Place::Local {
        path: path.map_or_else(|| "clawback.vault".into(), |item| item.value.into()),
        key: key.or(asked).unwrap_or_else(usual),
    }
}

#[cfg(test)]
mod tests {
    use super::super::kv2::SignIn;
    use super::*;
    use crate::document::Document;

    fn read(text: &str) -> (Settings, Vec<u32>) {
        let document = Document::parse("a.toml", text).expect("TOML");
        let settings = Settings::read(&document.root());
        let problems = document.take_problems();
        (settings, problems.0.iter().map(|one| one.line).collect())
    }

    #[test]
    fn a_vault_table_is_read_and_doubtful_keys_are_refused() {
        let (settings, problems) = read("path = \"v\"\nkey_env = \"K\"\n");
        let place = Place::Local {
            path: "v".into(),
            key: KeySource::Environment("K".to_owned()),
        };
        assert_eq!((settings.place, problems), (place, vec![]));
        let (_, problems) = read("key_file = \"k\"\nkey_env = \"K\"\nkey = \"00\"\n");
        assert_eq!(problems, [2, 3]);
        let (settings, problems) = read("key_prompt = true\n");
        let Place::Local { key, .. } = settings.place else {
            panic!("it is local");
        };
        assert_eq!((key, problems), (KeySource::Prompt, vec![]));
        let (_, problems) = read("key_prompt = true\nkey_env = \"K\"\n");
        assert_eq!(problems, [1]);
    }

    #[test]
    fn a_server_is_read_and_every_problem_of_it_is_told_at_once() {
        let text = "kind = \"kv2\"\naddress = \"https://vault.example:8200\"\nmount = \"kv\"\n\
                    [approle]\nrole_id = \"r\"\nsecret_id_file = \"/s\"\n";
        let (settings, problems) = read(text);
        assert_eq!(problems, [0; 0]);
        let Place::Server(server) = settings.place else {
            panic!("it is a server");
        };
        assert_eq!(
            (server.mount.as_str(), server.prefix.as_str()),
            ("kv", "clawback")
        );
        let secret_id = KeySource::File("/s".into());
        assert_eq!(server.sign_in.source(), &secret_id);
        assert!(matches!(server.sign_in, SignIn::AppRole { mount, .. } if mount == "approle"));

        let text = "kind = \"kv2\"\naddress = \"http://vault.example:8200\"\nmount = \"../sys\"\n\
                    token = \"hvs.x\"\ntoken_env = \"T\"\n";
        assert_eq!(read(text).1, [2, 3, 4]);
        let text = "kind = \"kv2\"\naddress = \"https://u:hvs.x@vault.example\"\n";
        let document = Document::parse("a.toml", text).expect("TOML");
        Settings::read(&document.root());
        let told = document.take_problems().to_string();
        assert!(!told.contains("hvs.x"), "{told}");
        assert!(told.contains("token_file"), "{told}");
        assert_eq!(read("kind = \"cloud\"\n").1, [1]);
    }
}
