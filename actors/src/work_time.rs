//! How long a thread may work. Time in which it was stopped, or in which others had the processor, does not count: a node
//! that was paused would blame its authors' code for that.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::off_runtime::is_simulated;

/// Time for the work of one thread, from when it is made.
///
/// It is asked often, and the thread's own clock costs a call of the system. So that is looked at only once the clock on
/// the wall says that the time may be over, and counts from there: the work may take up to twice its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkTime {
    max: Duration,
    began: Instant,
    /// What the thread had worked when it was first looked at.
    looked: Option<Duration>,
}

impl WorkTime {
    /// For ever, where the clock says nothing: counted steps bound a simulation.
    pub(crate) fn of(max: Duration) -> Self {
        let max = if is_simulated() { Duration::MAX } else { max };
        Self { max, began: Instant::now(), looked: None }
    }

    pub(crate) fn max(&self) -> Duration {
        self.max
    }

    /// Whether it is over. Asked by the thread that works.
    pub(crate) fn is_over(&mut self) -> bool {
        if self.began.elapsed() <= self.max {
            return false;
        }
        let worked = worked();
        worked.saturating_sub(*self.looked.get_or_insert(worked)) > self.max
    }
}

/// What this thread has worked since it began.
fn worked() -> Duration {
    let worked = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(worked.tv_sec).unwrap_or(0), u32::try_from(worked.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_millis(20);

    #[test]
    fn a_thread_that_is_not_let_work_has_not_worked() {
        let mut time = WorkTime::of(MAX);
        while time.began.elapsed() < MAX * 4 {
            std::thread::park_timeout(MAX);
            assert!(!time.is_over());
        }
        let began = worked();
        while !time.is_over() {
            assert!(worked() - began < MAX * 4, "it does not end");
        }
        assert!(time.is_over(), "it stays over");
    }
}
