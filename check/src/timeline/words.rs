//! Calls and outcomes in a few words.

use crate::history::{Call, Delivered, Expected, Outcome, ReadConsistency, Seen};

/// Characters of a list or value that are shown.
const SHOWN_MAX: usize = 120;

/// What was asked.
pub(super) fn call(call: &Call) -> String {
    match call {
        Call::Append { stream, expected, key, marks, node } => {
            let key = key.as_ref().map_or_else(String::new, |key| format!(" key {key}"));
            format!("append {stream} {}{key} [{}] at node {node}", guard(*expected), short(&marks.join(" ")))
        }
        Call::ReadStream { stream, from, direction, limit, consistency, node } => {
            let from = from.map_or_else(|| "its end".to_owned(), |from| from.to_string());
            let fresh = freshness(*consistency);
            format!("read {stream} {direction:?} from {from}, {limit} at most, {fresh}, at node {node}")
        }
        Call::StreamInfo { stream, consistency, node } => {
            format!("head of {stream}, {}, at node {node}", freshness(*consistency))
        }
        Call::ReadLog { from, limit, consistency, node } => {
            format!("read log from {from}, {limit} at most, {}, at node {node}", freshness(*consistency))
        }
        Call::View { projection, partition, min_position, node } => {
            let least = min_position.map_or_else(String::new, |least| format!(" at least at {least}"));
            format!("view {projection}/{partition}{least} at node {node}")
        }
        Call::Observe { consumer, source, after, .. } => {
            format!("{consumer} observes {source:?} after {after}")
        }
        Call::NodeState { node } => format!("state of node {node}"),
        Call::Membership { change, member, node } => format!("{change:?} {member} at node {node}"),
        Call::Kv { bucket, key, op, node } => format!("{bucket}/{key} {op:?} at node {node}"),
        Call::Fault { name, phase, nodes, .. } => format!("FAULT {name} {phase} {nodes:?}"),
    }
}

/// What came of it.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ok { seen } => self::seen(seen),
        Outcome::Refused { code, actual: Some(actual) } => format!("refused: {code}, actual {actual}"),
        Outcome::Refused { code, actual: None } => format!("refused: {code}"),
        Outcome::Unknown { reason } => format!("unknown: {}", short(reason)),
    }
}

fn seen(seen: &Seen) -> String {
    match seen {
        Seen::Appended { first_version, last_version, first_position, repeated } => {
            let repeated = if *repeated { ", a repeat" } else { "" };
            format!("versions {first_version}..={last_version}, position {first_position}{repeated}")
        }
        Seen::Events { events, head, applied, .. } => {
            let events: Vec<String> =
                events.iter().map(|event| format!("{}:{}", event.version, event.mark)).collect();
            format!("[{}] head {head:?} applied {applied:?}", short(&events.join(" ")))
        }
        Seen::Head { version, last_position, applied } => {
            format!("version {version}, last position {last_position:?}, applied {applied:?}")
        }
        Seen::Log { events, applied } => format!("[{}] applied {applied:?}", delivered(events)),
        Seen::View { value, checkpoint } => {
            let value = value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
            format!("{} at checkpoint {checkpoint}", short(&value))
        }
        Seen::Observed { events, gap_to, complete_to, .. } => {
            format!("[{}] gap {gap_to:?} complete to {complete_to:?}", delivered(events))
        }
        Seen::Node(report) => {
            let (index, position, term) = (report.applied_index, report.position, report.term);
            let digest = &report.digest;
            let leads = if report.leads { ", leads" } else { "" };
            format!("index {index} position {position} digest {digest} term {term}{leads}")
        }
        Seen::Membership { voters, learners } => format!("voters {voters:?}, learners {learners:?}"),
        Seen::Kv { value, revision } => format!("{value:?} at revision {revision}"),
        Seen::Done => "done".to_owned(),
    }
}

fn delivered(events: &[Delivered]) -> String {
    let events: Vec<String> =
        events.iter().map(|event| format!("{}:{}", event.position, event.mark)).collect();
    short(&events.join(" "))
}

fn guard(expected: Expected) -> String {
    match expected {
        Expected::Any => "at any version".to_owned(),
        Expected::Exact(version) => format!("at version {version}"),
    }
}

fn freshness(consistency: ReadConsistency) -> String {
    match consistency {
        ReadConsistency::Linearizable => "linearizable".to_owned(),
        ReadConsistency::Local => "local".to_owned(),
        ReadConsistency::AtLeast(position) => format!("at least at {position}"),
    }
}

/// Long lists keep their end, where the trouble is most often.
fn short(text: &str) -> String {
    let over = text.chars().count().saturating_sub(SHOWN_MAX);
    if over == 0 { text.to_owned() } else { format!("…{}", text.chars().skip(over).collect::<String>()) }
}
