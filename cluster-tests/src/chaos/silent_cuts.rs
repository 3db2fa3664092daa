//! Damage that a node took for a torn tail: where a bit of what was synced was
//! flipped, its log was cut at its next start, and it went on with less than it
//! had acknowledged. Its peers give it back what it lost, so that no client sees it.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;
use weir_check::{History, history::Call};

/// What begins the name of a fault that flips a bit of the log; its detail says where.
const FLIP: &str = "flip-log";
/// What a node says when it cuts its log at a start, with `file` and `offset`.
const CUT: &str = "torn tail cut";
/// What it says when it has read its log.
const OPENED: &str = "log opened";

/// The cuts at or before a flipped bit, by what the nodes logged in a folder.
///
/// # Errors
/// When a log cannot be read.
pub fn silent_cuts(history: &History, logs: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for op in &history.operations {
        let Call::Fault { name, phase, nodes, detail } = &op.call else { continue };
        if !name.starts_with(FLIP) || phase != "inject" {
            continue;
        }
        let place = detail["file"].as_str().zip(detail["offset"].as_u64());
        if let ([node], Some((file, offset)), Some(logged)) = (&nodes[..], place, detail["logged"].as_u64()) {
            let path = logs.join(format!("n{node}.log"));
            let said = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let since = said.get(usize::try_from(logged)?..).unwrap_or_default();
            found.extend(
                cut_before(&String::from_utf8_lossy(since), file, offset)
                    .map(|at| format!("node {node} cut {file} at {at}, though {offset} was durable: damage was taken for a torn tail")),
            );
        }
    }
    Ok(found)
}

/// Where the next start cut the file, if that is at or before an offset.
fn cut_before(said: &str, file: &str, offset: u64) -> Option<u64> {
    let mut start = said.lines().take_while(|line| !line.contains(OPENED));
    let cut = start.find(|line| line.contains(CUT))?;
    let cut: Value = serde_json::from_str(cut).ok()?;
    let field = |name: &str| cut.get(name).or_else(|| cut["fields"].get(name));
    let here = field("file")?.as_str()?.ends_with(file);
    field("offset")?.as_u64().filter(|at| here && *at <= offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_behind_what_was_flipped_or_at_a_later_start_is_none() {
        let cut =
            |at: u64| format!("{{\"message\":\"torn tail cut\",\"file\":\"/d/1.log\",\"offset\":{at}}}\n");
        let opened = "{\"message\":\"log opened\",\"torn_bytes\":9}\n";
        assert_eq!(cut_before(&format!("{}{opened}", cut(80)), "1.log", 90), Some(80));
        assert_eq!(cut_before(&format!("{}{opened}", cut(100)), "1.log", 90), None, "a torn tail");
        assert_eq!(cut_before(&format!("{opened}{}", cut(80)), "1.log", 90), None, "another start");
        assert_eq!(cut_before(&format!("{}{opened}", cut(80)), "2.log", 90), None, "another file");
    }
}
