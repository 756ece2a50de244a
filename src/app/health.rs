//! Whether the parts of a worker do their work, in the console's terms.
//!
//! Owns the translation from the figures that engine, intake and relay keep to checks. Liveness asks
//! only whether the loop turns: a dead database makes a process not ready, and restarting it would
//! not help. Repairs nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::audit::Signing;
use super::console::OIDC_SECRET;
use super::{Parts, vault};
use crate::console::{self, Check, StorePing};
use crate::domain::time::{Clock, Timestamp, after};
use crate::engine::Pulse;
use crate::intake;
use crate::publish::Delivered;
use crate::secrets::Vault;

/// A loop that has not turned for this long is stuck.
const STUCK_SECONDS: u64 = 60;
/// How long it holds whether the vault gave the secret of the sign-in: probes ask every few seconds.
const LOOKED_SECONDS: u64 = 30;
/// How long the vault may take for it: an answer about everything else must not wait.
const VAULT_ANSWERS: Duration = Duration::from_millis(500);

/// The engine's loop turns.
#[derive(Debug)]
struct Turns {
    pulse: Arc<Pulse>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Check for Turns {
    fn part(&self) -> &'static str {
        "engine"
    }

    async fn check(&self) -> Result<(), String> {
        match self.pulse.turn_age_seconds(self.clock.now()) {
            // Not begun yet: the start itself turns it, or ends the process when it fails.
            None => Ok(()),
            Some(age) => within(age, STUCK_SECONDS, "its loop last turned"),
        }
    }
}

/// The store has confirmed the worker lately, so that it may write.
#[derive(Debug)]
struct Confirmed {
    pulse: Arc<Pulse>,
    clock: Arc<dyn Clock>,
    lease_seconds: u64,
}

#[async_trait]
impl Check for Confirmed {
    fn part(&self) -> &'static str {
        "engine"
    }

    async fn check(&self) -> Result<(), String> {
        if let Some(apart) = self.pulse.clock_apart_milliseconds() {
            return Err(format!(
                "CB-ENGINE-13: its clock and the database's are {apart} ms apart"
            ));
        }
        match self.pulse.age_seconds(self.clock.now()) {
            None => Err("has not begun".to_owned()),
            Some(age) => within(age, self.lease_seconds, "the store last confirmed it"),
        }
    }
}

/// Messages can be taken now.
#[derive(Debug)]
struct Reads {
    health: Arc<intake::Health>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Check for Reads {
    fn part(&self) -> &'static str {
        "intake"
    }

    async fn check(&self) -> Result<(), String> {
        self.health.ready(self.clock.now())
    }
}

/// Status events go out.
#[derive(Debug)]
struct Publishes(Arc<Delivered>);

#[async_trait]
impl Check for Publishes {
    fn part(&self) -> &'static str {
        "publish"
    }

    async fn check(&self) -> Result<(), String> {
        self.0.trouble().map_or(Ok(()), Err)
    }
}

/// What is written gets signed.
#[derive(Debug)]
struct Signs {
    signing: Arc<Signing>,
    parts: Parts,
}

#[async_trait]
impl Check for Signs {
    fn part(&self) -> &'static str {
        "log"
    }

    async fn check(&self) -> Result<(), String> {
        let now = self.parts.clock.now();
        let trouble = self.signing.trouble(self.parts.settings(), now);
        trouble.map_or(Ok(()), Err)
    }
}

/// Whether the log's checkpoints are signed. No reason to take a worker away: removals go on without.
pub(super) fn log(parts: &Parts, signing: Arc<Signing>) -> Arc<dyn Check> {
    let parts = parts.clone();
    Arc::new(Signs { signing, parts })
}

/// People can be signed in through the identity provider.
#[derive(Debug)]
struct SignsIn {
    vault: Arc<dyn Vault>,
    reference: String,
    clock: Arc<dyn Clock>,
    /// When it was looked last, and what that came to.
    looked: Mutex<Option<(Timestamp, Result<(), String>)>>,
}

impl SignsIn {
    async fn look(&self) -> Result<(), String> {
        let asked = vault::platform_secret(self.vault.as_ref(), &self.reference, OIDC_SECRET);
        match tokio::time::timeout(VAULT_ANSWERS, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(failure)) => Err(format!("CB-CONSOLE-16: {failure}")),
            Err(_) => Err("CB-CONSOLE-16: the vault does not answer".to_owned()),
        }
    }
}

#[async_trait]
impl Check for SignsIn {
    fn part(&self) -> &'static str {
        "sign_in"
    }

    async fn check(&self) -> Result<(), String> {
        let now = self.clock.now();
        let mut looked = self.looked.lock().await;
        if let Some((at, came_to)) = &*looked
            && now < after(*at, LOOKED_SECONDS)
        {
            return came_to.clone();
        }
        let came_to = self.look().await;
        let was_well = looked.as_ref().is_none_or(|(_, before)| before.is_ok());
        if let Err(reason) = came_to.as_ref()
            && was_well
        {
            tracing::error!("nobody signs in through the provider: {reason}");
        }
        *looked = Some((now, came_to.clone()));
        came_to
    }
}

/// Whether the client's secret at the identity provider is to be had, where there is one; looked at once
/// now, so that the log tells at the start.
pub(super) async fn sign_in(parts: &Parts) -> Option<Arc<dyn Check>> {
    let oidc = parts.settings().console.oidc.as_ref()?;
    let check = SignsIn {
        vault: parts.vault.clone(),
        reference: oidc.client_secret.clone()?,
        clock: parts.clock.clone(),
        looked: Mutex::new(None),
    };
    // The check itself tells the log.
    let _ = check.check().await;
    Some(Arc::new(check))
}

fn within(age: u64, bound: u64, what: &str) -> Result<(), String> {
    if age <= bound {
        return Ok(());
    }
    Err(format!("{what} {age} s ago, expected within {bound} s"))
}

/// What the console asks.
pub(super) fn checks(
    parts: &Parts,
    pulse: &Arc<Pulse>,
    lease_seconds: u64,
    intake: Option<Arc<intake::Health>>,
    publish: Option<Arc<Delivered>>,
) -> console::Parts {
    let clock = &parts.clock;
    let mut ready: Vec<Arc<dyn Check>> = vec![
        Arc::new(StorePing(parts.store.clone())),
        Arc::new(Confirmed {
            pulse: pulse.clone(),
            clock: clock.clone(),
            lease_seconds,
        }),
    ];
    if let Some(health) = intake {
        ready.push(Arc::new(Reads {
            health,
            clock: clock.clone(),
        }));
    }
    // A topic that is missing keeps status events back, and nobody's access: no reason to take the
    // console and its worker away.
    let beside = publish.map(|delivered| Arc::new(Publishes(delivered)) as Arc<dyn Check>);
    console::Parts {
        live: vec![Arc::new(Turns {
            pulse: pulse.clone(),
            clock: clock.clone(),
        })],
        ready,
        beside: beside.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::wall;
    use crate::config::{self, Config};

    /// A configuration whose client secret is not in the vault.
    async fn without_client_secret(folder: &std::path::Path) -> Parts {
        let text = "[store]\nurl = \"sqlite::memory:\"\n[console]\npublic_url = \"https://c.example\"\n\
                    [console.oidc]\nissuer = \"https://id.example\"\nclient_id = \"c\"\n\
                    client_secret = \"local:console/oidc\"\n[console.oidc.roles]\noperator = [\"ops\"]\n";
        std::fs::create_dir(folder.join("connectors")).expect("made");
        let file = folder.join(config::DEFAULT_FILE);
        std::fs::write(&file, text).expect("written");
        let config = Config::load(&file, &wall::clock()).unwrap_or_else(|found| panic!("{found}"));
        vault::create_key(&config.settings).expect("a key");
        let parts = Parts::open(config, wall::clock(), wall::chance()).await;
        parts.expect("opened")
    }

    #[tokio::test]
    async fn h2_a_worker_goes_on_without_the_secret_of_the_sign_in_and_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let parts = without_client_secret(folder.path()).await;
        let closing = tokio_util::sync::CancellationToken::new();
        super::super::console::office(&parts, closing).expect("the console opens");
        let check = sign_in(&parts)
            .await
            .expect("there is a secret to look for");
        let told = check.check().await.expect_err("it is not there");
        assert!(
            told.contains("CB-CONSOLE-16") && told.contains("local:console/oidc"),
            "{told}"
        );
        assert_eq!(check.part(), "sign_in");

        let new = vault::value("s3cret".to_owned(), None, None, None);
        let put = vault::put_platform(parts.settings(), "local:console/oidc", new, &parts.clock);
        put.await.expect("kept");
        let check = sign_in(&parts).await.expect("as before");
        assert_eq!(check.check().await, Ok(()));
    }

    #[test]
    fn h2_what_is_too_old_is_told_with_its_age() {
        assert_eq!(within(10, 10, "seen"), Ok(()));
        let told = within(11, 10, "seen");
        assert_eq!(told, Err("seen 11 s ago, expected within 10 s".to_owned()));
    }
}
