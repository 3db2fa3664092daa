//! A bus that goes wrong on demand, in ways that a real one rarely shows.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures::StreamExt as _;
use weir_types::{
    EventId, GroupId, Position, ProjectionId, RecordedEvent,
    ports::{BusError, EventReader as _, Feed, Subscription},
    testing::MemoryLog,
};

/// What the bus does next.
#[derive(Clone)]
pub enum Say {
    /// It gives these positions, when the log has them.
    Give(RangeInclusive<u64>),
    /// It gives other events at these positions.
    Lie(RangeInclusive<u64>),
    /// It fails; the next subscription goes on with the script.
    Fail,
    /// It does not even answer a subscription.
    Hang,
}

/// A bus that follows a script, then is silent.
pub struct ScriptedFeed {
    log: MemoryLog,
    script: Arc<Mutex<VecDeque<Say>>>,
    said: Arc<AtomicUsize>,
}

impl ScriptedFeed {
    pub fn new(log: MemoryLog, script: Vec<Say>) -> Self {
        Self { log, script: Arc::new(Mutex::new(script.into())), said: Arc::default() }
    }

    /// How much of the script is done.
    pub fn said(&self) -> usize {
        self.said.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Feed for ScriptedFeed {
    async fn subscribe(
        &self,
        _group: GroupId,
        _projection: &ProjectionId,
        _checkpoint: Position,
    ) -> Result<Box<dyn Subscription>, BusError> {
        let hangs = matches!(self.script.lock().unwrap().front(), Some(Say::Hang));
        if hangs {
            std::future::pending::<()>().await;
        }
        let (log, script, said) = (self.log.clone(), self.script.clone(), self.said.clone());
        Ok(Box::new(ScriptedSubscription { log, script, said }))
    }

    async fn unsubscribe(&self, _group: GroupId, _projection: &ProjectionId) -> Result<(), BusError> {
        Ok(())
    }
}

struct ScriptedSubscription {
    log: MemoryLog,
    script: Arc<Mutex<VecDeque<Say>>>,
    said: Arc<AtomicUsize>,
}

impl ScriptedSubscription {
    async fn events(&self, range: RangeInclusive<u64>) -> Vec<RecordedEvent> {
        let mut applied = self.log.applied_changes(GroupId::DEFAULT);
        while self.log.applied(GroupId::DEFAULT).0 < *range.end() {
            applied.next().await;
        }
        let events = self.log.events().into_iter();
        events.filter(|event| range.contains(&event.position.0)).collect()
    }
}

#[async_trait]
impl Subscription for ScriptedSubscription {
    async fn next(&mut self) -> Result<Vec<RecordedEvent>, BusError> {
        let say = self.script.lock().unwrap().front().cloned();
        let answer = match say {
            Some(Say::Give(range)) => Ok(self.events(range).await),
            Some(Say::Lie(range)) => {
                let mut events = self.events(range).await;
                events.iter_mut().for_each(|event| event.id = EventId(uuid::Uuid::nil()));
                Ok(events)
            }
            Some(Say::Fail) => Err(BusError::Unavailable { reason: "script".into() }),
            Some(Say::Hang) | None => std::future::pending().await,
        };
        self.script.lock().unwrap().pop_front();
        self.said.fetch_add(1, Ordering::SeqCst);
        answer
    }

    async fn done(&mut self, _position: Position) -> Result<(), BusError> {
        Ok(())
    }
}
