//! From a stream and what is to be appended to a verdict.

use std::sync::Arc;

use weir_types::{
    AppendError, DecidedAppend, DecidedEvent, Direction, EventId, Planted, Position, RecordedEvent,
    RuleFault, RuleKind, StreamRead, StreamVersion, Term, Timestamp, limits, planted,
};

use super::{
    memory::Folded,
    thread::{Invariant, Walk, Walked},
};
use crate::{
    stream::actor::{StreamPorts, nothing_written, unread},
    upcast::Upcasts,
};

/// What is known of the stream that events are to be appended to.
pub(crate) struct Basis {
    /// The term in which it is decided; `None` when nobody decides.
    pub(crate) term: Option<Term>,
    /// The last version that is committed and applied here.
    pub(crate) durable: StreamVersion,
    /// The stream's state, if it is in memory.
    pub(crate) folded: Option<Folded>,
}

/// What an invariant says to an append.
pub(crate) struct Verdict {
    /// The id of the stream's last event, on which it was judged.
    pub(crate) on: Option<EventId>,
    /// What the stream was before it.
    pub(crate) before: Folded,
    /// What it is after it, where nothing stands against it.
    pub(crate) after: Folded,
    /// What stands against it.
    pub(crate) faults: Vec<RuleFault>,
}

/// Judges an append on its stream, at the version that it was decided at.
/// `None` when the stream did not stand there any more.
pub(crate) async fn judge(
    ports: &StreamPorts,
    invariant: &Invariant,
    upcasts: &Upcasts,
    basis: Basis,
    append: &DecidedAppend,
) -> Result<Option<Verdict>, AppendError> {
    let retroactive = invariant.retroactive().await?;
    let hot = |folded: &Folded| {
        folded.set == invariant.set && folded.version == append.base && !planted(Planted::JudgedOnOlderState)
    };
    let judging = Judging { ports, invariant, upcasts, append, retroactive };
    let before = match basis.folded.filter(hot) {
        Some(folded) => folded,
        None => match judging.fold_from_log(basis.term, basis.durable).await? {
            Some(folded) => folded,
            None => return Ok(None),
        },
    };
    let in_place = retroactive && append.events.iter().any(|event| judging.occurred(event) < before.newest);
    let judged = match in_place {
        false => judging.at_the_end(&before).await?,
        true => match judging.among_the_others().await? {
            Some(judged) => judged,
            None => return Ok(None),
        },
    };
    Ok(Some(judging.verdict(before, judged)))
}

struct Judging<'a> {
    ports: &'a StreamPorts,
    invariant: &'a Invariant,
    upcasts: &'a Upcasts,
    append: &'a DecidedAppend,
    retroactive: bool,
}

/// What a walk over the events of an append came to, and whose each judged event is.
struct Judged {
    walked: Walked,
    /// Of each event that was judged, the number of the new event that it is, or follows.
    numbers: Vec<u32>,
}

impl Judging<'_> {
    fn occurred(&self, event: &DecidedEvent) -> Timestamp {
        event.occurred_at.unwrap_or(self.append.recorded_at)
    }

    /// The new events as they will be read, save for their positions, which the code does not see.
    async fn recorded(&self) -> Result<Vec<RecordedEvent>, AppendError> {
        let append = self.append;
        let recorded = |(number, event): (u64, &DecidedEvent)| RecordedEvent {
            id: event.id,
            entity_id: append.entity_id.clone(),
            entity_type: append.entity_type.clone(),
            name: event.name.clone(),
            version: append.base.plus(number),
            position: Position::ZERO,
            schema_version: event.schema_version,
            content_type: event.content_type.clone(),
            data: event.data.clone(),
            metadata: event.metadata.clone(),
            recorded_at: append.recorded_at,
            occurred_at: event.occurred_at,
            source: event.source,
            tags: event.tags.clone(),
        };
        let mut rest: Vec<_> = (1..).zip(&append.events).map(recorded).collect();
        let mut events = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let upcast = self.upcast(rest.clone()).await?;
            rest.drain(..upcast.len());
            events.extend(upcast);
        }
        Ok(events)
    }

    /// A first part of events, of the newest schema version: at least one.
    async fn upcast(&self, events: Vec<RecordedEvent>) -> Result<Vec<RecordedEvent>, AppendError> {
        let upcast = self.upcasts.upcast(events).await;
        match upcast.fault {
            Some(fault) if upcast.events.is_empty() => Err(self.invariant.failed(&fault.error.to_string())),
            _ => Ok(upcast.events),
        }
    }

    /// The number of a new event among those of the append.
    fn number(&self, event: &RecordedEvent) -> u32 {
        u32::try_from(event.version.0 - self.append.base.0 - 1).expect("an append's events are few")
    }

    async fn at_the_end(&self, before: &Folded) -> Result<Judged, AppendError> {
        let mut events = self.recorded().await?;
        if self.retroactive {
            events.sort_by_key(place);
        }
        let numbers = events.iter().map(|event| self.number(event)).collect();
        let events = events.into_iter().map(|event| (event, true)).collect();
        let walked = self.invariant.walk(Walk { state: Arc::clone(&before.state), events }).await?;
        Ok(Judged { walked, numbers })
    }

    /// Judges the new events where they occurred, and all that occurred after the first of them.
    async fn among_the_others(&self) -> Result<Option<Judged>, AppendError> {
        let Some(mut events) = self.all_of_stream().await? else { return Ok(None) };
        events.extend(self.recorded().await?);
        events.sort_by_key(place);
        let is_new = |event: &RecordedEvent| event.version > self.append.base;
        let first = events.iter().position(is_new).expect("an append has events");
        let mut number = 0;
        let numbers = events[first..].iter().map(|event| {
            if is_new(event) {
                number = self.number(event);
            }
            number
        });
        let numbers = numbers.collect();
        let events = events.into_iter().enumerate().map(|(at, event)| (event, at >= first));
        let walked = self.invariant.walk(Walk { state: "".into(), events: events.collect() }).await?;
        Ok(Some(Judged { walked, numbers }))
    }

    fn verdict(&self, before: Folded, judged: Judged) -> Verdict {
        let Judged { walked, numbers } = judged;
        let event = walked.judged.checked_sub(1).and_then(|last| numbers.get(last)).copied().unwrap_or(0);
        let fault = |(path, message)| {
            let (entity_id, rule) = (self.append.entity_id.clone(), RuleKind::Invariant);
            RuleFault { entity_id, event, rule, path, message }
        };
        let newest = self.append.events.iter().map(|event| self.occurred(event)).max();
        let after = Folded {
            set: self.invariant.set,
            version: self.append.base.plus(self.append.events.len() as u64),
            last: self.append.events.last().map(|event| event.id),
            newest: newest.map_or(before.newest, |newest| newest.max(before.newest)),
            state: walked.state,
        };
        Verdict { on: before.last, faults: walked.faults.into_iter().map(fault).collect(), before, after }
    }

    /// Folds the stream up to the version of the append's base.
    async fn fold_from_log(
        &self,
        term: Option<Term>,
        durable: StreamVersion,
    ) -> Result<Option<Folded>, AppendError> {
        if planted(Planted::JudgedOnOlderState) {
            let older = StreamVersion(self.append.base.0.saturating_sub(1));
            return self.as_if_at(older.min(durable)).await.map(Some);
        }
        if let Some(term) = term.filter(|_| self.append.base > durable) {
            // What is in flight is not in the log yet.
            self.ports.proposer.barrier(term).await.map_err(nothing_written)?;
        }
        if self.append.base.0 as usize > limits::INVARIANT_EVENTS_MAX {
            let max = limits::INVARIANT_EVENTS_MAX;
            return Err(self.invariant.failed(&format!("stream has over {max} events")));
        }
        let mut folded = Folded {
            set: self.invariant.set,
            version: StreamVersion::ZERO,
            last: None,
            newest: Timestamp(i64::MIN),
            state: "".into(),
        };
        if self.retroactive {
            let Some(mut events) = self.all_of_stream().await? else { return Ok(None) };
            note(&mut folded, &events);
            events.sort_by_key(place);
            folded.state = self.fold(folded.state, &events).await?;
            return Ok(Some(folded));
        }
        while folded.version < self.append.base {
            let Some(page) = self.page(folded.version).await? else { return Ok(None) };
            note(&mut folded, &page);
            folded.state = self.fold(folded.state, &page).await?;
        }
        Ok(Some(folded))
    }

    /// What only a planted bug does: what came last is left out.
    async fn as_if_at(&self, older: StreamVersion) -> Result<Folded, AppendError> {
        let page = self.page(StreamVersion::ZERO).await?.unwrap_or_default();
        let known: Vec<_> = page.into_iter().filter(|event| event.version <= older).collect();
        let state = self.fold("".into(), &known).await?;
        let (set, version, newest) = (self.invariant.set, self.append.base, Timestamp(i64::MIN));
        Ok(Folded { set, version, last: None, newest, state })
    }

    async fn fold(&self, state: Arc<str>, events: &[RecordedEvent]) -> Result<Arc<str>, AppendError> {
        if events.is_empty() {
            return Ok(state);
        }
        let events = events.iter().map(|event| (event.clone(), false)).collect();
        Ok(self.invariant.walk(Walk { state, events }).await?.state)
    }

    /// All events up to the append's base, in order of versions.
    async fn all_of_stream(&self) -> Result<Option<Vec<RecordedEvent>>, AppendError> {
        let too_much = |what: &str, max: usize| {
            Err(self
                .invariant
                .failed(&format!("stream has over {max} {what} to be put in the order of occurrence")))
        };
        let (mut events, mut bytes) = (Vec::new(), 0);
        let base = usize::try_from(self.append.base.0).unwrap_or(usize::MAX);
        if base > limits::INVARIANT_SORTED_EVENTS_MAX {
            return too_much("events", limits::INVARIANT_SORTED_EVENTS_MAX);
        }
        while events.len() < base {
            let after = StreamVersion(events.len() as u64);
            let Some(page) = self.page(after).await? else { return Ok(None) };
            bytes += page.iter().map(|event| event.data.len() + event.metadata.len()).sum::<usize>();
            if bytes > limits::INVARIANT_SORTED_BYTES_MAX {
                return too_much("bytes", limits::INVARIANT_SORTED_BYTES_MAX);
            }
            events.extend(page);
        }
        Ok(Some(events))
    }

    /// Events after a version, up to the append's base: at least one, or `None` when they are not there.
    async fn page(&self, after: StreamVersion) -> Result<Option<Vec<RecordedEvent>>, AppendError> {
        let left = usize::try_from(self.append.base.0 - after.0).unwrap_or(usize::MAX);
        let read = StreamRead {
            group: self.ports.group,
            entity_id: self.append.entity_id.clone(),
            from: Some(after.next()),
            direction: Direction::Forward,
            limit: left.min(PAGE_EVENTS),
        };
        let page = self.ports.reader.read_stream(read).await.map_err(unread)?;
        let events = self.upcast(page.events).await?;
        Ok(Some(events).filter(|events| !events.is_empty()))
    }
}

/// Events of a stream that are folded at once.
const PAGE_EVENTS: usize = 1_000;

/// Where an event is in the order of occurrence.
fn place(event: &RecordedEvent) -> (Timestamp, StreamVersion) {
    (event.occurred_at.unwrap_or(event.recorded_at), event.version)
}

fn note(folded: &mut Folded, events: &[RecordedEvent]) {
    for event in events {
        folded.version = event.version;
        folded.last = Some(event.id);
        folded.newest = folded.newest.max(place(event).0);
    }
}
