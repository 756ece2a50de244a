//! The keys that every HTTP kind has in its own table.
//!
//! Owns `base_url`, `auth`, `auth_header` and `allow_plaintext`. A credential is not sent in clear
//! over a network: `http://` is for loopback, unless the owner takes it on in writing.

use std::time::Duration;

use http::header::HeaderName;
use reqwest::Url;

use super::super::manifest::Manifest;
use super::{SignIn, Transport, client};
use crate::document::Table;
use crate::domain::verdict::CredentialRole;

impl Transport {
    /// Reads the keys from the kind's table; the kind reads its own and finishes the table.
    pub(in crate::connectors) fn read(table: &Table<'_>, manifest: &Manifest) -> Option<Self> {
        let base = read_base(table);
        let sign_in = read_sign_in(table, manifest);
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
        })
    }
}

fn read_base(table: &Table<'_>) -> Option<Url> {
    let plaintext = table
        .boolean("allow_plaintext")
        .is_some_and(|item| item.value);
    let item = table.required_string("base_url")?;
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
            format!("`{}.base_url` is no plain address", table.path()),
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

fn read_sign_in(table: &Table<'_>, manifest: &Manifest) -> Option<SignIn> {
    let header = table.string("auth_header");
    let Some(item) = table.string("auth") else {
        if let Some(header) = header {
            table.report(
                header.line,
                "`auth_header` without `auth = \"header\"`",
                "add `auth = \"header\"`",
            );
        }
        return Some(SignIn::Bearer);
    };
    match (item.value.as_str(), header) {
        ("bearer", None) => Some(SignIn::Bearer),
        ("basic", None) => {
            for role in [CredentialRole::Writer, CredentialRole::Verifier] {
                let declared = manifest.credentials.get(&role);
                if declared.is_some_and(|one| one.username.is_none()) {
                    table.report(
                        item.line,
                        format!(
                            "`auth` is basic but the {} has no `username`",
                            role.as_str()
                        ),
                        "add `username` to the credential",
                    );
                }
            }
            Some(SignIn::Basic)
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
                item.line,
                format!("`auth = \"{other}\"` does not fit"),
                "use bearer, basic, or header together with `auth_header`",
            );
            None
        }
    }
}
