use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{interval, sleep_until},
};

use super::{
    cpu::Watch,
    line::{Frame, Line},
    pace::Pace,
    tally::{Tally, Window},
};
use crate::{error::CliError, progress::Progress};

/// How long calls that are not answered at the window's end are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// One run to be measured.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) in_flight: usize,
    pub(super) rate: Option<u32>,
    pub(super) window: Window,
    pub(super) watch: &'a Watch,
}

impl Run<'_> {
    /// Lets callers loop through the window and tells what they saw.
    pub(super) async fn measure<F>(self, caller: impl Fn(usize, Pace, Tally) -> F) -> Result<Line, CliError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { in_flight, rate, window, watch } = self;
        let tally = Tally::new(window);
        let pace = rate.map_or(Pace::Closed(window), |rate| Pace::open(rate, window));
        let mut callers = JoinSet::new();
        (0..in_flight).for_each(|lane| drop(callers.spawn(caller(lane, pace.clone(), tally.clone()))));
        let (begin, mut progress) = (Instant::now(), Progress::new(millis(window.until - Instant::now())));
        let (mut before, mut after) = (None, None);
        let mut tick = interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                () = sleep_until(window.from.into()), if before.is_none() => before = Some(watch.sample()),
                () = sleep_until(window.until.into()), if after.is_none() => after = Some(watch.sample()),
                () = sleep_until((window.until + PATIENCE).into()) => callers.abort_all(),
                ended = callers.join_next() => match ended {
                    Some(Err(error)) if error.is_panic() => {
                        return Err(CliError::Failed(format!("a caller failed: {error}")));
                    }
                    Some(_) => {}
                    None => break,
                },
                _ = tick.tick() => progress.at(millis(begin.elapsed()), || format!("{in_flight} in flight")),
            }
        }
        progress.finish();
        let end = Instant::now().min(window.until);
        let after = after.unwrap_or_else(|| watch.sample());
        let before = before.unwrap_or_else(|| watch.sample());
        let seconds = (end - window.from).as_secs_f64();
        let other_cores = Watch::other_cores(&before, &after, seconds);
        Ok(tally.with(|seen| {
            let cpu = watch.lines(&before, &after, seen.micros.len());
            Line::new(Frame { in_flight, rate, seconds, cpu, other_cores }, seen)
        }))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
