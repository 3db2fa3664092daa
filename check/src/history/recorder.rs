//! Writing a history while it happens.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{Call, Header, Operation, Outcome, Seen, reader::write_line};

/// Operations by fate, and by code or reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Succeeded.
    pub ok: u64,
    /// Refused.
    pub refused: u64,
    /// Unknown.
    pub unknown: u64,
    /// Refusals by code.
    pub codes: BTreeMap<String, u64>,
}

/// Appends operations to a file, from any number of threads. Clones share it.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    now: Box<dyn Fn() -> u64 + Send + Sync>,
    sink: Mutex<Sink>,
}

struct Sink {
    out: Box<dyn Write + Send>,
    next_id: u64,
    counts: Counts,
    failed: Option<io::Error>,
}

impl Recorder {
    /// Writes to a new file, with the time since now as the clock.
    ///
    /// # Errors
    /// The file cannot be created or written.
    pub fn create(path: &Path, header: &Header) -> io::Result<Self> {
        let started = Instant::now();
        let now = move || u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Self::new(Box::new(BufWriter::new(File::create(path)?)), header, Box::new(now))
    }

    /// Writes anywhere, by any monotonic clock of microseconds.
    ///
    /// # Errors
    /// The header cannot be written.
    pub fn new(
        mut out: Box<dyn Write + Send>,
        header: &Header,
        now: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> io::Result<Self> {
        write_line(&mut out, header)?;
        let sink = Sink { out, next_id: 1, counts: Counts::default(), failed: None };
        Ok(Self(Arc::new(Inner { now, sink: Mutex::new(sink) })))
    }

    /// The clock of the history, in microseconds.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        (self.0.now)()
    }

    /// Notes that a call is about to be sent. Call it before anything is sent.
    #[must_use]
    pub fn invoke(&self, client: u64, call: Call) -> Pending {
        let mut sink = self.sink();
        let id = sink.next_id;
        sink.next_id += 1;
        drop(sink);
        let invoke_us = self.now_us();
        Pending { recorder: self.clone(), open: Some(Open { id, client, invoke_us, call }) }
    }

    /// Notes something that was just seen, with the moment at which the look began.
    pub fn note(&self, client: u64, since_us: u64, call: Call, seen: Seen) {
        let mut pending = self.invoke(client, call);
        if let Some(open) = &mut pending.open {
            open.invoke_us = since_us;
        }
        pending.ok(seen);
    }

    /// How the operations so far ended.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.sink().counts.clone()
    }

    /// Hands everything to the operating system.
    ///
    /// # Errors
    /// This or an earlier write failed: the history is not complete.
    pub fn flush(&self) -> io::Result<()> {
        let mut sink = self.sink();
        if let Some(error) = sink.failed.take() {
            return Err(error);
        }
        sink.out.flush()
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.0.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complete(&self, open: Open, outcome: Outcome) {
        let Open { id, client, invoke_us, call } = open;
        // The moment is taken before the lock, so that waiting for the lock does not stretch the operation.
        let complete_us = self.now_us().max(invoke_us);
        let operation = Operation { id, client, invoke_us, complete_us, call, outcome };
        let mut line = Vec::with_capacity(256);
        let encoded = write_line(&mut line, &operation);
        let mut sink = self.sink();
        sink.counts.add(&operation.outcome);
        if let Err(error) = encoded.and_then(|()| sink.out.write_all(&line)) {
            sink.failed.get_or_insert(error);
        }
    }
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Ok { .. } => self.ok += 1,
            Outcome::Unknown { .. } => self.unknown += 1,
            Outcome::Refused { code, .. } => {
                self.refused += 1;
                match self.codes.get_mut(code) {
                    Some(count) => *count += 1,
                    None => drop(self.codes.insert(code.clone(), 1)),
                }
            }
        }
    }
}

struct Open {
    id: u64,
    client: u64,
    invoke_us: u64,
    call: Call,
}

/// A call under way. Dropped without an outcome, it is recorded as unknown:
/// so a cancelled task never hides an append.
pub struct Pending {
    recorder: Recorder,
    open: Option<Open>,
}

impl Pending {
    /// The id that the operation will have.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.id)
    }

    /// It was done.
    pub fn ok(self, seen: Seen) {
        self.end(Outcome::Ok { seen });
    }

    /// It was definitely not done. An answer that leaves any doubt is [`Pending::unknown`].
    pub fn refused(self, code: &str, actual: Option<u64>) {
        self.end(Outcome::Refused { code: code.to_owned(), actual });
    }

    /// Nobody knows.
    pub fn unknown(self, reason: &str) {
        self.end(Outcome::Unknown { reason: reason.to_owned() });
    }

    /// Records any outcome.
    pub fn end(mut self, outcome: Outcome) {
        if let Some(open) = self.open.take() {
            self.recorder.complete(open, outcome);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.recorder.complete(open, Outcome::Unknown { reason: "dropped".to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::history::{Expected, History, Topology};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panics").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn append(mark: &str) -> Call {
        let (stream, marks) = ("a".to_owned(), vec![mark.to_owned()]);
        Call::Append { stream, expected: Expected::Exact(3), key: None, marks, node: 1 }
    }

    fn recorded() -> (Memory, Header) {
        let memory = Memory::default();
        let header = Header::new(7, Topology::default(), &["appends"]);
        let recorder = Recorder::new(Box::new(memory.clone()), &header, Box::new(|| 5)).expect("memory");
        let appended =
            Seen::Appended { first_version: 4, last_version: 4, first_position: 9, repeated: false };
        recorder.invoke(1, append("m1")).ok(appended);
        recorder.invoke(2, append("m2")).refused("version_conflict", Some(4));
        drop(recorder.invoke(3, append("m3")));
        let counts = recorder.counts();
        assert_eq!((counts.ok, counts.refused, counts.unknown), (1, 1, 1));
        recorder.flush().expect("memory");
        (memory, header)
    }

    #[test]
    fn what_is_recorded_is_read_back() {
        let (memory, header) = recorded();
        let bytes = memory.0.lock().expect("no writer panics").clone();
        let history = History::read(Cursor::new(&bytes)).expect("it is whole");
        assert_eq!(history.header, header);
        assert_eq!(history.operations.len(), 3);
        assert!(history.operations[2].outcome.is_unknown(), "a dropped call is unknown");
        let torn =
            History::read(Cursor::new(&bytes[..bytes.len() - 10])).expect("a torn last line is ignored");
        assert_eq!(torn.operations.len(), 2);
        let mut damaged = bytes;
        let second = damaged.iter().position(|&byte| byte == b'\n').expect("lines") + 1;
        damaged[second] = b'x';
        assert!(History::read(Cursor::new(&damaged)).is_err(), "a damaged line is not skipped");
    }
}
