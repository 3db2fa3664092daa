//! O1: every committed event reaches JetStream in position order, at least
//! once, and a reader of positions sees it exactly once.
//!
//! JetStream's content is the log itself, sequence by position. A consumer may
//! be given an event again; but what it is given first comes in order, without
//! a hole.

use weir_types::InvariantId::O1;

use super::{
    stretch::{Stretch, same, stretches},
    verdict,
};
use crate::{
    evidence::Evidence,
    history::Source,
    state::{JetStreamEnd, Message, StoredEvent},
    verdict::Verdict,
};

/// Checks JetStream's content and all its consumers.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = verdict(O1);
    if let Some(jetstream) = &evidence.end.jetstream {
        content(&mut verdict, evidence, jetstream);
    }
    for (consumer, stretches) in stretches(evidence, Source::JetStream) {
        for stretch in &stretches {
            run(&mut verdict, evidence, consumer, stretch);
        }
    }
    verdict
}

fn content(verdict: &mut Verdict, evidence: &Evidence<'_>, jetstream: &JetStreamEnd) {
    let begin = evidence.log.events.partition_point(|event| event.position <= jetstream.trimmed_to);
    let log = &evidence.log.events[begin..];
    for (message, event) in jetstream.messages.iter().zip(log) {
        let numbers = (message.sequence, message.position);
        let placed = numbers == (event.position, event.position);
        verdict.hold("message is out of place", placed, &[], || {
            format!("(sequence, position) {numbers:?} where position {} is due", event.position)
        });
        let carries = carries(message, event);
        let ops = if carries { Vec::new() } else { sends(evidence, event) };
        verdict.hold("message is another event", carries, &ops, || {
            format!("sequence {} carries `{}`, the log has `{}`", message.sequence, message.mark, event.mark)
        });
    }
    let (messages, events) = (jetstream.messages.len(), log.len());
    let missing = log.get(messages);
    let ops = missing.map_or_else(Vec::new, |event| sends(evidence, event));
    verdict.hold("messages and events differ in number", messages == events, &ops, || {
        format!("JetStream holds {messages} messages for {events} events")
    });
}

fn carries(message: &Message, event: &StoredEvent) -> bool {
    (&message.stream, message.version, &message.mark) == (&event.stream, event.version, &event.mark)
}

fn sends(evidence: &Evidence<'_>, event: &StoredEvent) -> Vec<u64> {
    evidence.intent_of(&event.mark).map_or_else(Vec::new, |intent| evidence.send_ids(intent))
}

fn run(verdict: &mut Verdict, evidence: &Evidence<'_>, consumer: &str, stretch: &Stretch<'_>) {
    let mut due = stretch.due(evidence, stretch.after).peekable();
    let mut reached = stretch.after;
    for event in stretch.events {
        let known = same(verdict, evidence, stretch.op, event);
        let repeat = event.position <= reached;
        let expected = due.peek().map(|event| event.position);
        let holds = repeat || expected == Some(event.position);
        verdict.hold("consumer was given events with a hole", holds, &[stretch.op.id], || {
            format!("{consumer} got position {} where {expected:?} was due", event.position)
        });
        if !holds || !known {
            return;
        }
        if !repeat {
            due.next();
            reached = event.position;
        }
    }
    if stretch.complete {
        let missing = due.next().map(|event| event.position);
        verdict.hold("consumer was not given all", missing.is_none(), &[stretch.op.id], || {
            format!("{consumer} never got position {missing:?}")
        });
    }
}
