//! How long a million operations take to check: `cargo run --release -p weir-check --example million [OPERATIONS]`.

use std::{
    io::{self, Write},
    time::Instant,
};

use weir_check::{
    CheckId, Evidence, History, Rules, Verdict, coverage, invariants,
    report::CHECKS,
    sample::{Shape, folds, run},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let operations = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let mut out = io::stdout().lock();
    let mut timed = Timed { out: &mut out };
    let shape = Shape {
        seed: 1,
        operations,
        clients: 32,
        streams: operations / 1_000 + 1,
        keys: operations / 2_000 + 1,
    };
    let (history, end) = timed.step("make the run", || run(shape))?;
    let mut file = Vec::new();
    timed.step("write the history", || history.write(&mut file))??;
    let read = timed.step("read the history", || History::read(file.as_slice()))??;
    let evidence = timed.step("index it", || Evidence::new(&read, &end, Rules::default()))?;
    let events = evidence.log.events.len();
    writeln!(timed.out, "{} operations, {events} events, {} bytes", read.operations.len(), file.len())?;
    let started = Instant::now();
    for check in CHECKS {
        timed.verdict(|| check(&evidence))?;
    }
    timed.verdict(|| invariants::p2(&evidence, &folds))?;
    timed.step("coverage", || coverage::measure(&evidence))?;
    writeln!(timed.out, "all checks: {:.2} s", started.elapsed().as_secs_f64())?;
    Ok(())
}

struct Timed<'a, W: Write> {
    out: &'a mut W,
}

impl<W: Write> Timed<'_, W> {
    fn step<T>(&mut self, name: &str, step: impl FnOnce() -> T) -> io::Result<T> {
        let started = Instant::now();
        let done = step();
        writeln!(self.out, "{name}: {:.2} s", started.elapsed().as_secs_f64())?;
        Ok(done)
    }

    fn verdict(&mut self, check: impl FnOnce() -> Verdict) -> io::Result<()> {
        let started = Instant::now();
        let verdict = check();
        let (id, seconds): (CheckId, f64) = (verdict.invariant, started.elapsed().as_secs_f64());
        writeln!(self.out, "{id:>8}: {seconds:.2} s, {} facts, {} violations", verdict.checked, verdict.found)
    }
}
