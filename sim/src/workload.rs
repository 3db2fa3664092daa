//! What clients do: appends of every sort, repeats of what has an unknown fate,
//! reads of every freshness, searches, transactions, keys with revisions, claims, accounts under rules with their states, snapshots,
//! consumers and workers, and what is folded.

mod accounts;
mod consumer;
mod keys;
mod looks;
mod transactions;
pub mod worker;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::sleep;
use weir_check::{
    history::{Call, Expected, Outcome, ReadConsistency, ReadDirection, Seen},
    rng::Rng,
};

use self::accounts::{ACCOUNTS, is_account};
use crate::{client::Client, notes::Notes};

/// Streams that everybody races for.
const HOT: u64 = 3;
/// Streams that hardly anybody meets another in.
const COLD: u64 = 24;
/// Sends of one append, at most.
const SENDS_MAX: u64 = 4;

/// One client at work.
pub struct Worker {
    /// How it calls.
    pub client: Client,
    /// What it chooses by.
    pub rng: Rng,
    /// What its marks begin with.
    pub name: String,
    /// What it shares with all others.
    pub world: World,
    /// Between two calls, at most.
    pub pace: Duration,
    /// The versions that it believes in, by stream.
    pub heads: Vec<u64>,
    /// Marks so far.
    pub marks: u64,
    /// The last position that it was told of.
    pub position: u64,
    /// Appends with a key that it may send again.
    pub sent: Vec<Call>,
    /// The revisions that it believes in, by bucket.
    pub revisions: [u64; keys::BUCKETS],
    /// The newest versions that it knows snapshots of, by stream.
    pub kept: Vec<u64>,
}

/// What all workers of a run have in common.
pub struct World {
    /// The nodes that they know.
    pub nodes: u64,
    /// Set when they are to end.
    pub stop: Arc<AtomicBool>,
    /// Set when the code is handed in: an account without its invariant is nothing to judge.
    pub prepared: Arc<AtomicBool>,
    /// Where it goes what the history does not have.
    pub notes: Notes,
}

impl Worker {
    /// A worker that has done nothing so far.
    #[must_use]
    pub fn new(client: Client, rng: Rng, name: String, world: World) -> Self {
        let mut rng = rng;
        let pace = Duration::from_millis(rng.within(5..80));
        let heads = vec![0; usize::try_from(HOT + COLD + ACCOUNTS).unwrap_or(0)];
        let (sent, revisions, kept) = (Vec::new(), [0; keys::BUCKETS], heads.clone());
        Self { client, rng, name, world, pace, heads, marks: 0, position: 0, sent, revisions, kept }
    }

    /// Works until it is told to stop.
    pub async fn run(mut self) {
        while !self.world.stop.load(Relaxed) {
            match self.rng.within(0..100) {
                0..20 => self.append_guarded().await,
                20..34 => self.append_unguarded().await,
                34..41 => self.move_money().await,
                41..44 => self.use_state().await,
                44..47 => self.consume().await,
                47..50 => self.fold().await,
                50..53 => self.send_again().await,
                53..60 => self.transact().await,
                60..67 => self.use_key().await,
                67..70 => self.claim().await,
                70 => self.mend().await,
                71..75 => self.read_view().await,
                75 => self.read_tables().await,
                76..85 => self.read_stream().await,
                85..91 => self.read_head().await,
                91..95 => self.search().await,
                95..97 => self.validate().await,
                _ => self.read_log().await,
            }
            let pause = self.rng.within(0..u64::try_from(self.pace.as_micros()).unwrap_or(1));
            sleep(Duration::from_micros(pause)).await;
        }
    }

    fn node(&mut self) -> u64 {
        self.rng.within(1..self.world.nodes + 1)
    }

    /// Marks of one to six events of a stream; those of an account name amounts.
    fn marks(&mut self, stream: u64) -> Vec<String> {
        let count = if self.rng.chance(25) { self.rng.within(2..7) } else { 1 };
        (0..count).map(|_| if is_account(stream) { self.amount_mark() } else { self.mark() }).collect()
    }

    fn mark(&mut self) -> String {
        self.marks += 1;
        format!("{}-{}", self.name, self.marks)
    }

    fn stream(&mut self) -> u64 {
        if self.rng.chance(60) { self.rng.within(0..HOT) } else { HOT + self.rng.within(0..COLD) }
    }

    async fn append_guarded(&mut self) {
        let stream = self.stream();
        let at = usize::try_from(stream).unwrap_or(0);
        let believed = self.heads[at];
        let version = match self.rng.within(0..20) {
            0 => believed.saturating_sub(1),
            1 => believed + self.rng.within(1..4),
            _ => believed,
        };
        let keyed = self.rng.chance(40);
        self.append(stream, Expected::Exact(version), keyed).await;
    }

    async fn append_unguarded(&mut self) {
        let (stream, keyed) = (self.stream(), self.rng.chance(50));
        self.append(stream, Expected::Any, keyed).await;
    }

    /// Sends an append; one with a key until its fate is known, each time to another node.
    async fn append(&mut self, stream: u64, expected: Expected, keyed: bool) {
        let marks = self.marks(stream);
        let key = keyed.then(|| format!("key-{}", marks[0]));
        let mut node = self.node();
        for _ in 0..SENDS_MAX {
            let call =
                Call::Append { stream: name(stream), expected, key: key.clone(), marks: marks.clone(), node };
            let outcome = self.client.call(node, call.clone()).await;
            self.learn(stream, &outcome);
            let open = match &outcome {
                Outcome::Ok { .. } => false,
                Outcome::Refused { code, .. } => code == "no_connection" || code == "unavailable",
                Outcome::Unknown { .. } => true,
            };
            if !keyed {
                return;
            }
            if !open {
                self.sent.push(call);
                return;
            }
            node = 1 + node % self.world.nodes;
            if self.world.stop.load(Relaxed) {
                return;
            }
        }
    }

    /// An append whose fate is known, once more: it has the same fate.
    async fn send_again(&mut self) {
        let Some(call) = self.rng.pick(&self.sent).cloned() else { return };
        let at = self.node();
        if let Call::Append { stream, expected, key, marks, .. } = call {
            self.client.call(at, Call::Append { stream, expected, key, marks, node: at }).await;
        }
    }

    fn learn(&mut self, stream: u64, outcome: &Outcome) {
        let at = usize::try_from(stream).unwrap_or(0);
        match outcome {
            Outcome::Ok { seen: Seen::Appended { first_version, last_version, first_position, .. } } => {
                self.heads[at] = *last_version;
                self.position = self.position.max(first_position + last_version - first_version);
            }
            Outcome::Ok { seen: Seen::Head { version, .. } } => self.heads[at] = *version,
            Outcome::Refused { actual: Some(actual), .. } => self.heads[at] = *actual,
            Outcome::Ok { .. } | Outcome::Refused { .. } | Outcome::Unknown { .. } => {}
        }
    }

    fn consistency(&mut self) -> ReadConsistency {
        match self.rng.within(0..10) {
            0..5 => ReadConsistency::Linearizable,
            5..7 => ReadConsistency::Local,
            _ => ReadConsistency::AtLeast(self.position),
        }
    }

    async fn read_stream(&mut self) {
        let (stream, node) = (self.stream(), self.node());
        let head = self.heads[usize::try_from(stream).unwrap_or(0)];
        let from = self.rng.chance(40).then(|| self.rng.within(1..head + 3));
        let direction = match self.rng.chance(30) {
            true => ReadDirection::Backward,
            false => ReadDirection::Forward,
        };
        let limit = if self.rng.chance(50) { 1_000 } else { self.rng.within(1..12) };
        let consistency = self.consistency();
        let call = Call::ReadStream { stream: name(stream), from, direction, limit, consistency, node };
        self.client.call(node, call).await;
    }

    async fn read_head(&mut self) {
        let (stream, node, consistency) = (self.stream(), self.node(), self.consistency());
        let outcome =
            self.client.call(node, Call::StreamInfo { stream: name(stream), consistency, node }).await;
        if consistency == ReadConsistency::Linearizable {
            self.learn(stream, &outcome);
        }
    }

    async fn read_log(&mut self) {
        let node = self.node();
        let from = self.rng.within(1..self.position + 5);
        let (limit, consistency) = (self.rng.within(1..60), ReadConsistency::Local);
        self.client.call(node, Call::ReadLog { from, limit, consistency, node }).await;
    }
}

fn name(stream: u64) -> String {
    match stream {
        0..HOT => format!("hot-{stream}"),
        _ if is_account(stream) => format!("account-{stream}"),
        _ => format!("cold-{stream}"),
    }
}
