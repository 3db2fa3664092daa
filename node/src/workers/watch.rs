//! Following the states of a projection that workers fold, on any node, as of what it has applied.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};
use weir_actors::projection::{Given, ViewFrame};
use weir_api::ApiError;
use weir_types::{LogIndex, PartitionKey, Partitions, Position, ProjectionId, ProjectionName};

use super::{
    Workers, keys, kind_conflict, not_found,
    stored::{Ledger, Mode, Registration},
};

/// Partitions that a look through all of them lists at once.
const PAGE: usize = 256;
/// How many times as long as it looked through all partitions a follower of them waits until it looks again, and at most.
const REST: u32 = 10;
const REST_MAX: Duration = Duration::from_secs(5);

/// Follows the states of a projection: first those that are there, then every new one. It holds no states: what is
/// taken slowly is read when it is taken, so that the newest wins. Within a generation the position of a partition's
/// state never falls.
pub(crate) struct SavedStates {
    workers: Arc<Workers>,
    id: ProjectionId,
    partitions: Partitions,
    heartbeat: Duration,
    /// How many events were saved when the newest round began; none before the first.
    saved: Option<u64>,
    given: Given,
    todo: Todo,
    /// Time that this round has taken.
    looked: Duration,
    rests_until: Instant,
    ended: bool,
}

enum Todo {
    /// These, and then those after the last of them, if there may be more.
    Look {
        keys: VecDeque<PartitionKey>,
        more: Option<After>,
    },
    Nothing,
}

/// After which partition the next are listed; after none, from the first on.
type After = Option<PartitionKey>;

impl Workers {
    /// Follows the states of a projection, all of which are given first: a position does not tell which a client has, for
    /// workers save the partitions in any order.
    ///
    /// # Errors
    /// `projection_not_found`, `projection_kind_conflict` where it is for its effects, or a read's error.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        name: &ProjectionName,
        partitions: Partitions,
        heartbeat: Duration,
    ) -> Result<SavedStates, ApiError> {
        let found = self.store.read::<Registration>(&keys::registration(name)).await?;
        let registration = found.ok_or_else(not_found)?.value;
        if registration.mode == Mode::External {
            return Err(kind_conflict("workers for its effects, and has no states"));
        }
        let generation = LogIndex(registration.generation);
        Ok(SavedStates {
            workers: self.clone(),
            id: ProjectionId { name: name.clone(), deployed: generation },
            partitions,
            heartbeat,
            saved: None,
            given: Given::default(),
            todo: Todo::Nothing,
            looked: Duration::ZERO,
            rests_until: Instant::now(),
            ended: false,
        })
    }
}

impl SavedStates {
    /// The generation that is followed.
    pub(crate) fn id(&self) -> &ProjectionId {
        &self.id
    }

    /// The next frame; `None` after the last. Waits for it. Dropping the future loses none.
    ///
    /// # Errors
    /// What a read of a bucket may meet, after which it is not to be used.
    pub(crate) async fn next(&mut self) -> Result<Option<ViewFrame>, ApiError> {
        let heartbeat = Instant::now() + self.heartbeat;
        while !self.ended {
            let began = Instant::now();
            if let Some(key) = self.next_key().await? {
                let frame = self.state_of(key).await?;
                self.looked += began.elapsed();
                match frame {
                    Some(frame) => return Ok(Some(frame)),
                    None if Instant::now() < heartbeat => continue,
                    None => return Ok(Some(ViewFrame::Heartbeat { checkpoint: self.given.seen() })),
                }
            }
            if let Some(frame) = self.end_round() {
                return Ok(Some(frame));
            }
            match timeout_at(heartbeat, self.begin_round()).await {
                Ok(Ok(None)) => {}
                Ok(begun) => return begun,
                Err(_) => return Ok(Some(ViewFrame::Heartbeat { checkpoint: self.given.seen() })),
            }
        }
        Ok(None)
    }

    /// The next partition to look at. It stays to do until its state is given.
    async fn next_key(&mut self) -> Result<Option<PartitionKey>, ApiError> {
        loop {
            match &self.todo {
                Todo::Nothing => return Ok(None),
                Todo::Look { keys, more } => match (keys.front(), more) {
                    (Some(key), _) => return Ok(Some(key.clone())),
                    (None, None) => return Ok(None),
                    (None, Some(after)) => {
                        let listed = self.workers.partitions(&self.id.name, after.as_ref(), PAGE).await?;
                        let last = listed.last().cloned().filter(|_| listed.len() == PAGE);
                        self.todo = Todo::Look { keys: listed.into(), more: last.map(Some) };
                    }
                },
            }
        }
    }

    /// The state of a partition, if it is not given yet.
    async fn state_of(&mut self, key: PartitionKey) -> Result<Option<ViewFrame>, ApiError> {
        let view = self.workers.state_in(self.id.deployed.0, &key).await?;
        if let Todo::Look { keys, .. } = &mut self.todo {
            keys.pop_front();
        }
        Ok(view.and_then(|view| self.given.give(key, view)))
    }

    /// What was to do is done.
    fn end_round(&mut self) -> Option<ViewFrame> {
        if matches!(self.todo, Todo::Nothing) {
            return None;
        }
        self.todo = Todo::Nothing;
        if matches!(self.partitions, Partitions::All) {
            self.rests_until = Instant::now() + (self.looked * REST).min(REST_MAX);
        }
        self.looked = Duration::ZERO;
        self.given.end_round()
    }

    /// Waits until something is saved, or the projection is another.
    async fn begin_round(&mut self) -> Result<Option<ViewFrame>, ApiError> {
        sleep_until(self.rests_until).await;
        let store = self.workers.store.clone();
        loop {
            let written = store.reader.feed().written();
            let Some(found) = store.read::<Registration>(&keys::registration(&self.id.name)).await? else {
                self.ended = true;
                return Ok(Some(ViewFrame::Removed));
            };
            let generation = found.value.generation;
            if generation != self.id.deployed.0 {
                return Ok(Some(self.follow(generation)));
            }
            let ledger = store.read::<Ledger>(&keys::ledger(generation)).await?;
            let Ledger { position, saved, .. } = ledger.map(|found| found.value).unwrap_or_default();
            self.given.aim(Position(position));
            if self.saved == Some(saved) {
                // What was passed since changed no state.
                self.given.end_round();
            } else {
                self.saved = Some(saved);
                self.todo = match &self.partitions {
                    Partitions::One(key) => Todo::Look { keys: VecDeque::from([key.clone()]), more: None },
                    Partitions::All => Todo::Look { keys: VecDeque::new(), more: Some(None) },
                };
                return Ok(None);
            }
            store.reader.feed().written_after(written).await;
        }
    }

    /// Another generation has taken the place of the one before; all of its states are new.
    fn follow(&mut self, generation: u64) -> ViewFrame {
        self.id.deployed = LogIndex(generation);
        self.saved = None;
        self.given.forget();
        ViewFrame::Redeployed { id: self.id.clone() }
    }
}
