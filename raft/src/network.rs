//! Peers: one TCP connection per direction and pair of nodes, on which all
//! requests of all groups are multiplexed.
//!
//! * `frame` — what travels: a fixed header, a checksum, a body.
//! * `socket` — what it travels over.
//! * `writer` — drains a queue of frames into a socket.
//! * `message` — the bodies.
//! * `hello` — who is on the other side; strangers are refused.
//! * `probe` — asks a node who it is, and nothing else.
//! * `visit` — a short connection of a node that does not take part.
//! * `join` — a node that does not know its place asks for its seat.
//! * `records` — gives records of the log to a peer that mends its own.
//! * `connection` — an established outgoing connection and its open requests.
//! * `link` — keeps a connection to one peer, dialling again when it dies.
//! * `links` — the links of this node.
//! * `client` — openraft's view of a link; pipelines appends.
//! * `server` — answers the peers; `session` keeps streamed appends in order.
//! * `forward` — carries requests of the node itself.

mod client;
mod connection;
mod forward;
pub(crate) mod frame;
pub(crate) mod hello;
mod join;
mod link;
mod links;
pub(crate) mod message;
mod probe;
mod records;
mod server;
mod session;
mod socket;
pub(crate) mod visit;
mod writer;

pub use forward::{ForwardError, ForwardHandler};
pub use socket::{PeerDialer, PeerListener, PeerNetwork, PeerReader, PeerSocket, PeerWriter};
pub(crate) use {
    client::LinkFactory,
    connection::ConnectError,
    forward::forward,
    hello::ANYBODY,
    join::{JoinAnswer, JoinRequest},
    link::Myself,
    links::Links,
    probe::probe,
    records::fetch,
    server::{PeerServer, ServerOptions},
    socket::TcpDialer,
};

/// Entries in one append request, at most; [`ENTRY_BYTES_PER_REQUEST_MAX`] usually ends it earlier.
pub(crate) const ENTRIES_PER_REQUEST_MAX: u64 = 256;
/// Bytes of entries in one append request, unless one entry alone is larger.
pub(crate) const ENTRY_BYTES_PER_REQUEST_MAX: usize = 1024 * 1024;
/// Append requests in flight on one stream.
pub(crate) const APPENDS_IN_FLIGHT_MAX: usize = 32;
/// Frames that may wait for a connection's writer.
pub(crate) const FRAMES_QUEUED_MAX: usize = 256;
/// Requests of one peer that are being answered at once, streamed appends apart.
pub(crate) const REQUESTS_ANSWERED_MAX: usize = 4_096;
