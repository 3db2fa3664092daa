//! A node's disk over its lives: what a kill keeps, and what a loss of power takes.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use weir_check::rng::Rng;
use weir_storage::disk::sim::{Image, OpKind, SimDisk, SimOp, Verdict};
use xxhash_rust::xxh3::xxh3_64;

use crate::{plant::Plant, trace::Trace};

/// What a disk answers that has no power.
pub const POWER_IS_OFF: &str = "the power is off";
/// What a disk answers to a sync that fails.
pub const SYNC_FAILED: &str = "the sync failed";

/// No power cut is due.
const NEVER: u64 = u64::MAX;

/// A node's disk.
pub struct NodeDisk {
    node: u64,
    trace: Trace,
    plant: Option<Plant>,
    now: Mutex<SimDisk>,
    rng: Mutex<Rng>,
    /// Changes until the power goes.
    due: Arc<AtomicU64>,
    /// The next sync fails.
    fails: Arc<AtomicBool>,
    /// What it held at an earlier start.
    earlier: Mutex<Option<Image>>,
}

impl NodeDisk {
    /// An empty one.
    #[must_use]
    pub fn new(node: u64, seed: u64, trace: Trace, plant: Option<Plant>) -> Self {
        let mut rng = Rng::named(seed, &format!("disk-{node}"));
        let first = SimDisk::new(Image::default(), rng.draw());
        let disk = Self {
            node,
            trace,
            plant,
            now: Mutex::new(first),
            rng: Mutex::new(rng),
            due: Arc::new(AtomicU64::new(NEVER)),
            fails: Arc::default(),
            earlier: Mutex::default(),
        };
        disk.watch();
        disk
    }

    /// The disk of this life.
    #[must_use]
    pub fn now(&self) -> SimDisk {
        lock(&self.now).clone()
    }

    /// The power goes after so many more changes, in the midst of whatever is written then.
    pub fn cut_after(&self, changes: u64) {
        self.due.store(changes, Relaxed);
    }

    /// The next sync fails, and what it was to make durable never will be.
    pub fn fail_sync(&self) {
        self.fails.store(true, Relaxed);
    }

    /// Whether the power went in the midst of a write.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.due.load(Relaxed) == 0
    }

    /// The process is gone: what it wrote is there for the next one.
    pub fn killed(&self) {
        let image = lock(&self.now).cut();
        self.replace(image);
    }

    /// The power is gone, and with it any of what was not synced.
    pub fn lost_power(&self) {
        let image = lock(&self.now).cut();
        let mut rng = lock(&self.rng);
        // Some machines keep nearly all, some nearly nothing, most a mixture.
        let keeps = rng.within(0..101);
        let left = image.crashed(|options| match rng.within(0..100) < keeps {
            true => options - 1,
            false => usize::try_from(rng.within(0..options as u64)).unwrap_or(0),
        });
        drop(rng);
        let rolled = if self.plant == Some(Plant::RolledBack) { lock(&self.earlier).clone() } else { None };
        lock(&self.earlier).get_or_insert_with(|| left.clone());
        self.replace(rolled.unwrap_or(left));
    }

    fn replace(&self, image: Image) {
        let seed = lock(&self.rng).draw();
        *lock(&self.now) = SimDisk::new(image, seed);
        self.due.store(NEVER, Relaxed);
        self.fails.store(false, Relaxed);
        self.watch();
    }

    fn watch(&self) {
        let disk = self.now();
        let (node, trace) = (self.node, self.trace.clone());
        disk.watch(Box::new(move |op, image| note(node, &trace, op, image)));
        let (due, fails, plant) = (self.due.clone(), self.fails.clone(), self.plant);
        disk.judge(Box::new(move |op| judge(&due, &fails, plant, op)));
    }
}

fn note(node: u64, trace: &Trace, op: &SimOp, image: &Image) {
    let SimOp { kind, path, at, bytes } = op;
    let written = (*kind == OpKind::Write).then(|| image.read(path).ok()).flatten().and_then(|content| {
        let (from, count) = (usize::try_from(*at).ok()?, usize::try_from(*bytes).ok()?);
        content.get(from..from + count).map(xxh3_64)
    });
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hash = written.unwrap_or(0);
    trace.note(format_args!("disk {node} {kind:?} {name} {at} {bytes} {hash:016x}"));
}

fn judge(due: &AtomicU64, fails: &AtomicBool, plant: Option<Plant>, op: &SimOp) -> Verdict {
    let changes = !matches!(op.kind, OpKind::Look | OpKind::List | OpKind::Open | OpKind::Read);
    match due.load(Relaxed) {
        0 => return Verdict::Fail(io::Error::other(POWER_IS_OFF)),
        NEVER => {}
        left if changes => due.store(left - 1, Relaxed),
        _ => {}
    }
    if op.kind == OpKind::Sync && fails.swap(false, Relaxed) {
        return Verdict::Fail(io::Error::other(SYNC_FAILED));
    }
    let lies = match plant {
        Some(Plant::SyncsLie) => op.kind == OpKind::Sync,
        Some(Plant::VoteSyncsLie) => op.kind == OpKind::Sync && op.path.ends_with("vote"),
        _ => false,
    };
    if lies { Verdict::Lie } else { Verdict::Go }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
