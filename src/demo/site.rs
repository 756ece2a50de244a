//! A web server on loopback that can go down and come back at the same address.
//!
//! Owns the listener and its connections. Down means down: new connections are refused by the
//! kernel, old ones are closed after the request that they carry. Knows nothing of what it serves.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a closing server waits for requests under way.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// One web server.
#[derive(Debug)]
pub(super) struct Site {
    address: SocketAddr,
    router: Router,
    open: Option<(CancellationToken, JoinSet<()>)>,
}

/// A port that is taken and not yet served, for what must know its own address first.
#[derive(Debug)]
pub(super) struct Reserved {
    listener: TcpListener,
    address: SocketAddr,
}

impl Reserved {
    /// The address to be (`http://127.0.0.1:4711`).
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins to serve.
    pub(super) fn open(self, router: Router) -> Site {
        let mut site = Site {
            address: self.address,
            router,
            open: None,
        };
        site.serve(self.listener);
        site
    }
}

impl Site {
    /// Takes a free port on loopback.
    pub(super) async fn reserve() -> std::io::Result<Reserved> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok(Reserved { listener, address })
    }

    /// Takes a free port on loopback and serves there.
    pub(super) async fn open(router: Router) -> std::io::Result<Self> {
        Ok(Self::reserve().await?.open(router))
    }

    fn serve(&mut self, listener: TcpListener) {
        let stop = CancellationToken::new();
        let (router, stopped) = (self.router.clone(), stop.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let serving =
                axum::serve(listener, router).with_graceful_shutdown(stopped.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::warn!(%error, "a simulated target stopped serving");
            }
        });
        self.open = Some((stop, tasks));
    }

    /// The address, the same over all closings.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Refuses connections from now on.
    pub(super) async fn close(&mut self) {
        let Some((stop, mut tasks)) = self.open.take() else {
            return;
        };
        stop.cancel();
        // A client that never reads its answer must not hold up the outage.
        if tokio::time::timeout(LAST_REQUESTS, tasks.join_next())
            .await
            .is_err()
        {
            tasks.shutdown().await;
        }
    }

    /// Serves again at the same address.
    pub(super) async fn reopen(&mut self) -> std::io::Result<()> {
        if self.open.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            self.serve(listener);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    #[tokio::test]
    async fn a_closed_site_refuses_connections_and_comes_back_at_the_same_address() {
        let mut site = Site::open(Router::new().route("/", get(|| async { "here" })))
            .await
            .expect("opens");
        let client = reqwest::Client::new();
        let ask = || client.get(site.url()).send();
        let body = ask().await.expect("answers").text().await.expect("a body");
        assert_eq!(body, "here");

        site.close().await;
        let client = reqwest::Client::new();
        let refused = client.get(site.url()).send().await;
        assert!(refused.expect_err("is down").is_connect());

        site.reopen().await.expect("the port is still ours");
        assert!(client.get(site.url()).send().await.is_ok());
    }
}
