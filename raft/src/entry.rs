//! A log entry as openraft holds it and as the log stores it.

use bytes::Bytes;
use openraft::{EntryPayload, entry::RaftEntry as _};
use weir_storage::log::{LogRecord, RecordKind};

use crate::{
    fields::FieldError,
    membership_record,
    types::{self, CommandBytes, RaftEntry},
};

/// The record of an entry. A command's bytes are shared, not copied.
pub(crate) fn record_of(entry: &RaftEntry) -> LogRecord {
    let id = entry.log_id();
    let (kind, payload) = match &entry.payload {
        EntryPayload::Blank => (RecordKind::Blank, Bytes::new()),
        EntryPayload::Normal(command) => (RecordKind::Command, command.0.clone()),
        EntryPayload::Membership(membership) => {
            (RecordKind::Membership, membership_record::encode(&id, membership))
        }
    };
    LogRecord { id: types::log_id(&id), kind, payload }
}

/// The entry of a record.
///
/// # Errors
/// [`FieldError`] when the payload of a membership record is damaged.
pub(crate) fn entry_of(record: LogRecord) -> Result<RaftEntry, FieldError> {
    let payload = match record.kind {
        RecordKind::Blank => EntryPayload::Blank,
        RecordKind::Command => EntryPayload::Normal(CommandBytes(record.payload)),
        RecordKind::Membership => {
            EntryPayload::Membership(membership_record::decode(record.payload)?.membership().clone())
        }
    };
    Ok(RaftEntry { log_id: types::raft_log_id(&record.id), payload })
}
