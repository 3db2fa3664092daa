//! Many appends in flight over one connection.
//!
//! Each append is answered by itself, in any order. When the connection is
//! lost, what was not answered has an unknown outcome; opening another session
//! and sending the same appends with the same keys again is the caller's choice.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use weir_api::{proto::v1, session};
use weir_types::{AppendAck, AppendRequest, limits};

use crate::{ClientError, connection, endpoints::checked};

type Outcome = Result<AppendAck, ClientError>;

/// Appends of one message.
const TOGETHER_MAX: usize = 64;
/// Bytes of one message with several.
const TOGETHER_BYTES_MAX: usize = 128 * 1024;

/// A session of appends with one node. Cheap to clone; the last clone that is
/// dropped ends it.
#[derive(Debug, Clone)]
pub struct AppendSession {
    requests: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    waiting: Arc<Waiting>,
    next_id: Arc<AtomicU64>,
}

/// The appends that are not answered yet.
#[derive(Debug)]
struct Waiting {
    url: String,
    /// The server reads several appends from one message. Until it says so, it may be one that reads the first.
    reads_more: AtomicBool,
    /// `None` once the session has ended.
    callers: Mutex<Option<HashMap<u64, Caller>>>,
}

#[derive(Debug)]
struct Caller {
    answer: oneshot::Sender<Outcome>,
    _room: OwnedSemaphorePermit,
}

/// An append with its id and its weight in bytes.
type Queued = (u64, v1::AppendRequest, usize);

/// An append that is on its way.
#[derive(Debug)]
pub struct PendingAppend {
    answer: oneshot::Receiver<Outcome>,
    waiting: Arc<Waiting>,
}

impl AppendSession {
    /// Opens a session with the node at `url`, with at most `in_flight` appends
    /// that are not answered (1 to [`limits::IN_FLIGHT_APPENDS_MAX`]).
    ///
    /// # Errors
    /// [`ClientError::Address`] or [`ClientError::NoConnection`].
    pub async fn open(url: &str, in_flight: usize) -> Result<Self, ClientError> {
        let url = checked(url)?;
        let in_flight = in_flight.clamp(1, limits::IN_FLIGHT_APPENDS_MAX);
        let bidi = connect(&url).await?;
        let (requests, mut queue) = mpsc::channel::<Queued>(in_flight);
        let callers = Mutex::new(Some(HashMap::new()));
        let waiting = Arc::new(Waiting { url, reads_more: AtomicBool::new(false), callers });
        let (mut send, mut receive) = bidi.into_split();
        let taken = Arc::clone(&waiting);
        tokio::spawn(async move {
            let mut ready = Vec::with_capacity(TOGETHER_MAX);
            while queue.recv_many(&mut ready, TOGETHER_MAX).await > 0 {
                while !ready.is_empty() {
                    let count = if taken.reads_more.load(Ordering::Relaxed) { together(&ready) } else { 1 };
                    let together = ready.drain(..count).map(|(id, append, _)| (id, append));
                    if send.send(session::requests_to_proto(together)).await.is_err() {
                        return;
                    }
                }
            }
            send.close_send();
        });
        let answers = Arc::clone(&waiting);
        tokio::spawn(async move {
            let reason = loop {
                match receive.message::<v1::AppendSessionResponse>().await {
                    Ok(Some(message)) => answers.settle(&message.to_owned_message()),
                    Ok(None) => break "the server ended the session".to_owned(),
                    Err(error) => break connection::reason_of(&error),
                }
            };
            answers.end(&reason);
        });
        let room = Arc::new(Semaphore::new(in_flight));
        Ok(Self { requests, room, waiting, next_id: Arc::new(AtomicU64::new(1)) })
    }

    /// Sends an append, waiting for room. Appends of one caller are sent in
    /// the order of these calls, and those of one stream are decided in it.
    ///
    /// # Errors
    /// [`ClientError::NoConnection`] when the session has ended: nothing was sent.
    pub async fn submit(&self, request: &AppendRequest) -> Result<PendingAppend, ClientError> {
        let room = Arc::clone(&self.room);
        let room = room.acquire_owned().await.map_err(|_| self.waiting.ended())?;
        let request_id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.enter(request_id, Caller { answer: sender, _room: room })?;
        let bytes = session::weight_of(request);
        let append = session::request_to_proto(request);
        if self.requests.send((request_id, append, bytes)).await.is_err() {
            self.waiting.leave(request_id);
            return Err(self.waiting.ended());
        }
        Ok(PendingAppend { answer, waiting: Arc::clone(&self.waiting) })
    }

    /// Sends an append and waits for its answer, at most `deadline`.
    ///
    /// # Errors
    /// [`ClientError`]; ask it whether the outcome is known.
    pub async fn append(&self, request: &AppendRequest, deadline: Duration) -> Outcome {
        let sent = async { self.submit(request).await?.outcome().await };
        let late = |_| {
            let lost = ClientError::Lost { url: self.waiting.url.clone(), reason: "timed out".into() };
            Err(ClientError::Deadline { after: deadline, outcome_unknown: true, last: Box::new(lost) })
        };
        tokio::time::timeout(deadline, sent).await.unwrap_or_else(late)
    }

    /// Whether the session has ended; a new one must be opened then.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.waiting.callers().is_none()
    }

    /// Whether this is a clone of `other`.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.waiting, &other.waiting)
    }

    /// The node's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.waiting.url
    }
}

impl PendingAppend {
    /// Waits for the answer.
    ///
    /// # Errors
    /// [`ClientError`]; ask it whether the outcome is known.
    pub async fn outcome(self) -> Outcome {
        let lost = |_| Err(self.waiting.lost("the session ended"));
        self.answer.await.unwrap_or_else(lost)
    }
}

impl Waiting {
    fn callers(&self) -> std::sync::MutexGuard<'_, Option<HashMap<u64, Caller>>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, id: u64, caller: Caller) -> Result<(), ClientError> {
        match self.callers().as_mut() {
            Some(callers) => {
                callers.insert(id, caller);
                Ok(())
            }
            None => Err(self.ended()),
        }
    }

    fn leave(&self, id: u64) -> Option<Caller> {
        self.callers().as_mut().and_then(|callers| callers.remove(&id))
    }

    fn settle(&self, message: &v1::AppendSessionResponse) {
        if message.reads_more {
            self.reads_more.store(true, Ordering::Relaxed);
        }
        for (id, outcome) in session::outcomes_from_proto(message) {
            if let Some(caller) = self.leave(id) {
                caller.answer.send(outcome.map_err(ClientError::from)).ok();
            }
        }
    }

    fn end(&self, reason: &str) {
        let callers = self.callers().take().unwrap_or_default();
        for caller in callers.into_values() {
            caller.answer.send(Err(self.lost(reason))).ok();
        }
    }

    fn lost(&self, reason: &str) -> ClientError {
        ClientError::Lost { url: self.url.clone(), reason: reason.into() }
    }

    fn ended(&self) -> ClientError {
        ClientError::NoConnection { url: self.url.clone(), reason: "the session has ended".into() }
    }
}

/// How many of the appends that are ready go into one message: at least one.
fn together(ready: &[Queued]) -> usize {
    let mut bytes = 0;
    let fits = ready.iter().take_while(|(_, _, more)| {
        bytes += more;
        bytes <= TOGETHER_BYTES_MAX
    });
    fits.count().max(1)
}

type Bidi = connectrpc::client::BidiStream<
    <connectrpc::client::SharedHttp2Connection as connectrpc::client::ClientTransport>::ResponseBody,
    v1::AppendSessionRequest,
    v1::AppendSessionResponseView<'static>,
>;

async fn connect(url: &str) -> Result<Bidi, ClientError> {
    let (connection, config) = connection::open(url).await?;
    let client = v1::StreamServiceClient::new(connection, config);
    client.append_session().await.map_err(|error| connection::refused(url, &error))
}
