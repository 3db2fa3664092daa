//! What the nodes logged: panics, errors, and the rare events that a run should meet.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

/// A counter of the coverage list, and the words that a node logs when it happens.
const RARE: [(&str, &str); 6] = [
    ("log.corruption_detected", "is damaged"),
    ("storage.derived_rebuilt", MOVED_ASIDE),
    ("raft.uncommitted_tail_truncated", "uncommitted log tail is cut"),
    ("outbox.rewound", "outbox publishes again"),
    ("log.mended", "damage in the log was mended and verified"),
    ("raft.seat_taken_again", "seat is taken again, by a new data folder"),
];
/// What a node says of its log at each start; a torn tail was cut when the number is not 0.
const TORN: &str = "\"torn_bytes\":";

/// What a node says when it rebuilds a store from the log.
const MOVED_ASIDE: &str = "store moved aside";
/// Where the code of the state's store lies.
const SLED: &str = "/sled-0.34";

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Counters of the coverage list.
    pub counts: BTreeMap<String, u64>,
    /// Lines with a panic, with the file's name.
    pub panics: Vec<String>,
    /// Messages of errors, with how often they came.
    pub errors: BTreeMap<String, u64>,
}

/// Reads all `n*.log` of a folder.
///
/// # Errors
/// When one cannot be read.
pub fn read(folder: &Path) -> Result<Found> {
    let mut found = Found::default();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('n') && !name.starts_with("nats") {
            let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            text.lines().for_each(|line| found.take(&name, line));
        }
    }
    Ok(found)
}

impl Found {
    fn take(&mut self, file: &str, line: &str) {
        for (counter, words) in RARE {
            if line.contains(words) {
                *self.counts.entry(counter.to_owned()).or_default() += 1;
            }
        }
        if line.split_once(TORN).is_some_and(|(_, bytes)| !bytes.starts_with("0,")) {
            *self.counts.entry("log.torn_tail_cut".to_owned()).or_default() += 1;
        }
        if line.contains("panicked at") {
            self.panics.push(format!("{file}: {line}"));
        }
        if line.contains(MOVED_ASIDE) {
            self.survived(file);
        }
        if line.contains("\"level\":\"ERROR\"") {
            *self.errors.entry(message(line)).or_default() += 1;
        }
    }
}

impl Found {
    /// sled panics at bytes that rotted; the node has taken that for damage when it says next that it moved the store.
    fn survived(&mut self, file: &str) {
        self.panics.pop_if(|last| last.starts_with(file) && last.contains(SLED));
    }
}

fn message(line: &str) -> String {
    let parsed: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let message = parsed["fields"]["message"].as_str().or(parsed["message"].as_str()).unwrap_or(line);
    let target = parsed["target"].as_str().unwrap_or_default();
    format!("{target}: {}", message.chars().take(160).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_errors_are_found() {
        let mut found = Found::default();
        found.take("n1.log", r#"{"level":"ERROR","fields":{"message":"log is damaged"},"target":"weir"}"#);
        found.take("n1.log", "thread 'main' panicked at x.rs:1");
        assert_eq!(found.errors, BTreeMap::from([("weir: log is damaged".to_owned(), 1)]));
        found.take("n1.log", r#"{"message":"log opened","bytes":99,"torn_bytes":0,"milliseconds":"4"}"#);
        assert!(!found.counts.contains_key("log.torn_tail_cut"));
        found.take("n1.log", r#"{"message":"log opened","bytes":99,"torn_bytes":17,"milliseconds":"4"}"#);
        assert_eq!(found.counts["log.torn_tail_cut"], 1);
        assert_eq!(found.panics.len(), 1);
        assert_eq!(found.counts["log.corruption_detected"], 1);
        found.take("n2.log", "thread 't' panicked at /x/sled-0.34.7/src/serialization.rs:662:18:");
        assert_eq!(found.panics.len(), 2);
        found.take("n2.log", r#"{"message":"store moved aside, it is rebuilt from the log"}"#);
        assert_eq!(found.panics.len(), 1, "the node lives on");
        found.take("n1.log", r#"{"message":"store moved aside, it is rebuilt from the log"}"#);
        assert_eq!(found.panics.len(), 1, "another panic is not survived by that");
    }
}
