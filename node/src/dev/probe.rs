use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);
/// For one look.
const PATIENCE: Duration = Duration::from_millis(500);

/// Waits until the node at `edge` says that it is ready.
pub async fn ready(edge: SocketAddr, within: Duration) -> bool {
    eventually(within, || async move { timeout(PATIENCE, look(edge)).await.unwrap_or(false) }).await
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
    let Ok(mut socket) = TcpStream::connect(edge).await else { return false };
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {edge}\r\nconnection: close\r\n\r\n");
    if socket.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    let mut head = [0_u8; 12];
    socket.read_exact(&mut head).await.is_ok() && head.ends_with(b" 200")
}
