use weir_types::{
    Cursor, CursorScope, Planted, Position, RecordedEvent, Selector, StreamVersion,
    limits::{SUBSCRIPTION_PAGE_BYTES_MAX, SUBSCRIPTION_PAGE_EVENTS_MAX},
    planted,
};

/// Events of the first page of history, and of every page where events are large.
const PAGE_EVENTS_MIN: usize = 32;
/// Bytes of a page up to which the next one asks for more events.
const PAGE_BYTES_SMALL: usize = SUBSCRIPTION_PAGE_BYTES_MAX / 4;

/// Where one subscription is, and what it must do next: all of its decisions, and no I/O.
#[derive(Debug)]
pub(super) struct Flow {
    selector: Selector,
    scope: CursorScope,
    /// Every event up to here was given, or is not asked for.
    seen: Position,
    /// Of a stream: the version that was given last.
    version: StreamVersion,
    /// Whether the tail counts what comes for it.
    joined: bool,
    /// Where the tail was when it joined: beyond it, it has caught up.
    caught_up_at: Option<Position>,
    told_caught_up: bool,
    page: usize,
}

/// What is there to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    /// The first position that the ring holds.
    pub(super) first: Position,
    /// The last position that the tail has read.
    pub(super) tail: Position,
    /// The first position that the tail has counted for this subscription and that may not be taken.
    pub(super) waiting: Position,
    /// The last.
    pub(super) matched: Position,
}

/// What a subscription does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Read a page of the log.
    Log { from: Position, limit: usize },
    /// Read a page of its stream.
    Stream { from: StreamVersion, limit: usize },
    /// Let the tail count what comes after what it has seen.
    Join,
    /// Take from the ring.
    Take,
    /// Wait for an event.
    Wait,
}

impl Flow {
    pub(super) fn new(
        selector: Selector,
        scope: CursorScope,
        seen: Position,
        version: StreamVersion,
    ) -> Self {
        Self {
            selector,
            scope,
            seen,
            version,
            joined: false,
            caught_up_at: None,
            told_caught_up: false,
            page: PAGE_EVENTS_MIN,
        }
    }

    pub(super) fn selector(&self) -> &Selector {
        &self.selector
    }

    pub(super) fn seen(&self) -> Position {
        self.seen
    }

    /// Where it is, as the client is told.
    pub(super) fn cursor(&self) -> Cursor {
        let extra = u64::from(planted(Planted::CursorTooHigh));
        let version = match self.selector {
            Selector::Stream(_) => self.version.plus(extra),
            Selector::Pattern(_) => StreamVersion::ZERO,
        };
        Cursor { position: self.seen.plus(extra), version, scope: self.scope }
    }

    /// What to do next.
    pub(super) fn next(&mut self, view: View) -> Next {
        let in_ring = self.seen.next() >= view.first;
        if !self.joined {
            return if in_ring { Next::Join } else { self.history() };
        }
        if view.matched <= self.seen {
            // What the tail has read and not counted is not asked for.
            self.looked(view.tail);
            return Next::Wait;
        }
        // Nothing before what waits is asked for.
        self.looked(Position(view.waiting.0.saturating_sub(1)));
        if self.seen.next() >= view.first { Next::Take } else { self.history() }
    }

    fn history(&self) -> Next {
        match self.selector {
            Selector::Stream(_) => Next::Stream { from: self.version.next(), limit: self.page },
            Selector::Pattern(_) => Next::Log { from: self.seen.next(), limit: self.page },
        }
    }

    /// The tail, which is at `tail`, counts from here on.
    pub(super) fn joined(&mut self, tail: Position) {
        if planted(Planted::LiveJoinedLate) && self.seen < tail {
            self.seen = self.seen.next();
        }
        self.joined = true;
        self.caught_up_at.get_or_insert(tail);
    }

    /// Whether it is beyond where the tail was when it joined. True once.
    pub(super) fn catches_up(&mut self) -> bool {
        let reached = self.caught_up_at.is_some_and(|at| self.seen >= at);
        reached && !std::mem::replace(&mut self.told_caught_up, true)
    }

    /// Whether an event is given now: it is asked for, and was not given before.
    pub(super) fn takes(&mut self, event: &RecordedEvent) -> bool {
        if event.position <= self.seen || !self.selector.takes(event) {
            return false;
        }
        if let Selector::Stream(_) = self.selector {
            if event.version <= self.version {
                return false;
            }
            self.version = event.version;
        }
        self.seen = event.position;
        true
    }

    /// Nothing that is asked for lies between what was seen and here.
    pub(super) fn looked(&mut self, upto: Position) {
        self.seen = self.seen.max(upto);
    }

    /// A page of history had so many bytes: the next one has more or fewer events.
    pub(super) fn weighed(&mut self, bytes: usize) {
        self.page = match bytes {
            0..=PAGE_BYTES_SMALL => self.page * 2,
            SUBSCRIPTION_PAGE_BYTES_MAX.. => self.page / 2,
            _ => self.page,
        };
        self.page = self.page.clamp(PAGE_EVENTS_MIN, SUBSCRIPTION_PAGE_EVENTS_MAX);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use uuid::Uuid;
    use weir_types::{
        ClusterId, ContentType, EntityId, EntityType, EventId, EventName, EventSource, GroupId, Pattern,
        Timestamp,
    };

    use super::*;
    use crate::live::event::SharedEvent;

    pub(in crate::live) fn event(position: u64, stream: &str, version: u64) -> Arc<SharedEvent> {
        Arc::new(SharedEvent::new(RecordedEvent {
            id: EventId(Uuid::from_u128(u128::from(position))),
            entity_id: EntityId::new(stream).unwrap(),
            entity_type: EntityType::new("order").unwrap(),
            name: EventName::new("order.placed").unwrap(),
            version: StreamVersion(version),
            position: Position(position),
            schema_version: 1,
            content_type: ContentType::Json,
            data: Bytes::from_static(b"{}"),
            metadata: Bytes::new(),
            recorded_at: Timestamp(1),
            occurred_at: None,
            source: EventSource::Api,
            tags: Vec::new(),
        }))
    }

    fn flow(selector: Selector, seen: u64, version: u64) -> Flow {
        let scope = CursorScope::of(ClusterId(Uuid::from_u128(1)), GroupId::DEFAULT, &selector);
        Flow::new(selector, scope, Position(seen), StreamVersion(version))
    }

    fn everything(seen: u64) -> Flow {
        flow(Selector::Pattern(Pattern::everything()), seen, 0)
    }

    fn view(first: u64, tail: u64, matched: u64) -> View {
        View {
            first: Position(first),
            tail: Position(tail),
            waiting: Position::ZERO,
            matched: Position(matched),
        }
    }

    #[test]
    fn history_is_read_up_to_the_ring_and_joined_at_the_exact_position() {
        let mut flow = everything(0);
        // The ring holds 5 to 9.
        assert_eq!(flow.next(view(5, 9, 0)), Next::Log { from: Position(1), limit: PAGE_EVENTS_MIN });
        for position in 1..=4 {
            assert!(flow.takes(event(position, "a", position).event()));
        }
        assert_eq!(flow.next(view(5, 9, 0)), Next::Join);
        flow.joined(Position(9));
        assert_eq!(flow.next(view(5, 9, 9)), Next::Take);
        assert!(!flow.takes(event(4, "a", 4).event()), "given before");
        for position in 5..=9 {
            assert!(!flow.catches_up());
            assert!(flow.takes(event(position, "a", position).event()));
        }
        assert!(flow.catches_up() && !flow.catches_up());
        assert_eq!(flow.next(view(5, 9, 9)), Next::Wait);
    }

    #[test]
    fn a_subscriber_that_falls_behind_the_ring_reads_history_again() {
        let mut flow = everything(9);
        assert_eq!(flow.next(view(5, 9, 0)), Next::Join);
        flow.joined(Position(9));
        assert_eq!(flow.next(view(50, 90, 90)), Next::Log { from: Position(10), limit: PAGE_EVENTS_MIN });
        flow.looked(Position(49));
        assert_eq!(flow.next(view(50, 90, 90)), Next::Take);
    }

    #[test]
    fn what_lies_before_the_first_that_waits_is_passed_over() {
        let mut flow = everything(9);
        flow.joined(Position(9));
        let waits = View { waiting: Position(700), ..view(600, 1_000, 900) };
        assert_eq!((flow.next(waits), flow.seen()), (Next::Take, Position(699)));
    }

    #[test]
    fn what_was_not_counted_is_passed_over_without_a_read() {
        let mut flow = everything(9);
        flow.joined(Position(9));
        assert_eq!(flow.next(view(900, 1_000, 7)), Next::Wait);
        assert_eq!(flow.cursor().position, Position(1_000));
    }

    #[test]
    fn a_cursor_ahead_of_the_node_waits_for_it_and_repeats_nothing() {
        let mut flow = everything(20);
        assert_eq!(flow.next(view(5, 9, 0)), Next::Join);
        flow.joined(Position(9));
        assert_eq!(flow.next(view(5, 9, 0)), Next::Wait);
        assert_eq!(flow.cursor().position, Position(20));
        assert!(!flow.takes(event(20, "a", 20).event()));
        assert!(flow.takes(event(21, "a", 21).event()));
    }

    #[test]
    fn a_stream_is_read_by_version_and_its_older_events_in_the_ring_are_passed_over() {
        let mut flow = flow(Selector::Stream(EntityId::new("a").unwrap()), 0, 3);
        assert_eq!(flow.next(view(5, 9, 0)), Next::Stream { from: StreamVersion(4), limit: PAGE_EVENTS_MIN });
        assert_eq!(flow.next(view(1, 9, 0)), Next::Join);
        flow.joined(Position(9));
        assert!(!flow.takes(event(7, "a", 3).event()), "after version 3 was asked for");
        assert!(!flow.takes(event(8, "b", 9).event()));
        assert!(flow.takes(event(9, "a", 4).event()));
        assert_eq!(flow.cursor().version, StreamVersion(4));
    }

    #[test]
    fn pages_grow_while_events_are_small() {
        let mut flow = everything(0);
        let mut sizes = Vec::new();
        for bytes in [0, 0, 0, 0, 0, 200_000, 600_000, 9_000_000, 9_000_000, 9_000_000, 9_000_000] {
            flow.weighed(bytes);
            sizes.push(flow.page);
        }
        assert_eq!(sizes, [64, 128, 256, 512, 512, 512, 256, 128, 64, 32, 32]);
    }
}
