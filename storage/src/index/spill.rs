//! The thread that brings sealed buffers into the engine.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use fjall::Keyspace;
use tracing::{debug, error};

use super::{
    buffer::{Buffer, Table},
    open::panic_text,
};

/// A running spiller. Dropped, it spills all that is left and ends.
pub(super) struct Spiller {
    buffer: Arc<Buffer>,
    thread: Option<JoinHandle<()>>,
}

impl Spiller {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, when it has no thread to give.
    pub(super) fn start(buffer: Arc<Buffer>, keys: Keyspace) -> io::Result<Self> {
        let sealed = Arc::clone(&buffer);
        let thread = thread::Builder::new().name("weir-index".into()).spawn(move || {
            while let Some(table) = sealed.next_sealed() {
                let result = spill(&keys, &table);
                drop(table);
                sealed.spilled(result);
            }
        })?;
        Ok(Self { buffer, thread: Some(thread) })
    }
}

impl Drop for Spiller {
    fn drop(&mut self) {
        // A failure was logged where it happened, and costs a longer replay.
        let _ = self.buffer.drain();
        self.buffer.close();
        if let Some(thread) = self.thread.take() {
            // A panic of the engine is caught, so there is none to tell.
            let _ = thread.join();
        }
    }
}

fn spill(keys: &Keyspace, table: &Table) -> Result<(), String> {
    let began = Instant::now();
    // The engine panics on some damage.
    let result = match catch_unwind(AssertUnwindSafe(|| ingest(keys, table))) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => Err(panic_text(panic.as_ref())),
    };
    match &result {
        Ok(()) => debug!(entries = table.len(), milliseconds = began.elapsed().as_millis(), "index spilled"),
        Err(reason) => error!(reason, "index could not be spilled"),
    }
    result
}

/// Whole or not at all, and durable on return.
fn ingest(keys: &Keyspace, table: &Table) -> fjall::Result<()> {
    let mut run = keys.start_ingestion()?;
    for (key, value) in table.entries() {
        match value {
            Some(value) => run.write(key, value)?,
            None => run.write_tombstone(key)?,
        }
    }
    run.finish()
}
