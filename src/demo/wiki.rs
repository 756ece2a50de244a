//! The simulated wiki: a password file and a group file, enforced by a small web server.
//!
//! Owns the folder and the server. The server reads both files with each request, as Apache httpd
//! does, so that what a connector takes out of the file really stops a leaver at the door. An
//! outage takes the folder away as well: the share is not mounted. Newcomers get their line under
//! the lock that the connector takes too, so that neither undoes the other's change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::domain::access::EntitlementKind;
use crate::domain::id::AccountId;
use crate::domain::verdict::Expectation;

use super::company::{Access, Company, Person};
use super::truth::{AccountTruth, TargetTruth};

/// The folder of the files, and where it goes when the share is not mounted.
#[derive(Debug)]
pub(super) struct Wiki {
    folder: PathBuf,
    away: PathBuf,
    /// Everyone who ever had an account. Held while the share goes, comes or gets a newcomer.
    people: Mutex<Vec<Reader>>,
}

/// Who has an account.
#[derive(Debug, Clone)]
struct Reader {
    login: String,
    owner: String,
    password: String,
}

impl Wiki {
    /// A wiki in `folder` with the company's accounts.
    pub(super) fn new(folder: &Path, company: &Company) -> io::Result<Self> {
        let wiki = Self {
            folder: folder.join("wiki"),
            away: folder.join("wiki.unmounted"),
            people: Mutex::default(),
        };
        std::fs::create_dir(&wiki.folder)?;
        std::fs::write(
            wiki.passwords(),
            "# Accounts of the wiki. Ask the wiki team before you edit.\n",
        )?;
        std::fs::write(wiki.folder.join("groups"), "readers:\neditors:\nadmins:\n")?;
        for (person, access) in company.staff() {
            wiki.onboard(person, access)?;
        }
        Ok(wiki)
    }

    /// Gives a person their line, as the company's own onboarding does.
    pub(super) fn onboard(&self, person: &Person, access: &Access) -> io::Result<()> {
        let Some(wanted) = &access.wiki else {
            return Ok(());
        };
        let mut people = self.people();
        let folder = [&self.folder, &self.away];
        let folder = folder[usize::from(!self.folder.exists())];
        let (list, login) = (folder.join("htpasswd"), &person.username);
        let mut list = locked(&list)?;
        let groups = folder.join("groups");
        let (before, next) = (std::fs::read_to_string(&groups)?, folder.join(".groups"));
        std::fs::write(&next, joined(&before, login, &wanted.groups))?;
        std::fs::rename(next, groups)?;
        list.write_all(format!("{login}:{}\n", hash(&wanted.password)).as_bytes())?;
        people.push(Reader {
            login: login.clone(),
            owner: person.number.clone(),
            password: wanted.password.clone(),
        });
        Ok(())
    }

    fn people(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The password file.
    pub(super) fn passwords(&self) -> PathBuf {
        self.folder.join("htpasswd")
    }

    /// Its routes: `/` for everyone with an account, `/edit` for editors.
    pub(super) fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/", get(|wiki, headers| enter(wiki, headers, "readers")))
            .route(
                "/edit",
                get(|wiki, headers| enter(wiki, headers, "editors")),
            )
            .with_state(Arc::clone(self))
    }

    /// Takes the share away, or brings it back.
    pub(super) fn mount(&self, mounted: bool) -> io::Result<()> {
        let _nobody_new = self.people();
        match (mounted, self.folder.exists()) {
            (true, false) => std::fs::rename(&self.away, &self.folder),
            (false, true) => std::fs::rename(&self.folder, &self.away),
            _ => Ok(()),
        }
    }

    /// The share is in one place or the other, and may be brought back between two looks.
    fn read(&self, file: &str) -> io::Result<String> {
        let (here, away) = (self.folder.join(file), self.away.join(file));
        std::fs::read_to_string(&here)
            .or_else(|_| std::fs::read_to_string(away))
            .or_else(|_| std::fs::read_to_string(here))
    }

    /// What the owner of an account signs in with.
    pub(super) fn password_of(&self, login: &str) -> Option<String> {
        let people = self.people();
        let reader = people.iter().find(|reader| reader.login == login);
        reader.map(|reader| reader.password.clone())
    }

    /// What is really there. A name in the group file opens nothing without a line in the password
    /// file, and so counts only with one.
    pub(super) fn truth(&self) -> io::Result<TargetTruth> {
        let (passwords, groups) = (self.read("htpasswd")?, self.read("groups")?);
        let mut truth = TargetTruth {
            after_removal: Expectation::AccountGone,
            accounts: BTreeMap::new(),
            secrets: Vec::new(),
        };
        let people = self.people();
        for (login, _) in entries(&passwords) {
            let entitlements: BTreeSet<_> = groups_of(&groups, login)
                .map(|group| (EntitlementKind::Group, group.to_owned()))
                .collect();
            let owner = people.iter().find(|reader| reader.login == login);
            let account = AccountTruth {
                login: login.to_owned(),
                subject: owner.map(|reader| reader.owner.clone()),
                can_sign_in: true,
                entitlements,
                sessions: 0,
            };
            truth.accounts.insert(AccountId::from(login), account);
        }
        Ok(truth)
    }
}

/// The list, held against others who change it; a list that was replaced meanwhile is opened again.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let list = OpenOptions::new().append(true).open(path)?;
        list.lock()?;
        let (held, there) = (list.metadata()?, std::fs::metadata(path)?);
        if held.ino() == there.ino() {
            return Ok(list);
        }
    }
}

/// The group file with the login in these groups.
fn joined(groups: &str, login: &str, wanted: &[String]) -> String {
    let line = |line: &str| {
        let group = line.split(':').next().unwrap_or_default();
        let joins = wanted.iter().any(|name| name == group);
        let login = if joins {
            format!(" {login}")
        } else {
            String::new()
        };
        format!("{line}{login}\n")
    };
    groups.lines().map(line).collect()
}

/// `{SHA}`, which Apache httpd and nginx know. Weak against guessing; the passwords here are long
/// and random, and open nothing but this wiki.
fn hash(password: &str) -> String {
    let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    format!("{{SHA}}{}", BASE64_STANDARD.encode(sum))
}

fn entries(passwords: &str) -> impl Iterator<Item = (&str, &str)> {
    passwords
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.trim_end().split_once(':'))
}

fn groups_of<'g>(groups: &'g str, login: &'g str) -> impl Iterator<Item = &'g str> {
    groups
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(move |(_, members)| members.split_whitespace().any(|member| member == login))
        .map(|(group, _)| group.trim())
}

async fn enter(State(wiki): State<Arc<Wiki>>, headers: HeaderMap, group: &'static str) -> Response {
    let files = tokio::task::spawn_blocking(move || {
        Ok::<_, io::Error>((wiki.read("htpasswd")?, wiki.read("groups")?))
    });
    let Ok(Ok((passwords, groups))) = files.await else {
        // A list that cannot be read lets nobody in.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let Some((login, password)) = credentials(&headers) else {
        return denied();
    };
    let sum = hash(&password);
    if !entries(&passwords).any(|(name, held)| name == login && held == sum) {
        return denied();
    }
    if !groups_of(&groups, &login).any(|held| held == group) {
        return StatusCode::FORBIDDEN.into_response();
    }
    format!("Welcome, {login}").into_response()
}

/// Basic authentication (RFC 7617).
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let pair = BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (login, password) = pair.split_once(':')?;
    Some((login.to_owned(), password.to_owned()))
}

fn denied() -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"wiki\"")];
    (StatusCode::UNAUTHORIZED, challenge).into_response()
}

#[cfg(test)]
mod tests {
    use super::super::site::Site;
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_web_servers_know() {
        // From the documentation of Apache httpd, "Password Formats".
        assert_eq!(hash("myPassword"), "{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=");
    }

    #[tokio::test]
    async fn a_leaver_gets_in_until_the_line_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let wiki = Arc::new(Wiki::new(folder.path(), &Company::new(1, 60)).expect("is made"));
        let site = Site::open(wiki.router()).await.expect("opens");
        let Reader {
            login, password, ..
        } = wiki.people()[0].clone();
        let client = reqwest::Client::new();
        let knock = |password: &str| {
            let request = client.get(site.url()).basic_auth(&login, Some(password));
            async { request.send().await.expect("answers").status().as_u16() }
        };
        assert_eq!(knock(&password).await, 200);
        assert_eq!(knock("another").await, 401);

        let kept: String = std::fs::read_to_string(wiki.passwords())
            .expect("reads")
            .lines()
            .filter(|line| !line.starts_with(&format!("{login}:")))
            .flat_map(|line| [line, "\n"])
            .collect();
        std::fs::write(wiki.passwords(), kept).expect("writes");
        assert_eq!(knock(&password).await, 401);
        let truth = wiki.truth().expect("reads");
        assert!(!truth.accounts.contains_key(&AccountId(login.clone())));

        wiki.mount(false).expect("goes");
        assert!(!wiki.passwords().exists());
        assert_eq!(wiki.truth().expect("is known"), truth);
        let mut company = Company::new(1, 60);
        let (newcomer, access) = std::iter::repeat_with(|| company.hire())
            .find(|(_, access)| access.wiki.is_some())
            .expect("most use it");
        wiki.onboard(&newcomer, &access).expect("gets a line");
        wiki.mount(true).expect("comes back");
        assert!(wiki.passwords().exists());
        // Who was given a line while the share was away gets in once it is back.
        let password = wiki.password_of(&newcomer.username);
        let request = client.get(site.url());
        let request = request.basic_auth(&newcomer.username, password);
        assert_eq!(request.send().await.expect("answers").status(), 200);
    }
}
