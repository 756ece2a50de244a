//! Letting go what is older than its retention: verified first, signed, and covered by a checkpoint after.
//!
//! Owns the order of these three, and the daily sweep. Which cases must stay is the store's, what a
//! tombstone says `domain::audit`'s matter.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{AppError, Parts, audit};
use crate::config::Settings;
use crate::domain::approval::Disapproval;
use crate::domain::audit::{Epitaph, Signed, Tombstone, Verifier, closing, cut};
use crate::domain::time::{Clock, Timestamp, after};
use crate::engine::{APART_MILLISECONDS, apart_milliseconds};
use crate::secrets::Vault;
use crate::store::audit::tables;
use crate::store::{Dropping, Store, Stored};

/// Links under one tombstone: writers wait while they go.
const LINKS: u64 = 50_000;
/// Cases under one tombstone.
const CASES: u32 = 1000;
/// Tombstones in one go at most; the next day goes on.
const TOMBSTONES: usize = 100;
const DAY_SECONDS: u64 = 86_400;
/// How often the daily sweep looks whether its day has come.
const LOOK: Duration = Duration::from_secs(60);
/// Who lets go what no person did.
const SWEEP: &str = "clawback, daily";

/// Who lets go, and why.
#[derive(Debug, Clone)]
pub struct Said {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How long records are kept, in days.
    pub retain_days: u32,
}

/// What the next tombstone would say; `None` when nothing is old enough. Changes nothing.
///
/// # Errors
/// When the store fails, the log is not whole, or the database's clock is another.
pub async fn look(
    store: &dyn Store,
    said: &Said,
    clock: &dyn Clock,
) -> Result<Option<Tombstone>, AppError> {
    let now = agreed(store, clock, ASK).await?;
    let wanted = wanted(store, said, now).await?;
    let told = Mutex::new(None);
    let seal = |stone: Tombstone| {
        if let Ok(mut told) = told.lock() {
            *told = Some(stone);
        }
        None
    };
    store.drop_period(&wanted, &seal).await?;
    let told = told.into_inner().ok().flatten();
    Ok(told.filter(says_something))
}

/// Lets everything go that is old enough, one tombstone after the other, and makes a checkpoint that
/// covers them.
///
/// # Errors
/// When store or vault fails, the log is not whole, or the database's clock is another. What an earlier
/// tombstone stands for is gone then.
pub async fn carry_out(
    store: &dyn Store,
    vault: &dyn Vault,
    settings: &Settings,
    clock: &dyn Clock,
    said: &Said,
) -> Result<Vec<Tombstone>, AppError> {
    let_go(store, vault, settings, (clock, ASK), said).await
}

async fn let_go(
    store: &dyn Store,
    vault: &dyn Vault,
    settings: &Settings,
    (clock, ask): (&dyn Clock, Ask),
    said: &Said,
) -> Result<Vec<Tombstone>, AppError> {
    for (what, text) in [("the name", &said.by), ("the reason", &said.reason)] {
        if text.trim().is_empty() {
            return Err(Disapproval::Unsigned(what).into());
        }
    }
    let mut made = Vec::new();
    while made.len() < TOMBSTONES {
        let now = agreed(store, clock, ask).await?;
        let wanted = wanted(store, said, now).await?;
        let signer = audit::signer(store, vault, settings, now).await?;
        let after = store.last_checkpoint().await?.map_or(0, |one| one.number);
        let seal = |mut stone: Tombstone| {
            // With another checkpoint since, another key may be in force.
            if !says_something(&stone) || stone.after != after {
                return None;
            }
            signer.public().clone_into(&mut stone.key);
            let text = stone.text();
            Some(Signed {
                number: stone.number,
                signature: signer.sign(text.as_bytes()),
                text,
            })
        };
        let signed = store.drop_period(&wanted, &seal).await?;
        let Some(stone) = signed.as_ref().and_then(Tombstone::read) else {
            break;
        };
        tracing::info!(
            number = stone.number,
            cases = stone.cases,
            links = stone.links,
            "a closed period was let go"
        );
        made.push(stone);
        audit::checkpoint(store, vault, settings, clock, 0).await?;
    }
    Ok(made)
}

fn says_something(stone: &Tombstone) -> bool {
    stone.links > 0 || !stone.rows.is_empty()
}

/// Asks the database for its time.
type Ask = for<'a> fn(&'a dyn Store) -> BoxFuture<'a, Stored<Option<Timestamp>>>;
const ASK: Ask = |store| store.clock();

/// The earlier of the two clocks' times, as long as they agree: by one that is years ahead, evidence
/// that is to be kept would be old enough to go.
async fn agreed(store: &dyn Store, clock: &dyn Clock, ask: Ask) -> Result<Timestamp, AppError> {
    let before = clock.now();
    let Some(there) = ask(store).await? else {
        return Ok(before);
    };
    let apart = apart_milliseconds(before, there, clock.now());
    if apart > APART_MILLISECONDS {
        return Err(AppError::ClocksApart(apart));
    }
    Ok(before.min(there))
}

/// A signature must not bless what somebody else wrote, so nothing goes from a log that is not whole.
async fn wanted(store: &dyn Store, said: &Said, now: Timestamp) -> Result<Dropping, AppError> {
    let follows = store.tombstones().await?.pop();
    let cut = cut(now, said.retain_days);
    let checkpoints = store.checkpoints_signed().await?;
    let closing = closing(&checkpoints, cut, LINKS);
    let until = closing.as_ref().and_then(Signed::read);
    let mut verifier = Verifier::new(tables::ALL, None);
    store.inspect(&mut verifier, &audit::signed_by).await?;
    let (findings, _, standing) = verifier.standing(until.map_or(0, |says| says.until));
    if let Some(first) = findings.first() {
        return Err(AppError::NotWhole {
            count: findings.len(),
            first: first.to_string(),
        });
    }
    let epitaph = Epitaph {
        at: now,
        by: said.by.clone(),
        reason: said.reason.clone(),
        retain_days: said.retain_days,
        cut,
        closing,
    };
    Ok(Dropping {
        epitaph,
        follows,
        standing,
        cases: CASES,
    })
}

/// Lets go once a day what is older than the configured retention, until it is told to stop.
pub(super) async fn sweep(parts: Parts, stop: CancellationToken) {
    let settings = parts.settings().clone();
    let (Some(retain_days), true) = (settings.audit.retain_days, settings.audit.drop_daily) else {
        return;
    };
    let said = Said {
        by: SWEEP.to_owned(),
        reason: format!("older than {retain_days} days"),
        retain_days,
    };
    let shelf = Shelf {
        store: parts.store.as_ref(),
        vault: parts.vault.as_ref(),
        settings: &settings,
        clock: parts.clock.as_ref(),
    };
    tokio::select! {
        never = shelf.daily(&said, LOOK) => match never {},
        () = stop.cancelled() => {}
    }
}

/// What is swept, and with what.
struct Shelf<'a> {
    store: &'a dyn Store,
    vault: &'a dyn Vault,
    settings: &'a Settings,
    clock: &'a dyn Clock,
}

impl Shelf<'_> {
    /// At once, and whenever a day of the clock has passed since; looks at the clock every so often,
    /// because a machine that slept has not waited.
    async fn daily(&self, said: &Said, look: Duration) -> Infallible {
        let mut last = None;
        loop {
            let now = self.clock.now();
            if last.is_none_or(|last| after(last, DAY_SECONDS) <= now) {
                // A day by a wrong clock is none: it is tried again at the next look.
                last = self.sweep(said).await.then_some(now);
            }
            tokio::time::sleep(look).await;
        }
    }

    /// Answers whether that was it for the day.
    async fn sweep(&self, said: &Said) -> bool {
        let swept = carry_out(self.store, self.vault, self.settings, self.clock, said).await;
        let today = !matches!(swept, Err(AppError::ClocksApart(_)));
        if let Err(error) = swept {
            let again = if today { "tomorrow" } else { "soon" };
            tracing::error!(
                error = &error as &dyn std::error::Error,
                again,
                "nothing more was let go; it is tried again"
            );
        }
        today
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::domain::id::CaseId;
    use crate::domain::workflow::End;
    use crate::secrets::LocalVault;
    use crate::store::given::{a_case, at, ended, fenced, keep, step};
    use crate::store::{Settings as StoreSettings, open};

    #[derive(Debug)]
    struct Standing(Timestamp);

    impl Clock for Standing {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    fn settings(folder: &std::path::Path) -> Settings {
        let file = folder.join("clawback.toml");
        std::fs::write(&file, "[audit]\nretain_days = 200\n").expect("written");
        Settings::load(&file).expect("reads")
    }

    async fn a_case_that_is_over(store: &Arc<dyn Store>) -> CaseId {
        let over = a_case(store, "over").await;
        let id = over.run.case.expect("a case");
        let mut end = step(&over.run, ended(End::Verified));
        end.case_ended = Some((id, End::Verified, at(5)));
        let settled = store
            .settle(at(5), &keep(1, 0), &[fenced(&over, end)])
            .await;
        settled.expect("settled");
        id
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn e6_what_is_older_than_its_retention_goes_and_the_log_is_whole() {
        // Given a case that is over and one that is open, signed with the installation's key.
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings(folder.path());
        let vault = LocalVault::in_memory().expect("a vault");
        let store = open(&StoreSettings::at("sqlite::memory:"))
            .await
            .expect("opened");
        store.migrate().await.expect("migrated");
        let id = a_case_that_is_over(&store).await;
        let open = a_case(&store, "open").await;
        let store = store.as_ref();
        let then = Standing(at(60));
        let made = audit::checkpoint(store, &vault, &settings, &then, 0).await;
        made.expect("made").expect("due");
        let said = Said {
            by: "ada".to_owned(),
            reason: "as our policy says".to_owned(),
            retain_days: settings.audit.retain_days.expect("set"),
        };
        // Before its time nothing goes.
        let early = Standing(at(200 * DAY_SECONDS));
        assert_eq!(look(store, &said, &early).await.expect("looked"), None);
        // After it, a look says what would go, and changes nothing.
        let late = Standing(at(201 * DAY_SECONDS));
        let first = look(store, &said, &late).await.expect("looked");
        let first = first.expect("something");
        assert_eq!((first.cases, first.through()), (1, 1));
        assert!(store.case(id).await.expect("read").is_some());
        // Nobody lets go what no name and no reason stand for.
        for (by, reason) in [(" ", "policy"), ("ada", "")] {
            let (by, reason) = (by.to_owned(), reason.to_owned());
            let unsigned = Said {
                by,
                reason,
                ..said.clone()
            };
            let refused = carry_out(store, &vault, &settings, &late, &unsigned).await;
            assert!(
                matches!(
                    refused,
                    Err(AppError::Disapproved(Disapproval::Unsigned(_)))
                ),
                "{refused:?}"
            );
        }
        assert!(store.case(id).await.expect("read").is_some());
        // When it is carried out.
        let made = carry_out(store, &vault, &settings, &late, &said).await;
        let made = made.expect("carried out");
        // Then the case is gone, the open one is there, and the log says who let it go.
        assert_eq!(made.len(), 1);
        assert!(store.case(id).await.expect("read").is_none());
        let open = open.run.case.expect("a case");
        assert!(store.case(open).await.expect("read").is_some());
        let key = audit::signed_so_far(store).await.expect("read")[0].read();
        let key = key.map(|one| one.key);
        let verified = audit::verify(store, key, None).await.expect("verified");
        assert_eq!(verified.findings, []);
        assert_eq!(
            verified.tally.unsigned, 0,
            "a checkpoint covers the tombstone"
        );
        assert_eq!(verified.tally.dropped[0].by, "ada");
        // And nothing is left to do.
        let again = carry_out(store, &vault, &settings, &late, &said).await;
        assert_eq!(again.expect("carried out"), []);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn e6_by_a_clock_that_is_years_ahead_nothing_is_let_go() {
        // Given a case that is kept for 200 days, and a machine that is two years ahead of the database.
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings(folder.path());
        let vault = LocalVault::in_memory().expect("a vault");
        let store = open(&StoreSettings::at("sqlite::memory:")).await;
        let store = store.expect("opened");
        store.migrate().await.expect("migrated");
        let id = a_case_that_is_over(&store).await;
        let then = Standing(at(60));
        let made = audit::checkpoint(store.as_ref(), &vault, &settings, &then, 0).await;
        made.expect("made").expect("due");
        let said = Said {
            by: SWEEP.to_owned(),
            reason: "older than 200 days".to_owned(),
            retain_days: 200,
        };
        let told: Ask = |_| Box::pin(async { Ok(Some(at(201 * DAY_SECONDS))) });
        for seconds in [2 * 365 * DAY_SECONDS, 201 * DAY_SECONDS + 6] {
            let ahead = Standing(at(seconds));
            let clocks: (&dyn Clock, Ask) = (&ahead, told);
            // When it is to let go what is old, then it refuses, and the case is there.
            let refused = let_go(store.as_ref(), &vault, &settings, clocks, &said).await;
            let refused = refused.expect_err("refused").to_string();
            assert!(refused.starts_with("CB-ENGINE-13: "), "{refused}");
            assert!(store.case(id).await.expect("read").is_some());
        }
        // Of two clocks that agree the earlier one counts.
        let early: Ask = |_| Box::pin(async { Ok(Some(at(201 * DAY_SECONDS - 3))) });
        let now = Standing(at(201 * DAY_SECONDS));
        let agreed = agreed(store.as_ref(), &now, early).await;
        assert_eq!(agreed.expect("they agree"), at(201 * DAY_SECONDS - 3));
        let made = let_go(store.as_ref(), &vault, &settings, (&now, told), &said).await;
        assert_eq!(made.expect("carried out").len(), 1);
        assert!(store.case(id).await.expect("read").is_none());
    }

    /// A clock that the test moves; it counts how often somebody looks at it.
    #[derive(Debug, Default)]
    struct Moved {
        second: AtomicU64,
        looks: AtomicU64,
    }

    impl Clock for Moved {
        fn now(&self) -> Timestamp {
            self.looks.fetch_add(1, Ordering::SeqCst);
            at(self.second.load(Ordering::SeqCst))
        }
    }

    impl Moved {
        /// Once the sweep has looked at this clock three times more.
        async fn seen(&self) {
            let before = self.looks.load(Ordering::SeqCst);
            until(async || self.looks.load(Ordering::SeqCst) >= before + 3).await;
        }
    }

    async fn until(mut level: impl AsyncFnMut() -> bool) {
        let waits = async {
            while !level().await {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(120), waits).await;
        assert!(waited.is_ok(), "waited in vain");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn e6_the_daily_sweep_comes_at_the_start_and_then_once_in_a_day_of_the_clock() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings(folder.path());
        let vault = LocalVault::in_memory().expect("a vault");
        let store = open(&StoreSettings::at("sqlite::memory:")).await;
        let store = store.expect("opened");
        store.migrate().await.expect("migrated");
        let id = a_case_that_is_over(&store).await;
        let then = Standing(at(60));
        let made = audit::checkpoint(store.as_ref(), &vault, &settings, &then, 0).await;
        made.expect("made").expect("due");
        let said = Said {
            by: SWEEP.to_owned(),
            reason: "older than 200 days".to_owned(),
            retain_days: 200,
        };
        let clock = Moved::default();
        let start = 200 * DAY_SECONDS;
        let shelf = Shelf {
            store: store.as_ref(),
            vault: &vault,
            settings: &settings,
            clock: &clock,
        };
        let gone = async || store.case(id).await.expect("read").is_none();
        let watch = async {
            // Given a sweep at the start, which came too early for the case.
            clock.seen().await;
            assert!(!gone().await);
            // When it is old enough, and the day is not over.
            clock
                .second
                .store(start + DAY_SECONDS - 1, Ordering::SeqCst);
            clock.seen().await;
            assert!(!gone().await);
            assert_eq!(store.tombstones().await.expect("read"), []);
            // Then it goes with the next day, in the sweep's name.
            clock.second.store(start + DAY_SECONDS, Ordering::SeqCst);
            until(gone).await;
            until(async || store.tombstones().await.expect("read").len() == 1).await;
            let stones = store.tombstones().await.expect("read");
            let stone = Tombstone::read(&stones[0]).expect("reads");
            assert_eq!(stone.by, SWEEP);
        };
        clock.second.store(start, Ordering::SeqCst);
        tokio::select! {
            never = shelf.daily(&said, Duration::from_millis(1)) => match never {},
            () = watch => {}
        }
        // One that begins anew sweeps at once, and finds nothing more.
        assert_eq!(
            look(shelf.store, &said, &clock).await.expect("looked"),
            None
        );
    }
}
