//! `weir guard -- COMMAND`: runs a program that does not watch its parent, and
//! ends it when the parent ends. Used by `weir dev` for nats-server.

use std::{ffi::OsString, process::Stdio, time::Duration};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Command, time::timeout};

use crate::shutdown::Signals;

/// How long the program may take to stop before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Runs the command until it ends, a signal comes, or stdin ends. Gives its exit code.
///
/// # Errors
/// When it cannot be started.
pub async fn run(command: Vec<OsString>) -> anyhow::Result<u8> {
    let mut signals = Signals::listen().context("taking the signals")?;
    let (program, arguments) = command.split_first().context("guard needs a command")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
    tokio::select! {
        status = child.wait() => return Ok(code(status?)),
        _ = signals.next() => {}
        () = crate::parent::gone() => {}
    }
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        // It may have ended on its own in between; then there is nothing to ask.
        let _ = kill_process(pid, Signal::TERM);
    }
    match timeout(GRACE, child.wait()).await {
        Ok(status) => Ok(code(status?)),
        Err(_) => {
            child.kill().await.context("killing the program")?;
            Ok(1)
        }
    }
}

fn code(status: std::process::ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
