use std::{cell::Cell, rc::Rc, time::Duration};

use crate::work_time::WorkTime;

/// Why the engine was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It executed too much.
    Ticks {
        /// The limit.
        max: u32,
    },
    /// It worked too long.
    Time {
        /// The limit.
        max: Duration,
    },
}

/// Counts what one call into the engine uses. The engine asks it now and then
/// whether to go on; once it said no, it says no until it is armed again.
#[derive(Debug, Clone)]
pub(super) struct Meter(Rc<Gauge>);

#[derive(Debug)]
struct Gauge {
    ticks: Cell<u32>,
    ticks_max: Cell<u32>,
    time: Cell<WorkTime>,
    stopped: Cell<Option<Stop>>,
}

impl Gauge {
    fn is_time_over(&self) -> bool {
        let mut time = self.time.get();
        let is_over = time.is_over();
        self.time.set(time);
        is_over
    }
}

impl Meter {
    pub(super) fn new() -> Self {
        Self(Rc::new(Gauge {
            ticks: Cell::new(0),
            ticks_max: Cell::new(u32::MAX),
            time: Cell::new(WorkTime::of(Duration::MAX)),
            stopped: Cell::new(None),
        }))
    }

    /// Begins a call that may use this much.
    pub(super) fn arm(&self, ticks_max: u32, time_max: Duration) {
        self.0.ticks.set(0);
        self.0.ticks_max.set(ticks_max);
        self.0.time.set(WorkTime::of(time_max));
        self.0.stopped.set(None);
    }

    /// Whether, and why, the engine was stopped since the meter was armed.
    pub(super) fn stopped(&self) -> Option<Stop> {
        self.0.stopped.get()
    }

    /// Called by the engine; true stops it.
    pub(super) fn tick(&self) -> bool {
        let gauge = &*self.0;
        let ticks = gauge.ticks.get().saturating_add(1);
        gauge.ticks.set(ticks);
        if gauge.stopped.get().is_none() {
            if ticks > gauge.ticks_max.get() {
                gauge.stopped.set(Some(Stop::Ticks { max: gauge.ticks_max.get() }));
            } else if gauge.is_time_over() {
                gauge.stopped.set(Some(Stop::Time { max: gauge.time.get().max() }));
            }
        }
        gauge.stopped.get().is_some()
    }
}
