//! What consumers outside the cluster saw, one connected stretch at a time.

use std::collections::BTreeMap;

use crate::{
    evidence::Evidence,
    history::{Call, CaughtUp, Delivered, Filter, Operation, Seen, Source},
    state::StoredEvent,
    verdict::Verdict,
};

/// One stretch.
pub(super) struct Stretch<'a> {
    /// The operation.
    pub op: &'a Operation,
    /// What was asked for.
    pub filter: &'a Filter,
    /// The position after which it was asked for.
    pub after: u64,
    /// What arrived.
    pub events: &'a [Delivered],
    /// An explicit gap after the last event, up to a position.
    pub gap_to: Option<u64>,
    /// Up to where all had to be there.
    pub complete_to: Option<u64>,
    /// When it was told that history had ended.
    pub caught_up: Option<CaughtUp>,
}

/// The stretches of each consumer of one source, in order of time.
pub(super) fn stretches<'a>(evidence: &Evidence<'a>, wanted: Source) -> BTreeMap<&'a str, Vec<Stretch<'a>>> {
    let mut consumers: BTreeMap<&str, Vec<Stretch<'_>>> = BTreeMap::new();
    for op in &evidence.history.operations {
        let (
            Call::Observe { consumer, source, filter, after },
            Some(Seen::Observed { events, gap_to, complete_to, caught_up }),
        ) = (&op.call, op.seen())
        else {
            continue;
        };
        if *source == wanted {
            let (after, gap_to, complete_to, caught_up) = (*after, *gap_to, *complete_to, *caught_up);
            let stretch = Stretch { op, filter, after, events, gap_to, complete_to, caught_up };
            consumers.entry(consumer).or_default().push(stretch);
        }
    }
    for stretches in consumers.values_mut() {
        stretches.sort_by_key(|stretch| (stretch.op.invoke_us, stretch.op.id));
    }
    consumers
}

impl<'a> Stretch<'a> {
    /// The events of the log that it asked for, after a position, in order.
    pub(super) fn due(&self, evidence: &Evidence<'a>, after: u64) -> impl Iterator<Item = &'a StoredEvent> {
        let filter = self.filter;
        let begin = evidence.log.events.partition_point(|event| event.position <= after);
        evidence.log.events[begin..].iter().filter(move |event| filter.matches(&event.stream, &event.name))
    }

    /// The next event that was due when it ended, and did not come.
    pub(super) fn missing(&self, mut due: impl Iterator<Item = &'a StoredEvent>) -> Option<u64> {
        let end = self.complete_to?;
        due.next().map(|event| event.position).filter(|position| *position <= end)
    }

    /// The position up to which it got everything.
    pub(super) fn reached(&self) -> u64 {
        let last = self.events.iter().map(|event| event.position).max().unwrap_or(0);
        last.max(self.after)
    }
}

/// A delivered event is the log's event at its position.
pub(super) fn same(
    verdict: &mut Verdict,
    evidence: &Evidence<'_>,
    op: &Operation,
    event: &Delivered,
) -> bool {
    let held = evidence.log.at_position(event.position);
    let equal = held.is_some_and(|held| {
        (&held.mark, &held.stream, held.version) == (&event.mark, &event.stream, event.version)
    });
    verdict.hold("delivered event is not the log's", equal, &[op.id], || {
        let held = held.map(|held| (&held.mark, &held.stream, held.version));
        format!("`{}` was delivered as position {}, the log has {held:?}", event.mark, event.position)
    })
}
