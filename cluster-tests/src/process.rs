//! A real process that is killed when it is dropped.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

/// A child with its output in a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; stdout and stderr are appended to `log`.
    ///
    /// # Errors
    /// When the file or the process cannot be made.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = open(log)?;
        let err = out.try_clone().context("cannot share the log file")?;
        // A child that ends when its stdin does, ends with this process, however that ends.
        command.stdin(Stdio::piped()).stdout(out).stderr(err);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("cannot start {program} as {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be signalled or reaped.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait().with_context(|| format!("cannot reap {}", self.name))?;
        Ok(())
    }

    /// Stops it in its tracks (SIGSTOP): it keeps its sockets and answers nothing.
    ///
    /// # Errors
    /// When it is gone.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When it is gone.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to stop (SIGTERM).
    ///
    /// # Errors
    /// When it is gone.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it still runs at the deadline.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        eventually(&what, within, || {
            let status = self.child.try_wait();
            async move { status?.ok_or_else(|| anyhow!("it still runs")) }
        })
        .await
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// All that it has printed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn printed(&self) -> Result<String> {
        let bytes =
            std::fs::read(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let raw = i32::try_from(self.child.id()).context("process id is out of range")?;
        let Some(pid) = Pid::from_raw(raw) else { bail!("{} has no process id", self.name) };
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already, and then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn open(log: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    options.open(log).with_context(|| format!("cannot open {}", log.display()))
}
