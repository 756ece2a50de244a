//! B3 and B4: the life of a worker whose vault hangs.
//!
//! Owns a whole worker, with its loop, over a scripted target. The verbs alone are played elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ages::aging;
use super::ward::Ward;
use crate::connectors::{Connector, Registry};
use crate::domain::time::{Chance, Clock};
use crate::domain::verdict::CredentialRole;
use crate::engine::{Engine, Ports, Pulse, Settings};
use crate::secrets::{
    Change, LocalVault, NewSecret, Owner, Revealed, SecretRecord, Secrets, Slot, Vault, VaultError,
};

/// Gives values, and never ends telling of a record.
#[derive(Debug)]
struct Mute {
    inner: Box<dyn Vault>,
    asked: AtomicU64,
}

#[async_trait]
impl Vault for Mute {
    async fn record(&self, _: &Owner) -> Result<Option<SecretRecord>, VaultError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }

    async fn reveal(&self, owner: &Owner, slot: Slot) -> Result<Option<Revealed>, VaultError> {
        self.inner.reveal(owner, slot).await
    }

    async fn change(&self, owner: &Owner, change: Change) -> Result<u64, VaultError> {
        self.inner.change(owner, change).await
    }

    async fn remove(&self, owner: &Owner) -> Result<bool, VaultError> {
        self.inner.remove(owner).await
    }

    async fn probe(&self, owner: &Owner) -> Result<(), VaultError> {
        self.inner.probe(owner).await
    }
}

/// Draws nothing: every id follows the one before.
#[derive(Debug, Default)]
struct Next(AtomicU64);

impl Chance for Next {
    fn fraction(&self) -> f64 {
        0.0
    }

    fn id(&self) -> uuid::Uuid {
        uuid::Uuid::from_u64_pair(1, self.0.fetch_add(1, Ordering::Relaxed))
    }
}

async fn engine(ward: &Ward, vault: Arc<Mute>) -> Arc<Engine> {
    let clock: Arc<dyn Clock> = ward.clock.clone();
    let part: Arc<dyn Connector> = Arc::new(ward.target.clone());
    let ports = Ports {
        store: ward.store.clone(),
        registry: Arc::new(Registry::assemble(vec![(aging(), part)], &clock)),
        secrets: Arc::new(Secrets::new(vault)),
        verification: ward.engine.verification.clone(),
        workflows: ward.engine.workflows.clone(),
        clock,
        chance: Arc::new(Next::default()),
    };
    let engine = Arc::new(Engine::new(ports, Settings::default()));
    let new = NewSecret {
        value: "first".into(),
        username: None,
        remote_ref: None,
        expires: None,
    };
    let manifest = aging();
    let role = CredentialRole::Verifier;
    let put = engine.secrets.put(&manifest, role, new, ward.clock.now());
    put.await.expect("put");
    engine
}

#[tokio::test]
async fn b4_a_vault_that_hangs_holds_up_neither_work_nor_the_end() {
    let ward = Ward::under(aging()).await;
    let vault = Arc::new(Mute {
        inner: Box::new(LocalVault::in_memory().expect("a vault")),
        asked: AtomicU64::new(0),
    });
    let engine = engine(&ward, vault.clone()).await;
    let (mut life, shutdown) = (JoinSet::new(), CancellationToken::new());
    life.spawn(engine.run(Arc::new(Pulse::default()), shutdown.clone()));
    let story = async {
        // Given a sweep that waits for the vault.
        while vault.asked.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        // When somebody leaves, then the account goes all the same, and the worker ends when it shall.
        ward.leaver_leaves().await;
        while ward.target.shown().accounts.len() == 5 {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
        life.join_next().await.expect("one").expect("no panic")
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), story).await;
    ended.expect("nothing waits for the vault").expect("well");
}
