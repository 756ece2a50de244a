//! A line to a target that stops at one point of one request: before it arrives, or after its effect.
//!
//! Owns the point, told by what the bytes hold, and what happens there: the line is held until the other
//! side is gone, or it is cut. Works once for each order, and says whether it did.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Where the line stops.
#[derive(Debug, Clone)]
pub struct Point {
    /// What the request holds.
    pub request: &'static str,
    /// What its answer holds; `None` stops the request itself, before it arrives.
    pub answer: Option<&'static str>,
    /// Whether the line is held for as long as the other side waits; else it is cut.
    pub hold: bool,
}

#[derive(Debug, Default)]
struct Order {
    point: Option<Point>,
    fired: bool,
}

/// The line; gone when dropped.
#[derive(Debug)]
pub struct Gate {
    pub address: SocketAddr,
    order: Arc<Mutex<Order>>,
    _serving: JoinSet<()>,
}

impl Gate {
    pub async fn before(target: &str) -> Self {
        let target = target.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let order = Arc::new(Mutex::new(Order::default()));
        let shared = Arc::clone(&order);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect(&target).await {
                    lines.spawn(line(client, server, Arc::clone(&shared)));
                }
            }
        });
        Self {
            address,
            order,
            _serving: serving,
        }
    }

    /// The next request of this kind stops there.
    pub fn arm(&self, point: Point) {
        let mut order = self.order.lock().expect("sound");
        *order = Order {
            point: Some(point),
            fired: false,
        };
    }

    /// True once it has stopped there.
    pub fn fired(&self) -> bool {
        self.order.lock().expect("sound").fired
    }
}

/// Takes the order, if these bytes are where it stops.
fn stops(order: &Mutex<Order>, here: impl Fn(&Point) -> bool) -> Option<Point> {
    let mut order = order.lock().expect("sound");
    let point = order.point.take_if(|point| here(point))?;
    order.fired = true;
    Some(point)
}

async fn line(client: TcpStream, server: TcpStream, order: Arc<Mutex<Order>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut sent = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let bytes = &asked[..count];
                let here = |point: &Point| point.answer.is_none() && holds(bytes, point.request);
                if let Some(point) = stops(&order, here) {
                    if point.hold {
                        // Nothing goes on until the one who asked is gone.
                        while matches!(from_client.read(&mut asked).await, Ok(1..)) {}
                    }
                    return;
                }
                let point = order.lock().expect("sound").point.clone();
                sent |= point.is_some_and(|point| holds(bytes, point.request));
                if to_server.write_all(bytes).await.is_err() {
                    return;
                }
            }
            read = from_server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                let bytes = &answered[..count];
                let here = |point: &Point| {
                    sent && point.answer.is_some_and(|answer| holds(bytes, answer))
                };
                if let Some(point) = stops(&order, here) {
                    if point.hold {
                        while matches!(from_client.read(&mut asked).await, Ok(1..)) {}
                    }
                    return;
                }
                if to_client.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn holds(bytes: &[u8], wanted: &str) -> bool {
    let wanted = wanted.as_bytes();
    bytes.windows(wanted.len()).any(|one| one == wanted)
}
