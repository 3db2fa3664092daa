//! An established outgoing connection and the requests that are open on it.
//!
//! When it dies, every open request fails at once. Silence counts as death: when
//! something was asked and nothing at all is heard for long, first a ping is
//! sent and then the connection is given up, because TCP itself may take a
//! quarter of an hour to notice that a peer is gone.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicU32},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, BufReader},
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weir_types::{GroupId, LogIndex, limits};

use crate::{
    admission::NotAdmitted,
    fields::FieldError,
    network::{
        FRAMES_QUEUED_MAX,
        frame::{Header, Incoming, Kind, Outgoing, Role},
        hello::Hello,
        socket::{PeerReader, PeerSocket, PeerWriter},
        writer::write_frames,
    },
};

/// How long a peer may take to say hello.
pub(crate) const HELLO_WAIT_MAX: Duration = Duration::from_secs(3);
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Why a peer did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// There is no connection; nothing was sent.
    #[error("peer is not connected: {reason}")]
    NotConnected { reason: String },
    /// The connection died with the request open.
    #[error("connection to the peer was lost")]
    Lost,
    /// No answer in time.
    #[error("peer did not answer in {waited:?}")]
    Timeout { waited: Duration },
    /// The peer said why it does not answer.
    #[error("peer refused: {reason}")]
    Refused { reason: String },
    /// The answer makes no sense.
    #[error("answer of the peer is malformed: {0}")]
    Malformed(#[from] FieldError),
}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("peer said no hello in time")]
    Silent,
    #[error("peer refused this node: {reason}")]
    Refused { reason: String },
    #[error("peer answered no hello: {0}")]
    Malformed(#[from] FieldError),
    #[error(
        "peer has lost log entries: it holds {held} and had acknowledged the committed {acknowledged}; \
         remove it, and add it again under a new node id"
    )]
    LostLog { held: LogIndex, acknowledged: LogIndex },
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
}

/// A connection. Cheap to share; it dies when `close` is called or the socket fails.
pub(crate) struct Connection {
    outgoing: mpsc::Sender<Outgoing>,
    open: Mutex<Open>,
    streams: AtomicU32,
    closed: CancellationToken,
}

/// Requests without an answer yet.
#[derive(Default)]
struct Open {
    answers: HashMap<u64, oneshot::Sender<Result<Bytes, LinkError>>>,
    next_id: u64,
    /// When something was first asked after the peer was last heard.
    asked: Option<Instant>,
    closed: bool,
}

/// A request that was sent; dropping it forgets the answer.
pub(crate) struct Asked {
    connection: Arc<Connection>,
    id: u64,
    answer: oneshot::Receiver<Result<Bytes, LinkError>>,
}

impl Asked {
    /// Waits for the answer's body.
    pub(crate) async fn answer(mut self, wait_max: Duration) -> Result<Bytes, LinkError> {
        match timeout(wait_max, &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(LinkError::Lost),
            Err(_) => Err(LinkError::Timeout { waited: wait_max }),
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.connection.open().answers.remove(&self.id);
    }
}

impl Connection {
    /// Says hello on a fresh socket and, when it is returned and `admit` bears it, starts the connection's tasks.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(crate) async fn establish(
        socket: PeerSocket,
        hello: Hello,
        admit: impl FnOnce(&Hello) -> Result<(), ConnectError>,
        silence_max: Duration,
    ) -> Result<Arc<Self>, ConnectError> {
        let PeerSocket { read, mut write, .. } = socket;
        let mut read = BufReader::with_capacity(READ_BUFFER_BYTES, read);
        admit(&greet(&mut read, &mut write, &hello).await?)?;
        let (outgoing, queue) = mpsc::channel(FRAMES_QUEUED_MAX);
        let connection = Arc::new(Self {
            outgoing,
            open: Mutex::default(),
            streams: AtomicU32::new(1),
            closed: CancellationToken::new(),
        });
        let writer = connection.clone();
        tokio::spawn(async move {
            tokio::select! {
                result = write_frames(queue, write) => writer.close("writer", &result),
                () = writer.closed.cancelled() => {}
            }
        });
        let reader = connection.clone();
        tokio::spawn(async move {
            tokio::select! {
                result = reader.read_answers(read, silence_max) => reader.close("reader", &result),
                () = reader.closed.cancelled() => {}
            }
        });
        Ok(connection)
    }

    /// Resolves when the connection is dead.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Ends the connection; open requests fail.
    pub(crate) fn abort(&self) {
        self.close("owner", &Ok(()));
    }

    /// A number for a new stream of appends.
    pub(crate) fn new_stream(&self) -> u32 {
        self.streams.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    /// Queues a request; waits only while the queue is full.
    ///
    /// # Errors
    /// `NotConnected` when the connection is dead, `Refused` when the body is over the limit.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        kind: Kind,
        group: GroupId,
        stream: u32,
        parts: Vec<Bytes>,
    ) -> Result<Asked, LinkError> {
        let gone = || LinkError::NotConnected { reason: "connection has died".into() };
        let (answer_to, answer) = oneshot::channel();
        let id = self.register(answer_to).ok_or_else(gone)?;
        let asked = Asked { connection: self.clone(), id, answer };
        let frame = Outgoing { header: Header { kind, role: Role::Request, stream, group, id }, parts };
        if frame.body_bytes() > limits::PEER_MESSAGE_BYTES_MAX {
            return Err(LinkError::Refused { reason: "message is over the limit of a peer message".into() });
        }
        self.outgoing.send(frame).await.map_err(|_| gone())?;
        Ok(asked)
    }

    /// Queues a frame that has no answer, if there is room.
    pub(crate) fn tell(&self, kind: Kind, group: GroupId, stream: u32) -> bool {
        let header = Header { kind, role: Role::Request, stream, group, id: 0 };
        self.outgoing.try_send(Outgoing { header, parts: Vec::new() }).is_ok()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("nothing panics while it holds this lock")
    }

    fn register(&self, answer_to: oneshot::Sender<Result<Bytes, LinkError>>) -> Option<u64> {
        let mut open = self.open();
        if open.closed {
            return None;
        }
        open.next_id += 1;
        let id = open.next_id;
        open.answers.insert(id, answer_to);
        open.asked.get_or_insert_with(Instant::now);
        Some(id)
    }

    fn close(&self, who: &'static str, result: &io::Result<()>) {
        if let Err(error) = result {
            debug!(who, %error, "peer connection ended");
        }
        self.closed.cancel();
        let mut open = self.open();
        open.closed = true;
        open.answers.clear();
    }

    async fn read_answers(&self, mut read: BufReader<PeerReader>, silence_max: Duration) -> io::Result<()> {
        loop {
            let mut next = std::pin::pin!(Incoming::read(&mut read));
            let frame = loop {
                tokio::select! {
                    frame = &mut next => break frame?,
                    () = sleep(silence_max / 3) => self.check_silence(silence_max)?,
                }
            };
            let mut open = self.open();
            open.asked = None;
            let Some(answer_to) = open.answers.remove(&frame.header.id) else {
                continue;
            };
            drop(open);
            let answer = match frame.header.role {
                Role::Refusal => Err(LinkError::Refused { reason: text(&frame.body) }),
                Role::Answer | Role::Request => Ok(frame.body),
            };
            // The asker may have given up in the meantime.
            let _ = answer_to.send(answer);
        }
    }

    fn check_silence(&self, silence_max: Duration) -> io::Result<()> {
        let Some(asked) = self.open().asked else {
            return Ok(());
        };
        if asked.elapsed() >= silence_max {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "peer is silent"));
        }
        // A full queue means that the peer does not read: then silence decides without a ping.
        self.tell(Kind::Ping, GroupId(0), 0);
        Ok(())
    }
}

/// Says hello and waits for the other side's.
pub(crate) async fn greet(
    read: &mut (impl AsyncRead + Unpin),
    write: &mut PeerWriter,
    hello: &Hello,
) -> Result<Hello, ConnectError> {
    hello.frame(Role::Request).write(write).await?;
    let answer = timeout(HELLO_WAIT_MAX, Incoming::read(read)).await.map_err(|_| ConnectError::Silent)??;
    if answer.header.role == Role::Refusal {
        return Err(ConnectError::Refused { reason: text(&answer.body) });
    }
    Ok(Hello::read(answer.body)?)
}

fn text(body: &Bytes) -> String {
    String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(500).collect()
}
