//! The hand-over from the buffer to the engine, under many interleavings of
//! whoever fills it, spills it and reads it. `cargo xtask accept
//! prove/interleavings` runs it; a deadlock is a failure too.

use std::{collections::BTreeMap, sync::Arc};

use fjall::Slice;
use shuttle::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use weir_types::GroupId;

use super::{Buffer, Order, Table, Writes};

/// Batches that are put. Each sets both keys to its number, and removes and sets a third by turns.
const BATCHES: u64 = 3;
const KEYS: [&str; 2] = ["a", "m"];

/// What stands for the engine: it takes a table whole.
#[derive(Default)]
struct Engine(Mutex<BTreeMap<Slice, Slice>>);

impl Engine {
    fn ingest(&self, table: &Table) {
        let mut held = self.0.lock().unwrap();
        for (key, value) in table.entries() {
            match value {
                Some(value) => drop(held.insert(key, value)),
                None => drop(held.remove(&key)),
            }
        }
        assert_eq!(held.get(&b"a"[..]), held.get(&b"m"[..]), "half of a batch is in the engine");
    }

    fn held(&self) -> BTreeMap<Slice, Slice> {
        self.0.lock().unwrap().clone()
    }
}

fn number(value: &Slice) -> u64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

fn batch(count: u64) -> Writes {
    let value = || Some(Slice::from(count.to_string().as_bytes()));
    let odd = if count % 2 == 1 { value() } else { None };
    let both = KEYS.into_iter().map(|key| (Slice::from(key).into(), value()));
    Writes { keys: both.chain([(Slice::from("odd").into(), odd)]).collect(), heads: Vec::new() }
}

fn spill(buffer: &Buffer, engine: &Engine) {
    while let Some(table) = buffer.next_sealed() {
        engine.ingest(&table);
        drop(table);
        buffer.spilled(Ok(()));
    }
}

/// A look-up and a scan, as the index makes them, after `put` batches were put.
fn look(buffer: &Buffer, engine: &Engine, put: &AtomicU64) {
    let least = put.load(Ordering::SeqCst);
    let found = match buffer.get(b"a") {
        Some(value) => value,
        None => engine.held().get(&b"a"[..]).cloned(),
    };
    assert!(found.as_ref().map_or(0, number) >= least, "a look-up misses what was put");
    let least = put.load(Ordering::SeqCst);
    let keys = b"a".to_vec()..=b"z".to_vec();
    let (entries, mut below) = buffer.scan(&keys, Order::Rising, usize::MAX, || engine.held());
    for (key, value) in entries {
        match value {
            Some(value) => drop(below.insert(key, value)),
            None => drop(below.remove(&key)),
        }
    }
    let [one, other] = KEYS.map(|key| below.get(key.as_bytes()).map_or(0, number));
    assert!(one == other && one >= least, "a scan shows {one} and {other}, {least} were put");
    assert_eq!(below.contains_key(&b"odd"[..]), one % 2 == 1, "a removal is not seen at {one}");
}

fn all_parties() {
    let (buffer, engine) = (Arc::new(Buffer::new(GroupId::DEFAULT)), Arc::new(Engine::default()));
    let put = Arc::new(AtomicU64::new(0));
    let spiller = {
        let (buffer, engine) = (buffer.clone(), engine.clone());
        thread::spawn(move || spill(&buffer, &engine))
    };
    let reader = {
        let (buffer, engine, put) = (buffer.clone(), engine.clone(), put.clone());
        thread::spawn(move || {
            for _ in 0..3 {
                look(&buffer, &engine, &put);
            }
        })
    };
    for count in 1..=BATCHES {
        buffer.put(batch(count)).unwrap();
        put.store(count, Ordering::SeqCst);
        if count < BATCHES {
            buffer.seal().unwrap();
        }
    }
    buffer.drain().unwrap();
    assert_eq!(engine.held().get(&b"m"[..]).map(number), Some(BATCHES), "a drained buffer is in the engine");
    buffer.close();
    spiller.join().unwrap();
    reader.join().unwrap();
    look(&buffer, &engine, &put);
}

/// The engine fails at the second table: nobody waits for ever, and what was put is still seen.
fn failing_engine() {
    let (buffer, engine) = (Arc::new(Buffer::new(GroupId::DEFAULT)), Arc::new(Engine::default()));
    let spiller = {
        let (buffer, engine) = (buffer.clone(), engine.clone());
        thread::spawn(move || {
            for turn in 0.. {
                let Some(table) = buffer.next_sealed() else { return turn };
                if turn == 1 {
                    buffer.spilled(Err("disk is gone".to_owned()));
                } else {
                    engine.ingest(&table);
                    buffer.spilled(Ok(()));
                }
            }
            unreachable!("a failure ends the spiller")
        })
    };
    let mut refused = 0;
    for count in 1..=4 {
        buffer.put(batch(count)).unwrap();
        refused += u64::from(buffer.drain().is_err());
    }
    assert_eq!(refused, 3, "the failure is told to whoever drains, and stays");
    assert_eq!(spiller.join().unwrap(), 2, "nothing is spilled after a failure");
    look(&buffer, &engine, &AtomicU64::new(4));
}

/// Random interleavings, and then those of few preemptions, which find what random ones rarely do.
fn explore(parties: fn()) {
    let runs = std::env::var("WEIR_INTERLEAVINGS").map_or(5_000, |runs| runs.parse().unwrap());
    shuttle::check_random(parties, runs);
    shuttle::check_pct(parties, runs, 3);
    println!("figures {runs} random, {runs} of few preemptions");
}

#[test]
fn whoever_reads_sees_all_that_was_put_and_no_half_of_a_batch() {
    explore(all_parties);
}

#[test]
fn a_failed_engine_leaves_nobody_waiting() {
    explore(failing_engine);
}
