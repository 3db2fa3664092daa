//! A target, and running it.

use std::{
    any::Any,
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};

use crate::{
    TARGETS,
    memory::{Bound, Measure},
};

/// One function of bytes. It returns when what it checks holds, and panics when not.
pub struct Target {
    /// What it is called on the command line and in `fuzz/corpus`.
    pub name: &'static str,
    /// What it reads and what must hold, in a line.
    pub about: &'static str,
    pub(crate) run: fn(&[u8]),
    pub(crate) memory: Bound,
    /// Folders of the repository, beside its own in the corpus, whose files are seeds too.
    pub(crate) seeds: &'static [&'static str],
    /// Milliseconds that a usual run takes, 0 for less than one: mutated runs are shared out by it.
    pub(crate) slow_ms: u64,
}

/// An input for which a target does not hold.
#[derive(Debug)]
pub struct Finding {
    /// What the target said.
    pub why: String,
}

impl Target {
    /// Lets it make what it makes once, so that no run is charged for it.
    fn warm_up(&self) {
        static WARM: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
        if WARM.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name) {
            (self.run)(&[]);
        }
    }

    /// Of so many runs without coverage, those that this target gets: a slow one gets fewer.
    #[must_use]
    pub fn share_of(&self, runs: u64) -> u64 {
        runs / (1 + 10 * self.slow_ms)
    }

    /// Runs it. A second measurement in this process waits for the first.
    ///
    /// # Panics
    /// When the input is a finding: what is checked does not hold, or the run
    /// took more memory than a parser of these bytes may.
    pub fn run(&self, data: &[u8]) {
        self.warm_up();
        let measure = Measure::begin();
        (self.run)(data);
        let (took, bound) = (measure.peak(), self.memory.of(data.len()));
        assert!(took <= bound, "{} bytes of input took {took} bytes of memory, over {bound}", data.len());
    }
}

/// The target with this name.
///
/// # Errors
/// Naming those that there are.
pub fn find(name: &str) -> Result<&'static Target> {
    let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    TARGETS
        .iter()
        .find(|target| target.name == name)
        .with_context(|| format!("there is no target `{name}`; there are: {}", known()))
}

/// Runs a target and catches its panic.
///
/// # Errors
/// [`Finding`].
pub fn hold(target: &Target, data: &[u8]) -> Result<(), Finding> {
    catch_unwind(AssertUnwindSafe(|| target.run(data)))
        .map_err(|panic| Finding { why: text_of(panic.as_ref()) })
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned())
}
