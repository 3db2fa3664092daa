//! Whether what a log finds on a disk is what it promised.

use std::sync::{Arc, Mutex};

use weir_storage::{
    disk::sim::{Image, SimDisk},
    log::{Log, LogConfig, LogThread},
};
use weir_types::{LogIndex, Term};

use super::{
    model::{Held, Model, Promise},
    scenario::{open, record, watch},
};

/// Opens logs and compares, counting.
pub struct Checker<'life> {
    pub steps: &'life [Held],
    pub config: LogConfig,
    /// Disks that were opened and compared.
    pub opened: u64,
}

/// A log that opened, and which step it holds.
pub struct Opened {
    pub disk: SimDisk,
    pub log: Log,
    pub thread: LogThread,
    pub step: usize,
}

impl Checker<'_> {
    /// Opens the log on a disk and finds the step that it holds.
    pub fn open(&mut self, image: Image, promise: &Promise) -> Result<Opened, String> {
        self.opened += 1;
        let disk = SimDisk::new(image, 1);
        let (log, thread) = open(&disk, self.config)?;
        let held = held(&log)?;
        let steps = &self.steps[promise.acked..=promise.asked];
        let Some(at) = steps.iter().rposition(|step| *step == held) else {
            return Err(format!("{} is none of {}", told(&held), all_told(steps)));
        };
        committed(&log, &held, promise)?;
        Ok(Opened { disk, log, thread, step: promise.acked + at })
    }

    /// After power loss: opens, and from time to time goes on.
    pub fn lost_power(&mut self, state: &Image, promise: &Promise) -> Result<(), String> {
        let chance = state.digest();
        if chance.is_multiple_of(8) {
            self.loses_power_again(state, promise).map_err(|error| format!("as it recovered: {error}"))?;
        }
        let opened = self.open(state.clone(), promise)?;
        if chance.is_multiple_of(4) {
            self.goes_on(opened).map_err(|error| format!("as it went on: {error}"))?;
        }
        Ok(())
    }

    /// A process was killed: the next one finds all that was written, and what
    /// it has once said it must keep, though no sync of the first came back.
    pub fn killed(&mut self, image: &Image, promise: &Promise, seed: u64) -> Result<(), String> {
        let opened = self.open(image.clone(), promise)?;
        let said = Promise { acked: opened.step, asked: opened.step, rested: None, ..*promise };
        let after = opened.disk.cut();
        for state in after.crash_states(6, seed) {
            self.open(state, &said)
                .map_err(|error| format!("power was lost after the next open: {error}"))?;
        }
        Ok(())
    }

    /// Power is lost again after each operation of the recovery.
    fn loses_power_again(&mut self, state: &Image, promise: &Promise) -> Result<(), String> {
        let disk = SimDisk::new(state.clone(), 1);
        let seen = Arc::new(Mutex::new(Model::default()));
        watch(&disk, &seen);
        drop(open(&disk, self.config)?);
        let moments = std::mem::take(&mut seen.lock().unwrap().moments);
        for moment in moments {
            for state in moment.image.crash_states(3, moment.op.at) {
                self.open(state, promise).map_err(|error| format!("{:?}: {error}", moment.op))?;
            }
        }
        Ok(())
    }

    /// One more append after the recovery is kept like any other.
    fn goes_on(&mut self, opened: Opened) -> Result<(), String> {
        let Opened { disk, log, thread, step } = opened;
        let mut steps = vec![self.steps[step].clone()];
        let last = steps[0].last();
        let next = last.map_or(1, |last| last.index.0 + 1);
        let added = record(last.map_or(Term(9), |last| last.term).0 + 1, next, 90);
        Arc::make_mut(&mut steps[0].records).push(added.clone());
        let told = Arc::new(Mutex::new(None));
        let tells = told.clone();
        let done = Box::new(move |result: std::io::Result<()>| *tells.lock().unwrap() = Some(result));
        log.append(vec![added], done).map_err(|error| error.to_string())?;
        while thread.pump() {}
        match told.lock().unwrap().take() {
            Some(Ok(())) => {}
            other => return Err(format!("an append was told {other:?}")),
        }
        let mut after = Checker { steps: &steps, config: self.config, opened: 0 };
        for state in disk.cut().crash_states(4, next) {
            after.open(state, &Promise { noted: Some(steps[0].last().unwrap()), ..Promise::default() })?;
        }
        self.opened += after.opened;
        Ok(())
    }
}

/// What an open log holds, as its reads tell.
pub fn held(log: &Log) -> Result<Held, String> {
    let mut records = Vec::new();
    if let Some(last) = log.last() {
        let mut next = LogIndex(last.index.0 + 1 - log.recovery().records);
        while next <= last.index {
            let read = log.read(next, last.index.next(), 500).map_err(|error| error.to_string())?;
            next = read.last().ok_or("a read of a record came back empty")?.id.index.next();
            records.extend(read);
        }
    }
    let held = Held { records: Arc::new(records), vote: log.vote() };
    if held.last() != log.last() {
        return Err(format!("the log says that it ends at {:?}, its reads at {:?}", log.last(), held.last()));
    }
    Ok(held)
}

/// What is committed is in the log, was noted, and is not older than what rested.
fn committed(log: &Log, held: &Held, promise: &Promise) -> Result<(), String> {
    let found = log.committed();
    let floor = promise.rested.filter(|rested| held.last().is_some_and(|last| *rested <= last));
    let there = found.is_none_or(|id| held.records.iter().any(|record| record.id == id));
    if there && found <= promise.noted && found >= floor {
        return Ok(());
    }
    Err(format!("committed is {found:?}, of {promise:?} and a log up to {:?}", held.last()))
}

fn told(held: &Held) -> String {
    let records: Vec<_> =
        held.records.iter().map(|record| format!("{}.{}", record.id.term, record.id.index)).collect();
    let vote = held.vote.as_ref().map(|vote| vote[0]);
    format!("[{} vote {vote:?}]", records.join(" "))
}

fn all_told(steps: &[Held]) -> String {
    steps.iter().map(told).collect::<Vec<_>>().join(" or ")
}
