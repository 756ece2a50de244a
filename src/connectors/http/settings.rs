//! The keys that every HTTP kind has in its own table.
//!
//! Owns `base_url`, `auth`, `auth_header`, `allow_plaintext` and the table `oauth`. A credential is
//! not sent in clear over a network: `http://` is for loopback, unless the owner takes it on in
//! writing.

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;
use reqwest::Url;

use super::super::manifest::Manifest;
use super::oauth::TokenSource;
use super::{SignIn, Transport, client};
use crate::document::{Item, Table};
use crate::domain::time::Clock;
use crate::domain::verdict::CredentialRole;

/// The roles that sign in at the target itself.
pub(in crate::connectors) const WORKERS: &[CredentialRole] =
    &[CredentialRole::Writer, CredentialRole::Verifier];

impl Transport {
    /// Reads the keys from a table of the kind; the kind reads its own and finishes the table.
    /// `roles` are those that sign in here.
    pub(in crate::connectors) fn read(
        table: &Table<'_>,
        manifest: &Manifest,
        roles: &[CredentialRole],
        clock: &Arc<dyn Clock>,
    ) -> Option<Self> {
        let plaintext = table
            .boolean("allow_plaintext")
            .is_some_and(|item| item.value);
        let base = table
            .required_string("base_url")
            .and_then(|item| read_address(table, "base_url", &item, plaintext));
        let sign_in = read_sign_in(table, manifest, roles, plaintext);
        for (role, declared) in &manifest.credentials {
            if !declared.needs_secret() {
                table.report(
                    table.line(),
                    format!(
                        "the {} has no secret, but a server asks for one",
                        role.as_str()
                    ),
                    "write where the secret lies; `none:` is for files",
                );
            }
        }
        let client = client(Duration::from_secs(manifest.limits.timeout_seconds));
        if client.is_none() {
            table.report(
                table.line(),
                "no HTTP client can be made here",
                "install the system's root certificates",
            );
        }
        Some(Self {
            client: client?,
            base: base?,
            sign_in: sign_in?,
            clock: Arc::clone(clock),
        })
    }
}

/// An address to which a credential may be sent.
pub(in crate::connectors) fn read_address(
    table: &Table<'_>,
    key: &str,
    item: &Item<String>,
    plaintext: bool,
) -> Option<Url> {
    let url = Url::parse(&item.value).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    let Some(url) = url else {
        table.report(
            item.line,
            format!("`{}.{key}` is no plain address", table.path()),
            "use https://host/path without user, query or fragment",
        );
        return None;
    };
    let loopback = match url.host_str().unwrap_or_default() {
        "localhost" | "[::1]" => true,
        host => host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback()),
    };
    if url.scheme() == "http" && !loopback && !plaintext {
        table.report(
            item.line,
            "the credential would be sent in clear",
            "use https, or take the risk on with `allow_plaintext = true`",
        );
        return None;
    }
    Some(url)
}

fn read_sign_in(
    table: &Table<'_>,
    manifest: &Manifest,
    roles: &[CredentialRole],
    plaintext: bool,
) -> Option<SignIn> {
    let header = table.string("auth_header");
    let auth = table.string("auth");
    let named = auth
        .as_ref()
        .map_or("bearer", |item| item.value.as_str())
        .to_owned();
    let line = auth.map_or(table.line(), |item| item.line);
    if let (Some(header), false) = (&header, named == "header") {
        table.report(
            header.line,
            "`auth_header` without `auth = \"header\"`",
            "add `auth = \"header\"`",
        );
        return None;
    }
    if table.has("oauth") && named != "oauth" {
        table.report(
            line,
            format!("`{}.oauth` without `auth = \"oauth\"`", table.path()),
            "add `auth = \"oauth\"`, or remove the table",
        );
    }
    match (named.as_str(), header) {
        ("bearer", _) => Some(SignIn::Bearer),
        ("basic", _) => {
            need_usernames(table, manifest, roles, line, "basic");
            Some(SignIn::Basic)
        }
        ("oauth", _) => {
            need_usernames(table, manifest, roles, line, "oauth");
            let source = TokenSource::read(&table.required_table("oauth")?, plaintext)?;
            Some(SignIn::Token(Box::new(source)))
        }
        ("header", Some(header)) => {
            let name = header.value.parse::<HeaderName>().ok();
            if name.is_none() {
                table.report(
                    header.line,
                    format!("`{}` cannot be the name of a header", header.value),
                    "use a name such as X-Api-Key",
                );
            }
            name.map(SignIn::Header)
        }
        (other, _) => {
            table.report(
                line,
                format!("`auth = \"{other}\"` does not fit"),
                "use bearer, basic, oauth, or header together with `auth_header`",
            );
            None
        }
    }
}

fn need_usernames(
    table: &Table<'_>,
    manifest: &Manifest,
    roles: &[CredentialRole],
    line: u32,
    auth: &str,
) {
    for role in roles {
        let declared = manifest.credentials.get(role);
        if declared.is_some_and(|one| one.username.is_none()) {
            table.report(
                line,
                format!(
                    "`auth` is {auth} but the {} has no `username`",
                    role.as_str()
                ),
                "add `username` to the credential: the sign-in name, or the OAuth client id",
            );
        }
    }
}
