//! The keys of `[vault]` that say where a KV v2 mount is and how one signs in there.
//!
//! Owns `address`, `mount`, `prefix`, `namespace`, `ca_file`, `timeout_seconds`, and the token or
//! AppRole. Holds no token and no secret id: those come from a file or the environment.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::document::Table;
use crate::secrets::KeySource;

/// A server and a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// `https://host:8200`; `http://` on loopback only.
    pub address: Url,
    /// Where the KV v2 engine is mounted.
    pub mount: String,
    /// The folder below the mount; may be empty.
    pub prefix: String,
    /// A namespace (Vault Enterprise, OpenBao).
    pub namespace: Option<String>,
    /// The only authority that is trusted; `None` means those of the system.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// How one signs in.
    pub sign_in: SignIn,
}

/// How one signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// With a token that somebody gave us.
    Token(KeySource),
    /// With an AppRole, which gives a token for a while.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// The role, which is no secret.
        role_id: String,
        /// Where the secret id lies.
        secret_id: KeySource,
    },
}

impl SignIn {
    /// Where what is secret about it lies.
    pub fn source(&self) -> &KeySource {
        match self {
            Self::Token(source)
            | Self::AppRole {
                secret_id: source, ..
            } => source,
        }
    }

    /// The same, to be put beside the configuration.
    pub fn source_mut(&mut self) -> &mut KeySource {
        match self {
            Self::Token(source)
            | Self::AppRole {
                secret_id: source, ..
            } => source,
        }
    }
}

impl ServerSettings {
    /// Reads its keys from `[vault]`; problems go into the document.
    pub(in crate::secrets) fn read(table: &Table<'_>) -> Option<Self> {
        let address = table
            .required_string("address")
            .and_then(|item| read_address(table, &item.value, item.line));
        let path = |key: &str, usual: &str| {
            let item = table.string(key);
            let (text, line) = item.map_or((usual.to_owned(), table.line()), |item| {
                (item.value, item.line)
            });
            let text = text.trim_matches('/').to_owned();
            let strange = |part: &str| {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                part.is_empty() || part == "." || part == ".." || !part.chars().all(plain)
            };
            if (!text.is_empty() || key == "mount") && text.split('/').any(strange) {
                table.report(
                    line,
                    format!("`{}.{key}` is no path", table.path()),
                    "use letters, digits, `-`, `_` and `.`, with `/` between",
                );
            }
            text
        };
        let (mount, prefix) = (path("mount", "secret"), path("prefix", "clawback"));
        let ca_file = table.string("ca_file").map(|item| item.value.into());
        let namespace = table.string("namespace").map(|item| item.value);
        let timeout = table
            .integer("timeout_seconds", 1..=120)
            .map_or(10, |item| item.value.unsigned_abs());
        let sign_in = read_sign_in(table);
        Some(Self {
            address: address?,
            mount,
            prefix,
            namespace,
            ca_file,
            timeout: Duration::from_secs(timeout),
            sign_in: sign_in?,
        })
    }
}

fn read_sign_in(table: &Table<'_>) -> Option<SignIn> {
    let token = source(table, "token");
    let Some(approle) = table.table("approle") else {
        if token.is_none() {
            table.report(
                table.line(),
                "it is not said how one signs in at the vault",
                "add `token_file`, `token_env`, or [vault.approle]",
            );
        }
        return token.map(SignIn::Token);
    };
    let mount = approle.string("mount").map(|item| item.value);
    let role_id = approle.required_string("role_id").map(|item| item.value);
    let secret_id = source(&approle, "secret_id");
    if secret_id.is_none() {
        approle.report(
            approle.line(),
            "it is not said where the secret id lies",
            "add `secret_id_file` or `secret_id_env`; the value itself never stands here",
        );
    }
    approle.finish();
    if token.is_some() {
        table.report(
            table.line(),
            "both a token and [vault.approle] are given",
            "keep one of them, so that it is clear how one signs in",
        );
        return None;
    }
    Some(SignIn::AppRole {
        mount: mount.unwrap_or_else(|| "approle".to_owned()),
        role_id: role_id?,
        secret_id: secret_id?,
    })
}

/// `<what>_file` or `<what>_env`.
pub(in crate::secrets) fn source(table: &Table<'_>, what: &str) -> Option<KeySource> {
    let file = table.string(&format!("{what}_file"));
    let environment = table.string(&format!("{what}_env"));
    for item in [&file, &environment].into_iter().flatten() {
        if item.value.trim().is_empty() {
            table.report(item.line, "an empty name", "name the file or the variable");
        }
    }
    if let (Some(_), Some(second)) = (&file, &environment) {
        table.report(
            second.line,
            format!("both `{what}_file` and `{what}_env` are given"),
            "keep one of them, so that it is clear which is meant",
        );
    }
    match (file, environment) {
        (Some(file), _) => Some(KeySource::File(file.value.into())),
        (None, Some(name)) => Some(KeySource::Environment(name.value)),
        (None, None) => None,
    }
}

fn read_address(table: &Table<'_>, text: &str, line: u32) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
    });
    let Some(url) = url else {
        // The address is not repeated: a token may have been left in it.
        table.report(
            line,
            "`vault.address` is no plain address",
            "use https://host:8200 and nothing more",
        );
        return None;
    };
    let near = match url.host_str().unwrap_or_default() {
        "localhost" | "[::1]" => true,
        host => host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback()),
    };
    if url.scheme() == "http" && !near {
        table.report(
            line,
            "every secret would be sent in clear",
            "use https://; `http://` is for loopback",
        );
        return None;
    }
    Some(url)
}
