//! What waits to be proposed, in call order.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout_at},
};
use weir_types::{
    AppendError, DecidedWrite, RegistryCommand, RegistryOutcome, Term, limits, ports::OnOutcome,
};

use super::{
    cohort::{Cohort, Departure, Queued},
    stopping,
};

pub(super) type Answer<T> = oneshot::Sender<Result<T, AppendError>>;

/// One thing that waits.
pub(super) enum Item {
    /// A write.
    Write { term: Term, write: DecidedWrite, done: OnOutcome },
    /// Somebody who wants to know when all before is settled.
    Barrier { term: Term, answer: Answer<()> },
    /// A registry command.
    Registry { term: Term, command: RegistryCommand, answer: Answer<RegistryOutcome> },
}

/// What the batcher does next.
pub(super) enum Work {
    /// Writes of one term, for one entry.
    Writes { term: Term, writes: Vec<DecidedWrite>, answers: Vec<OnOutcome> },
    /// As in the queue.
    Barrier { term: Term, answer: Answer<()> },
    /// As in the queue.
    Registry { term: Term, command: RegistryCommand, answer: Answer<RegistryOutcome> },
}

/// The queue. Admission bounds it from outside; its own limit is the last resort.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// The weight of the writes among them.
    bytes: usize,
    cohort: Cohort,
    closed: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nothing panics while it holds this lock")
    }

    /// Adds an item at the end, or refuses it: `Overloaded` when the queue is
    /// full, `Unavailable` when it is closed.
    pub(super) fn push(&self, item: Item) {
        let mut waiting = self.waiting();
        let refusal = match waiting.closed {
            true => stopping(),
            false if waiting.items.len() >= limits::IN_FLIGHT_APPENDS_MAX => AppendError::Overloaded,
            false => {
                waiting.bytes += item.weight();
                waiting.items.push_back(item);
                // The batcher sets its timer at the first, and need not see the others before they may leave.
                let news = waiting.items.len() == 1 || waiting.departure() == Departure::Now;
                drop(waiting);
                if news {
                    self.wake.notify_one();
                }
                return;
            }
        };
        drop(waiting);
        item.refuse(refusal);
    }

    /// The next work, when it may leave; `None` when the queue is closed.
    pub(super) async fn next(&self) -> Option<Work> {
        loop {
            let departure = {
                let mut waiting = self.waiting();
                if waiting.closed {
                    return None;
                }
                match waiting.departure() {
                    Departure::Now => return waiting.take(),
                    later => later,
                }
            };
            match departure {
                // Whether it was woken or the time came, it looks again.
                Departure::At(time) => drop(timeout_at(time, self.wake.notified()).await),
                _ => self.wake.notified().await,
            }
        }
    }

    /// An entry of [`Queue::next`] is answered, or refused, to so many callers.
    pub(super) fn answered(&self, callers: usize) {
        let mut waiting = self.waiting();
        let already = waiting.items.len();
        waiting.cohort.answered(callers, already, Instant::now());
        drop(waiting);
        self.wake.notify_one();
    }

    /// Refuses what waits and what still comes.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let items = std::mem::take(&mut waiting.items);
        waiting.bytes = 0;
        drop(waiting);
        self.wake.notify_one();
        for item in items {
            item.refuse(stopping());
        }
    }
}

impl Item {
    fn weight(&self) -> usize {
        match self {
            Self::Write { write, .. } => write.weight(),
            Self::Barrier { .. } | Self::Registry { .. } => 0,
        }
    }

    fn refuse(self, error: AppendError) {
        // An asker that has gone needs no answer.
        match self {
            Self::Write { done, .. } => done(Err(error)),
            Self::Barrier { answer, .. } => drop(answer.send(Err(error))),
            Self::Registry { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

impl Waiting {
    fn departure(&self) -> Departure {
        match self.items.front() {
            None => Departure::Later,
            // It is no entry.
            Some(Item::Barrier { .. }) => Departure::Now,
            Some(_) => self.cohort.departure(self.queued(), Instant::now()),
        }
    }

    fn queued(&self) -> Queued {
        Queued { items: self.items.len(), bytes: self.bytes }
    }

    fn take(&mut self) -> Option<Work> {
        let queued = self.queued();
        let item = self.items.pop_front()?;
        if !matches!(item, Item::Barrier { .. }) {
            self.cohort.left(queued);
        }
        Some(match item {
            Item::Barrier { term, answer } => Work::Barrier { term, answer },
            Item::Registry { term, command, answer } => Work::Registry { term, command, answer },
            Item::Write { term, write, done } => self.take_writes(term, write, done),
        })
    }

    /// As many writes of one term from the front as one entry may hold.
    fn take_writes(&mut self, of: Term, first: DecidedWrite, done: OnOutcome) -> Work {
        let mut bytes = first.weight();
        let (mut writes, mut answers) = (vec![first], vec![done]);
        while writes.len() < limits::ENTRY_APPENDS_MAX {
            match self.items.front() {
                Some(Item::Write { term, write, .. })
                    if *term == of && bytes + write.weight() <= limits::ENTRY_BYTES_MAX =>
                {
                    bytes += write.weight();
                }
                _ => break,
            }
            let Some(Item::Write { write, done, .. }) = self.items.pop_front() else {
                unreachable!("the front was just seen to be a write");
            };
            writes.push(write);
            answers.push(done);
        }
        self.bytes -= bytes;
        Work::Writes { term: of, writes, answers }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use bytes::Bytes;
    use weir_types::{
        ContentType, DecidedAppend, DecidedEvent, EntityId, EntityType, EventId, EventName, EventSource,
        StreamVersion, Timestamp, WriteOutcome,
    };

    use super::*;

    fn append(bytes: usize) -> DecidedAppend {
        DecidedAppend {
            judged: None,
            entity_id: EntityId::new("e").unwrap(),
            entity_type: EntityType::new("t").unwrap(),
            base: StreamVersion::ZERO,
            idempotency: None,
            recorded_at: Timestamp(0),
            events: vec![DecidedEvent {
                id: EventId(uuid::Uuid::nil()),
                name: EventName::new("n").unwrap(),
                schema_version: 1,
                content_type: ContentType::Json,
                data: Bytes::from(vec![0; bytes]),
                metadata: Bytes::new(),
                occurred_at: None,
                source: EventSource::Api,
                tags: Vec::new(),
            }],
        }
    }

    /// Pushes an append, and gives what it was told at once.
    fn push(queue: &Queue, term: u64, bytes: usize) -> Option<Result<WriteOutcome, AppendError>> {
        let (tell, told) = mpsc::channel();
        let done = Box::new(move |outcome| tell.send(outcome).unwrap());
        queue.push(Item::Write { term: Term(term), write: DecidedWrite::Append(append(bytes)), done });
        told.try_recv().ok()
    }

    async fn taken(queue: &Queue) -> (u64, usize) {
        match queue.next().await {
            Some(Work::Writes { term, writes, answers }) => {
                assert_eq!(writes.len(), answers.len());
                queue.answered(0);
                (term.0, writes.len())
            }
            _ => panic!("writes were expected"),
        }
    }

    #[tokio::test]
    async fn all_that_waits_in_one_term_becomes_one_entry() {
        let queue = Queue::default();
        for term in [1, 1, 1, 2] {
            assert_eq!(push(&queue, term, 10), None);
        }
        assert_eq!(taken(&queue).await, (1, 3));
        assert_eq!(taken(&queue).await, (2, 1));
    }

    #[tokio::test]
    async fn an_entry_is_bounded_in_count_and_bytes_but_never_empty() {
        let queue = Queue::default();
        for _ in 0..limits::ENTRY_APPENDS_MAX + 1 {
            assert_eq!(push(&queue, 1, 1), None);
        }
        assert_eq!(taken(&queue).await, (1, limits::ENTRY_APPENDS_MAX));
        assert_eq!(taken(&queue).await, (1, 1));
        assert_eq!(push(&queue, 1, limits::ENTRY_BYTES_MAX), None);
        assert_eq!(push(&queue, 1, 1), None);
        assert_eq!(taken(&queue).await, (1, 1));
        assert_eq!(taken(&queue).await, (1, 1));
    }

    #[tokio::test]
    async fn a_barrier_splits_what_waits() {
        let queue = Queue::default();
        assert_eq!(push(&queue, 1, 1), None);
        queue.push(Item::Barrier { term: Term(1), answer: oneshot::channel().0 });
        assert_eq!(push(&queue, 1, 1), None);
        assert_eq!(taken(&queue).await, (1, 1));
        assert!(matches!(queue.next().await, Some(Work::Barrier { .. })));
        assert_eq!(taken(&queue).await, (1, 1));
    }

    #[tokio::test]
    async fn a_closed_queue_refuses_what_waits_and_what_comes() {
        let queue = Queue::default();
        let (answer, outcome) = oneshot::channel();
        queue.push(Item::Barrier { term: Term(1), answer });
        queue.close();
        assert!(matches!(outcome.await, Ok(Err(AppendError::Unavailable { .. }))));
        assert!(matches!(push(&queue, 1, 1), Some(Err(AppendError::Unavailable { .. }))));
        assert!(queue.next().await.is_none());
    }

    #[tokio::test]
    async fn a_full_queue_refuses() {
        let queue = Queue::default();
        for _ in 0..limits::IN_FLIGHT_APPENDS_MAX {
            assert_eq!(push(&queue, 1, 0), None);
        }
        assert_eq!(push(&queue, 1, 0), Some(Err(AppendError::Overloaded)));
    }
}
