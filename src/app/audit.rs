//! The log's checkpoints and its verification: store and vault put together.
//!
//! Owns when a checkpoint is due, the change of the signing key, and the words for a log that is not
//! whole. Hashing and judgement are `domain::audit`, signatures `secrets::signing`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{AppError, Parts, vault};
use crate::config::Settings;
use crate::domain::audit::{
    Digest, Fault, Finding, Mark, Signed, Span, Tally, Tombstone, Verifier, Window,
};
use crate::domain::time::{Clock, Timestamp, after};
use crate::secrets::signing::{self, Signer};
use crate::secrets::{Owner, Vault, VaultError};
use crate::store::Store;
use crate::store::audit::tables;

/// Where checkpoints are kept.
const CHECKPOINTS: &str = "audit_checkpoints";
/// Where links are.
const LINKS: &str = "audit_links";
/// A worker looks at least so often whether links wait.
const ROUND_SECONDS: u64 = 10;
/// Rounds of signing that may fail to come before that is told.
const ROUNDS_MISSED: u64 = 3;
/// For how long a worker may take to sign what was written just now.
pub const SIGNED_WITHIN: Duration = Duration::from_secs(2 * ROUND_SECONDS + 5);
/// How often it is looked whether one has.
const LOOK: Duration = Duration::from_millis(500);

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

/// Adds a finding where links have waited for a signature for several times as long as they should: whoever
/// may write to the database can take those away unseen. Links that were written just now, after a time in
/// which nothing was, are signed within `patience`; at a stop a worker signs what it leaves.
///
/// # Errors
/// When the store fails.
pub async fn waits_unsigned(
    mut verified: Verified,
    store: &dyn Store,
    settings: &Settings,
    clock: &dyn Clock,
    patience: Duration,
) -> Result<Verified, AppError> {
    let last = store.last_checkpoint().await?;
    let (Some((known, _)), Some(last)) = (verified.tally.last, last) else {
        return Ok(verified);
    };
    let at = last.read().map_or(Timestamp::MAX, |says| says.at);
    let late = after(at, overdue(settings)) < clock.now();
    if verified.tally.unsigned == 0 || last.number != known || !late {
        return Ok(verified);
    }
    let signed = async {
        while store.last_checkpoint().await?.map(|one| one.number) == Some(known) {
            tokio::time::sleep(LOOK).await;
        }
        Ok::<_, AppError>(())
    };
    if let Ok(signed) = tokio::time::timeout(patience, signed).await {
        signed?;
        return Ok(verified);
    }
    verified.findings.push(Finding {
        fault: Fault::NotSigned,
        table: LINKS,
        row: format!("after checkpoint {known}"),
        detail: format!(
            "{} links wait for a signature, and the newest one is of {at}; look at `log` of /readyz, or, where \
             no worker runs, sign them by `clawback audit checkpoints --now`",
            verified.tally.unsigned
        ),
    });
    Ok(verified)
}

/// After so many seconds without a signature links have waited for too long.
fn overdue(settings: &Settings) -> u64 {
    ROUNDS_MISSED * settings.audit.checkpoint_seconds.max(ROUND_SECONDS)
}

/// How the rounds of signing go, for whoever watches.
#[derive(Debug)]
pub(super) struct Signing(Mutex<Round>);

#[derive(Debug)]
struct Round {
    /// When the last one ended well: nothing waited, or it was signed.
    well: Timestamp,
    /// Why the last one did not.
    trouble: Option<String>,
}

impl Signing {
    /// None has been yet.
    pub(super) fn new(now: Timestamp) -> Self {
        let (well, trouble) = (now, None);
        Self(Mutex::new(Round { well, trouble }))
    }

    fn ended(&self, now: Timestamp, trouble: Option<String>) {
        let mut round = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_none() {
            round.well = now;
        }
        round.trouble = trouble;
    }

    /// Why what is written now may stay unsigned.
    pub(super) fn trouble(&self, settings: &Settings, now: Timestamp) -> Option<String> {
        let round = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = format!("nothing is signed since {}", round.well);
        match &round.trouble {
            Some(why) => Some(format!("{since}: {why}")),
            None => (after(round.well, overdue(settings)) < now).then_some(since),
        }
    }
}

/// Makes checkpoints until it is told to stop, and a last one then.
pub(super) async fn witness(parts: Parts, signing: Arc<Signing>, stop: CancellationToken) {
    let every = parts.settings().audit.checkpoint_seconds;
    loop {
        let stopped = tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(every.min(ROUND_SECONDS))) => false,
            () = stop.cancelled() => true,
        };
        let every = if stopped { 0 } else { every };
        let (store, clock) = (parts.store.as_ref(), parts.clock.as_ref());
        let vault = parts.vault.as_ref();
        let signed = checkpoint(store, vault, parts.settings(), clock, every).await;
        let trouble = signed.as_ref().err().map(ToString::to_string);
        signing.ended(clock.now(), trouble);
        if let Err(error) = signed {
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
    use crate::config::Config;
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

    /// A day later.
    #[derive(Debug)]
    struct Tomorrow(Arc<dyn Clock>);

    impl Clock for Tomorrow {
        fn now(&self) -> Timestamp {
            after(self.0.now(), 86_400)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn e6_a_log_that_nobody_can_sign_any_more_is_told() {
        // Given a log that was signed by a key which the worker's vault does not hold.
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("clawback.toml");
        std::fs::create_dir(folder.path().join("connectors")).expect("made");
        std::fs::write(&file, "[store]\nurl = \"sqlite::memory:\"\n").expect("written");
        let config = Config::load(&file, &wall::clock()).unwrap_or_else(|found| panic!("{found}"));
        vault::create_key(&config.settings).expect("a key");
        let parts = Parts::open(config, wall::clock(), wall::chance()).await;
        let parts = parts.expect("opened");
        let (store, settings) = (&parts.store, parts.settings());
        store.migrate().await.expect("migrated");
        given::a_case(store, "signed").await;
        let other = LocalVault::in_memory().expect("a vault");
        let clock = parts.clock.as_ref();
        let signed = checkpoint(store.as_ref(), &other, settings, clock, 0).await;
        signed.expect("made").expect("due");
        let signing = Arc::new(Signing::new(clock.now()));
        assert_eq!(signing.trouble(settings, clock.now()), None);
        // When something more is written, and the worker is to sign it.
        given::a_case(store, "unsigned").await;
        let stop = CancellationToken::new();
        stop.cancel();
        witness(parts.clone(), signing.clone(), stop).await;
        // Then the part says why it is not ready, and a verification finds what waits once it is old.
        let told = signing.trouble(settings, clock.now()).expect("trouble");
        assert!(told.contains("the vault holds no"), "{told}");
        let tomorrow = Tomorrow(parts.clock.clone());
        for (clock, late) in [(clock, false), (&tomorrow as &dyn Clock, true)] {
            let verified = verify(store.as_ref(), None, None).await.expect("read");
            assert!(verified.findings.is_empty() && verified.tally.unsigned > 0);
            let none = Duration::ZERO;
            let judged = waits_unsigned(verified, store.as_ref(), settings, clock, none).await;
            let found = judged.expect("judged").findings;
            let faults: Vec<_> = found.iter().map(|one| (one.fault, one.table)).collect();
            let expected = late.then_some((Fault::NotSigned, LINKS));
            assert_eq!(faults, Vec::from_iter(expected));
        }
        // A log of which nothing waits is not found wanting, however old it is.
        let signed = checkpoint(store.as_ref(), &other, settings, clock, 0).await;
        signed.expect("made").expect("due");
        let verified = verify(store.as_ref(), None, None).await.expect("read");
        let none = Duration::ZERO;
        let judged = waits_unsigned(verified, store.as_ref(), settings, &tomorrow, none).await;
        assert_eq!(judged.expect("judged").findings, []);
        // Nor is a part ready whose rounds have ceased.
        let idle = Signing::new(clock.now());
        assert!(idle.trouble(settings, tomorrow.now()).is_some());
    }
}
