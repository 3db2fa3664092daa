use std::{net::SocketAddr, time::Duration};

use futures::future::join_all;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};
use weir_api::v1::{ClusterStatus, NodeState, paths};

use super::folder::DevNode;
use crate::ask;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);
/// For one look.
const PATIENCE: Duration = Duration::from_millis(500);

/// Waits until the node at `edge` says that it is ready.
pub async fn ready(edge: SocketAddr, within: Duration) -> bool {
    eventually(within, || look(edge)).await
}

/// Which of the nodes says that it leads, asked once, all at the same time.
pub async fn leader(nodes: &[DevNode]) -> Option<u64> {
    let asked = nodes.iter().map(|node| async {
        let (_, body) = ask::get(&node.listen.to_string(), paths::CLUSTER, PATIENCE).await?;
        let status: ClusterStatus = serde_json::from_slice(&body).ok()?;
        (status.state == NodeState::Leader).then_some(node.id)
    });
    join_all(asked).await.into_iter().flatten().next()
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
