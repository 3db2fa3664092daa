//! Keeps one connection to one peer, dialling again when it dies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{info, warn};
use weir_types::{ClusterId, Incarnation, LogIndex, NodeId};

use crate::{
    admission::Admissions,
    network::{
        connection::{ConnectError, Connection, LinkError},
        hello::{Hello, PROTOCOL},
        socket::PeerDialer,
    },
};

const DIAL_WAIT_MAX: Duration = Duration::from_secs(2);
const REDIAL_WAIT_MIN: Duration = Duration::from_millis(50);
const REDIAL_WAIT_MAX: Duration = Duration::from_secs(1);

/// Who this node is, to its peers.
#[derive(Clone)]
pub(crate) struct Myself {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    /// What tells its data folder from every other.
    pub(crate) incarnation: Incarnation,
    /// A checksum of what must be equal on all nodes.
    pub(crate) config: u64,
    pub(crate) silence_max: Duration,
    /// The way to the peers.
    pub(crate) dialer: Arc<dyn PeerDialer>,
}

impl Myself {
    /// What this node says to a peer that it asks, which it knows by the incarnation `expects`.
    pub(crate) fn hello(&self, to: NodeId, expects: Option<Incarnation>) -> Hello {
        let Self { cluster, node: from, incarnation, config, .. } = *self;
        Hello { protocol: PROTOCOL, cluster, from, to, held: LogIndex::ZERO, config, incarnation, expects }
    }
}

/// What there is of a connection.
#[derive(Clone)]
enum LinkState {
    /// It is being made, and there is no reason yet to doubt that it comes about.
    Connecting,
    /// It stands.
    Up(Arc<Connection>),
    /// The last attempt failed; others follow.
    Down(Arc<str>),
}

/// A link to one peer. Dropping it ends the connection.
pub(crate) struct Link {
    state: watch::Receiver<LinkState>,
    address: watch::Sender<String>,
    acknowledged: Arc<AtomicU64>,
    dialer: JoinHandle<()>,
}

impl Link {
    /// Starts dialling.
    pub(crate) fn start(
        myself: Myself,
        admissions: Arc<Admissions>,
        target: NodeId,
        address: String,
    ) -> Self {
        let (state_to, state) = watch::channel(LinkState::Connecting);
        let (address, addresses) = watch::channel(address);
        let acknowledged = Arc::<AtomicU64>::default();
        let held = acknowledged.clone();
        let dialer = Dialer { myself, admissions, target, addresses, state: state_to, acknowledged: held };
        Self { state, address, acknowledged, dialer: tokio::spawn(dialer.run()) }
    }

    /// Notes that the peer holds the log durably up to `index`, which is committed.
    pub(crate) fn note_acknowledged(&self, index: LogIndex) {
        self.acknowledged.fetch_max(index.0, Ordering::Relaxed);
    }

    /// Makes the link dial another address from now on.
    pub(crate) fn readdress(&self, address: &str) {
        self.address.send_if_modified(|current| {
            let changed = current != address;
            if changed {
                address.clone_into(current);
            }
            changed
        });
    }

    /// The connection, waiting for it while the first attempt runs.
    ///
    /// # Errors
    /// `NotConnected` at once while the peer cannot be reached.
    pub(crate) async fn connection(&self, wait_max: Duration) -> Result<Arc<Connection>, LinkError> {
        let deadline = Instant::now() + wait_max;
        let mut state = self.state.clone();
        loop {
            match &*state.borrow_and_update() {
                LinkState::Up(connection) => return Ok(connection.clone()),
                LinkState::Down(reason) => {
                    return Err(LinkError::NotConnected { reason: reason.to_string() });
                }
                LinkState::Connecting => {}
            }
            match timeout_at(deadline, state.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(LinkError::NotConnected { reason: "link is closed".into() }),
                Err(_) => {
                    return Err(LinkError::NotConnected { reason: "peer is still being dialled".into() });
                }
            }
        }
    }
}

impl Link {
    /// The connection, waiting for it up to `wait_max` even while attempts fail.
    ///
    /// # Errors
    /// `NotConnected` with why the last attempt failed.
    pub(crate) async fn connection_if_it_comes(
        &self,
        wait_max: Duration,
    ) -> Result<Arc<Connection>, LinkError> {
        let mut state = self.state.clone();
        // Past the deadline the state says why.
        let _ = timeout(wait_max, state.wait_for(|now| matches!(now, LinkState::Up(_)))).await;
        self.connection(Duration::ZERO).await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.dialer.abort();
        if let LinkState::Up(connection) = &*self.state.borrow() {
            connection.abort();
        }
    }
}

struct Dialer {
    myself: Myself,
    admissions: Arc<Admissions>,
    target: NodeId,
    addresses: watch::Receiver<String>,
    state: watch::Sender<LinkState>,
    /// The last committed entry that the peer has acknowledged to this node.
    acknowledged: Arc<AtomicU64>,
}

impl Dialer {
    async fn run(mut self) {
        let mut wait = REDIAL_WAIT_MIN;
        let mut admissions = self.admissions.changes();
        loop {
            admissions.mark_unchanged();
            let address = self.addresses.borrow_and_update().clone();
            match self.dial(&address).await {
                Ok(connection) => {
                    let began = Instant::now();
                    self.serve(connection, &address).await;
                    // A peer that hangs up at once is not dialled in a loop.
                    if began.elapsed() >= REDIAL_WAIT_MAX {
                        wait = REDIAL_WAIT_MIN;
                    } else {
                        sleep(wait).await;
                        wait = (wait * 2).min(REDIAL_WAIT_MAX);
                    }
                }
                Err(error) => {
                    self.note_failure(&address, &error);
                    tokio::select! {
                        () = sleep(wait) => wait = (wait * 2).min(REDIAL_WAIT_MAX),
                        changed = admissions.changed() => if changed.is_err() { return },
                        changed = self.addresses.changed() => if changed.is_err() { return },
                    }
                }
            }
        }
    }

    async fn dial(&self, address: &str) -> Result<Arc<Connection>, ConnectError> {
        let socket = timeout(DIAL_WAIT_MAX, self.myself.dialer.dial(address))
            .await
            .map_err(|_| ConnectError::Silent)??;
        let hello = self.myself.hello(self.target, self.admissions.recorded(self.target));
        Connection::establish(socket, hello, |theirs| self.admit(theirs), self.myself.silence_max).await
    }

    /// A peer must have the data folder that the membership knows it by, and must still hold the log up to
    /// what it acknowledged to this node: what is committed can never be cut off its log, so less means that
    /// the log was lost.
    fn admit(&self, theirs: &Hello) -> Result<(), ConnectError> {
        self.admissions.check_answering(self.target, theirs.incarnation)?;
        let acknowledged = LogIndex(self.acknowledged.load(Ordering::Relaxed));
        if theirs.held < acknowledged {
            return Err(ConnectError::LostLog { held: theirs.held, acknowledged });
        }
        Ok(())
    }

    /// Offers the connection until it dies or the peer moves.
    async fn serve(&mut self, connection: Arc<Connection>, address: &str) {
        let peer = self.target.0;
        info!(node_id = self.myself.node.0, peer, address, "peer connected");
        self.state.send_replace(LinkState::Up(connection.clone()));
        tokio::select! {
            () = connection.closed() => {}
            _ = self.addresses.changed() => connection.abort(),
        }
        info!(node_id = self.myself.node.0, peer, address, "peer disconnected");
        self.state.send_replace(LinkState::Connecting);
    }

    /// Logs a reason once, not at every attempt.
    fn note_failure(&self, address: &str, error: &ConnectError) {
        let reason: Arc<str> = error.to_string().into();
        let known = matches!(&*self.state.borrow(), LinkState::Down(before) if *before == reason);
        let passes = matches!(error, ConnectError::NotAdmitted(reason) if reason.passes());
        if !known && !passes {
            warn!(node_id = self.myself.node.0, peer = self.target.0, address, %reason, "peer is not reachable");
        }
        self.state.send_replace(LinkState::Down(reason));
    }
}
