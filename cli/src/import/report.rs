use serde::Serialize;

/// Conflicts that are told one by one; the others are only counted.
const TOLD_MAX: usize = 20;

/// What became of an import.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Rows that are settled.
    pub(super) rows: u64,
    /// Entities met in the file.
    pub(super) streams: u64,
    /// Rows appended now.
    pub(super) appended: u64,
    /// Rows that were in their stream already, by their key or by comparison.
    pub(super) already_there: u64,
    /// Rows at whose version the stream holds something else, or that were refused.
    pub(super) conflicts: u64,
    /// Bytes of data appended now.
    pub(super) bytes: u64,
    /// How long it took.
    pub(super) seconds: f64,
    /// Rows appended per second.
    pub(super) events_per_second: f64,
    /// The first conflicts, in words.
    pub(super) told: Vec<String>,
}

/// What became of the rows of one append.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Settled {
    Appended { rows: u64, bytes: u64 },
    AlreadyThere { rows: u64 },
    Conflict { rows: u64, what: String },
}

impl Report {
    pub(super) fn add(&mut self, settled: Settled) {
        let rows = match settled {
            Settled::Appended { rows, bytes } => {
                self.appended += rows;
                self.bytes += bytes;
                rows
            }
            Settled::AlreadyThere { rows } => {
                self.already_there += rows;
                rows
            }
            Settled::Conflict { rows, what } => {
                self.conflicts += rows;
                if self.told.len() < TOLD_MAX {
                    self.told.push(what);
                }
                rows
            }
        };
        self.rows += rows;
    }

    pub(super) fn line(&self) -> String {
        format!(
            "{} rows: {} appended, {} already there, {} conflicts",
            self.rows, self.appended, self.already_there, self.conflicts
        )
    }
}
