//! The peers' protocol over the simulated network. Every byte is part of the trace.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};
use weir_raft::{PeerDialer, PeerListener, PeerSocket};
use xxhash_rust::xxh3::xxh3_64;

use crate::{plant::Plant, trace::Trace, twice::Twice};

/// The port that peers are answered on.
pub const PEER_PORT: u16 = 9124;
/// The port that clients are answered on.
pub const EDGE_PORT: u16 = 9123;

/// The name of a node's host.
#[must_use]
pub fn host(node: u64) -> String {
    format!("node-{node}")
}

/// One node's way to the network.
#[derive(Clone)]
pub struct Wires {
    /// The node.
    pub node: u64,
    /// Where it is taken down.
    pub trace: Trace,
    /// What is wrong with it.
    pub plant: Option<Plant>,
}

/// Takes connections on [`PEER_PORT`].
pub struct Door {
    wires: Wires,
    listener: TcpListener,
}

impl Wires {
    /// Binds the peers' port.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn door(&self) -> io::Result<Door> {
        let listener = TcpListener::bind(("0.0.0.0", PEER_PORT)).await?;
        Ok(Door { wires: self.clone(), listener })
    }

    fn socket(&self, stream: TcpStream) -> io::Result<PeerSocket> {
        let from = stream.peer_addr()?;
        let (read, write) = stream.into_split();
        let tap = Tap { node: self.node, peer: from.to_string(), trace: self.trace.clone() };
        let write = Tapped { inner: write, tap: tap.clone() };
        let read = Box::new(Tapped { inner: read, tap });
        match self.plant {
            Some(Plant::FramesTwice) => Ok(PeerSocket { read, write: Box::new(Twice::new(write)), from }),
            _ => Ok(PeerSocket { read, write: Box::new(write), from }),
        }
    }
}

#[async_trait]
impl PeerDialer for Wires {
    async fn dial(&self, address: &str) -> io::Result<PeerSocket> {
        self.socket(TcpStream::connect(address).await?)
    }
}

#[async_trait]
impl PeerListener for Door {
    async fn accept(&self) -> io::Result<PeerSocket> {
        let (stream, _) = self.listener.accept().await?;
        self.wires.socket(stream)
    }
}

/// Takes down what goes by.
#[derive(Clone)]
struct Tap {
    node: u64,
    peer: String,
    trace: Trace,
}

impl Tap {
    fn note(&self, way: &str, bytes: &[u8]) {
        let (node, peer, count) = (self.node, &self.peer, bytes.len());
        self.trace.note(format_args!("net {node} {way} {peer} {count} {:016x}", xxh3_64(bytes)));
    }
}

struct Tapped<T> {
    inner: T,
    tap: Tap,
}

impl<T: AsyncRead + Unpin> AsyncRead for Tapped<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if polled.is_ready() {
            self.tap.note("got", &buffer.filled()[before..]);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tapped<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.tap.note("put", &bytes[..*written]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
