//! The log against a plain list, over random operations and restarts.
#![allow(clippy::unwrap_used, reason = "only tests use it, clippy knows only test functions")]

mod scene;

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use scene::*;
use weir_storage::log::{Log, LogConfig, LogRecord, Place, RecordKind};
use weir_types::{LogId, LogIndex};

#[derive(Debug, Clone)]
enum Op {
    Append { sizes: Vec<usize>, wait: bool },
    Truncate { keep: f64 },
    Vote(Vec<u8>),
    Commit { at: f64 },
    Read { from: f64, len: u64, bytes_max: usize },
    Reopen,
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    let sizes = prop::collection::vec(prop_oneof![4 => 0..80_usize, 1 => 200..900_usize], 1..12);
    prop_oneof![
        6 => (sizes, any::<bool>()).prop_map(|(sizes, wait)| Op::Append { sizes, wait }),
        2 => (0.0..=1.0).prop_map(|keep| Op::Truncate { keep }),
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(Op::Vote),
        1 => (0.0..=1.0).prop_map(|at| Op::Commit { at }),
        3 => (0.0..=1.1, 0..40_u64, 0..2000_usize)
            .prop_map(|(from, len, bytes_max)| Op::Read { from, len, bytes_max }),
        1 => Just(Op::Reopen),
        1 => Just(Op::Crash),
    ]
}

struct Model {
    records: Vec<LogRecord>,
    places: BTreeMap<u64, Place>,
    vote: Option<Bytes>,
    committed: Option<LogId>,
    term: u64,
}

impl Model {
    fn part(&self, part: f64) -> u64 {
        (self.records.len() as f64 * part) as u64
    }

    fn check(&self, log: &Log) {
        assert_eq!(log.last(), self.records.last().map(|record| record.id));
        assert_eq!((log.vote(), log.committed()), (self.vote.clone(), self.committed));
        assert_eq!(read_all(log), self.records);
        for record in &self.records {
            let index = record.id.index;
            let place = log.payload_place(index).unwrap();
            assert_eq!(place, self.places[&index.0], "a place is fixed at submission");
            assert_eq!(log.read_at(place).unwrap(), record.payload);
        }
        let after = LogIndex(self.records.len() as u64 + 1);
        assert!(log.payload_place(after).is_err());
    }

    fn append(&mut self, log: &Log, sizes: &[usize], waits: bool) {
        let first = self.records.len() as u64 + 1;
        let kinds = [RecordKind::Command, RecordKind::Blank, RecordKind::Membership];
        let added: Vec<_> = (first..)
            .zip(sizes)
            .map(|(index, size)| LogRecord {
                kind: kinds[(index % 3) as usize],
                ..record(self.term, index, vec![index as u8; *size])
            })
            .collect();
        let (done, receiver) = done();
        log.append(added.clone(), done).unwrap();
        for record in &added {
            let index = record.id.index;
            self.places.insert(index.0, log.payload_place(index).unwrap());
        }
        self.records.extend(added);
        if waits {
            wait(&receiver).unwrap();
            assert_eq!(log.flushed().0, self.records.len() as u64);
        }
    }

    fn truncate(&mut self, log: &Log, keep: f64) {
        let committed = self.committed.map_or(0, |id| id.index.0);
        let keep = self.part(keep).max(committed);
        truncate_after(log, (keep > 0).then_some(keep));
        self.records.truncate(keep as usize);
        self.term += 1;
    }

    fn commit(&mut self, log: &Log, at: f64) {
        let at = self.part(at).max(self.committed.map_or(0, |id| id.index.0));
        self.committed = at.checked_sub(1).map(|at| self.records[at as usize].id);
        log.save_committed(self.committed);
    }

    fn read(&self, log: &Log, from: f64, len: u64, bytes_max: usize) {
        let from = self.part(from).max(1);
        let found = log.read(LogIndex(from), LogIndex(from + len), bytes_max).unwrap();
        let there = self.records.get(from as usize - 1..).unwrap_or(&[]);
        assert_eq!(found[..], there[..found.len()]);
        assert_eq!(found.is_empty(), len == 0 || there.is_empty());
        let bytes: usize = found.iter().map(|record| record.payload.len()).sum();
        // The first record comes whatever its length; empty ones may follow it.
        let first_bytes = found.first().map_or(0, |record| record.payload.len());
        assert!(bytes <= bytes_max.max(first_bytes));
        if let Some(next) = there.get(found.len())
            && (found.len() as u64) < len
        {
            assert!(bytes + next.payload.len() > bytes_max, "a read stops only at a limit");
        }
    }
}

fn run(ops: Vec<Op>, config: LogConfig) {
    let mut scene = Scene::new(config);
    let mut log = scene.open();
    let mut model =
        Model { records: Vec::new(), places: BTreeMap::new(), vote: None, committed: None, term: 1 };
    for op in ops {
        match op {
            Op::Append { sizes, wait } => model.append(&log, &sizes, wait),
            Op::Truncate { keep } => model.truncate(&log, keep),
            Op::Vote(vote) => {
                save_vote(&log, vote.clone());
                model.vote = Some(vote.into());
            }
            Op::Commit { at } => model.commit(&log, at),
            Op::Read { from, len, bytes_max } => model.read(&log, from, len, bytes_max),
            Op::Reopen => {
                drop(log);
                log = scene.open();
                assert_eq!(log.recovery().torn_bytes, 0);
            }
            Op::Crash => {
                append(&log, Vec::new());
                let crashed = scene.crashed();
                drop(log);
                scene = crashed;
                log = scene.open();
                // Noted lazily: a crash may forget what was noted last, and adds nothing.
                assert!(log.committed() <= model.committed);
                model.committed = log.committed();
            }
        }
    }
    model.check(&log);
    drop(log);
    model.check(&scene.open());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_the_list_that_was_written_to_it(
        ops in prop::collection::vec(op(), 1..30),
        segment_bytes in 200..3000_u64,
        cache_bytes in prop_oneof![Just(0), 0..5000_usize, Just(1 << 20)],
    ) {
        run(ops, LogConfig { segment_bytes, cache_bytes });
    }
}
