use std::{
    io,
    path::{Path, PathBuf},
};

use weir_types::{LogId, LogIndex};

/// Why the log did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused while a log was opened or read.
    #[error("could not {verb} {}", file.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which file or folder.
        file: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Bytes that were durable are not what was written. They are never served
    /// and never cut away.
    #[error(
        "log file {} is damaged at byte {offset}: {detail}; this node must not vote or serve with it: \
         keep the file for inspection, remove the node from its cluster and add it again under a new \
         node id with an empty data folder",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it, in bytes from its start.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// The file belongs to another cluster, node or group.
    #[error("log file {} belongs to {found}, not to {expected}", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// Whose log was opened.
        expected: String,
        /// Whose file it is.
        found: String,
    },
    /// A newer version of Weir wrote it.
    #[error("log file {} has format version {found}, this build reads up to {supported}", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this build reads.
        supported: u32,
    },
    /// An append would leave a hole or overwrite a record (obligation L4).
    #[error("log record {found} does not follow the log, which goes on at {expected}")]
    NotNext {
        /// The index that must come next.
        expected: LogIndex,
        /// The index that was offered.
        found: LogIndex,
    },
    /// An append's term is lower than that of the record before it.
    #[error("log record {} has term {}, lower than term {} before it", found.index, found.term, previous.term)]
    TermFalls {
        /// The record before it.
        previous: LogId,
        /// The record that was offered.
        found: LogId,
    },
    /// The payload is over [`weir_types::limits::LOG_RECORD_BYTES_MAX`].
    #[error("log record has {bytes} bytes, over the limit of {max}")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A truncation would drop committed records (obligation L10).
    #[error("log may not be cut after {}, it is committed up to {committed}", name(*last))]
    Committed {
        /// The last committed index.
        committed: LogIndex,
        /// The last index that was to stay.
        last: Option<LogIndex>,
    },
    /// The log holds no such record or place.
    #[error("log holds no {wanted}")]
    Absent {
        /// What was asked for.
        wanted: String,
    },
    /// An earlier write failed; nothing is written any more.
    #[error("log stopped after a failed write: {reason}")]
    Stopped {
        /// The first failure.
        reason: String,
    },
}

impl LogError {
    pub(super) fn io(verb: &'static str, file: &Path) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_path_buf();
        move |source| Self::Io { verb, file, source }
    }

    pub(super) fn damaged(file: &Path, offset: u64, detail: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_path_buf(), offset, detail: detail.into() }
    }
}

fn name(last: Option<LogIndex>) -> String {
    last.map_or_else(|| "nothing".into(), |last| format!("record {last}"))
}
