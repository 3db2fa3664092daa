//! Answers the peers.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use openraft::{ReadPolicy, errors::RaftError};
use tokio::{
    io::BufReader,
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use weir_storage::log::Log;
use weir_types::{ClusterId, GroupId, Incarnation, NodeId, limits};

use crate::{
    admission::Admissions,
    fields::FieldError,
    heard::Heard,
    network::{
        FRAMES_QUEUED_MAX, ForwardHandler, REQUESTS_ANSWERED_MAX,
        connection::HELLO_WAIT_MAX,
        frame::{Header, Incoming, Kind, Outgoing, Role},
        hello::{self, Hello, HelloError, PROTOCOL},
        join::JoinRequest,
        message, records,
        session::AppendSession,
        socket::{PeerListener, PeerReader, PeerSocket},
        writer::write_frames,
    },
    off_runtime::off_runtime,
    seats::Seats,
    succession::Ended,
    types::{self, Raft},
};

const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Refusals that are remembered, so that each is logged once.
const REFUSALS_KNOWN_MAX: usize = 256;
/// How long a visit may take.
const VISIT_MAX: Duration = Duration::from_secs(30);
const ACCEPT_RETRY_WAIT: Duration = Duration::from_millis(100);

/// Who answers.
pub(crate) struct ServerOptions {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    /// What tells this node's data folder from every other.
    pub(crate) incarnation: Incarnation,
    pub(crate) admissions: Arc<Admissions>,
    /// A checksum of what must be equal on all nodes.
    pub(crate) config: u64,
    pub(crate) group: GroupId,
    pub(crate) raft: Raft,
    pub(crate) heard: Arc<Heard>,
    pub(crate) log: Log,
    pub(crate) seats: Arc<Seats>,
    pub(crate) ended: Ended,
    pub(crate) forward: Arc<dyn ForwardHandler>,
}

/// The answering side of all peers' connections.
pub(crate) struct PeerServer {
    options: ServerOptions,
    /// The newest connection of each peer. An older one is dead and only does not know it yet.
    newest: Mutex<HashMap<NodeId, CancellationToken>>,
    /// Who was refused for what, and is not logged again.
    refused: Mutex<HashSet<(IpAddr, String)>>,
    stop: CancellationToken,
}

impl PeerServer {
    pub(crate) fn new(options: ServerOptions, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { options, newest: Mutex::default(), refused: Mutex::default(), stop })
    }

    /// Accepts peers until it is stopped.
    pub(crate) async fn serve(self: Arc<Self>, listener: Box<dyn PeerListener>) {
        let stop = self.stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok(socket) => {
                    let (server, from) = (self.clone(), socket.from);
                    tokio::spawn(async move {
                        let ended = tokio::select! {
                            ended = server.clone().welcome(socket) => ended,
                            () = server.stop.cancelled() => Ok(()),
                        };
                        if let Err(error) = ended {
                            debug!(node_id = server.options.node.0, %from, %error, "peer connection ended");
                        }
                    });
                }
                Err(error) => {
                    warn!(node_id = self.options.node.0, %error, "peer connection was not accepted");
                    sleep(ACCEPT_RETRY_WAIT).await;
                }
            }
        }
    }

    /// Checks who is there, and then answers until the peer goes.
    async fn welcome(self: Arc<Self>, socket: PeerSocket) -> io::Result<()> {
        let PeerSocket { read, mut write, from } = socket;
        let mut read = BufReader::with_capacity(READ_BUFFER_BYTES, read);
        let first = timeout(HELLO_WAIT_MAX, Incoming::read(&mut read)).await??;
        let ServerOptions { cluster, node, config, incarnation, ref admissions, .. } = self.options;
        let hello = match self.check(first.body) {
            Ok(hello) => hello,
            Err(reason) => {
                self.note_refusal(from.ip(), &reason.to_string());
                let refusal = Outgoing::new(hello::header(Role::Refusal), reason.to_string().into());
                return refusal.write(&mut write).await;
            }
        };
        if !hello.is_visit() {
            self.refused().retain(|(ip, _)| *ip != from.ip());
        }
        let held = self.options.log.flushed();
        let (protocol, to, expects) = (PROTOCOL, hello.from, None);
        let mine = Hello { protocol, cluster, from: node, to, held, config, incarnation, expects };
        mine.frame(Role::Answer).write(&mut write).await?;
        let (answers, queue) = mpsc::channel(FRAMES_QUEUED_MAX);
        let answering = async {
            tokio::select! {
                ended = self.read_requests(read, &hello, answers) => ended,
                ended = write_frames(queue, write) => ended,
            }
        };
        if hello.is_visit() {
            return timeout(VISIT_MAX, answering).await?;
        }
        let newer = self.replace_older(hello.from);
        tokio::select! {
            ended = answering => {
                self.options.ended.note(hello.from);
                ended
            }
            () = newer.cancelled() => Ok(()),
            () = admissions.turned_away(hello.from, hello.incarnation) => Ok(()),
        }
    }

    fn check(&self, body: Bytes) -> Result<Hello, HelloError> {
        let ServerOptions { cluster, node, config, incarnation, ref admissions, .. } = self.options;
        let hello = Hello::read(body)?;
        hello.check(cluster, (node, incarnation), config)?;
        admissions.check_asking(hello.from, hello.incarnation)?;
        Ok(hello)
    }

    fn refused(&self) -> MutexGuard<'_, HashSet<(IpAddr, String)>> {
        self.refused.lock().expect("nothing panics while it holds this lock")
    }

    /// Logs a reason once, not at every attempt: a refused peer comes back every second.
    fn note_refusal(&self, from: IpAddr, reason: &str) {
        let mut refused = self.refused();
        if refused.len() >= REFUSALS_KNOWN_MAX {
            refused.clear();
        }
        if refused.insert((from, reason.to_owned())) {
            warn!(node_id = self.options.node.0, %from, reason, "peer refused");
        }
    }

    fn replace_older(&self, peer: NodeId) -> CancellationToken {
        let token = self.stop.child_token();
        let mut newest = self.newest.lock().expect("nothing panics while it holds this lock");
        if let Some(older) = newest.insert(peer, token.clone()) {
            older.cancel();
        }
        token
    }

    async fn read_requests(
        self: &Arc<Self>,
        mut read: BufReader<PeerReader>,
        hello: &Hello,
        answers: mpsc::Sender<Outgoing>,
    ) -> io::Result<()> {
        let (from, is_visit) = (hello.from, hello.is_visit());
        let mut sessions = HashMap::new();
        let room = Arc::new(Semaphore::new(REQUESTS_ANSWERED_MAX));
        loop {
            let Incoming { header, body } = Incoming::read(&mut read).await?;
            let known = header.group == self.options.group || header.kind == Kind::Ping;
            if header.role != Role::Request || header.kind == Kind::Hello {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "frame is no request"));
            }
            match header.kind {
                _ if !known => refuse(&answers, header, "group is not hosted here").await,
                kind if is_visit && !kind.is_for_visitors() => {
                    refuse(&answers, header, "it is not for a node that takes no part").await;
                }
                Kind::Append => match message::decode_append(body) {
                    Ok(request) => {
                        let session = sessions.entry(header.stream).or_insert_with(|| {
                            let ServerOptions { raft, heard, .. } = &self.options;
                            AppendSession::start(raft.clone(), heard.clone(), answers.clone())
                        });
                        session.take(header, request).await;
                    }
                    Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
                },
                Kind::AppendEnd => {
                    sessions.remove(&header.stream);
                }
                _ => {
                    let Ok(permit) = room.clone().try_acquire_owned() else {
                        refuse(&answers, header, "node answers too many requests already").await;
                        continue;
                    };
                    let (server, answers) = (self.clone(), answers.clone());
                    tokio::spawn(async move {
                        server.answer(from, header, body, answers).await;
                        drop(permit);
                    });
                }
            }
        }
    }

    async fn answer(&self, from: NodeId, header: Header, body: Bytes, answers: mpsc::Sender<Outgoing>) {
        let raft = &self.options.raft;
        let answer = match header.kind {
            Kind::Vote => self.answer_vote(body).await,
            Kind::PreVote => self.answer_pre_vote(body).await,
            Kind::TransferLeader => self.answer_transfer(body).await,
            Kind::ReadIndex => match raft.get_read_log_id(ReadPolicy::ReadIndex).await {
                Ok((id, _)) => Ok(message::encode_read_index(types::log_index(id.index()))),
                Err(error) => Err(error.to_string()),
            },
            Kind::Forward => Ok(self.options.forward.handle(from, body).await),
            Kind::Ping => Ok(Bytes::new()),
            Kind::Records => {
                let log = self.options.log.clone();
                let read = off_runtime(log.is_simulated(), move || records::answer(&log, body)).await;
                read.unwrap_or_else(|error| Err(error.to_string()))
            }
            Kind::Join => match JoinRequest::decode(body) {
                Ok(request) => Ok(self.options.seats.answer(request).await.encode()),
                Err(error) => Err(malformed(error)),
            },
            Kind::Hello | Kind::Append | Kind::AppendEnd => Err("frame is no such request".to_owned()),
        };
        match answer {
            Ok(body) if body.len() <= limits::PEER_MESSAGE_BYTES_MAX => {
                // A peer that has gone needs no answer.
                let _ = answers.send(Outgoing::new(header.answer(Role::Answer), body)).await;
            }
            // The request was handled, so a refusal would be a lie: the asking side runs into its deadline.
            Ok(body) => warn!(node_id = self.options.node.0, bytes = body.len(), "answer over the limit"),
            Err(reason) => refuse(&answers, header, &reason).await,
        }
    }

    async fn answer_vote(&self, body: Bytes) -> Result<Bytes, String> {
        let request = message::decode_vote_request(body).map_err(malformed)?;
        let response = self.options.raft.vote(request).await.map_err(stopped)?;
        Ok(message::encode_vote_response(&response))
    }

    async fn answer_pre_vote(&self, body: Bytes) -> Result<Bytes, String> {
        let request = message::decode_vote_request(body).map_err(malformed)?;
        let response = self.options.raft.pre_vote(request).await.map_err(stopped)?;
        Ok(message::encode_vote_response(&response))
    }

    async fn answer_transfer(&self, body: Bytes) -> Result<Bytes, String> {
        let request = message::decode_transfer(body).map_err(malformed)?;
        let response = self.options.raft.handle_transfer_leader(request).await;
        Ok(message::encode_transfer_response(&response.map_err(|fatal| fatal.to_string())?))
    }
}

async fn refuse(answers: &mpsc::Sender<Outgoing>, header: Header, reason: &str) {
    let refusal = Outgoing::new(header.answer(Role::Refusal), Bytes::copy_from_slice(reason.as_bytes()));
    // A peer that has gone needs no refusal.
    let _ = answers.send(refusal).await;
}

fn malformed(error: FieldError) -> String {
    error.to_string()
}

fn stopped(error: RaftError<types::TypeConfig>) -> String {
    error.to_string()
}
