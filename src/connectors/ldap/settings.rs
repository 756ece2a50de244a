//! The `[ldap]` table of a manifest: where the directory is and which attributes mean what.
//!
//! Owns the reading and checking of the table; every fault is reported with its line. A credential
//! is not sent in clear over a network unless the owner takes that on in writing. Leaves the form of
//! the account's state to `state`, and opens no connection.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::belonging::{Groups, Primary, PrimaryForm, read_groups, read_primary};
use super::client::PasswordWay;
use super::state::{self, State};
use crate::connectors::Manifest;
use crate::connectors::limits::MOST_ITEMS;
use crate::document::{Item, Table};
use crate::domain::access::Operation;
use crate::domain::rotation::Strategy;
use crate::domain::verdict::CredentialRole;

/// How the directory is reached and asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `ldap://host:port` or `ldaps://host:port`.
    pub url: String,
    /// How the connection is protected.
    pub security: Security,
    /// The only authority that is trusted; `None` means those of the system.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Entries in a page.
    pub page_size: i32,
    /// References to other directories that hold no account, as the owner knows.
    pub known_references: Arc<[String]>,
    /// Where accounts are and what they look like.
    pub accounts: Accounts,
    /// Where groups are.
    pub groups: Vec<Groups>,
    /// The group that an account belongs to by a number of its own.
    pub primary: Option<Primary>,
    /// How memberships end when an account is deleted.
    pub cleanup: Cleanup,
    /// How a new password is set.
    pub password_way: PasswordWay,
    /// Entries whose passwords rotation sets.
    pub own: BTreeMap<CredentialRole, String>,
    /// Those of them that may have two at a time.
    pub two_passwords: BTreeSet<CredentialRole>,
}

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte.
    Tls,
    /// TLS after StartTLS (RFC 4511 §4.14); without it no credential is sent.
    StartTls,
    /// None: loopback, or taken on in writing.
    Plain,
}

/// Where accounts are and what they look like.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// Where they begin.
    pub base: String,
    /// Which entries are accounts, as a filter.
    pub filter: String,
    /// The immutable id.
    pub id: String,
    /// The name that a person signs in with.
    pub login: String,
    /// For people to read.
    pub display_name: Option<String>,
    /// What a correlation rule may name.
    pub attributes: BTreeSet<String>,
    /// Attributes that every account must show.
    pub fields: Vec<String>,
    /// There are no more of them.
    pub most: u64,
    /// Values that are keys: they work without the password.
    pub credentials: Vec<String>,
    /// Those of them that no entry may have.
    pub bare: BTreeSet<String>,
    /// How it is told whether sign-in is possible.
    pub state: Option<State>,
    /// Which value makes an account an administrator's.
    pub privileged: Option<(String, Vec<String>)>,
}

/// How memberships end when an account is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// We take them away before the entry: the name could be given to somebody else.
    Connector,
    /// The directory does it by itself.
    Directory,
}

impl Settings {
    /// Reads the table; problems go into the document.
    pub fn read(table: &Table<'_>, manifest: &Manifest) -> Option<Self> {
        let (url, security) = read_address(table).unzip();
        let accounts = read_accounts(table, manifest);
        let groups: Vec<_> = table.tables("groups").iter().map(read_groups).collect();
        let primary = read_primary(table);
        let known_references = table.strings("known_references").into_iter();
        let cleanup = read_cleanup(table);
        let password_way = read_password_way(table, security);
        let page_size = table
            .integer("page_size", 1..=10_000)
            .map_or(500, |item| item.value as i32);
        let ca_file = table
            .string("ca_file")
            .map(|item| PathBuf::from(item.value));
        if let (Some(_), Some(Security::Plain)) = (&ca_file, security) {
            table.report(
                table.line(),
                "`ca_file` without TLS",
                "use ldaps://, or `start_tls = true`",
            );
        }
        let known_references = known_references.map(|item| item.value).collect();
        table.finish();
        let own = read_own(table, manifest, password_way);
        let declared = manifest.credentials.iter();
        let settings = Self {
            url: url?,
            security: security?,
            ca_file,
            timeout: Duration::from_secs(manifest.limits.timeout_seconds),
            page_size,
            known_references,
            accounts: accounts?,
            groups: groups.into_iter().collect::<Option<_>>()?,
            primary: primary?,
            cleanup,
            password_way,
            own,
            two_passwords: declared
                .filter(|(_, one)| one.rotation == Some(Strategy::Add))
                .map(|(role, _)| *role)
                .collect(),
        };
        settings.check_writes(table, manifest);
        Some(settings)
    }

    /// Everything that is asked of an account's entry; operational attributes only come by name.
    pub fn account_attributes(&self) -> Vec<String> {
        let known = &self.accounts;
        let mut names = known.attributes.clone();
        names.extend([known.id.clone(), known.login.clone()]);
        names.extend(known.display_name.clone());
        names.extend(known.credentials.iter().cloned());
        names.extend(known.state.as_ref().map(|state| state.attribute.clone()));
        names.extend(known.privileged.as_ref().map(|(name, _)| name.clone()));
        if let Some(primary) = &self.primary {
            names.insert(primary.form.attribute().to_owned());
            if primary.form == PrimaryForm::DomainRid {
                names.insert("objectSid".to_owned());
            }
        }
        names.into_iter().collect()
    }

    /// The same without what is only for people to read.
    pub fn telling_attributes(&self) -> Vec<String> {
        let mut names = self.account_attributes();
        let shown = self.accounts.display_name.as_ref();
        let declared = &self.accounts.attributes;
        names.retain(|name| Some(name) != shown || declared.contains(name));
        names
    }

    /// What the guard would refuse at run time, or nothing could be done for, is told at load.
    fn check_writes(&self, table: &Table<'_>, manifest: &Manifest) {
        let does = |operation| manifest.operations.contains(&operation);
        let members = || self.groups.iter().map(|groups| groups.member.as_str());
        let mut needed = Vec::new();
        if self.accounts.state.is_none() {
            manifest.check_powerless(table, "`[ldap.state]`");
        }
        if does(Operation::Disable) {
            match &self.accounts.state {
                Some(state) => needed.push((Operation::Disable, state.attribute.as_str())),
                None => lacks(table, "disable", "[ldap.state]"),
            }
        }
        if does(Operation::RevokeEntitlement) {
            let take = |name| (Operation::RevokeEntitlement, name);
            needed.extend(members().map(take));
            let parked = self.primary.as_ref().filter(|one| one.park.is_some());
            needed.extend(parked.map(|one| take(one.form.attribute())));
            if self.groups.is_empty() && parked.is_none() {
                lacks(table, "revoke_entitlement", "[[ldap.groups]]");
            }
        }
        if does(Operation::RevokeCredential) {
            let names = self.accounts.credentials.iter();
            needed.extend(names.map(|name| (Operation::RevokeCredential, name.as_str())));
            if self.accounts.credentials.is_empty() {
                lacks(table, "revoke_credential", "`credentials`");
            }
        }
        if does(Operation::Delete) && self.cleanup == Cleanup::Connector {
            needed.extend(members().map(|name| (Operation::Delete, name)));
        }
        for (operation, field) in needed {
            if !manifest.writes.contains(field) {
                table.report(
                    table.line(),
                    format!(
                        "{} writes `{field}`, which `writes` lacks",
                        operation.as_str()
                    ),
                    format!("add \"{field}\" to `writes`, or remove the operation"),
                );
            }
        }
    }
}

fn lacks(table: &Table<'_>, operation: &str, what: &str) {
    table.report(
        table.line(),
        format!("`operations` has `{operation}` but it is not said how"),
        format!("add {what}, or remove the operation"),
    );
}

fn read_address(table: &Table<'_>) -> Option<(String, Security)> {
    let flag = |key| table.boolean(key).is_some_and(|item| item.value);
    let (start_tls, plaintext) = (flag("start_tls"), flag("allow_plaintext"));
    let item = table.required_string("url")?;
    let url = Url::parse(&item.value).ok().filter(|url| {
        matches!(url.scheme(), "ldap" | "ldaps")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
    });
    let Some(url) = url else {
        // The address is not repeated: a password may have been left in it.
        table.report(
            item.line,
            format!("`{}.url` is no plain address", table.path()),
            "use ldaps://host:636 or ldap://host:389 and nothing more",
        );
        return None;
    };
    let host = url.host_str().unwrap_or_default();
    let address = host.parse::<std::net::Ipv4Addr>();
    let near = matches!(host, "localhost" | "[::1]") || address.is_ok_and(|one| one.is_loopback());
    let security = match (url.scheme(), start_tls) {
        ("ldaps", true) => {
            table.report(
                item.line,
                "`start_tls` over ldaps://",
                "use one of the two: ldaps:// is TLS from the first byte",
            );
            return None;
        }
        ("ldaps", false) => Security::Tls,
        (_, true) => Security::StartTls,
        (_, false) => Security::Plain,
    };
    if security == Security::Plain && !near && !plaintext {
        table.report(
            item.line,
            "the credential would be sent in clear",
            "use ldaps:// or `start_tls = true`, or take the risk on with `allow_plaintext = true`",
        );
        return None;
    }
    Some((item.value, security))
}

fn read_accounts(table: &Table<'_>, manifest: &Manifest) -> Option<Accounts> {
    let base = table.required_string("base");
    let filter = read_filter(table);
    let id = table.string("id").map(|item| item.value);
    let login = table.required_string("login");
    let display_name = table.string("display_name").map(|item| item.value);
    let values = |key| table.strings(key).into_iter().map(|item| item.value);
    let fields = manifest.expect.fields.clone();
    let mut attributes: BTreeSet<_> = values("attributes").collect();
    attributes.extend(fields.iter().cloned());
    let credentials: Vec<_> = values("credentials").collect();
    let bare = table.strings("credentials_may_be_empty");
    for one in bare.iter().filter(|one| !credentials.contains(&one.value)) {
        table.report(
            one.line,
            format!("`{}` is not among `credentials`", one.value),
            "write it as it stands there, or leave it out",
        );
    }
    let state = table.table("state").map(|table| state::read(&table));
    let privileged = table.table("privileged").map(|table| {
        let attribute = table.required_string("attribute");
        let values: Vec<_> = table
            .strings("values")
            .into_iter()
            .map(|v| v.value)
            .collect();
        if values.is_empty() {
            table.report(
                table.line(),
                "no value makes an account privileged",
                "list them in `values`",
            );
        }
        table.finish();
        attribute.map(|attribute| (attribute.value, values))
    });
    Some(Accounts {
        base: base?.value,
        filter: filter?,
        id: id.unwrap_or_else(|| "entryUUID".to_owned()),
        login: login?.value,
        display_name,
        attributes,
        fields,
        most: manifest.expect.accounts_max.min(MOST_ITEMS),
        credentials,
        bare: bare.into_iter().map(|one| one.value).collect(),
        state: match state {
            None => None,
            Some(state) => Some(state?),
        },
        privileged: match privileged {
            None => None,
            Some(privileged) => Some(privileged?),
        },
    })
}

/// `object_class` and, where that says too much, a further `filter`.
pub fn read_filter(table: &Table<'_>) -> Option<String> {
    let class = table.required_string("object_class");
    let more = table.string("filter");
    if let Some(item) = &more
        && (!item.value.starts_with('(') || ldap3::parse_filter(&item.value).is_err())
    {
        table.report(
            item.line,
            format!("`{}.filter` is no filter", table.path()),
            "write it in brackets, for example \"(!(objectClass=computer))\" (RFC 4515)",
        );
        return None;
    }
    let class = super::entry::equals("objectClass", &class?.value);
    Some(match more {
        Some(more) => format!("(&{class}{})", more.value),
        None => class,
    })
}

fn read_cleanup(table: &Table<'_>) -> Cleanup {
    let known = [
        ("connector", Cleanup::Connector),
        ("directory", Cleanup::Directory),
    ];
    table
        .string("memberships_of_deleted")
        .and_then(|item| one_of(table, &item, &known))
        .unwrap_or(Cleanup::Connector)
}

fn read_password_way(table: &Table<'_>, security: Option<Security>) -> PasswordWay {
    let known = [
        ("password_modify", PasswordWay::PasswordModify),
        ("user_password", PasswordWay::UserPassword),
        ("unicode_pwd", PasswordWay::UnicodePwd),
    ];
    let Some(item) = table.string("new_password") else {
        return PasswordWay::PasswordModify;
    };
    let way = one_of(table, &item, &known).unwrap_or(PasswordWay::PasswordModify);
    if way == PasswordWay::UnicodePwd && security == Some(Security::Plain) {
        table.report(
            item.line,
            "Active Directory takes no password in clear",
            "use ldaps:// or `start_tls = true`",
        );
    }
    way
}

/// The entries whose passwords may be set: those that are to be rotated by `choose` or `add`.
fn read_own(
    table: &Table<'_>,
    manifest: &Manifest,
    way: PasswordWay,
) -> BTreeMap<CredentialRole, String> {
    let mut own = BTreeMap::new();
    for (role, declared) in &manifest.credentials {
        let name = role.as_str();
        let report = |what: &str, remedy: &str| {
            let message = format!("[credentials.{name}] {what}");
            table.report(table.line(), message, remedy);
        };
        if declared.username.is_none() {
            report(
                "has no `username`",
                "write the distinguished name that it signs in with",
            );
        }
        if !declared.needs_secret() {
            report(
                "has no secret, but a directory asks for one",
                "write where the password lies; `none:` is for files",
            );
        }
        match (declared.rotation, &declared.username) {
            (Some(Strategy::Add), _) if way != PasswordWay::UserPassword => report(
                "cannot be rotated in this way",
                "two passwords at a time take `new_password = \"user_password\"`, and a directory that \
                 allows them; else use `choose`",
            ),
            (Some(Strategy::Add | Strategy::Choose), Some(username)) => {
                own.insert(*role, username.clone());
            }
            (Some(Strategy::DualSlot), _) => report(
                "cannot be rotated in this way",
                "an entry is one name: use `add` where it may have two passwords, else `choose`",
            ),
            (None | Some(Strategy::Add | Strategy::Delegated | Strategy::Choose), _) => {}
        }
    }
    own
}

/// The meaning of a word, or the words that there are.
pub fn one_of<T: Copy>(table: &Table<'_>, item: &Item<String>, known: &[(&str, T)]) -> Option<T> {
    let found = known.iter().find(|(word, _)| *word == item.value);
    if found.is_none() {
        let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
        table.report(
            item.line,
            format!("`{}` is not known here", item.value),
            format!("use one of: {}", words.join(", ")),
        );
    }
    found.map(|(_, meaning)| *meaning)
}
