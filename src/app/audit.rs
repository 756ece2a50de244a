//! The log's checkpoints and its verification: store and vault put together.
//!
//! Owns when a checkpoint is due, the change of the signing key, and the words for a log that is not
//! whole. Hashing and judgement are `domain::audit`, signatures `secrets::signing`.

use tokio_util::sync::CancellationToken;

use super::{AppError, Parts, vault};
use crate::config::Settings;
use crate::domain::audit::{
    Digest, Fault, Finding, Mark, Signed, Span, Tally, Tombstone, Verifier, Window,
};
use crate::domain::time::{Clock, Timestamp};
use crate::secrets::signing::{self, Signer};
use crate::secrets::{Owner, Vault, VaultError};
use crate::store::Store;
use crate::store::audit::tables;

/// Where checkpoints are kept.
const CHECKPOINTS: &str = "audit_checkpoints";

/// What a verification came to.
#[derive(Debug)]
pub struct Verified {
    /// What is wrong, and where.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub tally: Tally,
}

impl Verified {
    /// In one line.
    pub fn words(&self) -> String {
        let tally = &self.tally;
        let rows: u64 = tally.rows.values().sum();
        let last = tally.last.map_or(String::new(), |(number, digest)| {
            format!("; the last checkpoint is {number}:{digest}")
        });
        let verdict = match self.findings.len() {
            0 => "whole".to_owned(),
            1 => "NOT WHOLE, 1 finding".to_owned(),
            count => format!("NOT WHOLE, {count} findings"),
        };
        format!(
            "{verdict}: {rows} rows, {} links, {} checkpoints, {} links not yet signed{last}",
            tally.links, tally.checkpoints, tally.unsigned
        )
    }
}

/// Reads the whole log and every recorded row. `key` is the first public key, where it is known;
/// `noted` a checkpoint's number and digest that somebody wrote down outside of the database.
///
/// # Errors
/// When the store fails.
pub async fn verify(
    store: &dyn Store,
    key: Option<String>,
    noted: Option<(i64, Digest)>,
) -> Result<Verified, AppError> {
    looked(store, Verifier::new(tables::ALL, key), noted).await
}

/// Adds a finding where the vault holds no key by which the log says that it is signed: somebody may have
/// written it anew and signed it by a key of their own. Without such a vault a log is whole by the key that
/// it names itself.
///
/// # Errors
/// When store or vault fails.
pub async fn by_own_key(
    mut verified: Verified,
    store: &dyn Store,
    vault: &dyn Vault,
    settings: &Settings,
    now: Timestamp,
) -> Result<Verified, AppError> {
    let Some((number, _)) = verified.tally.last else {
        return Ok(verified);
    };
    match signer(store, vault, settings, now).await {
        Ok(_) => {}
        Err(AppError::Vault(VaultError::Missing { .. })) => verified.findings.push(Finding {
            fault: Fault::NotSigned,
            table: CHECKPOINTS,
            row: number.to_string(),
            detail: "it is signed by a key that the vault does not hold".to_owned(),
        }),
        Err(error) => return Err(error),
    }
    Ok(verified)
}

/// The same for a part of the log, if `from` or `to` names one; `tell` hears now and then how many links
/// and rows were read.
///
/// # Errors
/// When the store fails.
pub async fn verify_part(
    store: &dyn Store,
    key: Option<String>,
    noted: Option<(i64, Digest)>,
    (from, to): (Option<Mark>, Option<Mark>),
    tell: impl Fn(u64) + Send + Sync + 'static,
) -> Result<Verified, AppError> {
    let mut verifier = Verifier::new(tables::ALL, key).telling(tell);
    if from.is_some() || to.is_some() {
        let checkpoints = store.checkpoints_signed().await?;
        verifier = verifier.only(Span::between(&checkpoints, from, to));
    }
    looked(store, verifier, noted).await
}

async fn looked(
    store: &dyn Store,
    mut verifier: Verifier,
    noted: Option<(i64, Digest)>,
) -> Result<Verified, AppError> {
    store.inspect(&mut verifier, &signed_by).await?;
    if let Some((number, digest)) = noted {
        let all = store.checkpoints_signed().await?;
        let all: Vec<_> = all.iter().map(|one| (one.number, one.digest())).collect();
        verifier.anchored(number, digest, &all);
    }
    let (findings, tally) = verifier.finish();
    Ok(Verified { findings, tally })
}

/// True when the signature over this text is by this public key (hex).
pub fn signed_by(public: &str, text: &str, signature: &str) -> bool {
    signing::signed_by(public, text.as_bytes(), signature)
}

/// The key that signs now.
///
/// # Errors
/// When store or vault fails, or the vault has not the key that the log names.
pub async fn signer(
    store: &dyn Store,
    vault: &dyn Vault,
    settings: &Settings,
    now: Timestamp,
) -> Result<Signer, AppError> {
    let last = store.last_checkpoint().await?;
    let expected = last.as_ref().and_then(expected_key);
    let owner = owner(settings);
    Ok(signing::signer(vault, &owner, expected.as_deref(), now).await?)
}

/// Checkpoints that show which keys signed, oldest first: of periods that were let go those in which the
/// key changed, and the last one.
///
/// # Errors
/// When the store fails.
pub async fn signed_so_far(store: &dyn Store) -> Result<Vec<Signed>, AppError> {
    let newest = store.tombstones().await?.pop();
    let newest = newest.as_ref().and_then(Tombstone::read);
    let mut all = Vec::new();
    if let Some(stone) = newest {
        all.extend(stone.changes);
        all.extend(stone.closing);
    }
    all.extend(store.checkpoints_signed().await?);
    Ok(all)
}

/// Makes a checkpoint if links wait for one and the last is old enough (`every` seconds); at drain 0.
///
/// # Errors
/// When store or vault fails.
pub async fn checkpoint(
    store: &dyn Store,
    vault: &dyn Vault,
    settings: &Settings,
    clock: &dyn Clock,
    every: u64,
) -> Result<Option<Signed>, AppError> {
    let now = clock.now();
    let last = store.last_checkpoint().await?;
    let age = last.as_ref().and_then(Signed::read);
    let age = age.map(|one| now.as_second().saturating_sub(one.at.as_second()));
    if age.is_some_and(|age| age < every.cast_signed()) {
        return Ok(None);
    }
    let expected = last.as_ref().and_then(expected_key);
    let signer = signing::signer(vault, &owner(settings), expected.as_deref(), now).await?;
    let signed = store
        .witness(&|window, before| {
            let followed = before.map(Signed::digest) == last.as_ref().map(Signed::digest);
            (followed && window.links() > 0).then(|| sign(window, before, now, &signer, None))
        })
        .await?;
    if let Some(signed) = &signed {
        // Whoever keeps this line elsewhere can tell later that the end was cut off.
        tracing::info!(number = signed.number, digest = %signed.digest(), "checkpoint of the log");
    }
    Ok(signed)
}

/// Changes the signing key: the old one signs the new one's public half, then the new one signs.
///
/// # Errors
/// When store or vault fails, or another process was at it.
pub async fn change_key(
    store: &dyn Store,
    vault: &dyn Vault,
    settings: &Settings,
    now: Timestamp,
) -> Result<Option<(String, String)>, AppError> {
    let old = signer(store, vault, settings, now).await?;
    let owner = owner(settings);
    let next = signing::next_signer(vault, &owner, now).await?;
    let signed = store
        .witness(&|window, before| {
            let expected = before.and_then(expected_key);
            expected
                .is_none_or(|key| key == old.public())
                .then(|| sign(window, before, now, &old, Some(next.public())))
        })
        .await?;
    if signed.is_none() {
        return Ok(None);
    }
    signing::promote(vault, &owner, &next).await?;
    Ok(Some((old.public().to_owned(), next.public().to_owned())))
}

/// Makes checkpoints until it is told to stop, and a last one then.
pub(super) async fn witness(parts: Parts, stop: CancellationToken) {
    let every = parts.settings().audit.checkpoint_seconds;
    loop {
        let stopped = tokio::select! {
            () = tokio::time::sleep(std::time::Duration::from_secs(every.min(10))) => false,
            () = stop.cancelled() => true,
        };
        let every = if stopped { 0 } else { every };
        let (store, clock) = (parts.store.as_ref(), parts.clock.as_ref());
        let vault = parts.vault.as_ref();
        if let Err(error) = checkpoint(store, vault, parts.settings(), clock, every).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no checkpoint of the log; the next round tries again"
            );
        }
        if stopped {
            return;
        }
    }
}

fn sign(
    window: &Window,
    before: Option<&Signed>,
    now: Timestamp,
    signer: &Signer,
    next: Option<&str>,
) -> Signed {
    let says = window.close(before, now, signer.public(), next);
    let text = says.text();
    Signed {
        number: says.number,
        signature: signer.sign(text.as_bytes()),
        text,
    }
}

/// The key that must sign what follows this checkpoint.
fn expected_key(last: &Signed) -> Option<String> {
    let says = last.read()?;
    Some(says.next_key.unwrap_or(says.key))
}

fn owner(settings: &Settings) -> Owner {
    vault::platform(&settings.audit.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::wall;
    use crate::secrets::LocalVault;
    use crate::store::{self, given};

    /// Decision 12: the database alone permits nothing but cutting off an end.
    #[tokio::test]
    async fn e6_a_log_that_is_signed_by_a_key_of_somebody_elses_is_not_whole() {
        let place = store::Settings::at("sqlite::memory:");
        let store = store::open(&place).await.expect("opened");
        store.migrate().await.expect("migrated");
        given::a_case(&store, "c").await;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("clawback.toml");
        std::fs::write(&file, "").expect("written");
        let (settings, clock) = (Settings::load(&file).expect("reads"), wall::clock());
        let ours = LocalVault::in_memory().expect("a vault");
        let theirs = LocalVault::in_memory().expect("a vault");
        for (vault, foreign) in [(&theirs, false), (&ours, true)] {
            if !foreign {
                let made = checkpoint(store.as_ref(), vault, &settings, clock.as_ref(), 0).await;
                assert!(made.expect("made").is_some());
            }
            let verified = verify(store.as_ref(), None, None).await.expect("read");
            assert_eq!(verified.findings, [], "by the key that it names itself");
            let now = clock.now();
            let judged = by_own_key(verified, store.as_ref(), vault, &settings, now).await;
            let found: Vec<_> = judged.expect("judged").findings;
            let faults: Vec<_> = found.iter().map(|one| (one.fault, one.table)).collect();
            if foreign {
                assert_eq!(faults, [(Fault::NotSigned, CHECKPOINTS)]);
            } else {
                assert_eq!(faults, []);
            }
        }
    }
}
