//! What a seed showed.

use std::{collections::BTreeMap, io::Cursor, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use weir_check::{
    Evidence, History, Rules, check, coverage, effects,
    groups::{Fact, judge as judge_group},
    history::{Operation, Seen},
    leases,
};

use crate::{
    balances::{self, StateSeen},
    chance, claims,
    desk::Way,
    folds, listener,
    notes::Noted,
    plant::Plant,
    run::{Ended, run},
    searches,
    setting::Setting,
    tables,
    trace::Trace,
    whole,
};

/// The verdict over one seed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// The trace as one number, in hexadecimal.
    pub trace: String,
    /// Of how many lines.
    pub lines: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
    /// Operations in the history.
    pub operations: u64,
    /// What must not be; empty when the seed holds.
    pub wrong: Vec<String>,
    /// What happened how often.
    pub counts: BTreeMap<String, u64>,
}

impl Verdict {
    /// Over a seed whose run did not even end.
    #[must_use]
    pub fn broken(seed: u64, error: &anyhow::Error) -> Self {
        Self { seed, wrong: vec![format!("{error:#}")], ..Self::default() }
    }
}

/// How a seed is run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What is planted.
    pub plant: Option<Plant>,
    /// Where the trace is listed.
    pub trace: Option<std::path::PathBuf>,
    /// Where the history of a seed that does not hold is kept.
    pub keep: Option<std::path::PathBuf>,
    /// Whether log lines are repeated on stderr.
    pub aloud: bool,
}

/// Runs a seed and judges it. Once in a process, as the first thing that it does.
///
/// # Errors
/// When the simulation itself fails, or a file cannot be written.
pub fn judge(seed: u64, options: &Options) -> Result<Verdict> {
    chance::begin(seed);
    weir_actors::simulate();
    let trace = match &options.trace {
        Some(path) => Trace::listed(path).with_context(|| format!("cannot make {}", path.display()))?,
        None => Trace::default(),
    };
    let heard = listener::listen(&trace, options.aloud);
    let setting = Setting::draw(seed);
    trace.note(format_args!("setting {setting:?}"));
    let ended = run(&setting, options.plant, &trace)?;
    let (digest, lines) = trace.digest();
    let mut verdict = judged(seed, &ended)?;
    verdict.wrong.extend(heard.all());
    (verdict.trace, verdict.lines) = (format!("{digest:016x}"), lines);
    if let (Some(dir), false) = (&options.keep, verdict.wrong.is_empty()) {
        keep(dir, seed, &ended)?;
    }
    Ok(verdict)
}

fn judged(seed: u64, ended: &Ended) -> Result<Verdict> {
    let history = History::read(Cursor::new(&ended.history)).context("the history")?;
    let evidence = Evidence::new(&history, &ended.end, Rules::default());
    let (mut wrong, noted) = (ended.wrong.clone(), &ended.noted);
    // Without an end there is nothing to compare with.
    if !ended.end.nodes.is_empty() {
        wrong.extend(check(&evidence, &folds::folds).broken().map(ToString::to_string));
        wrong.extend(whole::broken(&history.operations, &noted.rests, &ended.end));
        wrong.extend(consumed(ended));
        wrong.extend(balances::broken(&history.operations, &noted.states, &ended.end));
        wrong.extend(balances::validated_wrongly(&noted.validated, &ended.end));
        wrong.extend(searches::broken(&noted.searched, &ended.end));
        wrong.extend(claims::broken(&noted.claims));
        wrong.extend(leases::judge(&noted.leases));
        wrong.extend(tables::broken(&noted.tables, &ended.end));
        wrong.extend(sent(ended));
        wrong.extend(published(ended));
    }
    let mut counts = coverage::measure(&evidence);
    counts.extend(of_workers(&history.operations, noted).map(|(name, count)| (name.to_owned(), count)));
    if let Some(stream) = &ended.stream {
        counts.insert("bus.events".to_owned(), stream.ids.len() as u64);
        counts.insert("bus.went_back".to_owned(), stream.went_back);
    }
    Ok(Verdict {
        seed,
        simulated_ms: ended.took_ms,
        operations: history.operations.len() as u64,
        wrong,
        counts,
        ..Verdict::default()
    })
}

/// What happened how often that the history's own measure does not know.
fn of_workers(operations: &[Operation], noted: &Noted) -> impl Iterator<Item = (&'static str, u64)> {
    let count = |what: fn(&StateSeen) -> bool| noted.states.iter().filter(|seen| what(seen)).count() as u64;
    let followed = operations.iter().filter_map(Operation::seen).map(|seen| match seen {
        Seen::Observed { events, .. } => events.len() as u64,
        _ => 0,
    });
    let saved = noted.leases.iter().filter(|fact| matches!(fact, leases::Fact::Saved { .. }));
    let given = noted.facts.iter().filter(|fact| matches!(fact, Fact::Given { .. }));
    [
        ("appends.validated", noted.validated.len() as u64),
        ("claims.granted", noted.claims.len() as u64),
        ("consumers.given", given.count() as u64),
        ("effects.heard", noted.heard.len() as u64),
        (
            "effects.not_taken",
            noted.heard.iter().filter(|one| one.reply != effects::Reply::Taken).count() as u64,
        ),
        ("invariants.refused", balances::refused(operations)),
        ("partitions.mended", noted.mended),
        ("rules.refused", balances::flawed(operations)),
        ("searches.done", noted.searched.len() as u64),
        ("snapshots.read", count(|seen| matches!(seen.asked.way, Way::Snapshot | Way::FromSnapshot))),
        ("states.of_times", count(|seen| seen.asked.as_of_us.is_some() || seen.asked.at_us.is_some())),
        ("states.read", count(|_| true)),
        ("tables.read", noted.tables.len() as u64),
        ("subscribers.events", followed.sum()),
        ("transactions.acked", whole::acked(operations)),
        ("transactions.refused", whole::refused(operations)),
        ("transactions.rest", noted.rests.len() as u64),
        ("workers.saved", saved.count() as u64),
    ]
    .into_iter()
}

/// What consumers of the accounts' events saw that must not be.
fn consumed(ended: &Ended) -> Vec<String> {
    let (facts, dead) = (&ended.noted.facts, &ended.dead);
    if facts.is_empty() && dead.is_empty() {
        return Vec::new();
    }
    let of_accounts = ended.end.longest().iter().filter(|event| folds::amount(&event.mark).is_some());
    // The group's filter leaves out what has the tag.
    let untagged = of_accounts.filter(|event| !folds::tagged(&event.mark));
    let log: Vec<_> = untagged.map(|event| (event.position, event.stream.clone())).collect();
    judge_group(&log, facts, dead)
}

/// What the server outside heard that must not be.
fn sent(ended: &Ended) -> Vec<String> {
    let of_accounts = ended.end.longest().iter().filter(|event| folds::amount(&event.mark).is_some());
    let due: Vec<_> = of_accounts.map(|event| (event.position, event.id.clone())).collect();
    effects::judge(&due, &ended.noted.heard)
}

/// What the bus holds that the log does not, or in another place.
fn published(ended: &Ended) -> Vec<String> {
    let Some(stream) = &ended.stream else { return Vec::new() };
    let mut wrong = stream.wrong.clone();
    let log = ended.end.longest().iter().map(|event| &event.id);
    if !stream.ids.iter().eq(log) {
        wrong.push(format!("the bus holds {} events, which are not those of the log", stream.ids.len()));
    }
    wrong
}

fn keep(dir: &Path, seed: u64, ended: &Ended) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    std::fs::write(dir.join(format!("seed-{seed}.history.jsonl")), &ended.history)?;
    ended.end.save(&dir.join(format!("seed-{seed}.end.json")))?;
    Ok(())
}
