//! What all callers saw within the window.

use std::{collections::BTreeMap, time::Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// When a run measures.
#[derive(Clone, Copy)]
pub struct Window {
    pub from: Instant,
    pub until: Instant,
}

/// Times of appends that began and ended in the window, and what refused others.
pub struct Tally {
    pub window: Window,
    micros: Histogram<u64>,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    pub fn new(window: Window) -> Self {
        let micros = Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are legal");
        Self { window, micros, errors: BTreeMap::new() }
    }

    pub fn count(&mut self, begin: Instant, outcome: Result<(), String>) {
        let end = Instant::now();
        if begin < self.window.from || end > self.window.until {
            return;
        }
        match outcome {
            Ok(()) => self.micros.saturating_record((end - begin).as_micros() as u64),
            Err(error) => *self.errors.entry(error).or_default() += 1,
        }
    }

    pub fn calls(&self) -> u64 {
        self.micros.len()
    }

    pub fn figures(&self, in_flight: usize) -> Value {
        let seconds = (self.window.until - self.window.from).as_secs_f64();
        let rate = self.calls() as f64 / seconds;
        let at = |quantile| self.micros.value_at_quantile(quantile);
        json!({
            "inFlight": in_flight,
            "rate": null,
            "seconds": seconds,
            "calls": self.calls(),
            "callsPerSecond": rate,
            "answeredPerSecond": rate,
            "eventsPerSecond": rate,
            "p50Micros": at(0.5),
            "p90Micros": at(0.9),
            "p99Micros": at(0.99),
            "p999Micros": at(0.999),
            "maxMicros": self.micros.max(),
            "errors": self.errors,
        })
    }
}
