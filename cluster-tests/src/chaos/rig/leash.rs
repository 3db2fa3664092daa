//! A process and the faults that want it down or still: it runs when none wants
//! it down, and moves when none wants it still.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::process::Process;

/// Who wants what of one process.
#[derive(Debug, Default)]
pub struct Leash {
    process: Option<Process>,
    down: BTreeSet<String>,
    still: BTreeSet<String>,
}

impl Leash {
    /// Whether there is a process.
    #[must_use]
    pub fn has_process(&self) -> bool {
        self.process.is_some()
    }

    /// Whether there is one, and nobody wants it still.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.process.is_some() && self.still.is_empty()
    }

    /// Whether somebody wants it down.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.down.is_empty()
    }

    /// The process, to ask something of it.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// A new process.
    pub fn take(&mut self, process: Process) {
        self.process = Some(process);
    }

    /// The process has ended by itself.
    pub fn forget(&mut self) {
        self.process = None;
    }

    /// SIGKILL, and it stays down until `why` lets go. Whether it ran.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn hold_down(&mut self, why: &str) -> Result<bool> {
        self.down.insert(why.to_owned());
        self.kill()
    }

    /// SIGTERM, and it stays down until `why` lets go. Whether it ran; it may
    /// still run when this returns.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn ask_to_stop(&mut self, why: &str) -> Result<bool> {
        self.down.insert(why.to_owned());
        let Some(process) = &self.process else { return Ok(false) };
        process.terminate()?;
        Ok(true)
    }

    /// `why` does not want it down any more.
    pub fn let_go(&mut self, why: &str) {
        self.down.remove(why);
    }

    /// SIGKILL. Whether it ran.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self) -> Result<bool> {
        let Some(mut process) = self.process.take() else { return Ok(false) };
        process.kill()?;
        Ok(true)
    }

    /// SIGSTOP, until `why` lets go. Whether it runs.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn pause(&mut self, why: &str) -> Result<bool> {
        let Some(process) = &self.process else { return Ok(false) };
        process.pause()?;
        self.still.insert(why.to_owned());
        Ok(true)
    }

    /// SIGCONT, when nobody else wants it still.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn resume(&mut self, why: &str) -> Result<()> {
        self.still.remove(why);
        match &self.process {
            Some(process) if self.still.is_empty() => process.resume(),
            _ => Ok(()),
        }
    }
}
