use std::{process::Stdio, time::Duration};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child as Process, ChildStdin, Command},
    task::JoinSet,
    time::timeout,
};

use crate::telemetry::tell;

/// How long a child may take to stop before it is killed.
const GRACE: Duration = Duration::from_secs(12);

/// A child process whose lines are shown under its name. It ends with this
/// process: its stdin is a pipe that only this process holds.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: Process,
    /// Closing it tells the child to end.
    parent: ChildStdin,
    lines: JoinSet<()>,
}

impl Child {
    /// Starts a command. It gets a process group of its own, so that Ctrl-C
    /// reaches this process alone, which then stops its children in order.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(name: &str, mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut process = command.spawn().with_context(|| format!("starting {name}"))?;
        let parent = process.stdin.take().expect("stdin was asked to be a pipe");
        let mut lines = JoinSet::new();
        lines.spawn(show(name.to_owned(), process.stdout.take().expect("stdout was asked to be a pipe")));
        lines.spawn(show(name.to_owned(), process.stderr.take().expect("stderr was asked to be a pipe")));
        Ok(Self { name: name.to_owned(), process, parent, lines })
    }

    /// Resolves when the child has ended, with how.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub async fn ended(&mut self) -> std::io::Result<std::process::ExitStatus> {
        self.process.wait().await
    }

    /// Tells it that this process ends, and kills it after a grace. A node hands
    /// its leadership to nobody then: all of them end.
    pub async fn stop_with_parent(self) {
        let Self { name, process, parent, lines } = self;
        drop(parent);
        ended_in_time(&name, process, lines).await;
    }

    /// Asks it to end, and kills it after a grace.
    pub async fn stop(self) {
        if let Some(pid) = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // It may have ended on its own in between; then there is nothing to ask.
            let _ = kill_process(pid, Signal::TERM);
        }
        let Self { name, process, parent: _parent, lines } = self;
        ended_in_time(&name, process, lines).await;
    }
}

async fn ended_in_time(name: &str, mut process: Process, mut lines: JoinSet<()>) {
    if timeout(GRACE, process.wait()).await.is_err() {
        tell(format_args!("{name} did not stop in {} s and is killed", GRACE.as_secs()));
        // It is gone already if this fails.
        let _ = process.kill().await;
    }
    while lines.join_next().await.is_some() {}
}

async fn show(name: String, pipe: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tell(format_args!("{name} | {line}"));
    }
}
