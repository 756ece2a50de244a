//! The four targets, started together, and what happens to them.
//!
//! Owns their start, the outage, newcomers and the ground truth. What the program needs to connect
//! (manifests, first secrets) is handed out; how things really stand is told to the judge alone.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::JoinSet;

use crate::domain::time::{Chance, Clock};
use crate::domain::verdict::CredentialRole;

use super::company::{Access, Company, Person};
use super::crm::Crm;
use super::directory::Directory;
use super::manifests;
use super::payroll::Payroll;
use super::site::Site;
use super::truth::GroundTruth;
use super::wiki::Wiki;

/// How the estate is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decides the people, their access and the lies.
    pub seed: u64,
    /// People at the start.
    pub employees: usize,
    /// An existing empty folder for the payroll's and the wiki's files.
    pub folder: PathBuf,
    /// Whether the token of the directory's writer has expired at the start.
    pub expired_token: bool,
    /// When the wiki is down; `None` means never.
    pub outage: Option<Outage>,
}

/// When the wiki's host is down: its web server refuses, its share is not mounted.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// From the start of the estate to the first outage.
    pub after: Duration,
    /// How long each lasts.
    pub lasting: Duration,
    /// From the end of one to the next; `None` means once.
    pub every: Option<Duration>,
}

/// The estate could not be started or looked at.
#[derive(Debug, thiserror::Error)]
pub enum EstateError {
    /// A port, a folder or a file.
    #[error("the simulated estate lacks a file or a port")]
    Io(#[from] io::Error),
    /// The payroll's database.
    #[error("the simulated payroll failed")]
    Payroll(#[from] sqlx::Error),
}

impl EstateError {
    /// Stable code from `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "CB-DEMO-1",
            Self::Payroll(_) => "CB-DEMO-2",
        }
    }
}

/// One secret that the vault must hold at the start.
#[derive(Debug, Clone)]
pub struct InitialSecret {
    /// The reference in the manifest: `local:directory/writer`.
    pub reference: String,
    /// The connector.
    pub connector: &'static str,
    /// Which of its credentials.
    pub role: CredentialRole,
    /// The value.
    pub value: SecretString,
    /// The target's id of it, where it has one.
    pub remote_ref: Option<String>,
}

/// Somebody new with the access that they get.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// Who.
    pub person: Person,
    pub(super) access: Access,
}

/// The running estate. Dropping it stops the servers.
#[derive(Debug)]
pub struct Estate {
    company: Company,
    employees: usize,
    directory: Arc<Directory>,
    crm: Arc<Crm>,
    payroll: Payroll,
    wiki: Arc<Wiki>,
    sites: Sites,
    secrets: Vec<InitialSecret>,
    baseline: Mutex<GroundTruth>,
    wiki_is_up: watch::Receiver<bool>,
    outages: JoinSet<()>,
}

#[derive(Debug)]
struct Sites {
    directory: Site,
    crm: Site,
    wiki: Arc<AsyncMutex<Site>>,
    wiki_url: String,
}

const ROLES: [CredentialRole; 3] = [
    CredentialRole::Writer,
    CredentialRole::Verifier,
    CredentialRole::Rotator,
];

impl Estate {
    /// Starts the targets on free ports of loopback, with everyone's accounts in them.
    ///
    /// # Errors
    /// When a port cannot be had or the folder cannot be written.
    pub async fn start(
        options: &Options,
        clock: Arc<dyn Clock>,
        chance: &Arc<dyn Chance>,
    ) -> Result<Self, EstateError> {
        let seed = options.seed;
        let company = Company::new(seed, options.employees);
        let listener = Site::reserve().await?;
        let base = listener.url();
        let directory = Directory::new(&base, &company, seed, clock, Arc::clone(chance));
        let crm = Crm::new(&company, seed, Arc::clone(chance));
        let payroll = Payroll::new(&options.folder, &company).await?;
        let wiki = Arc::new(Wiki::new(&options.folder, &company)?);
        let wiki_site = Site::open(wiki.router()).await?;
        let sites = Sites {
            directory: listener.open(Arc::clone(&directory).router()),
            crm: Site::open(Arc::clone(&crm).router()).await?,
            wiki_url: wiki_site.url(),
            wiki: Arc::new(AsyncMutex::new(wiki_site)),
        };
        let secrets = initial_secrets(&directory, &crm);
        if options.expired_token {
            directory.expire(CredentialRole::Writer);
        }
        let (up, wiki_is_up) = watch::channel(true);
        let mut outages = JoinSet::new();
        if let Some(outage) = options.outage {
            if outage.after.is_zero() {
                // Down before anybody looks, so that the outage is met for certain.
                down(&sites.wiki, &wiki, true, &up).await?;
            }
            let (site, wiki) = (Arc::clone(&sites.wiki), Arc::clone(&wiki));
            outages.spawn(async move {
                if let Err(error) = play(outage, &site, &wiki, &up).await {
                    tracing::warn!(%error, "the outage of the simulated wiki went wrong");
                }
            });
        }
        let estate = Self {
            company,
            employees: options.employees,
            directory,
            crm,
            payroll,
            wiki,
            sites,
            secrets,
            baseline: Mutex::default(),
            wiki_is_up,
            outages,
        };
        *estate.baseline() = estate.ground_truth().await?;
        Ok(estate)
    }

    /// The company as it was at the start.
    pub fn company(&self) -> &Company {
        &self.company
    }

    /// File name and text of each connector's manifest.
    pub fn manifests(&self) -> Vec<(String, String)> {
        manifests::rendered(
            &self.sites.directory.url(),
            &self.sites.crm.url(),
            self.payroll.path(),
            &self.wiki.passwords(),
            self.employees,
        )
    }

    /// What the vault must hold at the start.
    pub fn secrets(&self) -> &[InitialSecret] {
        &self.secrets
    }

    /// Where the administrator of the CRM takes everything away from a member, by POST.
    pub fn crm_by_hand(&self, member: &str) -> String {
        format!("{}/admin/members/{member}/offboard", self.sites.crm.url())
    }

    /// Where the wiki is read.
    pub fn wiki_url(&self) -> &str {
        &self.sites.wiki_url
    }

    /// What a person signs in to the wiki with, to try whether it still works.
    pub fn wiki_password(&self, login: &str) -> Option<String> {
        self.wiki.password_of(login)
    }

    /// Follows the wiki's outages: true while it is up.
    pub fn wiki_is_up(&self) -> watch::Receiver<bool> {
        self.wiki_is_up.clone()
    }

    /// How many writes the CRM has answered with yes and not done.
    pub fn lies_told(&self) -> u64 {
        self.crm.lies_told()
    }

    /// How things really stand.
    ///
    /// # Errors
    /// When a file of the estate cannot be read.
    pub async fn ground_truth(&self) -> Result<GroundTruth, EstateError> {
        let targets = BTreeMap::from([
            ("directory".into(), self.directory.truth()),
            ("crm".into(), self.crm.truth()),
            ("payroll".into(), self.payroll.truth().await?),
            ("wiki".into(), self.wiki.truth()?),
        ]);
        Ok(GroundTruth { targets })
    }

    /// How things stood at the start, with the newcomers since.
    pub fn before(&self) -> GroundTruth {
        self.baseline().clone()
    }

    /// Gives a newcomer their accounts, as the company's own onboarding does: in every target, so
    /// that none falls below what its manifest expects however many have left.
    ///
    /// # Errors
    /// When the payroll or the wiki cannot be written.
    pub async fn onboard(&self, newcomer: &Newcomer) -> Result<(), EstateError> {
        let Newcomer { person, access } = newcomer;
        self.directory.onboard(person, access);
        self.crm.onboard(person, access);
        self.payroll.onboard(person, access).await?;
        let (wiki, asked) = (Arc::clone(&self.wiki), newcomer.clone());
        // It waits for whoever holds the list.
        let asked = tokio::task::spawn_blocking(move || wiki.onboard(&asked.person, &asked.access));
        asked.await.map_err(io::Error::other)??;
        let now = self.ground_truth().await?;
        let mut baseline = self.baseline();
        for (connector, id, account) in now.accounts_of(&person.number) {
            if let Some(target) = baseline.targets.get_mut(connector) {
                target.accounts.insert(id.clone(), account.clone());
            }
        }
        Ok(())
    }

    /// Stops the servers, after the requests under way.
    pub async fn stop(mut self) {
        self.outages.shutdown().await;
        self.sites.directory.close().await;
        self.sites.crm.close().await;
        self.sites.wiki.lock().await.close().await;
    }

    fn baseline(&self) -> MutexGuard<'_, GroundTruth> {
        self.baseline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Payroll and wiki are files: what opens them is a right of this process.
fn initial_secrets(directory: &Directory, crm: &Crm) -> Vec<InitialSecret> {
    let secret = |connector: &'static str, role: CredentialRole, id, value| InitialSecret {
        reference: format!("local:{connector}/{}", role.as_str()),
        connector,
        role,
        value: SecretString::from(value),
        remote_ref: id,
    };
    let mut secrets = Vec::new();
    for role in ROLES {
        let (id, value) = directory.issue(role, "set up by hand");
        secrets.push(secret("directory", role, Some(id), value));
        let (id, value) = crm.issue(role, "set up by hand");
        secrets.push(secret("crm", role, Some(id), value));
    }
    secrets
}

async fn play(
    outage: Outage,
    site: &AsyncMutex<Site>,
    wiki: &Wiki,
    up: &watch::Sender<bool>,
) -> io::Result<()> {
    let mut wait = outage.after;
    loop {
        tokio::time::sleep(wait).await;
        down(site, wiki, true, up).await?;
        tokio::time::sleep(outage.lasting).await;
        down(site, wiki, false, up).await?;
        match outage.every {
            Some(every) => wait = every,
            None => return Ok(()),
        }
    }
}

async fn down(
    site: &AsyncMutex<Site>,
    wiki: &Wiki,
    down: bool,
    up: &watch::Sender<bool>,
) -> io::Result<()> {
    let mut site = site.lock().await;
    if down {
        site.close().await;
        wiki.mount(false)?;
    } else {
        wiki.mount(true)?;
        site.reopen().await?;
    }
    up.send_replace(!down);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::rehearsal;
    use super::super::stream::Stream;
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::domain::verdict::Expectation;

    #[tokio::test]
    async fn the_estate_starts_down_where_it_should_and_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            seed: 1,
            employees: 60,
            folder: folder.path().to_owned(),
            expired_token: true,
            outage: Some(Outage {
                after: Duration::ZERO,
                lasting: Duration::from_millis(50),
                every: None,
            }),
        };
        let estate = Estate::start(&options, rehearsal::clock(), &rehearsal::chance())
            .await
            .expect("starts");
        let before = estate.before();
        assert_eq!(before.targets.len(), 4);
        assert!(
            before
                .targets
                .values()
                .all(|target| target.accounts.len() > 10)
        );
        let expired = &before.targets[&"directory".into()].secrets;
        assert!(
            expired
                .iter()
                .any(|s| s.role == CredentialRole::Writer && !s.works)
        );
        assert!(
            expired
                .iter()
                .any(|s| s.role == CredentialRole::Rotator && s.works)
        );

        let mut up = estate.wiki_is_up();
        let back = up.wait_for(|up| *up);
        let back = tokio::time::timeout(Duration::from_secs(20), back).await;
        drop(back.expect("in time").expect("the estate runs"));
        assert!(reqwest::get(estate.wiki_url()).await.is_ok());
        let (name, text) = &estate.manifests()[0];
        assert_eq!(name, "directory.toml");
        assert!(text.contains("http://127.0.0.1:") && !text.contains("{base_url}"));
        estate.stop().await;
    }

    #[tokio::test]
    async fn no_target_falls_below_what_its_manifest_expects_however_long_it_goes_on() {
        for employees in [1, 5, 60] {
            let folder = tempfile::tempdir().expect("a folder");
            let options = Options {
                seed: 1,
                employees,
                folder: folder.path().to_owned(),
                expired_token: false,
                outage: None,
            };
            let estate = Estate::start(&options, rehearsal::clock(), &rehearsal::chance())
                .await
                .expect("starts");
            let mut stream = Stream::new(estate.company().clone(), 1, BTreeSet::new());
            let mut now = Timestamp::UNIX_EPOCH;
            for turn in 0..400 {
                let next = stream.next(now, Duration::from_secs(3));
                if let Some(newcomer) = next.newcomer {
                    estate.onboard(&newcomer).await.expect("writes");
                }
                now += Duration::from_secs(3);
                if turn % 20 == 0 {
                    let truth = estate.ground_truth().await.expect("reads");
                    enough_are_left(&estate, &truth, &stream.due(now));
                }
            }
        }
    }

    /// Accounts of those who left are gone where they go, and the rest are as many as expected.
    fn enough_are_left(estate: &Estate, truth: &GroundTruth, gone: &BTreeSet<String>) {
        for (name, manifest) in estate.manifests() {
            let least = manifest.split("accounts_min = ").nth(1);
            let least = least.and_then(|rest| rest.lines().next()?.parse().ok());
            let target = &truth.targets[&name.trim_end_matches(".toml").into()];
            let stays = target.after_removal != Expectation::AccountGone;
            let left = target.accounts.values();
            let left =
                left.filter(|one| stays || one.subject.as_ref().is_none_or(|s| !gone.contains(s)));
            assert!(left.count() >= least.expect("says how many"), "{name}");
        }
    }

    #[tokio::test]
    async fn newcomers_are_no_surprise_to_the_judge() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            seed: 1,
            employees: 60,
            folder: folder.path().to_owned(),
            expired_token: false,
            outage: None,
        };
        let estate = Estate::start(&options, rehearsal::clock(), &rehearsal::chance())
            .await
            .expect("starts");
        let mut company = estate.company().clone();
        let (person, access) = company.hire();
        let newcomer = Newcomer { person, access };
        estate.onboard(&newcomer).await.expect("writes");
        let now = estate.ground_truth().await.expect("reads");
        assert!(now.accounts_of(&newcomer.person.number).count() >= 1);
        // The directory's groups grew for the newcomer alone.
        assert_eq!(now, estate.before());
    }
}
