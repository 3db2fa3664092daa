use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use weir_api::{
    connect::{PollProjectionResponse, SaveProjectionRequest},
    v1::SettlementBody,
};
use weir_check::{
    history::{Call, Delivered, Outcome},
    state::StoredEvent,
};

use super::{
    claim::{Claim, Granted},
    search::{FoundEvents, Search},
    tables::TablesTold,
};

/// Bytes of one message, at most.
const MESSAGE_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// What a node is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Ask {
    /// What a client does, as the history names it.
    Call(Call),
    /// Appends to streams that are all written, or none.
    Transact(Together),
    /// Stored events from a position on, whole, for the audit.
    Stored(u64),
    /// Hand in all code, of this generation.
    Prepare(u64),
    /// What an append would be told.
    Validate(Call),
    /// Events that a filter takes.
    Search(Search),
    /// Hold something for a while,
    Claim(Claim),
    /// and give it up, by its revision.
    Release(String, u64),
    /// The state of a stream.
    State(StateAsked),
    /// Keep the state of a stream as a snapshot.
    Keep(StateKept),
    /// Fold a stream's part of a projection anew.
    Mend(String),
    /// What tables hold, as of this position at least.
    Tables(u64),
    /// Events as they come, as many answers as there are.
    Follow(Following),
    /// Events for a consumer, so many at most.
    Pull(usize),
    /// What a consumer says of events.
    Settle(Verdicts),
    /// How far the consumers are.
    Group,
    /// Events for a worker, by its name,
    HandOut(String),
    /// what comes of them,
    Save(SaveProjectionRequest),
    /// and what was saved of a partition.
    Worked(String),
}

/// A transaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Together {
    /// Its appends.
    pub parts: Vec<Call>,
    /// What it rests on beside their guards.
    pub rests: Option<Rests>,
}

/// What a transaction rests on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rests {
    /// A stream that it does not write,
    pub stream: String,
    /// and its version.
    pub version: u64,
    /// A seat that no transaction has taken
    pub seat: u64,
    /// after this position; it takes it.
    pub after: u64,
}

/// Which events are followed, and from where on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Following {
    /// Which.
    pub target: Target,
    /// Which of these are given, as an expression.
    pub filter: Option<String>,
    /// Where it was; absent: at the log's beginning.
    pub cursor: Option<String>,
}

/// Which events are followed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Target {
    /// Those that a pattern takes.
    Pattern(String),
    /// Those of one stream.
    Stream(String),
}

/// What a subscriber is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    /// What.
    pub what: News,
    /// Where it is then: position and cursor.
    pub position: u64,
    /// The cursor as text.
    pub cursor: String,
}

/// What there is to tell a subscriber.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum News {
    /// It begins, or nothing has come.
    Nothing,
    /// An event.
    Event(Delivered),
    /// History has ended.
    CaughtUp,
    /// It ends.
    Ended(String),
}

/// What consumers say of events.
pub type Verdicts = Vec<SettlementBody>;

/// An event that a consumer has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Held {
    /// Its position.
    pub position: u64,
    /// Its stream.
    pub stream: String,
    /// Which delivery it is, from 1.
    pub attempt: u32,
    /// Of which desk.
    pub desk: u64,
}

/// How far consumers are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GroupTold {
    /// All of their events up to here are settled or dead.
    pub checkpoint: u64,
    /// Events behind it that are neither.
    pub open: usize,
    /// The positions of dead letters.
    pub dead: Vec<u64>,
}

/// Which state is asked for, and through what. Each part of the moment that is given must hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StateAsked {
    /// The stream.
    pub stream: String,
    /// As of this version.
    pub version: Option<u64>,
    /// As of what was recorded until then, in microseconds.
    pub as_of_us: Option<i64>,
    /// As of what occurred until then, in microseconds.
    pub at_us: Option<i64>,
    /// Through what.
    pub way: Way,
}

impl StateAsked {
    /// Whether it asks for what there is now.
    #[must_use]
    pub fn is_now(&self) -> bool {
        self.version.is_none() && self.as_of_us.is_none() && self.at_us.is_none()
    }
}

/// Through what a state is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// The invariant.
    #[default]
    Invariant,
    /// The virtual projection.
    Projection,
    /// It was kept: the newest snapshot, at the version asked for or before it.
    Snapshot,
    /// The newest snapshot, and the events after it.
    FromSnapshot,
}

/// A state that is to be kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateKept {
    /// The stream.
    pub stream: String,
    /// The version that it is of.
    pub version: u64,
    /// The state.
    pub value: Value,
}

/// A state as it was told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateTold {
    /// The stream's version when it was read; of a snapshot the version that it is of.
    pub version: u64,
    /// The state.
    pub value: Value,
}

/// What it answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// To a call.
    Outcome(Outcome),
    /// To the parts of a transaction.
    Outcomes(Vec<Outcome>),
    /// Events in order; none when there are no more.
    Stored(Vec<StoredEvent>),
    /// What was asked for is done.
    Done,
    /// A state.
    State(StateTold),
    /// Tables.
    Tables(TablesTold),
    /// Events that fit.
    Found(FoundEvents),
    /// A claim.
    Granted(Granted),
    /// Events for a consumer.
    Pulled(Vec<Held>),
    /// Of each event whether it is settled or dead for good.
    Settled(Vec<bool>),
    /// How far the consumers are.
    Group(GroupTold),
    /// Events for a worker.
    HandedOut(PollProjectionResponse),
    /// To a subscriber.
    Told(Told),
    /// Why there is none.
    Failed(String),
}

/// Sends one message.
///
/// # Errors
/// When the connection ends.
pub async fn put<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &T) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let mut bytes = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    bytes.extend_from_slice(&body);
    to.write_all(&bytes).await
}

/// Takes one message.
///
/// # Errors
/// When the connection ends, or the message is none.
pub async fn take<T: for<'a> Deserialize<'a>>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = from.read_u32_le().await?;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message is too long"));
    }
    let mut body = vec![0; length as usize];
    from.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}
