//! Reads: a page is a cut of the stream as it was at one moment.

use super::Check;
use crate::history::{Call, Operation, ReadConsistency, ReadDirection, Seen, SeenEvent};

/// A read with its answer.
struct Page<'a> {
    op: &'a Operation,
    stream: &'a str,
    from: Option<u64>,
    direction: ReadDirection,
    limit: u64,
    events: &'a [SeenEvent],
    head: Option<u64>,
    next: Option<u64>,
}

impl Check<'_, '_> {
    /// Every answered read of a stream or its head.
    pub(super) fn reads(&mut self) {
        for op in &self.evidence.history.operations {
            match (&op.call, op.seen()) {
                (
                    Call::ReadStream { stream, from, direction, limit, consistency, .. },
                    Some(Seen::Events { events, head, next, applied }),
                ) => {
                    let (from, direction, limit, head, next) = (*from, *direction, *limit, *head, *next);
                    let page = Page { op, stream, from, direction, limit, events, head, next };
                    self.page(&page, *consistency == ReadConsistency::Linearizable);
                    if let (Some(length), Some(applied)) = (page.length(), applied) {
                        self.fresh(op, stream, length, *applied);
                    }
                }
                (
                    Call::StreamInfo { stream, consistency, .. },
                    Some(Seen::Head { version, last_position, applied }),
                ) => {
                    self.head(op, stream, *version, *last_position);
                    self.exact_sight(op, stream, *version, *consistency == ReadConsistency::Linearizable);
                    if let Some(applied) = applied {
                        self.fresh(op, stream, *version, *applied);
                    }
                }
                _ => {}
            }
        }
    }

    fn page(&mut self, page: &Page<'_>, binds: bool) {
        for event in page.events {
            self.event(page, event);
        }
        let shape = page.flaw();
        self.verdict.hold("page is not a cut of the stream", shape.is_none(), &[page.op.id], || {
            format!("{}: {}", page.stream, shape.unwrap_or_default())
        });
        match page.length() {
            Some(length) => self.exact_sight(page.op, page.stream, length, binds),
            None => {
                let length = page.events.iter().map(|event| event.version).max().unwrap_or(0);
                self.least_sight(page.op, page.stream, length);
            }
        }
    }

    fn event(&mut self, page: &Page<'_>, seen: &SeenEvent) {
        let held = self.evidence.log.at_version(page.stream, seen.version);
        let there = self.verdict.hold("sight of what is not there", held.is_some(), &[page.op.id], || {
            format!(
                "`{}` was read at {}@{}, which the log does not have",
                seen.mark, page.stream, seen.version
            )
        });
        let (Some(held), true) = (held, there) else { return };
        let equal = (&held.mark, held.position) == (&seen.mark, seen.position);
        self.verdict.hold("read shows another event", equal, &[page.op.id], || {
            let (stream, version) = (page.stream, seen.version);
            let read = (&seen.mark, seen.position);
            let held = (&held.mark, held.position);
            format!("{stream}@{version} was read as {read:?}, the log has {held:?}")
        });
    }

    /// The head names the position of the stream's last event.
    fn head(&mut self, op: &Operation, stream: &str, version: u64, last_position: Option<u64>) {
        let Some(told) = last_position else { return };
        let held = self.evidence.log.at_version(stream, version).map(|event| event.position);
        self.verdict.hold("head names another position", held == Some(told), &[op.id], || {
            format!("{stream}@{version} is at {held:?}, the head said {told}")
        });
    }

    /// An answer is at least as new as the position that it names.
    fn fresh(&mut self, op: &Operation, stream: &str, length: u64, applied: u64) {
        let due = self.evidence.log.length_at(stream, applied);
        self.verdict.hold("older than its own position", length >= due, &[op.id], || {
            format!("{stream} was seen at version {length}, at position {applied} it had {due}")
        });
    }
}

impl Page<'_> {
    /// The length of the stream at the moment of the read, if the answer tells it.
    fn length(&self) -> Option<u64> {
        if self.head.is_some() {
            return self.head;
        }
        let full = self.events.len() as u64 >= self.limit;
        match (self.direction, self.from) {
            (ReadDirection::Backward, None) => Some(self.events.first().map_or(0, |event| event.version)),
            (ReadDirection::Forward, from) if !full && self.next.is_none() => match self.events.last() {
                Some(last) => Some(last.version),
                None => (from.unwrap_or(1) <= 1).then_some(0),
            },
            _ => None,
        }
    }

    /// What is wrong with the page on its own.
    fn flaw(&self) -> Option<String> {
        if self.events.len() as u64 > self.limit {
            return Some(format!("{} events, asked for {} at most", self.events.len(), self.limit));
        }
        let forward = self.direction == ReadDirection::Forward;
        let follows = |one: u64, two: u64| if forward { two == one + 1 } else { two + 1 == one };
        if let Some(pair) = self.events.windows(2).find(|pair| !follows(pair[0].version, pair[1].version)) {
            return Some(format!("{} follows {}", pair[1].version, pair[0].version));
        }
        self.begins_wrong().or_else(|| self.ends_wrong())
    }

    fn begins_wrong(&self) -> Option<String> {
        let first = self.events.first()?.version;
        let due = match self.direction {
            ReadDirection::Forward => Some(self.from.unwrap_or(1).max(1)),
            ReadDirection::Backward => match (self.from, self.head) {
                (Some(from), Some(head)) => Some(from.min(head)),
                (from, head) => from.or(head),
            },
        };
        let due = due.filter(|&due| if self.head.is_some() { first != due } else { first > due })?;
        Some(format!("it begins with {first}, not with {due}"))
    }

    fn ends_wrong(&self) -> Option<String> {
        let head = self.head?;
        let reach = match self.direction {
            ReadDirection::Forward => head,
            ReadDirection::Backward => 1,
        };
        let Some(last) = self.events.last() else {
            let from = self.from.unwrap_or(1);
            let none = head == 0 || (self.direction == ReadDirection::Forward && from > head);
            return (!none && self.limit > 0).then(|| format!("it is empty, the head is {head}"));
        };
        let more = last.version != reach;
        if last.version > head || self.events[0].version > head {
            return Some(format!("it goes past the head {head}"));
        }
        let next = match self.direction {
            ReadDirection::Forward => last.version + 1,
            ReadDirection::Backward => last.version.saturating_sub(1),
        };
        let full = self.events.len() as u64 == self.limit;
        match self.next {
            Some(told) if !more || told != next => Some(format!("next is {told}, after {}", last.version)),
            None if more && !full => Some(format!("it ends with {}, the head is {head}", last.version)),
            _ => None,
        }
    }
}
