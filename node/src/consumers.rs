//! Consumer groups on the node that leads: what is stored of them, and their desks.
//!
//! Everything of them lies in one key-value bucket, so it is replicated, judged
//! by apply and read as any other bucket is: the group, its ledger, a key for
//! each dead letter. A desk has the group to itself because it writes the
//! ledger by its revision: whoever opens a desk writes first, and with that the
//! desk of an earlier leader can write no more. Whether it still has it is
//! asked before events are handed out ([`Consumers::pull`]).

mod change;
mod keys;
mod shelf;
mod stored;

use std::{sync::Arc, time::Duration};

use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;
use weir_actors::{
    consumers::{Delivery, Desk, DeskEnded, DeskStart, DispatcherCounts, Ledger, Settle},
    filter::EventFilter,
    live::Hub,
};
use weir_api::{
    ApiError, ErrorCode,
    v1::{ConsumerGroupBody, DeadLetterPage, DeadLetterView},
};
use weir_types::{
    BucketConfig, ConsumerGroup, ConsumerGroupName, GroupId, KvCommand, KvError, KvFilter, KvGuard, KvKey,
    KvOutcome, KvRead, KvReadError, Position, RecordedEvent, Revision, Settlement, Term, limits,
};

use self::{shelf::Shelf, stored::StoredGroup};
use crate::{
    deciding::{DeskParts, deciding, deciding_on_all},
    slots::{Held, Slots},
};

pub(crate) use self::keys::is_reserved;

/// The consumer groups of a node's group, as long as the node leads.
pub struct Consumers {
    parts: DeskParts,
    hub: Hub,
    desks: Slots<ConsumerGroupName, Arc<Open>>,
    /// One group is made after another, or there would be too many.
    making: Mutex<()>,
    tasks: TaskTracker,
}

/// A desk that is open.
struct Open {
    desk: Desk,
    term: Term,
    shelf: Arc<Shelf>,
}

/// Events that were handed out, and by which desk.
pub struct Pulled {
    /// The events.
    pub given: Vec<Delivery>,
    /// The desk's number, by which a verdict names it.
    pub desk: u64,
}

/// Events that nobody has heard of yet. Dropped, they were never handed out.
struct Unheard<'a> {
    desk: &'a Desk,
    given: Vec<Delivery>,
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if !self.given.is_empty() {
            self.desk.take_back(std::mem::take(&mut self.given));
        }
    }
}

impl Consumers {
    pub(crate) fn new(parts: DeskParts, hub: Hub) -> Arc<Self> {
        let (desks, making) = (Slots::default(), Mutex::default());
        Arc::new(Self { parts, hub, desks, making, tasks: TaskTracker::new() })
    }

    /// Returns when no desk holds anything any more. They end when what was given as `stop` is cancelled.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.desks.clear().await;
        self.tasks.wait().await;
    }

    /// Makes a group.
    ///
    /// # Errors
    /// `consumer_group_exists`, `consumer_groups_full`, `invalid_filter`, and what a change of a bucket may meet.
    pub async fn create(&self, body: &ConsumerGroupBody) -> Result<ConsumerGroup, ApiError> {
        let _making = self.making.lock().await;
        self.lead_and_ready().await?;
        self.finish_deletions().await?;
        let group = body.to_group(self.parts.ports.reader.applied(GroupId::DEFAULT))?;
        check_filter(&group).await?;
        let config =
            BucketConfig { description: keys::DESCRIPTION.into(), ..BucketConfig::new(keys::bucket()) };
        match self.decide(KvCommand::CreateBucket(config)).await? {
            KvOutcome::BucketCreated(_) | KvOutcome::Refused(KvError::BucketExists) => {}
            other => return Err(odd(other)),
        }
        let mut held = self.desks.hold(&group.name).await;
        if self.read_group(&keys::group(&group.name)).await?.is_some() {
            return Err(exists());
        }
        let there = self.list(keys::all_groups(), None, limits::CONSUMER_GROUPS_MAX).await?;
        if there.len() >= limits::CONSUMER_GROUPS_MAX {
            let (max, code) = (limits::CONSUMER_GROUPS_MAX, ErrorCode::ConsumerGroupsFull);
            let message = format!("group has {max} consumer groups, which is the limit");
            return Err(ApiError::new(code, message).with("max", max));
        }
        let value = stored::to_text(&group, None).map_err(|error| internal(&error))?;
        match self.put(keys::group(&group.name), value.into(), KvGuard::Absent).await? {
            KvOutcome::Put { .. } => {
                // A desk of this name is of a group that is gone.
                held.set(None);
                Ok(group)
            }
            KvOutcome::Refused(KvError::RevisionConflict { .. }) => Err(exists()),
            other => Err(odd(other)),
        }
    }

    /// All groups, in order of their names.
    ///
    /// # Errors
    /// What a read of a bucket may meet.
    pub async fn groups(&self) -> Result<Vec<ConsumerGroup>, ApiError> {
        self.lead_and_ready().await?;
        let mut groups = Vec::new();
        for key in self.list(keys::all_groups(), None, limits::CONSUMER_GROUPS_MAX).await? {
            // One that is gone since is not there.
            groups.extend(self.read_group(&key).await?.map(|stored| stored.group));
        }
        Ok(groups)
    }

    /// A group and how far it is.
    ///
    /// # Errors
    /// `consumer_group_not_found`.
    pub async fn show(
        &self,
        name: &ConsumerGroupName,
    ) -> Result<(ConsumerGroup, DispatcherCounts), ApiError> {
        let open = self.open(name).await?;
        let counts = open.desk.counts().await.map_err(|ended| unavailable(&ended))?;
        Ok((self.group(name).await?.group, counts))
    }

    /// Removes a group with its dead letters.
    ///
    /// # Errors
    /// `consumer_group_not_found`.
    pub async fn delete(&self, name: &ConsumerGroupName) -> Result<(), ApiError> {
        let mut held = self.desks.hold(name).await;
        self.lead_and_ready().await?;
        let StoredGroup { id, revision, .. } = self.group(name).await?;
        // First, because who asked may not wait for the answer, and the group is gone all the same.
        held.set(None);
        // What is left of a deletion that is cut is found by this.
        match self.put(keys::gone(name, id), "gone".into(), KvGuard::Any).await? {
            KvOutcome::Put { .. } => {}
            other => return Err(odd(other)),
        }
        let gone = self.purge(keys::group(name), KvGuard::Revision(revision)).await?;
        if !gone {
            return Err(not_found());
        }
        self.clear(name, id).await
    }

    /// Removes what a group that is gone has left. Without its ledger no desk can write any more.
    async fn clear(&self, name: &ConsumerGroupName, id: Revision) -> Result<(), ApiError> {
        self.purge(keys::ledger(name, id), KvGuard::Any).await?;
        loop {
            let left = self.list(keys::all_dead(name, id), None, limits::KV_LIST_MAX).await?;
            if left.is_empty() {
                break;
            }
            for key in left {
                self.purge(key, KvGuard::Any).await?;
            }
        }
        self.purge(keys::gone(name, id), KvGuard::Any).await.map(|_| ())
    }

    /// Ends deletions that were cut after their group was gone.
    async fn finish_deletions(&self) -> Result<(), ApiError> {
        for key in self.list(keys::all_gone(), None, limits::KV_LIST_MAX).await? {
            let Some((name, id)) = keys::gone_group(&key) else { continue };
            let _held = self.desks.hold(&name).await;
            let there = self.read_group(&keys::group(&name)).await?;
            match there.is_some_and(|there| there.id == id) {
                // It was cut before: nobody was told that the group is gone, and it is not.
                true => drop(self.purge(key, KvGuard::Any).await?),
                false => self.clear(&name, id).await?,
            }
        }
        Ok(())
    }

    /// Events in the name of the group. They are handed out only if no other leader can have handed them out
    /// and settled them before this was asked.
    ///
    /// # Errors
    /// `consumer_group_not_found`, or why this node cannot say now.
    pub async fn pull(
        &self,
        name: &ConsumerGroupName,
        most: usize,
        wait: Duration,
    ) -> Result<Pulled, ApiError> {
        let open = self.open(name).await?;
        let given = open.desk.pull(most, wait).await.map_err(|ended| unavailable(&ended))?;
        // Whoever asked may go while this is found out.
        let mut unheard = Unheard { desk: &open.desk, given };
        if !unheard.given.is_empty() && !self.has_it(&open).await? {
            self.desks.hold(name).await.set(None);
            return Err(ApiError::new(ErrorCode::Unavailable, "another leader serves the consumer group"));
        }
        let given = std::mem::take(&mut unheard.given);
        Ok(Pulled { given, desk: open.desk.number() })
    }

    /// Takes verdicts; answered when what comes of them is on a quorum.
    ///
    /// # Errors
    /// `consumer_group_not_found`, or why this node cannot say now: the verdicts may have been taken.
    pub async fn settle(
        &self,
        name: &ConsumerGroupName,
        verdicts: Vec<Settle>,
    ) -> Result<Vec<Settlement>, ApiError> {
        let open = self.open(name).await?;
        open.desk.settle(verdicts).await.map_err(|ended| unavailable(&ended))
    }

    /// Dead letters after a position.
    ///
    /// # Errors
    /// `consumer_group_not_found`.
    pub async fn dead_letters(
        &self,
        name: &ConsumerGroupName,
        after: Position,
        limit: usize,
    ) -> Result<DeadLetterPage, ApiError> {
        self.lead_and_ready().await?;
        let id = self.group(name).await?.id;
        let after = keys::dead(name, id, after);
        let page = self.list(keys::all_dead(name, id), Some(after), limit).await?;
        let full = page.len() == limit;
        let mut dead_letters = Vec::with_capacity(page.len());
        for key in page {
            if let Some((_, letter)) = self.read::<DeadLetterView>(&key).await? {
                dead_letters.push(letter);
            }
        }
        let next = dead_letters.last().map(|letter| letter.position).filter(|_| full);
        Ok(DeadLetterPage { dead_letters, next })
    }

    /// Hands out dead letters again, those named or as many as may be. How many.
    ///
    /// # Errors
    /// `consumer_group_not_found`, or why this node cannot say now.
    pub async fn replay(
        &self,
        name: &ConsumerGroupName,
        positions: Option<Vec<u64>>,
    ) -> Result<u64, ApiError> {
        let open = self.open(name).await?;
        let id = self.group(name).await?.id;
        let keys = match positions {
            Some(positions) if positions.len() > limits::CONSUMER_REPLAYS_MAX => {
                let max = limits::CONSUMER_REPLAYS_MAX;
                let message = format!("{} positions are over the limit of {max}", positions.len());
                return Err(ApiError::new(ErrorCode::TooLarge, message).with("max", max));
            }
            Some(positions) => {
                positions.into_iter().map(|position| keys::dead(name, id, Position(position))).collect()
            }
            None => self.list(keys::all_dead(name, id), None, limits::CONSUMER_REPLAYS_MAX).await?,
        };
        let (mut events, mut bytes) = (Vec::new(), 0);
        for key in keys {
            // The desk holds no more at once.
            if bytes >= limits::CONSUMER_WINDOW_BYTES_MAX {
                break;
            }
            let Some((_, letter)) = self.read::<DeadLetterView>(&key).await? else { continue };
            if let Some(event) = self.event(Position(letter.position)).await? {
                bytes += event.data.len() + event.metadata.len();
                events.push(event);
            }
        }
        open.desk.replay(events).await.map_err(|ended| unavailable(&ended))
    }

    /// The desk of a group, opened if it is not. Only a leader has any.
    async fn open(&self, name: &ConsumerGroupName) -> Result<Arc<Open>, ApiError> {
        let seen = deciding(&*self.parts.ports.leadership, self.parts.node).await?;
        self.open_held(&mut self.desks.hold(name).await, name, seen.term).await
    }

    async fn open_held(
        &self,
        held: &mut Held<'_, ConsumerGroupName, Arc<Open>>,
        name: &ConsumerGroupName,
        term: Term,
    ) -> Result<Arc<Open>, ApiError> {
        if let Some(open) = held.get().filter(|open| open.term == term && !open.desk.is_over()) {
            return Ok(open.clone());
        }
        held.set(None);
        let open = Arc::new(self.open_anew(name, term).await?);
        held.set(Some(open.clone()));
        Ok(open)
    }

    async fn open_anew(&self, name: &ConsumerGroupName, term: Term) -> Result<Open, ApiError> {
        self.lead_and_ready().await?;
        let StoredGroup { group: ConsumerGroup { after, .. }, id, .. } = self.group(name).await?;
        let key = keys::ledger(name, id);
        let stored = self.read_text(&key).await?;
        let (revision, ledger) = match &stored {
            Some((revision, text)) => (*revision, shelf::ledger_of(text).map_err(|error| internal(&error))?),
            None => (Revision::ZERO, Ledger { checkpoint: after, ..Ledger::default() }),
        };
        // No two claims can succeed over the same revision, so this is nobody else's.
        let owner = format!("{}-{}-{}", self.parts.node.0, term.0, revision.0);
        let shelf =
            Arc::new(Shelf::new(self.parts.buckets.clone(), (name.clone(), id), (owner, term), revision));
        let number = shelf.claim(&ledger).await.map_err(|ended| unavailable(&ended))?;
        // Again: a change whose outcome nobody knew may have come in before the claim, and none can after it.
        let group = self.group(name).await?.group;
        self.remove_ghosts((name, id), &ledger).await?;
        let mut replayed = Vec::new();
        for position in &ledger.replayed {
            replayed.extend(self.event(*position).await?);
        }
        let start = DeskStart {
            number: number.0,
            group,
            ledger,
            replayed,
            store: shelf.clone(),
            hub: self.hub.clone(),
            clock: self.parts.ports.clock.clone(),
            stop: self.parts.stop.clone(),
        };
        let (desk, served) = Desk::open(start);
        self.tasks.spawn(served);
        Ok(Open { desk, term, shelf })
    }

    /// Removes dead letters that are none by a ledger: a leader that fell between the two wrote them, and their events
    /// are handed out again.
    async fn remove_ghosts(
        &self,
        (name, id): (&ConsumerGroupName, Revision),
        ledger: &Ledger,
    ) -> Result<(), ApiError> {
        let replayed = ledger.replayed.iter().map(|position| keys::dead(name, id, *position));
        let mut suspects: Vec<KvKey> = replayed.collect();
        let mut after = keys::dead(name, id, ledger.checkpoint);
        loop {
            let page = self.list(keys::all_dead(name, id), Some(after), limits::KV_LIST_MAX).await?;
            let Some(last) = page.last().cloned() else { break };
            after = last;
            suspects.extend(page);
        }
        for key in suspects {
            if keys::dead_position(&key).is_some_and(|position| !ledger.is_dead(position)) {
                self.purge(key, KvGuard::Any).await?;
            }
        }
        Ok(())
    }

    /// Whether a desk still has its group to itself, as of now.
    async fn has_it(&self, open: &Open) -> Result<bool, ApiError> {
        self.lead_and_ready().await?;
        let stored = self.read_text(open.shelf.key()).await?;
        Ok(stored.is_some_and(|(_, text)| open.shelf.is_owner(&text)))
    }

    async fn lead_and_ready(&self) -> Result<(), ApiError> {
        deciding_on_all(&self.parts.ports, self.parts.node).await?;
        Ok(())
    }

    async fn put(&self, key: KvKey, value: bytes::Bytes, guard: KvGuard) -> Result<KvOutcome, ApiError> {
        self.decide(KvCommand::Put { bucket: keys::bucket(), key, value, guard, ttl: None }).await
    }

    async fn decide(&self, command: KvCommand) -> Result<KvOutcome, ApiError> {
        Ok(self.parts.buckets.decide(command).await?)
    }

    /// Whether there was something.
    async fn purge(&self, key: KvKey, guard: KvGuard) -> Result<bool, ApiError> {
        let purge = KvCommand::Delete { bucket: keys::bucket(), key, guard, purge: true };
        match self.decide(purge).await? {
            KvOutcome::Deleted { .. } => Ok(true),
            KvOutcome::Refused(KvError::KeyNotFound | KvError::RevisionConflict { .. }) => Ok(false),
            other => Err(odd(other)),
        }
    }

    async fn group(&self, name: &ConsumerGroupName) -> Result<StoredGroup, ApiError> {
        self.read_group(&keys::group(name)).await?.ok_or_else(not_found)
    }

    async fn read_group(&self, key: &KvKey) -> Result<Option<StoredGroup>, ApiError> {
        let Some((revision, text)) = self.read_text(key).await? else { return Ok(None) };
        stored::from_text(&text, revision).map(Some)
    }

    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        key: &KvKey,
    ) -> Result<Option<(Revision, T)>, ApiError> {
        let Some((revision, text)) = self.read_text(key).await? else { return Ok(None) };
        Ok(Some((revision, serde_json::from_str(&text).map_err(|error| internal(&error))?)))
    }

    async fn read_text(&self, key: &KvKey) -> Result<Option<(Revision, String)>, ApiError> {
        match self.parts.reader.get(&keys::bucket(), key, KvRead::Latest).await {
            Ok(entry) => {
                let text = String::from_utf8(entry.value.to_vec()).map_err(|error| internal(&error))?;
                Ok(Some((entry.revision, text)))
            }
            Err(KvReadError::Refused(KvError::KeyNotFound | KvError::BucketNotFound)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keys in byte order, at most `limit`.
    async fn list(
        &self,
        filter: KvFilter,
        after: Option<KvKey>,
        limit: usize,
    ) -> Result<Vec<KvKey>, ApiError> {
        match self.parts.reader.keys(&keys::bucket(), filter, after, limit).await {
            Ok(page) => Ok(page.keys),
            Err(KvReadError::Refused(KvError::BucketNotFound)) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    async fn event(&self, position: Position) -> Result<Option<RecordedEvent>, ApiError> {
        let read = self.parts.ports.reader.read_log(GroupId::DEFAULT, position, 1).await?;
        Ok(self.hub.upcasting().first_part(read).await?.pop())
    }
}

/// What is stored of a group is never a filter that is none.
async fn check_filter(group: &ConsumerGroup) -> Result<(), ApiError> {
    if let Some(filter) = &group.filter {
        EventFilter::new(filter.clone()).await?;
    }
    Ok(())
}

fn exists() -> ApiError {
    ApiError::new(ErrorCode::ConsumerGroupExists, "consumer group exists")
}

fn not_found() -> ApiError {
    ApiError::new(ErrorCode::ConsumerGroupNotFound, "consumer group not found")
}

fn unavailable(ended: &DeskEnded) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, ended.to_string())
}

fn internal(error: &dyn std::error::Error) -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        format!("what is stored of the consumer group is not readable: {error}"),
    )
}

/// An outcome that nothing here leads to.
fn odd(outcome: KvOutcome) -> ApiError {
    match outcome {
        KvOutcome::Refused(error) => error.into(),
        other => ApiError::new(ErrorCode::Internal, format!("change was answered with {other:?}")),
    }
}
