//! Wall clocks of nodes that are wrong.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use weir_check::rng::Rng;

use crate::{
    Node,
    chaos::rig::shim::{self, Page, Word},
};

/// How far a clock is off at most, forth or back.
const OFF_S_MAX: u64 = 3_600;
/// How much a clock gains or loses at most, in millionths.
const DRIFT_PPM_MAX: u64 = 200_000;

/// The clocks of a cluster's nodes. They are right until they are told to be wrong.
#[derive(Debug)]
pub struct Clocks {
    library: PathBuf,
    pages: Vec<Page>,
    folder: TempDir,
}

impl Clocks {
    /// Builds what puts them into processes.
    ///
    /// # Errors
    /// When there is no C compiler.
    pub fn build() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("weir-clocks-").tempdir()?;
        let library = shim::build(folder.path()).context("clocks cannot be wrong without a C compiler")?;
        Ok(Self { library, pages: Vec::new(), folder })
    }

    /// Gives a node, from its next start on, a clock of its own.
    ///
    /// # Errors
    /// When its page cannot be made.
    pub fn give(&mut self, node: &mut Node) -> Result<()> {
        let page = Page::make(&self.library, &self.folder.path().join(format!("n{}", node.id)))?;
        node.set_environment(&page.environment());
        self.pages.push(page);
        Ok(())
    }

    /// Lets every clock jump to where no other is, up to an hour off, and gain or lose from there.
    ///
    /// # Errors
    /// When a page cannot be written.
    pub fn skew(&self, rng: &mut Rng) -> Result<()> {
        let mut either = |max: u64| {
            let sign = if rng.chance(50) { 1 } else { -1 };
            Ok::<i64, anyhow::Error>(sign * i64::try_from(rng.within(1..max))?)
        };
        for page in &self.pages {
            page.set(Word::ClockOffsetNs, either(OFF_S_MAX)? * 1_000_000_000)?;
            page.drift(either(DRIFT_PPM_MAX)?)?;
        }
        Ok(())
    }

    /// How often a process looked at a clock that was wrong, the least of all nodes.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn looks(&self) -> Result<i64> {
        let looks = self.pages.iter().map(|page| page.get(Word::DoneClockReads));
        Ok(looks.collect::<Result<Vec<_>>>()?.into_iter().min().unwrap_or(0))
    }
}
