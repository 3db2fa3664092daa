//! What was done to the cluster and when, for the reader and for the checkers.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use serde_json::{Value, json};
use weir_check::history::{Call, Recorder, Seen};

use super::rig::server::Exit;

/// The number under which the runner calls.
const RUNNER: u64 = 0;

/// A line of JSON per event in a file, a line of text on stderr, and faults in
/// the history. Clones share it.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    recorder: Recorder,
    state: Mutex<State>,
}

struct State {
    file: std::fs::File,
    done: BTreeMap<String, u64>,
    unexplained: Vec<String>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}

impl Journal {
    /// A journal in a new file.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path, recorder: Recorder) -> Result<Self> {
        let file = std::fs::File::create(path)?;
        let state = State { file, done: BTreeMap::new(), unexplained: Vec::new() };
        Ok(Self(Arc::new(Inner { recorder, state: Mutex::new(state) })))
    }

    /// Says what happens now.
    pub fn say(&self, what: &str) {
        self.write(what, json!({ "event": "phase", "what": what }));
    }

    /// Notes that a fault began or ended, from `since_us` of the history's clock until now.
    pub fn fault(&self, name: &str, phase: &str, since_us: u64, nodes: &[u64], detail: &Value) {
        let (name, phase) = (name.to_owned(), phase.to_owned());
        let told = if detail.is_null() { String::new() } else { format!(" {detail}") };
        self.write(
            &format!("{phase:<6} {name} {nodes:?}{told}"),
            json!({ "event": phase, "fault": name, "nodes": nodes, "detail": detail }),
        );
        let call = Call::Fault { name, phase, nodes: nodes.to_vec(), detail: detail.clone() };
        self.0.recorder.note(RUNNER, since_us, call, Seen::Done);
    }

    /// Counts what a fault really did.
    pub fn did(&self, fault: &str, times: u64) {
        *self.state().done.entry(fault.to_owned()).or_default() += times;
    }

    /// Notes an end of a node that no fault asked for.
    pub fn exit(&self, node: u64, exit: &Exit) {
        let what = format!("node {node} ended by itself ({})", exit.status);
        let known = if exit.excused { "as a fault explains" } else { "and nothing explains it" };
        self.write(
            &format!("{what}, {known}"),
            json!({ "event": "exit", "node": node, "excused": exit.excused }),
        );
        self.did(if exit.excused { "exits.excused" } else { "exits.unexplained" }, 1);
        if !exit.excused {
            self.state().unexplained.push(what);
        }
    }

    /// Notes what a fault met that it explains by nothing but a bug.
    pub fn wrong(&self, what: &str) {
        self.say(&format!("wrong: {what}"));
        self.state().unexplained.push(what.to_owned());
    }

    /// The history's clock.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.0.recorder.now_us()
    }

    /// What the faults did, by name.
    #[must_use]
    pub fn done(&self) -> BTreeMap<String, u64> {
        self.state().done.clone()
    }

    /// Ends of nodes that nothing explains, and what faults met that only a bug explains.
    #[must_use]
    pub fn unexplained(&self) -> Vec<String> {
        self.state().unexplained.clone()
    }

    fn write(&self, text: &str, mut line: Value) {
        let seconds = self.now_us() as f64 / 1e6;
        eprintln!("{seconds:>8.1} s  {text}");
        line["at"] = json!(seconds);
        // The journal is for the reader: without it the run still has its history.
        let _ = writeln!(self.state().file, "{line}");
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
