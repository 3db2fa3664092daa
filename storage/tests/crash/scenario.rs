//! A short life of a log, chosen by a seed.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use weir_storage::{
    disk::{
        Disk,
        sim::{Judge, SimDisk},
    },
    folder::{DataFolder, Identity},
    log::{Log, LogConfig, LogRecord, LogThread, RecordKind},
};
use weir_types::{ClusterId, GroupId, LogId, LogIndex, NodeId, Term};

use super::{
    model::{Model, Moment, promises},
    random::Random,
};

pub const FOLDER: &str = "/data";
pub const GROUP: GroupId = GroupId::DEFAULT;

#[derive(Debug, Clone)]
pub enum Act {
    /// Appends records with payloads of these lengths.
    Append(Vec<usize>),
    /// Votes, in so many bytes.
    Vote(usize),
    /// Keeps so many percent of what is not committed.
    Truncate(u64),
    /// Commits so many percent of what is not committed.
    Commit(u64),
    /// Lets the log thread work.
    Pump,
    /// Lets the log thread be idle.
    Rest,
    /// Closes the log and opens it.
    Reopen,
}

#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    pub config: LogConfig,
    /// The index of the first record of all.
    pub first: u64,
    pub acts: Vec<Act>,
}

impl Scenario {
    pub fn of(seed: u64) -> Self {
        let mut random = Random(seed);
        let segment_bytes = random.one_of(&[400, 640, 1200, 2500]);
        let cache_bytes = random.one_of(&[0, 0, 4000]);
        let first = random.one_of(&[0, 1, 1]);
        let count = 6 + random.below(14);
        let acts = (0..count).map(|_| act(&mut random)).collect();
        Self { seed, config: LogConfig { segment_bytes, cache_bytes }, first, acts }
    }

    /// Lives it, and tells all that happened.
    pub fn run(&self, judge: Option<Judge>) -> Lived {
        let disk = SimDisk::default();
        let model = Model::new();
        if let Some(judge) = judge {
            disk.judge(judge);
        }
        watch(&disk, &model);
        // What cannot be opened, or failed, lived so long.
        let life = Life::open(&disk, &model, self);
        let ended = life.and_then(|life| self.acts.iter().try_fold(life, Life::act)).map(drop);
        Lived { disk, model, failed: ended.err() }
    }
}

pub struct Lived {
    pub disk: SimDisk,
    pub model: Arc<Mutex<Model>>,
    /// Why it ended early.
    pub failed: Option<String>,
}

fn act(random: &mut Random) -> Act {
    match random.below(20) {
        0..8 => {
            let count = random.one_of(&[1, 1, 2, 3, 7]);
            Act::Append((0..count).map(|_| random.one_of(&[0, 3, 8, 40, 100, 300, 700]) as usize).collect())
        }
        8..10 => Act::Vote(random.one_of(&[1, 24, 24, 512])),
        10..12 => Act::Truncate(random.one_of(&[0, 30, 70, 100])),
        12..14 => Act::Commit(random.one_of(&[50, 100])),
        14..18 => Act::Pump,
        18 => Act::Rest,
        _ => Act::Reopen,
    }
}

/// Keeps every moment of the disk in the model.
pub fn watch(disk: &SimDisk, model: &Arc<Mutex<Model>>) {
    let model = model.clone();
    disk.watch(Box::new(move |op, image| {
        let mut model = model.lock().unwrap();
        let promise = model.promise;
        model.moments.push(Moment { op: op.clone(), image: image.clone(), promise });
    }));
}

pub fn identity() -> Identity {
    Identity { cluster: ClusterId(uuid::Uuid::from_u128(7)), node: NodeId(1) }
}

/// Opens the log on a disk, with a log thread that waits to be pumped.
pub fn open(disk: &SimDisk, config: LogConfig) -> Result<(Log, LogThread), String> {
    open_with(disk, config, Arc::default())
}

/// As [`open`]; `stopped` becomes true when a write failed.
fn open_with(
    disk: &SimDisk,
    config: LogConfig,
    stopped: Arc<AtomicBool>,
) -> Result<(Log, LogThread), String> {
    let folder = DataFolder::open_on(Disk::Sim(disk.clone()), Path::new(FOLDER), identity());
    let folder = folder.map_err(|error| format!("{error}: {error:?}"))?;
    let thread =
        LogThread::pumped(Box::new(move |_| stopped.store(true, Ordering::Relaxed)), Box::new(|| {}));
    let log = Log::open(&folder, GROUP, config, &thread).map_err(|error| format!("{error}: {error:?}"))?;
    Ok((log, thread))
}

struct Life {
    log: Log,
    thread: LogThread,
    disk: SimDisk,
    model: Arc<Mutex<Model>>,
    config: LogConfig,
    first: u64,
    term: u64,
    stopped: Arc<AtomicBool>,
}

impl Life {
    fn open(disk: &SimDisk, model: &Arc<Mutex<Model>>, scenario: &Scenario) -> Result<Self, String> {
        let stopped = Arc::default();
        let (log, thread) = open_with(disk, scenario.config, Arc::clone(&stopped))?;
        let (disk, model) = (disk.clone(), model.clone());
        let Scenario { config, first, .. } = *scenario;
        Ok(Self { log, thread, disk, model, config, first, term: 1, stopped })
    }

    fn act(mut self, act: &Act) -> Result<Self, String> {
        match act {
            Act::Append(sizes) => self.append(sizes)?,
            Act::Vote(bytes) => self.vote(*bytes),
            Act::Truncate(percent) => self.truncate(*percent)?,
            Act::Commit(percent) => self.commit(*percent),
            Act::Pump => while self.thread.pump() {},
            Act::Rest => self.rest()?,
            Act::Reopen => return self.reopen(),
        }
        Ok(self)
    }

    fn append(&mut self, sizes: &[usize]) -> Result<(), String> {
        let next = self.log.last().map_or(self.first, |last| last.index.0 + 1);
        let records: Vec<_> =
            (next..).zip(sizes).map(|(index, size)| record(self.term, index, *size)).collect();
        let mut model = self.model.lock().unwrap();
        for record in &records {
            model.step(|held| Arc::make_mut(&mut held.records).push(record.clone()));
        }
        drop(model);
        self.log.append(records, promises(&self.model)).map_err(|error| error.to_string())
    }

    fn vote(&mut self, bytes: usize) {
        self.term += 1;
        let vote = bytes::Bytes::from(vec![self.term as u8; bytes]);
        self.model.lock().unwrap().step(|held| held.vote = Some(vote.clone()));
        self.log.save_vote(vote, promises(&self.model));
    }

    fn truncate(&mut self, percent: u64) -> Result<(), String> {
        let (records, committed) = {
            let model = self.model.lock().unwrap();
            (model.now().records.clone(), model.promise.noted)
        };
        let kept =
            records.partition_point(|record| committed.is_some_and(|last| record.id.index <= last.index));
        let keep = kept + (records.len() - kept) * percent as usize / 100;
        self.term += 1;
        self.model.lock().unwrap().step(|held| Arc::make_mut(&mut held.records).truncate(keep));
        let last = keep.checked_sub(1).map(|at| records[at].id.index);
        self.log.truncate_after(last, promises(&self.model)).map_err(|error| error.to_string())
    }

    fn commit(&mut self, percent: u64) {
        let mut model = self.model.lock().unwrap();
        let (records, noted) = (model.now().records.clone(), model.promise.noted);
        let known = records.partition_point(|record| noted.is_some_and(|last| record.id.index <= last.index));
        let until = known + (records.len() - known) * percent as usize / 100;
        let Some(id) = until.checked_sub(1).map(|at| records[at].id) else { return };
        model.promise.noted = Some(id);
        drop(model);
        self.log.save_committed(Some(id));
    }

    fn rest(&mut self) -> Result<(), String> {
        while self.thread.pump() {}
        self.thread.rest();
        rested(&self.model, &self.stopped)
    }

    fn reopen(self) -> Result<Self, String> {
        let Self { log, thread, disk, model, config, first, term, stopped } = self;
        drop((log, thread));
        rested(&model, &stopped)?;
        let (log, thread) = open_with(&disk, config, stopped.clone())?;
        Ok(Self { log, thread, disk, model, config, first, term, stopped })
    }
}

/// The marks are durable now, unless the log stopped.
fn rested(model: &Arc<Mutex<Model>>, stopped: &AtomicBool) -> Result<(), String> {
    let mut model = model.lock().unwrap();
    if stopped.load(Ordering::Relaxed) {
        return Err("the log stopped".into());
    }
    assert_eq!(model.promise.acked, model.promise.asked, "all is told when the log rests");
    model.promise.rested = model.promise.noted;
    Ok(())
}

pub fn record(term: u64, index: u64, bytes: usize) -> LogRecord {
    let id = LogId { term: Term(term), leader: NodeId(1), index: LogIndex(index) };
    let kind = [RecordKind::Command, RecordKind::Blank, RecordKind::Membership][index as usize % 3];
    // No byte is zero, so that a lost sector shows.
    let payload = (0..bytes).map(|at| (1 + (at as u64 * 7 + index * 31 + term * 101) % 255) as u8);
    LogRecord { id, kind, payload: payload.collect() }
}
