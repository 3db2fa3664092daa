use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
};

use serde::Serialize;

/// Bytes that a look for the end of a log file takes at once.
const CHUNK: u64 = 64 * 1024;
/// `st_blocks` counts these.
const BLOCK: u64 = 512;

/// The bytes of one data folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bytes {
    /// Of the log, without the zeros that are written ahead of need.
    log: u64,
    /// Of the index, as the file system counts them.
    index: u64,
    /// Of the state, as the file system counts them.
    state: u64,
}

/// What a data folder holds after the runs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataLine {
    /// The folder's own name.
    folder: String,
    log_bytes: u64,
    index_bytes: u64,
    state_bytes: u64,
    /// What the log grew by, for each byte of data that was appended.
    log_bytes_per_payload_byte: Option<f64>,
    /// Over all events that the folder holds.
    log_bytes_per_event: Option<f64>,
    /// Over all events that the folder holds.
    index_bytes_per_event: Option<f64>,
}

/// How much was appended while the folder grew, and how much it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Appended {
    /// Events between the two looks.
    pub(super) events: u64,
    /// Bytes of data of each.
    pub(super) size: u64,
    /// Events in all.
    pub(super) total: u64,
}

impl Bytes {
    /// What is there now; a file that goes away meanwhile counts nothing.
    pub(super) fn of(folder: &Path) -> Self {
        let sum = |name: &str, of: fn(&Path) -> io::Result<u64>| sum(&folder.join(name), of);
        Self { log: sum("log", used), index: sum("index", on_disk), state: sum("state", on_disk) }
    }

    pub(super) fn line(self, before: Self, folder: &Path, appended: Appended) -> DataLine {
        let share = |bytes: u64, of: u64| (of > 0).then(|| bytes as f64 / of as f64);
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        DataLine {
            folder: name,
            log_bytes: self.log,
            index_bytes: self.index,
            state_bytes: self.state,
            log_bytes_per_payload_byte: share(
                self.log.saturating_sub(before.log),
                appended.events * appended.size,
            ),
            log_bytes_per_event: share(self.log, appended.total),
            index_bytes_per_event: share(self.index, appended.total),
        }
    }
}

impl DataLine {
    pub(super) fn text(&self) -> String {
        let mb = |bytes: u64| bytes / 1_000_000;
        let figure = |figure: Option<f64>| figure.map_or("?".to_owned(), |figure| format!("{figure:.2}"));
        format!(
            "{}: log {} MB, {} bytes per payload byte; index {} MB, {} bytes per event; state {} MB",
            self.folder,
            mb(self.log_bytes),
            figure(self.log_bytes_per_payload_byte),
            mb(self.index_bytes),
            figure(self.index_bytes_per_event),
            mb(self.state_bytes),
        )
    }
}

fn sum(path: &Path, of: fn(&Path) -> io::Result<u64>) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => sum(&entry.path(), of),
        Ok(_) => of(&entry.path()).unwrap_or(0),
        Err(_) => 0,
    });
    bytes.sum()
}

fn on_disk(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.blocks() * BLOCK)
}

/// The file's length up to its last byte that is not zero.
fn used(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let mut end = file.metadata()?.len();
    while end > 0 {
        let from = end.saturating_sub(CHUNK);
        let mut chunk = vec![0; usize::try_from(end - from).unwrap_or_default()];
        file.read_exact_at(&mut chunk, from)?;
        if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
            return Ok(from + last as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_ahead_of_need_are_not_counted() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("log/1")).unwrap();
        let mut bytes = vec![0; 200_000];
        bytes[99] = 1;
        fs::write(dir.path().join("log/1/a.log"), &bytes).unwrap();
        fs::write(dir.path().join("log/1/b.log"), vec![0; 70_000]).unwrap();
        let found = Bytes::of(dir.path());
        assert_eq!(found, Bytes { log: 100, index: 0, state: 0 });
        let appended = Appended { events: 2, size: 10, total: 4 };
        let line = found.line(Bytes { log: 70, ..found }, dir.path(), appended);
        assert_eq!(line.log_bytes_per_payload_byte, Some(1.5));
        assert_eq!(line.log_bytes_per_event, Some(25.0));
    }
}
