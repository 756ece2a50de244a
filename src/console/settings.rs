//! The `[console]` table of `clawback.toml`.
//!
//! Owns where the console listens, how people reach it, and who else signs them in. Does not open the
//! port and asks no provider.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::document::Table;
use crate::domain::user::Role;

/// Where the console listens, and how people reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address and port; `None` means no console.
    pub listen: Option<SocketAddr>,
    /// How browsers reach it: scheme and host, without a slash at the end; behind a proxy.
    pub public_url: Option<String>,
    /// Whether the last address in `X-Forwarded-For` is the client's, as a proxy of ours wrote it.
    pub trust_forwarded: bool,
    /// An identity provider, where one signs people in.
    pub oidc: Option<OidcSettings>,
}

/// An identity provider (OpenID Connect Core 1.0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// Its issuer identifier, as its discovery document says it.
    pub issuer: String,
    /// Under which name it knows this console.
    pub client_id: String,
    /// Reference of the client's secret in the vault; none for a public client.
    pub client_secret: Option<String>,
    /// Scopes asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The claim that names the user.
    pub name_claim: String,
    /// The claim whose values are mapped to roles.
    pub roles_claim: String,
    /// Which values give which role.
    pub roles: BTreeMap<Role, Vec<String>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
            public_url: None,
            trust_forwarded: false,
            oidc: None,
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
        if let Some(item) = table.string("public_url") {
            settings.public_url = origin(&item.value);
            if settings.public_url.is_none() {
                table.report(
                    item.line,
                    format!("`public_url` is `{}`", item.value),
                    "write scheme and host without a path, for example https://clawback.example",
                );
            }
        }
        if let Some(item) = table.boolean("trust_forwarded") {
            settings.trust_forwarded = item.value;
        }
        if let Some(oidc) = table.table("oidc") {
            settings.oidc = OidcSettings::read(&oidc);
            if settings.public_url.is_none() {
                table.report(
                    oidc.line(),
                    "`[console.oidc]` needs `public_url`",
                    "say under [console] how browsers reach it; the provider sends them back there",
                );
            }
        }
        table.finish();
        settings
    }
}

impl OidcSettings {
    fn read(table: &Table<'_>) -> Option<Self> {
        let issuer = table.required_string("issuer");
        let client_id = table.required_string("client_id");
        let text = |key: &str, usual: &str| {
            let item = table.string(key);
            item.map_or_else(|| usual.to_owned(), |item| item.value)
        };
        let secret = table.string("client_secret");
        if let Some(item) = secret.as_ref().filter(|item| !item.value.contains(':')) {
            table.report(
                item.line,
                "`client_secret` is no reference",
                "put it into the vault and write its reference, for example local:console/oidc",
            );
        }
        let mut roles = BTreeMap::new();
        if let Some(given) = table.required_table("roles") {
            for role in Role::ALL {
                let values = given.strings(role.as_str()).into_iter();
                let values: Vec<_> = values.map(|item| item.value).collect();
                if !values.is_empty() {
                    roles.insert(role, values);
                }
            }
            given.finish();
        }
        let scopes = table.strings("scopes").into_iter();
        let scopes: Vec<_> = scopes.map(|item| item.value).collect();
        let (name_claim, roles_claim) = (
            text("name_claim", "preferred_username"),
            text("roles_claim", "groups"),
        );
        table.finish();
        Some(Self {
            issuer: issuer?.value,
            client_id: client_id?.value,
            client_secret: secret.map(|item| item.value),
            scopes: if scopes.is_empty() {
                ["profile", "email", "groups"].map(str::to_owned).to_vec()
            } else {
                scopes
            },
            name_claim,
            roles_claim,
            roles,
        })
    }
}

/// Scheme and host of a URL that has nothing else.
fn origin(text: &str) -> Option<String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let host = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    (!host.is_empty() && host.chars().all(plain)).then(|| text.to_owned())
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

    #[test]
    fn h1_a_provider_is_read_whole_and_needs_a_way_back() {
        let provider = "[oidc]\nissuer = \"https://id\"\nclient_id = \"c\"\n\
                        client_secret = \"local:console/oidc\"\n[oidc.roles]\noperator = [\"ops\"]\n";
        assert_eq!(read(provider).1, 1, "public_url is missing");
        let (settings, problems) = read(&format!("public_url = \"https://x/\"\n{provider}"));
        assert_eq!(problems, 0);
        assert_eq!(settings.public_url.as_deref(), Some("https://x"));
        let oidc = settings.oidc.expect("read");
        assert_eq!(oidc.roles[&Role::Operator], ["ops"]);
        assert_eq!(oidc.roles_claim, "groups");
        let wrong = "public_url = \"https://x/path\"\n[oidc]\nclient_secret = \"hunter2\"\n";
        assert_eq!(read(wrong).1, 6, "each thing is told");
    }
}
