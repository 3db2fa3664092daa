//! Log lines and metrics of the process.

use std::{
    fmt::Display,
    io::{IsTerminal as _, Write as _},
    panic,
    sync::OnceLock,
    time::Duration,
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::LogFormat;

/// Bounds of the buckets of every duration, in seconds: 100 µs to 10 s.
const SECONDS: [f64; 16] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Parts whose quieter lines are of use only to those who ask for them by name. openraft warns at every try to
/// reach a peer that is gone; the links say once that it is. It calls an error what it answers to the caller who
/// asked for another membership, and every message that meets a Raft which has stopped: the node itself says why
/// one stops that nobody told to.
const QUIET: &str = "openraft=error,openraft::raft::api::management=off,openraft::raft::raft_inner=off,\
                     openraft::raft::stream_append=off,fjall=warn,lsm_tree=warn,sled=warn,async_nats=warn,\
                     ractor=warn,h2=warn,hyper=warn";

/// How often old samples of histograms are folded, so that they take bounded memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// Sends log lines to stderr. A second call in one process changes nothing.
///
/// # Errors
/// When `filter` is not in the syntax of `EnvFilter`.
pub fn log_to_stderr(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|error| error.to_string())?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    // A second subscriber in one process is refused, and the first goes on: what is wanted.
    let _ = match format {
        LogFormat::Pretty => registry.with(lines.compact()).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    log_panics();
    Ok(())
}

/// Writes a line to stderr. A disk that is full behind it, or a reader that went away, is no reason to end
/// otherwise than meant.
pub(crate) fn tell(line: impl Display) {
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes a line to stdout. A reader that had enough (`weir demo | head`) is no reason to end.
pub(crate) fn show(line: impl Display) {
    // There is nobody else to show it to.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A panic is a bug, and a log line like every other: an ERROR, with its place.
fn log_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        let at = panicked.location().map(ToString::to_string).unwrap_or_default();
        let message = panicked.payload_as_str().unwrap_or("no message");
        tracing::error!(at, message, "thread panicked");
        print(panicked);
    }));
}

/// The process's metrics, installed on first use. Render them for `/metrics`.
#[must_use]
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(install).clone()
}

fn install() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .expect("the list of buckets is not empty")
        .build_recorder();
    let handle = recorder.handle();
    // Whoever installed a recorder before keeps it; this one then shows nothing.
    let _ = metrics::set_global_recorder(recorder);
    describe();
    handle
}

/// Runs until dropped; keeps the memory of histograms bounded.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_histogram!("weir_append_duration_seconds", "time from an append's arrival to its answer");
    describe_histogram!("weir_read_duration_seconds", "time from a read's arrival to its answer");
    describe_counter!("weir_events_appended_total", "events acknowledged through this node");
    describe_counter!("weir_append_conflicts_total", "appends refused for the stream's version");
    describe_counter!("weir_append_unknown_total", "appends whose outcome is not known");
    describe_counter!("weir_log_repairs_total", "damaged places of the log that were mended");
    describe_counter!("weir_folders_set_aside_total", "data folders that were moved aside as of no use");
    describe_counter!("weir_seats_taken_total", "data folders that this node admitted as the leader");
    describe_counter!("weir_forwarded_total", "appends forwarded to the leader");
    describe_gauge!("weir_connections", "open connections on the edge port");
}
