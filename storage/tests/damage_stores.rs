//! Flipped bytes in the files of the index and of the state: refused at open,
//! which leads to a rebuild, refused by the read, harmless, or a loss of the
//! newest batches, which a replay of the log makes good. What the checks of
//! the engines and ours do not see is counted as wrong, and printed.
//!
//! `WEIR_DAMAGE_STORES_FLIPS=500` tries so many, `WEIR_DAMAGE_STORES_SEED=N` others.
#![allow(clippy::unwrap_used, reason = "only tests use it, clippy knows only test functions")]

mod crash;

use std::{
    collections::HashSet,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Instant,
};

use bytes::Bytes;
use crash::random::Random;
use weir_storage::{
    index::{AppliedMark, Frame, Index, IndexHead, Run},
    schema::StreamNo,
    state::{RegistryChange, State},
};
use weir_types::{
    Deployment, Direction, EntityId, EntityType, EventPattern, GroupId, LogId, LogIndex, NodeId, OnError,
    PartitionKey, Position, ProjectionDefinition, ProjectionId, ProjectionKind, ProjectionName,
    RegistryOutcome, StreamHead, StreamVersion, Term, Timestamp,
    ports::{Checkpoint, View, ViewChange},
};

const GROUP: GroupId = GroupId::DEFAULT;
/// Batches that are written.
const BATCHES: u64 = 150;
/// Flips that are tried when nothing else is said.
const FLIPS: u64 = 24;

/// What an open store serves, as text, or the refusal.
type Answer = Result<String, String>;

#[derive(Debug, Default)]
struct Found {
    refused_at_open: u64,
    refused_by_a_read: u64,
    harmless: u64,
    behind: u64,
    wrong: Vec<String>,
}

impl Found {
    fn print(&self, name: &str, started: Instant) {
        let Self { refused_at_open, refused_by_a_read, harmless, behind, wrong } = self;
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "figures {{\"test\":\"{name}\",\"refused_at_open\":{refused_at_open},\
             \"refused_by_a_read\":{refused_by_a_read},\"harmless\":{harmless},\"behind\":{behind},\
             \"wrong\":{},\"seconds\":{seconds:.1}}}",
            wrong.len()
        );
    }
}

/// Writes a store, flips bytes of it one at a time, and asks it each time.
/// `write` returns what it serves after each batch.
fn sweep(
    name: &str,
    write: impl FnOnce(&Path) -> Vec<String>,
    ask: impl Fn(&Path) -> Result<Answer, String>,
) -> Found {
    let number = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let started = Instant::now();
    let mut random = Random(number("WEIR_DAMAGE_STORES_SEED").unwrap_or(1));
    let good = tempfile::tempdir().unwrap();
    let steps = write(good.path());
    let (newest, older) = steps.split_last().unwrap();
    let older: HashSet<&String> = older.iter().collect();
    let written = written(good.path());
    assert!(!written.is_empty());
    let mut found = Found::default();
    let untouched = tempfile::tempdir().unwrap();
    copy_folder(good.path(), untouched.path());
    let reopened = ask(untouched.path()).unwrap().unwrap();
    assert_eq!(reopened, *newest, "the store is whole before it is damaged");
    for _ in 0..number("WEIR_DAMAGE_STORES_FLIPS").unwrap_or(FLIPS) {
        let (file, byte) = &written[random.below(written.len() as u64) as usize];
        let bit = random.below(8);
        let copy = tempfile::tempdir().unwrap();
        copy_folder(good.path(), copy.path());
        let path = copy.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes[*byte] ^= 1 << bit;
        fs::write(&path, bytes).unwrap();
        // What an engine's panic ends in a node is a refusal too.
        let asked = catch_unwind(AssertUnwindSafe(|| ask(copy.path())));
        match asked.unwrap_or_else(|_| Ok(Err("panicked".into()))) {
            Err(_) => found.refused_at_open += 1,
            Ok(Err(_)) => found.refused_by_a_read += 1,
            Ok(Ok(answer)) if answer == *newest => found.harmless += 1,
            Ok(Ok(answer)) if older.contains(&answer) => found.behind += 1,
            Ok(Ok(answer)) => {
                found.wrong.push(format!("{} byte {byte} bit {bit}: {answer}", file.display()));
            }
        }
    }
    found.print(name, started);
    found
}

/// Every byte that is not zero, by file.
fn written(folder: &Path) -> Vec<(PathBuf, usize)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(path) = folders.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_path_buf();
            let bytes = fs::read(&path).unwrap();
            let places = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
            found.extend(places.map(|(at, _)| (name.clone(), at)));
        }
    }
    found.sort();
    found
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn entity(number: u64) -> EntityId {
    EntityId::new(format!("order-{number}")).unwrap()
}

/// One batch: an event of a new stream.
fn put(index: &Index, number: u64) {
    let kind = EntityType::new("order").unwrap();
    let stream = StreamNo(number);
    let frames = vec![Frame { offset: 40, len: 280 }];
    let run = Run { first_position: Position(number), segment: 1, payload: number * 1_000, frames };
    let head = StreamHead {
        entity_id: entity(number),
        entity_type: kind.clone(),
        version: StreamVersion(1),
        first_position: Position(number),
        last_position: Position(number),
        created_at: Timestamp(1),
        updated_at: Timestamp(2),
    };
    let mut batch = index.batch();
    batch.put_stream_run(stream, StreamVersion(1), &run);
    batch.put_log_run(&run);
    batch.put_stream(stream, &entity(number), &kind);
    batch.put_head(IndexHead { stream_no: stream, head, last_event: weir_types::EventId(uuid::Uuid::nil()) });
    batch.put_count(None, number);
    batch.set_mark(AppliedMark {
        log_id: LogId { term: Term(1), leader: NodeId(1), index: LogIndex(number) },
        position: Position(number),
        membership: Bytes::from_static(b"members"),
        membership_at: None,
        registry: LogIndex::ZERO,
        kv: LogIndex::ZERO,
        rules: LogIndex::ZERO,
        digest: number,
    });
    index.commit(batch).unwrap();
}

/// Everything that an index serves, by each way to ask for it.
fn index_answer(index: &Index) -> Answer {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let mut text = format!("{:?}", index.applied().map_err(|e| told(&e))?);
    text += &format!("{:?}", index.log_places(Position(1), usize::MAX).map_err(|e| told(&e))?);
    text += &format!("{:?}", index.list(None, 0, usize::MAX).map_err(|e| told(&e))?);
    for number in 1..=BATCHES {
        let head = index.head(&entity(number)).map_err(|e| told(&e))?;
        let places = index.stream_places(StreamNo(number), None, Direction::Forward, 9);
        text += &format!("{head:?}{:?}", places.map_err(|e| told(&e))?);
    }
    Ok(text)
}

#[test]
fn flipped_bytes_of_the_index_are_refused_or_lose_only_the_newest() {
    let write = |dir: &Path| {
        let index = Index::open(dir, GROUP).unwrap();
        let mut steps = vec![index_answer(&index).unwrap()];
        for number in 1..=BATCHES {
            put(&index, number);
            steps.push(index_answer(&index).unwrap());
        }
        index.persist().unwrap();
        steps
    };
    let ask = |dir: &Path| {
        let index = Index::open(dir, GROUP).map_err(|error| error.to_string())?;
        Ok(index_answer(&index))
    };
    let found = sweep("index-flips", write, ask);
    assert!(found.wrong.is_empty(), "{} wrong answers, the first: {}", found.wrong.len(), found.wrong[0]);
}

fn projection(number: u64) -> ProjectionId {
    let name = ProjectionName::new(format!("view-{}", number % 3)).unwrap();
    ProjectionId { name, deployed: LogIndex(number % 3 + 1) }
}

fn partition(number: u64) -> PartitionKey {
    PartitionKey::new(format!("part-{}", number % 7)).unwrap()
}

fn deploy(state: &State, number: u64) {
    let id = projection(number);
    let definition = ProjectionDefinition {
        name: id.name.clone(),
        events: vec![EventPattern::new("*").unwrap()],
        partition_key: None,
        source: "source".into(),
        on_error: OnError::Park,
        kind: ProjectionKind::Async,
        sink: None,
    };
    let outcome = RegistryOutcome::Deployed(id.clone());
    state
        .commit_registry(
            id.deployed,
            &RegistryChange::Put(vec![Deployment::new(id.clone(), definition)]),
            &outcome,
        )
        .unwrap();
}

fn fold(state: &State, number: u64) {
    let position = Position(number);
    let view = View { state: Bytes::from(format!("{{\"folded\":{number}}}")), position };
    let checkpoint =
        Checkpoint { position, events: number, digest: number, parked: None, dead_letters: 0, serves: false };
    let change = ViewChange { checkpoint, views: vec![(partition(number), view)], ..ViewChange::default() };
    state.commit_views(&projection(number), &change).unwrap();
}

fn state_answer(state: &State) -> Answer {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let mut text = format!("{:?}", state.registry().map_err(|e| told(&e))?);
    text += &format!("{:?}", state.registry_applied().map_err(|e| told(&e))?);
    text += &format!("{:?}", state.kept().map_err(|e| told(&e))?);
    for number in 0..3 {
        let id = projection(number);
        text += &format!("{:?}", state.checkpoint(&id).map_err(|e| told(&e))?);
        text += &format!("{:?}", state.views(&id, None, 100).map_err(|e| told(&e))?);
        for part in 0..7 {
            text += &format!("{:?}", state.view(&id, &partition(part)).map_err(|e| told(&e))?);
        }
    }
    Ok(text)
}

/// The engine ends its log at the first damaged entry, in silence: the state is
/// then an older one, whole, and is replayed from its own checkpoints. An answer
/// that no step ever gave is counted and printed.
#[test]
fn flipped_bytes_of_the_state_are_refused_or_counted() {
    let write = |dir: &Path| {
        let state = State::open(dir, GROUP).unwrap();
        let mut steps = vec![state_answer(&state).unwrap()];
        for number in 0..3 {
            deploy(&state, number);
            steps.push(state_answer(&state).unwrap());
        }
        for number in 3..BATCHES {
            fold(&state, number);
            steps.push(state_answer(&state).unwrap());
            if number % 40 == 0 {
                state.flush().unwrap();
            }
        }
        state.flush().unwrap();
        steps
    };
    let ask = |dir: &Path| {
        let state = State::open(dir, GROUP).map_err(|error| error.to_string())?;
        Ok(state_answer(&state))
    };
    let found = sweep("state-flips", write, ask);
    for wrong in found.wrong.iter().take(3) {
        println!("wrong: {}", &wrong[..wrong.len().min(300)]);
    }
    assert!(found.refused_at_open + found.refused_by_a_read + found.behind > 0);
}
