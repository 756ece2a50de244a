//! Surveys: whole targets read on a schedule, with the verifier's eyes, for inventory and health.
//!
//! Owns the round in which a worker takes due surveys on, does them beside the road of removals, and
//! commits what they came to. What a survey means is decided by `domain::health`; what was settled
//! while a connector was away is seen again by `again`. A target that hangs holds up its own survey.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::connectors::{Guarded, Listing};
use crate::domain::health::{
    Advance, Answer, Bounds, Care, Keeper, Standing, Survey, Tally, advance, care, next_survey,
    seconds_between,
};
use crate::domain::id::WorkerId;
use crate::domain::outcome::Failure;
use crate::domain::rotation::Rotations;
use crate::domain::status;
use crate::domain::time::{Timestamp, after};
use crate::domain::verdict::CredentialRole;
use crate::store::{SurveyLease, SurveyWanted};

use super::again::SeenAgain;
use super::worker::warned;
use super::{Crew, Engine, EngineError, tell};

/// Surveys that a worker does at once.
const AT_ONCE: u32 = 4;
/// How long a survey may take beyond its calls.
const SLACK_SECONDS: u64 = 60;

/// One worker's surveyor.
pub(super) struct Surveyor {
    engine: Arc<Engine>,
    crew: Arc<Crew>,
}

impl Surveyor {
    pub(super) fn new(engine: Arc<Engine>, crew: Arc<Crew>) -> Self {
        Self { engine, crew }
    }

    /// Surveys until the worker drains. What is under way then is given up: another worker begins it
    /// anew, since the lease of one that is gone counts for nothing.
    pub(super) async fn run(self) {
        let settings = &self.engine.settings;
        let every = |milliseconds| {
            let mut ticks = tokio::time::interval(Duration::from_millis(milliseconds));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut looks = every(settings.survey_milliseconds);
        let mut tells = every(settings.sweep_seconds * 1000);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = self.crew.drained() => break,
                Some(ended) = under_way.join_next(), if !under_way.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(error = &error as &dyn std::error::Error, "a survey broke off");
                    }
                }
                _ = tells.tick() => {
                    let _ = warned(self.engine.tell_calls().await);
                }
                _ = looks.tick() => {
                    // By a wrong clock every survey would look due, and every record silent.
                    if self.crew.holds_off() {
                        continue;
                    }
                    let _ = warned(self.engine.heed_health().await);
                    let room = AT_ONCE.saturating_sub(u32::try_from(under_way.len()).unwrap_or(AT_ONCE));
                    let taken = self.engine.take_surveys(self.crew.worker(), room).await;
                    for lease in warned(taken).unwrap_or_default() {
                        let engine = self.engine.clone();
                        under_way.spawn(async move {
                            let _ = warned(engine.survey(&lease).await);
                        });
                    }
                }
            }
        }
        under_way.shutdown().await;
        let _ = warned(self.engine.tell_calls().await);
    }
}

impl Engine {
    /// Leases surveys that are due, up to `at_most`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_surveys(
        &self,
        worker: WorkerId,
        at_most: u32,
    ) -> Result<Vec<SurveyLease>, EngineError> {
        if at_most == 0 {
            return Ok(Vec::new());
        }
        let serving = self.serving();
        let wanted: Vec<_> = serving.registry.iter().map(|one| wanted(one)).collect();
        let now = self.clock.now();
        Ok(self
            .store
            .take_surveys(worker, now, &wanted, at_most)
            .await?)
    }

    /// Does one survey and commits what it came to; `None` when the lease has moved on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn survey(&self, lease: &SurveyLease) -> Result<Option<Advance>, EngineError> {
        let Some(connector) = self.serving().registry.get(&lease.connector) else {
            return Ok(None);
        };
        let bounds = connector.manifest().bounds();
        let at = self.clock.now();
        let listing = self.look_over(&connector).await;
        let survey = Survey {
            at,
            until: self.clock.now(),
            answer: match &listing {
                Ok(listing) => Ok(Answer::of(
                    &listing.accounts,
                    listing.completeness,
                    listing.data_age_seconds,
                    &bounds,
                )),
                Err(failure) => Err(failure.clone()),
            },
            credentials: self.credential_ages(&connector).await,
            undrilled: self.drill_trouble(&connector, lease.standing.first).await?,
        };
        let (expected, _) = advance(&lease.standing, &survey, &bounds);
        connector.vitals().set_distrust(expected.trouble.clone());
        let mut came_back = 0;
        if let Ok(listing) = listing {
            // What a listing shows is there, however little it proves about what it does not show.
            // What settled while it was away is seen one by one, by the recheck below.
            let owed = expected.recheck.as_ref();
            let listed = &listing.accounts;
            came_back = self.see_returned(&connector, listed, at, owed).await?;
            // The rest of what the survey saw is not lost with it.
            let (whole, accounts) = (expected.trouble.is_none(), listing.accounts);
            self.remember(&lease.connector, at, whole, accounts).await;
        }
        self.force_silent(&connector, &lease.standing, &expected)
            .await?;
        let mut seen = match &expected.recheck {
            Some(recheck) if !expected.state.is_away() => {
                let until = after(at, lease_seconds(&connector) / 2);
                self.see_again(&connector, recheck, until).await?
            }
            Some(_) | None => SeenAgain::default(),
        };
        seen.came_back += came_back;
        self.tell_calls_of(&connector).await?;
        let surveyed = Surveyed {
            engine: self,
            connector: &connector,
            bounds,
            survey,
            seen,
            fraction: self.chance.fraction(),
        };
        let decide = |standing: &Standing, open: &[Care]| surveyed.decide(standing, open);
        let kept = self.store.keep_survey(lease, &decide).await?;
        if let Some(kept) = &kept {
            connector
                .vitals()
                .set_distrust(kept.standing.trouble.clone());
            tell::surveyed(&lease.connector, &lease.standing, kept);
        } else {
            tell::not_kept(&lease.connector, seconds_between(at, self.clock.now()));
        }
        Ok(kept)
    }

    async fn look_over(&self, connector: &Guarded) -> Result<Listing, Failure> {
        let role = CredentialRole::Verifier;
        let credential = self.secrets.credential(connector.manifest(), role).await?;
        connector.survey(&credential).await
    }

    async fn credential_ages(&self, connector: &Guarded) -> BTreeMap<CredentialRole, u64> {
        let now = self.clock.now();
        let manifest = std::iter::once(connector.manifest());
        let ages = self.secrets.ages(manifest, &Rotations::default()).await;
        let ages = ages.known.into_iter();
        ages.map(|secret| (secret.role, seconds_between(secret.created, now)))
            .collect()
    }

    /// Tells the store what the calls of this worker's runs came to, in one commit.
    ///
    /// # Errors
    /// When the store fails; what was to be told is then lost, as it is only for people to see.
    pub async fn tell_calls(&self) -> Result<(), EngineError> {
        let serving = self.serving();
        let tallies = serving.registry.iter().map(|connector| {
            let tally = connector.vitals().take_tally();
            (connector.name().clone(), tally)
        });
        let tallies = tallies.filter(|(_, tally)| *tally != Tally::default());
        Ok(self.store.note_calls(&tallies.collect()).await?)
    }

    async fn tell_calls_of(&self, connector: &Guarded) -> Result<(), EngineError> {
        let tally = connector.vitals().take_tally();
        if tally == Tally::default() {
            return Ok(());
        }
        let tallies = BTreeMap::from([(connector.name().clone(), tally)]);
        Ok(self.store.note_calls(&tallies).await?)
    }

    /// Reads how the connectors stand, whoever surveyed them: reads of one that is drifted are not
    /// believed by this worker either, and whoever watches is told.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn heed_health(&self) -> Result<(), EngineError> {
        let now = self.clock.now();
        let standings = self.store.standings().await?;
        for connector in self.serving().registry.iter() {
            let Some(standing) = standings.get(connector.name()) else {
                continue;
            };
            connector.vitals().set_distrust(standing.trouble.clone());
            let (state, _) = standing.judged(&connector.manifest().bounds(), now);
            tell::health(connector.name(), standing, state, now);
        }
        Ok(())
    }
}

/// What one survey came to, until it is committed.
struct Surveyed<'a> {
    engine: &'a Engine,
    connector: &'a Guarded,
    bounds: Bounds,
    survey: Survey,
    seen: SeenAgain,
    fraction: f64,
}

impl Surveyed<'_> {
    fn decide(&self, before: &Standing, open: &[Care]) -> Advance {
        let (mut standing, mut sample) = advance(before, &self.survey, &self.bounds);
        self.seen.note(&mut standing, &mut sample);
        let manifest = self.connector.manifest();
        let now: Timestamp = self.survey.until;
        let facts = manifest.facts();
        let topic = self.engine.settings.status_topic.as_deref();
        let keeper = Keeper {
            connector: &manifest.name,
            facts: &facts,
            nhi: manifest.nhi.is_some(),
            owner: &manifest.owner,
            deputy: &manifest.deputy,
            topic,
            now,
        };
        let (care, mut messages) = care(&mut standing, open, &keeper);
        if let Some(topic) = topic
            && sample.state != before.state
        {
            let privileged = manifest.privileged;
            let news = status::health(
                &manifest.name,
                before.state,
                &sample,
                privileged,
                topic,
                now,
            );
            messages.push(news);
        }
        // While it is away nothing is seen again: the survey itself is all that there is to do.
        let goes_on = standing.recheck.is_some() && !standing.state.is_away();
        let due = if goes_on && !self.seen.stuck {
            now
        } else {
            next_survey(&standing, &self.bounds, now, self.fraction)
        };
        Advance {
            standing,
            sample,
            care,
            messages,
            due,
        }
    }
}

fn wanted(connector: &Guarded) -> SurveyWanted {
    SurveyWanted {
        connector: connector.name().clone(),
        lease_seconds: lease_seconds(connector),
    }
}

/// One half for the survey's own listing and looks at what was settled meanwhile, the other for the last of
/// these looks, which may list once more.
fn lease_seconds(connector: &Guarded) -> u64 {
    let limits = &connector.manifest().limits;
    // A look of many requests has the time of a listing.
    let look = limits
        .listing_timeout_seconds
        .saturating_add(limits.listing_timeout_seconds.max(limits.timeout_seconds));
    look.saturating_add(SLACK_SECONDS).saturating_mul(2)
}
