//! Power is cut after every single operation of a log's life, in every way that
//! the disk may then be left: what was told durable is there, nothing else is,
//! and nothing is taken for damage (obligations L1 to L5, L8, L10).
//!
//! `WEIR_CRASH_POINTS_SECONDS=60` runs so long, `WEIR_CRASH_POINTS_SEED=N`
//! replays one life.
#![allow(clippy::unwrap_used, reason = "only tests use it, clippy knows only test functions")]

mod crash;

use std::{
    collections::HashSet,
    env, io,
    time::{Duration, Instant},
};

use crash::{
    check::Checker,
    model::{Held, Moment},
    random::Random,
    scenario::{Lived, Scenario, open},
};
use weir_storage::{
    disk::sim::{Judge, OpKind, SimDisk, SimOp, Verdict},
    log::LogError,
};
use weir_types::LogIndex;

/// Lives that are tried when nothing else is said.
const LIVES: u64 = 6;
/// States of one moment, beyond which they are sampled.
const STATES_MAX: u64 = 200;

/// What was done, for the record.
#[derive(Debug, Default)]
struct Tally {
    lives: u64,
    moments: u64,
    exhaustive: u64,
    /// Disks that were opened and compared.
    opened: u64,
}

impl Tally {
    fn print(&self, name: &str, started: Instant) {
        let Self { lives, moments, exhaustive, opened } = self;
        let seconds = started.elapsed().as_secs_f64();
        let a_minute = (*opened as f64 / seconds * 60.0) as u64;
        println!(
            "figures {{\"test\":\"{name}\",\"lives\":{lives},\"moments\":{moments},\
             \"moments_exhaustive\":{exhaustive},\"states\":{opened},\"seconds\":{seconds:.1},\
             \"states_a_minute\":{a_minute}}}"
        );
    }
}

/// Lives, by seed: one that was named, or as many as fit the time, or a few.
fn lives(mut live: impl FnMut(u64) -> Tally, name: &str) {
    let number = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let started = Instant::now();
    let limit = number("WEIR_CRASH_POINTS_SECONDS").map(Duration::from_secs);
    let seeds = match number("WEIR_CRASH_POINTS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..limit.map_or(LIVES, |_| u64::MAX),
    };
    let mut all = Tally::default();
    for seed in seeds {
        if limit.is_some_and(|limit| started.elapsed() > limit) {
            break;
        }
        let tally = live(seed);
        all.lives += 1;
        all.moments += tally.moments;
        all.exhaustive += tally.exhaustive;
        all.opened += tally.opened;
    }
    all.print(name, started);
}

fn replay(seed: u64, what: &str) -> ! {
    panic!(
        "seed {seed}: {what}\nreplay: WEIR_CRASH_POINTS_SEED={seed} cargo test -p weir-storage --test crash_points"
    )
}

/// Cuts the power, and kills the process, after every operation.
fn cut_everywhere(scenario: &Scenario, lived: &Lived) -> Result<Tally, String> {
    let model = lived.model.lock().unwrap();
    let mut checker = Checker { steps: &model.steps, config: scenario.config, opened: 0 };
    let mut tally = Tally { moments: model.moments.len() as u64, ..Tally::default() };
    for (at, moment) in model.moments.iter().enumerate() {
        let seed = scenario.seed ^ ((at as u64) << 20);
        let cut = cut(&mut checker, moment, seed);
        let exhaustive =
            cut.map_err(|error| format!("operation {at}, {:?}, {:?}: {error}", moment.op, moment.promise))?;
        tally.exhaustive += u64::from(exhaustive);
    }
    tally.opened = checker.opened;
    Ok(tally)
}

fn cut(checker: &mut Checker<'_>, moment: &Moment, seed: u64) -> Result<bool, String> {
    let states = moment.image.crash_states(STATES_MAX, seed);
    let exhaustive = states.is_exhaustive();
    let mut seen = HashSet::new();
    for state in states.filter(|state| seen.insert(state.digest())) {
        checker.lost_power(&state, &moment.promise).map_err(|error| format!("power lost: {error}"))?;
    }
    checker.killed(&moment.image, &moment.promise, seed).map_err(|error| format!("killed: {error}"))?;
    Ok(exhaustive)
}

#[test]
fn a_cut_after_any_operation_loses_nothing_that_was_promised() {
    lives(
        |seed| {
            let scenario = Scenario::of(seed);
            let lived = scenario.run(None);
            if let Some(reason) = &lived.failed {
                replay(seed, &format!("it does not even live: {reason}"));
            }
            cut_everywhere(&scenario, &lived).unwrap_or_else(|error| replay(seed, &error))
        },
        "cuts",
    );
}

/// Fails the operation with this number, among those that change something.
fn fail(number: u64, error: io::ErrorKind) -> Judge {
    let mut at = 0;
    Box::new(move |op| {
        at += u64::from(changes(op));
        match changes(op) && at == number + 1 {
            true => Verdict::Fail(error.into()),
            false => Verdict::Go,
        }
    })
}

fn changes(op: &SimOp) -> bool {
    !matches!(op.kind, OpKind::Look | OpKind::List | OpKind::Open | OpKind::Read)
}

/// After an operation failed, the process ends, and the next one finds what the
/// system still has in memory, synced or not.
fn after_failure(scenario: &Scenario, number: u64, error: io::ErrorKind) -> Result<u64, String> {
    let lived = scenario.run(Some(fail(number, error)));
    let model = lived.model.lock().unwrap();
    let mut checker = Checker { steps: &model.steps, config: scenario.config, opened: 0 };
    let left = lived.disk.image();
    checker.killed(&left, &model.promise, number)?;
    for state in left.crash_states(8, number) {
        checker.open(state, &model.promise).map_err(|error| format!("power lost: {error}"))?;
    }
    Ok(checker.opened)
}

#[test]
fn a_failure_of_any_operation_ends_the_log_and_loses_nothing_that_was_promised() {
    lives(
        |seed| {
            let scenario = Scenario::of(seed);
            let operations = scenario.run(None).model.lock().unwrap().moments.len() as u64;
            let mut random = Random(seed);
            let mut tally = Tally { moments: operations, ..Tally::default() };
            for number in 0..operations {
                let error = random.one_of(&[io::ErrorKind::StorageFull, io::ErrorKind::Other]);
                let opened = after_failure(&scenario, number, error);
                tally.opened += opened
                    .unwrap_or_else(|reason| replay(seed, &format!("operation {number} {error}: {reason}")));
            }
            tally
        },
        "failures",
    );
}

#[test]
fn l8_an_error_while_the_log_opens_or_reads_is_never_an_empty_log() {
    for seed in 0..LIVES {
        let scenario = Scenario::of(seed);
        let image = scenario.run(None).disk.image();
        let fresh = SimDisk::new(image.clone(), 1);
        drop(open(&fresh, scenario.config).unwrap());
        for number in 0.. {
            let disk = SimDisk::new(image.clone(), 1);
            let mut at = 0;
            let mut failed = false;
            let told = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            let tells = told.clone();
            disk.judge(Box::new(move |_| {
                at += 1;
                failed |= at == number + 1;
                tells.store(failed, std::sync::atomic::Ordering::Relaxed);
                if at == number + 1 { Verdict::Fail(io::ErrorKind::Other.into()) } else { Verdict::Go }
            }));
            match open(&disk, scenario.config) {
                Err(error) => assert!(error.contains("Io {"), "seed {seed}, operation {number}: {error}"),
                Ok((log, _thread)) => {
                    assert!(
                        !told.load(std::sync::atomic::Ordering::Relaxed),
                        "seed {seed}, operation {number}"
                    );
                    reads_fail_as_errors(&disk, &log);
                    break;
                }
            }
        }
    }
}

fn reads_fail_as_errors(disk: &SimDisk, log: &weir_storage::log::Log) {
    disk.judge(Box::new(|_| Verdict::Fail(io::ErrorKind::Other.into())));
    let Some(last) = log.last() else { return };
    for index in last.index.0 + 1 - log.recovery().records..=last.index.0 {
        let index = LogIndex(index);
        assert!(matches!(log.read(index, index.next(), 1), Err(LogError::Io { .. })));
        assert!(matches!(log.payload_place(index), Err(LogError::Io { .. })));
    }
}

/// Whether a disk lies about an operation.
type Lie = fn(&SimOp) -> bool;

/// The harness finds a disk that does not do what the log relies on.
#[test]
fn a_disk_that_lies_about_a_sync_is_caught() {
    let lies: [(&str, Lie); 4] = [
        ("records", |op| op.kind == OpKind::Sync && op.path.extension().is_some_and(|end| end == "log")),
        ("files", |op| op.kind == OpKind::Sync),
        ("votes", |op| op.kind == OpKind::Sync && op.path.ends_with("vote")),
        ("names", |op| op.kind == OpKind::SyncDir),
    ];
    for (what, lie) in lies {
        let caught = (0..8 * LIVES).any(|seed| {
            let scenario = Scenario::of(seed);
            let judge: Judge = Box::new(move |op| if lie(op) { Verdict::Lie } else { Verdict::Go });
            let lived = scenario.run(Some(judge));
            cut_everywhere(&scenario, &lived).is_err()
        });
        assert!(caught, "a disk that lies about {what} is believed");
    }
}

#[test]
fn the_same_seed_is_the_same_life() {
    for seed in 0..4 {
        let trace = |seed| {
            let lived = Scenario::of(seed).run(None);
            let model = lived.model.lock().unwrap();
            let steps: Vec<Held> = model.steps.clone();
            let moments: Vec<_> = model
                .moments
                .iter()
                .map(|moment| (moment.op.clone(), moment.image.digest(), moment.promise))
                .collect();
            (steps, moments)
        };
        assert_eq!(trace(seed), trace(seed));
    }
}
