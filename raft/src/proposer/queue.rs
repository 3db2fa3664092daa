//! What waits to be proposed, in call order.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use tokio::sync::{Notify, oneshot};
use weir_types::{AppendError, AppendOutcome, DecidedAppend, RegistryCommand, RegistryOutcome, Term, limits};

use super::stopping;

pub(super) type Answer<T> = oneshot::Sender<Result<T, AppendError>>;

/// One thing that waits.
pub(super) enum Item {
    /// An append.
    Append { term: Term, append: DecidedAppend, answer: Answer<AppendOutcome> },
    /// Somebody who wants to know when all before is settled.
    Barrier { term: Term, answer: Answer<()> },
    /// A registry command.
    Registry { term: Term, command: RegistryCommand, answer: Answer<RegistryOutcome> },
}

/// What the batcher does next.
pub(super) enum Work {
    /// Appends of one term, for one entry.
    Appends { term: Term, appends: Vec<DecidedAppend>, answers: Vec<Answer<AppendOutcome>> },
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
    closed: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nothing panics while it holds this lock")
    }

    /// Adds an item at the end.
    ///
    /// # Errors
    /// `Overloaded` when the queue is full, `Unavailable` when it is closed.
    pub(super) fn push(&self, item: Item) -> Result<(), AppendError> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(stopping());
        }
        if waiting.items.len() >= limits::IN_FLIGHT_APPENDS_MAX {
            return Err(AppendError::Overloaded);
        }
        waiting.items.push_back(item);
        drop(waiting);
        self.wake.notify_one();
        Ok(())
    }

    /// The next work, waiting for it; `None` when the queue is closed.
    pub(super) async fn next(&self) -> Option<Work> {
        loop {
            {
                let mut waiting = self.waiting();
                if waiting.closed {
                    return None;
                }
                if let Some(work) = waiting.take() {
                    return Some(work);
                }
            }
            self.wake.notified().await;
        }
    }

    /// Refuses what waits and what still comes.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let items = std::mem::take(&mut waiting.items);
        drop(waiting);
        self.wake.notify_one();
        for item in items {
            // An asker that has gone needs no answer.
            match item {
                Item::Append { answer, .. } => drop(answer.send(Err(stopping()))),
                Item::Barrier { answer, .. } => drop(answer.send(Err(stopping()))),
                Item::Registry { answer, .. } => drop(answer.send(Err(stopping()))),
            }
        }
    }
}

impl Waiting {
    fn take(&mut self) -> Option<Work> {
        match self.items.pop_front()? {
            Item::Barrier { term, answer } => Some(Work::Barrier { term, answer }),
            Item::Registry { term, command, answer } => Some(Work::Registry { term, command, answer }),
            Item::Append { term, append, answer } => Some(self.take_appends(term, append, answer)),
        }
    }

    /// As many appends of one term from the front as one entry may hold.
    fn take_appends(&mut self, of: Term, first: DecidedAppend, answer: Answer<AppendOutcome>) -> Work {
        let mut bytes = first.weight();
        let (mut appends, mut answers) = (vec![first], vec![answer]);
        while appends.len() < limits::ENTRY_APPENDS_MAX {
            match self.items.front() {
                Some(Item::Append { term, append, .. })
                    if *term == of && bytes + append.weight() <= limits::ENTRY_BYTES_MAX =>
                {
                    bytes += append.weight();
                }
                _ => break,
            }
            let Some(Item::Append { append, answer, .. }) = self.items.pop_front() else {
                unreachable!("the front was just seen to be an append");
            };
            appends.push(append);
            answers.push(answer);
        }
        Work::Appends { term: of, appends, answers }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_types::{
        ContentType, DecidedEvent, EntityId, EntityType, EventId, EventName, EventSource, StreamVersion,
        Timestamp,
    };

    use super::*;

    fn append(bytes: usize) -> DecidedAppend {
        DecidedAppend {
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
            }],
        }
    }

    fn push(queue: &Queue, term: u64, bytes: usize) -> Result<(), AppendError> {
        let answer = oneshot::channel().0;
        queue.push(Item::Append { term: Term(term), append: append(bytes), answer })
    }

    async fn taken(queue: &Queue) -> (u64, usize) {
        match queue.next().await {
            Some(Work::Appends { term, appends, answers }) => {
                assert_eq!(appends.len(), answers.len());
                (term.0, appends.len())
            }
            _ => panic!("appends were expected"),
        }
    }

    #[tokio::test]
    async fn all_that_waits_in_one_term_becomes_one_entry() {
        let queue = Queue::default();
        for term in [1, 1, 1, 2] {
            push(&queue, term, 10).unwrap();
        }
        assert_eq!(taken(&queue).await, (1, 3));
        assert_eq!(taken(&queue).await, (2, 1));
    }

    #[tokio::test]
    async fn an_entry_is_bounded_in_count_and_bytes_but_never_empty() {
        let queue = Queue::default();
        for _ in 0..limits::ENTRY_APPENDS_MAX + 1 {
            push(&queue, 1, 1).unwrap();
        }
        assert_eq!(taken(&queue).await, (1, limits::ENTRY_APPENDS_MAX));
        assert_eq!(taken(&queue).await, (1, 1));
        push(&queue, 1, limits::ENTRY_BYTES_MAX).unwrap();
        push(&queue, 1, 1).unwrap();
        assert_eq!(taken(&queue).await, (1, 1));
        assert_eq!(taken(&queue).await, (1, 1));
    }

    #[tokio::test]
    async fn a_barrier_splits_what_waits() {
        let queue = Queue::default();
        push(&queue, 1, 1).unwrap();
        queue.push(Item::Barrier { term: Term(1), answer: oneshot::channel().0 }).unwrap();
        push(&queue, 1, 1).unwrap();
        assert_eq!(taken(&queue).await, (1, 1));
        assert!(matches!(queue.next().await, Some(Work::Barrier { .. })));
        assert_eq!(taken(&queue).await, (1, 1));
    }

    #[tokio::test]
    async fn a_closed_queue_refuses_what_waits_and_what_comes() {
        let queue = Queue::default();
        let (answer, outcome) = oneshot::channel();
        queue.push(Item::Barrier { term: Term(1), answer }).unwrap();
        queue.close();
        assert!(matches!(outcome.await, Ok(Err(AppendError::Unavailable { .. }))));
        assert!(matches!(push(&queue, 1, 1), Err(AppendError::Unavailable { .. })));
        assert!(queue.next().await.is_none());
    }

    #[tokio::test]
    async fn a_full_queue_refuses() {
        let queue = Queue::default();
        for _ in 0..limits::IN_FLIGHT_APPENDS_MAX {
            push(&queue, 1, 0).unwrap();
        }
        assert_eq!(push(&queue, 1, 0), Err(AppendError::Overloaded));
    }
}
