//! The closed loop: as many callers as appends in flight, each with streams of its own.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep_until};

use crate::{
    args::Args,
    machine::{self, Cpu},
    tally::{Tally, Window},
};

/// A store that takes guarded appends.
pub trait Peer {
    /// What one caller appends through.
    type Writer: Writer + Send + 'static;
    /// A writer for a caller; `run` is part of the names of its streams.
    fn writer(&self, run: &str, caller: usize) -> Self::Writer;
}

/// One caller's way to the store.
pub trait Writer {
    /// Appends the next event to a stream, guarded by the guard that the last append to it gave, 0 for none.
    /// Returns the next guard.
    fn append(&mut self, stream: usize, guard: u64) -> impl Future<Output = Result<u64, String>> + Send;
}

/// A stride that is prime and larger than most counts of streams: callers walk their streams in no order.
const STRIDE: usize = 104_729;

/// One run for each number in flight.
pub async fn measure(args: &Args, peer: &impl Peer) -> Result<Vec<Value>> {
    let mut runs = Vec::new();
    for in_flight in &args.in_flight {
        runs.push(one_run(args, peer, (*in_flight).max(1)).await?);
    }
    Ok(runs)
}

async fn one_run(args: &Args, peer: &impl Peer, in_flight: usize) -> Result<Value> {
    let from = Instant::now() + args.warmup;
    let window = Window { from, until: from + args.duration };
    let run = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    let streams = args.streams.max(in_flight);
    // One for all: a histogram each would not fit the caches.
    let tally = Arc::new(Mutex::new(Tally::new(window)));
    let mut callers = JoinSet::new();
    for caller in 0..in_flight {
        let writer = peer.writer(&run, caller);
        let streams = (caller..streams).step_by(in_flight).collect();
        callers.spawn(caller_loop(writer, streams, window, Arc::clone(&tally)));
    }
    let pids = &args.pids;
    let before = sample_at(window.from, pids).await;
    let after = sample_at(window.until, pids).await;
    while let Some(ended) = callers.join_next().await {
        ended?;
    }
    let sum = locked(&tally);
    let mut figures = sum.figures(in_flight);
    figures["cpu"] = cpu(pids, &before, &after, sum.calls());
    figures["otherCores"] = other_cores(&before, &after, window).into();
    Ok(figures)
}

async fn caller_loop<W: Writer>(
    mut writer: W,
    streams: Vec<usize>,
    window: Window,
    tally: Arc<Mutex<Tally>>,
) {
    let mut guards = vec![0; streams.len()];
    let mut at = 0;
    while Instant::now() < window.until {
        at = (at + STRIDE) % streams.len();
        let begin = Instant::now();
        match writer.append(streams[at], guards[at]).await {
            Ok(guard) => {
                guards[at] = guard;
                locked(&tally).count(begin, Ok(()));
            }
            Err(error) => locked(&tally).count(begin, Err(error)),
        }
    }
}

fn locked(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What each process has taken by now; last the client, then the whole machine.
async fn sample_at(when: Instant, pids: &[(String, u32)]) -> Vec<Cpu> {
    sleep_until(when.into()).await;
    let mut cpus: Vec<Cpu> = pids.iter().map(|(_, pid)| machine::of_tree(*pid)).collect();
    cpus.push(machine::of_tree(std::process::id()));
    cpus.push(Cpu { user: machine::of_machine(), system: 0.0 });
    cpus
}

fn cpu(pids: &[(String, u32)], before: &[Cpu], after: &[Cpu], calls: u64) -> Value {
    let client = ("client".to_owned(), std::process::id());
    let names = pids.iter().chain([&client]);
    let per_1000 = |seconds: f64| (calls > 0).then(|| seconds * 1_000.0 / calls as f64);
    let line = |((name, pid), (after, before)): (&(String, u32), (&Cpu, &Cpu))| {
        let taken = after.since(*before);
        json!({
            "name": name,
            "pid": pid,
            "userSeconds": taken.user,
            "systemSeconds": taken.system,
            "secondsPer1000Calls": per_1000(taken.total()),
        })
    };
    names.zip(after.iter().zip(before)).map(line).collect()
}

/// Cores that neither servers nor client took: over 0.15, the machine was not quiet.
fn other_cores(before: &[Cpu], after: &[Cpu], window: Window) -> f64 {
    let taken: Vec<f64> =
        after.iter().zip(before).map(|(after, before)| after.since(*before).total()).collect();
    let (machine, ours) = taken.split_last().expect("the machine is sampled last");
    (machine - ours.iter().sum::<f64>()).max(0.0) / (window.until - window.from).as_secs_f64()
}
