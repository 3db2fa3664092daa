//! What travels between peers.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | length of the body |
//! | 4 | 4 | crc32c of all that follows: header from offset 8, then the body |
//! | 8 | 1 | kind |
//! | 9 | 1 | role: request, answer, refusal |
//! | 10 | 2 | zero |
//! | 12 | 4 | stream, for streamed appends; else zero |
//! | 16 | 8 | group |
//! | 24 | 8 | request id, chosen by the asking side |
//!
//! All numbers are little-endian.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use weir_types::{GroupId, limits};

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 32;

/// What a frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Who speaks; the first frame in each direction.
    Hello = 1,
    /// Entries, or none as a heartbeat, on a stream.
    Append = 2,
    /// No more appends come on a stream.
    AppendEnd = 3,
    /// A candidate asks for a vote.
    Vote = 4,
    /// A follower asks whether it would get a vote.
    PreVote = 5,
    /// A leader hands its leadership over.
    TransferLeader = 6,
    /// A follower asks up to where a read must have applied.
    ReadIndex = 7,
    /// A request of the node itself, opaque here.
    Forward = 8,
    /// Is anybody there.
    Ping = 9,
    /// A node with a damaged log asks for records.
    Records = 10,
    /// A node that does not know its place asks for its seat.
    Join = 11,
}

impl Kind {
    fn of(byte: u8) -> io::Result<Self> {
        Ok(match byte {
            1 => Self::Hello,
            2 => Self::Append,
            3 => Self::AppendEnd,
            4 => Self::Vote,
            5 => Self::PreVote,
            6 => Self::TransferLeader,
            7 => Self::ReadIndex,
            8 => Self::Forward,
            9 => Self::Ping,
            10 => Self::Records,
            11 => Self::Join,
            other => return Err(damaged(format!("frame kind {other} is unknown"))),
        })
    }

    /// Whether who takes no part may ask it.
    pub(crate) fn is_for_visitors(self) -> bool {
        matches!(self, Self::Ping | Self::Records | Self::Join)
    }
}

/// Which side of an exchange a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Role {
    /// It asks.
    Request = 0,
    /// It answers.
    Answer = 1,
    /// It says why there is no answer; the body is text.
    Refusal = 2,
}

impl Role {
    fn of(byte: u8) -> io::Result<Self> {
        match byte {
            0 => Ok(Self::Request),
            1 => Ok(Self::Answer),
            2 => Ok(Self::Refusal),
            other => Err(damaged(format!("frame role {other} is unknown"))),
        }
    }
}

/// The header's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) role: Role,
    pub(crate) stream: u32,
    pub(crate) group: GroupId,
    pub(crate) id: u64,
}

impl Header {
    /// The header of what answers this one.
    pub(crate) fn answer(self, role: Role) -> Self {
        Self { role, ..self }
    }
}

/// A frame to send. The body is in parts, so that payloads are not copied together.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) header: Header,
    pub(crate) parts: Vec<Bytes>,
}

impl Outgoing {
    pub(crate) fn new(header: Header, body: Bytes) -> Self {
        Self { header, parts: vec![body] }
    }

    pub(crate) fn body_bytes(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    fn head(&self) -> [u8; HEADER_BYTES] {
        let bytes = self.body_bytes();
        assert!(bytes <= limits::PEER_MESSAGE_BYTES_MAX, "frame body over its limit");
        let mut head = [0; HEADER_BYTES];
        head[0..4].copy_from_slice(&u32::try_from(bytes).expect("bounded above").to_le_bytes());
        head[8] = self.header.kind as u8;
        head[9] = self.header.role as u8;
        head[12..16].copy_from_slice(&self.header.stream.to_le_bytes());
        head[16..24].copy_from_slice(&self.header.group.0.to_le_bytes());
        head[24..32].copy_from_slice(&self.header.id.to_le_bytes());
        let crc =
            self.parts.iter().fold(crc32c::crc32c(&head[8..]), |crc, part| crc32c::crc32c_append(crc, part));
        head[4..8].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// Writes the frame; the caller flushes.
    pub(crate) async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        to.write_all(&self.head()).await?;
        for part in &self.parts {
            to.write_all(part).await?;
        }
        Ok(())
    }
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) header: Header,
    /// Its own allocation: slices of it pin nothing else.
    pub(crate) body: Bytes,
}

impl Incoming {
    /// Reads the next frame.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other side has closed; `InvalidData` when the
    /// bytes are no frame, over the limit, or damaged on the way.
    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut head = [0; HEADER_BYTES];
        from.read_exact(&mut head).await?;
        let length = u32_at(&head, 0) as usize;
        if length > limits::PEER_MESSAGE_BYTES_MAX {
            return Err(damaged(format!("frame body of {length} bytes is over the limit")));
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body).await?;
        if crc32c::crc32c_append(crc32c::crc32c(&head[8..]), &body) != u32_at(&head, 4) {
            return Err(damaged("frame checksum is wrong".into()));
        }
        let header = Header {
            kind: Kind::of(head[8])?,
            role: Role::of(head[9])?,
            stream: u32_at(&head, 12),
            group: GroupId(u64_at(&head, 16)),
            id: u64_at(&head, 24),
        };
        Ok(Self { header, body: body.into() })
    }
}

fn u32_at(head: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(head: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"))
}

fn damaged(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Outgoing {
        let header =
            Header { kind: Kind::Append, role: Role::Request, stream: 7, group: GroupId::DEFAULT, id: 42 };
        Outgoing { header, parts: vec![Bytes::from_static(b"head"), Bytes::from_static(b"payload")] }
    }

    async fn bytes_of(frame: &Outgoing) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.write(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_frame_survives_its_bytes() {
        let bytes = bytes_of(&sample()).await;
        let read = Incoming::read(&mut &bytes[..]).await.unwrap();
        assert_eq!(read, Incoming { header: sample().header, body: Bytes::from_static(b"headpayload") });
    }

    #[tokio::test]
    async fn any_flipped_bit_is_noticed() {
        let bytes = bytes_of(&sample()).await;
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(Incoming::read(&mut &bad[..]).await.is_err(), "byte {at}");
        }
    }

    #[tokio::test]
    async fn a_length_over_the_limit_is_refused_before_memory_is_taken() {
        let mut bytes = bytes_of(&sample()).await;
        bytes[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = Incoming::read(&mut &bytes[..]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
