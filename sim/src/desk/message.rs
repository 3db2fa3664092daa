use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use weir_api::v1::SettlementBody;
use weir_check::{
    history::{Call, Outcome},
    state::StoredEvent,
};

/// Bytes of one message, at most.
const MESSAGE_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// What a node is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Ask {
    /// What a client does, as the history names it.
    Call(Call),
    /// Appends to streams that are all written, or none.
    Transact(Vec<Call>),
    /// Stored events from a position on, whole, for the audit.
    Stored(u64),
    /// Hand in all code, of this generation.
    Prepare(u64),
    /// The state of a stream.
    State(StateAsked),
    /// Events for a consumer, so many at most.
    Pull(usize),
    /// What a consumer says of events.
    Settle(Verdicts),
    /// How far the consumers are.
    Group,
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

/// Which state is asked for, and through what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateAsked {
    /// The stream.
    pub stream: String,
    /// As of this version; absent: now.
    pub version: Option<u64>,
    /// A virtual projection; absent: the invariant.
    pub projection: Option<String>,
}

/// A state as it was told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateTold {
    /// The stream's version then.
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
    /// All code is handed in.
    Prepared,
    /// A state.
    State(StateTold),
    /// Events for a consumer.
    Pulled(Vec<Held>),
    /// Of each event whether it is settled or dead for good.
    Settled(Vec<bool>),
    /// How far the consumers are.
    Group(GroupTold),
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
