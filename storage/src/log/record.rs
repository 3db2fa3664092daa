use bytes::Bytes;
use weir_types::LogId;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// A leader's first record, without content.
    Blank = 0,
    /// A command for apply.
    Command = 1,
    /// A membership of the group.
    Membership = 2,
}

impl RecordKind {
    pub(super) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Blank),
            1 => Some(Self::Command),
            2 => Some(Self::Membership),
            _ => None,
        }
    }
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Its identity.
    pub id: LogId,
    /// What it is.
    pub kind: RecordKind,
    /// Its content, at most [`weir_types::limits::LOG_RECORD_BYTES_MAX`] bytes.
    pub payload: Bytes,
}

/// Where bytes lie in a group's log: a record's payload, or an event inside one.
/// A place holds for as long as its record is not truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The log index of the segment's first record, which names its file.
    pub segment: u64,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
}

impl Place {
    /// The place of `len` bytes that begin `offset` bytes into this place.
    ///
    /// # Panics
    /// Panics when they do not lie within it.
    #[must_use]
    pub fn within(self, offset: u32, len: u32) -> Self {
        let end = u64::from(offset) + u64::from(len);
        assert!(end <= u64::from(self.len), "an inner place lies within the outer one");
        Self { segment: self.segment, offset: self.offset + u64::from(offset), len }
    }
}
