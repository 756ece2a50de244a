//! The directory as a protocol: connect, sign in, search page by page, change one entry.
//!
//! Owns connections and the way over TLS. Referrals and references are never followed: the
//! credential belongs to this directory alone, and what lies elsewhere makes an answer incomplete.
//! Connections are kept for the credential version that opened them, credentials never are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ldap3::controls::{Assertion, Control, ControlType, MakeCritical, PagedResults};
use ldap3::exop::PasswordModify;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapResult, Mod, Scope, SearchEntry};
use ldap3::{ResultEntry, SearchOptions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use tokio::task::JoinSet;

use super::classify::{self, Phase};
use super::entry::Entry;
use super::settings::{Security, Settings};
use crate::connectors::{Credential, Permit};
use crate::domain::outcome::Failure;
use crate::domain::verdict::CredentialRole;

/// Idle connections kept for each target; more calls than this open their own.
const KEPT: usize = 8;

/// The Assertion control (RFC 4528).
const ASSERTION: &str = "1.3.6.1.1.12";

/// Signs in and keeps what is idle.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    role: CredentialRole,
    version: u64,
    link: Link,
}

/// One connection that is signed in.
#[derive(Debug)]
pub struct Link {
    ldap: Ldap,
    /// Whether the directory can make a change depend on a filter.
    asserts: bool,
    timeout: Duration,
    /// References that the owner knows to hold no account.
    known_references: Arc<[String]>,
    /// Drives the connection; ends with it.
    _driver: JoinSet<()>,
}

/// One page of a search under a base.
#[derive(Debug, Clone)]
pub struct Page {
    /// Where it begins.
    pub base: String,
    /// Whether what lies below the base is meant, or the base itself.
    pub below: bool,
    /// What is sought.
    pub filter: String,
    /// Which attributes are wanted.
    pub attributes: Vec<String>,
    /// Entries in a page; `None` asks for everything at once.
    pub size: Option<i32>,
    /// Most entries at all; 0 is no limit.
    pub most: i32,
    /// Where the last page ended.
    pub cookie: Vec<u8>,
}

/// What a page showed.
#[derive(Debug)]
pub struct Shown {
    /// The entries.
    pub entries: Vec<Entry>,
    /// What comes next.
    pub next: Next,
}

/// How a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This was all.
    End,
    /// There is more, after this cookie.
    More(Vec<u8>),
    /// There may be more, and it cannot be had; why.
    Cut(String),
}

/// One change of one entry.
#[derive(Debug)]
pub struct Edit {
    /// Which entry.
    pub dn: String,
    /// What must hold for it, where the directory can check that in the same step.
    pub only_if: Option<String>,
    /// What is done to it.
    pub kind: EditKind,
}

/// What a change does.
#[derive(Debug)]
pub enum EditKind {
    /// Changes values, all or none.
    Modify(Vec<Mod<Vec<u8>>>),
    /// Removes the entry.
    Delete,
}

/// A new password for one of the connector's own entries.
#[derive(Debug)]
pub struct SetPassword {
    /// The entry.
    pub dn: String,
    /// How it is set.
    pub way: PasswordWay,
    /// The value.
    pub chosen: secrecy::SecretString,
}

/// How a directory takes a new password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordWay {
    /// The Password Modify operation (RFC 3062): the directory hashes it as it is set up to.
    PasswordModify,
    /// A plain replacement of `userPassword` (RFC 4519 §2.41).
    UserPassword,
    /// Active Directory's `unicodePwd` (MS-ADTS §3.1.1.3.1.5.1); over TLS only.
    UnicodePwd,
}

impl Client {
    /// A client without connections.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            idle: Mutex::default(),
        }
    }

    /// How the directory is asked.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A kept connection of this credential version that still answers, or a new one.
    ///
    /// # Errors
    /// As `classify` says.
    pub async fn take(&self, credential: &Credential) -> Result<Link, Failure> {
        while let Some(mut link) = self.pop(credential) {
            if link.look_at_root().await {
                return Ok(link);
            }
        }
        self.connect(credential).await
    }

    /// Keeps a connection for the next call.
    pub fn give(&self, credential: &Credential, link: Link) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(Idle {
                role: credential.role,
                version: credential.version,
                link,
            });
        }
    }

    fn pop(&self, credential: &Credential) -> Option<Link> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // What an older version of the secret opened is not used any more.
        idle.retain(|kept| kept.role != credential.role || kept.version == credential.version);
        let found = idle.iter().rposition(|kept| kept.role == credential.role)?;
        Some(idle.swap_remove(found).link)
    }

    /// Signs in over a connection that was not there before.
    ///
    /// # Errors
    /// As `classify` says; `auth_failure` only for the credential itself.
    pub async fn connect(&self, credential: &Credential) -> Result<Link, Failure> {
        let name = credential.username.as_deref().unwrap_or_default();
        let secret = credential.secret.expose_secret();
        // Either one empty would sign in as nobody, and succeed (RFC 4513 §5.1.2).
        if name.is_empty() || secret.is_empty() {
            return Err(classify::no_credential(
                "the credential lacks its name or its password",
            ));
        }
        let settings = self.connection().await?;
        let failed = |error| classify::lost(&error, Phase::Bind);
        let opened = LdapConnAsync::with_settings(settings, &self.settings.url).await;
        let (connection, mut ldap) = opened.map_err(failed)?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "a connection to a directory ended");
            }
        });
        let bound = ldap.with_timeout(self.settings.timeout);
        let result = bound.simple_bind(name, secret).await.map_err(failed)?;
        if result.rc != 0 {
            return Err(classify::refused(&result, Phase::Bind));
        }
        let mut link = Link {
            ldap,
            asserts: false,
            timeout: self.settings.timeout,
            known_references: Arc::clone(&self.settings.known_references),
            _driver: driver,
        };
        link.look_at_root().await;
        Ok(link)
    }

    /// How a connection is opened.
    ///
    /// # Errors
    /// `drifted` when the authorities cannot be read.
    pub async fn connection(&self) -> Result<LdapConnSettings, Failure> {
        let settings = LdapConnSettings::new().set_conn_timeout(self.settings.timeout);
        let settings = settings.set_starttls(self.settings.security == Security::StartTls);
        let Some(file) = &self.settings.ca_file else {
            return Ok(settings);
        };
        let unread = || classify::drifted(format!("{} holds no certificates", file.display()));
        let pem = tokio::fs::read(file).await.map_err(|_| unread())?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|_| unread())?;
            roots.add(certificate).map_err(|_| unread())?;
        }
        if roots.is_empty() {
            return Err(unread());
        }
        let tls = ClientConfig::builder().with_root_certificates(roots);
        Ok(settings.set_config(Arc::new(tls.with_no_client_auth())))
    }
}

impl Link {
    /// Whether the connection answers, and what the directory can do.
    async fn look_at_root(&mut self) -> bool {
        let asked = self.ldap.with_timeout(self.timeout).search(
            "",
            Scope::Base,
            "(objectClass=*)",
            ["supportedControl"],
        );
        let Ok(answer) = asked.await else {
            return false;
        };
        let mut entries = answer.0.into_iter().map(entry);
        let root = entries.next();
        self.asserts = root.is_some_and(|root| {
            let mut controls = root.texts("supportedControl");
            controls.any(|control| control == ASSERTION)
        });
        true
    }

    /// One page of a search.
    ///
    /// # Errors
    /// As `classify` says. A base that is not there is `drifted`: never an empty answer.
    pub async fn search(&mut self, permit: Permit<Page>) -> Result<Shown, Failure> {
        let page = permit.into_inner();
        let scope = if page.below {
            Scope::Subtree
        } else {
            Scope::Base
        };
        let ldap = self.ldap.with_timeout(self.timeout);
        ldap.with_search_options(SearchOptions::new().sizelimit(page.most));
        if let Some(size) = page.size {
            let cookie = page.cookie.clone();
            ldap.with_controls(PagedResults { size, cookie }.critical());
        }
        let asked = ldap.search(&page.base, scope, &page.filter, &page.attributes);
        let answer = asked
            .await
            .map_err(|error| classify::lost(&error, Phase::Read))?;
        let next = how_it_ended(&answer.1, &page, &self.known_references)?;
        let entries = answer.0.into_iter().map(entry).collect();
        Ok(Shown { entries, next })
    }

    /// One change. The result is the directory's own, for the caller to judge.
    ///
    /// # Errors
    /// `unknown_outcome` when no answer came, `unreachable` when it was not sent.
    pub async fn change(&mut self, permit: Permit<Edit>) -> Result<LdapResult, Failure> {
        let edit = permit.into_inner();
        let ldap = self.ldap.with_timeout(self.timeout);
        if let (Some(filter), true) = (edit.only_if, self.asserts) {
            ldap.with_controls(ldap3::controls::RawControl::from(
                Assertion { filter }.critical(),
            ));
        }
        let answer = match edit.kind {
            EditKind::Modify(changes) => ldap.modify(&edit.dn, changes).await,
            EditKind::Delete => ldap.delete(&edit.dn).await,
        };
        answer.map_err(|error| classify::lost(&error, Phase::Write))
    }

    /// Sets the password of one of the connector's own entries; the old one is dead from then on.
    ///
    /// # Errors
    /// As `classify` says, without the directory's words.
    pub async fn set_password(&mut self, permit: Permit<SetPassword>) -> Result<(), Failure> {
        let order = permit.into_inner();
        let chosen = order.chosen.expose_secret();
        let ldap = self.ldap.with_timeout(self.timeout);
        let replace = |attribute: &str, value: Vec<u8>| {
            vec![Mod::Replace(attribute.as_bytes().to_vec(), [value].into())]
        };
        let answer = match order.way {
            PasswordWay::PasswordModify => {
                let request = PasswordModify {
                    user_id: Some(&order.dn),
                    old_pass: None,
                    new_pass: Some(chosen),
                };
                ldap.extended(request).await.map(|answer| answer.1)
            }
            PasswordWay::UserPassword => {
                let changes = replace("userPassword", chosen.as_bytes().to_vec());
                ldap.modify(&order.dn, changes).await
            }
            PasswordWay::UnicodePwd => {
                let changes = replace("unicodePwd", quoted_utf16(chosen));
                ldap.modify(&order.dn, changes).await
            }
        };
        let result = answer.map_err(|error| classify::lost(&error, Phase::Write))?;
        if result.rc == 0 {
            return Ok(());
        }
        Err(classify::refused_silently(&result))
    }
}

fn entry(found: ResultEntry) -> Entry {
    Entry::new(SearchEntry::construct(found))
}

/// What the result of a page says about the rest.
fn how_it_ended(result: &LdapResult, page: &Page, known: &[String]) -> Result<Next, Failure> {
    let cut = |why: &str| Ok(Next::Cut(why.to_owned()));
    match result.rc {
        0 => {}
        3 => return cut("the directory's time limit was reached"),
        4 => return cut("the directory's size limit was reached"),
        10 => return cut("the directory refers to another one"),
        11 => return cut("the directory's administrative limit was reached"),
        // Nothing stands under the very name that was asked for.
        32 if !page.below && !page.base.is_empty() => return Ok(Next::End),
        32 => {
            let message = format!("there is no `{}`, or it is hidden", page.base);
            return Err(classify::drifted(message));
        }
        _ => return Err(classify::refused(result, Phase::Read)),
    }
    let is_known = |found: &String| known.iter().any(|one| one.eq_ignore_ascii_case(found));
    if !result.refs.iter().all(is_known) {
        return cut("part of the entries lies in another directory");
    }
    if page.size.is_none() {
        return Ok(Next::End);
    }
    let paged = |control: &Control| matches!(control.0, Some(ControlType::PagedResults));
    let Some(Control(_, raw)) = result.ctrls.iter().find(|control| paged(control)) else {
        return cut("the directory did not say whether there are more pages");
    };
    if raw.val.is_none() {
        return cut("the directory did not say whether there are more pages");
    }
    let answer = raw.parse::<PagedResults>();
    if answer.cookie.is_empty() {
        return Ok(Next::End);
    }
    Ok(Next::More(answer.cookie))
}

/// A password as Active Directory takes it: in quotation marks, UTF-16, little-endian.
fn quoted_utf16(password: &str) -> Vec<u8> {
    format!("\"{password}\"")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_directory_gets_a_password_in_quotation_marks() {
        assert_eq!(quoted_utf16("é"), [0x22, 0, 0xe9, 0, 0x22, 0]);
    }
}
