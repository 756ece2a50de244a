//! Live updates: tells an open page that what it shows has changed (server-sent events).
//!
//! Owns the stream and what a page can be about. The page fetches itself again by its own address, so
//! a stream carries no data; it ends with the session, and when the console closes.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Extension, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::office::{Office, Shared, Who};
use super::problem::Problem;
use super::view;
use crate::domain::user::SessionState;
use crate::store::{Counts, Stored};
use crate::telemetry::Stopwatch;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(2);

/// What was counted last, for all who look at the same moment: to count means to read the whole store.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<Option<(Stopwatch, Counts)>>);

impl Counted {
    /// What was counted at most a look ago. Whoever comes while it is counted waits for the same.
    async fn read(&self, count: impl Future<Output = Stored<Counts>>) -> Stored<Counts> {
        let mut counted = self.0.lock().await;
        if let Some((since, counts)) = &*counted
            && since.elapsed() < LOOK
        {
            return Ok(counts.clone());
        }
        let since = Stopwatch::start();
        let counts = count.await?;
        *counted = Some((since, counts.clone()));
        Ok(counts)
    }
}

/// What the page is about.
#[derive(Debug, Deserialize)]
pub(super) struct About {
    #[serde(default)]
    about: String,
}

/// The stream of one open page.
pub(super) async fn stream(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Query(about): Query<About>,
) -> Result<Response, Problem> {
    let first = state(&office, &about.about).await?;
    let begun = (office, who, about.about, first);
    let events = stream::unfold(begun, |(office, who, about, mut known)| async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = office.closing.cancelled() => return None,
            }
            if !goes_on(&office, &who).await {
                return None;
            }
            let Ok(now) = state(&office, &about).await else {
                continue;
            };
            if now != known {
                known = now;
                let event = Event::default().event("changed").data("");
                return Some((Ok::<_, Infallible>(event), (office, who, about, known)));
            }
        }
    });
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
    Ok(stream.into_response())
}

/// True while the session may go on; looking does not keep it alive.
async fn goes_on(office: &Office, who: &Who) -> bool {
    let Some(session) = &who.session else {
        return false;
    };
    match office.store.sessions(&who.name).await {
        Ok(sessions) => sessions.iter().any(|one| {
            one.id == session.id && one.judged(&office.bounds, office.now()) != SessionState::Over
        }),
        // The store is away: the page stays as it is until it is back.
        Err(_) => true,
    }
}

/// A digest of what the page shows.
async fn state(office: &Office, about: &str) -> Result<[u8; 32], Problem> {
    let shown = match about.split_once('/') {
        Some(("case", id)) => {
            let id = id.parse().map_err(|_| Problem::missing("case"))?;
            serde_json::to_vec(&view::one_case(office, id).await?)
        }
        Some(("task", id)) => {
            let id = id.parse().map_err(|_| Problem::missing("task"))?;
            serde_json::to_vec(&view::one_task(office, id).await?)
        }
        Some(_) | None => {
            let mut counts = office
                .counted
                .read(office.store.counts(office.now()))
                .await?;
            // These move by themselves.
            (counts.oldest_event_seconds, counts.oldest_task_seconds) = (None, None);
            (counts.runs_active, counts.runs_due, counts.outbox_waiting) = (0, 0, 0);
            serde_json::to_vec(&counts)
        }
    };
    Ok(Sha256::digest(shown.unwrap_or_default()).into())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn h2_many_who_look_at_once_have_the_store_counted_once() {
        let (counted, times) = (Counted::default(), Cell::new(0));
        let count = async || {
            times.set(times.get() + 1);
            tokio::task::yield_now().await;
            Ok(Counts::default())
        };
        let looks = (0..5).map(|_| counted.read(count()));
        let seen = futures_util::future::join_all(looks).await;
        assert!(seen.iter().all(Result::is_ok));
        assert_eq!(times.get(), 1);
    }
}
