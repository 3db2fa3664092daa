use std::collections::BTreeMap;

use serde::Serialize;

use super::{cpu::CpuLine, tally::Seen};

/// The result of one run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    in_flight: usize,
    /// Calls a second that were asked for; `null` in a closed loop.
    rate: Option<u32>,
    seconds: f64,
    calls: u64,
    calls_per_second: f64,
    events_per_second: f64,
    p50_micros: u64,
    p90_micros: u64,
    p99_micros: u64,
    p999_micros: u64,
    max_micros: u64,
    errors: BTreeMap<String, u64>,
    /// Calls that were due in the window and never answered; 0 in a closed loop.
    unanswered: u64,
    cpu: Vec<CpuLine>,
    /// Cores that none of the processes above took.
    other_cores: f64,
}

/// Columns of a line as text.
pub(super) const HEAD: [&str; 13] = [
    "IN FLIGHT",
    "CALLS/S",
    "EVENTS/S",
    "P50 MS",
    "P90 MS",
    "P99 MS",
    "P99.9 MS",
    "MAX MS",
    "ERRORS",
    "SECONDS",
    "NODES CPU MS",
    "CLIENT CPU MS",
    "OTHER CORES",
];

/// What a run was, beside what its calls saw.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) in_flight: usize,
    pub(super) rate: Option<u32>,
    pub(super) seconds: f64,
    pub(super) cpu: Vec<CpuLine>,
    pub(super) other_cores: f64,
}

impl Line {
    pub(super) fn new(frame: Frame, seen: &Seen) -> Self {
        let Frame { in_flight, rate, seconds, cpu, other_cores } = frame;
        let (calls, failed) = (seen.micros.len(), seen.errors.values().sum::<u64>());
        let due = rate.map_or(0, |rate| (f64::from(rate) * seconds) as u64);
        Self {
            in_flight,
            rate,
            seconds,
            calls,
            calls_per_second: calls as f64 / seconds,
            events_per_second: seen.events as f64 / seconds,
            p50_micros: seen.micros.value_at_quantile(0.5),
            p90_micros: seen.micros.value_at_quantile(0.9),
            p99_micros: seen.micros.value_at_quantile(0.99),
            p999_micros: seen.micros.value_at_quantile(0.999),
            max_micros: seen.micros.max(),
            errors: seen.errors.clone(),
            unanswered: due.saturating_sub(calls + failed),
            cpu,
            other_cores,
        }
    }

    /// Refusals by their codes.
    pub(super) fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// The cells under [`HEAD`]. CPU is milliseconds per call.
    pub(super) fn row(&self) -> [String; 13] {
        let millis = |micros: u64| format!("{:.2}", micros as f64 / 1_000.0);
        let cpu = |client: bool| {
            let lines = self.cpu.iter().filter(|line| line.is_client() == client);
            format!("{:.4}", lines.map(CpuLine::per_1000).sum::<f64>())
        };
        [
            self.in_flight.to_string(),
            format!("{:.0}", self.calls_per_second),
            format!("{:.0}", self.events_per_second),
            millis(self.p50_micros),
            millis(self.p90_micros),
            millis(self.p99_micros),
            millis(self.p999_micros),
            millis(self.max_micros),
            (self.errors.values().sum::<u64>() + self.unanswered).to_string(),
            format!("{:.0}", self.seconds),
            cpu(false),
            cpu(true),
            format!("{:.2}", self.other_cores),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::bench::tally::{Tally, Window};

    #[test]
    fn what_was_due_and_never_answered_is_told() {
        let tally = Tally::new(Window { by_begin: true, ..Window::endless() });
        (0..7).for_each(|_| tally.count(Instant::now(), Ok(1)));
        let frame = |rate| Frame { in_flight: 1, rate, seconds: 1.0, cpu: vec![], other_cores: 0.0 };
        let unanswered = |rate| tally.with(|seen| Line::new(frame(rate), seen)).unanswered;
        assert_eq!((unanswered(Some(10)), unanswered(None)), (3, 0));
    }

    #[test]
    fn a_slow_call_is_the_longest_and_not_the_median() {
        let tally = Tally::new(Window::endless());
        tally.with(|seen| {
            [100, 100, 5_000_000].iter().for_each(|micros| seen.micros.saturating_record(*micros))
        });
        let frame = Frame { in_flight: 1, rate: None, seconds: 1.0, cpu: vec![], other_cores: 0.0 };
        let line = tally.with(|seen| Line::new(frame, seen));
        assert!(line.max_micros >= 5_000_000 && line.p50_micros < 5_000_000, "{line:?}");
    }
}
