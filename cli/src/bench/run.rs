use std::{
    collections::BTreeMap,
    future::Future,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::JoinSet;
use weir_client::ClientError;

use super::machine::Machine;
use crate::{error::CliError, output::Output, progress::Progress};

/// The longest time that is told apart: an hour.
const MICROS_MAX: u64 = 3_600_000_000;

/// When a run measures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) from: Instant,
    pub(super) until: Instant,
}

impl Window {
    pub(super) fn new(warmup: Duration, duration: Duration) -> Self {
        let from = Instant::now() + warmup;
        Self { from, until: from + duration }
    }
}

/// What one caller saw.
#[derive(Debug)]
pub(super) struct Tally {
    window: Window,
    micros: Histogram<u64>,
    events: u64,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn new(window: Window) -> Self {
        let micros = Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("the bounds are legal");
        Self { window, micros, events: 0, errors: BTreeMap::new() }
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.window.until
    }

    /// Counts a call that began at `begin`, unless it lies outside the window.
    pub(super) fn count(&mut self, begin: Instant, outcome: Result<u64, &ClientError>) {
        let end = Instant::now();
        if begin < self.window.from || end > self.window.until {
            return;
        }
        match outcome {
            Ok(events) => {
                let micros = u64::try_from((end - begin).as_micros()).unwrap_or(u64::MAX);
                self.micros.saturating_record(micros);
                self.events += events;
            }
            Err(error) => {
                let name = error.code().map_or("no_answer", |code| code.as_str());
                *self.errors.entry(name.to_owned()).or_default() += 1;
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.micros.add(&other.micros).expect("both have the same bounds");
        self.events += other.events;
        for (name, count) in &other.errors {
            *self.errors.entry(name.clone()).or_default() += count;
        }
    }
}

/// The result of one run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    in_flight: usize,
    seconds: f64,
    calls: u64,
    calls_per_second: f64,
    events_per_second: f64,
    p50_micros: u64,
    p99_micros: u64,
    p999_micros: u64,
    max_micros: u64,
    errors: BTreeMap<String, u64>,
}

impl Line {
    fn new(in_flight: usize, tally: &Tally) -> Self {
        let seconds = (tally.window.until - tally.window.from).as_secs_f64();
        Self {
            in_flight,
            seconds,
            calls: tally.micros.len(),
            calls_per_second: tally.micros.len() as f64 / seconds,
            events_per_second: tally.events as f64 / seconds,
            p50_micros: tally.micros.value_at_quantile(0.5),
            p99_micros: tally.micros.value_at_quantile(0.99),
            p999_micros: tally.micros.value_at_quantile(0.999),
            max_micros: tally.micros.max(),
            errors: tally.errors.clone(),
        }
    }

    fn row(&self) -> [String; 9] {
        let millis = |micros: u64| format!("{:.2}", micros as f64 / 1_000.0);
        [
            self.in_flight.to_string(),
            format!("{:.0}", self.calls_per_second),
            format!("{:.0}", self.events_per_second),
            millis(self.p50_micros),
            millis(self.p99_micros),
            millis(self.p999_micros),
            millis(self.max_micros),
            self.errors.values().sum::<u64>().to_string(),
            format!("{:.0}", self.seconds),
        ]
    }
}

/// Lets `in_flight` callers loop through the window and adds up what they saw.
pub(super) async fn measure<F>(
    in_flight: usize,
    window: Window,
    caller: impl Fn(usize, Tally) -> F,
) -> Result<Line, CliError>
where
    F: Future<Output = Tally> + Send + 'static,
{
    let mut callers = JoinSet::new();
    for lane in 0..in_flight {
        callers.spawn(caller(lane, Tally::new(window)));
    }
    let begin = Instant::now();
    let total = u64::try_from((window.until - begin).as_millis()).unwrap_or(u64::MAX);
    let mut progress = Progress::new(total);
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let mut sum = Tally::new(window);
    loop {
        tokio::select! {
            tally = callers.join_next() => match tally {
                Some(Ok(tally)) => sum.merge(&tally),
                Some(Err(error)) => return Err(CliError::Failed(format!("a caller failed: {error}"))),
                None => break,
            },
            _ = tick.tick() => {
                let done = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
                progress.at(done, || format!("{in_flight} in flight"));
            }
        }
    }
    progress.finish();
    Ok(Line::new(in_flight, &sum))
}

/// What a bench reports.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bench {
    /// `append` or `read`.
    pub(super) operation: &'static str,
    /// `session` or `unary`.
    pub(super) mode: &'static str,
    /// Bytes of data of an event.
    pub(super) size: usize,
    /// Streams that took part.
    pub(super) streams: usize,
    /// The machine.
    pub(super) machine: Machine,
    /// One result for each number in flight.
    pub(super) runs: Vec<Line>,
}

impl Bench {
    pub(super) fn show(&self, output: &Output) -> Result<(), CliError> {
        if output.is_json() {
            return output.json(self);
        }
        let head = [
            "IN FLIGHT",
            "CALLS/S",
            "EVENTS/S",
            "P50 MS",
            "P99 MS",
            "P99.9 MS",
            "MAX MS",
            "ERRORS",
            "SECONDS",
        ];
        let rows: Vec<_> = self.runs.iter().map(Line::row).collect();
        output.table(head, &rows)?;
        for (name, count) in self.runs.iter().flat_map(|line| &line.errors) {
            eprintln!("{count} x {name}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use weir_client::{ApiError, ErrorCode};

    use super::*;

    #[test]
    fn only_the_window_counts() {
        let now = Instant::now();
        let window = Window { from: now, until: now + Duration::from_secs(3_600) };
        let mut tally = Tally::new(window);
        tally.count(now, Ok(3));
        tally.count(now, Err(&ClientError::Api(ApiError::new(ErrorCode::Overloaded, ""))));
        let early = Window { from: now + Duration::from_secs(60), ..window };
        let mut outside = Tally::new(early);
        outside.count(now, Ok(1));
        tally.merge(&outside);
        let line = Line::new(1, &tally);
        assert_eq!((line.calls, tally.events), (1, 3));
        tally.micros.saturating_record(5_000_000);
        let slow = Line::new(1, &tally);
        assert!(slow.max_micros >= 5_000_000 && slow.p50_micros < 5_000_000, "{slow:?}");
        assert_eq!(line.errors, BTreeMap::from([("overloaded".to_owned(), 1)]));
    }
}
