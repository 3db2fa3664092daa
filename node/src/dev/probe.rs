use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};
use weir_api::v1::paths;

use crate::ask;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);
/// For one look.
const PATIENCE: Duration = Duration::from_millis(500);

/// Waits until the node at `edge` says that it is ready.
pub async fn ready(edge: SocketAddr, within: Duration) -> bool {
    eventually(within, || look(edge)).await
}

/// Waits until something accepts connections at `address`.
pub async fn accepts(address: SocketAddr, within: Duration) -> bool {
    eventually(within, || async move { TcpStream::connect(address).await.is_ok() }).await
}

async fn eventually<F: Future<Output = bool>>(within: Duration, mut look: impl FnMut() -> F) -> bool {
    let deadline = Instant::now() + within;
    while !look().await {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(PAUSE).await;
    }
    true
}

async fn look(edge: SocketAddr) -> bool {
    ask::get(&edge.to_string(), paths::READYZ, PATIENCE).await.is_some_and(|(status, _)| status.is_success())
}
