//! One append when all has been calm for a while: a cluster without faults serves.

use std::time::{Duration, Instant};

use serde_json::json;
use weir_check::history::{Call, Expected, Recorder, Seen};

use super::rig::Rig;
use crate::{edge::CallError, pause};

/// How long it may take, over all nodes and tries.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is tried at least: the machine may stand still for longer than that.
const TRIES: usize = 12;
/// How long one try may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// It has a stream of its own.
pub struct Canary {
    recorder: Recorder,
    sung: u64,
    silent: Vec<String>,
}

impl Canary {
    /// One that has not sung yet.
    #[must_use]
    pub fn new(recorder: Recorder) -> Self {
        Self { recorder, sung: 0, silent: Vec::new() }
    }

    /// Appends once, over whichever node answers, and notes when none does.
    pub async fn sing(&mut self, rig: &Rig) {
        let begun = Instant::now();
        let mut last = String::new();
        for (tried, (node, edge)) in rig.directory.all().into_iter().cycle().enumerate() {
            if tried >= TRIES && begun.elapsed() > PATIENCE {
                break;
            }
            self.sung += 1;
            let mark = format!("canary-{}", self.sung);
            let (stream, marks) = ("canary".to_owned(), vec![mark.clone()]);
            let call = Call::Append { stream, expected: Expected::Any, key: None, marks, node };
            let pending = self.recorder.invoke(0, call);
            let body = json!({ "entityType": "canary", "name": "canary.sang", "data": { "op": mark } });
            match tokio::time::timeout(CALL_TIMEOUT, edge.append("canary", &body)).await {
                Ok(Ok(told)) => {
                    return pending.ok(Seen::Appended {
                        first_version: told.last_version,
                        last_version: told.last_version,
                        first_position: told.last_position,
                        repeated: false,
                    });
                }
                Ok(Err(CallError::Refused { error, .. })) if !error.code.outcome_unknown() => {
                    last = format!("node {node}: {}", error.code.as_str());
                    pending.refused(error.code.as_str(), None);
                }
                Ok(Err(error)) => {
                    last = format!("node {node}: {error}");
                    pending.unknown("no answer");
                }
                Err(_) => {
                    last = format!("node {node}: no answer in {CALL_TIMEOUT:?}");
                    pending.unknown("timeout");
                }
            }
            pause().await;
        }
        rig.journal.say(&format!("canary: no append although all is calm; {last}"));
        self.silent.push(last);
    }

    /// How often it could not append although all was calm, with what it was told last.
    #[must_use]
    pub fn silent(&self) -> &[String] {
        &self.silent
    }
}
