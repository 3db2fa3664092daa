//! What a run showed: per invariant, what it did not exercise, and what else went wrong.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;
use serde_json::{Map, Value, json};
use weir_check::{
    Evidence, FinalState, History, Report, Rules,
    coverage::{self, Hollow},
    timeline,
};

use super::{fault, node_logs::Found, workload};

/// What the run itself counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How long faults came, in seconds.
    pub seconds: u64,
    /// By counter of the workloads.
    pub workloads: BTreeMap<String, u64>,
    /// By fault: how often it began (`name.begun`) and what it did.
    pub faults: BTreeMap<String, u64>,
    /// Violations that are no invariant's: a node that ended by itself, a cluster that does not come back.
    pub wrong: Vec<String>,
    /// Counters that the chosen workloads must raise.
    pub wanted: Vec<&'static str>,
    /// Whether all workloads were chosen, so that the whole coverage list is due.
    pub whole: bool,
}

/// The judgement.
#[derive(Debug)]
pub struct Judgement {
    /// By the checkers; nothing when there was nothing to check.
    pub report: Option<Report>,
    /// What was not exercised.
    pub hollow: Vec<Hollow>,
    /// Faults that did nothing although they began.
    pub idle: Vec<String>,
    /// Checkers that compared nothing in a run of everything.
    pub unchecked: Vec<String>,
    /// All counts of the coverage list.
    pub coverage: BTreeMap<String, u64>,
    /// What else went wrong.
    pub wrong: Vec<String>,
}

impl Judgement {
    /// Judges a run by its history, its end, its nodes' logs, and what it counted.
    #[must_use]
    pub fn of(history: &History, end: Option<&FinalState>, logs: &Found, tally: &Tally) -> Self {
        let mut wrong = tally.wrong.clone();
        wrong.extend(logs.panics.iter().map(|line| format!("a node panicked: {line}")));
        let mut coverage = logs.counts.clone();
        coverage.extend(tally.workloads.clone());
        let mut report = None;
        if let Some(end) = end {
            let evidence = Evidence::new(history, end, Rules::default());
            coverage.extend(coverage::measure(&evidence));
            report = Some(weir_check::check(&evidence, &workload::folds));
        }
        let (mut hollow, mut unchecked) = (Vec::new(), Vec::new());
        if tally.whole {
            unchecked =
                report.as_ref().zip(end).map_or_else(Vec::new, |(report, end)| unchecked_by(report, end));
            hollow = coverage::hollow(&coverage::SEEN_BY_CLIENTS, &coverage, tally.seconds);
        }
        for name in &tally.wanted {
            let got = coverage.get(*name).copied().unwrap_or(0);
            if got == 0 && tally.seconds >= 60 {
                hollow.push(Hollow { name, wanted: 1, got });
            }
        }
        Self { report, hollow, idle: idle(&tally.faults), unchecked, coverage, wrong }
    }

    /// `holds`, `broken`, or `hollow`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        let checked = self.report.as_ref().is_some_and(Report::holds);
        let full = self.hollow.is_empty() && self.idle.is_empty() && self.unchecked.is_empty();
        match (checked && self.wrong.is_empty(), full) {
            (false, _) => "broken",
            (true, false) => "hollow",
            (true, true) => "holds",
        }
    }

    /// The verdict per invariant, by its name.
    #[must_use]
    pub fn verdicts(&self) -> Map<String, Value> {
        let verdicts = self.report.iter().flat_map(|report| &report.verdicts);
        verdicts
            .map(|verdict| {
                let told = json!({ "checked": verdict.checked, "violations": verdict.found });
                (verdict.invariant.to_string(), told)
            })
            .collect()
    }

    /// For a reader: what broke, with evidence. Time-lines of failing streams go into `folder`.
    ///
    /// # Errors
    /// When a time-line cannot be written.
    pub fn explain(&self, history: &History, folder: &Path) -> Result<()> {
        for verdict in self.report.iter().flat_map(|report| report.broken()) {
            eprintln!("{verdict}");
            if let Some(violation) = verdict.violations.first() {
                let name = format!("timeline-{}", verdict.invariant);
                fs::write(folder.join(format!("{name}.html")), timeline::html(history, violation))?;
                fs::write(folder.join(format!("{name}.txt")), timeline::text(history, violation))?;
            }
        }
        self.wrong.iter().for_each(|wrong| eprintln!("wrong: {wrong}"));
        for hollow in &self.hollow {
            eprintln!("hollow: {} happened {} times, {} were due", hollow.name, hollow.got, hollow.wanted);
        }
        self.unchecked.iter().for_each(|checker| eprintln!("hollow: {checker} compared nothing"));
        self.idle.iter().for_each(|fault| eprintln!("hollow: fault {fault} began and did nothing"));
        Ok(())
    }
}

/// The checkers that had nothing to compare, though there was all that they look at.
fn unchecked_by(report: &Report, end: &FinalState) -> Vec<String> {
    let idle = report.hollow().into_iter().map(|checker| checker.to_string());
    idle.filter(|checker| checker != "O1" || end.jetstream.is_some()).collect()
}

/// How often a fault must have begun to count as idle: what it hits may be down already.
const BEGUN_MIN: u64 = 2;
/// As above for what is done to NATS, which other faults of NATS often keep from being done.
const BEGUN_MIN_NATS: u64 = 3;

/// The faults that began and did nothing in the whole run.
fn idle(faults: &BTreeMap<String, u64>) -> Vec<String> {
    let did = |name: &str| faults.get(name).copied().unwrap_or(0);
    let least = |name: &str| match name.starts_with("nats-") || name.starts_with("stream-") {
        true => BEGUN_MIN_NATS,
        false => BEGUN_MIN,
    };
    let kinds = fault::all().into_iter().map(|kind| kind.name);
    kinds
        .filter(|name| did(&format!("{name}.begun")) >= least(name) && did(name) == 0)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_began_and_did_nothing_is_idle() {
        let faults = [
            ("kill-one.begun", 2),
            ("kill-one", 1),
            ("flap.begun", 2),
            ("pause-one.begun", 1),
            ("stream-purge.begun", 3),
            ("stream-delete.begun", 2),
        ];
        let faults = faults.map(|(name, times)| (name.to_owned(), times)).into();
        assert_eq!(idle(&faults), ["flap", "stream-purge"]);
    }

    #[test]
    fn a_run_without_an_end_is_broken() {
        let history = History { header: weir_check::history::Header::default(), operations: Vec::new() };
        let judged = Judgement::of(&history, None, &Found::default(), &Tally::default());
        assert_eq!(judged.word(), "broken");
    }
}
