//! What the peers' protocol runs over: TCP, or what a simulation has in its place.

use std::{io, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// Where a peer's bytes come from.
pub type PeerReader = Box<dyn AsyncRead + Send + Unpin>;
/// Where the bytes for a peer go to.
pub type PeerWriter = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection to or from a peer: bytes in order, both ways, until either side ends.
pub struct PeerSocket {
    /// What the other side sends.
    pub read: PeerReader,
    /// What it is sent; dropping it ends this direction.
    pub write: PeerWriter,
    /// Who is on the other side.
    pub from: SocketAddr,
}

/// Takes connections of peers.
#[async_trait]
pub trait PeerListener: Send + Sync + 'static {
    /// The next one. Dropping the future loses none.
    ///
    /// # Errors
    /// When none can be taken now; it is asked again after a pause.
    async fn accept(&self) -> io::Result<PeerSocket>;
}

/// Makes connections to peers.
#[async_trait]
pub trait PeerDialer: Send + Sync + 'static {
    /// Connects to `host:port`. May take for ever: who calls bounds it.
    ///
    /// # Errors
    /// When the other side refuses or is not there.
    async fn dial(&self, address: &str) -> io::Result<PeerSocket>;
}

/// How a node meets its peers.
pub struct PeerNetwork {
    /// Bound already, so that a port in use is found before anything starts.
    pub listener: Box<dyn PeerListener>,
    /// The way to the others.
    pub dialer: Arc<dyn PeerDialer>,
}

impl PeerNetwork {
    /// TCP.
    #[must_use]
    pub fn tcp(listener: TcpListener) -> Self {
        Self { listener: Box::new(listener), dialer: Arc::new(TcpDialer) }
    }
}

/// Dials by TCP.
pub(crate) struct TcpDialer;

#[async_trait]
impl PeerListener for TcpListener {
    async fn accept(&self) -> io::Result<PeerSocket> {
        let (socket, from) = Self::accept(self).await?;
        over_tcp(socket, from)
    }
}

#[async_trait]
impl PeerDialer for TcpDialer {
    async fn dial(&self, address: &str) -> io::Result<PeerSocket> {
        let socket = TcpStream::connect(address).await?;
        let from = socket.peer_addr()?;
        over_tcp(socket, from)
    }
}

fn over_tcp(socket: TcpStream, from: SocketAddr) -> io::Result<PeerSocket> {
    socket.set_nodelay(true)?;
    let (read, write) = socket.into_split();
    Ok(PeerSocket { read: Box::new(read), write: Box::new(write), from })
}
